//! Debian's version order (Debian Policy 5.6.12, the algorithm of deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions `[epoch:]upstream[-revision]`.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0)
        .then_with(|| part(a.1, b.1))
        .then_with(|| part(a.2, b.2))
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    match rest.rsplit_once('-') {
        Some((upstream, revision)) => (epoch, upstream, revision),
        // An absent revision is equal to "0".
        None => (epoch, rest, "0"),
    }
}

/// Alternately a stretch of non-digits and a stretch of digits, from the left.
fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = a.split_at(a.find(|c: char| c.is_ascii_digit()).unwrap_or(a.len()));
        let (text_b, rest_b) = b.split_at(b.find(|c: char| c.is_ascii_digit()).unwrap_or(b.len()));
        let text = text_order(text_a, text_b);
        let (number_a, next_a) = digits(rest_a);
        let (number_b, next_b) = digits(rest_b);
        // Without leading zeros the longer number is the greater; equally long ones compare as text.
        let number = number_a
            .len()
            .cmp(&number_b.len())
            .then_with(|| number_a.cmp(number_b));
        match text.then(number) {
            Ordering::Equal => (a, b) = (next_a, next_b),
            different => return different,
        }
    }
    Ordering::Equal
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].trim_start_matches('0'), &text[end..])
}

/// `~` sorts before the end, the end before letters, letters before everything else.
fn text_order(a: &str, b: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    let (a, b) = (a.as_bytes(), b.as_bytes());
    (0..a.len().max(b.len()))
        .map(|i| weight(a.get(i)).cmp(&weight(b.get(i))))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        // Each is older than the next; the middle ones are the example of Debian Policy 5.6.12.
        let ordered = [
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0",
            "1.0a",
            "1.0+b1",
            "1.0.1",
            "1.9",
            "1.10",
            "5.10.9-1",
            "5.10.262-1",
            "6.12.117-1~bpo13+1",
            "6.12.117-1~deb12u1",
            "6.12.117-1",
            "6.12.117-2",
            "7.2.12-1~bpo13+1",
            "7.2.13-1",
            "7.3~rc7-1~exp1",
            "7.3.4-1~bpo13+1",
            "1:0.1",
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn leading_zeros_an_absent_revision_and_epoch_0_change_nothing() {
        for (a, b) in [
            ("1.02", "1.2"),
            ("1.2", "1.2-0"),
            ("0:1.2", "1.2"),
            ("1.0", "1."),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
