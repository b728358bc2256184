//! Packages unpacked over each other into one read-only tree.

use super::{
    FetchProgress, Sources, Store,
    deb::{self, MERGED},
    removal::remove_tree,
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    vocabulary::LockedFile,
};
use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

/// Version of the layout below; part of every tree's key.
const LAYOUT: u32 = 1;

/// Key of the tree that these packages give: what it is made from. What it is, its contents' digest says
/// ([`super::contents`]).
#[must_use]
pub fn tree_key(files: &[LockedFile]) -> Sha256 {
    let digests: Vec<_> = files.iter().map(|f| f.sha256).collect();
    Sha256::of_value(&(LAYOUT, digests))
}

impl Store {
    /// Unpacks the packages over each other, in order, into one read-only tree: regular files,
    /// directories and symbolic links only, owned by the user, with /bin, /sbin and /lib* merged
    /// into /usr (and links from there). All links are relative and stay inside. Every package is
    /// verified as it is read; a corrupt one in the cache is fetched again.
    ///
    /// # Errors
    /// When a package cannot be had, is malformed, or holds a path that leaves the tree.
    pub fn tree(
        &self,
        files: &[LockedFile],
        sources: &Sources,
        progress: &dyn FetchProgress,
    ) -> Result<PathBuf> {
        self.derive("tree", &tree_key(files), |root| {
            // In parallel, and in use until all of them are unpacked.
            let _leases = self.fetch_leased(files, sources, progress)?;
            for file in files {
                let bytes = self.read_verified(file, sources, progress)?;
                unpack(&bytes, &file.package, root)?;
            }
            for top in MERGED {
                let target = Path::new("usr").join(top);
                if root.join(&target).is_dir() {
                    let link = root.join(top);
                    symlink(&target, &link).map_err(|e| Error::io("creating", &link, e))?;
                }
            }
            seal(root)
        })
    }
}

/// Unpacks one package into a tree.
pub(super) fn unpack(deb: &[u8], name: &str, root: &Path) -> Result<()> {
    let fail = |e: io::Error| Error::fetch(format!("unpacking {name}")).because(e);
    let mut archive = tar::Archive::new(deb::data_tar(deb, name)?);
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|e| {
            Error::fetch(format!("unpacking {name}: a path is not UTF-8")).because(e)
        })?;
        let escapes = || Error::fetch(format!("unpacking {name}: `{path}` leaves the tree"));
        let parts = deb::merged(&path).ok_or_else(escapes)?;
        let Some((last, parents)) = parts.split_last() else {
            continue;
        };
        let kind = entry.header().entry_type();
        let parent = directory(root, parents)
            .map_err(|e| e.while_(format!("unpacking {name}: `{path}`")))?;
        if kind.is_dir() {
            directory(root, &parts).map_err(|e| e.while_(format!("unpacking {name}: `{path}`")))?;
            continue;
        }
        let target = parent.join(last);
        remove_tree(&target)?;
        if kind.is_file() {
            let mode = entry.header().mode().map_err(fail)?;
            let mut file =
                File::create_new(&target).map_err(|e| Error::io("creating", &target, e))?;
            io::copy(&mut entry, &mut file).map_err(|e| Error::io("writing", &target, e))?;
            let mode = if mode & 0o111 == 0 { 0o444 } else { 0o555 };
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(|e| Error::io("writing", &target, e))?;
            continue;
        }
        let link = entry
            .link_name_bytes()
            .and_then(|l| String::from_utf8(l.into_owned()).ok())
            .ok_or_else(|| Error::fetch(format!("unpacking {name}: `{path}` links to nothing")))?;
        if kind.is_symlink() {
            let to = link_target(&path, &link).ok_or_else(escapes)?;
            symlink(relative(parents, &to), &target)
                .map_err(|e| Error::io("creating", &target, e))?;
        } else if kind.is_hard_link() {
            let to = deb::merged(&link).ok_or_else(escapes)?;
            let (file, dirs) = to.split_last().ok_or_else(escapes)?;
            let from = directory(root, dirs)?.join(file);
            fs::hard_link(&from, &target).map_err(|e| Error::io("linking", &target, e))?;
        } else {
            return Err(Error::fetch(format!(
                "unpacking {name}: `{path}` is neither file, directory nor link"
            )));
        }
    }
    Ok(())
}

/// Makes a directory and its parents. None of them may be a link: that is what keeps a relative
/// link, and whatever is written through it, inside the tree.
fn directory(root: &Path, parts: &[&str]) -> Result<PathBuf> {
    let mut path = root.to_owned();
    for part in parts {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(Error::fetch(format!(
                    "{} is not a directory, but another file goes below it",
                    path.display()
                )));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::create_dir(&path).map_err(|e| Error::io("creating", &path, e))?;
            }
            Err(e) => return Err(Error::io("reading", &path, e)),
        }
    }
    Ok(path)
}

/// Where a symbolic link leads, as components below the root, usr-merged. An absolute target is
/// taken from the tree's root, as it would be once installed.
fn link_target(path: &str, target: &str) -> Option<Vec<String>> {
    let whole = match target.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        // Before usr-merge: that is the directory the packager wrote the target for.
        None => {
            let dir = path
                .trim_end_matches('/')
                .rsplit_once('/')
                .map_or("", |(dir, _)| dir);
            format!("{dir}/{target}")
        }
    };
    let parts = deb::merged(whole.trim_start_matches('/'))?;
    Some(parts.into_iter().map(str::to_owned).collect())
}

/// The relative path from a directory to a target.
fn relative(from: &[&str], to: &[String]) -> PathBuf {
    let common = from.iter().zip(to).take_while(|(a, b)| *a == b).count();
    let mut path: PathBuf = std::iter::repeat_n("..", from.len() - common).collect();
    path.extend(&to[common..]);
    if path.as_os_str().is_empty() {
        path.push(".");
    }
    path
}

/// Takes the write permission off every directory.
fn seal(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| Error::io("reading", dir, e))? {
        let entry = entry.map_err(|e| Error::io("reading", dir, e))?;
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            seal(&entry.path())?;
        }
    }
    fs::set_permissions(dir, Permissions::from_mode(0o555))
        .map_err(|e| Error::io("sealing", dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Item, deb};

    fn unpacked(items: &[Item<'_>]) -> (tempfile::TempDir, Result<()>) {
        let dir = tempfile::tempdir().unwrap();
        let result = unpack(&deb(items, "xz"), "p", dir.path());
        (dir, result)
    }

    #[test]
    fn all_of_debians_compressions_are_read() {
        for compression in ["", "gz", "xz", "zst"] {
            let dir = tempfile::tempdir().unwrap();
            let bytes = deb(&[Item::File("./usr/share/f", 0o644, b"text")], compression);
            unpack(&bytes, "p", dir.path()).unwrap();
            assert_eq!(fs::read(dir.path().join("usr/share/f")).unwrap(), b"text");
        }
    }

    #[test]
    fn usr_is_merged_for_files_and_for_links_both_ways() {
        let (dir, result) = unpacked(&[
            Item::File("./lib/x86_64-linux-gnu/libm.so.6.1", 0o755, b"m"),
            Item::Link(
                "./usr/lib/x86_64-linux-gnu/libm.so",
                "/lib/x86_64-linux-gnu/libm.so.6.1",
            ),
            Item::Link("./lib64/ld.so", "../usr/lib/x86_64-linux-gnu/libm.so.6.1"),
            Item::Link("./lib/x86_64-linux-gnu/libm.so.6", "libm.so.6.1"),
        ]);
        result.unwrap();
        let to = |path: &str| fs::read_link(dir.path().join(path)).unwrap();
        assert_eq!(
            to("usr/lib/x86_64-linux-gnu/libm.so"),
            Path::new("libm.so.6.1")
        );
        assert_eq!(
            to("usr/lib64/ld.so"),
            Path::new("../lib/x86_64-linux-gnu/libm.so.6.1")
        );
        assert_eq!(fs::read(dir.path().join("usr/lib64/ld.so")).unwrap(), b"m");
        let mode = fs::metadata(dir.path().join("usr/lib64/ld.so"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o555);
    }

    #[test]
    fn paths_and_links_that_leave_the_tree_are_refused() {
        let rendered = |items: &[Item<'_>]| unpacked(items).1.unwrap_err().render();
        insta::assert_snapshot!(rendered(&[Item::File("./a/../../etc/passwd", 0o644, b"")]), @"error: unpacking p: `./a/../../etc/passwd` leaves the tree");
        insta::assert_snapshot!(rendered(&[Item::File("/etc/passwd", 0o644, b"")]), @"error: unpacking p: `/etc/passwd` leaves the tree");
        insta::assert_snapshot!(rendered(&[Item::Link("./usr/x", "../../etc")]), @"error: unpacking p: `./usr/x` leaves the tree");
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (dir, result) = unpacked(&[
            Item::Link("./usr/x", "."),
            Item::File("./usr/x/f", 0o644, b""),
        ]);
        assert!(
            result
                .unwrap_err()
                .render()
                .contains("usr/x is not a directory")
        );
        assert!(!dir.path().join("usr/f").exists());
    }

    #[test]
    fn a_file_that_is_no_package_is_named() {
        let dir = tempfile::tempdir().unwrap();
        insta::assert_snapshot!(unpack(b"<html>", "qemu", dir.path()).unwrap_err().render(), @r"
        error: unpacking qemu: not an ar archive
          caused by: failed to read global header
        ");
        insta::assert_snapshot!(unpack(b"!<arch>\n", "qemu", dir.path()).unwrap_err().render(), @"error: unpacking qemu: it has no data.tar");
    }
}
