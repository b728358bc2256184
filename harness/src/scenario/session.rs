//! `[session]`: how often the metal lane boots and measures every kernel (pure).

use super::parse::RawSession;
use super::problems::{At, Place, Problems};
use super::rules::bounded;
use super::{Lane, Overrides};
use crate::metal;
use serde::{Deserialize, Serialize};

/// Most blocks of a session.
pub const MOST_BLOCKS: u32 = 1000;

/// A session of the metal lane: see [`metal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// Blocks, in each of which every kernel is booted and measured once, and the baseline twice.
    pub blocks: u32,
    /// What decides the order of boots; none where each run takes one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The session of a scenario in this lane; none in the exact one, whose digits need no repeating.
pub(super) fn session(
    raw: &RawSession,
    overrides: &Overrides,
    lane: Option<Lane>,
    problems: &mut Problems,
) -> Option<Option<SessionSpec>> {
    let option = |name: &str, value: Option<u64>| {
        value.map(|value| At {
            value,
            at: Place::option(name),
        })
    };
    let blocks = option("--blocks", overrides.blocks.map(u64::from));
    let seed = option("--seed", overrides.seed);
    let is_exact = lane?.is_exact();
    if let Some(given) = blocks.as_ref().or(seed.as_ref()).filter(|_| is_exact) {
        let what =
            "is for the metal lane; this is the exact lane, where one boot gives every digit";
        problems.add(&given.at, what, "omit it, or add --device");
    }
    let blocks = blocks.as_ref().or(raw.blocks.as_ref());
    let blocks = bounded(blocks, metal::BLOCKS, (1, MOST_BLOCKS), problems)?;
    let seed = seed.or(raw.seed.clone()).map(|seed| seed.value);
    Some((!is_exact).then_some(SessionSpec { blocks, seed }))
}
