//! The cell cache: what was measured in the exact lane, by input digest. Same digest, same digits.

use crate::{
    digest::Sha256,
    error::{Error, Result},
    files,
    record::{Measured, SCHEMA},
    store::Store,
    vocabulary::Lane,
};
use serde::{Deserialize, Serialize};
use std::fs;

/// Kind of the store's entries that hold measured cells.
const CELLS: &str = "cell";
const FILE: &str = "cell.json";

/// Measured cells of the exact lane in the store. There is none for another lane, whose figures are one
/// moment's: see [`CellCache::of`].
#[derive(Clone, Debug)]
pub struct CellCache {
    store: Store,
}

#[derive(Serialize, Deserialize)]
struct CachedCell {
    schema: u32,
    inputs: Sha256,
    measured: Measured,
}

impl CellCache {
    /// The cache of a lane's cells in a store; none where equal inputs do not give equal digits.
    #[must_use]
    pub fn of(lane: Lane, store: Store) -> Option<CellCache> {
        lane.is_exact().then_some(CellCache { store })
    }

    /// What was measured with these inputs. An entry of another schema is no entry: the cell is
    /// measured again.
    ///
    /// # Errors
    /// When an entry is in doubt, or cannot be read: the cell must be measured again, and said to
    /// be. A digit that changed on the disk is still a number; only the manifest tells.
    pub fn get(&self, inputs: &Sha256) -> Result<Option<Measured>> {
        let Some(dir) = self.store.find(CELLS, inputs)? else {
            return Ok(None);
        };
        let path = dir.join(FILE);
        let text =
            files::read(&path, files::PROGRAM).map_err(|e| Error::io("reading", &path, e))?;
        // Whole, but another version's.
        let Ok(entry) = serde_json::from_slice::<CachedCell>(&text) else {
            return Ok(None);
        };
        Ok((entry.schema == SCHEMA && entry.inputs == *inputs).then_some(entry.measured))
    }

    /// Whether keeping a cell of these inputs would have to wait for another process.
    #[must_use]
    pub fn is_busy(&self, inputs: &Sha256) -> bool {
        self.store.is_busy(CELLS, inputs)
    }

    /// Keeps what was measured, in place of what was there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put(&self, inputs: &Sha256, measured: &Measured) -> Result<()> {
        let entry = CachedCell {
            schema: SCHEMA,
            inputs: *inputs,
            measured: measured.clone(),
        };
        let json = serde_json::to_vec(&entry)
            .map_err(|e| Error::internal("writing a cell as JSON").because(e))?;
        self.store
            .replace(CELLS, inputs, |dir| {
                let path = dir.join(FILE);
                fs::write(&path, &json).map_err(|e| Error::io("writing", &path, e))
            })
            .map(drop)
    }
}
