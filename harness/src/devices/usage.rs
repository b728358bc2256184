//! By whom block devices are used, read off the kernel's lists (pure): /proc/self/mountinfo and
//! /proc/swaps, see proc_pid_mountinfo(5) and proc_swaps(5).

use crate::text;
use serde::Serialize;
use std::fmt;

/// One use of a block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// It is mounted there.
    Mounted(String),
    /// It is swap space.
    Swap,
    /// Another device is made of it: device mapper (LVM, encryption), RAID, loop.
    Held(String),
    /// It belongs to a mounted file system of several devices.
    Member(String),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Use::Mounted(point) => write!(f, "mounted on {}", text::line(point)),
            Use::Swap => f.write_str("used as swap space"),
            Use::Held(by) => write!(f, "held by {by}"),
            Use::Member(of) => write!(f, "part of a mounted {of}"),
        }
    }
}

impl Use {
    /// What ends this use of the device `name`.
    #[must_use]
    pub fn how_to_end(&self, name: &str) -> String {
        match self {
            Use::Mounted(point) => format!("umount {}", text::shell_word(point)),
            Use::Swap => format!("swapoff /dev/{name}"),
            Use::Held(by) => {
                format!("stop what {by} is (LVM, encryption, RAID, a loop device)")
            }
            Use::Member(of) => format!("unmount {of}"),
        }
    }
}

/// Where a block device is mounted, by its number (`259:1`) and its kernel's name (`nvme0n1p1`): a file
/// system of several devices (btrfs) has a number of its own.
pub fn mounts<'a>(
    mountinfo: &'a str,
    number: &'a str,
    name: &'a str,
) -> impl Iterator<Item = Use> + 'a {
    mountinfo.lines().filter_map(move |line| {
        let mut fields = line.split(' ');
        let its_number = fields.nth(2)?;
        let point = fields.nth(1)?;
        // Optional fields, a hyphen, the type, the source.
        let source = fields.skip_while(|field| *field != "-").nth(2)?;
        let this = number == its_number || is_node(&unescaped(source), name);
        this.then(|| Use::Mounted(unescaped(point)))
    })
}

/// Whether a block device is swap space.
#[must_use]
pub fn is_swap(swaps: &str, name: &str) -> bool {
    swaps
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .any(|path| is_node(&unescaped(path), name))
}

/// Whether a path is the node of the device with the kernel's name `name`.
#[must_use]
pub fn is_node(path: &str, name: &str) -> bool {
    path.strip_prefix("/dev/") == Some(&*name.replace('!', "/"))
}

/// `\040` is a space there: octal, three digits.
fn unescaped(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
        25 1 259:2 / / rw shared:1 - ext4 /dev/root rw\n\
        26 25 0:40 /@home /home rw shared:2 master:3 - btrfs /dev/nvme1n1 rw\n\
        27 25 259:2 /srv /mnt/two\\040words rw - ext4 /dev/root rw\n\
        28 25 0:41 / /proc rw - proc proc rw\n\
        broken\n";

    fn points(number: &str, name: &str) -> Vec<String> {
        let all = mounts(MOUNTINFO, number, name);
        all.map(|use_| use_.to_string()).collect()
    }

    #[test]
    fn a_mount_is_known_by_number_and_by_source() {
        assert_eq!(
            points("259:2", "nvme0n1p2"),
            ["mounted on /", "mounted on /mnt/two words"]
        );
        assert_eq!(points("259:9", "nvme1n1"), ["mounted on /home"]);
        assert!(points("259:9", "nvme1n1p1").is_empty());
        assert!(points("", "proc").is_empty());
    }

    #[test]
    fn swap_is_known_by_its_node() {
        let swaps = "Filename Type Size Used Priority\n\
                     /dev/nvme0n1p3 partition 100 0 -2\n/swap\\040file file 1 0 -3\n";
        assert!(is_swap(swaps, "nvme0n1p3"));
        assert!(!is_swap(swaps, "nvme0n1") && !is_swap(swaps, "Filename"));
        assert!(is_node("/dev/cciss/c0d0", "cciss!c0d0"));
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescaped("a\\134b\\9\\04"), "a\\b\\9\\04");
    }
}
