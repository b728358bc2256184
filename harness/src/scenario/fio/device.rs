//! fio's jobs on a block device without a file system: every file is a part of it (pure).
//!
//! The job file stays as it is but for where each job's part begins (`offset`, `offset_increment`) and
//! how long it is (`size`, `filesize`). In the guest the files' names are links to the device.

use super::checker::Edit;
use super::groups::Text;
use super::ini::{self, JobSection};
use super::region::{Amount, WHOLE};
use diorama_wire::{Fio, FioFile, Layout};
use std::collections::{BTreeMap, btree_map::Entry};

/// The options that are said anew.
const PLACES: [&str; 5] = [
    "offset",
    "fileoffset",
    "offset_increment",
    "size",
    "filesize",
];

/// The same jobs over parts of a device. Jobs that name one file share its part, as they share the
/// file; each other file's part lies behind the one before.
///
/// # Errors
/// What of the jobs cannot be said of a device.
pub fn on_device(fio: &Fio) -> Result<Fio, String> {
    if let Some(file) = fio.files.iter().find(|file| file.layout == Layout::Append) {
        return Err(format!(
            "{} is appended to (file_append), and a block device does not grow",
            file.name
        ));
    }
    let lines = ini::lines(&fio.jobs);
    let file = ini::read(&lines).map_err(|(line, what)| format!("line {line}: {what}"))?;
    let jobs = file.jobs();
    let parts = parts(&jobs, &fio.files)?;
    let mut text = Text::default();
    for job in &jobs {
        let dropped: Vec<_> = (job.settings.iter())
            .filter(|option| PLACES.contains(&option.key.as_str()))
            .map(|option| (option.id, Edit::Drop))
            .collect();
        text.add(job.section, &dropped, &place(job, &parts)?);
    }
    let sections: Vec<usize> = jobs.iter().map(|job| job.section).collect();
    let on_device = |file: &FioFile| FioFile {
        layout: Layout::Written,
        at: parts.get(&file.name).map_or(0, |part| part.at),
        ..file.clone()
    };
    Ok(Fio {
        jobs: text.render(&file, &sections),
        files: fio.files.iter().map(on_device).collect(),
    })
}

/// Jobs that run at once, clones included.
#[must_use]
pub fn jobs_at_once(fio: &Fio) -> u64 {
    let file = ini::read(&ini::lines(&fio.jobs));
    file.map_or(1, |file| file.jobs().iter().map(clones).sum())
}

/// A file's part of the device, in bytes.
struct Part {
    at: u64,
    size: u64,
}

/// The part of every file, by its name. Those of a job's clones lie at equal distances, the only way
/// in which fio can be told of them.
fn parts(jobs: &[JobSection], files: &[FioFile]) -> Result<BTreeMap<String, Part>, String> {
    let mut order: Vec<Vec<String>> = jobs.iter().map(names).collect();
    // The job with the most clones decides where those of its name lie.
    order.sort_by_key(|names| std::cmp::Reverse(names.len()));
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let mut next = 0_u64;
    for names in order {
        let size = |name: &String| {
            let file = files.iter().find(|file| file.name == *name);
            file.map_or(0, |file| file.size.next_multiple_of(WHOLE))
        };
        let stride = names.iter().map(size).max().unwrap_or(0);
        for name in names {
            let size = size(&name);
            if let Entry::Vacant(place) = parts.entry(name) {
                place.insert(Part { at: next, size });
                next = next.saturating_add(stride);
            }
        }
    }
    Ok(parts)
}

/// The files of a job, one for each of its clones, or one for all.
fn names(job: &JobSection) -> Vec<String> {
    if let Some(name) = job.value(&["filename"]) {
        return vec![name.to_owned()];
    }
    let format = job.value(&["filename_format"]);
    let format = format.unwrap_or("$jobname.$jobnum.$filenum");
    let made = |clone: u64| {
        let made = format.replace("$jobname", &job.name);
        made.replace("$jobnum", &clone.to_string())
            .replace("$filenum", "0")
    };
    (0..clones(job)).map(made).collect()
}

fn clones(job: &JobSection) -> u64 {
    let written = job.value(&["numjobs"]).and_then(|text| text.parse().ok());
    written.unwrap_or(1)
}

/// Where a job begins, how far each clone is from the one before, and how long its part is.
fn place(job: &JobSection, parts: &BTreeMap<String, Part>) -> Result<Vec<String>, String> {
    let bytes = |names: &[&str]| {
        let amount = job.value(names).and_then(Amount::read);
        amount.map(|amount| amount.of(0))
    };
    let names = names(job);
    let of = |name: &String| parts.get(name);
    let Some(first) = names.first().and_then(of) else {
        return Err(format!("job `{}` has no file", job.name));
    };
    let between = |pair: &[String]| Some(of(&pair[1])?.at.checked_sub(of(&pair[0])?.at));
    let mut steps: Vec<u64> = names.windows(2).filter_map(between).flatten().collect();
    if steps.len() + 1 != names.len() || steps.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(format!(
            "the files of job `{}` are those of other jobs too, in another order",
            job.name
        ));
    }
    let step = steps.pop().unwrap_or(0);
    let offset = bytes(&["offset", "fileoffset"]).unwrap_or(0);
    let increment = bytes(&["offset_increment"]).unwrap_or(0);
    // What is left of the file behind where the last clone begins.
    let last = increment.saturating_mul(clones(job).saturating_sub(1));
    let left = first.size.saturating_sub(offset.saturating_add(last));
    let size = bytes(&["size"]).map_or(left, |size| size.min(left));
    let mut lines = vec![
        format!("offset={}", first.at.saturating_add(offset)),
        format!("size={size}"),
    ];
    if step + increment > 0 {
        lines.push(format!("offset_increment={}", step + increment));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fio(jobs: &str, files: &[(&str, u64)]) -> Fio {
        let file = |(name, size): &(&str, u64)| FioFile {
            name: (*name).to_owned(),
            size: *size,
            layout: Layout::Unwritten,
            read_only: false,
            at: 0,
        };
        Fio {
            jobs: jobs.to_owned(),
            files: files.iter().map(file).collect(),
        }
    }

    fn places(fio: &Fio) -> Vec<(&str, u64)> {
        let all = fio.files.iter();
        all.map(|file| (file.name.as_str(), file.at)).collect()
    }

    #[test]
    fn one_job_has_the_beginning_of_the_device() {
        let jobs = "[w]\nrw=write\nsize=1m\nfilename=sdb\noverwrite=1\n";
        let raw = on_device(&fio(jobs, &[("sdb", 1 << 20)])).unwrap();
        insta::assert_snapshot!(raw.jobs, @r"
        [w]
        rw=write
        filename=sdb
        overwrite=1
        offset=0
        size=1048576
        ");
        assert_eq!(raw.files[0].layout, Layout::Written);
    }

    #[test]
    fn clones_and_jobs_have_parts_of_their_own_and_share_those_of_files_that_they_share() {
        let jobs = "[global]\nsize=1m\noffset=4k\n[a]\nnumjobs=3\n[b]\nfilename=x\n[c]\nfilename=x\n\
                    numjobs=2\noffset_increment=64k\nfilesize=2m\n";
        let files = [
            ("a.0.0", (1 << 20) + 4096),
            ("a.1.0", (1 << 20) + 4096),
            ("a.2.0", (1 << 20) + 4096),
            ("x", 2 << 20),
        ];
        assert_eq!(jobs_at_once(&fio(jobs, &files)), 6);
        let raw = on_device(&fio(jobs, &files)).unwrap();
        let part = (1 << 20) + 4096;
        let expected = [
            ("a.0.0", 0),
            ("a.1.0", part),
            ("a.2.0", 2 * part),
            ("x", 3 * part),
        ];
        assert_eq!(places(&raw), expected);
        insta::assert_snapshot!(raw.jobs, @r"
        [a]
        numjobs=3
        offset=4096
        size=1048576
        offset_increment=1052672
        [b]
        filename=x
        offset=3162112
        size=1048576
        [c]
        filename=x
        numjobs=2
        offset=3162112
        size=1048576
        offset_increment=65536
        ");
    }

    #[test]
    fn what_a_device_cannot_be_is_refused() {
        let mut appended = fio("[a]\nfile_append=1\n", &[("a.0.0", 4096)]);
        appended.files[0].layout = Layout::Append;
        let why = on_device(&appended).unwrap_err();
        insta::assert_snapshot!(why, @"a.0.0 is appended to (file_append), and a block device does not grow");
        let crossed = "[a]\nfilename=y.1.0\n[b]\nfilename=y.0.0\n[y]\nnumjobs=2\n";
        let files = [("y.0.0", 4096), ("y.1.0", 4096)];
        assert!(on_device(&fio(crossed, &files)).is_ok());
        let backwards = "[y]\nnumjobs=2\n[z]\nfilename_format=y.$jobnum.0\nnumjobs=2\n";
        assert!(on_device(&fio(backwards, &files)).is_ok());
    }
}
