//! One QEMU process and what the harness holds of it. Dropping it ends the process.

use super::{
    Vmm,
    confine::{self, Bounds, Confined, Launch},
    memory::GuestRam,
    qmp::{Events, Qmp},
    share::Server,
    spec::{Backing, Descriptors, Drive, EmulatedDrive, Spec, Start, Time},
    still_clock,
    stream::{CONSOLE_LIMIT, Stream},
};
use crate::{
    error::{Error, Result},
    vocabulary::Accel,
};
use diorama_wire::FW_CFG_JOB_SIZE;
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, RawFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{process::Child, time::timeout};

/// How long QEMU may take to answer its monitor.
const QMP_DEADLINE: Duration = Duration::from_secs(30);

/// A running QEMU.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    /// Its monitor.
    pub qmp: Qmp,
    /// Its events.
    pub events: Events,
    /// The guest's RAM.
    pub ram: Arc<GuestRam>,
    /// The serial console.
    pub console: Stream,
    /// The agent's debug port.
    pub progress: Stream,
    /// Where QEMU writes the state of its devices when it is told to.
    pub devices: Stream,
    /// Where the plugin writes what it saw, at the guest's last mark.
    pub profile: Stream,
    stderr: Stream,
    /// What confines the process.
    pub confined: Confined,
    /// Of the shared directories, in the order of the specification's.
    servers: Vec<Server>,
}

/// What is in a machine when it starts.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Its RAM.
    pub ram: GuestRam,
    /// The job, which travels in a fw_cfg item; empty where there is none yet.
    pub job: &'a [u8],
    /// What its drive holds, if it has one ([`super::drive::contents`]).
    pub drive: Option<File>,
}

impl<'a> Contents<'a> {
    /// Of a machine whose device is the guest's own.
    #[must_use]
    pub fn exact(ram: GuestRam, job: &'a [u8]) -> Contents<'a> {
        Contents {
            ram,
            job,
            drive: None,
        }
    }
}

impl Machine {
    /// Starts QEMU; under the instruction clock pinned to one host CPU, and with a wall clock that stands still.
    ///
    /// It dies with the thread that called this (so call it from the main thread), and with the
    /// value returned.
    ///
    /// # Errors
    /// When it cannot be started or does not answer; with QEMU's own words.
    pub async fn start(
        vmm: &Vmm,
        spec: &Spec,
        start: Start<'_>,
        contents: Contents<'_>,
        cpu: usize,
    ) -> Result<Machine> {
        let Contents { ram, job, drive } = contents;
        let exact = spec.time == Time::Instructions;
        let starting = |e: io::Error| Error::host("preparing to start QEMU").because(e);
        let console = Stream::new("console").map_err(starting)?;
        let progress = Stream::new("progress").map_err(starting)?;
        let stderr = Stream::new("stderr").map_err(starting)?;
        let devices = Stream::new("devices").map_err(starting)?;
        let profile = Stream::new("profile").map_err(starting)?;
        let incoming = match start {
            Start::Boot => None,
            Start::Restore(state) => Some(filled_pipe(state).map_err(starting)?),
        };
        let item = Stream::new("job").map_err(starting)?;
        item.append(&padded(job)?).map_err(starting)?;
        let (ours, theirs) = UnixStream::pair().map_err(starting)?;
        if exact && !spec.shares.is_empty() {
            return Err(Error::internal(
                "a guest under the instruction clock was to have shared directories",
            ));
        }
        let (mut servers, mut sockets) = (Vec::new(), Vec::new());
        for share in &spec.shares {
            let (server, socket) = Server::start(share).await?;
            servers.push(server);
            sockets.push(socket);
        }
        let fds = Descriptors {
            ram: ram.as_fd().as_raw_fd(),
            qmp: theirs.as_raw_fd(),
            console: console.descriptor(),
            progress: progress.descriptor(),
            job: item.descriptor(),
            drive: drive.as_ref().map(|file| file.as_raw_fd()),
            shares: sockets.iter().map(|socket| socket.as_raw_fd()).collect(),
            devices: incoming
                .as_ref()
                .map_or(devices.descriptor(), File::as_raw_fd),
        };
        let clock = match exact {
            true => Some(still_clock::library().map_err(starting)?),
            false => None,
        };
        let library = clock.as_ref().map(Stream::inherited_path);
        let mut command = match &library {
            Some(library) => vmm.command_behind(library),
            None => vmm.command(),
        };
        command.args(spec.argv(&fds, start));
        let profile_fd = profile.descriptor();
        if let Some(plugin) = &vmm.plugin {
            command.args(plugin.argv(profile_fd, spec.smp));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(stderr.duplicate().map_err(starting)?);
        let inherited: Vec<RawFd> = [
            fds.ram,
            fds.qmp,
            fds.console,
            fds.progress,
            fds.job,
            fds.devices,
            profile_fd,
        ]
        .into_iter()
        // A machine that was restored may be saved in its turn.
        .chain([devices.descriptor()])
        .chain(clock.as_ref().map(Stream::descriptor))
        .chain(fds.drive)
        .chain(fds.shares)
        .collect();
        let launch = Launch {
            inherited,
            // By the wall clock QEMU is as any other program.
            cpu: exact.then_some(cpu),
            largest_file: Some(longest(drive.as_ref()).map_err(starting)?),
            ..vmm.launch(|bounds| reach(bounds, spec, fds.drive))
        };
        let confined = launch.confine(&mut command)?;
        let child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| not_started(&stderr, e))?;
        // A server ends when the last copy of its socket does.
        drop((theirs, item, incoming, drive, sockets));

        match Qmp::connect(ours, QMP_DEADLINE).await {
            Ok((qmp, events)) => {
                let pid = child.id().unwrap_or_default();
                confine::check(pid, &confined)?;
                if exact {
                    let said = stderr.text_or_nothing();
                    still_clock::check(pid, &said)?;
                }
                Ok(Machine {
                    child,
                    qmp,
                    events,
                    ram: Arc::new(ram),
                    console,
                    progress,
                    devices,
                    profile,
                    stderr,
                    confined,
                    servers,
                })
            }
            Err(error) => {
                let mut child = child;
                let _ = child.start_kill();
                let status = child.wait().await;
                Err(Error::host(format!(
                    "QEMU did not start ({}); it said: {}",
                    status.map_or_else(|e| e.to_string(), |s| s.to_string()),
                    stderr.text_or_nothing()
                ))
                .because(error)
                .hint("run `diorama doctor`, or try another QEMU with --qemu PATH"))
            }
        }
    }

    /// The process's id; none once it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// CPU seconds the process has used so far; 0 once it is gone.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        self.child.id().and_then(cpu_seconds).unwrap_or(0.0)
    }

    /// What QEMU said on its standard error.
    #[must_use]
    pub fn said(&self) -> String {
        self.stderr.text().trim().to_owned()
    }

    /// The end of what QEMU said, in one line that fits into an outcome.
    #[must_use]
    pub fn said_last(&self) -> String {
        last_words(&self.said())
    }

    /// Whether the process has ended, and how.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(e) => Some(e.to_string()),
        }
    }

    /// Whether the process has ended, and if so, whether it ended by itself and well.
    pub(super) fn ended_well(&mut self) -> Option<bool> {
        match self.child.try_wait() {
            Ok(status) => status.map(|status| status.success()),
            Err(_) => Some(false),
        }
    }

    /// Shared directories whose server has failed: their tags, each with the reason.
    pub fn failed_shares(&mut self, spec: &Spec) -> Vec<String> {
        let servers = self.servers.iter_mut().zip(&spec.shares);
        servers
            .filter_map(|(server, share)| {
                let why = server.failed()?;
                Some(format!(
                    "the server of the shared directory `{}` ended with {why}",
                    share.tag
                ))
            })
            .collect()
    }

    /// How the process ended; waits a little, for a machine whose end is certain.
    pub async fn status(&mut self) -> Option<ExitStatus> {
        timeout(QMP_DEADLINE, self.child.wait()).await.ok()?.ok()
    }

    /// Ends the process and waits for its end.
    pub async fn end(mut self) {
        let _ = self.child.start_kill();
        let _ = timeout(QMP_DEADLINE, self.child.wait()).await;
        for server in self.servers {
            server.end().await;
        }
    }
}

/// How long a file may become by QEMU's writing, in bytes: a drive's image has its length already, and of
/// the streams each is told from one that is too long (`CONSOLE_LIMIT`) before this ends it.
fn longest(drive: Option<&File>) -> io::Result<u64> {
    let image = match drive {
        Some(file) => file.metadata()?.len(),
        None => 0,
    };
    Ok(image.max(2 * CONSOLE_LIMIT))
}

/// The last lines of a text, joined, at most 500 characters of them.
fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let joined = lines[lines.len().saturating_sub(5)..].join("; ");
    let skip = joined.chars().count().saturating_sub(500);
    joined.chars().skip(skip).collect()
}

/// A pipe that holds these bytes and then ends. QEMU warns when it reads a state from anything that
/// can be read twice.
fn filled_pipe(bytes: &[u8]) -> io::Result<File> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    if bytes.len() > fcntl_getpipe_size(&write)? {
        fcntl_setpipe_size(&write, bytes.len())?;
    }
    File::from(write).write_all(bytes)?;
    Ok(File::from(read))
}

/// A job as the fw_cfg item holds it: always of the same size.
fn padded(job: &[u8]) -> Result<Vec<u8>> {
    if job.len() > FW_CFG_JOB_SIZE {
        return Err(Error::input(format!(
            "a job of {} bytes exceeds a guest's limit of {FW_CFG_JOB_SIZE}",
            job.len()
        ))
        .hint("shorten the file system's mkfs options or its mount options"));
    }
    let mut item = job.to_vec();
    item.resize(FW_CFG_JOB_SIZE, b' ');
    Ok(item)
}

/// What a machine's QEMU needs besides itself.
fn reach(bounds: Bounds, spec: &Spec, drive: Option<RawFd>) -> Bounds {
    let mut bounds = bounds
        .reading(&spec.kernel)
        .reading(&spec.initramfs)
        // The recorder's file, which nobody wants.
        .using("/dev/null")
        // Plugged in after the measurement.
        .using("/dev/vhost-vsock");
    if spec.time.accel() == Accel::Kvm {
        bounds = bounds.using("/dev/kvm");
    }
    if let Some(image) = drive {
        bounds = bounds.reopening(image);
    }
    match &spec.drive {
        Some(Drive::Emulated(EmulatedDrive {
            backing: Backing::Disk(node),
            ..
        })) => bounds.using(node),
        Some(Drive::Passed(Some(address))) => passed(bounds, address),
        _ => bounds,
    }
}

/// A controller that is bound to vfio-pci: its group's node, the container's, and what sysfs says of it
/// (Documentation/driver-api/vfio.rst).
fn passed(bounds: Bounds, address: &str) -> Bounds {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    let bounds = bounds.using("/dev/vfio/vfio").reading(&device);
    let group = fs::read_link(device.join("iommu_group"));
    match group.ok().as_deref().and_then(Path::file_name) {
        Some(group) => bounds.using(Path::new("/dev/vfio").join(group)),
        // QEMU says what is missing.
        None => bounds,
    }
}

fn not_started(stderr: &Stream, error: io::Error) -> Error {
    let starting = match stderr.text().trim() {
        "" => "starting QEMU".to_owned(),
        said => said.to_owned(),
    };
    Error::host(starting)
        .because(error)
        .hint("run `diorama doctor`, which says how this host confines QEMU")
}

/// utime + stime of a process in seconds: fields 14 and 15 of proc_pid_stat(5).
#[must_use]
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    #[allow(clippy::cast_precision_loss, reason = "100")]
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemus_last_words_fit_into_an_outcome() {
        assert_eq!(last_words(" a \n\nb\n"), "a; b");
        let long = format!("{}\nthe end", "x".repeat(5000));
        assert_eq!(last_words(&long).chars().count(), 500);
        assert!(last_words(&long).ends_with("; the end"));
    }
}
