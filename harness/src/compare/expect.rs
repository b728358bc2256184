//! A scenario's `[[expect]]` claims, tested against a run: was the report reproduced?

use super::{Cell, Comparison, Subject, Verdict, compare};
use crate::{
    record::Results,
    scenario::{AS_WRITTEN, CellKey, Expect, Metric},
};
use serde::Serialize;

/// A claim and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// The claim as the scenario makes it.
    pub expect: Expect,
    /// Every cell it is about.
    pub tested: Vec<Tested>,
    /// Kernels, variants, file systems and workloads that it names and this run does not have.
    pub absent: Vec<String>,
    /// The baseline that it was made about.
    pub baseline: String,
    /// Whether it holds as a whole: [`Held::No`] when any cell contradicts it, else
    /// [`Held::Unknown`] when it is about no cell, names what the run does not have, or some
    /// cell gives no answer.
    pub held: Held,
}

/// One cell of a claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tested {
    /// The cell tested.
    pub key: CellKey,
    /// The figure's median, or its ratio to the baseline's; absent when there is none.
    pub value: Option<f64>,
    /// Whether the value is within the bounds.
    pub held: Held,
}

/// Whether a claim holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Held {
    /// It holds.
    Yes,
    /// It was measured, and it does not.
    No,
    /// There is no answer, which is never taken for a yes.
    Unknown {
        /// Why there is no answer.
        why: String,
    },
    /// The command line's choices took its ground: it was not tested.
    LeftOut {
        /// Which of them.
        why: String,
    },
}

impl Held {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Held::Yes => "held",
            Held::No => "NOT HELD",
            Held::Unknown { .. } => "UNDECIDED",
            Held::LeftOut { .. } => "left out",
        }
    }
}

/// The verdict over all claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Reproduction {
    /// Every claim that was tested holds, those among them that make the scenario's point.
    Reproduced,
    /// At least one measured cell contradicts a claim.
    NotReproduced {
        /// One per contradiction, then one per missing answer.
        reasons: Vec<String>,
    },
    /// Nothing measured contradicts a claim, but some answer is missing, or a claim that makes the
    /// scenario's point was left out.
    Undecided {
        /// One per missing answer.
        reasons: Vec<String>,
    },
}

impl Reproduction {
    /// The words in capitals that every format shows.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Reproduction::Reproduced => "REPRODUCED",
            Reproduction::NotReproduced { .. } => "NOT REPRODUCED",
            Reproduction::Undecided { .. } => "UNDECIDED",
        }
    }

    /// Why, unless everything held.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        match self {
            Reproduction::Reproduced => &[],
            Reproduction::NotReproduced { reasons } | Reproduction::Undecided { reasons } => {
                reasons
            }
        }
    }
}

impl Claim {
    /// The claim as a sentence: "write-4k of 5.10, 6.1 on ext4: IOPS relative to 7.2 between 0.6 and
    /// 0.85".
    #[must_use]
    pub fn words(&self) -> String {
        let (e, baseline) = (&self.expect, &self.baseline);
        let list = |names: &[String], all: &str| match names {
            [] => all.to_owned(),
            some => some.join(", "),
        };
        let relative = match (&e.baseline_filesystem, e.relative) {
            (Some(filesystem), _) => format!(" relative to {filesystem}"),
            (None, true) => format!(" relative to {baseline}"),
            (None, false) => format!(" ({})", e.metric.facts().unit),
        };
        let everyone = match (e.variants.is_empty(), e.is_to_baseline()) {
            (true, true) => "every other kernel",
            (_, _) => "every kernel",
        };
        let variants = match e.variants.as_slice() {
            [] => String::new(),
            [one] if one == AS_WRITTEN => " as written".to_owned(),
            some => format!(" with {}", some.join(", ")),
        };
        let without = match e.without.as_slice() {
            [] => String::new(),
            names => format!(" (without {} in this run)", names.join(", ")),
        };
        format!(
            "{} of {}{variants} on {}: {}{relative} {}{without}",
            list(&e.workloads, "every workload"),
            list(&e.kernels, everyone),
            list(&e.filesystems, "every file system"),
            e.metric.facts().title,
            bounds(e),
        )
    }
}

fn bounds(e: &Expect) -> String {
    match (e.at_least, e.at_most) {
        (Some(low), Some(high)) => format!("between {low} and {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => "without a bound".into(),
    }
}

/// Tests every claim of a run's scenario, in its order; the figures' medians decide. Those that the
/// command line left out come last.
#[must_use]
pub fn claims(results: &Results) -> Vec<Claim> {
    let comparison = compare(&[results]);
    let scenario = &results.scenario;
    let tested = scenario.expect.iter();
    let tested = tested.map(|e| test(e, &scenario.baseline, &comparison));
    let left_out = scenario.left_out.iter().map(|left_out| Claim {
        expect: left_out.claim.clone(),
        tested: Vec::new(),
        absent: Vec::new(),
        baseline: left_out.baseline.clone(),
        held: Held::LeftOut {
            why: left_out.why.clone(),
        },
    });
    tested.chain(left_out).collect()
}

/// Whether the scenario's claims were reproduced; `None` when it makes none.
#[must_use]
pub fn reproduction(results: &Results) -> Option<Reproduction> {
    conclude(&claims(results))
}

fn conclude(claims: &[Claim]) -> Option<Reproduction> {
    if claims.is_empty() {
        return None;
    }
    let (mut against, mut missing) = (Vec::new(), Vec::new());
    // Records of earlier versions mark none.
    let unmarked = claims.iter().all(|claim| !claim.expect.point);
    for claim in claims {
        let (words, baseline) = (claim.words(), &claim.baseline);
        if let Held::LeftOut { why } = &claim.held {
            if unmarked || claim.expect.point {
                missing.push(format!(
                    "left out, although it makes the scenario's point: {words}: {why}"
                ));
            }
            continue;
        }
        if claim.tested.is_empty() || !claim.absent.is_empty() {
            missing.push(format!("{words}: {}", not_in_run(claim)));
        }
        for t in &claim.tested {
            match &t.held {
                Held::Yes => {}
                Held::No => against.push(format!(
                    "{}: {} is {}, not {}",
                    t.key,
                    quantity(&claim.expect, baseline),
                    t.value.map_or("absent".into(), |v| format!("{v:.4}")),
                    bounds(&claim.expect),
                )),
                Held::Unknown { why } | Held::LeftOut { why } => {
                    missing.push(format!("{}: {why}", t.key));
                }
            }
        }
    }
    // Several claims about one failed cell give one reason.
    let mut seen = std::collections::BTreeSet::new();
    missing.retain(|reason| seen.insert(reason.clone()));
    Some(match (against.is_empty(), missing.is_empty()) {
        (true, true) => Reproduction::Reproduced,
        (true, false) => Reproduction::Undecided { reasons: missing },
        (false, _) => {
            against.append(&mut missing);
            Reproduction::NotReproduced { reasons: against }
        }
    })
}

fn not_in_run(claim: &Claim) -> String {
    match claim.absent.as_slice() {
        [] => "no cell of this run matches".into(),
        names => format!("not in this run: {}", names.join(", ")),
    }
}

fn quantity(e: &Expect, baseline: &str) -> String {
    let title = e.metric.facts().title;
    match (&e.baseline_filesystem, e.relative) {
        (Some(filesystem), _) => format!("{title} relative to {filesystem}"),
        (None, true) => format!("{title} relative to {baseline}"),
        (None, false) => title.to_owned(),
    }
}

fn test(expect: &Expect, baseline: &str, comparison: &Comparison) -> Claim {
    let names =
        |selector: &[String], name: &str| selector.is_empty() || selector.iter().any(|s| s == name);
    let selected = comparison.cells.iter().filter(|cell| {
        expect.names(&cell.key.subject)
            && names(&expect.filesystems, &cell.key.filesystem)
            && names(&expect.workloads, &cell.key.workload)
            // The baseline relative to itself says nothing.
            && !(expect.is_to_baseline() && comparison.subjects[cell.subject].baseline)
            && expect.baseline_filesystem.as_ref() != Some(&cell.key.filesystem)
    });
    let tested: Vec<Tested> = selected
        .map(|cell| test_cell(expect, cell, comparison))
        .collect();
    let mut claim = Claim {
        expect: expect.clone(),
        tested,
        absent: absent(expect, comparison),
        baseline: baseline.to_owned(),
        held: Held::Yes,
    };
    claim.held = if claim.tested.iter().any(|t| t.held == Held::No) {
        Held::No
    } else if claim.tested.is_empty() || !claim.absent.is_empty() {
        Held::Unknown {
            why: not_in_run(&claim),
        }
    } else {
        let unknown = claim.tested.iter().find(|t| t.held != Held::Yes);
        unknown.map_or(Held::Yes, |t| t.held.clone())
    };
    claim
}

/// What a claim names and the run does not have. A run of some of the scenario's kernels must
/// not confirm a claim about all of them.
fn absent(expect: &Expect, comparison: &Comparison) -> Vec<String> {
    let kernels = expect.kernels.iter();
    let kernels = kernels.filter(|name| comparison.subjects.iter().all(|s| s.key.kernel != **name));
    let variants = expect.variants.iter();
    let is = |s: &Subject, name: &str| s.key.variant.as_deref().unwrap_or(AS_WRITTEN) == name;
    let variants = variants.filter(|name| comparison.subjects.iter().all(|s| !is(s, name)));
    let filesystems = expect.filesystems.iter();
    let filesystems = filesystems.filter(|name| !comparison.filesystems.contains(name));
    let workloads = expect.workloads.iter();
    let workloads = workloads.filter(|name| !comparison.workloads.contains(name));
    kernels
        .chain(variants)
        .chain(filesystems)
        .chain(workloads)
        .cloned()
        .collect()
}

fn test_cell(expect: &Expect, cell: &Cell, comparison: &Comparison) -> Tested {
    let value = value(expect, cell, comparison);
    let held = match (&value, expect.at_least, expect.at_most) {
        (Ok(_), low, high) if !cell.key.lane.is_exact() => noisy(expect, cell, low, high),
        (Err(why), ..) => Held::Unknown { why: why.clone() },
        (Ok(_), None, None) => Held::Unknown {
            why: "the claim has no bound".into(),
        },
        (Ok(v), low, high) => {
            // Written so that a value that is not a number is outside.
            if low.is_none_or(|low| *v >= low) && high.is_none_or(|high| *v <= high) {
                Held::Yes
            } else {
                Held::No
            }
        }
    };
    Tested {
        key: cell.key.clone(),
        value: value.ok(),
        held,
    }
}

/// Whether a claim holds for a figure of the metal lane: with all of its 95% interval, or of what its
/// boots measured where a value is claimed.
fn noisy(expect: &Expect, cell: &Cell, low: Option<f64>, high: Option<f64>) -> Held {
    let unknown = |why: &str| Held::Unknown { why: why.into() };
    if expect.baseline_filesystem.is_some() {
        return unknown("ratios between file systems have no interval in the metal lane");
    }
    if let Some(why) = &cell.doubt {
        return unknown(why);
    }
    let against = cell.against.get(&expect.metric);
    let figure = cell.figures.get(&expect.metric);
    let rate = matches!(expect.metric, Metric::Iops | Metric::TotalIo);
    let ratio = against.and_then(|a| a.ratio).filter(|_| rate);
    let (least, most, what) = match (expect.relative, ratio, figure) {
        (true, Some(ratio), _) => (ratio.low, ratio.high, "95% interval"),
        (false, _, Some(figure)) => (figure.min, figure.max, "range"),
        _ => {
            let why = against.and_then(|a| a.verdict.why());
            return unknown(why.unwrap_or("there is no interval"));
        }
    };
    let within = |v: f64| low.is_none_or(|low| v >= low) && high.is_none_or(|high| v <= high);
    let outside = high.is_some_and(|high| least > high) || low.is_some_and(|low| most < low);
    match (within(least) && within(most), outside) {
        (true, _) => Held::Yes,
        (_, true) => Held::No,
        _ => unknown(&format!(
            "a bound is within the {what}, {least:.4} to {most:.4}"
        )),
    }
}

/// The median of a cell's figure.
fn median(metric: Metric, cell: &Cell) -> Result<f64, String> {
    if let Some(failure) = &cell.failure {
        return Err(format!("{}: {}", failure.word, failure.why));
    }
    let title = metric.facts().title;
    let figure = cell.figures.get(&metric);
    let figure = figure.ok_or_else(|| format!("the kernel does not provide {title}"))?;
    Ok(figure.median)
}

fn value(expect: &Expect, cell: &Cell, comparison: &Comparison) -> Result<f64, String> {
    let own = median(expect.metric, cell)?;
    let title = expect.metric.facts().title;
    if let Some(filesystem) = &expect.baseline_filesystem {
        let other = comparison.cell(cell.subject, filesystem, &cell.key.workload);
        let other = other.ok_or_else(|| format!("not in this run: {filesystem}"))?;
        return match median(expect.metric, other) {
            Ok(0.0) => Err(format!(
                "{filesystem}'s {title} is 0: there is no ratio to it"
            )),
            Ok(other) => Ok(own / other),
            Err(why) => Err(format!("{filesystem}: {why}")),
        };
    }
    if !expect.relative {
        return Ok(own);
    }
    let against = cell.against.get(&expect.metric);
    let ratio = against.and_then(|a| a.ratio.map(|r| r.value));
    ratio.ok_or_else(|| match against.map(|a| &a.verdict) {
        Some(Verdict::Incomparable { why }) => why.clone(),
        Some(Verdict::Fixed) => "the baseline was not measured".into(),
        _ => format!("the baseline's {title} is 0: there is no ratio to it"),
    })
}

#[cfg(test)]
mod tests;
