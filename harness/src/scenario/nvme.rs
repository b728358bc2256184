//! QEMU's emulated NVMe controller: quantities and their limits (pure).

use super::machine::MAX_SMP;
use super::parse::RawNvme;
use super::problems::{At, Problems};
use super::rules::{block_size, bounded, capacity, scheduler};
use super::{EmulatedNvme, defaults};

/// Longest serial number (SN in Identify Controller, NVM Express Base Specification).
const SERIAL: usize = 20;

/// The device of every cell, in a guest with `smp` CPUs.
pub(super) fn nvme(
    raw: &RawNvme,
    smp: Option<u32>,
    problems: &mut Problems,
) -> Option<EmulatedNvme> {
    let size = ("nvme.size", defaults::NVME_SIZE);
    let size = capacity(raw.size.as_ref(), size, ("16TiB", "a drive"), problems);
    let block = ("nvme.block_size", defaults::NVME_BLOCK_SIZE);
    let block = block_size(raw.block_size.as_ref(), block, &[512, 4096], problems);
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

fn serial(raw: Option<&At<String>>, problems: &mut Problems) -> Option<String> {
    let Some(raw) = raw else {
        return Some(defaults::NVME_SERIAL.to_owned());
    };
    let text = &raw.value;
    if (1..=SERIAL).contains(&text.len()) && text.chars().all(is_safe) {
        return Some(text.clone());
    }
    let next = format!("use 1 to {SERIAL} letters, digits, `-`, `_` or `.`");
    let what = format!("`{text}` is not a serial number");
    problems.add(&raw.at, what, next);
    None
}

/// Whether a character may stand in a serial number among QEMU's words, where a comma would end it.
fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Some drive's serial number as an emulated controller may have it: what of it is safe, as far as there is room.
#[must_use]
pub fn safe_serial(serial: &str) -> String {
    let safe: String = serial
        .chars()
        .filter(|c| is_safe(*c))
        .take(SERIAL)
        .collect();
    match safe.is_empty() {
        true => defaults::NVME_SERIAL.to_owned(),
        false => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_in_the_guest_is_safe_in_qemus_words() {
        assert_eq!(safe_serial("S5GXNX0T"), "S5GXNX0T");
        assert_eq!(
            safe_serial("a,b c/0123456789012345678"),
            "abc01234567890123456"
        );
        assert_eq!(safe_serial(" ,"), "diorama");
    }
}
