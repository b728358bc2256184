//! What a thin image leaves to Debian's archive: fetched by its lock entries, put together by the code
//! that puts it together for a run, and held against the record.

use super::{
    manifest::{Manifest, WhichLock},
    open::Unpacked,
};
use crate::{
    error::{Error, Result},
    lock::{Declarations, Lock, LockEntry, WhenGone},
    plan::PreparedKernel,
    provision::{FIO, Project, Provision, VMM},
    scenario::Scenario,
    store::{FetchProgress, Sources, Store},
};
use std::path::PathBuf;

/// Fetches the kernels, and QEMU, that an unpacked image does not have; QEMU's tree, unless
/// `with_vmm` says that another is used.
///
/// # Errors
/// When something cannot be had, or is not what the record was measured with.
pub fn fetch(
    unpacked: &mut Unpacked,
    with_vmm: bool,
    store: &Store,
    sources: &Sources,
    progress: &dyn FetchProgress,
) -> Result<()> {
    let project = project(&unpacked.manifest);
    let provision = Provision {
        project: &project,
        store,
        sources,
        // The keys that could vouch for anything else are not in an image.
        when_gone: WhenGone::Fail,
        progress,
        tell: &|text| progress.note(text),
    };
    if with_vmm && unpacked.vmm.is_none() {
        if !project.images.entries.iter().any(|e| e.name == VMM) {
            return Err(
                Error::input("the image has no QEMU, and none that could be fetched")
                    .hint("give the QEMU of its record with --qemu"),
            );
        }
        unpacked.vmm = Some(provision.tool_set(VMM)?.0);
    }
    let rows = unpacked.kernels.iter().enumerate();
    let missing: Vec<usize> = { rows }
        .filter_map(|(at, kernel)| kernel.is_none().then_some(at))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let scenario = of_rows(&unpacked.results.scenario, &missing);
    let prepared = provision.locked_kernels(&scenario, &unpacked.agent)?;
    for (at, prepared) in missing.into_iter().zip(prepared) {
        let recorded = &unpacked.results.kernels[at];
        let now = (prepared.record.image, prepared.record.initramfs);
        if now != (recorded.image, recorded.initramfs) {
            return Err(Error::fetch(format!(
                "kernel `{}` as it was fetched is not the one that the image's record was measured with",
                recorded.subject()
            ))
            .hint(format!(
                "use diorama {}, which packed the image",
                unpacked.manifest.diorama
            )));
        }
        unpacked.kernels[at] = Some(PreparedKernel {
            record: recorded.clone(),
            ..prepared
        });
    }
    Ok(())
}

/// A scenario of these rows alone. An initramfs has the modules of all rows of its kernel that can boot;
/// those are either all inside or all missing.
fn of_rows(scenario: &Scenario, rows: &[usize]) -> Scenario {
    let subjects: Vec<_> = rows
        .iter()
        .map(|at| scenario.subjects[*at].clone())
        .collect();
    let mut kernels = scenario.kernels.clone();
    kernels.retain(|kernel| subjects.iter().any(|row| row.kernel == kernel.name));
    Scenario {
        kernels,
        subjects,
        ..scenario.clone()
    }
}

/// The lock entries of an image, as a project has them.
fn project(manifest: &Manifest) -> Project {
    let of = |which: WhichLock| {
        let entries = manifest
            .sources
            .iter()
            .filter(|source| source.lock == which);
        Lock {
            entries: entries
                .map(|source| LockEntry {
                    name: source.name.clone(),
                    release: source.release.clone(),
                    files: source.files.clone(),
                })
                .collect(),
            ..Lock::default()
        }
    };
    Project {
        root: PathBuf::new(),
        kernels: of(WhichLock::Kernels),
        images: of(WhichLock::Images),
        declarations: Declarations::of_stand_ins(FIO, &manifest.stand_ins),
    }
}
