//! fio's job files as text: sections and options, as fio reads them (pure). fio's HOWTO, "Job file
//! format".

/// An option as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Line in the file, from 1.
    pub(super) line: usize,
    pub(super) key: String,
    /// Absent for an option that stands alone, which means 1.
    pub(super) value: Option<String>,
}

/// A job: its name, and every option that applies to it, those of `[global]` first. Of equal
/// options the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) settings: Vec<Setting>,
}

/// The file without comments, and its jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JobFile {
    pub(super) text: String,
    pub(super) jobs: Vec<Job>,
}

/// Reads a job file.
///
/// # Errors
/// The line that cannot be understood, and why.
pub(super) fn read(text: &str) -> Result<JobFile, (usize, String)> {
    let mut file = JobFile::default();
    let mut global: Vec<Setting> = Vec::new();
    let mut job: Option<Job> = None;
    let mut started = false;
    for (line, raw) in (1..).zip(text.lines()) {
        let raw = raw.trim();
        if raw.is_empty() || raw.starts_with(['#', ';']) {
            continue;
        }
        file.text.push_str(raw);
        file.text.push('\n');
        if let Some(rest) = raw.strip_prefix('[') {
            let name = rest.strip_suffix(']').filter(|name| !name.is_empty());
            let name = name.ok_or((line, format!("`{raw}` is no section")))?;
            file.jobs.extend(job.take());
            if name != "global" {
                job = Some(Job {
                    name: name.to_owned(),
                    settings: global.clone(),
                });
            }
            started = true;
            continue;
        }
        if !started {
            return Err((line, format!("`{raw}` stands before the first section")));
        }
        let (key, value) = match raw.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
            None => (raw, None),
        };
        let setting = Setting {
            line,
            key: key.to_owned(),
            value,
        };
        match &mut job {
            Some(job) => job.settings.push(setting),
            None => global.push(setting),
        }
    }
    file.jobs.extend(job);
    if file.jobs.is_empty() {
        return Err((1, "it holds no job: a section besides [global]".to_owned()));
    }
    Ok(file)
}

impl Job {
    /// The last setting of any of these names, which are aliases of one option.
    pub(super) fn get(&self, names: &[&str]) -> Option<&Setting> {
        (self.settings.iter().rev()).find(|s| names.contains(&s.key.as_str()))
    }

    /// Its value; `1` for an option that stands alone.
    pub(super) fn value(&self, names: &[&str]) -> Option<&str> {
        self.get(names).map(Setting::value)
    }

    /// Whether a switch is on.
    pub(super) fn on(&self, names: &[&str]) -> bool {
        self.value(names).is_some_and(|v| v != "0")
    }
}

impl Setting {
    pub(super) fn value(&self) -> &str {
        self.value.as_deref().unwrap_or("1")
    }
}

/// A size in bytes as fio reads it with `kb_base=1024`: `4k`, `4kb` and `4KiB` are all 4096.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A time in nanoseconds as fio reads it: seconds, unless it has a unit.
pub(super) fn nanos(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globals_reach_the_jobs_after_them_only() {
        let file =
            read("; c\n[global]\ndirect=1\n[a]\nbs = 4k\nthread\n[global]\nbs=8k\n[b]\n").unwrap();
        let names: Vec<_> = file.jobs.iter().map(|j| j.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(file.jobs[0].value(&["bs"]), Some("4k"));
        assert_eq!(file.jobs[1].value(&["bs"]), Some("8k"));
        assert!(file.jobs[0].on(&["thread"]) && !file.jobs[1].on(&["thread"]));
        assert_eq!(file.jobs[0].get(&["bs"]).unwrap().line, 5);
        assert!(!file.text.contains("; c"));
    }

    #[test]
    fn what_is_no_job_file_is_refused_with_its_line() {
        assert_eq!(
            read("bs=4k\n").unwrap_err(),
            (1, "`bs=4k` stands before the first section".into())
        );
        assert_eq!(read("[a\n").unwrap_err().0, 1);
        assert!(read("[global]\nbs=4k\n").unwrap_err().1.contains("no job"));
    }

    #[test]
    fn sizes_and_times_are_fios() {
        assert_eq!(
            [
                bytes("4k"),
                bytes("4KiB"),
                bytes("4kb"),
                bytes("2G"),
                bytes("512")
            ],
            [Some(4096), Some(4096), Some(4096), Some(2 << 30), Some(512)]
        );
        assert_eq!([bytes("50%"), bytes(""), bytes("4x")], [None; 3]);
        assert_eq!(
            [
                nanos("2"),
                nanos("500ms"),
                nanos("7us"),
                nanos("1m"),
                nanos("x")
            ],
            [
                Some(2_000_000_000),
                Some(500_000_000),
                Some(7_000),
                Some(60_000_000_000),
                None
            ]
        );
    }
}
