//! How long guests took last time, in seconds by name: a hint for the display and for what a session will
//! take, and nothing else.

use crate::files::{self, write_atomically};
use std::{collections::BTreeMap, path::Path};

/// In the store's directory.
const NAME: &str = "timings.json";

/// Those of a store; none where there are none.
pub fn read(store: &Path) -> BTreeMap<String, f64> {
    files::read(&store.join(NAME), files::LIST)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// Keeps them, if it can.
pub fn write(store: &Path, took: &BTreeMap<String, f64>) {
    if let Ok(json) = serde_json::to_vec(took) {
        let _ = write_atomically(&store.join(NAME), &json);
    }
}
