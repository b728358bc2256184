//! mkfs and mount.

use crate::{
    boot,
    device::Device,
    fail::{Fail, Result},
    sys,
};
use diorama_wire::Filesystem;
use std::{
    fs,
    process::{Command, Stdio},
};

/// Where the file system is mounted.
pub const MOUNT_POINT: &str = "/mnt";

/// Makes the file system on the device; returns the whole command line.
///
/// # Errors
/// When there is no such program or it fails; its last lines travel with the failure.
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
    let text = [output.stdout, output.stderr].concat();
    Err(
        Fail::step(format!("{} ended with {}", line.join(" "), output.status))
            .with_output(&String::from_utf8_lossy(&text)),
    )
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
    sys::mount(&device.path, MOUNT_POINT, kind, options)?.map_err(|e| {
        if e.raw_os_error() == Some(libc::ENODEV) {
            Fail::unsupported(
                format!("the kernel has no {kind}"),
                &[boot::filesystem_option(filesystem.kind)],
            )
        } else {
            let doing = format!("mount {} as {kind} with {options:?}", device.path);
            Fail::os(doing, &e)
        }
    })?;
    options_of(&sys::read("/proc/mounts")?, MOUNT_POINT)
        .map(str::to_owned)
        .ok_or_else(|| Fail::step(format!("{MOUNT_POINT} is not in /proc/mounts")))
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

    #[test]
    fn the_options_are_those_of_the_last_mount() {
        let mounts =
            "sysfs /sys sysfs rw 0 0\n/dev/a /mnt ext4 ro 0 0\n/dev/b /mnt xfs rw,noquota 0 0\n";
        assert_eq!(options_of(mounts, "/mnt"), Some("rw,noquota"));
        assert_eq!(options_of(mounts, "/mn"), None);
    }
}
