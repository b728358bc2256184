//! Kernels as bars, in groups of workloads.

use super::{
    ALARM, AXIS, DASHES, INK, LABEL, LEFT, LOUD, Marks, PANEL, RIGHT, Scale, VALUE, WIDTH, color,
    edge,
    legend::{self, LegendItem, Swatch},
    pale, ratio, subjects, whisker, why,
};
use crate::{
    compare::Ratio,
    report::{
        Report,
        svg::{Anchor, Font, Svg, text_width},
    },
};

/// Draws legend and panels; returns where they end.
pub(super) fn draw(svg: &mut Svg, report: &Report, y: f64) -> (f64, Marks) {
    let bars = Bars::new(report);
    let mut items = legend::subjects(report, &bars.subjects, Swatch::Bar);
    if bars.pale {
        items.push(LegendItem::plain(Swatch::Pale, "pale: no difference (~)"));
    }
    if bars.whiskers {
        items.push(LegendItem::plain(Swatch::Whisker, "range"));
    }
    let mut y = legend::draw(svg, &items, y);
    for filesystem in &report.comparison.filesystems {
        y = panel(svg, report, &bars, filesystem, y);
    }
    let marks = Marks {
        name: "bars",
        whiskers: bars.whiskers,
    };
    (y, marks)
}

/// Which subjects have bars, and the common scale.
struct Bars {
    /// Indices of subjects, without the baseline.
    subjects: Vec<usize>,
    /// Width of a bar.
    width: f64,
    /// Whether values are written upwards, because the bars are too narrow.
    upright: bool,
    /// From 0 upwards.
    scale: Scale,
    /// Whether any bar is pale.
    pale: bool,
    /// Whether any whisker is long enough to be seen.
    whiskers: bool,
}

impl Bars {
    fn new(report: &Report) -> Bars {
        let subjects = subjects(report);
        let room = group_width(report) * 0.88;
        let width = (room / subjects.len().max(1) as f64).min(52.0);
        let upright = width < text_width("0.000", VALUE) + 1.0;
        let ratios: Vec<Ratio> = report.comparison.cells.iter().filter_map(ratio).collect();
        let highest = ratios
            .iter()
            .map(|r| r.high.max(r.value))
            .fold(1.0, f64::max);
        let headroom = if upright { 44.0 } else { 18.0 };
        let scale = Scale {
            bottom: 0.0,
            top: highest * AXIS / (AXIS - headroom),
        };
        Bars {
            subjects,
            width,
            upright,
            scale,
            pale: ratios.iter().any(Ratio::is_no_difference),
            whiskers: ratios.iter().any(|r| scale.shows_range(r)),
        }
    }

    fn height(&self, value: f64) -> f64 {
        self.scale.height(value)
    }
}

fn group_width(report: &Report) -> f64 {
    (WIDTH - LEFT - RIGHT) / report.comparison.workloads.len().max(1) as f64
}

fn panel(svg: &mut Svg, report: &Report, bars: &Bars, filesystem: &str, y: f64) -> f64 {
    svg.text((RIGHT, y + 14.0), Anchor::Start, PANEL, 0, filesystem);
    let foot = y + 24.0 + AXIS;
    bars.scale.draw(svg, foot);
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
    if bars.scale.shows_range(ratio) {
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
