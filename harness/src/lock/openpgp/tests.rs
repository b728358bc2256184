//! Against keys and messages that another implementation made.

use super::*;
use crate::lock::release::tests::Signer;
use pgp::composed::{ArmorOptions, Deserializable as _, SignedPublicKey};
use std::{fs, path::Path};

const TEXT: &str = "Origin: Debian\n- dashed\n-----\nÜmläut\n\nlast line\n";

fn good(message: &str, certificate: &Certificate) -> bool {
    Message::parse(message).is_ok_and(|message| message.signed_by(certificate))
}

#[test]
fn what_another_implementation_signs_is_good_and_nothing_else_is() {
    for signer in [Signer::new(), Signer::rsa()] {
        let certificate = Certificate::from_armour(&signer.armour()).unwrap();
        let stranger = Certificate::from_armour(&Signer::new().armour()).unwrap();
        for subkey in [true, false] {
            let message = signer.sign(TEXT, subkey);
            let parsed = Message::parse(&message).unwrap();
            assert!(parsed.signed_by(&certificate), "{message}");
            assert!(!parsed.signed_by(&stranger));
            // Blanks at the ends of lines are not signed, and so are not read.
            assert_eq!(
                parsed.text.lines().nth(1),
                Some("- dashed, with blanks behind")
            );
            // Line ends are not signed either.
            assert!(good(&message.replace('\n', "\r\n"), &certificate));
            for (from, to) in [
                ("Debian", "Debiam"),
                ("last line", "last  line"),
                ("last line", ""),
            ] {
                assert!(
                    !good(&message.replacen(from, to, 1), &certificate),
                    "{from}: {to}"
                );
            }
        }
    }
}

/// Every single bit of the signature's block, and of the key, decides.
#[test]
fn no_damaged_signature_or_key_is_good_and_none_panics() {
    let signer = Signer::new();
    let message = signer.sign(TEXT, true);
    let certificate = Certificate::from_armour(&signer.armour()).unwrap();
    let block = message.rfind("\n\n").unwrap() + 2;
    let end = message
        .rfind("\n=")
        .unwrap_or_else(|| message.rfind("\n-----END").unwrap());
    for at in block..end {
        let mut damaged = message.clone().into_bytes();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        let damaged = String::from_utf8(damaged).unwrap();
        if damaged == message {
            continue;
        }
        // What is not hashed may change without harm (the issuer's number, the hash's first bytes).
        let parsed = Message::parse(&damaged);
        assert!(parsed.is_err() || parsed.unwrap().text == Message::parse(&message).unwrap().text);
    }
    for cut in 0..message.len() {
        if message.is_char_boundary(cut) {
            assert!(
                !good(&message[..cut], &certificate) || cut + 1 >= message.len(),
                "{cut}"
            );
        }
    }
    let armour = signer.armour();
    for at in 0..armour.len() {
        let mut damaged = armour.clone().into_bytes();
        damaged[at] = damaged[at].wrapping_add(1);
        // No panic; a key that is another signs nothing.
        let _ = String::from_utf8(damaged).map(|text| Certificate::from_armour(&text));
    }
}

/// A subkey counts when the primary key bound it, and it the primary key.
#[test]
fn a_subkey_of_another_key_signs_for_nobody() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let parse = |armour: &str| SignedPublicKey::from_string(armour).unwrap().0;
    let mut forged = parse(&ours.armour());
    forged.public_subkeys = parse(&theirs.armour()).public_subkeys;
    let armour = forged.to_armored_string(ArmorOptions::default()).unwrap();
    let certificate = Certificate::from_armour(&armour).unwrap();
    assert!(!good(&theirs.sign(TEXT, true), &certificate));
    assert!(good(&ours.sign(TEXT, false), &certificate));
    assert_eq!(certificate.signers().count(), 1);
}

#[test]
fn what_stands_around_the_signed_text_is_refused_or_not_read() {
    let signer = Signer::new();
    let message = signer.sign(TEXT, true);
    for forged in [
        format!("evil\n{message}"),
        message.replacen("\n\n", "\nevil: 1\n\n", 1),
        message.replacen("\n\n", "\nevil\n\n", 1),
        String::new(),
        TEXT.to_owned(),
    ] {
        assert!(Message::parse(&forged).is_err(), "{forged}");
    }
    let behind = Message::parse(&format!("{message}\nevil\n")).unwrap();
    assert!(!behind.text.contains("evil"));
}

/// The keys of the archive, as GnuPG wrote them.
#[test]
fn the_archives_own_keys_are_read_with_their_signing_subkeys() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/keys");
    let mut read = 0;
    for entry in fs::read_dir(keys).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let certificate =
            Certificate::from_armour(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        // As many as another implementation finds, all of which sign.
        let other = SignedPublicKey::from_string(&text).unwrap().0;
        let signing = |key: &&pgp::composed::SignedPublicSubKey| {
            key.signatures.iter().any(|s| s.key_flags().sign())
        };
        let subkeys = other.public_subkeys.iter().filter(signing).count();
        assert_eq!(certificate.signers().count(), 1 + subkeys, "{path:?}");
        read += 1;
    }
    assert!(read >= 9);
}
