//! Images out of registries and from servers that behave badly.

use super::{Reference, local, pull};
use crate::{
    bundle::{
        limits,
        oci::{self, Descriptor, OciManifest},
        testing::Lab,
        ustar,
    },
    digest::Sha256,
    error::{Error, Exit, Result},
    store::{
        NoProgress, Store,
        testing::{Reply, Server, sources},
    },
};
use std::{fs, path::Path};

/// A registry with one image, `team/images:v1`.
struct Registry {
    server: Server,
    image: Vec<u8>,
    manifest: Sha256,
    /// The largest of its parts.
    part: Sha256,
}

fn path(kind: &str, name: &str) -> String {
    format!("/v2/team/images/{kind}/{name}")
}

fn blob_path(digest: Sha256) -> String {
    path("blobs", &format!("sha256:{digest}"))
}

impl Registry {
    fn new() -> Registry {
        let image = Lab::new().pack(false);
        let server = Server::new([("/v2/".to_owned(), Reply::File(b"{}".to_vec()))]);
        let (mut at, mut last, mut part) = (0, None, (0, None));
        loop {
            let header = image[at..at + ustar::BLOCK].try_into().unwrap();
            let Some(entry) = ustar::Entry::decode(header).unwrap() else {
                break;
            };
            let size = entry.size() as usize;
            let bytes = image[at + ustar::BLOCK..][..size].to_vec();
            at += ustar::BLOCK + size + ustar::padding(size as u64);
            let Some(hex) = entry.path.strip_prefix(oci::BLOBS) else {
                continue;
            };
            let digest: Sha256 = hex.parse().unwrap();
            part = part.max((size, Some(digest)));
            server.set(&blob_path(digest), Reply::File(bytes.clone()));
            last = Some((digest, bytes));
        }
        // The manifest is the last of the blobs.
        let (manifest, bytes) = last.unwrap();
        server.set(&path("manifests", "v1"), Reply::File(bytes.clone()));
        let by_digest = path("manifests", &format!("sha256:{manifest}"));
        server.set(&by_digest, Reply::File(bytes));
        Registry {
            server,
            image,
            manifest,
            part: part.1.unwrap(),
        }
    }

    fn reference(&self, which: &str) -> String {
        let host = self.server.url.strip_prefix("http://").unwrap();
        format!("oci://{host}/team/images{which}")
    }

    fn by_digest(&self) -> String {
        self.reference(&format!("@sha256:{}", self.manifest))
    }

    /// Gives another manifest under the tag.
    fn lie(&self, bytes: Vec<u8>) {
        self.server
            .set(&path("manifests", "v1"), Reply::File(bytes));
    }

    fn asked_for_blobs(&self) -> bool {
        self.server
            .seen()
            .iter()
            .any(|line| line.contains("/blobs/"))
    }
}

/// A cache, and a place for what is pulled.
struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("cache")).unwrap();
        Place { dir, store }
    }

    fn pull(&self, from: &str) -> Result<(String, Vec<u8>)> {
        let to = self.dir.path().join("x.diorama");
        let mirrors = sources(&[&Server::refusing()], &[]);
        let name = pull(Path::new(from), &to, &self.store, &mirrors, &NoProgress)?;
        let bytes = fs::read(&to).unwrap();
        fs::remove_file(&to).unwrap();
        Ok((name, bytes))
    }

    /// Pulls what must be refused, and sees to it that nothing is left but the cache.
    fn refused(&self, from: &str) -> Error {
        let error = self.pull(from).map(|(name, _)| name).unwrap_err();
        let left: Vec<_> = (fs::read_dir(self.dir.path()).unwrap())
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["cache"], "{}", error.render());
        error
    }
}

#[test]
fn what_comes_out_of_a_registry_is_the_very_file() {
    let registry = Registry::new();
    let place = Place::new();
    for from in [registry.reference(":v1"), registry.by_digest()] {
        let (name, bytes) = place.pull(&from).unwrap();
        assert_eq!(name, registry.by_digest());
        assert_eq!(bytes, registry.image);
    }
    let reference = Reference::parse(Path::new(&registry.reference(":v1"))).unwrap();
    let mirrors = sources(&[&Server::refusing()], &[]);
    let here = local(&reference, &place.store, &mirrors, &NoProgress).unwrap();
    assert_eq!(here.from, Some(registry.by_digest()));
    assert_eq!(fs::read(here.path()).unwrap(), registry.image);
}

#[test]
fn other_bytes_than_the_digest_says_are_refused() {
    let registry = Registry::new();
    let other = OciManifest::new(Descriptor::config(registry.part, 7), Vec::new()).to_bytes();
    let by_digest = path("manifests", &format!("sha256:{}", registry.manifest));
    registry.server.set(&by_digest, Reply::File(other));
    let error = Place::new().refused(&registry.by_digest()).render();
    assert!(
        error.contains("what the registry sent has the digest"),
        "{error}"
    );
    assert!(!registry.asked_for_blobs());

    let registry = Registry::new();
    let size = registry.image.len().min(100);
    let wrong = [vec![b'x'; size], vec![b'y'; limits::DOCUMENT as usize]];
    for bytes in wrong {
        (registry.server).set(&blob_path(registry.part), Reply::File(bytes));
        let error = Place::new().refused(&registry.reference(":v1"));
        assert_eq!(error.exit(), Exit::Fetch, "{}", error.render());
    }
}

#[test]
fn a_body_without_end_is_cut_where_its_size_ends() {
    let registry = Registry::new();
    (registry.server).set(&blob_path(registry.part), Reply::Endless);
    let error = Place::new().refused(&registry.reference(":v1"));
    assert!(error.render().contains("sha256 is"), "{}", error.render());

    (registry.server).set(&path("manifests", "v1"), Reply::Endless);
    let error = Place::new().refused(&registry.reference(":v1")).render();
    assert!(error.contains("longer than 1048576 bytes"), "{error}");
}

#[test]
fn sizes_that_no_image_has_are_refused_before_anything_is_fetched() {
    let registry = Registry::new();
    let config = || Descriptor::config(registry.part, 7);
    let part = |size| Descriptor::part("x", registry.part, size);
    for layers in [
        vec![part(limits::PART + 1)],
        vec![part(u64::MAX)],
        (0..5).map(|_| part(limits::PART)).collect(),
        (0..=limits::PARTS).map(|_| part(1)).collect(),
    ] {
        registry.lie(OciManifest::new(config(), layers).to_bytes());
        let error = Place::new().refused(&registry.reference(":v1")).render();
        assert!(error.contains("allowed"), "{error}");
    }
    let config = Descriptor::config(registry.part, limits::MANIFEST + 1);
    registry.lie(OciManifest::new(config, Vec::new()).to_bytes());
    let error = Place::new().refused(&registry.reference(":v1")).render();
    assert!(error.contains("allowed"), "{error}");
    assert!(!registry.asked_for_blobs());
}

#[test]
fn images_of_other_programs_are_said_to_be_that() {
    let registry = Registry::new();
    registry.lie(br#"{"schemaVersion":2,"mediaType":"\u001b[31m"}"#.to_vec());
    let error = Place::new().refused(&registry.reference(":v1")).render();
    assert!(
        error.contains("pull an image that `diorama push` sent"),
        "{error}"
    );
    assert!(!error.contains('\u{1b}'), "{error}");
    registry.lie(vec![b'['; limits::DOCUMENT as usize]);
    Place::new().refused(&registry.reference(":v1"));
    let error = Place::new().refused(&registry.reference(":v2")).render();
    assert!(error.contains("gone (HTTP 404)"), "{error}");
}

#[test]
fn a_part_may_be_elsewhere_but_is_what_it_was() {
    let registry = Registry::new();
    let elsewhere = Registry::new();
    let moved = format!("{}{}", elsewhere.server.url, blob_path(registry.part));
    (registry.server).set(&blob_path(registry.part), Reply::Moved(moved));
    let (_, bytes) = Place::new().pull(&registry.reference(":v1")).unwrap();
    assert_eq!(bytes, registry.image);
    assert!(elsewhere.asked_for_blobs());

    (elsewhere.server).set(&blob_path(registry.part), Reply::File(b"other".to_vec()));
    Place::new().refused(&registry.reference(":v1"));
}

#[test]
fn a_url_gives_the_file_of_its_digest_or_nothing() {
    let image = Lab::new().pack(false);
    let server = Server::new([("/a/x.diorama".to_owned(), Reply::File(image.clone()))]);
    let url = |digest: Sha256| format!("{}/a/x.diorama#sha256={digest}", server.url);
    let good = url(Sha256::of(&image));
    let place = Place::new();
    assert_eq!(place.pull(&good).unwrap(), (good.clone(), image.clone()));
    place.refused(&url(Sha256::of(b"another")));
    // A cache that rots is found out.
    let cached = place.store.file_path(&Sha256::of(&image));
    fs::remove_file(&cached).unwrap();
    fs::write(&cached, vec![0; image.len()]).unwrap();
    let error = place.refused(&good).render();
    assert!(error.contains("corrupt"), "{error}");
    assert_eq!(place.pull(&good).unwrap().1, image);

    server.set("/a/x.diorama", Reply::Endless);
    let error = Place::new().refused(&good).render();
    assert!(error.contains("does not say how long"), "{error}");
}
