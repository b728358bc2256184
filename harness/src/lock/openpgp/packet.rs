//! OpenPGP's binary forms: packets, numbers, subpackets (RFC 9580, 3, 4 and 5.2.3).

/// The kinds of packets that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A signature.
    Signature,
    /// A primary key.
    Key,
    /// A subkey.
    Subkey,
    /// Anything else.
    Other,
}

/// All packets of a block, in order.
pub fn all(bytes: &[u8]) -> Result<Vec<(Tag, &[u8])>, String> {
    let mut reader = Reader(bytes);
    let mut packets = Vec::new();
    while !reader.0.is_empty() {
        packets.push(packet(&mut reader).ok_or("a packet is cut short or of unknown length")?);
    }
    Ok(packets)
}

fn packet<'a>(reader: &mut Reader<'a>) -> Option<(Tag, &'a [u8])> {
    let first = reader.byte()?;
    let (tag, length) = match first >> 6 {
        0b11 => (first & 0x3f, reader.length()?),
        0b10 => {
            let length = match first & 3 {
                0 => usize::from(reader.byte()?),
                1 => usize::from(reader.u16()?),
                2 => reader.u32()?,
                // Until the end of a stream, which no key and no signature is.
                _ => return None,
            };
            ((first >> 2) & 0xf, length)
        }
        _ => return None,
    };
    let tag = match tag {
        2 => Tag::Signature,
        6 => Tag::Key,
        14 => Tag::Subkey,
        _ => Tag::Other,
    };
    Some((tag, reader.take(length)?))
}

/// Reads from the front; every read may find too little.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// The next two bytes as a number.
    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    /// A length of the new format; none of a packet in parts, which no key and no signature is.
    fn length(&mut self) -> Option<usize> {
        match self.byte()? {
            short @ 0..=191 => Some(usize::from(short)),
            first @ 192..=223 => {
                Some(((usize::from(first) - 192) << 8) + usize::from(self.byte()?) + 192)
            }
            255 => self.u32(),
            _ => None,
        }
    }

    /// A large number, without leading zeros.
    pub fn number(&mut self) -> Option<&'a [u8]> {
        let bits = usize::from(self.u16()?);
        let bytes = self.take(bits.div_ceil(8))?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(&bytes[zeros..])
    }

    /// The next subpacket: its type, without the bit that says it is critical, whether that is set,
    /// and its contents.
    pub fn subpacket(&mut self) -> Option<(u8, bool, &'a [u8])> {
        let length = match self.byte()? {
            short @ 0..=191 => usize::from(short),
            first @ 192..=254 => {
                ((usize::from(first) - 192) << 8) + usize::from(self.byte()?) + 192
            }
            255 => self.u32()?,
        };
        let mut body = Reader(self.take(length)?);
        let kind = body.byte()?;
        Some((kind & 0x7f, kind & 0x80 != 0, body.0))
    }
}
