//! The agent's user-space instructions per I/O, counted exactly, in the very agent and guest that
//! measure: a TCG plugin counts every instruction at a user-space address (system calls' entry
//! stubs and the vDSO's clock among them). Two cells that differ only in the number of I/Os of
//! their one repetition differ by those I/Os alone; the quotient of the differences is the cost.

use super::lab::{Lab, cell_of};
use diorama::{
    error::{Error, Result},
    plan::KernelPlan,
    scenario::in_fios_words,
    vm::Vmm,
};
use diorama_wire::{Bound, Job};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Fewer and more I/Os of a repetition.
const IOS: [u64; 2] = [2_000, 12_000];

/// Counts for reads and writes of the oldest and the newest kernel.
pub fn measure(lab: &Lab, _runs: usize) -> Result<()> {
    let counter = Counter::new(lab)?;
    println!("\nUser-space instructions of the agent per 4k I/O, all in (goal 300)");
    for name in ["5.10", "7.2"] {
        let (kernel, _) = lab.kernel(name)?;
        for workload in ["read-4k", "write-4k"] {
            let cell = cell_of(kernel, "ext4", workload)?;
            let per_io = counter.per_io(kernel, &cell.job)?;
            println!("{name:6}  {workload:9}  {per_io:.1}");
        }
    }
    Ok(())
}

/// A QEMU that counts.
pub struct Counter<'a> {
    lab: &'a Lab,
    vmm: Vmm,
    count: PathBuf,
}

impl Counter<'_> {
    /// Compiles the plugin.
    pub fn new(lab: &Lab) -> Result<Counter<'_>> {
        let plugin = lab.compile("count.rs", &["--crate-type", "cdylib"])?;
        let count = lab.scratch.path().join("count.bin");
        let vmm = with_plugin(lab, &plugin, &count)?;
        Ok(Counter { lab, vmm, count })
    }

    /// User-space instructions per I/O of a cell's workload, whoever runs it.
    pub fn per_io(&self, kernel: &KernelPlan, job: &Job) -> Result<f64> {
        let mut counts = [0; 2];
        for (counted, ios) in counts.iter_mut().zip(IOS) {
            let mut job = job.clone();
            job.workload.bound = Bound::Ios(ios);
            job.measure.repetitions = 1;
            // No more than either, so that the warm-up is the same in both.
            job.measure.warmup_ios = IOS[0];
            if job.fio.is_some() {
                let fio = in_fios_words(&job.workload);
                job.fio = Some(fio.map_err(Error::input)?);
            }
            let empty = fs::write(&self.count, [0; 4096]);
            empty.map_err(|e| Error::io("writing", &self.count, e))?;
            self.lab.block_on(self.lab.cell(&self.vmm, kernel, &job))?;
            *counted = read(&self.count)?;
        }
        Ok((counts[1] - counts[0]) as f64 / (IOS[1] - IOS[0]) as f64)
    }
}

fn read(count: &Path) -> Result<u64> {
    let bytes = fs::read(count).map_err(|e| Error::io("reading", count, e))?;
    match bytes.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) {
        None | Some(0) => Err(Error::internal("the plugin counted nothing")),
        Some(n) => Ok(n),
    }
}

/// The same QEMU with the plugin, as a script: the options that the digits depend on stay as they
/// are.
fn with_plugin(lab: &Lab, plugin: &Path, count: &Path) -> Result<Vmm> {
    let quoted =
        |text: &std::ffi::OsStr| format!("'{}'", text.to_string_lossy().replace('\'', "'\\''"));
    let command = lab.vmm().command();
    let mut script = "#!/bin/sh\n".to_owned();
    for (name, value) in command.get_envs() {
        let name = name.to_string_lossy();
        match value {
            Some(value) => script.push_str(&format!("export {name}={}\n", quoted(value))),
            None => script.push_str(&format!("unset {name}\n")),
        }
    }
    let words: Vec<String> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(quoted)
        .collect();
    let plugin = format!("{},count={}", plugin.display(), count.display());
    script.push_str(&format!(
        "[ \"$1\" = --version ] && exec {0} --version\nexec {0} \"$@\" -plugin {1}\n",
        words.join(" "),
        quoted(plugin.as_ref())
    ));
    let path = lab.scratch.path().join("qemu-with-plugin");
    fs::write(&path, script).map_err(|e| Error::io("writing", &path, e))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .map_err(|e| Error::io("making executable", &path, e))?;
    Vmm::from_host(&path.display().to_string())
}
