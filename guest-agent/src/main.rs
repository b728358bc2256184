//! Diorama's guest agent: PID 1 of the guest. Makes the device, formats, prepares, measures,
//! checks, and only then reports over vsock. What it does is an input of every digit: it has
//! one thread unless the workload has more, reads nothing that differs between two equal guests, and
//! talks one-way until it has measured.

mod boot;
mod build_id;
mod check;
mod clock;
mod content;
mod counters;
mod debugcon;
mod device;
mod engine;
mod extents;
mod fail;
mod file;
mod fio;
mod format;
mod fw_cfg;
mod job;
mod kworkers;
mod latency;
mod mark;
mod measure;
mod parse;
mod pattern;
mod port;
mod quiet;
mod schedule;
mod seconds;
mod share;
mod shell;
mod spin;
mod stop;
mod symbols;
mod sys;
mod vsock;

use diorama_wire::{BootFacts, Failure, Message, Phase, Progress};
use fail::Result;
use vsock::Then;

fn main() -> ! {
    if std::process::id() != 1 {
        eprintln!(
            "diorama-agent {} is a guest's /init: it mounts, formats and powers off, and runs as \
             PID 1 only",
            env!("CARGO_PKG_VERSION")
        );
        std::process::exit(2);
    }
    // PID 1 must not end: the kernel would panic, with less to say.
    std::panic::set_hook(Box::new(|info| stop::fatal(format!("agent panic: {info}"))));
    // First of all: it says by which way anything can be said.
    let boot = boot::read().unwrap_or_else(|e| stop::give_up(*e));
    debugcon::open(boot.stop_by);
    if let Err(e) = boot::mount_kernel_filesystems() {
        stop::give_up(*e);
    }
    clock::sleep_exactly();
    debugcon::enter(Phase::Start, env!("CARGO_PKG_VERSION"));
    if let Err(e) = stop::check(boot.stop_by) {
        stop::give_up(*e);
    }

    // What every cell needs and the kernel lacks is said at once, by the way that needs nothing:
    // it may be the way of the report that is missing. Any other failure waits for the cells.
    let ready = in_phase(boot::prepare(&boot).map_err(|e| {
        if e.is_unsupported() {
            stop::give_up(*e);
        }
        e
    }));
    debugcon::say(&Progress::Ready);
    stop::hand_over(boot.stop_by);

    let outcome = match ready.and_then(|facts| cell(&boot, facts)) {
        Ok(message) => message,
        Err(failure) => Message::Failed(failure),
    };
    debugcon::say(&Progress::Done);
    stop::hand_over(boot.stop_by);

    debugcon::enter(Phase::Report, "");
    match (vsock::deliver(&boot.late_modules, &outcome), &outcome) {
        (Ok(Then::End), _) => {}
        (Ok(Then::Shell(shell, stream, read)), Message::Prepared(prepared)) => {
            if let Err(e) = shell::serve(&shell, prepared, stream, read) {
                stop::give_up(*e);
            }
        }
        (Ok(Then::Shell(..)), _) => stop::fatal("asked for a shell where no cell was prepared"),
        (Err(e), Message::Failed(f)) => {
            stop::fatal(format!("{e}; what was to be reported: {}", f.what));
        }
        (Err(e), _) => stop::give_up(*e),
    }
    share::hand_back(&boot.shares);
    stop::power_off()
}

/// One cell, from its job to what is said of it.
fn cell(boot: &diorama_wire::Boot, facts: BootFacts) -> Result<Message, Failure> {
    in_phase(job::read(boot.stop_by).and_then(|job| {
        if job.shell {
            return job::prepare(&job, facts).map(|made| Message::Prepared(Box::new(made)));
        }
        job::run(&job, facts, boot.clock).map(|report| Message::Report(Box::new(report)))
    }))
}

/// Labels a failure with the phase in which it happened.
fn in_phase<T>(result: Result<T>) -> Result<T, Failure> {
    result.map_err(|e| e.into_wire(debugcon::phase()))
}
