//! What a terminal shows unless it is asked for everything: the verdict and the ratios first, then what
//! the workloads that differ most cost. Everything is said once, the lane above all.

use super::{LOUD, Out, explained, failures, section, table};
use crate::{
    compare::{Held, Reproduction},
    report::{Report, source, table::Table, tables},
    text::counted,
};

/// Reasons shown, of claims that did not hold.
const REASONS: usize = 8;

/// Renders the report.
pub(super) fn render(out: &mut Out, report: &Report, width: usize) {
    out.paragraph(&report.title, "1");
    for line in report.head() {
        out.paragraph(&line, "");
    }
    if let Some(source) = &report.source {
        out.paragraph(&source::whole(source), "");
    }
    for alarm in report.alarms() {
        out.paragraph(&format!("! {alarm}"), LOUD);
    }
    verdict(out, report);
    let (lane, mut said) = (report.lane.to_string(), Vec::new());
    for whole in tables::brief(report) {
        out.line("", "");
        table(out, &without(whole, &lane, &mut said), width);
    }
    explained(out, report, width);
    failures(out, report);
    section(out, "Session", &report.session);
    section(out, "Notes", &report.notes);
    out.line("", "");
    let file = match report.comparison.runs.len() {
        1 => ", or report.md",
        _ => "",
    };
    out.line(
        &format!("All figures with their ranges, all costs and claims: --verbose{file}."),
        "2",
    );
}

/// A table without what was said above it: this report's lane, its caption, a footnote. A caption that
/// names another lane stays.
fn without(mut table: Table, lane: &str, said: &mut Vec<String>) -> Table {
    let mut news = |text: &String| {
        let new = !said.contains(text);
        said.extend(new.then(|| text.clone()));
        new
    };
    table.footnotes.retain(&mut news);
    if let Some(rest) = table.caption.strip_prefix(lane) {
        table.caption = rest.trim_start_matches("; ").to_owned();
        if !news(&table.caption) {
            table.caption.clear();
        }
    }
    table
}

fn verdict(out: &mut Out, report: &Report) {
    let Some(reproduction) = &report.reproduction else {
        return;
    };
    let claims = report.claims.iter();
    let held = claims.filter(|(_, claim)| claim.held == Held::Yes).count();
    let tone = match reproduction {
        Reproduction::Reproduced => "1;32",
        Reproduction::NotReproduced { .. } | Reproduction::Undecided { .. } => LOUD,
    };
    out.line("", "");
    out.put(reproduction.word(), tone);
    out.line(
        &format!(": {held} of {} held", counted(report.claims.len(), "claim")),
        "",
    );
    let reasons = reproduction.reasons();
    for reason in reasons.iter().take(REASONS) {
        out.paragraph(&format!("  - {reason}"), "");
    }
    if let Some(more) = reasons.len().checked_sub(REASONS).filter(|n| *n > 0) {
        out.line(&format!("  and {more} more"), "");
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        compare::fixture,
        record::Results,
        report::{Detail, Format, Report, Style, render},
        scenario::Lane,
    };

    fn brief(report: &Report, width: usize) -> String {
        let style = Style {
            width,
            detail: Detail::Brief,
            ..Style::default()
        };
        String::from_utf8(render(report, Format::Terminal, &style).unwrap()).unwrap()
    }

    fn of(results: &Results, width: usize) -> String {
        brief(&Report::new(results), width)
    }

    #[test]
    fn the_default_scenario_fits_two_screens_and_names_the_lane_once() {
        let text = of(&fixture::results(), 100);
        insta::assert_snapshot!("brief_100", text);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= 2 * 40, "{} lines", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= 100));
        assert_eq!(text.matches("exact lane").count(), 1);
        // Verdict and ratios before any cost.
        let at = |word: &str| text.find(word).unwrap();
        assert!(
            at("REPRODUCED") < at("IOPS relative to") && at("IOPS relative to") < at("Cost per")
        );
    }

    #[test]
    fn a_narrow_terminal_has_no_longer_lines() {
        let text = of(&fixture::results(), 80);
        insta::assert_snapshot!("brief_80", text);
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn what_failed_is_as_loud_as_in_the_whole_report() {
        insta::assert_snapshot!("brief_failures", of(&fixture::with_failures(), 100));
    }

    #[test]
    fn only_workloads_whose_rates_differ_have_their_costs_shown() {
        let mut results = fixture::results();
        for cell in &mut results.cells {
            let seventh = fixture::measured(80_000.0, 4096);
            cell.outcome = crate::record::Outcome::Measured(Box::new(seventh));
        }
        let text = of(&results, 100);
        assert!(!text.contains("Cost per I/O"), "{text}");
        assert!(!text.contains("busy:"), "{text}");
    }

    #[test]
    fn figures_of_another_lane_are_named_as_such() {
        let (a, mut b) = (fixture::results(), fixture::results());
        fixture::on_a_drive(&mut b.scenario);
        let wall: Lane = b.scenario.lane();
        b.cells.iter_mut().for_each(|c| c.key.lane = wall);
        let text = brief(&Report::of_runs(&a, &[&b]), 100);
        let lines: Vec<&str> = text.lines().collect();
        let titles = lines.iter().enumerate();
        let costs: Vec<usize> = titles
            .filter(|(_, line)| line.starts_with("Cost per I/O"))
            .map(|(at, _)| at)
            .collect();
        assert!(costs.len() > 2, "{text}");
        for at in costs {
            let of_b = lines[at..].iter().find_map(|line| {
                let label = line.trim_start();
                (label.starts_with("A:") || label.starts_with("B:"))
                    .then(|| label.starts_with("B:"))
            });
            let named = lines[at + 1].starts_with("metal lane");
            assert_eq!(of_b, Some(named), "{}", lines[at]);
        }
    }
}
