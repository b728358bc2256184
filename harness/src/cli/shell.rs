//! `diorama shell`: the guest that a cell would have, with a shell in place of the measurement.

use super::{
    args::{Cli, OwnKernels, SelectArgs, ShellArgs},
    context::Context,
    drive::{self, Held},
    prepare::{Prepared, prepare},
    runtime, signals, terminal,
    ui::{Drawing, Ui},
};
use crate::{
    error::{Error, Exit, Result},
    files,
    lock::WhenGone,
    plan::{CellPlan, KernelPlan, Plan},
    provision::SHELL_TOOLS,
    record::Outcome,
    run::{self, Booted, Doing, Ended, Executor as _, Inside, Qemu, Shell, Stop, Watch},
    scenario::{self, ChosenDevice, KernelRef, KernelSource, Overrides, parse_kernel},
    suggest::next_step,
    vm::{Deadlines, Time},
    vocabulary::Accel,
};
use diorama_wire::{Phase, ToShell};
use std::io::IsTerminal as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

/// Frames that wait to be sent or shown.
const WAITING: usize = 64;

/// How a shell's time on the terminal ended.
enum End {
    /// The shell did.
    Shell(Ended),
    /// The user left it.
    Left,
    /// A signal ended it.
    Stopped,
}

/// Runs a shell; returns the exit code: a script's or a command's, or ours.
pub fn shell(cli: &Cli, args: &ShellArgs) -> Result<u8> {
    let mut context = Context::new(&cli.places, args.inputs.offline)?;
    let ui = Ui::new(Drawing::of_stderr(true));
    context.store = context.store.telling(ui.teller());
    let (name, own) = kernel(&context, args)?;
    let select = SelectArgs {
        scenario: args.scenario.clone(),
        own: OwnKernels {
            kernels: own.into_iter().collect(),
        },
        // Of kernels none is left out: what a cell's file system is depends on the oldest.
        drive: args.drive.clone(),
        words: args.words.clone(),
        share: args.share.clone(),
        ..SelectArgs::default()
    };
    let userland = userland(&context, args, &ui)?;
    let prepared = prepare(&context, &select, &args.inputs, |_| Ok(()), &ui)?;
    let Prepared {
        plan,
        vmm,
        agent,
        notes,
        lease,
        ..
    } = prepared;
    let (kernel, cell) = find(&plan, &name, args)?;
    if let Some(outcome) = &cell.settled {
        return Err(of_outcome(cell, outcome));
    }
    for note in &notes {
        ui.line(&format!("note: {note}"));
    }
    let cpu = *(run::slots(Some(1), plan.scenario.most_memory_mib())?.cpus)
        .first()
        .ok_or_else(|| Error::internal("a guest has no CPU"))?;
    let on = match args.command {
        Some(_) => None,
        None => terminal::here(),
    };
    let is_terminal = on.is_some();
    let order = diorama_wire::Shell {
        terminal: on,
        command: args.command.clone(),
        banner: banner(kernel, cell),
    };
    let runtime = runtime()?;
    let qemu = {
        let _entered = runtime.enter();
        let inside = Inside {
            vmm,
            // Nothing is counted.
            plugin: None,
            agent,
        };
        Qemu::new(inside, &context.store, Deadlines::default())?
    };
    // As for a measurement: as late as possible, and given back when the guest is over.
    let held = lease
        .map(|lease| drive::hold(lease, &context.store))
        .transpose()?;
    let checkpoint = !args.inputs.no_checkpoint;
    let ended = runtime.block_on(async {
        let stop = signals::listen()?;
        let mut stopped = stop.subscribe();
        let begin = begin(
            &qemu,
            kernel,
            cell,
            (cpu, checkpoint),
            (order, userland),
            &ui,
        );
        let shell = tokio::select! {
            shell = begin => shell.map_err(|outcome| of_outcome(cell, &outcome))?,
            () = told(&mut stopped) => return Ok((End::Stopped, *stop.borrow())),
        };
        let end = talk(shell, is_terminal, args.command.is_some(), &mut stopped);
        let end = end.await.map_err(|outcome| match outcome {
            Talk::Guest(outcome) => of_outcome(cell, &outcome),
            Talk::Host(error) => error,
        });
        Ok::<_, Error>((end?, *stop.borrow()))
    });
    signals::run_is_over();
    runtime.shutdown_background();
    let given_back = held.map_or(Ok(()), Held::give_back);
    context.store.release();
    let (end, stop) = ended?;
    given_back?;
    Ok(match end {
        End::Stopped => signals::exit(stop).unwrap_or(Exit::Interrupted) as u8,
        End::Left => {
            ui.line("left; the guest was ended");
            Exit::Ok as u8
        }
        End::Shell(Ended::Exited(status)) if !is_terminal => status,
        End::Shell(Ended::Exited(_) | Ended::Unheard) => Exit::Ok as u8,
    })
}

/// The kernel's name, and what it is if the scenario does not have it.
fn kernel(context: &Context, args: &ShellArgs) -> Result<(String, Option<KernelRef>)> {
    let word = &args.kernel;
    if word.contains('=') {
        let own = parse_kernel(word).map_err(Error::input)?;
        return Ok((own.name.clone(), Some(own)));
    }
    let locked = context.project()?.kernel_names();
    let path = scenario::locate(&args.scenario, &context.root)?;
    // The device has nothing to do with it.
    let overrides = Overrides {
        device: Some(ChosenDevice::Model),
        ..Overrides::default()
    };
    let own = match scenario::load(&path, &locked, &overrides) {
        Ok(scenario) => scenario.subject_names(),
        // Whoever prepares it says what is wrong with it.
        Err(_) => vec![word.clone()],
    };
    if own.contains(word) {
        return Ok((word.clone(), None));
    }
    if locked.contains(word) {
        let source = KernelSource::Locked;
        let name = word.clone();
        return Ok((word.clone(), Some(KernelRef { name, source })));
    }
    let mut names: Vec<&str> = own.iter().chain(&locked).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let next = next_step(word, "kernels", &names);
    Err(Error::input(format!("there is no kernel `{word}`"))
        .hint(format!("{next}; your own build is NAME=PATH[,modules=DIR]")))
}

/// The cell whose guest it is.
fn find<'a>(
    plan: &'a Plan,
    name: &str,
    args: &ShellArgs,
) -> Result<(&'a KernelPlan, &'a CellPlan)> {
    let kernel = plan.kernels.iter().find(|k| k.subject.is(name));
    let kernel =
        kernel.ok_or_else(|| Error::internal(format!("kernel {name} was not prepared")))?;
    let wanted = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|w| w == name);
    let cell = kernel.cells.iter().find(|cell| {
        wanted(&args.filesystem, &cell.key.filesystem) && wanted(&args.workload, &cell.key.workload)
    });
    cell.map(|cell| (kernel, cell)).ok_or_else(|| {
        let scenario = &plan.scenario;
        let list = |names: Vec<&str>| names.join(", ");
        let filesystems = scenario
            .filesystems
            .iter()
            .map(|f| f.name.as_str())
            .collect();
        let workloads = scenario.workloads.iter().map(|w| w.name.as_str()).collect();
        Error::input(format!(
            "scenario {} has no such cell of {name}",
            scenario.name
        ))
        .hint(format!(
            "file systems: {}; workloads: {}",
            list(filesystems),
            list(workloads)
        ))
    })
}

/// busybox, out of Debian's archive.
fn userland(context: &Context, args: &ShellArgs, ui: &Ui) -> Result<Vec<u8>> {
    let project = context.project()?;
    let (downloads, tell) = (ui.downloads(), |text: &str| ui.line(text));
    let provision = context.provision(
        &project,
        WhenGone::locked(args.inputs.locked),
        &downloads,
        &tell,
    );
    let (tree, provided) = provision.tool_set(SHELL_TOOLS)?;
    if let Some(note) = provided.note {
        ui.line(&format!("note: {note}"));
    }
    let path = tree.join("usr/bin/busybox");
    files::read(&path, files::PROGRAM).map_err(|e| Error::io("reading", &path, e))
}

/// What the guest's banner begins with.
fn banner(kernel: &KernelPlan, cell: &CellPlan) -> Vec<String> {
    let clock = match kernel.machine.as_ref().map(|machine| machine.spec.time) {
        Some(Time::Wall(Accel::Kvm)) => "the wall clock, under KVM",
        Some(Time::Wall(Accel::Tcg)) => "the wall clock, under TCG, an emulator",
        _ => "an instruction is a nanosecond; while the guest idles, the host's",
    };
    vec![
        format!(
            "The guest of {}, as it is before its measurement. NOTHING HERE IS A MEASUREMENT.",
            cell.key
        ),
        "  leave   exit, or Ctrl-] at any time".to_owned(),
        format!("  clock   {clock}"),
    ]
}

/// Brings the guest to its shell.
async fn begin(
    qemu: &Qemu,
    kernel: &KernelPlan,
    cell: &CellPlan,
    (cpu, checkpoint): (usize, bool),
    order: (diorama_wire::Shell, Vec<u8>),
    ui: &Ui,
) -> Result<Shell, Outcome> {
    let watch = || -> Watch {
        let tell = ui.teller();
        let name = cell.key.to_string();
        Box::new(move |doing, text| match doing {
            Doing::Phase(Phase::Start) => tell(&format!("{name}: booting")),
            Doing::Phase(Phase::Device) => {
                tell(&format!("{name}: making device, file system and files"));
            }
            Doing::Rebuild | Doing::Retry => tell(text),
            _ => {}
        })
    };
    let machine = kernel.machine.as_ref();
    let from = if checkpoint && machine.is_some_and(|machine| machine.can_checkpoint()) {
        match qemu.checkpoint(kernel, cpu, watch()).await? {
            Booted::Saved(saved) => Some(saved.handle),
            Booted::NotSaved { why } => {
                ui.line(&format!("note: the checkpoint could not be kept: {why}"));
                None
            }
        }
    } else {
        None
    };
    let watch = watch();
    let shell = qemu.shell(kernel, cell, from.as_ref(), cpu, order, &watch);
    shell.await
}

/// Why a conversation ended otherwise than it should.
enum Talk {
    Guest(Outcome),
    Host(Error),
}

impl From<Error> for Talk {
    fn from(error: Error) -> Talk {
        Talk::Host(error)
    }
}

/// Connects the shell with the user's terminal, or whatever is in its place.
async fn talk(
    mut shell: Shell,
    is_terminal: bool,
    is_command: bool,
    stopped: &mut watch::Receiver<Stop>,
) -> Result<End, Talk> {
    let (to, typed) = mpsc::channel(WAITING);
    let (say, said) = mpsc::channel(WAITING);
    let (leave, left) = oneshot::channel();
    let writer = terminal::write(said)?;
    let raw = match is_terminal {
        true => Some(terminal::Raw::enter()?),
        false => None,
    };
    if is_command && std::io::stdin().is_terminal() {
        // A command need not wait for keys, and in the background it must not.
        let _ = to.send(ToShell::EndOfInput).await;
    } else {
        terminal::read(to.clone(), is_terminal, leave)?;
    }
    let end = tokio::select! {
        biased;
        () = told(stopped) => None,
        ended = shell.talk(typed, say) => Some(ended.map(End::Shell)),
        Ok(()) = left => Some(Ok(End::Left)),
        error = resized(&to), if is_terminal => return Err(error.into()),
    };
    let end = match end {
        None => {
            shell.kill().await;
            Ok(End::Stopped)
        }
        Some(Ok(End::Shell(ended))) => {
            // All that was said is shown before the program ends.
            let shown = tokio::task::spawn_blocking(move || writer.join());
            tokio::select! {
                _ = shown => {}
                () = told(stopped) => {}
            }
            let off = tokio::select! {
                off = shell.end() => Some(off),
                () = told(stopped) => None,
            };
            match off {
                Some(true) => Ok(End::Shell(ended)),
                Some(false) => Err(Talk::Host(Error::new(
                    Exit::Incomplete,
                    "the guest did not power itself off after its shell had ended",
                ))),
                None => Ok(End::Stopped),
            }
        }
        Some(Ok(end)) => {
            shell.kill().await;
            Ok(end)
        }
        Some(Err(outcome)) => Err(Talk::Guest(outcome)),
    };
    drop(raw);
    end
}

/// Tells the guest of every new size of the terminal.
async fn resized(to: &mpsc::Sender<ToShell>) -> Error {
    let mut signal = match signal(SignalKind::window_change()) {
        Ok(signal) => signal,
        Err(e) => return Error::host("listening for signals").because(e),
    };
    while signal.recv().await.is_some() {
        let _ = to.send(ToShell::Size(terminal::size())).await;
    }
    std::future::pending().await
}

/// Until a signal says that this is over: there is nothing here that could be finished.
async fn told(stopped: &mut watch::Receiver<Stop>) {
    let heard = stopped.wait_for(|stop| *stop != Stop::No).await;
    if heard.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What came of the guest, as an error, with the kernel's last words.
fn of_outcome(cell: &CellPlan, outcome: &Outcome) -> Error {
    let exit = match outcome {
        Outcome::HarnessFailed { .. } => Exit::Host,
        _ => Exit::Incomplete,
    };
    let mut what = format!("{}: {}: {}", cell.key, outcome.word(), outcome.why());
    if let Outcome::GuestFault { console, .. } | Outcome::TimedOut { console, .. } = outcome {
        for line in console {
            what.push_str(&format!("\n  | {line}"));
        }
    }
    Error::new(exit, what)
}
