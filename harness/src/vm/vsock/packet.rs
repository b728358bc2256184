//! The header of a virtio-vsock packet (virtio 1.2, section 5.10.6), as pure data.
//!
//! Every field is little-endian on the wire. A header read from a guest is untrusted: decoding it
//! never fails and never judges; that is the connection's part.

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 44;

/// The longest payload a packet may carry, in bytes (`VIRTIO_VSOCK_MAX_PKT_BUF_SIZE` in Linux's
/// include/linux/virtio_vsock.h).
pub const MAX_PAYLOAD: usize = 64 << 10;

/// The host's well-known address (`VMADDR_CID_HOST` in linux/vm_sockets.h).
pub const HOST_CID: u64 = 2;

/// No address in particular (`VMADDR_CID_ANY` in linux/vm_sockets.h), in the packet's 64 bits.
pub const ANY_CID: u64 = u32::MAX as u64;

/// The only socket type spoken here (`VIRTIO_VSOCK_TYPE_STREAM`).
pub const TYPE_STREAM: u16 = 1;

/// In [`Header::flags`] of [`Op::Shutdown`]: the sender will receive nothing more.
pub const SHUTDOWN_RECEIVE: u32 = 1;

/// In [`Header::flags`] of [`Op::Shutdown`]: the sender will send nothing more.
pub const SHUTDOWN_SEND: u32 = 2;

/// What a packet asks for (`VIRTIO_VSOCK_OP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Connect.
    Request,
    /// The connection is accepted.
    Response,
    /// The connection does not exist, or no longer.
    Reset,
    /// One or both directions end; see [`SHUTDOWN_RECEIVE`] and [`SHUTDOWN_SEND`].
    Shutdown,
    /// Data.
    ReadWrite,
    /// The sender's credit, unasked or as an answer.
    CreditUpdate,
    /// Asks for a [`Op::CreditUpdate`].
    CreditRequest,
    /// Anything else.
    Unknown(u16),
}

impl Op {
    const ALL: [(u16, Op); 7] = [
        (1, Op::Request),
        (2, Op::Response),
        (3, Op::Reset),
        (4, Op::Shutdown),
        (5, Op::ReadWrite),
        (6, Op::CreditUpdate),
        (7, Op::CreditRequest),
    ];

    fn from_wire(code: u16) -> Op {
        Op::ALL
            .iter()
            .find(|(c, _)| *c == code)
            .map_or(Op::Unknown(code), |(_, op)| *op)
    }

    fn to_wire(self) -> u16 {
        match self {
            Op::Unknown(code) => code,
            known => Op::ALL
                .iter()
                .find(|(_, op)| *op == known)
                .map_or(0, |(code, _)| *code),
        }
    }
}

/// One end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The machine.
    pub cid: u64,
    /// The port on it.
    pub port: u32,
}

/// `struct virtio_vsock_hdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender.
    pub src: Address,
    /// The receiver.
    pub dst: Address,
    /// Length of the payload behind the header, in bytes.
    pub len: u32,
    /// Socket type: [`TYPE_STREAM`].
    pub kind: u16,
    /// What the packet asks for.
    pub op: Op,
    /// Meaning depends on the operation.
    pub flags: u32,
    /// Size of the sender's receive buffer, in bytes.
    pub buf_alloc: u32,
    /// Bytes the sender's reader has taken so far, modulo 2^32.
    pub fwd_cnt: u32,
}

impl Header {
    /// Reads a header off the wire.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Header {
        Header {
            src: Address {
                cid: u64::from_le_bytes(field(bytes, 0)),
                port: u32::from_le_bytes(field(bytes, 16)),
            },
            dst: Address {
                cid: u64::from_le_bytes(field(bytes, 8)),
                port: u32::from_le_bytes(field(bytes, 20)),
            },
            len: u32::from_le_bytes(field(bytes, 24)),
            kind: u16::from_le_bytes(field(bytes, 28)),
            op: Op::from_wire(u16::from_le_bytes(field(bytes, 30))),
            flags: u32::from_le_bytes(field(bytes, 32)),
            buf_alloc: u32::from_le_bytes(field(bytes, 36)),
            fwd_cnt: u32::from_le_bytes(field(bytes, 40)),
        }
    }

    /// Writes it.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.src.cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.dst.cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.src.port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.dst.port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.len.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.op.to_wire().to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.buf_alloc.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.fwd_cnt.to_le_bytes());
        bytes
    }

    /// The reset that answers a packet nobody expected: addresses swapped, nothing granted.
    #[must_use]
    pub fn reset(&self) -> Header {
        Header {
            src: self.dst,
            dst: self.src,
            len: 0,
            kind: self.kind,
            op: Op::Reset,
            flags: 0,
            buf_alloc: 0,
            fwd_cnt: 0,
        }
    }
}

/// `N` bytes from a constant offset within the header.
fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let header = Header {
            src: Address {
                cid: 0x0102_0304_0506_0708,
                port: 0x1112_1314,
            },
            dst: Address {
                cid: HOST_CID,
                port: 5005,
            },
            len: 0x2122_2324,
            kind: TYPE_STREAM,
            op: Op::ReadWrite,
            flags: 0x3132_3334,
            buf_alloc: 0x4142_4344,
            fwd_cnt: 0x5152_5354,
        };
        let hex: String = header
            .encode()
            .chunks(4)
            .map(|w| w.iter().map(|b| format!("{b:02x}")).collect::<String>() + " ")
            .collect();
        insta::assert_snapshot!(hex.trim(), @"08070605 04030201 02000000 00000000 14131211 8d130000 24232221 01000500 34333231 44434241 54535251");
    }

    #[test]
    fn any_bytes_decode_and_encode_to_themselves() {
        let mut random = super::super::testing::Random::new(1);
        for _ in 0..2000 {
            let mut bytes = [0; HEADER_LEN];
            random.fill(&mut bytes);
            // Small codes, so that the known operations are met too.
            bytes[30] %= 10;
            bytes[31] %= 2;
            assert_eq!(Header::decode(&bytes).encode(), bytes);
        }
    }
}
