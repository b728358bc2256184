//! Programs for the shell: busybox, which comes with it, beside what every guest has.

use crate::{
    fail::{Fail, Result},
    fio, sys,
};
use diorama_wire::{FsKind, Prepared};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    process::Command,
};

/// Where busybox is, and links to it for every program that it is.
pub const BUSYBOX: &str = "/bin/busybox";

/// Where programs are looked for: mkfs before busybox's own.
pub const PATH: &str = "/usr/local/bin:/sbin:/bin";

/// Puts the programs into the guest.
///
/// # Errors
/// When one cannot be written, or busybox does not run.
pub fn install(busybox: &[u8]) -> Result<()> {
    for directory in ["/bin", "/etc", "/root", "/run", "/usr/local/bin"] {
        fs::create_dir_all(directory)
            .map_err(|e| Fail::os(format_args!("mkdir {directory}"), &e))?;
    }
    write(BUSYBOX, 0o755, busybox)?;
    let ended = Command::new(BUSYBOX)
        .args(["--install", "-s", "/bin"])
        .status()
        .map_err(|e| Fail::os(format_args!("run {BUSYBOX}"), &e))?;
    if !ended.success() {
        return Err(Fail::step(format!("{BUSYBOX} --install: {ended}")));
    }
    if let Some(wrapper) = fio::wrapper() {
        write("/usr/local/bin/fio", 0o755, wrapper.as_bytes())?;
    }
    write("/etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    write("/etc/group", 0o644, b"root:x:0:\n")?;
    // For those who look closer. A kernel may have neither.
    for (kind, target) in [
        ("debugfs", "/sys/kernel/debug"),
        ("tracefs", "/sys/kernel/tracing"),
    ] {
        let _ = sys::mount(kind, target, kind, "");
    }
    Ok(())
}

/// Writes a file that is new.
///
/// # Errors
/// The system call's.
pub fn write(path: &str, mode: u32, content: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    (options
        .open(path)
        .and_then(|mut file| file.write_all(content)))
    .map_err(|e| Fail::os(format_args!("write {path}"), &e))
}

/// What a person must know of the guest: the host's own lines, and where things are.
pub fn banner(of_host: &[String], prepared: &Prepared) -> String {
    let Prepared {
        boot,
        device,
        mount_point,
        files,
    } = prepared;
    let mut tools: Vec<String> = FsKind::ALL
        .into_iter()
        .map(|kind| format!("mkfs.{}", kind.name()))
        .filter(|name| fs::metadata(format!("/sbin/{name}")).is_ok())
        .collect();
    if fio::wrapper().is_some() {
        tools.push("fio".to_owned());
    }
    tools.push("busybox's (busybox --list)".to_owned());
    let mut lines = of_host.to_vec();
    lines.push(format!("  kernel  {} {}", boot.release, boot.version));
    let there = match mount_point.as_str() {
        "" => "without a file system".to_owned(),
        at => format!("mounted on {at}"),
    };
    lines.push(format!("  device  {device}, {there}"));
    let files = match files.as_slice() {
        [] => "none: the workload makes its own".to_owned(),
        files => format!("{}, laid out, nothing of it cached", files.join(" ")),
    };
    lines.push(format!("  file    {files}"));
    lines.push(format!("  tools   {}", tools.join(", ")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_wire::BootFacts;

    #[test]
    fn the_banner_says_where_things_are() {
        let prepared = Prepared {
            boot: BootFacts {
                release: "6.12.1".into(),
                version: "#1 SMP".into(),
                cmdline: String::new(),
                clocksource: "tsc".into(),
                taint: 0,
                cpus: 1,
                mem_total_kib: 1,
                quiet: None,
                modules: vec![],
            },
            device: "/dev/nullb0".into(),
            mount_point: "/mnt".into(),
            files: vec!["/mnt/file".into()],
        };
        let said = banner(&["Not a measurement.".into()], &prepared);
        let lines: Vec<&str> = said.lines().take(4).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        Not a measurement.
          kernel  6.12.1 #1 SMP
          device  /dev/nullb0, mounted on /mnt
          file    /mnt/file, laid out, nothing of it cached
        ");
    }
}
