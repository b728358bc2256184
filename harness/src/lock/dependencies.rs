//! Packages by name and what they depend on (pure).

use super::{LockedFile, archive::Index, control::Package, version};
use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

/// Packages of several suites by name.
pub struct View<'a> {
    newest: BTreeMap<&'a str, (&'a Index, &'a Package)>,
    provided: BTreeMap<&'a str, &'a str>,
}

impl<'a> View<'a> {
    /// Of equal names the newest counts.
    pub fn new(indexes: &'a [Rc<Index>]) -> View<'a> {
        let mut newest: BTreeMap<&str, (&Index, &Package)> = BTreeMap::new();
        let mut provided = BTreeMap::new();
        for index in indexes {
            for package in &index.packages {
                let known = newest.entry(&package.name).or_insert((index, package));
                if version::compare(&package.version, &known.1.version).is_gt() {
                    *known = (index, package);
                }
                for name in &package.provides {
                    provided
                        .entry(name.as_str())
                        .or_insert(package.name.as_str());
                }
            }
        }
        View { newest, provided }
    }

    /// Of equal names the newest counts.
    /// The newest package of a name.
    pub fn newest(&self, name: &str) -> Option<(&'a Index, &'a Package)> {
        self.newest.get(name).copied()
    }

    /// The packages and everything that they depend on, transitively: of alternatives the first
    /// that exists, for a virtual package its first provider. Versions are not compared: within one
    /// release of Debian every dependency can be met. Sorted by package.
    pub fn with_dependencies(&self, named: &[(&'a Index, &'a Package)]) -> Vec<LockedFile> {
        let mut chosen: BTreeMap<&str, (&Index, &Package)> = BTreeMap::new();
        let mut queue: VecDeque<_> = named.iter().copied().collect();
        while let Some((index, package)) = queue.pop_front() {
            if chosen.insert(&package.name, (index, package)).is_some() {
                continue;
            }
            for group in &package.depends {
                let real = group.iter().find_map(|name| self.newest(name));
                let virtual_ = || {
                    let provider = group.iter().find_map(|n| self.provided.get(n.as_str()))?;
                    self.newest(provider)
                };
                queue.extend(real.or_else(virtual_));
            }
        }
        chosen
            .values()
            .map(|(index, package)| index.lock(package))
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::digest::Sha256;

    pub fn package(
        name: &str,
        version: &str,
        source: &str,
        size: u64,
        depends: &[&str],
    ) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            source: source.into(),
            path: format!("pool/{name}.deb"),
            size,
            sha256: Sha256::of(name.as_bytes()),
            depends: depends
                .iter()
                .map(|d| d.split('|').map(str::to_owned).collect())
                .collect(),
            provides: Vec::new(),
        }
    }

    pub fn index(packages: Vec<Package>) -> Rc<Index> {
        Rc::new(Index {
            archive: "debian".into(),
            packages,
        })
    }

    #[test]
    fn dependencies_are_followed_through_alternatives_providers_and_cycles() {
        let mut provider = package("mail-b", "1", "m", 1, &["a"]);
        provider.provides = vec!["mail".into()];
        let indexes = [
            index(vec![
                package("a", "1", "a", 1, &["nothing|b", "mail"]),
                package("b", "1", "b", 1, &["c"]),
                package("c", "1", "c", 1, &["a"]),
                package("d", "1", "d", 1, &[]),
                provider,
            ]),
            index(vec![package("c", "2", "c", 1, &[])]),
        ];
        let view = View::new(&indexes);
        let all = view.with_dependencies(&[view.newest("a").unwrap()]);
        let names: Vec<_> = all
            .iter()
            .map(|f| format!("{} {}", f.package, f.version))
            .collect();
        assert_eq!(names, ["a 1", "b 1", "c 2", "mail-b 1"]);
    }
}
