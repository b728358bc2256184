//! The cell cache: what was measured, by input digest. Same digest, same digits.

use crate::{
    digest::Sha256,
    error::{Error, Result},
    record::{Measured, SCHEMA},
    store::Store,
};
use serde::{Deserialize, Serialize};
use std::fs;

/// Kind of the store's entries that hold measured cells.
const CELLS: &str = "cell";
const FILE: &str = "cell.json";
/// SHA-256 of [`FILE`], in hex.
const SUM: &str = "cell.json.sha256";

/// Measured cells in the store.
#[derive(Clone, Debug)]
pub struct CellCache {
    store: Store,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    schema: u32,
    inputs: Sha256,
    measured: Measured,
}

impl CellCache {
    /// The cache in a store.
    #[must_use]
    pub fn new(store: Store) -> CellCache {
        CellCache { store }
    }

    /// What was measured with these inputs. An entry of another schema is no entry: the cell is
    /// measured again.
    ///
    /// # Errors
    /// When an entry was altered, or cannot be read: the cell must be measured again, and said to
    /// be. A digit that changed on the disk is still a number; only its checksum tells.
    pub fn get(&self, inputs: &Sha256) -> Result<Option<Measured>> {
        let Some(dir) = self.store.derived(CELLS, inputs) else {
            return Ok(None);
        };
        let altered = || Error::fetch(format!("the cached cell {} was altered", inputs.short()));
        let text = fs::read(dir.join(FILE)).map_err(|e| altered().because(e))?;
        let sum = match fs::read_to_string(dir.join(SUM)) {
            Ok(sum) => sum,
            // Of a version that wrote none.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(altered().because(e)),
        };
        if sum.trim() != Sha256::of(&text).to_string() {
            return Err(altered());
        }
        let entry: Entry = match serde_json::from_slice(&text) {
            Ok(entry) => entry,
            // Whole, but another version's.
            Err(_) => return Ok(None),
        };
        Ok((entry.schema == SCHEMA && entry.inputs == *inputs).then_some(entry.measured))
    }

    /// Keeps what was measured, in place of what was there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put(&self, inputs: &Sha256, measured: &Measured) -> Result<()> {
        let entry = Entry {
            schema: SCHEMA,
            inputs: *inputs,
            measured: measured.clone(),
        };
        let json = serde_json::to_vec(&entry)
            .map_err(|e| Error::internal("writing a cell as JSON").because(e))?;
        self.store.forget(CELLS, inputs)?;
        self.store
            .derive(CELLS, inputs, |dir| {
                let sum = Sha256::of(&json).to_string();
                for (name, bytes) in [(FILE, json.as_slice()), (SUM, sum.as_bytes())] {
                    let path = dir.join(name);
                    fs::write(&path, bytes).map_err(|e| Error::io("writing", &path, e))?;
                }
                Ok(())
            })
            .map(drop)
    }
}
