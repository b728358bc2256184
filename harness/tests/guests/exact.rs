//! The property that everything else serves: equal inputs give equal digits, and equal guest memory
//! to the last byte. Real guests, the smoke scenario.

use crate::common::{Lab, digits, running::children_of};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What happens beside the guests, or to them, until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<u64>>,
}

impl Load {
    /// Threads that want a core each, all the time.
    fn busy() -> Load {
        Load::start(cores(), spin)
    }

    /// Threads that sleep and wake up: each wake-up takes the core away from whoever has it.
    fn waking() -> Load {
        Load::start(2 * cores(), || {
            thread::sleep(Duration::from_micros(100));
            spin()
        })
    }

    /// Stops a lab's guests for a while, again and again: what a host does that has too much to do, and reliably.
    /// Counts how often there were some.
    fn stopping_guests(lab: &Lab) -> Load {
        let results = lab.results().to_owned();
        Load::start(1, move || {
            let harnesses = children_of(std::process::id());
            let harnesses = harnesses
                .into_iter()
                .filter(|pid| records_in(*pid, &results));
            let guests: Vec<u32> = harnesses.flat_map(children_of).collect();
            signal_all(&guests, Signal::STOP);
            thread::sleep(STOPPED);
            signal_all(&guests, Signal::CONT);
            thread::sleep(RUNNING);
            u64::from(!guests.is_empty())
        })
    }

    /// Threads that each take one turn after the other, and count.
    fn start(threads: usize, turn: impl Fn() -> u64 + Clone + Send + 'static) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..threads)
            .map(|_| {
                let (stop, turn) = (stop.clone(), turn.clone());
                thread::spawn(move || {
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        count += turn();
                    }
                    count
                })
            })
            .collect();
        Load { stop, threads }
    }

    /// Ends it, and says what was counted.
    fn end(mut self) -> u64 {
        self.join()
    }

    fn join(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.drain(..);
        threads.map(|thread| thread.join().unwrap_or(0)).sum()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.join();
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// Some tens of microseconds of a core's.
fn spin() -> u64 {
    let began = Instant::now();
    while began.elapsed() < Duration::from_micros(30) {}
    1
}

/// Whether a harness was told to keep its records there.
fn records_in(harness: u32, results: &Path) -> bool {
    let cmdline = std::fs::read(format!("/proc/{harness}/cmdline")).unwrap_or_default();
    let mut words = cmdline.split(|byte| *byte == 0);
    words.any(|word| word == results.as_os_str().as_bytes())
}

fn signal_all(processes: &[u32], signal: Signal) {
    let pids = processes
        .iter()
        .filter_map(|pid| Pid::from_raw(pid.cast_signed()));
    for pid in pids {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// A fifth of the host's speed: of the 100 ms after which QEMU makes a TLB smaller, the guest runs 20.
const STOPPED: Duration = Duration::from_millis(60);
const RUNNING: Duration = Duration::from_millis(15);

/// Measured, if it was not before; afresh on a loaded host, one guest at a time; and against what is known.
#[test]
fn equal_inputs_give_equal_digits_and_equal_memory() {
    let Some(lab) = Lab::open("equal_inputs_give_equal_digits_and_equal_memory") else {
        return;
    };
    let first = digits(&lab.measure(&["smoke", "--jobs", "2"], 0));
    assert_eq!(first.len(), 4);
    let loaded = {
        let _load = Load::busy();
        digits(&lab.measure(&["smoke", "--fresh", "--jobs", "1"], 0))
    };
    assert_eq!(first, loaded, "digits changed with the load of the host");

    let verified = lab.run(&["repro", "smoke", "--verify", "--plain"]);
    let said = crate::common::text(&verified);
    assert!(said.contains("verify: 4 of 4 cells identical"), "{said}");
    assert_eq!(verified.status.code(), Some(0));
    for digest in ["checkpoint", "end"] {
        let memory = &first["6.12/ext4/write-4k"]["memory"][digest];
        assert!(
            memory.as_str().is_some_and(|m| m.len() == 64),
            "{digest}: {memory}"
        );
    }
}

/// A guest that waits for its only I/O halts ten thousand times a second, and a halt is where QEMU's
/// two threads can come to disagree about the time. Without the recorder's mutex (`vm::spec`) none of eight
/// such cells beside such neighbours kept its digits.
#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_guest_that_idles_keeps_its_digits_beside_neighbours_that_wake_up() {
    let test = "a_guest_that_idles_keeps_its_digits_beside_neighbours_that_wake_up";
    let Some(lab) = Lab::open(test) else { return };
    let path = lab.write("idle.toml", IDLE);
    let alone = digits(&lab.measure(&[&path, "--fresh"], 0));
    assert_eq!(alone.len(), 2);
    let crowded = {
        let _load = Load::waking();
        digits(&lab.measure(&[&path, "--fresh", "--jobs", "2"], 0))
    };
    assert_eq!(alone, crowded, "digits changed with the host's neighbours");
}

/// QEMU's own TLB shrinks by the host's clock, and a page that is looked up again is one more that the guest's
/// kernel finds accessed, when a process ends. So the clock that QEMU sees stands still (`vm::still_clock`);
/// with a clock that goes, this failed in every run.
#[test]
fn a_guest_keeps_its_digits_on_a_host_that_stops_it_again_and_again() {
    let test = "a_guest_keeps_its_digits_on_a_host_that_stops_it_again_and_again";
    let Some(lab) = Lab::open(test) else { return };
    let path = lab.write("processes.toml", PROCESSES);
    lab.write("processes.fio", PROCESSES_FIO);
    let alone = digits(&lab.measure(&[&path, "--fresh"], 0));
    assert_eq!(alone.len(), 1);
    let stops = Load::stopping_guests(&lab);
    let stopped = digits(&lab.measure(&[&path, "--verify"], 0));
    let stops = stops.end();
    assert!(stops > 10, "stopped {stops} times");
    assert_eq!(alone, stopped, "digits changed with the host's speed");
}

/// fio is a process that ends in the window: its pages are looked at.
const PROCESSES: &str = r#"
name = "processes"
title = "fio, whose process ends"
baseline = "7.2"
kernels = ["7.2"]
[measure]
repetitions = 1
[filesystems.ext4]
[workloads.read]
fio = "processes.fio"
"#;
const PROCESSES_FIO: &str = "[j]\nioengine=libaio\ndirect=1\nbs=4k\niodepth=8\nrw=randread\n\
                             size=4m\nnumber_ios=512\nthread\n";

const IDLE: &str = r#"
name = "idle"
title = "one and two I/Os in flight on a slow drive"
baseline = "7.2"
kernels = ["7.2"]
[model]
latency = "80us"
bandwidth = "none"
[filesystems.ext4]
[workloads.qd1]
ioengine = "io_uring"
rw = "randwrite"
bs = "4k"
iodepth = 1
size = "32MiB"
runtime = "500ms"
[workloads.qd2]
ioengine = "io_uring"
rw = "randwrite"
bs = "4k"
iodepth = 2
size = "32MiB"
runtime = "500ms"
"#;

/// A cell's digits depend on its kernel's checkpoint and its own job, and on nothing else.
#[test]
fn a_cell_does_not_depend_on_others_or_on_how_it_was_started() {
    let test = "a_cell_does_not_depend_on_others_or_on_how_it_was_started";
    let Some(lab) = Lab::open(test) else { return };
    // A checkpoint is one kernel's: one is enough.
    let smoke = |words: &[&'static str]| {
        let words = [&["smoke", "--only-kernel", "7.2"], words].concat();
        digits(&lab.measure(&words, 0))
    };
    let all = smoke(&[]);
    // One uninterrupted boot per cell, without a checkpoint.
    let uninterrupted = smoke(&["--fresh", "--no-checkpoint"]);
    assert_eq!(all, uninterrupted, "a checkpoint changed digits");
    // Each alone, the first from a fresh checkpoint; the other order of workloads makes the last the first.
    let mut alone = BTreeMap::new();
    for (how, workload) in [("--fresh", "read-4k"), ("--verify", "write-4k")] {
        alone.extend(smoke(&[how, "--workload", workload]));
    }
    assert_eq!(all, alone, "a cell measured alone has other digits");
    let reversed = lab
        .scenario("smoke")
        .replace("[workloads.write-4k]", "[workloads.x]")
        .replace("[workloads.read-4k]", "[workloads.write-4k]")
        .replace("[workloads.x]", "[workloads.read-4k]")
        .replace("rw = \"write\"", "rw = \"X\"")
        .replace("rw = \"read\"", "rw = \"write\"")
        .replace("rw = \"X\"", "rw = \"read\"");
    let path = lab.write("reversed.toml", &reversed);
    // From the checkpoints that are there now.
    let reversed = digits(&lab.measure(&[&path, "--only-kernel", "7.2", "--verify"], 0));
    assert_eq!(all, reversed, "the order of cells changed digits");
}

/// An input that should not matter moves digits a little; the figure must hardly notice.
#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_word_that_does_not_matter_moves_medians_by_less_than_half_a_percent() {
    let test = "a_word_that_does_not_matter_moves_medians_by_less_than_half_a_percent";
    let Some(lab) = Lab::open(test) else { return };
    let words = ["", "pad=bb", "pad=ddddddddddddddddddddddddddddddd"];
    let mut medians: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for word in words {
        let mut arguments = vec!["smoke", "--only-kernel", "7.2"];
        if !word.is_empty() {
            arguments.extend(["--cmdline", word]);
        }
        for (cell, exact) in digits(&lab.measure(&arguments, 0)) {
            let repetitions = exact["guest"]["repetitions"]
                .as_array()
                .expect("repetitions");
            let mut rates: Vec<f64> = repetitions.iter().map(rate).collect();
            rates.sort_by(f64::total_cmp);
            medians
                .entry(cell)
                .or_default()
                .push(rates[rates.len() / 2]);
        }
    }
    for (cell, medians) in &medians {
        let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
        let most = medians.iter().copied().fold(0.0, f64::max);
        println!(
            "{cell}: {medians:.0?}, spread {:.3}%",
            (most / least - 1.0) * 100.0
        );
    }
    for (cell, medians) in medians {
        let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
        let most = medians.iter().copied().fold(0.0, f64::max);
        assert!(most / least < 1.005, "{cell}: {medians:?}");
    }
}

fn rate(repetition: &serde_json::Value) -> f64 {
    let number = |name: &str| repetition[name].as_f64().expect("a number");
    number("ios") / number("window_ns") * 1e9
}
