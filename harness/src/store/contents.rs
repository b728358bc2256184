//! What an unpacked tree is, wherever it came from: the digest of its contents (docs/identity.md).
//!
//! A derived directory's key tells what it was made from, and its manifest guards it. Neither says what a
//! tree *is*: the same files out of other packages, or out of an image, have the same digest here.

use super::{Store, manifest};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    files,
    vocabulary::tree_text,
};
use std::{fs, path::Path};

/// Kind of the store's entries that hold a tree's contents, as hashed.
const KIND: &str = "contents";
const FILE: &str = "contents";

/// The digest of everything below a directory: paths, kinds, who may execute, contents, links' targets.
///
/// # Errors
/// When it cannot be read, or holds what is neither file, directory nor link.
pub fn digest(dir: &Path) -> Result<Sha256> {
    text(dir).map(|text| Sha256::of(text.as_bytes()))
}

fn text(dir: &Path) -> Result<String> {
    let items = manifest::contents(dir).map_err(|e| Error::io("hashing", dir, e))?;
    Ok(tree_text(items))
}

impl Store {
    /// [`digest`] of a derived directory in use. Hashed once: what was hashed is kept under the digest of
    /// the directory's manifest, which every use of the directory checks.
    ///
    /// # Errors
    /// When the directory is not in use, or cannot be read.
    pub fn contents_digest(&self, dir: &Path) -> Result<Sha256> {
        let manifest = self.manifest_of(dir)?.items_digest();
        let kept = self.derive(KIND, &manifest, |out| {
            let path = out.join(FILE);
            fs::write(&path, text(dir)?).map_err(|e| Error::io("writing", &path, e))
        })?;
        let path = kept.join(FILE);
        let text =
            files::read(&path, files::PROGRAM).map_err(|e| Error::io("reading", &path, e))?;
        Ok(Sha256::of(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn fill(dir: &Path) -> Result<()> {
        let bin = dir.join("usr/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("qemu"), "ELF").unwrap();
        fs::set_permissions(bin.join("qemu"), fs::Permissions::from_mode(0o555)).unwrap();
        fs::write(dir.join("usr/readme"), "").unwrap();
        symlink("usr/bin", dir.join("bin")).unwrap();
        Ok(())
    }

    #[test]
    fn equal_trees_have_one_digest_wherever_they_are_and_the_store_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("cache")).unwrap();
        let derived = store.derive("tree", &Sha256::of(b"key"), fill).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fill(elsewhere.path()).unwrap();

        let one = store.contents_digest(&derived).unwrap();
        assert_eq!(digest(elsewhere.path()).unwrap(), one);
        // From what was kept.
        assert_eq!(store.contents_digest(&derived).unwrap(), one);
        let kept = store.usage().unwrap();
        let kept = kept.iter().find(|usage| usage.kind == KIND).unwrap();
        assert_eq!(kept.entries, 1);

        let other = elsewhere.path().join("usr/readme");
        fs::write(&other, "x").unwrap();
        assert_ne!(digest(elsewhere.path()).unwrap(), one);
        fs::write(&other, "").unwrap();
        assert_eq!(digest(elsewhere.path()).unwrap(), one);
        fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).unwrap();
        assert_ne!(digest(elsewhere.path()).unwrap(), one);

        let error = store.contents_digest(elsewhere.path()).unwrap_err();
        assert!(
            error.render().contains("was not derived"),
            "{}",
            error.render()
        );
    }
}
