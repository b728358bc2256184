//! Faults inside of a cell that was restored from its kernel's checkpoint, with real guests.

use crate::common::{
    Lab, outcomes,
    running::{PATIENCE, Running},
    unknown_cells,
};
use serde_json::Value;
use std::{
    fs, thread,
    time::{Duration, Instant},
};

fn latest(lab: &Lab) -> Value {
    let text = fs::read(lab.results().join("latest/results.json")).expect("results.json");
    serde_json::from_slice(&text).expect("a whole record")
}

/// Memory enough to boot and too little for the device's data: null_blk allocates with GFP_NOIO, which
/// neither fails nor kills anything, so the guest tries for ever.
#[test]
fn a_guest_that_hangs_in_a_restored_cell_times_out_in_its_phase() {
    let Some(lab) = Lab::open("a_guest_that_hangs_in_a_restored_cell") else {
        return;
    };
    let select = ["smoke", "--only-kernel", "7.2", "--workload", "write-4k"];
    let mut words = select.to_vec();
    words.extend(["--cmdline", "mem=112M", "--deadline", "15"]);
    let results = lab.measure(&words, 5);
    assert_eq!(outcomes(&results), ["timed-out"]);
    let outcome = &results["cells"][0]["outcome"];
    assert_eq!(
        (&outcome["phase"], &outcome["after_s"]),
        (&"prepare".into(), &15.0.into())
    );
    // The cell hung, not the boot.
    let events = fs::read_to_string(lab.results().join("latest/events.jsonl")).expect("events");
    assert!(events.contains("checkpoint-ready"), "{events}");
}

/// What ends QEMU and is not the guest is the host's: the kernel that is measured did nothing wrong.
#[test]
fn a_vmm_that_is_killed_below_a_restored_cell_is_the_hosts_failure_of_that_cell_alone() {
    use rustix::process::Signal;
    let name = "a_vmm_that_is_killed_below_a_restored_cell";
    let Some(lab) = Lab::open(name) else {
        return;
    };
    // As the OOM killer does it, and as a person does; QEMU says something of the second.
    for (signal, words) in [
        (Signal::KILL, "QEMU was killed by signal 9"),
        (Signal::TERM, "not caused by the guest (host-signal)"),
    ] {
        let select = unknown_cells(&lab, "fault=vmm");
        let mut run = Running::start(&lab, &select);
        run.until("7.2: ");
        let began = Instant::now();
        let events = lab.results().join("latest/events.jsonl");
        while !fs::read_to_string(&events).is_ok_and(|text| text.contains("\"phase\":\"measure\""))
        {
            assert!(began.elapsed() < PATIENCE, "the cell measures nothing");
            thread::sleep(Duration::from_millis(20));
        }
        for guest in run.guests() {
            let pid = i32::try_from(guest)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            let pid = pid.expect("a pid");
            rustix::process::kill_process(pid, signal).expect("killed");
        }
        let (code, said) = run.end();
        assert_eq!(code, Some(5), "{said}");
        let results = latest(&lab);
        assert_eq!(outcomes(&results), ["harness-failed", "measured"]);
        let why = results["cells"][0]["outcome"]["why"].to_string();
        assert!(
            why.contains(words) && why.contains("phase `measure`"),
            "{why}"
        );
    }
}
