//! A linear table of device-mapper's, made by its ioctls (include/uapi/linux/dm-ioctl.h).

use crate::{
    fail::{Fail, Result},
    sys,
};
use diorama_wire::config;
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
struct Target {
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
}

/// The kernel reads and writes these by their layout.
const _: () = assert!(size_of::<Header>() == 312 && size_of::<Target>() == 40);

/// Room for a target's parameters, `major:minor offset`.
const PARAMETERS: usize = 40;

/// The parameters follow their target, and targets are aligned to 8 bytes.
#[repr(C)]
struct Line {
    target: Target,
    parameters: [u8; PARAMETERS],
}

/// A table of at most two lines, behind its header.
#[repr(C)]
struct Table {
    header: Header,
    lines: [Line; 2],
}

/// `DM_SUSPEND_FLAG`; without it the command resumes.
const SUSPEND: u32 = 1 << 1;

/// Commands, `_IOWR(0xfd, N, struct dm_ioctl)`.
const fn command(number: u64) -> libc::Ioctl {
    ((3 << 30) | ((size_of::<Header>() as u64) << 16) | (0xfd << 8) | number) as libc::Ioctl
}
const DEV_CREATE: libc::Ioctl = command(3);
const DEV_SUSPEND: libc::Ioctl = command(6);
const TABLE_LOAD: libc::Ioctl = command(9);

/// A stretch of the mapped device, in order.
pub struct Segment {
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// The device that it is the beginning of, `major:minor`.
    pub device: String,
}

/// A mapped device.
pub struct Mapped {
    control: File,
    label: &'static str,
    /// As in /sys/block: `dm-0`.
    pub name: String,
}

impl Mapped {
    /// Makes a device that is these segments, one behind the other.
    ///
    /// # Errors
    /// When the kernel has no device-mapper or refuses.
    pub fn linear(label: &'static str, segments: &[Segment; 2]) -> Result<Mapped> {
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
            label,
            name: String::new(),
        };
        let made = mapped.call("create", DEV_CREATE, 0, None)?;
        // huge_encode_dev(): the minor's low eight bits, then the major; the first minors suffice.
        mapped.name = format!("dm-{}", made.dev & 0xff);
        mapped.load(segments)?;
        Ok(mapped)
    }

    /// Gives the device these segments instead of those it has, if any. What the device announces
    /// follows from what they announce now.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn load(&self, segments: &[Segment; 2]) -> Result<()> {
        self.call("load a table for", TABLE_LOAD, 0, Some(segments))?;
        self.call("suspend", DEV_SUSPEND, SUSPEND, None)?;
        self.call("resume", DEV_SUSPEND, 0, None)?;
        Ok(())
    }

    fn call(
        &self,
        doing: &str,
        command: libc::Ioctl,
        flags: u32,
        segments: Option<&[Segment; 2]>,
    ) -> Result<Header> {
        let mut table = table(self.label, flags, segments)?;
        // SAFETY: an open descriptor and a header that says how much room there is behind it.
        let returned = unsafe { libc::ioctl(self.control.as_raw_fd(), command, &raw mut table) };
        sys::check(returned.into()).map_err(|e| {
            let label = self.label;
            Fail::os(format_args!("device-mapper: {doing} {label}"), &e)
        })?;
        Ok(table.header)
    }
}

/// A command's argument.
fn table(label: &str, flags: u32, segments: Option<&[Segment; 2]>) -> Result<Table> {
    let mut start = 0;
    let mut line = |segment: Option<&Segment>| -> Result<Line> {
        let (sectors, parameters) = match segment {
            Some(segment) => (segment.sectors, format!("{} 0", segment.device)),
            None => (0, String::new()),
        };
        let line = Line {
            target: Target {
                sector_start: start,
                length: sectors,
                status: 0,
                next: size_of::<Line>() as u32,
                target_type: padded("linear")?,
            },
            parameters: padded(&parameters)?,
        };
        start += sectors;
        Ok(line)
    };
    let first = line(segments.map(|s| &s[0]))?;
    let second = line(segments.map(|s| &s[1]))?;
    Ok(Table {
        header: Header {
            version: [4, 0, 0],
            data_size: size_of::<Table>() as u32,
            data_start: size_of::<Header>() as u32,
            target_count: if segments.is_some() { 2 } else { 0 },
            open_count: 0,
            flags,
            event_nr: 0,
            padding: 0,
            dev: 0,
            name: padded(label)?,
            uuid: [0; 129],
            data: [0; 7],
        },
        lines: [first, second],
    })
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
    fn segments_follow_each_other() {
        let segments = [(100, "252:0"), (8, "252:1")].map(|(sectors, device)| Segment {
            sectors,
            device: device.to_owned(),
        });
        let table = table("x", 0, Some(&segments)).unwrap();
        let spans = table
            .lines
            .each_ref()
            .map(|l| (l.target.sector_start, l.target.length));
        assert_eq!(spans, [(0, 100), (100, 8)]);
        assert!(table.lines[1].parameters.starts_with(b"252:1 0\0"));
        assert_eq!(table.header.target_count, 2);
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
