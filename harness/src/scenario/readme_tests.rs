//! scenarios/README.md says what the parser does: its example has every key there is, and what it
//! calls a default is one.

use super::*;
use std::{collections::BTreeSet, path::Path};

const README: &str = include_str!("../../../scenarios/README.md");

/// The format's example.
fn example() -> &'static str {
    let (_, rest) = README.split_once("```toml\n").expect("an example");
    rest.split_once("```").expect("its end").0
}

fn read(text: &str) -> crate::error::Result<Scenario> {
    let known = ["6.12", "7.2"].map(String::from);
    let none = Overrides::default();
    resolve(text, "README.md", Path::new("/base"), &known, &none)
}

fn good(text: &str) -> Scenario {
    read(text).unwrap_or_else(|e| panic!("{}", e.render()))
}

/// Keys without a default, by section; all other lines of the example may go. The example's second
/// workload begins with an engine of its own, for the keys that no other engine has.
const REQUIRED: &[(&str, &[&str])] = &[
    ("[workloads.write-4k]", &["rw", "bs", "runtime"]),
    ("[workloads.mixed]", &["ioengine", "rw", "bs", "number_ios"]),
];

#[test]
fn what_the_readme_calls_a_default_is_one() {
    let mut section = "";
    let mut bare = String::new();
    let mut left_out = 0;
    for line in example().lines() {
        let key = line.split(['=', '#']).next().unwrap_or_default().trim();
        if line.starts_with('[') {
            section = key;
        }
        let required = REQUIRED.iter().find(|(name, _)| *name == section);
        let keep = match required {
            // Lists and texts over several lines among them.
            _ if section.is_empty() && !["device", "clock"].contains(&key) => true,
            _ if line.starts_with('[')
                || ["[[expect]]", "[[variants]]", "[source]"].contains(&section) =>
            {
                true
            }
            Some((_, keys)) => keys.contains(&key),
            None => false,
        };
        if keep {
            bare.push_str(line);
            bare.push('\n');
        } else if !key.is_empty() {
            left_out += 1;
        }
    }
    assert!(left_out >= 34, "{left_out} keys have a default:\n{bare}");
    assert_eq!(good(&bare), good(example()));
}

/// The keys that the parser knows in a section, out of its own mouth.
fn known_keys(heading: &str) -> Vec<String> {
    let text = format!("{heading}\nno-such-key = 1\n");
    let error = read(&text).expect_err("an unknown key").render();
    let line = error
        .lines()
        .find(|l| l.contains("no-such-key: unknown key"));
    let line = line.unwrap_or_else(|| panic!("{error}"));
    let (_, keys) = line.split_once("known keys: ").expect("the keys");
    keys.trim_end_matches(')')
        .split(", ")
        .map(String::from)
        .collect()
}

#[test]
fn the_readme_has_every_key_of_the_parser() {
    let headings = [
        "",
        "[model]",
        "[nvme]",
        "[guest]",
        "[measure]",
        "[session]",
        "[source]",
        "[filesystems.ext4]",
        "[workloads.w]",
        "[[expect]]",
        "[[variants]]",
    ];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = README.split(|c| !is_word(c)).collect();
    for heading in headings {
        for key in known_keys(heading) {
            assert!(words.contains(key.as_str()), "{heading} {key}");
        }
    }
}

#[test]
fn the_readme_has_every_metric() {
    for (word, _) in METRICS {
        assert!(README.contains(&format!("`{word}`")), "{word}");
    }
}
