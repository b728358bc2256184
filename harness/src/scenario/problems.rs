//! Everything wrong with a scenario, collected and reported at once (pure).

use crate::{
    error::Error,
    text::{cut_words, line},
};

/// So many problems are listed; the rest is counted. Whoever corrects those sees the next.
const LISTED: usize = 20;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its key (`workloads.write-4k.bs`) or its option (`--baseline`).
    pub(super) key: String,
    /// Byte offset in the file; none for the command line and for what is missing altogether.
    pub(super) offset: Option<usize>,
}

impl Place {
    /// An option of the command line.
    pub(super) fn option(name: &str) -> Place {
        Place {
            key: name.to_owned(),
            offset: None,
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Where it was written.
    pub(super) at: Place,
}

#[derive(Clone, Debug, PartialEq)]
struct Problem {
    at: Place,
    what: String,
    next: String,
}

/// The problems found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one: what is wrong with which value, and what to write instead.
    pub(super) fn add(&mut self, at: &Place, what: impl Into<String>, next: impl Into<String>) {
        self.0.push(Problem {
            at: at.clone(),
            what: what.into(),
            next: next.into(),
        });
    }

    /// Adds what others found and is not said yet, at places named by `at`.
    pub(super) fn adopt(&mut self, others: Problems, at: impl Fn(Place) -> Place) {
        for mut problem in others.0 {
            if self.0.contains(&problem) {
                continue;
            }
            problem.at = at(problem.at);
            if !self.0.contains(&problem) {
                self.0.push(problem);
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is said about this very key already, or about what it is part of.
    pub(super) fn names(&self, key: &str) -> bool {
        self.0.iter().any(|problem| problem.at.key == key)
    }

    /// One error that names them all, in the order of the file; the command line's come last.
    pub(super) fn into_error(mut self, origin: &str, text: &str) -> Error {
        self.0.sort_by_key(|p| p.at.offset.unwrap_or(usize::MAX));
        let count = match self.0.len() {
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        let shown = self.0.iter().take(LISTED);
        let mut lines: String = shown.map(|p| p.render(origin, text)).collect();
        if let Some(more) = self.0.len().checked_sub(LISTED).filter(|more| *more > 0) {
            lines.push_str(&format!("\n  and {more} more"));
        }
        let what = match origin.starts_with("--") {
            true => origin.to_owned(),
            false => format!("the scenario {origin}"),
        };
        Error::input(format!("{what} has {count}:{lines}"))
            .hint("fix the above; scenarios/README.md describes every key")
    }
}

impl Problem {
    /// A scenario that the command line stands for has no places that anybody has seen; a job file's
    /// are in the words.
    fn render(&self, origin: &str, text: &str) -> String {
        if origin.starts_with("--") && !self.at.key.starts_with("--") {
            let key = self.at.key.split('.').next().unwrap_or_default();
            let key = match key {
                "workloads" | "" => String::new(),
                key => format!("{key}: "),
            };
            let words = format!("{key}{}; {}", self.what, self.next);
            return format!("\n  {}", cut_words(&line(&words)));
        }
        let place = match self.at.offset {
            Some(offset) => {
                let (line, column) = position(text, offset);
                format!("{origin}:{line}:{column}: ")
            }
            None if self.at.key.starts_with("--") => "command line: ".to_owned(),
            None => format!("{origin}: "),
        };
        let key = match self.at.key.as_str() {
            "" => String::new(),
            key => format!("{key}: "),
        };
        let words = format!("{key}{}; {}", self.what, self.next);
        format!("\n  {place}{}", cut_words(&line(&words)))
    }
}

/// Line and column, both from 1, of a byte offset; the column counts characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_problems_are_listed_and_long_names_are_cut() {
        let mut problems = Problems::default();
        for _ in 0..10_000 {
            let name = "n".repeat(100_000);
            problems.add(&Place::option("--x"), format!("`{name}` is not"), "say yes");
        }
        let text = problems.into_error("s.toml", "").render();
        assert!(text.contains("has 10000 problems:"), "{text}");
        assert!(text.contains("\n  and 9980 more\n"), "{text}");
        assert!(text.len() < 20 * 200, "{}", text.len());
        assert!(text.contains("n... is not; say yes"), "{text}");
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a\nbc\n", 3), (2, 2));
        assert_eq!(position("ü = 1", 5), (1, 5));
        assert_eq!(position("a", 99), (1, 2));
    }
}
