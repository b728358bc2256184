//! Reading one TOML table: every value with its place, every mistake noted (pure).

use super::problems::{At, Place, Problems};
use crate::suggest::next_step;
use std::cell::RefCell;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// One table, its place, and where to say what is wrong with it.
pub(super) struct Section<'a, 'i> {
    table: &'a DeTable<'i>,
    at: Place,
    pub(super) problems: &'a RefCell<Problems>,
}

impl<'a, 'i> Section<'a, 'i> {
    /// A table whose keys are known: every other key is a problem.
    pub(super) fn new(
        table: &'a DeTable<'i>,
        at: Place,
        known: &[&str],
        problems: &'a RefCell<Problems>,
    ) -> Section<'a, 'i> {
        let section = Section {
            table,
            at,
            problems,
        };
        for key in table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
        {
            let place = section.place(key.get_ref(), key.span().start);
            let next = next_step(key.get_ref(), "keys", known);
            problems.borrow_mut().add(&place, "unknown key", next);
        }
        section
    }

    /// A table within this one that is read in the same way.
    pub(super) fn within(
        &self,
        table: &'a DeTable<'i>,
        at: &Place,
        known: &[&str],
    ) -> Section<'a, 'i> {
        Section::new(table, at.clone(), known, self.problems)
    }

    /// The place of one of its keys.
    pub(super) fn at(&self, key: &Spanned<DeString<'i>>) -> Place {
        self.place(key.get_ref(), key.span().start)
    }

    fn place(&self, key: &str, offset: usize) -> Place {
        let key = match self.at.key.as_str() {
            "" => key.to_owned(),
            parent => format!("{parent}.{key}"),
        };
        Place {
            key,
            offset: Some(offset),
        }
    }

    fn find(&self, key: &str) -> Option<(Place, &'a Spanned<DeValue<'i>>)> {
        let (_, value) = self.table.iter().find(|(k, _)| k.get_ref() == key)?;
        Some((self.place(key, value.span().start), value))
    }

    fn wrong_type(&self, at: &Place, value: &DeValue<'_>, wanted: &str) {
        let what = match value {
            DeValue::Integer(n) => format!("is {n}"),
            DeValue::Float(x) => format!("is {x}"),
            DeValue::Boolean(b) => format!("is {b}"),
            DeValue::String(s) => format!("is \"{s}\""),
            _ => format!("is {} {}", article(value.type_str()), value.type_str()),
        };
        let next = format!("use {wanted}");
        self.problems.borrow_mut().add(at, what, next);
    }

    fn read<T>(
        &self,
        key: &str,
        wanted: &str,
        convert: impl FnOnce(&DeValue<'i>) -> Option<T>,
    ) -> Option<At<T>> {
        let (at, value) = self.find(key)?;
        let Some(value) = convert(value.get_ref()) else {
            self.wrong_type(&at, value.get_ref(), wanted);
            return None;
        };
        Some(At { value, at })
    }

    pub(super) fn text(&self, key: &str) -> Option<At<String>> {
        self.read(key, "a quoted string", |v| v.as_str().map(str::to_owned))
    }

    /// A size: a text with a unit, or a bare number of bytes.
    pub(super) fn quantity(&self, key: &str) -> Option<At<String>> {
        self.read(key, "a quoted size, like \"64MiB\"", |value| {
            let bytes = || integer(value).map(|n| n.to_string());
            value.as_str().map(str::to_owned).or_else(bytes)
        })
    }

    /// The places of every key but one.
    pub(super) fn others(&self, keys: &[&str]) -> Vec<Place> {
        (self.table.iter())
            .filter(|(k, _)| !keys.contains(&k.get_ref().as_ref()))
            .map(|(k, _)| self.place(k.get_ref(), k.span().start))
            .collect()
    }

    pub(super) fn whole(&self, key: &str) -> Option<At<u64>> {
        self.read(key, "a non-negative whole number", integer)
    }

    pub(super) fn flag(&self, key: &str) -> Option<At<bool>> {
        self.read(key, "true or false", DeValue::as_bool)
    }

    pub(super) fn number(&self, key: &str) -> Option<At<f64>> {
        self.read(key, "a finite number", |value| {
            let float = value.as_float().and_then(|f| f.as_str().parse().ok());
            let int = || integer(value).map(|n| n as f64);
            float.or_else(int).filter(|n: &f64| n.is_finite())
        })
    }

    pub(super) fn texts(&self, key: &str) -> Vec<At<String>> {
        let read = |(at, value): (Place, &Spanned<DeValue<'_>>)| match value.get_ref().as_str() {
            Some(text) => Some(At {
                value: text.to_owned(),
                at,
            }),
            None => {
                self.wrong_type(&at, value.get_ref(), "a quoted string");
                None
            }
        };
        self.elements(key).into_iter().filter_map(read).collect()
    }

    pub(super) fn elements(&self, key: &str) -> Vec<(Place, &'a Spanned<DeValue<'i>>)> {
        let Some((at, value)) = self.find(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(&at, value.get_ref(), "a list: [.., ..]");
            return Vec::new();
        };
        let element = |(i, value): (usize, &'a Spanned<DeValue<'i>>)| {
            let key = format!("{}[{}]", at.key, i + 1);
            (
                Place {
                    key,
                    offset: Some(value.span().start),
                },
                value,
            )
        };
        array.iter().enumerate().map(element).collect()
    }

    pub(super) fn table(
        &self,
        at: &Place,
        value: &'a Spanned<DeValue<'i>>,
        wanted: &str,
    ) -> Option<&'a DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(at, value.get_ref(), wanted);
        }
        table
    }

    pub(super) fn section(&self, key: &str, known: &[&str]) -> Option<Section<'a, 'i>> {
        let (at, value) = self.find(key)?;
        let table = self.table(&at, value, &format!("a table: [{key}]"))?;
        Some(Section::new(table, at, known, self.problems))
    }

    /// The tables below `key`, in the order of the file, each with its name.
    pub(super) fn named(&self, key: &str, known: &[&str]) -> Vec<(At<String>, Section<'a, 'i>)> {
        let Some((at, value)) = self.find(key) else {
            return Vec::new();
        };
        let Some(table) = self.table(&at, value, &format!("tables: [{key}.NAME]")) else {
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let outer = Section {
            table,
            at,
            problems: self.problems,
        };
        let read = |(name, value): (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>)| {
            let at = outer.place(name.get_ref(), name.span().start);
            let table = self.table(&at, value, &format!("a table: [{}]", at.key))?;
            let section = Section::new(table, at.clone(), known, self.problems);
            Some((
                At {
                    value: name.get_ref().to_string(),
                    at,
                },
                section,
            ))
        };
        entries.into_iter().filter_map(read).collect()
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}
