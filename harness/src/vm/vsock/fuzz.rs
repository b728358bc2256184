//! The device as a fuzz target has it ([`crate::vm::fuzz`]).

use super::{
    PRIVATE_CID,
    device::{Memory, STREAM_EVENT, VsockDevice},
    start::start,
};
use crate::vm::memory::GuestRam;
use diorama_wire::VSOCK_PORT;
use std::{
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
};
use vhost_user_backend::{VhostUserBackendMut as _, VringMutex, VringT as _};
use vm_memory::{Bytes as _, FileOffset, GuestAddress, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

const RAM: usize = 1 << 20;
const QUEUES: u64 = 2;
const SIZE: u16 = 8;

/// A running device: QEMU's end, and the harness's.
pub fn fuzz_start() -> (UnixStream, UnixStream) {
    let ends = start(PRIVATE_CID, VSOCK_PORT).expect("a device");
    (ends.qemu.into(), ends.guest)
}

/// A device whose guest has this in its memory: three pages for each queue's table, available and used ring,
/// from the second page on, and then whatever is left.
pub fn fuzz_device(data: &[u8]) {
    let ram = GuestRam::create(RAM as u64).expect("memory");
    let file = ram
        .as_fd()
        .try_clone_to_owned()
        .expect("a descriptor")
        .into();
    let range = (GuestAddress(0), RAM, Some(FileOffset::new(file, 0)));
    let ram = GuestMemoryMmap::<()>::from_ranges_with_files([range]).expect("a mapping");
    ram.write_slice(data, GuestAddress(0x1000)).expect("room");
    let memory: Memory = GuestMemoryAtomic::new(ram);
    let (mut host, inner) = UnixStream::pair().expect("a pair");
    for end in [&host, &inner] {
        end.set_nonblocking(true).expect("a socket");
    }
    let mut device = VsockDevice::new(PRIVATE_CID, VSOCK_PORT, inner, Default::default());
    device.update_memory(memory.clone()).expect("sealed memory");
    let vrings: Vec<VringMutex<Memory>> = (0..QUEUES)
        .map(|queue| {
            let vring = VringMutex::new(memory.clone(), SIZE).expect("a queue");
            vring.set_queue_size(SIZE);
            let [table, available, used] = [1, 2, 3].map(|page| 0x1000 * (3 * queue + page));
            vring
                .set_queue_info(table, available, used)
                .expect("addresses");
            vring.set_queue_event_idx(data.first().is_some_and(|byte| byte & 1 == 1));
            vring.set_queue_ready(true);
            vring.set_enabled(true);
            vring
        })
        .collect();
    for event in [1, 0, STREAM_EVENT as u16, 1, 0] {
        // The other end may be gone, or its buffer full.
        let _ = host.write(data);
        device
            .handle_event(event, EventSet::IN, &vrings, 0)
            .expect("no request ends the worker");
        let _ = host.read(&mut [0; 4096]);
    }
}
