//! From the kernel's hand-over to a guest that is ready for its checkpoint.

use crate::{
    clock, debugcon, device,
    fail::{Fail, Result},
    quiet, share, sys,
};
use diorama_wire::{BOOT_PATH, Boot, BootFacts, Clock, FsKind, Module, PROTOCOL, Phase, config};
use std::{fs, io, os::fd::AsRawFd};

/// Mounts the kernel's own file systems.
///
/// # Errors
/// When one is missing: without them nothing can be told apart.
pub fn mount_kernel_filesystems() -> Result<()> {
    for (kind, target, config) in [
        ("devtmpfs", "/dev", config::DEVTMPFS),
        ("proc", "/proc", config::PROC_FS),
        ("sysfs", "/sys", config::SYSFS),
    ] {
        mount(kind, target, config)?;
    }
    Ok(())
}

/// Mounts one of the kernel's own file systems, unless it is mounted.
///
/// # Errors
/// When the kernel has none: with the option that builds it.
pub fn mount(kind: &str, target: &str, config: &str) -> Result<()> {
    // Exists already or cannot be made; mount(2) has the better words for that.
    let _ = fs::create_dir(target);
    match sys::mount(kind, target, kind, "")? {
        Ok(()) => Ok(()),
        // Mounted by the kernel (CONFIG_DEVTMPFS_MOUNT).
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(()),
        // Without configfs its place in sysfs is missing, too.
        Err(e)
            if e.raw_os_error() == Some(libc::ENODEV)
                || is_missing(&e) && fs::metadata(target).is_err() =>
        {
            Err(Fail::unsupported(
                format!("the kernel has no {kind}"),
                &[config],
            ))
        }
        Err(e) => Err(Fail::os(format_args!("mount {kind} on {target}"), &e)),
    }
}

/// Reads what every cell of this kernel shares.
///
/// # Errors
/// When it is missing or of another protocol.
pub fn read() -> Result<Boot> {
    let boot: Boot = serde_json::from_str(&sys::read(BOOT_PATH)?)
        .map_err(|e| Fail::protocol(format!("{BOOT_PATH}: {e}")))?;
    if boot.protocol != PROTOCOL {
        return Err(Fail::protocol(format!(
            "{BOOT_PATH} speaks protocol {}, this agent {PROTOCOL}",
            boot.protocol
        )));
    }
    Ok(boot)
}

/// Loads the modules, checks what the cells will need and, under the instruction clock, waits until the guest is quiet.
///
/// # Errors
/// The first thing that is missing.
pub fn prepare(boot: &Boot) -> Result<BootFacts> {
    debugcon::enter(Phase::Modules, boot.modules.len().to_string());
    let modules = load(&boot.modules)?;
    device::check(boot.driver)?;
    clock::check(boot.clock)?;
    check_report_route(&boot.late_modules)?;
    share::mount(&boot.shares)?;
    let facts = facts(modules)?;
    let quiet = match boot.clock {
        // A spin's length is known in instructions.
        Clock::Instructions => {
            debugcon::enter(Phase::Quiet, "");
            Some(quiet::wait()?)
        }
        Clock::Wall => None,
    };
    Ok(BootFacts { quiet, ..facts })
}

/// Loads modules in order and returns the names of those that are loaded now. A module that is
/// there already, or built in, is fine.
///
/// # Errors
/// The first module that the kernel refuses.
pub fn load(modules: &[Module]) -> Result<Vec<String>> {
    let mut loaded = Vec::new();
    for module in modules {
        let file = fs::File::open(&module.path).map_err(|e| {
            Fail::os(
                format_args!("open module {} at {}", module.name, module.path),
                &e,
            )
        })?;
        let params = sys::c_string(&module.params)?;
        // SAFETY: an open descriptor and a valid C string, which the kernel only reads.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_finit_module,
                file.as_raw_fd(),
                params.as_ptr(),
                0i32,
            )
        };
        match sys::check(returned) {
            Ok(_) => loaded.push(module.name.clone()),
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => loaded.push(module.name.clone()),
            Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
                return Err(Fail::unsupported(
                    format!("load module {}: the kernel loads no modules", module.name),
                    &[config::MODULES],
                ));
            }
            Err(e) => {
                let doing = format!("load module {} {}", module.name, module.params);
                return Err(Fail::os(doing.trim_end(), &e));
            }
        }
    }
    Ok(loaded)
}

/// Checks that the kernel knows a file system, before anything is made for it.
///
/// # Errors
/// When it does not.
pub fn check_filesystem(kind: FsKind) -> Result<()> {
    let Some(option) = kind.facts().option else {
        return Ok(());
    };
    if knows_filesystem(&sys::read("/proc/filesystems")?, kind.name()) {
        return Ok(());
    }
    Err(Fail::unsupported(
        format!("the kernel has no {} (see /proc/filesystems)", kind.name()),
        &[option],
    ))
}

/// Drivers that carry the report: a module's name, where the driver shows once it is there (with
/// or without a device), and the option that builds it.
const REPORT_ROUTE: [(&str, &str, &str); 2] = [
    (
        "virtio_pci",
        "/sys/bus/pci/drivers/virtio-pci",
        config::VIRTIO_PCI,
    ),
    (
        "vmw_vsock_virtio_transport",
        "/sys/bus/virtio/drivers/vmw_vsock_virtio_transport",
        config::VIRTIO_VSOCKETS,
    ),
];

/// Slots that a device can be plugged into, whichever driver serves them.
const SLOTS: &str = "/sys/bus/pci/slots";

/// A report that cannot get out is better known before the measurement than after it.
fn check_report_route(late: &[Module]) -> Result<()> {
    let slots = fs::read_dir(SLOTS).is_ok_and(|mut slots| slots.next().is_some());
    let hotplug = ("PCI slot to plug into", config::HOTPLUG_PCI_ACPI);
    let lost: Vec<(&str, &str)> = REPORT_ROUTE
        .iter()
        .filter(|(name, path, _)| {
            late.iter().all(|module| module.name != *name) && fs::metadata(path).is_err()
        })
        .map(|(name, _, option)| (*name, *option))
        .chain((!slots).then_some(hotplug))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let (names, options): (Vec<&str>, Vec<&str>) = lost.into_iter().unzip();
    Err(Fail::unsupported(
        format!(
            "the kernel has no {}, by which results would get out",
            names.join(", ")
        ),
        &options,
    ))
}

/// Whether /proc/filesystems (`nodev`, a tab, the name) names a file system.
fn knows_filesystem(proc_filesystems: &str, name: &str) -> bool {
    proc_filesystems
        .lines()
        .any(|l| l.split_whitespace().next_back() == Some(name))
}

/// Describes the guest; `quiet` is filled in later.
fn facts(modules: Vec<String>) -> Result<BootFacts> {
    let online = sys::check(
        // SAFETY: takes and returns numbers.
        unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) },
    )
    .map_err(|e| Fail::os("sysconf(_SC_NPROCESSORS_ONLN)", &e))?;
    Ok(BootFacts {
        release: sys::read("/proc/sys/kernel/osrelease")?,
        version: sys::read("/proc/sys/kernel/version")?,
        cmdline: sys::read("/proc/cmdline")?,
        clocksource: sys::read("/sys/devices/system/clocksource/clocksource0/current_clocksource")?,
        taint: sys::read_number("/proc/sys/kernel/tainted")?,
        cpus: u32::try_from(online).unwrap_or(0),
        mem_total_kib: mem_total_kib(&sys::read("/proc/meminfo")?)
            .ok_or_else(|| Fail::step("/proc/meminfo has no MemTotal"))?,
        quiet: None,
        modules,
    })
}

/// `MemTotal:        1014136 kB`
fn mem_total_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether a path is missing, as opposed to unreadable.
pub fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_found_by_their_whole_name() {
        let known = "nodev\tsysfs\n\text4\n\txfs2\n";
        assert!(knows_filesystem(known, "ext4"));
        assert!(knows_filesystem(known, "sysfs"));
        assert!(!knows_filesystem(known, "xfs"));
    }

    #[test]
    fn the_memory_is_read_from_meminfo() {
        assert_eq!(
            mem_total_kib("MemTotal:        1014136 kB\nMemFree: 1 kB"),
            Some(1_014_136)
        );
        assert_eq!(mem_total_kib("MemFree: 1 kB"), None);
    }
}
