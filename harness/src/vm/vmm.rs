//! The VMM: which QEMU runs the guests, and its identity.

use super::plugin::{Plugin, Profiling};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    store::hermetic::Hermetic,
    vocabulary::{VmmRecord, canonical::Kind},
};
use serde::Serialize;
use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

/// A QEMU ready to be started.
#[derive(Clone, Debug)]
pub struct Vmm {
    how: How,
    /// What it is, for the record.
    pub record: VmmRecord,
    /// What watches the guests that it executes, if anything does.
    pub plugin: Option<Plugin>,
}

/// What a QEMU of the host's is known by.
#[derive(Serialize)]
struct HostVmm<'a> {
    executable: Sha256,
    version: &'a str,
}

#[derive(Clone, Debug)]
enum How {
    /// From the store: its own loader, libraries, firmware and modules.
    Hermetic(Hermetic),
    /// From the host.
    Host(PathBuf),
}

impl Vmm {
    /// QEMU from the store, with the digest of its tree's contents.
    ///
    /// # Errors
    /// When it does not start.
    pub fn from_store(hermetic: Hermetic, digest: Sha256) -> Result<Vmm> {
        let version = version(hermetic.command(), "the locked QEMU")?;
        let record = VmmRecord {
            version,
            digest,
            origin: "lock".into(),
            plugin: None,
        };
        Ok(Vmm {
            how: How::Hermetic(hermetic),
            record,
            plugin: None,
        })
    }

    /// QEMU from the host: `system` looks it up on PATH.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn from_host(which: &str) -> Result<Vmm> {
        let (program, origin) = if which == "system" {
            (on_path("qemu-system-x86_64")?, "system")
        } else {
            let path = PathBuf::from(which);
            if !is_file(&path) {
                return Err(
                    Error::input(format!("--qemu {which}: there is no such file"))
                        .hint("omit --qemu to use the locked QEMU, or give an executable"),
                );
            }
            (path, "path")
        };
        let version = version(Command::new(&program), &program.display().to_string())?;
        let file = File::open(&program).map_err(|e| Error::io("opening", &program, e))?;
        let executable = Sha256::of_reader(file).map_err(|e| Error::io("reading", &program, e))?;
        // The host's libraries are not hashed: the version text stands for them.
        let digest = Kind::HostVmm.digest(&HostVmm {
            executable,
            version: &version,
        });
        Ok(Vmm {
            how: How::Host(program),
            record: VmmRecord {
                version,
                digest,
                origin: origin.into(),
                plugin: None,
            },
            plugin: None,
        })
    }

    /// Notes in the record that this plugin counts, if this QEMU takes it: tried, because versions
    /// differ in the interface, and a QEMU may be built without.
    ///
    /// # Errors
    /// When this QEMU does not load the plugin: a message that says why.
    pub fn counts_with(&mut self, plugin: &Path) -> std::result::Result<(), String> {
        let digest = File::open(plugin)
            .and_then(Sha256::of_reader)
            .map_err(|e| format!("{}: {e}", plugin.display()))?;
        if let How::Host(_) = self.how {
            let tried = Plugin {
                path: plugin.to_owned(),
                profiling: Profiling::AllWindows,
                exceptions: vec![],
            };
            tried.try_in(self.command())?;
        }
        self.record.plugin = Some(digest);
        Ok(())
    }

    /// The same with another plugin, or with none.
    #[must_use]
    pub fn under(&self, plugin: Option<Plugin>) -> Vmm {
        Vmm {
            plugin,
            ..self.clone()
        }
    }

    /// A command that starts it, without arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command_behind(None)
    }

    /// The same with a shared library in front of all others; by its path, in which there is no space or colon.
    #[must_use]
    pub(super) fn command_behind(&self, library: Option<&str>) -> Command {
        match &self.how {
            How::Hermetic(hermetic) => hermetic.command_behind(library),
            How::Host(program) => {
                let mut command = Command::new(program);
                command.envs(library.map(|path| ("LD_PRELOAD", path)));
                command
            }
        }
    }
}

fn on_path(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| is_file(p))
        .ok_or_else(|| {
            Error::input(format!("--qemu system: there is no {name} on PATH"))
                .hint("omit --qemu to use the locked QEMU, or install qemu-system-x86")
        })
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file())
}

fn version(mut command: Command, name: &str) -> Result<String> {
    let output = command
        .arg("--version")
        .output()
        .map_err(|e| Error::host(format!("starting {name}")).because(e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next() {
        Some(line) if output.status.success() => Ok(line.to_owned()),
        _ => Err(Error::host(format!(
            "{name} --version ended with {} and said: {}",
            output.status,
            match String::from_utf8_lossy(&output.stderr).trim() {
                "" => "nothing",
                said => said,
            }
        ))
        .hint("give a working QEMU with --qemu PATH")),
    }
}
