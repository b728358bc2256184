//! What can be locked: kernels/kernels.toml, images/images.toml, kernels/suites.toml and the keys
//! in kernels/keys.

use super::{release::Key, unknown};
use crate::{
    error::{Error, Result},
    files,
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, path::Path};

/// All declarations, checked.
#[derive(Clone, Debug)]
pub struct Declarations {
    /// In the order declared.
    pub kernels: Vec<DeclaredKernel>,
    /// In the order declared.
    pub tools: Vec<Tools>,
    suites: Vec<Suite>,
    keys: BTreeMap<String, Key>,
}

/// A kernel series of Debian.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredKernel {
    /// Name in scenarios and in the lock.
    pub name: String,
    /// `6.12` takes 6.12.y, the newest.
    pub series: String,
    /// Debian's flavour: `cloud-amd64`, `amd64`.
    pub flavour: String,
    /// Suites to look in.
    pub suites: Vec<String>,
}

/// A set of tools from Debian packages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// Name in the lock.
    pub name: String,
    /// Suites to look in.
    pub suites: Vec<String>,
    /// Packages that are taken whole.
    pub packages: Vec<String>,
    /// Paths in these packages whose shared libraries are taken too; none means no dependencies.
    pub executables: Vec<String>,
    /// Shared libraries that are not taken, although an executable is linked with them, nor what
    /// they need: guests get stand-ins ([`crate::image::stand_in`]).
    #[serde(default)]
    pub stand_ins: Vec<String>,
}

/// A suite of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its directory below `dists`: `trixie-backports` (security suites: `trixie-security`).
    pub name: String,
    /// `debian` or `debian-security`.
    pub archive: String,
    /// Files of kernels/keys, without `.asc`; one good signature suffices.
    pub keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelsFile {
    #[serde(default)]
    kernel: Vec<DeclaredKernel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImagesFile {
    #[serde(default)]
    tools: Vec<Tools>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuitesFile {
    suite: Vec<Suite>,
}

impl Declarations {
    /// Reads the declarations of a repository from its top directory.
    ///
    /// # Errors
    /// When a file cannot be read, or names a suite or key that there is not.
    pub fn load(repository: &Path) -> Result<Declarations> {
        let kernels = repository.join("kernels");
        let suites: SuitesFile = read(&kernels.join("suites.toml"))?;
        let mut keys = BTreeMap::new();
        for name in suites.suite.iter().flat_map(|s| &s.keys) {
            if !keys.contains_key(name) {
                let path = kernels.join("keys").join(format!("{name}.asc"));
                keys.insert(name.clone(), Key::from_armour(name, &text(&path)?)?);
            }
        }
        let declared = Declarations {
            kernels: read::<KernelsFile>(&kernels.join("kernels.toml"))?.kernel,
            tools: read::<ImagesFile>(&repository.join("images/images.toml"))?.tools,
            suites: suites.suite,
            keys,
        };
        let mut seen = std::collections::BTreeSet::new();
        let kernels = declared.kernels.iter().map(|k| (&k.name, &k.suites));
        for (name, suites) in kernels.chain(declared.tools.iter().map(|t| (&t.name, &t.suites))) {
            if !seen.insert(name) {
                return Err(Error::input(format!("`{name}` is declared twice")));
            }
            for suite in suites {
                declared
                    .suite(suite)
                    .map_err(|e| e.while_(format!("reading the declaration of `{name}`")))?;
            }
        }
        Ok(declared)
    }

    /// Of nothing that can be resolved: a tool set alone, and the libraries that guests have stand-ins
    /// for there. For lock entries that come from elsewhere, and are fetched or not.
    #[must_use]
    pub fn of_stand_ins(name: &str, stand_ins: &[String]) -> Declarations {
        let tools = Tools {
            name: name.to_owned(),
            suites: Vec::new(),
            packages: Vec::new(),
            executables: Vec::new(),
            stand_ins: stand_ins.to_vec(),
        };
        Declarations {
            kernels: Vec::new(),
            tools: vec![tools],
            suites: Vec::new(),
            keys: BTreeMap::new(),
        }
    }

    /// The suite of a name.
    pub(super) fn suite(&self, name: &str) -> Result<&Suite> {
        let known = self.suites.iter().map(|s| s.name.as_str());
        self.suites
            .iter()
            .find(|s| s.name == name)
            .ok_or_else(|| unknown("suite", name, known))
    }

    /// The keys that a suite accepts.
    pub(super) fn keys(&self, suite: &Suite) -> Vec<Key> {
        suite
            .keys
            .iter()
            .filter_map(|name| self.keys.get(name).cloned())
            .collect()
    }

    /// Libraries of a tool set that guests get stand-ins for.
    #[must_use]
    pub fn stand_ins(&self, name: &str) -> &[String] {
        let tools = self.tools.iter().find(|t| t.name == name);
        tools.map(|t| t.stand_ins.as_slice()).unwrap_or_default()
    }

    /// Every declared name: kernels, then tool sets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let kernels = self.kernels.iter().map(|k| k.name.as_str());
        kernels.chain(self.tools.iter().map(|t| t.name.as_str()))
    }
}

fn text(path: &Path) -> Result<String> {
    files::read_text(path, files::TEXT).map_err(|e| {
        Error::input(format!("reading {}", path.display()))
            .because(e)
            .hint("run in a clone of the repository")
    })
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    toml::from_str(&text(path)?)
        .map_err(|e| Error::input(format!("{} cannot be understood", path.display())).because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_declarations_are_sound() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let declared = Declarations::load(repository).unwrap();
        let names: Vec<_> = declared.names().collect();
        assert_eq!(
            names,
            [
                "5.10",
                "6.1",
                "6.12",
                "6.18",
                "7.2",
                "vmm",
                "guest-tools",
                "btrfs-tools",
                "f2fs-tools",
                "agent-sysroot",
                "fio",
                "busybox",
                "compiler",
                "registry"
            ]
        );
        for suite in &declared.suites {
            assert_eq!(declared.keys(suite).len(), suite.keys.len());
        }
    }
}
