//! One-way progress: lines out through QEMU's debugcon, or the console where the kernel does not
//! let user space use ports.

use crate::port::Ports;
use diorama_wire::{DEBUGCON_PORT, Phase, Progress};
use std::{
    fs::OpenOptions,
    io::Write,
    sync::{Mutex, PoisonError},
};

/// The phase entered last; failures are labelled with it.
static PHASE: Mutex<Phase> = Mutex::new(Phase::Start);

/// Enters a phase and says so.
pub fn enter(phase: Phase, detail: impl Into<String>) {
    *PHASE.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    say(&Progress::At(phase, detail.into()));
}

/// The phase entered last.
pub fn phase() -> Phase {
    *PHASE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends one line. A line that cannot be sent is lost: there is no one to tell.
pub fn say(progress: &Progress) {
    let line = format!("{progress}\n");
    match Ports::open() {
        Ok(ports) => line.bytes().for_each(|b| ports.out8(DEBUGCON_PORT, b)),
        Err(_) => {
            if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
                let _ = console.write_all(line.as_bytes());
            }
        }
    }
}
