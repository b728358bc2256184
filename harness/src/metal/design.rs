//! Blocks, arms, and the order in which a block boots them.

/// Blocks of a session, unless the user asks for another number. The number is fixed before the first
/// boot: a session that goes on until something is significant always ends with something significant.
pub const BLOCKS: u32 = 8;

/// One boot of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arm {
    /// The baseline, for the first time.
    A,
    /// The baseline once more: the same files and the same command line.
    APrime,
    /// Another kernel.
    Kernel {
        /// Its index among the kernels that are not the baseline.
        index: usize,
    },
}

/// The order in which a block boots its arms, each exactly once: a uniformly random permutation of A,
/// A' and `kernels` others. It depends on the arguments alone, so that anybody can check from a
/// record that no order was picked by hand.
///
/// Random, and drawn anew in each block, so that a drive that drifts (temperature, wear, garbage
/// collection) favours no kernel: drift becomes noise that the interval accounts for.
#[must_use]
pub fn order(seed: u64, block: u32, kernels: usize) -> Vec<Arm> {
    let others = (0..kernels).map(|index| Arm::Kernel { index });
    let mut arms: Vec<Arm> = [Arm::A, Arm::APrime].into_iter().chain(others).collect();
    // The seed goes through the generator first, so that block 1 of seed 1 is not block 0 of seed 2.
    let key = SplitMix64(seed).next();
    let mut random = SplitMix64(key.wrapping_add(u64::from(block)));
    // Fisher and Yates (1938), from the last place down.
    for last in (1..arms.len()).rev() {
        arms.swap(last, random.below(last + 1));
    }
    arms
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators"
/// (OOPSLA 2014). It is written out because an order is part of a record: it must stay the same with
/// every version of every crate, which crates of random numbers do not promise for shuffling.
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    /// 64 uniform bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`; 0 for an empty range. The multiplication's high half is biased by less
    /// than `bound` in 2⁶⁴, which no session is long enough to show.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_generator_gives_its_published_values() {
        // As published for seed 1234567 with implementations in many languages.
        let mut random = SplitMix64(1_234_567);
        let values = [(); 3].map(|()| random.next());
        assert_eq!(
            values,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn an_order_belongs_to_its_seed_and_block() {
        let letters = |seed, block| {
            let letter = |arm| match arm {
                Arm::A => "A".to_owned(),
                Arm::APrime => "A'".to_owned(),
                Arm::Kernel { index } => index.to_string(),
            };
            let arms = order(seed, block, 3);
            arms.into_iter().map(letter).collect::<Vec<_>>().join(" ")
        };
        let blocks: Vec<String> = (0..4).map(|block| letters(7, block)).collect();
        insta::assert_snapshot!(blocks.join("\n"), @"
        A 2 A' 0 1
        2 0 1 A' A
        0 1 A' A 2
        A A' 0 1 2
        ");
        assert_eq!(letters(7, 0), letters(7, 0));
        assert_ne!(letters(8, 0), letters(7, 1));
    }

    #[test]
    fn every_order_is_a_permutation_and_all_are_equally_likely() {
        let mut seen: BTreeMap<Vec<Arm>, u32> = BTreeMap::new();
        for block in 0..6000 {
            *seen.entry(order(1, block, 1)).or_default() += 1;
        }
        // Three arms have six orders; 1000 of each are expected, with a deviation of 29.
        assert_eq!(seen.len(), 6);
        assert!(seen.values().all(|n| (870..1130).contains(n)), "{seen:?}");
        let mut arms = order(3, 5, 40);
        arms.sort_unstable();
        arms.dedup();
        assert_eq!(arms.len(), 42);
        assert_eq!(order(3, 5, 0).len(), 2);
    }
}
