//! The user's terminal while a guest's shell is on it: every key is the guest's. However the program
//! ends, the terminal is as it was.

use crate::error::{Error, Result};
use diorama_wire::{FromShell, Size, Terminal, ToShell};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::{
    env,
    io::{self, ErrorKind, IsTerminal as _, Read as _, Write as _},
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
};
use tokio::sync::{mpsc, oneshot};

/// The key that leaves a shell from outside, as in telnet and `virsh console`: Ctrl-].
const LEAVE: u8 = 0x1d;

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;

/// The terminal as it was, while it is another.
static AS_IT_WAS: Mutex<Option<Termios>> = Mutex::new(None);

/// Makes the terminal as it was, if it is not. To be called by whoever ends the process.
pub fn restore() {
    let mut saved = AS_IT_WAS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(termios) = saved.take() {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &termios);
    }
}

/// A terminal that hands on every key; as it was when this is dropped.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Makes standard input one.
    ///
    /// # Errors
    /// When it is no terminal, or does not obey.
    pub fn enter() -> Result<Raw> {
        let failed = |e| Error::host("setting up the terminal").because(io::Error::from(e));
        let as_it_was = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = as_it_was.clone();
        raw.make_raw();
        let mut saved = AS_IT_WAS.lock().unwrap_or_else(PoisonError::into_inner);
        *saved = Some(as_it_was);
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Raw(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// The terminal that this process is on, if both what it reads and what it writes is one.
#[must_use]
pub fn here() -> Option<Terminal> {
    (io::stdin().is_terminal() && io::stdout().is_terminal()).then(|| Terminal {
        kind: kind(env::var("TERM").ok().as_deref()),
        size: size(),
    })
}

/// A terminal's kind as a guest may have it: a name, or `dumb`.
fn kind(term: Option<&str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    match term {
        Some(term) if !term.is_empty() && term.len() <= 64 && term.chars().all(plain) => {
            term.to_owned()
        }
        _ => "dumb".to_owned(),
    }
}

/// Its size; one that does not know has 24 lines of 80 columns.
#[must_use]
pub fn size() -> Size {
    let size = tcgetwinsize(io::stdin()).ok();
    let size = size.filter(|size| size.ws_row > 0 && size.ws_col > 0);
    Size {
        rows: size.map_or(24, |size| size.ws_row),
        columns: size.map_or(80, |size| size.ws_col),
    }
}

/// Reads standard input from a thread of its own, to its end. `leave` hears of the key that leaves,
/// which only a terminal has.
///
/// # Errors
/// When there is no such thread.
pub fn read(
    to: mpsc::Sender<ToShell>,
    is_terminal: bool,
    leave: oneshot::Sender<()>,
) -> Result<()> {
    let work = move || {
        let mut bytes = vec![0; CHUNK];
        loop {
            match io::stdin().lock().read(&mut bytes) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Ok(n @ 1..) => {
                    let (typed, left) = typed(&bytes[..n], is_terminal);
                    let gone = to.blocking_send(ToShell::Input(typed.to_vec())).is_err();
                    if left {
                        let _ = leave.send(());
                        return;
                    }
                    if gone {
                        return;
                    }
                }
                Ok(0) | Err(_) => {
                    let _ = to.blocking_send(ToShell::EndOfInput);
                    return;
                }
            }
        }
    };
    spawn("input", work).map(drop)
}

/// What was typed before the key that leaves, and whether that was typed.
fn typed(bytes: &[u8], is_terminal: bool) -> (&[u8], bool) {
    match bytes.iter().position(|byte| *byte == LEAVE) {
        Some(at) if is_terminal => (&bytes[..at], true),
        _ => (bytes, false),
    }
}

/// Writes what a shell says from a thread of its own, which ends with it, or when nobody reads it any
/// more.
///
/// # Errors
/// When there is no such thread.
pub fn write(mut said: mpsc::Receiver<FromShell>) -> Result<JoinHandle<()>> {
    spawn("output", move || {
        while let Some(frame) = said.blocking_recv() {
            let written = match &frame {
                FromShell::Output(bytes) => {
                    let mut out = io::stdout().lock();
                    out.write_all(bytes).and_then(|()| out.flush())
                }
                FromShell::Errors(bytes) => io::stderr().write_all(bytes),
                FromShell::Exited(_) => Ok(()),
            };
            if written.is_err() {
                return;
            }
        }
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    (thread::Builder::new().name(name.into()).spawn(work))
        .map_err(|e| Error::host(format!("starting the thread for {name}")).because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_leaves_is_a_terminals_alone() {
        assert_eq!(typed(b"ls\r", true), (&b"ls\r"[..], false));
        assert_eq!(typed(b"ls\x1dx", true), (&b"ls"[..], true));
        assert_eq!(typed(b"ls\x1dx", false), (&b"ls\x1dx"[..], false));
    }

    #[test]
    fn a_terminals_kind_is_a_plain_name() {
        assert_eq!(kind(Some("xterm-256color")), "xterm-256color");
        for odd in [None, Some(""), Some("x;reboot"), Some("a b")] {
            assert_eq!(kind(odd), "dumb");
        }
    }
}
