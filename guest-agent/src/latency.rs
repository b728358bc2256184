//! A latency histogram that costs a handful of instructions an I/O.
//!
//! The borders are those of an HDR histogram of two significant digits (hdrhistogram's
//! `new_with_bounds(1, MAX_NS, 2)`): 256 buckets of 1 ns, then 128 buckets for each doubling. The
//! arithmetic is a shift and an add, and there is nothing to resize.

use diorama_wire::LatencyBucket;

/// The longest latency that is told apart, in nanoseconds; longer ones count as this one.
pub const MAX_NS: u64 = 60_000_000_000;

/// Bits of a latency that its bucket keeps: 2 significant digits need 2 * 10^2 steps.
const KEPT_BITS: u32 = 8;

/// Buckets for each doubling above the first 2^[`KEPT_BITS`].
const HALF: usize = 1 << (KEPT_BITS - 1);

/// Number of buckets.
const BUCKETS: usize = index(MAX_NS) + 1;

/// The bucket of a latency of at most [`MAX_NS`].
#[inline(always)]
const fn index(ns: u64) -> usize {
    // Binary digits beyond those that are kept.
    let shift = (ns | ((1 << KEPT_BITS) - 1)).ilog2() - (KEPT_BITS - 1);
    shift as usize * HALF + (ns >> shift) as usize
}

/// The highest latency that a bucket holds.
fn up_to(index: usize) -> u64 {
    let shift = (index / HALF).saturating_sub(1);
    let lowest = ((index - shift * HALF) as u64) << shift;
    lowest + ((1 << shift) - 1)
}

/// Counts of latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    counts: Box<[u32; BUCKETS]>,
}

impl Latency {
    /// An empty histogram, its memory touched.
    pub fn new() -> Latency {
        let mut latency = Latency {
            counts: Box::new([0; BUCKETS]),
        };
        // Zeroed memory of the allocator may be pages that are not there yet.
        latency.reset();
        latency
    }

    /// Counts one latency, in nanoseconds.
    #[inline(always)]
    pub fn record(&mut self, ns: u64) {
        let ns = ns.min(MAX_NS);
        // SAFETY: `index` is monotonic, and the array reaches to that of MAX_NS.
        let count = unsafe { self.counts.get_unchecked_mut(index(ns)) };
        *count = count.wrapping_add(1);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        for count in self.counts.iter_mut() {
            // SAFETY: a valid reference. Volatile, so that it is really written.
            unsafe { std::ptr::write_volatile(count, 0) };
        }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Latency) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count += more;
        }
    }

    /// The buckets that hold something.
    pub fn buckets(&self) -> Vec<LatencyBucket> {
        (0..)
            .zip(self.counts.iter())
            .filter(|(_, count)| **count > 0)
            .map(|(i, count)| LatencyBucket {
                up_to_ns: up_to(i),
                count: u64::from(*count),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    #[test]
    fn the_buckets_are_those_of_an_hdr_histogram_of_two_digits() {
        let mut hdr = Histogram::<u32>::new_with_bounds(1, MAX_NS, 2).unwrap();
        let mut ours = Latency::new();
        // Every border of the first doublings, then a spread over all of them.
        let spread = (0..600).map(|i| (1.05f64.powi(i) as u64).min(MAX_NS));
        for ns in (1..3000).chain(spread).chain([MAX_NS - 1, MAX_NS]) {
            hdr.record(ns).unwrap();
            ours.record(ns);
        }
        let expected: Vec<LatencyBucket> = hdr
            .iter_recorded()
            .map(|v| LatencyBucket {
                up_to_ns: v.value_iterated_to(),
                count: v.count_since_last_iteration(),
            })
            .collect();
        assert_eq!(ours.buckets(), expected);
    }

    #[test]
    fn a_latency_beyond_the_longest_counts_as_the_longest() {
        let (mut a, mut b) = (Latency::new(), Latency::new());
        a.record(u64::MAX);
        b.record(MAX_NS);
        assert_eq!(a, b);
    }

    #[test]
    fn histograms_add_up_and_can_be_emptied() {
        let mut sum = Latency::new();
        let mut one = Latency::new();
        one.record(5000);
        sum.add(&one);
        sum.add(&one);
        assert_eq!(sum.buckets()[0].count, 2);
        sum.reset();
        assert_eq!(sum.buckets(), []);
    }
}
