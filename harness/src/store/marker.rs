//! Whose directory it is. A store carries a cache directory tag (<https://bford.info/cachedir/>), by
//! which backup programs know it too; what has none, and is not empty, is somebody else's.

use super::JOURNAL;
use crate::{
    error::{Error, Result},
    files::write_atomically,
};
use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    path::Path,
};

/// Its name, by the standard.
pub(super) const TAG: &str = "CACHEDIR.TAG";

/// Its first line, by the standard.
const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55";

/// What tells our tag from other programs' (cargo tags its target directory, too).
const OURS: &str = "created by diorama";

/// Directories of a store.
pub(super) const PARTS: [&str; 5] = ["files", "partial", "derived", "quarantine", "locks"];

/// Sees to it that the directory is a store's: an empty one becomes one, and one that an earlier version
/// made, before there was a tag, is known by its structure.
///
/// # Errors
/// When it is somebody else's, or cannot be read or written.
pub(super) fn claim(root: &Path) -> Result<()> {
    let unusable = |doing: &str, path: &Path, e| {
        Error::io(doing, path, e).hint("set DIORAMA_CACHE to a directory that you can write to")
    };
    fs::create_dir_all(root).map_err(|e| unusable("creating", root, e))?;
    if is_ours(root) {
        return Ok(());
    }
    if let Some(other) = foreign(root).map_err(|e| unusable("reading", root, e))? {
        return Err(Error::input(format!(
            "{} is not Diorama's cache: it holds `{other}`",
            root.display()
        ))
        .hint("give a new or empty directory with --cache or DIORAMA_CACHE"));
    }
    let text = format!(
        "{SIGNATURE}\n\
         # This file is a cache directory tag {OURS}.\n\
         # For information about cache directory tags, see https://bford.info/cachedir/\n"
    );
    write_atomically(&root.join(TAG), text.as_bytes())
        .map_err(|e| e.hint("set DIORAMA_CACHE to a directory that you can write to"))
}

fn is_ours(root: &Path) -> bool {
    let text = tag(root);
    text.starts_with(SIGNATURE) && text.contains(OURS)
}

/// What the directory's tag says; nothing where there is none that can be read.
fn tag(root: &Path) -> String {
    let path = root.join(TAG);
    let mut text = Vec::new();
    if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file())
        && let Ok(file) = File::open(&path)
        && file.take(4096).read_to_end(&mut text).is_err()
    {
        text.clear();
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Something in the directory that no store would hold; none if it is empty or an earlier version's
/// store. That one is known by all of its parts, with nothing but names of the store's form in them.
fn foreign(root: &Path) -> std::io::Result<Option<String>> {
    let mut parts = 0;
    let mut unfinished = 0;
    let mut first = None;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type()?.is_dir();
        match name.as_str() {
            part if is_dir && PARTS.contains(&part) => {
                parts += 1;
                if let Some(inner) = stranger(&entry.path(), part)? {
                    return Ok(Some(format!("{part}/{inner}")));
                }
                first.get_or_insert(name);
            }
            "timings.json" if !is_dir => {}
            JOURNAL if is_dir => {}
            // At the root of a disk of its own.
            "lost+found" if is_dir => {}
            // Another program's, unless it is damaged.
            TAG if !is_dir && !tag(root).starts_with(SIGNATURE) => {}
            // Another process is about to write the tag, or was killed then.
            other if !is_dir && other.starts_with(".writing-") => unfinished += 1,
            other if is_dir && other.starts_with(super::staging::PREFIX) => {}
            _ => return Ok(Some(name)),
        }
    }
    let whole = parts == PARTS.len() || (parts == 0 && unfinished > 0);
    Ok(first.filter(|_| !whole))
}

/// A name in one of the parts that the store did not give.
fn stranger(dir: &Path, part: &str) -> std::io::Result<Option<String>> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type()?.is_dir();
        let own = match part {
            // The kind of what is locked stands before its key.
            "locks" => !is_dir && name.rsplit('-').next().is_some_and(is_digest),
            "derived" => is_dir && own_entries(&entry.path())?,
            _ => !is_dir && is_digest(&name),
        };
        if !own {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn own_entries(kind: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(kind)? {
        let entry = entry?;
        let name = entry.file_name();
        if !entry.file_type()?.is_dir() || key_of(&name.to_string_lossy()).is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a name is a digest as the store writes it: 64 hex digits in lower case.
pub(super) fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a derived directory is called while it is built.
pub(super) const BUILDING: &str = ".building-";
/// What it is called while it is removed.
pub(super) const REMOVING: &str = ".removing-";

/// The key of an entry, finished or not, by its name.
pub(super) fn key_of(name: &str) -> Option<&str> {
    let key = [BUILDING, REMOVING]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    is_digest(key).then_some(key)
}

/// Makes the store's directories; none of them may be a link, since nothing of the store's is reached
/// through one.
pub(super) fn make_parts(root: &Path) -> Result<()> {
    for part in PARTS {
        real_directory(&root.join(part))?;
    }
    Ok(())
}

/// Makes a directory, which may be there already, but not be a link.
pub(crate) fn real_directory(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => {
            return Err(Error::io("creating", dir, e)
                .hint("set DIORAMA_CACHE to a directory that you can write to"));
        }
    }
    match fs::symlink_metadata(dir) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(Error::host(format!(
            "{} is not a directory, and the cache follows no link",
            dir.display()
        ))
        .hint("remove it, or give another cache with --cache or DIORAMA_CACHE")),
        Err(e) => Err(Error::io("reading", dir, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;
    use std::os::unix::fs::symlink;

    fn refused(root: &Path) -> String {
        let error = Store::open(root.to_owned()).unwrap_err();
        assert!(!is_ours(root));
        error.render().replace(&root.display().to_string(), "DIR")
    }

    #[test]
    fn a_new_and_an_empty_directory_become_a_store_with_a_standard_tag() {
        let dir = tempfile::tempdir().unwrap();
        for root in [dir.path().join("new/cache"), dir.path().to_owned()] {
            // The second is not empty any more.
            if root == dir.path() {
                fs::remove_dir_all(dir.path().join("new")).unwrap();
            }
            Store::open(root.clone()).unwrap();
            let tag = fs::read_to_string(root.join("CACHEDIR.TAG")).unwrap();
            assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55\n"));
            Store::open(root).unwrap();
        }
    }

    #[test]
    fn a_directory_of_somebody_elses_is_refused_and_nothing_in_it_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("files")).unwrap();
        fs::write(root.join("files/thesis.txt"), "years").unwrap();
        insta::assert_snapshot!(refused(root), @r"
        error: DIR is not Diorama's cache: it holds `files/thesis.txt`
          help: give a new or empty directory with --cache or DIORAMA_CACHE
        ");
        fs::remove_dir_all(root.join("files")).unwrap();
        // Content-addressed, but not ours: a store has all of its parts.
        fs::create_dir(root.join("files")).unwrap();
        fs::write(root.join("files").join("0".repeat(64)), "theirs").unwrap();
        assert!(refused(root).contains("it holds `files`"));
        fs::remove_dir_all(root.join("files")).unwrap();
        // Another program's cache: cargo's.
        let cargos =
            format!("{SIGNATURE}\n# This file is a cache directory tag created by cargo.\n");
        fs::write(root.join(TAG), &cargos).unwrap();
        assert!(refused(root).contains("it holds `CACHEDIR.TAG`"));
        assert_eq!(fs::read_to_string(root.join(TAG)).unwrap(), cargos);
    }

    #[test]
    fn a_store_from_before_the_tag_is_known_by_its_structure() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let key = "a".repeat(64);
        for part in PARTS {
            fs::create_dir(root.join(part)).unwrap();
        }
        fs::create_dir_all(root.join("derived/tree").join(&key)).unwrap();
        fs::create_dir(root.join("derived/tree").join(format!("{BUILDING}{key}"))).unwrap();
        fs::create_dir(root.join(".checkpoint-a1b2c3")).unwrap();
        for file in [
            format!("files/{key}"),
            format!("partial/{key}"),
            format!("locks/{key}"),
            format!("locks/initramfs-with-job-{key}"),
            "timings.json".to_owned(),
        ] {
            fs::write(root.join(file), "x").unwrap();
        }
        let tree = root.join("derived/tree/notes");
        fs::create_dir(&tree).unwrap();
        assert!(refused(root).contains("it holds `derived/tree`"));
        fs::remove_dir(&tree).unwrap();
        // It may hold devices that have to be given back.
        fs::create_dir(root.join(JOURNAL)).unwrap();
        Store::open(root.to_owned()).unwrap();
        assert!(is_ours(root));
        // So is one whose tag was damaged.
        fs::write(root.join(TAG), "").unwrap();
        Store::open(root.to_owned()).unwrap();
        assert!(is_ours(root));
    }

    #[test]
    fn a_part_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cache");
        Store::open(root.clone()).unwrap();
        fs::remove_dir(root.join("files")).unwrap();
        symlink(dir.path(), root.join("files")).unwrap();
        let error = Store::open(root.clone()).unwrap_err().render();
        assert!(error.contains("follows no link"), "{error}");
    }

    #[test]
    fn only_64_hex_digits_in_lower_case_are_a_name_of_the_store() {
        let key = "0123456789abcdef".repeat(4);
        assert!(is_digest(&key));
        assert_eq!(key_of(&format!("{REMOVING}{key}")), Some(key.as_str()));
        for other in [&key[1..], &key.to_uppercase(), &format!("+{}", &key[1..])] {
            assert!(!is_digest(other), "{other}");
        }
    }
}
