//! Watching a guest until it hands over: its progress lines, its faults, its deadlines.

mod off;

use super::{
    machine::Machine,
    qmp::QmpEvent,
    stream::{CONSOLE_LIMIT, Stream},
};
use crate::{text, vocabulary::Outcome};
use diorama_wire::{Phase, Progress};
use std::{
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    time::{Duration, Instant},
};

/// How often progress and deadlines are looked at.
const TICK: Duration = Duration::from_millis(20);

/// The agent says little: a guest that writes more than this through its debug port is broken; in
/// bytes.
const PROGRESS_LIMIT: u64 = 1 << 20;

/// Longest line that is waited for, in bytes: longer ones are no progress.
const LINE_LIMIT: usize = 64 << 10;

/// Lines of a guest that are told, and so recorded; those beyond it count for deadlines only.
const TOLD: u32 = 4096;

/// However often a guest says that it goes on, a phase takes no longer than so many times its
/// deadline.
const PATIENCE: u32 = 4;

/// How long a kernel that panicked may go on writing its backtrace, and then end by itself.
const LAST_WORDS: Duration = Duration::from_secs(3);

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
    /// The phase last entered; none until the agent has spoken.
    phase: Option<Phase>,
    /// The phase last entered for the first time, its number if it has one, and when that was.
    reached: Option<(Phase, u64)>,
    entered: Instant,
    /// The last progress.
    since: Instant,
    told: u32,
    /// So many repetitions are measured; each has a deadline of its own.
    repetitions: u64,
    /// When the console said that the kernel panicked.
    panicked: Option<Instant>,
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
            phase: None,
            reached: None,
            entered: Instant::now(),
            since: Instant::now(),
            told: 0,
            repetitions: 0,
            panicked: None,
        }
    }

    /// Expects so many repetitions: each of them may take a phase's time.
    #[must_use]
    pub fn expecting(mut self, repetitions: u32) -> Watcher {
        self.repetitions = repetitions.into();
        self
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
        tell: &dyn Fn(Phase, &str),
    ) -> Result<(), Outcome> {
        self.since = Instant::now();
        self.entered = self.since;
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
                        "the guest stopped in phase `{}` instead of continuing",
                        self.phase_name()
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
    pub fn read_lines(&mut self, machine: &Machine, tell: &dyn Fn(Phase, &str)) {
        for (i, stream) in [&machine.progress, &machine.console]
            .into_iter()
            .enumerate()
        {
            for line in self.lines_of(i, stream) {
                self.line(&line, tell);
            }
        }
    }

    fn line(&mut self, line: &str, tell: &dyn Fn(Phase, &str)) {
        if panic_message(line).is_some() {
            self.panicked.get_or_insert_with(Instant::now);
        }
        let Some(progress) = Progress::parse(line) else {
            return;
        };
        self.since = Instant::now();
        if let Progress::At(phase, detail) = &progress {
            if self.told < TOLD {
                self.told += 1;
                tell(*phase, &text::cut(detail));
            }
            self.phase = Some(*phase);
            // Phases come in order, and repetitions count upwards: whatever else is said is no
            // reason to wait longer.
            let at = (*phase, leading_number(detail).min(self.repetitions));
            if self.reached.is_none_or(|before| before < at) {
                self.reached = Some(at);
                self.entered = self.since;
            }
        }
        let handover = matches!(progress, Progress::Ready | Progress::Done);
        if handover && !self.passed.contains(&progress) {
            self.passed.push(progress.clone());
        }
        self.last = Some(progress);
    }

    fn phase_name(&self) -> &'static str {
        self.phase.map_or("boot", Phase::name)
    }

    /// What comes of an agent that gave up without being able to report.
    #[must_use]
    pub fn gave_up(&self, machine: &Machine) -> Option<Outcome> {
        if let Some(why) = too_much(machine.console.len(), machine.progress.len()) {
            return Some(fault(machine, why));
        }
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
            if self.partial[i].len() > LINE_LIMIT {
                self.partial[i].clear();
            }
            return Vec::new();
        };
        let rest = self.partial[i].split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial[i], rest);
        String::from_utf8_lossy(&whole)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn overdue(&self, machine: &mut Machine) -> Option<Outcome> {
        if self.panicked.is_some_and(|at| at.elapsed() > LAST_WORDS) {
            // Told not to end (panic=0), it stands still.
            if let Some(outcome) = self.panic_of(machine) {
                return Some(outcome);
            }
        }
        let after = if self.phase.is_none() {
            self.deadlines.boot
        } else {
            self.deadlines.phase
        };
        late(self.since.elapsed(), self.entered.elapsed(), after).map(|after| Outcome::TimedOut {
            phase: self.phase_name().to_owned(),
            after_s: after.as_secs_f64(),
            console: console_tail(machine),
        })
    }

    /// What a kernel that has panicked comes to; none if its console does not say so.
    fn panic_of(&self, machine: &Machine) -> Option<Outcome> {
        // Of the whole console: the panic's own line is above a long backtrace.
        let text = machine.console.text();
        let message = text.lines().rev().find_map(panic_message)?;
        Some(match lacking(message) {
            Some(option) if self.phase.is_none() => Outcome::Unsupported {
                why: format!("the kernel did not start the agent: {message}"),
                config: vec![option.to_owned()],
            },
            _ => fault(
                machine,
                format!("kernel panic in phase `{}`: {message}", self.phase_name()),
            ),
        })
    }

    /// What comes of a machine that has ended, or is about to: the guest ended it, or something
    /// outside did. `last` is QEMU's word of it, where it was heard already.
    pub async fn ended(
        &mut self,
        machine: &mut Machine,
        last: Option<QmpEvent>,
        tell: &dyn Fn(Phase, &str),
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
        if let Some(outcome) = self.panic_of(machine) {
            return outcome;
        }
        if last.as_ref().is_some_and(by_guest) {
            let why = format!(
                "the guest exited by itself in phase `{}`",
                self.phase_name()
            );
            return fault(machine, why);
        }
        Outcome::HarnessFailed {
            stage: "running the guest".to_owned(),
            why: not_by_guest(
                self.phase_name(),
                status,
                last.as_ref(),
                &machine.said_last(),
            ),
        }
    }
}

/// Whether QEMU says with it that the machine ends (qapi/run-state.json).
fn is_end(event: &QmpEvent) -> bool {
    matches!(event.name.as_str(), "SHUTDOWN" | "RESET")
}

/// Whether the guest itself ended the machine: by powering off, resetting or a triple fault.
fn by_guest(end: &QmpEvent) -> bool {
    end.data["guest"] == true
}

/// What is to be said of a QEMU that ended without the guest's doing: it was killed, ran against a
/// limit of the host, or crashed.
fn not_by_guest(
    phase: &str,
    status: Option<ExitStatus>,
    end: Option<&QmpEvent>,
    said: &str,
) -> String {
    let how = match status {
        Some(status) => match status.signal() {
            Some(signal) => format!("was killed by {}", signal_name(signal)),
            None => format!("ended with {status}"),
        },
        None => "ended".to_owned(),
    };
    let mut text = format!("QEMU {how} in phase `{phase}`, not caused by the guest");
    if let Some(reason) = end.and_then(|end| end.data["reason"].as_str()) {
        text.push_str(&format!(" ({reason})"));
    }
    if !said.is_empty() {
        text.push_str(&format!("; it said: {said}"));
    }
    text.push_str(
        "; help: look for the OOM killer in the kernel log (dmesg), check the limits (ulimit -a, \
         cgroups), and run the same command again: measured cells are cached",
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

/// The number that a detail begins with: `3` of `3/5`; 0 if there is none.
fn leading_number(detail: &str) -> u64 {
    let digits = detail.find(|c: char| !c.is_ascii_digit());
    let digits = &detail[..digits.unwrap_or(detail.len())];
    digits.parse().unwrap_or(0)
}

/// The deadline that was missed: that of silence, or that of a phase that never ends.
fn late(silent: Duration, inside: Duration, deadline: Duration) -> Option<Duration> {
    let whole = deadline.saturating_mul(PATIENCE);
    match (silent > deadline, inside > whole) {
        (true, _) => Some(deadline),
        (_, true) => Some(whole),
        _ => None,
    }
}

/// What a guest wrote too much of.
fn too_much(console: u64, progress: u64) -> Option<String> {
    [
        ("console", console, CONSOLE_LIMIT),
        ("debug port", progress, PROGRESS_LIMIT),
    ]
    .into_iter()
    .find(|(_, written, limit)| written > limit)
    .map(|(where_to, _, limit)| {
        format!("the guest wrote more than {limit} bytes to its {where_to}")
    })
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
            let lines = text::counted(from - at - 1, "line");
            excerpt.push(format!("[{lines} omitted]"));
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
            [panic, "[10 lines omitted]", "frame 10"]
        );
        assert_eq!(panic_message(panic), Some("Attempted to kill init!"));
        assert_eq!(excerpt("a\n\nb\n"), ["a", "b"]);
    }

    #[test]
    fn what_ends_a_machine_is_the_guest_or_the_host() {
        let end = |data| QmpEvent {
            name: "SHUTDOWN".into(),
            data,
        };
        let guests = end(serde_json::json!({"guest": true, "reason": "guest-shutdown"}));
        let ours = end(serde_json::json!({"guest": false, "reason": "host-signal"}));
        assert!(is_end(&guests) && by_guest(&guests) && !by_guest(&ours));
        let killed = not_by_guest("measure", Some(ExitStatus::from_raw(9)), None, "");
        assert!(
            killed.starts_with("QEMU was killed by signal 9"),
            "{killed}"
        );
        assert!(killed.contains("OOM killer"), "{killed}");
        let exited = not_by_guest(
            "boot",
            Some(ExitStatus::from_raw(1 << 8)),
            Some(&ours),
            "no memory",
        );
        insta::assert_snapshot!(exited, @"QEMU ended with exit status: 1 in phase `boot`, not caused by the guest (host-signal); it said: no memory; help: look for the OOM killer in the kernel log (dmesg), check the limits (ulimit -a, cgroups), and run the same command again: measured cells are cached");
    }

    fn watcher() -> Watcher {
        Watcher::new(Deadlines::all(Duration::from_secs(10))).expecting(2)
    }

    #[test]
    fn progress_without_end_is_neither_told_nor_waited_for_without_end() {
        let mut watcher = watcher();
        let told = std::cell::RefCell::new(Vec::new());
        let tell = |phase: Phase, detail: &str| {
            told.borrow_mut().push(format!("{} {detail}", phase.name()));
        };
        watcher.line("@measure 1", &tell);
        let first = watcher.entered;
        std::thread::sleep(Duration::from_millis(2));
        for _ in 0..10_000 {
            watcher.line(&format!("@measure 1 {}", "x".repeat(1000)), &tell);
            watcher.line("@format", &tell);
        }
        assert_eq!(
            watcher.entered, first,
            "neither repeating nor going back is progress"
        );
        assert!(watcher.since > first);
        assert_eq!(told.borrow().len(), TOLD as usize);
        assert!(told.borrow().iter().all(|line| line.len() < 100));
        watcher.line("@measure 2", &tell);
        let second = watcher.entered;
        assert!(second > first);
        std::thread::sleep(Duration::from_millis(2));
        for number in 3..100 {
            watcher.line(&format!("@measure {number}"), &tell);
        }
        assert_eq!(watcher.entered, second, "there are but two repetitions");

        let seconds = Duration::from_secs;
        assert_eq!(late(seconds(1), seconds(39), seconds(10)), None);
        assert_eq!(
            late(seconds(11), seconds(11), seconds(10)),
            Some(seconds(10))
        );
        assert_eq!(
            late(seconds(1), seconds(41), seconds(10)),
            Some(seconds(40))
        );
    }

    #[test]
    fn what_a_guest_writes_is_bounded() {
        assert_eq!(too_much(CONSOLE_LIMIT, PROGRESS_LIMIT), None);
        let words = |console, progress| too_much(console, progress).unwrap();
        assert!(words(CONSOLE_LIMIT + 1, 0).contains("its console"));
        assert!(words(0, PROGRESS_LIMIT + 1).contains("its debug port"));
        let (mut watcher, stream) = (watcher(), Stream::new("progress").unwrap());
        stream.append(&vec![b'x'; 3 * LINE_LIMIT]).unwrap();
        assert!(watcher.lines_of(0, &stream).is_empty());
        assert!(
            watcher.partial[0].is_empty(),
            "a line without end is not kept"
        );
    }

    #[test]
    fn a_panic_on_the_console_is_noticed_although_the_kernel_was_told_not_to_end() {
        let mut watcher = watcher();
        watcher.line("[    2.1] quiet", &|_, _| {});
        assert_eq!(watcher.panicked, None);
        watcher.line(
            "[    2.2] Kernel panic - not syncing: Attempted to kill init!",
            &|_, _| {},
        );
        assert!(watcher.panicked.is_some());
    }
}
