//! Cells that are measured although they may be known.

use super::*;

#[test]
fn verify_with_nothing_known_verifies_nothing() {
    let mut stage = Stage::new();
    let seen = stage.run(&[], Known::Verify);
    let verification = seen.finished.unwrap().verification.unwrap();
    assert_eq!((verification.identical, verification.new), (0, 4));
    assert!(!verification.holds());
    // Nor is any cell called verified.
    let verified = |e: &Event| matches!(e, Event::CellVerified { .. });
    assert!(!seen.events.iter().any(verified), "{:?}", seen.events);
}

#[test]
fn a_fresh_run_that_gives_other_digits_says_so() {
    let mut stage = Stage::new();
    stage.run(&[], Known::Use).finished.unwrap();
    stage.script.iops.set(50_010.0);
    let fresh = stage.run(&[], Known::Replace).finished.unwrap();
    assert_eq!(
        fresh.verification.as_ref().map(|v| v.different.len()),
        Some(4)
    );
    let notes = on_disk(&fresh).notes;
    assert!(
        notes
            .iter()
            .any(|n| n.contains("EQUAL INPUTS, DIFFERENT DIGITS")),
        "{notes:?}"
    );
    let again = stage.run(&[], Known::Verify).finished.unwrap();
    assert_eq!(
        again.verification.map(|v| v.identical),
        Some(4),
        "it replaced them"
    );
}
