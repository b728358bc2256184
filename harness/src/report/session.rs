//! What a session of the metal lane rests on, in sentences.

use crate::{
    compare::{Comparison, SessionFacts, Verdict},
    metal::{FALSE_DISCOVERIES, Gate, MINIMUM_EFFECT, SIGNIFICANCE},
    record::Results,
    scenario::Metric,
    text::counted,
    vocabulary::Accel,
};

/// Of the first run: its order, its A/A gate, how many cells were tested, and why some allow no conclusion.
pub(super) fn sentences(comparison: &Comparison) -> Vec<String> {
    let Some(session) = comparison.runs.first().and_then(|run| run.session.as_ref()) else {
        return Vec::new();
    };
    if session.blocks == 1 {
        return vec![format!(
            "one block: each cell was booted once ({} of {} measured), and nothing is concluded from it",
            session.measured,
            counted(session.planned, "boot")
        )];
    }
    let mut sentences = vec![format!(
        "{} blocks of fresh boots, every kernel once and the baseline twice in each; {} of {} \
         measured; their order is that of seed {}",
        session.blocks,
        session.measured,
        counted(session.planned, "boot"),
        session.seed
    )];
    sentences.push(match &session.gate {
        Gate::Passed { tested } => format!(
            "A/A gate passed: the baseline does not differ from itself in any of {}",
            counted(*tested, "comparison")
        ),
        Gate::Invalid { .. } | Gate::Untested => {
            let why = session.gate.forbids().unwrap_or_default();
            format!("A/A gate: {why}")
        }
    });
    let tested = session.tested;
    sentences.push(format!(
        "{} tested: {} that the scenario's claims are about (Holm, {}%) and {} other \
         (Benjamini-Hochberg, {}%); a difference must be at least {}%, and at least the baseline's own spread",
        counted(tested.primary + tested.secondary, "cell"),
        tested.primary,
        100.0 * SIGNIFICANCE,
        tested.secondary,
        100.0 * FALSE_DISCOVERIES,
        100.0 * MINIMUM_EFFECT,
    ));
    // What is said of the whole session is not said again of each cell.
    let of_all = session.gate.forbids();
    for cell in &comparison.cells {
        let against = cell.against.get(&Metric::Iops);
        let verdict = against.map(|against| &against.verdict);
        if let Some(Verdict::Inconclusive { why }) = verdict
            && comparison.subjects[cell.subject].run == 0
            && of_all.as_ref() != Some(why)
        {
            sentences.push(format!("{}: inconclusive: {why}", cell.key));
        }
    }
    sentences
}

/// What must not be overlooked of a session that is invalid.
pub(super) fn invalid(session: &SessionFacts) -> Option<String> {
    matches!(session.gate, Gate::Invalid { .. }).then(|| {
        format!(
            "THE SESSION IS INVALID: the baseline differs from itself in {}: something besides the \
             kernel decides the figures",
            session.differ.join(", ")
        )
    })
}

/// What must not be overlooked of figures by the wall clock that an emulator made.
pub(super) fn emulated(runs: &[&Results]) -> Option<String> {
    let cells = runs.iter().flat_map(|run| &run.cells);
    let mut measured = cells
        .filter(|cell| !cell.key.lane.is_exact())
        .filter_map(|cell| cell.outcome.measured());
    measured
        .any(|measured| measured.host.accel == Accel::Tcg)
        .then(|| {
            "THESE ARE NOT A DRIVE'S FIGURES: TCG, an emulator, executed the guests, so figures by the \
             wall clock are the emulator's"
                .to_owned()
        })
}
