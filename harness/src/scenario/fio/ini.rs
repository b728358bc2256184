//! fio's job files as text: sections and options, as fio reads them (pure). fio's HOWTO, "Job file
//! format", and for what it leaves open `__parse_jobs_ini` in fio's init.c, `strip_blank_end` and
//! `str_to_decimal` in its parse.c, tried with fio 3.33.

/// Where an option stands: its section's number in the file, and its own in the section.
pub(super) type Id = (usize, usize);

/// An option as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobOption {
    pub(super) id: Id,
    /// Line in the file, from 1.
    pub(super) line: usize,
    /// The whole of it, without comment: fio knows no blanks around the sign, and where they matter
    /// it is for fio to say so.
    pub(super) raw: String,
    pub(super) key: String,
    /// Absent for an option that stands alone, which means 1.
    pub(super) value: Option<String>,
    /// Whether it is [global]'s: fio overlooks an engine's options there in jobs of other engines.
    pub(super) global: bool,
}

/// A section as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Line in the file, from 1.
    pub(super) line: usize,
    /// `global` for each whose name begins so.
    pub(super) name: String,
    pub(super) options: Vec<JobOption>,
}

impl Section {
    pub(super) fn is_global(&self) -> bool {
        self.name == GLOBAL
    }
}

/// A job: its name, and every option that applies to it, those of `[global]` first. Of equal
/// options the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JobSection {
    /// Its section's number in the file.
    pub(super) section: usize,
    /// Line of its section.
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) settings: Vec<JobOption>,
}

/// The file as it was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JobFile {
    pub(super) sections: Vec<Section>,
}

/// A line of a job file, and its number there, from 1.
pub(super) type Line = (usize, String);

/// The name of what applies to the jobs after it.
const GLOBAL: &str = "global";

/// fio's buffer for a line; what is behind it would be a line of its own.
const LONGEST_LINE: usize = 4095;

/// What fio keeps of a line. A comment begins at the first `;` or `#` anywhere in it: there are no
/// quotes and no escapes.
pub(super) fn kept(line: &str) -> &str {
    let blank = |c: char| c.is_ascii_whitespace() || c.is_ascii_control();
    let end = line.find([';', '#']).unwrap_or(line.len());
    line[..end].trim_matches(blank)
}

/// The lines of a text.
pub(super) fn lines(text: &str) -> Vec<Line> {
    (1..).zip(text.split('\n').map(str::to_owned)).collect()
}

/// Reads a job file.
///
/// # Errors
/// The line that cannot be understood, and why.
pub(super) fn read(lines: &[Line]) -> Result<JobFile, (usize, String)> {
    let mut sections: Vec<Section> = Vec::new();
    for (line, raw) in lines {
        let line = *line;
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
            let name = rest.strip_suffix(']').map(str::trim);
            let name = name.filter(|name| !name.is_empty());
            let name = name.ok_or((line, format!("`{raw}` is not a section")))?;
            // fio looks at six letters only.
            let global = name.starts_with(GLOBAL);
            let name = if global { GLOBAL } else { name };
            sections.push(Section {
                line,
                name: name.to_owned(),
                options: Vec::new(),
            });
            continue;
        }
        let number = sections.len().wrapping_sub(1);
        let Some(section) = sections.last_mut() else {
            return Err((line, format!("`{raw}` comes before the first section")));
        };
        let (key, value) = match raw.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
            None => (raw, None),
        };
        section.options.push(JobOption {
            id: (number, section.options.len()),
            line,
            raw: raw.to_owned(),
            key: key.to_owned(),
            value,
            global: section.is_global(),
        });
    }
    let file = JobFile { sections };
    if file.sections.iter().all(Section::is_global) {
        return Err((
            1,
            "it has no job, that is, no section besides [global]".to_owned(),
        ));
    }
    Ok(file)
}

impl JobFile {
    /// Its jobs, each with what applies to it.
    pub(super) fn jobs(&self) -> Vec<JobSection> {
        let mut global: Vec<JobOption> = Vec::new();
        let mut jobs = Vec::new();
        for (number, section) in self.sections.iter().enumerate() {
            if section.is_global() {
                global.extend(section.options.iter().cloned());
                continue;
            }
            jobs.push(JobSection {
                section: number,
                line: section.line,
                name: section.name.clone(),
                settings: global.iter().chain(&section.options).cloned().collect(),
            });
        }
        jobs
    }
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

    /// Whether fio would read another value: ` 1m` is 1 to it, and ` read` no direction. Only a plain
    /// number is read behind a blank.
    pub(super) fn begins_with_blank(&self) -> bool {
        let value = self.raw.split_once('=').map_or("", |(_, value)| value);
        let plain = value.trim().bytes().all(|b| b.is_ascii_digit());
        value.starts_with(|c: char| c.is_ascii_whitespace()) && !plain
    }

    /// The option without blanks.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.key),
            None => self.key.clone(),
        }
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

/// A time in nanoseconds as fio reads it: seconds, unless it has a unit (`get_mult_time` in its
/// parse.c). What it reads otherwise than anybody means is no time here: `1sec` is a microsecond,
/// `300 ms` are 300 seconds, and a hexadecimal number is one of microseconds.
pub(super) fn nanos(text: &str) -> Option<u64> {
    let (digits, unit) = split(text);
    let unit = match unit.as_str() {
        unit if unit.starts_with("us") => 1_000,
        unit if unit.starts_with("ms") => 1_000_000,
        // Behind a blank fio reads nothing, so it is seconds.
        "" | "s" | " s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A share in percent.
pub(super) fn percent(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%')?;
    digits.parse().ok().filter(|n| (1..=100).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<JobFile, (usize, String)> {
        read(&lines(text))
    }

    #[test]
    fn globals_reach_the_jobs_after_them_only() {
        let file =
            text("; c\n[global]\ndirect=1\n[a]\nbs = 4k\nthread\n[global]\nbs=8k\n[b]\n").unwrap();
        let jobs = file.jobs();
        let names: Vec<_> = jobs.iter().map(|j| j.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(jobs[0].value(&["bs"]), Some("4k"));
        assert_eq!(jobs[1].value(&["bs"]), Some("8k"));
        assert!(jobs[0].on(&["thread"]) && !jobs[1].on(&["thread"]));
        let bs = jobs[0].get(&["bs"]).unwrap();
        assert_eq!((bs.line, bs.id), (5, (1, 0)));
    }

    #[test]
    fn what_is_no_job_file_is_refused_with_its_line() {
        assert_eq!(
            text("bs=4k\n").unwrap_err(),
            (1, "`bs=4k` comes before the first section".into())
        );
        assert_eq!(text("[a\n").unwrap_err().0, 1);
        assert!(text("[global]\nbs=4k\n").unwrap_err().1.contains("no job"));
    }

    #[test]
    fn a_comment_begins_anywhere_in_a_line_as_fio_has_it() {
        let file = text(
            "# c\n ; c\n[global] # x\n bs = 4k # four; or\r\n[j];c\nfilename=da#ta\nrw=read;x\n",
        )
        .unwrap();
        let job = &file.jobs()[0];
        assert_eq!(job.name, "j");
        assert_eq!(job.value(&["bs"]), Some("4k"));
        assert_eq!(job.value(&["filename"]), Some("da"));
        assert_eq!(job.value(&["rw"]), Some("read"));
        // fio cuts before it looks for the bracket.
        assert!(text("[j;x]\nbs=4k\n").is_err());
        let long = format!("[j]\n{}bs=4k\n", " ".repeat(LONGEST_LINE));
        assert_eq!(text(&long).unwrap_err().0, 2);
    }

    #[test]
    fn what_begins_with_global_is_global_and_what_is_written_otherwise_is_not() {
        let file = text("[global-a]\nbs=4k\n[globals]\niodepth=2\n[Global]\nrw=read\n[my job]\n");
        let jobs = file.unwrap().jobs();
        let names: Vec<_> = jobs.iter().map(|j| j.name.as_str()).collect();
        assert_eq!(names, ["Global", "my job"]);
        assert_eq!(jobs[1].value(&["bs"]), Some("4k"));
        assert_eq!(jobs[1].value(&["iodepth"]), Some("2"));
        assert_eq!(jobs[1].value(&["rw"]), None);
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
        let times = ["2", "500ms", "7us", "1m", "300msec", "1S", "1 s", "99h"].map(nanos);
        let s = 1_000_000_000;
        let wanted = [2 * s, s / 2, 7_000, 60 * s, 300_000_000, s, s, 356_400 * s];
        assert_eq!(times, wanted.map(Some));
        // fio reads 1 us, 300 s, 1 s, 16 us and nothing.
        assert_eq!(
            ["1sec", "300 ms", "1.5s", "0x10", "x"].map(nanos),
            [None; 5]
        );
        assert_eq!(
            ["50%", "0%", "101%", "50"].map(percent),
            [Some(50), None, None, None]
        );
    }
}
