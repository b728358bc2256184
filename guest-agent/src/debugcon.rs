//! One-way progress: lines out through QEMU's debugcon, by port I/O, from a guest that stops its
//! machine by a port as well; from any other on the console.
//!
//! No other guest may touch a port from user space. Its kernel may not allow it; and under a KVM that
//! QEMU emulates itself, an OUT in user space is a general protection fault whatever the kernel allows.

use crate::port::Ports;
use diorama_wire::{DEBUGCON_PORT, Phase, Progress, StopBy};
use std::{
    fs::OpenOptions,
    io::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether lines leave by port I/O.
static BY_PORT: AtomicBool = AtomicBool::new(false);

/// The phase entered last; failures are labelled with it.
static PHASE: Mutex<Phase> = Mutex::new(Phase::Start);

/// Lines leave by port I/O from now on, if this guest may use it.
pub fn open(stop_by: StopBy) {
    BY_PORT.store(stop_by == StopBy::Pvpanic, Ordering::Relaxed);
}

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
    let ports = BY_PORT.load(Ordering::Relaxed).then(Ports::open);
    match ports {
        Some(Ok(ports)) => line.bytes().for_each(|b| ports.out8(DEBUGCON_PORT, b)),
        Some(Err(_)) | None => {
            if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
                let _ = console.write_all(line.as_bytes());
            }
        }
    }
}
