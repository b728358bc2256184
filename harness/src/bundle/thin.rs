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
    record::KernelRecord,
    scenario::Scenario,
    store::{FetchProgress, Sources, Store},
};
use std::path::PathBuf;

/// Where what is missing is fetched from, and to.
#[derive(Clone, Copy)]
pub struct From<'a> {
    /// What it is put into.
    pub store: &'a Store,
    /// Mirrors.
    pub sources: &'a Sources,
    /// Who hears of it.
    pub progress: &'a dyn FetchProgress,
}

/// Fetches QEMU for an image that was packed without it; its tree.
///
/// # Errors
/// When it cannot be had.
pub fn fetch_vmm(manifest: &Manifest, from: From<'_>) -> Result<PathBuf> {
    let project = project(manifest);
    if !project.images.entries.iter().any(|e| e.name == VMM) {
        return Err(
            Error::input("the image has no QEMU, and none that could be fetched")
                .hint("give the QEMU of its record with --qemu"),
        );
    }
    let tell = |text: &str| from.progress.note(text);
    let (tree, _) = provision(&project, from, &tell).tool_set(VMM)?;
    Ok(tree)
}

/// Fetches the kernels that are missing among the rows of `scenario`: the record's, or what that is on a
/// drive.
///
/// # Errors
/// When one cannot be had, or is not what the record was measured with.
pub fn fetch_kernels(
    unpacked: &Unpacked,
    kernels: &mut [Option<PreparedKernel>],
    scenario: &Scenario,
    from: From<'_>,
) -> Result<()> {
    let rows = kernels.iter().enumerate();
    let missing: Vec<usize> = { rows }
        .filter_map(|(at, kernel)| kernel.is_none().then_some(at))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let project = project(&unpacked.manifest);
    let tell = |text: &str| from.progress.note(text);
    let provision = provision(&project, from, &tell);
    let prepared = provision.locked_kernels(&of_rows(scenario, &missing), &unpacked.agent)?;
    for (at, mut prepared) in missing.into_iter().zip(prepared) {
        let recorded = &unpacked.results.kernels[at];
        let mut now = (prepared.record.image, prepared.record.initramfs);
        if !scenario.lane().is_exact() {
            // Of what it boots for a drive the record does not speak.
            now.1 = recorded.initramfs;
        }
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
        prepared.record = KernelRecord {
            initramfs: prepared.record.initramfs,
            ..recorded.clone()
        };
        kernels[at] = Some(prepared);
    }
    Ok(())
}

fn provision<'a>(project: &'a Project, from: From<'a>, tell: &'a dyn Fn(&str)) -> Provision<'a> {
    Provision {
        project,
        store: from.store,
        sources: from.sources,
        // The keys that could vouch for anything else are not in an image.
        when_gone: WhenGone::Fail,
        progress: from.progress,
        tell,
    }
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
