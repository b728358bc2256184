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
    /// Blocks of `block` bytes from `start` to `end`, whole blocks further on.
    pub fn between(block: u64, start: u64, end: u64) -> Sequence {
        Sequence {
            block,
            start,
            end,
            offset: start,
            generation: 1,
        }
    }

    /// The same with generations that begin at this one.
    pub fn with_generation(self, generation: u64) -> Sequence {
        Sequence { generation, ..self }
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

/// When a window opens that shall begin at a given phase of the device's bandwidth period: the first
/// moment not before `earliest` that is a whole number of periods after `edge`, or before it.
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
        let mut s = Sequence::between(4, 0, 12);
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
            let mut s = Sequence::between(block, 0, end);
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
