//! I/Os in each second of a stretch. Pure.

const SECOND_NS: u64 = 1_000_000_000;

/// Seconds that there is room for from the start: a longer stretch makes room while it runs.
const ROOM: usize = 4096;

/// Counts by second.
#[derive(Debug, Default)]
pub struct Seconds {
    start: u64,
    counts: Vec<u64>,
}

impl Seconds {
    /// Forgets everything; the first second begins at `start`.
    pub fn begin(&mut self, start: u64) {
        self.start = start;
        self.counts.clear();
        self.counts.reserve(ROOM);
    }

    /// Counts I/Os reaped at a moment.
    #[inline]
    pub fn count(&mut self, now: u64, ios: u64) {
        let second = (now.saturating_sub(self.start) / SECOND_NS) as usize;
        if second >= self.counts.len() {
            self.counts.resize(second + 1, 0);
        }
        self.counts[second] += ios;
    }

    /// What was counted, up to the last second in which there was anything.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// The whole seconds of a window: of the last one, which it ends within, nothing is left, and seconds at its
/// end in which nothing was reaped are there.
pub fn whole(mut counts: Vec<u64>, window_ns: u64) -> Vec<u64> {
    counts.resize((window_ns / SECOND_NS) as usize, 0);
    counts
}

/// Adds another thread's counts.
pub fn add(sum: &mut Vec<u64>, more: &[u64]) {
    if sum.len() < more.len() {
        sum.resize(more.len(), 0);
    }
    for (count, more) in sum.iter_mut().zip(more) {
        *count += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_io_counts_in_the_second_it_is_reaped_in_and_broken_seconds_do_not() {
        let mut seconds = Seconds::default();
        seconds.begin(500);
        for (at, ios) in [
            (0, 3),
            (999_999_999, 1),
            (1_000_000_000, 5),
            (3_200_000_000, 2),
        ] {
            seconds.count(500 + at, ios);
        }
        assert_eq!(seconds.counts(), [4, 5, 0, 2]);
        assert_eq!(whole(seconds.counts().to_vec(), 3_200_000_000), [4, 5, 0]);
        assert_eq!(whole(vec![7], 2_000_000_000), [7, 0], "a stall at the end");
        assert_eq!(whole(vec![7], 999_999_999), [0; 0]);
        seconds.begin(0);
        assert_eq!(seconds.counts(), [0; 0]);
    }

    #[test]
    fn threads_add_up_second_by_second() {
        let mut sum = vec![1, 2];
        add(&mut sum, &[10, 20, 30]);
        add(&mut sum, &[100]);
        assert_eq!(sum, [111, 22, 30]);
    }
}
