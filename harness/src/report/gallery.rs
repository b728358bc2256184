//! The gallery's page: published reports one below the other, each with what was claimed, what came of
//! it, and the table that carries the verdict.

use super::{
    Report,
    markdown::{body, list, rows},
    source::{reported, words},
    table::Table,
    tables,
};
use crate::{
    compare::{Held, Reproduction},
    scenario::Known,
    text::{self, counted, markdown as escape},
};

/// Reasons shown of a verdict that is no reproduction; the entry's own report has all.
const REASONS: usize = 6;

/// One scenario of the gallery, after its run.
#[derive(Clone, Debug)]
pub struct GalleryEntry {
    /// Its name, as `gallery/mq-deadline`.
    pub name: String,
    /// What came of it.
    pub run: GalleryRun,
}

/// What came of running an entry.
#[derive(Clone, Debug)]
pub enum GalleryRun {
    /// It was run.
    Ran {
        /// Its report.
        report: Box<Report>,
        /// Where that is, from the page's own directory.
        path: String,
    },
    /// It was not: why.
    Failed(String),
}

impl GalleryEntry {
    fn report(&self) -> Option<&Report> {
        match &self.run {
            GalleryRun::Ran { report, .. } => Some(report),
            GalleryRun::Failed(_) => None,
        }
    }

    /// The words in capitals for what came of it.
    fn word(&self) -> &'static str {
        match &self.run {
            GalleryRun::Failed(_) => "NOT RUN",
            GalleryRun::Ran { report, .. } => {
                let reproduction = report.reproduction.as_ref();
                reproduction.map_or("WITHOUT CLAIMS", Reproduction::word)
            }
        }
    }

    /// What the scenario's file did not lead one to expect: a verdict other than the known one, or none.
    #[must_use]
    pub fn surprise(&self) -> Option<String> {
        let known = match self.report().map(|report| &report.source) {
            None => return Some("it was not run".into()),
            Some(None) => return Some("its scenario names no source".into()),
            Some(Some(source)) => source.known,
        };
        let is = match self.report()?.reproduction {
            Some(Reproduction::Reproduced) => Some(Known::Reproduced),
            Some(Reproduction::NotReproduced { .. }) => Some(Known::NotReproduced),
            Some(Reproduction::Undecided { .. }) => Some(Known::Undecided),
            None => None,
        };
        (is != Some(known)).then(|| format!("{}, known as {}", self.word(), known.word()))
    }
}

/// The summary, in one line: "4 of 5 REPRODUCED, 1 NOT REPRODUCED as known".
#[must_use]
pub fn gallery_summary(entries: &[GalleryEntry]) -> String {
    let reproduced = Known::Reproduced.word();
    let count = |word: &str| entries.iter().filter(|entry| entry.word() == word).count();
    let mut parts = vec![format!(
        "{} of {} {reproduced}",
        count(reproduced),
        entries.len()
    )];
    let others = entries.iter().filter(|entry| entry.word() != reproduced);
    parts.extend(others.map(|entry| {
        let known = match entry.surprise() {
            None => " as known",
            Some(_) => "",
        };
        format!("{} {}{known}", entry.name, entry.word())
    }));
    let surprises: Vec<String> = entries
        .iter()
        .filter_map(|entry| Some(format!("{}: {}", entry.name, entry.surprise()?)))
        .collect();
    match surprises.as_slice() {
        [] => parts.join("; "),
        some => format!("{}; UNEXPECTED: {}", parts.join("; "), some.join("; ")),
    }
}

/// The page.
#[must_use]
pub fn gallery_markdown(entries: &[GalleryEntry]) -> String {
    let mut out = vec![
        "# The gallery".to_owned(),
        format!("**{}**", escape(&gallery_summary(entries))),
    ];
    let mut lanes: Vec<String> = Vec::new();
    for lane in entries.iter().filter_map(|e| Some(e.report()?.lane)) {
        let lane = format!("*{lane}*");
        if !lanes.contains(&lane) {
            lanes.push(lane);
        }
    }
    out.extend(lanes);
    out.push(rows(
        &["entry", "reported", "verdict", "claims held"],
        entries.iter().map(|entry| {
            let source = entry.report().and_then(|report| report.source.as_ref());
            vec![
                entry.name.clone(),
                source.map_or_else(String::new, reported),
                entry.word().to_owned(),
                entry.report().map_or_else(String::new, held),
            ]
        }),
    ));
    out.extend(entries.iter().flat_map(section));
    out.join("\n\n") + "\n"
}

fn section(entry: &GalleryEntry) -> Vec<String> {
    let (report, path) = match &entry.run {
        GalleryRun::Ran { report, path } => (report, path),
        GalleryRun::Failed(why) => {
            return vec![
                format!("## {}", escape(&entry.name)),
                format!("**NOT RUN**: {}", escape(why)),
            ];
        }
    };
    let mut out = vec![format!("## {}", escape(&report.title))];
    for alarm in report.alarms() {
        out.push(format!("> **WARNING: {}**", escape(&alarm)));
    }
    out.push(format!("**{}**: {} held", entry.word(), held(report)));
    if let Some(surprise) = entry.surprise() {
        out.push(format!("> **UNEXPECTED: {}**", escape(&surprise)));
    }
    if let Some(source) = &report.source {
        out.push(list(&words(source)));
    }
    let reasons = report
        .reproduction
        .as_ref()
        .map_or(&[][..], |r| r.reasons());
    if !reasons.is_empty() {
        let mut shown = reasons[..reasons.len().min(REASONS)].to_vec();
        if reasons.len() > REASONS {
            shown.push(format!("and {} more", reasons.len() - REASONS));
        }
        out.push(list(&shown));
    }
    if let Some(table) = carrying(report) {
        out.push(format!("{}:", escape(&table.title)));
        out.push(body(&table));
        out.extend((!table.footnotes.is_empty()).then(|| list(&table.footnotes)));
    }
    // A path that Diorama itself has named.
    let path = text::line(path);
    out.push(format!(
        "`diorama repro {}`; report: [{path}]({path})",
        entry.name
    ));
    out
}

/// How many claims held.
fn held(report: &Report) -> String {
    let claims = report.claims.iter();
    let held = claims.filter(|(_, claim)| claim.held == Held::Yes).count();
    format!("{held} of {}", counted(report.claims.len(), "claim"))
}

/// The one table that carries the verdict: that of the quantity which the scenario's point is about.
fn carrying(report: &Report) -> Option<Table> {
    let claims = || report.claims.iter().map(|(_, claim)| &claim.expect);
    let claim = claims()
        .find(|claim| claim.point)
        .or_else(|| claims().next())?;
    let metric = claim.metric;
    Some(match &claim.baseline_filesystem {
        Some(filesystem) => tables::beside(report, metric, filesystem),
        None if claim.relative => tables::relative(report, metric),
        None => tables::absolute(report, report.lane, metric),
    })
}
