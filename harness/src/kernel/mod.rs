//! Kernels: a package tree or a local build becomes a bootable image, the modules that a scenario
//! may need, and what is known of its configuration.
//!
//! Everything is written below one directory and described there by `kernel.json`, so that the
//! store can cache the directory and [`load`] can read it back.

pub mod bzimage; // pure
pub mod config; // pure
pub mod decompress; // pure
pub mod elf; // pure
pub mod modinfo; // pure
pub mod modules;
pub mod symtab; // pure

pub use config::{Config, Setting};
pub use modules::{ModuleSet, Presence};
pub use symtab::functions;

use crate::{
    digest::Sha256,
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How QEMU starts the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
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
    /// How it is booted.
    pub boot: Boot,
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

/// The oldest kernel that can be measured.
pub const OLDEST: (u32, u32) = (5, 4);

const MANIFEST: &str = "kernel.json";
const MODULES: &str = "modules";

/// kernel.json. Names are relative to its directory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    release: Option<String>,
    boot: Boot,
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
            "the kernel's packages hold {} kernel images in place of one",
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
    finish(found, modules.as_deref(), &near, out)
}

/// Prepares a build of one's own: a bzImage in any of the kernel's compressions, or a vmlinux with
/// CONFIG_PVH.
///
/// # Errors
/// When the image is no x86-64 kernel from 5.4 on (says what it is instead), a vmlinux cannot be
/// booted, or the modules belong to another kernel.
pub fn prepare_local(image: &Path, modules: Option<&Path>, out: &Path) -> Result<Kernel> {
    let bytes = read(image)?;
    let found =
        look(&bytes).map_err(|e| e.while_(format!("using {} as a kernel", image.display())))?;
    // config-RELEASE beside the image, and .config at the root of its build tree:
    // vmlinux lies in it, arch/x86/boot/bzImage three levels below.
    let beside = image.parent().unwrap_or(Path::new("."));
    let mut near = Vec::new();
    if let Some(release) = &found.release {
        near.push(beside.join(format!("config-{release}")));
    }
    let up = beside.canonicalize().unwrap_or_else(|_| beside.to_owned());
    near.extend(up.ancestors().take(4).map(|dir| dir.join(".config")));
    let modules = modules.map(|dir| own_modules(dir, found.release.as_deref()));
    finish(found, modules.as_deref(), &near, out)
        .map_err(|e| e.while_(format!("using {} as a kernel", image.display())))
}

/// The release's own directory below one that may hold several kernels' modules: /lib/modules, or
/// what `make modules_install INSTALL_MOD_PATH=` wrote.
fn own_modules(dir: &Path, release: Option<&str>) -> PathBuf {
    let below = ["", "lib/modules", "usr/lib/modules"];
    release
        .into_iter()
        .flat_map(|release| below.map(|lib| dir.join(lib).join(release)))
        .find(|own| own.is_dir())
        .unwrap_or_else(|| dir.to_owned())
}

/// Reads back what [`prepare_package`] or [`prepare_local`] wrote.
///
/// # Errors
/// When the directory holds no readable manifest.
pub fn load(out: &Path) -> Result<Kernel> {
    let path = out.join(MANIFEST);
    let manifest: Manifest = serde_json::from_slice(&read(&path)?).map_err(|e| {
        Error::fetch(format!("reading {}", path.display()))
            .because(e)
            .hint("remove the directory: it will be made again")
    })?;
    let dir = out.join(MODULES);
    Ok(Kernel {
        release: manifest.release,
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
struct Found<'a> {
    release: Option<String>,
    boot: Boot,
    /// Bytes to boot.
    image: std::borrow::Cow<'a, [u8]>,
    /// The uncompressed kernel.
    vmlinux: std::borrow::Cow<'a, [u8]>,
}

/// Tells a bzImage from a vmlinux and chooses how to boot it. Pure.
fn look(bytes: &[u8]) -> Result<Found<'_>> {
    let found = if bzimage::is_bzimage(bytes) {
        let bz = bzimage::parse(bytes)?;
        let vmlinux = decompress::payload(bz.payload)?;
        let elf = elf::look(&vmlinux)?;
        let release = bz.release().or(elf.release);
        let (boot, image) = if elf.pvh {
            (Boot::Pvh, elf::trim(&vmlinux, elf.loaded).into())
        } else {
            (Boot::BzImage, bytes.into())
        };
        Found {
            release,
            boot,
            image,
            vmlinux: vmlinux.into(),
        }
    } else if bytes.starts_with(b"\x7fELF") {
        let elf = elf::look(bytes)?;
        if !elf.pvh {
            return Err(Error::input(
                "this vmlinux has no PVH entry point (CONFIG_PVH), so it cannot be booted by itself",
            )
            .hint("give arch/x86/boot/bzImage of the same build"));
        }
        Found {
            release: elf.release,
            boot: Boot::Pvh,
            image: elf::trim(bytes, elf.loaded).into(),
            vmlinux: bytes.into(),
        }
    } else {
        return Err(
            Error::input(format!("this is {}, not a kernel", elf::describe(bytes)))
                .hint("give arch/x86/boot/bzImage or vmlinux of an x86-64 build"),
        );
    };
    if let Some(version) = found.release.as_deref().and_then(version)
        && version < OLDEST
    {
        return Err(Error::input(format!(
            "Linux {} is older than {}.{}, the oldest kernel that can be measured",
            found.release.as_deref().unwrap_or_default(),
            OLDEST.0,
            OLDEST.1
        ))
        .hint("choose a newer kernel"));
    }
    Ok(found)
}

/// Major and minor number of a release: `6.1.0-56-amd64` -> (6, 1).
#[must_use]
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn finish(
    found: Found<'_>,
    modules: Option<&Path>,
    near: &[PathBuf],
    out: &Path,
) -> Result<Kernel> {
    fs::create_dir_all(out).map_err(|e| Error::io("creating", out, e))?;
    let module_set = modules::collect(modules, &found.vmlinux, &out.join(MODULES))?;
    check_release(&module_set, found.release.as_deref(), modules)?;
    let config = match Config::embedded(&found.vmlinux) {
        Some(config) => Some(config),
        None => neighbouring_config(near, found.release.as_deref()),
    };
    let image = match found.boot {
        Boot::Pvh => "vmlinux",
        Boot::BzImage => "bzImage",
    };
    write(&out.join(image), &found.image)?;
    let manifest = Manifest {
        release: found.release,
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
fn check_release(set: &ModuleSet, release: Option<&str>, dir: Option<&Path>) -> Result<()> {
    let (Some(release), Some(dir)) = (release, dir) else {
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
                "give the modules of the same build (`make modules_install INSTALL_MOD_PATH=dir`)",
            ));
        }
    }
    Ok(())
}

/// The first of the files that is this kernel's configuration: one that bears its release in its
/// name, or a `.config` whose heading names its version (without CONFIG_LOCALVERSION); a `.config`
/// of another version is somebody else's.
fn neighbouring_config(near: &[PathBuf], release: Option<&str>) -> Option<Config> {
    near.iter().filter(|path| path.is_file()).find_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        let version = config::heading_version(&text)?;
        let named = release.is_some_and(|release| path.to_string_lossy().contains(release));
        (named || release.is_none_or(|release| release.starts_with(version)))
            .then(|| Config::parse(&text))
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
    fs::read(path).map_err(|e| {
        if matches!(
            e.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory
        ) {
            Error::input(format!("reading {}", path.display()))
                .because(e)
                .hint("give the path of a file that exists")
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
