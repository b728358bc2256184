//! What a scenario needs of a kernel: which modules to load, in which order and when, and which
//! CONFIG_ options are missing. Pure.

use super::{
    device,
    needs::{Driver, Missing, Needs},
};
use crate::{
    filesystem,
    kernel::{Config, Kernel, ModuleSet, Presence, Setting},
    vocabulary::KernelVersion,
};
use diorama_wire::{Engine, FsKind, config};

/// What [`plan`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loading {
    /// Modules to load before the checkpoint, dependencies first.
    pub early: Vec<String>,
    /// Modules to load after the measurement, dependencies first.
    pub late: Vec<String>,
    /// What the kernel lacks.
    pub missing: Vec<Missing>,
    /// Whether the guest can stop its own machine: port I/O from user space.
    pub can_stop_itself: bool,
}

/// What these file systems need, in the table's order.
fn filesystems(kinds: &[FsKind]) -> impl Iterator<Item = Driver> {
    let wanted = filesystem::TABLE
        .iter()
        .filter(|facts| kinds.contains(&facts.kind));
    wanted.filter_map(|facts| Some((facts.module, facts.kind.facts().option?, facts.purpose)))
}

/// The transport's module depends on vsock itself.
const VSOCK: [Driver; 2] = [
    (
        "virtio_pci",
        config::VIRTIO_PCI,
        "for the device that carries results",
    ),
    (
        "vmw_vsock_virtio_transport",
        config::VIRTIO_VSOCKETS,
        "for the socket that carries results",
    ),
];

/// Loaded before the checkpoint, with the device's own transport: only where host-driven devices may
/// be.
const SHARES: [Driver; 3] = [
    (
        "virtio_pci",
        config::VIRTIO_PCI,
        "for directories of the host's",
    ),
    ("fuse", config::FUSE_FS, "for directories of the host's"),
    (
        "virtiofs",
        config::VIRTIO_FS,
        "for directories of the host's (--share, --artifacts)",
    ),
];

/// Options without a module of their own, and what the kernel lacks without them. Hot-plug goes
/// through ACPI: QEMU's q35 machine does not offer the port's own (`CONFIG_HOTPLUG_PCI_PCIE`) since
/// 6.1.
const OPTIONS: [(&str, &str); 8] = [
    (
        "CONFIG_BLK_DEV_INITRD",
        "an initramfs, which carries the agent",
    ),
    ("CONFIG_BINFMT_ELF", "ELF programs, such as the agent"),
    (config::DEVTMPFS, "devtmpfs, for device nodes"),
    (config::PROC_FS, "/proc, which the agent reads"),
    (config::SYSFS, "/sys, which the agent reads"),
    ("CONFIG_PCI", "PCI, for the device that carries results"),
    (
        config::HOTPLUG_PCI_ACPI,
        "PCI hot-plug, for the device that carries results (it is plugged in after the measurement)",
    ),
    (
        config::HIGH_RES_TIMERS,
        "high-resolution timers, for the model device's latency",
    ),
];

/// Under the instruction clock the agent's progress goes out by an I/O port; only where user space may
/// use none, and by the wall clock, the serial console takes its place. What the kernel prints is
/// otherwise missed by nobody but a reader who looks for the reason of a panic.
const SERIAL_CONSOLE: &str = "CONFIG_SERIAL_8250_CONSOLE";

/// What fio needs besides its engine: the agent starts it in a directory of its own (Rust's
/// `spawn` makes a pair of sockets for that), and fio shares memory between its jobs and times them
/// by a descriptor.
const FIO: [(&str, &str); 3] = [
    (config::UNIX, "Unix sockets, needed to start fio"),
    (
        config::SYSVIPC,
        "System V shared memory, used by fio's jobs",
    ),
    (config::TIMERFD, "timerfd, used by fio to keep time"),
];

/// The option that provides an engine's system calls, and what it is for.
fn engine(engine: Engine) -> Option<(&'static str, &'static str)> {
    let why = match engine {
        Engine::Libaio => "Linux AIO, for the libaio engine",
        Engine::IoUring => "io_uring, for the io_uring engine",
        Engine::Psync => return None,
    };
    Some((engine.option()?, why))
}

/// Null_blk makes no device of its own: the agent does, through configfs.
#[must_use]
pub fn parameters(module: &str) -> &'static str {
    match module {
        "null_blk" => "nr_devices=0",
        _ => "",
    }
}

/// Decides what to load and what is missing.
#[must_use]
pub fn plan(needs: &Needs, kernel: &Kernel) -> Loading {
    let config = kernel.config.as_ref();
    let mut plan = Loading {
        can_stop_itself: port_io(config, kernel.release.as_deref()),
        ..Loading::default()
    };
    let filesystems = filesystems(&needs.filesystems);
    let own = needs.device.as_ref();
    let mut own = own.map_or_else(|| device::MODEL.to_vec(), device::drivers);
    for driver in needs.besides.iter().flat_map(device::drivers) {
        if !own.contains(&driver) {
            own.push(driver);
        }
    }
    let shares = SHARES.into_iter().filter(|_| needs.shares);
    let early: Vec<Driver> = own.into_iter().chain(filesystems).chain(shares).collect();
    let set = &kernel.module_set;
    let (loaded, lost) = choose(&early, set, config, &[]);
    plan.missing.extend(lost);
    let (late, lost) = choose(&VSOCK, set, config, &loaded);
    plan.missing.extend(lost);
    (plan.early, plan.late) = (loaded, late);
    if let Some(config) = config {
        plan.missing.extend(missing_options(config, needs, &plan));
    }
    plan.missing.extend(device::missing(needs, kernel));
    plan
}

/// Modules for the drivers, dependencies first, without those in `before`; and what is missing.
fn choose(
    drivers: &[Driver],
    set: &ModuleSet,
    config: Option<&Config>,
    before: &[String],
) -> (Vec<String>, Vec<Missing>) {
    let mut order = before.to_vec();
    let mut missing = Vec::new();
    for (name, option, why) in drivers {
        let lacks = match set.presence(name, option, config) {
            Presence::BuiltIn => continue,
            Presence::Module => {
                require(name, set, &mut order, &mut missing);
                continue;
            }
            Presence::ModuleLost => {
                let lost = if set.modules.is_empty() {
                    "no modules were given: add modules=DIR".to_owned()
                } else {
                    format!("the module {name} was not found")
                };
                format!("{name}, {why} ({option}=m, but {lost})")
            }
            Presence::Absent => format!("{name}, {why}"),
            Presence::Unknown => format!("{name}, {why} (not found in the image)"),
        };
        missing.push(Missing {
            what: lacks,
            options: vec![(*option).to_owned()],
            certain: set.presence(name, option, config) != Presence::Unknown,
        });
    }
    (order.split_off(before.len()), missing)
}

/// Adds a module to those that are loaded, after all that it depends on; what is not in the set is built in, or
/// `missing` if a module depends on it.
pub fn require(name: &str, set: &ModuleSet, order: &mut Vec<String>, missing: &mut Vec<Missing>) {
    if order.iter().any(|done| done == name) {
        return;
    }
    let Some(module) = set.modules.get(name) else {
        return;
    };
    for dependency in module.soft.iter().chain(&module.depends) {
        let known = set.modules.contains_key(dependency);
        if !known && module.depends.contains(dependency) {
            missing.push(Missing {
                what: format!("module {dependency}, which {name} depends on"),
                options: Vec::new(),
                certain: true,
            });
        }
        require(dependency, set, order, missing);
    }
    order.push(name.to_owned());
}

fn missing_options(config: &Config, needs: &Needs, plan: &Loading) -> Vec<Missing> {
    let loads = !(plan.early.is_empty() && plan.late.is_empty());
    OPTIONS
        .into_iter()
        .chain(console(needs, plan))
        .chain(needs.engines.iter().copied().filter_map(engine))
        .chain(FIO.into_iter().filter(|_| needs.fio))
        .chain((needs.smp > 1).then_some(("CONFIG_SMP", "SMP, for a guest with several CPUs")))
        .chain(loads.then_some((
            config::MODULES,
            "module loading: some of what is needed is a module",
        )))
        .filter(|(option, _)| config.get(option) != Setting::Yes)
        .map(|(option, why)| Missing {
            what: why.to_owned(),
            options: vec![option.to_owned()],
            certain: true,
        })
        .chain(too_few_cpus(config, needs.smp))
        .collect()
}

/// Where progress goes when no port may be used for it.
fn console(needs: &Needs, plan: &Loading) -> Option<(&'static str, &'static str)> {
    let why = match (needs.console, plan.can_stop_itself) {
        (true, _) => "a serial console, by which the agent says how far it is",
        (false, false) => {
            "a serial console, which the agent uses if CONFIG_X86_IOPL_IOPERM is missing too"
        }
        (false, true) => return None,
    };
    Some((SERIAL_CONSOLE, why))
}

/// A kernel that is built for fewer CPUs starts with as many as it knows.
fn too_few_cpus(config: &Config, smp: u32) -> Option<Missing> {
    let most = config.number("CONFIG_NR_CPUS")?;
    (u64::from(smp) > most).then(|| Missing {
        what: format!("support for {smp} CPUs (it is built for {most})"),
        options: vec!["CONFIG_NR_CPUS".to_owned()],
        certain: true,
    })
}

/// iopl(2) and ioperm(2) can be configured away from 5.5 on. Without a configuration they are
/// taken to be there, as they are by default.
fn port_io(config: Option<&Config>, release: Option<&str>) -> bool {
    let always = release
        .and_then(KernelVersion::of)
        .is_some_and(|version| version < KernelVersion(5, 5));
    always || config.is_none_or(|config| config.get(config::X86_IOPL_IOPERM) == Setting::Yes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        digest::Sha256,
        kernel::{BootBy, modules},
    };

    pub(in crate::image) fn kernel(list: &[(&str, &[&str])], config: Option<&str>) -> Kernel {
        let mut module_set = ModuleSet::default();
        for (name, depends) in list {
            let module = modules::KernelModule {
                name: (*name).to_owned(),
                sha256: Sha256::of(b""),
                depends: depends.iter().map(|d| (*d).to_owned()).collect(),
                soft: vec![],
                parameters: vec![],
                release: None,
            };
            module_set.modules.insert((*name).to_owned(), module);
        }
        Kernel {
            release: Some("6.1.0".to_owned()),
            build: None,
            boot: BootBy::Pvh,
            image: "/k/vmlinux".into(),
            image_sha256: Sha256::of(b""),
            modules: None,
            module_set,
            config: config.map(Config::parse),
            dir: "/k".into(),
        }
    }

    const ALL: &[FsKind] = &[FsKind::Ext4, FsKind::Xfs];

    #[test]
    fn modules_are_ordered_and_split_at_the_checkpoint() {
        let list: &[(&str, &[&str])] = &[
            ("configfs", &[]),
            ("null_blk", &["configfs"]),
            ("xfs", &["libcrc32c"]),
            ("libcrc32c", &[]),
            ("ext4", &["mbcache", "libcrc32c"]),
            ("mbcache", &[]),
            ("virtio", &[]),
            ("virtio_ring", &["virtio"]),
            ("virtio_pci", &["virtio_ring", "virtio"]),
            ("vsock", &[]),
            ("vmw_vsock_virtio_transport", &["vsock", "virtio_ring"]),
        ];
        let needs = Needs {
            filesystems: ALL.to_vec(),
            ..Needs::default()
        };
        let plan = plan(&needs, &kernel(list, None));
        assert_eq!(
            plan.early,
            [
                "configfs",
                "null_blk",
                "mbcache",
                "libcrc32c",
                "ext4",
                "xfs"
            ]
        );
        assert_eq!(
            plan.late,
            [
                "virtio",
                "virtio_ring",
                "virtio_pci",
                "vsock",
                "vmw_vsock_virtio_transport"
            ]
        );
        assert!(plan.missing.is_empty() && plan.can_stop_itself);
    }

    /// What carries results is then there already, and is not loaded twice.
    #[test]
    fn what_shares_directories_is_loaded_early_where_some_are_shared() {
        let list: &[(&str, &[&str])] = &[
            ("virtio_ring", &[]),
            ("virtio_pci", &["virtio_ring"]),
            ("fuse", &[]),
            ("virtiofs", &["fuse", "virtio_ring"]),
            ("vsock", &[]),
            ("vmw_vsock_virtio_transport", &["vsock", "virtio_ring"]),
        ];
        let of = |shares| {
            let needs = Needs {
                shares,
                ..Needs::default()
            };
            let plan = plan(&needs, &kernel(list, Some("CONFIG_X=y\n")));
            let lacks = |option| plan.missing.iter().any(|m| m.options == [option]);
            assert!(!lacks("CONFIG_VIRTIO_FS"));
            (plan.early, plan.late)
        };
        let (early, late) = of(true);
        assert_eq!(early, ["virtio_ring", "virtio_pci", "fuse", "virtiofs"]);
        assert_eq!(late, ["vsock", "vmw_vsock_virtio_transport"]);
        let (early, late) = of(false);
        assert_eq!(early, [""; 0]);
        assert_eq!(late.len(), 4);
        let needs = Needs {
            shares: true,
            ..Needs::default()
        };
        let missing = plan(&needs, &kernel(&[], Some("CONFIG_X=y\n"))).missing;
        assert!(missing.iter().any(|m| m.options == ["CONFIG_VIRTIO_FS"]));
    }

    #[test]
    fn only_what_is_needed_is_loaded() {
        let list: &[(&str, &[&str])] = &[("configfs", &[]), ("xfs", &[]), ("ext4", &[])];
        let needs = Needs {
            filesystems: vec![FsKind::Ext4],
            ..Needs::default()
        };
        assert_eq!(
            plan(&needs, &kernel(list, None)).early,
            ["configfs", "ext4"]
        );
    }

    #[test]
    fn what_a_known_configuration_lacks_is_named() {
        let config = "CONFIG_CONFIGFS_FS=y\nCONFIG_XFS_FS=m\nCONFIG_PCI=y\nCONFIG_PROC_FS=y\n\
                      CONFIG_SYSFS=y\nCONFIG_BINFMT_ELF=y\nCONFIG_BLK_DEV_INITRD=y\n\
                      CONFIG_DEVTMPFS=y\nCONFIG_SERIAL_8250_CONSOLE=y\nCONFIG_EXT4_FS=y\n\
                      CONFIG_HIGH_RES_TIMERS=y\nCONFIG_VIRTIO_PCI=y\n";
        let needs = Needs {
            filesystems: ALL.to_vec(),
            engines: Engine::ALL.to_vec(),
            fio: true,
            smp: 2,
            ..Needs::default()
        };
        let plan = plan(&needs, &kernel(&[], Some(config)));
        assert!(!plan.can_stop_itself);
        let lines: Vec<String> = plan
            .missing
            .iter()
            .map(|m| format!("{} {} ({})", m.options.join(","), m.what, m.certain))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        CONFIG_BLK_DEV_NULL_BLK null_blk, the model device (true)
        CONFIG_XFS_FS xfs, for cells on XFS (CONFIG_XFS_FS=m, but no modules were given: add modules=DIR) (true)
        CONFIG_VIRTIO_VSOCKETS vmw_vsock_virtio_transport, for the socket that carries results (true)
        CONFIG_HOTPLUG_PCI_ACPI PCI hot-plug, for the device that carries results (it is plugged in after the measurement) (true)
        CONFIG_AIO Linux AIO, for the libaio engine (true)
        CONFIG_IO_URING io_uring, for the io_uring engine (true)
        CONFIG_UNIX Unix sockets, needed to start fio (true)
        CONFIG_SYSVIPC System V shared memory, used by fio's jobs (true)
        CONFIG_TIMERFD timerfd, used by fio to keep time (true)
        CONFIG_SMP SMP, for a guest with several CPUs (true)
        ");
    }

    #[test]
    fn an_option_is_needed_by_what_uses_it_alone() {
        let kernel = kernel(&[], Some("CONFIG_X=y\n"));
        let lacks = |needs: &Needs, option: &str| {
            let missing = plan(needs, &kernel).missing;
            missing.iter().any(|m| m.options == [option])
        };
        let psync = Needs {
            engines: vec![Engine::Psync],
            smp: 1,
            ..Needs::default()
        };
        for option in ["CONFIG_AIO", "CONFIG_IO_URING", "CONFIG_SMP", "CONFIG_UNIX"] {
            assert!(!lacks(&psync, option), "{option}");
        }
        let fio = Needs {
            fio: true,
            ..psync.clone()
        };
        for option in ["CONFIG_UNIX", "CONFIG_SYSVIPC", "CONFIG_TIMERFD"] {
            assert!(lacks(&fio, option), "{option}");
        }
        let libaio = Needs {
            engines: vec![Engine::Libaio],
            ..psync
        };
        assert!(lacks(&libaio, "CONFIG_AIO") && !lacks(&libaio, "CONFIG_IO_URING"));
    }

    /// With a configuration or without one: a guest that may use I/O ports needs no console.
    #[test]
    fn a_serial_console_is_needed_only_where_there_are_no_ports() {
        let option = "CONFIG_SERIAL_8250_CONSOLE";
        let lacks = |config: &str| {
            let plan = plan(&Needs::default(), &kernel(&[], Some(config)));
            plan.missing.iter().any(|m| m.options == [option])
        };
        assert!(!lacks("CONFIG_X86_IOPL_IOPERM=y\n"));
        assert!(lacks("CONFIG_X=y\n"));
        assert!(!lacks("CONFIG_SERIAL_8250_CONSOLE=y\n"));
    }

    /// Every option that local kernels are told to have is in the configurations offered for them.
    #[test]
    fn the_offered_configurations_have_all_that_is_needed() {
        let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/../kernels");
        for file in ["local-minimal.config", "local.config"] {
            let path = format!("{kernels}/{file}");
            let config = Config::parse(&std::fs::read_to_string(&path).expect("a configuration"));
            // The least that the exact lane takes has no real drive's driver.
            let real: &[Driver] = match file {
                "local.config" => &device::NVME,
                _ => &[],
            };
            let all = (device::MODEL.iter())
                .chain(real)
                .chain(&VSOCK)
                .chain(if real.is_empty() {
                    &[][..]
                } else {
                    &SHARES[..]
                })
                .map(|d| d.1)
                .chain(filesystems(ALL).map(|d| d.1));
            let options = OPTIONS.iter().chain(&FIO).map(|(option, _)| *option);
            let engines = Engine::ALL.iter().filter_map(|e| Some(engine(*e)?.0));
            let more = [
                "CONFIG_SMP",
                "CONFIG_X86_IOPL_IOPERM",
                "CONFIG_PVH",
                "CONFIG_IKCONFIG",
            ];
            for option in all.chain(options).chain(engines).chain(more) {
                assert_eq!(config.get(option), Setting::Yes, "{file}: {option}");
            }
        }
    }

    #[test]
    fn a_kernel_built_for_fewer_cpus_than_the_guest_has_is_found_out() {
        let kernel = kernel(&[], Some("CONFIG_SMP=y\nCONFIG_NR_CPUS=2\n"));
        let found = |smp| {
            let needs = Needs {
                smp,
                ..Needs::default()
            };
            let missing = plan(&needs, &kernel).missing;
            missing.iter().any(|m| m.options == ["CONFIG_NR_CPUS"])
        };
        assert!(found(3) && !found(2));
    }

    #[test]
    fn without_a_configuration_the_doubt_is_said() {
        let plan = plan(&Needs::default(), &kernel(&[], None));
        assert!(plan.missing.iter().all(|m| !m.certain));
        assert_eq!(plan.missing.len(), device::MODEL.len() + VSOCK.len());
    }

    #[test]
    fn every_driver_is_kept_when_a_kernel_is_prepared() {
        let all = device::ALL.iter().chain(&VSOCK).chain(&SHARES);
        for name in all
            .map(|driver| driver.0)
            .chain(filesystems(&FsKind::ALL).map(|driver| driver.0))
        {
            assert!(modules::candidates().contains(&name), "{name}");
        }
    }
}
