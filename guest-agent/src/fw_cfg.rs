//! QEMU's fw_cfg by port (docs/specs/fw_cfg.rst): synchronous, and what the host put there may
//! differ between a checkpoint and the process that restores it.

use crate::{
    fail::{Fail, Result},
    port::Ports,
};
use diorama_wire::{FW_CFG_DATA_PORT, FW_CFG_FILE_DIR, FW_CFG_SELECTOR_PORT, config};

/// Key of the signature, which reads "QEMU".
const SIGNATURE: u16 = 0;

/// No item of ours is longer, in bytes.
const MAX_ITEM: u32 = 1 << 20;

/// The directory never holds more entries (`FW_CFG_FILE_SLOTS_MAX` and room to spare).
const MAX_ENTRIES: u32 = 4096;

/// Length of a name in the directory, in bytes, padded with zeros.
const NAME_LEN: usize = 56;

/// A selectable stream of bytes.
trait FwCfg {
    fn select(&mut self, key: u16);
    fn byte(&mut self) -> u8;

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }
}

impl FwCfg for Ports {
    fn select(&mut self, key: u16) {
        self.out16(FW_CFG_SELECTOR_PORT, key);
    }
    fn byte(&mut self) -> u8 {
        self.in8(FW_CFG_DATA_PORT)
    }
}

/// Reads the item called `name`.
///
/// # Errors
/// When ports are refused, there is no fw_cfg, or the item is missing or absurdly long.
pub fn read(name: &str) -> Result<Vec<u8>> {
    let mut ports = Ports::open().map_err(|e| {
        Fail::unsupported(
            format!("iopl(3), to read fw_cfg {name}: {e}"),
            &[config::X86_IOPL_IOPERM],
        )
    })?;
    read_from(&mut ports, name)
}

fn read_from(device: &mut impl FwCfg, name: &str) -> Result<Vec<u8>> {
    device.select(SIGNATURE);
    let signature: [u8; 4] = device.bytes();
    if signature != *b"QEMU" {
        return Err(Fail::protocol(format!(
            "fw_cfg answers {signature:02x?} instead of its signature"
        )));
    }
    device.select(FW_CFG_FILE_DIR);
    let count = u32::from_be_bytes(device.bytes());
    for _ in 0..count.min(MAX_ENTRIES) {
        let size = u32::from_be_bytes(device.bytes());
        let key = u16::from_be_bytes(device.bytes());
        let _reserved: [u8; 2] = device.bytes();
        let entry: [u8; NAME_LEN] = device.bytes();
        if entry.split(|&b| b == 0).next() != Some(name.as_bytes()) {
            continue;
        }
        if size > MAX_ITEM {
            return Err(Fail::protocol(format!("fw_cfg {name}: {size} bytes")));
        }
        device.select(key);
        return Ok((0..size).map(|_| device.byte()).collect());
    }
    Err(Fail::protocol(format!(
        "fw_cfg holds no item {name} among {count}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Fake {
        items: BTreeMap<u16, Vec<u8>>,
        at: (u16, usize),
    }

    impl FwCfg for Fake {
        fn select(&mut self, key: u16) {
            self.at = (key, 0);
        }
        fn byte(&mut self) -> u8 {
            let (key, index) = self.at;
            self.at.1 += 1;
            self.items
                .get(&key)
                .and_then(|i| i.get(index))
                .copied()
                .unwrap_or(0)
        }
    }

    fn with(files: &[(&str, &[u8])]) -> Fake {
        let mut fake = Fake::default();
        fake.items.insert(SIGNATURE, b"QEMU".to_vec());
        let mut dir = u32::try_from(files.len()).unwrap().to_be_bytes().to_vec();
        for (key, (name, content)) in (0x20u16..).zip(files) {
            dir.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
            dir.extend(key.to_be_bytes());
            dir.extend([0; 2]);
            let mut padded = name.as_bytes().to_vec();
            padded.resize(NAME_LEN, 0);
            dir.extend(padded);
            fake.items.insert(key, content.to_vec());
        }
        fake.items.insert(FW_CFG_FILE_DIR, dir);
        fake
    }

    #[test]
    fn an_item_is_found_by_its_whole_name() {
        let mut fake = with(&[("opt/job2", b"no"), ("opt/job", b"yes"), ("opt/jo", b"no")]);
        assert_eq!(read_from(&mut fake, "opt/job").unwrap(), b"yes");
    }

    #[test]
    fn a_missing_item_and_a_missing_device_are_told_apart() {
        let missing = read_from(&mut with(&[("etc/e820", b"")]), "opt/job").unwrap_err();
        assert_eq!(missing.to_string(), "fw_cfg holds no item opt/job among 1");
        let absent = read_from(&mut Fake::default(), "opt/job").unwrap_err();
        assert_eq!(
            absent.to_string(),
            "fw_cfg answers [00, 00, 00, 00] instead of its signature"
        );
    }
}
