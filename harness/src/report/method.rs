//! How the figures came about, in five sentences per lane. METHODOLOGY.md has the rest.

use crate::record::Results;

const PATH_LENGTH: &str = "What is compared is path length: instructions, context switches, \
    interrupts and queued work per I/O, not caches, lock contention between CPUs or a drive's \
    firmware.";

/// The sentences.
pub(super) fn sentences(results: &Results) -> Vec<String> {
    let lane = results.scenario.lane();
    let repetitions = results.scenario.measure.repetitions;
    let wider = match results.scenario.needs_fio() {
        true => {
            " (or, for a rate by fio that the drive's bandwidth bounds, within one bandwidth period by the \
             window)"
        }
        false => "",
    };
    if !lane.is_exact() {
        return metal(results);
    }
    let common = [
        format!(
            "After an uncounted warm-up every cell is measured {repetitions} times, each \
             repetition starting at a different phase of the guest's timer tick, or at a refill of \
             the device's bandwidth where that limits the rate; the figure is the median, shown \
             with the smallest and largest value."
        ),
        "Rates count the I/Os reaped in a repetition's window; costs per I/O are counters of the \
         whole guest until the last of the window's I/Os was reaped."
            .to_owned(),
        format!(
            "A ratio compares medians on the same file system and workload, and is marked ~, no \
             difference, when the two ranges overlap or the medians are within 0.5%{wider}."
        ),
    ];
    let mut all = results.scenario.all();
    let (first, last) = if lane.is_exact() && all.any(|(_, scenario)| scenario.smp > 1) {
        (
            "The guest runs under QEMU's instruction counter (one instruction is one nanosecond) \
             with a memory-backed block device inside it; its vCPUs are scheduled round-robin on \
             one thread, and equal inputs give equal digits as long as the host leaves QEMU's threads alone.",
            PATH_LENGTH,
        )
    } else {
        (
            "The guest runs under QEMU's instruction counter (one instruction is one nanosecond) \
             with a memory-backed block device inside it, so that nothing outside can reach a \
             measurement and equal inputs give equal digits.",
            PATH_LENGTH,
        )
    };
    let mut all = vec![first.to_owned()];
    all.extend(common);
    all.push(last.to_owned());
    all
}

/// The same in the metal lane.
fn metal(results: &Results) -> Vec<String> {
    let repetitions = results.scenario.measure.repetitions;
    let each = match repetitions {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    };
    let mut sentences = vec![
        "The guest runs on the host's clock, so figures contain the noise of the host and of the \
         device."
            .to_owned(),
        format!(
            "Each boot formats anew, prepares the file, and after an uncounted warm-up measures {each}; its \
             figure is the median."
        ),
        "Rates count the I/Os reaped in a repetition's window; costs per I/O are counters of the whole \
         guest until the last of the window's I/Os was reaped."
            .to_owned(),
    ];
    let last = match &results.session {
        Some(_) => {
            "In each block every kernel is booted once and the baseline twice, in random order; a ratio is \
             the mean log-ratio over blocks with Student's 95% interval, and a verdict needs both \
             significance after correction for the number of cells and the minimum effect."
        }
        None => {
            "Ranges of repetitions within one boot do not bound that noise, so no verdict is drawn from \
             them here."
        }
    };
    sentences.push(last.to_owned());
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    #[test]
    fn what_holds_for_one_cpu_is_not_said_of_several() {
        let mut results = fixture::results();
        assert!(sentences(&results)[0].contains("nothing outside can reach"));
        results.scenario.smp = 2;
        let several = &sentences(&results)[0];
        assert!(!several.contains("nothing outside"), "{several}");
        assert!(several.contains("leaves QEMU's threads alone"), "{several}");
    }
}
