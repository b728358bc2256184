//! What every verb stands on: the checkout, or what the program carries; the store, the sources.

use super::args::Places;
use crate::{
    carried::{self, Carried},
    error::{Error, Result},
    lock::WhenGone,
    provision::{Project, Provision},
    store::{Derived, FetchProgress, Sources, Store},
};
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

/// Where things are, decided once.
pub struct Context {
    /// What holds kernels/, images/ and scenarios/: a checkout, or the directory of what the program carries.
    pub root: PathBuf,
    /// The cache.
    pub store: Store,
    /// Mirrors and proxies.
    pub sources: Sources,
    /// Whether nothing may be downloaded.
    pub offline: bool,
    results: PathBuf,
    carried: Option<Derived>,
}

impl Context {
    /// From the command line's choices and the environment.
    ///
    /// # Errors
    /// When there is no checkout and the program carries nothing, or the cache cannot be used.
    pub fn new(places: &Places, offline: bool) -> Result<Context> {
        let carried = Carried::here()?;
        let root = match (&places.root, &carried) {
            (Some(root), _) => Some(root.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(find_root()?),
        };
        let sources = Context::sources(offline)?;
        let results = results_of(places, carried.is_some())?;
        let store = Context::store(places)?;
        let carried = carried
            .map(|carried| carried.directory(&store))
            .transpose()?;
        let own = || carried.as_deref().unwrap_or(Path::new("")).to_owned();
        Ok(Context {
            root: root.unwrap_or_else(own),
            store,
            sources,
            offline,
            results,
            carried,
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

    /// Where things are downloaded from, for verbs that need no checkout.
    ///
    /// # Errors
    /// When a variable of the environment makes no sense.
    pub fn sources(offline: bool) -> Result<Sources> {
        match offline {
            true => Ok(Sources::only(BTreeMap::new(), Vec::new())),
            false => Sources::from_env(variable),
        }
    }

    /// The checkout's declarations and locks.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn project(&self) -> Result<Project> {
        Project::open(&self.root)
    }

    /// What makes inputs ready, out of `project`, which is [`Context::project`].
    #[must_use]
    pub fn provision<'a>(
        &'a self,
        project: &'a Project,
        when_gone: WhenGone,
        progress: &'a dyn FetchProgress,
        tell: &'a dyn Fn(&str),
    ) -> Provision<'a> {
        Provision {
            project,
            store: &self.store,
            sources: &self.sources,
            when_gone,
            progress,
            tell,
        }
    }

    /// The agent that the program carries. None where one is built from a checkout: `root`'s, if it has
    /// one's sources.
    #[must_use]
    pub fn agent(&self) -> Option<PathBuf> {
        let carried = self.carried.as_ref()?;
        let sources = self.root.join("guest-agent/Cargo.toml").is_file();
        (!sources).then(|| carried.join(carried::AGENT))
    }

    /// How this program is called where a run is repeated.
    #[must_use]
    pub fn program(&self) -> &'static [&'static str] {
        match self.agent() {
            Some(_) => &["diorama"],
            None => &["cargo", "xtask"],
        }
    }

    /// Whether `root` is the program's own, and nobody's to write to.
    #[must_use]
    pub fn root_is_carried(&self) -> bool {
        let carried = self.carried.as_deref();
        carried.is_some_and(|carried| carried == self.root)
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
/// When neither the command line nor a checkout says it, and the program does not carry what it needs.
pub fn results_root(places: &Places) -> Result<PathBuf> {
    match (&places.results, &places.root) {
        (None, None) => results_of(places, Carried::here()?.is_some()),
        _ => results_of(places, false),
    }
}

fn results_of(places: &Places, carries: bool) -> Result<PathBuf> {
    if let Some(results) = &places.results {
        return Ok(results.clone());
    }
    let project = match &places.root {
        Some(root) => root.clone(),
        None if carries => current_dir()?,
        None => find_root()?,
    };
    Ok(project.join("results"))
}

fn current_dir() -> Result<PathBuf> {
    env::current_dir().map_err(|e| Error::host("getting the current directory").because(e))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|v| !v.is_empty())
}

/// The nearest directory upwards that looks like a checkout.
fn find_root() -> Result<PathBuf> {
    let here = current_dir()?;
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
