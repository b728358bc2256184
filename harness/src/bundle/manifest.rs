//! Diorama's own manifest of an image, which is OCI's config: what is inside, by digests of
//! uncompressed contents; so its own digest is the image's identity, whatever zstd made of the parts
//! (pure). docs/image.md describes every field.

use super::{limits, ustar::check_path};
use crate::{
    digest::Sha256,
    kernel::BootBy,
    plan::Unsupported,
    text,
    vocabulary::{LockedFile, Outcome, SubjectKey},
};
use diorama_wire::StopBy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Version of the manifest's format. A reader refuses every other.
pub const FORMAT: u32 = 1;

/// The part that holds the run's record.
pub const RESULTS: &str = "results";
/// The part that holds what runs in the guests: the agent, and what the initramfs of all kernels share.
pub const GUEST: &str = "guest";
/// The part that holds QEMU.
pub const VMM: &str = "vmm";
/// The part that holds the plugin that counts instructions.
pub const PLUGIN: &str = "plugin";
/// The part that holds the licences of what the others hold.
pub const LICENCES: &str = "licences";

/// What is in an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of diorama that packed.
    pub diorama: String,
    /// The parts, in the order of OCI's layers.
    pub parts: Vec<Part>,
    /// results.json.
    pub results: FileRef,
    /// The agent, as it is in the initramfs.
    pub agent: Agent,
    /// The plugin that counts instructions, if the run had one.
    pub plugin: Option<FileRef>,
    /// Whether QEMU's tree is inside ([`VMM`]).
    pub vmm: bool,
    /// One per row of the scenario, in its order.
    pub kernels: Vec<PackedKernel>,
    /// The lock entries of everything that came out of Debian's archive: where its source is, and where
    /// a thin image fetches it again.
    pub sources: Vec<Source>,
    /// Libraries that guests have stand-ins for instead, where fio runs.
    pub stand_ins: Vec<String>,
    /// Licences of what is redistributed.
    pub licences: Vec<Licence>,
}

/// A part: a tar of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Unique: `results`, `guest`, `vmm`, `plugin`, `licences`, or `kernel-` and a row's name.
    pub name: String,
    /// sha256 of the uncompressed tar.
    pub digest: Sha256,
    /// Its bytes.
    pub size: u64,
    /// Its files, directories and links.
    pub entries: u64,
}

/// A file in a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// The part.
    pub part: String,
    /// Its path there.
    pub path: String,
    /// Its sha256.
    pub sha256: Sha256,
}

/// The guest's agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its executable.
    pub file: FileRef,
    /// The build id that it says, if it has one.
    pub build_id: Option<String>,
}

/// A row of the scenario: a kernel, as it is written or with a variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedKernel {
    /// The kernel's name in the scenario.
    pub name: String,
    /// The variant that it is measured with; absent for the scenario as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Its release, as far as its image tells: it decides what file systems are formatted with.
    pub release: Option<String>,
    /// Whether neither configuration nor modules told what it has.
    pub blind: bool,
    /// Cells that cannot run on it, known before any boot.
    pub unsupported: Vec<Unsupported>,
    /// What guests boot.
    pub boots: Boots,
}

/// What a kernel's guests boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Boots {
    /// What is in the parts.
    Packed(Box<Machine>),
    /// What the lock entry of the kernel's name gives (a thin image).
    Locked,
    /// Nothing: why.
    Unusable(Outcome),
}

/// Kernel and initramfs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// How the kernel is entered.
    pub boot: BootBy,
    /// vmlinux or bzImage.
    pub kernel: FileRef,
    /// The directory of its part that holds its modules with their symbols, if any are loaded.
    pub modules: Option<String>,
    /// How its guests hand over.
    pub stop_by: StopBy,
    /// Its initramfs.
    pub initramfs: Recipe,
    /// What its guests boot where they have a drive of the host's; absent where the jobs cannot run on
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_drive: Option<OnDrive>,
}

/// What the same kernel's guests boot for a drive of the host's (`replay --device`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnDrive {
    /// Its initramfs.
    pub initramfs: Recipe,
    /// Cells that cannot run there on this kernel, known before any boot.
    pub unsupported: Vec<Unsupported>,
}

/// How an initramfs is put together out of files of the parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// sha256 of the archive.
    pub sha256: Sha256,
    /// Its bytes.
    pub size: u64,
    /// Its entries, in order.
    pub entries: Vec<CpioEntry>,
}

/// An entry of an initramfs; its path is relative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CpioEntry {
    /// A directory.
    Directory {
        /// Where.
        path: String,
    },
    /// A regular file.
    File {
        /// Where.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Its contents.
        file: FileRef,
    },
    /// A character device.
    CharDevice {
        /// Where.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Device number.
        major: u32,
        /// Device number.
        minor: u32,
    },
}

/// A lock entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `kernels` or `images`: which lock.
    pub lock: WhichLock,
    /// Name of the entry.
    pub name: String,
    /// The kernel's release, for kernels.
    pub release: Option<String>,
    /// Its packages.
    pub files: Vec<LockedFile>,
}

/// Which of the two locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichLock {
    /// kernels/lock.toml
    Kernels,
    /// images/lock.toml
    Images,
}

/// The licence of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// Binary package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Debian's source package, whose source is in Debian's archive and its snapshots.
    pub source: String,
    /// Its copyright file; none where the package has none of its own.
    pub copyright: Option<FileRef>,
}

impl Machine {
    /// Every initramfs that its guests may have.
    pub fn recipes(&self) -> impl Iterator<Item = &Recipe> {
        let on_drive = self.on_drive.as_ref();
        [&self.initramfs]
            .into_iter()
            .chain(on_drive.map(|of| &of.initramfs))
    }
}

impl PackedKernel {
    /// Which row it is.
    #[must_use]
    pub fn subject(&self) -> SubjectKey {
        SubjectKey {
            kernel: self.name.clone(),
            variant: self.variant.clone(),
        }
    }
}

impl CpioEntry {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            CpioEntry::Directory { path }
            | CpioEntry::File { path, .. }
            | CpioEntry::CharDevice { path, .. } => path,
        }
    }
}

impl Manifest {
    /// Its bytes: the one form that is read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data serialises")
    }

    /// Reads one and checks that it can be meant.
    ///
    /// # Errors
    /// When its version is another, it names something that there is not, or more than may be: why.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, String> {
        #[derive(Deserialize)]
        struct Head {
            format: Option<u64>,
        }
        let unreadable = |e: serde_json::Error| text::line(&text::cut(&e.to_string()));
        let head: Head = serde_json::from_slice(bytes).map_err(unreadable)?;
        match head.format {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                return Err(format!(
                    "it has format {format}; this version reads {FORMAT}"
                ));
            }
            None => return Err("it names no format".into()),
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(unreadable)?;
        if manifest.to_bytes() != bytes {
            return Err("it is not written in the one form that it may have".into());
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// A part by its name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Whether the lock must be fetched again before anything can run.
    #[must_use]
    pub fn is_thin(&self) -> bool {
        self.kernels.iter().any(|k| k.boots == Boots::Locked)
    }

    /// Every file that it names.
    #[must_use]
    pub fn references(&self) -> Vec<&FileRef> {
        let mut all = vec![&self.results, &self.agent.file];
        all.extend(&self.plugin);
        all.extend(self.licences.iter().filter_map(|l| l.copyright.as_ref()));
        for kernel in &self.kernels {
            if let Boots::Packed(machine) = &kernel.boots {
                all.push(&machine.kernel);
                let entries = machine.recipes().flat_map(|recipe| &recipe.entries);
                all.extend(entries.filter_map(|entry| match entry {
                    CpioEntry::File { file, .. } => Some(file),
                    _ => None,
                }));
            }
        }
        all
    }

    fn check(&self) -> Result<(), String> {
        word(&self.diorama)?;
        at_most("parts", self.parts.len(), limits::PARTS)?;
        at_most("rows", self.kernels.len(), limits::ROWS)?;
        at_most("lock entries", self.sources.len(), limits::PARTS)?;
        at_most("licences", self.licences.len(), limits::FILES)?;
        at_most("stand-ins", self.stand_ins.len(), limits::PARTS)?;
        let mut all = 0_u64;
        for part in &self.parts {
            name(&part.name)?;
            if part.size > limits::PART || part.entries > limits::FILES as u64 {
                return Err(format!(
                    "part `{}` declares {} bytes in {} entries; at most {} and {} are allowed",
                    part.name,
                    part.size,
                    part.entries,
                    limits::PART,
                    limits::FILES
                ));
            }
            all = all.saturating_add(part.size);
        }
        if all > limits::UNPACKED {
            return Err(format!(
                "its parts have {all} bytes; at most {} are allowed",
                limits::UNPACKED
            ));
        }
        unique("part", self.parts.iter().map(|p| p.name.as_str()))?;
        let rows: Vec<String> = self
            .kernels
            .iter()
            .map(|k| k.subject().to_string())
            .collect();
        unique("kernel", rows.iter().map(String::as_str))?;
        for needed in [RESULTS, GUEST] {
            self.there(needed)?;
        }
        if self.vmm != self.part(VMM).is_some() {
            return Err("it has QEMU, and has it not".into());
        }
        self.file(&self.results)?;
        self.file(&self.agent.file)?;
        self.agent.build_id.as_deref().map_or(Ok(()), word)?;
        self.plugin.iter().try_for_each(|file| self.file(file))?;
        self.stand_ins.iter().try_for_each(|name| word(name))?;
        self.kernels
            .iter()
            .try_for_each(|kernel| self.kernel(kernel))?;
        self.sources.iter().try_for_each(source)?;
        for licence in &self.licences {
            word(&licence.package)?;
            word(&licence.version)?;
            word(&licence.source)?;
            licence
                .copyright
                .iter()
                .try_for_each(|file| self.file(file))?;
        }
        let used = self.used();
        match self.parts.iter().find(|p| !used.contains(p.name.as_str())) {
            Some(part) => Err(format!("nothing in it uses part `{}`", part.name)),
            None => Ok(()),
        }
    }

    fn kernel(&self, kernel: &PackedKernel) -> Result<(), String> {
        name(&kernel.name)?;
        kernel.variant.as_deref().map_or(Ok(()), name)?;
        kernel.release.as_deref().map_or(Ok(()), word)?;
        at_most("unsupported parts", kernel.unsupported.len(), limits::CELLS)?;
        let Boots::Packed(machine) = &kernel.boots else {
            return Ok(());
        };
        let of = |why: String| format!("kernel `{}`: {why}", kernel.subject());
        self.file(&machine.kernel).map_err(of)?;
        if let Some(modules) = &machine.modules {
            check_path(modules).map_err(of)?;
        }
        if let Some(on_drive) = &machine.on_drive {
            let unsupported = on_drive.unsupported.len();
            at_most("unsupported parts", unsupported, limits::CELLS).map_err(of)?;
        }
        machine
            .recipes()
            .try_for_each(|recipe| self.recipe(recipe))
            .map_err(of)
    }

    fn recipe(&self, recipe: &Recipe) -> Result<(), String> {
        at_most(
            "entries of an initramfs",
            recipe.entries.len(),
            limits::CPIO_ENTRIES,
        )?;
        if recipe.size > limits::INITRAMFS {
            return Err(format!(
                "its initramfs has {} bytes; at most {} are allowed",
                recipe.size,
                limits::INITRAMFS
            ));
        }
        unique(
            "path of an initramfs",
            recipe.entries.iter().map(CpioEntry::path),
        )?;
        for entry in &recipe.entries {
            check_path(entry.path())?;
            if let CpioEntry::File { file, .. } = entry {
                self.file(file)?;
            }
            if let CpioEntry::File { mode, .. } | CpioEntry::CharDevice { mode, .. } = entry
                && *mode > 0o7777
            {
                return Err(format!("`{}` has no permissions {mode:o}", entry.path()));
            }
        }
        Ok(())
    }

    fn file(&self, file: &FileRef) -> Result<(), String> {
        check_path(&file.path)?;
        self.there(&file.part)
    }

    fn there(&self, name: &str) -> Result<(), String> {
        match self.part(name) {
            Some(_) => Ok(()),
            None => Err(format!(
                "part `{}` is missing",
                text::line(&text::cut(name))
            )),
        }
    }

    /// Parts that something names.
    fn used(&self) -> BTreeSet<&str> {
        let mut used = BTreeSet::from([RESULTS, GUEST, VMM]);
        used.extend(self.plugin.iter().map(|file| file.part.as_str()));
        let copyright = self.licences.iter().filter_map(|l| l.copyright.as_ref());
        used.extend(copyright.map(|file| file.part.as_str()));
        for kernel in &self.kernels {
            if let Boots::Packed(machine) = &kernel.boots {
                used.insert(&machine.kernel.part);
            }
        }
        used
    }
}

/// What a lock entry of an image may name: whoever opens a thin image fetches it from their mirrors.
fn source(source: &Source) -> Result<(), String> {
    name(&source.name)?;
    at_most("packages", source.files.len(), limits::FILES)?;
    source.release.as_deref().map_or(Ok(()), word)?;
    for file in &source.files {
        word(&file.package)?;
        word(&file.version)?;
        let known = ["debian", "debian-security"].contains(&file.archive.as_str());
        if !known {
            return Err(format!(
                "`{}` is no archive",
                text::line(&text::cut(&file.archive))
            ));
        }
        check_path(&file.path)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-/".contains(c);
        if !file.path.starts_with("pool/") || !file.path.chars().all(plain) {
            return Err(format!(
                "`{}` is not below an archive's pool",
                text::cut(&file.path)
            ));
        }
        if file.size > limits::PART {
            return Err(format!("package {} has {} bytes", file.package, file.size));
        }
    }
    Ok(())
}

/// A name like a scenario's ([`crate::scenario`]): it becomes part of paths and of what is printed.
fn name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    // A row's has a kernel's and a variant's in it.
    let good = name.len() <= 160
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed);
    match good {
        true => Ok(()),
        false => Err(format!(
            "`{}` is not a valid name",
            text::line(&text::cut(name))
        )),
    }
}

/// One line that shows itself.
fn word(word: &str) -> Result<(), String> {
    match word.len() <= limits::TEXT && text::line(word) == *word {
        true => Ok(()),
        false => Err(format!(
            "`{}` is not one line of text",
            text::line(&text::cut(word))
        )),
    }
}

fn at_most(what: &str, have: usize, most: usize) -> Result<(), String> {
    match have <= most {
        true => Ok(()),
        false => Err(format!("it has {have} {what}; at most {most} are allowed")),
    }
}

fn unique<'a>(what: &str, mut all: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match all.find(|one| !seen.insert(*one)) {
        None => Ok(()),
        Some(twice) => Err(format!(
            "the {what} `{}` is there twice",
            text::line(&text::cut(twice))
        )),
    }
}
