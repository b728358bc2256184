//! A suite's InRelease file: its signature, its age, and the digests it vouches for (pure).

use super::control;
use crate::{
    digest::Sha256,
    error::{Error, Result},
};
use jiff::{Timestamp, fmt::rfc2822};
use pgp::composed::{CleartextSignedMessage, Deserializable as _, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use std::collections::BTreeMap;

/// A public key that may sign an archive.
#[derive(Clone, Debug)]
pub struct Key {
    /// Name, for messages.
    pub name: String,
    key: SignedPublicKey,
}

impl Key {
    /// Reads an ASCII-armoured public key.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_armour(name: &str, text: &str) -> Result<Key> {
        let (key, _) = SignedPublicKey::from_string(text).map_err(|e| {
            Error::input(format!(
                "`{name}` is not an ASCII-armoured OpenPGP public key"
            ))
            .because(e)
        })?;
        Ok(Key {
            name: name.to_owned(),
            key,
        })
    }
}

/// A verified Release file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Size and sha256 of every file that it lists, by path below the suite.
    pub files: BTreeMap<String, (u64, Sha256)>,
    /// `Acquire-By-Hash`
    pub by_hash: bool,
}

/// Why a Release file is of no use.
#[derive(Debug)]
pub enum ReleaseRefusal {
    /// Properly signed, but expired: another suite may still serve.
    Expired(Error),
    /// Not signed by an accepted key, or not what was asked for.
    Untrusted(Error),
}

/// Verifies a clear-signed Release file of a suite: one good signature by one of the keys, the
/// suite's own name, and a `Valid-Until` (where there is one) that is not past.
pub fn verify(
    text: &str,
    suite: &str,
    keys: &[Key],
    now: Timestamp,
) -> Result<Release, ReleaseRefusal> {
    let untrusted = |why: String| {
        ReleaseRefusal::Untrusted(Error::fetch(format!("verifying the Release file of {suite}: {why}")).hint(
            "do not trust this mirror or network; try another, and compare kernels/keys with Debian's archive keys",
        ))
    };
    let (message, _) = CleartextSignedMessage::from_string(text)
        .map_err(|e| untrusted(format!("it is not a clear-signed message ({e})")))?;
    if !keys.iter().any(|key| signed_by(&message, key)) {
        let names: Vec<_> = keys.iter().map(|k| k.name.as_str()).collect();
        return Err(untrusted(format!(
            "it has no valid signature by {}",
            names.join(", ")
        )));
    }
    // Only what was signed is read from here on.
    let signed = message.signed_text().replace("\r\n", "\n");
    let fields: BTreeMap<_, _> = control::paragraphs(&signed).flatten().collect();
    let field = |name: &str| fields.get(name).copied();
    if field("Codename") != Some(suite) && field("Suite") != Some(suite) {
        return Err(untrusted(format!(
            "it is for {}",
            field("Codename").unwrap_or("another suite")
        )));
    }
    if let Some(until) = field("Valid-Until") {
        let expired =
            date(until).ok_or_else(|| untrusted(format!("Valid-Until `{until}` is not a date")))?;
        if expired < now {
            return Err(ReleaseRefusal::Expired(
                Error::fetch(format!("the Release file of {suite} expired on {until}"))
                    .hint("try another mirror (this one is stale), or set this machine's clock"),
            ));
        }
    }
    Ok(Release {
        files: digests(field("SHA256").unwrap_or_default()),
        by_hash: field("Acquire-By-Hash") == Some("yes"),
    })
}

/// Whether the primary key or a subkey bound to it made one of the signatures, with a hash that
/// still means something.
fn signed_by(message: &CleartextSignedMessage, key: &Key) -> bool {
    let text = message.signed_text();
    let strong = message.signatures().iter().filter(|s| {
        matches!(
            s.hash_alg(),
            Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512)
        )
    });
    let primary = &key.key.primary_key;
    for signature in strong {
        if signature.verify(primary, text.as_bytes()).is_ok() {
            return true;
        }
        for subkey in &key.key.public_subkeys {
            if subkey.verify_bindings(primary).is_ok()
                && signature.verify(&subkey.key, text.as_bytes()).is_ok()
            {
                return true;
            }
        }
    }
    false
}

/// `Sat, 28 Nov 2026 00:53:02 UTC`: RFC 2822 but for the zone's name.
fn date(text: &str) -> Option<Timestamp> {
    let text = text
        .strip_suffix("UTC")
        .map_or(text.to_owned(), |t| format!("{t}+0000"));
    rfc2822::DateTimeParser::new()
        .parse_timestamp(text.as_str())
        .ok()
}

/// Lines of `digest size path`.
fn digests(field: &str) -> BTreeMap<String, (u64, Sha256)> {
    field
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (digest, size, path) = (words.next()?, words.next()?, words.next()?);
            Some((path.to_owned(), (size.parse().ok()?, digest.parse().ok()?)))
        })
        .collect()
}

#[cfg(test)]
pub(in crate::lock) mod tests {
    use super::*;
    use pgp::composed::{KeyType, SecretKeyParamsBuilder, SignedSecretKey, SubkeyParamsBuilder};
    use pgp::types::Password;

    /// A key pair like the archive's: a primary key and a signing subkey.
    pub struct Signer {
        secret: SignedSecretKey,
    }

    impl Signer {
        pub fn new() -> Signer {
            let mut params = SecretKeyParamsBuilder::default();
            params
                .key_type(KeyType::Ed25519Legacy)
                .can_certify(true)
                .can_sign(true)
                .primary_user_id("test".into())
                .subkey(
                    SubkeyParamsBuilder::default()
                        .key_type(KeyType::Ed25519Legacy)
                        .can_sign(true)
                        .build()
                        .unwrap(),
                );
            let secret = params
                .build()
                .unwrap()
                .generate(rand::thread_rng())
                .unwrap();
            Signer { secret }
        }

        pub fn armour(&self) -> String {
            self.secret
                .to_public_key()
                .to_armored_string(None.into())
                .unwrap()
        }

        pub fn key(&self) -> Key {
            Key::from_armour("test", &self.armour()).unwrap()
        }

        /// Signs with the subkey, as Debian's archive does, or with the primary key.
        pub fn sign(&self, text: &str, subkey: bool) -> String {
            let none = Password::empty();
            let rng = rand::thread_rng();
            let message = if subkey {
                CleartextSignedMessage::sign(rng, text, &self.secret.secret_subkeys[0].key, &none)
            } else {
                CleartextSignedMessage::sign(rng, text, &self.secret.primary_key, &none)
            };
            message.unwrap().to_armored_string(None.into()).unwrap()
        }
    }

    const TEXT: &str = "\
Origin: Debian
Suite: stable-security
Codename: trixie-security
Valid-Until: Sat, 28 Nov 2026 00:53:02 UTC
Acquire-By-Hash: yes
SHA256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 307764 main/binary-amd64/Packages.xz
";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_good_signature_of_subkey_or_primary_key_is_accepted() {
        let signer = Signer::new();
        for subkey in [true, false] {
            let text = signer.sign(TEXT, subkey);
            let release = verify(
                &text,
                "trixie-security",
                &[Signer::new().key(), signer.key()],
                at("2026-11-27T00:00:00Z"),
            )
            .unwrap();
            assert!(release.by_hash);
            assert_eq!(
                release.files["main/binary-amd64/Packages.xz"],
                (307_764, Sha256::of(b""))
            );
        }
    }

    fn refused(text: &str, suite: &str, key: &Key, now: &str) -> String {
        match verify(text, suite, std::slice::from_ref(key), at(now)).unwrap_err() {
            ReleaseRefusal::Untrusted(e) => format!("untrusted {}", e.render()),
            ReleaseRefusal::Expired(e) => format!("expired {}", e.render()),
        }
    }

    #[test]
    fn wrong_key_changed_text_expiry_and_another_suite_are_refused() {
        let signer = Signer::new();
        let good = signer.sign(TEXT, true);
        let (key, suite, now) = (signer.key(), "trixie-security", "2026-11-27T00:00:00Z");
        insta::assert_snapshot!(refused(&good, suite, &Signer::new().key(), now), @r"
        untrusted error: verifying the Release file of trixie-security: it has no valid signature by test
          help: do not trust this mirror or network; try another, and compare kernels/keys with Debian's archive keys
        ");
        insta::assert_snapshot!(refused(&good.replace("307764", "307765"), suite, &key, now), @r"
        untrusted error: verifying the Release file of trixie-security: it has no valid signature by test
          help: do not trust this mirror or network; try another, and compare kernels/keys with Debian's archive keys
        ");
        insta::assert_snapshot!(refused(&good, "trixie", &key, now), @r"
        untrusted error: verifying the Release file of trixie: it is for trixie-security
          help: do not trust this mirror or network; try another, and compare kernels/keys with Debian's archive keys
        ");
        insta::assert_snapshot!(refused(&good, suite, &key, "2026-11-28T01:00:00Z"), @r"
        expired error: the Release file of trixie-security expired on Sat, 28 Nov 2026 00:53:02 UTC
          help: try another mirror (this one is stale), or set this machine's clock
        ");
        insta::assert_snapshot!(refused(TEXT, suite, &key, now), @r"
        untrusted error: verifying the Release file of trixie-security: it is not a clear-signed message (not enough bytes in buffer: cleartext header)
          help: do not trust this mirror or network; try another, and compare kernels/keys with Debian's archive keys
        ");
    }

    #[test]
    fn text_around_the_signed_message_counts_for_nothing() {
        let signer = Signer::new();
        let forged = format!(
            "SHA256:\n 00 1 evil\n\n{}\nCodename: sid\n",
            signer.sign(TEXT, true)
        );
        if let Ok(release) = verify(
            &forged,
            "trixie-security",
            &[signer.key()],
            at("2026-11-27T00:00:00Z"),
        ) {
            assert_eq!(release.files.len(), 1);
            assert!(!release.files.contains_key("evil"));
        }
    }
}
