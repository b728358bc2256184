//! The chart: IOPS relative to the baseline, one panel per file system, in a palette that the
//! colour-blind can tell apart (Okabe and Ito). Kernels are bars in groups of workloads; where the
//! workloads differ in queue depth or block size alone, kernels are lines over it.

mod bars;
mod legend;
mod lines;

use super::{
    Report,
    svg::{Anchor, Font, Svg, wrap},
};
use crate::{
    compare::{Cell, Ratio, Reproduction, Verdict},
    scenario::Metric,
    text::counted,
};

/// SVG units; readable at this width.
const WIDTH: f64 = 800.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
/// Height of a panel's axis.
const AXIS: f64 = 190.0;

const COLORS: [&str; 8] = [
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#666666",
];
const INK: &str = "#222222";
const GREY: &str = "#666666";
const ALARM: &str = "#B00020";

const TITLE: Font = font(17.0, true, INK);
const SUBTITLE: Font = font(12.0, false, GREY);
const PANEL: Font = font(13.0, true, INK);
const LABEL: Font = font(12.0, false, INK);
const TICK: Font = font(11.0, false, GREY);
const VALUE: Font = Font {
    halo: true,
    ..font(10.5, false, INK)
};
const SMALL: Font = font(11.0, false, GREY);
const LOUD: Font = font(11.0, true, ALARM);

const fn font(size: f64, bold: bool, fill: &'static str) -> Font {
    Font {
        size,
        bold,
        fill,
        halo: false,
    }
}

/// Draws the chart.
pub(super) fn render(report: &Report) -> String {
    let mut svg = Svg::new();
    let y = head(&mut svg, report);
    let (y, marks) = match &report.axis {
        Some(axis) => lines::draw(&mut svg, report, axis, y),
        None => bars::draw(&mut svg, report, y),
    };
    let y = foot(&mut svg, report, marks, y);
    let title = format!("{}: {} ({})", report.title, subject(report), report.lane);
    svg.finish(WIDTH, y, &title)
}

fn subject(report: &Report) -> String {
    format!(
        "IOPS relative to {} on the same file system",
        report.baseline()
    )
}

fn lines(svg: &mut Svg, text: &str, font: Font, x: f64, mut y: f64) -> f64 {
    for line in wrap(text, font, WIDTH - x - RIGHT) {
        y += font.size * 1.35;
        svg.text((x, y), Anchor::Start, font, 0, &line);
    }
    y
}

fn head(svg: &mut Svg, report: &Report) -> f64 {
    let y = lines(svg, &report.title, TITLE, RIGHT, 8.0);
    let subtitle = format!("{}; {}", subject(report), report.lane);
    lines(svg, &subtitle, SUBTITLE, RIGHT, y + 2.0) + 8.0
}

/// What stands for a ratio.
struct Marks {
    /// In the plural.
    name: &'static str,
    /// Whether any whisker is long enough to be seen.
    whiskers: bool,
}

/// The vertical scale that all panels share.
#[derive(Clone, Copy)]
struct Scale {
    /// Value at the axis' foot.
    bottom: f64,
    /// Value at the axis' top.
    top: f64,
}

impl Scale {
    /// Vertical distance of a value from the axis' foot.
    fn height(&self, value: f64) -> f64 {
        self.length(value - self.bottom)
    }

    /// Vertical length of a difference.
    fn length(&self, difference: f64) -> f64 {
        difference / (self.top - self.bottom) * AXIS
    }

    /// A whisker of less than three units would only blur its mark.
    fn shows_range(&self, ratio: &Ratio) -> bool {
        self.length(ratio.high - ratio.low) >= 3.0
    }

    /// Grid and figures, for an axis with its foot at `foot`.
    fn draw(&self, svg: &mut Svg, foot: f64) {
        // Steps that keep the marks at least 30 units apart.
        let steps = [0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];
        let step = steps.into_iter().find(|s| self.length(*s) >= 30.0);
        let step = step.unwrap_or(self.top);
        // Adding 0 makes a negative zero, which would be written with its sign, positive.
        let first = (self.bottom / step - 1e-9).ceil() + 0.0;
        if first * step > self.bottom + 1e-9 {
            svg.line((LEFT, foot), (WIDTH - RIGHT, foot), GREY, "");
        }
        let mut mark = first;
        // A foreign record's ratios may be of any size; no axis has more marks than fit.
        while mark * step <= self.top && mark - first <= AXIS {
            let value = mark * step;
            let y = foot - self.height(value);
            let at_foot = value <= self.bottom + 1e-9;
            let stroke = if at_foot { GREY } else { "#e4e4e4" };
            svg.line((LEFT, y), (WIDTH - RIGHT, y), stroke, "");
            let text = format!("{}", (value * 100.0).round() / 100.0);
            svg.text((LEFT - 6.0, y + 4.0), Anchor::End, TICK, 0, &text);
            mark += 1.0;
        }
    }
}

/// Indices of what has marks: all subjects but the baseline.
fn subjects(report: &Report) -> Vec<usize> {
    let all = report.comparison.subjects.iter().enumerate();
    all.filter(|(_, s)| !s.baseline).map(|(i, _)| i).collect()
}

fn ratio(cell: &Cell) -> Option<Ratio> {
    cell.against.get(&Metric::Iops)?.ratio
}

fn color(position: usize) -> &'static str {
    COLORS[position % COLORS.len()]
}

/// When the palette is used up, its second round has an edge.
fn edge(position: usize) -> &'static str {
    if position < COLORS.len() {
        ""
    } else {
        "stroke=\"#222222\" stroke-width=\"1.5\""
    }
}

const DASHES: &str = "stroke-width=\"1.3\" stroke-dasharray=\"4 2.5\"";

/// A bar that says "no difference": filled lightly, outlined in full.
fn pale(svg: &mut Svg, x: f64, y: f64, width: f64, height: f64, color: &str) {
    // White below, so that the grid does not show through.
    svg.rect(x, y, width, height, "#ffffff", "");
    let outline = format!("fill-opacity=\"0.28\" stroke=\"{color}\" stroke-width=\"1\"");
    svg.rect(
        x + 0.5,
        y + 0.5,
        width - 1.0,
        (height - 0.5).max(0.0),
        color,
        &outline,
    );
}

fn whisker(svg: &mut Svg, x: f64, high: f64, low: f64) {
    svg.line((x, high), (x, low), INK, "");
    for y in [high, low] {
        svg.line((x - 3.0, y), (x + 3.0, y), INK, "");
    }
}

/// A ratio that differs from 1.
fn dot(svg: &mut Svg, at: (f64, f64), color: &str) {
    svg.circle(at, 4.0, color, "");
}

/// One that does not.
fn hollow(svg: &mut Svg, at: (f64, f64), color: &str) {
    let edge = format!("stroke=\"{color}\" stroke-width=\"1.8\"");
    svg.circle(at, 3.6, "#ffffff", &edge);
}

/// Why there is no ratio, in a word.
fn why(cell: Option<&Cell>) -> &'static str {
    let Some(cell) = cell else {
        return "no such cell";
    };
    match (&cell.failure, cell.against.get(&Metric::Iops)) {
        (Some(failure), _) => failure.word,
        (None, Some(against)) if against.verdict == Verdict::Fixed => "no baseline (fixed)",
        (None, _) => "incomparable",
    }
}

/// `marks` says what a mark and its whisker are.
fn foot(svg: &mut Svg, report: &Report, marks: Marks, mut y: f64) -> f64 {
    for alarm in report.alarms() {
        y = lines(svg, &format!("! {alarm}"), LOUD, RIGHT, y);
    }
    if let Some(reproduction) = &report.reproduction {
        let (words, font) = match reproduction {
            Reproduction::Reproduced => (
                format!(
                    "REPRODUCED: {} of {} held",
                    report.claims.len(),
                    counted(report.claims.len(), "claim")
                ),
                font(12.0, true, INK),
            ),
            other => (
                format!(
                    "{}: {}",
                    other.word(),
                    counted(other.reasons().len(), "reason")
                ),
                LOUD,
            ),
        };
        y = lines(svg, &words, font, RIGHT, y + 2.0);
    }
    let runs: Vec<_> = report
        .comparison
        .runs
        .iter()
        .map(|r| r.run_id.as_str())
        .collect();
    let whiskers = if marks.whiskers {
        ", whiskers: the ratio's range"
    } else {
        ""
    };
    let words = format!(
        "{}: ratio of medians{whiskers}; {}",
        marks.name,
        runs.join(", ")
    );
    lines(svg, &words, SMALL, RIGHT, y + 2.0) + 12.0
}
