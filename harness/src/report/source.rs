//! The published report that a run is about, in words.

use crate::scenario::{Known, Source};

/// Who reported it, and when.
pub(super) fn reported(source: &Source) -> String {
    let parts = [source.by.as_str(), source.date.as_str()];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

/// Where it is, with who and when before it.
pub(super) fn whole(source: &Source) -> String {
    match reported(source).as_str() {
        "" => format!("source: {}", source.url),
        who => format!("source: {who}: {}", source.url),
    }
}

/// A source as a list of sentences, each with what it is before it.
pub(super) fn words(source: &Source) -> Vec<String> {
    let known = match source.known {
        Known::Reproduced => String::new(),
        known => format!("{}: {}", known.word(), source.because),
    };
    let parts = [
        ("measured on", source.setup.as_str()),
        ("claimed", &source.claim),
        ("what this lane can show", &source.limits),
        ("known to be", &known),
    ];
    let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
    let parts = parts.map(|(name, text)| format!("{name}: {}", text.replace('\n', " ")));
    [whole(source)].into_iter().chain(parts).collect()
}
