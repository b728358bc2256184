//! What of a job is refused before anything is made: what would not measure what it says. The
//! harness has refused it before; this is for a harness that has not. Pure.

use diorama_wire::{Device, Fio, Job, Layout};

/// Refuses a job that would not measure what it says.
///
/// # Errors
/// Says why.
pub fn check(job: &Job) -> Result<(), String> {
    if matches!(job.device, Device::Model(_)) && !job.conditioning.is_none() {
        return Err("a modelled drive is new, and is not formatted, discarded or filled".into());
    }
    if job.measure.ramp_time_ns > 0 && job.workload.layout != Layout::Written {
        return Err(format!(
            "ramp_time with layout {}, which changes with every write",
            job.workload.layout.name()
        ));
    }
    if job.filesystem.kind.is_none() {
        device_itself(job)?;
    }
    if job.measure.repetitions == 0 {
        return Err("no repetitions".into());
    }
    if let Some(fio) = &job.fio {
        return files(fio);
    }
    job.workload.check(&job.device)
}

/// Nothing is made on a block device, and nothing on it is allocated or grows.
fn device_itself(job: &Job) -> Result<(), String> {
    let filesystem = &job.filesystem;
    if !filesystem.mkfs.is_empty() || !filesystem.mount_options.is_empty() {
        return Err("a file system of kind none, with options of mkfs or mount".into());
    }
    let layouts = match &job.fio {
        Some(fio) => fio.files.iter().map(|file| file.layout).collect(),
        None => vec![job.workload.layout],
    };
    match layouts.iter().find(|layout| **layout != Layout::Written) {
        Some(layout) => Err(format!("layout {} on a block device", layout.name())),
        None => Ok(()),
    }
}

/// The rest of fio's jobs is fio's to judge.
fn files(fio: &Fio) -> Result<(), String> {
    let outside = |name: &str| name.is_empty() || name.contains('/') || name.starts_with('.');
    match fio.files.iter().find(|file| outside(&file.name)) {
        Some(file) => Err(format!(
            "{:?} is no file of the file system under test",
            file.name
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_wire::{
        Bound, Conditioning, Engine, Filesystem, FsKind, Measure, ModelDevice, PROTOCOL, Rw, Sync,
        Workload,
    };

    fn job(change: impl FnOnce(&mut Job)) -> Job {
        let mut job = Job {
            protocol: PROTOCOL,
            cell: "c".into(),
            device: Device::Model(ModelDevice {
                size_mib: 512,
                block_size: 512,
                latency_ns: 10_000,
                bandwidth_mib_s: None,
                hw_queue_depth: 1023,
                submit_queues: 1,
                scheduler: "none".into(),
                stack: Vec::new(),
                write_cache: None,
            }),
            filesystem: Filesystem {
                kind: FsKind::Ext4,
                mkfs: vec!["/sbin/mkfs.ext4".into()],
                mount_options: String::new(),
                own_options: false,
            },
            workload: Workload::new(
                Engine::Libaio,
                Rw::Write,
                4096,
                64,
                1 << 20,
                Bound::Ios(100),
            ),
            fio: None,
            measure: Measure {
                repetitions: 5,
                warmup_ios: 0,
                ramp_time_ns: 0,
                phase_step_ns: 1,
            },
            conditioning: Conditioning::default(),
            throttle_iops: None,
            shell: false,
        };
        change(&mut job);
        job
    }

    fn refused(change: impl FnOnce(&mut Workload)) -> String {
        check(&job(|job| change(&mut job.workload))).unwrap_err()
    }

    #[test]
    fn sensible_jobs_pass() {
        let changes: [fn(&mut Workload); 12] = [
            |_| {},
            |w| (w.block_size, w.file_size) = (12 << 10, 100 * (12 << 10)),
            |w| (w.block_size, w.file_size) = (1536, 1001 * 1536),
            |w| (w.block_size, w.file_size, w.iodepth) = (4 << 20, 5 * (4 << 20), 5),
            |w| w.rw = Rw::Randrw,
            |w| (w.engine, w.iodepth) = (Engine::Psync, 1),
            |w| (w.layout, w.rw) = (Layout::Unwritten, Rw::Randwrite),
            |w| (w.layout, w.file_size) = (Layout::Extending, 0),
            |w| w.layout = Layout::Append,
            |w| (w.engine, w.io_uring.hipri) = (Engine::IoUring, true),
            // Parts of one file, which overlap: as many files would not fit.
            |w| {
                (w.filename, w.numjobs) = ("shared".into(), 64);
                (w.offset_increment, w.file_size) = (1 << 20, 300 << 20);
            },
            |w| (w.filename, w.layout) = ("mine".into(), Layout::Append),
        ];
        for change in changes {
            let job = job(|job| change(&mut job.workload));
            assert_eq!(check(&job), Ok(()), "{:?}", job.workload);
        }
    }

    #[test]
    fn sizes_and_depths_that_do_not_fit_are_refused() {
        insta::assert_snapshot!(refused(|w| w.block_size = 1000), @"block_size 1000 is no multiple of the device's 512");
        insta::assert_snapshot!(refused(|w| w.block_size = 0), @"block_size 0 is no multiple of the device's 512");
        insta::assert_snapshot!(refused(|w| w.block_size = (4 << 20) + 512), @"block_size 4194816 is more than 4194304");
        insta::assert_snapshot!(refused(|w| w.block_size = 12 << 10), @"file_size 1048576 is no multiple of block_size 12288");
        insta::assert_snapshot!(refused(|w| w.file_size = 1_048_577), @"file_size 1048577 is no multiple of block_size 4096");
        insta::assert_snapshot!(refused(|w| w.iodepth = 257), @"iodepth 257 does not fit a file of 256 blocks, write");
        insta::assert_snapshot!(refused(|w| (w.iodepth, w.rw) = (129, Rw::Randread)), @"iodepth 129 does not fit a file of 256 blocks, randread");
        insta::assert_snapshot!(refused(|w| w.iodepth = 4097), @"iodepth 4097 is not 1 to 4096");
        insta::assert_snapshot!(refused(|w| w.numjobs = 0), @"numjobs 0 is not 1 to 64");
        insta::assert_snapshot!(refused(|w| w.file_size = 1 << 30), @"the files become larger than 3/4 of the device, 402653184 bytes");
        insta::assert_snapshot!(refused(|w| (w.numjobs, w.file_size) = (4, 128 << 20)), @"the files become larger than 3/4 of the device, 402653184 bytes");
        insta::assert_snapshot!(check(&job(|job| job.measure.repetitions = 0)).unwrap_err(), @"no repetitions");
    }

    #[test]
    fn combinations_that_mean_nothing_are_refused() {
        insta::assert_snapshot!(refused(|w| w.engine = Engine::Psync), @"psync has iodepth 1, not 64");
        insta::assert_snapshot!(refused(|w| w.batch.submit = 65), @"batch 65, 1 to 1 does not fit iodepth 64");
        insta::assert_snapshot!(refused(|w| w.batch.complete_min = 2), @"batch 1, 2 to 1 does not fit iodepth 64");
        insta::assert_snapshot!(refused(|w| w.io_uring.fixedbufs = true), @"io_uring's options with libaio");
        insta::assert_snapshot!(refused(|w| w.rwmixread = 101), @"rwmixread 101 is no percentage");
        insta::assert_snapshot!(refused(|w| (w.rw, w.sync) = (Rw::Randread, Sync::RwfDsync)), @"sync rwf_dsync and fdatasync 0 without writes");
        insta::assert_snapshot!(refused(|w| (w.rw, w.fdatasync) = (Rw::Read, 1)), @"sync none and fdatasync 1 without writes");
    }

    #[test]
    fn what_threads_cannot_share_is_refused() {
        let of = |name: &str, step: u64| {
            refused(|w| {
                (w.filename, w.offset_increment, w.numjobs) = (name.into(), step, 2);
            })
        };
        insta::assert_snapshot!(of("", 4096), @"offset_increment 4096 without a filename");
        insta::assert_snapshot!(of("shared", 512), @"offset_increment 512 is no multiple of block_size 4096");
        insta::assert_snapshot!(of("../x", 0), @r#"filename "../x" is not up to 64 letters, digits, '.', '_', '+' and '-', a letter or digit first"#);
        insta::assert_snapshot!(of("lost+found", 0), @r#"filename "lost+found" is what a file system calls a directory of its own"#);
        insta::assert_snapshot!(of("shared", 400 << 20), @"the files become larger than 3/4 of the device, 402653184 bytes");
        let growing = refused(|w| {
            (w.filename, w.numjobs, w.layout) = ("shared".into(), 2, Layout::Append);
        });
        insta::assert_snapshot!(growing, @"layout append of a file that threads share");
    }

    #[test]
    fn layouts_that_a_stretch_cannot_keep_are_refused() {
        insta::assert_snapshot!(refused(|w| (w.layout, w.rw) = (Layout::Append, Rw::Randwrite)), @"layout append with rw randwrite");
        insta::assert_snapshot!(refused(|w| (w.layout, w.rw) = (Layout::Unwritten, Rw::Read)), @"layout unwritten with rw read");
        insta::assert_snapshot!(refused(|w| w.layout = Layout::Extending), @"layout extending with file_size 1048576");
        insta::assert_snapshot!(refused(|w| (w.layout, w.bound) = (Layout::Append, Bound::Runtime(1))), @"layout append with a bound in time");
        insta::assert_snapshot!(refused(|w| (w.layout, w.bound) = (Layout::Unwritten, Bound::Ios(257))), @"257 I/Os do not fit a file of 256 blocks, unwritten");
        insta::assert_snapshot!(refused(|w| (w.layout, w.bound) = (Layout::Append, Bound::Ios(100_000))), @"the files become larger than 3/4 of the device, 402653184 bytes");
        insta::assert_snapshot!(refused(|w| w.bound = Bound::Ios(0)), @"a bound of 0");
    }

    #[test]
    fn what_is_for_drives_alone_is_refused_elsewhere() {
        let said = |change: fn(&mut Job)| check(&job(change)).unwrap_err();
        insta::assert_snapshot!(said(|job| job.conditioning.discard = true), @"a modelled drive is new, and is not formatted, discarded or filled");
        insta::assert_snapshot!(said(|job| {
            job.measure.ramp_time_ns = 1;
            job.workload.layout = Layout::Append;
        }), @"ramp_time with layout append, which changes with every write");
    }

    #[test]
    fn a_block_device_has_no_layout_and_no_options() {
        let raw = |change: fn(&mut Job)| {
            check(&job(|job| {
                job.filesystem = Filesystem {
                    kind: FsKind::None,
                    mkfs: Vec::new(),
                    mount_options: String::new(),
                    own_options: false,
                };
                change(job);
            }))
        };
        assert_eq!(raw(|_| {}), Ok(()));
        insta::assert_snapshot!(raw(|job| job.workload.layout = Layout::Append).unwrap_err(), @"layout append on a block device");
        insta::assert_snapshot!(raw(|job| job.filesystem.mkfs.push("x".into())).unwrap_err(), @"a file system of kind none, with options of mkfs or mount");
    }

    #[test]
    fn fios_files_stay_in_the_file_system_under_test() {
        let with = |name: &str| {
            check(&job(|job| {
                job.fio = Some(Fio {
                    jobs: String::new(),
                    files: vec![diorama_wire::FioFile {
                        name: name.to_owned(),
                        size: 4096,
                        layout: Layout::Written,
                        read_only: true,
                        at: 0,
                    }],
                });
            }))
        };
        assert_eq!(with("data"), Ok(()));
        for name in ["", "../x", "a/b", "."] {
            let why = with(name).unwrap_err();
            assert!(
                why.contains("no file of the file system under test"),
                "{why}"
            );
        }
    }
}
