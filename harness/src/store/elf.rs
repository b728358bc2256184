//! Which shared libraries an executable of a tree needs, by the rules of ld.so(8): DT_NEEDED,
//! looked up in DT_RUNPATH and the distribution's library directories, transitively. And which build
//! an executable is.

use crate::error::{Error, Result};
use object::{
    elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, FileHeader64},
    endian::Endianness,
    read::{
        Object as _,
        elf::{ElfFile64, FileHeader as _, ProgramHeader as _},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

/// Library directories of Debian's amd64, below the root of a usr-merged tree.
pub const LIBRARY_DIRS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "usr/lib"];

/// What an ELF file asks of the dynamic loader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElfNeeds {
    /// PT_INTERP: the loader's absolute path; only executables have one.
    pub interpreter: Option<String>,
    /// DT_NEEDED, in order.
    pub libraries: Vec<String>,
    /// DT_RUNPATH (or DT_RPATH), split.
    pub runpath: Vec<String>,
}

/// Reads a 64-bit ELF file's needs.
///
/// # Errors
/// When the bytes are not a well-formed ELF file; `path` is for the message.
pub fn needs(bytes: &[u8], path: &Path) -> Result<ElfNeeds> {
    parse(bytes).map_err(|e| broken(path, e))
}

fn broken(path: &Path, why: object::Error) -> Error {
    Error::fetch(format!("reading the ELF file {}", path.display())).because(why)
}

fn parse(bytes: &[u8]) -> object::Result<ElfNeeds> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).trim_end_matches('\0').to_owned();
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let mut needs = ElfNeeds::default();
    for segment in header.program_headers(endian, bytes)? {
        if let Some(path) = segment.interpreter(endian, bytes)? {
            needs.interpreter = Some(text(path));
        }
    }
    let elf = ElfFile64::<Endianness>::parse(bytes)?;
    let table = elf.elf_dynamic_table()?;
    for entry in table.iter() {
        if entry.tag == DT_NEEDED {
            needs.libraries.push(text(table.string(entry)?));
        } else if entry.tag == DT_RUNPATH || entry.tag == DT_RPATH {
            needs.runpath = text(table.string(entry)?)
                .split(':')
                .map(str::to_owned)
                .collect();
        }
    }
    Ok(needs)
}

/// The linker's digest of an ELF file (NT_GNU_BUILD_ID) in hex, if it was asked for one.
///
/// # Errors
/// When the bytes are not a well-formed ELF file; `path` is for the message.
pub fn build_id(bytes: &[u8], path: &Path) -> Result<Option<String>> {
    let read = || ElfFile64::<Endianness>::parse(bytes)?.build_id();
    let id = read().map_err(|e| broken(path, e))?;
    Ok(id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Executables of a tree with everything that the dynamic loader maps for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Every file by the name it is looked up by, and the regular file behind it (the same unless
    /// the name is a link); both relative to the tree.
    pub files: BTreeMap<PathBuf, PathBuf>,
    /// The dynamic loader, by the name it is looked up by; none if all executables are static.
    pub interpreter: Option<PathBuf>,
    /// Directories in which libraries were found, relative to the tree.
    pub library_dirs: BTreeSet<PathBuf>,
}

impl Closure {
    /// Every file's name and content, out of the tree that the closure is of.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(&self, tree: &Path) -> Result<Vec<(&Path, Vec<u8>)>> {
        let read = |(name, real): (_, &PathBuf)| {
            let path = tree.join(real);
            let bytes = fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
            Ok((PathBuf::as_path(name), bytes))
        };
        self.files.iter().map(read).collect()
    }
}

/// The closure of some executables (or loadable modules), given by their paths in the tree. The
/// libraries named in `without` are left out, and so is what only they need.
///
/// # Errors
/// When one of the files or a library that it needs is not in the tree, naming both.
pub fn closure(
    tree: &Path,
    executables: &[impl AsRef<str>],
    without: &[String],
) -> Result<Closure> {
    let tree = fs::canonicalize(tree).map_err(|e| Error::io("reading", tree, e))?;
    let mut closure = Closure::default();
    let mut queue: VecDeque<PathBuf> = VecDeque::new();
    for executable in executables {
        let path = PathBuf::from(executable.as_ref());
        let missing = || Error::fetch(format!("{} is in none of the packages", path.display()));
        let real = behind(&tree, &path).ok_or_else(missing)?;
        closure.files.insert(path.clone(), real);
        queue.push_back(path);
    }
    while let Some(path) = queue.pop_front() {
        let real = tree.join(&closure.files[&path]);
        let bytes = fs::read(&real).map_err(|e| Error::io("reading", &real, e))?;
        let needs = needs(&bytes, &path)?;
        if let Some(interpreter) = &needs.interpreter {
            let name = super::deb::merged(interpreter.trim_start_matches('/')).unwrap_or_default();
            let name: PathBuf = name.into_iter().collect();
            let real = behind(&tree, &name).ok_or_else(|| {
                Error::fetch(format!(
                    "{} needs the loader {interpreter}, which is in none of the packages",
                    path.display()
                ))
            })?;
            closure.files.insert(name.clone(), real);
            closure.interpreter = Some(name);
        }
        for library in needs.libraries.iter().filter(|l| !without.contains(l)) {
            let dirs = search_path(&needs.runpath, &closure.files[&path]);
            let found = dirs.iter().find_map(|dir| {
                let name = dir.join(library);
                Some((behind(&tree, &name)?, dir.clone(), name))
            });
            let Some((real, dir, name)) = found else {
                return Err(Error::fetch(format!(
                    "{} needs {library}, which is in none of the packages",
                    path.display()
                )));
            };
            closure.library_dirs.insert(dir);
            if closure.files.insert(name.clone(), real).is_none() {
                queue.push_back(name);
            }
        }
    }
    Ok(closure)
}

/// The regular file that a path of the tree leads to, relative to the tree.
fn behind(tree: &Path, path: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(tree.join(path)).ok()?;
    let inside = real.strip_prefix(tree).ok()?.to_owned();
    real.is_file().then_some(inside)
}

fn search_path(runpath: &[String], of: &Path) -> Vec<PathBuf> {
    let origin = of.parent().unwrap_or(Path::new("")).display().to_string();
    let own = runpath.iter().filter_map(|dir| {
        let dir = dir
            .replace("$ORIGIN", &origin)
            .replace("${ORIGIN}", &origin);
        let parts = super::deb::merged(dir.trim_start_matches('/'))?;
        Some(parts.into_iter().collect())
    });
    own.chain(LIBRARY_DIRS.map(PathBuf::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_libc_and_a_loader() {
        let exe = std::env::current_exe().unwrap();
        let needs = needs(&fs::read(&exe).unwrap(), &exe).unwrap();
        assert!(
            needs.libraries.iter().any(|l| l == "libc.so.6"),
            "{needs:?}"
        );
        assert!(needs.interpreter.unwrap().starts_with('/'));
    }

    #[test]
    fn what_is_missing_is_named_with_who_needs_it() {
        let tree = tempfile::tempdir().unwrap();
        let bin = tree.path().join("usr/bin");
        fs::create_dir_all(&bin).unwrap();
        let error = closure(tree.path(), &["usr/bin/x"], &[]).unwrap_err();
        insta::assert_snapshot!(error.render(), @"error: usr/bin/x is in none of the packages");
        fs::copy(std::env::current_exe().unwrap(), bin.join("x")).unwrap();
        let error = closure(tree.path(), &["usr/bin/x"], &[])
            .unwrap_err()
            .render();
        assert!(
            error.starts_with("error: usr/bin/x needs the loader /lib"),
            "{error}"
        );
        fs::write(bin.join("y"), "#!/bin/sh").unwrap();
        let error = closure(tree.path(), &["usr/bin/y"], &[])
            .unwrap_err()
            .render();
        assert!(error.contains("reading the ELF file usr/bin/y"), "{error}");
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let dir = tempfile::tempdir().unwrap();
        let tree = fs::canonicalize(dir.path()).unwrap().join("tree");
        fs::create_dir_all(tree.join("usr/sbin")).unwrap();
        fs::write(dir.path().join("secret"), "no").unwrap();
        fs::write(tree.join("usr/sbin/mke2fs"), "yes").unwrap();
        for (link, target) in [
            ("mkfs.ext4", "mke2fs"),
            ("mkfs.out", "../../../secret"),
            ("mkfs.abs", "/etc/passwd"),
            ("mkfs.loop", "mkfs.loop"),
        ] {
            std::os::unix::fs::symlink(target, tree.join("usr/sbin").join(link)).unwrap();
        }
        let behind = |name: &str| behind(&tree, &Path::new("usr/sbin").join(name));
        assert_eq!(behind("mkfs.ext4"), Some("usr/sbin/mke2fs".into()));
        for link in ["mkfs.out", "mkfs.abs", "mkfs.loop", "mkfs.none"] {
            assert_eq!(behind(link), None, "{link}");
        }
    }

    #[test]
    fn runpaths_are_taken_inside_the_tree() {
        let dirs = search_path(
            &["$ORIGIN/../x".into(), "/lib/y".into(), "/../etc".into()],
            Path::new("usr/bin/q"),
        );
        let shown: Vec<_> = dirs.iter().map(|d| d.display().to_string()).collect();
        assert_eq!(
            shown,
            ["usr/x", "usr/lib/y", "usr/lib/x86_64-linux-gnu", "usr/lib"]
        );
    }
}
