//! JSON: the whole report as data, with the version of its schema.

use super::Report;
use crate::{
    compare::METRICS,
    error::{Error, Result},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of this format; it changes when a field changes its meaning or goes away.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// The lane as every other format shows it.
    lane_text: String,
    /// Unit of every metric.
    units: BTreeMap<&'static str, &'static str>,
    report: &'a Report,
}

/// Renders the report as indented JSON.
pub(super) fn render(report: &Report) -> Result<Vec<u8>> {
    let document = Document {
        version: VERSION,
        lane_text: report.lane.to_string(),
        units: METRICS
            .iter()
            .map(|m| (m.facts().name, m.facts().unit))
            .collect(),
        report,
    };
    let mut bytes = serde_json::to_vec_pretty(&document)
        .map_err(|e| Error::internal("writing the report as JSON").because(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}
