//! From a declaration to the files that the archive has for it now.

use super::{
    DeclaredKernel, LockEntry, LockedFile, Tools,
    archive::{ArchiveView, Index},
    control::Package,
    dependencies::View,
    version,
};
use crate::{
    error::{Error, Result},
    store::{check_there, deb, elf, tree_key},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// Packages smaller than this hold no kernel: they only depend on those that do.
const SMALLEST_KERNEL: u64 = 1 << 20;

/// Resolves a kernel: the newest signed package of its series that is really there.
pub fn kernel(archive: &mut ArchiveView<'_>, kernel: &DeclaredKernel) -> Result<LockEntry> {
    let indexes = archive.indexes(&kernel.suites)?;
    let found = candidates(&indexes, kernel);
    for candidate in &found {
        let mut there = true;
        for file in &candidate.files {
            there = there && check_there(file, archive.sources)?;
        }
        if there {
            return Ok(LockEntry {
                name: kernel.name.clone(),
                release: Some(candidate.release.clone()),
                files: candidate.files.clone(),
            });
        }
        archive.progress.note(&format!(
            "{}: {} is listed, but some of its files are missing",
            kernel.name, candidate.release
        ));
    }
    Err(Error::fetch(format!(
        "resolving kernel `{}`: no signed {} kernel of series {} in {} ({} listed, none there)",
        kernel.name,
        kernel.flavour,
        kernel.series,
        kernel.suites.join(", "),
        found.len()
    ))
    .hint("name other suites for it in kernels/kernels.toml"))
}

#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    release: String,
    files: Vec<LockedFile>,
}

/// Kernels of the series, newest first; of equal versions the suite named first. Both of Debian's
/// layouts: `linux-image-R` up to 6.18, `linux-binary-R` with `linux-modules-R` since 6.19.
fn candidates(indexes: &[Rc<Index>], kernel: &DeclaredKernel) -> Vec<Candidate> {
    let mut found = Vec::new();
    for index in indexes {
        let modules: BTreeMap<_, _> = index
            .packages
            .iter()
            .filter_map(|p| {
                Some((
                    (p.name.strip_prefix("linux-modules-")?, p.version.as_str()),
                    p,
                ))
            })
            .collect();
        for package in &index.packages {
            let (release, split) = match package.name.strip_prefix("linux-image-") {
                Some(release) => (release, false),
                None => match package.name.strip_prefix("linux-binary-") {
                    Some(release) => (release, true),
                    None => continue,
                },
            };
            // Unsigned and debug packages end otherwise; built by linux-signed-* is what signed means.
            if !of_series(release, kernel)
                || !package.source.starts_with("linux-signed")
                || package.size < SMALLEST_KERNEL
            {
                continue;
            }
            let mut files = vec![index.lock(package)];
            if split {
                match modules.get(&(release, package.version.as_str())) {
                    Some(modules) => files.push(index.lock(modules)),
                    None => continue,
                }
            }
            found.push(Candidate {
                release: release.to_owned(),
                files,
            });
        }
    }
    found.sort_by(|a, b| version::compare(&b.files[0].version, &a.files[0].version));
    found
}

/// `6.12.107+deb13-cloud-amd64` is of series 6.12 and flavour cloud-amd64; 6.1 is not its series.
fn of_series(release: &str, kernel: &DeclaredKernel) -> bool {
    release
        .strip_suffix(&kernel.flavour)
        .and_then(|r| r.strip_suffix('-'))
        .and_then(|r| r.strip_prefix(&kernel.series))
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Resolves a tool set: its packages, and those of their dependencies that hold a library which
/// its executables need.
pub fn tools(archive: &mut ArchiveView<'_>, tools: &Tools) -> Result<LockEntry> {
    let context = |e: Error| e.while_(format!("resolving tool set `{}`", tools.name));
    let indexes = archive.indexes(&tools.suites).map_err(context)?;
    let view = View::new(&indexes);
    let named = tools
        .packages
        .iter()
        .map(|name| {
            view.newest(name).ok_or_else(|| {
                Error::input(format!(
                    "there is no package `{name}` in {}",
                    tools.suites.join(", ")
                ))
                .hint(format!(
                    "correct the packages of `{}` in images/images.toml",
                    tools.name
                ))
            })
        })
        .collect::<Result<Vec<_>>>()
        .map_err(context)?;
    let mut files: Vec<LockedFile> = if tools.executables.is_empty() {
        named
            .iter()
            .map(|(index, package)| index.lock(package))
            .collect()
    } else {
        libraries(archive, tools, &view, &named).map_err(context)?
    };
    files.sort_by(|a, b| a.package.cmp(&b.package));
    Ok(LockEntry {
        name: tools.name.clone(),
        release: None,
        files,
    })
}

/// The named packages and the providers of needed libraries, found by unpacking everything that
/// the named packages depend on: what a package holds is known only then.
fn libraries(
    archive: &ArchiveView<'_>,
    tools: &Tools,
    view: &View<'_>,
    named: &[(&Index, &Package)],
) -> Result<Vec<LockedFile>> {
    let all = view.with_dependencies(named);
    let (store, sources, progress) = (archive.store, archive.sources, archive.progress);
    let tree = store.tree(&all, sources, progress)?;
    let closure = elf::closure(&tree, &tools.executables, &tools.stand_ins)?;
    // Both the name that is looked up and the file behind it; often two paths of one package.
    let needed: BTreeSet<String> = closure
        .files
        .iter()
        .flat_map(|(name, real)| [name, real])
        .map(|path| path.display().to_string())
        .collect();
    let mut keep = Vec::new();
    for file in &all {
        let wanted = tools.packages.contains(&file.package) || {
            let bytes = store.read_verified(file, sources, progress)?;
            deb::paths(&bytes, &file.package)?
                .iter()
                .any(|path| needed.contains(path))
        };
        if wanted {
            keep.push(file.clone());
        }
    }
    if keep.len() < all.len() {
        // Large, and of no further use.
        store.forget("tree", &tree_key(&all))?;
    }
    // Proof that nothing was left out, before it is locked.
    let whole = tree_key(&keep);
    let kept = store.tree(&keep, sources, progress)?;
    for note in store.take_notes() {
        progress.note(&note);
    }
    elf::closure(&kept, &tools.executables, &tools.stand_ins)
        .map_err(|e| e.while_(format!("checking the packages chosen ({})", whole.short())))?;
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::dependencies::tests::{index, package};

    fn found(packages: Vec<Package>, series: &str) -> Vec<String> {
        let kernel = DeclaredKernel {
            name: series.into(),
            series: series.into(),
            flavour: "cloud-amd64".into(),
            suites: Vec::new(),
        };
        candidates(&[index(packages)], &kernel)
            .into_iter()
            .map(|c| {
                let files: Vec<_> = c.files.iter().map(|f| f.package.as_str()).collect();
                format!("{}: {}", c.release, files.join(" "))
            })
            .collect()
    }

    #[test]
    fn both_layouts_of_kernel_packages_are_understood_newest_first() {
        let big = 20 << 20;
        let signed = "linux-signed-amd64";
        let listed = vec![
            package(
                "linux-image-6.1.0-9-cloud-amd64",
                "6.1.180-1",
                signed,
                big,
                &[],
            ),
            package(
                "linux-image-6.1.0-56-cloud-amd64",
                "6.1.192-2",
                signed,
                big,
                &[],
            ),
            package(
                "linux-image-6.1.0-56-cloud-amd64-unsigned",
                "6.1.192-2",
                "linux",
                big,
                &[],
            ),
            package(
                "linux-image-6.1.0-57-cloud-amd64",
                "6.1.193-1",
                "linux",
                big,
                &[],
            ),
            package(
                "linux-image-6.1-cloud-amd64",
                "6.1.192-2",
                signed,
                1500,
                &[],
            ),
            package(
                "linux-image-6.1.0-56-rt-amd64",
                "6.1.192-2",
                signed,
                big,
                &[],
            ),
            package(
                "linux-image-6.12.9+deb13-cloud-amd64",
                "6.12.9-1",
                signed,
                big,
                &[],
            ),
            package(
                "linux-image-7.2.9+deb13-cloud-amd64",
                "7.2.9-1",
                signed,
                1900,
                &[],
            ),
            package(
                "linux-binary-7.2.9+deb13-cloud-amd64",
                "7.2.9-1",
                signed,
                big,
                &[],
            ),
            package(
                "linux-modules-7.2.9+deb13-cloud-amd64",
                "7.2.9-1",
                "linux",
                big,
                &[],
            ),
            package(
                "linux-binary-7.2.12+deb13-cloud-amd64",
                "7.2.12-1",
                signed,
                big,
                &[],
            ),
        ];
        assert_eq!(
            found(listed.clone(), "6.1"),
            [
                "6.1.0-56-cloud-amd64: linux-image-6.1.0-56-cloud-amd64",
                "6.1.0-9-cloud-amd64: linux-image-6.1.0-9-cloud-amd64"
            ]
        );
        assert_eq!(
            found(listed, "7.2"),
            [
                "7.2.9+deb13-cloud-amd64: linux-binary-7.2.9+deb13-cloud-amd64 linux-modules-7.2.9+deb13-cloud-amd64"
            ],
            "a binary without its modules is no kernel"
        );
    }
}
