//! The run directory: created once, appended to as things happen, readable at any moment.

use super::{OLDEST_SCHEMA, Results, SCHEMA, contradictions};
use crate::{
    error::{Error, Result},
    files,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

/// Name of the pointer to the newest run.
const LATEST: &str = "latest";
/// Name of the file that [`Results`] are in.
const RESULTS: &str = "results.json";

/// results/<run-id>/, open for writing.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    run_id: String,
    replay: Option<String>,
    formatting: Vec<String>,
    /// Why `latest` does not name this run, if so.
    not_latest: Option<String>,
    events: File,
    began: Instant,
}

#[derive(Deserialize)]
struct Head {
    schema: Option<u64>,
}

#[derive(Serialize)]
struct EventLine<'a, E: Serialize> {
    /// Seconds since the run began, by the host's monotonic clock.
    t: f64,
    #[serde(flatten)]
    event: &'a E,
}

impl RunDir {
    /// Makes `<root>/<scenario>-<UTC time>[-n]/` and points `<root>/latest` at it.
    ///
    /// # Errors
    /// When the directory or its first file cannot be made.
    pub fn create(root: &Path, scenario: &str, now: jiff::Timestamp) -> Result<RunDir> {
        fs::create_dir_all(root).map_err(|e| Error::io("creating", root, e))?;
        let stem = format!("{scenario}-{}", now.strftime("%Y%m%dT%H%M%SZ"));
        let mut run_id = stem.clone();
        let mut n = 1;
        let path = loop {
            let path = root.join(&run_id);
            match fs::create_dir(&path) {
                Ok(()) => break path,
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    n += 1;
                    run_id = format!("{stem}-{n}");
                }
                Err(e) => return Err(Error::io("creating", &path, e)),
            }
        };
        let events_path = path.join("events.jsonl");
        let events = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&events_path)
            .map_err(|e| Error::io("creating", &events_path, e))?;
        let not_latest = point_latest(root, &run_id);
        Ok(RunDir {
            not_latest,
            path,
            run_id,
            replay: None,
            formatting: Vec::new(),
            events,
            began: Instant::now(),
        })
    }

    /// Says what does not follow from the plan alone: the command that gives the run's digits
    /// again, and how file systems are formatted.
    #[must_use]
    pub fn describe(mut self, replay: String, formatting: Vec<String>) -> RunDir {
        self.replay = Some(replay);
        self.formatting = formatting;
        self
    }

    /// The command that gives the run's digits again, if it was named.
    #[must_use]
    pub fn replay(&self) -> Option<&str> {
        self.replay.as_deref()
    }

    /// How file systems are formatted.
    #[must_use]
    pub fn formatting(&self) -> &[String] {
        &self.formatting
    }

    /// What must be said when `latest` could not be pointed at this run.
    #[must_use]
    pub fn not_latest(&self) -> Option<&str> {
        self.not_latest.as_deref()
    }

    /// The run's name.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one event; it is in the file when this returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn event(&mut self, event: &impl Serialize) -> Result<()> {
        let line = EventLine {
            t: (self.began.elapsed().as_secs_f64() * 1e3).round() / 1e3,
            event,
        };
        let mut text = serde_json::to_vec(&line)
            .map_err(|e| Error::internal("writing an event as JSON").because(e))?;
        text.push(b'\n');
        self.events
            .write_all(&text)
            .map_err(|e| Error::io("appending to", &self.path.join("events.jsonl"), e))
    }

    /// Writes a file of the record whole: under another name first, then renamed, so that a reader
    /// never sees half of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<PathBuf> {
        let path = self.path.join(name);
        // A run directory that went away is not made again: half a record would look like one.
        if let Some(parent) = path.parent().filter(|parent| *parent != self.path) {
            fs::create_dir_all(parent).map_err(|e| Error::io("creating", parent, e))?;
        }
        files::write_atomically(&path, contents)?;
        Ok(path)
    }

    /// Writes a value of the record as indented JSON.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<PathBuf> {
        self.write(name, &json(name, value)?)
    }
}

/// Writes results.json of a run that came to its end once more, whole.
///
/// # Errors
/// When it cannot be written.
pub fn rewrite(dir: &Path, results: &Results) -> Result<()> {
    files::write_atomically(&dir.join(RESULTS), &json(RESULTS, results)?)
}

fn json(name: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::internal(format!("writing {name} as JSON")).because(e))?;
    json.push(b'\n');
    Ok(json)
}

/// Points `latest` at a run, or says why not. A file system without symbolic links goes without, in
/// silence; somebody's own directory of that name stays as it is.
fn point_latest(root: &Path, run_id: &str) -> Option<String> {
    let link = root.join(LATEST);
    let temporary = root.join(format!(".latest-{}", std::process::id()));
    std::os::unix::fs::symlink(run_id, &temporary).ok()?;
    let error = fs::rename(&temporary, &link).err()?;
    let _ = fs::remove_file(&temporary);
    Some(format!(
        "{} is not the link to the newest run, so it was left alone ({error}); move it away, or \
         refer to runs by id",
        link.display()
    ))
}

/// The run that was begun last, by the time in its name; for a `latest` that is no link to a run.
fn newest(root: &Path) -> Option<PathBuf> {
    let named = runs(root).into_iter().filter_map(|name| {
        let (at, n) = begun(&name)?.1;
        Some(((at.to_owned(), n), name))
    });
    named.max().map(|(_, name)| root.join(name))
}

/// What the name of a run says: its scenario; when it began, and the how-manieth of that second it
/// was (`<scenario>-<UTC time>[-n]`). None for a name that no run has.
#[must_use]
pub fn begun(name: &str) -> Option<(&str, (&str, u64))> {
    let time = |part: &str| part.len() == 16 && part.ends_with('Z') && part.contains('T');
    let (before, last) = name.rsplit_once('-')?;
    if time(last) {
        return Some((before, (last, 1)));
    }
    let (scenario, at) = before.rsplit_once('-').filter(|(_, part)| time(part))?;
    Some((scenario, (at, last.parse().ok()?)))
}

/// Finds a run by its directory, its id below `root`, or the word `latest`, and reads its
/// results.json.
///
/// # Errors
/// When there is no such run, or its results cannot be read by this version.
pub fn open(root: &Path, run: &str) -> Result<(PathBuf, Results)> {
    let direct = PathBuf::from(run);
    let link = root.join(LATEST);
    let is_link = || link.is_symlink() && link.join(RESULTS).exists();
    let path = if direct.join(RESULTS).exists() {
        direct
    } else if run == LATEST && !is_link() {
        newest(root).unwrap_or(link)
    } else {
        root.join(run)
    };
    let file = path.join(RESULTS);
    let text = files::read(&file, files::PROGRAM).map_err(|e| {
        Error::input(format!("there is no record of a run `{run}`"))
            .because(Error::io("reading", &file, e))
            .hint(match runs(root) {
                runs if runs.is_empty() => {
                    format!(
                        "give a run directory; there is no run below {}",
                        root.display()
                    )
                }
                runs => format!(
                    "give a run directory, `latest`, or one of: {}",
                    runs.join(", ")
                ),
            })
    })?;
    let results = parse(&text, &file.display().to_string())?;
    Ok((path, results))
}

/// Reads a results.json, which is called so in messages.
///
/// # Errors
/// When it is not one, is of a version that is not read, or contradicts itself.
pub fn parse(text: &[u8], name: &str) -> Result<Results> {
    // Not as a value first: that would take many times the memory, and may be a stranger's.
    let head: Head = serde_json::from_slice(text)
        .map_err(|e| Error::input(format!("{name} is not JSON")).because(e))?;
    let read = OLDEST_SCHEMA..=SCHEMA;
    let known = |schema: u64| u32::try_from(schema).is_ok_and(|s| read.contains(&s));
    if !head.schema.is_some_and(known) {
        let found = (head.schema).map_or("no schema".to_owned(), |s| format!("schema {s}"));
        return Err(Error::input(format!(
            "{name} has {found}, this version reads schemas {OLDEST_SCHEMA} to {SCHEMA}"
        ))
        .hint("read it with the version of diorama named in its manifest.json"));
    }
    let mut results: Results = serde_json::from_slice(text)
        .map_err(|e| Error::input(format!("{name} is not a record of a run")).because(e))?;
    results.scenario.complete();
    check(&results).map_err(|e| e.while_(format!("reading {name}")))?;
    Ok(results)
}

/// Refuses a record that contradicts itself: whose figures they are, nobody knows.
///
/// # Errors
/// When a digest of it does not follow from what it says.
fn check(results: &Results) -> Result<()> {
    let found = contradictions(results);
    let Some(first) = found.first() else {
        return Ok(());
    };
    let more = match found.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Err(
        Error::input(format!("the record contradicts itself: {first}{more}")).hint(
            "it was altered, or damaged: get it again from where it was made (docs/identity.md)",
        ),
    )
}

fn runs(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().join(RESULTS).exists())
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second_get_two_directories_and_events_are_lines() {
        let root = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let mut one = RunDir::create(root.path(), "smoke", now).unwrap();
        let two = RunDir::create(root.path(), "smoke", now).unwrap();
        assert_eq!(one.run_id(), "smoke-19700101T000000Z");
        assert_eq!(two.run_id(), "smoke-19700101T000000Z-2");
        one.event(&serde_json::json!({"event": "x"})).unwrap();
        let text = fs::read_to_string(one.path().join("events.jsonl")).unwrap();
        assert!(text.ends_with("\"event\":\"x\"}\n"), "{text}");
        let latest = fs::read_link(root.path().join("latest")).unwrap();
        assert_eq!(latest.to_str(), Some(two.run_id()));
    }

    #[test]
    fn a_name_says_whose_run_it_is_and_when_it_began() {
        let of = |name| begun(name).map(|(scenario, (at, n))| format!("{scenario} {at} {n}"));
        assert_eq!(
            of("a-b-19700101T000000Z").as_deref(),
            Some("a-b 19700101T000000Z 1")
        );
        assert_eq!(
            of("a-19700101T000000Z-12").as_deref(),
            Some("a 19700101T000000Z 12")
        );
        assert_eq!(of("latest"), None);
        assert_eq!(of("a-b"), None);
        assert_eq!(of("a-19700101T000000Z-x"), None);
    }

    #[test]
    fn a_missing_run_names_those_that_exist() {
        let root = tempfile::tempdir().unwrap();
        let error = open(root.path(), "nope").unwrap_err();
        assert!(
            error.render().contains("no record of a run `nope`"),
            "{}",
            error.render()
        );
        assert!(error.next_step().unwrap().contains("no run below"));
    }

    #[test]
    fn a_record_of_the_last_schema_is_read_and_one_that_contradicts_itself_is_not() {
        let root = tempfile::tempdir().unwrap();
        let mut results = crate::compare::fixture::results();
        let opened = |results: &Results| {
            let now = jiff::Timestamp::UNIX_EPOCH;
            let dir = RunDir::create(root.path(), "smoke", now).unwrap();
            dir.write_json("results.json", results).unwrap();
            open(root.path(), dir.run_id()).map(|(_, results)| results)
        };
        assert_eq!(opened(&results).unwrap(), results);
        results.machines[0].covers.argv.push("-bad".into());
        let text = opened(&results).unwrap_err().render();
        assert!(
            text.contains("the machine of 5.10: its digest is not that of what it covers"),
            "{text}"
        );
        results.schema = 4;
        results.machines.clear();
        for cell in &mut results.cells {
            cell.job = None;
        }
        assert_eq!(opened(&results).unwrap(), results);
        for schema in [3, 6] {
            results.schema = schema;
            let text = opened(&results).unwrap_err().render();
            assert!(text.contains("this version reads schemas 4 to 5"), "{text}");
        }
    }

    #[test]
    fn latest_is_the_newest_run_also_where_the_link_cannot_be() {
        let root = tempfile::tempdir().unwrap();
        let mine = root.path().join(LATEST);
        fs::create_dir(&mine).unwrap();
        fs::write(mine.join("thesis.txt"), "mine").unwrap();
        let second = |s| jiff::Timestamp::from_second(s).unwrap();
        let results = serde_json::to_value(crate::compare::fixture::results()).unwrap();
        for (scenario, at) in [("z", 0), ("a", 1), ("a", 1)] {
            let dir = RunDir::create(root.path(), scenario, second(at)).unwrap();
            assert!(dir.not_latest().unwrap().contains("left alone"));
            dir.write_json(RESULTS, &results).unwrap();
        }
        let (path, _) = open(root.path(), "latest").unwrap();
        assert!(path.ends_with("a-19700101T000001Z-2"), "{}", path.display());
        assert!(mine.join("thesis.txt").exists());

        // A link whose run was removed.
        fs::remove_dir_all(&mine).unwrap();
        std::os::unix::fs::symlink("gone", &mine).unwrap();
        assert!(
            open(root.path(), "latest")
                .unwrap()
                .0
                .ends_with("a-19700101T000001Z-2")
        );
    }
}
