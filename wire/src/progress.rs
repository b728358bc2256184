//! One-way progress: short lines through a debug port, so that nothing the host does can
//! reach back into the guest before it has measured.

use std::{fmt, str::FromStr};

/// What the agent is doing. The order is the order of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Reading the boot description and mounting the kernel's file systems.
    Start,
    /// Loading modules.
    Modules,
    /// Waiting until the guest is quiet.
    Quiet,
    /// Reading the job.
    Job,
    /// Making the block device.
    Device,
    /// Formatting, discarding and filling the drive.
    Condition,
    /// mkfs and mount.
    Format,
    /// Writing and verifying the file.
    Prepare,
    /// The uncounted warm-up.
    Warmup,
    /// Counted repetition (1-based in [`Progress::At`]'s detail).
    Measure,
    /// Checking the file's contents and the evidence.
    Verify,
    /// Loading the vsock driver and sending the report.
    Report,
    /// Giving a shell.
    Shell,
    /// Handing files back, where the harness takes some; the detail is what went wrong, if anything
    /// did.
    Artifacts,
}

impl Phase {
    const ALL: [(Phase, &'static str); 14] = [
        (Phase::Start, "start"),
        (Phase::Modules, "modules"),
        (Phase::Quiet, "quiet"),
        (Phase::Job, "job"),
        (Phase::Device, "device"),
        (Phase::Condition, "condition"),
        (Phase::Format, "format"),
        (Phase::Prepare, "prepare"),
        (Phase::Warmup, "warmup"),
        (Phase::Measure, "measure"),
        (Phase::Verify, "verify"),
        (Phase::Report, "report"),
        (Phase::Shell, "shell"),
        (Phase::Artifacts, "artifacts"),
    ];

    /// The word used on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Phase::ALL
            .iter()
            .find(|(p, _)| *p == self)
            .map_or("?", |(_, n)| n)
    }
}

impl FromStr for Phase {
    type Err = ();
    fn from_str(s: &str) -> Result<Phase, ()> {
        Phase::ALL
            .iter()
            .find(|(_, n)| *n == s)
            .map(|(p, _)| *p)
            .ok_or(())
    }
}

/// One line of progress. Lines start with `@` so that they can share a console with the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The agent entered a phase; the detail may be empty.
    At(Phase, String),
    /// The next thing the agent does is to stop the machine for its checkpoint.
    Ready,
    /// The measurement is over (well or badly); the agent stops the machine once more and then
    /// reports over vsock.
    Done,
    /// The agent cannot go on and could not report over vsock: its own words, on one line.
    Fatal(String),
    /// The kernel lacks something that every cell needs, and the agent ends: CONFIG_ options that
    /// provide it, and what it is, on one line.
    Lacks(Vec<String>, String),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::At(phase, detail) if detail.is_empty() => write!(f, "@{}", phase.name()),
            Progress::At(phase, detail) => write!(f, "@{} {detail}", phase.name()),
            Progress::Ready => f.write_str("@READY"),
            Progress::Done => f.write_str("@DONE"),
            Progress::Fatal(why) => write!(f, "@FATAL {}", why.replace('\n', "; ")),
            Progress::Lacks(config, what) => {
                write!(
                    f,
                    "@LACKS {} {}",
                    config.join(","),
                    what.replace('\n', "; ")
                )
            }
        }
    }
}

impl Progress {
    /// Reads one line; `None` for a line that is not progress.
    #[must_use]
    pub fn parse(line: &str) -> Option<Progress> {
        let rest = line.trim_end().strip_prefix('@')?;
        let (word, detail) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "READY" => Some(Progress::Ready),
            "DONE" => Some(Progress::Done),
            "FATAL" => Some(Progress::Fatal(detail.to_owned())),
            "LACKS" => detail.split_once(' ').map(|(config, what)| {
                let options = config.split(',').filter(|option| !option.is_empty());
                Progress::Lacks(options.map(str::to_owned).collect(), what.to_owned())
            }),
            _ => word
                .parse()
                .ok()
                .map(|phase| Progress::At(phase, detail.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_round_trip() {
        let lines = [
            Progress::At(Phase::Measure, "3/5".into()),
            Progress::At(Phase::Start, String::new()),
            Progress::Ready,
            Progress::Done,
            Progress::Fatal("no such device".into()),
            Progress::Lacks(vec!["CONFIG_A".into(), "CONFIG_B".into()], "no a".into()),
            Progress::Lacks(vec![], "what no option names".into()),
        ];
        for line in lines {
            assert_eq!(Progress::parse(&line.to_string()), Some(line));
        }
    }

    #[test]
    fn kernel_lines_are_not_progress() {
        assert_eq!(Progress::parse("[    0.0] Linux version"), None);
        assert_eq!(Progress::parse("@unknown word"), None);
    }
}
