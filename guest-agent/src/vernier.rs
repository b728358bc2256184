//! Reading a coarse clock finely. Pure.
//!
//! Kernels from 7.1 on show their idle time only in ticks of 10 ms. But an idle guest's idle time
//! advances exactly as fast as it sleeps. So its place within a tick is found by bisection: sleep
//! just so long that the count moves on by one more if the place was past the middle.

/// Halvings of a tick: the place is known to one part in 128.
const HALVINGS: u32 = 7;

/// A counter's value, finely, in the unit of its ticks' length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When the search began.
    pub at_begin: u64,
    /// When it ended.
    pub at_end: u64,
}

/// Finds the value of a counter that shows whole ticks of length `tick`: `begin` now, and, after
/// sleeping for a given time, what `sleep` returns. Sleeps are two to three ticks long each,
/// because the kernel counts shorter ones by sampling. `None` when the counter stands still.
///
/// # Errors
/// Those of `sleep`.
pub fn find<E>(
    tick: u64,
    begin: u64,
    mut sleep: impl FnMut(u64) -> Result<u64, E>,
) -> Result<Option<Place>, E> {
    // The place within the tick is in `low..high`.
    let (mut low, mut high) = (0u64, tick);
    let mut slept = 0;
    let mut count = begin;
    for _ in 0..HALVINGS {
        let middle = low.midpoint(high);
        // The next total after which a place of `middle` stands at a whole tick.
        let mut total = tick - middle;
        while total < slept + 2 * tick {
            total += tick;
        }
        count = sleep(total - slept)?;
        slept = total;
        if count.saturating_sub(begin) >= (total + middle) / tick {
            low = middle;
        } else {
            high = middle;
        }
    }
    let at_begin = begin * tick + low.midpoint(high);
    Ok((count > begin).then_some(Place {
        at_begin,
        at_end: at_begin + slept,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const TICK: u64 = 10_000_000;

    fn search(mut truth: u64, lost_per_sleep: u64) -> Option<Place> {
        find::<Infallible>(TICK, truth / TICK, |ns| {
            truth += ns - lost_per_sleep;
            Ok(truth / TICK)
        })
        .unwrap()
    }

    #[test]
    fn every_place_is_found_to_a_hundredth_of_a_tick() {
        for truth in (5 * TICK..6 * TICK).step_by(12_345) {
            let place = search(truth, 0).unwrap();
            assert!(place.at_begin.abs_diff(truth) <= TICK / 128, "{truth}");
        }
    }

    #[test]
    fn sleeps_that_idle_a_little_less_do_little_harm() {
        for truth in (0..TICK).step_by(12_345) {
            let place = search(truth, 5_000).unwrap();
            assert!(place.at_begin.abs_diff(truth) <= TICK / 80, "{truth}");
        }
    }

    #[test]
    fn a_counter_that_stands_still_gives_nothing() {
        assert_eq!(find::<Infallible>(TICK, 9, |_| Ok(9)), Ok(None));
    }
}
