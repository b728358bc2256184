//! One job of a file: what it does, what becomes of its options, and what cannot work (pure).

use super::ini::{self, Id, JobSection};
use super::options::{self, Fate};
use super::region::{Amount, Region};
use super::{DEFAULT_ENGINE, MAX_JOBS, Refusal};
use diorama_wire::{Engine, IoUring, Layout, Rw};
use std::collections::BTreeMap;

/// What is done to an option of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// It is left out.
    Drop,
    /// These stand in its place.
    Lines(Vec<String>),
}

/// A job, as far as anybody besides fio must know it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) job: JobSection,
    pub(super) engine: Engine,
    pub(super) rw: Rw,
    pub(super) block_size: u32,
    pub(super) iodepth: u32,
    pub(super) clones: u64,
    pub(super) io_uring: IoUring,
    /// Writes between two calls of fdatasync(2); 0 is never.
    pub(super) fdatasync: u32,
    pub(super) region: Region,
    pub(super) layout: Layout,
    /// Its files: one, or one for each clone.
    pub(super) names: Vec<String>,
    /// `runtime` in ns; 0 is none.
    pub(super) runtime_ns: u64,
    /// `number_ios`; 0 is none.
    pub(super) number_ios: u64,
    pub(super) loops: u64,
    /// Whether it waits for those before it.
    pub(super) stonewall: bool,
    pub(super) edits: Vec<(Id, Edit)>,
    /// What a reader must know of it.
    pub(super) said: Vec<String>,
}

/// What the guest has for a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    /// The drive's block, in bytes.
    pub(super) sector: u32,
    pub(super) cpus: u32,
    pub(super) on: On,
}

/// What the scenario runs its jobs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) enum On {
    /// File systems.
    Filesystems,
    /// The block device itself.
    Device,
    /// Both.
    Both,
}

pub(super) struct Checker<'a> {
    pub(super) job: &'a JobSection,
    /// The drive's block, in bytes.
    pub(super) sector: u32,
    pub(super) cpus: u32,
    on: On,
    /// The name in the guest of every file of every job.
    pub(super) files: &'a BTreeMap<String, String>,
    pub(super) found: &'a mut Vec<Refusal>,
    edits: Vec<(Id, Edit)>,
    said: Vec<String>,
}

/// Bytes of buffers that a guest has for a job file's I/Os in flight.
pub(super) const MOST_IN_FLIGHT: u64 = 256 << 20;

impl<'a> Checker<'a> {
    pub(super) fn new(
        job: &'a JobSection,
        guest: Guest,
        files: &'a BTreeMap<String, String>,
        found: &'a mut Vec<Refusal>,
    ) -> Checker<'a> {
        Checker {
            job,
            sector: guest.sector,
            cpus: guest.cpus,
            on: guest.on,
            files,
            found,
            edits: Vec::new(),
            said: Vec::new(),
        }
    }

    pub(super) fn refuse(&mut self, line: usize, option: &str, why: &str, next: impl Into<String>) {
        self.found.push(Refusal {
            line,
            what: format!("job `{}`, `{option}`: {why}", self.job.name),
            next: next.into(),
        });
    }

    /// A value by one of the readers, or a refusal.
    pub(super) fn read<T>(
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
            self.refuse(
                setting.line,
                &setting.shown(),
                &format!("it is not {wanted}"),
                format!("use {wanted}"),
            );
        }
        value
    }

    pub(super) fn draft(mut self) -> Option<Draft> {
        let before = self.found.len();
        let job = self.job;
        self.fates();
        self.switches();
        let engine = self.engine();
        let rw = self.direction();
        self.direct();
        self.cpus();
        self.memory();
        let number = |text: &str| u32::try_from(ini::bytes(text)?).ok();
        let region = self.region();
        let block_size = self.block_size();
        let iodepth = self.read(&["iodepth"], 1, number, "a number");
        let jobs = |text: &str| text.parse().ok().filter(|n| (1..=MAX_JOBS).contains(n));
        let clones = self.read(&["numjobs"], 1, jobs, "a number from 1 to 64");
        let fdatasync = self.read(&["fdatasync"], 0, number, "a number");
        let count = |text: &str| ini::bytes(text);
        let number_ios = self.read(&["number_ios"], 0, count, "a number");
        let loops = self.read(&["loops"], 1, count, "a number");
        let runtime = self.runtime();
        let layout = self.layout(rw.unwrap_or(Rw::Read));
        let names = self.file_names(clones.unwrap_or(1));
        if self.found.len() > before {
            return None;
        }
        let runtime_ns = runtime?;
        Some(Draft {
            io_uring: self.io_uring(),
            engine: engine?,
            rw: rw?,
            block_size: block_size?,
            iodepth: iodepth?,
            clones: clones?,
            fdatasync: fdatasync?,
            region: region?,
            layout: layout?,
            names,
            runtime_ns,
            number_ios: number_ios?,
            loops: loops?.max(1),
            stonewall: job.on(&["stonewall", "wait_for_previous"]),
            edits: self.edits,
            said: self.said,
            job: job.clone(),
        })
    }

    /// What becomes of every option.
    fn fates(&mut self) {
        for setting in &self.job.settings {
            match options::fate(&setting.key, setting.value()) {
                Ok(Fate::Kept) if setting.begins_with_blank() => {
                    let why = "fio takes the blank behind `=` for a part of the value";
                    let next = format!("write {}", setting.shown());
                    self.refuse(setting.line, &setting.raw, why, next);
                }
                Ok(Fate::Kept) => {}
                Ok(Fate::Dropped) => self.edits.push((setting.id, Edit::Drop)),
                Ok(Fate::LeftOut(why)) => {
                    self.edits.push((setting.id, Edit::Drop));
                    self.said
                        .push(format!("{} is left out: {why}", setting.shown()));
                }
                Err((why, next)) => self.refuse(setting.line, &setting.shown(), &why, next),
            }
            let barrier = ["stonewall", "wait_for_previous"].contains(&setting.key.as_str());
            if barrier {
                self.edits.push((setting.id, Edit::Drop));
            }
        }
        if self.job.on(&["gtod_reduce"]) || self.job.on(&["disable_clat"]) {
            let name = &self.job.name;
            self.said.push(format!(
                "job {name} has no latencies: it tells fio to take no times"
            ));
        }
    }

    /// Every switch is on or off, and an engine's own options are its own, as fio will have it.
    fn switches(&mut self) {
        let engine = self.job.value(&["ioengine"]).unwrap_or(DEFAULT_ENGINE);
        for setting in &self.job.settings {
            let key = setting.key.as_str();
            let option = setting.shown();
            let switch = options::SWITCHES.iter().find(|(name, _)| *name == key);
            let bad = switch.is_some_and(|(_, alone)| match &setting.value {
                Some(value) => ini::switch(value).is_none(),
                None => !alone,
            });
            if bad {
                let why = "fio accepts only 0 or 1 for it";
                let next = format!("use {key}=1 or {key}=0");
                self.refuse(setting.line, &option, why, next);
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
                let why = "it is not one of the engines that do direct file I/O in the guest";
                self.refuse(line, &option, why, next);
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
            let why = "it is not a supported direction";
            self.refuse(setting.line, &setting.shown(), why, next);
        }
        found
    }

    fn direct(&mut self) {
        // `buffered` is the same switch the other way round.
        let setting = self.job.get(&["direct", "buffered"]);
        let on = setting
            .is_some_and(|s| ini::switch(s.value()).is_none_or(|on| on == (s.key == "direct")));
        if on {
            return;
        }
        match setting {
            Some(setting) => self.refuse(
                setting.line,
                &setting.shown(),
                "it is buffered I/O, and only direct I/O is measured",
                "use direct=1, if that is still the test you mean",
            ),
            None => self.refuse(
                self.job.line,
                "direct",
                "without it fio's I/O is buffered, and only direct I/O is measured",
                "add direct=1, if that is still the test you mean",
            ),
        }
    }

    /// CPUs that the guest has.
    fn cpus(&mut self) {
        for key in ["cpus_allowed", "sqthread_poll_cpu"] {
            let Some(setting) = self.job.get(&[key]) else {
                continue;
            };
            let numbers = setting.value().split([',', '-', ':']);
            let numbers: Vec<u32> = numbers.filter_map(|n| n.trim().parse().ok()).collect();
            if numbers.iter().any(|cpu| *cpu >= self.cpus) {
                let why = match self.cpus {
                    1 => "the guest has one CPU, number 0".to_owned(),
                    n => format!("the guest has {n} CPUs, from 0"),
                };
                let next = "leave it out, or give the guest more CPUs: [guest] smp";
                self.refuse(setting.line, &setting.shown(), &why, next);
            }
        }
    }

    /// Where buffers are, as far as the guest has such memory.
    fn memory(&mut self) {
        let huge = self.job.get(&["iomem", "mem"]);
        if let Some(setting) = huge.filter(|setting| setting.value().contains("huge")) {
            let why = "the guest has no huge pages set aside";
            let next = "leave it out, if that is still the test you mean";
            self.refuse(setting.line, &setting.shown(), why, next);
        }
    }

    /// The size of a read or write, whichever the job does first; every size must be one that direct
    /// I/O can have.
    fn block_size(&mut self) -> Option<u32> {
        let sector = self.sector;
        let wanted = format!(
            "a multiple of {sector} bytes, the drive's block, such as 4k (fio reads 4KiB as 4000 bytes)"
        );
        let good = |text: &str| {
            let bytes = u32::try_from(ini::bytes(text)?).ok()?;
            (bytes > 0 && bytes.is_multiple_of(sector)).then_some(bytes)
        };
        // Reads, writes, trims; what is left out is the default, but behind the first the first.
        let list = |text: &str| {
            let sizes = text.split(',').map(|one| match one {
                "" => Some(4096),
                one => good(one),
            });
            sizes.collect::<Option<Vec<u32>>>()
        };
        let writes_only = matches!(
            self.job.value(&["rw", "readwrite"]),
            Some(rw) if rw.starts_with("write") || rw.starts_with("randwrite")
        );
        let of = |sizes: Vec<u32>| {
            let write = sizes.get(1).filter(|_| writes_only);
            write.or(sizes.first()).copied()
        };
        let first = self.read(&["bs", "blocksize"], 4096, |t| of(list(t)?), &wanted);
        let ranges = |text: &str| {
            let ends = text.split([',', '-']).map(good);
            ends.collect::<Option<Vec<u32>>>()?.first().copied()
        };
        let range = self.read(&["bsrange", "blocksize_range"], 0, ranges, &wanted)?;
        let split = |text: &str| {
            let sizes = text
                .split([':', ','])
                .map(|one| good(one.split('/').next()?));
            sizes.collect::<Option<Vec<u32>>>()?.first().copied()
        };
        let split = self.read(&["bssplit"], 0, split, &wanted)?;
        self.read(&["ba", "blockalign"], 0, |t| of(list(t)?), &wanted)?;
        let first = first?;
        Some(
            [split, range, first]
                .into_iter()
                .find(|n| *n > 0)
                .unwrap_or(first),
        )
    }

    /// `runtime` in ns; 0 is none.
    fn runtime(&mut self) -> Option<u64> {
        let wanted = "a time in us, ms, s or m, such as 500ms";
        let runtime = self.read(&["runtime", "timeout"], 0, ini::nanos, wanted)?;
        if self.job.on(&["time_based"]) && runtime == 0 {
            let line = self.job.get(&["time_based"]).map_or(1, |s| s.line);
            let why = "without a runtime it never ends";
            self.refuse(line, "time_based", why, "add runtime=1s");
            return None;
        }
        Some(runtime)
    }

    /// The files of all clones: those named, or fio's `$jobname.$jobnum.$filenum`.
    fn file_names(&mut self, clones: u64) -> Vec<String> {
        let clones = clones.min(MAX_JOBS);
        let Some(setting) = self.job.get(&["filename"]) else {
            return self.made_names(clones);
        };
        let value = setting.value();
        let Some(name) = self.files.get(&file_path(self.job)) else {
            let (why, next) = match value.replace("\\:", "").contains(':') {
                true => (
                    "it names several files",
                    "name one file, or leave filename out",
                ),
                false => ("it is no file's name", "use a file name: filename=data"),
            };
            self.refuse(setting.line, &setting.shown(), why, next);
            return Vec::new();
        };
        if name != value {
            let line = format!("filename={name}");
            self.edits.push((setting.id, Edit::Lines(vec![line])));
            if value.trim_start_matches("./") != name {
                let file = format!("the file {name} in the file system under test");
                let device = "the block device under test";
                let is = match self.on {
                    On::Filesystems => file,
                    On::Device => device.to_owned(),
                    On::Both => format!("{device} where there is no file system, else {file}"),
                };
                self.said.push(format!("{} is {is}", setting.shown()));
            }
        }
        vec![name.clone()]
    }

    fn made_names(&mut self, clones: u64) -> Vec<String> {
        let name = self.job.name.replace('/', "-");
        let Some(setting) = self.job.get(&["filename_format"]) else {
            return (0..clones).map(|i| format!("{name}.{i}.0")).collect();
        };
        let format = setting.value().to_owned();
        let made = |i: u64| {
            let made = format.replace("$jobname", &name);
            made.replace("$jobnum", &i.to_string())
                .replace("$filenum", "0")
        };
        let names: Vec<String> = (0..clones).map(made).collect();
        if names
            .iter()
            .any(|name| !is_plain(name) || name.contains('$'))
        {
            let why = "it gives no plain names of files";
            let next = "use $jobname, $jobnum and $filenum, without a directory";
            self.refuse(setting.line, &setting.shown(), why, next);
        }
        names
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
            _ => {
                let next = "use native, posix, keep, truncate or none";
                self.refuse(setting.line, &setting.shown(), "fio has no such mode", next);
                None
            }
        }
    }
}

impl Draft {
    /// The end of a run as the job asks for it: its time, or its I/Os.
    pub(super) fn ios(&self, region: &Region) -> u64 {
        let ios = region.moves().div_ceil(u64::from(self.block_size.max(1)));
        let ios = ios.saturating_mul(self.loops);
        match self.number_ios {
            0 => ios,
            n => n.min(ios.max(1)),
        }
    }

    /// What it does, in few words.
    pub(super) fn words(&self) -> String {
        let engine = self.job.value(&["ioengine"]).unwrap_or(DEFAULT_ENGINE);
        format!(
            "{} ({} {}, {engine}, depth {})",
            self.job.name,
            self.rw.name(),
            crate::units::show_bytes(self.block_size.into()),
            self.iodepth
        )
    }

    /// The option that says its size, of those that were written.
    pub(super) fn amounts(&self) -> [(&'static [&'static str], Option<Amount>); 5] {
        let region = self.region;
        let file = region.file;
        [
            (&["size"], region.size),
            (&["filesize"], file),
            (&["io_size", "io_limit"], region.moved),
            (&["offset", "fileoffset"], Some(region.offset)),
            (&["offset_increment"], Some(region.increment)),
        ]
    }
}

/// Where the file that a job names was: its directory and its name, as written.
pub(super) fn file_path(job: &JobSection) -> String {
    let name = job.value(&["filename"]).unwrap_or_default();
    match job.value(&["directory"]) {
        Some(directory) if !name.starts_with('/') => format!("{directory}/{name}"),
        _ => name.to_owned(),
    }
}

/// Whether it is a file's name in the top directory of a file system.
fn is_plain(name: &str) -> bool {
    let special = ["", ".", "..", "-", "lost+found"].contains(&name);
    !special && !name.contains('/') && name.len() <= 200
}

/// The names in the guest of all the files that jobs name: the last part of each, or all of it
/// where two would be the same. What names no file, or several, has none.
pub(super) fn local_names(jobs: &[JobSection]) -> BTreeMap<String, String> {
    let named = jobs.iter().filter(|job| job.get(&["filename"]).is_some());
    let paths: Vec<String> = named.map(file_path).collect();
    let plain = |text: &str| text.replace("\\:", "-");
    let last = |path: &str| {
        plain(path)
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut names = BTreeMap::new();
    for path in paths.iter().filter(|path| !plain(path).contains(':')) {
        let shared = paths
            .iter()
            .any(|other| other != path && last(other) == last(path));
        let name = match shared {
            true => plain(path).trim_matches(['/', '.']).replace('/', "-"),
            false => last(path),
        };
        if is_plain(&name) {
            names.insert(path.clone(), name);
        }
    }
    names
}
