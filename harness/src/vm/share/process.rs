//! The harness's side: one process per shared directory of a guest.

use super::{Access, Share};
use crate::{
    error::{Error, Result},
    vm::{child, confine::Confined, stream::Stream, vhost_user::connection},
};
use rustix::fs::{Mode, OFlags};
use std::{
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    time::timeout,
};

/// The hidden verb by which the program serves a directory; its options are those of `serve`.
pub const VERB: &str = "serve-directory";

/// How long a server may take until it is ready, on a loaded host.
const DEADLINE: Duration = Duration::from_secs(30);

/// The server of one directory to one guest. It ends with QEMU's end of its socket, with this value,
/// and with the thread that started it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    said: Stream,
    /// What confines it.
    pub confined: Confined,
}

impl Server {
    /// Starts one, and returns QEMU's end of its socket; to be called from the main thread.
    ///
    /// # Errors
    /// When the directory cannot be opened, or the process cannot begin; with its own words.
    pub async fn start(share: &Share) -> Result<(Server, OwnedFd)> {
        let directory = open(&share.dir)?;
        let (listener, qemu) = connection("a shared directory")?;
        let fds = [directory.as_raw_fd(), listener.as_raw_fd()];
        let (mut child, said) = spawn(&share.tag, share.access, &fds)?;
        let confined = hear(&mut child, &said, &share.dir).await?;
        Ok((
            Server {
                child,
                said,
                confined,
            },
            qemu,
        ))
    }

    /// Why it ended before its guest did, if it did.
    pub fn failed(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        (!status.success()).then(|| format!("{status}; it said: {}", self.said.text_or_nothing()))
    }

    /// Ends the process and waits for its end.
    pub async fn end(mut self) {
        let _ = self.child.start_kill();
        let _ = timeout(DEADLINE, self.child.wait()).await;
    }
}

/// What would confine a server of this directory here, tried.
///
/// # Errors
/// As [`Server::start`].
pub async fn try_confinement(share: &Share) -> Result<Confined> {
    let directory = open(&share.dir)?;
    let (mut child, said) = spawn(&share.tag, share.access, &[directory.as_raw_fd()])?;
    hear(&mut child, &said, &share.dir).await
}

fn open(directory: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::empty()).map_err(|e| {
        Error::io("opening the shared directory", directory, e.into())
            .hint("share a directory that you may read")
    })
}

/// Starts the program again, as a server of the first descriptor's directory to whom waits at the second one.
fn spawn(tag: &str, access: Access, fds: &[RawFd]) -> Result<(Child, Stream)> {
    let starting =
        |e: io::Error| Error::host("starting the server of a shared directory").because(e);
    let said = Stream::new("share").map_err(starting)?;
    // This very program, also where its file has been replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("diorama").arg(VERB).args(["--tag", tag]);
    for (option, fd) in ["--directory", "--listener"].iter().zip(fds) {
        command.arg(option).arg(fd.to_string());
    }
    if access == Access::Write {
        command.arg("--writable");
    }
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.stderr(said.duplicate().map_err(starting)?);
    // The terminal's ^C is not for it: what becomes of a guest is for the harness to decide.
    command.process_group(0);
    let (inherited, parent) = (fds.to_vec(), rustix::process::getpid());
    // SAFETY: the closure runs between fork and exec and makes only system calls; it neither allocates
    // nor takes locks.
    unsafe {
        command.pre_exec(move || {
            child::die_with(parent)?;
            child::let_through(&inherited)
        });
    }
    let child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .map_err(starting)?;
    Ok((child, said))
}

/// Its first and only line: that it is ready, and how far it is confined.
async fn hear(child: &mut Child, said: &Stream, directory: &Path) -> Result<Confined> {
    let failed = |why: String| {
        Error::host(format!(
            "the server of the shared directory {} did not begin: {why}; it said: {}",
            directory.display(),
            said.text_or_nothing()
        ))
        .hint("omit --share and --artifacts to measure without")
    };
    let out = child
        .stdout
        .take()
        .ok_or_else(|| Error::internal("a server without a standard output"))?;
    let mut line = String::new();
    match timeout(DEADLINE, BufReader::new(out).read_line(&mut line)).await {
        Ok(Ok(_)) => serde_json::from_str(&line)
            .map_err(|_| failed("it ended, or said something else".into())),
        Ok(Err(e)) => Err(failed(e.to_string())),
        Err(_) => Err(failed(format!("nothing heard in {} s", DEADLINE.as_secs()))),
    }
}
