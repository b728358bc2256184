//! Cells that fio measures: Debian's fio as a child, once per repetition, with our counters around
//! it and its json+ output in the record.
//!
//! The rate is fio's own (`runtime` and `total_ios`). The counters are the guest's from fio's start
//! to its end, less those of a run of the same jobs with one I/O each: fio's own start, end and
//! reports, which are recorded. A user who measures with fio and looks at /proc sees the same.

mod files;
mod jobs;
mod needs;
mod open;
mod output;

use crate::{
    clock,
    counters::{Counters, Edge, Reading},
    debugcon,
    device::Device,
    fail::{Fail, Result},
    file::Place,
    format::MOUNT_POINT,
    mark, schedule,
};
use diorama_wire::{
    BANDWIDTH_PERIOD_NS, BootFacts, CellReport, EngineFacts, Evidence, FIO_DIR, FilesystemFacts,
    Fio, FioJob, FioOverhead, FioReport, Job, Phase, Repetition,
};
use files::Files;
use open::Seen;
use output::Output;
use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// Where fio's input and output are: the initramfs, which no disk is behind.
const JOBS: &str = "/tmp/jobs.fio";
const OUTPUT: &str = "/tmp/fio.json";
const WORDS: &str = "/tmp/fio.txt";

/// Between two looks at a running fio.
const LOOK: Duration = Duration::from_micros(500);

/// The program that runs fio as it is run here, for a shell; none in a guest without it.
pub fn wrapper() -> Option<String> {
    fs::metadata(format!("{FIO_DIR}/fio")).ok()?;
    Some(format!(
        "#!/bin/sh\nexec {FIO_DIR}/ld.so --library-path {FIO_DIR} {FIO_DIR}/fio \"$@\"\n"
    ))
}

/// Lays the files of a cell out; returns where they are.
///
/// # Errors
/// The first step that fails.
pub fn lay_out(fio: &Fio, place: &Place) -> Result<Vec<String>> {
    Ok(Files::lay_out(&fio.files, place)?.paths())
}

/// One cell, from its files to its report.
///
/// # Errors
/// The first step that fails.
pub fn cell(
    job: &Job,
    fio: &Fio,
    (device, place): (Device, &Place),
    made: FilesystemFacts,
    facts: BootFacts,
) -> Result<CellReport> {
    let files = Files::lay_out(&fio.files, place)?;
    let cached_pages_before = files.refuse_cached("before the warm-up")?;
    let throttled = job.throttle_iops.map(|iops| {
        let each = (iops.get() / u64::from(job.workload.numjobs.max(1))).max(1);
        Fio {
            jobs: jobs::with_rate(&fio.jobs, each),
            files: fio.files.clone(),
        }
    });
    let fio = throttled.as_ref().unwrap_or(fio);
    let mut bench = Bench {
        job,
        fio,
        files: &files,
        place,
        counters: Counters::open(&device)?,
        cpus: u64::from(facts.cpus),
    };
    debugcon::enter(Phase::Warmup, "");
    let (version, buffer_alignment) = bench.warm_up()?;
    // The first such run reads what later ones find in memory.
    bench.measured(&jobs::with_ios(&fio.jobs, 1))?;
    mark::count();
    let (overhead, _) = bench.measured(&jobs::with_ios(&fio.jobs, 1))?;
    let overhead = overhead.cost(bench.cpus);
    let count = job.measure.repetitions;
    let mut repetitions = Vec::new();
    let mut said = Vec::new();
    mark::profile();
    for i in 0..count {
        debugcon::enter(Phase::Measure, format!("{}/{count}", i + 1));
        let (repetition, jobs) = bench.repetition(u64::from(i), &overhead)?;
        repetitions.push(repetition);
        said.push(jobs);
    }

    debugcon::enter(Phase::Verify, "");
    files.refuse_others()?;
    let cached_pages_after = files.refuse_cached("after the run")?;
    let verified_blocks = files.verify()?;
    Ok(CellReport {
        cell: job.cell.clone(),
        boot: facts,
        device: device.facts,
        conditioned: None,
        throttle_iops: job.throttle_iops,
        filesystem: FilesystemFacts {
            extents: files.extents(),
            ..made
        },
        engine: EngineFacts {
            name: format!("{version} {}", job.workload.engine.name()),
            features: Vec::new(),
        },
        repetitions,
        fio: Some(FioReport {
            version,
            overhead,
            repetitions: said,
        }),
        evidence: Evidence {
            // Seen in the warm-up, or it would have failed.
            o_direct: true,
            cached_pages_before,
            cached_pages_after,
            verified_blocks,
            buffer_alignment,
        },
    })
}

struct Bench<'a> {
    job: &'a Job,
    fio: &'a Fio,
    files: &'a Files,
    place: &'a Place,
    counters: Counters,
    cpus: u64,
}

/// The counters on both sides of a run of fio.
struct Around {
    elapsed_ns: u64,
    before: Reading,
    after: Reading,
}

impl Around {
    /// What the run cost the guest.
    fn cost(&self, cpus: u64) -> FioOverhead {
        let spent = self.before.until(&self.after);
        FioOverhead {
            elapsed_ns: self.elapsed_ns,
            context_switches: spent.context_switches,
            interrupts: spent.interrupts,
            busy_ns: spent
                .idle_ns
                .map(|idle| (self.elapsed_ns * cpus).saturating_sub(idle)),
            kworker_runs: spent.kworker_runs,
        }
    }
}

impl Bench<'_> {
    /// A run that nothing is taken from but fio's version, and the proof that it opens its files
    /// as it was told to. Returns the version and the alignment of its buffers, in bytes.
    fn warm_up(&mut self) -> Result<(String, u32)> {
        let measure = &self.job.measure;
        let text = match (measure.ramp_time_ns, measure.warmup_ios) {
            (0, 0) => self.fio.jobs.clone(),
            (0, n) => jobs::with_ios(&self.fio.jobs, n),
            (ns, _) => jobs::with_runtime(&self.fio.jobs, ns),
        };
        self.files.lay_again()?;
        let mut child = start(&text)?;
        let mut seen = Seen::default();
        let output = loop {
            seen.look(child.id(), self.place);
            if let Some(status) = child.try_wait().map_err(waiting)? {
                break finish(status)?;
            }
            std::thread::sleep(LOOK);
        };
        self.files.refuse_replaced("after the warm-up")?;
        match seen.all_direct(&self.files.inodes()) {
            Some(true) => {}
            Some(false) => return Err(Fail::wrong("fio has its file open without O_DIRECT")),
            None => return Err(Fail::wrong("no look at the running fio saw its files open")),
        }
        Ok((output.version, PAGE))
    }

    /// Runs fio, with the counters around it.
    fn measured(&mut self, text: &str) -> Result<(Around, Output)> {
        self.files.lay_again()?;
        self.files.refuse_replaced("before a run of fio")?;
        let slow = self.counters.slow(Edge::Before)?;
        let fast = self.counters.fast()?;
        let before = Reading { fast, slow };
        mark::open();
        let start_ns = clock::now();
        let status = start(text).and_then(|mut fio| fio.wait().map_err(waiting));
        mark::close();
        let elapsed_ns = clock::now() - start_ns;
        let fast = self.counters.fast()?;
        let slow = self.counters.slow(Edge::After)?;
        let around = Around {
            elapsed_ns,
            before,
            after: Reading { fast, slow },
        };
        let output = finish(status?)?;
        self.files.refuse_replaced("after a run of fio")?;
        Ok((around, output))
    }

    fn repetition(
        &mut self,
        index: u64,
        overhead: &FioOverhead,
    ) -> Result<(Repetition, Vec<FioJob>)> {
        let phase_ns = index * self.job.measure.phase_step_ns % BANDWIDTH_PERIOD_NS;
        clock::sleep_until(schedule::aligned_start(clock::now(), phase_ns));
        let (around, output) = self.measured(&self.fio.jobs)?;
        let cost = around.cost(self.cpus);
        let rw = self.job.workload.rw;
        let disk = around
            .after
            .fast
            .disk
            .of(rw)
            .since(around.before.fast.disk.of(rw));
        let total = output.total();
        // To a mirror each write is two; of a mix fio does not say here how many bytes were written.
        let copies = self.job.device.copies();
        let bytes = if rw.reads() {
            total.bytes
        } else {
            total.bytes * copies
        };
        if !disk.covers(total.reads + total.writes * copies, bytes) {
            return Err(Fail::wrong(format!(
                "fio says it moved {} bytes with {} I/Os, but the device completed {} requests \
                 ({} merged) of {} sectors",
                total.bytes,
                total.ios(),
                disk.ios,
                disk.merges,
                disk.sectors
            )));
        }
        if total.runtime_ms == 0 || total.ios() == 0 {
            return Err(Fail::wrong(
                "fio counts whole milliseconds, and its jobs took less than one; let them run longer",
            ));
        }
        let less = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_sub(b?));
        let repetition = Repetition {
            phase_ns,
            window_ns: total.runtime_ms * 1_000_000,
            ios: total.ios(),
            bytes: total.bytes,
            reads: total.reads,
            writes: total.writes,
            // fio says how often it called fsync(2), but of fdatasync(2) it says nothing.
            fsyncs: output.syncs
                + total
                    .writes
                    .checked_div(self.job.workload.fdatasync.into())
                    .unwrap_or(0),
            span_ns: cost.elapsed_ns,
            span_ios: total.ios(),
            latency: output.latency.clone(),
            context_switches: cost
                .context_switches
                .saturating_sub(overhead.context_switches),
            interrupts: cost.interrupts.saturating_sub(overhead.interrupts),
            busy_ns: less(cost.busy_ns, overhead.busy_ns),
            user_ns: output.user_ns(),
            kworker_runs: less(cost.kworker_runs, overhead.kworker_runs),
            device_ios: disk.ios,
            device_sectors: disk.sectors,
            device_flushes: around.after.fast.flushes_since(&around.before.fast),
            per_second: Vec::new(),
        };
        Ok((repetition, output.jobs))
    }
}

/// What fio aligns its buffers to (`iomem_align`'s default), in bytes.
const PAGE: u32 = 4096;

/// Starts fio in the file system under test.
fn start(text: &str) -> Result<Child> {
    fs::write(JOBS, text).map_err(|e| Fail::os(format_args!("write {JOBS}"), &e))?;
    let words = File::create(WORDS).map_err(|e| Fail::os(format_args!("create {WORDS}"), &e))?;
    let errors = words.try_clone().map_err(|e| Fail::os("dup", &e))?;
    // Left from the run before; may be missing.
    let _ = fs::remove_file(OUTPUT);
    Command::new(format!("{FIO_DIR}/ld.so"))
        .args(["--library-path", FIO_DIR])
        .arg(format!("{FIO_DIR}/fio"))
        .args(["--output-format=json+", "--eta=never"])
        .arg(format!("--output={OUTPUT}"))
        .arg(JOBS)
        .current_dir(MOUNT_POINT)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(words)
        .stderr(errors)
        .spawn()
        .map_err(|e| needs::explain(Fail::os(format_args!("run {FIO_DIR}/fio"), &e)))
}

/// What fio wrote in its last run, if it ran.
pub fn last_output() -> Option<&'static Path> {
    let path = Path::new(OUTPUT);
    path.exists().then_some(path)
}

fn waiting(e: io::Error) -> Box<Fail> {
    Fail::os("wait for fio", &e)
}

/// The output of a run that has ended so.
fn finish(status: ExitStatus) -> Result<Output> {
    let words = fs::read_to_string(WORDS).unwrap_or_default();
    let text = fs::read_to_string(OUTPUT).unwrap_or_default();
    if !status.success() {
        let how = match status.signal() {
            // The stand-ins' only instruction.
            Some(libc::SIGILL) => {
                "by an engine whose library is not in the guest (see images/README.md)".to_owned()
            }
            _ => format!("with {status}"),
        };
        let failed = Fail::step(format!("fio ended {how}")).with_output(&(text + &words));
        return Err(needs::explain(failed));
    }
    output::parse(&text).map_err(|why| Fail::wrong(why).with_output(&words))
}
