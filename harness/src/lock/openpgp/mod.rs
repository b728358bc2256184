//! As much of OpenPGP (RFC 9580, and RFC 4880 before it) as it takes to say whether an archive's key
//! signed a text: clear-signed messages, keys and signatures of version 4, RSA and Ed25519, SHA-2. The
//! arithmetic is ring's. Whatever is malformed or of another kind is not a good signature. Pure.
//!
//! A general library would do this and a hundred other things, at a quarter of the harness's
//! dependencies; the tests have one check this against it.

mod armour;
mod key;
mod packet;
mod signature;

pub use key::Certificate;

use packet::Tag;
use signature::{Signature, TEXT};

/// A clear-signed message: what was signed, and by whatever signatures.
#[derive(Debug)]
pub struct Message {
    /// The text that the signatures are about: nothing around them.
    pub text: String,
    signatures: Vec<Signature>,
}

impl Message {
    /// Takes a message apart. Nothing is verified yet.
    ///
    /// # Errors
    /// What is wrong with its form, in words.
    pub fn parse(message: &str) -> Result<Message, String> {
        let (text, armoured) = armour::clear_signed(message)?;
        let bytes = armour::decode(&armoured, "PGP SIGNATURE")?;
        let signatures = packet::all(&bytes)?
            .into_iter()
            .filter(|(tag, _)| *tag == Tag::Signature)
            // One of a kind that is not known here may stand beside one that is.
            .filter_map(|(_, body)| Signature::parse(body))
            .collect();
        Ok(Message { text, signatures })
    }

    /// Whether the certificate's key, or a subkey of it that may sign, made one of the signatures.
    #[must_use]
    pub fn signed_by(&self, certificate: &Certificate) -> bool {
        // What is signed has the line ends of the network.
        let canonical = self.text.replace('\n', "\r\n");
        self.signatures
            .iter()
            .filter(|signature| signature.kind == TEXT)
            .any(|signature| {
                certificate
                    .signers()
                    .any(|key| key.made(signature, &[canonical.as_bytes()]))
            })
    }
}

#[cfg(test)]
mod tests;
