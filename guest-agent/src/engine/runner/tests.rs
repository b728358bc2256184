//! The loop over a queue in memory, which notes how it is used.

use super::*;
use crate::pattern::{Drawn, Sequential};
use crate::schedule::Sequence;
use diorama_wire::{Batch, Engine as Kind, Rw};
use std::collections::{BTreeMap, VecDeque};

/// What the loop asked of its queue.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Submit(usize),
    Reap { min: usize, max: usize },
}

/// Completes in the submission; a block of the device is its header.
struct Memory {
    buffers: Vec<u64>,
    block: i64,
    prepared: Vec<(usize, bool, u64)>,
    done: VecDeque<usize>,
    taken: Vec<usize>,
    device: BTreeMap<u64, [u64; 2]>,
    asked: Vec<Asked>,
    deepest: usize,
}

impl Queue for Memory {
    fn open(setup: &Setup<'_>) -> Result<Memory> {
        Ok(Memory {
            buffers: setup.buffers.to_vec(),
            block: i64::from(setup.workload.block_size),
            prepared: Vec::new(),
            done: VecDeque::new(),
            taken: Vec::new(),
            device: BTreeMap::new(),
            asked: Vec::new(),
            deepest: 0,
        })
    }

    fn prepare(&mut self, nth: usize, slot: usize, write: bool, offset: u64) {
        assert_eq!(nth, self.prepared.len());
        assert!(!self.done.contains(&slot), "slot {slot} is in flight");
        self.prepared.push((slot, write, offset));
    }

    fn submit(&mut self, n: usize) -> Result<(), Stop> {
        assert_eq!(n, self.prepared.len());
        for (slot, write, offset) in self.prepared.drain(..) {
            let header = self.buffers[slot] as *mut [u64; 2];
            // SAFETY: the slot's block, of at least 16 bytes and free.
            let header = unsafe { &mut *header };
            if write {
                self.device.insert(offset, *header);
            } else {
                *header = *self.device.entry(offset).or_insert([offset, 0]);
            }
            self.done.push_back(slot);
        }
        self.deepest = self.deepest.max(self.done.len());
        self.asked.push(Asked::Submit(n));
        Ok(())
    }

    fn reap(&mut self, min: usize, max: usize) -> Result<usize, Stop> {
        assert!(min <= self.done.len(), "would wait for ever");
        let n = max.min(self.done.len());
        self.taken = self.done.drain(..n).collect();
        self.asked.push(Asked::Reap { min, max });
        Ok(n)
    }

    fn completion(&self, nth: usize) -> (usize, i64) {
        (self.taken[nth], self.block)
    }
}

fn workload(rw: Rw, depth: u32, ios: u64) -> Workload {
    Workload::new(Kind::Libaio, rw, 512, depth, 16 * 512, Bound::Ios(ios))
}

fn runner<P: Pattern>(workload: &Workload, pattern: P) -> Runner<Memory, P, true> {
    counting(workload, pattern)
}

fn counting<P: Pattern, const PER_SECOND: bool>(
    workload: &Workload,
    pattern: P,
) -> Runner<Memory, P, PER_SECOND> {
    let file = tempfile::tempfile().unwrap();
    let file = Arc::new(PreparedFile::as_it_is(file, workload));
    Runner::new(workload, file, pattern, None).unwrap()
}

fn writes() -> Sequential<true> {
    Sequential::new(Sequence::between(512, 0, 16 * 512))
}

fn run<P: Pattern>(runner: &mut Runner<Memory, P, true>) -> Result<Span> {
    let bound = runner.workload.bound;
    runner.run(bound, &mut Latency::new())
}

#[test]
fn one_at_a_time_by_default_and_never_more_than_iodepth() {
    let mut runner = runner(&workload(Rw::Write, 4, 10), writes());
    let span = run(&mut runner).unwrap();
    assert_eq!((span.ios, span.reads, span.window_ios), (10, 0, 10));
    assert_eq!(runner.queue.deepest, 4);
    let fill = (0..4).map(|_| Asked::Submit(1));
    let one = || Asked::Reap { min: 1, max: 1 };
    let turns = (0..6).flat_map(|_| [one(), Asked::Submit(1)]);
    let drain = (0..4).map(|_| one());
    assert_eq!(
        runner.queue.asked,
        fill.chain(turns).chain(drain).collect::<Vec<_>>()
    );
}

#[test]
fn seconds_are_counted_by_the_wall_clock_alone() {
    let workload = workload(Rw::Write, 4, 10);
    let mut by_the_wall = runner(&workload, writes());
    run(&mut by_the_wall).unwrap();
    // The queue in memory takes no second for this.
    assert_eq!(by_the_wall.per_second().unwrap(), [10]);
    run(&mut by_the_wall).unwrap();
    assert_eq!(by_the_wall.per_second().unwrap(), [10], "of one stretch");
    let mut exact: Runner<Memory, _, false> = counting(&workload, writes());
    exact.run(workload.bound, &mut Latency::new()).unwrap();
    assert_eq!(exact.per_second().unwrap(), [0; 0]);
}

#[test]
fn batches_are_submitted_whole_and_what_is_left_before_the_wait() {
    let mut workload = workload(Rw::Write, 5, 13);
    workload.batch = Batch {
        submit: 2,
        complete_min: 2,
        complete_max: 3,
    };
    let mut runner = runner(&workload, writes());
    assert_eq!(run(&mut runner).unwrap().ios, 13);
    assert_eq!(runner.queue.deepest, 5);
    let reap = |min| Asked::Reap { min, max: 3 };
    let submit = Asked::Submit;
    let filled = [submit(2), submit(2), submit(1), reap(2)];
    assert_eq!(runner.queue.asked[..4], filled);
    assert_eq!(runner.queue.asked[4..7], [submit(2), submit(1), reap(2)]);
    // No more than are in flight are waited for: four, then the last one.
    let end = runner.queue.asked.len();
    assert_eq!(runner.queue.asked[end - 3..], [submit(2), reap(2), reap(1)]);
}

#[test]
fn fdatasync_follows_every_so_many_writes() {
    let mut workload = workload(Rw::Write, 4, 10);
    workload.fdatasync = 3;
    assert_eq!(run(&mut runner(&workload, writes())).unwrap().fsyncs, 3);
}

#[test]
fn every_read_of_a_random_mix_is_checked_and_counted() {
    let workload = workload(Rw::Randrw, 8, 1000);
    let mut good = runner(&workload, Drawn::new(&workload, 0, 0));
    let span = run(&mut good).unwrap();
    assert!((400..600).contains(&span.reads), "{}", span.reads);

    // A device whose blocks are not those last written.
    for header in good.queue.device.values_mut() {
        header[1] += 1;
    }
    let stale = run(&mut good).unwrap_err().to_string();
    assert!(stale.contains("must carry offset"), "{stale}");
}

/// A block that another thread has as well may carry that thread's writes, and nothing else.
#[test]
fn a_read_of_a_shared_block_finds_its_own_write_or_anothers() {
    let own = workload(Rw::Randrw, 8, 1000);
    let shared = Workload {
        filename: "shared".into(),
        numjobs: 2,
        ..own.clone()
    };
    let anothers = content::first_generation(1) + 5;
    let found = |workload: &Workload, generation: u64| {
        let mut runner = runner(workload, Drawn::new(workload, 0, 0));
        for block in 0..16 {
            runner
                .queue
                .device
                .insert(block * 512, [block * 512, generation]);
        }
        run(&mut runner).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(found(&shared, anothers), Ok(()));
    assert!(
        found(&own, anothers)
            .unwrap_err()
            .contains("must carry offset")
    );
    // Neither a thread that there is not, nor a write of its own that it did not make.
    for wrong in [content::first_generation(2), 77] {
        let said = found(&shared, wrong).unwrap_err();
        assert!(said.contains("must carry offset"), "{wrong}: {said}");
    }
    let disjoint = Workload {
        offset_increment: shared.file_size,
        ..shared
    };
    assert!(found(&disjoint, anothers).is_err());
}

#[test]
fn every_block_begins_on_a_page_of_its_own_whatever_its_length() {
    for block in [512, 1536, 4096, 12 << 10, (1 << 20) + 512] {
        let workload = Workload {
            block_size: block,
            file_size: 8 * u64::from(block),
            ..workload(Rw::Write, 4, 10)
        };
        let runner = runner(&workload, writes());
        let places = &runner.queue.buffers;
        assert!(places.iter().all(|p| p.is_multiple_of(4096)), "{block}");
        let far = |pair: &[u64]| pair[1] - pair[0] >= u64::from(block);
        assert!(places.windows(2).all(far), "{block}");
    }
}
