//! fio's job files as text: sections and options, as fio reads them (pure). fio's HOWTO, "Job file
//! format", and for what it leaves open `__parse_jobs_ini` in fio's init.c, `strip_blank_end` and
//! `str_to_decimal` in its parse.c, tried with fio 3.33.

/// An option as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobOption {
    /// Line in the file, from 1.
    pub(super) line: usize,
    pub(super) key: String,
    /// Absent for an option that stands alone, which means 1.
    pub(super) value: Option<String>,
    /// Whether it is [global]'s: fio overlooks an engine's options there in jobs of other engines.
    pub(super) global: bool,
}

/// A job: its name, and every option that applies to it, those of `[global]` first. Of equal
/// options the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JobSection {
    pub(super) name: String,
    pub(super) settings: Vec<JobOption>,
}

/// The file as it was understood, and its jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JobFile {
    /// What fio is given: every section and option on a line of its own, without comments and
    /// blanks, so that fio cannot read it differently.
    pub(super) text: String,
    pub(super) jobs: Vec<JobSection>,
}

/// fio's buffer for a line; what is behind it would be a line of its own.
const LONGEST_LINE: usize = 4095;

/// What fio keeps of a line. A comment begins at the first `;` or `#` anywhere in it: there are no
/// quotes and no escapes.
fn kept(line: &str) -> &str {
    let blank = |c: char| c.is_ascii_whitespace() || c.is_ascii_control();
    let end = line.find([';', '#']).unwrap_or(line.len());
    line[..end].trim_matches(blank)
}

/// Reads a job file.
///
/// # Errors
/// The line that cannot be understood, and why.
pub(super) fn read(text: &str) -> Result<JobFile, (usize, String)> {
    let mut file = JobFile::default();
    let mut global: Vec<JobOption> = Vec::new();
    let mut job: Option<JobSection> = None;
    let mut started = false;
    for (line, raw) in (1..).zip(text.split('\n')) {
        if raw.len() > LONGEST_LINE {
            let what = format!(
                "it is longer than {LONGEST_LINE} bytes, which fio would split into two \
                         lines"
            );
            return Err((line, what));
        }
        let raw = kept(raw);
        if raw.is_empty() {
            continue;
        }
        if let Some(rest) = raw.strip_prefix('[') {
            let name = rest.strip_suffix(']').filter(|name| !name.is_empty());
            let name = name.ok_or((line, format!("`{raw}` is not a section")))?;
            file.jobs.extend(job.take());
            // fio looks at six letters only.
            let name = if name.starts_with("global") {
                "global"
            } else {
                name
            };
            file.text.push_str(&format!("[{name}]\n"));
            if name != "global" {
                job = Some(JobSection {
                    name: name.to_owned(),
                    settings: global.clone(),
                });
            }
            started = true;
            continue;
        }
        if !started {
            return Err((line, format!("`{raw}` comes before the first section")));
        }
        let (key, value) = match raw.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
            None => (raw, None),
        };
        file.text.push_str(key);
        if let Some(value) = &value {
            file.text.push_str(&format!("={value}"));
        }
        file.text.push('\n');
        let setting = JobOption {
            line,
            key: key.to_owned(),
            value,
            global: job.is_none(),
        };
        match &mut job {
            Some(job) => job.settings.push(setting),
            None => global.push(setting),
        }
    }
    file.jobs.extend(job);
    if file.jobs.is_empty() {
        return Err((
            1,
            "it has no job, that is, no section besides [global]".to_owned(),
        ));
    }
    Ok(file)
}

impl JobSection {
    /// The last setting of any of these names, which are aliases of one option.
    pub(super) fn get(&self, names: &[&str]) -> Option<&JobOption> {
        (self.settings.iter().rev()).find(|s| names.contains(&s.key.as_str()))
    }

    /// Its value; `1` for an option that stands alone.
    pub(super) fn value(&self, names: &[&str]) -> Option<&str> {
        self.get(names).map(JobOption::value)
    }

    /// Whether a switch is on. What is neither is refused elsewhere.
    pub(super) fn on(&self, names: &[&str]) -> bool {
        self.value(names).and_then(switch) == Some(true)
    }
}

impl JobOption {
    pub(super) fn value(&self) -> &str {
        self.value.as_deref().unwrap_or("1")
    }
}

/// A switch as fio reads it: a number, 0 or 1. It knows no words for that.
pub(super) fn switch(text: &str) -> Option<bool> {
    match number(text)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A number as fio reads it, decimal or hexadecimal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

/// Number and unit, the unit in small letters.
fn split(text: &str) -> (&str, String) {
    let digits = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        // With a prefix fio takes no unit: `b` is a digit.
        Some(_) => text.len(),
        None => (text.find(|c: char| !c.is_ascii_digit())).unwrap_or(text.len()),
    };
    let (number, unit) = text.split_at(digits);
    (number, unit.to_ascii_lowercase())
}

/// A size in bytes as fio reads it with its default `kb_base=1024`: `4k`, `4kb` and `4kB` are 4096.
/// `4KiB` is 4000, the other way round than elsewhere. What fio reads up to some character, and
/// overlooks the rest of, is no size here: `4.5k`, `4 k`, `1kk`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = split(text);
    const LETTERS: &str = "kmgt";
    let power = |letter: char| LETTERS.find(letter).and_then(|p| u32::try_from(p + 1).ok());
    let letters: Vec<char> = unit.chars().collect();
    let scale = match letters.as_slice() {
        [] | ['b'] => 1,
        [letter] | [letter, 'b' | 'i'] => 1024_u64.pow(power(*letter)?),
        [letter, 'i', 'b'] => 1000_u64.pow(power(*letter)?),
        _ => return None,
    };
    number(digits)?.checked_mul(scale)
}

/// A time in nanoseconds as fio reads it: seconds, unless it has a unit.
pub(super) fn nanos(text: &str) -> Option<u64> {
    let (digits, unit) = split(text);
    let unit = match unit.as_str() {
        "us" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    // A hexadecimal number is one of microseconds, which nobody means.
    digits.parse::<u64>().ok()?.checked_mul(unit)
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
            (1, "`bs=4k` comes before the first section".into())
        );
        assert_eq!(read("[a\n").unwrap_err().0, 1);
        assert!(read("[global]\nbs=4k\n").unwrap_err().1.contains("no job"));
    }

    #[test]
    fn a_comment_begins_anywhere_in_a_line_as_fio_has_it() {
        let text =
            "# c\n ; c\n[global] # x\n bs = 4k # four; or\r\n[j];c\nfilename=da#ta\nrw=read;x\n";
        let file = read(text).unwrap();
        assert_eq!(file.text, "[global]\nbs=4k\n[j]\nfilename=da\nrw=read\n");
        assert_eq!(file.jobs[0].name, "j");
        assert_eq!(file.jobs[0].value(&["filename"]), Some("da"));
        // fio cuts before it looks for the bracket.
        assert!(read("[j;x]\nbs=4k\n").is_err());
        let long = format!("[j]\n{}bs=4k\n", " ".repeat(LONGEST_LINE));
        assert_eq!(read(&long).unwrap_err().0, 2);
    }

    #[test]
    fn what_begins_with_global_is_global_and_what_is_written_otherwise_is_not() {
        let file = read("[global-a]\nbs=4k\n[Global]\nrw=read\n[j]\n").unwrap();
        let names: Vec<_> = file.jobs.iter().map(|j| j.name.as_str()).collect();
        assert_eq!(names, ["Global", "j"]);
        assert_eq!(file.jobs[1].value(&["bs"]), Some("4k"));
        assert_eq!(file.jobs[1].value(&["rw"]), None);
        assert!(file.text.starts_with("[global]\n"));
    }

    #[test]
    fn a_switch_is_a_number() {
        let read: Vec<_> = ["0", "00", "1", "0x1", "2", "true", "yes", "", "1 x"]
            .into_iter()
            .map(switch)
            .collect();
        let (no, yes) = (Some(false), Some(true));
        assert_eq!(read, [no, no, yes, yes, None, None, None, None, None]);
    }

    #[test]
    fn sizes_and_times_are_fios() {
        assert_eq!(
            ["4k", "4KiB", "4kB", "4ki", "2G", "512", "0x1000", "4mib"].map(bytes),
            [4096, 4000, 4096, 4096, 2 << 30, 512, 4096, 4_000_000].map(Some)
        );
        assert_eq!(
            [
                "50%", "", "4x", "4.5k", "4 k", "1kk", "1e", "-1", "4k-8k", "0x10k"
            ]
            .map(bytes),
            [None; 10]
        );
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
