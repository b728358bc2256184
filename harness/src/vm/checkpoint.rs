//! Saving and restoring a paused machine.
//!
//! The guest's RAM is a memfd of the harness's own: QEMU's migration stream leaves it out
//! (`x-ignore-shared`) and carries the devices only, and the harness copies the RAM's data ranges.
//! A checkpoint is a cache of this host: it is derived from hashed inputs, checked against its own
//! digests, rebuilt when in doubt, and never taken from elsewhere (loading one is trusting it).

use super::{
    Vmm,
    machine::Machine,
    memory::GuestRam,
    spec::{Spec, Start},
};
use crate::{
    error::{Error, Result},
    record::write_atomically,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const RAM: &str = "ram.img";
const DEVICES: &str = "devices.bin";
const META: &str = "checkpoint.json";

/// How long saving or loading the device state may take.
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
    /// BLAKE3 of the device state, in hex.
    pub devices: String,
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
        let (read, write) = pipe()?;
        let drain = tokio::task::spawn_blocking(move || {
            let mut state = Vec::new();
            File::from(read).read_to_end(&mut state).map(|_| state)
        });
        ignore_shared_ram(machine).await?;
        machine.qmp.send_fd("devices", write.as_fd()).await?;
        drop(write);
        machine
            .qmp
            .execute("migrate", json!({"uri": "fd:devices"}))
            .await?;
        let devices = tokio::time::timeout(DEADLINE, drain)
            .await
            .map_err(|e| Error::host("waiting for QEMU's device state").because(e))?
            .map_err(|e| Error::internal("reading QEMU's device state").because(e))?
            .map_err(|e| Error::host("reading QEMU's device state").because(e))?;
        await_migration(machine).await?;

        let digest = blake3::hash(&devices).to_hex().to_string();
        let meta = Meta {
            memory,
            devices: digest,
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

    /// Opens a saved machine and checks it against its own digests.
    ///
    /// # Errors
    /// When anything of it is missing or altered: then it must be rebuilt.
    pub fn open(dir: &Path) -> Result<Checkpoint> {
        let path = dir.join(META);
        let json = fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
        let meta: Meta = serde_json::from_slice(&json).map_err(|e| {
            Error::internal(format!("{} does not describe a checkpoint", path.display())).because(e)
        })?;
        let path = dir.join(DEVICES);
        let devices = fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
        let path = dir.join(RAM);
        let file = Arc::new(File::open(&path).map_err(|e| Error::io("opening", &path, e))?);
        let ram = GuestRam::load_sparse(&own_path(&file))?;
        let sound = blake3::hash(&devices).to_hex().as_str() == meta.devices
            && ram.digest()? == meta.memory;
        if sound {
            Ok(Checkpoint {
                ram: file,
                devices: devices.into(),
                meta,
            })
        } else {
            Err(Error::fetch(format!(
                "the checkpoint in {} was altered",
                dir.display()
            )))
        }
    }

    /// Starts a machine in the saved state; it is paused when this returns.
    ///
    /// # Errors
    /// When QEMU does not take the state.
    pub async fn restore(&self, vmm: &Vmm, spec: &Spec, job: &[u8], cpu: usize) -> Result<Machine> {
        let file = self.ram.clone();
        let ram = blocking("loading the guest's memory", move || {
            GuestRam::load_sparse(&own_path(&file))
        })
        .await?;
        let machine = Machine::start(vmm, spec, Start::Restore, ram, job, cpu).await?;
        ignore_shared_ram(&machine).await?;
        let devices = self.devices.clone();
        let (read, write) = pipe()?;
        machine.qmp.send_fd("devices", read.as_fd()).await?;
        drop(read);
        let feed = tokio::task::spawn_blocking(move || File::from(write).write_all(&devices));
        machine
            .qmp
            .execute("migrate-incoming", json!({"uri": "fd:devices"}))
            .await?;
        feed.await
            .map_err(|e| Error::internal("feeding QEMU its device state").because(e))?
            .map_err(|e| Error::host("feeding QEMU its device state").because(e))?;
        await_incoming(&machine).await?;
        Ok(machine)
    }
}

/// A name under which this process can open its own file again, with an offset of its own.
fn own_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
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

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| Error::host("making a pipe").because(std::io::Error::from(e)))
}

async fn ignore_shared_ram(machine: &Machine) -> Result<()> {
    let capability = json!([{"capability": "x-ignore-shared", "state": true}]);
    machine
        .qmp
        .execute(
            "migrate-set-capabilities",
            json!({"capabilities": capability}),
        )
        .await
        .map(drop)
}

async fn await_migration(machine: &Machine) -> Result<()> {
    poll(machine, "query-migrate", |answer| {
        match answer["status"].as_str() {
            Some("completed") => Ok(true),
            Some("failed" | "cancelled") => Err(Error::host(format!(
                "QEMU could not save its devices: {answer}"
            ))),
            _ => Ok(false),
        }
    })
    .await
}

async fn await_incoming(machine: &Machine) -> Result<()> {
    poll(machine, "query-status", |answer| {
        match answer["status"].as_str() {
            Some("inmigrate") => Ok(false),
            Some("internal-error" | "io-error") | None => Err(Error::host(format!(
                "QEMU did not take the device state: {answer}"
            ))),
            Some(_) => Ok(true),
        }
    })
    .await
}

async fn poll(
    machine: &Machine,
    command: &str,
    done: impl Fn(&serde_json::Value) -> Result<bool>,
) -> Result<()> {
    let ask = async {
        while !done(&machine.qmp.execute(command, json!({})).await?)? {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    };
    match tokio::time::timeout(DEADLINE, ask).await {
        Ok(result) => result,
        Err(e) => Err(Error::host(format!("waiting for QEMU's {command}")).because(e)),
    }
}
