//! What a job is given as: a file with the files it includes, or fio's command line; and the
//! variables in it (pure). fio's HOWTO, "Environment variables" and "Reserved keywords"; for
//! `include`, `__parse_jobs_ini` in its init.c.

use super::ini::{JobFile, Line, kept, lines};

/// How deep includes may go: fio's own limit is smaller than any file needs.
const DEEPEST: usize = 8;

/// Where the rest of a job comes from.
pub(in crate::scenario) struct Outside<'a> {
    /// Reads a file that the job includes, by its name as written.
    pub(in crate::scenario) include: &'a dyn Fn(&str) -> Result<String, String>,
    /// A variable's value.
    pub(in crate::scenario) variable: &'a dyn Fn(&str) -> Option<String>,
    /// What fio itself says of a job file, if it refuses it.
    pub(in crate::scenario) refused: &'a dyn Fn(&str) -> Option<String>,
}

/// Whether it is a command line, and not a file's path.
#[must_use]
pub fn is_command(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let program = words.next().and_then(|word| word.rsplit('/').next());
    program == Some("fio") && words.any(|word| word.starts_with("--"))
}

/// A file's lines, with those of the files it includes in their place; each has the number of the
/// line of the file itself.
///
/// # Errors
/// The line of an include that cannot be read, and why.
pub(super) fn included(text: &str, outside: &Outside<'_>) -> Result<Vec<Line>, (usize, String)> {
    let mut out = Vec::new();
    for (line, raw) in lines(text) {
        match include(&raw) {
            Some(name) => expand(name, line, DEEPEST, outside, &mut out)?,
            None => out.push((line, raw)),
        }
    }
    Ok(out)
}

fn include(line: &str) -> Option<&str> {
    let name = kept(line).strip_prefix("include")?;
    name.starts_with(char::is_whitespace).then(|| name.trim())
}

fn expand(
    name: &str,
    line: usize,
    deep: usize,
    outside: &Outside<'_>,
    out: &mut Vec<Line>,
) -> Result<(), (usize, String)> {
    let Some(deep) = deep.checked_sub(1) else {
        return Err((
            line,
            format!("`include {name}`: includes are nested too deeply"),
        ));
    };
    let text = (outside.include)(name).map_err(|why| (line, format!("`include {name}`: {why}")))?;
    for raw in text.split('\n') {
        match include(raw) {
            Some(name) => expand(name, line, deep, outside, out)?,
            None => out.push((line, raw.to_owned())),
        }
    }
    Ok(())
}

/// Options of fio's command line that say how it reports, and change no I/O; whether each takes a
/// value.
const REPORTING: &[(&str, bool)] = &[
    ("output", true),
    ("output-format", true),
    ("append-terse", false),
    ("minimal", false),
    ("terse-version", true),
    ("eta", true),
    ("eta-newline", true),
    ("eta-interval", true),
    ("status-interval", true),
    ("bandwidth-log", false),
    ("aux-path", true),
    ("max-jobs", true),
    ("warnings-fatal", false),
];

/// fio's command line as a job file: what is before the first `--name` is global, and each
/// `--name` begins a job.
///
/// # Errors
/// What it has that no job file can say.
pub(super) fn command(text: &str) -> Result<Vec<Line>, String> {
    let words = words(text)?;
    let (mut global, mut jobs) = (Vec::new(), Vec::<(String, Vec<String>)>::new());
    let mut words = words.into_iter().skip(1).peekable();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--") else {
            return Err(format!(
                "`{word}` is no option; a job file beside options is not supported: give one or the \
                 other"
            ));
        };
        let (key, mut value) = match option.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (option, None),
        };
        let reporting = REPORTING.iter().find(|(name, _)| *name == key);
        let takes = reporting.is_none_or(|(_, takes)| *takes);
        if value.is_none() && takes {
            value = words.next_if(|next| !next.starts_with("--"));
        }
        if reporting.is_some() {
            continue;
        }
        if key == "name" {
            let name = value.unwrap_or_default();
            jobs.push((name, Vec::new()));
            continue;
        }
        // In a file the words of an option have underlines; getopt_long takes both.
        let key = match key {
            "hugepage-size" => key.to_owned(),
            key => key.replace('-', "_"),
        };
        let line = match value {
            Some(value) => format!("{key}={value}"),
            None => key,
        };
        match jobs.last_mut() {
            Some((_, options)) => options.push(line),
            None => global.push(line),
        }
    }
    if jobs.is_empty() {
        // fio wants a name; those who leave it out mean one job.
        jobs.push(("job".to_owned(), Vec::new()));
    }
    let mut out = vec!["[global]".to_owned()];
    out.append(&mut global);
    for (name, options) in jobs {
        out.push(match name.as_str() {
            // What follows `--name=global` is for all jobs after it.
            "global" => "[global]".to_owned(),
            name => format!("[{name}]"),
        });
        out.extend(options);
    }
    if let Some(word) = out.iter().find(|line| line.contains([';', '#', '\n'])) {
        return Err(format!("`{word}` cannot be said in a job file"));
    }
    // All of it is one line of the user's.
    Ok(out.into_iter().map(|line| (1, line)).collect())
}

/// The words of a line as a shell separates them: quotes and backslashes, and nothing else of it.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let mut closed = false;
                let word = word.get_or_insert_default();
                while let Some(inner) = chars.next() {
                    match inner {
                        end if end == c => {
                            closed = true;
                            break;
                        }
                        '\\' if c == '"' => word.extend(chars.next()),
                        other => word.push(other),
                    }
                }
                if !closed {
                    return Err(format!("a quote, {c}, is not closed"));
                }
            }
            '\\' => match chars.next() {
                // A line that goes on.
                Some('\n') | None => {}
                Some(other) => word.get_or_insert_default().push(other),
            },
            c if c.is_whitespace() => words.extend(word.take()),
            '|' | '>' | '<' | '&' => {
                return Err(format!("`{c}` is for a shell, not for fio"));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// A variable that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Replaced {
    pub(super) name: String,
    pub(super) value: String,
}

/// Replaces `${NAME}`, and `$pagesize`, in the values of all options but the words for people.
///
/// # Errors
/// Those that have no value, by line.
pub(super) fn replace(
    file: &mut JobFile,
    outside: &Outside<'_>,
) -> Result<Vec<Replaced>, Vec<(usize, String, String)>> {
    let (mut done, mut unknown) = (Vec::new(), Vec::new());
    let options = file.sections.iter_mut().flat_map(|s| &mut s.options);
    for option in options.filter(|o| !["description", "filename_format"].contains(&o.key.as_str()))
    {
        let Some(value) = &mut option.value else {
            continue;
        };
        if !value.contains('$') {
            continue;
        }
        let mut new = String::new();
        let mut rest = value.as_str();
        while let Some(at) = rest.find('$') {
            new.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$pagesize") {
                new.push_str("4096");
                rest = after;
                continue;
            }
            let Some((name, after)) = rest.strip_prefix("${").and_then(|r| r.split_once('}'))
            else {
                let what = format!("`{}`: `$` is not a variable", option.raw);
                unknown.push((
                    option.line,
                    what,
                    "write ${NAME}, or the value itself".to_owned(),
                ));
                break;
            };
            match (outside.variable)(name) {
                Some(text) => {
                    done.push(Replaced {
                        name: name.to_owned(),
                        value: text.clone(),
                    });
                    new.push_str(&text);
                }
                None => {
                    let what = format!("`{}`: ${{{name}}} has no value", option.raw);
                    let next = format!("add -D {name}=VALUE, or set it in the environment");
                    unknown.push((option.line, what, next));
                }
            }
            rest = after;
        }
        new.push_str(rest);
        *value = new;
        option.raw = format!(
            "{}={}",
            option.key,
            option.value.as_deref().unwrap_or_default()
        );
    }
    done.sort();
    done.dedup();
    match unknown.is_empty() {
        true => Ok(done),
        false => Err(unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[Line]) -> String {
        let lines: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("|")
    }

    #[test]
    fn a_command_line_is_a_job_file() {
        let line = "/usr/bin/fio --ioengine=libaio --size 2G --thread --eta=always --output=x.json \
                    --name=a --rw=randread --name='b c' --iodepth-batch=4 --output-format json";
        assert!(is_command(line));
        insta::assert_snapshot!(text(&command(line).unwrap()), @"[global]|ioengine=libaio|size=2G|thread|[a]|rw=randread|[b c]|iodepth_batch=4");
        let report = "fio --rw=read --size=1m";
        assert_eq!(
            text(&command(report).unwrap()),
            "[global]|rw=read|size=1m|[job]"
        );
        for no in ["jobs/fio.fio", "fio", "my fio --rw=read", "fio.fio"] {
            assert!(!is_command(no), "{no}");
        }
        assert!(
            command("fio --name=a job.fio")
                .unwrap_err()
                .contains("job.fio")
        );
        assert!(
            command("fio --name=a | tee x")
                .unwrap_err()
                .contains("shell")
        );
        assert!(command("fio --name='a").unwrap_err().contains("not closed"));
    }

    #[test]
    fn included_lines_stand_where_they_are_included() {
        let include = |name: &str| match name {
            "common" => Ok("bs=8k\ninclude more\n".to_owned()),
            "more" => Ok("direct=1".to_owned()),
            "itself" => Ok("include itself".to_owned()),
            _ => Err("there is no such file".to_owned()),
        };
        let outside = Outside {
            include: &include,
            variable: &|_| None,
            refused: &|_| None,
        };
        let lines = included("[global]\ninclude common # c\n[j]", &outside).unwrap();
        assert_eq!(text(&lines), "[global]|bs=8k|direct=1||[j]");
        assert_eq!(lines[2].0, 2);
        let absent = included("\ninclude no.inc", &outside).unwrap_err();
        assert_eq!(
            absent,
            (2, "`include no.inc`: there is no such file".into())
        );
        assert!(
            included("include itself", &outside)
                .unwrap_err()
                .1
                .contains("too deeply")
        );
    }

    #[test]
    fn variables_have_values_or_are_named() {
        let variable = |name: &str| (name == "DEPTH").then(|| "8".to_owned());
        let outside = Outside {
            include: &|_| Err(String::new()),
            variable: &variable,
            refused: &|_| None,
        };
        let read = |text: &str| super::super::ini::read(&lines(text)).unwrap();
        let mut file = read("[j]\niodepth=${DEPTH}\nbs=$pagesize\ndescription=5$ ${X}\n");
        let done = replace(&mut file, &outside).unwrap();
        assert_eq!(
            (done[0].name.as_str(), done[0].value.as_str()),
            ("DEPTH", "8")
        );
        let raw: Vec<_> = file.sections[0]
            .options
            .iter()
            .map(|o| o.raw.as_str())
            .collect();
        assert_eq!(raw, ["iodepth=8", "bs=4096", "description=5$ ${X}"]);
        let unknown = replace(&mut read("[j]\nsize=${S}\nnumjobs=$ncpus\n"), &outside).unwrap_err();
        assert_eq!((unknown.len(), unknown[0].0, unknown[1].0), (2, 2, 3));
        assert!(unknown[0].2.contains("-D S=VALUE"));
    }
}
