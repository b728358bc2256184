//! Block devices between the drive and the file system, each over the one below it. What is counted
//! stays the drive's own requests.

use super::{
    Device, SECTOR,
    dm::{Mapped, Target},
    facts, md, node, schedule,
};
use crate::{
    fail::{Fail, Result},
    sys,
};
use diorama_wire::StackLayer;
use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

/// Puts layers over a device, from the drive up.
///
/// # Errors
/// What the kernel lacks; the first layer that it refuses.
pub fn put(layers: &[StackLayer], device: Device) -> Result<Device> {
    let mut top = device;
    for (number, layer) in layers.iter().enumerate() {
        let label = format!("diorama-{}-{number}", layer.name());
        let name = match layer {
            StackLayer::Linear => mapped(&label, Target::linear(sectors(&top), &id(&top)?))?,
            StackLayer::Crypt => mapped(&label, crypt(&top)?)?,
            StackLayer::Loop => loop_over(&top)?,
            StackLayer::Raid1 => mirrored(&top, number)?,
        };
        let sysfs = sysfs(&name);
        top = Device {
            path: node(&name)?,
            facts: facts(&name, &sysfs, &top.data)?,
            ..top
        };
    }
    Ok(top)
}

fn sysfs(name: &str) -> PathBuf {
    Path::new("/sys/block").join(name)
}

fn sectors(device: &Device) -> u64 {
    device.facts.size / SECTOR
}

/// A device's number, `major:minor`.
fn id(device: &Device) -> Result<String> {
    sys::read(sysfs(&device.facts.name).join("dev"))
}

/// The drive and the one beside it as one device; returns its name.
fn mirrored(drive: &Device, number: usize) -> Result<String> {
    let Some(mirror) = drive.mirror.as_ref().filter(|_| number == 0) else {
        return Err(Fail::protocol(
            "a mirror is of drives, and no layer above one",
        ));
    };
    let disks = [id(drive)?, sys::read(mirror.join("dev"))?];
    md::mirror(drive.facts.size, &disks)
}

/// One target over a whole device; returns its name.
fn mapped(label: &str, target: Target) -> Result<String> {
    Mapped::make(label, &[target]).map(|mapped| mapped.name)
}

/// The key of every crypt layer: its value is nothing to the path, and must be the same every time.
const KEY_BYTES: u8 = 64;

/// AES-XTS (Documentation/admin-guide/device-mapper/dm-crypt.rst), in sectors as large as the blocks
/// below, as cryptsetup chooses them.
fn crypt(below: &Device) -> Result<Target> {
    let key: String = (0..KEY_BYTES).map(|i| format!("{i:02x}")).collect();
    let id = id(below)?;
    let block = below.facts.logical_block_size;
    Ok(Target {
        kind: "crypt",
        sectors: sectors(below),
        parameters: format!("aes-xts-plain64 {key} 0 {id} 0 1 sector_size:{block}"),
        options: StackLayer::Crypt.options(),
    })
}

/// include/uapi/linux/loop.h
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_SET_FD: libc::Ioctl = 0x4c00;
const LOOP_SET_DIRECT_IO: libc::Ioctl = 0x4c08;
const LOOP_SET_BLOCK_SIZE: libc::Ioctl = 0x4c09;

/// Made by devtmpfs when the driver is there.
const LOOP_CONTROL: &str = "/dev/loop-control";

/// A loop device whose requests below are direct; returns its name.
fn loop_over(below: &Device) -> Result<String> {
    let lacking = |e: io::Error| {
        let what = format!("the kernel has no loop devices ({LOOP_CONTROL}: {e})");
        Fail::unsupported(what, StackLayer::Loop.options())
    };
    let control = open(LOOP_CONTROL, 0).map_err(lacking)?;
    let number = request(&control, LOOP_CTL_GET_FREE, 0, "LOOP_CTL_GET_FREE")?;
    let name = format!("loop{number}");
    let path = node(&name)?;
    let failed = |path: &str, e: io::Error| Fail::os(format_args!("open {path}"), &e);
    let device = open(&path, 0).map_err(|e| failed(&path, e))?;
    let backing = open(&below.path, libc::O_DIRECT).map_err(|e| failed(&below.path, e))?;
    let fd = backing.as_raw_fd() as libc::c_ulong;
    request(&device, LOOP_SET_FD, fd, "LOOP_SET_FD")?;
    let block = below.facts.logical_block_size.into();
    request(&device, LOOP_SET_BLOCK_SIZE, block, "LOOP_SET_BLOCK_SIZE")?;
    request(&device, LOOP_SET_DIRECT_IO, 1, "LOOP_SET_DIRECT_IO")?;
    let sysfs = sysfs(&name);
    if sys::read(sysfs.join("loop/dio"))? != "1" {
        let what =
            "the kernel's loop device does no direct I/O over the device below (loop/dio is 0)";
        return Err(Fail::unsupported(what, &[]));
    }
    // Its own queue must neither sort nor merge: what is merged is counted at the drive alone.
    schedule(&sysfs, "none")?;
    sys::write(sysfs.join("queue/nomerges"), "2")?;
    Ok(name)
}

fn open(path: &str, flags: libc::c_int) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// An ioctl whose argument is a number.
fn request(
    file: &File,
    command: libc::Ioctl,
    argument: libc::c_ulong,
    name: &str,
) -> Result<libc::c_long> {
    // SAFETY: an open descriptor and a number.
    let returned = unsafe { libc::ioctl(file.as_raw_fd(), command, argument) };
    sys::check(returned.into()).map_err(|e| Fail::os(name, &e))
}
