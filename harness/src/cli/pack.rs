//! `diorama pack`: a run and everything that made it, in one file.

use super::{
    args::{Cli, PackArgs},
    choices::QemuChoice,
    context::Context,
    prepare::{self, Prepared, needs_digits, prepare_scenario},
    ui::{Drawing, Ui},
};
use crate::{
    bundle::{self, CrateLicence, Packing, WhichLock},
    error::{Error, Exit, Result},
    files,
    lock::{LockEntry, WhenGone},
    plan::PreparedKernel,
    provision::{self, AGENT_SYSROOT, FIO, Project, VMM},
    record::{self, Results},
    scenario::{ChosenDevice, KernelSource, OnDrive, Scenario},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// `diorama pack`
pub fn pack(cli: &Cli, args: &PackArgs) -> Result<Exit> {
    let mut context = Context::new(&cli.places, args.inputs.offline)?;
    let ui = Ui::new(Drawing::of_stderr(args.plain));
    context.store = context.store.telling(ui.teller());
    let (run, results) = record::open(&context.results(), &args.run)?;
    needs_digits(&results.scenario, "an image is replayed digit by digit")?;
    let keeps_vmm = !args.thin && !args.without_vmm;
    if keeps_vmm && args.inputs.qemu != QemuChoice::Lock {
        return Err(Error::input(
            "a QEMU of the host's cannot be packed: nobody knows all that belongs to it",
        )
        .hint("add --without-vmm; whoever replays the image brings that QEMU"));
    }
    let output = match &args.output {
        Some(output) => output.clone(),
        None => PathBuf::from(format!("{}.diorama", results.run_id)),
    };
    let prepared = prepare_scenario(
        &context,
        results.scenario.clone(),
        &args.inputs,
        None,
        Vec::new(),
        &ui,
    )?;
    for note in &prepared.notes {
        ui.line(&format!("note: {note}"));
    }
    // Before licences are looked for, which may take downloads.
    bundle::same_inputs(&results, &prepared.plan)?;
    let project = context.project()?;
    let locked = locked(&context, &project, &results.scenario, args, &ui)?;
    let Prepared {
        plan,
        vmm,
        agent,
        plugin,
        ..
    } = &prepared;
    let on_drive = on_drive(&context, &project, &results, args, &ui)?;
    let stand_ins = match results.scenario.needs_fio() {
        true => project.declarations.stand_ins(FIO).to_vec(),
        false => Vec::new(),
    };
    let packing = Packing {
        run: &run,
        results: &results,
        plan,
        agent: agent.clone(),
        // What counted nothing is no part of the run.
        plugin: plugin.as_deref().filter(|_| plan.vmm.plugin.is_some()),
        vmm: vmm.tree().filter(|_| keeps_vmm),
        locked,
        crates: crates(&context.root)?,
        on_drive,
        stand_ins,
        thin: args.thin,
    };
    let (manifest, size) = write(&output, &packing, &ui)?;
    context.store.release();
    let unpacked: u64 = manifest.parts.iter().map(|part| part.size).sum();
    ui.line(&format!(
        "image: {} ({}, {} unpacked, {} parts)",
        output.display(),
        megabytes(size),
        megabytes(unpacked),
        manifest.parts.len()
    ));
    ui.line(&show_next(&output, &results));
    Ok(Exit::Ok)
}

/// What the run's kernels boot for a drive, so that whoever has the image can measure the same jobs on one;
/// nothing where they cannot run there.
fn on_drive(
    context: &Context,
    project: &Project,
    results: &Results,
    args: &PackArgs,
    ui: &Ui,
) -> Result<Vec<PreparedKernel>> {
    // For the guest all drives are alike.
    let chosen = OnDrive {
        device: ChosenDevice::Nvme,
        blocks: None,
        seed: None,
        runtime_ns: None,
        repetitions: None,
    };
    let scenario = match results.scenario.on_drive(&chosen) {
        Ok(scenario) => scenario,
        Err(why) => {
            ui.line(&format!(
                "note: the image is not for `replay --device`: {why}"
            ));
            return Ok(Vec::new());
        }
    };
    let downloads = ui.downloads();
    let tell = |text: &str| ui.line(text);
    let when_gone = WhenGone::locked(args.inputs.locked);
    let provision = context.provision(project, when_gone, &downloads, &tell);
    let agent = prepare::agent(context, &args.inputs, &downloads, &tell)?;
    provision.all_kernels(&scenario, &agent)
}

fn show_next(output: &Path, results: &Results) -> String {
    let cells = results.cells.iter();
    let measured = cells.filter(|c| c.outcome.measured().is_some()).count();
    let cells = match measured {
        1 => "its cell".to_owned(),
        n => format!("its {n} cells"),
    };
    format!(
        "help: `diorama replay {}` measures {cells} again, anywhere",
        output.display()
    )
}

/// A size as people compare it with a limit for attachments: in 10^6 bytes, or 10^3.
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// Written beside its place, and only there once it is whole.
fn write(output: &Path, packing: &Packing<'_>, ui: &Ui) -> Result<(bundle::Manifest, u64)> {
    let parent = (output.parent().filter(|p| !p.as_os_str().is_empty())).unwrap_or(Path::new("."));
    let failed = |e| Error::io("writing", output, e);
    let file = tempfile::Builder::new()
        .prefix(".packing-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(failed)?;
    let manifest = bundle::pack(packing, file.as_file(), &ui.transfers("packing"))
        .map_err(|e| e.while_(format!("writing {}", output.display())))?;
    file.as_file().sync_data().map_err(failed)?;
    let size = file.as_file().metadata().map_err(failed)?.len();
    file.persist(output).map_err(|e| failed(e.error))?;
    Ok((manifest, size))
}

/// The licences of the crates in the agent and the plugin: a checkout's, or those that the program carries.
fn crates(root: &Path) -> Result<Vec<CrateLicence>> {
    let dir = root.join("images/crates");
    let failed = |e| {
        Error::io("listing", &dir, e).hint("write it with `cargo xtask licences`, in a checkout")
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let name = entry.file_name();
        let Some((name, version)) = name.to_str().and_then(|name| name.split_once('_')) else {
            continue;
        };
        found.push(CrateLicence {
            name: name.to_owned(),
            version: version.to_owned(),
            text: files::read(&path, files::TEXT).map_err(|e| Error::io("reading", &path, e))?,
        });
    }
    found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(found)
}

/// The lock entries of all that was used. What goes into the image itself is unpacked, for its licences.
fn locked(
    context: &Context,
    project: &Project,
    scenario: &Scenario,
    args: &PackArgs,
    ui: &Ui,
) -> Result<Vec<(WhichLock, LockEntry, Option<PathBuf>)>> {
    let downloads = ui.downloads();
    let tell = |text: &str| ui.line(text);
    let provision = context.provision(
        project,
        WhenGone::locked(args.inputs.locked),
        &downloads,
        &tell,
    );
    let vmm = (args.inputs.qemu == QemuChoice::Lock).then_some((VMM, !args.without_vmm));
    let fio = scenario.needs_fio().then_some((FIO, true));
    let tools = provision::tool_sets(scenario).into_iter();
    let tools = tools.map(|name| (name, true));
    let mut found = Vec::new();
    for (name, inside) in tools.chain([(AGENT_SYSROOT, true)]).chain(vmm).chain(fio) {
        // The agent is always inside, and the C library in it.
        let inside = inside && (!args.thin || name == AGENT_SYSROOT);
        let (entry, tree) = provision.source(&project.images, name, inside)?;
        found.push((WhichLock::Images, entry, tree));
    }
    for kernel in &scenario.kernels {
        if kernel.source == KernelSource::Locked {
            let (entry, tree) = provision.source(&project.kernels, &kernel.name, !args.thin)?;
            found.push((WhichLock::Kernels, entry, tree));
        }
    }
    Ok(found)
}
