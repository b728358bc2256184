//! Reading an image, which is data from a stranger: everything is bounded before it is believed, every
//! digest is checked, and there is one form only that anything may have.

use super::{
    hashing::Hashing,
    limits,
    manifest::{Manifest, Part},
    oci::{self, OciManifest},
    progress::Progress,
    ustar::{self, Entry, Kind},
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    files, text,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// An image whose documents were read and checked. Its parts are checked as they are read.
#[derive(Debug)]
pub struct Container {
    path: PathBuf,
    file: File,
    /// Its bytes.
    pub size: u64,
    /// What is inside.
    pub manifest: Manifest,
    /// Digest of the manifest: the image's identity, whatever its parts were compressed with.
    pub identity: Sha256,
    /// Digest of OCI's manifest: its name in a registry.
    pub oci: Sha256,
    /// Where the parts' bytes are, in the manifest's order.
    blobs: Vec<Blob>,
}

/// A part's bytes in the container.
#[derive(Clone, Copy, Debug)]
pub struct Blob {
    /// sha256 of the compressed part.
    pub digest: Sha256,
    /// Its bytes.
    pub size: u64,
    at: u64,
}

/// What becomes of a part's entries. Paths are checked, each comes once, and after its directory.
pub trait Sink {
    /// A directory.
    ///
    /// # Errors
    /// When it cannot be made.
    fn directory(&mut self, path: &str) -> Result<()>;
    /// A symbolic link that stays in the tree.
    ///
    /// # Errors
    /// When it cannot be made.
    fn link(&mut self, path: &str, to: &str) -> Result<()>;
    /// A file of `size` bytes, which `contents` gives. What is left of them is skipped.
    ///
    /// # Errors
    /// When it cannot be read or written.
    fn file(&mut self, path: &str, size: u64, exec: bool, contents: &mut dyn Read) -> Result<()>;
}

impl Container {
    /// Opens an image and reads its documents.
    ///
    /// # Errors
    /// When it cannot be read, or is not an image in the one form that it may have.
    pub fn open(path: &Path) -> Result<Container> {
        let (file, size) = files::open(path, limits::IMAGE).map_err(|e| {
            if e.kind() == io::ErrorKind::NotFound {
                Error::input(format!("there is no image {}", path.display()))
                    .hint("give a file that `diorama pack` wrote")
            } else {
                Error::io("reading", path, e)
            }
        })?;
        let refused = |why: String| {
            Error::fetch(format!("{} is not an intact Diorama image", path.display()))
                .because(why)
                .hint("get the file again from whoever packed it")
        };
        let read = read_documents(&file, size).map_err(refused)?;
        Ok(Container {
            path: path.to_owned(),
            file,
            size,
            manifest: read.manifest,
            identity: read.config,
            oci: read.oci,
            blobs: read.blobs,
        })
    }

    /// The image's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The parts and where their bytes are.
    pub fn parts(&self) -> impl Iterator<Item = (&Part, Blob)> {
        self.manifest.parts.iter().zip(self.blobs.iter().copied())
    }

    /// Reads a part into a sink, and checks every byte of it; the digests of its files. Nothing that the
    /// sink was given may be used before this returns.
    ///
    /// # Errors
    /// When the image has no such part, or it is not what the manifest says.
    pub fn part(
        &self,
        name: &str,
        sink: &mut dyn Sink,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, Sha256>> {
        let (part, blob) = (self.parts().find(|(part, _)| part.name == name))
            .ok_or_else(|| self.refused(name, "the image does not have it".into()))?;
        progress.started(name, part.size);
        let read = self.read(part, blob, sink, progress);
        progress.finished();
        read.map_err(|failure| match failure {
            Failure::Refused(why) => self.refused(name, why),
            Failure::Here(error) => error.while_(format!("unpacking part `{name}`")),
        })
    }

    /// Reads all parts and keeps nothing; the digests of every part's files.
    ///
    /// # Errors
    /// When one is not what the manifest says.
    pub fn verify(
        &self,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, BTreeMap<String, Sha256>>> {
        let parts = self.manifest.parts.iter();
        parts
            .map(|part| {
                Ok((
                    part.name.clone(),
                    self.part(&part.name, &mut Nowhere, progress)?,
                ))
            })
            .collect()
    }

    fn refused(&self, part: &str, why: String) -> Error {
        Error::fetch(format!(
            "part `{}` of {} is not what its manifest says",
            text::line(&text::cut(part)),
            self.path.display()
        ))
        .because(why)
        .hint("get the file again from whoever packed it")
    }

    fn read(
        &self,
        part: &Part,
        blob: Blob,
        sink: &mut dyn Sink,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, Sha256>, Failure> {
        let raw = Hashing::new(Range {
            file: &self.file,
            at: blob.at,
            left: blob.size,
        });
        let mut decoder =
            zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(1 << 17, raw))
                .map_err(unreadable)?
                .single_frame();
        decoder
            .window_log_max(limits::ZSTD_WINDOW_LOG)
            .map_err(unreadable)?;
        // One byte more than declared is enough to know that there are more.
        let mut tar = Hashing::new(decoder.take(part.size.saturating_add(1)));
        let files = untar(part, &mut tar, sink, progress)?;
        let (digest, size, decoder) = tar.finish();
        if size != part.size {
            return Err(Failure::Refused(format!(
                "it has {size} bytes, not {}",
                part.size
            )));
        }
        let mut rest = decoder.into_inner().finish();
        if !rest.fill_buf().map_err(unreadable)?.is_empty() {
            return Err(Failure::Refused("bytes follow its end".into()));
        }
        let (packed, ..) = rest.into_inner().finish();
        if packed != blob.digest || digest != part.digest {
            return Err(Failure::Refused(
                "it was altered: its sha256 is another".into(),
            ));
        }
        Ok(files)
    }
}

/// Whose fault it is that a part was not read.
enum Failure {
    /// The image's.
    Refused(String),
    /// This host's.
    Here(Error),
}

fn unreadable(e: io::Error) -> Failure {
    match e.raw_os_error() {
        Some(_) => Failure::Here(Error::host("reading the image").because(e)),
        None => Failure::Refused(format!("it was altered: it cannot be unpacked ({e})")),
    }
}

/// Reads a part's tar, which is sorted by path.
fn untar(
    part: &Part,
    tar: &mut impl Read,
    sink: &mut dyn Sink,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, Sha256>, Failure> {
    let refused = |why: String| Err(Failure::Refused(why));
    let mut digests = BTreeMap::new();
    let mut directories = BTreeSet::new();
    let mut last: Option<String> = None;
    let mut entries = 0;
    let mut left = part.size;
    loop {
        let mut block = [0; ustar::BLOCK];
        tar.read_exact(&mut block).map_err(unreadable)?;
        let Some(entry) = Entry::decode(&block).map_err(Failure::Refused)? else {
            break;
        };
        let Entry { path, kind } = entry;
        entries += 1;
        if entries > part.entries {
            return refused(format!("it has more than {} entries", part.entries));
        }
        if last.as_ref().is_some_and(|last| *last >= path) {
            return refused(format!("`{path}` is out of order, or there twice"));
        }
        if let Some((parent, _)) = path.rsplit_once('/')
            && !directories.contains(parent)
        {
            return refused(format!("`{path}` is in no directory"));
        }
        match kind {
            Kind::Directory => {
                sink.directory(&path).map_err(Failure::Here)?;
                directories.insert(path.clone());
            }
            Kind::Link(to) => sink.link(&path, &to).map_err(Failure::Here)?,
            Kind::File { size, executable } => {
                left = match left.checked_sub(size) {
                    Some(left) => left,
                    None => return refused(format!("`{path}` declares {size} bytes")),
                };
                let mut contents = Hashing::new(Shown {
                    inner: tar.by_ref().take(size),
                    progress,
                });
                let taken = sink.file(&path, size, executable, &mut contents);
                // What a sink could not read is the image's fault, and is found here again.
                let drained = io::copy(&mut contents, &mut io::sink());
                let (digest, read, _) = contents.finish();
                drained.map_err(unreadable)?;
                if read != size {
                    return refused(format!("`{path}` ends before its {size} bytes"));
                }
                taken.map_err(Failure::Here)?;
                digests.insert(path.clone(), digest);
                let mut padding = [0; ustar::BLOCK];
                let padding = &mut padding[..ustar::padding(size)];
                tar.read_exact(padding).map_err(unreadable)?;
                if padding.iter().any(|b| *b != 0) {
                    return refused(format!("bytes follow the end of `{path}`"));
                }
            }
        }
        last = Some(path);
    }
    let mut rest = Vec::new();
    let end = (ustar::END - ustar::BLOCK) as u64;
    tar.take(end + 1)
        .read_to_end(&mut rest)
        .map_err(unreadable)?;
    if rest.len() as u64 != end || rest.iter().any(|b| *b != 0) {
        return refused("something follows its last entry".into());
    }
    match entries == part.entries {
        true => Ok(digests),
        false => refused(format!("it has {entries} entries, not {}", part.entries)),
    }
}

struct Documents {
    manifest: Manifest,
    config: Sha256,
    oci: Sha256,
    blobs: Vec<Blob>,
}

/// An entry of the container and where its contents begin.
struct Found {
    path: String,
    size: u64,
    at: u64,
}

fn read_documents(file: &File, size: u64) -> Result<Documents, String> {
    let found = scan(file, size)?;
    let at = |path: &str| -> Result<&Found, String> {
        let entry = found.iter().find(|entry| entry.path == path);
        entry.ok_or_else(|| format!("`{path}` is missing"))
    };
    let read = |path: &str, size: u64, limit: u64| -> Result<Vec<u8>, String> {
        let entry = at(path)?;
        if entry.size > limit {
            return Err(format!(
                "`{path}` has {} bytes; at most {limit} are allowed",
                entry.size
            ));
        }
        if entry.size != size {
            return Err(format!("`{path}` has {} bytes, not {size}", entry.size));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut bytes, entry.at)
            .map_err(|e| format!("reading `{path}`: {e}"))?;
        Ok(bytes)
    };
    let whole = |path: &str, limit| read(path, at(path)?.size, limit);
    if whole(oci::LAYOUT, limits::DOCUMENT)? != oci::LAYOUT_TEXT {
        return Err(format!("`{}` names another version", oci::LAYOUT));
    }
    let in_document = |name: &str| {
        let name = name.to_owned();
        move |why: String| format!("{name}: {why}")
    };
    let index = whole(oci::INDEX, limits::DOCUMENT)?;
    let (oci, oci_size) = oci::parse_index(&index).map_err(in_document(oci::INDEX))?;
    let checked = |digest: &Sha256, size, limit, what: &str| {
        let bytes = read(&oci::blob_path(digest), size, limit).map_err(in_document(what))?;
        match Sha256::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(format!("{what} was altered: its sha256 is another")),
        }
    };
    let bytes = checked(&oci, oci_size, limits::DOCUMENT, "OCI's manifest")?;
    let documents = OciManifest::parse(&bytes).map_err(in_document("OCI's manifest"))?;
    let config = documents.config.digest.0;
    let bytes = checked(
        &config,
        documents.config.size,
        limits::MANIFEST,
        "the manifest",
    )?;
    let manifest = Manifest::parse(&bytes).map_err(in_document("the manifest"))?;

    // Nothing else is in the container, and all of it in one order.
    let layers = &documents.layers;
    let titled = layers.len() == manifest.parts.len()
        && (layers.iter().zip(&manifest.parts)).all(|(layer, part)| {
            *layer == oci::Descriptor::part(&part.name, layer.digest.0, layer.size)
        });
    if !titled {
        return Err("the two manifests name different parts".into());
    }
    let mut order = vec![oci::LAYOUT.to_owned()];
    order.extend(layers.iter().map(|layer| oci::blob_path(&layer.digest.0)));
    order.extend([
        oci::blob_path(&config),
        oci::blob_path(&oci),
        oci::INDEX.to_owned(),
    ]);
    let mut blobs = Vec::new();
    for (layer, part) in layers.iter().zip(&manifest.parts) {
        let of = |why: String| format!("part `{}`: {why}", part.name);
        let entry = at(&oci::blob_path(&layer.digest.0)).map_err(of)?;
        if entry.size != layer.size || layer.size > limits::PART {
            return Err(of(format!(
                "it has {} bytes, not {}",
                entry.size, layer.size
            )));
        }
        blobs.push(Blob {
            digest: layer.digest.0,
            size: layer.size,
            at: entry.at,
        });
    }
    let names = found.iter().map(|entry| entry.path.as_str());
    if let Some(foreign) = names.clone().find(|name| !order.iter().any(|o| o == name)) {
        return Err(format!("`{}` does not belong there", text::cut(foreign)));
    }
    if !names.eq(order.iter().map(String::as_str)) {
        return Err("its entries are in another order, or there twice".into());
    }
    Ok(Documents {
        manifest,
        config,
        oci,
        blobs,
    })
}

/// The container's entries; contents are not read.
fn scan(file: &File, size: u64) -> Result<Vec<Found>, String> {
    let mut found: Vec<Found> = Vec::new();
    let mut at = 0_u64;
    loop {
        let reading = |e: io::Error| match e.kind() {
            io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => format!("reading it: {e}"),
        };
        let mut block = [0; ustar::BLOCK];
        file.read_exact_at(&mut block, at).map_err(reading)?;
        at += ustar::BLOCK as u64;
        let of = |why: String| format!("entry {} of the container: {why}", found.len() + 1);
        let Some(entry) = Entry::decode(&block).map_err(of)? else {
            break;
        };
        let Kind::File {
            size: bytes,
            executable: false,
        } = entry.kind
        else {
            return Err(format!("`{}` is not a plain file", text::cut(&entry.path)));
        };
        if found.len() == limits::ENTRIES {
            return Err(format!("it has more than {} entries", limits::ENTRIES));
        }
        let end = at.checked_add(bytes).filter(|end| *end <= size);
        let Some(end) = end else {
            return Err(format!(
                "`{}` declares {bytes} bytes, more than the file has",
                text::cut(&entry.path)
            ));
        };
        let mut padding = [0; ustar::BLOCK];
        let padding = &mut padding[..ustar::padding(bytes)];
        file.read_exact_at(padding, end).map_err(reading)?;
        if padding.iter().any(|b| *b != 0) {
            return Err(format!(
                "bytes follow entry {} of the container",
                found.len() + 1
            ));
        }
        found.push(Found {
            path: entry.path,
            size: bytes,
            at,
        });
        at = end + padding.len() as u64;
    }
    let mut rest = Vec::new();
    let end = Range {
        file,
        at,
        left: size.saturating_sub(at).min(ustar::END as u64),
    };
    { end }.read_to_end(&mut rest).map_err(|e| e.to_string())?;
    if rest.len() != ustar::END - ustar::BLOCK || rest.iter().any(|b| *b != 0) {
        return Err("something follows its last entry".into());
    }
    Ok(found)
}

/// Bytes of a file, read without a cursor that others share.
struct Range<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let n = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Tells of the bytes that go by.
struct Shown<'a, R> {
    inner: R,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Shown<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.progress.advanced(n as u64);
        Ok(n)
    }
}

/// Keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn directory(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn link(&mut self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    fn file(&mut self, _: &str, _: u64, _: bool, _: &mut dyn Read) -> Result<()> {
        Ok(())
    }
}
