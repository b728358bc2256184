//! Keys pressed at a terminal, with real guests: ^C reaches every process of the foreground group, not
//! the harness alone.

use crate::common::{Lab, outcomes, running::*, store, terminal::*, unknown_cells};
use serde_json::Value;
use std::{
    fs,
    time::{Duration, Instant},
};

fn latest(lab: &Lab) -> Value {
    let text = fs::read(lab.results().join("latest/results.json")).expect("results.json");
    serde_json::from_slice(&text).expect("a whole record")
}

fn start(lab: &Lab, select: &[&str]) -> Terminal {
    let mut words = vec!["run", "--plain", "--jobs", "1"];
    words.extend(select);
    Terminal::start(lab, &words)
}

#[test]
fn the_first_ctrl_c_lets_the_guest_finish_and_the_same_command_measures_the_rest() {
    let Some(lab) = Lab::open("the_first_ctrl_c_lets_the_guest_finish") else {
        return;
    };
    let select = unknown_cells(&lab, "terminal=first");
    let mut run = start(&lab, &select);
    // The first cell starts as soon as its checkpoint is there.
    run.until("7.2: ");
    run.press(CTRL_C);
    let (code, said) = run.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("press Ctrl-C again to kill the guests"),
        "{said}"
    );
    assert_eq!(outcomes(&latest(&lab)), ["measured", "not-run"]);
    let resumed = lab.measure(&select, 0);
    assert_eq!(resumed["cells"][0]["origin"], "cached");
    assert_eq!(resumed["cells"][1]["origin"], "measured");
}

#[test]
fn the_second_ctrl_c_ends_guests_at_once_and_the_record_is_whole() {
    let Some(lab) = Lab::open("the_second_ctrl_c_ends_guests_at_once") else {
        return;
    };
    let select = unknown_cells(&lab, "terminal=second");
    let mut run = start(&lab, &select);
    run.until("7.2: ");
    // A child that was forked this moment is in the foreground until it has left it.
    let began = Instant::now();
    let foreground = group_of(run.pid());
    let mut guests = guests_of(run.pid());
    while guests.iter().any(|pid| group_of(*pid) == foreground) {
        assert!(began.elapsed() < Duration::from_secs(10), "{guests:?}");
        std::thread::sleep(Duration::from_millis(50));
        guests = guests_of(run.pid());
    }
    run.press(CTRL_C);
    run.until("press Ctrl-C again to kill the guests");
    run.press(CTRL_C);
    let (code, said) = run.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("killing guests"), "{said}");
    assert_gone(&guests, Duration::from_secs(2));
    assert_eq!(outcomes(&latest(&lab)), ["not-run", "not-run"]);
}

#[test]
fn a_run_that_waits_for_a_place_in_the_cache_says_for_whom_and_obeys_signals() {
    use rustix::{
        fs::{FlockOperation, flock},
        process::Signal,
    };
    let Some(lab) = Lab::open("a_run_that_waits_for_a_place_in_the_cache") else {
        return;
    };
    let select = unknown_cells(&lab, "terminal=waits");
    let mut words = vec!["plan", "--json"];
    words.extend(&select);
    let plan = lab.diorama().args(&words).output().expect("a plan");
    let plan: Value = serde_json::from_slice(&plan.stdout).expect("the plan as JSON");
    let inputs = plan[0]["inputs"].as_str().expect("inputs");
    let lock = store().root().join(format!("locks/cell-{inputs}"));
    let held = fs::File::create(&lock).expect("the lock's file");
    flock(&held, FlockOperation::LockExclusive).expect("the lock");

    let mut run = Running::start(&lab, &select);
    run.until(&format!("waiting for process {}", std::process::id()));
    run.signal(Signal::INT);
    run.until("stopping: interrupted (SIGINT)");
    run.signal(Signal::TERM);
    let asked = Instant::now();
    let (code, said) = run.end();
    assert_eq!(code, Some(143), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(8), "{said}");
    let record = latest(&lab);
    assert_eq!(outcomes(&record)[0], "measured");
    assert!(record["notes"].to_string().contains("could not be cached"));
    fs::remove_file(&lock).expect("removed");
}
