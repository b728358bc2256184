//! The archive's indexes: InRelease, verified, and the Packages index that it vouches for.

use super::{
    LockedFile,
    control::{self, Package},
    declare::{Declarations, Suite},
    release::{self, Release, ReleaseRefusal},
};
use crate::{
    error::{Error, Result},
    store::{FetchProgress, Sources, Store, http},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, io::Read as _, rc::Rc};

/// The index of the only component and architecture used.
const INDEX: &str = "main/binary-amd64/Packages.xz";

/// The longest InRelease file believed.
const RELEASE_LIMIT: u64 = 8 << 20;

/// A suite's packages, all of them (a name may be there in several versions).
pub struct Index {
    /// The archive's name.
    pub archive: String,
    /// In the order of the index.
    pub packages: Vec<Package>,
}

impl Index {
    /// A package as a file to lock.
    pub fn lock(&self, package: &Package) -> LockedFile {
        LockedFile {
            package: package.name.clone(),
            version: package.version.clone(),
            archive: self.archive.clone(),
            path: package.path.clone(),
            size: package.size,
            sha256: package.sha256,
        }
    }
}

/// A view of the archive at one time; every suite is asked once.
pub struct ArchiveView<'a> {
    pub declarations: &'a Declarations,
    pub store: &'a Store,
    pub sources: &'a Sources,
    pub progress: &'a dyn FetchProgress,
    now: Timestamp,
    suites: BTreeMap<String, Option<Rc<Index>>>,
}

impl<'a> ArchiveView<'a> {
    /// A view as of `now`, by which expired Release files are recognised.
    pub fn new(
        declarations: &'a Declarations,
        store: &'a Store,
        sources: &'a Sources,
        progress: &'a dyn FetchProgress,
        now: Timestamp,
    ) -> ArchiveView<'a> {
        ArchiveView {
            declarations,
            store,
            sources,
            progress,
            now,
            suites: BTreeMap::new(),
        }
    }

    /// The indexes of those suites that can be used. An expired suite or one that cannot be
    /// reached is left out, with a note, as long as another one is left; an untrusted one is an
    /// error in any case.
    pub fn indexes(&mut self, suites: &[String]) -> Result<Vec<Rc<Index>>> {
        let mut usable = Vec::new();
        let mut last = None;
        for name in suites {
            if let Some(known) = self.suites.get(name) {
                usable.extend(known.clone());
                continue;
            }
            let suite = self.declarations.suite(name)?;
            match self.index(suite)? {
                Ok(index) => {
                    let index = Rc::new(index);
                    self.suites.insert(name.clone(), Some(index.clone()));
                    usable.push(index);
                }
                Err(error) => {
                    self.progress
                        .note(&format!("{name}: not used: {}", error.render()));
                    self.suites.insert(name.clone(), None);
                    last = Some(error);
                }
            }
        }
        match last {
            _ if !usable.is_empty() => Ok(usable),
            Some(error) => Err(error),
            None => Err(Error::fetch(format!(
                "none of the suites {} can be used",
                suites.join(", ")
            ))),
        }
    }

    /// The outer error is final, the inner one rules out this suite only.
    fn index(&self, suite: &Suite) -> Result<Result<Index>> {
        let release = match self.release(suite)? {
            Ok(release) => release,
            Err(error) => return Ok(Err(error)),
        };
        let Some(&(size, sha256)) = release.files.get(INDEX) else {
            return Ok(Err(Error::fetch(format!(
                "{}: its Release file lists no {INDEX}",
                suite.name
            ))));
        };
        let dir = format!(
            "dists/{}/{}",
            suite.name,
            INDEX.rsplit_once('/').map_or("", |(d, _)| d)
        );
        let path = if release.by_hash {
            format!("{dir}/by-hash/SHA256/{sha256}")
        } else {
            format!("dists/{}/{INDEX}", suite.name)
        };
        let file = LockedFile {
            package: format!("index of {}", suite.name),
            version: sha256.short(),
            archive: suite.archive.clone(),
            path,
            size,
            sha256,
        };
        let packed = match self.store.read_verified(&file, self.sources, self.progress) {
            Ok(packed) => packed,
            Err(error) => return Ok(Err(error)),
        };
        let mut text = String::new();
        liblzma::read::XzDecoder::new_multi_decoder(&packed[..])
            .read_to_string(&mut text)
            .map_err(|e| {
                Error::fetch(format!("unpacking the index of {}", suite.name)).because(e)
            })?;
        Ok(Ok(Index {
            archive: suite.archive.clone(),
            packages: control::packages(&text, |_| true),
        }))
    }

    /// The Release file from the first mirror that has one that is not expired.
    fn release(&self, suite: &Suite) -> Result<Result<Release>> {
        let keys = self.declarations.keys(suite);
        let mut reasons = Vec::new();
        let mut expired = None;
        for base in self.sources.mirrors(&suite.archive)? {
            let url = format!("{base}/dists/{}/InRelease", suite.name);
            let mut backoff = self.sources.backoff;
            let mut tries = 0;
            let bytes = loop {
                match http::get_all(self.sources, &url, RELEASE_LIMIT) {
                    Ok(bytes) => break bytes,
                    Err(http::HttpFailure::Transient(_)) if tries < self.sources.retries => {
                        tries += 1;
                        std::thread::sleep(backoff);
                        backoff *= 2;
                    }
                    Err(failure) => {
                        reasons.push(failure.to_string());
                        break Vec::new();
                    }
                }
            };
            if bytes.is_empty() {
                continue;
            }
            let text = String::from_utf8_lossy(&bytes);
            match release::verify(&text, &suite.name, &keys, self.now) {
                Ok(release) => return Ok(Ok(release)),
                Err(ReleaseRefusal::Expired(error)) => expired = Some(error),
                Err(ReleaseRefusal::Untrusted(error)) => {
                    return Err(error.while_(format!("reading {url}")));
                }
            }
        }
        Ok(Err(expired.unwrap_or_else(|| {
            Error::fetch(format!("fetching the Release file of {}", suite.name))
                .because(reasons.join("; "))
                .hint(
                    "check the network and the proxy variables, or set a mirror in \
                       DIORAMA_MIRROR_DEBIAN or DIORAMA_MIRROR_DEBIAN_SECURITY",
                )
        })))
    }
}
