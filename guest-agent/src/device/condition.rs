//! Making a drive ready before there is a file system on it: Format NVM, discard, fill.

use super::Device;
use crate::{
    clock,
    content::Buffer,
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{Conditioned, Conditioning, NvmeFormat, Precondition};
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
};

/// Bytes of one write of a fill; every drive's size is a multiple of its blocks, and the last write is
/// as long as what is left.
const FILL: usize = 1 << 20;

/// `BLKDISCARD` of include/uapi/linux/fs.h, `_IO(0x12, 119)`: a start and a length in bytes.
const BLKDISCARD: libc::Ioctl = 0x1277;

/// `NVME_IOCTL_ADMIN_CMD` of include/uapi/linux/nvme_ioctl.h, `_IOWR('N', 0x41, struct
/// nvme_passthru_cmd)`.
const NVME_IOCTL_ADMIN_CMD: libc::Ioctl = 0xc048_4e41;

/// `NVME_IOCTL_ID`, `_IO('N', 0x40)`: the namespace's identifier.
const NVME_IOCTL_ID: libc::Ioctl = 0x4e40;

/// So long a format may take, ms: drives need from seconds to minutes.
const FORMAT_TIMEOUT_MS: u32 = 600_000;

/// Opcodes (NVM Express Base Specification, "Admin Command Set").
const IDENTIFY: u8 = 0x06;
const FORMAT_NVM: u8 = 0x80;

/// Secure Erase Settings: User Data Erase.
const USER_DATA_ERASE: u32 = 1;

/// Length of Identify's data structures in bytes.
const IDENTIFY_LENGTH: usize = 4096;

/// `struct nvme_passthru_cmd`
#[repr(C)]
#[derive(Default)]
struct Command {
    opcode: u8,
    flags: u8,
    rsvd1: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// Does what is asked for, in that order.
///
/// # Errors
/// What the drive does not support; the first step that fails.
pub fn condition(wanted: &Conditioning, device: &Device) -> Result<Conditioned> {
    let mut done = Conditioned::default();
    let path = &device.path;
    let node = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .map_err(|e| Fail::os(format_args!("open {path} with O_DIRECT"), &e))?;
    if wanted.format == NvmeFormat::Erase {
        let start = clock::now();
        format(&node, path)?;
        done.format_ns = Some(clock::now() - start);
    }
    if wanted.discard {
        let start = clock::now();
        discard(&node, device)?;
        done.discard_ns = Some(clock::now() - start);
    }
    if wanted.precondition == Precondition::SequentialFill {
        let start = clock::now();
        done.filled_bytes = fill(&node, device)?;
        done.fill_ns = clock::now() - start;
    }
    Ok(done)
}

fn discard(node: &File, device: &Device) -> Result<()> {
    let supported = device
        .facts
        .nvme
        .as_ref()
        .map(|nvme| nvme.discard_max_bytes);
    if supported == Some(0) {
        return Err(Fail::unsupported(
            "the drive does not support discard (queue/discard_max_bytes is 0)",
            &[],
        ));
    }
    let range = [0, device.facts.size];
    // SAFETY: an open descriptor and two numbers, which the kernel only reads.
    let returned = unsafe { libc::ioctl(node.as_raw_fd(), BLKDISCARD, range.as_ptr()) };
    sys::check(returned.into())
        .map(drop)
        .map_err(|e| Fail::os(format_args!("BLKDISCARD of all {} bytes", range[1]), &e))
}

/// Writes every block once, in order; returns the number of bytes.
fn fill(node: &File, device: &Device) -> Result<u64> {
    let mut buffer = Buffer::new(FILL)?;
    // A drive may store zeros, and what repeats, without writing it.
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let size = device.facts.size;
    let mut offset = 0;
    while offset < size {
        for place in buffer.bytes_mut().chunks_exact_mut(512) {
            // xorshift64 (Marsaglia, 2003): no two sectors are alike.
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            for (i, bytes) in (0u64..).zip(place.chunks_exact_mut(8)) {
                let mixed = word.wrapping_add(i.wrapping_mul(0xbf58_476d_1ce4_e5b9));
                bytes.copy_from_slice(&mixed.to_le_bytes());
            }
        }
        let length = usize::try_from(size - offset).map_or(FILL, |left| left.min(FILL));
        let path = &device.path;
        node.write_all_at(&buffer.bytes_mut()[..length], offset)
            .map_err(|e| {
                Fail::os(
                    format_args!("write {length} bytes at {offset} of {path}"),
                    &e,
                )
            })?;
        offset += length as u64;
    }
    node.sync_all()
        .map_err(|e| Fail::os(format_args!("fsync {}", device.path), &e))?;
    Ok(size)
}

/// Format NVM of the namespace with its own LBA format.
fn format(node: &File, path: &str) -> Result<()> {
    // SAFETY: an open descriptor; there is no argument.
    let nsid = sys::check(unsafe { libc::ioctl(node.as_raw_fd(), NVME_IOCTL_ID) }.into())
        .map_err(|e| Fail::os(format_args!("NVME_IOCTL_ID of {path}"), &e))?;
    let nsid = u32::try_from(nsid).unwrap_or(0);
    let mut identity = Buffer::new(IDENTIFY_LENGTH)?;
    let mut identify = Command {
        opcode: IDENTIFY,
        nsid,
        addr: identity.as_ptr() as u64,
        data_len: IDENTIFY_LENGTH as u32,
        ..Command::default()
    };
    admin(node, &mut identify, "Identify Namespace")?;
    let mut format = Command {
        opcode: FORMAT_NVM,
        nsid,
        cdw10: format_word(identity.bytes_mut()),
        timeout_ms: FORMAT_TIMEOUT_MS,
        ..Command::default()
    };
    admin(node, &mut format, "Format NVM with User Data Erase")
}

/// Command Dword 10 of Format NVM: the LBA format in use (FLBAS, byte 26 of Identify Namespace: bits 3:0,
/// and 6:5 above them, go to bits 3:0 and 13:12; bit 4 is the metadata's place), and the erase.
fn format_word(identify_namespace: &[u8]) -> u32 {
    let flbas = u32::from(identify_namespace[26]);
    let (low, metadata, high) = (flbas & 0xf, flbas >> 4 & 1, flbas >> 5 & 3);
    low | metadata << 4 | USER_DATA_ERASE << 9 | high << 12
}

fn admin(node: &File, command: &mut Command, name: &str) -> Result<()> {
    // SAFETY: an open descriptor and a valid command, whose data is a buffer of the length it names.
    let returned =
        unsafe { libc::ioctl(node.as_raw_fd(), NVME_IOCTL_ADMIN_CMD, &raw mut *command) };
    match returned {
        0 => Ok(()),
        status if status > 0 => Err(refused(name, status)),
        _ => Err(Fail::os(name, &io::Error::last_os_error())),
    }
}

/// A controller's own answer: Status Code in bits 7:0, its type in 10:8. Type 0: 1h is an invalid opcode,
/// 2h an invalid field.
fn refused(name: &str, status: i32) -> Box<Fail> {
    let what = format!(
        "{name}: the controller answers with status {:#x}",
        status & 0x7ff
    );
    match status & 0x7ff {
        0x1 | 0x2 => Fail::unsupported(format!("{what}: it does not support that"), &[]),
        _ => Fail::step(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_as_long_as_the_kernels() {
        assert_eq!(size_of::<Command>(), 72);
        // Its length is in the ioctl's number.
        assert_eq!(NVME_IOCTL_ADMIN_CMD >> 16 & 0x3fff, 72);
    }

    #[test]
    fn a_format_keeps_the_lba_format() {
        let mut identify = [0; IDENTIFY_LENGTH];
        assert_eq!(format_word(&identify), 0x200);
        identify[26] = 0b0011_0101;
        assert_eq!(format_word(&identify), 0x1215);
    }

    #[test]
    fn what_a_controller_does_not_know_is_unsupported() {
        assert!(refused("Format NVM", 0x4001).is_unsupported());
        assert!(!refused("Format NVM", 0x10a).is_unsupported());
    }
}
