//! From a scenario's name and the command line to everything that a run needs.

use super::{
    accel, agent,
    args::{InputArgs, SelectArgs},
    choices::QemuChoice,
    context::Context,
    drive::{self, Drive},
    noise, share,
    ui::Ui,
};
use crate::{
    devices::Ready,
    error::{Error, Result},
    filesystem,
    host::hygiene::{self, Hygiene},
    image,
    lock::WhenGone,
    plan::{self, Plan},
    provision::{HostFio, Provisioned},
    scenario::{self, ChosenDevice, Clock, Scenario},
    store::FetchProgress,
    vm::{Spec, Vmm, share::Share},
    vocabulary::KernelVersion,
};
use std::{
    cell::{OnceCell, RefCell},
    path::PathBuf,
};

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
    /// What of the host disturbs the figures, by the wall clock.
    pub hygiene: Option<Hygiene>,
    /// The host's drive that the cells run on, if they do: nobody else has it as long as this lives.
    pub lease: Option<Ready>,
    /// Directories that the guests share with the host.
    pub shares: Vec<Share>,
}

/// Fetches and builds it.
///
/// `check` is asked about the scenario before anything is downloaded or tried.
///
/// # Errors
/// When the scenario makes no sense, `check` refuses it, or something that every cell needs cannot be
/// had.
pub fn prepare(
    context: &Context,
    select: &SelectArgs,
    inputs: &InputArgs,
    check: impl Fn(&Scenario) -> Result<()>,
    ui: &Ui,
) -> Result<Prepared> {
    let seen = noise::look(select.drive.device.as_ref(), context.store.root());
    let tell = |text: &str| ui.line(text);
    let known = context.project()?.kernel_names();
    drive::recover(&context.store, &tell);
    // What guests have of memory does not depend on what a drive of the host's turns out to be.
    let memory_mib = match drive::named(&select.drive) {
        Some(device) => load(context, select, inputs, &known, Some(device), ui)?.most_memory_mib(),
        None => 0,
    };
    let drive = drive::take(&select.drive, u64::from(memory_mib) << 20, &tell)?;
    let scenario = load(
        context,
        select,
        inputs,
        &known,
        drive.as_ref().map(Drive::chosen),
        ui,
    )?;
    check(&scenario)?;
    let shares = share::resolve(&select.share.shares, select.artifacts, &scenario, &tell)?;
    let mut prepared = prepare_scenario(context, scenario, inputs, drive, shares, ui)?;
    if prepared.plan.scenario.clock == Clock::Wall {
        prepared.notes.extend(hygiene::warnings(&seen));
        prepared.hygiene = Some(seen);
    }
    Ok(prepared)
}

/// The same for a scenario that is resolved already.
///
/// # Errors
/// When something that every cell needs cannot be had.
pub fn prepare_scenario(
    context: &Context,
    scenario: Scenario,
    inputs: &InputArgs,
    drive: Option<Drive>,
    shares: Vec<Share>,
    ui: &Ui,
) -> Result<Prepared> {
    let project = context.project()?;
    let when_gone = WhenGone::locked(inputs.locked);
    let downloads = ui.downloads();
    let tell = |text: &str| ui.line(text);
    let agent = agent(context, inputs, &downloads, &tell)?;
    let provision = context.provision(&project, when_gone, &downloads, &tell);
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
    } = provision.scenario(&scenario, &qemu, &agent, &shares)?;
    if let Some(drive) = &drive {
        drive.attach(&mut kernels);
    }
    notes.extend(accel::decide(
        (inputs.accel, inputs.deadline),
        &vmm,
        &mut kernels,
        &tell,
    )?);
    let counts = match scenario.clock {
        Clock::Instructions => vmm.counts_with(&plugin).map(|()| Some(plugin)),
        // What counting costs is nothing to the instruction clock alone.
        Clock::Wall => Ok(None),
    };
    let plugin = match counts {
        Ok(plugin) => plugin,
        Err(why) => {
            notes.push(format!(
                "instructions are not counted, so the drive's share and the path length are \
                 unknown: {why}"
            ));
            None
        }
    };
    let oldest = plan::oldest(&kernels);
    let formatting = formatting(&scenario, oldest);
    let plan = Plan::new(scenario, kernels, vmm.record.clone());
    Ok(Prepared {
        plan,
        vmm,
        agent,
        plugin,
        notes,
        formatting,
        hygiene: None,
        lease: drive.map(Drive::into_lease),
        shares,
    })
}

/// The agent's executable: the one that is named, the one that the program carries, or the checkout's.
///
/// # Errors
/// When it cannot be built.
pub fn agent(
    context: &Context,
    inputs: &InputArgs,
    progress: &dyn FetchProgress,
    tell: &dyn Fn(&str),
) -> Result<PathBuf> {
    match &inputs.agent {
        Some(agent) => Ok(agent.clone()),
        None => agent::build(context, WhenGone::locked(inputs.locked), progress, tell),
    }
}

/// Refuses a scenario of a lane in which equal inputs do not give equal digits, for `what` needs them.
///
/// # Errors
/// When it is such a one.
pub fn needs_digits(scenario: &Scenario, what: &str) -> Result<()> {
    let lane = scenario.lane();
    if lane.is_exact() {
        return Ok(());
    }
    Err(Error::input(format!("{what}; this is the {lane}"))
        .hint("use device = \"model\" and clock = \"instructions\", the exact lane"))
}

fn load(
    context: &Context,
    select: &SelectArgs,
    inputs: &InputArgs,
    known: &[String],
    device: Option<ChosenDevice>,
    ui: &Ui,
) -> Result<Scenario> {
    let mut overrides = select.overrides();
    overrides.device = device.or(overrides.device);
    // Only a scenario with job files needs fio on this side.
    let (fio, failed) = (OnceCell::new(), RefCell::new(None));
    let refused = |jobs: &str| {
        let asked = || fio_here(context, inputs, ui);
        let fio = fio.get_or_init(|| asked().map_err(|error| failed.replace(Some(error))).ok());
        match fio.as_ref()?.refuses(jobs) {
            Ok(said) => said,
            Err(error) => {
                failed.replace(Some(error));
                None
            }
        }
    };
    let scenario = match select.fio.run(&select.only_filesystems) {
        Some(run) => scenario::load_fio(&run, known, &overrides, &refused),
        None => {
            let path = scenario::locate(&select.scenario, &context.root)?;
            scenario::load_checked(&path, known, &overrides, &refused)
        }
    }?;
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    check_cmdlines(&scenario)?;
    Ok(scenario)
}

/// Refuses words for the guests' kernels that are not a scenario's to say.
///
/// # Errors
/// The first of them.
pub fn check_cmdlines(scenario: &Scenario) -> Result<()> {
    for (variant, of) in scenario.all() {
        Spec::check_cmdline(of.clock, of.smp, &of.cmdline).map_err(|why| {
            let why = match variant {
                Some(variant) => format!("variant {}: {why}", variant.name),
                None => why,
            };
            Error::input(why).hint("remove words from [guest] cmdline or --cmdline")
        })?;
    }
    Ok(())
}

/// What file systems are formatted with: the scenario's, and a variant's where they are others.
pub fn formatting(scenario: &Scenario, oldest: KernelVersion) -> Vec<String> {
    let mut said = Vec::new();
    for (variant, of) in scenario.all() {
        for fs in &of.filesystems {
            let note = filesystem::note(&fs.name, fs.kind, &fs.mkfs, oldest);
            if !said.contains(&note) {
                said.push(match variant {
                    Some(variant) => format!("{}: {note}", variant.name),
                    None => note,
                });
            }
        }
    }
    said
}

/// The guest's fio, to be asked about job files before anything boots.
fn fio_here(context: &Context, inputs: &InputArgs, ui: &Ui) -> Result<HostFio> {
    let project = context.project()?;
    let (downloads, tell) = (ui.downloads(), |text: &str| ui.line(text));
    let provision = context.provision(&project, WhenGone::locked(inputs.locked), &downloads, &tell);
    provision.fio_here()
}
