//! A run, from what is ready for it to its reports and its exit code.

use super::{
    agreement,
    args::{Cli, MeasureArgs},
    choices::DeviceWord,
    colors,
    control::{self, Control},
    drive::{self, Held},
    explain::{self, Explained},
    manifest, noise,
    prepare::Prepared,
    print, print_json, runtime, session, share, signals, timings,
    ui::Ui,
    width,
};
use crate::{
    clock,
    compare::{Reproduction, agreement::UserInstructions},
    error::{Error, Exit, Result},
    files::write_atomically,
    plan::Plan,
    record::{Outcome, RunDir},
    report::{self, Detail, Format, Report, Style},
    run::{
        self, Artifacts, CellCache, Consoles, Event, Finished, Inside, Known, Options, Qemu,
        Recording, Session, Stop, StopReason, Verification,
    },
    scenario::{Clock, Scenario, SessionSpec},
    store::Store,
    vm::{Deadlines, confine},
};
use std::{num::NonZeroUsize, path::Path, rc::Rc, time::Duration};
use tokio::sync::watch;

/// Whether a run ends with a comparison and a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// `diorama repro`, which shows so much of the report.
    Yes(Detail),
    /// `diorama run`
    No,
    /// Whoever asked for the run judges it, and prints what there is to print.
    Elsewhere,
}

/// What a run is followed by, with the same guests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// Nothing.
    End,
    /// Cells that differ from their baseline are profiled.
    Explain,
    /// The baseline is measured against itself throttled.
    Calibrate(Control),
    /// Every engine's user-space instructions are counted.
    CountUser,
}

/// What was found after a run.
#[derive(Default)]
struct After {
    explained: Option<Explained>,
    user: Option<UserInstructions>,
    /// A calibration's second run.
    calibrated: Option<Finished>,
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

/// Where a run is measured, and what repeats it.
pub struct Place<'a> {
    /// The cache.
    pub store: &'a Store,
    /// What the guests' kernels are in.
    pub inputs: &'a Store,
    /// Where runs are recorded.
    pub results: &'a Path,
    /// The drive that was chosen, if one was.
    pub device: Option<&'a DeviceWord>,
    /// The command that gives its digits again.
    pub replay: String,
}

/// Measures, reports and judges.
///
/// # Errors
/// When nothing can be recorded, or a drive of the host's is not given back.
pub fn run(
    cli: &Cli,
    prepared: Prepared,
    place: Place<'_>,
    measure: &MeasureArgs,
    (judge, then): (Judge, Then),
    mut ui: Ui,
) -> Result<(Exit, Finished)> {
    let Prepared {
        plan,
        vmm,
        agent,
        plugin,
        notes,
        formatting,
        hygiene: before,
        lease,
        shares,
    } = prepared;
    let Place {
        store,
        inputs,
        results: results_root,
        device,
        replay,
    } = place;
    let asked = plan.scenario.session;
    let plan = match then {
        Then::Calibrate(control) => control.first(&plan),
        _ => plan,
    };
    let usual = Deadlines::default();
    let (deadlines, cost) = match measure.inputs.deadline {
        Some(seconds) => {
            let deadlines = Deadlines::all(Duration::from_secs(seconds.get().into()));
            (deadlines, plan.slow(deadlines.phase))
        }
        None => (plan.deadlines(usual), plan.long(usual.phase)),
    };
    let slots = run::slots(
        jobs(measure, &plan.scenario),
        plan.scenario.most_memory_mib(),
    )?;
    let notes = notes
        .into_iter()
        .chain(slots.note.clone())
        .chain(plan.cautions())
        .chain(cost)
        .collect();
    say_settled(&ui, &plan);
    let runtime = runtime()?;
    let dir = |name: &str| {
        let dir = RunDir::create(results_root, name, clock::now()?)?;
        Ok::<_, Error>(dir.describe(replay.clone(), formatting.clone()))
    };
    let calibration = format!("{}-calibration", plan.scenario.name);
    let second = || dir(&calibration);
    let dir = match then {
        Then::Calibrate(_) => dir(&format!("{}-pilot", plan.scenario.name))?,
        _ => dir(&plan.scenario.name)?,
    };
    let mut notes: Vec<String> = notes;
    notes.extend(dir.not_latest().map(str::to_owned));
    notes.extend(share::confinement(&runtime, &shares, dir.path())?);
    let confined = confine::possible()?;
    notes.extend(confined.warning());
    manifest::write(&dir, &plan, store.root(), &slots, before.as_ref(), confined)?;
    let known = match (measure.fresh, measure.verify) {
        (true, _) => Known::Replace,
        (_, true) => Known::Verify,
        _ => Known::Use,
    };
    let executor = {
        let _entered = runtime.enter();
        let inside = Inside { vmm, plugin, agent };
        Rc::new(Qemu {
            // A fresh run stands on fresh checkpoints; else it would verify only half of itself.
            fresh_checkpoints: known == Known::Replace,
            consoles: Some(Consoles::in_run(dir.path())),
            artifacts: Some(Artifacts::in_run(dir.path())),
            ..Qemu::new(inside, inputs, deadlines)?
        })
    };
    let took = timings::read(store.root());
    let begun = session::begin(&plan, results_root, dir.run_id(), measure.fresh, &took);
    let (session, said) = begun.unzip();
    notes.extend(said);
    let order = Recording {
        dir,
        known,
        session,
        notes,
    };
    // As late as possible, and before anything that has a guest: what is declared later is dropped
    // earlier, also when a panic unwinds.
    let held = lease.map(|lease| drive::hold(lease, store)).transpose()?;
    let local = tokio::task::LocalSet::new();
    let executed = local.block_on(
        &runtime,
        execute(
            store,
            Rc::new(plan),
            executor,
            order,
            (measure, slots.cpus),
            (then, asked, &second),
            &mut ui,
        ),
    );
    // The last guest ends with it.
    drop(local);
    signals::run_is_over();
    // Blocking work of guests that were ended may still run; nobody waits for it.
    runtime.shutdown_background();
    // Whatever became of the run; what was measured is shown even where this fails.
    let given_back = held.map_or(Ok(()), Held::give_back);
    let (finished, after) = match (executed, &given_back) {
        (Err(error), Err(other)) => {
            ui.line(&other.render());
            return Err(error);
        }
        (executed, _) => executed?,
    };
    store.release();
    let shrunk = store.shrink(run::CHECKPOINTS, CHECKPOINT_BYTES);
    if let Err(error) = shrunk {
        ui.line(&format!(
            "note: old checkpoints could not be removed: {}",
            error.render()
        ));
    }
    let (mut finished, after) = match after.calibrated {
        // The pilot is a means.
        Some(calibrated) => (calibrated, After::default()),
        None => (finished, after),
    };
    // A controller that vfio-pci has cannot be asked before it is given back.
    if let (Some(before), Ok(())) = (&before, &given_back) {
        finished.note(noise::during(before, device, store.root()))?;
    }
    let mut exit = conclude(cli, measure, judge, &ui, &finished, after)?;
    if let (Then::Calibrate(control), Stop::No) = (then, finished.stopped) {
        let found = control::show(&finished.results, control)?;
        exit = if exit == Exit::Ok { found } else { exit };
    }
    given_back?;
    Ok((exit, finished))
}

/// How many guests run at once, if that is not for the host to say. By the wall clock one guest is
/// another's noise.
fn jobs(measure: &MeasureArgs, scenario: &Scenario) -> Option<usize> {
    let one = (scenario.clock == Clock::Wall).then_some(1);
    measure.jobs.map(NonZeroUsize::get).or(one)
}

/// Cells that cannot run are known before any boot: said at once, and why, with the option's name.
fn say_settled(ui: &Ui, plan: &Plan) {
    let mut said = Vec::new();
    for (kernel, cell) in plan.cells() {
        let Some(outcome) = &cell.settled else {
            continue;
        };
        let why = format!("{}: {}: {}", kernel.subject, outcome.word(), outcome.why());
        if !said.contains(&why) {
            ui.line(&why);
            said.push(why);
        }
    }
}

/// Measures into the run directory, and does what follows with the same session.
async fn execute(
    store: &Store,
    plan: Rc<Plan>,
    executor: Rc<Qemu>,
    order: Recording,
    (measure, cpus): (&MeasureArgs, Vec<usize>),
    (then, asked, dir): (Then, Option<SessionSpec>, &dyn Fn() -> Result<RunDir>),
    ui: &mut Ui,
) -> Result<(Finished, After)> {
    let session = Session {
        cache: CellCache::of(plan.scenario.lane(), store.clone()),
        plan,
        executor,
        options: Options {
            cpus,
            checkpoints: !measure.inputs.no_checkpoint,
            expected_s: timings::read(store.root()),
        },
        stop: signals::listen()?,
    };
    let fail_fast = !measure.keep_going;
    let mut listen = listener(ui, fail_fast, &session.stop);
    let finished = session.record(order, &mut listen).await?;
    drop(listen);
    let mut took = session.options.expected_s.clone();
    took.append(&mut ui.took_s);
    timings::write(store.root(), &took);
    let mut after = After::default();
    if finished.stopped == Stop::No {
        match then {
            Then::End => {}
            Then::Calibrate(control) => {
                if let Some(plan) = control.second(&session.plan, asked, &finished.results) {
                    let order = control::order(&plan, dir()?, &took);
                    let session = Session {
                        plan: Rc::new(plan),
                        cache: None,
                        executor: session.executor.clone(),
                        options: session.options.clone(),
                        stop: session.stop.clone(),
                    };
                    let mut listen = listener(ui, fail_fast, &session.stop);
                    after.calibrated = Some(session.record(order, &mut listen).await?);
                }
            }
            Then::Explain => {
                let wanted = explain::wanted(&finished.results, &session.plan);
                ui.line(&explain::announced(wanted.len()));
                let explained = explain::explain_cells(&session, &wanted, ui).await;
                after.explained = Some(explained);
            }
            Then::CountUser => {
                ui.line("counting the engines' user-space instructions");
                let cells = session.countable();
                ui.expect(cells.len());
                let mut listen = |event: &Event| ui.event(event);
                after.user = Some(session.count_user(cells, &mut listen).await?);
            }
        }
    }
    Ok((finished, after))
}

/// Draws what happens, and with `fail_fast` has nothing new started once something was not measured.
fn listener<'a>(
    ui: &'a mut Ui,
    fail_fast: bool,
    stop: &'a watch::Sender<Stop>,
) -> impl FnMut(&Event) + 'a {
    move |event| {
        ui.event(event);
        let outcome = match event {
            Event::CellFinished { result } => Some(&result.outcome),
            Event::SampleFinished { sample } => Some(&sample.outcome),
            _ => None,
        };
        let failed = |o: &Outcome| !matches!(o, Outcome::Measured(_) | Outcome::NotRun { .. });
        if fail_fast && outcome.is_some_and(failed) {
            Stop::Soon(StopReason::FailFast).raise(stop);
        }
    }
}

/// Writes the reports, prints what was asked for, and finds the exit code.
fn conclude(
    cli: &Cli,
    measure: &MeasureArgs,
    judge: Judge,
    ui: &Ui,
    finished: &Finished,
    after: After,
) -> Result<Exit> {
    let results = &finished.results;
    let mut report = Report::new(results);
    let explained = after.explained.as_ref();
    if let Some(explained) = explained {
        report.why.clone_from(&explained.whys);
    }
    let style = Style {
        chart: Some("chart.svg".into()),
        ..Style::default()
    };
    // What was measured is shown also where its reports cannot be written.
    let written = write_reports(&report, &style, &finished.dir);
    if measure.json && judge != Judge::Elsewhere {
        print_json(results)?;
    } else if let Judge::Yes(detail) = judge {
        let style = Style {
            detail,
            width: width(),
            color: colors(cli.color),
            chart: None,
        };
        print(&report::render(&report, Format::Terminal, &style)?)?;
    }
    let differ = |v: &Verification| !v.different.is_empty();
    let shown = finished.verification.as_ref();
    // Of a fresh run it is said only where it is an alarm.
    if let Some(verification) = shown.filter(|v| measure.verify || differ(v)) {
        ui.line(&format!("verify: {}", verification.summary()));
        for (cell, differences) in &verification.different {
            ui.line(&format!("  {cell}: {}", differences.join("; ")));
        }
    }
    if let Some(explained) = explained {
        for (cell, outcome) in &explained.failed {
            ui.line(&format!("{cell} was not profiled: {}", outcome.why()));
        }
        if !explained.whys.is_empty() {
            explained.write(&finished.dir.join(explain::DIR))?;
        }
    }
    if let Some(user) = &after.user {
        agreement::show(results, user, &finished.dir, colors(cli.color))?;
    }
    written.map_err(|e| e.while_(format!("writing the reports of run {}", results.run_id)))?;
    ui.line(&format!(
        "record: {} (report.md, chart.svg, chart.png, results.json)",
        finished.dir.display()
    ));
    let mut exit = exit(judge, measure.verify, &report, finished);
    // An alarm or a cell that was not profiled is no success.
    if exit == Exit::Ok
        && let Some(explained) = explained
    {
        exit = explained.exit();
    }
    if exit == Exit::Incomplete {
        ui.line("help: report.md says why; use `--only-kernel` and `--workload` to repeat a part");
    }
    if signals::exit(finished.stopped).is_some() {
        ui.line("help: run the same command again to resume: nothing is measured twice");
    }
    Ok(exit)
}

/// Writes a run's reports into its directory.
///
/// # Errors
/// When one cannot be rendered or written.
pub fn write_reports(report: &Report, style: &Style, dir: &Path) -> Result<()> {
    for (format, name) in REPORTS {
        let bytes = report::render(report, format, style)?;
        write_atomically(&dir.join(name), &bytes)?;
    }
    Ok(())
}

fn exit(judge: Judge, verify: bool, report: &Report, finished: &Finished) -> Exit {
    if let Some(exit) = signals::exit(finished.stopped) {
        return exit;
    }
    let verification = finished.verification.as_ref();
    if verification.is_some_and(|v| !v.different.is_empty()) || !report.comparison.alarms.is_empty()
    {
        return Exit::NotReproduced;
    }
    let outcomes = || finished.results.cells.iter().map(|c| &c.outcome);
    if outcomes().any(|outcome| matches!(outcome, Outcome::Refused { .. })) {
        return Exit::Input;
    }
    if outcomes().any(|outcome| outcome.measured().is_none()) {
        return Exit::Incomplete;
    }
    // Asked whether every digit is as before, with nothing to compare some with.
    if verify && verification.is_none_or(|v| !v.holds()) {
        return Exit::NotReproduced;
    }
    match (judge, &report.reproduction) {
        (Judge::No | Judge::Elsewhere, _) | (_, None | Some(Reproduction::Reproduced)) => Exit::Ok,
        (_, Some(_)) => Exit::NotReproduced,
    }
}
