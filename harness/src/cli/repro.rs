//! `diorama repro`, `run`, `plan`, `fetch`: from a scenario to files, a plan, a run, a report.

use super::{
    agent,
    args::{Cli, FetchArgs, InputArgs, MeasureArgs, Places, PlanArgs, QemuChoice, SelectArgs},
    colors,
    context::Context,
    print, print_json, replay, signals,
    ui::{Drawing, Ui},
    width,
};
use crate::{
    compare::Reproduction,
    error::{Error, Exit, Result},
    host::facts::HostFacts,
    lock::WhenGone,
    plan::{self, Plan},
    provision::{Provision, Provisioned},
    record::{Outcome, Results, RunDir},
    report::{self, Format, Report, Style},
    run::{self, CellCache, Consoles, Event, Finished, Known, Options, Qemu, Slots, Stop},
    scenario::{self, Lane, Scenario, features::features_note},
    vm::{Deadlines, Vmm, vsock::Vsock},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    env,
    io::{self, IsTerminal as _},
    path::Path,
    rc::Rc,
    time::Duration,
};

/// Whether a run ends with a comparison and a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// `diorama repro`
    Yes,
    /// `diorama run`
    No,
}

/// Checkpoints are a cache: the ones used longest ago go first. 24 kernels' worth, in bytes.
const CHECKPOINT_BYTES: u64 = 4 << 30;

/// Files of a report in the run directory, besides results.json.
const REPORTS: [(Format, &str); 6] = [
    (Format::Markdown, "report.md"),
    (Format::Org, "report.org"),
    (Format::Csv, "report.csv"),
    (Format::Junit, "junit.xml"),
    (Format::Svg, "chart.svg"),
    (Format::Png, "chart.png"),
];

/// Measures a scenario, and judges it if asked to.
pub fn repro(cli: &Cli, select: &SelectArgs, measure: &MeasureArgs, judge: Judge) -> Result<Exit> {
    let context = Context::new(&cli.places, measure.inputs.offline)?;
    let mut ui = Ui::new(drawing(measure.plain));
    let prepared = prepare(&context, select, &measure.inputs, &ui)?;
    let Prepared {
        plan,
        vmm,
        agent,
        notes,
        formatting,
    } = prepared;
    let slots = run::slots(measure.jobs.map(Into::into), plan.scenario.memory_mib)?;
    let notes = notes
        .into_iter()
        .chain(slots.note.clone())
        .chain(plan.caution())
        .collect();
    say_settled(&ui, &plan);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::host("starting the async runtime").because(e))?;
    let results_root = context.results();
    let dir = RunDir::create(&results_root, &plan.scenario.name, jiff::Timestamp::now())?
        .describe(replay::command(select, &measure.inputs), formatting);
    write_manifest(&dir, &plan, &context, &slots)?;
    let known = match (measure.fresh, measure.verify) {
        (true, _) => Known::Replace,
        (_, true) => Known::Verify,
        _ => Known::Use,
    };
    let executor = Qemu {
        vmm,
        agent,
        store: context.store.clone(),
        vsock: Vsock::open(None)?,
        deadlines: measure.deadline.map_or_else(Deadlines::default, |s| {
            Deadlines::all(Duration::from_secs(s.get().into()))
        }),
        // A fresh run stands on fresh checkpoints; else it would verify only half of itself.
        fresh_checkpoints: known == Known::Replace,
        consoles: Some(Consoles::in_run(dir.path())),
    };
    let local = tokio::task::LocalSet::new();
    let finished = local.block_on(
        &runtime,
        execute(
            &context,
            plan,
            (executor, known),
            dir,
            notes,
            measure,
            &slots,
            &mut ui,
        ),
    )?;
    drop(local);
    signals::run_is_over();
    // Blocking work of guests that were ended may still run; nobody waits for it.
    runtime.shutdown_background();
    let shrunk = context.store.shrink(run::CHECKPOINTS, CHECKPOINT_BYTES);
    if let Err(error) = shrunk {
        ui.line(&format!(
            "note: old checkpoints could not be removed: {}",
            error.render()
        ));
    }
    conclude(cli, measure, judge, &ui, &finished)
}

/// Cells that cannot run are known before any boot: said at once, and why, with the option's name.
fn say_settled(ui: &Ui, plan: &Plan) {
    let mut said = Vec::new();
    for (kernel, cell) in plan.cells() {
        let Some(outcome) = &cell.settled else {
            continue;
        };
        let why = format!(
            "{}: {}: {}",
            kernel.record.name,
            outcome.word(),
            outcome.why()
        );
        if !said.contains(&why) {
            ui.line(&why);
            said.push(why);
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "one call site")]
async fn execute(
    context: &Context,
    plan: Plan,
    (executor, known): (Qemu, Known),
    dir: RunDir,
    notes: Vec<String>,
    measure: &MeasureArgs,
    slots: &Slots,
    ui: &mut Ui,
) -> Result<Finished> {
    let stop = signals::listen()?;
    let timings = context.store.root().join("timings.json");
    let options = Options {
        cpus: slots.cpus.clone(),
        checkpoints: !measure.inputs.no_checkpoint,
        expected_s: read_timings(&timings),
    };
    let plan = Rc::new(plan);
    let cache = CellCache::new(context.store.clone());
    let fail_fast = !measure.keep_going;
    let stopper = stop.clone();
    let mut listen = |event: &Event| {
        ui.event(event);
        if let Event::CellFinished { result } = event
            && fail_fast
            && !matches!(
                result.outcome,
                Outcome::Measured(_) | Outcome::NotRun { .. }
            )
        {
            Stop::Soon("a cell was not measured (--fail-fast)").raise(&stopper);
        }
    };
    let finished = run::perform(
        plan,
        Rc::new(executor),
        &cache,
        known,
        &options,
        dir,
        notes,
        &stop,
        &mut listen,
    )
    .await?;
    let mut took = options.expected_s;
    took.append(&mut ui.took_s);
    write_timings(&timings, &took);
    Ok(finished)
}

/// Writes the reports, prints what was asked for, and finds the exit code.
fn conclude(
    cli: &Cli,
    measure: &MeasureArgs,
    judge: Judge,
    ui: &Ui,
    finished: &Finished,
) -> Result<Exit> {
    let results = &finished.results;
    let report = Report::new(results);
    let style = Style {
        chart: Some("chart.svg".into()),
        ..Style::default()
    };
    // What was measured is shown also where its reports cannot be written.
    let written = write_reports(&report, &style, &finished.dir);
    if measure.json {
        print_json(results)?;
    } else if judge == Judge::Yes {
        let style = Style {
            width: width(),
            color: colors(cli.color),
            chart: None,
        };
        print(&report::render(&report, Format::Terminal, &style)?)?;
    }
    if let Some(verification) = &finished.verification {
        ui.line(&format!("verify: {}", verification.summary()));
        for (cell, differences) in &verification.different {
            ui.line(&format!("  {cell}: {}", differences.join("; ")));
        }
    }
    written.map_err(|e| e.while_(format!("writing the reports of run {}", results.run_id)))?;
    ui.line(&format!(
        "record: {} (report.md, chart.svg, chart.png, results.json)",
        finished.dir.display()
    ));
    let exit = exit(judge, &report, finished);
    if exit == Exit::Incomplete {
        ui.line("next: see why in report.md; `--only-kernel` and `--workload` repeat a part");
    }
    if signals::exit(finished.stopped).is_some() {
        ui.line("next: run the same command again: what was measured is not measured twice");
    }
    Ok(exit)
}

fn write_reports(report: &Report, style: &Style, dir: &Path) -> Result<()> {
    for (format, name) in REPORTS {
        let bytes = report::render(report, format, style)?;
        crate::record::write_atomically(&dir.join(name), &bytes)?;
    }
    Ok(())
}

fn exit(judge: Judge, report: &Report, finished: &Finished) -> Exit {
    if let Some(exit) = signals::exit(finished.stopped) {
        return exit;
    }
    if finished
        .verification
        .as_ref()
        .is_some_and(|v| !v.different.is_empty())
    {
        return Exit::NotReproduced;
    }
    if finished
        .results
        .cells
        .iter()
        .any(|c| c.outcome.measured().is_none())
    {
        return Exit::Incomplete;
    }
    match (judge, &report.reproduction) {
        (Judge::No, _) | (_, None | Some(Reproduction::Reproduced)) => Exit::Ok,
        (_, Some(_)) => Exit::NotReproduced,
    }
}

struct Prepared {
    plan: Plan,
    vmm: Vmm,
    agent: Option<String>,
    notes: Vec<String>,
    /// What file systems are formatted with, and why: the same for every kernel of the run.
    formatting: Vec<String>,
}

fn prepare(
    context: &Context,
    select: &SelectArgs,
    inputs: &InputArgs,
    ui: &Ui,
) -> Result<Prepared> {
    let project = context.project()?;
    let scenario = load(context, select, &project.kernel_names())?;
    let when_gone = if inputs.locked {
        WhenGone::Fail
    } else {
        WhenGone::Reresolve
    };
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
    let Provisioned {
        vmm,
        agent,
        kernels,
        notes,
    } = provision.scenario(&scenario, &qemu, &agent)?;
    let oldest = plan::oldest(&kernels);
    let filesystems = scenario.filesystems.iter();
    let formatting = filesystems.map(|fs| features_note(fs, oldest)).collect();
    let plan = Plan::new(scenario, kernels, vmm.record.clone());
    Ok(Prepared {
        plan,
        vmm,
        agent,
        notes,
        formatting,
    })
}

fn load(context: &Context, select: &SelectArgs, known: &[String]) -> Result<Scenario> {
    let path = scenario::locate(&select.scenario, &context.root)?;
    scenario::load(&path, known, &select.overrides())
}

/// Downloads what a scenario needs.
pub fn fetch(places: &Places, args: &FetchArgs) -> Result<Exit> {
    let context = Context::new(places, false)?;
    let ui = Ui::new(drawing(args.plain));
    let project = context.project()?;
    let path = scenario::locate(&args.scenario, &context.root)?;
    let scenario = scenario::load(
        &path,
        &project.kernel_names(),
        &scenario::Overrides::default(),
    )?;
    let downloads = ui.downloads();
    let tell = |text: &str| ui.line(text);
    let provision = Provision {
        project: &project,
        store: &context.store,
        sources: &context.sources,
        when_gone: if args.locked {
            WhenGone::Fail
        } else {
            WhenGone::Reresolve
        },
        progress: &downloads,
        tell: &tell,
    };
    let notes = provision.fetch(&scenario)?;
    for note in notes {
        ui.line(&format!("note: {note}"));
    }
    ui.line(&format!(
        "everything that {} needs is in {} ({} MiB downloaded now)",
        scenario.name,
        context.store.root().display(),
        downloads.bytes() >> 20
    ));
    Ok(Exit::Ok)
}

/// Builds the agent and prints its path.
pub fn agent(places: &Places) -> Result<Exit> {
    let context = Context::new(places, false)?;
    let ui = Ui::new(drawing(false));
    let downloads = ui.downloads();
    let path = agent::build(&context, WhenGone::Reresolve, &downloads, &|text| {
        ui.line(text);
    })?;
    print(format!("{}\n", path.display()).as_bytes())?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct PlannedCell {
    cell: String,
    inputs: Option<crate::digest::Sha256>,
    state: &'static str,
    why: String,
}

/// Shows the plan.
pub fn plan(cli: &Cli, args: &PlanArgs) -> Result<Exit> {
    let context = Context::new(&cli.places, args.inputs.offline)?;
    let ui = Ui::new(Drawing::Plain);
    let Prepared {
        plan, vmm, notes, ..
    } = prepare(&context, &args.select, &args.inputs, &ui)?;
    let cache = CellCache::new(context.store.clone());
    let cells: Vec<PlannedCell> = plan
        .cells()
        .map(|(_, cell)| PlannedCell {
            cell: cell.key.to_string(),
            inputs: cell.inputs,
            state: match (
                &cell.settled,
                cell.inputs.and_then(|i| cache.get(&i).ok().flatten()),
            ) {
                (Some(outcome), _) => outcome.word(),
                (None, Some(_)) => "cached",
                (None, None) => "to measure",
            },
            why: cell.settled.as_ref().map_or(String::new(), Outcome::why),
        })
        .collect();
    if args.json {
        print_json(&cells)?;
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "{} ({})\nQEMU: {}\n",
        plan.scenario.title, plan.scenario.lane, vmm.record.version
    );
    for kernel in &plan.kernels {
        text.push_str(&format!(
            "kernel {}: {}\n",
            kernel.record.name, kernel.record.origin
        ));
    }
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    for cell in &cells {
        let inputs = cell.inputs.map_or("-".repeat(12), |i| i.short());
        text.push_str(&format!("{inputs}  {:<10}  {}", cell.state, cell.cell));
        if !cell.why.is_empty() {
            text.push_str(&format!(": {}", cell.why));
        }
        text.push('\n');
    }
    print(text.as_bytes())?;
    Ok(Exit::Ok)
}

/// manifest.json: what a reader needs to judge the run besides its figures.
#[derive(Serialize)]
struct Manifest<'a> {
    schema: u32,
    run_id: &'a str,
    diorama: &'a str,
    lane: Lane,
    lane_words: String,
    command: Vec<String>,
    host: HostFacts,
    vmm: &'a crate::record::VmmRecord,
    cpus: &'a [usize],
    kernels: Vec<ManifestKernel<'a>>,
    cells: BTreeMap<String, Option<crate::digest::Sha256>>,
}

#[derive(Serialize)]
struct ManifestKernel<'a> {
    record: &'a crate::record::KernelRecord,
    checkpoint: Option<crate::digest::Sha256>,
    machine: Option<crate::vm::Identity>,
}

fn write_manifest(dir: &RunDir, plan: &Plan, context: &Context, slots: &Slots) -> Result<()> {
    let manifest = Manifest {
        schema: crate::record::SCHEMA,
        run_id: dir.run_id(),
        diorama: env!("CARGO_PKG_VERSION"),
        lane: plan.scenario.lane,
        lane_words: plan.scenario.lane.to_string(),
        command: env::args().collect(),
        host: HostFacts::probe(&[("cache", context.store.root()), ("results", dir.path())]),
        vmm: &plan.vmm,
        cpus: &slots.cpus,
        kernels: plan
            .kernels
            .iter()
            .map(|k| ManifestKernel {
                record: &k.record,
                checkpoint: k.machine.as_ref().map(|m| m.checkpoint),
                machine: k.machine.as_ref().map(|m| m.spec.identity()),
            })
            .collect(),
        cells: plan
            .cells()
            .map(|(_, c)| (c.key.to_string(), c.inputs))
            .collect(),
    };
    dir.write_json("manifest.json", &manifest).map(drop)
}

fn drawing(plain: bool) -> Drawing {
    Drawing::choose(
        io::stderr().is_terminal(),
        env::var_os("CI").is_some(),
        plain,
    )
}

/// How long guests took last time; a hint for the progress display and nothing else.
fn read_timings(path: &Path) -> BTreeMap<String, f64> {
    std::fs::read(path)
        .ok()
        .and_then(|t| serde_json::from_slice(&t).ok())
        .unwrap_or_default()
}

fn write_timings(path: &Path, timings: &BTreeMap<String, f64>) {
    if let Ok(json) = serde_json::to_vec(timings) {
        let _ = crate::record::write_atomically(path, &json);
    }
}

/// Reads one run or several, for the verbs that only look.
pub fn read_runs(root: &Path, runs: &[String]) -> Result<Vec<Results>> {
    runs.iter()
        .map(|run| crate::record::open(root, run).map(|(_, results)| results))
        .collect()
}
