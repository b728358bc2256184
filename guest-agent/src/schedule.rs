//! Which block comes next, and when a window opens. Pure.

use diorama_wire::BANDWIDTH_PERIOD_NS;

/// Sequential offsets that wrap at the end of the file. It runs on through warm-up and
/// repetitions, so that every block's last generation follows from the number of I/Os alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    block: u64,
    start: u64,
    end: u64,
    offset: u64,
    generation: u64,
}

impl Sequence {
    /// Blocks of `block` bytes in a file of `end` bytes, which is a multiple of it.
    pub fn new(block: u64, end: u64) -> Sequence {
        Sequence::between(block, 0, end)
    }

    /// The same from `start` to `end` only.
    pub fn between(block: u64, start: u64, end: u64) -> Sequence {
        Sequence {
            block,
            start,
            end,
            offset: start,
            generation: 1,
        }
    }

    /// Goes back to the first block, with a generation of its own.
    pub fn restart(&mut self) {
        if self.offset != self.start {
            self.offset = self.start;
            self.generation += 1;
        }
    }

    /// Whether one of its blocks begins at `offset`, a multiple of their length.
    pub fn holds(&self, offset: u64) -> bool {
        (self.start..self.end).contains(&offset)
    }

    /// The generation that the next write gives.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The next block's offset and the generation a write gives it.
    #[inline]
    pub fn next(&mut self) -> (u64, u64) {
        let now = (self.offset, self.generation);
        self.offset += self.block;
        if self.offset == self.end {
            self.offset = self.start;
            self.generation += 1;
        }
        now
    }

    /// The generation that the block at `offset` has, if all of the sequence so far were writes.
    pub fn generation_of(&self, offset: u64) -> u64 {
        if offset < self.offset {
            self.generation
        } else {
            self.generation - 1
        }
    }
}

/// The longest pause of [`hitch`], ns: a little more than one I/O takes.
const LONGEST_HITCH_NS: u64 = 20_000;

/// Which slot of the queue is filled late, and by how many ns, in a stretch that begins at this
/// place of the sequence.
///
/// Without it every stretch fills its queue in the same rhythm. The multiplier is that of SplitMix64 (Steele, Lea, Flood 2014).
pub fn hitch(sequence: &Sequence, slots: usize) -> (usize, u64) {
    let mut mix = (sequence.offset ^ sequence.generation.rotate_left(32))
        .wrapping_add(1)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mix ^= mix >> 27;
    mix = mix.wrapping_mul(0x94d0_49bb_1331_11eb);
    let slot = usize::try_from((mix >> 32) % slots.max(1) as u64).unwrap_or(0);
    (slot, (mix >> 8) % LONGEST_HITCH_NS)
}

/// When a window opens that shall begin just after a refill of the device's bandwidth: the first
/// moment not before `earliest` that is a whole number of periods after `edge`.
pub fn aligned_start(earliest: u64, edge: u64) -> u64 {
    let past = earliest.abs_diff(edge) % BANDWIDTH_PERIOD_NS;
    match (past, earliest > edge) {
        (0, _) => earliest,
        (_, true) => earliest + (BANDWIDTH_PERIOD_NS - past),
        (_, false) => earliest + past,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_wrap_and_each_round_is_a_generation() {
        let mut s = Sequence::new(4, 12);
        let seen: Vec<_> = (0..7).map(|_| s.next()).collect();
        assert_eq!(
            seen,
            [(0, 1), (4, 1), (8, 1), (0, 2), (4, 2), (8, 2), (0, 3)]
        );
    }

    #[test]
    fn the_last_generation_of_a_block_is_that_of_its_last_write() {
        let (block, end) = (4, 20);
        for writes in 0..23 {
            let mut s = Sequence::new(block, end);
            let mut file = vec![0; 5];
            for _ in 0..writes {
                let (offset, generation) = s.next();
                file[usize::try_from(offset / block).unwrap()] = generation;
            }
            let computed: Vec<u64> = (0..5).map(|b| s.generation_of(b * block)).collect();
            assert_eq!(computed, file, "after {writes} writes");
        }
    }

    #[test]
    fn stretches_hitch_at_many_slots_and_never_for_long() {
        let mut slots = std::collections::BTreeSet::new();
        let mut s = Sequence::new(4096, 32 << 20);
        for _ in 0..200 {
            let (slot, ns) = hitch(&s, 64);
            assert!(slot < 64 && ns < LONGEST_HITCH_NS);
            slots.insert(slot);
            (0..977).for_each(|_| _ = s.next());
        }
        assert!(slots.len() > 50, "{slots:?}");
    }

    #[test]
    fn an_aligned_start_is_the_next_point_of_the_grid() {
        const P: u64 = BANDWIDTH_PERIOD_NS;
        for edge in [3, P + 3, 1000 * P + 3] {
            for earliest in [50 * P, 50 * P + 2, 50 * P + 3, 50 * P + 4, 51 * P - 1] {
                let start = aligned_start(earliest, edge);
                assert_eq!(start % P, 3, "{earliest} {edge}");
                assert!(
                    (earliest..earliest + P).contains(&start),
                    "{earliest} {edge}"
                );
            }
        }
    }
}
