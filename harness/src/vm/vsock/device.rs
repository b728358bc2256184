//! The vhost-user side of a virtio-vsock device, in this process: virtqueues to [`Connection`],
//! and [`Connection`] to a local stream socket whose other end the harness reads.
//!
//! Two queues are served, receive (0) and transmit (1); QEMU keeps the event queue to itself.
//! Whatever the rings hold, [`VhostUserBackendMut::handle_event`] never fails (an error would end
//! the worker and with it every later packet) and never loops without progress.

use super::{
    connection::Connection,
    packet::{HEADER_LEN, Header, MAX_PAYLOAD},
};
use crate::vm::vhost_user::{Exit, check_memory};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::Arc,
};
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackendMut, VringMutex, VringState, VringT};
use virtio_queue::{DescriptorChain, QueueT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};
use vmm_sys_util::{
    epoll::EventSet,
    event::{EventConsumer, EventNotifier},
};

/// The guest's memory as QEMU last described it.
pub(super) type Memory = GuestMemoryAtomic<GuestMemoryMmap>;
type MemoryGuard = GuestMemoryLoadGuard<GuestMemoryMmap>;
type Chain = DescriptorChain<MemoryGuard>;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const QUEUES: usize = 2;

/// Event number of the host's stream; the library keeps `0..=QUEUES` for itself.
pub(super) const STREAM_EVENT: u64 = QUEUES as u64 + 1;

/// Largest queue that QEMU may configure. Its vsock devices use 128.
const QUEUE_SIZE: usize = 1024;

/// Feature bits of virtio 1.2, section 6, by number.
const INDIRECT_DESC: u64 = 1 << 28;
const EVENT_IDX: u64 = 1 << 29;
const VERSION_1: u64 = 1 << 32;

/// The device's state; the library calls it from its worker and its request thread, under a lock.
pub(super) struct VsockDevice {
    cid: u64,
    /// Looked at before it is used ([`check_memory`]): what the library's queues see may be newer.
    memory: Option<MemoryGuard>,
    connection: Connection,
    /// Non-blocking; the other end is the harness's.
    stream: UnixStream,
    /// Edge-triggered: cleared when a call would block, set again by an event.
    readable: bool,
    writable: bool,
    /// Read from the host's stream, not yet sent to the guest; at most [`MAX_PAYLOAD`] bytes.
    from_host: Vec<u8>,
    /// One packet's payload on its way in; [`MAX_PAYLOAD`] bytes.
    scratch: Vec<u8>,
    /// By which the worker hears of the end.
    exit: Arc<Exit>,
}

impl VsockDevice {
    /// A device with this CID whose guest may connect to this port, once.
    pub(super) fn new(cid: u64, port: u32, stream: UnixStream, exit: Arc<Exit>) -> VsockDevice {
        VsockDevice {
            cid,
            memory: None,
            connection: Connection::listen(cid, port),
            stream,
            readable: false,
            writable: true,
            from_host: Vec::new(),
            scratch: vec![0; MAX_PAYLOAD],
            exit,
        }
    }

    fn pump(&mut self, vrings: &[VringMutex<Memory>]) {
        let Some(memory) = self.memory.clone() else {
            return;
        };
        self.flush_to_host();
        if let Some(vring) = vrings.get(TRANSMIT) {
            self.transmit(&mut vring.get_mut(), &memory);
        }
        if let Some(vring) = vrings.get(RECEIVE) {
            self.receive(&mut vring.get_mut(), &memory);
        }
    }

    /// Guest to host: every packet in the transmit queue.
    fn transmit(&mut self, vring: &mut VringState<Memory>, memory: &MemoryGuard) {
        let mut used = false;
        while let Some(chain) = next_chain(vring, memory) {
            let head = chain.head_index();
            self.transmit_one(chain, memory);
            self.flush_to_host();
            // Fails only for an index that the guest made up; there is nothing to give back then.
            let queue = vring.get_queue_mut();
            used |= queue.add_used(&**memory, head, 0).is_ok();
        }
        notify(vring, used, memory);
    }

    fn transmit_one(&mut self, chain: Chain, memory: &MemoryGuard) {
        let Ok(mut reader) = chain.reader(memory) else {
            return;
        };
        let mut bytes = [0; HEADER_LEN];
        if reader.read_exact(&mut bytes).is_err() {
            return;
        }
        let header = Header::decode(&bytes);
        // A length beyond what may be or beyond what is there leaves a payload that does not
        // match its header, which costs the guest its connection.
        let len = (header.len as usize)
            .min(MAX_PAYLOAD)
            .min(reader.available_bytes());
        let Some(payload) = self.scratch.get_mut(..len) else {
            return;
        };
        if reader.read_exact(payload).is_ok() {
            self.connection.receive(&header, &self.scratch[..len]);
        }
    }

    /// Host to guest: control packets, then data, while the guest has room and buffers.
    fn receive(&mut self, vring: &mut VringState<Memory>, memory: &MemoryGuard) {
        let mut used = false;
        loop {
            self.fill_from_host();
            let room = self.connection.room_at_guest().min(self.from_host.len());
            if room == 0 && !self.connection.has_control() {
                break;
            }
            let Some(chain) = next_chain(vring, memory) else {
                break;
            };
            let head = chain.head_index();
            let written = self.receive_one(chain, memory, room);
            let queue = vring.get_queue_mut();
            used |= queue.add_used(&**memory, head, written).is_ok();
        }
        notify(vring, used, memory);
    }

    /// Fills one buffer of the guest's; one too small for a header goes back empty.
    fn receive_one(&mut self, chain: Chain, memory: &MemoryGuard, room: usize) -> u32 {
        let Ok(mut writer) = chain.writer(memory) else {
            return 0;
        };
        let Some(space) = writer.available_bytes().checked_sub(HEADER_LEN) else {
            return 0;
        };
        let (header, len) = match self.connection.control() {
            Some(control) => (control, 0),
            None if room.min(space) == 0 => return 0,
            None => {
                let len = room.min(space);
                (self.connection.data(len), len)
            }
        };
        let written = writer
            .write_all(&header.encode())
            .and_then(|()| writer.write_all(&self.from_host[..len]));
        self.from_host.drain(..len);
        match written {
            // At most HEADER_LEN + MAX_PAYLOAD, so it fits.
            Ok(()) => (HEADER_LEN + len) as u32,
            Err(_) => 0,
        }
    }

    fn fill_from_host(&mut self) {
        while self.readable && self.from_host.is_empty() {
            match (&self.stream).read(&mut self.scratch) {
                Ok(0) => {
                    self.readable = false;
                    self.connection.host_left();
                }
                Ok(n) => self.from_host.extend_from_slice(&self.scratch[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.readable = false;
                    if e.kind() != io::ErrorKind::WouldBlock {
                        self.connection.host_left();
                    }
                }
            }
        }
    }

    fn flush_to_host(&mut self) {
        while self.writable && !self.connection.for_host().is_empty() {
            match (&self.stream).write(self.connection.for_host()) {
                Ok(n) => self.connection.host_took(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.writable = false;
                    if e.kind() != io::ErrorKind::WouldBlock {
                        self.connection.host_left();
                    }
                }
            }
        }
        if self.connection.take_end_of_guest() {
            // Fails only when the other end is gone, which is as good.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

/// The next chain the guest made available. When there is none, the guest is asked for a kick
/// first, and then the queue is looked at once more: once, because a nonsensical index makes a
/// queue look full for ever.
fn next_chain(vring: &mut VringState<Memory>, memory: &MemoryGuard) -> Option<Chain> {
    if !vring.is_enabled() || !vring.get_queue().ready() {
        return None;
    }
    let chain = vring.get_queue_mut().pop_descriptor_chain(memory.clone());
    if chain.is_some() {
        return chain;
    }
    match vring.get_queue_mut().enable_notification(&**memory) {
        Ok(true) => vring.get_queue_mut().pop_descriptor_chain(memory.clone()),
        Ok(false) | Err(_) => None,
    }
}

/// Interrupts the guest if buffers went back and it wants to know.
fn notify(vring: &mut VringState<Memory>, used: bool, memory: &MemoryGuard) {
    let queue = vring.get_queue_mut();
    if used && queue.needs_notification(&**memory).unwrap_or(true) {
        // The eventfd is QEMU's; if it is gone, so is the guest.
        let _ = vring.signal_used_queue();
    }
}

impl VhostUserBackendMut for VsockDevice {
    type Bitmap = ();
    type Vring = VringMutex<Memory>;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        VERSION_1 | EVENT_IDX | INDIRECT_DESC | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::REPLY_ACK
    }

    fn set_event_idx(&mut self, _enabled: bool) {} // The library tells the queues itself.

    /// `struct virtio_vsock_config`: the guest's CID, le64.
    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let config = self.cid.to_le_bytes();
        let start = offset as usize;
        start
            .checked_add(size as usize)
            .and_then(|end| config.get(start..end))
            .map(<[u8]>::to_vec)
            .unwrap_or_default()
    }

    fn update_memory(&mut self, memory: Memory) -> io::Result<()> {
        self.memory = None;
        let memory = memory.memory();
        check_memory(&*memory)?;
        self.memory = Some(memory);
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        self.exit.event()
    }

    fn handle_event(
        &mut self,
        event: u16,
        _set: EventSet,
        vrings: &[VringMutex<Memory>],
        _thread: usize,
    ) -> io::Result<()> {
        if u64::from(event) == STREAM_EVENT {
            self.readable = true;
            self.writable = true;
        }
        self.pump(vrings);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
