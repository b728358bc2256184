//! File systems of a scenario (pure).

use super::FilesystemSpec;
use super::parse::RawFilesystem;
use super::problems::Problems;
use super::rules::{check_name, choice, duplicate, missing};
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

fn filesystem(raw: &RawFilesystem, problems: &mut Problems) -> Option<FilesystemSpec> {
    const KINDS: &[(&str, FsKind)] = &[("ext4", FsKind::Ext4), ("xfs", FsKind::Xfs)];
    check_name(&raw.name, problems);
    let kind = choice(
        raw.kind.as_ref().unwrap_or(&raw.name),
        "kinds",
        KINDS,
        problems,
    );
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
