//! A shell in a guest that is prepared like a cell's: on a terminal of its own, or with pipes for a
//! script. Nothing is measured here, and nothing has to be exact any more.
//!
//! The guest's end of the terminal is here; the host's may be anywhere, and learns of it in frames
//! over the stream that would carry a report.

mod terminal;
mod userland;

use crate::{
    boot, debugcon,
    fail::{Fail, Result},
    format::MOUNT_POINT,
    sys,
};
use diorama_wire::{
    FromShell, Phase, Prepared, Shell, Terminal, ToShell, config, decode_shell, encode_shell,
};
use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};
use userland::{BUSYBOX, PATH};

/// Bytes read at a time.
const CHUNK: usize = 32 << 10;

/// Serves one shell from its start to its end, and leaves the file system unmounted.
///
/// `stream` is the host's, `read` what was read of it already.
///
/// # Errors
/// When the shell cannot be started, or the host is gone.
pub fn serve(shell: &Shell, prepared: &Prepared, stream: File, read: Vec<u8>) -> Result<()> {
    debugcon::enter(Phase::Shell, "");
    block(&stream)?;
    let sending = stream
        .try_clone()
        .map_err(|e| Fail::os("duplicate the host's stream", &e))?;
    let mut incoming = Incoming { stream, read };
    match incoming.next()? {
        Some(ToShell::Userland(busybox)) => userland::install(&busybox)?,
        other => return Err(Fail::protocol(format!("no userland, but {other:?}"))),
    }
    let banner = userland::banner(&shell.banner, prepared);
    userland::write("/etc/motd", 0o644, banner.as_bytes())?;
    let outgoing = Outgoing(Arc::new(Mutex::new(sending)));
    let Started {
        child,
        input,
        outputs,
    } = start(shell, prepared, &banner, &outgoing)?;
    let keyboard = thread::spawn(move || type_in(incoming, input));
    let status = reap(child.id())?;
    // Whatever it left behind would keep its terminal, or the file system, in use.
    kill_all();
    for output in outputs {
        let _ = output.join();
    }
    // SAFETY: no arguments.
    unsafe { libc::sync() };
    unmount();
    outgoing.send(&FromShell::Exited(status))?;
    // Until the host has heard that, and is gone.
    let _ = keyboard.join();
    Ok(())
}

/// A shell that runs.
struct Started {
    child: Child,
    input: Option<Keyboard>,
    outputs: Vec<JoinHandle<()>>,
}

/// Where what is typed goes.
enum Keyboard {
    Terminal(File),
    Pipe(File),
}

fn start(shell: &Shell, prepared: &Prepared, banner: &str, outgoing: &Outgoing) -> Result<Started> {
    std::env::set_current_dir(MOUNT_POINT)
        .map_err(|e| Fail::os(format_args!("chdir {MOUNT_POINT}"), &e))?;
    let mut command = Command::new(BUSYBOX);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("USER", "root");
    match &shell.terminal {
        Some(on) => {
            let prompt = format!("{} \\w # ", prepared.boot.release);
            command.env("TERM", &on.kind).env("PS1", prompt);
            on_terminal(command, shell.command.as_deref(), on, banner, outgoing)
        }
        None => with_pipes(command, shell.command.as_deref(), outgoing),
    }
}

/// A script's shell: three pipes.
fn with_pipes(mut command: Command, text: Option<&str>, outgoing: &Outgoing) -> Result<Started> {
    command.arg("sh");
    if let Some(text) = text {
        command.args(["-c", text]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(starting)?;
    let input = child.stdin.take().map(OwnedFd::from);
    let output = child.stdout.take().map(OwnedFd::from);
    let errors = child.stderr.take().map(OwnedFd::from);
    let output = output.map(|out| show(out.into(), outgoing.clone(), FromShell::Output));
    let errors = errors.map(|out| show(out.into(), outgoing.clone(), FromShell::Errors));
    Ok(Started {
        child,
        input: input.map(|pipe| Keyboard::Pipe(pipe.into())),
        outputs: output.into_iter().chain(errors).collect(),
    })
}

/// A person's shell, in a session of its own whose terminal it is: job control and ^C need that.
fn on_terminal(
    mut command: Command,
    text: Option<&str>,
    on: &Terminal,
    banner: &str,
    outgoing: &Outgoing,
) -> Result<Started> {
    boot::mount("devpts", "/dev/pts", config::UNIX98_PTYS)?;
    let (master, slave) = terminal::open(on.size)?;
    let duplicate = |file: &File| {
        (file.try_clone()).map_err(|e| Fail::os("duplicate the terminal's descriptor", &e))
    };
    command.args(["setsid", "-c", BUSYBOX, "sh"]);
    match text {
        Some(text) => {
            command.args(["-c", text]);
        }
        // By the way that the shell's own words take, and before them.
        None => (duplicate(&slave)?.write_all(banner.as_bytes()))
            .map_err(|e| Fail::os("write the banner", &e))?,
    }
    command
        .stdin(duplicate(&slave)?)
        .stdout(duplicate(&slave)?)
        .stderr(slave);
    let child = command.spawn().map_err(starting)?;
    // What it holds of the shell's end would keep that open.
    drop(command);
    let screen = duplicate(&master)?;
    Ok(Started {
        child,
        input: Some(Keyboard::Terminal(master)),
        outputs: vec![show(screen, outgoing.clone(), FromShell::Output)],
    })
}

fn starting(e: io::Error) -> Box<Fail> {
    Fail::os(format_args!("start {BUSYBOX} sh"), &e)
}

/// Sends all that a shell says, from a thread of its own.
fn show(
    mut from: File,
    to: Outgoing,
    frame: impl Fn(Vec<u8>) -> FromShell + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut bytes = vec![0; CHUNK];
        loop {
            match from.read(&mut bytes) {
                Ok(n @ 1..) => {
                    if to.send(&frame(bytes[..n].to_vec())).is_err() {
                        break;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A terminal that nobody has open any more gives EIO.
                Ok(0) | Err(_) => break,
            }
        }
    })
}

/// Hands the shell what the host sends, until the host is gone, and the shell with it.
fn type_in(mut from: Incoming, mut to: Option<Keyboard>) {
    while let Ok(Some(frame)) = from.next() {
        match (frame, &mut to) {
            // A shell that reads no more is no concern of the host's.
            (ToShell::Input(bytes), Some(Keyboard::Terminal(file) | Keyboard::Pipe(file))) => {
                let _ = file.write_all(&bytes);
            }
            (ToShell::EndOfInput, Some(Keyboard::Pipe(_))) => to = None,
            (ToShell::Size(size), Some(Keyboard::Terminal(master))) => {
                terminal::resize(master, size);
            }
            _ => {}
        }
    }
    kill_all();
}

/// Waits for everything that ends, as PID 1 must, until the shell does; its exit status, as shells say
/// it.
fn reap(shell: u32) -> Result<u8> {
    loop {
        let mut status = 0;
        // SAFETY: a valid place for the status.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        match sys::check(ended.into()) {
            Ok(pid) if pid == i64::from(shell) => return Ok(as_shells_say(status)),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Fail::os("wait for the shell", &e)),
        }
    }
}

fn as_shells_say(status: libc::c_int) -> u8 {
    let number = if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    };
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Ends every process but this one: kill(2) spares PID 1, which it is sent by.
fn kill_all() {
    // SAFETY: takes numbers.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// So that a real disk is left whole. A file system that somebody uses stays mounted.
fn unmount() {
    let _ = std::env::set_current_dir("/");
    if let Ok(target) = sys::c_string(MOUNT_POINT) {
        // SAFETY: a valid C string.
        unsafe { libc::umount(target.as_ptr()) };
    }
}

/// The stream does not block while a report is sent; a terminal waits for as long as it takes.
fn block(stream: &File) -> Result<()> {
    let fd = stream.as_raw_fd();
    // SAFETY: an open descriptor and numbers.
    let flags = sys::check(unsafe { libc::fcntl(fd, libc::F_GETFL) }.into());
    flags
        .and_then(|flags| {
            let flags = flags as libc::c_int & !libc::O_NONBLOCK;
            // SAFETY: as above.
            sys::check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) }.into())
        })
        .map(drop)
        .map_err(|e| Fail::os("make the host's stream block", &e))
}

/// What the host sends.
struct Incoming {
    stream: File,
    read: Vec<u8>,
}

impl Incoming {
    /// The next frame; none when the host is gone.
    fn next(&mut self) -> Result<Option<ToShell>> {
        loop {
            let frame = decode_shell(&self.read).map_err(Fail::protocol)?;
            if let Some((frame, used)) = frame {
                self.read.drain(..used);
                return Ok(Some(frame));
            }
            let held = self.read.len();
            self.read.resize(held + CHUNK, 0);
            let read = self.stream.read(&mut self.read[held..]);
            self.read
                .truncate(held + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(Fail::os("read what the host sends", &e)),
            }
        }
    }
}

/// What the host is sent, by several threads.
#[derive(Clone)]
struct Outgoing(Arc<Mutex<File>>);

impl Outgoing {
    fn send(&self, frame: &FromShell) -> Result<()> {
        let bytes = encode_shell(frame).map_err(Fail::protocol)?;
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (stream.write_all(&bytes)).map_err(|e| Fail::os("send what the shell says", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_what_shells_make_of_it() {
        // As the kernel packs them (wait(2)): an exit status in the second byte, a signal in the first.
        assert_eq!(as_shells_say(0), 0);
        assert_eq!(as_shells_say(3 << 8), 3);
        assert_eq!(as_shells_say(libc::SIGINT), 130);
    }
}
