//! The initramfs of a kernel: agent, modules and mkfs in one small, uncompressed, reproducible
//! archive. Equal inputs give equal bytes on any machine.

pub mod build;
pub mod compiler;
pub mod cpio; // pure
mod device; // pure
pub mod fio;
pub mod loading; // pure
mod needs; // pure
pub mod stand_in; // pure
pub mod strip; // pure
pub mod sysroot;
pub mod tools;

pub use device::modules as device_modules;
pub use needs::{Missing, Needs};

use crate::{
    digest::Sha256,
    error::{Error, Result},
    files,
    kernel::{Kernel, Setting},
    store::elf,
};
use cpio::Archive;
use diorama_wire::{
    BOOT_PATH, Boot, Clock, Device, Driver, JOB_PATH, Job, Module, PROTOCOL, StopBy,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What to build an initramfs from.
#[derive(Clone, Debug)]
pub struct ImageSpec<'a> {
    /// The static agent: its path, for messages, and its bytes, which were read once.
    pub agent: (&'a Path, &'a [u8]),
    /// The kernel it is for.
    pub kernel: &'a Kernel,
    /// Unpacked packages with mkfs and its libraries.
    pub tools: &'a tools::Trees,
    /// Unpacked packages with fio, and the libraries that are to be replaced by stand-ins; none
    /// when no cell asks for it.
    pub fio: Option<(&'a Path, &'a [String])>,
    /// What the cells need.
    pub needs: Needs,
    /// How the guest should stop itself; it does not when its kernel cannot.
    pub stop_by: StopBy,
    /// What time is in the guest.
    pub clock: Clock,
    /// Directories of the host's that the guest mounts.
    pub shares: &'a [diorama_wire::Share],
    /// Whether to make modules cheap to load ([`strip`]).
    pub strip_modules: bool,
}

/// A module as it is in the initramfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleRecord {
    /// As in /proc/modules.
    pub name: String,
    /// Of the file in the initramfs.
    pub sha256: Sha256,
    /// Whether symbols and signature were removed.
    pub stripped: bool,
    /// Why not, where it was wanted.
    pub note: Option<String>,
}

/// An initramfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The archive.
    pub initramfs: PathBuf,
    /// Its sha256.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// What the agent is told.
    pub boot: Boot,
    /// Modules, early ones first, in load order.
    pub modules: Vec<ModuleRecord>,
    /// What the kernel lacks.
    pub missing: Vec<Missing>,
    /// Whether the kernel lets the guest stop its own machine.
    pub can_stop_itself: bool,
}

/// The agent's path in it.
pub const INIT: &str = "/init";

const MANIFEST: &str = "image.json";
/// Name of the archive in the directory that [`build`] and [`with_job`] fill.
pub const INITRAMFS: &str = "initramfs.cpio";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageFile {
    sha256: Sha256,
    size: u64,
    boot: Boot,
    modules: Vec<ModuleRecord>,
    missing: Vec<Missing>,
    can_stop_itself: bool,
}

/// Builds the initramfs below `out`.
///
/// What the kernel lacks is no error here: see [`Image::missing`].
///
/// # Errors
/// When an input cannot be read or the output not written.
pub fn build(spec: &ImageSpec<'_>, out: &Path) -> Result<Image> {
    let plan = loading::plan(&spec.needs, spec.kernel);
    let mut filesystems = spec.needs.filesystems.clone();
    filesystems.sort();
    filesystems.dedup();

    let mut archive = skeleton();
    archive.file(INIT, 0o755, agent(spec.agent)?);
    for (path, mode, bytes) in tools::collect(spec.tools, &filesystems)? {
        archive.file(&path, mode, bytes);
    }
    if let Some((tree, stand_ins)) = spec.fio {
        for (path, mode, bytes) in fio::collect(tree, stand_ins)? {
            archive.file(&path, mode, bytes);
        }
    }
    let mut modules = Vec::new();
    let forced = (spec.kernel.config.as_ref())
        .is_some_and(|config| config.get("CONFIG_MODULE_SIG_FORCE") == Setting::Yes);
    for name in plan.early.iter().chain(&plan.late) {
        let bytes = read_module(spec.kernel, name)?;
        let (bytes, record) = prepare_module(name, bytes, spec.strip_modules, forced);
        archive.file(&guest_path(name), 0o644, bytes);
        modules.push(record);
    }
    let boot = Boot {
        protocol: PROTOCOL,
        modules: plan.early.iter().map(|name| wire_module(name)).collect(),
        late_modules: plan.late.iter().map(|name| wire_module(name)).collect(),
        stop_by: if plan.can_stop_itself {
            spec.stop_by
        } else {
            StopBy::None
        },
        driver: (spec.needs.device.as_ref()).map_or(Driver::NullBlk, Device::driver),
        clock: spec.clock,
        shares: spec.shares.to_vec(),
    };
    archive.file(BOOT_PATH, 0o644, json(&boot)?);

    let bytes = archive.to_bytes();
    let manifest = ImageFile {
        sha256: Sha256::of(&bytes),
        size: bytes.len() as u64,
        boot,
        modules,
        missing: plan.missing,
        can_stop_itself: plan.can_stop_itself,
    };
    fs::create_dir_all(out).map_err(|e| Error::io("creating", out, e))?;
    write(&out.join(INITRAMFS), &bytes)?;
    // Last: a directory without it is not an image.
    write(&out.join(MANIFEST), &json(&manifest)?)?;
    load(out)
}

/// Reads back what [`build`] wrote.
///
/// # Errors
/// When the directory holds no readable manifest.
pub fn load(out: &Path) -> Result<Image> {
    let path = out.join(MANIFEST);
    let bytes = files::read(&path, files::LIST).map_err(|e| Error::io("reading", &path, e))?;
    let manifest: ImageFile = serde_json::from_slice(&bytes).map_err(|e| {
        Error::fetch(format!("reading {}", path.display()))
            .because(e)
            .hint("remove the directory: it will be rebuilt")
    })?;
    Ok(Image {
        initramfs: out.join(INITRAMFS),
        sha256: manifest.sha256,
        size: manifest.size,
        boot: manifest.boot,
        modules: manifest.modules,
        missing: manifest.missing,
        can_stop_itself: manifest.can_stop_itself,
    })
}

/// Writes the initramfs with a job added to the file `out`, for a guest that cannot stop itself
/// and so cannot be given one later. A second archive follows the first.
///
/// # Errors
/// When the initramfs cannot be read or `out` not written.
pub fn with_job(initramfs: &Path, job: &Job, out: &Path) -> Result<PathBuf> {
    let mut bytes = fs::read(initramfs).map_err(|e| Error::io("reading", initramfs, e))?;
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let mut archive = Archive::default();
    archive.file(JOB_PATH, 0o644, json(job)?);
    bytes.extend(archive.to_bytes());
    write(out, &bytes)?;
    Ok(out.to_owned())
}

/// Directories to mount on, and the two nodes that are needed before devtmpfs is there.
fn skeleton() -> Archive {
    let mut archive = Archive::default();
    for directory in ["/dev", "/proc", "/sys", "/mnt", "/tmp"] {
        archive.directory(directory);
    }
    archive.char_device("/dev/console", 0o600, 5, 1);
    archive.char_device("/dev/null", 0o666, 1, 3);
    archive
}

fn agent((path, bytes): (&Path, &[u8])) -> Result<Vec<u8>> {
    let needs = elf::needs(bytes, path).map_err(|e| e.while_("using it as the guest's /init"))?;
    if let Some(loader) = needs.interpreter {
        return Err(Error::input(format!(
            "{} needs the loader {loader}, but the guest's /init must be static",
            path.display()
        ))
        .hint("build it with `cargo xtask agent`, or omit --agent and DIORAMA_AGENT"));
    }
    Ok(bytes.to_vec())
}

fn read_module(kernel: &Kernel, name: &str) -> Result<Vec<u8>> {
    let dir = kernel.modules.as_deref().unwrap_or(&kernel.dir);
    let path = dir.join(format!("{name}.ko"));
    let bytes = fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
    let wanted = kernel
        .module_set
        .modules
        .get(name)
        .map(|module| module.sha256);
    if wanted != Some(Sha256::of(&bytes)) {
        return Err(Error::fetch(format!(
            "{} was changed after it was prepared",
            path.display()
        ))
        .hint("clear the cache with `diorama cache clear`"));
    }
    Ok(bytes)
}

/// The module as it goes into the guest. One that cannot be stripped goes in as it is.
fn prepare_module(
    name: &str,
    bytes: Vec<u8>,
    wanted: bool,
    forced: bool,
) -> (Vec<u8>, ModuleRecord) {
    let result = match (wanted, forced) {
        (false, _) => Err(None),
        (true, true) => Err(Some("the kernel accepts only signed modules".to_owned())),
        (true, false) => strip::strip(&bytes).map_err(Some),
    };
    let (bytes, stripped, note) = match result {
        Ok(small) => (small, true, None),
        Err(note) => (bytes, false, note),
    };
    let record = ModuleRecord {
        name: name.to_owned(),
        sha256: Sha256::of(&bytes),
        stripped,
        note,
    };
    (bytes, record)
}

fn guest_path(module: &str) -> String {
    format!("/lib/modules/{module}.ko")
}

fn wire_module(name: &str) -> Module {
    Module {
        name: name.to_owned(),
        path: guest_path(name),
        params: loading::parameters(name).to_owned(),
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| Error::internal("writing JSON").because(e))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| Error::io("writing", path, e))
}

#[cfg(test)]
mod tests;
