//! The model device: a memory-backed null_blk made through configfs
//! (Documentation/block/null_blk.rst).

use crate::{
    boot::{NULLB, is_missing},
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{DeviceFacts, ModelDevice};
use std::{fs, path::PathBuf};

/// Name of the configfs item. From 5.19 on it is the disk's name, too.
const ITEM: &str = "diorama";

/// The device as made.
pub struct Device {
    /// Its node below /dev.
    pub path: String,
    /// Its directory below /sys/block.
    pub sysfs: PathBuf,
    /// As the kernel describes it.
    pub facts: DeviceFacts,
}

/// Makes the device and gives it its scheduler. With `poll` it has a queue whose completions are
/// polled for, besides the others.
///
/// A request on that queue is completed by whoever polls, as soon as that is: null_blk's latency is
/// a timer's, and a polled queue has none (`null_poll` in drivers/block/null_blk/main.c).
///
/// # Errors
/// When the kernel lacks an attribute or refuses a value.
pub fn make(model: &ModelDevice, poll: bool) -> Result<Device> {
    let item = PathBuf::from(NULLB).join(ITEM);
    fs::create_dir(&item).map_err(|e| Fail::os(format_args!("mkdir {}", item.display()), &e))?;
    for (name, value) in attributes(model, poll) {
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
    let name = [ITEM.to_owned(), format!("nullb{index}")]
        .into_iter()
        .find(|n| fs::metadata(format!("/sys/block/{n}")).is_ok())
        .ok_or_else(|| Fail::step(format!("null_blk {index} is not in /sys/block")))?;
    let sysfs = PathBuf::from("/sys/block").join(&name);
    let queue = sysfs.join("queue");
    if let Err(e) = sys::write(queue.join("scheduler"), &model.scheduler) {
        let known = sys::read(queue.join("scheduler"))?;
        return Err(Fail::step(format!("{e} (the kernel knows {known})")));
    }
    if poll && sys::read(queue.join("io_poll"))? != "1" {
        return Err(Fail::unsupported(
            "the block layer does not poll for completions on null_blk (queue/io_poll is 0)",
            &[],
        ));
    }
    let path = format!("/dev/{name}");
    fs::metadata(&path).map_err(|e| Fail::os(format_args!("look for {path}"), &e))?;
    let facts = facts(name, &sysfs)?;
    Ok(Device { path, sysfs, facts })
}

/// null_blk's attribute for the number of polled queues.
const POLL_QUEUES: &str = "poll_queues";

/// Attributes below the configfs item, in the order in which they are written.
fn attributes(model: &ModelDevice, poll: bool) -> Vec<(&'static str, String)> {
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
    if poll {
        all.push((POLL_QUEUES, "1".to_owned()));
    }
    all.push(("power", "1".to_owned()));
    all
}

fn facts(name: String, sysfs: &std::path::Path) -> Result<DeviceFacts> {
    let queue = sysfs.join("queue");
    let sectors: u64 = sys::read_number(sysfs.join("size"))?;
    let scheduler = sys::read(queue.join("scheduler"))?;
    let fua = queue.join("fua");
    Ok(DeviceFacts {
        name,
        // /sys/block/*/size counts 512-byte sectors whatever the block size is.
        size: sectors * 512,
        scheduler: active(&scheduler).to_owned(),
        nr_requests: sys::read_number(queue.join("nr_requests"))?,
        logical_block_size: sys::read_number(queue.join("logical_block_size"))?,
        write_cache: sys::read(queue.join("write_cache"))?,
        fua: match fs::metadata(&fua) {
            Ok(_) => Some(sys::read_number(&fua)?),
            Err(_) => None,
        },
        max_sectors_kb: sys::read_number(queue.join("max_sectors_kb"))?,
    })
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

    fn model() -> ModelDevice {
        ModelDevice {
            size_mib: 512,
            block_size: 512,
            latency_ns: 10_000,
            bandwidth_mib_s: None,
            hw_queue_depth: 1023,
            submit_queues: 1,
            scheduler: "none".into(),
        }
    }

    #[test]
    fn the_active_scheduler_is_the_bracketed_one() {
        assert_eq!(active("mq-deadline [none]"), "none");
        assert_eq!(active("none"), "none");
    }

    #[test]
    fn bandwidth_and_polling_are_set_only_when_asked_for_and_power_comes_last() {
        let names = |m: &ModelDevice| {
            let all = attributes(m, true);
            all.iter().map(|a| a.0).collect::<Vec<_>>()
        };
        assert!(!names(&model()).contains(&"mbps"));
        assert!(
            attributes(&model(), false)
                .iter()
                .all(|a| a.0 != POLL_QUEUES)
        );
        let bounded = ModelDevice {
            bandwidth_mib_s: Some(420),
            ..model()
        };
        let names = names(&bounded);
        assert!(names.contains(&"mbps"));
        assert_eq!(names[names.len() - 2..], ["poll_queues", "power"]);
    }
}
