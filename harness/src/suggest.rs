//! "Did you mean": the known word nearest to one that is not known (pure).

/// The candidate nearest to `word`, if one is near enough to be a slip of the keyboard: at most
/// a third of its letters changed (two in a short word), or one is the beginning of the other.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // No key or name is longer, and the distance of two long words takes their product of steps.
    if word.len() > 256 {
        return None;
    }
    let lower = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let distance = strsim::damerau_levenshtein(&lower, &other);
            let begins =
                lower.len() >= 3 && (other.starts_with(&lower) || lower.starts_with(&other));
            let near = distance <= allowed && distance < other.chars().count();
            (near || begins).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The next step after an unknown word: the nearest known one, then all of them.
/// `kind` names what is listed, in the plural: `kernels`.
#[must_use]
pub fn next_step(word: &str, kind: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match closest(word, known.iter().copied()) {
        _ if known.is_empty() => format!("there are no {kind} here"),
        Some(near) => format!("did you mean `{near}`? (known {kind}: {list})"),
        None => format!("known {kind}: {list}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let keys = [
            "kernels",
            "baseline",
            "rw",
            "bs",
            "iodepth",
            "mount_options",
        ];
        assert_eq!(closest("kernal", keys), Some("kernels"));
        assert_eq!(closest("Baseline", keys), Some("baseline"));
        assert_eq!(closest("io_depth", keys), Some("iodepth"));
        assert_eq!(closest("mount", keys), Some("mount_options"));
        assert_eq!(closest("zebra", keys), None);
        assert_eq!(closest("x", keys), None);
    }

    #[test]
    fn the_next_step_lists_what_is_known() {
        assert_eq!(
            next_step("6.21", "kernels", &["5.10", "6.12"]),
            "did you mean `6.12`? (known kernels: 5.10, 6.12)"
        );
        assert_eq!(next_step("x", "kernels", &[]), "there are no kernels here");
    }
}
