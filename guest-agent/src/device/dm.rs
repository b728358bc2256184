//! Devices of device-mapper's, made by its ioctls (include/uapi/linux/dm-ioctl.h).

use crate::{
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{StackLayer, config};
use std::{
    fs::{File, OpenOptions},
    os::fd::AsRawFd,
};

/// Made by devtmpfs when the driver is there.
const CONTROL: &str = "/dev/mapper/control";

/// `struct dm_ioctl`
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// `struct dm_target_spec`
#[repr(C)]
struct Spec {
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
}

/// The kernel reads and writes these by their layout.
const _: () = assert!(size_of::<Header>() == 312 && size_of::<Spec>() == 40);

/// `DM_SUSPEND_FLAG`; without it the command resumes.
const SUSPEND: u32 = 1 << 1;

/// Commands, `_IOWR(0xfd, N, struct dm_ioctl)`.
const fn command(number: u64) -> libc::Ioctl {
    ((3 << 30) | ((size_of::<Header>() as u64) << 16) | (0xfd << 8) | number) as libc::Ioctl
}
const DEV_CREATE: libc::Ioctl = command(3);
const DEV_SUSPEND: libc::Ioctl = command(6);
const TABLE_LOAD: libc::Ioctl = command(9);

/// A stretch of a mapped device (Documentation/admin-guide/device-mapper).
pub struct Target {
    /// Its type: `linear`.
    pub kind: &'static str,
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// What that type takes.
    pub parameters: String,
    /// The options of a kernel's configuration that build it and what it uses.
    pub options: &'static [&'static str],
}

impl Target {
    /// The beginning of another device, `major:minor`.
    pub fn linear(sectors: u64, device: &str) -> Target {
        Target {
            kind: "linear",
            sectors,
            parameters: format!("{device} 0"),
            options: StackLayer::Linear.options(),
        }
    }
}

/// A mapped device.
pub struct Mapped {
    control: File,
    label: String,
    /// As in /sys/block: `dm-0`.
    pub name: String,
}

impl Mapped {
    /// Makes a device that is these targets, one behind the other.
    ///
    /// # Errors
    /// When the kernel has no device-mapper or refuses.
    pub fn make(label: &str, targets: &[Target]) -> Result<Mapped> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open(CONTROL)
            .map_err(|e| {
                Fail::unsupported(
                    format!("the kernel has no device-mapper ({CONTROL}: {e})"),
                    &[config::BLK_DEV_DM],
                )
            })?;
        let mut mapped = Mapped {
            control,
            label: label.to_owned(),
            name: String::new(),
        };
        let dev = mapped.call("create", DEV_CREATE, 0, &[])?;
        // huge_encode_dev(): the minor's low eight bits, then the major; the first minors suffice.
        mapped.name = format!("dm-{}", dev & 0xff);
        mapped.load(targets)?;
        Ok(mapped)
    }

    /// Gives the device these targets instead of those it has, if any. What the device announces
    /// follows from what they announce now.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn load(&self, targets: &[Target]) -> Result<()> {
        self.call("load a table for", TABLE_LOAD, 0, targets)?;
        self.call("suspend", DEV_SUSPEND, SUSPEND, &[])?;
        self.call("resume", DEV_SUSPEND, 0, &[])?;
        Ok(())
    }

    /// Returns the device's number, as the kernel encodes it.
    fn call(
        &self,
        doing: &str,
        command: libc::Ioctl,
        flags: u32,
        targets: &[Target],
    ) -> Result<u64> {
        let mut table = table(&self.label, flags, targets)?;
        // SAFETY: an open descriptor and a header that says how much room there is behind it.
        let returned =
            unsafe { libc::ioctl(self.control.as_raw_fd(), command, table.as_mut_ptr()) };
        sys::check(returned.into()).map_err(|e| {
            let doing = format!("device-mapper: {doing} {}", self.label);
            // A target, or a cipher, that the kernel does not have.
            match (e.raw_os_error(), targets.first()) {
                (Some(libc::EINVAL | libc::ENOENT), Some(target)) => {
                    Fail::unsupported(format!("{doing}: {e}"), target.options)
                }
                _ => Fail::os(doing, &e),
            }
        })?;
        Ok(table[DEV])
    }
}

/// Where the header has the device's number, in words of 8 bytes.
const DEV: usize = std::mem::offset_of!(Header, dev) / 8;

/// A command's argument, in words so that it is aligned: a header, and each target with its parameters
/// behind it.
fn table(label: &str, flags: u32, targets: &[Target]) -> Result<Vec<u64>> {
    let mut lines: Vec<u8> = Vec::new();
    let mut start = 0;
    for target in targets {
        let mut parameters = target.parameters.clone().into_bytes();
        parameters.resize((parameters.len() + 1).next_multiple_of(8), 0);
        let next = size_of::<Spec>() + parameters.len();
        let spec = Spec {
            sector_start: start,
            length: target.sectors,
            status: 0,
            next: next as u32,
            target_type: padded(target.kind)?,
        };
        lines.extend_from_slice(bytes(&spec));
        lines.extend_from_slice(&parameters);
        start += target.sectors;
    }
    // Room for an answer where nothing is said.
    lines.resize(lines.len().max(ANSWER), 0);
    let header = Header {
        version: [4, 0, 0],
        data_size: (size_of::<Header>() + lines.len()) as u32,
        data_start: size_of::<Header>() as u32,
        target_count: targets.len() as u32,
        open_count: 0,
        flags,
        event_nr: 0,
        padding: 0,
        dev: 0,
        name: padded(label)?,
        uuid: [0; 129],
        data: [0; 7],
    };
    let all = [bytes(&header), &lines].concat();
    let word = |eight: &[u8]| eight.try_into().map_or(0, u64::from_ne_bytes);
    Ok(all.chunks(8).map(word).collect())
}

/// Bytes behind a header without targets.
const ANSWER: usize = 160;

/// The bytes of a structure of the kernel's.
fn bytes<T>(value: &T) -> &[u8] {
    // SAFETY: a valid value of this size; [`Header`] and [`Spec`] have no padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A C string in a field of fixed size.
fn padded<const N: usize>(text: &str) -> Result<[u8; N]> {
    let mut field = [0; N];
    if text.len() >= N {
        return Err(Fail::step(format!(
            "device-mapper: {text:?} is longer than {N} bytes"
        )));
    }
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_follow_each_other_with_their_parameters() {
        let targets = [Target::linear(100, "252:0"), Target::linear(8, "252:1")];
        let words = table("x", 0, &targets).unwrap();
        let header = size_of::<Header>() / 8;
        // sector_start and length of each; a target is five words, and its parameters one.
        let spans = [header, header + 6].map(|at| (words[at], words[at + 1]));
        assert_eq!(spans, [(0, 100), (100, 8)]);
        let parameters = words[header + 11].to_ne_bytes();
        assert_eq!(&parameters, b"252:1 0\0");
        // data_size, data_start and target_count.
        assert_eq!(words[1] >> 32, words.len() as u64 * 8);
        assert_eq!(words[2], 2 << 32 | size_of::<Header>() as u64);
        assert!(padded::<8>("12345678").is_err(), "no room for the NUL");
    }

    #[test]
    fn commands_are_those_of_the_headers() {
        // From <linux/dm-ioctl.h>: DM_DEV_CREATE, DM_DEV_SUSPEND, DM_TABLE_LOAD.
        assert_eq!(DEV_CREATE as u32, 0xc138_fd03);
        assert_eq!(DEV_SUSPEND as u32, 0xc138_fd06);
        assert_eq!(TABLE_LOAD as u32, 0xc138_fd09);
    }
}
