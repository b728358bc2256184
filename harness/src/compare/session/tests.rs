//! What is concluded from made-up sessions.

use super::*;
use crate::{
    compare::{Held, Reproduction, claims, compare, fixture, reproduction},
    record::Outcome,
};

fn told(results: &Results) -> String {
    let comparison = compare(&[results]);
    let cells = comparison.cells.iter().flat_map(|cell| {
        let metrics = [Metric::Iops, Metric::TotalIo, Metric::ContextSwitchesPerIo];
        metrics.into_iter().filter_map(|metric| {
            let against = cell.against.get(&metric)?;
            let ratio = against.ratio.map_or("no ratio".to_owned(), |r| {
                format!("{:.3} [{:.3}, {:.3}]", r.value, r.low, r.high)
            });
            let name = metric.facts().name;
            let why = against.verdict.why().unwrap_or_default();
            let (word, causes) = (against.verdict.word(), &against.causes);
            Some(format!(
                "{} {name}: {ratio} {word} {causes:?} {why}",
                cell.key
            ))
        })
    });
    cells.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_difference_is_found_and_explained_and_a_tiny_one_is_the_same() {
    let results = fixture::session(8, 1.0);
    insta::assert_snapshot!(told(&results), @"
    6.12/ext4/read-4k iops: 0.994 [0.990, 0.997] same [] 
    6.12/ext4/read-4k total-io: 0.994 [0.990, 0.997] same [] 
    6.12/ext4/read-4k context-switches-per-io: 1.000 [1.000, 1.000] inconclusive [] a cost is not tested by itself: it explains what the rate did
    6.12/ext4/write-4k iops: 0.680 [0.678, 0.682] regressed [ContextSwitches, QueuedWork, CpuTime] 
    6.12/ext4/write-4k total-io: 0.680 [0.678, 0.682] regressed [ContextSwitches, QueuedWork, CpuTime] 
    6.12/ext4/write-4k context-switches-per-io: 10222.806 [10222.806, 10222.806] inconclusive [] a cost is not tested by itself: it explains what the rate did
    ");
    let facts = compare(&[&results]).runs[0].session.clone().unwrap();
    assert_eq!(facts.gate, Gate::Passed { tested: 2 });
    assert_eq!((facts.tested.primary, facts.tested.secondary), (1, 1));
    assert_eq!((facts.measured, facts.planned), (48, 48));
    assert_eq!(reproduction(&results), Some(Reproduction::Reproduced));
}

#[test]
fn a_baseline_that_differs_from_itself_forbids_every_verdict_and_every_claim() {
    let results = fixture::session(8, 1.05);
    insta::assert_snapshot!(told(&results), @"
    6.12/ext4/read-4k iops: 0.970 [0.967, 0.973] inconclusive [] the session is invalid: the baseline differs from itself in 2 of 2 comparisons
    6.12/ext4/read-4k total-io: 0.970 [0.967, 0.973] inconclusive [] the session is invalid: the baseline differs from itself in 2 of 2 comparisons
    6.12/ext4/read-4k context-switches-per-io: 1.000 [1.000, 1.000] inconclusive [] a cost is not tested by itself: it explains what the rate did
    6.12/ext4/write-4k iops: 0.664 [0.662, 0.666] inconclusive [] the session is invalid: the baseline differs from itself in 2 of 2 comparisons
    6.12/ext4/write-4k total-io: 0.664 [0.662, 0.666] inconclusive [] the session is invalid: the baseline differs from itself in 2 of 2 comparisons
    6.12/ext4/write-4k context-switches-per-io: 10222.806 [10222.806, 10222.806] inconclusive [] a cost is not tested by itself: it explains what the rate did
    ");
    let facts = compare(&[&results]).runs[0].session.clone().unwrap();
    assert_eq!(facts.differ, ["ext4/read-4k", "ext4/write-4k"]);
    assert!(matches!(
        reproduction(&results),
        Some(Reproduction::Undecided { .. })
    ));
}

#[test]
fn three_blocks_are_too_few_for_any_conclusion() {
    let results = fixture::session(3, 1.0);
    insta::assert_snapshot!(told(&results), @"
    6.12/ext4/read-4k iops: 0.995 [0.984, 0.996] inconclusive [] 3 of 3 blocks have all figures, and 4 are needed
    6.12/ext4/read-4k total-io: 0.995 [0.984, 0.996] inconclusive [] 3 of 3 blocks have all figures, and 4 are needed
    6.12/ext4/read-4k context-switches-per-io: 1.000 [1.000, 1.000] inconclusive [] a cost is not tested by itself: it explains what the rate did
    6.12/ext4/write-4k iops: 0.679 [0.672, 0.684] inconclusive [] 3 of 3 blocks have all figures, and 4 are needed
    6.12/ext4/write-4k total-io: 0.679 [0.672, 0.684] inconclusive [] 3 of 3 blocks have all figures, and 4 are needed
    6.12/ext4/write-4k context-switches-per-io: 10222.806 [10222.806, 10222.806] inconclusive [] a cost is not tested by itself: it explains what the rate did
    ");
    assert!(matches!(
        reproduction(&results),
        Some(Reproduction::Undecided { .. })
    ));
}

#[test]
fn a_claim_holds_with_its_whole_interval() {
    let mut results = fixture::session(8, 1.0);
    let held = |results: &Results| claims(results)[0].held.clone();
    assert_eq!(held(&results), Held::Yes);
    // Within the interval.
    results.scenario.expect[0].at_least = Some(0.68);
    insta::assert_snapshot!(format!("{:?}", held(&results)), @r#"Unknown { why: "a bound is within the 95% interval, 0.6779 to 0.6824" }"#);
    results.scenario.expect[0].at_least = Some(0.7);
    assert_eq!(held(&results), Held::No);
    // A value: by the range of what was measured.
    let claim = &mut results.scenario.expect[0];
    (claim.relative, claim.at_least, claim.at_most) = (false, Some(50_000.0), None);
    assert_eq!(held(&results), Held::Yes);
}

#[test]
fn without_a_session_the_wall_clock_proves_nothing() {
    let mut results = fixture::session(8, 1.0);
    results.session = None;
    insta::assert_snapshot!(told(&results), @"
    6.12/ext4/read-4k iops: 0.995 [0.986, 0.999] inconclusive [] noise is real in this lane: a verdict needs interleaved runs and a confidence interval
    6.12/ext4/read-4k total-io: 0.995 [0.986, 0.999] inconclusive [] noise is real in this lane: a verdict needs interleaved runs and a confidence interval
    6.12/ext4/read-4k context-switches-per-io: 1.000 [1.000, 1.000] inconclusive [] noise is real in this lane: a verdict needs interleaved runs and a confidence interval
    6.12/ext4/write-4k iops: 0.680 [0.675, 0.685] inconclusive [] noise is real in this lane: a verdict needs interleaved runs and a confidence interval
    6.12/ext4/write-4k total-io: 0.680 [0.675, 0.685] inconclusive [] noise is real in this lane: a verdict needs interleaved runs and a confidence interval
    6.12/ext4/write-4k context-switches-per-io: 10222.806 [10222.806, 10222.806] inconclusive [] noise is real in this lane: a verdict needs interleaved runs and a confidence interval
    ");
    assert!(matches!(
        reproduction(&results),
        Some(Reproduction::Undecided { .. })
    ));
}

#[test]
fn blocks_in_which_a_boot_failed_are_left_out_and_blocks_beyond_all_bounds_cost_nothing() {
    let mut results = fixture::session(8, 1.0);
    let session = results.session.as_mut().unwrap();
    let lost = session.samples.iter_mut().filter(|s| s.at.block < 5);
    for sample in lost.filter(|s| s.key.subject.is("6.12")) {
        sample.outcome = Outcome::WrongResult { why: "no".into() };
    }
    let text = told(&results);
    assert!(text.contains("3 of 8 blocks have all figures"), "{text}");
    let session = results.session.as_mut().unwrap();
    session.blocks = u32::MAX;
    session.samples[0].at.block = u32::MAX;
    told(&results);
}
