//! The documents of an OCI image layout (opencontainers/image-spec v1.1: image-layout.md,
//! manifest.md), in the one form that is written and read here (pure).
//!
//! Types of our own: the published crate's ignore what they do not know, and an image whose
//! documents could say the same in two ways would have bits that may be flipped.

use super::limits;
use crate::{digest::Sha256, text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the file that says what the layout is, and all that is in it.
pub const LAYOUT: &str = "oci-layout";
/// Its contents.
pub const LAYOUT_TEXT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Name of the index.
pub const INDEX: &str = "index.json";
/// Where blobs are.
pub const BLOBS: &str = "blobs/sha256/";
/// What the artifact is.
pub const ARTIFACT: &str = "application/vnd.diorama.image.v1";
/// The media type of Diorama's manifest, OCI's config.
pub const CONFIG_TYPE: &str = "application/vnd.diorama.config.v1+json";
/// The media type of a part.
pub const PART_TYPE: &str = "application/vnd.diorama.part.v1.tar+zstd";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The image's tag in its layout, for tools that ask for one.
const TAG: &str = "latest";

/// What a document says of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// `sha256:<hex>`.
    pub digest: BlobDigest,
    /// Its bytes.
    pub size: u64,
    /// In the index alone: what the manifest is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its name, for tools that unpack it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// OCI's image manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OciManifest {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    /// Diorama's manifest.
    pub config: Descriptor,
    /// The parts, in the order of Diorama's manifest.
    pub layers: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Index {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Descriptor>,
}

/// A sha256 as OCI writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobDigest(pub Sha256);

impl Serialize for BlobDigest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("sha256:{}", self.0))
    }
}

impl<'de> Deserialize<'de> for BlobDigest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<BlobDigest, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(d)?;
        let hex = text
            .strip_prefix("sha256:")
            .ok_or_else(|| D::Error::custom("a digest is not a sha256"))?;
        hex.parse().map(BlobDigest).map_err(D::Error::custom)
    }
}

impl Descriptor {
    /// Of Diorama's manifest.
    #[must_use]
    pub fn config(digest: Sha256, size: u64) -> Descriptor {
        Descriptor::new(CONFIG_TYPE, digest, size)
    }

    /// Of a part.
    #[must_use]
    pub fn part(name: &str, digest: Sha256, size: u64) -> Descriptor {
        let title = (TITLE.to_owned(), format!("{name}.tar.zst"));
        Descriptor {
            annotations: [title].into(),
            ..Descriptor::new(PART_TYPE, digest, size)
        }
    }

    fn new(media_type: &str, digest: Sha256, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.into(),
            digest: BlobDigest(digest),
            size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }
}

impl OciManifest {
    /// Of these.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> OciManifest {
        OciManifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE.into(),
            artifact_type: ARTIFACT.into(),
            config,
            layers,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }

    /// Reads one of the very form that [`OciManifest::to_bytes`] writes.
    ///
    /// # Errors
    /// When it is another: why.
    pub fn parse(bytes: &[u8]) -> Result<OciManifest, String> {
        let read: OciManifest =
            serde_json::from_slice(bytes).map_err(|e| text::line(&e.to_string()))?;
        if read.artifact_type != ARTIFACT {
            return Err(format!(
                "it is of the type `{}`, not a Diorama image ({ARTIFACT})",
                text::line(&text::cut(&read.artifact_type))
            ));
        }
        if read.config.media_type != CONFIG_TYPE {
            return Err(format!(
                "its manifest is `{}`; this version reads {CONFIG_TYPE}",
                text::line(&text::cut(&read.config.media_type))
            ));
        }
        if read.layers.len() > limits::PARTS {
            return Err(format!(
                "it has {} parts; at most {} are allowed",
                read.layers.len(),
                limits::PARTS
            ));
        }
        let same = OciManifest::new(
            Descriptor::config(read.config.digest.0, read.config.size),
            read.layers.clone(),
        );
        let layers = read
            .layers
            .iter()
            .all(|layer| layer.media_type == PART_TYPE);
        match same.to_bytes() == bytes && layers {
            true => Ok(read),
            false => Err("it is not written in the one form that it may have".into()),
        }
    }
}

/// The index of the layout that holds this manifest.
#[must_use]
pub fn index(manifest: Sha256, size: u64) -> Vec<u8> {
    let tag = (REF_NAME.to_owned(), TAG.to_owned());
    json(&Index {
        schema_version: 2,
        media_type: INDEX_TYPE.into(),
        manifests: vec![Descriptor {
            artifact_type: Some(ARTIFACT.into()),
            annotations: [tag].into(),
            ..Descriptor::new(MANIFEST_TYPE, manifest, size)
        }],
    })
}

/// Which manifest an index of that very form names, and its size.
///
/// # Errors
/// When it is of another: why.
pub fn parse_index(bytes: &[u8]) -> Result<(Sha256, u64), String> {
    let read: Index = serde_json::from_slice(bytes).map_err(|e| text::line(&e.to_string()))?;
    let [only] = read.manifests.as_slice() else {
        return Err(format!(
            "it names {} images instead of one",
            read.manifests.len()
        ));
    };
    let (digest, size) = (only.digest.0, only.size);
    match index(digest, size) == bytes {
        true => Ok((digest, size)),
        false => Err("it is not the index of a Diorama image".into()),
    }
}

/// Where a blob is in the container.
#[must_use]
pub fn blob_path(digest: &Sha256) -> String {
    format!("{BLOBS}{digest}")
}

/// Plain structs and maps of strings: they serialise.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_are_those_of_the_specification() {
        let part = Descriptor::part("vmm", Sha256::of(b"p"), 1);
        let manifest = OciManifest::new(Descriptor::config(Sha256::of(b"c"), 2), vec![part]);
        let bytes = manifest.to_bytes();
        insta::assert_snapshot!(String::from_utf8(bytes.clone()).unwrap(), @r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.diorama.image.v1","config":{"mediaType":"application/vnd.diorama.config.v1+json","digest":"sha256:2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6","size":2},"layers":[{"mediaType":"application/vnd.diorama.part.v1.tar+zstd","digest":"sha256:148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940","size":1,"annotations":{"org.opencontainers.image.title":"vmm.tar.zst"}}]}"#);
        assert_eq!(OciManifest::parse(&bytes), Ok(manifest));
        let index = index(Sha256::of(b"m"), 3);
        insta::assert_snapshot!(String::from_utf8(index.clone()).unwrap(), @r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a","size":3,"artifactType":"application/vnd.diorama.image.v1","annotations":{"org.opencontainers.image.ref.name":"latest"}}]}"#);
        assert_eq!(parse_index(&index), Ok((Sha256::of(b"m"), 3)));
    }

    #[test]
    fn documents_that_say_the_same_otherwise_or_more_are_refused() {
        let manifest = OciManifest::new(Descriptor::config(Sha256::of(b"c"), 2), Vec::new());
        let text = String::from_utf8(manifest.to_bytes()).unwrap();
        for other in [
            text.replace("\"schemaVersion\":2", "\"schemaVersion\":3"),
            text.replace(",\"layers\"", ", \"layers\""),
            text.replace("\"layers\":[]", "\"layers\":[],\"subject\":null"),
            text.replace("config.v1", "config.v2"),
            text.replace("diorama.image", "other.image"),
        ] {
            assert_ne!(other, text);
            assert!(OciManifest::parse(other.as_bytes()).is_err(), "{other}");
        }
        let two = String::from_utf8(index(Sha256::of(b"m"), 3)).unwrap();
        let one = two.split("[").nth(1).unwrap().split("]").next().unwrap();
        let two = two.replace(one, &format!("{one},{one}"));
        assert!(
            parse_index(two.as_bytes())
                .unwrap_err()
                .contains("2 images")
        );
    }
}
