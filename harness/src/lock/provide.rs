//! Getting what the lock names, and refreshing the lock.

use super::{
    Declarations, Lock, LockEntry, LockedFile, archive::ArchiveView, resolve, unknown, version,
};
use crate::{
    clock,
    error::{Error, Result},
    store::{FetchProgress, MissingFile, Sources, Store},
};
use std::{cmp::Ordering, fmt};

/// What to do when a locked file has vanished from every mirror and the snapshot archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenGone {
    /// Fail, naming the entry and the command that refreshes it (`--locked`).
    Fail,
    /// Resolve the entry to what the archive has now, and say so.
    Reresolve,
}

impl WhenGone {
    /// As `--locked` asks for it, or not.
    #[must_use]
    pub fn locked(locked: bool) -> WhenGone {
        if locked {
            WhenGone::Fail
        } else {
            WhenGone::Reresolve
        }
    }
}

/// An entry whose files are in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// The locked entry, or the one that stands in for it.
    pub entry: LockEntry,
    /// Whether it is the locked one.
    pub as_locked: bool,
    /// What must be said wherever its figures are shown, when it is not.
    pub note: Option<String>,
}

/// Fetches an entry's files into the store.
///
/// # Errors
/// When they cannot be had, or have vanished and `when_gone` says [`WhenGone::Fail`].
pub fn provide(
    store: &Store,
    declarations: &Declarations,
    entry: &LockEntry,
    when_gone: WhenGone,
    sources: &Sources,
    progress: &dyn FetchProgress,
) -> Result<Provided> {
    let gone = match store.fetch_or_missing(&entry.files, sources, progress) {
        Ok(_) => {
            return Ok(Provided {
                entry: entry.clone(),
                as_locked: true,
                note: None,
            });
        }
        Err(MissingFile::Failed(error)) => {
            return Err(error.while_(format!("fetching `{}`", entry.name)));
        }
        Err(MissingFile::Gone(error)) => error,
    };
    if when_gone == WhenGone::Fail {
        return Err(gone
            .while_(format!("`{}` is not available as locked", entry.name))
            .hint(format!(
                "refresh its lock entry with `diorama lock --update {}`",
                entry.name
            )));
    }
    progress.note(&format!(
        "{}: gone from the archive, resolving again: {gone}",
        entry.name
    ));
    let mut archive = ArchiveView::new(declarations, store, sources, progress, clock::now()?);
    let now = resolve_one(&mut archive, &entry.name).map_err(|e| {
        e.while_(format!(
            "`{}` is gone from the archive; resolving it again",
            entry.name
        ))
    })?;
    // Whoever is asked for a file that is gone may also be made to serve an old, signed index.
    not_older(entry, &now)?;
    store
        .fetch(&now.files, sources, progress)
        .map_err(|e| e.while_(format!("fetching `{}`", entry.name)))?;
    let what = if entry.release.is_some() {
        "kernel"
    } else {
        "tool set"
    };
    let note = format!(
        "{}: not the locked {what}: locked {} (gone from the archive), using {}",
        entry.name,
        entry.describe(),
        now.describe()
    );
    progress.note(&note);
    Ok(Provided {
        entry: now,
        as_locked: false,
        note: Some(note),
    })
}

/// What to do when the archive has only older packages than those locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// Fail: an index of long ago, properly signed, may have been replayed.
    Refuse,
    /// Take them (`--allow-older`); the change says so.
    Allow,
}

/// Packages of `now` that are older than those of the same name, or kernel, in `before`:
/// "linux-image-7.2 7.2.12-1 -> 7.2.1-1". A kernel's package has another name with every release.
fn older(before: &LockEntry, now: &LockEntry) -> Vec<String> {
    let is_older = |was: &LockedFile, is: &LockedFile| {
        version::compare(&is.version, &was.version) == Ordering::Less
    };
    let words = |was: &LockedFile, is: &LockedFile| {
        format!("{} {} -> {}", is.package, was.version, is.version)
    };
    if before.release.is_some() {
        let pair = before.files.first().zip(now.files.first());
        let pair = pair.filter(|(was, is)| is_older(was, is));
        return pair.map(|(was, is)| words(was, is)).into_iter().collect();
    }
    let pairs = now.files.iter().filter_map(|is| {
        let was = before.files.iter().find(|was| was.package == is.package)?;
        is_older(was, is).then(|| words(was, is))
    });
    pairs.collect()
}

fn not_older(before: &LockEntry, now: &LockEntry) -> Result<()> {
    let older = older(before, now);
    let Some(first) = older.first() else {
        return Ok(());
    };
    let more = match older.len() {
        1 => String::new(),
        n => format!(" and {} more packages", n - 1),
    };
    Err(Error::fetch(format!(
        "`{}`: the archive offers older packages than those locked: {first}{more}",
        before.name
    ))
    .hint(format!(
        "an old index may have been replayed: try another mirror or network; to go back on \
         purpose, use `diorama lock --update {} --allow-older`",
        before.name
    )))
}

/// How an entry changed when the lock was refreshed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The entry's name.
    pub name: String,
    /// What was locked before; none for a new entry.
    pub from: Option<String>,
    /// What is locked now; none for an entry that is no longer declared.
    pub to: Option<String>,
    /// Packages that are older now than before.
    pub older: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) if !self.older.is_empty() => {
                write!(
                    f,
                    "{name}: {from} -> {to}, OLDER: {}",
                    self.older.join(", ")
                )
            }
            (Some(from), Some(to)) if from == to => write!(f, "{name}: {to}, with different files"),
            (Some(from), Some(to)) => write!(f, "{name}: {from} -> {to}"),
            (None, Some(to)) => write!(f, "{name}: new: {to}"),
            (from, None) => write!(
                f,
                "{name}: removed: {}",
                from.as_deref().unwrap_or_default()
            ),
        }
    }
}

/// Resolves declarations afresh: those named by `only`, or all of them if it is empty. `old` is
/// both lock files as one ([`Lock::join`]); what comes back is to be taken apart again
/// ([`Lock::split`]). `allow` says whether an entry may become older than it is. Entries that are no longer declared are dropped when all are resolved.
///
/// # Errors
/// When a name is unknown, or the archive cannot be reached, trusted or does not have it.
pub fn update(
    declarations: &Declarations,
    old: &Lock,
    (only, allow): (&[String], Older),
    store: &Store,
    sources: &Sources,
    progress: &dyn FetchProgress,
) -> Result<(Lock, Vec<Change>)> {
    for name in only {
        if !declarations.names().any(|n| n == name) {
            return Err(unknown("kernel or tool set", name, declarations.names()));
        }
    }
    let mut archive = ArchiveView::new(declarations, store, sources, progress, clock::now()?);
    let mut entries = if only.is_empty() {
        Vec::new()
    } else {
        old.entries.clone()
    };
    let mut changes = Vec::new();
    for name in declarations
        .names()
        .filter(|n| only.is_empty() || only.iter().any(|o| o == n))
    {
        let entry = resolve_one(&mut archive, name)?;
        entries.retain(|e| e.name != name);
        let before = old.entries.iter().find(|e| e.name == name);
        if before != Some(&entry) {
            if let Some(before) = before.filter(|_| allow == Older::Refuse) {
                not_older(before, &entry)?;
            }
            changes.push(Change {
                name: name.to_owned(),
                from: before.map(LockEntry::describe),
                to: Some(entry.describe()),
                older: before.map_or_else(Vec::new, |before| older(before, &entry)),
            });
        }
        entries.push(entry);
    }
    for lost in old
        .entries
        .iter()
        .filter(|o| !entries.iter().any(|e| e.name == o.name))
    {
        changes.push(Change {
            name: lost.name.clone(),
            from: Some(lost.describe()),
            to: None,
            older: Vec::new(),
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let lock = Lock {
        entries,
        ..Lock::default()
    };
    Ok((lock, changes))
}

fn resolve_one(archive: &mut ArchiveView<'_>, name: &str) -> Result<LockEntry> {
    let declared = archive.declarations;
    if let Some(kernel) = declared.kernels.iter().find(|k| k.name == name) {
        return resolve::kernel(archive, kernel);
    }
    match declared.tools.iter().find(|t| t.name == name) {
        Some(tools) => resolve::tools(archive, tools),
        None => Err(
            Error::input(format!("`{name}` is in the lock, but not declared"))
                .hint("declare it in kernels/kernels.toml or images/images.toml"),
        ),
    }
}

impl Lock {
    /// Entries of kernels and those of tool sets: kernels/lock.toml and images/lock.toml.
    #[must_use]
    pub fn split(self) -> (Lock, Lock) {
        let (kernels, tools) = self.entries.into_iter().partition(|e| e.release.is_some());
        let lock = |entries| Lock {
            entries,
            ..Lock::default()
        };
        (lock(kernels), lock(tools))
    }

    /// Both lock files as one.
    #[must_use]
    pub fn join(mut self, other: Lock) -> Lock {
        self.entries.extend(other.entries);
        self.entries.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }
}

#[cfg(test)]
mod tests;
