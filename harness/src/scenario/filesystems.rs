//! File systems of a scenario (pure).

use super::fio::keys::{On, refused_by_a_device};
use super::parse::RawFilesystem;
use super::problems::Problems;
use super::rules::{check_name, choice, duplicate, missing};
use super::{FilesystemSpec, WorkloadSpec};
use diorama_wire::FsKind;

/// The file systems, in the file's order.
pub(super) fn filesystems(raw: &[RawFilesystem], problems: &mut Problems) -> Vec<FilesystemSpec> {
    if raw.is_empty() {
        missing("filesystems", "add a table [filesystems.ext4]", problems);
    }
    let mut specs: Vec<FilesystemSpec> = Vec::new();
    for raw in raw {
        let Some(spec) = filesystem(raw, problems) else {
            continue;
        };
        let same = |other: &&FilesystemSpec| {
            (other.kind, &other.mkfs, &other.mount_options)
                == (spec.kind, &spec.mkfs, &spec.mount_options)
        };
        if let Some(other) = specs.iter().find(same) {
            duplicate(&raw.name, &other.name, "file systems", problems);
        }
        specs.push(spec);
    }
    specs
}

/// On a block device itself nothing is made or mounted.
fn device_itself(raw: &RawFilesystem, problems: &mut Problems) {
    let options = raw.mount_options.as_ref().filter(|o| !o.value.is_empty());
    let options = options.map(|options| (&options.at, "mounts"));
    let mkfs = raw.mkfs.first().map(|word| (&word.at, "makes"));
    for (at, verb) in [mkfs, options].into_iter().flatten() {
        let what = format!("is for a file system, and kind = \"none\" {verb} none");
        problems.add(at, what, "leave it out, or choose a file system");
    }
}

fn filesystem(raw: &RawFilesystem, problems: &mut Problems) -> Option<FilesystemSpec> {
    let kinds = FsKind::ALL.map(|kind| (kind.name(), kind));
    check_name(&raw.name, problems);
    let kind = choice(
        raw.kind.as_ref().unwrap_or(&raw.name),
        "kinds",
        &kinds,
        problems,
    );
    if kind.is_some_and(FsKind::is_none) {
        device_itself(raw, problems);
    }
    for word in &raw.mkfs {
        if word.value.is_empty() || word.value.starts_with('/') {
            let what = format!("`{}` is not an option of mkfs", word.value);
            problems.add(&word.at, what, "leave the program and the device out");
        }
    }
    let options = raw.mount_options.as_ref();
    if let Some(options) = options.filter(|o| o.value.contains(char::is_whitespace)) {
        let what = format!("`{}` are not mount options", options.value);
        problems.add(
            &options.at,
            what,
            "separate them with commas, without spaces",
        );
    }
    Some(FilesystemSpec {
        name: raw.name.value.clone(),
        kind: kind?,
        mkfs: raw.mkfs.iter().map(|word| word.value.clone()).collect(),
        mount_options: options.map(|o| o.value.clone()).unwrap_or_default(),
    })
}

/// What a scenario with these runs its jobs on.
pub(super) fn on(specs: &[FilesystemSpec]) -> On {
    let (devices, others): (Vec<_>, Vec<_>) = specs.iter().partition(|spec| spec.kind.is_none());
    match (devices.is_empty(), others.is_empty()) {
        (true, _) => On::Filesystems,
        (false, true) => On::Device,
        (false, false) => On::Both,
    }
}

/// Refuses workloads that cannot run on a block device, where the scenario has one.
pub(super) fn suit(
    specs: &[FilesystemSpec],
    workloads: &[WorkloadSpec],
    raw: &[RawFilesystem],
    problems: &mut Problems,
) {
    let Some(device) = specs.iter().find(|spec| spec.kind.is_none()) else {
        return;
    };
    let Some(at) = raw.iter().find(|raw| raw.name.value == device.name) else {
        return;
    };
    for workload in workloads {
        if let Some(why) = refused_by_a_device(workload) {
            let what = format!("cannot have workload `{}`: {why}", workload.name);
            let next = "leave one of them out, or let the workload overwrite (overwrite = true)";
            problems.add(&at.name.at, what, next);
        }
    }
}
