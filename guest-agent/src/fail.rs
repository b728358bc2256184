//! The agent's one error type; it becomes a [`wire::Failure`] when it leaves the guest.

use diorama_wire::{Failure, FailureKind, Phase, Progress};
use std::{fmt::Display, io};

/// The agent's result. The error is boxed because it is large and rare.
pub type Result<T, E = Box<Fail>> = std::result::Result<T, E>;

/// What went wrong, in words that make sense on the host.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Fail {
    kind: FailureKind,
    what: String,
    config: Vec<String>,
    output: String,
}

/// The kernel's own "not supported" (include/linux/errno.h), which drivers and file systems let out
/// now and then.
const ENOTSUPP: i32 = 524;

impl Fail {
    /// A failure of `kind`.
    pub fn new(kind: FailureKind, what: impl Into<String>) -> Box<Fail> {
        Box::new(Fail {
            kind,
            what: what.into(),
            config: Vec::new(),
            output: String::new(),
        })
    }

    /// A step failed: a system call, a program.
    pub fn step(what: impl Into<String>) -> Box<Fail> {
        Fail::new(FailureKind::Step, what)
    }

    /// A system call failed: `doing` names it with its arguments. Where the kernel's answer is that
    /// it does not do such a thing, it lacks something; any other is a step's failure.
    pub fn os(doing: impl Display, error: &io::Error) -> Box<Fail> {
        let kind = match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EOPNOTSUPP | ENOTSUPP) => FailureKind::Unsupported,
            _ => FailureKind::Step,
        };
        Fail::new(kind, format!("{doing}: {error}"))
    }

    /// The kernel lacks something, explained by `config` (CONFIG_ options).
    pub fn unsupported(what: impl Into<String>, config: &[&str]) -> Box<Fail> {
        let mut fail = Fail::new(FailureKind::Unsupported, what);
        fail.config = config.iter().map(|&c| c.to_owned()).collect();
        fail
    }

    /// The run gave a wrong answer.
    pub fn wrong(what: impl Into<String>) -> Box<Fail> {
        Fail::new(FailureKind::WrongResult, what)
    }

    /// What the scenario asks for is refused.
    pub fn refused(what: impl Into<String>) -> Box<Fail> {
        Fail::new(FailureKind::Refused, what)
    }

    /// The harness sent something that this agent cannot use.
    pub fn protocol(what: impl Into<String>) -> Box<Fail> {
        Fail::new(FailureKind::Protocol, what)
    }

    /// Adds the last lines of a program's output.
    pub fn with_output(mut self: Box<Self>, output: &str) -> Box<Fail> {
        self.output = last_lines(output, OUTPUT_LINES);
        self
    }

    /// Whether the kernel lacks something.
    pub fn is_unsupported(&self) -> bool {
        self.kind == FailureKind::Unsupported
    }

    /// The failure as a line of progress, for a guest that cannot report it otherwise.
    pub fn into_progress(self) -> Progress {
        if self.is_unsupported() {
            Progress::Lacks(self.config, self.what)
        } else {
            Progress::Fatal(self.what)
        }
    }

    /// The failure as it travels, with the phase in which it happened.
    pub fn into_wire(self, phase: Phase) -> Failure {
        Failure {
            kind: self.kind,
            phase: phase.name().to_owned(),
            what: self.what,
            config: self.config,
            output: self.output,
        }
    }
}

/// Lines of a failed program's output that are kept.
const OUTPUT_LINES: usize = 20;

/// The last `n` lines of `text` that are not empty.
fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_an_output_travel() {
        assert_eq!(last_lines("a\n\nb\n  \nc\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }

    #[test]
    fn what_a_kernel_lacks_gets_out_by_the_one_way_line_too() {
        let fail = Fail::unsupported("no devtmpfs", &["CONFIG_DEVTMPFS"]);
        let line = fail.into_progress().to_string();
        assert_eq!(line, "@LACKS CONFIG_DEVTMPFS no devtmpfs");
        let line = Fail::step("mount: no").into_progress().to_string();
        assert_eq!(line, "@FATAL mount: no");
    }

    #[test]
    fn not_supported_is_no_failure_of_a_step() {
        let kind = |errno| {
            let error = io::Error::from_raw_os_error(errno);
            Fail::os("pwritev2 RWF_DSYNC", &error)
                .into_wire(Phase::Measure)
                .kind
        };
        for errno in [libc::EOPNOTSUPP, libc::ENOSYS, ENOTSUPP] {
            assert_eq!(kind(errno), FailureKind::Unsupported, "{errno}");
        }
        assert_eq!(kind(libc::EIO), FailureKind::Step);
        assert_eq!(kind(libc::EINVAL), FailureKind::Step);
    }

    #[test]
    fn a_failure_names_its_phase_and_the_option_that_is_missing() {
        let fail = Fail::unsupported("no null_blk", &["CONFIG_BLK_DEV_NULL_BLK"]);
        let wire = fail.into_wire(Phase::Device);
        assert_eq!(wire.kind, FailureKind::Unsupported);
        assert_eq!(wire.phase, "device");
        assert_eq!(wire.config, ["CONFIG_BLK_DEV_NULL_BLK"]);
    }
}
