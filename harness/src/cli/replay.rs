//! `diorama replay`: an image's cells again, out of the image alone, held against its record.

use super::{
    args::{Cli, ReplayArgs},
    choices::QemuChoice,
    colors, explain, manifest, print, print_text, push, repro, runtime,
    scratch::Scratch,
    signals,
    ui::{Drawing, Ui},
    width,
};
use crate::{
    bundle::{self, Container, Unpacked},
    clock,
    compare::{Distance, distance},
    error::{Error, Exit, Result},
    plan::{Plan, PreparedKernel},
    record::{Measured, Outcome, Results, RunDir},
    report::{self, Report, Style},
    run::{
        self, CellCache, Consoles, Finished, Known, Options, Qemu, Recording, Session, SymbolTables,
    },
    scenario::CellKey,
    store::{
        Sources, Store,
        hermetic::{Hermetic, QEMU},
    },
    vm::{
        Deadlines, Vmm,
        confine::{self, Confined, Rung},
        vsock::Vsock,
    },
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    env,
    fmt::Write as _,
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

/// What a checkpoint takes on the disk, about, in bytes: one for each kernel.
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
    complete(&mut unpacked, args, &store, &ui)?;
    let Ready {
        plan,
        vmm,
        plugin,
        notes,
    } = ready(
        unpacked.kernels,
        &unpacked.results,
        &unpacked.vmm,
        unpacked.plugin,
        (args, &store),
    )?;
    let other = other_inputs(&plan, &unpacked.results, args)?;
    let known = known(&store, &plan, &unpacked.results)?;
    let plan = selected.only(plan);
    let slots = run::slots(args.jobs.map(Into::into), plan.scenario.memory_mib)?;

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
        Rc::new(Qemu {
            vmm,
            plugin,
            agent: unpacked.manifest.agent.build_id.clone(),
            store: store.clone(),
            symbols: SymbolTables::new(store.clone()),
            vsock: Vsock::open(None)?,
            deadlines: plan.deadlines(Deadlines::default()),
            filled: Cell::default(),
            fresh_checkpoints: false,
            consoles: Some(Consoles::in_run(dir.path())),
            artifacts: None,
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
            ui.line(&format!(
                "{} cells differ from their baseline; profiling them",
                wanted.len()
            ));
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
        explained.write(&finished.dir.join(explain::DIR))?;
    }
    print_text(&format!("{}\n", compared.summary()))?;
    let style = Style {
        chart: Some("chart.svg".into()),
        ..Style::default()
    };
    repro::write_reports(&Report::new(&finished.results), &style, &finished.dir)?;
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
    Ok(compared.exit())
}

/// Functions that an explanation shows.
const SHOWN: usize = 20;

/// Where a replay is recorded: no checkout is needed for it.
fn results_root(cli: &Cli) -> PathBuf {
    let given = cli.places.results.clone();
    given.unwrap_or_else(|| PathBuf::from("results"))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.display().to_string())
}

/// What all of it takes in the scratch directory.
fn room(container: &Container) -> u64 {
    let parts = container.manifest.parts.iter().map(|part| part.size);
    let initramfs = container
        .manifest
        .kernels
        .iter()
        .map(|kernel| match &kernel.boots {
            bundle::Boots::Packed(machine) => machine.initramfs.size,
            // Packages, their trees, and what is made of them.
            bundle::Boots::Locked => 512 << 20,
            bundle::Boots::Unusable(_) => 0,
        });
    let kernels = container.manifest.kernels.len() as u64;
    parts.sum::<u64>() + initramfs.sum::<u64>() + kernels * CHECKPOINT
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
fn trusted(args: &ReplayArgs) -> Result<Confined> {
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

/// Fetches what a thin image leaves out.
fn complete(unpacked: &mut Unpacked, args: &ReplayArgs, store: &Store, ui: &Ui) -> Result<()> {
    let with_vmm = args.qemu.is_none();
    let whole = unpacked.kernels.iter().all(Option::is_some);
    if whole && (unpacked.vmm.is_some() || !with_vmm) {
        return Ok(());
    }
    let sources = match args.offline {
        true => Sources::only(BTreeMap::new(), Vec::new()),
        false => Sources::from_env(|name| env::var(name).ok().filter(|v| !v.is_empty()))?,
    };
    ui.line("fetching what the image was packed without");
    let began = Instant::now();
    let downloads = ui.downloads();
    bundle::fetch(unpacked, with_vmm, store, &sources, &downloads)?;
    ui.line(&format!(
        "fetched in {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// What the cells are measured with.
struct Ready {
    plan: Plan,
    vmm: Vmm,
    plugin: Option<PathBuf>,
    notes: Vec<String>,
}

fn ready(
    kernels: Vec<Option<PreparedKernel>>,
    results: &Results,
    tree: &Option<PathBuf>,
    plugin: Option<PathBuf>,
    (args, store): (&ReplayArgs, &Store),
) -> Result<Ready> {
    let mut notes = Vec::new();
    let kernels: Option<Vec<PreparedKernel>> = kernels.into_iter().collect();
    let kernels =
        kernels.ok_or_else(|| Error::internal("a kernel was neither inside nor fetched"))?;
    let mut vmm = match (&args.qemu, tree) {
        (Some(QemuChoice::System), _) => Vmm::from_host("system")?,
        (Some(QemuChoice::Path(path)), _) => Vmm::from_host(&path.display().to_string())?,
        (None | Some(QemuChoice::Lock), Some(tree)) => {
            let digest = store.contents_digest(tree)?;
            Vmm::from_store(Hermetic::in_tree(tree, QEMU)?, digest, required(args))?
        }
        (None | Some(QemuChoice::Lock), None) => {
            return Err(Error::input("the image was packed without QEMU")
                .hint("give the QEMU of its record with --qemu"));
        }
    };
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

/// What the record says of the cells; put where a measurement's is compared with.
fn known(
    store: &Store,
    plan: &Plan,
    results: &Results,
) -> Result<BTreeMap<String, (CellKey, Measured)>> {
    let mut known = BTreeMap::new();
    let cache = CellCache::of(plan.scenario.lane(), store.clone());
    for ((_, cell), recorded) in plan.cells().zip(&results.cells) {
        let (Outcome::Measured(measured), Some(inputs)) = (&recorded.outcome, cell.inputs) else {
            continue;
        };
        if let Some(cache) = &cache {
            cache.put(&inputs, measured)?;
        }
        let entry = (recorded.key.clone(), (**measured).clone());
        known.insert(recorded.key.to_string(), entry);
    }
    Ok(known)
}

/// Which cells are replayed.
struct Selected(Vec<[String; 3]>);

impl Selected {
    fn new(words: &[String], results: &Results) -> Result<Selected> {
        let mut patterns = Vec::new();
        for word in words {
            let parts: Vec<String> = word.split('/').map(str::to_owned).collect();
            let pattern: [String; 3] = parts.try_into().map_err(|_| {
                Error::input(format!("--cells {word}: this is not a cell"))
                    .hint("give KERNEL/FILESYSTEM/WORKLOAD; `*` stands for any part")
            })?;
            let selected = Selected(vec![pattern]);
            if !results.cells.iter().any(|cell| selected.has(&cell.key)) {
                let names: Vec<String> = results.cells.iter().map(|c| short(&c.key)).collect();
                return Err(
                    Error::input(format!("--cells {word}: the image has no such cell"))
                        .hint(format!("its cells are {}", names.join(", "))),
                );
            }
            patterns.extend(selected.0);
        }
        Ok(Selected(patterns))
    }

    fn has(&self, key: &CellKey) -> bool {
        let fits = |pattern: &str, part: &str| pattern == "*" || pattern == part;
        self.0.is_empty()
            || self.0.iter().any(|[kernel, filesystem, workload]| {
                fits(kernel, &key.kernel)
                    && fits(filesystem, &key.filesystem)
                    && fits(workload, &key.workload)
            })
    }

    /// The plan with all others settled: they stay in the record, as not run.
    fn only(&self, mut plan: Plan) -> Plan {
        let cells = plan.kernels.iter_mut().flat_map(|k| &mut k.cells);
        for cell in cells.filter(|cell| !self.has(&cell.key)) {
            cell.settled.get_or_insert_with(|| Outcome::NotRun {
                why: "not selected (--cells)".into(),
            });
        }
        plan
    }
}

/// A cell's name without its lane, which is the exact one for all.
fn short(key: &CellKey) -> String {
    format!("{}/{}/{}", key.kernel, key.filesystem, key.workload)
}

/// What became of a replayed cell.
enum Now {
    /// Every digit is the record's; and so is the guest's memory, where both know it.
    Identical {
        memory: bool,
    },
    Different {
        what: Vec<String>,
        distance: Option<Distance>,
    },
    /// Measured now, but not by the record.
    New,
    /// The record has no figures either, for the same reason.
    SameOutcome(String),
    Failed(String),
}

/// Cell by cell.
struct Compared(Vec<(String, Now)>);

impl Compared {
    fn new(
        selected: &Selected,
        finished: &Finished,
        known: &BTreeMap<String, (CellKey, Measured)>,
    ) -> Compared {
        let cells = finished.results.cells.iter();
        let cells = cells.filter(|cell| selected.has(&cell.key)).map(|cell| {
            let before = known
                .get(&cell.key.to_string())
                .map(|(_, measured)| measured);
            let now = match (&cell.outcome, before) {
                (Outcome::Measured(now), Some(before)) => compared(before, now),
                (Outcome::Measured(_), None) => Now::New,
                (other @ Outcome::Unsupported { .. }, None) => {
                    Now::SameOutcome(format!("{}: {}", other.word(), other.why()))
                }
                (other, _) => Now::Failed(format!("{}: {}", other.word(), other.why())),
            };
            (short(&cell.key), now)
        });
        Compared(cells.collect())
    }

    /// One line for each cell; of other inputs also how far it is.
    fn lines(&self, other: bool) -> String {
        let width = self.0.iter().map(|(cell, _)| cell.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (cell, now) in &self.0 {
            let words = match now {
                Now::Identical { memory: true } => "identical: digits and guest memory".to_owned(),
                Now::Identical { memory: false } => {
                    "identical: digits (its guest does not stop itself, so not its memory)"
                        .to_owned()
                }
                Now::Different { distance, .. } if other => match distance {
                    Some(Distance { at, relative }) => {
                        format!("up to {:.3}% apart ({at})", relative * 100.0)
                    }
                    None => "the same figures; other details or memory differ".to_owned(),
                },
                Now::Different { what, .. } => format!("DIFFERENT: {}", what.join("; ")),
                Now::New => "measured; the record has no figures to compare with".to_owned(),
                Now::SameOutcome(why) => format!("as recorded: {why}"),
                Now::Failed(why) => format!("NOT MEASURED: {why}"),
            };
            let _ = writeln!(text, "{cell:width$}  {words}");
        }
        text
    }

    fn summary(&self) -> String {
        let count = |f: fn(&Now) -> bool| self.0.iter().filter(|(_, now)| f(now)).count();
        let identical = count(|now| matches!(now, Now::Identical { .. }));
        let memory = count(|now| matches!(now, Now::Identical { memory: true }));
        let recorded = count(|now| !matches!(now, Now::New | Now::SameOutcome(_)));
        let mut text = format!("{identical} of {recorded} cells identical");
        match (identical, memory) {
            (0, _) => {}
            (all, memory) if all == memory => text.push_str(", digit by digit and in guest memory"),
            (_, memory) => {
                let _ = write!(
                    text,
                    ", digit by digit; {memory} of them also in guest memory"
                );
            }
        }
        text
    }

    /// Yes only if all are.
    fn exit(&self) -> Exit {
        let any = |f: fn(&Now) -> bool| self.0.iter().any(|(_, now)| f(now));
        if any(|now| matches!(now, Now::Different { .. } | Now::New)) {
            Exit::NotReproduced
        } else if any(|now| matches!(now, Now::Failed(_))) {
            Exit::Incomplete
        } else if any(|now| matches!(now, Now::Identical { .. })) {
            Exit::Ok
        } else {
            // Nothing compared is no yes.
            Exit::NotReproduced
        }
    }
}

fn compared(before: &Measured, now: &Measured) -> Now {
    let what = crate::compare::differences(before, now);
    match what.is_empty() {
        true => Now::Identical {
            memory: crate::compare::memory_compared(before, now),
        },
        false => Now::Different {
            what,
            distance: distance(before, now),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    fn all(cells: Vec<Now>) -> Compared {
        Compared(
            cells
                .into_iter()
                .map(|now| ("6.12/ext4/read-4k".to_owned(), now))
                .collect(),
        )
    }

    fn identical() -> Now {
        Now::Identical { memory: true }
    }

    #[test]
    fn only_identical_cells_are_a_yes() {
        let exit = |cells| all(cells).exit();
        assert_eq!(exit(vec![identical(), identical()]), Exit::Ok);
        assert_eq!(exit(vec![]), Exit::NotReproduced);
        let before = fixture::measured(50_000.0, 4096);
        let mut now = before.clone();
        now.guest.repetitions[0].interrupts += 1;
        let different = || compared(&before, &now);
        assert_eq!(exit(vec![identical(), different()]), Exit::NotReproduced);
        assert_eq!(exit(vec![identical(), Now::New]), Exit::NotReproduced);
        let failed = || Now::Failed("guest fault: panic".into());
        assert_eq!(exit(vec![identical(), failed()]), Exit::Incomplete);
        // What the record says could not run cannot run here either.
        let same = || Now::SameOutcome("unsupported: no XFS".into());
        assert_eq!(exit(vec![identical(), same()]), Exit::Ok);
        assert_eq!(exit(vec![same()]), Exit::NotReproduced);
        insta::assert_snapshot!(all(vec![identical(), different(), failed(), same()]).summary(), @"1 of 3 cells identical, digit by digit and in guest memory");
        insta::assert_snapshot!(all(vec![different()]).lines(false), @"6.12/ext4/read-4k  DIFFERENT: guest.repetitions[0].interrupts: 10071, was 10070");
        let line = all(vec![different()]).lines(true);
        assert!(
            line.contains("% apart (repetitions[0].interrupts)"),
            "{line}"
        );
        let Now::Identical { memory } = compared(&before, &before) else {
            panic!("equal cells differ");
        };
        assert_eq!(memory, before.memory.end.is_some());
    }

    #[test]
    fn cells_are_selected_by_their_parts() {
        let results = fixture::results();
        let selected = |word: &str| {
            let selected = Selected::new(&[word.to_owned()], &results)?;
            let cells = results.cells.iter().filter(|cell| selected.has(&cell.key));
            Ok::<_, Error>(cells.count())
        };
        assert_eq!(selected("6.12/ext4/write-4k").unwrap(), 1);
        assert_eq!(selected("*/ext4/write-4k").unwrap(), 5);
        assert_eq!(selected("6.12/*/*").unwrap(), 8);
        for word in [
            "6.12",
            "6.12/ext4",
            "9/ext4/write-4k",
            "6.12/ext4/write-4k/x",
            "",
        ] {
            assert!(selected(word).is_err(), "{word}");
        }
        let every = Selected::new(&[], &results).unwrap();
        assert!(results.cells.iter().all(|cell| every.has(&cell.key)));
    }
}
