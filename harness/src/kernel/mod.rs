//! Kernels: a package tree or a local build becomes a bootable image, the modules that a scenario
//! may need, and what is known of its configuration.
//!
//! Everything is written below one directory and described there by `kernel.json`, so that the
//! store can cache the directory and [`load`] can read it back.

pub mod bzimage; // pure
pub mod config; // pure
pub mod decompress; // pure
pub mod elf; // pure
mod local;
pub mod modinfo; // pure
pub mod modules;
pub mod symtab; // pure

pub use config::{Config, Setting};
pub use local::LocalBuild;
pub use modules::{ModuleSet, Presence};
pub use symtab::functions;

use crate::{
    digest::Sha256,
    error::{Error, Result},
    files,
    vocabulary::KernelVersion,
};
use local::NearConfig;
use modules::Collected;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How QEMU starts the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootBy {
    /// The uncompressed ELF image: the guest spends no instructions on decompression.
    Pvh,
    /// The bzImage as it is, for kernels without CONFIG_PVH.
    BzImage,
}

/// A kernel, ready to be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// uname -r, from the image's version string.
    pub release: Option<String>,
    /// uname -v, from the image's banner: which build it is.
    pub build: Option<String>,
    /// How it is booted.
    pub boot: BootBy,
    /// The file to boot.
    pub image: PathBuf,
    /// Its sha256.
    pub image_sha256: Sha256,
    /// Directory of the decompressed modules, `<name>.ko`; absent when there are none.
    pub modules: Option<PathBuf>,
    /// What is known of drivers and file systems.
    pub module_set: ModuleSet,
    /// Its configuration, where one was found.
    pub config: Option<Config>,
    /// Where all of it lies.
    pub dir: PathBuf,
}

const MANIFEST: &str = "kernel.json";
const MODULES: &str = "modules";

/// kernel.json. Names are relative to its directory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelFile {
    release: Option<String>,
    build: Option<String>,
    boot: BootBy,
    image: String,
    image_sha256: Sha256,
    module_set: ModuleSet,
    config: Option<Config>,
}

/// Prepares a kernel from unpacked Debian packages.
///
/// # Errors
/// When the tree holds no kernel, or more than one, or one that cannot be booted.
pub fn prepare_package(tree: &Path, out: &Path) -> Result<Kernel> {
    let mut images = with_prefix(&tree.join("boot"), "vmlinuz-")?;
    // A store's tree has /lib as a link to /usr/lib: the second name is no second kernel.
    let libs = if tree.join("lib").is_symlink() {
        &["usr/lib/modules"][..]
    } else {
        &["lib/modules", "usr/lib/modules"]
    };
    for lib in libs {
        for release in with_prefix(&tree.join(lib), "")? {
            images.extend(with_prefix(&release, "vmlinuz")?);
        }
    }
    let [image] = images.as_slice() else {
        return Err(Error::fetch(format!(
            "the kernel's packages contain {} kernel images instead of one",
            images.len()
        ))
        .hint("refresh the lock with `diorama lock`"));
    };
    let bytes = read(image)?;
    let found = look(&bytes).map_err(|e| e.while_(format!("reading {}", image.display())))?;
    let release = found.release.clone().unwrap_or_default();
    let modules = ["lib/modules", "usr/lib/modules"]
        .map(|lib| tree.join(lib).join(&release))
        .into_iter()
        .find(|dir| dir.is_dir());
    let mut near = vec![tree.join("boot").join(format!("config-{release}"))];
    near.extend(modules.iter().map(|dir| dir.join("config")));
    let configs = local::near_configs(&near, found.release.as_deref());
    let collect = |dir| modules::collect(dir, &modules::candidates());
    let collected = modules.as_deref().map(collect).transpose()?;
    let modules = modules.as_deref().zip(collected.as_ref());
    finish(found, modules, &configs, out)
}

/// Prepares a build of one's own: a bzImage in any of the kernel's compressions, or a vmlinux with
/// CONFIG_PVH.
///
/// # Errors
/// Those of [`LocalBuild::read`] and [`LocalBuild::prepare`].
pub fn prepare_local(image: &Path, modules: Option<&Path>, out: &Path) -> Result<Kernel> {
    LocalBuild::read(image, modules)?.prepare(out)
}

/// Reads back what [`prepare_package`] or [`prepare_local`] wrote.
///
/// # Errors
/// When the directory holds no readable manifest.
pub fn load(out: &Path) -> Result<Kernel> {
    let path = out.join(MANIFEST);
    let manifest: KernelFile = serde_json::from_slice(&read(&path)?).map_err(|e| {
        Error::fetch(format!("reading {}", path.display()))
            .because(e)
            .hint("remove the directory: it will be rebuilt")
    })?;
    let dir = out.join(MODULES);
    Ok(Kernel {
        release: manifest.release,
        build: manifest.build,
        boot: manifest.boot,
        image: out.join(manifest.image),
        image_sha256: manifest.image_sha256,
        modules: (!manifest.module_set.modules.is_empty()).then_some(dir),
        module_set: manifest.module_set,
        config: manifest.config,
        dir: out.to_owned(),
    })
}

/// What looking into an image gave.
struct FoundKernel<'a> {
    release: Option<String>,
    build: Option<String>,
    boot: BootBy,
    /// Bytes to boot.
    image: std::borrow::Cow<'a, [u8]>,
    /// The uncompressed kernel.
    vmlinux: std::borrow::Cow<'a, [u8]>,
}

/// Tells a bzImage from a vmlinux and chooses how to boot it. Pure.
fn look(bytes: &[u8]) -> Result<FoundKernel<'_>> {
    let found = if bzimage::is_bzimage(bytes) {
        let bz = bzimage::parse(bytes)?;
        let vmlinux = decompress::payload(bz.payload)?;
        let elf = elf::look(&vmlinux)?;
        let release = bz.release().or(elf.release);
        let (boot, image) = if elf.pvh {
            (BootBy::Pvh, elf::trim(&vmlinux, elf.loaded).into())
        } else {
            (BootBy::BzImage, bytes.into())
        };
        FoundKernel {
            release,
            build: elf.build,
            boot,
            image,
            vmlinux: vmlinux.into(),
        }
    } else if bytes.starts_with(b"\x7fELF") {
        let elf = elf::look(bytes)?;
        if !elf.pvh {
            return Err(Error::input(
                "this vmlinux has no PVH entry point (CONFIG_PVH), so it cannot be booted directly",
            )
            .hint("give arch/x86/boot/bzImage from the same build"));
        }
        FoundKernel {
            release: elf.release,
            build: elf.build,
            boot: BootBy::Pvh,
            image: elf::trim(bytes, elf.loaded).into(),
            vmlinux: bytes.into(),
        }
    } else {
        return Err(
            Error::input(format!("this is {}, not a kernel", elf::describe(bytes)))
                .hint("give arch/x86/boot/bzImage or vmlinux of an x86-64 build"),
        );
    };
    if let Some(version) = found.release.as_deref().and_then(KernelVersion::of)
        && version < KernelVersion::OLDEST
    {
        return Err(Error::input(format!(
            "Linux {} is older than {}, the oldest kernel that can be measured",
            found.release.as_deref().unwrap_or_default(),
            KernelVersion::OLDEST
        ))
        .hint("choose a newer kernel"));
    }
    Ok(found)
}

fn finish(
    found: FoundKernel<'_>,
    modules: Option<(&Path, &Collected)>,
    configs: &[NearConfig],
    out: &Path,
) -> Result<Kernel> {
    fs::create_dir_all(out).map_err(|e| Error::io("creating", out, e))?;
    let mut module_set = ModuleSet::default();
    if let Some((dir, collected)) = modules {
        check_release(&collected.set, found.release.as_deref(), dir)?;
        collected.write(&out.join(MODULES))?;
        module_set = collected.set.clone();
    }
    module_set.named_in_image = modules::named_in_image(&found.vmlinux);
    let config = match Config::embedded(&found.vmlinux) {
        Some(config) => Some(config),
        None => neighbouring_config(configs, found.release.as_deref()),
    };
    let image = match found.boot {
        BootBy::Pvh => "vmlinux",
        BootBy::BzImage => "bzImage",
    };
    write(&out.join(image), &found.image)?;
    let manifest = KernelFile {
        release: found.release,
        build: found.build,
        boot: found.boot,
        image: image.to_owned(),
        image_sha256: Sha256::of(&found.image),
        module_set,
        config,
    };
    let json = serde_json::to_vec_pretty(&manifest)
        .map_err(|e| Error::internal("describing a kernel").because(e))?;
    // Last: a directory without it is not a prepared kernel.
    write(&out.join(MANIFEST), &json)?;
    load(out)
}

/// Modules of another build are refused by the kernel, late and without a word to the user.
fn check_release(set: &ModuleSet, release: Option<&str>, dir: &Path) -> Result<()> {
    let Some(release) = release else {
        return Ok(());
    };
    for module in set.modules.values() {
        if let Some(other) = module.release.as_deref()
            && other != release
        {
            return Err(Error::input(format!(
                "the kernel is {release}, but {}.ko below {} was built for {other}",
                module.name,
                dir.display()
            ))
            .hint(
                "give the modules from the same build (`make modules_install INSTALL_MOD_PATH=dir`)",
            ));
        }
    }
    Ok(())
}

/// The first of the files that is this kernel's configuration: one that bears its release in its
/// name, or a `.config` whose heading names its version (without CONFIG_LOCALVERSION); a `.config`
/// of another version is somebody else's.
fn neighbouring_config(near: &[NearConfig], release: Option<&str>) -> Option<Config> {
    near.iter().find_map(|NearConfig { named, text }| {
        let version = config::heading_version(text)?;
        (*named || release.is_none_or(|release| release.starts_with(version)))
            .then(|| Config::parse(text))
    })
}

fn with_prefix(dir: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("listing", dir, e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("listing", dir, e))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    files::read(path, files::KERNEL).map_err(|e| {
        if matches!(
            e.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory
        ) {
            Error::input(format!("reading {}", path.display()))
                .because(e)
                .hint("give the path of an existing file")
        } else {
            Error::io("reading", path, e)
        }
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| Error::io("writing", path, e))
}

#[cfg(test)]
mod tests;
