//! Kernels as lines over queue depth or block size: equal distances for equal factors.

use super::{
    ALARM, AXIS, DASHES, INK, LABEL, LEFT, LOUD, Marks, PANEL, RIGHT, Scale, TICK, VALUE, WIDTH,
    color, dot, hollow,
    legend::{self, LegendItem, Swatch},
    ratio, subjects, whisker, why,
};
use crate::{
    compare::Ratio,
    report::{
        Axis, AxisKey, Report,
        svg::{Anchor, Svg, text_width},
    },
};

/// Between the axis' ends and the first and the last value.
const MARGIN: f64 = 44.0;

/// Neighbours that are nearer would write over each other's figures.
const NEAREST: f64 = 40.0;

/// What lines need to know.
struct Lines<'a> {
    /// Indices of subjects, without the baseline.
    subjects: Vec<usize>,
    key: AxisKey,
    /// Workloads by their values.
    ticks: Vec<Tick<'a>>,
    scale: Scale,
}

/// A workload, and its place on the axis.
struct Tick<'a> {
    workload: &'a str,
    value: u32,
    x: f64,
}

/// A value's place, and the ratio there or why there is none.
struct Point {
    x: f64,
    ratio: Result<Ratio, &'static str>,
}

/// Draws legend and panels; returns where they end.
pub(super) fn draw(svg: &mut Svg, report: &Report, axis: &Axis, y: f64) -> (f64, Marks) {
    let ratios: Vec<Ratio> = report.comparison.cells.iter().filter_map(ratio).collect();
    let scale = scale(&ratios);
    let lines = Lines {
        subjects: subjects(report),
        key: axis.key,
        ticks: ticks(&axis.points),
        scale,
    };
    let whiskers = ratios.iter().any(|r| scale.shows_range(r));
    let mut items = legend::subjects(report, &lines.subjects, Swatch::Line);
    if ratios.iter().any(Ratio::is_no_difference) {
        items.push(LegendItem::plain(
            Swatch::Hollow,
            "hollow: no difference (~)",
        ));
    }
    if whiskers {
        items.push(LegendItem::plain(Swatch::Whisker, "range"));
    }
    let mut y = legend::draw(svg, &items, y);
    for filesystem in &report.comparison.filesystems {
        y = lines.panel(svg, report, filesystem, y);
    }
    let marks = Marks {
        name: "dots",
        whiskers,
    };
    (y, marks)
}

/// Whole tenths around all ratios and 1, with room for figures. A line's height means nothing, so
/// it need not begin at 0.
fn scale(ratios: &[Ratio]) -> Scale {
    let lowest = ratios
        .iter()
        .map(|r| r.low.min(r.value))
        .fold(1.0, f64::min);
    let highest = ratios
        .iter()
        .map(|r| r.high.max(r.value))
        .fold(1.0, f64::max);
    Scale {
        bottom: (((lowest - 0.06) * 10.0).floor() / 10.0).max(0.0),
        top: ((highest + 0.06) * 10.0).ceil() / 10.0,
    }
}

/// Where each workload is: equal distances for equal factors, or equal distances altogether where
/// that would put some upon each other.
fn ticks(points: &[(String, u32)]) -> Vec<Tick<'_>> {
    let mut points: Vec<_> = points.iter().map(|(w, v)| (w.as_str(), *v)).collect();
    points.sort_by_key(|(_, value)| *value);
    let log = |value: u32| f64::from(value.max(1)).log2();
    let ends = points.first().zip(points.last());
    let (first, last) = ends.map_or((0.0, 0.0), |(a, b)| (log(a.1), log(b.1)));
    let length = WIDTH - RIGHT - LEFT - 2.0 * MARGIN;
    let by_factor = |value: u32| match last > first {
        true => (log(value) - first) / (last - first),
        false => 0.5,
    };
    let distance = |pair: &[(&str, u32)]| (by_factor(pair[1].1) - by_factor(pair[0].1)) * length;
    let crowded = points.windows(2).any(|pair| distance(pair) < NEAREST);
    let gaps = (points.len().saturating_sub(1)).max(1) as f64;
    let places = points
        .iter()
        .enumerate()
        .map(|(position, (workload, value))| {
            let share = match crowded {
                true => position as f64 / gaps,
                false => by_factor(*value),
            };
            Tick {
                workload,
                value: *value,
                x: LEFT + MARGIN + share * length,
            }
        });
    places.collect()
}

impl Lines<'_> {
    fn panel(&self, svg: &mut Svg, report: &Report, filesystem: &str, y: f64) -> f64 {
        svg.text((RIGHT, y + 14.0), Anchor::Start, PANEL, 0, filesystem);
        let foot = y + 24.0 + AXIS;
        self.scale.draw(svg, foot);
        svg.text(
            (RIGHT, foot + 16.0),
            Anchor::Start,
            TICK,
            0,
            self.key.name(),
        );
        for tick in &self.ticks {
            let x = tick.x;
            svg.line((x, foot), (x, foot + 4.0), INK, "");
            let text = self.key.show(tick.value);
            svg.text((x, foot + 17.0), Anchor::Middle, LABEL, 0, &text);
        }
        let one = foot - self.scale.height(1.0);
        svg.line((LEFT, one), (WIDTH - RIGHT, one), INK, DASHES);
        let series = self.subjects.iter().map(|subject| {
            let point = |tick: &Tick<'_>| {
                let cell = (report.comparison).cell(*subject, filesystem, tick.workload);
                Point {
                    x: tick.x,
                    ratio: cell.and_then(ratio).ok_or_else(|| why(cell)),
                }
            };
            self.ticks.iter().map(point).collect::<Vec<_>>()
        });
        let series: Vec<Vec<Point>> = series.collect();
        for (position, points) in series.iter().enumerate() {
            self.line(svg, foot, position, points);
        }
        for column in 0..self.ticks.len() {
            self.values(svg, foot, series.iter().map(|points| &points[column]));
        }
        foot + 28.0
    }

    /// A kernel's line: it breaks off where a cell has no ratio.
    fn line(&self, svg: &mut Svg, foot: f64, position: usize, points: &[Point]) {
        let at = |point: &Point| {
            let ratio = point.ratio.as_ref().ok()?;
            Some((point.x, foot - self.scale.height(ratio.value)))
        };
        // When the palette is used up, its second round is dashed.
        let stroke = match position < super::COLORS.len() {
            true => "stroke-width=\"2\"",
            false => "stroke-width=\"2\" stroke-dasharray=\"6 3\"",
        };
        for pair in points.windows(2) {
            if let (Some(from), Some(to)) = (at(&pair[0]), at(&pair[1])) {
                svg.line(from, to, color(position), stroke);
            }
        }
        for point in points {
            let (Ok(ratio), Some(place)) = (&point.ratio, at(point)) else {
                continue;
            };
            if self.scale.shows_range(ratio) {
                let y = |value| foot - self.scale.height(value);
                whisker(svg, point.x, y(ratio.high), y(ratio.low));
            }
            match ratio.is_no_difference() {
                true => hollow(svg, place, color(position)),
                false => dot(svg, place, color(position)),
            }
        }
    }

    /// The figures at one value: the highest above its dot, the lowest below; those between are in
    /// the tables. Reasons for what is missing stand beside each other at the foot.
    fn values<'p>(&self, svg: &mut Svg, foot: f64, points: impl Iterator<Item = &'p Point>) {
        let mut found: Vec<(f64, Ratio)> = Vec::new();
        let mut gaps = 0.0;
        for point in points {
            match point.ratio {
                Ok(ratio) => found.push((point.x, ratio)),
                Err(word) => {
                    let text = word.to_uppercase();
                    let outline =
                        format!("stroke=\"{ALARM}\" stroke-width=\"0.8\" stroke-dasharray=\"2 2\"");
                    let (x, height) = (point.x + gaps, text_width(&text, LOUD) + 14.0);
                    svg.rect(x - 8.0, foot - height, 16.0, height, "#fdecea", &outline);
                    svg.text((x + 4.0, foot - 6.0), Anchor::Start, LOUD, -90, &text);
                    gaps += 18.0;
                }
            }
        }
        found.sort_by(|a, b| a.1.value.total_cmp(&b.1.value));
        let mut write = |(x, ratio): &(f64, Ratio), above: bool| {
            let range = self.scale.shows_range(ratio);
            let (value, distance) = match (above, range) {
                (true, true) => (ratio.high, -6.0),
                (true, false) => (ratio.value, -8.0),
                (false, true) => (ratio.low, 15.0),
                (false, false) => (ratio.value, 17.0),
            };
            let mut y = foot - self.scale.height(value) + distance;
            // The baseline would cross figures just below 1: lift them above it.
            let one = foot - self.scale.height(1.0);
            if y - 9.0 < one + 1.0 && y > one - 1.0 {
                y = one - 4.0;
            }
            let text = format!("{:.3}", ratio.value);
            svg.text((*x, y), Anchor::Middle, VALUE, 0, &text);
        };
        if let Some(highest) = found.last() {
            write(highest, true);
        }
        if let Some(lowest) = found.first().filter(|_| found.len() > 1) {
            write(lowest, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(values: &[u32]) -> Vec<f64> {
        let points: Vec<_> = values.iter().map(|v| (v.to_string(), *v)).collect();
        ticks(&points).iter().map(|tick| tick.x.round()).collect()
    }

    #[test]
    fn equal_factors_are_equally_far_apart_and_no_two_values_stand_upon_each_other() {
        assert_eq!(places(&[1, 4, 2]), [90.0, 416.0, 742.0]);
        let sizes = [4, 8, 12, 16].map(|k| k << 10);
        assert_eq!(places(&sizes), [90.0, 416.0, 607.0, 742.0]);
        // 12 KiB and 16 KiB would be 20 units apart.
        let wide = [512, 12 << 10, 16 << 10, 4 << 20];
        assert_eq!(places(&wide), [90.0, 307.0, 525.0, 742.0]);
        assert_eq!(places(&[64]), [416.0]);
    }
}
