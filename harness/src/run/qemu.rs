//! The real executor: boots, checkpoints and cells in QEMU. How a guest is profiled, and how it
//! reports, is in files of their own.

mod inside;
mod profile;
mod report;
mod shares;
mod shell;

pub use inside::Inside;
pub use shell::{Ended, Shell};

use super::{
    artifacts::Artifacts,
    consoles::{Consoles, Kept},
    event::Doing,
    executor::{Booted, Checkpointed, Executor, Watch},
    seen::{self, Seen},
    symbols::{self, SymbolTables},
};
use crate::{
    error::{Error, Result},
    plan::{CellPlan, KernelPlan, MachinePlan},
    record::{HostSide, Measured, MemoryDigests, Outcome},
    store::{
        Store,
        staging::{Staging, move_files},
    },
    vm::{
        Checkpoint, Contents, Deadlines, Handover, Machine, Profiling, Spec, Start, Time, Vmm,
        Watcher, blocking, drive, memory::GuestRam, vsock::Vsock,
    },
};
use diorama_wire::{Job, Phase, Precondition, StopBy};
use serde_json::json;
use std::{cell::Cell, path::PathBuf, rc::Rc, time::Instant};

/// Kind of the store's entries that hold checkpoints.
pub const CHECKPOINTS: &str = "checkpoint";

/// Runs guests in QEMU.
#[derive(Debug)]
pub struct Qemu {
    /// The QEMU that runs the guests.
    pub vmm: Vmm,
    /// The plugin that counts what the guests execute; none where the VMM takes none.
    pub plugin: Option<PathBuf>,
    /// Build id of the agent in the guests, which must answer; none if it has none.
    pub agent: Option<String>,
    /// Where checkpoints are kept.
    pub store: Store,
    /// The kernels' functions.
    pub symbols: SymbolTables,
    /// How results come back.
    pub vsock: Vsock,
    /// How long anything may take.
    pub deadlines: Deadlines,
    /// Whether to make checkpoints afresh even where there are some.
    pub fresh_checkpoints: bool,
    /// Where the guests' consoles are kept, if anywhere.
    pub consoles: Option<Consoles>,
    /// Whether a guest of this run has filled the drive already ([`Precondition`]).
    pub filled: Cell<bool>,
    /// Where what the guests hand back goes, if they hand anything back.
    pub artifacts: Option<Artifacts>,
}

/// What a guest finds that is booted to its checkpoint.
const NO_JOB: &[u8] = &[];

type Attempt<T> = std::result::Result<T, Outcome>;

impl Executor for Qemu {
    type Checkpoint = Rc<Checkpoint>;

    async fn checkpoint(
        &self,
        kernel: &KernelPlan,
        cpu: usize,
        watch: Watch,
    ) -> Attempt<Booted<Rc<Checkpoint>>> {
        let machine = machine_of(kernel)?;
        let began = Instant::now();
        if !self.fresh_checkpoints
            && let Some(found) = self.saved(machine, &watch).await
        {
            return Ok(Booted::Saved(checkpointed(found, true, began)));
        }
        let name = &kernel.record.name;
        let made = self.boot_and_save(name, machine, cpu, &watch).await;
        let made = match made.map_err(|outcome| kernel.explain(outcome)) {
            // One cold boot in several hundred hangs without explanation: one retry, and it shows.
            Err(Outcome::TimedOut { phase, after_s, .. }) => {
                watch(
                    Doing::Retry,
                    &format!("no progress in phase `{phase}` for {after_s:.0} s; retrying once"),
                );
                self.boot_and_save(name, machine, cpu, &watch).await?
            }
            other => other?,
        };
        Ok(match made {
            Ok(made) => Booted::Saved(checkpointed(made, false, began)),
            Err(error) => Booted::NotSaved { why: words(&error) },
        })
    }

    async fn cell(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        cpu: usize,
        watch: Watch,
    ) -> Outcome {
        let profiling = Profiling::FirstWindow {
            of: seen::windows(&cell.job),
        };
        match self
            .measure(kernel, cell, from, cpu, profiling, &watch)
            .await
        {
            Ok((measured, _)) => Outcome::Measured(Box::new(measured)),
            Err(outcome) => kernel.explain(outcome),
        }
    }
}

impl Qemu {
    /// Measures a cell with all its windows profiled.
    ///
    /// # Errors
    /// What came of the cell instead.
    pub async fn explain(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        cpu: usize,
        watch: Watch,
    ) -> Attempt<(Measured, Seen)> {
        let profiling = Profiling::AllWindows;
        let (measured, seen) = self
            .measure(kernel, cell, from, cpu, profiling, &watch)
            .await?;
        let seen = seen.ok_or_else(|| {
            profile::failed(
                &Error::host(format!(
                    "{} does not support plugins",
                    self.vmm.record.version
                ))
                .hint("omit --qemu to use the locked QEMU"),
            )
        })?;
        Ok((measured, seen))
    }

    async fn saved(&self, plan: &MachinePlan, watch: &Watch) -> Option<Checkpoint> {
        let (store, key) = (self.store.clone(), plan.checkpoint);
        let opened = blocking("checking a checkpoint", move || {
            let Some(dir) = store.find(CHECKPOINTS, &key)? else {
                return Ok(None);
            };
            store.hold(&dir);
            Checkpoint::open(&dir).map(Some)
        });
        match opened.await {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                let text = format!("{error}; rebuilding it");
                self.doubt(plan, &text, watch).await;
                None
            }
        }
    }

    /// The RAM of a checkpoint for one cell; none, which is said, if it is not what was saved: then
    /// the cell boots by itself, with the same digits, and the next run makes the checkpoint anew.
    async fn saved_ram(
        &self,
        plan: &MachinePlan,
        checkpoint: &Checkpoint,
        watch: &Watch,
    ) -> Option<GuestRam> {
        match checkpoint.load_ram().await {
            Ok(ram) => Some(ram),
            Err(error) => {
                let text = format!(
                    "{error}; this cell boots on its own, and the next run rebuilds the checkpoint"
                );
                self.doubt(plan, &text, watch).await;
                None
            }
        }
    }

    /// A checkpoint is a cache, and costs one boot: in doubt it goes, with what its guests said of
    /// their kernel.
    async fn doubt(&self, plan: &MachinePlan, text: &str, watch: &Watch) {
        watch(Doing::Rebuild, text);
        self.symbols.forget(&plan.checkpoint);
        for kind in [CHECKPOINTS, symbols::KIND] {
            let (store, key) = (self.store.clone(), plan.checkpoint);
            let forget = move || store.forget(kind, &key);
            // What cannot be removed is found in doubt again.
            let _ = blocking("removing a cache entry in doubt", forget).await;
        }
    }

    /// Boots a guest to its checkpoint. The inner error is that of keeping it.
    async fn boot_and_save(
        &self,
        name: &str,
        plan: &MachinePlan,
        cpu: usize,
        watch: &Watch,
    ) -> Attempt<Result<Checkpoint>> {
        let began = Instant::now();
        self.check(&plan.spec).await?;
        let mut machine = self.boot(&self.vmm, &plan.spec, NO_JOB, cpu).await?;
        let _console = self.keep_console(&format!("boot {name}"), &machine);
        let mut watcher = Watcher::new(self.deadlines);
        watcher
            .until(&mut machine, Handover::Ready, true, &phases(watch))
            .await?;
        watch(Doing::Save, "");
        let saved = async {
            let memory = digest(&machine).await?;
            let wall_s = began.elapsed().as_secs_f64();
            let staging = self.store.staging()?;
            Checkpoint::save(&machine, staging.path(), memory, wall_s).await?;
            // Opened before it is published: another harness may replace it at any moment.
            let path = staging.path().to_owned();
            let opened = blocking("checking a checkpoint", move || Checkpoint::open(&path)).await?;
            // In place of an older one, or of one in doubt.
            let (store, key) = (self.store.clone(), plan.checkpoint);
            blocking("keeping a checkpoint", move || {
                let kept =
                    store.replace(CHECKPOINTS, &key, |dir| move_files(staging.path(), dir))?;
                store.hold(&kept);
                Ok(())
            })
            .await?;
            Ok(opened)
        };
        let saved: Result<Checkpoint> = saved.await;
        let saved = saved.map_err(|e| match machine.said_last() {
            said if said.is_empty() => e,
            said => e.while_(format!("keeping the checkpoint (QEMU said: {said})")),
        });
        machine.end().await;
        Ok(saved)
    }

    /// Whether the files a guest boots from are still those that its digest names: what the disk
    /// did to them since must not become a figure.
    async fn check(&self, spec: &Spec) -> Attempt<()> {
        let doing = "checking what the guest boots from";
        let (store, spec) = (self.store.clone(), spec.clone());
        let checked = blocking(doing, move || {
            store.check_again(&spec.kernel)?;
            store.check_again(&spec.initramfs)
        });
        checked.await.map_err(|e| failed(doing, &e))
    }

    /// The console is written when what is returned is dropped: however the guest ends.
    fn keep_console(&self, guest: &str, machine: &Machine) -> Option<Kept> {
        let consoles = self.consoles.as_ref()?;
        Some(consoles.keep(guest, machine.console.clone()))
    }

    async fn boot(&self, vmm: &Vmm, spec: &Spec, job: &[u8], cpu: usize) -> Attempt<Machine> {
        let start = async {
            let ram = GuestRam::create(u64::from(spec.memory_mib) << 20)?;
            let drive = drive::contents(spec.drive.as_ref(), self.store.root())?;
            let contents = Contents { ram, job, drive };
            Machine::start(vmm, spec, Start::Boot, contents, cpu).await
        };
        start.await.map_err(|e| failed("starting the guest", &e))
    }

    async fn measure(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        cpu: usize,
        profiling: Profiling,
        watch: &Watch,
    ) -> Attempt<(Measured, Option<Seen>)> {
        let plan = machine_of(kernel)?;
        let vmm = self.watched(plan, profiling);
        let began = Instant::now();
        let repetitions = cell.job.measure.repetitions;
        let mut watcher = Watcher::new(self.deadlines).expecting(repetitions);
        let with = With {
            vmm: &vmm,
            cpu,
            profiling,
        };
        let begun = self.begin(plan, cell, from, &with, &mut watcher, watch);
        let Begun {
            mut machine,
            console,
            memory,
            from_checkpoint,
            mut icount,
            with_job: _with_job, // In use until the guest is over.
            spec,
        } = begun.await?;
        let stops = plan.stop_by == StopBy::Pvpanic;
        watcher
            .until(&mut machine, Handover::Done, stops, &phases(watch))
            .await?;
        let end = if stops {
            let now = profile::executed(&machine, profiling).await;
            icount = icount
                .zip(now)
                .and_then(|(then, now)| now.checked_sub(then));
            memory_of(&machine, &plan.spec).await?
        } else {
            icount = None;
            None
        };
        watch(Doing::Phase(Phase::Report), "");
        let report = self.report(&mut machine, &mut watcher, stops, plan).await;
        let cpu_s = machine.cpu_seconds();
        // Whole since the guest's last mark, which came before its report.
        let profile = machine.profile.bytes_from(0);
        self.take_artifacts(&mut machine, &mut watcher, &spec, watch)
            .await;
        machine.end().await;
        drop(console);
        let (guest, symbols) = report?;
        if let Some(why) = kernel.mistaken_for(&guest.boot) {
            if from_checkpoint {
                let text = format!("{why}; the next run rebuilds its checkpoint");
                self.doubt(plan, &text, watch).await;
            }
            let error = Error::internal(why).hint("run the same command again");
            return Err(failed("checking which kernel the guest runs", &error));
        }
        if guest
            .conditioned
            .as_ref()
            .is_some_and(|done| done.filled_bytes > 0)
        {
            self.filled.set(true);
        }
        let counted = self.counted(&vmm, &profile, &symbols, icount)?;
        let instructions = match &counted {
            Some(seen) => Some(seen.instructions(&guest).map_err(|e| profile::failed(&e))?),
            None => None,
        };
        for note in self.store.take_notes() {
            watch(Doing::Rebuild, &note);
        }
        let measured = Measured {
            guest,
            instructions,
            memory: MemoryDigests {
                checkpoint: memory,
                end,
            },
            host: HostSide {
                vsock: self.vsock.route().name().to_owned(),
                wall_s: began.elapsed().as_secs_f64(),
                cpu_s,
                checkpoint: from_checkpoint,
                accel: plan.spec.time.accel(),
            },
        };
        Ok((measured, counted))
    }

    /// A cell's job without what an earlier guest of this run has done to the drive for good.
    fn still_to_do(&self, cell: &CellPlan) -> Job {
        let mut job = cell.job.clone();
        let kept = cell.key.lane.device.keeps() && job.conditioning.fill_lasts();
        if kept && self.filled.get() {
            job.conditioning.precondition = Precondition::None;
        }
        job
    }

    /// A guest that is on its way with a cell's job: restored, or booted for it.
    async fn begin(
        &self,
        plan: &MachinePlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        with: &With<'_>,
        watcher: &mut Watcher,
        watch: &Watch,
    ) -> Attempt<Begun> {
        let With {
            vmm,
            cpu,
            profiling,
        } = *with;
        let asked = self.still_to_do(cell);
        let job = serde_json::to_vec(&asked)
            .map_err(|e| failed("writing the job", &Error::internal("as JSON").because(e)))?;
        let name = cell.key.to_string();
        let spec = Artifacts::place(self.artifacts.as_ref(), &plan.spec, &name)
            .map_err(|e| failed("making room for the guest's files", &e))?;
        let console;
        let mut icount = None;
        let saved = match from {
            None => None,
            Some(checkpoint) => {
                watch(Doing::Restore, "");
                let ram = self.saved_ram(plan, checkpoint, watch).await;
                ram.map(|ram| (checkpoint, ram))
            }
        };
        let from_checkpoint = saved.is_some();
        let mut with_job = None;
        let (machine, memory) = match (saved, plan.stop_by) {
            (Some((checkpoint, ram)), _) => {
                let spec = &plan.spec;
                let restored = checkpoint.restore_with(vmm, spec, ram, &job, cpu).await;
                let machine = restored.map_err(|e| failed("restoring the checkpoint", &e))?;
                console = self.keep_console(&name, &machine);
                icount = profile::executed(&machine, profiling).await;
                go_on(&machine).await?;
                (machine, Some(checkpoint.meta.memory.clone()))
            }
            (None, StopBy::Pvpanic) => {
                self.check(&spec).await?;
                let mut machine = self.boot(vmm, &spec, &job, cpu).await?;
                icount = profile::executed(&machine, profiling).await.map(|_| 0);
                console = self.keep_console(&name, &machine);
                watcher
                    .until(&mut machine, Handover::Ready, true, &phases(watch))
                    .await?;
                let memory = memory_of(&machine, &spec).await?;
                go_on(&machine).await?;
                (machine, memory)
            }
            (None, StopBy::None) => {
                self.check(&plan.spec).await?;
                let added = with_job.insert(self.initramfs_with(plan, &asked).await?);
                let spec = Spec {
                    initramfs: added.path().join(crate::image::INITRAMFS),
                    ..spec.clone()
                };
                let machine = self.boot(vmm, &spec, NO_JOB, cpu).await?;
                console = self.keep_console(&name, &machine);
                (machine, None)
            }
        };
        Ok(Begun {
            machine,
            console,
            memory,
            from_checkpoint,
            icount,
            with_job,
            spec,
        })
    }

    /// The initramfs of a guest that boots once per cell carries its job; it is gone when the guest is.
    async fn initramfs_with(&self, plan: &MachinePlan, job: &Job) -> Attempt<Staging> {
        let doing = "adding the job to the initramfs";
        let (store, without, job) = (self.store.clone(), plan.spec.initramfs.clone(), job.clone());
        let with = blocking(doing, move || {
            let staging = store.staging()?;
            let path = staging.path().join(crate::image::INITRAMFS);
            crate::image::with_job(&without, &job, &path)?;
            Ok(staging)
        });
        with.await.map_err(|e| failed(doing, &e))
    }
}

/// What a cell's guest runs on.
struct With<'a> {
    vmm: &'a Vmm,
    cpu: usize,
    profiling: Profiling,
}

/// A guest that is on its way with its job.
struct Begun {
    machine: Machine,
    console: Option<Kept>,
    /// Digest of its memory at the checkpoint, if it stopped there.
    memory: Option<String>,
    from_checkpoint: bool,
    /// Where QEMU's own count stood when the plugin's began.
    icount: Option<u64>,
    /// The initramfs that it boots from, where that is its own.
    with_job: Option<Staging>,
    /// Its machine, with the place for what it hands back.
    spec: Spec,
}

/// What hands the agent's own phases on.
fn phases(watch: &Watch) -> impl Fn(Phase, &str) {
    |phase, detail| watch(Doing::Phase(phase), detail)
}

async fn go_on(machine: &Machine) -> Attempt<()> {
    match machine.qmp.execute("cont", json!({})).await {
        Ok(_) => Ok(()),
        Err(e) => Err(failed_in("resuming the guest", &e, machine)),
    }
}

/// Digest of a guest's memory; none by the wall clock, under which no two are equal.
async fn memory_of(machine: &Machine, spec: &Spec) -> Attempt<Option<String>> {
    if spec.time != Time::Instructions {
        return Ok(None);
    }
    let read = digest(machine).await.map(Some);
    read.map_err(|e| failed("reading the guest's memory", &e))
}

async fn digest(machine: &Machine) -> Result<String> {
    let ram = machine.ram.clone();
    blocking("reading the guest's memory", move || ram.digest()).await
}

fn machine_of(kernel: &KernelPlan) -> Attempt<&MachinePlan> {
    kernel
        .machine
        .as_ref()
        .ok_or_else(|| Outcome::HarnessFailed {
            stage: "planning".into(),
            why: format!("kernel {} has no machine", kernel.record.name),
        })
}

fn checkpointed(
    checkpoint: Checkpoint,
    cached: bool,
    began: Instant,
) -> Checkpointed<Rc<Checkpoint>> {
    Checkpointed {
        cached,
        wall_s: began.elapsed().as_secs_f64(),
        cpu_s: if cached { 0.0 } else { checkpoint.meta.cpu_s },
        memory: checkpoint.meta.memory.clone(),
        handle: Rc::new(checkpoint),
    }
}

fn failed(stage: &str, error: &Error) -> Outcome {
    Outcome::HarnessFailed {
        stage: stage.to_owned(),
        why: words(error),
    }
}

/// The same while QEMU runs: with its own last words, if it had any.
fn failed_in(stage: &str, error: &Error, machine: &Machine) -> Outcome {
    let said = machine.said_last();
    let why = match said.is_empty() {
        true => words(error),
        false => format!("{}; QEMU said: {said}", words(error)),
    };
    Outcome::HarnessFailed {
        stage: stage.to_owned(),
        why,
    }
}

/// An error with its causes and its next step, in one line.
fn words(error: &Error) -> String {
    let text = error.render();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.replace("\n  ", "; ")
}
