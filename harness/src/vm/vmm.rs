//! The VMM: which QEMU runs the guests, and its identity.

use super::{
    confine::{Bounds, Launch, Rung},
    plugin::{Plugin, Profiling},
    trial,
};
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
    /// It is not started where less than this confines it.
    required: Rung,
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
    /// QEMU from the store, with the digest of its tree's contents. It is started, now and later, only where
    /// at least `required` confines it: a stranger's needs more than one that somebody trusts.
    ///
    /// # Errors
    /// When it does not start, or less confines it.
    pub fn from_store(hermetic: Hermetic, digest: Sha256, required: Rung) -> Result<Vmm> {
        let how = How::Hermetic(hermetic);
        let version = how.version("the locked QEMU", required)?;
        Ok(Vmm::new(how, version, digest, "lock", required))
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
        let file = File::open(&program).map_err(|e| Error::io("opening", &program, e))?;
        let executable = Sha256::of_reader(file).map_err(|e| Error::io("reading", &program, e))?;
        let name = program.display().to_string();
        let how = How::Host(program);
        let version = how.version(&name, Rung::Nothing)?;
        // The host's libraries are not hashed: the version text stands for them.
        let digest = Kind::HostVmm.digest(&HostVmm {
            executable,
            version: &version,
        });
        Ok(Vmm::new(how, version, digest, origin, Rung::Nothing))
    }

    fn new(how: How, version: String, digest: Sha256, origin: &str, required: Rung) -> Vmm {
        Vmm {
            how,
            record: VmmRecord {
                version,
                digest,
                origin: origin.into(),
                plugin: None,
            },
            plugin: None,
            required,
        }
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
            // Its output, too, is thrown away.
            let launch = self
                .under(Some(tried.clone()))
                .launch(|b| b.using("/dev/null"));
            tried.try_in(self.command(), launch)?;
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

    /// Where all of it is, if it is not the host's.
    #[must_use]
    pub fn tree(&self) -> Option<&Path> {
        match &self.how {
            How::Hermetic(hermetic) => Some(&hermetic.tree),
            How::Host(_) => None,
        }
    }

    /// A command that starts it, without arguments.
    #[must_use]
    pub(super) fn command(&self) -> Command {
        self.how.command(None)
    }

    /// The same with a shared library in front of all others; by its path, in which there is no space or colon.
    #[must_use]
    pub(super) fn command_behind(&self, library: &str) -> Command {
        self.how.command(Some(library))
    }

    /// How it is started: with what it needs itself, and what `reach` adds.
    #[must_use]
    pub(super) fn launch(&self, reach: impl FnOnce(Bounds) -> Bounds) -> Launch {
        let own = self.how.bounds();
        let own = match &self.plugin {
            Some(plugin) => own.reading(&plugin.path),
            None => own,
        };
        Launch::within(reach(own), self.required)
    }
}

/// What a QEMU of the host's may be told by the harness's own environment: where its libraries and modules are.
const OF_HOSTS: [&str; 2] = ["LD_LIBRARY_PATH", "QEMU_MODULE_DIR"];

/// Where a host's programs and libraries are (file-hierarchy(7)), and the stores of hosts that have them
/// elsewhere.
const SYSTEM: [&str; 7] = [
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
];

/// What the C library reads before a program begins, and to know how much memory there is.
const LOADER: [&str; 4] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/dev/urandom",
    "/proc/meminfo",
];

/// Where a QEMU that is installed below a prefix, or lies where it was built, has its files: relative to its
/// directory (QEMU's `get_relocated_path`, docs/devel/build-system).
const BESIDE: [&str; 8] = [
    "../lib",
    "../lib64",
    "../libexec",
    "../share/qemu",
    "../share/seabios",
    "qemu-bundle",
    "pc-bios",
    "../pc-bios",
];

impl How {
    fn command(&self, library: Option<&str>) -> Command {
        match self {
            How::Hermetic(hermetic) => hermetic.command_behind(library),
            How::Host(program) => {
                let mut command = Command::new(program);
                let known = OF_HOSTS.map(|name| (name, env::var_os(name)));
                command.envs(known.into_iter().filter_map(|(name, v)| Some((name, v?))));
                command.envs(library.map(|path| ("LD_PRELOAD", path)));
                command
            }
        }
    }

    /// What it needs to start.
    fn bounds(&self) -> Bounds {
        match self {
            How::Hermetic(hermetic) => Bounds::of(hermetic),
            How::Host(program) => {
                let beside = program.canonicalize().unwrap_or_else(|_| program.clone());
                let beside = beside.parent().unwrap_or(Path::new("/"));
                let libraries = env::var_os(OF_HOSTS[0]).unwrap_or_default();
                let modules = env::var_os(OF_HOSTS[1]).map(PathBuf::from);
                let read = LOADER.map(PathBuf::from).into_iter();
                let read = read.chain(BESIDE.map(|path| beside.join(path)));
                let read = read.chain(env::split_paths(&libraries)).chain(modules);
                let bounds = SYSTEM
                    .iter()
                    .map(Path::new)
                    .fold(Bounds::default().executing(program), |bounds, path| {
                        bounds.executing(path).reading(path)
                    });
                read.fold(bounds, Bounds::reading)
            }
        }
    }

    /// What it says that it is.
    fn version(&self, name: &str, required: Rung) -> Result<String> {
        let mut command = self.command(None);
        command.arg("--version");
        let launch = Launch::within(self.bounds(), required);
        let output =
            trial::run(command, launch, &[]).map_err(|e| e.while_(format!("starting {name}")))?;
        match output.stdout.lines().next() {
            Some(line) if output.status.success() => Ok(line.to_owned()),
            _ => Err(Error::host(format!(
                "{name} --version ended with {} and said: {}",
                output.status,
                output.said()
            ))
            .hint("give a working QEMU with --qemu PATH: the program itself, a wrapper cannot start it")),
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
