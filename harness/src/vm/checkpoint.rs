//! Saving and restoring a paused machine.
//!
//! The guest's RAM is a memfd of the harness's own, and the harness copies its data ranges; QEMU
//! saves the devices alone. It does so by a command that was made for Xen, because the usual
//! `migrate` runs in a thread of its own, which a machine that records (see `spec`) has no room for.
//! A checkpoint is a cache of this host: it is derived from hashed inputs, checked when it is found in
//! the store and its RAM again whenever it is copied, rebuilt when in doubt, and never taken from
//! elsewhere (loading one is trusting it).

use super::{
    Vmm,
    child::own_path,
    machine::{Contents, Machine},
    memory::GuestRam,
    spec::{Spec, Start},
};
use crate::{
    error::{Error, Result},
    files::{self, write_atomically},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// The devices' state has some 300 KB; in bytes.
const DEVICES_LIMIT: u64 = 16 << 20;

const RAM: &str = "ram.img";
const DEVICES: &str = "devices.bin";
const META: &str = "checkpoint.json";

/// How long loading the device state may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A saved machine. Its files stay open: another harness may replace the directory meanwhile.
#[derive(Debug)]
pub struct Checkpoint {
    ram: Arc<File>,
    devices: Arc<[u8]>,
    /// What it holds.
    pub meta: Meta,
}

/// checkpoint.json
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Digest of the guest's memory, as in the record.
    pub memory: String,
    /// Host seconds from the start of QEMU to the checkpoint.
    pub wall_s: f64,
    /// CPU seconds of QEMU to the checkpoint.
    pub cpu_s: f64,
}

impl Checkpoint {
    /// Saves a paused machine into an empty directory.
    ///
    /// # Errors
    /// When QEMU refuses or the disk does.
    pub async fn save(machine: &Machine, dir: &Path, memory: String, wall_s: f64) -> Result<()> {
        let cpu_s = machine.cpu_seconds();
        let devices = devices_of(machine).await?;
        let meta = Meta {
            memory,
            wall_s,
            cpu_s,
        };
        let (dir, ram) = (dir.to_owned(), machine.ram.clone());
        blocking("saving the guest's memory", move || {
            ram.save_sparse(&dir.join(RAM))?;
            let path = dir.join(DEVICES);
            fs::write(&path, &devices).map_err(|e| Error::io("writing", &path, e))?;
            let json = serde_json::to_vec_pretty(&meta)
                .map_err(|e| Error::internal("writing checkpoint.json").because(e))?;
            write_atomically(&dir.join(META), &json)
        })
        .await
    }

    /// Opens a saved machine. Its files are those that were saved, as far as the store's manifest
    /// tells; whoever opens one that is not in the store yet has just saved it.
    ///
    /// # Errors
    /// When anything of it is missing or cannot be read.
    pub fn open(dir: &Path) -> Result<Checkpoint> {
        let path = dir.join(META);
        let json = files::read(&path, files::TEXT).map_err(|e| Error::io("reading", &path, e))?;
        let meta: Meta = serde_json::from_slice(&json).map_err(|e| {
            Error::internal(format!("{} does not describe a checkpoint", path.display())).because(e)
        })?;
        let path = dir.join(DEVICES);
        let devices =
            files::read(&path, files::PROGRAM).map_err(|e| Error::io("reading", &path, e))?;
        let path = dir.join(RAM);
        let file = File::open(&path).map_err(|e| Error::io("opening", &path, e))?;
        Ok(Checkpoint {
            ram: Arc::new(file),
            devices: devices.into(),
            meta,
        })
    }

    /// The saved RAM for one machine, checked while it is copied.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was saved: then the checkpoint must be made anew.
    pub async fn load_ram(&self) -> Result<GuestRam> {
        let file = self.ram.clone();
        let (ram, digest) = blocking("loading the guest's memory", move || {
            GuestRam::load_sparse(Path::new(&own_path(file.as_raw_fd())))
        })
        .await?;
        if digest == self.meta.memory {
            Ok(ram)
        } else {
            Err(Error::fetch(format!("{RAM} of the checkpoint was altered")))
        }
    }

    /// Starts a machine in the saved state; it is paused when this returns.
    ///
    /// # Errors
    /// Those of [`Checkpoint::load_ram`], and when QEMU does not take the state.
    pub async fn restore(&self, vmm: &Vmm, spec: &Spec, job: &[u8], cpu: usize) -> Result<Machine> {
        let ram = self.load_ram().await?;
        self.restore_with(vmm, spec, ram, job, cpu).await
    }

    /// The same, with the RAM that [`Checkpoint::load_ram`] gave.
    ///
    /// # Errors
    /// When QEMU does not take the state.
    pub async fn restore_with(
        &self,
        vmm: &Vmm,
        spec: &Spec,
        ram: GuestRam,
        job: &[u8],
        cpu: usize,
    ) -> Result<Machine> {
        let start = Start::Restore(&self.devices);
        let machine = Machine::start(vmm, spec, start, Contents::exact(ram, job), cpu).await?;
        await_incoming(&machine).await?;
        Ok(machine)
    }
}

/// Lets a paused machine go on as another one over the same RAM, which `spec` describes; that is paused
/// as well when this returns.
///
/// # Errors
/// When QEMU does not give its devices' state, or the other does not take it.
pub async fn go_on_as(machine: Machine, vmm: &Vmm, spec: &Spec, job: &[u8]) -> Result<Machine> {
    let devices = devices_of(&machine).await?;
    let ram = machine.ram.clone();
    machine.end().await;
    let ram = Arc::into_inner(ram)
        .ok_or_else(|| Error::internal("a machine that has ended still uses its RAM"))?;
    let start = Start::Restore(&devices);
    let machine = Machine::start(vmm, spec, start, Contents::exact(ram, job), 0).await?;
    await_incoming(&machine).await?;
    Ok(machine)
}

/// The state of a paused machine's devices.
async fn devices_of(machine: &Machine) -> Result<Vec<u8>> {
    let path = machine.devices.inherited_path();
    machine
        .qmp
        .execute("xen-save-devices-state", json!({"filename": path}))
        .await?;
    let devices = machine
        .devices
        .whole(DEVICES_LIMIT)
        .map_err(|e| e.while_("saving the guest's device state"))?;
    if devices.is_empty() {
        return Err(Error::host("QEMU saved no device state"));
    }
    Ok(devices)
}

/// Runs something that blocks, off the scheduler's thread.
///
/// # Errors
/// Those of `work`.
pub async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::internal(doing.to_owned()).because(e)),
    }
}

/// Waits until QEMU has read its devices' state.
async fn await_incoming(machine: &Machine) -> Result<()> {
    let ask = async {
        loop {
            let answer = machine.qmp.execute("query-status", json!({})).await?;
            match answer["status"].as_str() {
                Some("inmigrate") => tokio::time::sleep(Duration::from_millis(2)).await,
                Some("paused") => return Ok(()),
                _ => {
                    return Err(Error::host(format!(
                        "QEMU did not accept the device state: {answer}"
                    )));
                }
            }
        }
    };
    match tokio::time::timeout(DEADLINE, ask).await {
        Ok(result) => result,
        Err(e) => Err(Error::host("waiting for QEMU to load the device state").because(e)),
    }
}
