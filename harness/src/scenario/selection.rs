//! What the command line leaves of a scenario, and what that takes from its claims (pure).

use super::problems::{Place, Problems};
use super::{AS_WRITTEN, Expect, LeftOut, Overrides, Scenario, SubjectKey, expect};
use crate::suggest::next_step;

/// Whether what the command line selects is there.
pub(super) fn check(overrides: &Overrides, names: &expect::Names, problems: &mut Problems) {
    let mut kernels = names.kernels.clone();
    let subjects = names.subjects();
    let varied = subjects.iter().filter(|subject| subject.variant.is_some());
    kernels.extend(varied.map(SubjectKey::to_string));
    let variants = names.variants_and_none();
    let options = [
        ("--only-kernel", &overrides.only_kernels, &kernels),
        ("--only-variant", &overrides.only_variants, &variants),
        (
            "--filesystem",
            &overrides.only_filesystems,
            &names.filesystems,
        ),
        ("--workload", &overrides.only_workloads, &names.workloads),
    ];
    for (option, wanted, all) in options {
        let known: Vec<_> = all.iter().map(String::as_str).collect();
        for name in wanted.iter().filter(|name| !all.contains(name)) {
            let what = format!("`{name}` is not in this scenario");
            problems.add(
                &Place::option(option),
                what,
                next_step(name, "names", &known),
            );
        }
    }
}

/// Leaves what the command line asked for: cells that are not selected are not part of the
/// scenario any more. Claims that are about none of the cells that remain are left out, and said to
/// be.
pub(super) fn select(scenario: &mut Scenario, overrides: &Overrides) {
    let baseline = scenario.baseline.clone();
    let (filesystems, workloads) = (&overrides.only_filesystems, &overrides.only_workloads);
    let keeps = |wanted: &[String], name: &str| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
    };
    // A kernel's name means all of its subjects.
    let keeps_subject = |subject: &SubjectKey| {
        let variant = subject.variant.as_deref().unwrap_or(AS_WRITTEN);
        let kernels = &overrides.only_kernels;
        let kernel = keeps(kernels, &subject.kernel) || kernels.iter().any(|k| subject.is(k));
        subject.is(&baseline) || (kernel && keeps(&overrides.only_variants, variant))
    };
    let before = scenario.subjects.clone();
    scenario.subjects.retain(keeps_subject);
    let left = &scenario.subjects;
    scenario
        .kernels
        .retain(|kernel| left.iter().any(|subject| subject.kernel == kernel.name));
    let gone = [
        part(
            &mut scenario.filesystems,
            |f| &f.name,
            |name| keeps(filesystems, name),
        ),
        part(
            &mut scenario.workloads,
            |w| &w.name,
            |name| keeps(workloads, name),
        ),
    ];
    for variant in &mut scenario.variants {
        let parts = &mut variant.parts;
        if let Some(specs) = &mut parts.filesystems {
            specs.retain(|spec| keeps(filesystems, &spec.name));
        }
        if let Some(specs) = &mut parts.workloads {
            specs.retain(|spec| keeps(workloads, &spec.name));
        }
    }
    for mut claim in std::mem::take(&mut scenario.expect) {
        let as_made = claim.clone();
        let (mut empty, mut without) = subjects_gone(&mut claim, &before, scenario);
        let selectors = [&mut claim.filesystems, &mut claim.workloads];
        for (selector, gone) in selectors.into_iter().zip(&gone) {
            let meant = |name: &&String| selector.is_empty() || selector.contains(name);
            without.extend(gone.iter().filter(meant).cloned());
            let all = selector.is_empty();
            selector.retain(|name| !gone.contains(name));
            empty |= !all && selector.is_empty();
        }
        // A ratio to the baseline needs a row besides it.
        let alone = claim.is_to_baseline() && scenario.subjects.len() < 2;
        let other = claim.baseline_filesystem.as_ref();
        if let Some(name) = other.filter(|name| gone.iter().flatten().any(|gone| gone == *name)) {
            (empty, without) = (true, vec![name.clone()]);
        }
        if empty || alone {
            let why = match without.as_slice() {
                [] => "no kernel besides the baseline is measured".to_owned(),
                names => format!("the command line left out {}", names.join(", ")),
            };
            scenario.left_out.push(LeftOut {
                claim: as_made,
                baseline: baseline.clone(),
                why,
            });
        } else {
            claim.without = without;
            scenario.expect.push(claim);
        }
    }
}

/// Takes kernels and variants that are gone from a claim: whether it is about none of those that are
/// left, and which it was about.
fn subjects_gone(
    claim: &mut Expect,
    before: &[SubjectKey],
    scenario: &Scenario,
) -> (bool, Vec<String>) {
    let is_left = |subject: &&SubjectKey| scenario.subjects.contains(subject);
    let named = before.iter().filter(|subject| claim.names(subject));
    let (left, gone): (Vec<_>, Vec<_>) = named.partition(is_left);
    let gone: Vec<String> = gone.into_iter().map(SubjectKey::to_string).collect();
    let of = |left: &&SubjectKey| !(claim.is_to_baseline() && scenario.is_baseline(left));
    let empty = !gone.is_empty() && !left.iter().any(of);
    let left = &scenario.subjects;
    claim
        .kernels
        .retain(|name| left.iter().any(|subject| subject.kernel == *name));
    claim.variants.retain(|name| {
        let is = |s: &SubjectKey| s.variant.as_deref().unwrap_or(AS_WRITTEN) == name;
        left.iter().any(is)
    });
    (empty, gone)
}

/// Keeps some parts; the names of the others.
fn part<T>(
    parts: &mut Vec<T>,
    name: impl Fn(&T) -> &String,
    keeps: impl Fn(&String) -> bool,
) -> Vec<String> {
    let gone = parts.extract_if(.., |part| !keeps(name(part)));
    gone.map(|part| name(&part).clone()).collect()
}
