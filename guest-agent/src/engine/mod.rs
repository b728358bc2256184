//! The I/O engines. An engine runs one stretch of a workload and says what it saw; it knows
//! nothing of repetitions or counters.
//!
//! A kernel interface is a [`Queue`]; [`runner::Runner`] is the loop around one, with a file, a pattern
//! and buffers; [`team::Team`] is several of them in threads. [`set_up`] puts them together.

mod io_uring;
mod libaio;
mod paced;
mod psync;
mod runner;
mod team;

use crate::{
    content,
    fail::Result,
    file::PreparedFile,
    latency::Latency,
    pattern::{Drawn, Sequential},
    schedule::Sequence,
};
use diorama_wire::{Bound, Clock, Engine as Kind, Layout, Rw, Workload};
use paced::Paced;
use runner::Runner;
use std::{num::NonZeroU64, ops::Range, sync::Arc};

/// Two reapings further apart than this, in nanoseconds, have a stall of the device between them.
pub const STALL_NS: u64 = 1_000_000;

/// What an engine saw of one stretch; times are [`crate::clock::now`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Before the first submission.
    pub start: u64,
    /// Length of the window, ns: the bound itself, or until the last reaping.
    pub window_ns: u64,
    /// I/Os reaped in the window.
    pub window_ios: u64,
    /// How many of those were reads.
    pub window_reads: u64,
    /// The last reaping.
    pub end: u64,
    /// I/Os reaped in the span: all that were submitted.
    pub ios: u64,
    /// How many of those were reads.
    pub reads: u64,
    /// Calls of fdatasync(2).
    pub fsyncs: u64,
    /// From each reaping's clock read to the clock read of the submission that follows it, summed,
    /// ns: handling the completion and making the next I/O, with the cost of one clock read. Not in
    /// it: the few instructions between a clock read and its neighbouring system call, the first
    /// filling of the queue and its draining.
    pub user_ns: u64,
    /// Stalls of the device.
    pub stalls: u32,
    /// The reaping that ended the last of them, if there was one.
    pub stall_end: Option<u64>,
}

impl Span {
    /// The same with a window that reaches to the last reaping, and so holds every I/O of the span.
    pub fn whole(self) -> Span {
        Span {
            window_ns: self.end - self.start,
            window_ios: self.ios,
            window_reads: self.reads,
            ..self
        }
    }
}

/// An engine, set up for a workload and its files.
pub trait Engine {
    /// What the kernel offers it and what of that it uses ([`diorama_wire::EngineFacts`]).
    fn features(&self) -> Vec<String>;

    /// Lays the files out anew if the workload's layout is used up by a stretch. No I/O is counted.
    ///
    /// # Errors
    /// A failed system call.
    fn rewind(&mut self) -> Result<()>;

    /// Runs one stretch: opens with an empty queue, keeps it full until the bound, drains it.
    ///
    /// # Errors
    /// A failed system call, a short or failed I/O, or a block that is not the one asked for.
    fn run(&mut self, bound: Bound, latency: &mut Latency) -> Result<Span>;

    /// I/Os reaped in each second of the stretch that was run last, all threads; nothing unless it was set
    /// up to count them.
    ///
    /// # Errors
    /// When a thread has ended.
    fn per_second(&mut self) -> Result<Vec<u64>>;

    /// Reads the files and checks every block against what was written last; returns their number.
    ///
    /// # Errors
    /// A failed read, or the first wrong block.
    fn verify(&mut self) -> Result<u64>;

    /// The generations of the last writes of the blocks in a span of a file that threads share, 0 where
    /// there was none: one list for each thread.
    ///
    /// # Errors
    /// When a thread has ended.
    fn written(&mut self, span: Range<u64>) -> Result<Vec<Vec<u64>>>;
}

impl Engine for Box<dyn Engine> {
    fn features(&self) -> Vec<String> {
        (**self).features()
    }
    fn rewind(&mut self) -> Result<()> {
        (**self).rewind()
    }
    fn run(&mut self, bound: Bound, latency: &mut Latency) -> Result<Span> {
        (**self).run(bound, latency)
    }
    fn per_second(&mut self) -> Result<Vec<u64>> {
        (**self).per_second()
    }
    fn verify(&mut self) -> Result<u64> {
        (**self).verify()
    }
    fn written(&mut self, span: Range<u64>) -> Result<Vec<Vec<u64>>> {
        (**self).written(span)
    }
}

/// A kernel interface for I/O, over one open file and the buffers of its slots.
trait Queue: Sized {
    /// Opens it. `buffers` are the addresses of one block for each slot.
    ///
    /// # Errors
    /// When the kernel has no such interface or refuses it.
    fn open(setup: &Setup<'_>) -> Result<Self>;

    /// See [`Engine::features`].
    fn features(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes a slot's next I/O; it is the `nth` of those not submitted yet. The slot is free, and
    /// both are in range.
    fn prepare(&mut self, nth: usize, slot: usize, write: bool, offset: u64);

    /// Submits the first `n` prepared I/Os.
    ///
    /// # Errors
    /// When the kernel takes fewer.
    fn submit(&mut self, n: usize) -> Result<(), Stop>;

    /// Waits for at least `min` completions and takes up to `max` of them; returns their number.
    ///
    /// # Errors
    /// A failed system call.
    fn reap(&mut self, min: usize, max: usize) -> Result<usize, Stop>;

    /// The slot and the result (bytes or a negative errno) of a completion taken last.
    fn completion(&self, nth: usize) -> (usize, i64);
}

/// What a queue is opened with.
struct Setup<'a> {
    workload: &'a Workload,
    file: &'a std::fs::File,
    /// Address of each slot's block.
    buffers: &'a [u64],
    /// The bound on the I/Os a second of all threads, for a queue that has one.
    throttle_iops: Option<NonZeroU64>,
}

/// Why a loop ended early; put into words outside of it.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// This system call took no I/O, or returned this negative errno.
    Submit(&'static str, i64),
    /// This system call returned no completion, or this negative errno.
    Reap(&'static str, i64),
    /// This slot's I/O moved this many bytes, or failed with this negative errno.
    Short(usize, i64),
    /// This slot's block carries this header.
    Content(usize, [u64; 2]),
    /// fdatasync(2) failed with this negative errno.
    Sync(i64),
}

/// What an engine does besides its workload.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// By the wall clock it counts I/Os second by second.
    pub clock: Clock,
    /// No more I/Os a second than these, of all threads together.
    pub throttle_iops: Option<NonZeroU64>,
}

/// Sets the workload's engine up over its files, one for each thread, or one descriptor for each.
///
/// # Errors
/// When the kernel lacks something or refuses it.
pub fn set_up(
    workload: &Workload,
    files: &[Arc<PreparedFile>],
    how: How,
) -> Result<Box<dyn Engine>> {
    match files {
        // No thread but this one: nothing is scheduled that was not before.
        [file] => runner(workload, Arc::clone(file), 0, how),
        files => Ok(Box::new(team::Team::new(workload, files, how)?)),
    }
}

/// One thread's engine, made in that thread.
fn runner(
    workload: &Workload,
    file: Arc<PreparedFile>,
    thread: u32,
    how: How,
) -> Result<Box<dyn Engine>> {
    match (how.clock, how.throttle_iops) {
        (_, Some(iops)) => throttled(workload, file, thread, iops),
        (Clock::Instructions, None) => counting::<false>(workload, file, thread),
        (Clock::Wall, None) => counting::<true>(workload, file, thread),
    }
}

fn throttled(
    workload: &Workload,
    file: Arc<PreparedFile>,
    thread: u32,
    iops: NonZeroU64,
) -> Result<Box<dyn Engine>> {
    let iops = Some(iops);
    match workload.engine {
        Kind::Libaio => over::<Paced<libaio::Libaio>, true>(workload, file, thread, iops),
        Kind::IoUring => over::<Paced<io_uring::Ring>, true>(workload, file, thread, iops),
        Kind::Psync => over::<Paced<psync::Psync>, true>(workload, file, thread, iops),
    }
}

fn counting<const PER_SECOND: bool>(
    workload: &Workload,
    file: Arc<PreparedFile>,
    thread: u32,
) -> Result<Box<dyn Engine>> {
    match workload.engine {
        Kind::Libaio => over::<libaio::Libaio, PER_SECOND>(workload, file, thread, None),
        Kind::IoUring => over::<io_uring::Ring, PER_SECOND>(workload, file, thread, None),
        Kind::Psync => over::<psync::Psync, PER_SECOND>(workload, file, thread, None),
    }
}

fn over<Q: Queue + 'static, const PER_SECOND: bool>(
    workload: &Workload,
    file: Arc<PreparedFile>,
    thread: u32,
    iops: Option<NonZeroU64>,
) -> Result<Box<dyn Engine>> {
    let start = file.start();
    let sequence = || match workload.shares_a_file() {
        true => sequence(workload, start).with_generation(content::first_generation(thread)),
        false => sequence(workload, start),
    };
    Ok(match workload.rw {
        Rw::Read => {
            let pattern = Sequential::<false>::new(sequence());
            Box::new(Runner::<Q, _, PER_SECOND>::new(
                workload, file, pattern, iops,
            )?)
        }
        Rw::Write => {
            let pattern = Sequential::<true>::new(sequence());
            Box::new(Runner::<Q, _, PER_SECOND>::new(
                workload, file, pattern, iops,
            )?)
        }
        Rw::Randread | Rw::Randwrite | Rw::Rw | Rw::Randrw => {
            let pattern = Drawn::new(workload, thread, start);
            Box::new(Runner::<Q, _, PER_SECOND>::new(
                workload, file, pattern, iops,
            )?)
        }
    })
}

/// The sequential blocks of a workload: those of the file, whose first byte is at offset `start`, or
/// those behind it.
fn sequence(workload: &Workload, start: u64) -> Sequence {
    let block = u64::from(workload.block_size);
    match (workload.layout, workload.bound) {
        (Layout::Extending | Layout::Append, Bound::Ios(ios)) => {
            let end = start + workload.file_size;
            Sequence::between(block, end, end + ios * block)
        }
        _ => Sequence::between(block, start, start + workload.file_size),
    }
}
