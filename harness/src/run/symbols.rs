//! The kernels' functions, kept in the store by their checkpoint: nothing moves in a kernel between
//! two boots of equal inputs.

use crate::{
    digest::Sha256,
    error::{Error, Result},
    kernel,
    profile::Symbols,
    store::Store,
};
use diorama_wire::LoadedModule;
use std::{cell::RefCell, collections::BTreeMap, fmt::Write as _, fs, path::Path, rc::Rc};

/// Kind of the store's entries that hold them.
pub const KIND: &str = "symbols";
const FILE: &str = "kallsyms";

/// The functions of all kernels whose guests said them, each kernel's read once per process.
#[derive(Debug)]
pub struct SymbolTables {
    store: Store,
    parsed: RefCell<BTreeMap<Sha256, Rc<Symbols>>>,
}

impl SymbolTables {
    /// Those in a store.
    #[must_use]
    pub fn new(store: Store) -> SymbolTables {
        SymbolTables {
            store,
            parsed: RefCell::default(),
        }
    }

    /// Those of a kernel, if they were handed out before.
    pub fn known(&self, checkpoint: &Sha256) -> Option<Rc<Symbols>> {
        if let Some(parsed) = self.parsed.borrow().get(checkpoint) {
            return Some(Rc::clone(parsed));
        }
        let dir = self.store.derived(KIND, checkpoint)?;
        let text = fs::read_to_string(dir.join(FILE)).ok()?;
        Some(self.parse(checkpoint, &text))
    }

    /// Keeps what a guest said, with the functions of modules that were stripped before they were loaded:
    /// stripping moves nothing, so the symbols of the files in `modules` are theirs.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep(
        &self,
        checkpoint: &Sha256,
        said: &diorama_wire::Symbols,
        modules: Option<&Path>,
    ) -> Result<Rc<Symbols>> {
        let mut text = said.functions.clone();
        // Without the kernel's own there is no telling what calls them.
        if !text.is_empty()
            && let Some(dir) = modules
        {
            for module in &said.modules {
                text.push_str(&functions(module, dir));
            }
        }
        self.store.derive(KIND, checkpoint, |dir| {
            let path = dir.join(FILE);
            fs::write(&path, &text).map_err(|e| Error::io("writing", &path, e))
        })?;
        Ok(self.parse(checkpoint, &text))
    }

    /// Forgets what was read of a checkpoint's entry, which is in doubt.
    pub fn forget(&self, checkpoint: &Sha256) {
        self.parsed.borrow_mut().remove(checkpoint);
    }

    fn parse(&self, checkpoint: &Sha256, text: &str) -> Rc<Symbols> {
        let parsed = Rc::new(Symbols::parse(text));
        let mut all = self.parsed.borrow_mut();
        all.insert(*checkpoint, Rc::clone(&parsed));
        parsed
    }
}

/// A module's functions as /proc/kallsyms would have them; none for a file that cannot be read,
/// whose functions then have no names.
fn functions(module: &LoadedModule, dir: &Path) -> String {
    let path = dir.join(format!("{}.ko", module.name));
    let Ok(bytes) = fs::read(&path) else {
        return String::new();
    };
    let mut text = String::new();
    for (section, offset, name) in kernel::functions(&bytes) {
        let base = module.sections.iter().find(|(name, _)| *name == section);
        if let Some((_, base)) = base {
            let address = base.wrapping_add(offset);
            let _ = writeln!(text, "{address:x} t {name}\t[{}]", module.name);
        }
    }
    text
}
