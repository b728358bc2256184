//! The chart: IOPS relative to the baseline, one panel per file system, workloads as groups,
//! kernels as bars, in a palette that the colour-blind can tell apart (Okabe and Ito).

use super::{
    Report,
    svg::{Anchor, Font, Svg, text_width, wrap},
};
use crate::{
    compare::{Cell, Ratio, Reproduction, Verdict},
    scenario::Metric,
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
    let mut y = head(&mut svg, report);
    let bars = Bars::new(report);
    y = legend(&mut svg, report, &bars, y);
    for filesystem in &report.comparison.filesystems {
        y = panel(&mut svg, report, &bars, filesystem, y);
    }
    y = foot(&mut svg, report, &bars, y);
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

/// Which subjects have bars, and the common scale.
struct Bars {
    /// Indices of subjects, without the baseline.
    subjects: Vec<usize>,
    /// Width of a bar.
    width: f64,
    /// Whether values are written upwards, because the bars are too narrow.
    upright: bool,
    /// Value at the axis' top.
    top: f64,
    /// Whether any bar is pale.
    pale: bool,
    /// Whether any whisker is long enough to be seen.
    whiskers: bool,
}

impl Bars {
    fn new(report: &Report) -> Bars {
        let comparison = &report.comparison;
        let all = comparison.subjects.iter().enumerate();
        let subjects: Vec<usize> = all.filter(|(_, s)| !s.baseline).map(|(i, _)| i).collect();
        let room = group_width(report) * 0.88;
        let width = (room / subjects.len().max(1) as f64).min(52.0);
        let upright = width < text_width("0.000", VALUE) + 1.0;
        let ratios: Vec<Ratio> = comparison.cells.iter().filter_map(ratio).collect();
        let highest = ratios
            .iter()
            .map(|r| r.high.max(r.value))
            .fold(1.0, f64::max);
        let headroom = if upright { 44.0 } else { 18.0 };
        let top = highest * AXIS / (AXIS - headroom);
        Bars {
            subjects,
            width,
            upright,
            top,
            pale: ratios.iter().any(Ratio::is_no_difference),
            whiskers: ratios.iter().any(|r| visible(r, top)),
        }
    }

    /// Vertical distance of a value from the axis' foot.
    fn height(&self, value: f64) -> f64 {
        value / self.top * AXIS
    }
}

fn group_width(report: &Report) -> f64 {
    (WIDTH - LEFT - RIGHT) / report.comparison.workloads.len().max(1) as f64
}

fn ratio(cell: &Cell) -> Option<Ratio> {
    cell.against.get(&Metric::Iops)?.ratio
}

/// A whisker of less than three units would only blur the bar's end.
fn visible(ratio: &Ratio, top: f64) -> bool {
    (ratio.high - ratio.low) / top * AXIS >= 3.0
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

/// A legend's swatch and its text.
enum Swatch {
    Bar(usize),
    Pale,
    Dashes,
    Whisker,
}

fn legend(svg: &mut Svg, report: &Report, bars: &Bars, y: f64) -> f64 {
    let mut items = Vec::new();
    for (position, index) in bars.subjects.iter().enumerate() {
        let subject = &report.comparison.subjects[*index];
        let (text, font) = if subject.as_locked {
            (subject.label.clone(), LABEL)
        } else {
            (format!("{} ! not the locked kernel", subject.label), LOUD)
        };
        items.push((Swatch::Bar(position), text, font));
    }
    let baseline = format!("{} = 1", report.baseline());
    items.push((Swatch::Dashes, baseline, LABEL));
    if bars.pale {
        items.push((Swatch::Pale, "pale: no difference (~)".into(), LABEL));
    }
    if bars.whiskers {
        items.push((Swatch::Whisker, "range".into(), LABEL));
    }
    let (mut x, mut y) = (RIGHT, y + 8.0);
    for (swatch, text, font) in items {
        let width = 18.0 + text_width(&text, font);
        if x + width > WIDTH - RIGHT && x > RIGHT {
            (x, y) = (RIGHT, y + 18.0);
        }
        match swatch {
            Swatch::Bar(at) => svg.rect(x, y - 5.0, 12.0, 12.0, color(at), edge(at)),
            Swatch::Pale => pale(svg, x, y - 5.0, 12.0, 12.0, GREY),
            Swatch::Dashes => svg.line((x - 4.0, y + 1.0), (x + 12.0, y + 1.0), INK, DASHES),
            Swatch::Whisker => whisker(svg, x + 6.0, y - 5.0, y + 7.0),
        }
        svg.text((x + 17.0, y + 5.5), Anchor::Start, font, 0, &text);
        x += width + 16.0;
    }
    y + 16.0
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

fn panel(svg: &mut Svg, report: &Report, bars: &Bars, filesystem: &str, y: f64) -> f64 {
    svg.text((RIGHT, y + 14.0), Anchor::Start, PANEL, 0, filesystem);
    let foot = y + 24.0 + AXIS;
    axis(svg, bars, foot);
    let group = group_width(report);
    let room = bars.width * bars.subjects.len() as f64;
    let mut values = Vec::new();
    for (g, workload) in report.comparison.workloads.iter().enumerate() {
        let left = LEFT + g as f64 * group;
        let middle = (left + group / 2.0, foot + 16.0);
        svg.text(middle, Anchor::Middle, LABEL, 0, workload);
        let start = left + (group - room) / 2.0;
        for (position, subject) in bars.subjects.iter().enumerate() {
            let x = start + position as f64 * bars.width;
            let cell = report.comparison.cell(*subject, filesystem, workload);
            match cell.and_then(ratio) {
                Some(ratio) => {
                    bar(svg, bars, x, foot, position, &ratio);
                    values.push((x, ratio));
                }
                None => gap(svg, bars, x, foot, why(cell)),
            }
        }
    }
    let one = foot - bars.height(1.0);
    svg.line((LEFT, one), (WIDTH - RIGHT, one), INK, DASHES);
    for (x, ratio) in values {
        value(svg, bars, x, foot, &ratio);
    }
    foot + 28.0
}

fn axis(svg: &mut Svg, bars: &Bars, foot: f64) {
    // Steps that keep the marks at least 30 units apart.
    let steps = [0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|s| bars.height(*s) >= 30.0);
    let step = step.unwrap_or(bars.top);
    let mut mark = 0;
    while f64::from(mark) * step <= bars.top {
        let value = f64::from(mark) * step;
        let y = foot - bars.height(value);
        let stroke = if mark == 0 { GREY } else { "#e4e4e4" };
        svg.line((LEFT, y), (WIDTH - RIGHT, y), stroke, "");
        let text = format!("{}", (value * 100.0).round() / 100.0);
        svg.text((LEFT - 6.0, y + 4.0), Anchor::End, TICK, 0, &text);
        mark += 1;
    }
}

fn bar(svg: &mut Svg, bars: &Bars, x: f64, foot: f64, position: usize, ratio: &Ratio) {
    let (height, color) = (bars.height(ratio.value), color(position));
    let (left, width) = (x + bars.width * 0.04, bars.width * 0.92);
    if ratio.is_no_difference() {
        pale(svg, left, foot - height, width, height, color);
    } else {
        svg.rect(left, foot - height, width, height, color, edge(position));
    }
}

/// A bar's whisker and its value in figures, above everything else.
fn value(svg: &mut Svg, bars: &Bars, x: f64, foot: f64, ratio: &Ratio) {
    let (mut top, middle) = (foot - bars.height(ratio.value), x + bars.width / 2.0);
    if visible(ratio, bars.top) {
        let high = foot - bars.height(ratio.high);
        whisker(svg, middle, high, foot - bars.height(ratio.low));
        top = top.min(high);
    }
    // A value just below 1 would be crossed by the baseline: lift it above.
    let one = foot - bars.height(1.0);
    if top > one && top - 13.0 < one {
        top = one;
    }
    let text = format!("{:.3}", ratio.value);
    if bars.upright {
        svg.text((middle + 3.8, top - 4.0), Anchor::Start, VALUE, -90, &text);
    } else {
        svg.text((middle, top - 4.0), Anchor::Middle, VALUE, 0, &text);
    }
}

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

/// In a bar's place, the reason why there is none.
fn gap(svg: &mut Svg, bars: &Bars, x: f64, foot: f64, word: &str) {
    let text = word.to_uppercase();
    let size = (bars.width - 3.0).clamp(6.0, LOUD.size);
    let font = Font { size, ..LOUD };
    let outline = format!("stroke=\"{ALARM}\" stroke-width=\"0.8\" stroke-dasharray=\"2 2\"");
    let height = text_width(&text, font) + 14.0;
    let (left, width) = (x + bars.width * 0.04, bars.width * 0.92);
    svg.rect(left, foot - height, width, height, "#fdecea", &outline);
    let middle = x + bars.width / 2.0 + size * 0.36;
    svg.text((middle, foot - 6.0), Anchor::Start, font, -90, &text);
}

fn foot(svg: &mut Svg, report: &Report, bars: &Bars, mut y: f64) -> f64 {
    for alarm in report.alarms() {
        y = lines(svg, &format!("! {alarm}"), LOUD, RIGHT, y);
    }
    if let Some(reproduction) = &report.reproduction {
        let (words, font) = match reproduction {
            Reproduction::Reproduced => (
                format!("REPRODUCED: all {} claims hold", report.claims.len()),
                font(12.0, true, INK),
            ),
            other => (
                format!("{}: {} reason(s)", other.word(), other.reasons().len()),
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
    let whiskers = if bars.whiskers {
        ", whiskers: the ratio's range"
    } else {
        ""
    };
    let words = format!("bars: ratio of medians{whiskers}; {}", runs.join(", "));
    lines(svg, &words, SMALL, RIGHT, y + 2.0) + 12.0
}
