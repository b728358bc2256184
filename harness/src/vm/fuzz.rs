//! The doors through which a stranger's bytes come in here, for `fuzz/`: QEMU's monitor, a guest's queues,
//! and vhost-user messages. A target takes any bytes and panics where something is wrong.

use super::{
    memory::GuestRam,
    qmp::Qmp,
    vsock::{fuzz_device, fuzz_start},
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use std::{
    io::{self, IoSlice, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EventFd};

/// Longer inputs find nothing that shorter ones do not; and they fit into a socket.
const LONGEST: usize = 32 << 10;

/// Whatever a stranger does, this long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What QEMU says after its greeting: a command must come to an end, and so must the events.
pub fn qmp(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (client, mut qemu) = UnixStream::pair().expect("a pair");
        qemu.write_all(b"{\"QMP\": {}}\n{\"return\": {}, \"id\": 1}\n")
            .and_then(|()| qemu.write_all(data))
            .expect("it fits");
        qemu.shutdown(std::net::Shutdown::Write).expect("its end");
        let connected = Qmp::connect(client, PATIENCE).await;
        let (qmp, mut events) = connected.expect("greeted and negotiated");
        let answer = qmp.execute("query-status", Value::Null).await;
        if let Err(error) = answer {
            let said = error.render();
            assert!(!said.contains("did not come within"), "{said}");
        }
        while events.next().await.is_some() {}
    });
}

/// What a guest has in its memory, rings included, when it kicks the vsock device; and what the device says
/// of it to the host's end.
pub fn vsock(data: &[u8]) {
    fuzz_device(&data[..data.len().min(LONGEST)]);
}

/// vhost-user messages, with the descriptors that belong to them: the device must end with its connection.
pub fn vhost_user(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    let (qemu, mut guest) = fuzz_start();
    guest.set_nonblocking(false).expect("a socket");
    guest.set_read_timeout(Some(PATIENCE)).expect("a socket");
    qemu.set_write_timeout(Some(PATIENCE)).expect("a socket");
    let memory = GuestRam::create(1 << 16).expect("memory");
    let event = EventFd::new(EFD_CLOEXEC).expect("an event");
    // SAFETY: it lives as long as what borrows it.
    let event_fd = unsafe { BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(&event)) };
    let mut left = data;
    // A header of request, flags and size, le32 each (docs/interop/vhost-user.rst); then so many bytes.
    while let Some(header) = left.first_chunk::<12>() {
        let word = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_le_bytes(bytes)
        };
        let fd = match word(0) {
            // SET_MEM_TABLE, ADD_MEM_REG
            5 | 37 => Some(memory.as_fd()),
            // SET_VRING_KICK, _CALL, _ERR
            12..=14 => Some(event_fd),
            _ => None,
        };
        let length = (12 + word(8) as usize).min(left.len());
        if send(&qemu, &left[..length], fd).is_err() {
            break;
        }
        left = &left[length..];
    }
    drop(qemu);
    // Goes on where a signal of libFuzzer's interrupts it.
    io::copy(&mut guest, &mut io::sink()).expect("the device ends in time");
}

fn send(to: &UnixStream, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    sendmsg(
        to,
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )
}
