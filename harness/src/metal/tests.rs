//! Published examples, the rules of a verdict, and figures that make no sense.

use super::{
    estimate::{Mean, quantile},
    *,
};
use crate::vocabulary::Better;

/// Hours of additional sleep of ten patients by two drugs: Student, "The probable error of a mean"
/// (1908), the first example there ever was; R's data set `sleep`.
const SLEEP: [(f64, f64); 10] = [
    (0.7, 1.9),
    (-1.6, 0.8),
    (-0.2, 1.1),
    (-1.2, 0.1),
    (-0.1, -0.1),
    (3.4, 4.4),
    (3.7, 5.5),
    (0.8, 1.6),
    (0.0, 4.6),
    (2.0, 3.4),
];

/// As R's `t.test(extra ~ group, data = sleep, paired = TRUE)` prints it.
const SLEEP_P: f64 = 0.002833;
const SLEEP_INTERVAL: [f64; 2] = [-2.4598858, -0.7001142];

fn close(a: f64, b: f64, by: f64) -> bool {
    (a - b).abs() < by
}

#[test]
fn students_own_example_gives_the_published_interval_and_p_value() {
    let differences = SLEEP.map(|(one, two)| one - two);
    let mean = Mean::of(&differences).unwrap();
    assert!(close(mean.value, -1.58, 1e-12));
    assert!(close(mean.value - mean.half, SLEEP_INTERVAL[0], 1e-7));
    assert!(close(mean.value + mean.half, SLEEP_INTERVAL[1], 1e-7));
    assert!(close(mean.p, SLEEP_P, 5e-7), "{}", mean.p);

    // The same through ratios, with arms of the baseline whose mean is what was published.
    let kernel = SLEEP.map(|(one, _)| Some(one.exp()));
    let a = SLEEP.map(|(_, two)| Some((two - 0.3).exp()));
    let a_prime = SLEEP.map(|(_, two)| Some((two + 0.3).exp()));
    let estimate = Estimate::of(&log_ratios(&kernel, &a, &a_prime)).unwrap();
    assert!(close(estimate.ratio.ln(), -1.58, 1e-9));
    assert!(close(estimate.low.ln(), SLEEP_INTERVAL[0], 1e-7));
    assert!(close(estimate.high.ln(), SLEEP_INTERVAL[1], 1e-7));
    assert!(close(estimate.p, SLEEP_P, 5e-7));
    assert_eq!((estimate.blocks, estimate.dropped), (10, 0));
}

#[test]
fn quantiles_are_those_of_printed_tables() {
    let table = [
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (5, 2.571),
        (7, 2.365),
        (9, 2.262),
        (15, 2.131),
        (30, 2.042),
        (120, 1.980),
    ];
    for (freedom, published) in table {
        let found = quantile(freedom);
        assert!(close(found, published, 5e-4), "{freedom}: {found}");
    }
}

/// Eight blocks around a value with a spread of about 0.3%, different for each `way`.
fn around(value: f64, way: usize) -> Vec<Option<f64>> {
    let noise = [0.3, -0.4, 0.1, 0.2, -0.3, 0.4, -0.1, -0.2];
    let of = |block: usize| Some(value * (1.0 + noise[(block * way) % 8] / 100.0));
    (0..8).map(of).collect()
}

fn series(rates: &[f64]) -> Series {
    Series {
        primary: true,
        better: Better::Higher,
        a: around(100.0, 1),
        a_prime: around(100.0, 3),
        kernels: rates.iter().map(|rate| around(*rate, 5)).collect(),
    }
}

fn words(session: &Session) -> Vec<&'static str> {
    let cells = session.series.iter().flat_map(|one| &one.kernels);
    cells.map(|cell| cell.verdict.word()).collect()
}

fn whys(session: &Session) -> String {
    let cells = session.series.iter().flat_map(|one| &one.kernels);
    let whys = cells.map(|cell| cell.verdict.why().unwrap_or("-"));
    whys.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_verdict_needs_significance_and_the_minimum_effect_in_the_better_direction() {
    let mut one = series(&[80.0, 125.0, 100.0, 98.5]);
    let higher = judge(std::slice::from_ref(&one));
    assert_eq!(words(&higher), ["regressed", "improved", "same", "same"]);
    // 1.5% is significant all the same: it is below what is called a difference.
    assert!(higher.series[0].kernels[3].adjusted_p.unwrap() < SIGNIFICANCE);
    assert_eq!(higher.series[0].minimum_effect, Some(MINIMUM_EFFECT));
    one.better = Better::Lower;
    let lower = judge(&[one]);
    assert_eq!(words(&lower), ["improved", "regressed", "same", "same"]);
}

#[test]
fn what_is_neither_a_difference_nor_the_same_says_why() {
    let wide = |value: f64, by: f64, way| -> Vec<_> {
        around(1.0, way)
            .into_iter()
            .map(|noise| noise.map(|noise| value * noise.powf(by)))
            .collect()
    };
    let near_the_limit = series(&[98.15]);
    let mut noisy_kernel = series(&[]);
    noisy_kernel.kernels = vec![wide(97.0, 20.0, 5)];
    let mut noisy_baseline = series(&[100.0]);
    noisy_baseline.a = wide(100.0, 30.0, 1);
    let session = judge(&[near_the_limit, noisy_kernel, noisy_baseline]);
    insta::assert_snapshot!(whys(&session), @"
    the difference is below the minimum effect of 2.0%, but may be larger
    the difference is not significant (adjusted p = 0.36), but may exceed the minimum effect of 2.0%
    the difference is within 7.7%, and so is the baseline's from itself: too noisy to call it the same
    ");
}

#[test]
fn cells_are_counted_in_two_families_and_adjusted_in_their_own() {
    let mut secondary = series(&[99.9, 99.8, 99.7]);
    secondary.primary = false;
    let session = judge(&[series(&[99.9, 99.8]), secondary]);
    assert_eq!((session.tested.primary, session.tested.secondary), (2, 3));
    for (judged, adjust) in session.series.iter().zip([holm, benjamini_hochberg]) {
        let cells = judged.kernels.iter();
        let p: Vec<f64> = cells.clone().map(|cell| cell.estimate.unwrap().p).collect();
        let adjusted: Vec<f64> = cells.map(|cell| cell.adjusted_p.unwrap()).collect();
        assert_eq!(adjusted, adjust(&p));
        assert!(adjusted.last() > p.last());
    }
}

#[test]
fn a_baseline_that_differs_from_itself_takes_every_verdict_of_the_session() {
    let mut faulty = series(&[80.0]);
    faulty.a_prime = around(95.0, 3);
    let session = judge(&[series(&[80.0]), faulty.clone()]);
    let gate = Gate::Invalid {
        tested: 2,
        differ: vec![1],
    };
    assert_eq!(session.gate, gate);
    let why = "the session is invalid: the baseline differs from itself in 1 of 2 comparisons";
    assert_eq!(whys(&session), [why, why].join("\n"));
    // The figures stay.
    assert!(session.series[0].kernels[0].estimate.unwrap().high < 0.82);

    // As certain, but too small to matter.
    faulty.a_prime = around(99.1, 3);
    let session = judge(&[faulty]);
    assert!(session.series[0].baseline.unwrap().p < GATE_SIGNIFICANCE);
    assert_eq!(session.gate, Gate::Passed { tested: 1 });
    assert_eq!(words(&session), ["regressed"]);
}

#[test]
fn a_block_that_lacks_a_figure_is_dropped_for_its_cell_alone() {
    let mut holes = series(&[80.0, 80.0]);
    holes.kernels[0][2] = None;
    holes.kernels[0].truncate(7);
    holes.a[0] = Some(0.0);
    let session = judge(&[holes.clone()]);
    let blocks = session.series[0].kernels.iter().map(|cell| {
        let estimate = cell.estimate.unwrap();
        (estimate.blocks, estimate.dropped)
    });
    assert_eq!(blocks.collect::<Vec<_>>(), [(5, 3), (7, 1)]);
    assert_eq!(words(&session), ["regressed", "regressed"]);

    holes.kernels[0][3..5].fill(Some(f64::NAN));
    let session = judge(&[holes]);
    assert_eq!(words(&session), ["inconclusive", "regressed"]);
    assert_eq!(session.tested.primary, 1);
    insta::assert_snapshot!(session.series[0].kernels[0].verdict.why().unwrap(), @"3 of 8 blocks have all figures, and 4 are needed");
}

#[test]
fn nonsense_gives_a_reason_and_never_a_panic_or_a_number_that_json_lacks() {
    let values = [
        None,
        Some(0.0),
        Some(-1.0),
        Some(f64::NAN),
        Some(f64::INFINITY),
        Some(f64::MAX),
        Some(f64::MIN_POSITIVE),
        Some(1.0),
    ];
    let mut all = vec![series(&[]), series(&[80.0, 125.0])];
    for (kernel, a) in values
        .iter()
        .flat_map(|kernel| values.map(|a| (*kernel, a)))
    {
        for a_prime in values {
            all.push(Series {
                kernels: vec![vec![kernel; 8], vec![], [kernel, a].repeat(4)],
                a: vec![a; 8],
                a_prime: vec![a_prime; 8],
                ..series(&[])
            });
        }
    }
    for sessions in [&all[..], &all[..2], &all[2..3], &[]] {
        let session = judge(sessions);
        // A number that is not finite is written as null, which is read as no number.
        let json = serde_json::to_string(&session).unwrap();
        let read: Session = serde_json::from_str(&json).unwrap();
        assert_eq!(words(&read), words(&session));
        for (read, one) in read.series.iter().zip(&session.series) {
            assert_eq!(read.minimum_effect.is_some(), one.minimum_effect.is_some());
        }
    }
    assert_eq!(judge(&[]).gate, Gate::Untested);
    let untested = judge(&all[2..3]);
    assert_eq!(words(&untested), ["inconclusive"; 3]);
    assert_eq!(untested.gate, Gate::Untested);
    // Equal figures everywhere: a quiet machine, and no division of 0 by 0.
    let equal = Series {
        kernels: vec![vec![Some(7.0); 8], vec![Some(6.0); 8]],
        a: vec![Some(7.0); 8],
        a_prime: vec![Some(7.0); 8],
        ..series(&[])
    };
    assert_eq!(words(&judge(&[equal])), ["same", "regressed"]);
}
