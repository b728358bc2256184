//! The model device: a memory-backed null_blk, or, where a flush takes another time than the rest, two
//! of them behind one linear table of device-mapper's.

use super::{
    Device, SECTOR,
    dm::{Mapped, Target},
    facts, node,
    null_blk::{self, Disk, DiskSpec},
};
use crate::{
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{ModelDevice, WriteCache};
use std::path::{Path, PathBuf};

/// Makes the device.
///
/// A request on that queue is completed by whoever polls, as soon as that is: null_blk's latency is
/// a timer's, and a polled queue has none (`null_poll` in drivers/block/null_blk/main.c).
///
/// # Errors
/// When the kernel lacks an attribute or refuses a value.
pub fn make(model: &ModelDevice, poll: bool) -> Result<Device> {
    let cache = model.write_cache;
    Ok(match cache.filter(|_| model.is_stacked()) {
        Some(cache) => stacked(model, cache, poll)?,
        None => {
            let disk = null_blk::make(&DiskSpec {
                item: DATA,
                model: model.clone(),
                poll,
            })?;
            let mirror = model
                .is_mirrored()
                .then(|| second(model, poll))
                .transpose()?;
            Device {
                path: node(&disk.name)?,
                facts: facts(&disk.name, &disk.sysfs, &disk.sysfs)?,
                data: disk.sysfs,
                flushed: None,
                mirror,
            }
        }
    })
}

/// Another drive like the first, for the stack to mirror it; returns its directory in /sys/block.
fn second(model: &ModelDevice, poll: bool) -> Result<PathBuf> {
    let disk = null_blk::make(&DiskSpec {
        item: "diorama-mirror",
        model: model.clone(),
        poll,
    })?;
    Ok(disk.sysfs)
}

/// Name of the disk that data is on.
const DATA: &str = "diorama";

/// Bytes of the second disk that are the end of the device: whole logical blocks of every size.
/// No file of a cell lies there: what is measured is counted on the first disk.
const TAIL: u64 = 4096;

/// A first disk for the data, which has no cache and so is never flushed, and a second one whose
/// latency is that of a flush. device-mapper passes every flush to both, and it is done when the
/// slower one is.
fn stacked(model: &ModelDevice, cache: WriteCache, poll: bool) -> Result<Device> {
    let first = null_blk::make(&DiskSpec {
        item: DATA,
        model: ModelDevice {
            write_cache: None,
            ..model.clone()
        },
        poll,
    })?;
    let second = null_blk::make(&DiskSpec {
        item: "diorama-flush",
        model: ModelDevice {
            size_mib: 1,
            latency_ns: cache.flush_latency_ns,
            bandwidth_mib_s: None,
            scheduler: "none".into(),
            write_cache: Some(cache),
            ..model.clone()
        },
        poll,
    })?;
    let tail = TAIL / SECTOR;
    let targets = [
        Target::linear(
            (u64::from(model.size_mib) << 20) / SECTOR - tail,
            &first.number()?,
        ),
        Target::linear(tail, &second.number()?),
    ];
    let mapped = Mapped::make("diorama", &targets)?;
    let sysfs = PathBuf::from("/sys/block").join(&mapped.name);
    if !announces(&sysfs, cache)? {
        hide_fua(&mapped, &targets, &second)?;
    }
    if !announces(&sysfs, cache)? {
        return Err(Fail::unsupported(
            "this kernel's device-mapper announces another write cache than that of its disks",
            &[],
        ));
    }
    Ok(Device {
        path: node(&mapped.name)?,
        facts: facts(&mapped.name, &sysfs, &first.sysfs)?,
        data: first.sysfs,
        flushed: Some(second.sysfs),
        mirror: None,
    })
}

/// From 6.11 on a mapped device announces FUA whenever one of its disks has a volatile cache
/// (`dm_table_set_restrictions`). It asks when its table is put into place, and then again never: so
/// the cache is said to be off while that happens. That it is there at all is inherited from the disk
/// all the same.
fn hide_fua(mapped: &Mapped, targets: &[Target], cached: &Disk) -> Result<()> {
    cached.say_cached(false)?;
    mapped.load(targets)?;
    cached.say_cached(true)
}

/// Whether a disk announces this cache.
fn announces(sysfs: &Path, cache: WriteCache) -> Result<bool> {
    let queue = sysfs.join("queue");
    let fua = sys::read(queue.join("fua"))? == "1";
    Ok(sys::read(queue.join("write_cache"))? == null_blk::WRITE_BACK && fua == cache.fua)
}
