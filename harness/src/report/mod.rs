//! Reports (pure): one [`Report`] value, built from results and their comparison, rendered by one
//! file per format.

mod agreement;
mod axis;
mod chart;
mod csv;
mod diff;
mod explain;
#[cfg(test)]
mod foreign_tests;
mod gallery;
#[cfg(test)]
mod gallery_tests;
mod json;
mod junit;
mod lanes;
mod markdown;
mod method;
mod model;
mod org;
mod png;
mod session;
mod setup;
mod source;
mod svg;
mod table;
mod tables;
mod terminal;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod varied_tests;
mod why;

use crate::error::Result;
pub use agreement::{agreement_markdown, agreement_text};
pub use axis::{Axis, AxisKey};
pub use diff::diff_text;
pub use explain::{explanation_mail, explanation_markdown, explanation_text};
pub use gallery::{GalleryEntry, GalleryRun, gallery_markdown, gallery_summary};
pub use model::{FailedCell, KernelRow, Report};
pub use why::{ProfileCheck, Why};

/// What a report can be rendered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Format {
    /// Aligned tables for a terminal.
    Terminal,
    /// A document that stands alone.
    Markdown,
    /// Tables as Emacs and the report's mail write them.
    Org,
    /// One row per cell and metric.
    Csv,
    /// The whole report as data.
    Json,
    /// For CI: a test case per cell, claim and kernel.
    Junit,
    /// The chart.
    Svg,
    /// The chart, 1600 pixels wide (2 per SVG unit).
    Png,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 8] = [
        Format::Terminal,
        Format::Markdown,
        Format::Org,
        Format::Csv,
        Format::Json,
        Format::Junit,
        Format::Svg,
        Format::Png,
    ];
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The verdict, the ratios, and the costs of the workloads that differ.
    Brief,
    /// Everything.
    Whole,
}

impl Detail {
    /// What `--verbose` asks for.
    #[must_use]
    pub fn verbose(asked: bool) -> Detail {
        match asked {
            true => Detail::Whole,
            false => Detail::Brief,
        }
    }
}

/// How to render, where a format leaves a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; a table that is wider is shortened, then split.
    pub width: usize,
    /// Whether the terminal shows colours (SGR sequences).
    pub color: bool,
    /// How much the terminal shows; every other format has everything.
    pub detail: Detail,
    /// File name of the chart that markdown and org refer to, relative to their own place.
    pub chart: Option<String>,
}

impl Default for Style {
    fn default() -> Style {
        Style {
            width: 100,
            color: false,
            detail: Detail::Whole,
            chart: Some("chart.svg".into()),
        }
    }
}

/// Both lanes beside each other and nothing else, for a terminal: empty where runs of both have no cell in
/// common.
#[must_use]
pub fn both_lanes(report: &Report, style: &Style) -> String {
    terminal::tables(&lanes::tables(report), style)
}

/// Renders a report.
///
/// # Errors
/// An internal error when the format's library refuses what it is given.
pub fn render(report: &Report, format: Format, style: &Style) -> Result<Vec<u8>> {
    Ok(match format {
        Format::Terminal => terminal::render(report, style).into_bytes(),
        Format::Markdown => markdown::render(report, style).into_bytes(),
        Format::Org => org::render(report, style).into_bytes(),
        Format::Csv => csv::render(report)?,
        Format::Json => json::render(report)?,
        Format::Junit => junit::render(report)?,
        Format::Svg => chart::render(report).into_bytes(),
        Format::Png => png::render(&chart::render(report))?,
    })
}
