//! What every verb stands on: the checkout, the store, the sources.

use super::args::Places;
use crate::{
    error::{Error, Result},
    provision::Project,
    store::{Sources, Store},
};
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

/// Where things are, decided once.
pub struct Context {
    /// The checkout that holds kernels/, images/ and scenarios/.
    pub root: PathBuf,
    /// The cache.
    pub store: Store,
    /// Mirrors and proxies.
    pub sources: Sources,
    /// Whether nothing may be downloaded.
    pub offline: bool,
    results: PathBuf,
}

impl Context {
    /// From the command line's choices and the environment.
    ///
    /// # Errors
    /// When there is no checkout, or the cache cannot be used.
    pub fn new(places: &Places, offline: bool) -> Result<Context> {
        let root = root(places)?;
        let sources = if offline {
            Sources::only(BTreeMap::new(), Vec::new())
        } else {
            Sources::from_env(variable)?
        };
        let results = results(places, &root);
        Ok(Context {
            root,
            store: Context::store(places)?,
            sources,
            offline,
            results,
        })
    }

    /// The cache alone, for verbs that need no checkout.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn store(places: &Places) -> Result<Store> {
        match &places.cache {
            Some(cache) => Store::open(cache.clone()),
            None => Store::open(Store::default_root(variable)?),
        }
    }

    /// The checkout's declarations and locks.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn project(&self) -> Result<Project> {
        Project::open(&self.root)
    }

    /// Where runs are recorded.
    #[must_use]
    pub fn results(&self) -> PathBuf {
        self.results.clone()
    }
}

/// Where runs are recorded, for verbs that only read them.
///
/// # Errors
/// When neither the command line nor a checkout says it.
pub fn results_root(places: &Places) -> Result<PathBuf> {
    match &places.results {
        Some(results) => Ok(results.clone()),
        None => Ok(results(places, &root(places)?)),
    }
}

fn results(places: &Places, root: &Path) -> PathBuf {
    places
        .results
        .clone()
        .unwrap_or_else(|| root.join("results"))
}

fn root(places: &Places) -> Result<PathBuf> {
    places.root.clone().map_or_else(find_root, Ok)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|v| !v.is_empty())
}

/// The nearest directory upwards that looks like a checkout.
fn find_root() -> Result<PathBuf> {
    let here =
        env::current_dir().map_err(|e| Error::host("getting the current directory").because(e))?;
    here.ancestors()
        .find(|dir| dir.join("kernels/lock.toml").is_file())
        .map_or_else(
            || {
                Err(Error::input(format!(
                    "no Diorama checkout at or above {}",
                    here.display()
                ))
                .hint("run inside a clone of the repository, or point to one with --root DIR"))
            },
            |dir| Ok(dir.to_owned()),
        )
}
