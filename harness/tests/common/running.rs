//! The program while it runs: what it says, its guests, signals.

use super::Lab;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStderr, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Whatever is awaited comes sooner, also on a loaded host.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The program, running, with its standard error read line by line.
pub struct Running {
    child: Child,
    said: BufReader<ChildStderr>,
    lines: Vec<String>,
}

impl Running {
    /// Starts `diorama run` with one guest at a time.
    pub fn start(lab: &Lab, select: &[&str]) -> Running {
        let mut command = lab.diorama();
        command.args(["run", "--plain", "--jobs", "1"]).args(select);
        Running::of(command)
    }

    /// Starts it with these words and variables.
    pub fn of(mut command: Command) -> Running {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("diorama starts");
        let said = BufReader::new(child.stderr.take().expect("its standard error"));
        Running {
            child,
            said,
            lines: Vec::new(),
        }
    }

    /// Reads on until a line has these words.
    pub fn until(&mut self, words: &str) {
        loop {
            let mut line = String::new();
            let read = self.said.read_line(&mut line).expect("a line");
            assert_ne!(read, 0, "ended before `{words}`: {:?}", self.lines);
            self.lines.push(line.trim_end().to_owned());
            if line.contains(words) {
                return;
            }
        }
    }

    /// Its children that are QEMU, once there are some.
    pub fn guests(&self) -> Vec<u32> {
        guests_of(self.child.id())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    /// Its exit code, when it has ended, and all it said.
    pub fn end(self) -> (Option<i32>, String) {
        let Running {
            mut child,
            said,
            mut lines,
        } = self;
        lines.extend(said.lines().map(|line| line.expect("a line")));
        let status = child.wait().expect("its end");
        let said = lines.join("\n");
        println!("{said}\n=> {status}");
        (status.code(), said)
    }
}

/// A program's children that are QEMU, once there are some.
pub fn guests_of(program: u32) -> Vec<u32> {
    let began = Instant::now();
    loop {
        let children = children_of(program);
        if !children.is_empty() {
            return children;
        }
        assert!(began.elapsed() < PATIENCE, "no guest of {program}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// State and parent of a process: fields 3 and 4 of proc_pid_stat(5).
fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// The processes whose parent it is.
pub fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc");
    processes
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| state(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// A zombie whose new parent has not looked yet runs no more.
fn runs(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// Waits until none of these runs any more.
pub fn assert_gone(guests: &[u32], within: Duration) {
    let began = Instant::now();
    while guests.iter().any(|pid| runs(*pid)) {
        assert!(began.elapsed() < within, "still there: {guests:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
