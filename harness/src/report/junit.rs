//! JUnit XML for CI: a test case per cell, claim and kernel. Regressed cells pass (the claims
//! judge them); cells without an answer never do.

use super::Report;
use crate::{
    compare::{Blame, Held, Locked},
    error::{Error, Result},
};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

/// Renders the three suites.
pub(super) fn render(report: &Report) -> Result<Vec<u8>> {
    let mut document = quick_junit::Report::new(format!("diorama {}", report.scenario));
    for mut suite in [cells(report), claims(report), kernels(report)] {
        suite.add_property(("lane", report.lane.to_string().as_str()));
        document.add_test_suite(suite);
    }
    let text = document
        .to_string()
        .map_err(|e| Error::internal("writing the report as JUnit XML").because(e))?;
    Ok(text.into_bytes())
}

fn failing(kind: NonSuccessKind, word: &str, why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(word).set_message(why);
    status
}

fn case(suite: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(suite);
    case
}

fn cells(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("cells");
    for cell in &report.comparison.cells {
        let label = &report.comparison.subjects[cell.subject].label;
        let name = format!("{label}/{}/{}", cell.key.filesystem, cell.key.workload);
        let status = match &cell.failure {
            None => TestCaseStatus::success(),
            Some(f) => {
                let kind = match f.blame {
                    Blame::Kernel => NonSuccessKind::Failure,
                    Blame::Unknown | Blame::Other => NonSuccessKind::Error,
                };
                let mut status = failing(kind, f.word, &f.why);
                status.set_description(f.console.join("\n"));
                status
            }
        };
        let mut case = case("cells", &name, status);
        case.add_property(("lane", cell.key.lane.to_string().as_str()));
        suite.add_test_case(case);
    }
    for alarm in &report.comparison.alarms {
        let status = failing(NonSuccessKind::Failure, "different digits", &alarm.words());
        let name = format!(
            "{} of {}: equal digits",
            alarm.other.key, alarm.other.run_id
        );
        suite.add_test_case(case("cells", &name, status));
    }
    suite
}

fn claims(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("claims");
    for (words, claim) in &report.claims {
        let status = match &claim.held {
            Held::Yes => TestCaseStatus::success(),
            Held::No => {
                let values = claim.tested.iter().filter(|t| t.held == Held::No);
                let values = values.filter_map(|t| Some(format!("{} is {:.4}", t.key, t.value?)));
                let why = values.collect::<Vec<_>>().join(", ");
                failing(NonSuccessKind::Failure, "not held", &why)
            }
            Held::LeftOut { why } => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(format!("left out: {why}"));
                status
            }
            Held::Unknown { why } => failing(NonSuccessKind::Error, "undecided", why),
        };
        suite.add_test_case(case("claims", words, status));
    }
    suite
}

fn kernels(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("kernels");
    for kernel in &report.kernels {
        let status = match &kernel.record {
            Some(_) if kernel.locked == Locked::Yes => TestCaseStatus::success(),
            // Not a failed test: whoever wants that says --locked. But never silently green.
            Some(record) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(format!("{}: {}", kernel.locked.word(), record.origin));
                status
            }
            None => failing(
                NonSuccessKind::Error,
                "no record",
                "the run has no record of it",
            ),
        };
        suite.add_test_case(case("kernels", &kernel.label, status));
    }
    suite
}
