//! What a cell that was not measured says in tables and reports.

use crate::record::Outcome;
use serde::Serialize;

/// Whose fault a missing measurement is, as far as a comparison of kernels may conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The kernel's: it ran and failed, or gave a wrong answer.
    Kernel,
    /// Unknown: a deadline on the host's clock passed, by a hang or by a slow host.
    Unknown,
    /// Not the kernel's code: its configuration, the harness, an interruption.
    Other,
}

/// Why a cell has no figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmeasured {
    /// The outcome's word, as tables show it in capitals.
    pub word: &'static str,
    /// The reason, on one line.
    pub why: String,
    /// The console's last lines, if the outcome has them.
    pub console: Vec<String>,
    /// Whose fault it is.
    pub blame: Blame,
}

/// The failure that an outcome is; `None` for a measurement.
#[must_use]
pub fn failure(outcome: &Outcome) -> Option<Unmeasured> {
    let (word, why, console, blame) = match outcome {
        Outcome::Measured(_) => return None,
        Outcome::WrongResult { why } => ("wrong result", why.clone(), &[][..], Blame::Kernel),
        Outcome::GuestFault { why, console } => {
            ("guest fault", why.clone(), &console[..], Blame::Kernel)
        }
        Outcome::TimedOut {
            phase,
            after_s,
            console,
        } => (
            "timed out",
            format!("phase {phase} exceeded its deadline of {after_s} s"),
            &console[..],
            Blame::Unknown,
        ),
        Outcome::Refused { why } => ("refused", why.clone(), &[][..], Blame::Other),
        Outcome::Unsupported { why, config } => (
            "unsupported",
            if config.is_empty() {
                why.clone()
            } else {
                format!("{why} (missing: {})", config.join(", "))
            },
            &[][..],
            Blame::Other,
        ),
        Outcome::HarnessFailed { stage, why } => (
            "harness failed",
            format!("{stage}: {why}"),
            &[][..],
            Blame::Other,
        ),
        Outcome::NotRun { why } => ("not run", why.clone(), &[][..], Blame::Other),
    };
    Some(Unmeasured {
        word,
        why: why.lines().map(clean).collect::<Vec<_>>().join("; "),
        console: console.iter().map(|line| clean(line)).collect(),
        blame,
    })
}

/// A guest's words may hold anything; control characters must not reach a reader's terminal.
fn clean(line: &str) -> String {
    line.replace(char::is_control, " ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_words_stay_on_one_line_and_bring_no_control_characters() {
        let failure = failure(&Outcome::GuestFault {
            why: "mkfs failed\nwith \u{1b}[2Jstatus 1".into(),
            console: vec!["\u{7}[  1.0] oops\r".into()],
        })
        .unwrap();
        assert_eq!(failure.why, "mkfs failed; with  [2Jstatus 1");
        assert_eq!(failure.console, [" [  1.0] oops"]);
    }

    #[test]
    fn a_missing_option_is_named() {
        let failure = failure(&Outcome::Unsupported {
            why: "no XFS".into(),
            config: vec!["CONFIG_XFS_FS".into()],
        });
        assert_eq!(failure.unwrap().why, "no XFS (missing: CONFIG_XFS_FS)");
    }
}
