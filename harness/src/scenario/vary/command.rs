//! `--vary KEY=VALUE,VALUE`: variants of the command line's (pure).

use super::{RawOverride, RawVariant, is_named, is_section, leaves, quoted};
use crate::scenario::problems::{At, Place, Problems};
use toml::de::{DeTable, DeValue};

/// Longest part of a variant's name that one value gives.
const LONGEST: usize = 24;

/// Most combinations of values.
const MOST: usize = 100;

/// A key of a scenario and the values that it has one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vary {
    /// As TOML: `model.scheduler`, `workloads."*".iodepth`.
    key: String,
    /// Each as TOML: `"mq-deadline"`, `16`, `["nohz=off"]`.
    values: Vec<String>,
    /// As it was given.
    text: String,
}

impl Vary {
    /// As the command line has it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Reads `KEY=VALUE[,VALUE...]`, the value of `--vary`. A key and a value are written as in a scenario; a
/// value that TOML does not know as one is a string without its quotes, and the `*` of
/// `workloads.*.iodepth` needs none either.
///
/// # Errors
/// A sentence that names the text and the form expected.
pub fn parse_vary(text: &str) -> Result<Vary, String> {
    let bad = |why: &str| {
        format!(
            "`{text}` {why}; use KEY=VALUE,VALUE with a scenario's keys and values, like model.scheduler=none,mq-deadline"
        )
    };
    let (key, values) = text.split_once('=').ok_or_else(|| bad("has no value"))?;
    let parts = split(key.trim(), '.').ok_or_else(|| bad("has an odd quote"))?;
    if parts.iter().any(|part| part.trim().is_empty()) {
        return Err(bad("is not a key and its values"));
    }
    let parts = parts.iter().map(|part| match part.trim() {
        "*" => "\"*\"".to_owned(),
        part if part.starts_with(['"', '\'']) => part.to_owned(),
        part => quoted(part),
    });
    let key = parts.collect::<Vec<_>>().join(".");
    let values = split(values, ',').ok_or_else(|| bad("has an odd quote or bracket"))?;
    let values: Vec<String> = values.iter().map(|value| toml(value.trim())).collect();
    if values.iter().any(|value| value == "\"\"") && !text.contains(['"', '\'']) {
        return Err(bad("has an empty value"));
    }
    let known = |value: &String| DeTable::parse(&format!("{key} = {value}")).is_ok();
    match values.iter().all(known) {
        true => Ok(Vary {
            key,
            values,
            text: text.to_owned(),
        }),
        false => Err(bad("is not a key and its values")),
    }
}

/// A value as TOML: itself, or else as a string.
fn toml(value: &str) -> String {
    let is_value = DeTable::parse(&format!("x = {value}")).is_ok_and(|table| {
        let value = table.get_ref().get("x");
        // A word of a kernel's version is no date, and no number that nobody wrote.
        !matches!(
            value.map(toml::Spanned::get_ref),
            Some(DeValue::Datetime(_)) | None
        )
    });
    match is_value {
        true => value.to_owned(),
        false => toml::Value::from(value).to_string(),
    }
}

/// Splits at a character that is not within quotes or brackets; `None` where one of those is not closed.
fn split(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut quote, mut depth) = (None, 0_u32);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.checked_sub(1)?,
            (None, c) if c == at && depth == 0 => {
                parts.push(&text[begin..i]);
                begin = i + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (quote.is_none() && depth == 0).then_some(parts)
}

/// The command line's keys and values as documents of their own, in which no place is one of the
/// scenario's file.
pub(in crate::scenario) struct Texts {
    /// For each `--vary` one for each of its values.
    documents: Vec<Vec<String>>,
}

impl Texts {
    /// Of a scenario whose text is so long.
    pub(in crate::scenario) fn new(vary: &[Vary], length: usize) -> Texts {
        let before = "\n".repeat(length + 1);
        let documents = vary.iter().map(|vary| {
            let document = |value: &String| format!("{before}{} = {value}", vary.key);
            vary.values.iter().map(document).collect()
        });
        Texts {
            documents: documents.collect(),
        }
    }
}

/// One value of one key.
#[derive(Clone)]
struct Value<'i> {
    overrides: Vec<RawOverride<'i>>,
    label: String,
    /// Whether the scenario has this value anyway.
    own: bool,
}

/// Every combination of the keys' values, the last key's changing first: but for values that the scenario
/// has anyway (`is_own`), which are left out of names and of what is overridden. What has no other value
/// is the scenario as it is written, and no variant.
pub(in crate::scenario) fn points<'i>(
    texts: &'i Texts,
    is_own: impl Fn(&[RawOverride<'i>]) -> bool,
    problems: &mut Problems,
) -> Vec<RawVariant<'i>> {
    let mut axes: Vec<Vec<Value<'i>>> = Vec::new();
    for documents in &texts.documents {
        let values = documents.iter().filter_map(|text| read(text, problems));
        axes.push(
            values
                .map(|overrides| {
                    let own = is_own(&overrides);
                    Value {
                        label: String::new(),
                        overrides,
                        own,
                    }
                })
                .collect(),
        );
    }
    // What is wrong with the others was said.
    axes.retain(|axis| !axis.is_empty());
    label(&mut axes, problems);
    for axis in &axes {
        if axis.iter().all(|value| value.own)
            && let Some(first) = axis[0].overrides.first()
        {
            let what = format!(
                "{}: no value of it changes anything that is measured here",
                first.key()
            );
            let next = "leave it out, or give it a value that the scenario does not have";
            problems.add(&Place::option("--vary"), what, next);
        }
    }
    let count = axes
        .iter()
        .fold(1_usize, |n, axis| n.saturating_mul(axis.len()));
    if count > MOST {
        let what = format!("gives {count} combinations");
        let next = format!("use at most {MOST}: fewer values, or one run for each key");
        problems.add(&Place::option("--vary"), what, next);
        return Vec::new();
    }
    let mut points: Vec<Vec<Value<'i>>> = vec![Vec::new()];
    for axis in &axes {
        let longer = points.iter().flat_map(|point| {
            axis.iter()
                .map(move |value| [point.as_slice(), std::slice::from_ref(value)].concat())
        });
        points = longer.collect();
    }
    let mut variants: Vec<RawVariant<'i>> = Vec::new();
    for point in points {
        let others: Vec<Value<'i>> = point.into_iter().filter(|value| !value.own).collect();
        if others.is_empty() {
            continue;
        }
        let labels: Vec<&str> = others.iter().map(|value| value.label.as_str()).collect();
        let name = labels.join("+");
        if variants.iter().any(|known| known.name.value == name) {
            let what = format!("gives two variants the name `{name}`");
            problems.add(
                &Place::option("--vary"),
                what,
                "leave out what is given twice",
            );
            continue;
        }
        variants.push(RawVariant {
            name: At {
                value: name,
                at: Place::option("--vary"),
            },
            overrides: others
                .into_iter()
                .flat_map(|value| value.overrides)
                .collect(),
            by_option: true,
        });
    }
    variants
}

/// The keys and values of a document of the command line's.
fn read<'i>(text: &'i str, problems: &mut Problems) -> Option<Vec<RawOverride<'i>>> {
    let root = DeTable::parse(text).ok()?.into_inner();
    let mut found = Vec::new();
    for (section, value) in &root {
        let word = section.get_ref();
        let table = value.get_ref().as_table();
        match table.filter(|_| is_section(word)) {
            Some(table) => found.extend(leaves(section, table, problems)),
            None => {
                let sections = super::SECTIONS.map(|section| match is_named(section) {
                    true => format!("{section}.NAME.KEY"),
                    false => format!("{section}.KEY"),
                });
                let what = format!("`{word}` is nothing that varies between rows");
                let sections: Vec<&str> = sections.iter().map(String::as_str).collect();
                let known = super::SECTIONS;
                let next = match crate::suggest::closest(word, known) {
                    Some(near) if near != word => format!(
                        "did you mean `{near}`? (known keys: {})",
                        sections.join(", ")
                    ),
                    _ => format!("use one of {}", sections.join(", ")),
                };
                problems.add(&Place::option("--vary"), what, next);
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Names the values: by themselves where they begin with a letter and no other key could have them, else
/// with as much of their key as tells it from the others.
fn label(axes: &mut [Vec<Value<'_>>], problems: &mut Problems) {
    let keys: Vec<Vec<String>> = axes
        .iter()
        .map(|axis| {
            let first = axis.first().and_then(|value| value.overrides.first());
            first.map_or_else(Vec::new, |o| {
                o.parts
                    .iter()
                    .map(|part| part.get_ref().to_string())
                    .collect()
            })
        })
        .collect();
    for (at, key) in keys.iter().enumerate() {
        let others = || {
            keys.iter()
                .enumerate()
                .filter(|(i, _)| *i != at)
                .map(|(_, key)| key)
        };
        if !key.is_empty() && others().any(|other| other == key) {
            let what = format!("{} is given twice", key.join("."));
            problems.add(
                &Place::option("--vary"),
                what,
                "give all of its values at once, with commas",
            );
        }
        let alone = others().all(|other| other.last() != key.last());
        let words = key
            .iter()
            .skip(key.len().saturating_sub(if alone { 1 } else { 2 }));
        let words = words.map(|word| if word == "*" { "all" } else { word });
        let prefix = words.collect::<Vec<_>>().join(".");
        for value in &mut axes[at] {
            let shown = value
                .overrides
                .first()
                .map(|o| o.shown().value)
                .unwrap_or_default();
            let shown = name(&shown);
            let speaks = alone
                && shown.starts_with(|c: char| c.is_ascii_alphabetic())
                && !["true", "false"].contains(&shown.as_str());
            value.label = if speaks {
                shown
            } else {
                name(&format!("{prefix}-{shown}"))
            };
        }
    }
}

/// A text as a part of a name.
fn name(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
    let mut name = String::new();
    for c in text.chars() {
        match fits(c) {
            true => name.push(c),
            false if name.is_empty() || name.ends_with('-') => {}
            false => name.push('-'),
        }
    }
    let name: String = name.chars().take(LONGEST).collect();
    match name.trim_end_matches(['-', '.']) {
        "" => "none".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> String {
        let vary = parse_vary(text).unwrap_or_else(|e| panic!("{e}"));
        format!("{} = {}", vary.key, vary.values.join(" | "))
    }

    #[test]
    fn keys_and_values_are_those_of_toml_and_quotes_may_be_left_out() {
        let read = [
            "model.scheduler=none,mq-deadline",
            "model.latency=10us, 20us",
            "guest.smp=1,2",
            "model.fua=true,false",
            "workloads.*.iodepth=1,16",
            "workloads.\"a.b\".bs=4k,\"8k\"",
            "filesystems.ext4.mount_options=\"\",\"data=ordered,nobarrier\"",
            "guest.cmdline=[],[\"nohz=off\", \"quiet\"]",
        ];
        let read: Vec<String> = read.iter().map(|text| values(text)).collect();
        insta::assert_snapshot!(read.join("\n"), @r#"
        model.scheduler = "none" | "mq-deadline"
        model.latency = "10us" | "20us"
        guest.smp = 1 | 2
        model.fua = true | false
        workloads."*".iodepth = 1 | 16
        workloads."a.b".bs = "4k" | "8k"
        filesystems.ext4.mount_options = "" | "data=ordered,nobarrier"
        guest.cmdline = [] | ["nohz=off", "quiet"]
        "#);
    }

    #[test]
    fn what_is_no_key_with_values_is_refused_with_its_text() {
        for text in [
            "",
            "model.scheduler",
            "=x",
            "model.scheduler=",
            "model..x=1",
            "a.b=x,,y",
            "a.b=[1",
            "a.b=\"x",
        ] {
            let said = parse_vary(text).unwrap_err();
            assert!(
                said.contains(&format!("`{text}`")) && said.contains("KEY=VALUE"),
                "{said}"
            );
        }
    }

    #[test]
    fn names_are_made_of_what_a_name_may_have() {
        assert_eq!(name("mq-deadline"), "mq-deadline");
        assert_eq!(name("[\"-O\", \"^has_journal\"]"), "O-has_journal");
        assert_eq!(name(""), "none");
        assert_eq!(
            name("data=ordered,nobarrier,commit=60"),
            "data-ordered-nobarrier-c"
        );
    }
}
