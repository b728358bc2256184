//! What tests of profiles share.

use super::{Side, Stack, Stacks};

/// A kernel that executed these chains (`a;b`) in so many I/Os.
pub fn side(kernel: &str, ios: u64, chains: &[(&str, u64)]) -> Side {
    let stacks: Vec<Stack> = chains
        .iter()
        .map(|(chain, instructions)| Stack {
            frames: chain.split(';').map(str::to_owned).collect(),
            instructions: *instructions,
        })
        .collect();
    Side {
        kernel: kernel.into(),
        ios,
        stacks: Stacks {
            instructions: stacks.iter().map(|s| s.instructions).sum(),
            stacks,
        },
    }
}
