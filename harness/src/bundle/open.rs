//! From an image to what can be shown, and to what can be run.

use super::{
    limits,
    manifest::{Boots, FileRef, Machine, Manifest, PackedKernel, RESULTS, Recipe, VMM},
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
    plan::{PreparedKernel, Unsupported},
    provision,
    record::{self, KernelRecord, Outcome, Results},
    scenario::Scenario,
    store::Store,
    vm::Spec,
    vocabulary::KernelVersion,
};
use diorama_wire::StopBy;
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
    container: Container,
    parts: Parts,
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
        let whole = (&container, store, &parts);
        let kernels = rows(whole, &results, |packed, machine| {
            Ok(With {
                initramfs: &machine.initramfs,
                stop_by: machine.stop_by,
                unsupported: &packed.unsupported,
                scenario: &results.scenario,
            })
        })?;
        Ok(Unpacked {
            manifest: manifest.clone(),
            vmm: parts.dirs.get(VMM).cloned(),
            agent: parts.path(&manifest.agent.file),
            plugin: manifest.plugin.as_ref().map(|file| parts.path(file)),
            kernels,
            results,
            container,
            parts,
        })
    }

    /// The rows of `scenario`, which is that of the record on a drive, with what the image has for drives;
    /// those that a thin image leaves to the lock are missing.
    ///
    /// # Errors
    /// When the image has a kernel, but nothing that it boots for a drive.
    pub fn on_drive(
        &self,
        scenario: &Scenario,
        store: &Store,
    ) -> Result<Vec<Option<PreparedKernel>>> {
        let whole = (&self.container, store, &self.parts);
        rows(whole, &self.results, |packed, machine| {
            let on_drive = machine.on_drive.as_ref().ok_or_else(|| {
                Error::input(format!(
                    "the image has nothing that kernel `{}` boots for a drive",
                    packed.subject()
                ))
                .hint(
                    "ask for an image that was packed by this version, or measure without --device",
                )
            })?;
            Ok(With {
                initramfs: &on_drive.initramfs,
                stop_by: provision::stop_by(scenario.clock),
                unsupported: &on_drive.unsupported,
                scenario,
            })
        })
    }
}

/// The scenario's rows, in its order, booted with what `with` says; those that a thin image leaves to the
/// lock are missing.
fn rows<'a>(
    whole: (&'a Container, &Store, &Parts),
    results: &'a Results,
    with: impl Fn(&'a PackedKernel, &'a Machine) -> Result<With<'a>>,
) -> Result<Vec<Option<PreparedKernel>>> {
    let rows = whole.0.manifest.kernels.iter().zip(&results.kernels);
    rows.map(|(packed, known)| match &packed.boots {
        Boots::Packed(machine) => {
            let with = with(packed, machine)?;
            kernel(whole, (packed, machine), known, &with).map(Some)
        }
        Boots::Locked => Ok(None),
        Boots::Unusable(outcome) => {
            let why = (Err(outcome.clone()), None);
            Ok(Some(row(packed, known, &packed.unsupported, why)))
        }
    })
    .collect()
}

/// What a kernel's guests boot, and for what.
struct With<'a> {
    initramfs: &'a Recipe,
    stop_by: StopBy,
    unsupported: &'a [Unsupported],
    scenario: &'a Scenario,
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
    (container, store, parts): (&Container, &Store, &Parts),
    (packed, machine): (&PackedKernel, &Machine),
    known: &KernelRecord,
    with: &With<'_>,
) -> Result<PreparedKernel> {
    let initramfs = initramfs(container, store, parts, packed, with.initramfs)?;
    let boots = provision::Boots {
        kernel: (parts.path(&machine.kernel), machine.kernel.sha256),
        boot: machine.boot,
        initramfs: (initramfs, with.initramfs.sha256),
    };
    let dir = parts.dirs.get(&machine.kernel.part);
    let modules = dir.zip(machine.modules.as_ref());
    let modules = modules.map(|(dir, modules)| dir.join(modules));
    let spec = boots.machine(&with.scenario.of(&known.subject()));
    let prepared = (Ok((spec, with.stop_by)), modules);
    let mut kernel = row(packed, known, with.unsupported, prepared);
    kernel.record.initramfs = Some(with.initramfs.sha256);
    Ok(kernel)
}

fn row(
    packed: &PackedKernel,
    known: &KernelRecord,
    unsupported: &[Unsupported],
    (machine, modules): (Result<(Spec, StopBy), Outcome>, Option<PathBuf>),
) -> PreparedKernel {
    PreparedKernel {
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
        unsupported: unsupported.to_vec(),
    }
}

fn initramfs(
    container: &Container,
    store: &Store,
    parts: &Parts,
    packed: &PackedKernel,
    recipe: &Recipe,
) -> Result<PathBuf> {
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
