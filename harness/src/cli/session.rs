//! A session of the metal lane: a new one, or one that was interrupted.

use crate::{digest::Sha256, plan::Plan, record::Session, run, text::counted};
use std::{collections::BTreeMap, path::Path};

/// The session that a run of `plan` is, in the metal lane, and what to say of it. Unless `fresh`, it is
/// the one that was interrupted, if the newest run of the same cells below `results` was. `took` is how long
/// cells took last time, in seconds.
pub fn begin(
    plan: &Plan,
    results: &Path,
    run_id: &str,
    fresh: bool,
    took: &BTreeMap<String, f64>,
) -> Option<(Session, String)> {
    plan.scenario.session?;
    let interrupted = match fresh {
        true => None,
        false => run::interrupted(results, plan),
    };
    if let Some((of, session)) = interrupted {
        let all = plan.session(session.blocks, session.seed);
        let left = run::left(&session, plan);
        let note = format!(
            "goes on with the session of {of}, which was interrupted: {} of {} are from there \
             (--fresh begins anew); the others take {}",
            session.samples.len(),
            counted(all.len(), "boot"),
            plan.cost(&left, took).words()
        );
        return Some((session, note));
    }
    anew(plan, run_id, took)
}

/// A new session, and what to say of it.
pub fn anew(plan: &Plan, run_id: &str, took: &BTreeMap<String, f64>) -> Option<(Session, String)> {
    let wanted = plan.scenario.session?;
    let seed = wanted.seed.unwrap_or_else(|| seed_of(run_id));
    let session = Session {
        blocks: wanted.blocks,
        seed,
        samples: Vec::new(),
    };
    let boots = plan.session(session.blocks, seed);
    let cost = plan.cost(&boots, took).words();
    let note = match session.blocks {
        1 => format!(
            "one block: each cell is measured once, and nothing is concluded from it (--blocks); it takes {cost}"
        ),
        n => format!(
            "a session of {n} blocks, the baseline twice in each; the order of boots is that of seed {seed}; \
             it takes {cost}"
        ),
    };
    Some((session, note))
}

/// A run's own seed, for one that asks for none: anybody can see from the record that no order was
/// picked by hand. Small enough for a number in any JSON reader (2⁵³).
fn seed_of(run_id: &str) -> u64 {
    let digest = Sha256::of(run_id.as_bytes()).to_string();
    u64::from_str_radix(&digest[..13], 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_own_seed_is_another_for_another_run_and_fits_a_json_number() {
        let (a, b) = (seed_of("smoke-1"), seed_of("smoke-2"));
        assert_ne!(a, b);
        assert!(a < 1 << 53 && b < 1 << 53);
    }
}
