//! Running an executable of a tree with the tree's own loader, libraries, firmware and modules, so
//! that nothing of the host but its kernel is used, and nothing is installed.

use super::elf;
use crate::error::{Error, Result};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// QEMU in the tool set `vmm`.
pub const QEMU: &str = "usr/bin/qemu-system-x86_64";

/// Where Debian's packages put firmware that QEMU loads by name.
const FIRMWARE_DIRS: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// Where Debian's packages put QEMU's modules (accelerators among them).
const MODULE_DIR: &str = "usr/lib/x86_64-linux-gnu/qemu";

/// An executable in a tree and everything it takes to run it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hermetic {
    /// The tree.
    pub tree: PathBuf,
    /// The dynamic loader; none for a static executable.
    pub loader: Option<PathBuf>,
    /// Directories of its libraries.
    pub library_path: Vec<PathBuf>,
    /// The executable.
    pub executable: PathBuf,
    /// Directories for QEMU's `-L`.
    pub firmware: Vec<PathBuf>,
    /// Value of QEMU_MODULE_DIR.
    pub modules: Option<PathBuf>,
}

impl Hermetic {
    /// An executable by its path in an unpacked tree.
    ///
    /// # Errors
    /// When the tree lacks it or something it needs.
    pub fn in_tree(tree: &Path, executable: &str) -> Result<Hermetic> {
        let closure = elf::closure(tree, &[executable], &[])?;
        let there = |dir: &str| tree.join(dir).is_dir();
        // Modules are loaded by name and find their libraries through the same path.
        let mut library_path: Vec<PathBuf> = elf::LIBRARY_DIRS
            .into_iter()
            .filter(|d| there(d))
            .map(PathBuf::from)
            .collect();
        library_path.extend(closure.library_dirs);
        let mut seen = std::collections::BTreeSet::new();
        library_path.retain(|dir| seen.insert(dir.clone()));
        if library_path
            .iter()
            .any(|dir| tree.join(dir).to_string_lossy().contains([':', ';']))
        {
            return Err(Error::host(format!(
                "{}: the dynamic loader cannot handle a path that contains `:` or `;`",
                tree.display()
            ))
            .hint("set DIORAMA_CACHE to a directory without them"));
        }
        Ok(Hermetic {
            tree: tree.to_owned(),
            loader: closure.interpreter.map(|p| tree.join(p)),
            library_path: library_path.iter().map(|dir| tree.join(dir)).collect(),
            executable: tree.join(executable),
            firmware: FIRMWARE_DIRS
                .into_iter()
                .filter(|d| there(d))
                .map(|dir| tree.join(dir))
                .collect(),
            modules: Some(MODULE_DIR)
                .filter(|d| there(d))
                .map(|dir| tree.join(dir)),
        })
    }

    /// What is executed: the loader, or a static executable itself.
    #[must_use]
    pub fn started(&self) -> &Path {
        self.loader.as_ref().unwrap_or(&self.executable)
    }

    /// The command, to which arguments are added: the loader starts the executable with the tree's
    /// libraries, whatever LD_* variables say; firmware and modules are the tree's.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command_behind(None)
    }

    /// The same with a shared library in front of all others (ld.so(8), `--preload`), by its path. An
    /// executable without a loader takes none.
    #[must_use]
    pub fn command_behind(&self, library: Option<&str>) -> Command {
        let mut command = match &self.loader {
            None => Command::new(&self.executable),
            Some(loader) => {
                let mut path = OsString::new();
                for (i, dir) in self.library_path.iter().enumerate() {
                    if i > 0 {
                        path.push(":");
                    }
                    path.push(dir);
                }
                let mut command = Command::new(loader);
                // No ld.so.cache: it is the host's.
                command
                    .arg("--inhibit-cache")
                    .arg("--library-path")
                    .arg(path);
                if let Some(library) = library {
                    command.arg("--preload").arg(library);
                }
                command.arg(&self.executable);
                command
            }
        };
        for dir in &self.firmware {
            command.arg("-L").arg(dir);
        }
        for name in [
            "LD_LIBRARY_PATH",
            "LD_PRELOAD",
            "LD_AUDIT",
            "QEMU_MODULE_DIR",
        ] {
            command.env_remove(name);
        }
        // Without these the C library reads the host's locales and time zone.
        command.env("LC_ALL", "C").env("TZ", "UTC0");
        if let Some(modules) = &self.modules {
            command.env("QEMU_MODULE_DIR", modules);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    /// A tree with this test's own executable and the host's loader and libraries for it.
    fn own_tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let libs = tree.path().join("usr/lib/x86_64-linux-gnu");
        for dir in [
            "usr/bin",
            "usr/lib64",
            "usr/lib/x86_64-linux-gnu/qemu",
            "usr/share/seabios",
        ] {
            fs::create_dir_all(tree.path().join(dir)).unwrap();
        }
        let exe = std::env::current_exe().unwrap();
        fs::copy(&exe, tree.path().join("usr/bin/t")).unwrap();
        let mapped = fs::read_to_string("/proc/self/maps").unwrap();
        for path in mapped.lines().filter_map(|l| Some(&l[l.find('/')?..])) {
            let path = Path::new(path);
            let name = path.file_name().unwrap().to_str().unwrap();
            // Another test may have mapped a library of its own, and removed it.
            let there = name.contains(".so") && path.exists();
            if there && !libs.join(name).exists() {
                fs::copy(path, libs.join(name)).unwrap();
            }
        }
        let bytes = fs::read(&exe).unwrap();
        let loader = elf::needs(&bytes, &exe).unwrap().interpreter.unwrap();
        let name = Path::new(&loader).file_name().unwrap();
        symlink(
            Path::new("../lib/x86_64-linux-gnu").join(name),
            tree.path().join("usr/lib64").join(name),
        )
        .unwrap();
        tree
    }

    #[test]
    fn the_executable_runs_with_the_trees_loader_and_libraries_only() {
        let tree = own_tree();
        let hermetic = Hermetic::in_tree(tree.path(), "usr/bin/t").unwrap();
        let root = fs::canonicalize(tree.path()).unwrap();
        let mut command = Hermetic {
            firmware: Vec::new(),
            ..hermetic.clone()
        }
        .command();
        command.env("LD_LIBRARY_PATH", "/nowhere").arg("--list");
        let out = command.output().unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );

        // LD_TRACE_LOADED_OBJECTS makes the loader print what it maps instead of running it.
        let mut command = hermetic.command();
        let out = command
            .env("LD_TRACE_LOADED_OBJECTS", "1")
            .output()
            .unwrap();
        let listed = String::from_utf8(out.stdout).unwrap();
        let paths: Vec<_> = listed
            .lines()
            .filter_map(|l| l.split_once("=> ")?.1.split(' ').next())
            .collect();
        assert!(!paths.is_empty(), "{listed}");
        for path in paths {
            let path = fs::canonicalize(path).unwrap();
            assert!(path.starts_with(&root), "{} is the host's", path.display());
        }
    }

    #[test]
    fn firmware_and_modules_are_the_trees() {
        let tree = own_tree();
        let hermetic = Hermetic::in_tree(tree.path(), "usr/bin/t").unwrap();
        let command = hermetic.command();
        let args: Vec<_> = command
            .get_args()
            .map(|a| a.to_string_lossy().into_owned())
            .collect();
        let seabios = tree.path().join("usr/share/seabios").display().to_string();
        assert_eq!(args[args.len() - 2..], ["-L".to_owned(), seabios]);
        let modules = tree.path().join(MODULE_DIR);
        assert!(
            command
                .get_envs()
                .any(|e| e == ("QEMU_MODULE_DIR".as_ref(), Some(modules.as_os_str())))
        );
    }
}
