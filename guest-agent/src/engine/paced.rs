//! A queue that takes no more than so many I/Os a second: the slower arm of a positive control.
//!
//! Each submission is due at a time that follows from the number of I/Os before it, and waits for that
//! asleep. So a wait that ends late is made up for by the next ones, and the rate is that of the bound as
//! long as the drive keeps up. Not done by io.max of a control group: the block layer lets what it held
//! back go from a worker, at the guest's tick, and a CPU-bound guest need not reach the bound (in a trial
//! under TCG on a busy host, 29% of the free rate where 50% were allowed).

use super::{Queue, Setup, Stop};
use crate::{clock, fail::Result};

/// So late the submissions may be altogether before that is not made up for any more, ns: a guest whose
/// host was busy for a moment catches up, and a drive that was slower than the bound is not let off it
/// later.
const DEBT_NS: u64 = 200_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// Another queue with a bound.
pub struct Paced<Q> {
    queue: Q,
    schedule: Schedule,
}

/// When each I/O is due. Pure.
#[derive(Debug, PartialEq, Eq)]
struct Schedule {
    /// I/Os of `period_ns`.
    iops: u64,
    period_ns: u64,
    start: u64,
    /// I/Os since `start`.
    done: u64,
}

impl Schedule {
    /// `iops` I/Os a second of all `threads` together, each with a schedule of its own.
    fn new(iops: u64, threads: u32) -> Schedule {
        Schedule {
            iops,
            period_ns: SECOND_NS * u64::from(threads),
            start: 0,
            done: 0,
        }
    }

    /// When `n` more I/Os may go that are asked for now.
    fn due(&mut self, now: u64, n: u64) -> u64 {
        let after =
            u128::from(self.done) * u128::from(self.period_ns) / u128::from(self.iops.max(1));
        let mut due = self.start + u64::try_from(after).unwrap_or(u64::MAX / 2);
        if now > due + DEBT_NS {
            (self.start, self.done, due) = (now, 0, now);
        }
        self.done += n;
        due
    }
}

impl<Q: Queue> Queue for Paced<Q> {
    fn open(setup: &Setup<'_>) -> Result<Paced<Q>> {
        let iops = setup.throttle_iops.map_or(u64::MAX, Into::into);
        Ok(Paced {
            queue: Q::open(setup)?,
            schedule: Schedule::new(iops, setup.workload.numjobs),
        })
    }

    fn features(&self) -> Vec<String> {
        self.queue.features()
    }

    fn prepare(&mut self, nth: usize, slot: usize, write: bool, offset: u64) {
        self.queue.prepare(nth, slot, write, offset);
    }

    fn submit(&mut self, n: usize) -> Result<(), Stop> {
        let now = clock::now();
        let due = self.schedule.due(now, n as u64);
        if now < due {
            clock::sleep_until_exactly(due);
        }
        self.queue.submit(n)
    }

    fn reap(&mut self, min: usize, max: usize) -> Result<usize, Stop> {
        self.queue.reap(min, max)
    }

    fn completion(&self, nth: usize) -> (usize, i64) {
        self.queue.completion(nth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ios_are_due_one_period_after_another_and_lateness_is_made_up_for() {
        let mut schedule = Schedule::new(1000, 1);
        let start = 5 * SECOND_NS;
        assert_eq!(schedule.due(start, 1), start, "the first goes at once");
        assert_eq!(schedule.due(start, 2), start + 1_000_000);
        assert_eq!(
            schedule.due(start, 1),
            start + 3_000_000,
            "after two at once"
        );
        let late = start + 10_000_000;
        assert_eq!(schedule.due(late, 1), start + 4_000_000, "at once");
        // A drive that was slower than the bound for long is not let off it afterwards.
        let stalled = start + SECOND_NS;
        assert_eq!(schedule.due(stalled, 1), stalled);
        assert_eq!(schedule.due(stalled, 1), stalled + 1_000_000);
    }

    #[test]
    fn threads_share_the_bound() {
        let mut schedule = Schedule::new(3, 4);
        schedule.due(SECOND_NS, 1);
        assert_eq!(schedule.due(SECOND_NS, 1) - SECOND_NS, 4 * SECOND_NS / 3);
    }
}
