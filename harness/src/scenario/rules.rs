//! What holds for every key: it is there, a name is a name, a choice is one of its choices, a number
//! within its bounds (pure).

use super::problems::{At, Place, Problems};
use crate::suggest::next_step;
use crate::units::{parse_bytes, show_bytes};
use diorama_wire::Device;

const MIB: u64 = 1 << 20;

/// What must be larger where files do not fit a device.
pub(super) fn larger(device: Option<&Device>) -> &'static str {
    match device {
        Some(Device::Nvme(_)) => "a larger drive (nvme.size, of an emulated one)",
        Some(Device::Model(_)) | None => "a larger model.size",
    }
}

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

/// Where a value was written, or where its default would have been.
pub(super) fn place<T>(value: Option<&At<T>>, key: &str) -> Place {
    let missing = || Place {
        key: key.to_owned(),
        offset: None,
    };
    value.map_or_else(missing, |value| value.at.clone())
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

/// Reads a quantity, or its default, by one of the functions of [`crate::units`].
pub(super) fn quantity(
    text: Option<&At<String>>,
    default: &str,
    parse: impl Fn(&str) -> Result<u64, String>,
    problems: &mut Problems,
) -> Option<u64> {
    let Some(text) = text else {
        return parse(default).ok();
    };
    match parse(&text.value) {
        Ok(value) => Some(value),
        Err(why) => {
            let (what, next) = why.split_once("; ").unwrap_or((&why, "correct it"));
            problems.add(&text.at, what, next);
            None
        }
    }
}

/// A device's capacity in MiB, from 64 MiB to `most`, or its default; `of` is the device.
pub(super) fn capacity(
    raw: Option<&At<String>>,
    (key, default): (&str, &str),
    (most, of): (&str, &str),
    problems: &mut Problems,
) -> Option<u32> {
    let bytes = quantity(raw, default, parse_bytes, problems)?;
    let most_bytes = parse_bytes(most).unwrap_or(u64::MAX);
    let fits = bytes.is_multiple_of(MIB) && (64 * MIB..=most_bytes).contains(&bytes);
    let mib = u32::try_from(bytes / MIB).ok().filter(|_| fits);
    if mib.is_none() {
        let what = format!("{} is not a valid size for {of}", show_bytes(bytes));
        let next = format!("use whole MiB, from 64MiB to {most}");
        problems.add(&place(raw, key), what, next);
    }
    mib
}

/// A device's logical block size in bytes, one of a few, or its default.
pub(super) fn block_size(
    raw: Option<&At<String>>,
    (key, default): (&str, &str),
    known: &[u32],
    problems: &mut Problems,
) -> Option<u32> {
    let bytes = quantity(raw, default, parse_bytes, problems)?;
    let found = known.iter().copied().find(|b| u64::from(*b) == bytes);
    if found.is_none() {
        let words: Vec<String> = known.iter().map(u32::to_string).collect();
        let next = match words.split_last() {
            Some((last, others)) => format!("use {} or {last}", others.join(", ")),
            None => String::new(),
        };
        problems.add(&place(raw, key), format!("is {bytes}"), next);
    }
    found
}

/// A number within bounds, or its default.
pub(super) fn bounded(
    number: Option<&At<u64>>,
    default: u32,
    (least, most): (u32, u32),
    problems: &mut Problems,
) -> Option<u32> {
    let Some(number) = number else {
        return Some(default);
    };
    let value = u32::try_from(number.value).ok();
    let value = value.filter(|value| (least..=most).contains(value));
    if value.is_none() {
        let next = if least == most {
            format!("only {least} is possible")
        } else {
            format!("use a number from {least} to {most}")
        };
        problems.add(&number.at, format!("is {}", number.value), next);
    }
    value
}

/// A block-layer scheduler, or the default.
pub(super) fn scheduler(
    word: Option<&At<String>>,
    default: &str,
    problems: &mut Problems,
) -> Option<String> {
    let schedulers = ["none", "mq-deadline", "kyber", "bfq"].map(|name| (name, name));
    match word {
        Some(word) => choice(word, "schedulers", &schedulers, problems).map(str::to_owned),
        None => Some(default.to_owned()),
    }
}

/// Whether a time, where one was read, may be a drive's.
pub(super) fn check_latency(raw: &At<String>, ns: Option<u64>, problems: &mut Problems) {
    if let Some(0 | 1_000_000_001..) = ns {
        let next = "use a time from 1ns to 1s";
        problems.add(&raw.at, "is not a valid drive latency", next);
    }
}
