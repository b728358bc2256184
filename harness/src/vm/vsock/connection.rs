//! The one stream between the guest's agent and the harness, as a pure state machine
//! (virtio 1.2, section 5.10.6): connection, credit and shutdown, without any I/O.
//!
//! The guest is untrusted. Whatever it sends, the machine holds at most [`BUFFER`] bytes of its
//! data and [`STRAYS`] answers to packets that belong to no stream, and a guest that breaks the
//! protocol loses its connection, never the harness.

use super::packet::{
    ANY_CID, Address, HOST_CID, Header, MAX_PAYLOAD, Op, SHUTDOWN_RECEIVE, SHUTDOWN_SEND,
    TYPE_STREAM,
};
use std::collections::VecDeque;

/// The receive buffer granted to the guest, in bytes.
pub const BUFFER: usize = 256 << 10;

/// The guest learns of freed buffer space at least whenever this many bytes were freed.
const CREDIT_STEP: u32 = 64 << 10;

/// Unsent resets of unknown streams; more are dropped (the guest has its own timeouts).
const STRAYS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No stream yet; the first request for the port opens it.
    Listening,
    /// Both ends know of it.
    Open,
    /// It was; there is no second one.
    Over,
}

/// The stream's state.
#[derive(Debug)]
pub struct Connection {
    host: Address,
    /// The guest's end; before a request came, port 0.
    guest: Address,
    state: State,
    /// What the guest sent and the host has not taken.
    to_host: VecDeque<u8>,
    /// Bytes the host has taken, modulo 2^32, and what of it the guest was told.
    taken: u32,
    announced: u32,
    /// Bytes sent to the guest, modulo 2^32, and its latest word on its buffer.
    sent: u32,
    guest_buffer: u32,
    guest_taken: u32,
    guest_sends: bool,
    guest_receives: bool,
    host_present: bool,
    eof_given: bool,
    strays: VecDeque<Header>,
    due: Due,
}

/// Control packets of the stream that wait for a receive buffer of the guest.
#[derive(Debug, Default)]
struct Due {
    response: bool,
    shutdown: bool,
    reset: bool,
    credit: bool,
}

impl Connection {
    /// Waits for the guest with this CID to connect to this port of the host.
    #[must_use]
    pub fn listen(guest_cid: u64, port: u32) -> Connection {
        Connection {
            host: Address {
                cid: HOST_CID,
                port,
            },
            guest: Address {
                cid: guest_cid,
                port: 0,
            },
            state: State::Listening,
            to_host: VecDeque::new(),
            taken: 0,
            announced: 0,
            sent: 0,
            guest_buffer: 0,
            guest_taken: 0,
            guest_sends: true,
            guest_receives: true,
            host_present: true,
            eof_given: false,
            strays: VecDeque::new(),
            due: Due::default(),
        }
    }

    /// Takes one packet of the guest. `payload` is what really followed the header.
    pub fn receive(&mut self, header: &Header, payload: &[u8]) {
        let mut header = *header;
        // Linux asks for its own CID first and for the device second (virtio_transport_common.c,
        // virtio_transport_send_pkt_info): a guest that connects while its driver is just finding
        // the device sends its request from nobody. Dropping that would leave it waiting for ever;
        // there is one guest at this device, and it looks its socket up by the port.
        if header.src.cid == ANY_CID {
            header.src.cid = self.guest.cid;
        }
        let header = &header;
        if header.src.cid != self.guest.cid || header.dst.cid != HOST_CID {
            return; // Not from or not to anyone here: the specification has it dropped.
        }
        let known = header.src == self.guest && header.dst == self.host;
        if header.kind != TYPE_STREAM {
            self.refuse(header);
        } else if header.op == Op::Request {
            if self.state == State::Listening && header.dst == self.host {
                self.state = State::Open;
                self.guest = header.src;
                self.learn_credit(header);
                self.due.response = true;
            } else if self.state == State::Open && known {
                self.abort();
            } else {
                self.refuse(header);
            }
        } else if self.state == State::Open && known {
            self.learn_credit(header);
            self.receive_on_stream(header, payload);
        } else {
            self.refuse(header);
        }
    }

    fn receive_on_stream(&mut self, header: &Header, payload: &[u8]) {
        match header.op {
            Op::ReadWrite => {
                let fits = self.to_host.len() + payload.len() <= BUFFER;
                if !self.guest_sends || !fits || payload.len() != header.len as usize {
                    self.abort();
                } else if self.host_present {
                    self.to_host.extend(payload);
                } else {
                    self.count_taken(payload.len()); // Nobody reads: let it drain.
                }
            }
            Op::Shutdown => {
                self.guest_sends &= header.flags & SHUTDOWN_SEND == 0;
                self.guest_receives &= header.flags & SHUTDOWN_RECEIVE == 0;
                self.close_if_both_are_done();
            }
            Op::CreditRequest => self.due.credit = true,
            Op::CreditUpdate => {}
            Op::Reset => self.end(),
            Op::Request | Op::Response | Op::Unknown(_) => self.abort(),
        }
    }

    /// What the guest sent and the host should be given next; may be only a part of it.
    #[must_use]
    pub fn for_host(&self) -> &[u8] {
        let (front, back) = self.to_host.as_slices();
        if front.is_empty() { back } else { front }
    }

    /// The host took that many of [`Connection::for_host`]'s bytes.
    pub fn host_took(&mut self, bytes: usize) {
        self.to_host.drain(..bytes.min(self.to_host.len()));
        self.count_taken(bytes);
        self.close_if_both_are_done();
    }

    /// True once, when the host has everything that the guest will ever send.
    pub fn take_end_of_guest(&mut self) -> bool {
        let now = !self.guest_sends && self.to_host.is_empty() && !self.eof_given;
        self.eof_given |= now;
        now
    }

    /// The host's reader and writer are gone; what it had sent before has been sent.
    pub fn host_left(&mut self) {
        if !self.host_present {
            return;
        }
        self.host_present = false;
        let unread = self.to_host.len();
        self.host_took(unread);
        self.due.shutdown = self.state == State::Open;
    }

    /// How many bytes of the host's the guest would take now, in one packet.
    #[must_use]
    pub fn room_at_guest(&self) -> usize {
        if self.state != State::Open || !self.guest_receives || !self.host_present {
            return 0;
        }
        let in_flight = self.sent.wrapping_sub(self.guest_taken);
        // A guest that claims nonsense gets nothing.
        let credit = self.guest_buffer.saturating_sub(in_flight) as usize;
        credit.min(MAX_PAYLOAD)
    }

    /// Header of a data packet; `len` must not exceed [`Connection::room_at_guest`].
    pub fn data(&mut self, len: usize) -> Header {
        let mut header = self.header(Op::ReadWrite, 0);
        // At most MAX_PAYLOAD, so it fits.
        header.len = len as u32;
        self.sent = self.sent.wrapping_add(header.len);
        header
    }

    /// Whether [`Connection::control`] has something.
    #[must_use]
    pub fn has_control(&self) -> bool {
        let Due {
            response,
            shutdown,
            reset,
            credit,
        } = self.due;
        !self.strays.is_empty() || response || shutdown || reset || credit
    }

    /// The next packet without payload that the guest must get; before any data.
    pub fn control(&mut self) -> Option<Header> {
        if let Some(reset) = self.strays.pop_front() {
            return Some(reset);
        }
        // A stream that is over has nothing left to say but that.
        if std::mem::take(&mut self.due.reset) {
            return Some(self.header(Op::Reset, 0));
        }
        if std::mem::take(&mut self.due.response) {
            return Some(self.header(Op::Response, 0));
        }
        if std::mem::take(&mut self.due.shutdown) {
            return Some(self.header(Op::Shutdown, SHUTDOWN_RECEIVE | SHUTDOWN_SEND));
        }
        std::mem::take(&mut self.due.credit).then(|| self.header(Op::CreditUpdate, 0))
    }

    /// A header of the stream; whatever it says, it tells the guest of its credit.
    fn header(&mut self, op: Op, flags: u32) -> Header {
        self.due.credit = false;
        self.announced = self.taken;
        Header {
            src: self.host,
            dst: self.guest,
            len: 0,
            kind: TYPE_STREAM,
            op,
            flags,
            buf_alloc: BUFFER as u32,
            fwd_cnt: self.taken,
        }
    }

    fn learn_credit(&mut self, header: &Header) {
        self.guest_buffer = header.buf_alloc;
        self.guest_taken = header.fwd_cnt;
    }

    fn count_taken(&mut self, bytes: usize) {
        self.taken = self.taken.wrapping_add(bytes as u32);
        self.due.credit |=
            self.state == State::Open && self.taken.wrapping_sub(self.announced) >= CREDIT_STEP;
    }

    /// The guest said that it neither sends nor receives: a reset is the answer it waits for, but
    /// only when its data has arrived.
    fn close_if_both_are_done(&mut self) {
        let done = !self.guest_sends && !self.guest_receives && self.to_host.is_empty();
        if done && self.state == State::Open {
            self.abort();
        }
    }

    fn abort(&mut self) {
        self.end();
        self.due.reset = true;
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.guest_sends = false;
        self.guest_receives = false;
        self.due = Due::default();
    }

    fn refuse(&mut self, header: &Header) {
        if header.op != Op::Reset && self.strays.len() < STRAYS {
            self.strays.push_back(header.reset());
        }
    }
}

#[cfg(test)]
mod tests;
