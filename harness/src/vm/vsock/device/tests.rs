//! The device against a driver that lays out its rings by hand (virtio 1.2, section 2.7).

use super::super::{
    packet::{Address, HOST_CID, Op, TYPE_STREAM},
    testing::Random,
};
use super::*;
use crate::vm::memory::GuestRam;
use std::os::fd::AsFd as _;
use vm_memory::{Bytes, FileOffset, GuestAddress};

const SIZE: u16 = 8;
const RAM: usize = 1 << 20;
const GUEST: Address = Address { cid: 3, port: 900 };
const HOST: Address = Address {
    cid: HOST_CID,
    port: 5005,
};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A guest: rings at fixed places, buffers from 0x10000 on.
struct Guest {
    memory: Memory,
    vrings: Vec<VringMutex<Memory>>,
    device: VsockDevice,
    host: UnixStream,
    made_available: [u16; QUEUES],
}

fn ring(queue: usize, part: u64) -> GuestAddress {
    GuestAddress(0x1000 * (1 + 3 * queue as u64 + part))
}

impl Guest {
    fn new() -> Guest {
        let ram = GuestRam::create(RAM as u64).unwrap();
        let at = FileOffset::new(ram.as_fd().try_clone_to_owned().unwrap().into(), 0);
        let range = (GuestAddress(0), RAM, Some(at));
        let ram = GuestMemoryMmap::<()>::from_ranges_with_files([range]).unwrap();
        let memory = GuestMemoryAtomic::new(ram);
        let (host, inner) = UnixStream::pair().unwrap();
        inner.set_nonblocking(true).unwrap();
        host.set_nonblocking(true).unwrap();
        let mut device = VsockDevice::new(GUEST.cid, HOST.port, inner, Arc::default());
        device.update_memory(memory.clone()).unwrap();
        let vrings = (0..QUEUES)
            .map(|queue| {
                let vring = VringMutex::new(memory.clone(), SIZE).unwrap();
                vring.set_queue_size(SIZE);
                let [desc, avail, used] = [0, 1, 2].map(|part| ring(queue, part).0);
                vring.set_queue_info(desc, avail, used).unwrap();
                vring.set_queue_ready(true);
                vring.set_enabled(true);
                vring
            })
            .collect();
        Guest {
            memory,
            vrings,
            device,
            host,
            made_available: [0; QUEUES],
        }
    }

    fn write(&self, bytes: &[u8], at: u64) {
        let memory = self.memory.memory();
        memory.write_slice(bytes, GuestAddress(at)).unwrap();
    }

    fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        let memory = self.memory.memory();
        memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }

    fn describe(&self, table: u64, index: u16, addr: u64, len: u32, flags: u16, next: u16) {
        let mut bytes = addr.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.write(&bytes, table + 16 * u64::from(index));
    }

    fn make_available(&mut self, queue: usize, head: u16) {
        let count = &mut self.made_available[queue];
        let slot = ring(queue, 1).0 + 4 + 2 * u64::from(*count % SIZE);
        *count = count.wrapping_add(1);
        let count = *count;
        self.write(&head.to_le_bytes(), slot);
        self.write(&count.to_le_bytes(), ring(queue, 1).0 + 2);
    }

    fn used(&self, queue: usize) -> u16 {
        u16::from_le_bytes(self.read(ring(queue, 2).0 + 2))
    }

    /// Sends bytes as a chain of descriptors of these lengths (the last takes the rest).
    fn send(&mut self, bytes: &[u8], cuts: &[usize], indirect: bool) {
        self.write(bytes, 0x10000);
        let table = if indirect {
            0x9000
        } else {
            ring(TRANSMIT, 0).0
        };
        let mut at = 0;
        for (i, &cut) in cuts.iter().chain([&usize::MAX]).enumerate() {
            let len = cut.min(bytes.len() - at);
            let flags = if i < cuts.len() { NEXT } else { 0 };
            let addr = 0x10000 + at as u64;
            self.describe(table, i as u16, addr, len as u32, flags, i as u16 + 1);
            at += len;
        }
        if indirect {
            let len = 16 * (cuts.len() as u32 + 1);
            self.describe(ring(TRANSMIT, 0).0, 0, table, len, INDIRECT, 0);
        }
        self.make_available(TRANSMIT, 0);
        self.kick(TRANSMIT);
    }

    fn offer(&mut self, head: u16, addr: u64, len: u32) {
        self.describe(ring(RECEIVE, 0).0, head, addr, len, WRITE, 0);
        self.make_available(RECEIVE, head);
        self.kick(RECEIVE);
    }

    fn kick(&mut self, event: usize) {
        let set = EventSet::IN;
        self.device
            .handle_event(event as u16, set, &self.vrings, 0)
            .unwrap();
    }

    fn connect(&mut self) {
        self.send(&packet(Op::Request, &[]), &[], false);
        self.offer(0, 0x40000, 4096);
        assert_eq!(Header::decode(&self.read(0x40000)).op, Op::Response);
    }

    fn host_reads(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let n = self.host.read(&mut bytes).unwrap_or(0);
        bytes.truncate(n);
        bytes
    }
}

fn packet(op: Op, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        src: GUEST,
        dst: HOST,
        len: payload.len() as u32,
        kind: TYPE_STREAM,
        op,
        flags: 0,
        buf_alloc: 1 << 18,
        fwd_cnt: 0,
    };
    let mut bytes = header.encode().to_vec();
    bytes.extend(payload);
    bytes
}

/// vhost-device-vsock 0.3 took only header-and-one-buffer packets and hung on the rest.
#[test]
fn a_packet_is_read_whatever_its_layout() {
    let mut guest = Guest::new();
    guest.connect();
    let layouts: [(&[usize], bool); 5] = [
        (&[], false),
        (&[44], false),
        (&[44, 100, 1], false),
        (&[10, 20, 30, 0, 7], false),
        (&[44, 50, 60], true),
    ];
    for (cuts, indirect) in layouts {
        let payload: Vec<u8> = (0..200).collect();
        let before = guest.used(TRANSMIT);
        guest.send(&packet(Op::ReadWrite, &payload), cuts, indirect);
        assert_eq!(guest.host_reads(), payload, "{cuts:?} indirect={indirect}");
        assert_eq!(guest.used(TRANSMIT), before + 1);
    }
}

#[test]
fn the_host_s_data_fills_the_guest_s_buffers_as_they_come() {
    let mut guest = Guest::new();
    guest.connect();
    (&guest.host).write_all(b"hello guest").unwrap();
    guest.kick(STREAM_EVENT as usize);
    assert_eq!(guest.used(RECEIVE), 1, "no buffer, no packet");
    guest.offer(1, 0x50000, HEADER_LEN as u32 + 5);
    guest.offer(2, 0x60000, 20); // Too small even for a header: back, empty.
    guest.offer(3, 0x70000, 4096);
    assert_eq!(guest.used(RECEIVE), 4);
    assert_eq!(&guest.read(0x50000 + HEADER_LEN as u64), b"hello");
    let rest = Header::decode(&guest.read(0x70000));
    assert_eq!((rest.op, rest.len), (Op::ReadWrite, 6));
    assert_eq!(&guest.read(0x70000 + HEADER_LEN as u64), b" guest");
}

#[test]
fn a_guest_s_end_of_stream_reaches_the_host_after_its_data() {
    let mut guest = Guest::new();
    guest.connect();
    guest.send(&packet(Op::ReadWrite, b"last"), &[44], false);
    guest.send(&packet(Op::Reset, &[]), &[], false);
    assert_eq!(guest.host_reads(), b"last");
    assert_eq!(guest.host.read(&mut [0]).unwrap(), 0, "end of stream");
}

#[test]
fn a_length_that_lies_costs_the_connection() {
    let mut guest = Guest::new();
    guest.connect();
    let mut bytes = packet(Op::ReadWrite, b"short");
    bytes[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    guest.send(&bytes, &[44], false);
    guest.offer(1, 0x50000, 4096);
    assert_eq!(Header::decode(&guest.read(0x50000)).op, Op::Reset);
    assert_eq!(guest.host_reads(), b"");
}

#[test]
fn only_the_cid_is_in_the_configuration() {
    let guest = Guest::new();
    assert_eq!(guest.device.get_config(0, 8), GUEST.cid.to_le_bytes());
    assert_eq!(guest.device.get_config(4, 4), [0; 4]);
    for (offset, size) in [(0, 9), (8, 1), (u32::MAX, u32::MAX)] {
        assert!(guest.device.get_config(offset, size).is_empty());
    }
}

/// Rings, tables and packets full of random bytes: every call returns, and none with an error.
#[test]
fn garbage_in_the_rings_is_survived() {
    for seed in 1..60 {
        let mut random = Random::new(seed);
        let mut guest = Guest::new();
        if seed.is_multiple_of(2) {
            guest.connect();
        }
        for _ in 0..60 {
            let mut bytes = [0; 64];
            random.fill(&mut bytes);
            // Addresses and lengths that are often inside the guest's memory.
            for word in bytes.chunks_mut(4) {
                if random.next().is_multiple_of(2) {
                    word[2..].fill(0);
                }
            }
            let r = random.next();
            let at = 0x1000 + (r >> 8) % 0x6000;
            guest.write(&bytes[..1 + (r >> 40) as usize % 63], at);
            if r.is_multiple_of(3) {
                let index = (random.next() as u16).to_le_bytes();
                guest.write(&index, ring((r >> 60) as usize % QUEUES, 1).0 + 2);
            }
            guest.kick((r >> 50) as usize % (QUEUES + 2));
            let _ = guest.host_reads();
        }
    }
}
