//! Whether a page names every field of what it documents, for tests.

use serde_json::Value;
use std::collections::BTreeSet;

/// All keys of a value, however deep.
pub(crate) fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.insert(key.clone());
                keys(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|v| keys(v, found)),
        _ => {}
    }
}

/// Whether a page has a key between backticks, perhaps as that of a list.
pub(crate) fn has(page: &str, key: &str) -> bool {
    let forms = [format!("`{key}`"), format!("`{key}[]`")];
    forms.iter().any(|form| page.contains(form))
}
