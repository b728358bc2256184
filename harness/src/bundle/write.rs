//! Writing an image: parts are compressed straight into the container, whose entries' names, being
//! digests, are filled in afterwards. So memory does not grow with the image, and nothing is written
//! twice.

use super::{
    hashing::Hashing,
    manifest::{Manifest, Part},
    oci::{self, Descriptor, OciManifest},
    progress::Progress,
    ustar::{self, Entry, Kind},
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek as _, SeekFrom, Write},
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

/// Kept low enough that packing a run takes seconds; 19 would save a seventh of the bytes at twenty
/// times the time. zstd runs on one thread, whose bytes depend on nothing but its version.
const LEVEL: i32 = 9;

/// What a part is made of.
#[derive(Debug, Default)]
pub struct PartItems(BTreeMap<String, Item>);

#[derive(Debug)]
enum Item {
    Directory,
    Link(String),
    File { from: Contents, executable: bool },
}

/// Where a file's contents come from.
#[derive(Debug)]
pub enum Contents {
    /// A file of this host's; its path goes nowhere.
    Path(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl PartItems {
    /// Adds a file, and its parents.
    pub fn file(&mut self, path: &str, executable: bool, from: Contents) {
        self.insert(path, Item::File { from, executable });
    }

    /// Adds a directory, and its parents.
    pub fn directory(&mut self, path: &str) {
        self.insert(path, Item::Directory);
    }

    /// Adds a symbolic link, and its parents.
    pub fn link(&mut self, path: &str, to: &str) {
        self.insert(path, Item::Link(to.to_owned()));
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, path: &str, item: Item) {
        for (at, _) in path.match_indices('/') {
            let parent = path[..at].to_owned();
            self.0.entry(parent).or_insert(Item::Directory);
        }
        self.0.insert(path.to_owned(), item);
    }
}

/// A part that was written.
#[derive(Debug)]
pub struct Written {
    /// What the manifest says of it.
    pub part: Part,
    /// The digests of its files.
    pub files: BTreeMap<String, Sha256>,
}

/// An image that is being written.
pub struct Writer<'a> {
    out: &'a File,
    at: u64,
    parts: Vec<(Part, Descriptor)>,
    progress: &'a dyn Progress,
}

impl<'a> Writer<'a> {
    /// Begins one in an empty file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: &'a File, progress: &'a dyn Progress) -> Result<Writer<'a>> {
        let mut writer = Writer {
            out,
            at: 0,
            parts: Vec::new(),
            progress,
        };
        writer.document(oci::LAYOUT, oci::LAYOUT_TEXT)?;
        Ok(writer)
    }

    /// Writes a part. One that is byte for byte like an earlier one is not written again: the name in
    /// what is returned is the earlier one's.
    ///
    /// # Errors
    /// When a file cannot be read, changes meanwhile, or the image cannot be written.
    pub fn part(&mut self, name: &str, items: &PartItems) -> Result<Written> {
        let failed = |e: io::Error| Error::host(format!("packing part `{name}`")).because(e);
        let begun = self.at;
        let contents = begun + ustar::BLOCK as u64;
        self.seek(contents).map_err(failed)?;
        let mut out = self.out;
        let compressed = Hashing::new(&mut out);
        let encoder = zstd::stream::write::Encoder::new(compressed, LEVEL).map_err(failed)?;
        let mut tar = Hashing::new(encoder);
        self.progress.started(name, items.size());
        let files = tar_of(items, &mut tar, self.progress)
            .map_err(|e| e.while_(format!("packing part `{name}`")))?;
        self.progress.finished();
        let (digest, size, encoder) = tar.finish();
        let (blob, blob_size, _) = encoder.finish().map_err(failed)?.finish();
        if let Some((same, _)) = self.parts.iter().find(|(part, _)| part.digest == digest) {
            let part = same.clone();
            self.out.set_len(begun).map_err(failed)?;
            return Ok(Written { part, files });
        }
        self.name_entry(begun, &oci::blob_path(&blob), blob_size)?;
        let part = Part {
            name: name.to_owned(),
            digest,
            size,
            entries: items.0.len() as u64,
        };
        let descriptor = Descriptor::part(name, blob, blob_size);
        self.parts.push((part.clone(), descriptor));
        Ok(Written { part, files })
    }

    /// Writes the manifest, of which the parts are filled in, and what OCI wants besides. Returns the
    /// manifest.
    ///
    /// # Errors
    /// When it cannot be written, or is none that could be read.
    pub fn end(mut self, manifest: Manifest) -> Result<Manifest> {
        let (parts, layers) = std::mem::take(&mut self.parts).into_iter().unzip();
        let manifest = Manifest { parts, ..manifest };
        let bytes = manifest.to_bytes();
        Manifest::parse(&bytes)
            .map_err(|why| Error::internal(format!("the manifest that was packed: {why}")))?;
        let config = Sha256::of(&bytes);
        self.document(&oci::blob_path(&config), &bytes)?;
        let config = Descriptor::config(config, bytes.len() as u64);
        let bytes = OciManifest::new(config, layers).to_bytes();
        let digest = Sha256::of(&bytes);
        self.document(&oci::blob_path(&digest), &bytes)?;
        self.document(oci::INDEX, &oci::index(digest, bytes.len() as u64))?;
        let failed = |e| Error::host("writing the end of the image").because(e);
        self.seek(self.at).map_err(failed)?;
        self.out.write_all(&[0; ustar::END]).map_err(failed)?;
        Ok(manifest)
    }

    fn document(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let failed = |e| Error::host(format!("writing {path}")).because(e);
        let begun = self.at;
        self.seek(begun + ustar::BLOCK as u64).map_err(failed)?;
        self.out.write_all(bytes).map_err(failed)?;
        self.name_entry(begun, path, bytes.len() as u64)
    }

    /// Fills in the header of an entry whose contents have just been written, and what pads them.
    fn name_entry(&mut self, begun: u64, path: &str, size: u64) -> Result<()> {
        let failed = |e| Error::host(format!("writing {path}")).because(e);
        let header = Entry::file(path, size).encode();
        let header = header.map_err(|why| Error::internal(format!("writing {path}: {why}")))?;
        self.out.write_all_at(&header, begun).map_err(failed)?;
        let padding = ustar::padding(size);
        let end = begun + ustar::BLOCK as u64 + size;
        self.out
            .write_all_at(&[0; ustar::BLOCK][..padding], end)
            .map_err(failed)?;
        self.at = end + padding as u64;
        Ok(())
    }

    fn seek(&self, at: u64) -> io::Result<()> {
        let mut out = self.out;
        out.seek(SeekFrom::Start(at)).map(drop)
    }
}

impl PartItems {
    /// Bytes of its files, as far as they are known beforehand.
    fn size(&self) -> u64 {
        let sizes = self.0.values().map(|item| match item {
            Item::File { from, .. } => from.size().unwrap_or(0),
            Item::Directory | Item::Link(_) => 0,
        });
        sizes.sum()
    }
}

impl Contents {
    fn size(&self) -> io::Result<u64> {
        match self {
            Contents::Path(path) => Ok(path.metadata()?.len()),
            Contents::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Contents::Path(path) => Box::new(File::open(path)?),
            Contents::Bytes(bytes) => Box::new(bytes.as_slice()),
        })
    }

    fn name(&self) -> String {
        match self {
            Contents::Path(path) => path.display().to_string(),
            Contents::Bytes(_) => "bytes in memory".to_owned(),
        }
    }
}

/// Writes a part's tar; the digests of its files.
fn tar_of(
    items: &PartItems,
    out: &mut impl Write,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, Sha256>> {
    let mut digests = BTreeMap::new();
    for (path, item) in &items.0 {
        let reading =
            |from: &Contents, e| Error::host(format!("reading {}", from.name())).because(e);
        let kind = match item {
            Item::Directory => Kind::Directory,
            Item::Link(to) => Kind::Link(to.clone()),
            Item::File { from, executable } => Kind::File {
                size: from.size().map_err(|e| reading(from, e))?,
                executable: *executable,
            },
        };
        let entry = Entry {
            path: path.clone(),
            kind,
        };
        let header = entry.encode().map_err(Error::host)?;
        let writing = |e| Error::host("writing the image").because(e);
        out.write_all(&header).map_err(writing)?;
        let Item::File { from, .. } = item else {
            continue;
        };
        let mut source = Hashing::new(from.open().map_err(|e| reading(from, e))?);
        let mut buffer = vec![0; 1 << 17];
        loop {
            let n = source.read(&mut buffer).map_err(|e| reading(from, e))?;
            if n == 0 {
                break;
            }
            out.write_all(&buffer[..n]).map_err(writing)?;
            progress.advanced(n as u64);
        }
        let (digest, read, _) = source.finish();
        if read != entry.size() {
            return Err(Error::host(format!(
                "{} changed while it was packed: it had {} bytes, and then {read}",
                from.name(),
                entry.size()
            )));
        }
        out.write_all(&[0; ustar::BLOCK][..ustar::padding(read)])
            .map_err(writing)?;
        digests.insert(path.clone(), digest);
    }
    out.write_all(&[0; ustar::END])
        .map_err(|e| Error::host("writing the image").because(e))?;
    Ok(digests)
}
