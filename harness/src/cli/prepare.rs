//! From a scenario's name and the command line to everything that a run needs.

use super::{
    accel, agent,
    args::{InputArgs, QemuChoice, SelectArgs},
    context::Context,
    ui::Ui,
};
use crate::{
    error::{Error, Result},
    image,
    lock::WhenGone,
    plan::{self, Plan},
    provision::{Provision, Provisioned},
    scenario::{self, Scenario, features::features_note},
    vm::{Spec, Vmm},
};
use std::path::PathBuf;

/// Everything that a run needs, on this machine.
pub struct Prepared {
    /// The cells.
    pub plan: Plan,
    /// QEMU.
    pub vmm: Vmm,
    /// The agent's build id, if it has one.
    pub agent: Option<String>,
    /// The plugin that counts instructions; none where this QEMU takes none.
    pub plugin: Option<PathBuf>,
    /// What a reader of the results must know.
    pub notes: Vec<String>,
    /// What file systems are formatted with, and why: the same for every kernel of the run.
    pub formatting: Vec<String>,
}

/// Fetches and builds it.
///
/// # Errors
/// When the scenario makes no sense, or something that every cell needs cannot be had.
pub fn prepare(
    context: &Context,
    select: &SelectArgs,
    inputs: &InputArgs,
    ui: &Ui,
) -> Result<Prepared> {
    let scenario = load(context, select, &context.project()?.kernel_names())?;
    prepare_scenario(context, scenario, inputs, ui)
}

/// The same for a scenario that is resolved already.
///
/// # Errors
/// When something that every cell needs cannot be had.
pub fn prepare_scenario(
    context: &Context,
    scenario: Scenario,
    inputs: &InputArgs,
    ui: &Ui,
) -> Result<Prepared> {
    let project = context.project()?;
    let when_gone = WhenGone::locked(inputs.locked);
    let downloads = ui.downloads();
    let tell = |text: &str| ui.line(text);
    let agent = match &inputs.agent {
        Some(agent) => agent.clone(),
        None => agent::build(context, when_gone, &downloads, &tell)?,
    };
    let provision = Provision {
        project: &project,
        store: &context.store,
        sources: &context.sources,
        when_gone,
        progress: &downloads,
        tell: &tell,
    };
    let qemu = match &inputs.qemu {
        QemuChoice::Lock => "lock".to_owned(),
        QemuChoice::System => "system".to_owned(),
        QemuChoice::Path(path) => path.display().to_string(),
    };
    let plugin = agent.with_file_name(image::sysroot::PLUGIN);
    let Provisioned {
        mut vmm,
        agent,
        mut kernels,
        mut notes,
    } = provision.scenario(&scenario, &qemu, &agent)?;
    notes.extend(accel::decide(inputs.accel, &vmm, &mut kernels, &tell)?);
    let plugin = match vmm.counts_with(&plugin) {
        // What it costs is nothing to the instruction clock alone.
        _ if scenario.clock == scenario::Clock::Wall => None,
        Ok(()) => Some(plugin),
        Err(why) => {
            notes.push(format!(
                "instructions are not counted, so the drive's share and the path length are \
                 unknown: {why}"
            ));
            None
        }
    };
    let oldest = plan::oldest(&kernels);
    let filesystems = scenario.filesystems.iter();
    let formatting = filesystems.map(|fs| features_note(fs, oldest)).collect();
    let plan = Plan::new(scenario, kernels, vmm.record.clone());
    Ok(Prepared {
        plan,
        vmm,
        agent,
        plugin,
        notes,
        formatting,
    })
}

fn load(context: &Context, select: &SelectArgs, known: &[String]) -> Result<Scenario> {
    let path = scenario::locate(&select.scenario, &context.root)?;
    let scenario = scenario::load(&path, known, &select.overrides())?;
    Spec::check_cmdline(scenario.clock, scenario.smp, &scenario.cmdline)
        .map_err(|why| Error::input(why).hint("remove words from [guest] cmdline or --cmdline"))?;
    Ok(scenario)
}
