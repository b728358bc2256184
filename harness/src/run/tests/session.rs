//! Sessions of the metal lane.

use super::*;
use crate::scenario::SessionSpec;

/// Two blocks of 6.12 and 7.2, the baseline; ext4, read-4k and write-4k.
fn stage() -> Stage {
    let mut scenario = fixture::results().scenario;
    fixture::on_a_drive(&mut scenario);
    scenario.name = "small".into();
    scenario.session = Some(SessionSpec {
        blocks: 2,
        seed: None,
    });
    let mut stage = Stage::new();
    stage.plan = Rc::new(plan_of(scenario));
    stage.cache = None;
    stage.session = Some(record::Session {
        blocks: 2,
        seed: 7,
        samples: Vec::new(),
    });
    stage
}

fn samples(results: &Results) -> String {
    let samples = &results.session.as_ref().expect("a session").samples;
    let line = |s: &record::Sample| format!("{}, {}: {}", s.key, s.at, s.outcome.word());
    samples.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_kernel_is_measured_once_per_block_and_the_baseline_twice_in_the_seeds_order() {
    let mut stage = stage();
    let seen = stage.run(&[], Known::Use);
    let finished = seen.finished.unwrap();
    insta::assert_snapshot!(samples(&finished.results), @"
    7.2/ext4/read-4k, block 1: measured
    7.2/ext4/read-4k, block 1, A': measured
    6.12/ext4/read-4k, block 1: measured
    7.2/ext4/write-4k, block 1, A': measured
    6.12/ext4/write-4k, block 1: measured
    7.2/ext4/write-4k, block 1: measured
    7.2/ext4/read-4k, block 2, A': measured
    7.2/ext4/read-4k, block 2: measured
    6.12/ext4/read-4k, block 2: measured
    7.2/ext4/write-4k, block 2: measured
    7.2/ext4/write-4k, block 2, A': measured
    6.12/ext4/write-4k, block 2: measured
    ");
    assert_eq!(on_disk(&finished), finished.results);
    // A cell is all that its samples measured: five repetitions each.
    let n = |at: usize| {
        let measured = finished.results.cells[at].outcome.measured();
        measured.unwrap().guest.repetitions.len()
    };
    assert_eq!([n(0), n(1), n(2), n(3)], [10, 10, 20, 20]);
    // Each cell ends once, after the last of its samples.
    insta::assert_snapshot!(completed(&seen.events).join("\n"), @"
    7.2/ext4/read-4k
    6.12/ext4/read-4k
    7.2/ext4/write-4k
    6.12/ext4/write-4k
    ");
}

#[test]
fn a_session_that_was_interrupted_goes_on_at_the_block_it_was_in() {
    let mut stage = stage();
    let stop = Act::Stop(Stop::Soon(StopReason::Interrupted));
    // Its first turn is the fifth boot of the session.
    let seen = stage.run(&[("6.12/ext4/write-4k", stop)], Known::Use);
    let finished = seen.finished.unwrap();
    insta::assert_snapshot!(samples(&finished.results), @"
    7.2/ext4/read-4k, block 1: measured
    7.2/ext4/read-4k, block 1, A': measured
    6.12/ext4/read-4k, block 1: measured
    7.2/ext4/write-4k, block 1, A': measured
    6.12/ext4/write-4k, block 1: measured
    ");
    insta::assert_snapshot!(words(&finished.results), @"
    6.12/ext4/read-4k: measured
    6.12/ext4/write-4k: measured
    7.2/ext4/read-4k: measured
    7.2/ext4/write-4k: measured
    ");

    let results = stage.dir.path().join("results");
    let (of, session) = interrupted(&results, &stage.plan).expect("an interrupted session");
    assert_eq!(of, finished.results.run_id);
    // What was compared with nothing yet is measured anew, so that it is measured close together.
    let kept = session.samples.iter().map(|s| s.key.workload.as_str());
    assert_eq!(kept.collect::<Vec<_>>(), ["read-4k"; 3]);
    stage.session = Some(session);
    let resumed = stage.run(&[], Known::Use).finished.unwrap().results;
    assert_eq!(resumed.session.as_ref().unwrap().samples.len(), 12);
    assert!(resumed.cells.iter().all(|c| c.outcome.measured().is_some()));
    assert_eq!(interrupted(&results, &stage.plan), None);
}

#[test]
fn another_selection_or_another_seed_goes_on_with_nothing() {
    let mut stage = stage();
    let stop = Act::Stop(Stop::Soon(StopReason::Interrupted));
    stage.run(&[("6.12/ext4/write-4k", stop)], Known::Use);
    let results = stage.dir.path().join("results");
    assert!(interrupted(&results, &stage.plan).is_some());
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut plan = (*stage.plan).clone();
        change(&mut plan);
        interrupted(&results, &plan)
    };
    let spec = |blocks, seed| Some(SessionSpec { blocks, seed });
    assert!(with(&|plan| plan.scenario.session = spec(2, Some(7))).is_some());
    assert_eq!(with(&|plan| plan.scenario.session = spec(2, Some(8))), None);
    assert_eq!(with(&|plan| plan.scenario.session = spec(3, None)), None);
    let other = |plan: &mut Plan| plan.kernels[0].cells[0].inputs = Some(Sha256::of(b"another"));
    assert_eq!(with(&other), None);
    assert_eq!(with(&|plan| plan.scenario.baseline = "6.12".into()), None);
}

#[test]
fn a_failing_boot_is_a_sample_and_a_note_and_the_cell_is_what_the_others_measured() {
    let mut stage = stage();
    let seen = stage.run(&[("6.12/ext4/read-4k", Act::Fail(fault()))], Known::Use);
    let results = seen.finished.unwrap().results;
    insta::assert_snapshot!(words(&results), @"
    6.12/ext4/read-4k: guest fault kernel panic
    6.12/ext4/write-4k: measured
    7.2/ext4/read-4k: measured
    7.2/ext4/write-4k: measured
    ");
    insta::assert_snapshot!(results.notes.join("\n"), @"
    6.12/ext4/read-4k, block 1: guest fault: kernel panic
    6.12/ext4/read-4k, block 2: guest fault: kernel panic
    ");
}

#[test]
fn what_a_kernel_lacks_is_not_looked_for_in_every_block() {
    let mut stage = stage();
    let lacks = Outcome::Unsupported {
        why: "the kernel has no NVMe".into(),
        config: Vec::new(),
    };
    let seen = stage.run(&[("6.12/ext4/read-4k", Act::Fail(lacks))], Known::Use);
    let of = |s: &&String| s.as_str() == "6.12/ext4/read-4k";
    assert_eq!(seen.started.iter().filter(of).count(), 1);
    let results = seen.finished.unwrap().results;
    insta::assert_snapshot!(words(&results), @"
    6.12/ext4/read-4k: unsupported the kernel has no NVMe
    6.12/ext4/write-4k: measured
    7.2/ext4/read-4k: measured
    7.2/ext4/write-4k: measured
    ");
}

#[test]
fn what_a_session_takes_is_known_before_it_begins() {
    let stage = stage();
    let tasks = stage.plan.session(2, 7);
    let estimate = stage.plan.cost(&tasks, &BTreeMap::new());
    assert_eq!((estimate.boots, estimate.known), (12, 0));
    // A hundred seconds a repetition instead of a fifth of one, five of them and a warm-up.
    let mut longer = (*stage.plan).clone();
    for cell in longer
        .kernels
        .iter_mut()
        .flat_map(|kernel| &mut kernel.cells)
    {
        cell.job.workload.bound = diorama_wire::Bound::Runtime(100_000_000_000);
    }
    let longer = longer.cost(&tasks, &BTreeMap::new());
    let difference = longer.seconds - estimate.seconds;
    assert!((difference - 12.0 * 6.0 * 99.8).abs() < 1.0, "{difference}");
    let took = BTreeMap::from([("7.2/ext4/read-4k on nvme".to_owned(), 1000.0)]);
    let known = stage.plan.cost(&tasks, &took);
    assert_eq!(known.known, 4);
    assert!(known.seconds > 4000.0);
}

#[test]
fn runs_of_scenarios_with_a_longer_name_do_not_hide_a_session() {
    let mut stage = stage();
    let stop = Act::Stop(Stop::Soon(StopReason::Interrupted));
    stage.run(&[("6.12/ext4/write-4k", stop)], Known::Use);
    let results = stage.dir.path().join("results");
    for n in 0..60 {
        let pilot = results.join(format!("small-pilot-29991231T0000{n:02}Z"));
        std::fs::create_dir(pilot).unwrap();
    }
    assert!(interrupted(&results, &stage.plan).is_some());
}

#[test]
fn what_became_known_after_the_last_guest_is_in_the_record() {
    let mut stage = stage();
    let mut finished = stage.run(&[], Known::Use).finished.unwrap();
    finished.note(vec!["the drive was hot".into()]).unwrap();
    assert_eq!(
        finished.results.notes.last().map(String::as_str),
        Some("the drive was hot")
    );
    assert_eq!(on_disk(&finished), finished.results);
}
