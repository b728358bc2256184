//! Which I/O comes next, and what every block then holds. Pure: for equal workloads the order is
//! the same with every kernel, engine, queue depth and batch.

use crate::{content, schedule::Sequence};
use diorama_wire::Workload;

/// One I/O to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Whether it writes.
    pub write: bool,
    /// The generation that a write gives the block, or that a read must find in it.
    pub generation: u64,
}

/// An endless order of I/Os over one file, or over one part of a device.
pub trait Pattern {
    /// Whether any of them reads.
    const READS: bool;
    /// Whether any of them writes.
    const WRITES: bool;

    /// The next one.
    fn next(&mut self) -> Step;

    /// The file was laid out anew: begin again, with generations of its own.
    fn restart(&mut self);

    /// The generation that the block at `offset` has after all I/Os so far, or that it was not
    /// written since the file was laid out.
    fn written(&self, offset: u64) -> Option<u64>;
}

/// Sequential, in one direction.
#[derive(Clone, Debug)]
pub struct Sequential<const WRITE: bool> {
    sequence: Sequence,
    /// Generations before this one belong to an earlier layout of the file.
    epoch: u64,
}

impl<const WRITE: bool> Sequential<WRITE> {
    /// Over the whole sequence.
    pub fn new(sequence: Sequence) -> Sequential<WRITE> {
        let epoch = sequence.generation();
        Sequential { sequence, epoch }
    }
}

impl<const WRITE: bool> Pattern for Sequential<WRITE> {
    const READS: bool = !WRITE;
    const WRITES: bool = WRITE;

    #[inline(always)]
    fn next(&mut self) -> Step {
        let (offset, generation) = self.sequence.next();
        Step {
            offset,
            write: WRITE,
            generation: if WRITE { generation } else { 0 },
        }
    }

    fn restart(&mut self) {
        self.sequence.restart();
        self.epoch = self.sequence.generation();
    }

    fn written(&self, offset: u64) -> Option<u64> {
        let generation = self.sequence.generation_of(offset);
        let ours = WRITE && self.sequence.holds(offset) && generation >= self.epoch;
        ours.then_some(generation)
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    #[inline(always)]
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// `draw`, evenly spread over 32 bits, scaled to `0..end` (Lemire's multiplication, unrejected:
/// its bias is below `end / 2^32`).
#[inline(always)]
fn scale(draw: u64, end: usize) -> usize {
    ((draw * end as u64) >> 32) as usize
}

/// Random offsets, or a mix of reads and writes, or both: one draw an I/O, its upper half for the
/// offset and its lower half for the direction. So offsets are the same whatever the mix is.
///
/// Random offsets hit every block once in each pass over the file, as fio's `norandommap=0` has it:
/// the order of a pass is a shuffle (Fisher, Yates) of the one before, done a step at a time as it
/// is used. The two halves of the order are shuffled within themselves, so that between two I/Os on
/// one block there are at least as many others as half the file has blocks. With a queue no deeper
/// than that, no two are in flight on one block, and what a read must find is certain.
///
/// In a sequential mix reads and writes share one position, for the same reason. (fio has one for
/// each direction, where a read may meet a write of the same block in flight.)
#[derive(Clone, Debug)]
pub struct Drawn {
    sequence: Sequence,
    /// The first block's offset, bytes.
    start: u64,
    block: u64,
    random: SplitMix64,
    /// The order of the blocks in this pass; empty if sequential.
    order: Vec<u32>,
    /// The next I/O's place in the pass.
    place: usize,
    /// Of 2^32 draws, how many are reads.
    reads: u64,
    /// The generation of each block.
    generations: Vec<u64>,
    epoch: u64,
}

impl Drawn {
    /// For thread `thread` of a workload over a file of `workload.file_size` bytes, which begin at
    /// offset `start`.
    pub fn new(workload: &Workload, thread: u32, start: u64) -> Drawn {
        let block = u64::from(workload.block_size);
        let blocks = usize::try_from(workload.file_size / block).unwrap_or(0);
        let percent = match workload.rw {
            rw if !rw.writes() => 100,
            rw if !rw.reads() => 0,
            _ => u64::from(workload.rwmixread),
        };
        // The seeds of threads are draws themselves: consecutive ones would be shifts of each other.
        let mut seeds = SplitMix64(workload.randseed);
        let seed = (0..=thread).fold(0, |_, _| seeds.next());
        let generation = match workload.shares_a_file() {
            true => content::first_generation(thread),
            false => 1,
        };
        let mut drawn = Drawn {
            sequence: Sequence::between(block, start, start + workload.file_size)
                .with_generation(generation),
            start,
            block,
            random: SplitMix64(seed),
            order: Vec::new(),
            place: 0,
            reads: (percent << 32) / 100,
            generations: vec![0; blocks],
            epoch: generation,
        };
        if workload.rw.is_random() {
            drawn.order = (0..blocks).map(|b| b as u32).collect();
            // Once as a whole, or the halves would be the file's own.
            for place in 0..blocks {
                let other = place + scale(drawn.random.next() >> 32, blocks - place);
                drawn.order.swap(place, other);
            }
        }
        drawn
    }
}

impl Pattern for Drawn {
    const READS: bool = true;
    const WRITES: bool = true;

    #[inline]
    fn next(&mut self) -> Step {
        let (mut offset, pass) = self.sequence.next();
        let draw = self.random.next();
        let blocks = self.generations.len();
        let mut block = self.place;
        if !self.order.is_empty() {
            let half = blocks / 2;
            let end = if self.place < half { half } else { blocks };
            let other = self.place + scale(draw >> 32, end - self.place);
            self.order.swap(self.place, other);
            block = self.order[self.place] as usize;
            offset = self.start + block as u64 * self.block;
        }
        self.place += 1;
        if self.place == blocks {
            self.place = 0;
        }
        let write = draw & 0xffff_ffff >= self.reads;
        if write {
            self.generations[block] = pass;
        }
        Step {
            offset,
            write,
            generation: self.generations[block],
        }
    }

    fn restart(&mut self) {
        self.sequence.restart();
        self.place = 0;
        self.epoch = self.sequence.generation();
    }

    fn written(&self, offset: u64) -> Option<u64> {
        let block = usize::try_from(offset.checked_sub(self.start)? / self.block).ok()?;
        let generation = *self.generations.get(block)?;
        (generation >= self.epoch).then_some(generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_wire::{Bound, Engine, Rw};

    fn workload(rw: Rw, blocks: u64) -> Workload {
        Workload::new(Engine::Libaio, rw, 512, 1, blocks * 512, Bound::Ios(1))
    }

    fn blocks(pattern: &mut impl Pattern, n: usize) -> Vec<u64> {
        (0..n).map(|_| pattern.next().offset / 512).collect()
    }

    #[test]
    fn random_offsets_hit_every_block_once_a_pass_in_another_order_each_time() {
        let mut drawn = Drawn::new(&workload(Rw::Randread, 101), 0, 0);
        let mut passes = Vec::new();
        for _ in 0..5 {
            let pass = blocks(&mut drawn, 101);
            let mut sorted = pass.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..101).collect::<Vec<_>>());
            assert!(!passes.contains(&pass));
            passes.push(pass);
        }
    }

    /// 64 MiB hold 5461 blocks of 12 KiB, and a third of one.
    #[test]
    fn blocks_of_any_length_are_hit_once_a_pass_and_none_reaches_beyond_the_file() {
        let (block, size) = (12 << 10, 5461 * (12 << 10));
        for rw in [Rw::Randwrite, Rw::Rw] {
            let w = Workload::new(Engine::Libaio, rw, block, 1, size, Bound::Ios(1));
            let mut drawn = Drawn::new(&w, 0, 0);
            let mut pass: Vec<u64> = (0..5461).map(|_| drawn.next().offset).collect();
            pass.sort_unstable();
            let all = (0..5461).map(|i| i * u64::from(block));
            assert!(pass.into_iter().eq(all), "{rw:?}");
        }
    }

    #[test]
    fn a_part_of_a_device_is_the_same_order_of_blocks_further_on() {
        let start = 7 * 512;
        for rw in [Rw::Randrw, Rw::Rw] {
            let w = workload(rw, 33);
            let (mut file, mut part) = (Drawn::new(&w, 0, 0), Drawn::new(&w, 0, start));
            for _ in 0..100 {
                let (in_file, in_part) = (file.next(), part.next());
                assert_eq!(in_part.offset, in_file.offset + start);
                assert_eq!(in_part.write, in_file.write);
            }
            for block in 0..33 {
                let offset = block * 512;
                assert_eq!(part.written(start + offset), file.written(offset), "{rw:?}");
            }
            assert_eq!(
                (part.written(0), part.written(start + 33 * 512)),
                (None, None)
            );
        }
    }

    #[test]
    fn a_block_does_not_come_back_before_half_the_file_was_hit() {
        for count in [1, 2, 3, 64, 101] {
            let mut drawn = Drawn::new(&workload(Rw::Randwrite, count), 0, 0);
            let order = blocks(&mut drawn, 20 * count as usize);
            let deepest = Rw::Randwrite.deepest(count) as usize;
            for window in order.windows(deepest) {
                let distinct: std::collections::BTreeSet<_> = window.iter().collect();
                assert_eq!(distinct.len(), window.len(), "{count}");
            }
        }
    }

    #[test]
    fn offsets_follow_from_the_seed_and_the_thread_and_from_nothing_else() {
        let first = |w: &Workload, thread| blocks(&mut Drawn::new(w, thread, 0), 50);
        let base = workload(Rw::Randread, 64);
        let mut other = workload(Rw::Randrw, 64);
        other.iodepth = 7;
        other.engine = Engine::Psync;
        assert_eq!(first(&base, 0), first(&other, 0));
        assert_ne!(first(&base, 0), first(&base, 1));
        other.randseed += 1;
        assert_ne!(first(&base, 0), first(&other, 0));
        // The generator is part of what a digit belongs to: it must not change unnoticed.
        insta::assert_snapshot!(format!("{:?}", &first(&base, 0)[..8]), @"[24, 26, 62, 51, 49, 33, 44, 13]");
    }

    #[test]
    fn a_mix_has_the_reads_that_were_asked_for_and_sequential_offsets_stay_so() {
        for percent in [0, 1, 30, 50, 100] {
            let mut w = workload(Rw::Rw, 128);
            w.rwmixread = percent;
            let mut drawn = Drawn::new(&w, 0, 0);
            let steps: Vec<Step> = (0..12_800).map(|_| drawn.next()).collect();
            let reads = steps.iter().filter(|s| !s.write).count() as f64 / 128.0;
            assert!(
                (reads - f64::from(percent)).abs() < 1.5,
                "{percent}: {reads}"
            );
            assert!(
                steps
                    .iter()
                    .zip(0..)
                    .all(|(s, i)| s.offset == i % 128 * 512)
            );
        }
    }

    #[test]
    fn a_read_of_a_mix_finds_the_last_write_before_it() {
        for rw in [Rw::Rw, Rw::Randrw] {
            let mut drawn = Drawn::new(&workload(rw, 33), 3, 0);
            let mut file = [0; 33];
            for _ in 0..1000 {
                let step = drawn.next();
                let block = &mut file[step.offset as usize / 512];
                if step.write {
                    *block = step.generation;
                }
                assert_eq!(*block, step.generation);
            }
            for (generation, block) in file.iter().zip(0..) {
                let written = (*generation > 0).then_some(*generation);
                assert_eq!(drawn.written(block * 512), written);
            }
        }
    }

    #[test]
    fn after_a_new_layout_only_what_was_written_since_counts() {
        let mut random = Drawn::new(&workload(Rw::Randwrite, 8), 0, 0);
        let mut sequential = Sequential::<true>::new(Sequence::between(512, 512, 9 * 512));
        for round in 1..4 {
            random.restart();
            sequential.restart();
            let hit = blocks(&mut random, 3);
            for block in 0..8 {
                let written = random.written(block * 512).is_some();
                assert_eq!(written, hit.contains(&block), "{round}");
            }
            assert_eq!(blocks(&mut sequential, 3), [1, 2, 3]);
            let written = (0..9).map(|b| sequential.written(b * 512).is_some());
            let expected = [false, true, true, true, false, false, false, false, false];
            assert_eq!(written.collect::<Vec<_>>(), expected);
        }
        // A whole pass, which wraps.
        sequential.restart();
        blocks(&mut sequential, 8);
        assert!((1..9).all(|b| sequential.written(b * 512).is_some()));
        // Neither before its blocks nor behind them.
        assert_eq!(
            (sequential.written(0), sequential.written(9 * 512)),
            (None, None)
        );
    }
}
