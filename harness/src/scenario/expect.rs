//! What a reproduction must show: the `[[expect]]` sections (pure).

use super::parse::RawExpect;
use super::problems::{At, Problems};
use super::rules::choice;
use super::{AS_WRITTEN, Expect, Metric, SubjectKey};
use crate::suggest::next_step;

/// Every metric by the word a scenario uses.
pub const METRICS: &[(&str, Metric)] = &[
    ("iops", Metric::Iops),
    ("total-io", Metric::TotalIo),
    ("context-switches-per-io", Metric::ContextSwitchesPerIo),
    ("interrupts-per-io", Metric::InterruptsPerIo),
    ("path-length", Metric::PathLength),
    ("drive-per-io", Metric::DrivePerIo),
    ("busy-per-io", Metric::BusyPerIo),
    ("user-per-io", Metric::UserPerIo),
    ("system-per-io", Metric::SystemPerIo),
    ("kworker-runs-per-io", Metric::KworkerRunsPerIo),
];

/// What a selector may name.
pub(super) struct Names {
    pub(super) kernels: Vec<String>,
    /// Without [`AS_WRITTEN`].
    pub(super) variants: Vec<String>,
    /// Variants that claims are about which name none; empty means all.
    pub(super) claimed: Vec<String>,
    pub(super) filesystems: Vec<String>,
    pub(super) workloads: Vec<String>,
}

impl Names {
    /// Every kernel as the scenario is written, and with each variant.
    pub(super) fn subjects(&self) -> Vec<SubjectKey> {
        let of = |kernel: &String| {
            let plain = [SubjectKey::of_kernel(kernel)];
            let varied = self.variants.iter().map(|variant| SubjectKey {
                kernel: kernel.clone(),
                variant: Some(variant.clone()),
            });
            plain.into_iter().chain(varied).collect::<Vec<_>>()
        };
        self.kernels.iter().flat_map(of).collect()
    }

    /// What a selector may call variants.
    pub(super) fn variants_and_none(&self) -> Vec<String> {
        [AS_WRITTEN.to_owned()]
            .into_iter()
            .chain(self.variants.iter().cloned())
            .collect()
    }
}

/// The claims, with their selectors checked. `baseline` is the scenario's own.
pub(super) fn expect(
    raw: &[RawExpect],
    baseline: Option<&str>,
    names: &Names,
    problems: &mut Problems,
) -> Vec<Expect> {
    let subjects = names.subjects();
    let mut claims = Vec::new();
    for raw in raw {
        let kernels = selector(&raw.kernels, "kernels", &names.kernels, problems);
        let mut variants = selector(
            &raw.variants,
            "variants",
            &names.variants_and_none(),
            problems,
        );
        if variants.is_empty() {
            variants.clone_from(&names.claimed);
        }
        let filesystems = selector(
            &raw.filesystems,
            "file systems",
            &names.filesystems,
            problems,
        );
        let workloads = selector(&raw.workloads, "workloads", &names.workloads, problems);
        let metric = match &raw.metric {
            Some(word) => choice(word, "metrics", METRICS, problems),
            None => {
                problems.add(&raw.at, "has no metric", "add metric = \"iops\"");
                None
            }
        };
        let bounds = bounds(raw, problems);
        let beside = beside(raw, bounds, &names.filesystems, problems);
        if matches!(bounds, Some((true, ..)))
            && beside.is_none()
            && let Some(own) = raw.kernels.iter().find(|kernel| {
                let named = subjects.iter().filter(|subject| {
                    let variant = subject.variant.as_deref().unwrap_or(AS_WRITTEN);
                    subject.kernel == kernel.value
                        && (variants.is_empty() || variants.iter().any(|v| v == variant))
                });
                let named: Vec<_> = named.collect();
                baseline.is_some_and(|b| matches!(named.as_slice(), [one] if one.is(b)))
            })
        {
            let what = format!(
                "bounds the ratio of `{}`, the baseline, to itself",
                baseline.unwrap_or_default()
            );
            let next =
                "name other kernels, or bound the value itself: value_at_least, value_at_most";
            problems.add(&own.at, what, next);
        }
        if let (Some(metric), Some((relative, at_least, at_most))) = (metric, bounds) {
            claims.push(Expect {
                metric,
                relative,
                baseline_filesystem: beside,
                kernels,
                variants,
                filesystems,
                workloads,
                at_least,
                at_most,
                because: raw
                    .because
                    .as_ref()
                    .map(|b| b.value.clone())
                    .unwrap_or_default(),
                point: raw.point.as_ref().is_some_and(|point| point.value),
                without: Vec::new(),
            });
        }
    }
    if claims.iter().all(|claim| !claim.point) {
        claims.iter_mut().for_each(|claim| claim.point = true);
    }
    claims
}

fn selector(
    raw: &[At<String>],
    kind: &str,
    known: &[String],
    problems: &mut Problems,
) -> Vec<String> {
    let words: Vec<_> = known.iter().map(String::as_str).collect();
    for name in raw.iter().filter(|name| !known.contains(&name.value)) {
        let what = format!("`{}` is not one of the {kind}", name.value);
        problems.add(&name.at, what, next_step(&name.value, kind, &words));
    }
    raw.iter().map(|name| name.value.clone()).collect()
}

/// The file system that a ratio is to, instead of the baseline's row.
fn beside(
    raw: &RawExpect,
    bounds: Option<Bounds>,
    known: &[String],
    problems: &mut Problems,
) -> Option<String> {
    let name = raw.baseline_filesystem.as_ref()?;
    selector(std::slice::from_ref(name), "file systems", known, problems);
    if matches!(bounds, Some((false, ..))) {
        let next = "bound a ratio: ratio_at_least, ratio_at_most";
        problems.add(
            &name.at,
            "is what a ratio is to, and a value is bounded",
            next,
        );
    }
    if let Some(own) = raw.filesystems.iter().find(|own| own.value == name.value) {
        let what = format!("bounds the ratio of `{}` to itself", name.value);
        problems.add(&own.at, what, "name other file systems");
    }
    Some(name.value.clone())
}

type Bounds = (bool, Option<f64>, Option<f64>);

fn bounds(raw: &RawExpect, problems: &mut Problems) -> Option<Bounds> {
    let ratio = raw.ratio_at_least.is_some() || raw.ratio_at_most.is_some();
    let value = raw.value_at_least.is_some() || raw.value_at_most.is_some();
    let (least, most) = match (ratio, value) {
        (true, false) => (&raw.ratio_at_least, &raw.ratio_at_most),
        (false, true) => (&raw.value_at_least, &raw.value_at_most),
        (true, true) => {
            let next = "split it into two [[expect]] sections";
            problems.add(&raw.at, "bounds both a ratio and a value", next);
            return None;
        }
        (false, false) => {
            let next = "add ratio_at_least, ratio_at_most, value_at_least or value_at_most";
            problems.add(&raw.at, "has no bound", next);
            return None;
        }
    };
    if let (Some(least), Some(most)) = (least, most)
        && least.value > most.value
    {
        let what = format!("{} exceeds the upper bound, {}", least.value, most.value);
        problems.add(&least.at, what, "swap the two bounds");
        return None;
    }
    let value = |bound: &Option<At<f64>>| bound.as_ref().map(|bound| bound.value);
    Some((ratio, value(least), value(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_records_name_them() {
        for (name, metric) in METRICS {
            assert_eq!(
                serde_json::to_value(metric).expect("plain data serialises"),
                *name
            );
        }
    }
}
