//! Whether a derived file is still what its digest says.

use crate::{
    digest::Sha256,
    error::{Error, Result},
    store::Store,
};
use std::{fs::File, path::Path};

/// Compares a file that a guest boots from with its digest. One in the store that was altered goes,
/// with its directory, so that the next run makes it anew.
///
/// # Errors
/// When it was altered or cannot be read.
pub(super) fn intact(store: &Store, path: &Path, digest: &Sha256) -> Result<()> {
    let file = File::open(path).map_err(|e| Error::io("opening", path, e))?;
    let found = Sha256::of_reader(file).map_err(|e| Error::io("reading", path, e))?;
    if found == *digest {
        return Ok(());
    }
    let error = Error::fetch(format!(
        "{} was altered: its sha256 is {}, it was made with {}",
        path.display(),
        found.short(),
        digest.short()
    ));
    let dir = path.parent().filter(|dir| dir.starts_with(store.root()));
    let gone = dir.is_some_and(|dir| store.remove_entry(dir).is_ok());
    Err(error.hint(if gone {
        "it was removed: run the same command again, and it is made anew"
    } else {
        "remove it and run the same command again"
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_file_is_named_and_goes() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path().join("cache")).unwrap();
        let key = Sha256::of(b"key");
        let write = |dir: &Path| {
            let path = dir.join("vmlinux");
            std::fs::write(&path, "kernel").map_err(|e| Error::io("writing", &path, e))
        };
        let dir = store.derive("kernel", &key, write).unwrap();
        let path = dir.join("vmlinux");
        intact(&store, &path, &Sha256::of(b"kernel")).unwrap();

        std::fs::write(&path, "kernal").unwrap();
        let error = intact(&store, &path, &Sha256::of(b"kernel")).unwrap_err();
        assert!(error.to_string().contains("vmlinux was altered"), "{error}");
        assert!(error.next_step().unwrap().contains("it was removed"));
        assert_eq!(store.derived("kernel", &key), None);
    }
}
