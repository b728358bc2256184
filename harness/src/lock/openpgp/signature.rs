//! Signatures of version 4.

use super::packet::Reader;

/// A signature of a text, with the line ends of the network.
pub const TEXT: u8 = 0x01;
/// A primary key's about a subkey.
pub const SUBKEY: u8 = 0x18;
/// A subkey's about its primary key.
pub const BOUND_BY_SUBKEY: u8 = 0x19;

/// A signature, not verified.
#[derive(Clone, Debug)]
pub struct Signature {
    /// What it is about.
    pub kind: u8,
    /// Of a subkey's binding: whether that may sign data (key flags).
    pub may_sign: bool,
    /// Of a subkey's binding: the subkey's own signature.
    pub embedded: Option<Box<Signature>>,
    /// How what was signed is hashed.
    pub hash: Hash,
    /// The signature's own part of what is hashed, with the trailer.
    pub trailer: Vec<u8>,
    /// The numbers.
    pub made: Made,
}

/// The hashes that still mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// Number 8.
    Sha256,
    /// Number 9.
    Sha384,
    /// Number 10.
    Sha512,
}

/// What a key made of the hash.
#[derive(Clone, Debug)]
pub enum Made {
    /// A number, without leading zeros.
    Rsa(Vec<u8>),
    /// Both halves.
    Ed25519([u8; 64]),
}

impl Signature {
    /// None for another version or algorithm, for one that demands what is not known here, and for
    /// what is malformed.
    pub fn parse(body: &[u8]) -> Option<Signature> {
        Signature::parse_within(body, true)
    }

    fn parse_within(body: &[u8], outermost: bool) -> Option<Signature> {
        let mut reader = Reader(body);
        if reader.byte()? != 4 {
            return None;
        }
        let (kind, algorithm) = (reader.byte()?, reader.byte()?);
        let hash = match reader.byte()? {
            8 => Hash::Sha256,
            9 => Hash::Sha384,
            10 => Hash::Sha512,
            _ => return None,
        };
        let length = usize::from(reader.u16()?);
        let hashed = reader.take(length)?;
        let signed = &body[..6 + length];
        let mut trailer = signed.to_vec();
        trailer.extend([4, 0xff]);
        trailer.extend(u32::try_from(signed.len()).ok()?.to_be_bytes());
        let length = usize::from(reader.u16()?);
        let unhashed = reader.take(length)?;
        // The first bytes of the hash, for those who look before they verify.
        reader.take(2)?;
        let made = match algorithm {
            1 | 3 => Made::Rsa(reader.number()?.to_vec()),
            22 => {
                let mut both = [0; 64];
                for half in both.chunks_mut(32) {
                    let number = reader.number()?;
                    half.get_mut(32_usize.checked_sub(number.len())?..)?
                        .copy_from_slice(number);
                }
                Made::Ed25519(both)
            }
            27 => Made::Ed25519(reader.take(64)?.try_into().ok()?),
            _ => return None,
        };
        let mut signature = Signature {
            kind,
            may_sign: false,
            embedded: None,
            hash,
            trailer,
            made,
        };
        signature.read_subpackets(hashed, true, outermost)?;
        signature.read_subpackets(unhashed, false, outermost)?;
        Some(signature)
    }

    /// Only what is hashed says something; an embedded signature proves itself, wherever it is.
    fn read_subpackets(&mut self, area: &[u8], hashed: bool, outermost: bool) -> Option<()> {
        let mut reader = Reader(area);
        while !reader.0.is_empty() {
            let (kind, critical, body) = reader.subpacket()?;
            match kind {
                27 if hashed => self.may_sign = body.first().is_some_and(|flags| flags & 2 != 0),
                32 if outermost => {
                    self.embedded = Signature::parse_within(body, false).map(Box::new);
                }
                // Those that RFC 9580 knows and that change nothing here.
                2..=5 | 7 | 9..=12 | 16 | 20..=35 | 38 | 39 => {}
                _ if critical && hashed => return None,
                _ => {}
            }
        }
        Some(())
    }
}
