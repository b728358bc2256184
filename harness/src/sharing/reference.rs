//! Where an image is: a file, a URL with its sha256, or a name in an OCI registry (pure).
//!
//! The grammar of names is that of the OCI distribution specification 1.1 ("Pulling manifests").

use crate::{
    digest::Sha256,
    error::{Error, Result},
    text,
};
use core::net::IpAddr; // the types alone, no sockets
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Longest repository name that registries take.
const MAX_NAME: usize = 255;
/// Longest tag (distribution specification).
const MAX_TAG: usize = 128;

/// What an argument means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A file of this host.
    File(PathBuf),
    /// A file elsewhere.
    Url(Url),
    /// An image in a registry.
    Registry(InRegistry),
}

/// A URL and what must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Without the fragment.
    pub url: String,
    /// The file's digest.
    pub sha256: Sha256,
}

/// An image's name in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InRegistry {
    /// Host, with the port if one was given.
    pub host: String,
    /// The repository there: `team/images`.
    pub repository: String,
    /// Which of its images.
    pub which: Which,
}

/// One of a repository's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// A name that may move.
    Tag(String),
    /// The digest of its manifest.
    Digest(Sha256),
}

impl Which {
    /// As a registry's URLs have it.
    #[must_use]
    pub fn in_url(&self) -> String {
        match self {
            Which::Tag(tag) => tag.clone(),
            Which::Digest(digest) => format!("sha256:{digest}"),
        }
    }
}

impl fmt::Display for InRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.which {
            Which::Tag(_) => ':',
            Which::Digest(_) => '@',
        };
        let InRegistry {
            host, repository, ..
        } = self;
        write!(
            f,
            "oci://{host}/{repository}{separator}{}",
            self.which.in_url()
        )
    }
}

impl InRegistry {
    /// `https`, or `http` for this host itself alone.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match is_loopback(&self.host) {
            true => "http",
            false => "https",
        }
    }

    /// The same repository's image of this digest.
    #[must_use]
    pub fn at(&self, digest: Sha256) -> InRegistry {
        InRegistry {
            which: Which::Digest(digest),
            ..self.clone()
        }
    }
}

impl Reference {
    /// What an argument of the command line means.
    ///
    /// # Errors
    /// When it begins as a reference and is none. Says why.
    pub fn parse(argument: &Path) -> Result<Reference> {
        let Some((scheme, rest)) = argument.to_str().and_then(|text| text.split_once("://")) else {
            return Ok(Reference::File(argument.to_owned()));
        };
        let whole = text::line(&text::cut(&argument.to_string_lossy()));
        let refused = |why: String, hint: &str| {
            Err(Error::input(format!("`{whole}`: {why}")).hint(hint.to_owned()))
        };
        match scheme {
            "oci" => in_registry(rest).map(Reference::Registry).or_else(|why| {
                refused(
                    why,
                    "use oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:DIGEST",
                )
            }),
            "https" | "http" => url(scheme, rest).map(Reference::Url).or_else(|why| {
                refused(
                    why,
                    "use https://HOST/FILE#sha256=DIGEST, with the digest that the sender told you",
                )
            }),
            other => refused(
                format!("images do not come by `{other}`"),
                "use a file, oci://HOST/NAME:TAG or https://HOST/FILE#sha256=DIGEST",
            ),
        }
    }
}

fn in_registry(rest: &str) -> std::result::Result<InRegistry, String> {
    let (host, name) = rest.split_once('/').ok_or("a repository is missing")?;
    check_host(host)?;
    let (name, digest) = match name.split_once('@') {
        None => (name, None),
        Some((name, digest)) => {
            let hex = digest.strip_prefix("sha256:");
            let hex = hex.ok_or_else(|| format!("`{digest}` is no sha256 digest"))?;
            (name, Some(hex.parse::<Sha256>()?))
        }
    };
    let (repository, tag) = match name.split_once(':') {
        None => (name, None),
        Some((repository, tag)) => (repository, Some(tag)),
    };
    if repository.len() > MAX_NAME || !repository.split('/').all(is_component) {
        return Err(format!("`{repository}` is no repository's name"));
    }
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        return Err(format!("`{tag}` is no tag"));
    }
    let which = match (digest, tag) {
        // The digest says it all.
        (Some(digest), _) => Which::Digest(digest),
        (None, tag) => Which::Tag(tag.unwrap_or("latest").to_owned()),
    };
    Ok(InRegistry {
        host: host.to_owned(),
        repository: repository.to_owned(),
        which,
    })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = part.split(plain).filter(|s| !s.is_empty());
    let ok = |s: &str| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-');
    part.starts_with(plain) && part.ends_with(plain) && separators.into_iter().all(ok)
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(tag: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= MAX_TAG
        && tag.starts_with(first)
        && tag.chars().all(|c| first(c) || c == '.' || c == '-')
}

fn check_host(host: &str) -> std::result::Result<(), String> {
    if host.contains('@') {
        return Err("a user's name does not belong there: credentials are docker's".to_owned());
    }
    let ok = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    match host.is_empty() || !host.chars().all(ok) {
        true => Err(format!("`{host}` is no host")),
        false => Ok(()),
    }
}

fn url(scheme: &str, rest: &str) -> std::result::Result<Url, String> {
    let (place, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let hex = fragment.strip_prefix("sha256=");
    let hex = hex.ok_or("its sha256 is missing, and without one anything could be there")?;
    let sha256 = hex.parse()?;
    let (host, path) = place.split_once('/').ok_or("it names no file")?;
    check_host(host)?;
    if path.is_empty() || !path.chars().all(|c| c.is_ascii_graphic()) {
        return Err("it names no file".to_owned());
    }
    if scheme == "http" && !is_loopback(host) {
        return Err("plain http is for this host alone".to_owned());
    }
    Ok(Url {
        url: format!("{scheme}://{place}"),
        sha256,
    })
}

/// Whether a host, with or without a port, is this one.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    let address = name.parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6";

    fn parse(text: &str) -> Result<Reference> {
        Reference::parse(Path::new(text))
    }

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(Reference::Registry(reference)) => format!("{} {reference}", reference.scheme()),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.render(),
        }
    }

    #[test]
    fn names_are_those_of_the_distribution_specification() {
        for (text, wanted) in [
            ("oci://r.example/a", "https oci://r.example/a:latest"),
            (
                "oci://r.example:5000/a/b-c.d__e:v1.0",
                "https oci://r.example:5000/a/b-c.d__e:v1.0",
            ),
            ("oci://localhost:5000/a:x", "http oci://localhost:5000/a:x"),
            ("oci://127.0.0.1:5000/a:x", "http oci://127.0.0.1:5000/a:x"),
            ("oci://[::1]:5000/a:x", "http oci://[::1]:5000/a:x"),
            (
                "oci://127.0.0.1.example/a:x",
                "https oci://127.0.0.1.example/a:x",
            ),
        ] {
            assert_eq!(shown(text), wanted);
        }
        let by_digest = format!("oci://r.example/a@sha256:{DIGEST}");
        assert_eq!(shown(&by_digest), format!("https {by_digest}"));
        let both = format!("oci://r.example/a:v1@sha256:{DIGEST}");
        assert_eq!(shown(&both), format!("https {by_digest}"));
        for text in [
            "oci://r.example",
            "oci:///a",
            "oci://r.example/",
            "oci://r.example/A",
            "oci://r.example/a/../b",
            "oci://r.example/a//b",
            "oci://r.example/a:",
            "oci://u:p@r.example/a",
            "oci://r.example/a:.x",
            "oci://r.example/a@sha256:12",
            "oci://r.example/a@md5:12",
            "oci://r.example/a?x",
            "oci://r.example/a___b",
            "oci://r example/a",
            "ftp://r.example/a",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_has_the_digest_of_what_is_there_and_is_https() {
        let good = format!("https://x.example/a/b.diorama#sha256={DIGEST}");
        let Reference::Url(url) = parse(&good).unwrap() else {
            panic!("{good}")
        };
        assert_eq!(url.url, "https://x.example/a/b.diorama");
        assert_eq!(url.sha256.to_string(), DIGEST);
        assert!(parse(&format!("http://127.0.0.1:80/b#sha256={DIGEST}")).is_ok());
        assert!(parse(&format!("https://u:p@x.example/b#sha256={DIGEST}")).is_err());
        insta::assert_snapshot!(shown("https://x.example/b.diorama"), @"
        error: `https://x.example/b.diorama`: its sha256 is missing, and without one anything could be there
          help: use https://HOST/FILE#sha256=DIGEST, with the digest that the sender told you
        ");
        insta::assert_snapshot!(shown(&format!("http://x.example/b#sha256={DIGEST}")), @"
        error: `http://x.example/b#sha256=2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265...`: plain http is for this host alone
          help: use https://HOST/FILE#sha256=DIGEST, with the digest that the sender told you
        ");
    }

    #[test]
    fn everything_else_is_a_file() {
        for text in ["x.diorama", "./oci:/x", "/a/b:c", "a@b"] {
            assert_eq!(parse(text).unwrap(), Reference::File(text.into()));
        }
    }
}
