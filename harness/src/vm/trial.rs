//! Running a program that is to end by itself, soon: a QEMU, to ask it what it is, and what it takes; a
//! guest's tool, to ask it what it says of a stranger's words.

use super::{
    confine::{Bounds, Launch, Rung},
    stream::Stream,
};
use crate::{
    error::{Error, Result},
    store::hermetic::Hermetic,
};
use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long it may take, on a loaded host.
const DEADLINE: Duration = Duration::from_secs(60);

/// How much it may say, in bytes.
const LIMIT: u64 = 1 << 20;

/// What came of it.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// What it said on standard error, in a sentence.
    pub fn said(&self) -> &str {
        match self.stderr.trim() {
            "" => "nothing",
            said => said,
        }
    }
}

/// Runs a QEMU with this on its standard input. However it behaves, this ends, and what is kept of its words
/// is bounded.
///
/// # Errors
/// When it cannot be started, does not end in time, or says too much.
pub(super) fn run(command: Command, launch: Launch, input: &[u8]) -> Result<Output> {
    let launch = Launch {
        largest_file: Some(LIMIT),
        ..launch
    };
    let next = "give another QEMU with --qemu PATH";
    bounded(command, launch, input, ("QEMU", next))
}

/// What a tool is given besides its own files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// A file that it writes, of this many bytes at most.
    pub file: Option<(&'a Path, u64)>,
    /// What it reads besides: with what lies below it.
    pub read: &'a [&'a str],
    /// Whether it may have System V shared memory.
    pub shared_memory: bool,
    /// Its standard input.
    pub input: &'a [u8],
}

/// Runs a tool of the store's on a stranger's words: under a deadline, and as far confined as this host can. It
/// reads its own tree, writes the file that it is given, and reaches nothing else. `command` is the program's,
/// complete.
///
/// # Errors
/// When it cannot be started, does not end in time, or says too much.
pub fn try_tool(
    program: &Hermetic,
    command: Command,
    name: &str,
    given: Given<'_>,
) -> Result<Output> {
    let own = (given.read.iter()).fold(Bounds::of(program), |bounds, path| bounds.reading(path));
    let (bounds, largest) = match given.file {
        Some((path, size)) => (own.using(path), size.max(LIMIT)),
        None => (own, LIMIT),
    };
    let launch = Launch {
        largest_file: Some(largest),
        shared_memory: given.shared_memory,
        ..Launch::within(bounds, Rung::Nothing)
    };
    let next = "look at what it is given, or report it: a locked tool ends";
    bounded(command, launch, given.input, (name, next))
}

fn bounded(
    mut command: Command,
    launch: Launch,
    input: &[u8],
    (name, next): (&str, &str),
) -> Result<Output> {
    let doing = |e: io::Error| Error::host(format!("trying {name}")).because(e);
    let (out, err) = (
        Stream::new("stdout").map_err(doing)?,
        Stream::new("stderr").map_err(doing)?,
    );
    command
        .stdin(holding(input).map_err(doing)?)
        .stdout(out.duplicate().map_err(doing)?)
        .stderr(err.duplicate().map_err(doing)?);
    launch.confine(&mut command)?;
    let mut child = command.spawn().map_err(|e| match err.text().trim() {
        "" => doing(e),
        said => Error::host(format!("trying {name}: {said}")).because(e),
    })?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(doing)? {
            break status;
        }
        if began.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            let text = format!("{name} did not end within {} s", DEADLINE.as_secs());
            return Err(Error::host(text).hint(next));
        }
        thread::sleep(Duration::from_millis(5));
    };
    let text = |of: &Stream| -> Result<String> {
        Ok(String::from_utf8_lossy(&of.whole(LIMIT)?).into_owned())
    };
    Ok(Output {
        status,
        stdout: text(&out)?,
        stderr: text(&err)?,
    })
}

/// Something to read that then ends; short enough for a pipe, so that nobody waits.
fn holding(input: &[u8]) -> io::Result<Stdio> {
    let (read, write) = io::pipe()?;
    File::from(OwnedFd::from(write)).write_all(input)?;
    Ok(read.into())
}
