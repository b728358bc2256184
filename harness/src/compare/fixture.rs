//! Made-up results for tests: the medians are those of the facts' table (raw libaio loop, queue
//! depth 64, 10 us and 440 MiB/s), the spread and the counters are invented but plausible.

mod session;
mod varied;

pub use session::session;
pub use varied::varied;

use crate::{
    digest::Sha256,
    record::{
        CellInputs, CellResult, DriveWork, HostSide, Instructions, KernelRecord, MachineInputs,
        MachineRecord, Measured, MemoryDigests, Origin, Outcome, Results, SCHEMA, VmmRecord,
    },
    scenario::{
        CellKey, Expect, FilesystemSpec, KernelRef, KernelSource, Lane, Metric, Scenario,
        SubjectKey, WorkloadSpec,
    },
    vocabulary::LANE_VERSION,
};
use diorama_wire as wire;

const KERNELS: [(&str, &str); 5] = [
    ("5.10", "5.10.0-46-cloud-amd64"),
    ("6.1", "6.1.0-52-cloud-amd64"),
    ("6.12", "6.12.117+deb13-cloud-amd64"),
    ("6.18", "6.18.15+deb14-cloud-amd64"),
    ("7.2", "7.2.12+deb14-cloud-amd64"),
];

const WORKLOADS: [(&str, wire::Rw, u32); 4] = [
    ("read-4k", wire::Rw::Read, 4096),
    ("read-16k", wire::Rw::Read, 16384),
    ("write-4k", wire::Rw::Write, 4096),
    ("write-16k", wire::Rw::Write, 16384),
];

/// IOPS by file system, then kernel, then workload.
const IOPS: [(&str, [[f64; 4]; 5]); 2] = [
    (
        "ext4",
        [
            [92_020.0, 29_266.0, 59_097.0, 28_998.0],
            [92_142.0, 29_496.0, 57_807.0, 28_575.0],
            [83_099.0, 28_616.0, 51_723.0, 28_400.0],
            [81_508.0, 28_818.0, 47_914.0, 28_326.0],
            [82_191.0, 28_947.0, 76_342.0, 29_048.0],
        ],
    ),
    (
        "xfs",
        [
            [90_990.0, 29_596.0, 59_509.0, 28_999.0],
            [91_148.0, 29_216.0, 58_789.0, 28_581.0],
            [82_129.0, 28_611.0, 51_549.0, 28_392.0],
            [79_866.0, 28_581.0, 47_635.0, 28_347.0],
            [80_416.0, 29_012.0, 75_394.0, 28_969.0],
        ],
    ),
];

fn repetition(index: u64, iops: f64, block_size: u32) -> wire::Repetition {
    // Bandwidth-bound figures are quantised by the device's period and spread more.
    let scale = if block_size > 4096 { 0.01 } else { 0.001 };
    let factor = 1.0 + [0.0, 0.8, -1.0, 0.4, -0.6][(index % 5) as usize] * scale;
    let ios = (iops * 0.2 * factor).round() as u64;
    wire::Repetition {
        phase_ns: index * 731_000,
        window_ns: 200_000_000,
        ios,
        bytes: ios * u64::from(block_size),
        reads: 0,
        writes: ios,
        fsyncs: 0,
        span_ns: 200_650_000,
        span_ios: ios + 64,
        latency: vec![wire::LatencyBucket {
            up_to_ns: 1_048_575,
            count: ios + 64,
        }],
        context_switches: 3,
        interrupts: ios + 70,
        busy_ns: Some(if block_size > 4096 {
            (ios + 64) * 13_000
        } else {
            200_650_000
        }),
        user_ns: (ios + 64) * 143,
        kworker_runs: Some(2),
        device_ios: ios + 64,
        device_sectors: (ios + 64) * u64::from(block_size) / 512,
        device_flushes: Some(3),
        per_second: vec![],
    }
}

/// A measured cell of five repetitions around a rate.
pub(crate) fn measured(iops: f64, block_size: u32) -> Measured {
    let repetitions: Vec<_> = (0..5).map(|i| repetition(i, iops, block_size)).collect();
    let ios = repetitions[0].span_ios;
    Measured {
        instructions: Some(Instructions {
            executed: repetitions.iter().filter_map(|r| r.busy_ns).collect(),
            drive: Some(DriveWork {
                ios,
                instructions: ios * u64::from(block_size / 4096) * 1_600,
            }),
        }),
        guest: wire::CellReport {
            cell: "cell".into(),
            boot: wire::BootFacts {
                release: "6.12.117".into(),
                version: "#1 SMP".into(),
                cmdline: "nokaslr".into(),
                clocksource: "tsc".into(),
                taint: 0,
                cpus: 1,
                mem_total_kib: 1_000_000,
                quiet: Some(wire::SpinCheck {
                    instructions: 1_000_000,
                    took_ns: 1_000_400,
                    attempts: 2,
                }),
                modules: vec!["null_blk".into()],
            },
            device: wire::DeviceFacts {
                name: "nullb0".into(),
                size: 512 << 20,
                scheduler: "none".into(),
                nr_requests: 1023,
                logical_block_size: 512,
                write_cache: "write through".into(),
                fua: Some(0),
                max_sectors_kb: 1280,
                nvme: None,
            },
            conditioned: None,
            throttle_iops: None,
            filesystem: wire::FilesystemFacts {
                kind: "ext4".into(),
                mkfs: vec!["/sbin/mkfs.ext4".into()],
                mount_options: "rw,relatime".into(),
                extents: 1,
            },
            fio: None,
            engine: wire::EngineFacts {
                name: "libaio".into(),
                features: vec![],
            },
            repetitions,
            evidence: wire::Evidence {
                o_direct: true,
                cached_pages_before: 0,
                cached_pages_after: 0,
                verified_blocks: 4096,
                buffer_alignment: 4096,
            },
        },
        memory: MemoryDigests::default(),
        host: HostSide {
            accel: crate::vocabulary::Accel::Tcg,
            vsock: "vhost-user-vsock".into(),
            wall_s: 2.0,
            cpu_s: 1.5,
            checkpoint: true,
        },
    }
}

fn cell(kernel: usize, fs: usize, workload: usize, scenario: &Scenario) -> CellResult {
    let (name, rw, block_size) = WORKLOADS[workload];
    let mut measured = measured(IOPS[fs].1[kernel][workload], block_size);
    for r in &mut measured.guest.repetitions {
        if rw == wire::Rw::Read {
            std::mem::swap(&mut r.reads, &mut r.writes);
        }
        // Up to 6.18 writes are completed by a workqueue.
        if rw == wire::Rw::Write && kernel < 4 {
            r.context_switches += 2 * r.span_ios;
            r.kworker_runs = Some(r.span_ios);
        }
        // 5.10's configuration has no scheduler statistics.
        if kernel == 0 {
            r.kworker_runs = None;
        }
    }
    let job = job(scenario, fs, workload);
    let covers = CellInputs {
        machine: machine(kernel).digest,
        job: &job,
        plugin: vmm().plugin,
    };
    CellResult {
        key: CellKey {
            subject: SubjectKey::of_kernel(KERNELS[kernel].0),
            filesystem: IOPS[fs].0.into(),
            workload: name.into(),
            lane: Lane::EXACT,
        },
        inputs: Some(covers.digest()),
        job: Some(job),
        origin: if fs == 1 {
            Origin::Cached
        } else {
            Origin::Measured
        },
        outcome: Outcome::Measured(Box::new(measured)),
    }
}

fn vmm() -> VmmRecord {
    VmmRecord {
        version: "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)".into(),
        digest: Sha256::of(b"qemu"),
        origin: "lock".into(),
        plugin: Some(Sha256::of(b"plugin")),
    }
}

fn machine(kernel: usize) -> MachineRecord {
    let (name, release) = KERNELS[kernel];
    let covers = MachineInputs {
        lane: LANE_VERSION,
        vmm: vmm().digest,
        argv: names(&["-m", "1024M", "-append", "nokaslr"]),
        wall_clock: Some("still".into()),
        kernel: Sha256::of(name.as_bytes()),
        initramfs: Sha256::of(release.as_bytes()),
    };
    MachineRecord {
        name: name.into(),
        variant: None,
        digest: covers.digest(),
        covers,
    }
}

fn job(scenario: &Scenario, fs: usize, workload: usize) -> wire::Job {
    let (filesystem, workload) = (&scenario.filesystems[fs], &scenario.workloads[workload]);
    wire::Job {
        protocol: wire::PROTOCOL,
        cell: format!("{}/{}", filesystem.name, workload.name),
        device: scenario.device.in_guest(),
        conditioning: scenario.conditioning,
        filesystem: wire::Filesystem {
            kind: filesystem.kind,
            mkfs: names(&["/sbin/mkfs"]),
            mount_options: filesystem.mount_options.clone(),
            own_options: false,
        },
        workload: workload.job.clone(),
        fio: None,
        measure: scenario.measure.clone(),
        throttle_iops: None,
        shell: false,
    }
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|n| (*n).to_owned()).collect()
}

fn scenario() -> Scenario {
    let filesystem = |kind: wire::FsKind| FilesystemSpec {
        name: kind.name().into(),
        kind,
        mkfs: vec![],
        mount_options: String::new(),
    };
    let workload = |(name, rw, block_size): (&str, wire::Rw, u32)| WorkloadSpec {
        name: name.into(),
        job: wire::Workload::new(
            wire::Engine::Libaio,
            rw,
            block_size,
            64,
            64 << 20,
            wire::Bound::Runtime(200_000_000),
        ),
        fio: None,
        notes: Vec::new(),
    };
    let expect = |metric, relative, kernels: &[&str], workloads: &[&str], low, high| Expect {
        metric,
        relative,
        baseline_filesystem: None,
        kernels: names(kernels),
        variants: vec![],
        filesystems: vec![],
        workloads: names(workloads),
        at_least: low,
        at_most: high,
        because: "completions are deferred to a workqueue up to 6.18".into(),
        point: false,
        without: Vec::new(),
    };
    let old = ["5.10", "6.1", "6.12", "6.18"];
    Scenario {
        name: "iomap-dio".into(),
        title: "ext4 and XFS direct writes: deferred and inline completion".into(),
        description: "Small direct overwrites lost a fifth of their rate when their completion \
            moved to a workqueue; reads and larger blocks did not."
            .into(),
        source: None,
        baseline: "7.2".into(),
        kernels: KERNELS
            .iter()
            .map(|(name, _)| KernelRef {
                name: (*name).into(),
                source: KernelSource::Locked,
            })
            .collect(),
        variants: Vec::new(),
        subjects: KERNELS
            .iter()
            .map(|(name, _)| SubjectKey::of_kernel(name))
            .collect(),
        filesystems: vec![
            filesystem(wire::FsKind::Ext4),
            filesystem(wire::FsKind::Xfs),
        ],
        workloads: WORKLOADS.into_iter().map(workload).collect(),
        clock: crate::scenario::Clock::Instructions,
        device: crate::scenario::Device::Model(wire::ModelDevice {
            size_mib: 512,
            block_size: 512,
            latency_ns: 10_000,
            bandwidth_mib_s: Some(440),
            hw_queue_depth: 1023,
            submit_queues: 1,
            scheduler: "none".into(),
            stack: Vec::new(),
            write_cache: None,
        }),
        conditioning: wire::Conditioning::default(),
        memory_mib: 1024,
        smp: 1,
        cmdline: vec![],
        measure: wire::Measure {
            repetitions: 5,
            warmup_ios: 0,
            ramp_time_ns: 0,
            phase_step_ns: 731_000,
        },
        session: None,
        left_out: Vec::new(),
        environment: Vec::new(),
        expect: vec![
            expect(
                Metric::Iops,
                true,
                &old,
                &["write-4k"],
                Some(0.60),
                Some(0.85),
            ),
            expect(
                Metric::Iops,
                true,
                &old,
                &["read-16k", "write-16k"],
                Some(0.97),
                Some(1.03),
            ),
            expect(
                Metric::ContextSwitchesPerIo,
                false,
                &old,
                &["write-4k"],
                Some(0.5),
                None,
            ),
            expect(
                Metric::ContextSwitchesPerIo,
                false,
                &["7.2"],
                &["write-4k"],
                None,
                Some(0.05),
            ),
        ],
    }
}

/// Five kernels, two file systems, four workloads, everything measured.
pub(crate) fn results() -> Results {
    let scenario = scenario();
    let mut cells = Vec::new();
    for kernel in 0..KERNELS.len() {
        for fs in 0..IOPS.len() {
            cells.extend((0..WORKLOADS.len()).map(|w| cell(kernel, fs, w, &scenario)));
        }
    }
    Results {
        schema: SCHEMA,
        run_id: "iomap-dio-1".into(),
        started: "2026-01-02T03:04:05Z".into(),
        diorama: "0.1.0".into(),
        scenario,
        kernels: KERNELS
            .iter()
            .map(|(name, release)| KernelRecord {
                name: (*name).into(),
                variant: None,
                release: Some((*release).into()),
                build: None,
                origin: format!("Debian linux-image-{release}"),
                image: Some(Sha256::of(name.as_bytes())),
                initramfs: Some(Sha256::of(release.as_bytes())),
                as_locked: true,
            })
            .collect(),
        vmm: vmm(),
        machines: (0..KERNELS.len()).map(machine).collect(),
        cells,
        session: None,
        notes: vec!["file systems are formatted with the features that 5.10 knows".into()],
        replay: None,
        formatting: Vec::new(),
    }
}

/// The same, with a kernel that is not the locked one and one cell of every kind of failure.
pub(crate) fn with_failures() -> Results {
    let mut results = results();
    results.kernels[2].as_locked = false;
    results.notes.push(
        "6.12: not the locked kernel: 6.12.100-1 has vanished, 6.12.117-1 was measured".into(),
    );
    let console = vec!["[   12.5] BUG: kernel NULL pointer dereference".to_owned()];
    let mut set = |kernel: &str, fs: &str, workload: &str, outcome: Outcome| {
        let found = results.cells.iter_mut().find(|c| {
            c.key.subject.is(kernel) && c.key.filesystem == fs && c.key.workload == workload
        });
        found.expect("the fixture has this cell").outcome = outcome;
    };
    set(
        "6.12",
        "ext4",
        "write-4k",
        Outcome::GuestFault {
            why: "kernel panic: NULL pointer dereference".into(),
            console: console.clone(),
        },
    );
    set(
        "6.12",
        "xfs",
        "read-4k",
        Outcome::TimedOut {
            phase: "format".into(),
            after_s: 60.0,
            console,
        },
    );
    set(
        "6.1",
        "xfs",
        "read-4k",
        Outcome::Unsupported {
            why: "the kernel has no XFS".into(),
            config: vec!["CONFIG_XFS_FS".into()],
        },
    );
    set(
        "7.2",
        "xfs",
        "write-16k",
        Outcome::WrongResult {
            why: "block 17 holds another pattern".into(),
        },
    );
    set(
        "6.18",
        "ext4",
        "read-4k",
        Outcome::HarnessFailed {
            stage: "restore".into(),
            why: "QEMU ended with status 1".into(),
        },
    );
    set(
        "6.18",
        "xfs",
        "write-4k",
        Outcome::NotRun {
            why: "stopped by SIGINT".into(),
        },
    );
    results
}

/// The model device of a scenario that has one, to be changed.
pub fn model(scenario: &mut Scenario) -> &mut wire::ModelDevice {
    match &mut scenario.device {
        crate::scenario::Device::Model(model) => model,
        other => panic!("{other:?}"),
    }
}

/// Makes it one of the metal lane.
pub fn on_a_drive(scenario: &mut Scenario) {
    scenario.clock = crate::scenario::Clock::Wall;
    scenario.device = crate::scenario::Device::Nvme(crate::scenario::EmulatedNvme {
        size_mib: 512,
        block_size: 512,
        queues: 1,
        serial: "diorama".into(),
        scheduler: "none".into(),
    });
}
