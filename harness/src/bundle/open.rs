//! From an image to what can be shown, and to what can be run.

use super::{
    limits,
    manifest::{Boots, FileRef, Machine, Manifest, PackedKernel, RESULTS, VMM},
    progress::Progress,
    read::Container,
    recipe,
    tree::{Below, One},
    vet,
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    files,
    image::INITRAMFS,
    plan::PreparedKernel,
    provision,
    record::{self, KernelRecord, Results},
    store::Store,
    vocabulary::KernelVersion,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// An image whose every byte was checked, and whose record was read. Nothing of it has been run.
#[derive(Debug)]
pub struct Opened {
    /// The image.
    pub container: Container,
    /// The run's record.
    pub results: Results,
    /// Names of the files of each part.
    pub files: BTreeMap<String, BTreeMap<String, Sha256>>,
}

/// What an image holds, on the disk: ready to be run.
pub struct Unpacked {
    /// What is inside.
    pub manifest: Manifest,
    /// The run's record.
    pub results: Results,
    /// The scenario's rows, in its order; those that a thin image leaves to the lock are missing.
    pub kernels: Vec<Option<PreparedKernel>>,
    /// QEMU's tree, if it is inside.
    pub vmm: Option<PathBuf>,
    /// The agent's executable.
    pub agent: PathBuf,
    /// The plugin that counts instructions, if the run had one.
    pub plugin: Option<PathBuf>,
}

impl Opened {
    /// Reads all of an image.
    ///
    /// # Errors
    /// When it is not intact, or holds what cannot be meant.
    pub fn read(path: &Path, progress: &dyn Progress) -> Result<Opened> {
        let container = Container::open(path)?;
        let files = container.verify(progress)?;
        let results = read_results(&container)?;
        check_references(&container, &files)?;
        Ok(Opened {
            container,
            results,
            files,
        })
    }
}

/// Reads the record alone, and checks that it can be meant.
fn read_results(container: &Container) -> Result<Results> {
    let reference = &container.manifest.results;
    if reference.part != RESULTS {
        return Err(refused(container, "the record is in another part".into()));
    }
    let mut wanted = One {
        path: reference.path.clone(),
        limit: limits::RESULTS,
        bytes: None,
    };
    let found = container.part(RESULTS, &mut wanted, &super::Unseen)?;
    let bytes = wanted.bytes.unwrap_or_default();
    if found.get(&reference.path) != Some(&reference.sha256) {
        return Err(refused(
            container,
            "the record is not the manifest's".into(),
        ));
    }
    let results = record::parse(&bytes, "results.json").map_err(|e| {
        e.while_(format!(
            "reading the record in {}",
            container.path().display()
        ))
    })?;
    vet::check(&results, &container.manifest).map_err(|why| refused(container, why))?;
    Ok(results)
}

fn refused(container: &Container, why: String) -> Error {
    Error::fetch(format!(
        "{} holds what cannot be meant",
        container.path().display()
    ))
    .because(why)
    .hint("get the file again from whoever packed it")
}

/// Whether every file that the manifest names is there, as it says.
fn check_references(
    container: &Container,
    files: &BTreeMap<String, BTreeMap<String, Sha256>>,
) -> Result<()> {
    let all = container.manifest.references();
    let wrong = all.into_iter().find(|file| {
        let found = files.get(&file.part).and_then(|part| part.get(&file.path));
        found != Some(&file.sha256)
    });
    match wrong {
        None => Ok(()),
        Some(file) => Err(refused(
            container,
            format!(
                "`{}` of part `{}` is not the manifest's",
                file.path, file.part
            ),
        )),
    }
}

impl Unpacked {
    /// Unpacks an image into a store, which should be nobody else's; every byte is checked on the way.
    ///
    /// # Errors
    /// When the image is not intact, or the store cannot be written.
    pub fn new(path: &Path, store: &Store, progress: &dyn Progress) -> Result<Unpacked> {
        let container = Container::open(path)?;
        let results = read_results(&container)?;
        let manifest = &container.manifest;
        let mut parts = Parts::default();
        for part in &manifest.parts {
            let mut files = BTreeMap::new();
            let dir = store.derive("tree", &part.digest, |out| {
                files = container.part(&part.name, &mut Below(out.to_owned()), progress)?;
                Ok(())
            })?;
            parts.files.insert(part.name.clone(), files);
            parts.dirs.insert(part.name.clone(), dir);
        }
        check_references(&container, &parts.files)?;
        let mut kernels = Vec::new();
        for (packed, known) in manifest.kernels.iter().zip(&results.kernels) {
            let prepared = kernel(&container, store, &parts, packed, known, &results)?;
            kernels.push(prepared);
        }
        Ok(Unpacked {
            manifest: manifest.clone(),
            vmm: parts.dirs.get(VMM).cloned(),
            agent: parts.path(&manifest.agent.file),
            plugin: manifest.plugin.as_ref().map(|file| parts.path(file)),
            kernels,
            results,
        })
    }
}

/// Unpacked parts.
#[derive(Default)]
struct Parts {
    dirs: BTreeMap<String, PathBuf>,
    files: BTreeMap<String, BTreeMap<String, Sha256>>,
}

impl Parts {
    /// Where a file is that [`check_references`] has seen.
    fn path(&self, file: &FileRef) -> PathBuf {
        let dir = self.dirs.get(&file.part).cloned().unwrap_or_default();
        dir.join(&file.path)
    }
}

fn kernel(
    container: &Container,
    store: &Store,
    parts: &Parts,
    packed: &PackedKernel,
    known: &KernelRecord,
    results: &Results,
) -> Result<Option<PreparedKernel>> {
    let (machine, modules) = match &packed.boots {
        Boots::Locked => return Ok(None),
        Boots::Unusable(outcome) => (Err(outcome.clone()), None),
        Boots::Packed(machine) => {
            let initramfs = initramfs(container, store, parts, packed, machine)?;
            let boots = provision::Boots {
                kernel: (parts.path(&machine.kernel), machine.kernel.sha256),
                boot: machine.boot,
                initramfs: (initramfs, machine.initramfs.sha256),
            };
            let dir = parts.dirs.get(&machine.kernel.part);
            let modules = dir.zip(machine.modules.as_ref());
            let modules = modules.map(|(dir, modules)| dir.join(modules));
            let scenario = results.scenario.of(&known.subject());
            (Ok((boots.machine(&scenario), machine.stop_by)), modules)
        }
    };
    Ok(Some(PreparedKernel {
        subject: known.subject(),
        version: packed.release.as_deref().and_then(KernelVersion::of),
        // A record has it from the guest, where the image does not tell.
        record: KernelRecord {
            release: packed.release.clone(),
            ..known.clone()
        },
        blind: packed.blind,
        machine,
        modules,
        unsupported: packed.unsupported.clone(),
    }))
}

fn initramfs(
    container: &Container,
    store: &Store,
    parts: &Parts,
    packed: &PackedKernel,
    machine: &Machine,
) -> Result<PathBuf> {
    let recipe = &machine.initramfs;
    let dir = store.derive("initramfs", &recipe.sha256, |out| {
        let read = |file: &FileRef, most| {
            let bytes = files::read(&parts.path(file), most);
            bytes.map_err(|e| format!("`{}` of part `{}`: {e}", file.path, file.part))
        };
        let bytes = recipe::put_together(recipe, read)
            .map_err(|why| refused(container, format!("kernel `{}`: {why}", packed.subject())))?;
        let path = out.join(INITRAMFS);
        fs::write(&path, bytes).map_err(|e| Error::io("writing", &path, e))
    })?;
    Ok(dir.join(INITRAMFS))
}
