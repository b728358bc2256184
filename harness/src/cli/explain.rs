//! `diorama explain`: where the instructions of a cell went, and what differs from another kernel.

use super::{
    args::{Cli, ExplainArgs, ExplainFormat, SelectArgs},
    colors,
    context::Context,
    prepare::{Prepared, needs_digits, prepare, prepare_scenario},
    print, print_json, print_text, runtime, signals,
    ui::{Drawing, Ui},
    width,
};
use crate::{
    compare::{Verdict, compare},
    error::{Error, Exit, Result},
    files::write_atomically,
    plan::Plan,
    profile::{Explanation, Side, flame},
    record::{self, Outcome, Results},
    report::{self, ProfileCheck, Style, Why},
    run::{self, CellCache, Inside, Options, Profiled, Qemu, Session},
    scenario::{CellKey, Metric},
    text::counted,
    vm::Deadlines,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

/// Functions that a document shows.
const IN_DOCUMENTS: usize = 40;

/// A cell that is to be explained, and what it is held against: kernel and cell indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The cell.
    pub subject: (usize, usize),
    /// The same on another kernel.
    pub against: Option<(usize, usize)>,
}

/// What came of it.
pub struct Explained {
    /// One for each cell, in the order asked for, but for those that were not profiled.
    pub whys: Vec<Why>,
    /// Cells that were not profiled.
    pub failed: Vec<(CellKey, Outcome)>,
    profiled: BTreeMap<String, Profiled>,
}

/// `diorama explain`
pub fn explain(cli: &Cli, args: &ExplainArgs) -> Result<Exit> {
    let context = Context::new(&cli.places, args.inputs.offline)?;
    let mut ui = Ui::new(Drawing::of_stderr(args.plain));
    let cell = parse_cell(&context.results(), &args.what);
    let (prepared, wanted, dir) = match cell {
        Some(cell) => one_cell(&context, args, cell, &ui)?,
        None => cells_of_a_run(&context, args, &ui)?,
    };
    if wanted.is_empty() {
        ui.line("no cell of this run differs from its baseline: there is nothing to explain");
        return Ok(Exit::Ok);
    }
    let Prepared {
        plan,
        vmm,
        agent,
        plugin,
        notes,
        ..
    } = prepared;
    for note in &notes {
        ui.line(&format!("note: {note}"));
    }
    let slots = run::slots(args.jobs.map(Into::into), plan.scenario.most_memory_mib())?;
    let runtime = runtime()?;
    let qemu = {
        let _entered = runtime.enter();
        let inside = Inside { vmm, plugin, agent };
        Rc::new(Qemu::new(inside, &context.store, Deadlines::default())?)
    };
    let options = Options {
        cpus: slots.cpus,
        checkpoints: !args.inputs.no_checkpoint,
        expected_s: BTreeMap::new(),
    };
    let local = tokio::task::LocalSet::new();
    let plan = Rc::new(plan);
    let (explained, stopped) = local.block_on(&runtime, async {
        let stop = signals::listen()?;
        let session = Session {
            plan: Rc::clone(&plan),
            executor: qemu,
            cache: CellCache::of(plan.scenario.lane(), context.store.clone()),
            options,
            stop,
        };
        let explained = explain_cells(&session, &wanted, &mut ui).await;
        let stopped = *session.stop.borrow();
        Ok::<_, Error>((explained, stopped))
    })?;
    drop(local);
    signals::run_is_over();
    runtime.shutdown_background();
    // What was measured is shown also where it cannot be written.
    let written = explained.write(&dir);
    show(cli, args, &explained)?;
    for (cell, outcome) in &explained.failed {
        ui.line(&format!("{cell}: {}: {}", outcome.word(), outcome.why()));
    }
    written?;
    ui.line(&format!(
        "explanation: {} (explain.md, explain.json, folded stacks, flame graphs)",
        dir.display()
    ));
    if let Some(exit) = signals::exit(stopped) {
        return Ok(exit);
    }
    Ok(explained.exit())
}

fn show(cli: &Cli, args: &ExplainArgs, explained: &Explained) -> Result<()> {
    let shown = args.functions;
    if args.format == ExplainFormat::Json {
        return print_json(&explained.whys);
    }
    let style = Style {
        width: width(),
        color: colors(cli.color),
        chart: None,
        ..Style::default()
    };
    for why in &explained.whys {
        let text = match args.format {
            ExplainFormat::Terminal => report::explanation_text(why, shown, &style),
            ExplainFormat::Markdown => report::explanation_markdown(why, shown, 2),
            ExplainFormat::Mail => report::explanation_mail(why) + "\n",
            ExplainFormat::Json => String::new(),
        };
        print(text.as_bytes())?;
    }
    // Loud in every form, and last.
    print_text(&explained.alarms())
}

/// What is said before cells are profiled.
pub fn announced(cells: usize) -> String {
    format!("profiling what differs: {}", counted(cells, "cell"))
}

/// `KERNEL/FILESYSTEM/WORKLOAD`, unless a run of that name is there.
fn parse_cell<'a>(results: &Path, what: &'a str) -> Option<[&'a str; 3]> {
    let is_run = |path: PathBuf| path.join("results.json").exists();
    if is_run(PathBuf::from(what)) || is_run(results.join(what)) {
        return None;
    }
    let parts: Vec<&str> = what.split('/').collect();
    let parts: [&str; 3] = parts.try_into().ok()?;
    parts.iter().all(|p| !p.is_empty()).then_some(parts)
}

/// All kernels of the scenario are made ready, not only the two: what a cell is depends on the oldest.
fn one_cell(
    context: &Context,
    args: &ExplainArgs,
    [kernel, filesystem, workload]: [&str; 3],
    ui: &Ui,
) -> Result<(Prepared, Vec<Wanted>, PathBuf)> {
    let select = SelectArgs {
        scenario: args.scenario.clone(),
        // Of job files the cell's file system is the only one.
        only_filesystems: match args.fio.jobs.is_empty() {
            true => Vec::new(),
            false => vec![filesystem.to_owned()],
        },
        fio: args.fio.clone(),
        own: args.own.clone(),
        varied: args.varied.clone(),
        repetitions: args.repetitions,
        words: args.words.clone(),
        ..SelectArgs::default()
    };
    let prepared = prepare(
        context,
        &select,
        &args.inputs,
        |of| needs_digits(of, "explain counts every instruction"),
        ui,
    )?;
    let find = |kernel: &str| find(&prepared.plan, kernel, filesystem, workload);
    let subject = find(kernel)?;
    let baseline = &prepared.plan.scenario.baseline;
    let against = args.against.as_ref().unwrap_or(baseline);
    let against = match against == kernel {
        // By itself.
        true => None,
        false => Some(find(against)?),
    };
    let stem = format!(
        "explain-{kernel}-{filesystem}-{workload}-{}",
        jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ")
    );
    let dir = context.results().join(file_name(&stem));
    Ok((prepared, vec![Wanted { subject, against }], dir))
}

fn find(plan: &Plan, kernel: &str, filesystem: &str, workload: &str) -> Result<(usize, usize)> {
    let wanted = |key: &CellKey| {
        key.subject.is(kernel) && key.filesystem == filesystem && key.workload == workload
    };
    for (k, of) in plan.kernels.iter().enumerate() {
        if let Some(c) = of.cells.iter().position(|c| wanted(&c.key)) {
            return Ok((k, c));
        }
    }
    let scenario = &plan.scenario;
    let list = |names: Vec<&str>| names.join(", ");
    Err(Error::input(format!(
        "scenario {} has no cell {kernel}/{filesystem}/{workload}",
        scenario.name
    ))
    .hint(format!(
        "kernels: {}; file systems: {}; workloads: {}; another scenario: --scenario NAME",
        scenario.subject_names().join(", "),
        list(
            scenario
                .filesystems
                .iter()
                .map(|f| f.name.as_str())
                .collect()
        ),
        list(scenario.workloads.iter().map(|w| w.name.as_str()).collect()),
    )))
}

/// The first option of the command line that says what a cell is, which a run's record says for its own.
fn of_a_cell_alone(args: &ExplainArgs) -> Option<&'static str> {
    let given = [
        ("--fio", !args.fio.jobs.is_empty()),
        ("--kernel", !args.own.kernels.is_empty()),
        ("--vary", !args.varied.vary.is_empty()),
        ("--repetitions", args.repetitions.is_some()),
        ("--cmdline", !args.words.cmdline.is_empty()),
    ];
    given.iter().find(|(_, is)| *is).map(|(option, _)| *option)
}

/// The cells of a run that differ from their baseline, of the very inputs that the run had.
fn cells_of_a_run(
    context: &Context,
    args: &ExplainArgs,
    ui: &Ui,
) -> Result<(Prepared, Vec<Wanted>, PathBuf)> {
    let (dir, results) = record::open(&context.results(), &args.what)?;
    if let Some(option) = of_a_cell_alone(args) {
        return Err(Error::input(format!(
            "{option} changes a cell, but {} is a run, whose cells are what they were",
            results.run_id
        ))
        .hint("omit it, or name a cell: KERNEL/FILESYSTEM/WORKLOAD"));
    }
    needs_digits(&results.scenario, "explain counts every instruction")?;
    let prepared = prepare_scenario(
        context,
        results.scenario.clone(),
        &args.inputs,
        None,
        Vec::new(),
        ui,
    )?;
    let mut found = wanted(&results, &prepared.plan);
    for Wanted { against, .. } in &mut found {
        if let (Some((_, c)), Some(name)) = (*against, &args.against) {
            let kernels = &prepared.plan.kernels;
            let k = kernels.iter().position(|k| k.subject.is(name));
            let k = k.ok_or_else(|| {
                Error::input(format!("run {} has no row `{name}`", results.run_id))
            })?;
            *against = Some((k, c));
        }
    }
    found.retain(|w| Some(w.subject) != w.against);
    let needed = found.iter().flat_map(|w| [Some(w.subject), w.against]);
    for (k, c) in needed.flatten() {
        let cell = &prepared.plan.kernels[k].cells[c];
        let recorded = results.cells.iter().find(|r| r.key == cell.key);
        if recorded.and_then(|r| r.inputs) != cell.inputs {
            return Err(Error::input(format!(
                "the inputs of cell {} of run {} have changed since",
                cell.key, results.run_id
            ))
            .hint(
                "run the scenario again, or use the run's own kernels, QEMU and diorama version",
            ));
        }
    }
    Ok((prepared, found, dir.join(DIR)))
}

/// Name of the directory in a run's.
pub const DIR: &str = "explain";

/// The cells of a run whose IOPS or path length differ from the baseline's, in the plan's order.
pub fn wanted(results: &Results, plan: &Plan) -> Vec<Wanted> {
    let comparison = compare(&[results]);
    let differs = |key: &CellKey| {
        let cell = comparison.cells.iter().find(|c| c.key == *key);
        let verdicts = cell.into_iter().flat_map(|c| {
            [Metric::Iops, Metric::PathLength]
                .into_iter()
                .filter_map(|m| Some(&c.against.get(&m)?.verdict))
        });
        let mut verdicts = verdicts;
        verdicts.any(|v| matches!(v, Verdict::Regressed | Verdict::Improved))
    };
    let baseline = plan
        .kernels
        .iter()
        .position(|k| plan.scenario.is_baseline(&k.subject));
    let mut found = Vec::new();
    for (k, kernel) in plan.kernels.iter().enumerate() {
        for (c, cell) in kernel.cells.iter().enumerate() {
            if Some(k) != baseline && differs(&cell.key) {
                found.push(Wanted {
                    subject: (k, c),
                    against: baseline.map(|b| (b, c)),
                });
            }
        }
    }
    found
}

/// Profiles the cells and holds each against its other kernel's.
pub async fn explain_cells(session: &Session<Qemu>, wanted: &[Wanted], ui: &mut Ui) -> Explained {
    let plan = &session.plan;
    let mut cells: Vec<(usize, usize)> = wanted
        .iter()
        .flat_map(|w| [Some(w.subject), w.against])
        .flatten()
        .collect();
    cells.sort_unstable();
    cells.dedup();
    ui.expect(cells.len());
    let mut listen = |event: &run::Event| ui.event(event);
    let (profiled, failed) = session.explain(cells, &mut listen).await;
    let of = |(k, c): (usize, usize)| profiled.get(&plan.kernels[k].cells[c].key.to_string());
    let whys = wanted.iter().filter_map(|w| {
        let subject = of(w.subject)?;
        let against = match w.against {
            None => None,
            Some(cell) => Some(of(cell)?),
        };
        let key = &subject.key;
        let side = against.map(Profiled::side);
        Some(Why {
            explanation: Explanation::new(
                format!("{}/{}", key.filesystem, key.workload),
                &subject.side(),
                side.as_ref(),
            ),
            checks: [Some(subject), against]
                .into_iter()
                .flatten()
                .map(check)
                .collect(),
            lane: key.lane,
        })
    });
    Explained {
        whys: whys.collect(),
        failed,
        profiled,
    }
}

fn check(profiled: &Profiled) -> ProfileCheck {
    let Profiled {
        key,
        plain,
        measured,
        seen,
        ..
    } = profiled;
    ProfileCheck {
        cell: key.to_string(),
        release: measured.guest.boot.release.clone(),
        windows: measured.guest.repetitions.len(),
        ios: measured.guest.repetitions.iter().map(|r| r.span_ios).sum(),
        instructions: seen.stacks.instructions,
        executed: seen.executed(),
        icount: seen.icount,
        faults: seen.faults(),
        memory: measured.memory.end.clone(),
        perturbed: profiled.perturbed(),
        plain_s: plain.host.wall_s,
        profiled_s: measured.host.wall_s,
    }
}

impl Explained {
    /// A line for each cell that profiling changed.
    pub fn alarms(&self) -> String {
        let checks = self.whys.iter().flat_map(|why| &why.checks);
        let perturbed = checks.filter(|check| !check.perturbed.is_empty());
        perturbed
            .map(|check| format!("! {}: PROFILING CHANGED THE CELL\n", check.cell))
            .collect()
    }

    /// 1 when a digit or a byte of memory was changed, 5 when a cell is missing.
    pub fn exit(&self) -> Exit {
        if !self.alarms().is_empty() {
            Exit::NotReproduced
        } else if self.failed.is_empty() {
            Exit::Ok
        } else {
            Exit::Incomplete
        }
    }

    /// Writes documents, folded stacks and flame graphs into a directory, which is made.
    ///
    /// # Errors
    /// When it cannot be written, or a graph not be drawn.
    pub fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).map_err(|e| Error::io("creating", dir, e))?;
        let write = |name: &str, bytes: &[u8]| write_atomically(&dir.join(file_name(name)), bytes);
        let json = serde_json::to_vec_pretty(&self.whys)
            .map_err(|e| Error::internal("writing explain.json").because(e))?;
        write("explain.json", &json)?;
        let mut document = String::from("# Where the instructions went\n");
        let sides: BTreeMap<&str, Side> = self
            .profiled
            .iter()
            .map(|(cell, profiled)| (cell.as_str(), profiled.side()))
            .collect();
        let drawing = |e| Error::internal(format!("drawing a flame graph: {e}"));
        for (cell, side) in &sides {
            write(
                &format!("{cell}.folded"),
                flame::folded(&side.stacks).as_bytes(),
            )?;
            let svg = flame::flame_graph(cell, side).map_err(drawing)?;
            write(&format!("{cell}.svg"), &svg)?;
        }
        for why in &self.whys {
            document.push('\n');
            document.push_str(&report::explanation_markdown(why, IN_DOCUMENTS, 2));
            let e = &why.explanation;
            let cell = format!("{}/{}", e.subject.kernel, e.cell);
            document.push_str(&image(&cell));
            let Some(against) = &e.against else { continue };
            let other = format!("{}/{}", against.kernel, e.cell);
            let both = (sides.get(cell.as_str()), sides.get(other.as_str()));
            let (Some(subject), Some(other)) = both else {
                continue;
            };
            let title = format!("{cell} against {}", against.kernel);
            let folded = flame::folded_difference(subject, other);
            write(&format!("{title}.folded"), folded.as_bytes())?;
            let svg = flame::difference_graph(&title, subject, other).map_err(drawing)?;
            write(&format!("{title}.svg"), &svg)?;
            document.push_str(&image(&title));
        }
        write("explain.md", document.as_bytes())
    }
}

/// A flame graph in a document beside it.
fn image(title: &str) -> String {
    format!("\n![{title}]({})\n", file_name(&format!("{title}.svg")))
}

/// A cell's name as a file's.
fn file_name(name: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let chars = name.chars();
    chars.map(|c| if harmless(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_three_parts_and_a_run_that_is_there_comes_first() {
        let results = tempfile::tempdir().unwrap();
        let parsed = |what| parse_cell(results.path(), what);
        assert_eq!(
            parsed("6.12/ext4/write-4k"),
            Some(["6.12", "ext4", "write-4k"])
        );
        for run in ["latest", "results/x", "6.12/ext4/", "a/b/c/d", "/a/b"] {
            assert_eq!(parsed(run), None, "{run}");
        }
        fs::create_dir_all(results.path().join("a/b/c")).unwrap();
        fs::write(results.path().join("a/b/c/results.json"), "{}").unwrap();
        assert_eq!(parsed("a/b/c"), None);
    }

    #[test]
    fn a_cells_name_makes_one_file_name() {
        assert_eq!(file_name("6.12/ext4/a b.svg"), "6.12-ext4-a-b.svg");
        assert_eq!(file_name("../x"), "..-x");
    }
}
