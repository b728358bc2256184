//! The I/O engines. An engine runs one stretch of a workload and says what it saw; it knows
//! nothing of repetitions, counters or file systems.

pub mod libaio;

use crate::{fail::Result, schedule::Sequence};
use diorama_wire::Bound;
use hdrhistogram::Histogram;

/// Two reapings further apart than this, in nanoseconds, have a stall of the device between them.
pub const STALL_NS: u64 = 1_000_000;

/// Latencies from 1 ns to [`LATENCY_MAX_NS`], two significant digits, never resized.
pub type Latency = Histogram<u32>;

/// The longest latency that is told apart, in nanoseconds; longer ones count as this one.
pub const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// What an engine saw of one stretch; times are [`crate::clock::now`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Before the first submission.
    pub start: u64,
    /// Length of the window, ns: the bound itself, or until the last reaping.
    pub window_ns: u64,
    /// I/Os reaped in the window.
    pub window_ios: u64,
    /// The last reaping.
    pub end: u64,
    /// I/Os reaped in the span: all that were submitted.
    pub ios: u64,
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
            ..self
        }
    }
}

/// An engine, set up for one file and workload.
pub trait Engine {
    /// Runs one stretch: opens with an empty queue, keeps it full until the bound, drains it.
    ///
    /// # Errors
    /// A failed system call, a short or failed I/O, or a block that is not the one asked for.
    fn run(&mut self, bound: Bound, sequence: &mut Sequence, latency: &mut Latency)
    -> Result<Span>;
}
