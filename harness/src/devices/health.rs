//! Asking an NVMe drive how it is: Get Log Page and Identify through the kernel's admin ioctl
//! (include/uapi/linux/nvme_ioctl.h). Both only read.

use super::smart::{IDENTIFY_LENGTH, NamespaceUse, SMART_LENGTH, Smart};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::{fs::File, io, os::fd::AsRawFd as _, path::Path};

/// What a drive said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Its health log.
    pub smart: Smart,
    /// Its namespace's use, where it told.
    pub namespace: Option<NamespaceUse>,
}

/// `NVME_IOCTL_ADMIN_CMD`, `_IOWR('N', 0x41, struct nvme_passthru_cmd)`.
const NVME_IOCTL_ADMIN_CMD: libc::Ioctl = 0xc048_4e41;

/// `NVME_IOCTL_ID`, `_IO('N', 0x40)`: the namespace's identifier.
const NVME_IOCTL_ID: libc::Ioctl = 0x4e40;

/// Opcodes of the Admin Command Set.
const GET_LOG_PAGE: u8 = 0x02;
const IDENTIFY: u8 = 0x06;

/// Log Identifier of SMART / Health Information.
const SMART_LOG: u32 = 0x02;

/// The namespace identifier that means the whole controller.
const CONTROLLER: u32 = !0;

/// A drive that does not answer must not hold up a run, ms.
const TIMEOUT_MS: u32 = 5000;

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

/// Asks the drive of a namespace, by its node: `/dev/nvme0n1`.
///
/// # Errors
/// Why it cannot be asked, in words: the kernel lets administrators ask alone.
pub fn health(node: &Path) -> Result<Health, String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(node, flags, Mode::empty())
        .map_err(|e| format!("{}: {}", node.display(), io::Error::from(e)))?;
    let file = File::from(file);
    let mut log = [0; SMART_LENGTH];
    // Number of Dwords, 0's based, in the upper half.
    let dwords = SMART_LENGTH as u32 / 4 - 1;
    let log_page = Command {
        opcode: GET_LOG_PAGE,
        nsid: CONTROLLER,
        cdw10: SMART_LOG | dwords << 16,
        ..Command::default()
    };
    let said = |e: io::Error| format!("{}: {e}", node.display());
    ask(&file, log_page, &mut log).map_err(said)?;
    let mut identify = [0; IDENTIFY_LENGTH];
    // SAFETY: an open descriptor; there is no argument.
    let nsid = unsafe { libc::ioctl(file.as_raw_fd(), NVME_IOCTL_ID) };
    let namespace = u32::try_from(nsid).ok().and_then(|nsid| {
        let command = Command {
            opcode: IDENTIFY,
            nsid,
            ..Command::default()
        };
        ask(&file, command, &mut identify).ok()
    });
    Ok(Health {
        smart: Smart::parse(&log).ok_or_else(|| format!("{}: a short log", node.display()))?,
        namespace: namespace.and_then(|()| NamespaceUse::parse(&identify)),
    })
}

fn ask(file: &File, command: Command, into: &mut [u8]) -> io::Result<()> {
    let mut command = Command {
        addr: into.as_mut_ptr() as u64,
        data_len: u32::try_from(into.len()).unwrap_or(0),
        timeout_ms: TIMEOUT_MS,
        ..command
    };
    // SAFETY: an open descriptor and a valid command; the kernel writes no more than `data_len` bytes
    // to `addr`, a buffer of that length that lives until the call returns.
    match unsafe { libc::ioctl(file.as_raw_fd(), NVME_IOCTL_ADMIN_CMD, &raw mut command) } {
        0 => Ok(()),
        status if status > 0 => Err(io::Error::other(format!(
            "the controller answers with status {:#x}",
            status & 0x7ff
        ))),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_as_long_as_the_ioctls_number_says() {
        assert_eq!(size_of::<Command>(), 72);
        assert_eq!(NVME_IOCTL_ADMIN_CMD >> 16 & 0x3fff, 72);
    }

    #[test]
    fn what_is_no_drive_gives_a_reason_with_its_name() {
        for node in ["/dev/null", "/dev/no-such-node"] {
            let why = health(Path::new(node)).unwrap_err();
            assert!(why.starts_with(node), "{why}");
        }
    }
}
