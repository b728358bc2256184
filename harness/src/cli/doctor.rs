//! `diorama doctor`.

use super::{
    accel::kvm_silence,
    args::{self, DoctorArgs},
    choices::QemuChoice,
    context::Context,
    print_json, print_text,
};
use crate::{
    error::{Exit, Result},
    host::{
        doctor,
        hygiene::{Places, Subject},
        probe::{KvmTrial, Probes},
    },
    lock::WhenGone,
    provision::{Project, Provision},
    store::{NoProgress, http},
    vm::{self, Vmm},
};
use std::path::PathBuf;

/// Says what this host can do.
pub fn doctor(places: &args::Places, args: &DoctorArgs) -> Result<Exit> {
    let context = Context::new(places, args.offline)?;
    let project = context.project()?;
    let results = context.results();
    let directories = [
        ("cache", context.store.root()),
        ("results", results.as_path()),
    ];
    let try_archive = (!args.offline).then_some(|| http::reach(&context.sources));
    let probes = Probes::find(
        &directories,
        || try_kvm(&context, &project, args),
        try_archive,
    );
    let checks = doctor::evaluate(&probes);
    let noise = doctor::noise(&Places::here().look(Subject::EveryDrive));
    if args.json {
        print_json(&checks.iter().chain(&noise).collect::<Vec<_>>())?;
    } else {
        print_text(&doctor::render(&checks, &noise))?;
    }
    Ok(if doctor::can_run(&checks) {
        Exit::Ok
    } else {
        Exit::Host
    })
}

/// A kernel without a root file system ends in a panic of known words: that is the known point.
fn try_kvm(context: &Context, project: &Project, args: &DoctorArgs) -> KvmTrial {
    let provision = context.provision(project, WhenGone::Fail, &NoProgress, &|_| {});
    let Some(kernel) = provision.cached_kernel() else {
        return not_tried("no kernel in the cache yet; run `diorama fetch smoke` first");
    };
    match vmm(&provision, &args.qemu) {
        Ok(vmm) => vm::try_kvm(&vmm, &kernel, kvm_silence(args.deadline)),
        Err(error) => not_tried(&error.to_string()),
    }
}

fn vmm(provision: &Provision<'_>, qemu: &QemuChoice) -> Result<Vmm> {
    let path = |p: &PathBuf| p.display().to_string();
    match qemu {
        QemuChoice::Lock => provision.vmm("lock", &mut Vec::new()),
        QemuChoice::System => Vmm::from_host("system"),
        QemuChoice::Path(p) => Vmm::from_host(&path(p)),
    }
}

fn not_tried(why: &str) -> KvmTrial {
    KvmTrial::NotTried {
        why: why.to_owned(),
    }
}
