//! What the benchmarks share: the plan, its checkpoints, guests, and medians.

use diorama::{
    error::{Error, Result},
    image,
    lock::WhenGone,
    plan::{CellPlan, KernelPlan, MachinePlan, Plan},
    provision::{Project, Provision},
    record::Outcome,
    run::{Booted, Executor as _, Qemu, SymbolTables},
    scenario::{self, Overrides},
    store::{NoProgress, Sources, Store},
    vm::{Checkpoint, Deadlines, Handover, Machine, Vmm, Watcher, cpu_seconds, vsock::Vsock},
};
use serde_json::json;
use std::{
    cell::RefCell,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
};

/// One moment of a guest's life.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The phase that begins, as the agent names it, and its detail.
    pub phase: String,
    /// CPU seconds of QEMU until then. The harness looks every 20 ms, so it may be that much late.
    pub cpu_s: f64,
}

/// Everything that a benchmark needs.
pub struct Lab {
    runtime: tokio::runtime::Runtime,
    /// The host CPU that guests are pinned to.
    pub cpu: usize,
    /// What could be measured.
    pub plan: Plan,
    /// The checkout.
    pub root: PathBuf,
    /// The agent.
    pub agent: PathBuf,
    /// A directory that ends with the benchmarks.
    pub scratch: tempfile::TempDir,
    qemu: Qemu,
}

impl Lab {
    /// Makes the inputs of a scenario ready; its path is relative to the checkout.
    pub fn open(scenario: &str) -> Result<Lab> {
        let variable = |name: &str| {
            env::var_os(name).map(PathBuf::from).ok_or_else(|| {
                Error::input(format!("{name} is not set")).hint("run `cargo xtask bench`")
            })
        };
        let (root, agent) = (variable("DIORAMA_ROOT")?, variable("DIORAMA_AGENT")?);
        let text = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
        let store = Store::open(match text("DIORAMA_CACHE") {
            Some(cache) => cache.into(),
            None => Store::default_root(text)?,
        })?;
        let project = Project::open(&root)?;
        let scenario = scenario::load(
            &root.join(scenario),
            &project.kernel_names(),
            &Overrides::default(),
        )?;
        let provision = Provision {
            project: &project,
            store: &store,
            sources: &Sources::from_env(text)?,
            when_gone: WhenGone::Fail,
            progress: &NoProgress,
            tell: &|line| println!("{line}"),
        };
        let mut provided = provision.scenario(&scenario, "lock", &agent, &[])?;
        let plugin = agent.with_file_name(image::sysroot::PLUGIN);
        let counted = provided.vmm.counts_with(&plugin);
        counted.map_err(|why| Error::host(why).hint("run `cargo xtask bench`"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::host("starting the async runtime").because(e))?;
        let vsock = runtime.block_on(async { Vsock::open(None) })?;
        let slots = diorama::run::slots(Some(1), scenario.memory_mib)?;
        let scratch = tempfile::tempdir()
            .map_err(|e| Error::host("making a temporary directory").because(e))?;
        println!(
            "{}; exact lane: model device, instructions clock; load now {}",
            provided.vmm.record.version,
            fs::read_to_string("/proc/loadavg")
                .unwrap_or_default()
                .trim()
        );
        Ok(Lab {
            plan: Plan::new(scenario, provided.kernels, provided.vmm.record.clone()),
            qemu: Qemu {
                vmm: provided.vmm,
                plugin: Some(plugin),
                agent: provided.agent,
                symbols: SymbolTables::new(store.clone()),
                store,
                vsock,
                deadlines: Deadlines::default(),
                fresh_checkpoints: false,
                consoles: None,
                filled: Default::default(),
                artifacts: None,
            },
            cpu: slots.cpus[0],
            runtime,
            root,
            agent,
            scratch,
        })
    }

    /// The QEMU of the lock.
    pub fn vmm(&self) -> &Vmm {
        &self.qemu.vmm
    }

    /// Runs something asynchronous to its end.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A kernel of the scenario.
    pub fn kernel(&self, name: &str) -> Result<(&KernelPlan, &MachinePlan)> {
        let kernel = self.plan.kernels.iter().find(|k| k.record.name == name);
        kernel
            .and_then(|k| Some((k, k.machine.as_ref()?)))
            .ok_or_else(|| Error::input(format!("kernel {name} cannot be measured here")))
    }

    /// A kernel's checkpoint, made if there is none.
    pub async fn checkpoint(&self, kernel: &KernelPlan) -> Result<Rc<Checkpoint>> {
        let quiet = Box::new(|_, _: &str| {});
        let made = self.qemu.checkpoint(kernel, self.cpu, quiet).await;
        match made.map_err(|o| ended(&o))? {
            Booted::Saved(checkpoint) => Ok(checkpoint.handle),
            Booted::NotSaved { why } => Err(Error::host(why)),
        }
    }

    /// Profiles a cell: instructions of user space in its windows, and the windows' I/Os.
    pub async fn user(&self, kernel: &KernelPlan, cell: &CellPlan) -> Result<(u64, u64)> {
        let checkpoint = self.checkpoint(kernel).await?;
        let quiet = Box::new(|_, _: &str| {});
        let profiled = self
            .qemu
            .explain(kernel, cell, Some(&checkpoint), self.cpu, quiet);
        let (measured, seen) = profiled.await.map_err(|o| ended(&o))?;
        let ios = measured.guest.repetitions.iter().map(|r| r.span_ios).sum();
        Ok((seen.stacks.user(), ios))
    }

    /// Restores a cell, lets it go on and marks every phase until it is measured.
    pub async fn cell(
        &self,
        vmm: &Vmm,
        kernel: &KernelPlan,
        job: &diorama_wire::Job,
    ) -> Result<Vec<Mark>> {
        let (_, plan) = self.kernel(&kernel.record.name)?;
        let checkpoint = self.checkpoint(kernel).await?;
        let job =
            serde_json::to_vec(job).map_err(|e| Error::internal("writing the job").because(e))?;
        let mut machine = checkpoint.restore(vmm, &plan.spec, &job, self.cpu).await?;
        let before = machine.cpu_seconds();
        machine.qmp.execute("cont", json!({})).await?;
        let mut marks = watch(&mut machine, Handover::Done).await?;
        machine.end().await;
        for mark in &mut marks {
            mark.cpu_s -= before;
        }
        Ok(marks)
    }

    /// Compiles a program of `guest/`, without the standard library.
    pub fn compile(&self, source: &str, options: &[&str]) -> Result<PathBuf> {
        let out = self.scratch.path().join(source).with_extension("out");
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command
            .current_dir(&self.root)
            .args([
                "--edition",
                "2024",
                "-C",
                "panic=abort",
                "-C",
                "opt-level=2",
            ])
            .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"])
            .args(options)
            .arg("-o")
            .arg(&out)
            .arg(Path::new("harness/benches/cost/guest").join(source));
        let done = command
            .output()
            .map_err(|e| Error::host("starting rustc").because(e))?;
        if done.status.success() {
            Ok(out)
        } else {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            Err(Error::host(format!("compiling {source}: {said}")))
        }
    }
}

/// Watches a machine until it hands over, and marks every phase and the end.
pub async fn watch(machine: &mut Machine, goal: Handover) -> Result<Vec<Mark>> {
    let marks = RefCell::new(Vec::new());
    let pid = machine.pid();
    let mark = |phase: &str, detail: &str| {
        marks.borrow_mut().push(Mark {
            phase: format!("{phase} {detail}").trim_end().to_owned(),
            cpu_s: pid.and_then(cpu_seconds).unwrap_or(f64::NAN),
        });
    };
    let mut watcher = Watcher::new(Deadlines::default());
    watcher
        .until(machine, goal, true, &|phase, detail| {
            mark(phase.name(), detail);
        })
        .await
        .map_err(|o| ended(&o))?;
    mark("end", "");
    Ok(marks.into_inner())
}

/// The cell of this file system and workload.
pub fn cell_of<'a>(
    kernel: &'a KernelPlan,
    filesystem: &str,
    workload: &str,
) -> Result<&'a CellPlan> {
    let wanted = |c: &&CellPlan| c.key.filesystem == filesystem && c.key.workload == workload;
    kernel
        .cells
        .iter()
        .find(wanted)
        .ok_or_else(|| Error::input(format!("there is no cell {filesystem}/{workload}")))
}

fn ended(outcome: &Outcome) -> Error {
    Error::host(format!("{}: {}", outcome.word(), outcome.why()))
}

/// The middle one, and the least and the most.
pub fn median(figures: &[f64]) -> (f64, f64, f64) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    let last = sorted.len().saturating_sub(1);
    (at(sorted.len() / 2), at(0), at(last))
}

/// `2.71 [2.60 to 2.90]`
pub fn show(figures: &[f64]) -> String {
    let (median, least, most) = median(figures);
    format!("{median:.2} [{least:.2} to {most:.2}]")
}
