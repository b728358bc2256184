//! What guests are made with, whatever is done with them.

use super::Qemu;
use crate::{
    error::Result,
    run::symbols::SymbolTables,
    store::Store,
    vm::{Deadlines, Vmm, vsock::Vsock},
};
use std::{cell::Cell, path::PathBuf};

/// What every guest of a run is made with.
pub struct Inside {
    /// See [`Qemu::vmm`].
    pub vmm: Vmm,
    /// See [`Qemu::plugin`].
    pub plugin: Option<PathBuf>,
    /// See [`Qemu::agent`].
    pub agent: Option<String>,
}

impl Qemu {
    /// One that goes on from checkpoints where there are some, and keeps neither consoles nor files. To be
    /// called within the runtime of its guests: the kernel's vsock route registers with it.
    ///
    /// # Errors
    /// When there is no way for results to come back.
    pub fn new(inside: Inside, store: &Store, deadlines: Deadlines) -> Result<Qemu> {
        Ok(Qemu {
            vmm: inside.vmm,
            plugin: inside.plugin,
            agent: inside.agent,
            store: store.clone(),
            symbols: SymbolTables::new(store.clone()),
            vsock: Vsock::open(None)?,
            deadlines,
            fresh_checkpoints: false,
            consoles: None,
            filled: Cell::default(),
            artifacts: None,
        })
    }
}
