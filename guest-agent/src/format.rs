//! mkfs and mount.

use crate::{
    device::Device,
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{Filesystem, complaint};
use std::{
    fs, io,
    process::{Command, Stdio},
};

/// Where the file system is mounted.
pub const MOUNT_POINT: &str = "/mnt";

/// Makes the file system on the device; returns the whole command line.
///
/// # Errors
/// When there is no such program, or it refuses: with its own complaint.
pub fn mkfs(filesystem: &Filesystem, device: &Device) -> Result<Vec<String>> {
    let mut line = filesystem.mkfs.clone();
    line.push(device.path.clone());
    let (program, args) = line
        .split_first()
        .filter(|(p, a)| !p.is_empty() && !a.is_empty())
        .ok_or_else(|| Fail::protocol("the job names no mkfs program"))?;
    let output = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", "/sbin:/usr/sbin:/bin:/usr/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Fail::os(format_args!("run {}", line.join(" ")), &e))?;
    if output.status.success() {
        return Ok(line);
    }
    let [stderr, stdout] = [&output.stderr, &output.stdout].map(|t| String::from_utf8_lossy(t));
    let what = format!("{}: {}", line.join(" "), complaint(&stderr, &stdout));
    Err(match output.status.code() {
        Some(_) => Fail::refused(what),
        // Ended by a signal.
        None => Fail::step(format!("{what} ({})", output.status)),
    })
}

/// Mounts the file system; returns its effective options.
///
/// # Errors
/// The kernel's, or that it does not know the file system.
pub fn mount(filesystem: &Filesystem, device: &Device) -> Result<String> {
    let kind = filesystem.kind.name();
    // May exist already; mount(2) says it better if not.
    let _ = fs::create_dir(MOUNT_POINT);
    let options = &filesystem.mount_options;
    if let Err(e) = sys::mount(&device.path, MOUNT_POINT, kind, options)? {
        let without =
            !options.is_empty() && sys::mount(&device.path, MOUNT_POINT, kind, "")?.is_ok();
        let said = kernel_said(&device.facts.name);
        return Err(refused(filesystem, &device.path, &e, without, &said));
    }
    options_of(&sys::read("/proc/mounts")?, MOUNT_POINT)
        .map(str::to_owned)
        .ok_or_else(|| Fail::step(format!("{MOUNT_POINT} is not in /proc/mounts")))
}

/// Why a file system that was just made is not mounted. `without` says that it is without the
/// scenario's options, `said` what the kernel printed of it.
fn refused(
    filesystem: &Filesystem,
    path: &str,
    e: &io::Error,
    without: bool,
    said: &str,
) -> Box<Fail> {
    let (kind, options) = (filesystem.kind.name(), &filesystem.mount_options);
    // What mount(2) says of an option, and of a feature, that it does not know.
    let unknown = e.raw_os_error() == Some(libc::EINVAL);
    if e.raw_os_error() == Some(libc::ENODEV) {
        let options: Vec<&str> = filesystem.kind.facts().option.into_iter().collect();
        return Fail::unsupported(format!("the kernel has no {kind}"), &options);
    }
    if without {
        let what = format!("the kernel's {kind} does not mount with {options:?}: {e}{said}");
        return Fail::unsupported(what, &[]);
    }
    if unknown && filesystem.own_options {
        let line = filesystem.mkfs.join(" ");
        let what = format!("the kernel's {kind} does not mount what `{line}` made: {e}{said}");
        return Fail::unsupported(what, &[]);
    }
    Fail::os(format!("mount {path} as {kind} with {options:?}{said}"), e)
}

/// What the kernel's log says of a disk, its last lines: mount(2) has one word for many reasons.
fn kernel_said(disk: &str) -> String {
    let mut log = vec![0u8; KERNEL_LOG];
    let length = log.len() as libc::c_int;
    // SAFETY: a buffer of the length named, which the kernel writes to.
    let read = unsafe { libc::klogctl(SYSLOG_ACTION_READ_ALL, log.as_mut_ptr().cast(), length) };
    let read = usize::try_from(read).unwrap_or(0);
    lines_about(&String::from_utf8_lossy(&log[..read]), disk)
}

/// Bytes of the kernel's log that are looked at, the last ones.
const KERNEL_LOG: usize = 16 << 10;

/// syslog(2)
const SYSLOG_ACTION_READ_ALL: libc::c_int = 3;

/// The last lines of a kernel's log that name a disk, without their level and time, in parentheses;
/// nothing if there are none.
fn lines_about(log: &str, disk: &str) -> String {
    let about = log.lines().filter(|line| line.contains(disk));
    let text = about.map(|line| line.rsplit_once("] ").map_or(line, |(_, text)| text));
    let all: Vec<&str> = text.collect();
    let last = &all[all.len().saturating_sub(3)..];
    match last.is_empty() {
        true => String::new(),
        false => format!(" ({})", last.join("; ")),
    }
}

/// The fourth field of the line of /proc/mounts whose second is `target`.
fn options_of<'a>(mounts: &'a str, target: &str) -> Option<&'a str> {
    mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ');
        (fields.nth(1) == Some(target)).then(|| fields.nth(1))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_wire::FsKind;

    #[test]
    fn what_a_scenario_asks_for_and_a_kernel_does_not_know_is_unsupported() {
        let judge = |errno, own_options, without| {
            let filesystem = Filesystem {
                kind: FsKind::Xfs,
                mkfs: vec!["/sbin/mkfs.xfs".into()],
                mount_options: "largeio".into(),
                own_options,
            };
            let e = io::Error::from_raw_os_error(errno);
            refused(&filesystem, "/dev/x", &e, without, "").is_unsupported()
        };
        assert!(judge(libc::ENODEV, false, false));
        assert!(judge(libc::EINVAL, false, true), "the option");
        assert!(judge(libc::EINVAL, true, false), "the features");
        assert!(!judge(libc::EINVAL, false, false), "features chosen here");
        assert!(!judge(libc::EIO, true, false));
    }

    #[test]
    fn the_kernels_own_words_are_those_of_the_disk() {
        let log = "<6>[    1.0] null_blk: disk nullb0 created\n<4>[    2.0] XFS (nullb0): Log size 854 \
                   blocks too small, minimum size is 1374 blocks\n<4>[    2.1] other\n";
        insta::assert_snapshot!(lines_about(log, "(nullb0)"), @" (XFS (nullb0): Log size 854 blocks too small, minimum size is 1374 blocks)");
        assert_eq!(lines_about(log, "nvme0n1"), "");
    }

    #[test]
    fn the_options_are_those_of_the_last_mount() {
        let mounts =
            "sysfs /sys sysfs rw 0 0\n/dev/a /mnt ext4 ro 0 0\n/dev/b /mnt xfs rw,noquota 0 0\n";
        assert_eq!(options_of(mounts, "/mnt"), Some("rw,noquota"));
        assert_eq!(options_of(mounts, "/mn"), None);
    }
}
