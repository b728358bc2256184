//! CSV (RFC 4180) in long form: one row per cell and metric, numbers in full precision.

use super::Report;
use crate::{
    compare::{Against, Locked, METRICS},
    error::{Error, Result},
    record::Origin,
    text::line,
};

const HEADER: [&str; 26] = [
    "run",
    "kernel",
    "label",
    "filesystem",
    "workload",
    "lane",
    "device",
    "clock",
    "metric",
    "unit",
    "outcome",
    "median",
    "min",
    "max",
    "repetitions",
    "baseline",
    "ratio",
    "ratio_low",
    "ratio_high",
    "within_noise",
    "verdict",
    "why",
    "from_cache",
    "locked_kernel",
    "inputs_sha256",
    "variant",
];

/// Renders every cell and metric. A cell that was not measured has its outcome and reason, and
/// empty numbers.
pub(super) fn render(report: &Report) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| Error::internal("writing the report as CSV").because(e);
    writer.write_record(HEADER).map_err(failed)?;
    let comparison = &report.comparison;
    let shown = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
    for cell in &comparison.cells {
        let subject = &comparison.subjects[cell.subject];
        let failure = cell.failure.as_ref();
        for metric in METRICS {
            let figure = cell.figures.get(&metric);
            let against = cell.against.get(&metric);
            let ratio = against.and_then(|a| a.ratio);
            let its_own = subject.baseline && figure.is_some();
            let one = its_own.then_some(1.0);
            let why = failure
                .map(|f| f.why.as_str())
                .or_else(|| against.and_then(|a| a.verdict.why()))
                .or_else(|| {
                    figure
                        .is_none()
                        .then_some("this kernel has no such counter")
                });
            writer
                .write_record([
                    line(&comparison.runs[subject.run].run_id),
                    line(&subject.key.kernel),
                    line(&subject.label),
                    line(&cell.key.filesystem),
                    line(&cell.key.workload),
                    cell.key.lane.to_string(),
                    cell.key.lane.device.name().to_owned(),
                    cell.key.lane.clock.name().to_owned(),
                    metric.facts().name.to_owned(),
                    metric.facts().unit.to_owned(),
                    failure.map_or("measured", |f| f.word).to_owned(),
                    shown(figure.map(|f| f.median)),
                    shown(figure.map(|f| f.min)),
                    shown(figure.map(|f| f.max)),
                    figure.map_or(String::new(), |f| f.n.to_string()),
                    line(report.baseline()),
                    shown(ratio.map(|r| r.value).or(one)),
                    shown(ratio.map(|r| r.low).or(one)),
                    shown(ratio.map(|r| r.high).or(one)),
                    ratio.map_or(String::new(), |r| r.within_noise.to_string()),
                    verdict(subject.baseline, against).to_owned(),
                    line(why.unwrap_or("")),
                    (cell.origin == Origin::Cached).to_string(),
                    match subject.locked {
                        Locked::Yes => "yes",
                        Locked::Replaced => "NO",
                        Locked::Local => "local",
                    }
                    .to_owned(),
                    cell.inputs.map_or(String::new(), |d| d.to_string()),
                    line(subject.key.variant.as_deref().unwrap_or("")),
                ])
                .map_err(failed)?;
        }
    }
    writer
        .into_inner()
        .map_err(|e| Error::internal("writing the report as CSV").because(e.into_error()))
}

fn verdict(baseline: bool, against: Option<&Against>) -> &'static str {
    match against {
        Some(against) => against.verdict.word(),
        None if baseline => "baseline",
        None => "incomparable",
    }
}
