//! The doctor's words on made-up hosts.

use super::super::facts::{DiskFacts, HostFacts};
use super::*;
use crate::vm::confine::Landlock;

fn disk(role: &str, free: u64) -> DiskFacts {
    DiskFacts {
        role: role.to_owned(),
        free: Some(free),
    }
}

fn workstation() -> Probes {
    Probes {
        host: HostFacts {
            kernel: "6.1.0-50-amd64".into(),
            distribution: Some("Debian GNU/Linux 12 (bookworm)".into()),
            cpu: Some("Some CPU".into()),
            cores: 8,
            memory: Some(32 * GIB),
            memory_available: Some(24 * GIB),
            disks: vec![disk("cache", 100 * GIB), disk("results", 100 * GIB)],
            load: Some(0.1),
            root: false,
        },
        arch: "x86_64".into(),
        open_files: Some(1024),
        vhost_vsock: DeviceNode::Usable,
        kvm: KvmTrial::Works { after_s: 1.25 },
        vfio: DeviceNode::Usable,
        iommu_groups: 14,
        nvme: vec![NvmeDisk {
            name: "nvme0n1".into(),
            model: "Some Drive 250GB".into(),
            serial: "S1".into(),
            address: Some("0000:01:00.0".into()),
            size: Some(250_059_350_016),
            in_use: false,
        }],
        archive: ArchiveTrial::Reached("http://deb.debian.org/debian".into()),
        confinement: Ok(Confined {
            landlock: Landlock::Full,
            chroot: false,
            namespaces: true,
            seccomp: true,
        }),
    }
}

fn small() -> Probes {
    let mut probes = workstation();
    probes.host.cores = 2;
    probes.host.memory_available = Some(2 * GIB);
    probes.host.disks = vec![disk("cache", 2 * GIB), disk("results", 10 * MIB)];
    probes.host.root = true;
    probes.open_files = Some(200);
    probes.vhost_vsock = DeviceNode::Absent;
    probes.kvm = KvmTrial::TimedOut { after_s: 20.0 };
    probes.vfio = DeviceNode::Absent;
    probes.iommu_groups = 0;
    probes.nvme.iter_mut().for_each(|disk| disk.in_use = true);
    probes.archive = ArchiveTrial::Failed("deb.debian.org: no route to host".into());
    probes.confinement = Ok(Confined {
        landlock: Landlock::None,
        chroot: false,
        namespaces: false,
        seccomp: true,
    });
    probes
}

#[test]
fn a_workstation_is_good() {
    insta::assert_snapshot!(render(&evaluate(&workstation()), &[]), @r"
    The exact lane
      good     architecture      x86_64
      good     cores             8
      good     memory            24.0 GiB available: enough for 8 of 8 guests of 1 GiB
      good     disk for cache    100.0 GiB free
      good     disk for results  100.0 GiB free
      good     open files        1024
      good     archive           http://deb.debian.org/debian
      good     user              an ordinary user, which is enough
      good     confinement       rung 3 of 3: QEMU runs under Landlock, namespaces of its own and seccomp

    Other lanes
      good     vhost-vsock       /dev/vhost-vsock opens
      good     kvm               a guest ran, after 1.2 s
      good     vfio              14 IOMMU groups, /dev/vfio/vfio opens
      good     nvme              0000:01:00.0 Some Drive 250GB, serial S1, 232.9 GiB, free

    This host can run the exact lane.
    ");
}

#[test]
fn a_small_container_is_told_what_to_do() {
    let checks = evaluate(&small());
    assert!(!can_run(&checks), "its results do not fit");
    insta::assert_snapshot!(render(&checks, &[]), @r"
    The exact lane
      good     architecture      x86_64
      good     cores             2
      limited  memory            2.0 GiB available: enough for 1 of 2 guests of 1 GiB
                                 help: free some memory to use every core; the digits are the same
      limited  disk for cache    2.0 GiB free
                                 help: free 3.0 GiB, or choose a directory elsewhere with --cache
      missing  disk for results  10 MiB free
                                 help: free 100 MiB, or choose a directory elsewhere with --results
      limited  open files        200
                                 help: raise the limit: ulimit -n 256
      limited  archive           deb.debian.org: no route to host
                                 help: set https_proxy or a mirror; what is in the cache already works with --offline
      good     user              root
                                 help: an ordinary user is enough
      limited  confinement       rung 1 of 3: QEMU runs under seccomp
                                 help: a guest that breaks out of QEMU reaches this user's files; use a kernel with Landlock and seccomp

    Other lanes
      limited  vhost-vsock       no /dev/vhost-vsock; the built-in device is used instead
                                 help: nothing to do; `modprobe vhost_vsock` to use the kernel's
      missing  kvm               /dev/kvm opens, but a guest hung for 20 s
                                 help: not used by the exact lane; nested virtualisation is a common cause
      missing  vfio              no IOMMU groups
                                 help: only passthrough needs it: enable the IOMMU in the firmware, boot with intel_iommu=on
      limited  nvme              0000:01:00.0 Some Drive 250GB, serial S1, 232.9 GiB, in use
                                 help: only passthrough needs a free one; a drive in use is never touched

    This host cannot run the exact lane: see what is missing above.
    ");
}

#[test]
fn every_state_of_a_facility_has_its_own_words() {
    let mut checks = Vec::new();
    let nodes = [
        DeviceNode::Denied,
        DeviceNode::Failed("Is a directory".into()),
    ];
    for node in &nodes {
        checks.push(vsock(node));
        checks.push(kvm(&KvmTrial::NoDevice(node.clone())));
        checks.push(vfio(&Probes {
            vfio: node.clone(),
            ..workstation()
        }));
    }
    checks.push(kvm(&KvmTrial::NoDevice(DeviceNode::Absent)));
    checks.push(kvm(&KvmTrial::Failed {
        why: "failed to set MSR 0x10a".into(),
    }));
    checks.push(kvm(&KvmTrial::NotTried {
        why: "no QEMU in the cache yet".into(),
    }));
    checks.push(vfio(&Probes {
        vfio: DeviceNode::Absent,
        ..workstation()
    }));
    checks.push(nvme(&[]));
    insta::assert_snapshot!(render(&checks, &[]), @r"
    The exact lane

    Other lanes
      limited  vhost-vsock  permission denied; the built-in device is used instead
                            help: nothing to do; join the group of /dev/vhost-vsock to use the kernel's
      missing  kvm          permission denied
                            help: not used by the exact lane; for other lanes join the group kvm
      missing  vfio         /dev/vfio/vfio: permission denied
                            help: only passthrough needs it: give this user the device's group
      limited  vhost-vsock  Is a directory; the built-in device is used instead
      missing  kvm          /dev/kvm: Is a directory
                            help: not used by the exact lane
      missing  vfio         /dev/vfio/vfio: Is a directory
      missing  kvm          no /dev/kvm
                            help: not used by the exact lane; for other lanes enable it in the firmware
      missing  kvm          /dev/kvm opens, but a guest failed: failed to set MSR 0x10a
                            help: not used by the exact lane; nested virtualisation is a common cause
      limited  kvm          not tried: no QEMU in the cache yet
      missing  vfio         IOMMU groups, but no /dev/vfio/vfio
                            help: only passthrough needs it: `modprobe vfio-pci`
      missing  nvme         none
                            help: only passthrough needs one

    This host can run the exact lane.
    ");
}

#[test]
fn what_the_exact_lane_needs_decides_and_nothing_else() {
    let bare = Probes {
        vhost_vsock: DeviceNode::Absent,
        kvm: KvmTrial::NoDevice(DeviceNode::Absent),
        vfio: DeviceNode::Absent,
        iommu_groups: 0,
        nvme: Vec::new(),
        archive: ArchiveTrial::NotTried,
        ..workstation()
    };
    assert!(can_run(&evaluate(&bare)));
    assert!(!can_run(&evaluate(&Probes {
        arch: "aarch64".into(),
        ..workstation()
    })));
    let mut poor = workstation();
    poor.host.memory_available = Some(GIB);
    assert!(!can_run(&evaluate(&poor)));
}

#[test]
fn guests_are_bounded_by_cores_and_by_memory() {
    assert_eq!(guests_at_once(2, 64 * GIB, GIB), 2);
    assert_eq!(guests_at_once(8, 4 * GIB, GIB), 3);
    assert_eq!(guests_at_once(8, GIB, GIB), 0);
}

#[test]
fn checks_are_json_for_machines() {
    let check = architecture(&workstation());
    insta::assert_snapshot!(serde_json::to_string(&check).expect("plain data"), @r#"{"name":"architecture","status":"good","needed":true,"found":"x86_64","advice":null}"#);
}

#[test]
fn noise_has_a_section_of_its_own() {
    let hygiene = Hygiene {
        boost: Some(true),
        smt: Some(false),
        load: Some(0.25),
        cpus: 8,
        ..Hygiene::default()
    };
    let text = render(&[], &noise(&hygiene));
    let (_, section) = text.split_once("Other lanes\n\n").expect("the section");
    insta::assert_snapshot!(section, @r"
    The metal lane: what disturbs figures by the wall clock
      limited  boost  on
                      help: the CPUs' frequency depends on their temperature and on each other; write 1 to /sys/devices/system/cpu/intel_pstate/no_turbo or 0 to cpufreq/boost beside it
      good     SMT    off
      good     load   0.25 on 8 CPU(s)

    This host can run the exact lane.
    ");
}
