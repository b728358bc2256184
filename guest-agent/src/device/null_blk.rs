//! One disk of null_blk, made through configfs (Documentation/block/null_blk.rst).

use super::schedule;
use crate::{
    boot::{self, is_missing},
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{ModelDevice, WriteCache, config};
use std::{fs, path::PathBuf};

/// Where configfs belongs.
const CONFIGFS: &str = "/sys/kernel/config";

/// Where it keeps null_blk's devices.
const NULLB: &str = "/sys/kernel/config/nullb";

/// MiB of a write cache, the least there is. It holds blocks that were never written before (others
/// are written where they are), until it is flushed or full, and copies them then, in no time of the
/// guest's but that of its instructions: the less it holds, the less a single flush can cost besides
/// its latency.
const CACHE_MIB: u32 = 1;

/// null_blk's attribute for the number of polled queues.
const POLL_QUEUES: &str = "poll_queues";

/// A disk to be made.
pub struct DiskSpec<'a> {
    /// Name of the configfs item. From 5.19 on it is the disk's name, too.
    pub item: &'a str,
    /// What it is like. That of a disk is its own: of a write cache only whether it takes FUA writes
    /// is asked, since a flush takes what every request does.
    pub model: ModelDevice,
    /// Whether it has a queue whose completions are polled for, besides the others.
    pub poll: bool,
}

impl DiskSpec<'_> {
    fn cache(&self) -> Option<Fua> {
        let fua = |cache: WriteCache| if cache.fua { Fua::Yes } else { Fua::No };
        self.model.write_cache.map(fua)
    }
}

/// Whether a disk with a write cache takes FUA writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fua {
    /// It does.
    Yes,
    /// It does not: the kernel sends a flush instead.
    No,
}

/// A disk that was made.
pub struct Disk {
    /// As in /sys/block.
    pub name: String,
    /// Its directory there.
    pub sysfs: PathBuf,
}

impl Disk {
    /// Its device number, `major:minor`.
    ///
    /// # Errors
    /// When sysfs does not say.
    pub fn number(&self) -> Result<String> {
        sys::read(self.sysfs.join("dev"))
    }

    /// Tells the kernel that the disk has a volatile cache, or that it has none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn say_cached(&self, cached: bool) -> Result<()> {
        let word = if cached { WRITE_BACK } else { "write through" };
        sys::write(self.sysfs.join("queue/write_cache"), word)
    }
}

/// What `queue/write_cache` reads for a volatile cache.
pub const WRITE_BACK: &str = "write back";

/// Whether the kernel has null_blk: its place in configfs, which is mounted.
///
/// # Errors
/// When it has not.
pub fn check() -> Result<()> {
    boot::mount("configfs", CONFIGFS, config::CONFIGFS_FS)?;
    if fs::metadata(NULLB).is_ok() {
        return Ok(());
    }
    Err(Fail::unsupported(
        format!("the kernel has no null_blk ({NULLB} is missing)"),
        &[config::BLK_DEV_NULL_BLK],
    ))
}

/// Makes the disk and gives it its scheduler.
///
/// # Errors
/// When the kernel lacks an attribute or refuses a value.
pub fn make(spec: &DiskSpec<'_>) -> Result<Disk> {
    let item = PathBuf::from(NULLB).join(spec.item);
    fs::create_dir(&item).map_err(|e| Fail::os(format_args!("mkdir {}", item.display()), &e))?;
    let has_fua = fs::metadata(item.join(FUA)).is_ok();
    for (name, value) in attributes(spec, has_fua) {
        let path = item.join(name);
        if let Err(e) = fs::metadata(&path)
            && is_missing(&e)
        {
            let since = if name == POLL_QUEUES {
                ", and so no polled completion (from 5.19 on)"
            } else {
                ""
            };
            return Err(Fail::unsupported(
                format!("this kernel's null_blk has no attribute {name}{since}"),
                &[],
            ));
        }
        sys::write(path, &value)?;
    }
    let index: u32 = sys::read_number(item.join("index"))?;
    let name = [spec.item.to_owned(), format!("nullb{index}")]
        .into_iter()
        .find(|n| fs::metadata(format!("/sys/block/{n}")).is_ok())
        .ok_or_else(|| Fail::step(format!("null_blk {index} is not in /sys/block")))?;
    let sysfs = PathBuf::from("/sys/block").join(&name);
    schedule(&sysfs, &spec.model.scheduler)?;
    let disk = Disk { name, sysfs };
    if let Some(fua) = spec.cache() {
        cached(&disk, fua, has_fua)?;
    }
    Ok(disk)
}

/// null_blk's attribute for FUA writes.
const FUA: &str = "fua";

/// Makes sure that the kernel takes the disk for what it is meant to be.
fn cached(disk: &Disk, fua: Fua, has_attribute: bool) -> Result<()> {
    if fua == Fua::No && !has_attribute {
        // A disk without a cache of its own, which null_blk announces with FUA. Kernels that look
        // whether there is one refuse (6.5 and later, and stable ones that took that over).
        disk.say_cached(true).map_err(|_| {
            Fail::unsupported(
                "this kernel's null_blk has no attribute fua, and so no write cache without FUA; \
                 [model] fua = true is possible",
                &[],
            )
        })?;
    }
    let queue = disk.sysfs.join("queue");
    let (cache, announced) = (
        sys::read(queue.join("write_cache"))?,
        sys::read(queue.join(FUA))?,
    );
    if cache == WRITE_BACK && (announced == "1") == (fua == Fua::Yes) {
        return Ok(());
    }
    Err(Fail::unsupported(
        format!("null_blk's write cache came out as {cache:?} with fua {announced}"),
        &[],
    ))
}

/// Attributes below the configfs item, in the order in which they are written.
fn attributes(spec: &DiskSpec<'_>, has_fua: bool) -> Vec<(&'static str, String)> {
    let model = &spec.model;
    let mut all = vec![
        ("memory_backed", "1".to_owned()),
        // 2: complete from a timer, after completion_nsec.
        ("irqmode", "2".to_owned()),
        // 2: blk-mq.
        ("queue_mode", "2".to_owned()),
        ("size", model.size_mib.to_string()),
        ("blocksize", model.block_size.to_string()),
        ("completion_nsec", model.latency_ns.to_string()),
        ("submit_queues", model.submit_queues.to_string()),
        ("hw_queue_depth", model.hw_queue_depth.to_string()),
    ];
    if let Some(mbps) = model.bandwidth_mib_s {
        all.push(("mbps", mbps.to_string()));
    }
    if spec.poll {
        all.push((POLL_QUEUES, "1".to_owned()));
    }
    match (spec.cache(), has_fua) {
        (None, _) | (Some(Fua::No), false) => {}
        (Some(fua), _) => {
            all.push(("cache_size", CACHE_MIB.to_string()));
            if has_fua {
                all.push((FUA, u32::from(fua == Fua::Yes).to_string()));
            }
        }
    }
    all.push(("power", "1".to_owned()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(change: impl FnOnce(&mut ModelDevice)) -> DiskSpec<'static> {
        let mut model = ModelDevice {
            size_mib: 512,
            block_size: 512,
            latency_ns: 10_000,
            bandwidth_mib_s: None,
            hw_queue_depth: 1023,
            submit_queues: 1,
            scheduler: "none".into(),
            stack: Vec::new(),
            write_cache: None,
        };
        change(&mut model);
        DiskSpec {
            item: "diorama",
            model,
            poll: false,
        }
    }

    fn written(spec: &DiskSpec<'_>, has_fua: bool) -> Vec<String> {
        let all = attributes(spec, has_fua);
        assert_eq!(all.last().map(|a| a.0), Some("power"));
        all.into_iter()
            .skip(8)
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn what_is_not_asked_for_is_not_written_and_power_comes_last() {
        assert_eq!(written(&spec(|_| {}), true), ["power=1"]);
        let all = DiskSpec {
            poll: true,
            ..spec(|model| model.bandwidth_mib_s = Some(420))
        };
        assert_eq!(
            written(&all, true),
            ["mbps=420", "poll_queues=1", "power=1"]
        );
    }

    #[test]
    fn a_cache_is_announced_with_fua_or_without() {
        let with = |fua: Fua, has_fua| {
            let cache = WriteCache {
                fua: fua == Fua::Yes,
                flush_latency_ns: 10_000,
            };
            written(&spec(|model| model.write_cache = Some(cache)), has_fua)
        };
        assert_eq!(with(Fua::Yes, true), ["cache_size=1", "fua=1", "power=1"]);
        assert_eq!(with(Fua::No, true), ["cache_size=1", "fua=0", "power=1"]);
        assert_eq!(with(Fua::Yes, false), ["cache_size=1", "power=1"]);
        // Such a null_blk announces FUA with every cache of its own.
        assert_eq!(with(Fua::No, false), ["power=1"]);
    }
}
