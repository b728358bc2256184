//! `[[variants]]` and `--vary` as written: values that take the place of the scenario's own (pure).
//!
//! They are put into the scenario's document before anybody reads it, so that every rule and every
//! message holds for a variant as for a scenario that is written out.

use super::parse;
use super::problems::{At, Place, Problems};
use super::rules::check_name;
use super::variant::{AS_WRITTEN, Override};
use crate::suggest::next_step;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

mod command;

pub(super) use command::{Texts, points};
pub use command::{Vary, parse_vary};

/// Sections whose keys a variant may have. `filesystems` and `workloads` have names in between.
const SECTIONS: [&str; 7] = [
    "model",
    "nvme",
    "conditioning",
    "guest",
    "measure",
    "filesystems",
    "workloads",
];
/// In place of a name: all of them.
const ALL: &str = "*";

/// A variant as written.
#[derive(Clone, Debug)]
pub(super) struct RawVariant<'i> {
    pub(super) name: At<String>,
    pub(super) overrides: Vec<RawOverride<'i>>,
    /// Whether it is the command line's.
    pub(super) by_option: bool,
}

/// A key's parts, and the value that it has in the variant.
#[derive(Clone, Debug)]
pub(super) struct RawOverride<'i> {
    parts: Vec<Spanned<DeString<'i>>>,
    value: Spanned<DeValue<'i>>,
}

impl RawOverride<'_> {
    /// As a scenario writes it.
    pub(super) fn key(&self) -> String {
        let parts = self.parts.iter().map(|part| quoted(part.get_ref()));
        parts.collect::<Vec<_>>().join(".")
    }

    /// For the record.
    pub(super) fn shown(&self) -> Override {
        Override {
            key: self.key(),
            value: shown(self.value.get_ref()),
        }
    }

    fn place(&self, parts: usize) -> Place {
        let words = self.parts[..parts]
            .iter()
            .map(|part| part.get_ref().as_ref());
        Place {
            key: words.collect::<Vec<_>>().join("."),
            offset: Some(self.parts[parts - 1].span().start),
        }
    }
}

/// A part of a key, in quotes where TOML wants them; for `*` they are left out.
fn quoted(part: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match part == ALL || (!part.is_empty() && part.chars().all(bare)) {
        true => part.to_owned(),
        false => format!("\"{part}\""),
    }
}

/// A value as it is shown: a string without its quotes.
fn shown(value: &DeValue<'_>) -> String {
    let inner = |value: &DeValue<'_>| match value {
        DeValue::String(text) => format!("\"{text}\""),
        other => shown(other),
    };
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => {
            let values = values.iter().map(|value| inner(value.get_ref()));
            format!("[{}]", values.collect::<Vec<_>>().join(", "))
        }
        DeValue::Table(_) => "{ .. }".to_owned(),
    }
}

/// The document's `[[variants]]`.
pub(super) fn written<'i>(root: &DeTable<'i>, problems: &mut Problems) -> Vec<RawVariant<'i>> {
    let mut known = vec!["name"];
    known.extend(SECTIONS);
    let mut variants = parse::section(root, problems, |top| {
        let mut variants = Vec::new();
        for (at, value) in top.elements("variants") {
            let Some(table) = top.table(&at, value, "a table: [[variants]]") else {
                continue;
            };
            let section = top.within(table, &at, &known);
            let name = section.text("name");
            if name.is_none() && !table.contains_key("name") {
                let next = "add name = \"..\", which tables will show";
                top.problems.borrow_mut().add(&at, "has no name", next);
            }
            let mut overrides = Vec::new();
            for (key, value) in table.iter().filter(|(key, _)| is_section(key.get_ref())) {
                let at = section.at(key);
                let wanted = format!("a table: {}.KEY = VALUE", key.get_ref());
                if let Some(table) = section.table(&at, value, &wanted) {
                    let found = leaves(key, table, &mut top.problems.borrow_mut());
                    overrides.extend(found);
                }
            }
            if overrides.is_empty()
                && table
                    .keys()
                    .all(|key| known.contains(&key.get_ref().as_ref()))
            {
                let next = "add a key of the scenario with another value: model.scheduler = \"mq-deadline\"";
                top.problems
                    .borrow_mut()
                    .add(&at, "overrides nothing", next);
            }
            overrides.sort_by_key(|o: &RawOverride<'_>| o.value.span().start);
            variants.extend(name.map(|name| RawVariant {
                name,
                overrides,
                by_option: false,
            }));
        }
        variants
    });
    for variant in &variants {
        check_name(&variant.name, problems);
        if variant.name.value == AS_WRITTEN {
            let what = format!("`{AS_WRITTEN}` is what the scenario without a variant is called");
            problems.add(&variant.name.at, what, "give the variant another name");
        }
    }
    unique(&mut variants, problems);
    variants
}

fn is_section(key: &str) -> bool {
    SECTIONS.contains(&key)
}

fn is_named(section: &str) -> bool {
    ["filesystems", "workloads"].contains(&section)
}

/// Leaves the first of those that have one name.
fn unique(variants: &mut Vec<RawVariant<'_>>, problems: &mut Problems) {
    let mut seen: Vec<String> = Vec::new();
    variants.retain(|variant| {
        let name = &variant.name;
        let is_new = !seen.contains(&name.value);
        if is_new {
            seen.push(name.value.clone());
        } else {
            let what = format!("there is already a variant `{}`", name.value);
            problems.add(&name.at, what, "remove it or give it another name");
        }
        is_new
    });
}

/// The keys below a section, with their values.
fn leaves<'i>(
    section: &Spanned<DeString<'i>>,
    table: &DeTable<'i>,
    problems: &mut Problems,
) -> Vec<RawOverride<'i>> {
    let mut found = Vec::new();
    for (key, value) in table {
        let parts = vec![section.clone(), key.clone()];
        if !is_named(section.get_ref()) {
            found.push(RawOverride {
                parts,
                value: value.clone(),
            });
            continue;
        }
        let Some(table) = value.get_ref().as_table() else {
            let place = Place {
                key: format!("{}.{}", section.get_ref(), key.get_ref()),
                offset: Some(value.span().start),
            };
            let next = format!(
                "name one of the {0}, or all: {0}.\"*\".KEY = VALUE",
                section.get_ref()
            );
            problems.add(&place, "is not a table", next);
            continue;
        };
        found.extend(table.iter().map(|(leaf, value)| RawOverride {
            parts: [parts.clone(), vec![leaf.clone()]].concat(),
            value: value.clone(),
        }));
    }
    found
}

/// The document with a variant's values in place of its own.
pub(super) fn apply<'i>(
    root: &DeTable<'i>,
    overrides: &[RawOverride<'i>],
    problems: &mut Problems,
) -> DeTable<'i> {
    let mut root = root.clone();
    root.remove("variants");
    for change in overrides {
        let [section, names @ .., leaf] = change.parts.as_slice() else {
            continue;
        };
        let Some(table) = table(&mut root, section) else {
            continue;
        };
        match names {
            [] => put(table, leaf, &change.value),
            [name, ..] => put_into(table, name, change, problems),
        }
    }
    root
}

/// The table under a key, made if there is none; none where something else is there.
fn table<'t, 'i>(
    parent: &'t mut DeTable<'i>,
    key: &Spanned<DeString<'i>>,
) -> Option<&'t mut DeTable<'i>> {
    let empty = || Spanned::new(key.span(), DeValue::Table(DeTable::new()));
    let value = parent.entry(key.clone()).or_insert_with(empty);
    match value.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// The key that is there has its place where it was written first: it goes.
fn put<'i>(table: &mut DeTable<'i>, key: &Spanned<DeString<'i>>, value: &Spanned<DeValue<'i>>) {
    table.remove(key.get_ref().as_ref());
    table.insert(key.clone(), value.clone());
}

/// Puts a value into a file system or a workload, or into all of them.
fn put_into<'i>(
    tables: &mut DeTable<'i>,
    name: &Spanned<DeString<'i>>,
    change: &RawOverride<'i>,
    problems: &mut Problems,
) {
    let leaf = &change.parts[2];
    let (section, word) = (change.parts[0].get_ref(), name.get_ref());
    if section == "filesystems" && leaf.get_ref() == "kind" {
        let next = "write a table of its own: [filesystems.NAME]";
        problems.add(
            &change.place(3),
            "file systems are an axis of their own",
            next,
        );
        return;
    }
    let known: Vec<String> = tables.keys().map(|key| key.get_ref().to_string()).collect();
    if word != ALL && !known.iter().any(|known| known == word) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let kind = match section.as_ref() {
            "filesystems" => "file systems",
            _ => "workloads",
        };
        let what = format!("`{word}` is not one of the {kind}");
        problems.add(&change.place(2), what, next_step(word, kind, &known));
        return;
    }
    for known in known.iter().filter(|known| word == ALL || *known == word) {
        if let Some(DeValue::Table(table)) = tables.get_mut(known.as_str()).map(Spanned::get_mut) {
            put(table, leaf, &change.value);
        }
    }
}
