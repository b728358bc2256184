//! What a derived directory holds: made when it was built, checked before anything rests on it.
//!
//! A manifest names its own kind and key, and every file, directory and link below it with its
//! contents' digest. So a flipped bit, a missing and an added file, and two directories that were
//! exchanged are all seen.

use crate::{
    digest::Sha256,
    error::{Error, Result},
    pages,
    vocabulary::TreeItem,
};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{self, Read as _},
    num::NonZero,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Its name in the directory that it describes.
pub(super) const MANIFEST: &str = ".manifest.json";

/// Version of its format.
const FORM: u32 = 1;

/// Larger ones are none.
const MAX_BYTES: u64 = 64 << 20;

/// Threads that hash: more wait for memory, or take cores from guests.
const THREADS: usize = 4;

/// What is in a derived directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    form: u32,
    kind: String,
    key: Sha256,
    /// By path below the directory.
    items: BTreeMap<String, Item>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Item {
    Directory,
    /// A symbolic link, to this.
    Link(String),
    File(Contents),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    size: u64,
    /// [`pages::digest`]; empty while it is not known.
    blake3: String,
    executable: bool,
}

/// Why a directory is not what its manifest says.
pub type Doubt = String;

impl Manifest {
    /// Describes a directory that was just built, and writes that into it.
    pub fn write(dir: &Path, kind: &str, key: &Sha256) -> Result<Manifest> {
        let failed = |e| Error::io("describing", dir, e);
        let mut items = survey(dir).map_err(failed)?;
        digest_all(dir, &mut items).map_err(failed)?;
        let manifest = Manifest {
            form: FORM,
            kind: kind.to_owned(),
            key: *key,
            items,
        };
        let json = serde_json::to_vec(&manifest)
            .map_err(|e| Error::internal("writing a manifest as JSON").because(e))?;
        let path = dir.join(MANIFEST);
        let mode = dir.metadata().map_err(failed)?.mode() & 0o7777;
        let allow = |mode| fs::set_permissions(dir, Permissions::from_mode(mode));
        // A tree is sealed when it is built.
        allow(mode | 0o700)
            .and_then(|()| fs::write(&path, json))
            .and_then(|()| allow(mode))
            .map_err(|e| Error::io("writing", &path, e))?;
        Ok(manifest)
    }

    /// Reads a manifest from an open file.
    pub fn read(file: &File) -> Result<Manifest, Doubt> {
        let unreadable = |e: &dyn std::fmt::Display| format!("its manifest cannot be read ({e})");
        let mut json = Vec::new();
        file.take(MAX_BYTES)
            .read_to_end(&mut json)
            .map_err(|e| unreadable(&e))?;
        let manifest: Manifest = serde_json::from_slice(&json).map_err(|e| unreadable(&e))?;
        if manifest.form == FORM {
            Ok(manifest)
        } else {
            Err("its manifest is from another version".to_owned())
        }
    }

    /// Compares a directory, all of its contents included, with what it was when it was built as
    /// this kind and key.
    pub fn check(&self, dir: &Path, kind: &str, key: &Sha256) -> Result<(), Doubt> {
        if (self.kind.as_str(), &self.key) != (kind, key) {
            return Err(format!(
                "it is {} {}, under the wrong name",
                self.kind,
                self.key.short()
            ));
        }
        let mut found = survey(dir).map_err(|e| format!("it cannot be read ({e})"))?;
        // What stat(2) tells comes first: it costs little.
        for (path, item) in &self.items {
            let same = match (item, found.get(path)) {
                (_, None) => return Err(format!("{path} is missing")),
                (Item::File(made), Some(Item::File(now))) => {
                    (made.size, made.executable) == (now.size, now.executable)
                }
                (made, Some(now)) => made == now,
            };
            if !same {
                return Err(altered(path));
            }
        }
        if let Some(path) = found.keys().find(|path| !self.items.contains_key(*path)) {
            return Err(format!("{path} does not belong there"));
        }
        digest_all(dir, &mut found).map_err(|e| format!("it cannot be read ({e})"))?;
        match self
            .items
            .iter()
            .find(|(path, made)| found.get(*path) != Some(*made))
        {
            Some((path, _)) => Err(altered(path)),
            None => Ok(()),
        }
    }

    /// The digest of what it says of the directory's contents.
    pub fn items_digest(&self) -> Sha256 {
        Sha256::of_value(&(FORM, &self.items))
    }

    /// The files and directories below the directory, without links, if there are so few.
    pub fn at_most(&self, few: usize) -> Option<impl Iterator<Item = &str>> {
        let items = (self.items.iter()).filter(|(_, item)| !matches!(item, Item::Link(_)));
        (self.items.len() <= few).then(|| items.map(|(path, _)| path.as_str()))
    }

    /// Compares one file below the directory.
    pub fn check_file(&self, dir: &Path, path: &str) -> Result<(), Doubt> {
        let Some(Item::File(made)) = self.items.get(path) else {
            return Err(format!("{path} does not belong there"));
        };
        match digest(&dir.join(path), made.size) {
            Ok(now) if now == made.blake3 => Ok(()),
            Ok(_) => Err(altered(path)),
            Err(e) => Err(format!("{path} cannot be read ({e})")),
        }
    }
}

fn altered(path: &str) -> Doubt {
    format!("{path} was altered")
}

/// Everything below a directory but its manifest; contents are not read.
fn survey(dir: &Path) -> io::Result<BTreeMap<String, Item>> {
    fn walk(dir: &Path, prefix: &str, items: &mut BTreeMap<String, Item>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| {
                io::Error::other(format!("the name {} is not UTF-8", name.display()))
            })?;
            if prefix.is_empty() && name == MANIFEST {
                continue;
            }
            let path = format!("{prefix}{name}");
            let meta = entry.metadata()?;
            let item = if meta.is_dir() {
                walk(&entry.path(), &format!("{path}/"), items)?;
                Item::Directory
            } else if meta.is_symlink() {
                Item::Link(fs::read_link(entry.path())?.to_string_lossy().into_owned())
            } else if meta.is_file() {
                Item::File(Contents {
                    size: meta.len(),
                    blake3: String::new(),
                    executable: meta.mode() & 0o111 != 0,
                })
            } else {
                return Err(io::Error::other(format!(
                    "{path} is neither file, directory nor link"
                )));
            };
            items.insert(path, item);
        }
        Ok(())
    }
    let mut items = BTreeMap::new();
    walk(dir, "", &mut items)?;
    Ok(items)
}

/// Everything below a directory but a manifest: what it is, and not whether it was altered.
pub(super) fn contents(dir: &Path) -> io::Result<Vec<TreeItem>> {
    let items = survey(dir)?;
    let of = |path: &str, size| Sha256::of_reader(open(&dir.join(path), size)?);
    let mut digests = hash_all(&items, of)?;
    let item = |(path, item)| match item {
        Item::Directory => Some(TreeItem::Directory { path }),
        Item::Link(to) => Some(TreeItem::Link { path, to }),
        Item::File(contents) => Some(TreeItem::File {
            sha256: digests.remove(&path)?,
            executable: contents.executable,
            path,
        }),
    };
    let found: Option<Vec<TreeItem>> = items.into_iter().map(item).collect();
    found.ok_or_else(|| io::Error::other("a file was not hashed"))
}

/// Fills the files' digests in.
fn digest_all(dir: &Path, items: &mut BTreeMap<String, Item>) -> io::Result<()> {
    let of = |path: &str, size| digest(&dir.join(path), size);
    for (path, digest) in hash_all(items, of)? {
        if let Some(Item::File(contents)) = items.get_mut(&path) {
            contents.blake3 = digest;
        }
    }
    Ok(())
}

/// What `hash` says of each file, by its path and size; by a few threads, large files first.
fn hash_all<T: Send>(
    items: &BTreeMap<String, Item>,
    hash: impl Fn(&str, u64) -> io::Result<T> + Sync,
) -> io::Result<BTreeMap<String, T>> {
    let mut work: Vec<(&str, u64)> = items
        .iter()
        .filter_map(|(path, item)| match item {
            Item::File(contents) => Some((path.as_str(), contents.size)),
            _ => None,
        })
        .collect();
    work.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, size)) = work.get(at) else {
                return Ok(done);
            };
            let digest =
                hash(path, *size).map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))?;
            done.push(((*path).to_owned(), digest));
        }
    };
    let done: io::Result<Vec<Vec<(String, T)>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(THREADS).min(work.len()))
            .map(|_| scope.spawn(some))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    Ok(done?.into_iter().flatten().collect())
}

fn digest(path: &Path, size: u64) -> io::Result<String> {
    pages::digest(&open(path, size)?, size)
}

/// A regular file of this size.
fn open(path: &Path, size: u64) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() != size {
        return Err(io::Error::other("it changed while it was read"));
    }
    Ok(file)
}
