//! What claims conclude, on made-up results.

use super::*;
use crate::{compare::fixture, scenario::Metric};

fn judged(results: &Results) -> String {
    let reproduction = reproduction(results).unwrap();
    let mut text = reproduction.word().to_owned();
    for reason in reproduction.reasons() {
        text.push_str("\n- ");
        text.push_str(reason);
    }
    text
}

#[test]
fn the_reports_figures_reproduce_the_report() {
    let results = fixture::results();
    assert_eq!(judged(&results), "REPRODUCED");
    let claims = claims(&results);
    assert_eq!(claims[0].tested.len(), 8);
    assert!(claims[0].tested.iter().all(|t| t.value.is_some()));
}

#[test]
fn a_contradicted_claim_names_cell_value_and_bounds() {
    let mut results = fixture::results();
    results.scenario.expect[0].at_least = Some(0.65);
    insta::assert_snapshot!(judged(&results), @r"
        NOT REPRODUCED
        - 6.18/ext4/write-4k: IOPS relative to 7.2 is 0.6277, not between 0.65 and 0.85
        - 6.18/xfs/write-4k: IOPS relative to 7.2 is 0.6318, not between 0.65 and 0.85
        ");
}

#[test]
fn an_unmeasured_cell_is_never_taken_for_a_yes() {
    let results = fixture::with_failures();
    insta::assert_snapshot!(judged(&results), @r"
        UNDECIDED
        - 6.12/ext4/write-4k: guest fault: kernel panic: NULL pointer dereference
        - 6.18/xfs/write-4k: not run: stopped by SIGINT
        - 5.10/xfs/write-16k: the baseline was not measured
        - 6.1/xfs/write-16k: the baseline was not measured
        - 6.12/xfs/write-16k: the baseline was not measured
        - 6.18/xfs/write-16k: the baseline was not measured
        ");
}

#[test]
fn a_claim_that_means_no_cell_is_undecided() {
    let mut results = fixture::results();
    results.scenario.expect[0].kernels = vec!["9.9".into()];
    insta::assert_snapshot!(judged(&results), @r"
        UNDECIDED
        - write-4k of 9.9 on every file system: IOPS relative to 7.2 between 0.6 and 0.85: not in this run: 9.9
        ");
}

#[test]
fn a_run_of_some_kernels_does_not_confirm_a_claim_about_more() {
    let mut results = fixture::results();
    results.scenario.expect.truncate(1);
    results.scenario.kernels.retain(|k| k.name != "5.10");
    results.scenario.subjects.retain(|s| !s.is("5.10"));
    results.cells.retain(|c| !c.key.subject.is("5.10"));
    assert_eq!(claims(&results)[0].tested.len(), 6);
    insta::assert_snapshot!(judged(&results), @r"
        UNDECIDED
        - write-4k of 5.10, 6.1, 6.12, 6.18 on every file system: IOPS relative to 7.2 between 0.6 and 0.85: not in this run: 5.10
        ");
}

#[test]
fn an_absent_counter_and_an_absent_bound_are_undecided() {
    let mut results = fixture::results();
    results.scenario.expect.truncate(1);
    let claim = &mut results.scenario.expect[0];
    (claim.metric, claim.relative) = (Metric::KworkerRunsPerIo, false);
    (claim.at_least, claim.at_most) = (Some(0.0), None);
    claim.kernels = vec!["5.10".into()];
    claim.filesystems = vec!["ext4".into()];
    insta::assert_snapshot!(judged(&results), @r"
    UNDECIDED
    - 5.10/ext4/write-4k: the kernel does not provide kworker runs per I/O
    ");
    results.scenario.expect[0].metric = Metric::Iops;
    results.scenario.expect[0].at_least = None;
    insta::assert_snapshot!(judged(&results), @r"
        UNDECIDED
        - 5.10/ext4/write-4k: the claim has no bound
        ");
}

#[test]
fn a_relative_claim_about_all_kernels_leaves_the_baseline_out() {
    let mut results = fixture::results();
    results.scenario.expect.truncate(1);
    results.scenario.expect[0].kernels.clear();
    assert_eq!(judged(&results), "REPRODUCED");
}

#[test]
fn a_value_that_is_no_number_is_outside_every_bound() {
    let mut results = fixture::results();
    results.scenario.expect[0].at_least = Some(f64::NAN);
    assert!(judged(&results).starts_with("NOT REPRODUCED"));
}

#[test]
fn a_scenario_without_claims_has_no_answer() {
    let mut results = fixture::results();
    results.scenario.expect.clear();
    assert_eq!(reproduction(&results), None);
}

/// As the command line leaves claims out.
fn leave_out(results: &mut Results, at: usize) {
    let claim = results.scenario.expect.remove(at);
    results.scenario.left_out.push(crate::scenario::LeftOut {
        claim,
        baseline: "7.2".into(),
        why: "the command line left out 5.10".into(),
    });
}

#[test]
fn nothing_is_reproduced_without_the_claims_that_make_the_point() {
    let mut results = fixture::results();
    results.scenario.expect[0].point = true;
    leave_out(&mut results, 0);
    insta::assert_snapshot!(judged(&results), @r"
    UNDECIDED
    - left out, although it makes the scenario's point: write-4k of 5.10, 6.1, 6.12, 6.18 on every file system: IOPS relative to 7.2 between 0.6 and 0.85: the command line left out 5.10
    ");
    let last = claims(&results).pop().unwrap();
    assert_eq!(last.held.word(), "left out");

    let mut results = fixture::results();
    results.scenario.expect[0].point = true;
    leave_out(&mut results, 1);
    assert_eq!(judged(&results), "REPRODUCED", "the point was shown");
}

#[test]
fn where_no_claim_is_marked_every_one_makes_the_point() {
    let mut results = fixture::results();
    leave_out(&mut results, 1);
    assert!(judged(&results).starts_with("UNDECIDED"));
    while !results.scenario.expect.is_empty() {
        leave_out(&mut results, 0);
    }
    assert!(judged(&results).starts_with("UNDECIDED"), "all left out");
}

#[test]
fn another_baseline_leaves_the_claims_about_ratios_out_and_says_so() {
    let mut results = fixture::results();
    results.scenario.rebase("6.1");
    assert!(results.scenario.expect.iter().all(|claim| !claim.relative));
    let said = judged(&results);
    assert!(said.starts_with("UNDECIDED"), "{said}");
    assert!(said.contains("relative to 7.2"), "{said}");
    assert!(said.contains("the baseline is 6.1, not 7.2"), "{said}");
}

#[test]
fn the_baseline_relative_to_itself_is_no_answer() {
    let mut results = fixture::results();
    results.scenario.expect.truncate(1);
    results.scenario.expect[0].kernels = vec!["7.2".into()];
    assert!(judged(&results).starts_with("UNDECIDED"));
}

#[test]
fn a_ratio_to_another_file_system_is_of_the_same_row_and_workload() {
    let mut results = fixture::results();
    results.scenario.expect.truncate(1);
    let claim = &mut results.scenario.expect[0];
    claim.baseline_filesystem = Some("xfs".into());
    claim.kernels.clear();
    (claim.at_least, claim.at_most) = (Some(0.5), Some(2.0));
    let found = claims(&results);
    assert_eq!(
        found[0].words(),
        "write-4k of every kernel on every file system: IOPS relative to xfs between 0.5 and 2"
    );
    // The baseline's row, too, and not xfs to itself.
    assert_eq!(found[0].tested.len(), 5);
    let comparison = compare(&[&results]);
    for tested in &found[0].tested {
        assert_eq!(tested.key.filesystem, "ext4");
        let subject = comparison.subjects.iter();
        let at = subject.clone().position(|s| s.key == tested.key.subject);
        let median = |filesystem: &str| {
            let cell = comparison.cell(at.unwrap(), filesystem, "write-4k");
            cell.unwrap().figures[&Metric::Iops].median
        };
        assert_eq!(tested.value, Some(median("ext4") / median("xfs")));
    }
    results.scenario.expect[0].at_most = Some(0.6);
    assert!(
        judged(&results)
            .starts_with("NOT REPRODUCED\n- 5.10/ext4/write-4k: IOPS relative to xfs is ")
    );

    // Without that file system, and where it was not measured, there is no answer.
    let mut alone = results.clone();
    alone.cells.retain(|cell| cell.key.filesystem != "xfs");
    assert!(
        judged(&alone).starts_with("UNDECIDED\n"),
        "{}",
        judged(&alone)
    );
    let mut failing = fixture::with_failures();
    failing.scenario.expect = results.scenario.expect.clone();
    failing.scenario.expect[0].at_most = Some(2.0);
    assert!(
        judged(&failing).contains("6.18/ext4/write-4k: xfs: not run"),
        "{}",
        judged(&failing)
    );
}
