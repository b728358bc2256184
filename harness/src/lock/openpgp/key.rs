//! Keys of version 4, and which subkeys may sign in their name.

use super::{
    armour,
    packet::{self, Reader, Tag},
    signature::{BOUND_BY_SUBKEY, Hash, Made, SUBKEY, Signature},
};
use ring::{digest, signature as algorithm};

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The packet's contents, which signatures about the key are about.
    body: Vec<u8>,
    /// The key itself.
    material: Material,
}

/// What a signature is verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    /// Modulus and exponent, big-endian.
    Rsa(Vec<u8>, Vec<u8>),
    /// The point.
    Ed25519([u8; 32]),
}

/// The curve's name in keys of RFC 4880: 1.3.6.1.4.1.11591.15.1
const ED25519: [u8; 9] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

impl PublicKey {
    /// None for another version or algorithm, and for what is malformed.
    fn parse(body: &[u8]) -> Option<PublicKey> {
        let mut reader = Reader(body);
        if reader.byte()? != 4 {
            return None;
        }
        // When it was made.
        reader.take(4)?;
        let material = match reader.byte()? {
            // RSA; RSA for signatures alone.
            1 | 3 => Material::Rsa(reader.number()?.to_vec(), reader.number()?.to_vec()),
            // EdDSA with a named curve, as GnuPG writes it.
            22 => {
                let length = usize::from(reader.byte()?);
                if reader.take(length)? != ED25519 {
                    return None;
                }
                let point = reader.number()?.strip_prefix(&[0x40])?;
                Material::Ed25519(point.try_into().ok()?)
            }
            27 => Material::Ed25519(reader.take(32)?.try_into().ok()?),
            _ => return None,
        };
        Some(PublicKey {
            body: body.to_vec(),
            material,
        })
    }

    /// Whether it made this signature, about these bytes in a row.
    pub fn made(&self, signature: &Signature, about: &[&[u8]]) -> bool {
        let mut message = about.concat();
        message.extend(&signature.trailer);
        match (&self.material, &signature.made) {
            (Material::Rsa(n, e), Made::Rsa(number)) => {
                let parameters = match signature.hash {
                    Hash::Sha256 => &algorithm::RSA_PKCS1_2048_8192_SHA256,
                    Hash::Sha384 => &algorithm::RSA_PKCS1_2048_8192_SHA384,
                    Hash::Sha512 => &algorithm::RSA_PKCS1_2048_8192_SHA512,
                };
                // As long as the modulus: OpenPGP leaves leading zeros out.
                let Some(zeros) = n.len().checked_sub(number.len()) else {
                    return false;
                };
                let mut padded = vec![0; zeros];
                padded.extend(number);
                let key = algorithm::RsaPublicKeyComponents { n, e };
                key.verify(parameters, &message, &padded).is_ok()
            }
            (Material::Ed25519(point), Made::Ed25519(both)) => {
                let hash = match signature.hash {
                    Hash::Sha256 => &digest::SHA256,
                    Hash::Sha384 => &digest::SHA384,
                    Hash::Sha512 => &digest::SHA512,
                };
                // What is signed is the hash (RFC 9580, 5.2.3).
                let digest = digest::digest(hash, &message);
                let key = algorithm::UnparsedPublicKey::new(&algorithm::ED25519, point);
                key.verify(digest.as_ref(), both).is_ok()
            }
            _ => false,
        }
    }

    /// The key as signatures about it see it.
    fn hashed(&self) -> Option<Vec<u8>> {
        let length = u16::try_from(self.body.len()).ok()?;
        let mut bytes = vec![0x99];
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.body);
        Some(bytes)
    }
}

/// A primary key with those of its subkeys that may sign.
#[derive(Clone, Debug)]
pub struct Certificate {
    primary: PublicKey,
    signing: Vec<PublicKey>,
}

impl Certificate {
    /// Reads an ASCII-armoured public key.
    ///
    /// # Errors
    /// When it is none, or of a kind that cannot be used, in words.
    pub fn from_armour(text: &str) -> Result<Certificate, String> {
        let bytes = armour::decode(text, "PGP PUBLIC KEY BLOCK")?;
        let packets = packet::all(&bytes)?;
        let mut packets = packets.into_iter().peekable();
        let primary = match packets.next() {
            Some((Tag::Key, body)) => PublicKey::parse(body)
                .ok_or("the key is neither RSA nor Ed25519, or not of version 4")?,
            _ => return Err("the block does not begin with a key".to_owned()),
        };
        let mut certificate = Certificate {
            primary,
            signing: Vec::new(),
        };
        while let Some((tag, body)) = packets.next() {
            if tag == Tag::Key {
                return Err("the block holds more than one key".to_owned());
            }
            if tag != Tag::Subkey {
                continue;
            }
            let mut bindings = Vec::new();
            while let Some((_, body)) = packets.next_if(|(tag, _)| *tag == Tag::Signature) {
                bindings.extend(Signature::parse(body));
            }
            let subkey = PublicKey::parse(body);
            certificate
                .signing
                .extend(subkey.filter(|subkey| certificate.lets_sign(subkey, &bindings)));
        }
        Ok(certificate)
    }

    /// The keys whose signatures are the certificate's.
    pub fn signers(&self) -> impl Iterator<Item = &PublicKey> {
        std::iter::once(&self.primary).chain(&self.signing)
    }

    /// Whether the primary key says that a subkey may sign in its name, and the subkey says that it
    /// belongs to it: without the second anybody's key could be claimed.
    fn lets_sign(&self, subkey: &PublicKey, bindings: &[Signature]) -> bool {
        let (Some(primary), Some(bound)) = (self.primary.hashed(), subkey.hashed()) else {
            return false;
        };
        let about: &[&[u8]] = &[&primary, &bound];
        bindings
            .iter()
            .filter(|binding| binding.kind == SUBKEY && binding.may_sign)
            .filter(|binding| self.primary.made(binding, about))
            .any(|binding| {
                let back = binding.embedded.as_deref();
                back.is_some_and(|back| back.kind == BOUND_BY_SUBKEY && subkey.made(back, about))
            })
    }
}
