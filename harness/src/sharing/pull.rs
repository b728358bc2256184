//! An image out of a registry, or from a URL: fetched by the store, blob by blob, and put together again to the
//! very bytes that were packed.

use super::{
    reference::{InRegistry, Reference, Url, Which},
    registry::Registry,
};
use crate::{
    bundle::{
        Container, limits,
        oci::{self, OciManifest},
        ustar,
    },
    digest::Sha256,
    error::{Error, Result},
    runtime::runtime,
    store::{Derived, FetchProgress, Lease, Sources, Store, http},
    text,
    vocabulary::LockedFile,
};
use sha2::Digest as _;
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
};

/// What these files' archive is called.
const ARCHIVE: &str = "registry";

/// Kind of derived directory that holds an image put together.
const KIND: &str = "image";
/// The image in it.
const NAME: &str = "image.diorama";

/// An image in a file of this host's, in use as long as this is held.
#[derive(Debug)]
pub struct Pulled {
    path: PathBuf,
    /// What is fetched for good: the registry's reference by digest, or the URL.
    pub from: Option<String>,
    _derived: Option<Derived>,
    _lease: Option<Lease>,
}

impl Pulled {
    /// One that is here already.
    #[must_use]
    pub fn file(path: PathBuf) -> Pulled {
        Pulled {
            path,
            from: None,
            _derived: None,
            _lease: None,
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The file that a reference means: itself, or in the cache what it names.
///
/// # Errors
/// When what it names cannot be had.
pub fn local(
    reference: &Reference,
    store: &Store,
    sources: &Sources,
    progress: &dyn FetchProgress,
) -> Result<Pulled> {
    match reference {
        Reference::File(path) => Ok(Pulled::file(path.clone())),
        Reference::Url(url) => by_url(url, store, sources, progress),
        Reference::Registry(reference) => {
            let found = Found::at(reference, sources)?;
            let derived = store.derive_held(KIND, &found.digest, |out| {
                let path = out.join(NAME);
                let create = |e| Error::io("creating", &path, e);
                let file = File::create_new(&path).map_err(create)?;
                found.put_together(&file, &path, store, progress)
            })?;
            Ok(Pulled {
                path: derived.join(NAME),
                from: Some(reference.at(found.digest).to_string()),
                _derived: Some(derived),
                _lease: None,
            })
        }
    }
}

/// Fetches what a reference names into a file: whole and checked, or not at all. Returns the reference
/// by its digest.
///
/// # Errors
/// When it is no reference, cannot be had, or the file cannot be written.
pub fn pull(
    argument: &Path,
    to: &Path,
    store: &Store,
    sources: &Sources,
    progress: &dyn FetchProgress,
) -> Result<String> {
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty());
    let writing = |e| Error::io("writing", to, e);
    let new = tempfile::Builder::new()
        .prefix(".pulling-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent.unwrap_or(Path::new(".")))
        .map_err(writing)?;
    let from = match Reference::parse(argument)? {
        Reference::File(path) => {
            return Err(
                Error::input(format!("{} is a file of this host's", path.display()))
                    .hint("pull from oci://HOST/NAME:TAG or https://HOST/FILE#sha256=DIGEST"),
            );
        }
        Reference::Url(url) => {
            let there = by_url(&url, store, sources, progress)?;
            let file =
                File::open(there.path()).map_err(|e| Error::io("reading", &there.path, e))?;
            let size = file.metadata().map_err(writing)?.len();
            let file = (&file, &blob(url.sha256, size));
            copy(file, &mut new.as_file(), to, store, progress)?;
            format!("{}#sha256={}", url.url, url.sha256)
        }
        Reference::Registry(reference) => {
            let found = Found::at(&reference, sources)?;
            found.put_together(new.as_file(), to, store, progress)?;
            reference.at(found.digest).to_string()
        }
    };
    new.as_file().sync_all().map_err(writing)?;
    Container::open(new.path())?;
    new.persist(to).map_err(|e| writing(e.error))?;
    Ok(from)
}

fn by_url(
    url: &Url,
    store: &Store,
    sources: &Sources,
    progress: &dyn FetchProgress,
) -> Result<Pulled> {
    let hint = "check the URL, the network and the proxy variables";
    let (base, path) = url.url.rsplit_once('/').unwrap_or((&url.url, ""));
    let sources = sources.one(ARCHIVE, base, Vec::new())?;
    let doing = || Error::fetch(format!("fetching {}", url.url));
    let size = http::head(&sources, &url.url).map_err(|e| doing().because(e).hint(hint))?;
    let size = size.ok_or_else(|| {
        doing()
            .because("the server does not say how long the file is")
            .hint("download it by other means, and give the file")
    })?;
    bounded("the file", size, limits::IMAGE)?;
    let file = LockedFile {
        package: path.to_owned(),
        version: url.sha256.short(),
        archive: ARCHIVE.into(),
        path: path.to_owned(),
        size,
        sha256: url.sha256,
    };
    let lease = fetch(store, &[file], &sources, progress, hint)?.pop();
    Ok(Pulled {
        path: store.file_path(&url.sha256),
        from: Some(format!("{}#sha256={}", url.url, url.sha256)),
        _derived: None,
        _lease: lease,
    })
}

/// An image whose manifest was read in a registry.
struct Found {
    /// Of the manifest.
    digest: Sha256,
    bytes: Vec<u8>,
    /// Its blobs in the order of the image's file.
    blobs: Vec<LockedFile>,
    sources: Sources,
}

impl Found {
    fn at(reference: &InRegistry, sources: &Sources) -> Result<Found> {
        let registry = Registry::of(reference)?;
        let authorisation = runtime()?.block_on(registry.authorisation())?;
        let InRegistry {
            host, repository, ..
        } = reference;
        // Docker's own has another name than its images have.
        let server = registry.image.resolve_registry();
        let base = format!("{}://{server}/v2/{repository}", reference.scheme());
        let mut headers = vec![(
            "Accept",
            format!(
                "{}, application/octet-stream",
                oci_client::manifest::OCI_IMAGE_MEDIA_TYPE
            ),
        )];
        headers.extend(authorisation.map(|value| ("Authorization", value)));
        let sources = sources.one(ARCHIVE, &base, headers)?;
        let doing = || Error::fetch(format!("reading the manifest of {reference}"));
        let url = format!("{base}/manifests/{}", reference.which.in_url());
        let bytes = http::get_all(&sources, &url, limits::DOCUMENT).map_err(|e| {
            doing().because(e).hint(format!(
                "check the reference; if it is not public, log in first: docker login {host}"
            ))
        })?;
        let digest = Sha256::of(&bytes);
        if let Which::Digest(wanted) = &reference.which
            && *wanted != digest
        {
            return Err(doing()
                .because(format!(
                    "what the registry sent has the digest sha256:{digest}"
                ))
                .hint("try again, or ask whoever runs the registry"));
        }
        let manifest = OciManifest::parse(&bytes).map_err(|why| {
            doing()
                .because(text::line(&text::cut(&why)))
                .hint("pull an image that `diorama push` sent")
        })?;
        Ok(Found {
            digest,
            bytes,
            blobs: blobs(&manifest)?,
            sources,
        })
    }

    /// Fetches the blobs and writes the image's file. `path` is for messages.
    fn put_together(
        &self,
        file: &File,
        path: &Path,
        store: &Store,
        progress: &dyn FetchProgress,
    ) -> Result<()> {
        let hint = "run the same command again: it resumes where the transfer stopped";
        let leases = fetch(store, &self.blobs, &self.sources, progress, hint)?;
        let writing = |e| Error::io("writing", path, e);
        let mut out = BufWriter::new(file);
        document(&mut out, oci::LAYOUT, oci::LAYOUT_TEXT).map_err(writing)?;
        for (blob, lease) in self.blobs.iter().zip(&leases) {
            let header = ustar::Entry::file(oci::blob_path(&blob.sha256), blob.size).encode();
            let header = header.map_err(Error::internal)?;
            out.write_all(&header).map_err(writing)?;
            copy((lease.file(), blob), &mut out, path, store, progress)?;
            out.write_all(&[0; ustar::BLOCK][..ustar::padding(blob.size)])
                .map_err(writing)?;
        }
        let index = oci::index(self.digest, self.bytes.len() as u64);
        document(&mut out, &oci::blob_path(&self.digest), &self.bytes)
            .and_then(|()| document(&mut out, oci::INDEX, &index))
            .and_then(|()| out.write_all(&[0; ustar::END]))
            .and_then(|()| out.flush())
            .map_err(writing)
    }
}

/// Copies a file of the cache, and checks what was copied. `to` is for messages.
fn copy(
    (mut from, file): (&File, &LockedFile),
    out: &mut impl Write,
    to: &Path,
    store: &Store,
    progress: &dyn FetchProgress,
) -> Result<()> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        let n =
            (from.read(&mut buffer)).map_err(|e| Error::host("reading the cache").because(e))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        (out.write_all(&buffer[..n])).map_err(|e| Error::io("writing", to, e))?;
    }
    if Sha256::from_bytes(hasher.finalize().into()) == file.sha256 {
        return Ok(());
    }
    store.quarantine(file, "its sha256 is another", progress)?;
    Err(
        Error::fetch(format!("the cached {} is corrupt", file.package))
            .hint("run the same command again: it is fetched anew"),
    )
}

fn fetch(
    store: &Store,
    files: &[LockedFile],
    sources: &Sources,
    progress: &dyn FetchProgress,
    hint: &str,
) -> Result<Vec<Lease>> {
    let fetched = store.fetch_leased(files, sources, progress);
    fetched.map_err(|e| e.hint(hint))
}

/// What is fetched for a manifest, each once: its layers, then its config. Sizes are bounded here.
fn blobs(manifest: &OciManifest) -> Result<Vec<LockedFile>> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    let mut total: u64 = 0;
    for (descriptor, limit) in (manifest.layers.iter().map(|layer| (layer, limits::PART)))
        .chain([(&manifest.config, limits::MANIFEST)])
    {
        bounded("a part", descriptor.size, limit)?;
        total = total.saturating_add(descriptor.size);
        bounded("the image", total, limits::IMAGE)?;
        if seen.insert(descriptor.digest.0) {
            all.push(blob(descriptor.digest.0, descriptor.size));
        }
    }
    Ok(all)
}

/// A blob as the store fetches it.
pub(super) fn blob(sha256: Sha256, size: u64) -> LockedFile {
    LockedFile {
        package: "part".to_owned(),
        version: sha256.short(),
        archive: ARCHIVE.to_owned(),
        path: format!("blobs/sha256:{sha256}"),
        size,
        sha256,
    }
}

fn bounded(what: &str, size: u64, limit: u64) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::fetch(format!(
        "{what} has {size} bytes; at most {limit} are allowed"
    ))
    .hint("this is no image of Diorama's"))
}

fn document(out: &mut impl Write, path: &str, bytes: &[u8]) -> io::Result<()> {
    let header = ustar::Entry::file(path, bytes.len() as u64).encode();
    out.write_all(&header.map_err(io::Error::other)?)?;
    out.write_all(bytes)?;
    out.write_all(&[0; ustar::BLOCK][..ustar::padding(bytes.len() as u64)])
}
