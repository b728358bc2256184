//! `diorama replay`: an image's cells again, out of the image alone, held against its record.

use super::{
    args::{Cli, ReplayArgs},
    colors, explain,
    image_run::{complete, file_name, results_root, trusted, vmm},
    manifest, measuring, on_drive, print, print_text, push,
    replayed::{Compared, Selected},
    runtime,
    scratch::Scratch,
    signals,
    ui::{Drawing, Ui},
    width,
};
use crate::{
    bundle::{self, Container, Unpacked},
    clock,
    error::{Error, Exit, Result},
    plan::{Plan, PreparedKernel},
    record::{Measured, Outcome, Results, RunDir},
    report::{self, Report, Style},
    run::{self, CellCache, Consoles, Inside, Known, Options, Qemu, Recording, Session},
    store::Store,
    vm::{Deadlines, Vmm},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

/// What a checkpoint takes on the disk, about, in bytes: at most one for each row.
const CHECKPOINT: u64 = 200 << 20;

/// `diorama replay`
pub fn replay(cli: &Cli, args: &ReplayArgs) -> Result<Exit> {
    let began = Instant::now();
    let mut ui = Ui::new(Drawing::of_stderr(args.plain));
    let here = push::local(&cli.places, &args.image, args.offline, &ui)?;
    let scratch = Scratch::new(room(&Container::open(here.path())?))?;
    let store = scratch.store.clone().telling(ui.teller());
    let mut unpacked = Unpacked::new(here.path(), &store, &ui.transfers("checking and unpacking"))?;
    let seconds = |began: Instant| began.elapsed().as_secs_f64();
    ui.line(&format!(
        "{}: intact, unpacked in {:.1} s",
        args.image.display(),
        seconds(began)
    ));
    let selected = Selected::new(&args.cells, &unpacked.results)?;
    let confined = trusted(args)?;
    ui.line(&format!(
        "the image's programs are confined by {confined} ({})",
        confined.rung()
    ));
    if args.on.device.is_some() {
        return on_drive::measure(cli, args, unpacked, &scratch, ui);
    }
    let kernels = std::mem::take(&mut unpacked.kernels);
    let scenario = unpacked.results.scenario.clone();
    let kernels = complete(&mut unpacked, kernels, &scenario, args, &store, &ui)?;
    let Ready {
        plan,
        vmm,
        plugin,
        notes,
    } = ready(
        kernels,
        &unpacked.results,
        unpacked.vmm.as_deref(),
        unpacked.plugin,
        (args, &store),
    )?;
    let other = other_inputs(&plan, &unpacked.results, args)?;
    let known = known(&store, &plan, &unpacked.results, other.is_none())?;
    let plan = selected.only(plan);
    let slots = run::slots(args.jobs.map(Into::into), plan.scenario.most_memory_mib())?;

    let root = results_root(cli);
    let dir = RunDir::create(
        &root,
        &format!("{}-replay", plan.scenario.name),
        clock::now()?,
    )?;
    let dir = dir.describe(
        format!("diorama replay {}", file_name(&args.image)),
        unpacked.results.formatting.clone(),
    );
    manifest::write(&dir, &plan, store.root(), &slots, None, confined)?;
    let notes = notes
        .into_iter()
        .chain(other.clone())
        .chain(slots.note.clone())
        .chain(dir.not_latest().map(str::to_owned))
        .collect();
    let runtime = runtime()?;
    let executor = {
        let _entered = runtime.enter();
        let inside = Inside {
            vmm,
            plugin,
            agent: unpacked.manifest.agent.build_id.clone(),
        };
        let deadlines = plan.deadlines(Deadlines::default());
        Rc::new(Qemu {
            consoles: Some(Consoles::in_run(dir.path())),
            ..Qemu::new(inside, &store, deadlines)?
        })
    };
    let order = Recording {
        dir,
        known: Known::Verify,
        session: None,
        notes,
    };
    let local = tokio::task::LocalSet::new();
    let measuring = Instant::now();
    let plan = Rc::new(plan);
    let (finished, explained) = local.block_on(&runtime, async {
        let session = Session {
            plan: Rc::clone(&plan),
            executor,
            cache: CellCache::of(plan.scenario.lane(), store.clone()),
            options: Options {
                cpus: slots.cpus,
                checkpoints: true,
                expected_s: BTreeMap::new(),
            },
            stop: signals::listen()?,
        };
        let finished = session.record(order, &mut |event| ui.event(event)).await?;
        let explained = if args.explain && signals::exit(finished.stopped).is_none() {
            let wanted = explain::wanted(&finished.results, &session.plan);
            ui.line(&explain::announced(wanted.len()));
            Some(explain::explain_cells(&session, &wanted, &mut ui).await)
        } else {
            None
        };
        Ok::<_, Error>((finished, explained))
    })?;
    drop(local);
    signals::run_is_over();
    runtime.shutdown_background();
    let measured_in = seconds(measuring);
    drop(scratch);

    let compared = Compared::new(&selected, &finished, &known);
    print_text(&compared.lines(other.is_some()))?;
    if let Some(explained) = &explained {
        let style = Style {
            width: width(),
            color: colors(cli.color),
            chart: None,
            ..Style::default()
        };
        for why in &explained.whys {
            print(report::explanation_text(why, SHOWN, &style).as_bytes())?;
        }
        print_text(&explained.alarms())?;
        explained.write(&finished.dir.join(explain::DIR))?;
    }
    print_text(&format!("{}\n", compared.summary()))?;
    let style = Style {
        chart: Some("chart.svg".into()),
        ..Style::default()
    };
    measuring::write_reports(&Report::new(&finished.results), &style, &finished.dir)?;
    ui.line(&format!(
        "record: {} (report.md, results.json)",
        finished.dir.display()
    ));
    ui.line(&format!(
        "{measured_in:.1} s for measuring, {:.1} s in all",
        seconds(began)
    ));
    if let Some(exit) = signals::exit(finished.stopped) {
        return Ok(exit);
    }
    Ok(match (compared.exit(), explained) {
        // An alarm or a cell that was not profiled is no success.
        (Exit::Ok, Some(explained)) => explained.exit(),
        (exit, _) => exit,
    })
}

/// Functions that an explanation shows.
const SHOWN: usize = 20;

/// What all of it takes in the scratch directory.
fn room(container: &Container) -> u64 {
    let parts = container.manifest.parts.iter().map(|part| part.size);
    let kernels = &container.manifest.kernels;
    // Rows of one kernel share most of it.
    let made: BTreeMap<String, u64> = kernels
        .iter()
        .map(|kernel| match &kernel.boots {
            bundle::Boots::Packed(machine) => {
                let sizes = machine.recipes().map(|recipe| recipe.size);
                (machine.initramfs.sha256.to_string(), sizes.sum())
            }
            // Packages, their trees, and what is made of them.
            bundle::Boots::Locked => (kernel.name.clone(), 512 << 20),
            bundle::Boots::Unusable(_) => (kernel.name.clone(), 0),
        })
        .collect();
    parts.sum::<u64>() + made.values().sum::<u64>() + kernels.len() as u64 * CHECKPOINT
}

/// What the cells are measured with.
struct Ready {
    plan: Plan,
    vmm: Vmm,
    plugin: Option<PathBuf>,
    notes: Vec<String>,
}

fn ready(
    kernels: Vec<PreparedKernel>,
    results: &Results,
    tree: Option<&Path>,
    plugin: Option<PathBuf>,
    (args, store): (&ReplayArgs, &Store),
) -> Result<Ready> {
    let mut notes = Vec::new();
    let mut vmm = vmm(args, tree, store)?;
    let counts = match &plugin {
        Some(plugin) => vmm.counts_with(plugin),
        None => Ok(()),
    };
    let plugin = match counts {
        Ok(()) => plugin,
        Err(why) => {
            notes.push(format!("instructions are not counted: {why}"));
            None
        }
    };
    let plan = Plan::new(results.scenario.clone(), kernels, vmm.record.clone());
    Ok(Ready {
        plan,
        vmm,
        plugin,
        notes,
    })
}

/// Refuses an image whose parts do not give the record's input digests; with another QEMU, whose
/// digests are others, that it is one.
fn other_inputs(plan: &Plan, results: &Results, args: &ReplayArgs) -> Result<Option<String>> {
    let differs = bundle::same_inputs(results, plan).err();
    match (differs, &args.qemu) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Ok(Some(format!(
            "ANOTHER QEMU: {}; the record's cells were measured with {}",
            plan.vmm.version, results.vmm.version
        ))),
        (Some(error), None) => Err(Error::fetch(format!(
            "the image's parts do not give the inputs of its record (run {})",
            results.run_id
        ))
        .because(error)
        .hint(format!(
            "replay it with diorama {}, which measured it, or get the file again",
            results.diorama
        ))),
    }
}

/// What the record says of the cells; of the very same inputs put where a measurement's is compared with,
/// for there a difference is an alarm.
fn known(
    store: &Store,
    plan: &Plan,
    results: &Results,
    same_inputs: bool,
) -> Result<BTreeMap<String, Measured>> {
    let mut known = BTreeMap::new();
    let cache = CellCache::of(plan.scenario.lane(), store.clone()).filter(|_| same_inputs);
    for ((_, cell), recorded) in plan.cells().zip(&results.cells) {
        let (Outcome::Measured(measured), Some(inputs)) = (&recorded.outcome, cell.inputs) else {
            continue;
        };
        if let Some(cache) = &cache {
            cache.put(&inputs, measured)?;
        }
        known.insert(recorded.key.to_string(), (**measured).clone());
    }
    Ok(known)
}
