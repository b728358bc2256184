//! Workloads that fio runs: ours in its words, and job files of a user's own (pure).
//!
//! What cannot work in a guest is refused here, before anything boots, by job, option and reason.

mod ini;
pub(super) mod keys;
mod options;
pub(super) mod words;

use diorama_wire::{Bound, Engine, FW_CFG_JOB_SIZE, Fio, FioFile, Layout, Rw, Workload};
use ini::Job;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that fio's job file and its list of files may have as JSON: they travel in an item of
/// fixed size, beside the rest of the job.
const MAX_JSON: usize = FW_CFG_JOB_SIZE - 2048;
/// The longest runtime of a job, ns.
const MAX_RUNTIME_NS: u64 = 600_000_000_000;
/// The most jobs, clones included.
const MAX_JOBS: u64 = 64;

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
/// engine and directions.
///
/// # Errors
/// Everything in it that can't work here.
pub(super) fn job_file(text: &str) -> Result<(Workload, Fio), Vec<Refusal>> {
    let file = ini::read(text).map_err(|(line, what)| {
        vec![Refusal {
            line,
            what,
            next: "write it as fio's HOWTO says under \"Job file format\"".into(),
        }]
    })?;
    let mut found = Vec::new();
    let jobs: Vec<Summary> = (file.jobs.iter())
        .filter_map(|job| {
            Check {
                job,
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
            next: format!("write at most {MAX_JOBS}"),
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
            next: "write fewer jobs, and move what they share to [global]".into(),
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
            "its jobs and files need {len} bytes, and {MAX_JSON} fit the way to the guest"
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
    files: Vec<FioFile>,
}

struct Check<'a> {
    job: &'a Job,
    found: &'a mut Vec<Refusal>,
}

impl Check<'_> {
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
                format!("write {wanted}"),
            );
        }
        value
    }

    fn summary(mut self) -> Option<Summary> {
        let before = self.found.len();
        let job = self.job;
        let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if !job.name.chars().all(fits) || job.name.starts_with('.') {
            let next = "use letters, digits, `.`, `_`, `+` and `-`";
            self.refuse(1, &job.name, "its name becomes a file's name", next);
        }
        for setting in &job.settings {
            let option = match &setting.value {
                Some(value) => format!("{}={value}", setting.key),
                None => setting.key.clone(),
            };
            if let Some(why) = options::refusal(&setting.key) {
                self.refuse(setting.line, &option, &why, "leave it out");
            } else if option.contains("${") || option.contains('$') {
                let why = "there is nothing to expand it from";
                self.refuse(setting.line, &option, why, "write the value itself");
            }
        }
        let engine = self.engine();
        let rw = self.direction();
        self.direct();
        let number = |text: &str| text.parse().ok();
        let size = self.size();
        let block_size = self.read(&["bs", "blocksize"], 4096, first_bytes, "a size");
        let iodepth = self.read(&["iodepth"], 1, number, "a number");
        let clones = self.read(&["numjobs"], 1, |t| t.parse().ok(), "a number");
        let bound = self.bound();
        let names = self.file_names(clones.unwrap_or(1));
        if self.found.len() > before {
            return None;
        }
        let (rw, size) = (rw?, size?);
        let file = |name: String| FioFile {
            name,
            size,
            layout: self.layout(rw),
            read_only: !rw.writes(),
        };
        Some(Summary {
            engine: engine?,
            rw,
            block_size: block_size?,
            iodepth: iodepth?,
            bound: bound?,
            clones: clones?,
            files: names.into_iter().map(file).collect(),
        })
    }

    fn engine(&mut self) -> Option<Engine> {
        // fio's own default on Linux.
        let (line, name) = match self.job.get(&["ioengine"]) {
            Some(setting) => (setting.line, setting.value().to_owned()),
            None => (1, "psync".to_owned()),
        };
        match name.as_str() {
            "libaio" => Some(Engine::Libaio),
            "io_uring" => Some(Engine::IoUring),
            engine if options::ENGINES.contains(&engine) => Some(Engine::Psync),
            other => {
                let option = format!("ioengine={other}");
                let next = format!("write one of {}", options::ENGINES.join(", "));
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
            let next = "write read, write, randread, randwrite, rw or randrw";
            self.refuse(
                setting.line,
                &format!("{}={value}", setting.key),
                "it is not a direction that is measured",
                next,
            );
        }
        found
    }

    fn direct(&mut self) {
        let setting = self.job.get(&["direct"]);
        if setting.is_none_or(|s| s.value() == "0") {
            let line = setting.map_or(1, |s| s.line);
            self.refuse(
                line,
                "direct=0",
                "I/O through the page cache is not what is measured",
                "write direct=1",
            );
        }
    }

    fn size(&mut self) -> Option<u64> {
        let names = ["size", "filesize"];
        if self.job.get(&names).is_none() {
            self.refuse(
                1,
                "size",
                "it is missing",
                "write the size of the job's file: size=64m",
            );
            return None;
        }
        let size = self.read(&names, 0, ini::bytes, "a number of bytes")?;
        if size == 0 {
            self.refuse(
                1,
                "size=0",
                "there is nothing to read or write",
                "write size=64m",
            );
        }
        Some(size)
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
                    "write a shorter one",
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
            let why = "it is outside of the file system under test";
            let next = "name the file alone, without a directory: filename=data";
            self.refuse(setting.line, &format!("filename={value}"), why, next);
        }
        vec![value.to_owned()]
    }

    /// As fio would find the file: one that it reads or overwrites must be there.
    fn layout(&self, rw: Rw) -> Layout {
        if self.job.on(&["file_append"]) {
            Layout::Append
        } else if rw.reads() || self.job.on(&["overwrite"]) {
            Layout::Written
        } else if self.job.value(&["fallocate"]) == Some("none") {
            Layout::Extending
        } else {
            Layout::Unwritten
        }
    }
}

/// The first of `4k,8k` (reads, writes).
fn first_bytes(text: &str) -> Option<u32> {
    ini::bytes(text.split(',').next()?)?.try_into().ok()
}

/// Every file once: as large as any job wants it, written if any job needs that.
fn files(jobs: &[Summary]) -> Vec<FioFile> {
    let mut files: BTreeMap<&str, FioFile> = BTreeMap::new();
    for file in jobs.iter().flat_map(|job| &job.files) {
        let known = files.entry(&file.name).or_insert_with(|| file.clone());
        known.size = known.size.max(file.size);
        known.read_only &= file.read_only;
        if file.layout == Layout::Written {
            known.layout = Layout::Written;
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
    let sum = |all: u64, file: &FioFile| all.saturating_add(file.size);
    let grown = fio.files.iter().filter(appended).fold(0, sum);
    let size = fio.files.iter().fold(0, sum);
    Workload::new(
        first.engine,
        rw,
        first.block_size,
        first.iodepth,
        size.saturating_add(grown),
        first.bound,
    )
}

#[cfg(test)]
mod tests;
