//! An array of md's, made by its ioctls (include/uapi/linux/raid/md_u.h) as `mdadm --build` makes one:
//! without superblocks, so that nothing is written for it, and clean, so that nothing is copied behind a
//! measurement.

use crate::{
    fail::{Fail, Result},
    sys,
};
use diorama_wire::StackLayer;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
};

/// Where a name makes an array (`add_named_array` in drivers/md/md.c).
const NEW_ARRAY: &str = "/sys/module/md_mod/parameters/new_array";

/// The array's name, in /sys/block and /dev.
const NAME: &str = "md_diorama";

/// md's major number, which its ioctls have.
const MAJOR: u64 = 9;

/// `_IOW(MD_MAJOR, N, T)`.
const fn command<T>(number: u64) -> libc::Ioctl {
    ((1 << 30) | ((size_of::<T>() as u64) << 16) | (MAJOR << 8) | number) as libc::Ioctl
}
const ADD_NEW_DISK: libc::Ioctl = command::<Disk>(0x21);
const SET_ARRAY_INFO: libc::Ioctl = command::<Array>(0x23);
const RUN_ARRAY: libc::Ioctl = command::<[i32; 3]>(0x30);

/// `mdu_array_info_t`
#[repr(C)]
#[derive(Default)]
struct Array {
    version: [i32; 3],
    ctime: u32,
    level: i32,
    /// Of each disk, KiB.
    size: i32,
    nr_disks: i32,
    raid_disks: i32,
    md_minor: i32,
    not_persistent: i32,
    utime: u32,
    state: i32,
    active_disks: i32,
    working_disks: i32,
    failed_disks: i32,
    spare_disks: i32,
    layout: i32,
    chunk_size: i32,
}

/// `mdu_disk_info_t`
#[repr(C)]
struct Disk {
    number: i32,
    major: i32,
    minor: i32,
    raid_disk: i32,
    state: i32,
}

/// The kernel reads these by their layout.
const _: () = assert!(size_of::<Array>() == 72 && size_of::<Disk>() == 20);

/// `1 << MD_SB_CLEAN`: its disks hold the same, and need not be made so.
const CLEAN: i32 = 1;

/// `1 << MD_DISK_ACTIVE | 1 << MD_DISK_SYNC`
const IN_SYNC: i32 = 0b110;

/// Mirrors disks of `size` bytes, `major:minor` each; returns the array's name.
///
/// # Errors
/// When the kernel has no md or no RAID1, or refuses.
pub fn mirror(size: u64, disks: &[String]) -> Result<String> {
    let lacking = |what: String| Fail::unsupported(what, StackLayer::Raid1.options());
    if fs::metadata(NEW_ARRAY).is_err() {
        return Err(lacking(format!(
            "the kernel has no md ({NEW_ARRAY} is missing)"
        )));
    }
    sys::write(NEW_ARRAY, NAME)?;
    let path = super::node(NAME)?;
    let array = OpenOptions::new().read(true).write(true).open(&path);
    let array = array.map_err(|e| Fail::os(format_args!("open {path}"), &e))?;
    let count = i32::try_from(disks.len()).unwrap_or(i32::MAX);
    let info = Array {
        level: 1,
        size: i32::try_from(size >> 10).unwrap_or(i32::MAX),
        nr_disks: count,
        raid_disks: count,
        not_persistent: 1,
        state: CLEAN,
        active_disks: count,
        working_disks: count,
        ..Array::default()
    };
    order(&array, SET_ARRAY_INFO, &info, "SET_ARRAY_INFO")?;
    for (number, disk) in (0i32..).zip(disks) {
        let (major, minor) = numbers(disk)
            .ok_or_else(|| Fail::step(format!("`{disk}` is no device number, major:minor")))?;
        let disk = Disk {
            number,
            major,
            minor,
            raid_disk: number,
            state: IN_SYNC,
        };
        order(&array, ADD_NEW_DISK, &disk, "ADD_NEW_DISK")?;
    }
    // md: "personality for level 1 is not loaded!"
    ioctl(&array, RUN_ARRAY, &[0i32; 3]).map_err(|e| match e.raw_os_error() {
        Some(libc::EINVAL) => lacking(format!("the kernel has no RAID1 (md: RUN_ARRAY: {e})")),
        _ => Fail::os("md: RUN_ARRAY", &e),
    })?;
    quiet()?;
    Ok(NAME.to_owned())
}

/// Refuses an array that copies anything by itself.
fn quiet() -> Result<()> {
    let md = format!("/sys/block/{NAME}/md");
    let doing = sys::read(format!("{md}/sync_action"))?;
    let degraded = sys::read(format!("{md}/degraded"))?;
    if doing == "idle" && degraded == "0" {
        return Ok(());
    }
    Err(Fail::step(format!(
        "md: the array does {doing} by itself, and lacks {degraded} disk(s)"
    )))
}

fn numbers(device: &str) -> Option<(i32, i32)> {
    let (major, minor) = device.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// As [`ioctl`], of this name.
fn order<T>(array: &File, command: libc::Ioctl, argument: &T, name: &str) -> Result<()> {
    ioctl(array, command, argument).map_err(|e| Fail::os(format_args!("md: {name}"), &e))
}

/// An ioctl whose argument the kernel reads.
fn ioctl<T>(array: &File, command: libc::Ioctl, argument: &T) -> io::Result<()> {
    // SAFETY: an open descriptor, and a value as long as the command says.
    let returned = unsafe { libc::ioctl(array.as_raw_fd(), command, std::ptr::from_ref(argument)) };
    sys::check(returned.into()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_md_u_h() {
        assert_eq!(SET_ARRAY_INFO, 0x4048_0923);
        assert_eq!(ADD_NEW_DISK, 0x4014_0921);
        assert_eq!(RUN_ARRAY, 0x400c_0930);
    }

    #[test]
    fn a_device_number_is_two_numbers() {
        assert_eq!(numbers("252:16\n"), Some((252, 16)));
        assert_eq!(numbers("252"), None);
    }
}
