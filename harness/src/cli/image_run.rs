//! What every run out of an image stands on: what is missing of it, its QEMU, how far that is confined, and
//! where the run is recorded.

use super::{
    args::{Cli, ReplayArgs},
    choices::QemuChoice,
    context::Context,
    ui::Ui,
};
use crate::{
    bundle::{self, Unpacked},
    error::{Error, Result},
    plan::PreparedKernel,
    scenario::Scenario,
    store::{
        Store,
        hermetic::{Hermetic, QEMU},
    },
    vm::{
        Vmm,
        confine::{self, Confined, Rung},
    },
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// Where a replay is recorded: no checkout is needed for it.
pub fn results_root(cli: &Cli) -> PathBuf {
    let given = cli.places.results.clone();
    given.unwrap_or_else(|| PathBuf::from("results"))
}

/// An image's name in the command that repeats its replay, wherever it is then.
pub fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.display().to_string())
}

/// The image's programs are a stranger's: QEMU, and the plugin that whichever QEMU loads.
fn required(args: &ReplayArgs) -> Rung {
    match args.trust {
        true => Rung::Nothing,
        false => Rung::Landlock,
    }
}

/// How this host confines them.
///
/// # Errors
/// When that is less than a stranger's programs need.
pub fn trusted(args: &ReplayArgs) -> Result<Confined> {
    let confined = confine::possible()?;
    if confined.rung() >= required(args) {
        return Ok(confined);
    }
    Err(Error::host(format!(
        "this host confines the image's programs by {confined} alone ({})",
        confined.rung()
    ))
    .hint("add --trust if you know who packed the image"))
}

/// The image's QEMU, or the one that the command line names.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn vmm(args: &ReplayArgs, tree: Option<&Path>, store: &Store) -> Result<Vmm> {
    match (&args.qemu, tree) {
        (Some(QemuChoice::System), _) => Vmm::from_host("system"),
        (Some(QemuChoice::Path(path)), _) => Vmm::from_host(&path.display().to_string()),
        (None | Some(QemuChoice::Lock), Some(tree)) => {
            let digest = store.contents_digest(tree)?;
            Vmm::from_store(Hermetic::in_tree(tree, QEMU)?, digest, required(args))
        }
        (None | Some(QemuChoice::Lock), None) => {
            Err(Error::input("the image was packed without QEMU")
                .hint("give the QEMU of its record with --qemu"))
        }
    }
}

/// The rows' kernels, and QEMU in `unpacked`; what a thin image leaves out is fetched into `store`.
///
/// # Errors
/// When something cannot be had.
pub fn complete(
    unpacked: &mut Unpacked,
    mut kernels: Vec<Option<PreparedKernel>>,
    scenario: &Scenario,
    args: &ReplayArgs,
    store: &Store,
    ui: &Ui,
) -> Result<Vec<PreparedKernel>> {
    let needs_vmm = args.qemu.is_none() && unpacked.vmm.is_none();
    if needs_vmm || kernels.iter().any(Option::is_none) {
        let (sources, downloads) = (Context::sources(args.offline)?, ui.downloads());
        let from = bundle::From {
            store,
            sources: &sources,
            progress: &downloads,
        };
        ui.line("fetching what the image was packed without");
        let began = Instant::now();
        if needs_vmm {
            unpacked.vmm = Some(bundle::fetch_vmm(&unpacked.manifest, from)?);
        }
        bundle::fetch_kernels(unpacked, &mut kernels, scenario, from)?;
        ui.line(&format!(
            "fetched in {:.1} s",
            began.elapsed().as_secs_f64()
        ));
    }
    let all: Option<Vec<PreparedKernel>> = kernels.into_iter().collect();
    all.ok_or_else(|| Error::internal("a kernel was neither inside nor fetched"))
}
