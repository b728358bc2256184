//! Watching a guest until it hands over: its progress lines, its faults, its deadlines.

use super::{
    machine::{CONSOLE_LIMIT, Machine, Stream},
    qmp::Event,
};
use crate::record::Outcome;
use diorama_wire::Progress;
use std::{
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    time::{Duration, Instant},
};

/// How often progress and deadlines are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Lines of a console that go into an outcome.
const CONSOLE_LINES: usize = 30;

/// How the kernel's own words for a fault begin (kernel/panic.c, arch/x86/kernel/dumpstack.c).
const FAULTS: [&str; 3] = ["BUG: ", "Oops: ", "Kernel panic - not syncing: "];

/// Where a guest hands over to the harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// Ready for its checkpoint.
    Ready,
    /// Measured, well or badly.
    Done,
}

/// How long each phase may take, in the host's time: generous, since the host may be loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deadlines {
    /// From the start of QEMU to the agent's first line.
    pub boot: Duration,
    /// Each phase of the agent, and each repetition.
    pub phase: Duration,
    /// From the hot-plug of the vsock device to the report.
    pub report: Duration,
}

impl Deadlines {
    /// The same for everything: tests provoke a hang and do not want to wait for minutes.
    #[must_use]
    pub fn all(each: Duration) -> Deadlines {
        Deadlines {
            boot: each,
            phase: each,
            report: each,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            boot: Duration::from_secs(180),
            phase: Duration::from_secs(180),
            report: Duration::from_secs(120),
        }
    }
}

/// Reads the agent's lines out of one or two streams and keeps what a deadline needs.
#[derive(Debug)]
pub struct Watcher {
    deadlines: Deadlines,
    read: [u64; 2],
    partial: [Vec<u8>; 2],
    last: Option<Progress>,
    /// Handovers that the agent has announced so far.
    passed: Vec<Progress>,
    phase: &'static str,
    since: Instant,
}

impl Watcher {
    /// Begins to watch a machine that was just started or goes on.
    #[must_use]
    pub fn new(deadlines: Deadlines) -> Watcher {
        Watcher {
            deadlines,
            read: [0; 2],
            partial: [Vec::new(), Vec::new()],
            last: None,
            passed: Vec::new(),
            phase: "boot",
            since: Instant::now(),
        }
    }

    /// Waits until the guest hands over at `goal`, telling `tell` of every phase.
    ///
    /// A guest that stops itself is paused when this returns; `stops` says whether it can.
    ///
    /// # Errors
    /// The outcome of a cell whose guest did not get there.
    pub async fn until(
        &mut self,
        machine: &mut Machine,
        goal: Handover,
        stops: bool,
        tell: &dyn Fn(&str, &str),
    ) -> Result<(), Outcome> {
        self.since = Instant::now();
        let wanted = match goal {
            Handover::Ready => Progress::Ready,
            Handover::Done => Progress::Done,
        };
        let mut paused = false;
        loop {
            self.read_lines(machine, tell);
            if let Some(outcome) = self.gave_up(machine) {
                return Err(outcome);
            }
            // A guest that cannot stop has gone on by the time its line is read.
            let there = self.last.as_ref() == Some(&wanted) && paused;
            if there || (!stops && self.passed.contains(&wanted)) {
                return Ok(());
            }
            if paused {
                return Err(fault(
                    machine,
                    format!(
                        "the guest stopped in phase `{}` instead of going on",
                        self.phase
                    ),
                ));
            }
            if let Some(outcome) = self.overdue(machine) {
                return Err(outcome);
            }
            tokio::select! {
                event = machine.events.next() => match event {
                    // GUEST_PANICKED comes first; the machine is at rest with STOP.
                    Some(event) if event.name == "STOP" => paused = true,
                    Some(event) if !is_end(&event) => {}
                    last => return Err(self.ended(machine, last, tell).await),
                },
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Reads on without waiting, for phases in which something else is awaited.
    pub fn read_lines(&mut self, machine: &Machine, tell: &dyn Fn(&str, &str)) {
        for (i, stream) in [&machine.progress, &machine.console]
            .into_iter()
            .enumerate()
        {
            for line in self.lines_of(i, stream) {
                let Some(progress) = Progress::parse(&line) else {
                    continue;
                };
                if let Progress::At(phase, detail) = &progress {
                    tell(phase.name(), detail);
                    self.phase = phase.name();
                }
                self.since = Instant::now();
                if matches!(progress, Progress::Ready | Progress::Done) {
                    self.passed.push(progress.clone());
                }
                self.last = Some(progress);
            }
        }
    }

    /// What comes of an agent that gave up without being able to report.
    #[must_use]
    pub fn gave_up(&self, machine: &Machine) -> Option<Outcome> {
        match &self.last {
            Some(Progress::Fatal(why)) => Some(fault(machine, format!("the agent gave up: {why}"))),
            Some(Progress::Lacks(config, what)) => Some(Outcome::Unsupported {
                why: what.clone(),
                config: config.clone(),
            }),
            _ => None,
        }
    }

    fn lines_of(&mut self, i: usize, stream: &Stream) -> Vec<String> {
        if stream.len() <= self.read[i] {
            return Vec::new();
        }
        let bytes = stream.bytes_from(self.read[i]);
        self.read[i] += bytes.len() as u64;
        self.partial[i].extend(bytes);
        let Some(end) = self.partial[i].iter().rposition(|b| *b == b'\n') else {
            return Vec::new();
        };
        let rest = self.partial[i].split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial[i], rest);
        String::from_utf8_lossy(&whole)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn overdue(&self, machine: &Machine) -> Option<Outcome> {
        if machine.console.len() > CONSOLE_LIMIT {
            return Some(fault(
                machine,
                format!("the console exceeds {CONSOLE_LIMIT} bytes"),
            ));
        }
        let after = if self.phase == "boot" {
            self.deadlines.boot
        } else {
            self.deadlines.phase
        };
        (self.since.elapsed() > after).then(|| Outcome::TimedOut {
            phase: self.phase.to_owned(),
            after_s: after.as_secs_f64(),
            console: console_tail(machine),
        })
    }

    /// What comes of a machine that has ended, or is about to: the guest ended it, or something
    /// outside did. `last` is QEMU's word of it, where it was heard already.
    pub async fn ended(
        &mut self,
        machine: &mut Machine,
        last: Option<Event>,
        tell: &dyn Fn(&str, &str),
    ) -> Outcome {
        let last = last.filter(is_end).or_else(|| {
            let heard = std::iter::from_fn(|| machine.events.try_next());
            heard.filter(is_end).last()
        });
        self.read_lines(machine, tell);
        if let Some(outcome) = self.gave_up(machine) {
            return outcome;
        }
        let status = machine.status().await;
        // Its last words may have come in the same moment.
        self.read_lines(machine, tell);
        if let Some(outcome) = self.gave_up(machine) {
            return outcome;
        }
        // Of the whole console: the panic's own line is above a long backtrace.
        let text = machine.console.text();
        let panicked = text.lines().rev().find_map(panic_message);
        if let Some((message, option)) = panicked.and_then(|m| Some((m, lacking(m)?)))
            && self.phase == "boot"
        {
            return Outcome::Unsupported {
                why: format!("the kernel does not start the agent: {message}"),
                config: vec![option.to_owned()],
            };
        }
        if let Some(message) = panicked {
            let why = format!("kernel panic in phase `{}`: {message}", self.phase);
            return fault(machine, why);
        }
        if last.as_ref().is_some_and(by_guest) {
            let why = format!("the guest ended by itself in phase `{}`", self.phase);
            return fault(machine, why);
        }
        Outcome::HarnessFailed {
            stage: "running the guest".to_owned(),
            why: not_by_guest(self.phase, status, last.as_ref(), &machine.said()),
        }
    }
}

/// Whether QEMU says with it that the machine ends (qapi/run-state.json).
fn is_end(event: &Event) -> bool {
    matches!(event.name.as_str(), "SHUTDOWN" | "RESET")
}

/// Whether the guest itself ended the machine: by powering off, resetting or a triple fault.
fn by_guest(end: &Event) -> bool {
    end.data["guest"] == true
}

/// What is to be said of a QEMU that ended without the guest's doing: it was killed, ran against a
/// limit of the host, or crashed.
fn not_by_guest(
    phase: &str,
    status: Option<ExitStatus>,
    end: Option<&Event>,
    said: &str,
) -> String {
    let how = match status {
        Some(status) => match status.signal() {
            Some(signal) => format!("was ended by {}", signal_name(signal)),
            None => format!("ended with {status}"),
        },
        None => "ended".to_owned(),
    };
    let mut text = format!("QEMU {how} in phase `{phase}`, and not by the guest");
    if let Some(reason) = end.and_then(|end| end.data["reason"].as_str()) {
        text.push_str(&format!(" ({reason})"));
    }
    if !said.is_empty() {
        text.push_str(&format!("; it said: {said}"));
    }
    text.push_str(
        "; next: look for the OOM killer in the kernel's log (dmesg) and at the limits (ulimit -a, \
         control groups), and run the same command again: measured cells are cached",
    );
    text
}

/// A signal as people know it.
fn signal_name(signal: i32) -> String {
    let name = rustix::process::Signal::from_named_raw(signal).map(|name| format!("{name:?}"));
    match name {
        Some(name) => format!("signal {signal} ({name})"),
        None => format!("signal {signal}"),
    }
}

/// The text after the kernel's own words for a panic, if a line has them.
fn panic_message(line: &str) -> Option<&str> {
    line.split_once("Kernel panic - not syncing: ")
        .map(|(_, message)| message.trim())
}

/// The option without which a kernel that boots panics like this before the agent's first line.
fn lacking(panic: &str) -> Option<&'static str> {
    let known = [
        ("Requested init /init failed", "CONFIG_BINFMT_ELF"),
        ("No working init found", "CONFIG_BINFMT_ELF"),
    ];
    let found = known.iter().find(|(start, _)| panic.starts_with(start));
    found.map(|(_, option)| *option)
}

/// A guest fault with the console's last lines.
#[must_use]
pub fn fault(machine: &Machine, why: String) -> Outcome {
    Outcome::GuestFault {
        why,
        console: console_tail(machine),
    }
}

/// The console's last lines.
#[must_use]
pub fn console_tail(machine: &Machine) -> Vec<String> {
    excerpt(&machine.console.text())
}

/// The last lines; the first line that names a fault stands above them if it is further up.
fn excerpt(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|l| !l.is_empty())
        .collect();
    let from = lines.len().saturating_sub(CONSOLE_LINES);
    let named = |line: &&str| FAULTS.iter().any(|words| line.contains(words));
    let mut excerpt = Vec::new();
    if let Some(at) = lines[..from].iter().position(named) {
        excerpt.push(lines[at].to_owned());
        if from - at > 1 {
            excerpt.push(format!("[{} lines left out]", from - at - 1));
        }
    }
    excerpt.extend(lines[from..].iter().map(ToString::to_string));
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic of 7.2 has a backtrace of more than 30 lines below its own.
    #[test]
    fn an_excerpt_keeps_the_line_that_names_the_fault() {
        let panic = "[    1.0] Kernel panic - not syncing: Attempted to kill init!";
        let mut text = format!("booting\n{panic}\n");
        for i in 0..40 {
            text.push_str(&format!("frame {i}\n"));
        }
        let lines = excerpt(&text);
        assert_eq!(lines.len(), CONSOLE_LINES + 2);
        assert_eq!(
            [&lines[0], &lines[1], &lines[2]],
            [panic, "[10 lines left out]", "frame 10"]
        );
        assert_eq!(panic_message(panic), Some("Attempted to kill init!"));
        assert_eq!(excerpt("a\n\nb\n"), ["a", "b"]);
    }

    #[test]
    fn what_ends_a_machine_is_the_guest_or_the_host() {
        let end = |data| Event {
            name: "SHUTDOWN".into(),
            data,
        };
        let guests = end(serde_json::json!({"guest": true, "reason": "guest-shutdown"}));
        let ours = end(serde_json::json!({"guest": false, "reason": "host-signal"}));
        assert!(is_end(&guests) && by_guest(&guests) && !by_guest(&ours));
        let killed = not_by_guest("measure", Some(ExitStatus::from_raw(9)), None, "");
        assert!(killed.starts_with("QEMU was ended by signal 9"), "{killed}");
        assert!(killed.contains("OOM killer"), "{killed}");
        let exited = not_by_guest(
            "boot",
            Some(ExitStatus::from_raw(1 << 8)),
            Some(&ours),
            "no memory",
        );
        insta::assert_snapshot!(exited, @"QEMU ended with exit status: 1 in phase `boot`, and not by the guest (host-signal); it said: no memory; next: look for the OOM killer in the kernel's log (dmesg) and at the limits (ulimit -a, control groups), and run the same command again: measured cells are cached");
    }
}
