//! What holds for every key: it is there, a name is a name, a choice is one of its choices (pure).

use super::{
    problems::{At, Place, Problems},
    suggest::next_step,
};

/// What every scenario has, with an example for those that have not.
pub(super) fn required<'a, T>(
    value: Option<&'a At<T>>,
    key: &str,
    example: &str,
    problems: &mut Problems,
) -> Option<&'a At<T>> {
    if value.is_none() && !problems.names(key) {
        let place = Place {
            key: key.to_owned(),
            offset: None,
        };
        problems.add(&place, "is missing", format!("add {key} = {example}"));
    }
    value
}

/// What is missing altogether, unless something is already said about it.
pub(super) fn missing(key: &str, next: &str, problems: &mut Problems) {
    if !problems.names(key) {
        let place = Place {
            key: key.to_owned(),
            offset: None,
        };
        problems.add(&place, "is missing or empty", next);
    }
}

/// Two names for one and the same thing.
pub(super) fn duplicate(name: &At<String>, other: &str, kind: &str, problems: &mut Problems) {
    let what = format!("the {kind} `{other}` and `{}` are the same", name.value);
    let next = "remove one, or make them differ: equal inputs give equal digits";
    problems.add(&name.at, what, next);
}

/// A name becomes part of a path and of a cell's name, whose parts are separated by `/`.
pub(super) fn check_name(name: &At<String>, problems: &mut Problems) {
    let text = &name.value;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || !text.chars().all(allowed) || text.len() > 64 {
        problems.add(
            &name.at,
            format!("`{text}` is not a valid name"),
            "use up to 64 letters, digits, `.`, `_`, `+` and `-`, a letter or digit first",
        );
    }
}

/// One of a few words, or a problem with "did you mean".
pub(super) fn choice<T: Copy>(
    word: &At<String>,
    kind: &str,
    choices: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let found = choices.iter().find(|(name, _)| *name == word.value);
    if found.is_none() {
        let known: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let what = format!("`{}` is not one of the {kind}", word.value);
        problems.add(&word.at, what, next_step(&word.value, kind, &known));
    }
    found.map(|(_, value)| *value)
}
