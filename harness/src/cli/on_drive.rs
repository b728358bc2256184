//! `diorama replay --device`: an image's jobs on a drive of this host's, out of the image alone, beside what
//! its record says of them.

use super::{
    accel,
    args::{Cli, DriveArgs, InputArgs, MeasureArgs, ReplayArgs},
    choices::{AccelChoice, DeviceWord, QemuChoice},
    colors,
    context::Context,
    drive::{self, Drive},
    image_run::{self, complete},
    measuring::{self, Judge, Place, Then},
    noise, prepare, print,
    replay_line::device_word,
    scratch::Scratch,
    ui::Ui,
    width,
};
use crate::{
    bundle::Unpacked,
    error::{Error, Exit, Result},
    host::hygiene,
    plan::{self, Plan},
    report::{self, Detail, Report, Style},
    run::Stop,
    scenario::{ChosenDevice, OnDrive, Scenario},
    text,
    units::show_nanos,
};

/// Measures them, and prints both lanes beside each other.
///
/// # Errors
/// When the jobs cannot run on the device, it must not be used, or nothing can be recorded.
pub fn measure(
    cli: &Cli,
    args: &ReplayArgs,
    mut unpacked: Unpacked,
    scratch: &Scratch,
    ui: Ui,
) -> Result<Exit> {
    let store = Context::store(&cli.places)?.telling(ui.teller());
    let device = args.on.device.as_ref();
    let seen = noise::look(device, store.root());
    let tell = |text: &str| ui.line(text);
    drive::recover(&store, &tell);
    let exact = unpacked.results.clone();
    let (scenario, drive) = chosen(args, &exact.scenario, &tell)?;
    let kernels = unpacked.on_drive(&scenario, &scratch.store)?;
    let mut kernels = complete(&mut unpacked, kernels, &scenario, args, &scratch.store, &ui)?;
    let vmm = image_run::vmm(args, unpacked.vmm.as_deref(), &scratch.store)?;
    if let Some(drive) = &drive {
        drive.attach(&mut kernels);
    }
    let measure = measure_args(args);
    let inputs = &measure.inputs;
    let mut notes = vec![format!(
        "measured out of the image of run {}, whose jobs these are",
        exact.run_id
    )];
    let choice = (inputs.accel, inputs.deadline);
    notes.extend(accel::decide(choice, &vmm, &mut kernels, &tell)?);
    notes.extend(hygiene::warnings(&seen));
    let formatting = prepare::formatting(&scenario, plan::oldest(&kernels));
    let prepared = prepare::Prepared {
        plan: Plan::new(scenario, kernels, vmm.record.clone()),
        vmm,
        agent: unpacked.manifest.agent.build_id.clone(),
        // By the wall clock nothing is counted.
        plugin: None,
        notes,
        formatting,
        hygiene: Some(seen),
        lease: drive.map(Drive::into_lease),
        shares: Vec::new(),
    };
    let place = Place {
        store: &store,
        inputs: &scratch.store,
        results: &image_run::results_root(cli),
        device,
        replay: command(args),
    };
    let judge = Judge::Yes(Detail::Brief);
    let (exit, finished) = measuring::run(cli, prepared, place, &measure, (judge, Then::End), ui)?;
    if finished.stopped == Stop::No {
        let style = Style {
            width: width(),
            color: colors(cli.color),
            chart: None,
            ..Style::default()
        };
        let both = Report::of_runs(&exact, &[&finished.results]);
        print(report::both_lanes(&both, &style).as_bytes())?;
    }
    Ok(exit)
}

/// The scenario on the device that the command line names, and the drive, if it is one of the host's.
fn chosen(
    args: &ReplayArgs,
    exact: &Scenario,
    tell: &dyn Fn(&str),
) -> Result<(Scenario, Option<Drive>)> {
    let on = &args.on;
    let scenario = |device: ChosenDevice| {
        let chosen = OnDrive {
            device,
            blocks: on.blocks,
            seed: on.seed,
            runtime_ns: on.runtime,
            repetitions: on.repetitions,
        };
        exact.on_drive(&chosen).map_err(|why| {
            let named = on.device.as_ref().map(ToString::to_string);
            Error::input(format!(
                "the image's jobs cannot be measured on {}",
                named.unwrap_or_default()
            ))
            .because(why)
            .hint("omit --device to replay them as they were measured")
        })
    };
    let as_drive = DriveArgs {
        device: on.device.clone(),
        erase: on.erase.clone(),
    };
    // What guests have of memory does not depend on what a drive of the host's turns out to be.
    let memory_mib = match drive::named(&as_drive) {
        Some(device) => scenario(device)?.most_memory_mib(),
        None => 0,
    };
    let drive = drive::take(&as_drive, u64::from(memory_mib) << 20, tell)?;
    let device = match (&drive, &on.device) {
        (Some(drive), _) => drive.chosen(),
        (None, Some(DeviceWord::Model)) => ChosenDevice::Model,
        (None, _) => ChosenDevice::Nvme,
    };
    let scenario = scenario(device)?;
    prepare::check_cmdlines(&scenario)?;
    Ok((scenario, drive))
}

/// How a run from a checkout would be told to measure so.
fn measure_args(args: &ReplayArgs) -> MeasureArgs {
    MeasureArgs {
        fresh: false,
        verify: false,
        jobs: None,
        keep_going: true,
        plain: args.plain,
        json: false,
        inputs: InputArgs {
            locked: false,
            offline: args.offline,
            qemu: args.qemu.clone().unwrap_or(QemuChoice::Lock),
            accel: args.on.accel.unwrap_or(AccelChoice::Auto),
            no_checkpoint: false,
            agent: None,
            deadline: args.deadline,
        },
    }
}

/// The command that measures them again, elsewhere, too.
fn command(args: &ReplayArgs) -> String {
    let on = &args.on;
    let mut words = vec![
        "diorama".to_owned(),
        "replay".to_owned(),
        image_run::file_name(&args.image),
    ];
    let mut add = |option: &str, value: Option<String>| {
        words.extend(
            value
                .into_iter()
                .flat_map(|value| [option.to_owned(), value]),
        );
    };
    // Never --erase: whoever runs it again says so again.
    add("--device", on.device.as_ref().map(device_word));
    add("--blocks", on.blocks.map(|n| n.to_string()));
    add("--seed", on.seed.map(|n| n.to_string()));
    add("--runtime", on.runtime.map(show_nanos));
    add("--repetitions", on.repetitions.map(|n| n.to_string()));
    let accel = on.accel.filter(|accel| *accel != AccelChoice::Auto);
    add("--accel", accel.map(|accel| accel.name().to_owned()));
    let quoted: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
    quoted.join(" ")
}
