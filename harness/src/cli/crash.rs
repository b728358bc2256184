//! The last line of defence: a panic is a bug of ours, and still ends with a sentence, a next step
//! and a documented exit code. Guests end with this process, and the record on the disk is whole.

use super::terminal;
use crate::{
    error::{Error, Exit},
    text,
};
use std::{
    io::{self, Write as _},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether the first panic was a refusal to make a thread.
static NO_THREAD: AtomicBool = AtomicBool::new(false);
/// Whether a panic was told of: others that follow from it are not.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Runs the program; a panic on its way becomes words and an exit code.
pub fn guarded(run: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(|info| {
        terminal::restore();
        if TOLD.swap(true, Ordering::SeqCst) {
            return;
        }
        let said = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(ToString::to_string);
        NO_THREAD.store(is_no_thread(said), Ordering::SeqCst);
        let words = words(said, &place.unwrap_or_default());
        let _ = writeln!(io::stderr(), "{}", words.render());
    }));
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        if NO_THREAD.load(Ordering::SeqCst) {
            Exit::Host.into()
        } else {
            Exit::Internal.into()
        }
    })
}

/// How the standard library and tokio say that the system makes no more threads.
fn is_no_thread(said: &str) -> bool {
    ["failed to spawn thread", "can't spawn worker thread"]
        .iter()
        .any(|words| said.contains(words))
}

fn words(said: &str, place: &str) -> Error {
    let said = text::cut(&text::line(said));
    if is_no_thread(&said) {
        return Error::host(format!("starting a thread: {said}")).hint(
            "raise the limit on processes and threads (`ulimit -u`, pids.max), or use --jobs 1",
        );
    }
    Error::internal(format!(
        "this is a bug in diorama: {said} ({place}); everything measured so far is on disk"
    ))
    .hint("please report these two lines and the command; run it again to continue with the rest")
}

/// A write beyond RLIMIT_FSIZE gives an error that says so, instead of a signal that ends us.
pub fn survive_file_size_limit() {
    // SAFETY: no handler is installed; the signal is ignored from here on.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_a_sentence_with_a_next_step() {
        let bug = words("index out of bounds: the len is 0", "src/x.rs:1:2");
        let limit = words("failed to spawn thread: Os { code: 11 }", "std");
        assert_eq!((bug.exit(), limit.exit()), (Exit::Internal, Exit::Host));
        insta::assert_snapshot!(format!("{}\n{}", bug.render(), limit.render()), @r"
        error: this is a bug in diorama: index out of bounds: the len is 0 (src/x.rs:1:2); everything measured so far is on disk
          help: please report these two lines and the command; run it again to continue with the rest
        error: starting a thread: failed to spawn thread: Os { code: 11 }
          help: raise the limit on processes and threads (`ulimit -u`, pids.max), or use --jobs 1
        ");
    }
}
