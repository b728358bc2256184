//! Running a QEMU that is to end by itself, soon: to ask it what it is, and what it takes.

use super::{confine::Launch, stream::Stream};
use crate::error::{Error, Result};
use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
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

/// Runs it with this on its standard input. However it behaves, this ends, and what is kept of its words is
/// bounded.
///
/// # Errors
/// When it cannot be started, does not end in time, or says too much.
pub fn run(mut command: Command, launch: Launch, input: &[u8]) -> Result<Output> {
    let doing = |e: io::Error| Error::host("trying a QEMU").because(e);
    let (out, err) = (
        Stream::new("stdout").map_err(doing)?,
        Stream::new("stderr").map_err(doing)?,
    );
    command
        .stdin(holding(input).map_err(doing)?)
        .stdout(out.duplicate().map_err(doing)?)
        .stderr(err.duplicate().map_err(doing)?);
    Launch {
        largest_file: Some(LIMIT),
        ..launch
    }
    .confine(&mut command)?;
    let mut child = command.spawn().map_err(|e| match err.text().trim() {
        "" => doing(e),
        said => Error::host(said.to_owned()).because(e),
    })?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(doing)? {
            break status;
        }
        if began.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            let text = format!("QEMU did not end within {} s", DEADLINE.as_secs());
            return Err(Error::host(text).hint("give another QEMU with --qemu PATH"));
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
