//! Reading the job, and one cell from its device to its report.

use crate::{
    boot,
    counters::Counters,
    debugcon, device,
    engine::libaio::Libaio,
    fail::{Fail, Result},
    file::{self, Prepared},
    fio, format, fw_cfg,
    measure::Bench,
    schedule::Sequence,
};
use diorama_wire::{
    BootFacts, CellReport, Engine, EngineFacts, Evidence, FW_CFG_JOB, FilesystemFacts, JOB_PATH,
    Job, PROTOCOL, Phase, StopBy, Workload,
};
use std::fs;

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
    check(&job).map_err(|why| Fail::protocol(format!("the job of {}: {why}", job.cell)))?;
    Ok(job)
}

/// Refuses what would not measure what it says.
fn check(job: &Job) -> Result<(), String> {
    let Workload {
        block_size,
        iodepth,
        file_size,
        ..
    } = job.workload;
    let device_block = job.device.block_size;
    if device_block == 0 || block_size == 0 || !block_size.is_multiple_of(device_block.max(512)) {
        return Err(format!(
            "block_size {block_size} is no multiple of the device's {device_block}"
        ));
    }
    if file_size == 0 || !file_size.is_multiple_of(block_size.into()) {
        return Err(format!(
            "file_size {file_size} is no multiple of block_size {block_size}"
        ));
    }
    if iodepth == 0 || u64::from(iodepth) > file_size / u64::from(block_size) {
        return Err(format!(
            "iodepth {iodepth} does not fit a file of {} blocks",
            file_size / u64::from(block_size)
        ));
    }
    if job.measure.repetitions == 0 {
        return Err("no repetitions".into());
    }
    Ok(())
}

/// Builds, measures and checks one cell.
///
/// # Errors
/// The first step that fails.
pub fn run(job: &Job, facts: BootFacts) -> Result<CellReport> {
    boot::check_filesystem(job.filesystem.kind)?;
    debugcon::enter(Phase::Device, "");
    let device = device::make(&job.device)?;
    debugcon::enter(Phase::Format, job.filesystem.kind.name());
    let mkfs = format::mkfs(&job.filesystem, &device)?;
    let mount_options = format::mount(&job.filesystem, &device)?;
    let made = FilesystemFacts {
        kind: job.filesystem.kind.name().to_owned(),
        mkfs,
        mount_options,
        extents: 0,
    };
    debugcon::enter(Phase::Prepare, "");
    if let Some(jobs) = &job.fio {
        return fio::cell(job, jobs, device, made, facts);
    }
    let file = file::prepare(&job.workload)?;
    let o_direct = file.is_direct()?;
    let cached_pages_before = file.cached_pages()?;
    refuse_doubt(o_direct, cached_pages_before, "before the warm-up")?;

    let engine = match job.workload.engine {
        Engine::Libaio => Libaio::new(&file.file, &job.workload)?,
        other => {
            let what = format!("this agent has no engine {}", other.name());
            return Err(Fail::protocol(what));
        }
    };
    let mut bench = Bench {
        job,
        engine,
        counters: Counters::open(&device.sysfs)?,
        sequence: Sequence::new(job.workload.block_size.into(), job.workload.file_size),
    };
    let repetitions = bench.run()?;
    let sequence = bench.sequence;

    debugcon::enter(Phase::Verify, "");
    let cached_pages_after = file.cached_pages()?;
    refuse_doubt(file.is_direct()?, cached_pages_after, "after the run")?;
    let verified_blocks = verify(&file, &job.workload, &sequence)?;
    Ok(CellReport {
        cell: job.cell.clone(),
        boot: facts,
        device: device.facts,
        filesystem: FilesystemFacts {
            extents: file.extents,
            ..made
        },
        engine: EngineFacts {
            name: job.workload.engine.name().to_owned(),
            features: Vec::new(),
        },
        repetitions,
        fio: None,
        evidence: Evidence {
            o_direct,
            cached_pages_before,
            cached_pages_after,
            verified_blocks,
            buffer_alignment: crate::content::ALIGNMENT as u32,
        },
    })
}

/// Checks the whole file: as the preparation left it if the workload only read.
fn verify(file: &Prepared, workload: &Workload, sequence: &Sequence) -> Result<u64> {
    match workload.rw.writes() {
        true => file.verify(sequence),
        false => file.verify(&Sequence::new(
            workload.block_size.into(),
            workload.file_size,
        )),
    }
}

fn refuse_doubt(o_direct: bool, cached_pages: u64, when: &str) -> Result<()> {
    if !o_direct {
        return Err(Fail::wrong(format!("{when} the file is not open O_DIRECT")));
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
        let json = r#"{"protocol":2,"cell":"c","device":{"size_mib":512,"block_size":512,
            "latency_ns":10000,"bandwidth_mib_s":null,"hw_queue_depth":1023,"submit_queues":1,
            "scheduler":"none"},"filesystem":{"kind":"ext4","mkfs":["/sbin/mkfs.ext4"],
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
        insta::assert_snapshot!(refused("\"protocol\":2", "\"protocol\":9"), @"the job speaks protocol 9, this agent 2");
        insta::assert_snapshot!(refused("\"block_size\":4096", "\"block_size\":1000"), @"the job of c: block_size 1000 is no multiple of the device's 512");
        insta::assert_snapshot!(refused("1048576", "1048577"), @"the job of c: file_size 1048577 is no multiple of block_size 4096");
        insta::assert_snapshot!(refused("\"iodepth\":64", "\"iodepth\":257"), @"the job of c: iodepth 257 does not fit a file of 256 blocks");
        insta::assert_snapshot!(refused("\"repetitions\":5", "\"repetitions\":0"), @"the job of c: no repetitions");
        let unknown = refused("\"cell\":\"c\"", "\"cell\":\"c\",\"x\":1");
        assert!(unknown.contains("unknown field `x`"), "{unknown}");
    }

    #[test]
    fn doubtful_evidence_is_a_wrong_result() {
        assert!(refuse_doubt(true, 0, "before").is_ok());
        let wrong = |direct, pages| {
            refuse_doubt(direct, pages, "after")
                .unwrap_err()
                .to_string()
        };
        assert_eq!(wrong(false, 0), "after the file is not open O_DIRECT");
        assert_eq!(wrong(true, 3), "after 3 pages of the file are cached");
    }
}
