//! Many tests at once: p-values adjusted for how many there are.
//!
//! An adjusted p-value is compared with the level that the whole family is to have. A value that is
//! no probability (NaN, say) counts as 1: it was tested, and it is evidence of nothing.

/// Holm's step-down procedure ("A simple sequentially rejective multiple test procedure", 1979),
/// as adjusted p-values: the largest (m - j + 1) p(j) of this p-value and all smaller ones, where p(j)
/// is the j-th smallest of m. Rejecting those up to a level errs even once with at most that
/// probability, however the tests depend on each other.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, at) in ascending(p).into_iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * probability(p[at]));
        adjusted[at] = largest.min(1.0);
    }
    adjusted
}

/// The step-up procedure of Benjamini and Hochberg ("Controlling the false discovery rate", 1995), as
/// adjusted p-values: the smallest m p(j) / j of this p-value and all larger ones.
/// Of those rejected up to a level, at most that share is false on average, for tests that are
/// independent or depend positively on each other (Benjamini and Yekutieli, 2001).
#[must_use]
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p.len()];
    let mut smallest = 1.0_f64;
    for (rank, at) in ascending(p).into_iter().enumerate().rev() {
        smallest = smallest.min(p.len() as f64 * probability(p[at]) / (rank + 1) as f64);
        adjusted[at] = smallest;
    }
    adjusted
}

/// Indices from the smallest p-value to the largest.
fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| probability(p[*a]).total_cmp(&probability(p[*b])));
    order
}

fn probability(p: f64) -> f64 {
    if (0.0..=1.0).contains(&p) { p } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table of Benjamini and Hochberg (1995), section 3.2: fifteen comparisons of two treatments of
    /// myocardial infarction.
    const THROMBOLYSIS: [f64; 15] = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
        0.5719, 0.6528, 0.7590, 1.0,
    ];

    fn rejected(adjusted: &[f64]) -> usize {
        adjusted.iter().filter(|p| **p <= 0.05).count()
    }

    fn close(found: &[f64], published: &[f64]) -> bool {
        found.len() == published.len()
            && found
                .iter()
                .zip(published)
                .all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn the_example_of_benjamini_and_hochberg_rejects_four_and_by_holm_three() {
        assert_eq!(rejected(&benjamini_hochberg(&THROMBOLYSIS)), 4);
        assert_eq!(rejected(&holm(&THROMBOLYSIS)), 3);
        // The fourth is rejected since 0.0095 <= 4/15 of 0.05.
        assert!((benjamini_hochberg(&THROMBOLYSIS)[3] - 0.0095 * 15.0 / 4.0).abs() < 1e-15);
    }

    #[test]
    fn published_adjusted_values_are_found_in_the_order_of_the_input() {
        // Documentation of Pingouin's `multicomp` (Vallat, 2018).
        let p = [0.50, 0.003, 0.32, 0.054, 0.0003];
        assert!(close(&holm(&p), &[0.64, 0.012, 0.64, 0.162, 0.0015]));
        assert!(close(
            &benjamini_hochberg(&p),
            &[0.5, 0.0075, 0.4, 0.09, 0.0015]
        ));
        // Wikipedia, "Holm-Bonferroni method": the first and the last are rejected, and the third is
        // not although it is below 0.05.
        let p = [0.01, 0.04, 0.03, 0.005];
        assert!(close(&holm(&p), &[0.03, 0.06, 0.06, 0.02]));
    }

    #[test]
    fn what_is_no_probability_counts_as_a_test_without_evidence() {
        for adjust in [holm, benjamini_hochberg] {
            assert_eq!(adjust(&[]), Vec::<f64>::new());
            assert_eq!(adjust(&[f64::NAN, -1.0, 7.0]), [1.0, 1.0, 1.0]);
            assert!(close(&adjust(&[0.01, f64::NAN]), &[0.02, 1.0]));
            assert_eq!(adjust(&[0.0, 0.0]), [0.0, 0.0]);
            assert_eq!(adjust(&[0.2]), [0.2]);
        }
    }
}
