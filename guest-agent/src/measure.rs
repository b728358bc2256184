//! Warm-up and repetitions.

use crate::{
    clock,
    counters::{Counters, Edge, Fast, Slow, runs_between},
    debugcon,
    engine::{Engine, Span},
    fail::{Fail, Result},
    latency::Latency,
    schedule,
};
use diorama_wire::{BANDWIDTH_PERIOD_NS, Bound, Job, Layout, Phase, Repetition};

/// Time for the cheap counters' reading and for a sleep's lateness, ns; about three times what
/// they take.
const SLACK_NS: u64 = 300_000;

/// A device that is short of bandwidth runs dry in every period. One stall by itself is none of
/// that: the preparation, or whatever ran before, may have left the device dry.
const PERIODIC: u32 = 2;

/// So long a warm-up sees at least [`PERIODIC`] stalls, if there are any, ns.
const WATCH_NS: u64 = 4 * BANDWIDTH_PERIOD_NS;

/// About how long one stretch of a window lasts that no bandwidth bounds, ns.
const STRETCH_NS: u64 = 20_000_000;

/// Between two of them, ns of spinning: shifts them against the tick.
const STRETCH_GAP_NS: u64 = 277_000;

/// What is measured, and with what.
pub struct Bench<'a, E: Engine> {
    /// The job.
    pub job: &'a Job,
    /// The engine, set up.
    pub engine: E,
    /// The counters, open.
    pub counters: Counters,
    /// Online CPUs of the guest.
    pub cpus: u32,
}

/// The sums over a repetition's stretches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    window_ns: u64,
    window_ios: u64,
    span_ns: u64,
    span_ios: u64,
    user_ns: u64,
    window_reads: u64,
    fsyncs: u64,
}

impl Total {
    fn add(&mut self, span: &Span) {
        let span_ns = span.end - span.start;
        self.window_ns += span.window_ns;
        self.window_ios += span.window_ios;
        self.span_ns += span_ns;
        self.span_ios += span.ios;
        self.user_ns += span.user_ns;
        self.window_reads += span.window_reads;
        self.fsyncs += span.fsyncs;
    }
}

/// What the warm-up taught about the device.
struct Warm {
    /// A moment just after a refill of the device's bandwidth, if it ever ran dry.
    refill: Option<u64>,
    /// What one reading of the slow counters takes, ns.
    slow_ns: u64,
}

impl<E: Engine> Bench<'_, E> {
    /// Runs the warm-up and every repetition.
    ///
    /// # Errors
    /// The first stretch that fails or contradicts the device's own counters.
    pub fn run(&mut self) -> Result<Vec<Repetition>> {
        let mut latency = Latency::new();
        debugcon::enter(Phase::Warmup, "");
        let warm = self.warm_up(&mut latency)?;
        let count = self.job.measure.repetitions;
        (0..count)
            .map(|i| {
                debugcon::enter(Phase::Measure, format!("{}/{count}", i + 1));
                self.repetition(u64::from(i), &warm, &mut latency)
            })
            .collect()
    }

    fn warm_up(&mut self, latency: &mut Latency) -> Result<Warm> {
        // The second reading is like those to come: what it uses is in memory.
        self.counters.slow(Edge::Before)?;
        let start = clock::now();
        self.counters.slow(Edge::Before)?;
        let slow_ns = clock::now() - start;
        let workload = &self.job.workload;
        // A layout that a repetition uses up has room for just one repetition.
        let endless = workload.layout == Layout::Written;
        let bound = match self.job.measure.warmup_ios {
            n if n > 0 && endless => Bound::Ios(n),
            _ => workload.bound,
        };
        self.engine.rewind()?;
        let mut span = self.engine.run(bound, latency)?;
        let bounded = self.job.device.bandwidth_mib_s.is_some();
        let seen = span.end - span.start;
        if bounded && endless && span.stalls < PERIODIC && seen < WATCH_NS {
            let more = Bound::Runtime(WATCH_NS);
            span = self.engine.run(more, latency)?;
        }
        // Threads that share a CPU, and polling, have gaps too, but not the whole bandwidth.
        let bytes = span.ios * u64::from(workload.block_size);
        let full = takes_all(
            bytes,
            span.end - span.start,
            self.job.device.bandwidth_mib_s,
        );
        // The stall ended with the first completion after the refill, a device latency later.
        let refill = span
            .stall_end
            .filter(|_| full && span.stalls >= PERIODIC)
            .map(|t| t - self.job.device.latency_ns);
        Ok(Warm { refill, slow_ns })
    }

    fn repetition(&mut self, index: u64, warm: &Warm, latency: &mut Latency) -> Result<Repetition> {
        latency.reset();
        self.engine.rewind()?;
        let delay = index * self.job.measure.phase_step_ns;
        clock::spin_until(clock::now() + delay);
        if let Some(edge) = warm.refill {
            // Idle time is cheaper than spinning, so most of the wait is slept.
            let ahead = warm.slow_ns + 2 * SLACK_NS;
            clock::sleep_until(schedule::aligned_start(clock::now() + ahead, edge) - ahead);
        }
        let slow = self.counters.slow(Edge::Before)?;
        let open = warm
            .refill
            .map(|edge| schedule::aligned_start(clock::now() + SLACK_NS, edge));
        if let Some(open) = open {
            clock::spin_until(open - SLACK_NS);
        }
        let fast = self.counters.fast()?;
        if let Some(open) = open {
            clock::spin_until(open);
        }
        let total = self.stretches(warm, latency)?;
        let after = (self.counters.fast()?, self.counters.slow(Edge::After)?);
        self.summary(delay, &total, latency, &(fast, slow), &after)
    }

    /// A window that the device's bandwidth bounds is one stretch, of whole refills.
    ///
    /// Any other is made of several, each from an empty queue to the last reaping, and its rate is
    /// that of all their I/Os over all their time: nothing is lost at a window's edges, where up to
    /// a queue of I/Os would be paid for and not counted.
    fn stretches(&mut self, warm: &Warm, latency: &mut Latency) -> Result<Total> {
        let mut total = Total::default();
        let bound = self.job.workload.bound;
        let (Bound::Runtime(runtime), None) = (bound, warm.refill) else {
            total.add(&self.engine.run(bound, latency)?);
            return Ok(total);
        };
        let count = (runtime / STRETCH_NS).max(1);
        for i in 0..count {
            if i > 0 {
                clock::spin_until(clock::now() + STRETCH_GAP_NS);
            }
            let bound = Bound::Runtime(runtime / count);
            let span = self.engine.run(bound, latency)?;
            total.add(&span.whole());
        }
        Ok(total)
    }

    fn summary(
        &self,
        phase_delay_ns: u64,
        total: &Total,
        latency: &Latency,
        (before, before_slow): &(Fast, Slow),
        (after, after_slow): &(Fast, Slow),
    ) -> Result<Repetition> {
        let workload = &self.job.workload;
        let block = u64::from(workload.block_size);
        let device = after
            .disk
            .of(workload.rw)
            .since(before.disk.of(workload.rw));
        // The file system's own I/O may add to it, and requests may be merged; but whatever the
        // engine moved must have passed the device.
        if device.sectors * 512 < total.span_ios * block
            || device.ios + device.merges < total.span_ios
        {
            return Err(Fail::wrong(format!(
                "{} I/Os of {block} bytes were reaped, but the device completed {} requests \
                 ({} merged) of {} sectors",
                total.span_ios, device.ios, device.merges, device.sectors
            )));
        }
        Ok(Repetition {
            phase_delay_ns,
            window_ns: total.window_ns,
            ios: total.window_ios,
            bytes: total.window_ios * block,
            reads: total.window_reads,
            writes: total.window_ios - total.window_reads,
            fsyncs: total.fsyncs,
            span_ns: total.span_ns,
            span_ios: total.span_ios,
            latency: latency.buckets(),
            context_switches: after.stat.context_switches - before.stat.context_switches,
            interrupts: after.stat.interrupts - before.stat.interrupts,
            // Between the readings and the stretches the agent is running, never idle. Not so with
            // threads, which are waited for, or with CPUs that it does not run on.
            busy_ns: before_slow
                .idle_ns
                .filter(|_| self.cpus == 1 && workload.numjobs == 1)
                .zip(after_slow.idle_ns)
                .map(|(before, after)| total.span_ns.saturating_sub(after.saturating_sub(before))),
            user_ns: total.user_ns,
            kworker_runs: before_slow
                .kworkers
                .as_ref()
                .zip(after_slow.kworkers.as_ref())
                .map(|(before, after)| runs_between(before, after)),
            device_ios: device.ios,
            device_sectors: device.sectors,
        })
    }
}

/// Whether moving this many bytes in this many ns takes about all of a bandwidth: two thirds of it
/// at least. Of a stretch of four periods the first may begin with the device dry and the last end
/// with its allowance unused.
fn takes_all(bytes: u64, ns: u64, bandwidth_mib_s: Option<u32>) -> bool {
    bandwidth_mib_s.is_some_and(|mib_s| {
        let granted = u128::from(mib_s) * (1 << 20) * u128::from(ns) / 1_000_000_000;
        u128::from(bytes) * 3 >= granted * 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_without_the_whole_bandwidth_are_no_bandwidth_bound() {
        let second = 1_000_000_000;
        assert!(takes_all(294 << 20, second, Some(440)));
        assert!(!takes_all(293 << 20, second, Some(440)));
        assert!(!takes_all(u64::MAX, second, None));
    }
}
