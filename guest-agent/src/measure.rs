//! Warm-up and repetitions.

use crate::{
    clock,
    counters::{Counters, Edge, Reading},
    debugcon,
    engine::{Engine, Span},
    fail::{Fail, Result},
    latency::Latency,
    mark, schedule, seconds,
};
use diorama_wire::{BANDWIDTH_PERIOD_NS, Bound, Clock, Job, Layout, Phase, Repetition};

/// Time for the cheap counters' reading and for a sleep's lateness, ns; about three times what
/// they take.
const SLACK_NS: u64 = 300_000;

/// A device that is short of bandwidth runs dry in every period. One stall by itself is none of
/// that: the preparation, or whatever ran before, may have left the device dry.
const PERIODIC: u32 = 2;

/// So long a warm-up sees at least [`PERIODIC`] stalls, if there are any, ns.
const WATCH_NS: u64 = 4 * BANDWIDTH_PERIOD_NS;

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
    /// What the guest's time is.
    pub clock: Clock,
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
        mark::count();
        mark::profile();
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
        let measure = &self.job.measure;
        let bound = match (measure.ramp_time_ns, measure.warmup_ios) {
            (ns, _) if ns > 0 && endless => Bound::Runtime(ns),
            (_, n) if n > 0 && endless => Bound::Ios(n),
            _ => workload.bound,
        };
        self.engine.rewind()?;
        let mut span = self.engine.run(bound, latency)?;
        // What a drive of the host's does to a window is its own affair: only the model's is known.
        let model = self.job.device.model();
        let bandwidth = model.and_then(|model| model.bandwidth_mib_s);
        let latency_ns = model.map_or(0, |model| model.latency_ns);
        let seen = span.end - span.start;
        if bandwidth.is_some() && endless && span.stalls < PERIODIC && seen < WATCH_NS {
            let more = Bound::Runtime(WATCH_NS);
            span = self.engine.run(more, latency)?;
        }
        // Threads that share a CPU, and polling, have gaps too, but not the whole bandwidth.
        let bytes = span.ios * u64::from(workload.block_size);
        let full = takes_all(bytes, span.end - span.start, bandwidth);
        // The stall ended with the first completion after the refill, a device latency later.
        let refill = span
            .stall_end
            .filter(|_| full && span.stalls >= PERIODIC)
            .map(|t| t - latency_ns);
        Ok(Warm { refill, slow_ns })
    }

    fn repetition(&mut self, index: u64, warm: &Warm, latency: &mut Latency) -> Result<Repetition> {
        latency.reset();
        self.engine.rewind()?;
        // A window that the bandwidth bounds opens at a refill, any other at a phase of its own.
        let phase_ns = match warm.refill {
            Some(_) => 0,
            None => index * self.job.measure.phase_step_ns % BANDWIDTH_PERIOD_NS,
        };
        let edge = warm.refill.unwrap_or(phase_ns);
        // Idle time is cheaper than spinning, so most of the wait is slept.
        let ahead = warm.slow_ns + 2 * SLACK_NS;
        clock::sleep_until(schedule::aligned_start(clock::now() + ahead, edge) - ahead);
        let slow = self.counters.slow(Edge::Before)?;
        let open = schedule::aligned_start(clock::now() + SLACK_NS, edge);
        clock::spin_until(open - SLACK_NS);
        let fast = self.counters.fast()?;
        clock::spin_until(open);
        let span = self.window(warm, latency)?;
        let after = Reading {
            fast: self.counters.fast()?,
            slow: self.counters.slow(Edge::After)?,
        };
        let summary = self.summary(phase_ns, &span, latency, &Reading { fast, slow }, &after)?;
        Ok(match self.clock {
            Clock::Instructions => summary,
            Clock::Wall => Repetition {
                per_second: seconds::whole(self.engine.per_second()?, span.window_ns),
                ..summary
            },
        })
    }

    /// A window that the device's bandwidth bounds lasts whole refills.
    ///
    /// Any other reaches from an empty queue to the last reaping: nothing is lost at its edges,
    /// where up to a queue of I/Os would be paid for and not counted.
    fn window(&mut self, warm: &Warm, latency: &mut Latency) -> Result<Span> {
        let bound = match (self.job.workload.bound, warm.refill) {
            (Bound::Runtime(ns), Some(_)) => {
                Bound::Runtime(ns.next_multiple_of(BANDWIDTH_PERIOD_NS))
            }
            (bound, _) => bound,
        };
        mark::open();
        let span = self.engine.run(bound, latency);
        mark::close();
        let span = span?;
        Ok(match warm.refill {
            Some(_) => span,
            None => span.whole(),
        })
    }

    fn summary(
        &self,
        phase_ns: u64,
        span: &Span,
        latency: &Latency,
        before: &Reading,
        after: &Reading,
    ) -> Result<Repetition> {
        let workload = &self.job.workload;
        let block = u64::from(workload.block_size);
        let span_ns = span.end - span.start;
        let spent = before.until(after);
        let device = after
            .fast
            .disk
            .of(workload.rw)
            .since(before.fast.disk.of(workload.rw));
        // To a mirror each write is two.
        let requests = span.reads + (span.ios - span.reads) * self.job.device.copies();
        if !device.covers(requests, requests * block) {
            return Err(Fail::wrong(format!(
                "{} I/Os of {block} bytes were reaped, but the device completed {} requests \
                 ({} merged) of {} sectors",
                span.ios, device.ios, device.merges, device.sectors
            )));
        }
        Ok(Repetition {
            phase_ns,
            window_ns: span.window_ns,
            ios: span.window_ios,
            bytes: span.window_ios * block,
            reads: span.window_reads,
            writes: span.window_ios - span.window_reads,
            fsyncs: span.fsyncs,
            span_ns,
            span_ios: span.ios,
            latency: latency.buckets(),
            context_switches: spent.context_switches,
            interrupts: spent.interrupts,
            // Between the readings and the window the agent is running, never idle. Not so with
            // threads, which are waited for, or with CPUs that it does not run on.
            busy_ns: spent
                .idle_ns
                .filter(|_| self.cpus == 1 && workload.numjobs == 1)
                .map(|idle| span_ns.saturating_sub(idle)),
            user_ns: span.user_ns,
            kworker_runs: spent.kworker_runs,
            device_ios: device.ios,
            device_sectors: device.sectors,
            device_flushes: after.fast.flushes_since(&before.fast),
            per_second: Vec::new(),
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
