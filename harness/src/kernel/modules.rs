//! The modules of a kernel that a scenario may need: found, decompressed, and described, so that
//! nothing later looks into a module directory again.

use super::{
    config::{Config, Setting},
    decompress::{self, Compression},
    modinfo::{self, normalise},
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    files, filesystem,
};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Modules that some scenario may ask for besides its file systems'.
const CANDIDATES: [&str; 20] = [
    "configfs",
    "null_blk",
    "nvme",
    "mq_deadline",
    "kyber_iosched",
    "bfq",
    "dm_mod",
    "dm_crypt",
    "xts",
    "loop",
    "md_mod",
    "raid1",
    "virtio",
    "virtio_ring",
    "virtio_pci",
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vmw_vsock_virtio_transport",
    "fuse",
    "virtiofs",
];

/// Modules that some scenario may ask for; what they depend on comes with them.
#[must_use]
pub fn candidates() -> Vec<&'static str> {
    let filesystems = filesystem::TABLE.iter().map(|facts| facts.module);
    CANDIDATES.into_iter().chain(filesystems).collect()
}

/// A module that can be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelModule {
    /// As in /proc/modules.
    pub name: String,
    /// sha256 of the decompressed file.
    pub sha256: Sha256,
    /// What must be loaded before it.
    pub depends: Vec<String>,
    /// What it would like to be loaded before it and is not built in: other modules' names.
    pub soft: Vec<String>,
    /// Names of its parameters.
    pub parameters: Vec<String>,
    /// The release that it was built for.
    pub release: Option<String>,
}

/// What is known of a kernel's drivers and file systems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSet {
    /// Available modules by name.
    pub modules: BTreeMap<String, KernelModule>,
    /// Built-in modules, when the build left a list (modules.builtin).
    pub builtin: Option<BTreeSet<String>>,
    /// Candidates whose name stands as a whole string in the kernel image: a sign, not a proof,
    /// that they are built in. Only asked where there is neither a list nor a configuration.
    pub named_in_image: BTreeSet<String>,
}

/// Whether a kernel has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Built into the kernel.
    BuiltIn,
    /// A module that can be loaded.
    Module,
    /// It was configured as a module, but the module is not there.
    ModuleLost,
    /// Neither built in nor a module.
    Absent,
    /// There is no sign of it, and nothing that would tell for certain.
    Unknown,
}

impl ModuleSet {
    /// Whether the kernel has the module `name`, which `option` configures.
    #[must_use]
    pub fn presence(&self, name: &str, option: &str, config: Option<&Config>) -> Presence {
        let listed = self.builtin.as_ref().map(|names| names.contains(name));
        let setting = config.map(|config| config.get(option));
        if listed == Some(true) || setting == Some(Setting::Yes) {
            return Presence::BuiltIn;
        }
        if self.modules.contains_key(name) {
            return Presence::Module;
        }
        match (setting, listed) {
            (Some(Setting::Module), _) => Presence::ModuleLost,
            (Some(Setting::No | Setting::Yes), _) | (None, Some(_)) => Presence::Absent,
            (None, None) if self.named_in_image.contains(name) => Presence::BuiltIn,
            (None, None) => Presence::Unknown,
        }
    }
}

/// The modules of a directory that some scenario may need, decompressed.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// What is known of them; nothing of the image.
    pub set: ModuleSet,
    /// Each one's decompressed file.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Collected {
    /// Writes them to a directory, as `<name>.ko`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, out: &Path) -> Result<()> {
        fs::create_dir_all(out).map_err(|e| Error::io("creating", out, e))?;
        for (name, bytes) in &self.files {
            let path = out.join(format!("{name}.ko"));
            fs::write(&path, bytes).map_err(|e| Error::io("writing", &path, e))?;
        }
        Ok(())
    }
}

/// Candidates that stand in the kernel image, for [`ModuleSet::named_in_image`].
#[must_use]
pub fn named_in_image(vmlinux: &[u8]) -> BTreeSet<String> {
    candidates()
        .into_iter()
        .filter(|name| names_driver(vmlinux, name))
        .map(str::to_owned)
        .collect()
}

/// Finds modules by name in a directory, such as [`candidates`], and what they depend on, and reads
/// them. Names that are not there are left out.
///
/// # Errors
/// When a file cannot be read, or a module is damaged.
pub fn collect(dir: &Path, names: &[&str]) -> Result<Collected> {
    let mut found = Collected::default();
    let set = &mut found.set;
    let mut files = BTreeMap::new();
    walk(dir, &mut files, 0)?;
    set.builtin = read_optional(&dir.join("modules.builtin"))?.map(|text| builtin_names(&text));
    let aliases = read_optional(&dir.join("modules.builtin.modinfo"))?
        .map(|text| builtin_aliases(&text))
        .unwrap_or_default();

    let mut todo: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = todo.pop() {
        let Some(file) = files
            .get(&name)
            .filter(|_| !set.modules.contains_key(&name))
        else {
            continue;
        };
        let bytes = read_module(file)?;
        let info =
            modinfo::read(&bytes).map_err(|e| e.while_(format!("reading {}", file.display())))?;
        let built_in = |soft: &String| {
            aliases.contains(soft)
                || set
                    .builtin
                    .as_ref()
                    .is_some_and(|names| names.contains(soft))
        };
        let soft: Vec<String> = info
            .soft
            .iter()
            .filter(|soft| !built_in(soft))
            .filter_map(|soft| provider(soft, &files).transpose())
            .collect::<Result<_>>()?;
        todo.extend(info.depends.iter().chain(&soft).cloned());
        let module = KernelModule {
            name: name.clone(),
            sha256: Sha256::of(&bytes),
            depends: info.depends,
            soft,
            parameters: info.parameters,
            release: info.release,
        };
        set.modules.insert(name.clone(), module);
        found.files.insert(name, bytes);
    }
    Ok(found)
}

/// Whether a directory is one of modules at all: it holds some, or a build's list of those that are
/// built in.
///
/// # Errors
/// When it cannot be read.
pub fn are_in(dir: &Path) -> Result<bool> {
    let mut files = BTreeMap::new();
    walk(dir, &mut files, 0)?;
    Ok(!files.is_empty() || dir.join("modules.builtin").is_file())
}

/// Reads a module and decompresses it, whatever its suffix.
fn read_module(path: &Path) -> Result<Vec<u8>> {
    let bytes = files::read(path, files::PROGRAM).map_err(|e| Error::io("reading", path, e))?;
    let format = decompress::sniff(&bytes).ok_or_else(|| {
        Error::input(format!(
            "{} is not a kernel module, plain or compressed",
            path.display()
        ))
        .hint("build or unpack the modules again")
    })?;
    if format == Compression::Elf {
        return Ok(bytes);
    }
    decompress::decompress(format, &bytes).map_err(|e| {
        Error::input(format!("decompressing {}", path.display()))
            .because(e)
            .hint("build or unpack the modules again: the file is damaged")
    })
}

/// `vmw-vsock.ko.xz` -> `vmw_vsock`
fn module_name(file: &str) -> Option<String> {
    let stem = file
        .strip_suffix(".xz")
        .or_else(|| file.strip_suffix(".zst"))
        .or_else(|| file.strip_suffix(".gz"))
        .unwrap_or(file);
    stem.strip_suffix(".ko").map(normalise)
}

/// Collects module files by name. Symbolic links (`build`, `source`) are not followed; of two
/// files with one name the first in path order wins.
fn walk(dir: &Path, files: &mut BTreeMap<String, PathBuf>, depth: u32) -> Result<()> {
    let failed = |e| Error::io("listing modules in", dir, e);
    let mut entries = fs::read_dir(dir)
        .map_err(failed)?
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && depth < 24 {
            walk(&entry.path(), files, depth + 1)?;
        } else if kind.is_file()
            && let Some(name) = entry.file_name().to_str().and_then(module_name)
        {
            files.entry(name).or_insert_with(|| entry.path());
        }
    }
    Ok(())
}

/// The module that satisfies a soft dependency, which may be an alias: the module of that name, or
/// one whose name begins with it and that carries the alias. `crypto-crc32c` is crc32c of the crypto API
/// (MODULE_ALIAS_CRYPTO), and no module's name begins so. Portable code (outside of arch/) is preferred:
/// it loads on every CPU.
fn provider(soft: &str, files: &BTreeMap<String, PathBuf>) -> Result<Option<String>> {
    if files.contains_key(soft) {
        return Ok(Some(soft.to_owned()));
    }
    let mut found = Vec::new();
    let begin = soft.strip_prefix("crypto_").unwrap_or(soft);
    for (name, path) in files.iter().filter(|(name, _)| name.starts_with(begin)) {
        let info = modinfo::read(&read_module(path)?)?;
        if info.aliases.iter().any(|alias| normalise(alias) == soft) {
            let special = path.components().any(|part| part.as_os_str() == "arch");
            found.push((special, name.clone()));
        }
    }
    found.sort();
    Ok(found.into_iter().next().map(|(_, name)| name))
}

fn read_optional(path: &Path) -> Result<Option<String>> {
    match files::read(path, files::LIST) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("reading", path, e)),
    }
}

/// Names in modules.builtin: one path a line.
fn builtin_names(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| module_name(line.trim().rsplit('/').next()?))
        .collect()
}

/// Aliases in modules.builtin.modinfo: NUL-separated `module.alias=name`.
fn builtin_aliases(text: &str) -> BTreeSet<String> {
    text.split('\0')
        .filter_map(|entry| {
            entry
                .split_once('=')
                .filter(|(key, _)| key.ends_with(".alias"))
        })
        .map(|(_, alias)| normalise(alias))
        .collect()
}

/// Whether the kernel image holds the module's name as a string of its own, as a driver's or file
/// system's registration does.
fn names_driver(vmlinux: &[u8], name: &str) -> bool {
    let whole = |name: &str| memmem::find(vmlinux, format!("\0{name}\0").as_bytes()).is_some();
    whole(name) || whole(&name.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names_come_from_file_names() {
        assert_eq!(
            module_name("crc32c-intel.ko").as_deref(),
            Some("crc32c_intel")
        );
        assert_eq!(module_name("xfs.ko.zst").as_deref(), Some("xfs"));
        assert_eq!(module_name("modules.order"), None);
        let names = builtin_names("kernel/fs/ext4/ext4.ko\nkernel/a/b-c.ko\n");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["b_c", "ext4"]);
        let aliases = builtin_aliases("crc32c_generic.alias=crc32c\0x.license=GPL\0");
        assert_eq!(aliases.into_iter().collect::<Vec<_>>(), ["crc32c"]);
    }

    #[test]
    fn presence_rests_on_the_strongest_evidence_there_is() {
        let mut set = ModuleSet::default();
        let option = "CONFIG_XFS_FS";
        let as_module = Config::parse("CONFIG_XFS_FS=m\n");
        let without = Config::parse("CONFIG_EXT4_FS=y\n");
        let built_in = Config::parse("CONFIG_XFS_FS=y\n");
        assert_eq!(set.presence("xfs", option, None), Presence::Unknown);
        assert_eq!(
            set.presence("xfs", option, Some(&as_module)),
            Presence::ModuleLost
        );
        assert_eq!(
            set.presence("xfs", option, Some(&without)),
            Presence::Absent
        );
        assert_eq!(
            set.presence("xfs", option, Some(&built_in)),
            Presence::BuiltIn
        );
        set.named_in_image.insert("xfs".to_owned());
        assert_eq!(set.presence("xfs", option, None), Presence::BuiltIn);
        set.builtin = Some(BTreeSet::new());
        assert_eq!(set.presence("xfs", option, None), Presence::Absent);
    }

    #[test]
    fn a_name_inside_a_longer_string_is_no_sign() {
        assert!(names_driver(b"..\0xfs\0..", "xfs"));
        assert!(names_driver(b"..\0virtio-pci\0..", "virtio_pci"));
        assert!(!names_driver(b"..\0xfs_buf\0..", "xfs"));
    }
}
