//! QEMU's emulated NVMe controller: quantities and their limits (pure).

use super::machine::MAX_SMP;
use super::parse::RawNvme;
use super::problems::{At, Problems};
use super::rules::{bounded, place, quantity, scheduler};
use super::{EmulatedNvme, defaults};
use crate::units::{parse_bytes, show_bytes};

const MIB: u64 = 1 << 20;
/// Longest serial number (SN in Identify Controller, NVM Express Base Specification).
const SERIAL: usize = 20;

/// The device of every cell, in a guest with `smp` CPUs.
pub(super) fn nvme(
    raw: &RawNvme,
    smp: Option<u32>,
    problems: &mut Problems,
) -> Option<EmulatedNvme> {
    let size = size(raw.size.as_ref(), problems);
    let block = block_size(raw.block_size.as_ref(), problems);
    let queues = raw.queues.as_ref();
    let queues = bounded(queues, smp.unwrap_or(MAX_SMP), (1, 64), problems);
    let serial = serial(raw.serial.as_ref(), problems);
    let scheduler = scheduler(raw.scheduler.as_ref(), defaults::NVME_SCHEDULER, problems);
    Some(EmulatedNvme {
        size_mib: size?,
        block_size: block?,
        queues: queues?,
        serial: serial?,
        scheduler: scheduler?,
    })
}

fn size(raw: Option<&At<String>>, problems: &mut Problems) -> Option<u32> {
    let size = quantity(raw, defaults::NVME_SIZE, parse_bytes, problems)?;
    let fits = size.is_multiple_of(MIB) && (64..=16 << 20).contains(&(size / MIB));
    let mib = u32::try_from(size / MIB).ok().filter(|_| fits);
    if mib.is_none() {
        let what = format!("{} is not a valid size for a drive", show_bytes(size));
        let next = "use whole MiB, from 64MiB to 16TiB";
        problems.add(&place(raw, "nvme.size"), what, next);
    }
    mib
}

fn block_size(raw: Option<&At<String>>, problems: &mut Problems) -> Option<u32> {
    let block = quantity(raw, defaults::NVME_BLOCK_SIZE, parse_bytes, problems)?;
    let found = [512, 4096].into_iter().find(|b| u64::from(*b) == block);
    if found.is_none() {
        let at = place(raw, "nvme.block_size");
        problems.add(&at, format!("is {block}"), "use 512 or 4096");
    }
    found
}

/// It goes into QEMU's words, where a comma would end it.
fn serial(raw: Option<&At<String>>, problems: &mut Problems) -> Option<String> {
    let Some(raw) = raw else {
        return Some(defaults::NVME_SERIAL.to_owned());
    };
    let text = &raw.value;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=SERIAL).contains(&text.len()) && text.chars().all(plain) {
        return Some(text.clone());
    }
    let next = format!("use 1 to {SERIAL} letters, digits, `-`, `_` or `.`");
    let what = format!("`{text}` is not a serial number");
    problems.add(&raw.at, what, next);
    None
}
