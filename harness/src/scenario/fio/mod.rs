//! Workloads that fio runs: ours in its words, and job files of a user's own (pure).
//!
//! A job file runs as it is published: sizes and times of real drives are scaled, options that say
//! nothing about the I/O are left out, jobs behind a `stonewall` become workloads of their own. What
//! cannot work in a guest is refused here, before anything boots, by job, option and reason.

mod checker;
mod device;
mod groups;
mod ini;
pub(super) mod keys;
mod notes;
mod options;
mod places;
mod reason;
mod region;
mod scale;
pub(super) mod source;
pub(super) mod words;

pub use device::{jobs_at_once, on_device};

use super::MAX_RUNTIME_NS;
use checker::{Checker, Draft, Guest, MOST_IN_FLIGHT};
use diorama_wire::{Bound, FW_CFG_JOB_SIZE, Fio, FioFile, IoUring, Layout, Rw, Workload};
use ini::{JobFile, JobOption, Line};
use scale::{Fitted, Limits, Scale};
use source::Outside;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that fio's job file and its list of files may have as JSON: they travel in an item of
/// fixed size, beside the rest of the job.
const MAX_JSON: usize = FW_CFG_JOB_SIZE - 2048;
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

/// What is asked of a job file, and what it runs on.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    guest: Guest,
    limits: Limits,
    /// The only sections to run; empty means all.
    sections: &'a [String],
    /// Whether files are written before they are written to.
    overwrite: bool,
}

/// Jobs that run together.
#[derive(Debug)]
struct Run {
    /// What tells them from the file's other groups.
    suffix: Option<String>,
    /// What they amount to, for those who need to know size, engine and directions.
    workload: Workload,
    fio: Fio,
    /// What was changed, and what a reader must know.
    said: Vec<String>,
}

/// What a job file means: the runs of fio.
///
/// # Errors
/// Everything in it that can't work here.
fn job_file(
    lines: &[Line],
    wanted: &Wanted<'_>,
    outside: &Outside<'_>,
) -> Result<Vec<Run>, Vec<Refusal>> {
    let mut file = ini::read(lines).map_err(|(line, what)| {
        vec![Refusal {
            line,
            what,
            next: "see \"Job file format\" in fio's HOWTO".into(),
        }]
    })?;
    let replaced = source::replace(&mut file, outside).map_err(|unknown| {
        let refusals = unknown.into_iter();
        let refusals = refusals.map(|(line, what, next)| Refusal { line, what, next });
        refusals.collect::<Vec<_>>()
    })?;
    if wanted.overwrite {
        overwrite(&mut file);
    }
    let (drafts, mut found) = drafts(&file, wanted);
    let groups = groups::split(drafts);
    let suffixes = groups::names(&groups);
    let scale = Scale::of(&groups, wanted.limits);
    let (sound, mut runs) = (found.is_empty(), Vec::new());
    for (group, suffix) in groups.iter().zip(suffixes) {
        if let Some(mut run) = run(&file, group, &scale, wanted, &mut found) {
            let values = replaced.iter();
            let values = values.map(|v| format!("${{{}}} is {}", v.name, v.value));
            run.said.extend(values);
            run.suffix = suffix;
            // What is refused already would be refused again, in other words.
            let said = sound.then(|| (outside.refused)(&run.fio.jobs)).flatten();
            found.extend(said.iter().flat_map(|said| reason::refusals(said, &file)));
            runs.push(run);
        }
    }
    match found.is_empty() {
        true => Ok(runs),
        false => Err(as_meant(&file, one_each(found))),
    }
}

/// A mistake of [global] reaches several jobs: said once, by line and reason. What is missing has no
/// line.
fn one_each(mut found: Vec<Refusal>) -> Vec<Refusal> {
    let mut seen = BTreeSet::new();
    found.retain(|refusal| {
        let of_job = refusal.what.starts_with("job `");
        let option = refusal.what.split_once("`, `").filter(|_| of_job);
        let (line, reason) = match option {
            Some((_, option)) if !option.contains('=') => (0, option),
            Some((_, option)) => (refusal.line, option),
            None => (refusal.line, refusal.what.as_str()),
        };
        seen.insert((line, reason.to_owned()))
    });
    found
}

/// Where a job lacks what it may have been given in a section that only looks global, that is said.
fn as_meant(file: &JobFile, mut found: Vec<Refusal>) -> Vec<Refusal> {
    let looks = |s: &&ini::Section| !s.is_global() && s.name.to_lowercase().starts_with("global");
    if let Some(section) = file.sections.iter().find(looks) {
        for refusal in found.iter_mut().filter(|r| r.what.contains("`direct`:")) {
            refusal.next = format!(
                "write [global]: fio takes [{}] (line {}) for a job",
                section.name, section.line
            );
        }
    }
    found
}

/// Every job of the sections that are wanted, and what is wrong with the others.
fn drafts(file: &JobFile, wanted: &Wanted<'_>) -> (Vec<Draft>, Vec<Refusal>) {
    let mut jobs = file.jobs();
    let mut found = Vec::new();
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    for absent in wanted.sections.iter().filter(|name| !names.contains(name)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        found.push(Refusal {
            line: 1,
            what: format!("it has no section `{absent}`"),
            next: crate::suggest::next_step(absent, "sections", &names),
        });
    }
    if !wanted.sections.is_empty() {
        jobs.retain(|job| wanted.sections.contains(&job.name));
    }
    let files = checker::local_names(&jobs);
    let drafts = jobs
        .iter()
        .filter_map(|job| Checker::new(job, wanted.guest, &files, &mut found).draft())
        .collect();
    (drafts, found)
}

/// Adds the option to every job.
fn overwrite(file: &mut JobFile) {
    for (number, section) in file.sections.iter_mut().enumerate() {
        if section.is_global() {
            continue;
        }
        section.options.push(JobOption {
            id: (number, section.options.len()),
            line: section.line,
            raw: "overwrite=1".to_owned(),
            key: "overwrite".to_owned(),
            value: Some("1".to_owned()),
            global: false,
        });
    }
}

/// One group, on the drive that there is.
fn run(
    file: &JobFile,
    group: &[Draft],
    scale: &Scale,
    wanted: &Wanted<'_>,
    found: &mut Vec<Refusal>,
) -> Option<Run> {
    let before = found.len();
    let ios = |draft: &Draft| {
        draft
            .ios(&scale.fit(draft, 0).region)
            .saturating_mul(draft.clones)
    };
    let beside = group.iter().map(ios).fold(0, u64::saturating_add);
    let fitted: Vec<Fitted> = group.iter().map(|draft| scale.fit(draft, beside)).collect();
    let mut text = groups::Text::default();
    let (mut said, mut sizes, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for (draft, fit) in group.iter().zip(&fitted) {
        text.add(draft.job.section, &draft.edits, &[]);
        text.add(draft.job.section, &fit.edits, &fit.more);
        sizes.extend(fit.sizes.iter().cloned());
        times.extend(fit.times.iter().cloned());
        said.extend(draft.said.iter().chain(&fit.said).cloned());
        check(draft, fit, found);
    }
    let line = group.first()?.job.line;
    let refuse = |what: String, next: &str, found: &mut Vec<Refusal>| {
        found.push(Refusal {
            line,
            what,
            next: next.to_owned(),
        });
    };
    let clones = group
        .iter()
        .fold(0_u64, |all, job| all.saturating_add(job.clones));
    if clones > MAX_JOBS {
        let what = format!("it makes {clones} jobs at once");
        refuse(what, &format!("use at most {MAX_JOBS}"), found);
    }
    let flight = |d: &Draft| u64::from(d.block_size) * u64::from(d.iodepth) * d.clones;
    let flight = group.iter().map(flight).fold(0, u64::saturating_add);
    if flight > MOST_IN_FLIGHT {
        let (flight, most) = (flight >> 20, MOST_IN_FLIGHT >> 20);
        let what = format!("its buffers take {flight} MiB, and the guest has {most} MiB for them");
        let next = "use a smaller bs, iodepth or numjobs, if that is still the test you mean";
        refuse(what, next, found);
    }
    if found.len() > before {
        return None;
    }
    let sections: Vec<usize> = group.iter().map(|draft| draft.job.section).collect();
    let fio = Fio {
        files: files(group, &fitted),
        jobs: text.render(file, &sections),
    };
    let size = fio
        .files
        .iter()
        .fold(0, |sum: u64, file| sum.saturating_add(file.size));
    let most = wanted.limits.most();
    if size > most {
        let what = format!(
            "its files have {}, more than 3/4 of the drive, {}",
            crate::units::show_bytes(size),
            crate::units::show_bytes(most)
        );
        let next = "use a smaller size, a larger drive (model.size), or leave out scale = \"none\"";
        let option = group[0].job.get(&["filesize", "size"]);
        found.push(Refusal {
            line: option.map_or(line, |option| option.line),
            what,
            next: next.to_owned(),
        });
    }
    if let Err(what) = travels(&fio) {
        let next = "use fewer jobs, and move what they share to [global]";
        refuse(what, next, found);
    }
    let mut all = scale.words(sizes, times);
    all.append(&mut said);
    all.extend(notes::of(group, wanted.guest));
    let mut seen = BTreeSet::new();
    all.retain(|one| seen.insert(one.clone()));
    (found.len() == before).then(|| Run {
        suffix: None,
        workload: amounts_to(group, &fitted, &fio, beside),
        fio,
        said: all,
    })
}

/// What only shows on the drive that there is.
fn check(draft: &Draft, fit: &Fitted, found: &mut Vec<Refusal>) {
    let job = &draft.job;
    let mut refuse = |names: &[&str], why: &str, next: &str| {
        let option = job.get(names);
        found.push(Refusal {
            line: option.map_or(job.line, |o| o.line),
            what: format!("job `{}`, `{}`: {why}", job.name, names[0]),
            next: next.to_owned(),
        });
    };
    if scale::lengths(draft, &fit.region).is_none() {
        refuse(
            &["offset", "fileoffset", "offset_increment"],
            "a clone of the job would start beyond the end of its file",
            "use a smaller offset, or a larger filesize",
        );
    } else if fit.region.moves() < u64::from(draft.block_size) {
        refuse(
            &["size", "filesize"],
            "it is less than one block",
            "use a larger size, or a smaller bs",
        );
    }
    if (1..scale::SHORTEST_NS).contains(&fit.runtime_ns) {
        let why = "fio counts whole milliseconds, and it is shorter than 200ms";
        refuse(&["runtime", "timeout"], why, "use runtime=500ms or more");
    }
    if fit.runtime_ns > MAX_RUNTIME_NS {
        let why = "it is longer than ten minutes";
        refuse(&["runtime", "timeout"], why, "use a shorter one");
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
fn files(group: &[Draft], fitted: &[Fitted]) -> Vec<FioFile> {
    let mut files: BTreeMap<&str, FioFile> = BTreeMap::new();
    for (draft, fit) in group.iter().zip(fitted) {
        for (name, size) in scale::lengths(draft, &fit.region).unwrap_or_default() {
            let own = FioFile {
                name: name.to_owned(),
                size,
                layout: draft.layout,
                read_only: !draft.rw.writes(),
                at: 0,
            };
            let known = files.entry(name).or_insert_with(|| own.clone());
            known.size = known.size.max(own.size);
            known.read_only &= own.read_only;
            if need(own.layout) > need(known.layout) {
                known.layout = own.layout;
            }
        }
    }
    files.into_values().collect()
}

/// The first job's words, and the size of all files. `ios` are those of all jobs together.
fn amounts_to(group: &[Draft], fitted: &[Fitted], fio: &Fio, ios: u64) -> Workload {
    let any = |of: fn(&Draft) -> bool| group.iter().any(of);
    let (reads, writes) = (any(|d| d.rw.reads()), any(|d| d.rw.writes()));
    let rw = match (reads, writes, any(|d| d.rw.is_random())) {
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
    let writing: BTreeSet<u32> = (group.iter().filter(|job| job.rw.writes()))
        .map(|job| job.fdatasync)
        .collect();
    let longest = fitted.iter().map(|fit| fit.runtime_ns).max().unwrap_or(0);
    let limited = fitted.iter().all(|fit| fit.runtime_ns > 0);
    let first = &group[0];
    Workload {
        // One number for all that write, or none that could be counted by.
        fdatasync: writing
            .first()
            .copied()
            .filter(|_| writing.len() == 1)
            .unwrap_or(0),
        io_uring: IoUring {
            fixedbufs: any(|d| d.io_uring.fixedbufs),
            registerfiles: any(|d| d.io_uring.registerfiles),
            hipri: any(|d| d.io_uring.hipri),
        },
        ..Workload::new(
            first.engine,
            rw,
            first.block_size,
            first.iodepth,
            size.saturating_add(grown),
            match limited {
                true => Bound::Runtime(longest),
                false => Bound::Ios(ios.max(1)),
            },
        )
    }
}

#[cfg(test)]
mod published;
#[cfg(test)]
mod tests;
