//! What the marks mean.

use super::{
    DASHES, GREY, INK, LABEL, LOUD, RIGHT, WIDTH, color, dot, edge, hollow, pale, whisker,
};
use crate::compare::Locked;
use crate::report::{
    Report,
    svg::{Anchor, Font, Svg, text_width},
};

/// A mark as the legend shows it; kernels by their position among those with marks.
#[derive(Clone, Copy)]
pub(super) enum Swatch {
    Bar(usize),
    Line(usize),
    Pale,
    Hollow,
    Dashes,
    Whisker,
}

/// A mark and its meaning.
pub(super) struct LegendItem {
    swatch: Swatch,
    text: String,
    font: Font,
}

impl LegendItem {
    /// One whose text is not loud.
    pub fn plain(swatch: Swatch, text: impl Into<String>) -> LegendItem {
        LegendItem {
            swatch,
            text: text.into(),
            font: LABEL,
        }
    }
}

/// Every kernel with its mark, and the baseline with its line.
pub(super) fn subjects(
    report: &Report,
    subjects: &[usize],
    swatch: impl Fn(usize) -> Swatch,
) -> Vec<LegendItem> {
    let kernel = |(position, index): (usize, &usize)| {
        let subject = &report.comparison.subjects[*index];
        let mut item = LegendItem::plain(swatch(position), &subject.label);
        if subject.locked == Locked::Replaced {
            item.text = format!("{} ! not the locked kernel", subject.label);
            item.font = LOUD;
        }
        item
    };
    let mut items: Vec<LegendItem> = subjects.iter().enumerate().map(kernel).collect();
    let baseline = format!("{} = 1", report.baseline());
    items.push(LegendItem::plain(Swatch::Dashes, baseline));
    items
}

/// Draws them in lines; returns where they end.
pub(super) fn draw(svg: &mut Svg, items: &[LegendItem], y: f64) -> f64 {
    let (mut x, mut y) = (RIGHT, y + 8.0);
    for item in items {
        let width = 18.0 + text_width(&item.text, item.font);
        if x + width > WIDTH - RIGHT && x > RIGHT {
            (x, y) = (RIGHT, y + 18.0);
        }
        let middle = (x + 6.0, y + 1.0);
        match item.swatch {
            Swatch::Bar(at) => svg.rect(x, y - 5.0, 12.0, 12.0, color(at), edge(at)),
            Swatch::Line(at) => {
                svg.line(
                    (x - 4.0, middle.1),
                    (x + 14.0, middle.1),
                    color(at),
                    "stroke-width=\"2\"",
                );
                dot(svg, middle, color(at));
            }
            Swatch::Pale => pale(svg, x, y - 5.0, 12.0, 12.0, GREY),
            Swatch::Hollow => hollow(svg, middle, GREY),
            Swatch::Dashes => svg.line((x - 4.0, y + 1.0), (x + 12.0, y + 1.0), INK, DASHES),
            Swatch::Whisker => whisker(svg, x + 6.0, y - 5.0, y + 7.0),
        }
        svg.text((x + 17.0, y + 5.5), Anchor::Start, item.font, 0, &item.text);
        x += width + 16.0;
    }
    y + 16.0
}
