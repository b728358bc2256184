//! The device under the file system: one that is made here, or one that the host put there.

mod condition;
mod dm;
mod md;
mod model;
mod null_blk;
mod nvme;
mod stack;

use crate::{
    fail::{Fail, Result},
    sys,
};
pub use condition::condition;
use diorama_wire::{DeviceFacts, Driver};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The device as it is used.
pub struct Device {
    /// Its node below /dev.
    pub path: String,
    /// The directory below /sys/block of the disk that data is on.
    pub data: PathBuf,
    /// That of the disk that flushes go to, where it is another one.
    pub flushed: Option<PathBuf>,
    /// That of the disk that holds all the data a second time, if there is one.
    pub mirror: Option<PathBuf>,
    /// As the kernel describes it.
    pub facts: DeviceFacts,
}

/// Whether the kernel has what drives the devices, before there is one.
///
/// # Errors
/// When it has not.
pub fn check(driver: Driver) -> Result<()> {
    match driver {
        Driver::NullBlk => null_blk::check(),
        Driver::Nvme => nvme::check(),
    }
}

/// Makes or finds the device. With `poll` it has a queue whose completions are polled for, besides
/// the others.
///
/// # Errors
/// When the kernel lacks an attribute or refuses a value; when the device is not there.
pub fn ready(device: &diorama_wire::Device, poll: bool) -> Result<Device> {
    let ready = match device {
        diorama_wire::Device::Model(model) => stack::put(&model.stack, model::make(model, poll)?)?,
        diorama_wire::Device::Nvme(nvme) => nvme::find(nvme)?,
    };
    if poll {
        check_polled(&ready)?;
    }
    Ok(ready)
}

fn check_polled(device: &Device) -> Result<()> {
    let queue = PathBuf::from("/sys/block")
        .join(&device.facts.name)
        .join("queue");
    if sys::read(queue.join("io_poll"))? == "1" {
        return Ok(());
    }
    Err(Fail::unsupported(
        "the block layer does not poll for completions on the device (queue/io_poll is 0)",
        &[],
    ))
}

fn node(name: &str) -> Result<String> {
    let path = format!("/dev/{name}");
    fs::metadata(&path).map_err(|e| Fail::os(format_args!("look for {path}"), &e))?;
    Ok(path)
}

/// /sys/block/*/size counts 512-byte sectors whatever the block size is, and so does
/// device-mapper.
const SECTOR: u64 = 512;

/// A device as the kernel describes it; its requests are those of the disk at `data`.
fn facts(name: &str, sysfs: &Path, data: &Path) -> Result<DeviceFacts> {
    let queue = sysfs.join("queue");
    let sectors: u64 = sys::read_number(sysfs.join("size"))?;
    let scheduler = sys::read(data.join("queue/scheduler"))?;
    let fua = queue.join("fua");
    Ok(DeviceFacts {
        name: name.to_owned(),
        size: sectors * SECTOR,
        scheduler: active(&scheduler).to_owned(),
        nr_requests: sys::read_number(data.join("queue/nr_requests"))?,
        logical_block_size: sys::read_number(queue.join("logical_block_size"))?,
        write_cache: sys::read(queue.join("write_cache"))?,
        fua: match fs::metadata(&fua) {
            Ok(_) => Some(sys::read_number(&fua)?),
            Err(_) => None,
        },
        max_sectors_kb: sys::read_number(queue.join("max_sectors_kb"))?,
        nvme: None,
    })
}

/// Gives a disk its scheduler.
///
/// # Errors
/// When the kernel has none of that name, or refuses it.
fn schedule(sysfs: &Path, scheduler: &str) -> Result<()> {
    let path = sysfs.join("queue/scheduler");
    let Err(e) = sys::write(&path, scheduler) else {
        return Ok(());
    };
    let known = sys::read(&path)?;
    if offers(&known, scheduler) {
        return Err(e);
    }
    Err(Fail::unsupported(
        format!(
            "the kernel has no scheduler {scheduler} for {} (it knows {known})",
            sysfs.display()
        ),
        &[],
    ))
}

/// Whether `queue/scheduler` (`[none] mq-deadline`) offers a scheduler.
fn offers(choices: &str, scheduler: &str) -> bool {
    choices
        .split_whitespace()
        .any(|word| word.trim_matches(['[', ']']) == scheduler)
}

/// The choice in brackets: `[none] mq-deadline` is `none`.
fn active(choices: &str) -> &str {
    choices
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(choices, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_scheduler_is_the_bracketed_one() {
        assert_eq!(active("mq-deadline [none]"), "none");
        assert_eq!(active("none"), "none");
    }

    #[test]
    fn a_scheduler_is_offered_by_its_whole_name() {
        assert!(offers("mq-deadline kyber [none]", "none"));
        assert!(offers("[none] mq-deadline", "mq-deadline"));
        assert!(!offers("[none] mq-deadline", "deadline"));
    }
}
