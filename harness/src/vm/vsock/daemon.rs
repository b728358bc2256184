//! Runs a [`VsockDevice`] on threads of its own for as long as QEMU holds its end of the socket.

use super::device::{Memory, STREAM_EVENT, VsockDevice};
use crate::error::{Error, Result};
use std::{
    io,
    net::Shutdown,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::{Arc, Mutex},
    thread,
};
use vhost::vhost_user::Listener;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

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

    let device = Arc::new(Mutex::new(VsockDevice::new(cid, port, inner)));
    let memory: Memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let library = |e: vhost_user_backend::Error| failed(io::Error::other(e.to_string()));
    let mut daemon = VhostUserDaemon::new("vsock-requests".to_owned(), device.clone(), memory)
        .map_err(library)?;
    for handler in daemon.get_epoll_handlers() {
        let set = EventSet::IN | EventSet::OUT | EventSet::EDGE_TRIGGERED;
        handler
            .register_listener(watched, set, STREAM_EVENT)
            .map_err(failed)?;
    }
    let (listener, qemu) = connected()?;
    daemon
        .start(&mut Listener::from(listener))
        .map_err(library)?;

    thread::Builder::new()
        .name("vsock-device".to_owned())
        .spawn(move || {
            // Every end is the end of QEMU's interest; why, QEMU's own exit tells better.
            let _ = daemon.wait();
            let exit = exit_descriptor(&device);
            drop(daemon); // Joins the worker.
            let _ = end_of_guest.shutdown(Shutdown::Both);
            if exit >= 0 {
                // SAFETY: the library took this descriptor's number out of its owner and forgot
                // it; its only user, the worker's epoll instance, went with the daemon.
                drop(unsafe { OwnedFd::from_raw_fd(exit) });
            }
        })
        .map_err(failed)?;
    Ok(Ends {
        qemu: qemu.into(),
        guest,
    })
}

fn exit_descriptor(device: &Mutex<VsockDevice>) -> i32 {
    device.lock().map_or(-1, |d| d.exit_descriptor())
}

/// A listening socket with one connection waiting, and that connection's other end. The library
/// serves nothing but a listener; its path exists only in here, in a directory of our own.
fn connected() -> Result<(UnixListener, UnixStream)> {
    let directory = tempfile::tempdir()
        .map_err(|e| Error::io("making a private directory in", &std::env::temp_dir(), e))?;
    let path = directory.path().join("vsock");
    let listener = UnixListener::bind(&path).map_err(|e| {
        Error::io("binding the vsock device's socket", &path, e)
            .hint("set TMPDIR to a writable directory with a short path")
    })?;
    let stream = UnixStream::connect(&path)
        .map_err(|e| Error::io("connecting to the vsock device's socket", &path, e))?;
    Ok((listener, stream))
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
