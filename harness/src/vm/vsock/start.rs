//! Runs a [`VsockDevice`] on threads of its own for as long as QEMU holds its end of the socket.

use super::device::{STREAM_EVENT, VsockDevice};
use crate::{
    error::{Error, Result},
    vm::vhost_user::{Exit, Service, connection},
};
use std::{
    io,
    net::Shutdown,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex},
    thread,
};
use vmm_sys_util::epoll::EventSet;

/// What messages call it.
const WHAT: &str = "the vsock device";

/// Both ends that others hold of a running device.
pub(super) struct Ends {
    /// For QEMU: the vhost-user socket. The device ends when its last copy is closed.
    pub(super) qemu: OwnedFd,
    /// For the harness: the guest's stream, non-blocking.
    pub(super) guest: UnixStream,
}

/// Starts a device with this CID whose guest may connect to this port, once.
pub(super) fn start(cid: u64, port: u32) -> Result<Ends> {
    let failed = |e: io::Error| Error::host("starting the user-space vsock device").because(e);
    let (guest, inner) = UnixStream::pair().map_err(failed)?;
    guest.set_nonblocking(true).map_err(failed)?;
    inner.set_nonblocking(true).map_err(failed)?;
    let end_of_guest = inner.try_clone().map_err(failed)?;
    let watched = inner.as_raw_fd();

    let exit = Arc::new(Exit::default());
    let device = Arc::new(Mutex::new(VsockDevice::new(cid, port, inner, exit.clone())));
    let (listener, qemu) = connection(WHAT)?;
    let service = Service::start(WHAT, device, exit, listener, |handlers| {
        for handler in handlers {
            let set = EventSet::IN | EventSet::OUT | EventSet::EDGE_TRIGGERED;
            handler.register_listener(watched, set, STREAM_EVENT)?;
        }
        Ok(())
    })?;

    thread::Builder::new()
        .name("vsock-device".to_owned())
        .spawn(move || {
            // Every end is the end of QEMU's interest; why, QEMU's own exit tells better.
            let _ = service.wait();
            let _ = end_of_guest.shutdown(Shutdown::Both);
        })
        .map_err(failed)?;
    Ok(Ends { qemu, guest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, time::Duration};

    /// Without it a guest whose QEMU was killed would be waited for until the deadline.
    #[test]
    fn the_stream_ends_when_qemu_does() {
        let mut ends = start(3, 5005).unwrap();
        ends.guest.set_nonblocking(false).unwrap();
        let patience = Some(Duration::from_millis(100));
        ends.guest.set_read_timeout(patience).unwrap();
        let waiting = ends.guest.read(&mut [0]).unwrap_err();
        assert_eq!(waiting.kind(), io::ErrorKind::WouldBlock);
        ends.guest
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        drop(ends.qemu);
        assert_eq!(ends.guest.read(&mut [0]).unwrap(), 0);
    }
}
