//! Workloads that fio runs: ours in its words, and job files of a user's own (pure).
//!
//! What cannot work in a guest is refused here, before anything boots, by job, option and reason.

mod ini;
pub(super) mod keys;
mod options;
mod region;
pub(super) mod words;

use diorama_wire::{Bound, Engine, FW_CFG_JOB_SIZE, Fio, FioFile, IoUring, Layout, Rw, Workload};
use ini::JobSection;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that fio's job file and its list of files may have as JSON: they travel in an item of
/// fixed size, beside the rest of the job.
const MAX_JSON: usize = FW_CFG_JOB_SIZE - 2048;
/// The longest runtime of a job, ns.
const MAX_RUNTIME_NS: u64 = 600_000_000_000;
/// The most jobs, clones included.
const MAX_JOBS: u64 = Workload::MAX_JOBS as u64;
/// fio's own default on Linux.
const DEFAULT_ENGINE: &str = "psync";

/// Something that is wrong with a job file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Line of the job file, from 1.
    pub(super) line: usize,
    /// Job, option and reason, or what cannot be read.
    pub(super) what: String,
    /// What to do.
    pub(super) next: String,
}

/// What a job file means: the run of fio, and what it amounts to for those who need its size,
/// engine and directions. `sector` is the drive's block in bytes, which direct I/O is aligned to.
///
/// # Errors
/// Everything in it that can't work here.
pub(super) fn job_file(text: &str, sector: u32) -> Result<(Workload, Fio), Vec<Refusal>> {
    let file = ini::read(text).map_err(|(line, what)| {
        vec![Refusal {
            line,
            what,
            next: "see \"Job file format\" in fio's HOWTO".into(),
        }]
    })?;
    let mut found = Vec::new();
    let jobs: Vec<Summary> = (file.jobs.iter())
        .filter_map(|job| {
            Checker {
                job,
                sector: sector.max(512),
                found: &mut found,
            }
            .summary()
        })
        .collect();
    let clones = (jobs.iter()).fold(0_u64, |all, job| all.saturating_add(job.clones));
    if clones > MAX_JOBS {
        found.push(Refusal {
            line: 1,
            what: format!("it makes {clones} jobs"),
            next: format!("use at most {MAX_JOBS}"),
        });
    }
    // [global] reaches several jobs; its mistakes are one job's each.
    let mut seen = BTreeSet::new();
    found.retain(|refusal| refusal.line == 1 || seen.insert(refusal.line));
    let fio = Fio {
        files: files(&jobs),
        jobs: file.text,
    };
    if let Err(what) = travels(&fio) {
        found.push(Refusal {
            line: 1,
            what,
            next: "use fewer jobs, and move what they share to [global]".into(),
        });
    }
    match jobs.first() {
        Some(first) if found.is_empty() => Ok((amounts_to(first, &jobs, &fio), fio)),
        _ => Err(found),
    }
}

/// Whether it fits the item that carries a job to the guest.
fn travels(fio: &Fio) -> Result<(), String> {
    match serde_json::to_vec(fio).map_or(usize::MAX, |json| json.len()) {
        len if len > MAX_JSON => Err(format!(
            "its jobs and files need {len} bytes, but at most {MAX_JSON} can be passed to the guest"
        )),
        _ => Ok(()),
    }
}

/// A job, as far as anybody besides fio must know it.
#[derive(Debug)]
struct Summary {
    engine: Engine,
    rw: Rw,
    block_size: u32,
    iodepth: u32,
    bound: Bound,
    clones: u64,
    io_uring: IoUring,
    /// Writes between two calls of fdatasync(2); 0 is never.
    fdatasync: u32,
    files: Vec<FioFile>,
}

struct Checker<'a> {
    job: &'a JobSection,
    /// The drive's block, in bytes.
    sector: u32,
    found: &'a mut Vec<Refusal>,
}

impl Checker<'_> {
    fn refuse(&mut self, line: usize, option: &str, why: &str, next: impl Into<String>) {
        self.found.push(Refusal {
            line,
            what: format!("job `{}`, `{option}`: {why}", self.job.name),
            next: next.into(),
        });
    }

    /// A value by one of the readers above, or a refusal.
    fn read<T>(
        &mut self,
        names: &[&str],
        default: T,
        read: impl Fn(&str) -> Option<T>,
        wanted: &str,
    ) -> Option<T> {
        let Some(setting) = self.job.get(names) else {
            return Some(default);
        };
        let value = read(setting.value());
        if value.is_none() {
            let option = format!("{}={}", setting.key, setting.value());
            self.refuse(
                setting.line,
                &option,
                &format!("it is not {wanted}"),
                format!("use {wanted}"),
            );
        }
        value
    }

    fn summary(mut self) -> Option<Summary> {
        let before = self.found.len();
        let job = self.job;
        let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if !job.name.chars().all(fits) || job.name.starts_with('.') || job.name.len() > 64 {
            let next = "use up to 64 letters, digits, `.`, `_`, `+` and `-`";
            self.refuse(1, &job.name, "its name becomes a file name", next);
        }
        for setting in &job.settings {
            let option = match &setting.value {
                Some(value) => format!("{}={value}", setting.key),
                None => setting.key.clone(),
            };
            if let Some(why) = options::refusal(&setting.key) {
                self.refuse(setting.line, &option, &why, "leave it out");
            } else if option.contains("${") || option.contains('$') {
                let why = "variables are not expanded here";
                self.refuse(setting.line, &option, why, "write the value itself");
            }
        }
        self.switches();
        let engine = self.engine();
        let rw = self.direction();
        self.direct();
        let number = |text: &str| text.parse().ok();
        let region = self.region();
        let sector = self.sector;
        let wanted = format!(
            "a multiple of {sector} bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes)"
        );
        let blocks = |text: &str| blocks(text, sector);
        let block_size = self.read(&["bs", "blocksize"], 4096, blocks, &wanted);
        let iodepth = self.read(&["iodepth"], 1, number, "a number");
        let jobs = |text: &str| text.parse().ok().filter(|n| (1..=MAX_JOBS).contains(n));
        let clones = self.read(&["numjobs"], 1, jobs, "a number from 1 to 64");
        let fdatasync = self.read(&["fdatasync"], 0, number, "a number");
        let bound = self.bound();
        let layout = self.layout(rw.unwrap_or(Rw::Read));
        let names = self.file_names(clones.unwrap_or(1));
        let lengths = region
            .zip(clones)
            .and_then(|(region, clones)| self.lengths(&region, clones));
        if self.found.len() > before {
            return None;
        }
        let (rw, layout) = (rw?, layout?);
        let file = |(name, size)| FioFile {
            name,
            size,
            layout,
            read_only: !rw.writes(),
        };
        // Clones of a job that names its file share it.
        let names = names.iter().cycle().cloned();
        Some(Summary {
            io_uring: self.io_uring(),
            fdatasync: fdatasync?,
            engine: engine?,
            rw,
            block_size: block_size?,
            iodepth: iodepth?,
            bound: bound?,
            clones: clones?,
            files: names.zip(lengths?).map(file).collect(),
        })
    }

    /// Every switch is on or off, and an engine's own options are its own, as fio will have it.
    fn switches(&mut self) {
        let engine = self.job.value(&["ioengine"]).unwrap_or(DEFAULT_ENGINE);
        for setting in &self.job.settings {
            let key = setting.key.as_str();
            let option = match &setting.value {
                Some(value) => format!("{key}={value}"),
                None => key.to_owned(),
            };
            let switch = options::SWITCHES.iter().find(|(name, _)| *name == key);
            let bad = switch.is_some_and(|(_, alone)| match &setting.value {
                Some(value) => ini::switch(value).is_none(),
                None => !alone,
            });
            if bad {
                let why = "fio accepts only 0 or 1 for it";
                self.refuse(
                    setting.line,
                    &option,
                    why,
                    format!("use {key}=1 or {key}=0"),
                );
            }
            if let Some(engines) = options::engines_of(key)
                && !engines.contains(&engine)
                && !setting.global
            {
                let why = format!(
                    "it is an option of {}, not of {engine}",
                    engines.join(" and ")
                );
                self.refuse(setting.line, &option, &why, "leave it out");
            }
        }
    }

    /// The options of io_uring that the device and a reader of the report must know. pvsync2 has the
    /// first, too.
    fn io_uring(&self) -> IoUring {
        let engine = self.job.value(&["ioengine"]).unwrap_or(DEFAULT_ENGINE);
        let on = |key| {
            let known = options::engines_of(key).is_some_and(|of| of.contains(&engine));
            known && self.job.on(&[key])
        };
        IoUring {
            fixedbufs: on("fixedbufs"),
            registerfiles: on("registerfiles"),
            hipri: on("hipri"),
        }
    }

    fn engine(&mut self) -> Option<Engine> {
        let (line, name) = match self.job.get(&["ioengine"]) {
            Some(setting) => (setting.line, setting.value().to_owned()),
            None => (1, DEFAULT_ENGINE.to_owned()),
        };
        match name.as_str() {
            "libaio" => Some(Engine::Libaio),
            "io_uring" => Some(Engine::IoUring),
            engine if options::ENGINES.contains(&engine) => Some(Engine::Psync),
            other => {
                let option = format!("ioengine={other}");
                let next = format!("use one of {}", options::ENGINES.join(", "));
                self.refuse(
                    line,
                    &option,
                    "it is not one of the engines that do direct file I/O in the guest",
                    next,
                );
                None
            }
        }
    }

    fn direction(&mut self) -> Option<Rw> {
        let Some(setting) = self.job.get(&["rw", "readwrite"]) else {
            return Some(Rw::Read); // fio's default
        };
        let value = setting.value();
        let word = value.split(':').next().unwrap_or_default();
        let word = if word == "readwrite" { "rw" } else { word };
        let found = Rw::ALL.into_iter().find(|rw| rw.name() == word);
        if found.is_none() {
            let next = "use read, write, randread, randwrite, rw or randrw";
            self.refuse(
                setting.line,
                &format!("{}={value}", setting.key),
                "it is not a supported direction",
                next,
            );
        }
        found
    }

    fn direct(&mut self) {
        // `buffered` is the same switch the other way round.
        let setting = self.job.get(&["direct", "buffered"]);
        let on = setting
            .is_some_and(|s| ini::switch(s.value()).is_none_or(|on| on == (s.key == "direct")));
        if !on {
            let line = setting.map_or(1, |s| s.line);
            self.refuse(
                line,
                "direct=0",
                "only direct I/O is measured",
                "use direct=1",
            );
        }
    }

    /// A run must end by itself.
    fn bound(&mut self) -> Option<Bound> {
        let runtime = self.read(
            &["runtime", "timeout"],
            0,
            ini::nanos,
            "a time in us, ms, s or m",
        )?;
        if self.job.on(&["time_based"]) {
            let line = self.job.get(&["time_based"]).map_or(1, |s| s.line);
            if runtime == 0 {
                self.refuse(
                    line,
                    "time_based",
                    "without a runtime it never ends",
                    "add runtime=1s",
                );
                return None;
            }
            if runtime > MAX_RUNTIME_NS {
                self.refuse(
                    line,
                    "runtime",
                    "it is longer than ten minutes",
                    "use a shorter one",
                );
                return None;
            }
            return Some(Bound::Runtime(runtime));
        }
        let ios = self.read(&["number_ios"], 0, |t| t.parse().ok(), "a number")?;
        Some(match ios {
            0 => Bound::Runtime(runtime),
            n => Bound::Ios(n),
        })
    }

    /// The files of all clones: those named, or fio's `$jobname.$jobnum.$filenum`.
    fn file_names(&mut self, clones: u64) -> Vec<String> {
        let Some(setting) = self.job.get(&["filename"]) else {
            let names = (0..clones.min(MAX_JOBS)).map(|i| format!("{}.{i}.0", self.job.name));
            return names.collect();
        };
        let value = setting.value();
        if value.contains(':') {
            let next = "name one file, or leave filename out";
            self.refuse(
                setting.line,
                &format!("filename={value}"),
                "it names several files",
                next,
            );
        } else if value.contains('/') || value.starts_with('.') || value.is_empty() || value == "-"
        {
            let why = "it is outside the file system under test";
            let next = "use a bare file name, without a directory: filename=data";
            self.refuse(setting.line, &format!("filename={value}"), why, next);
        }
        vec![value.to_owned()]
    }

    /// As fio would find the file: one that it reads or overwrites must be there. What it allocates
    /// in a way of its own it makes itself.
    fn layout(&mut self, rw: Rw) -> Option<Layout> {
        if self.job.on(&["file_append"]) {
            return Some(Layout::Append);
        }
        if rw.reads() || self.job.on(&["overwrite"]) {
            return Some(Layout::Written);
        }
        let Some(setting) = self.job.get(&["fallocate"]) else {
            return Some(Layout::Unwritten); // fio's default, native
        };
        match setting.value() {
            "native" | "posix" | "1" => Some(Layout::Unwritten),
            "none" | "0" | "keep" | "truncate" => Some(Layout::Extending),
            other => {
                let next = "use native, posix, keep, truncate or none";
                let option = format!("fallocate={other}");
                self.refuse(setting.line, &option, "fio has no such mode", next);
                None
            }
        }
    }
}

/// The first of `4k,8k` (reads, writes); None unless direct I/O can have each.
fn blocks(text: &str, sector: u32) -> Option<u32> {
    let sizes = text.split(',').map(|one| {
        let bytes = ini::bytes(one)?;
        u32::try_from(bytes)
            .ok()
            .filter(|n| *n > 0 && n.is_multiple_of(sector))
    });
    let sizes: Option<Vec<u32>> = sizes.collect();
    sizes?.first().copied()
}

/// Which of several layouts a file has that several jobs use: that of the neediest. One that jobs
/// append to is written, and shortened again.
fn need(layout: Layout) -> u8 {
    match layout {
        Layout::Extending => 0,
        Layout::Unwritten => 1,
        Layout::Written => 2,
        Layout::Append => 3,
    }
}

/// Every file once: as large as any job wants it, written if any job needs that.
fn files(jobs: &[Summary]) -> Vec<FioFile> {
    let mut files: BTreeMap<&str, FioFile> = BTreeMap::new();
    for file in jobs.iter().flat_map(|job| &job.files) {
        let known = files.entry(&file.name).or_insert_with(|| file.clone());
        known.size = known.size.max(file.size);
        known.read_only &= file.read_only;
        if need(file.layout) > need(known.layout) {
            known.layout = file.layout;
        }
    }
    files.into_values().collect()
}

/// The first job's words, and the size of all files.
fn amounts_to(first: &Summary, jobs: &[Summary], fio: &Fio) -> Workload {
    let (reads, writes) = (jobs.iter()).fold((false, false), |(r, w), job| {
        (r || job.rw.reads(), w || job.rw.writes())
    });
    let random = jobs.iter().any(|job| job.rw.is_random());
    let rw = match (reads, writes, random) {
        (true, true, false) => Rw::Rw,
        (true, true, true) => Rw::Randrw,
        (_, false, false) => Rw::Read,
        (_, false, true) => Rw::Randread,
        (false, true, false) => Rw::Write,
        (false, true, true) => Rw::Randwrite,
    };
    let appended = |file: &&FioFile| file.layout == Layout::Append;
    let sum = |sum: u64, file: &FioFile| sum.saturating_add(file.size);
    let grown = fio.files.iter().filter(appended).fold(0, sum);
    let size = fio.files.iter().fold(0, sum);
    let any = |on: fn(&IoUring) -> bool| jobs.iter().any(|job| on(&job.io_uring));
    let writing: BTreeSet<u32> = (jobs.iter().filter(|job| job.rw.writes()))
        .map(|job| job.fdatasync)
        .collect();
    Workload {
        // One number for all that write, or none that could be counted by.
        fdatasync: writing
            .first()
            .copied()
            .filter(|_| writing.len() == 1)
            .unwrap_or(0),
        io_uring: IoUring {
            fixedbufs: any(|o| o.fixedbufs),
            registerfiles: any(|o| o.registerfiles),
            hipri: any(|o| o.hipri),
        },
        ..Workload::new(
            first.engine,
            rw,
            first.block_size,
            first.iodepth,
            size.saturating_add(grown),
            first.bound,
        )
    }
}

#[cfg(test)]
mod tests;
