//! An image into a registry: its blobs as they are in the file, and its manifest, under a tag.

use super::{
    reference::{InRegistry, Which},
    registry::Registry,
};
use crate::{
    bundle::{Container, oci, ustar},
    digest::Sha256,
    error::{Error, Result},
    runtime::runtime,
    store::FetchProgress,
    vocabulary::LockedFile,
};
use oci_client::{RegistryOperation, errors::OciDistributionError, manifest::OCI_IMAGE_MEDIA_TYPE};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    pin::pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Bytes of one request. Every one of them is a round trip; smaller ones take minutes for an image.
const CHUNK: u64 = 4 << 20;

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// A blob in the image's file.
struct Blob {
    file: LockedFile,
    at: u64,
}

/// Sends an image; what is there already is not sent again. Returns its name by digest.
///
/// # Errors
/// When it is no intact image, the registry cannot be reached, refuses, or keeps something else.
pub fn push(path: &Path, to: &InRegistry, progress: &dyn FetchProgress) -> Result<InRegistry> {
    if let Which::Digest(_) = to.which {
        return Err(Error::input(format!(
            "{to} is a digest, and those are the registry's to give"
        ))
        .hint("push to a tag: oci://HOST/NAME:TAG"));
    }
    let container = Container::open(path)?;
    let (blobs, manifest) = contents(path, &container)?;
    let registry = Registry::of(to)?;
    runtime()?.block_on(async {
        let image = &registry.image;
        let client = &registry.client;
        registry.log_in(RegistryOperation::Push).await?;
        for blob in &blobs {
            send(&registry, path, blob, progress).await?;
        }
        let media_type = header(OCI_IMAGE_MEDIA_TYPE)?;
        (client
            .push_manifest_raw(image, manifest.clone(), media_type)
            .await)
            .map_err(|e| registry.failed("sending the manifest to", &e))?;
        let there = (client.fetch_manifest_digest(image, &registry.auth).await)
            .map_err(|e| registry.failed("asking for the manifest again at", &e))?;
        let digest = Sha256::of(&manifest);
        if there == format!("sha256:{digest}") {
            return Ok(to.at(digest));
        }
        Err(Error::fetch(format!("{to} is another image than was sent"))
            .because("the registry's digest of the manifest is not the one that was sent")
            .hint("push it again; somebody else may push to the same tag"))
    })
}

/// The image's blobs in the order in which they are sent, config last, and its manifest.
fn contents(path: &Path, container: &Container) -> Result<(Vec<Blob>, Vec<u8>)> {
    let failed = |e| Error::io("reading", path, e);
    let file = File::open(path).map_err(failed)?;
    let (mut blobs, mut manifest, mut at) = (Vec::new(), None, 0);
    loop {
        let mut header = [0; ustar::BLOCK];
        file.read_exact_at(&mut header, at).map_err(failed)?;
        let broken = |why| Error::fetch(format!("reading {}", path.display())).because(why);
        let Some(entry) = ustar::Entry::decode(&header).map_err(broken)? else {
            break;
        };
        let (begun, size) = (at + ustar::BLOCK as u64, entry.size());
        at = begun + size + ustar::padding(size) as u64;
        let Some(hex) = entry.path.strip_prefix(oci::BLOBS) else {
            continue;
        };
        let sha256: Sha256 = hex.parse().map_err(broken)?;
        if sha256 == container.oci {
            // Its size was bounded when the image was opened.
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            file.read_exact_at(&mut bytes, begun).map_err(failed)?;
            manifest = Some(bytes);
            continue;
        }
        blobs.push(Blob {
            file: super::pull::blob(sha256, size),
            at: begun,
        });
    }
    let manifest = manifest.ok_or_else(|| {
        Error::internal(format!("{} was opened without a manifest", path.display()))
    })?;
    Ok((blobs, manifest))
}

/// Sends a blob, unless the repository has it.
async fn send(
    registry: &Registry,
    path: &Path,
    blob: &Blob,
    progress: &dyn FetchProgress,
) -> Result<()> {
    let digest = format!("sha256:{}", blob.file.sha256);
    let client = &registry.client;
    let there = client.blob_exists(&registry.image, &digest).await;
    if there.map_err(|e| registry.failed("asking for parts at", &e))? {
        return Ok(());
    }
    let sent = Arc::new(AtomicU64::new(0));
    let chunks = Chunks {
        file: File::open(path).map_err(|e| Error::io("reading", path, e))?,
        at: blob.at,
        left: blob.file.size,
        sent: sent.clone(),
    };
    progress.started(&blob.file);
    let stream = futures_util::stream::iter(chunks);
    let mut sending =
        pin!(client.push_blob_stream(&registry.image, stream, &digest, Some(blob.file.size)));
    let done = loop {
        tokio::select! {
            done = &mut sending => break done,
            () = tokio::time::sleep(TICK) => {
                progress.advanced(&blob.file, sent.load(Ordering::Relaxed));
            }
        }
    };
    done.map_err(|e| registry.failed("sending parts to", &e))?;
    progress.finished(&blob.file);
    Ok(())
}

/// A blob's bytes, chunk by chunk.
struct Chunks {
    file: File,
    at: u64,
    left: u64,
    /// Bytes that were taken.
    sent: Arc<AtomicU64>,
}

impl Iterator for Chunks {
    type Item = std::result::Result<bytes::Bytes, OciDistributionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let size = self.left.min(CHUNK);
        let mut chunk = vec![0; usize::try_from(size).unwrap_or(0)];
        if let Err(error) = self.file.read_exact_at(&mut chunk, self.at) {
            self.left = 0;
            return Some(Err(io::Error::into(error)));
        }
        self.at += size;
        self.left -= size;
        self.sent.fetch_add(size, Ordering::Relaxed);
        Some(Ok(chunk.into()))
    }
}

/// A header's value.
fn header<H: FromStr<Err: std::error::Error + Send + Sync + 'static>>(text: &str) -> Result<H> {
    text.parse()
        .map_err(|e: H::Err| Error::internal(format!("the header `{text}`")).because(e))
}
