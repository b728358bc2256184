//! Reading the job, and one cell from its device to its report.

use crate::{
    boot, check,
    counters::Counters,
    debugcon,
    device::{self, Device},
    engine::{self, Engine as _},
    fail::{Fail, Result},
    file::{self, Place, PreparedFile},
    fio,
    format::{self, MOUNT_POINT},
    fw_cfg,
    measure::Bench,
};
use diorama_wire::{
    BootFacts, CellReport, Clock, Conditioned, DeviceFacts, EngineFacts, Evidence, FW_CFG_JOB,
    FilesystemFacts, JOB_PATH, Job, NvmeDevice, PROTOCOL, Phase, Prepared, StopBy,
};
use std::{fs, sync::Arc};

/// Reads the job from where this kind of guest has it.
///
/// # Errors
/// When it is missing or makes no sense.
pub fn read(stop_by: StopBy) -> Result<Job> {
    debugcon::enter(Phase::Job, "");
    let json = match stop_by {
        StopBy::Pvpanic => fw_cfg::read(FW_CFG_JOB)?,
        StopBy::None => {
            fs::read(JOB_PATH).map_err(|e| Fail::os(format_args!("read {JOB_PATH}"), &e))?
        }
    };
    parse(&json)
}

fn parse(json: &[u8]) -> Result<Job> {
    let job: Job =
        serde_json::from_slice(json).map_err(|e| Fail::protocol(format!("the job: {e}")))?;
    if job.protocol != PROTOCOL {
        return Err(Fail::protocol(format!(
            "the job speaks protocol {}, this agent {PROTOCOL}",
            job.protocol
        )));
    }
    check::check(&job).map_err(|why| Fail::protocol(format!("the job of {}: {why}", job.cell)))?;
    Ok(job)
}

/// Builds, measures and checks one cell.
///
/// # Errors
/// The first step that fails.
pub fn run(job: &Job, facts: BootFacts, clock: Clock) -> Result<CellReport> {
    let (device, made, conditioned) = mounted(job)?;
    let place = place(job, &device);
    debugcon::enter(Phase::Prepare, "");
    if let Some(jobs) = &job.fio {
        let report = fio::cell(job, jobs, (device, &place), made, facts)?;
        return Ok(CellReport {
            conditioned,
            ..report
        });
    }
    let files: Vec<Arc<PreparedFile>> = file::prepare(&job.workload, &place)?
        .into_iter()
        .map(Arc::new)
        .collect();
    let cached_pages_before = refuse_doubt(&files, "before the warm-up")?;

    let how = engine::How {
        clock,
        throttle_iops: job.throttle_iops,
    };
    let mut bench = Bench {
        job,
        engine: engine::set_up(&job.workload, &files, how)?,
        counters: Counters::open(&device)?,
        cpus: facts.cpus,
        clock,
    };
    let repetitions = bench.run()?;

    debugcon::enter(Phase::Verify, "");
    let cached_pages_after = refuse_doubt(&files, "after the run")?;
    let verified_blocks = bench.engine.verify()?;
    Ok(CellReport {
        cell: job.cell.clone(),
        boot: facts,
        device: device.facts,
        conditioned,
        throttle_iops: job.throttle_iops,
        filesystem: FilesystemFacts {
            extents: files.iter().map(|f| f.extents).sum(),
            ..made
        },
        engine: EngineFacts {
            name: job.workload.engine.name().to_owned(),
            features: bench.engine.features(),
        },
        repetitions,
        fio: None,
        evidence: Evidence {
            // Refused otherwise, twice.
            o_direct: true,
            cached_pages_before,
            cached_pages_after,
            verified_blocks,
            buffer_alignment: crate::content::ALIGNMENT as u32,
        },
    })
}

/// Refuses a workload that does not fit a drive of which only the guest can tell what it is.
fn fits(job: &Job, facts: &DeviceFacts) -> Result<()> {
    let found = diorama_wire::Device::Nvme(NvmeDevice {
        serial: String::new(),
        size: Some(facts.size),
        block_size: Some(facts.logical_block_size),
        scheduler: String::new(),
    });
    job.workload.check(&found).map_err(Fail::step)
}

/// Builds one cell up to where it would be measured.
///
/// # Errors
/// The first step that fails.
pub fn prepare(job: &Job, facts: BootFacts) -> Result<Prepared> {
    let (device, ..) = mounted(job)?;
    let place = place(job, &device);
    debugcon::enter(Phase::Prepare, "");
    let files = match &job.fio {
        Some(jobs) => fio::lay_out(jobs, &place)?,
        None => {
            let files = file::prepare(&job.workload, &place)?;
            let files = files.iter().take(job.workload.files() as usize);
            files.map(|file| file.path().to_owned()).collect()
        }
    };
    Ok(Prepared {
        boot: facts,
        device: device.path,
        mount_point: match place {
            Place::Mounted => MOUNT_POINT.to_owned(),
            Place::Device(_) => String::new(),
        },
        files,
    })
}

/// What the files of a job are in.
fn place(job: &Job, device: &Device) -> Place {
    match job.filesystem.kind.is_none() {
        true => Place::Device(device.path.clone()),
        false => Place::Mounted,
    }
}

/// Makes the device and the file system on it, if it gets one.
fn mounted(job: &Job) -> Result<(Device, FilesystemFacts, Option<Conditioned>)> {
    boot::check_filesystem(job.filesystem.kind)?;
    debugcon::enter(Phase::Device, "");
    let device = device::ready(&job.device, job.workload.io_uring.hipri)?;
    if job.device.size().is_none() {
        fits(job, &device.facts)?;
    }
    let conditioned = match job.conditioning.is_none() {
        true => None,
        false => {
            debugcon::enter(Phase::Condition, "");
            Some(device::condition(&job.conditioning, &device)?)
        }
    };
    let mut made = FilesystemFacts {
        kind: job.filesystem.kind.name().to_owned(),
        mkfs: Vec::new(),
        mount_options: String::new(),
        extents: 0,
    };
    if !job.filesystem.kind.is_none() {
        debugcon::enter(Phase::Format, job.filesystem.kind.name());
        made.mkfs = format::mkfs(&job.filesystem, &device)?;
        made.mount_options = format::mount(&job.filesystem, &device)?;
    }
    Ok((device, made, conditioned))
}

/// Refuses files that are not open as they should be or are cached; returns how many pages are.
fn refuse_doubt(files: &[Arc<PreparedFile>], when: &str) -> Result<u64> {
    let mut cached = 0;
    for file in files {
        let pages = file.cached_pages()?;
        judge(file.wrong_flag()?, pages, when)?;
        cached += pages;
    }
    Ok(cached)
}

/// Refuses what is doubtful of one file.
fn judge(wrong_flag: Option<&str>, cached_pages: u64, when: &str) -> Result<()> {
    if let Some(wrong) = wrong_flag {
        return Err(Fail::wrong(format!("{when} the file {wrong}")));
    }
    if cached_pages != 0 {
        return Err(Fail::wrong(format!(
            "{when} {cached_pages} pages of the file are cached"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job that passes, with one part replaced.
    fn job(from: &str, to: &str) -> String {
        let json = r#"{"protocol":7,"cell":"c","device":{"model":{"size_mib":512,"block_size":512,
            "latency_ns":10000,"bandwidth_mib_s":null,"hw_queue_depth":1023,"submit_queues":1,
            "scheduler":"none"}},"filesystem":{"kind":"ext4","mkfs":["/sbin/mkfs.ext4"],
            "mount_options":""},"workload":{"engine":"libaio","rw":"write","rwmixread":50,
            "randseed":1,"block_size":4096,"iodepth":64,
            "batch":{"submit":1,"complete_min":1,"complete_max":1},"numjobs":1,
            "file_size":1048576,"layout":"written","sync":"none","fdatasync":0,
            "io_uring":{"fixedbufs":false,"registerfiles":false,"hipri":false},
            "bound":{"ios":100}},"measure":{"repetitions":5,
            "warmup_ios":0,"phase_step_ns":1}}"#;
        assert!(json.contains(from), "{from}");
        json.replacen(from, to, 1)
    }

    fn refused(from: &str, to: &str) -> String {
        parse(job(from, to).as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_sensible_job_passes() {
        let job = parse(job("", "").as_bytes()).unwrap();
        assert_eq!(job.workload.iodepth, 64);
    }

    #[test]
    fn nonsense_is_refused_with_the_value() {
        insta::assert_snapshot!(refused("\"protocol\":7", "\"protocol\":9"), @"the job speaks protocol 9, this agent 7");
        insta::assert_snapshot!(refused("1048576", "1048577"), @"the job of c: file_size 1048577 is no multiple of block_size 4096");
        let unknown = refused("\"cell\":\"c\"", "\"cell\":\"c\",\"x\":1");
        assert!(unknown.contains("unknown field `x`"), "{unknown}");
    }
    #[test]
    fn doubtful_evidence_is_a_wrong_result() {
        assert!(judge(None, 0, "before").is_ok());
        let wrong = |flag, pages| judge(flag, pages, "after").unwrap_err().to_string();
        assert_eq!(
            wrong(Some("is not open O_DIRECT"), 0),
            "after the file is not open O_DIRECT"
        );
        assert_eq!(wrong(None, 3), "after 3 pages of the file are cached");
    }
}
