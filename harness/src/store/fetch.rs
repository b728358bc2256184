//! Fetching: cache, mirrors in order, retries, resume, snapshot; verified before it has its name.

use super::{
    FetchProgress, Sources, Store,
    flock::Flock,
    http::{self, HttpFailure},
    lease::Lease,
    partial::Partial,
    reasons::{MissingFile, Reasons},
    snapshot, sync, touch,
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    vocabulary::LockedFile,
};
use std::{
    fs::{self, File, Permissions},
    io::{ErrorKind, Read},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Downloads at a time: enough to hide the latency of small files, few enough for a mirror.
const PARALLEL: usize = 4;

impl Store {
    /// Sees to it that the files are in the store, and returns their paths in the same order. A
    /// few are downloaded in parallel; the first that cannot be had stops the others.
    ///
    /// # Errors
    /// When a file cannot be had or verified from any source, or the disk cannot hold it.
    pub fn fetch(
        &self,
        files: &[LockedFile],
        sources: &Sources,
        progress: &dyn FetchProgress,
    ) -> Result<Vec<PathBuf>> {
        Ok(self.fetch_or_missing(files, sources, progress)?)
    }

    /// [`Store::fetch`]; nobody clears the files away while what is returned is held.
    pub(crate) fn fetch_leased(
        &self,
        files: &[LockedFile],
        sources: &Sources,
        progress: &dyn FetchProgress,
    ) -> Result<Vec<Lease>> {
        let lease = |path: &PathBuf| match Lease::take(path) {
            Ok(lease) => Ok(Some(lease)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("locking", path, e)),
        };
        loop {
            let paths = self.fetch(files, sources, progress)?;
            let leases: Option<Vec<Lease>> = paths.iter().map(lease).collect::<Result<_>>()?;
            // Else one was cleared away since it was fetched.
            if let Some(leases) = leases {
                return Ok(leases);
            }
        }
    }

    /// [`Store::fetch`], telling a vanished file from any other failure.
    pub(crate) fn fetch_or_missing(
        &self,
        files: &[LockedFile],
        sources: &Sources,
        progress: &dyn FetchProgress,
    ) -> Result<Vec<PathBuf>, MissingFile> {
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let first: Mutex<Option<MissingFile>> = Mutex::new(None);
        std::thread::scope(|scope| {
            let work = || {
                while !stop.load(Ordering::Relaxed)
                    && let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if let Err(missing) = self.fetch_one(file, sources, progress, &stop) {
                        stop.store(true, Ordering::Relaxed);
                        first
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .get_or_insert(missing);
                    }
                }
            };
            for _ in 1..PARALLEL.min(files.len()) {
                // Where no more threads may be made (`ulimit -u`), fewer do it.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        match first
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            Some(missing) => Err(missing),
            None => Ok(files.iter().map(|f| self.file_path(&f.sha256)).collect()),
        }
    }

    fn fetch_one(
        &self,
        file: &LockedFile,
        sources: &Sources,
        progress: &dyn FetchProgress,
        stop: &AtomicBool,
    ) -> Result<(), MissingFile> {
        if self.cached(file, progress)? {
            return Ok(());
        }
        progress.started(file);
        let lock = self.lock_path(&file.sha256.to_string());
        let _lock = Flock::exclusive(&lock, |holder| {
            progress.note(&format!(
                "{}: waiting for {holder}, which is fetching it",
                file.package
            ));
        })?;
        if !self.cached(file, progress)? {
            self.download(file, sources, progress, stop)?;
            self.adopt(file)?;
        }
        progress.finished(file);
        Ok(())
    }

    /// Whether the file is there with the right size (its digest is checked whenever it is read).
    fn cached(&self, file: &LockedFile, progress: &dyn FetchProgress) -> Result<bool> {
        let path = self.file_path(&file.sha256);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() && meta.len() == file.size => {
                touch(&path);
                Ok(true)
            }
            Ok(meta) => {
                let why = format!("has {} bytes instead of {}", meta.len(), file.size);
                self.quarantine(file, &why, progress)?;
                Ok(false)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("reading", &path, e)),
        }
    }

    /// Sets a corrupt file aside and says so.
    pub(crate) fn quarantine(
        &self,
        file: &LockedFile,
        why: &str,
        progress: &dyn FetchProgress,
    ) -> Result<()> {
        let (from, to) = (
            self.file_path(&file.sha256),
            self.quarantine_path(&file.sha256),
        );
        match fs::rename(&from, &to) {
            Ok(()) => {}
            // Another harness was faster.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("setting aside the corrupt", &from, e)),
        }
        progress.note(&format!(
            "{}: the cached file is corrupt ({why}); it was moved to {} and is fetched again",
            file.package,
            to.display()
        ));
        Ok(())
    }

    /// Bytes of a file in the store, verified; a corrupt one is set aside and fetched again, once.
    pub(crate) fn read_verified(
        &self,
        file: &LockedFile,
        sources: &Sources,
        progress: &dyn FetchProgress,
    ) -> Result<Vec<u8>> {
        let path = self.file_path(&file.sha256);
        for _ in 0..2 {
            self.fetch(std::slice::from_ref(file), sources, progress)?;
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // Cleared away just now.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io("reading", &path, e)),
            };
            let digest = Sha256::of(&bytes);
            if digest == file.sha256 {
                return Ok(bytes);
            }
            self.quarantine(file, &format!("its sha256 is {}", digest.short()), progress)?;
        }
        Err(Error::host(format!(
            "{} is corrupt again right after it was fetched and verified",
            path.display()
        ))
        .hint(
            "check the disk and the memory of this machine, or set DIORAMA_CACHE to another disk",
        ))
    }

    /// Gives a complete, verified partial file its name.
    fn adopt(&self, file: &LockedFile) -> Result<()> {
        let (from, to) = (
            self.partial_path(&file.sha256),
            self.file_path(&file.sha256),
        );
        fs::set_permissions(&from, Permissions::from_mode(0o444))
            .and_then(|()| File::open(&from)?.sync_all())
            .map_err(|e| Error::io("flushing", &from, e))?;
        fs::rename(&from, &to).map_err(|e| Error::io("renaming", &from, e))?;
        sync(&self.root().join("files"))
    }

    /// Completes `partial/<sha256>` from the first source that can.
    fn download(
        &self,
        file: &LockedFile,
        sources: &Sources,
        progress: &dyn FetchProgress,
        stop: &AtomicBool,
    ) -> Result<(), MissingFile> {
        let mirrors = sources.mirrors(&file.archive)?;
        let mut urls: Vec<String> = mirrors
            .iter()
            .map(|base| format!("{base}/{}", file.path))
            .collect();
        let mut reasons = Reasons::default();
        let mut backoff = sources.backoff;
        for round in 0..=sources.retries {
            let mut again = Vec::new();
            for url in urls {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::fetch(format!("{}: stopped", file.package)).into());
                }
                match self.attempt(file, sources, &url, progress, stop)? {
                    Ok(()) => return Ok(()),
                    Err(failure) => {
                        progress.note(&format!("{}: {failure}", file.package));
                        if matches!(failure, HttpFailure::Transient(_) | HttpFailure::Cut(_)) {
                            again.push(url.clone());
                        }
                        reasons.add(url, failure);
                    }
                }
            }
            urls = again;
            if urls.is_empty() || round == sources.retries {
                break;
            }
            std::thread::sleep(backoff);
            backoff *= 2;
        }
        let gone = reasons.gone();
        // The same mirrors by HTTPS: nobody on the way can say "gone" in their name.
        for url in mirrors
            .iter()
            .filter(|_| gone)
            .filter_map(|base| secure(base))
        {
            let url = format!("{url}/{}", file.path);
            match self.attempt(file, sources, &url, progress, stop)? {
                Ok(()) => {
                    progress.note(&format!(
                        "{}: fetched from {url}, although a mirror said over plain HTTP that it \
                         was gone",
                        file.package
                    ));
                    return Ok(());
                }
                Err(failure) => reasons.add(url, failure),
            }
        }
        // Indexes are not kept by package and version; everything else is.
        if !file.path.starts_with("dists/") {
            for base in sources.snapshots() {
                let found = snapshot::url(sources, base, file);
                let outcome = match found {
                    Ok(url) => self.attempt(file, sources, &url, progress, stop)?,
                    Err(failure) => Err(failure),
                };
                match outcome {
                    Ok(()) => {
                        progress.note(&format!("{}: fetched from {base}", file.package));
                        return Ok(());
                    }
                    Err(failure) => reasons.add(base.clone(), failure),
                }
            }
        }
        let gone = gone && reasons.gone();
        let witnessed = reasons.witnessed(sources.snapshots());
        Err(reasons.into_missing(file, gone, witnessed))
    }

    /// One try at one URL. The outer error is the host's fault and final.
    fn attempt(
        &self,
        file: &LockedFile,
        sources: &Sources,
        url: &str,
        progress: &dyn FetchProgress,
        stop: &AtomicBool,
    ) -> Result<Result<(), HttpFailure>> {
        let path = self.partial_path(&file.sha256);
        let mut part = Partial::open(&path, file.size)?;
        let resumed_from = part.have;
        if part.have < file.size {
            let answer = match http::get(sources, url, part.have) {
                Ok(answer) => answer,
                Err(failure) => return Ok(Err(failure)),
            };
            if part.have > 0 && !answer.resumed {
                part.restart()?;
            }
            if let Some(length) = answer
                .length
                .filter(|n| part.have.saturating_add(*n) != file.size)
            {
                return Ok(Err(HttpFailure::Wrong(format!(
                    "{url}: the file there has {} bytes, not {}",
                    part.have.saturating_add(length),
                    file.size
                ))));
            }
            let mut body = answer.body;
            let mut buffer = vec![0; 1 << 16];
            while part.have <= file.size {
                if stop.load(Ordering::Relaxed) {
                    return Ok(Err(HttpFailure::Refused("stopped".into())));
                }
                let n = match body.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    Err(e) => {
                        return Ok(Err(HttpFailure::Cut(format!(
                            "{url}: cut short after {} of {} bytes ({e})",
                            part.have, file.size
                        ))));
                    }
                };
                part.append(&buffer[..n])?;
                progress.advanced(file, part.have.min(file.size));
            }
            if part.have < file.size {
                return Ok(Err(HttpFailure::Cut(format!(
                    "{url}: cut short after {} of {} bytes",
                    part.have, file.size
                ))));
            }
        }
        let digest = part.digest();
        if digest == file.sha256 && part.have == file.size {
            return Ok(Ok(()));
        }
        part.restart()?;
        let what = format!(
            "{url}: sha256 is {}, not {}",
            digest.short(),
            file.sha256.short()
        );
        // Bytes of an earlier process may be to blame: then this source deserves a whole try.
        Ok(Err(if resumed_from > 0 {
            HttpFailure::Cut(what)
        } else {
            HttpFailure::Wrong(what)
        }))
    }
}

/// The same place by HTTPS, if it has the usual ports.
fn secure(base: &str) -> Option<String> {
    let rest = base.strip_prefix("http://")?;
    let host = rest.split('/').next()?;
    (!host.contains(':')).then(|| format!("https://{rest}"))
}

/// Whether a mirror serves the file with the size that the index says, without fetching it. As in
/// [`Store::fetch`], mirrors that do not answer do not count while another does.
pub(crate) fn check_there(file: &LockedFile, sources: &Sources) -> Result<bool> {
    let mut unclear = None;
    let mut answered = false;
    for base in sources.mirrors(&file.archive)? {
        match http::head(sources, &format!("{base}/{}", file.path)) {
            Ok(length) if length.is_none_or(|n| n == file.size) => return Ok(true),
            Ok(_) | Err(HttpFailure::Gone(_)) => answered = true,
            Err(failure) => unclear = Some(failure),
        }
    }
    match unclear {
        Some(failure) if !answered => Err(Error::fetch(format!(
            "asking the mirrors for {}",
            file.path
        ))
        .because(failure)
        .hint("check the network, the proxy variables, or set another mirror")),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests;
