//! The async runtime: one thread, for what a verb waits for.

use crate::error::{Error, Result};

/// A runtime on the calling thread.
///
/// # Errors
/// When the host has no more descriptors for it.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::host("starting the async runtime").because(e))
}
