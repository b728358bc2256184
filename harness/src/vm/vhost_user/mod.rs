//! Devices that are not QEMU's own: a vhost-user backend served over one connection, for as long as
//! QEMU holds its end (docs/interop/vhost-user.rst). The vsock device is served by threads of this
//! process, a shared directory by a process of its own.

mod exit;
mod memory;

pub use exit::Exit;
pub use memory::check as check_memory;

use crate::error::{Error, Result};
use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
};
use vhost::vhost_user::{Error as Protocol, Listener};
use vhost_user_backend::{
    Error as Library, VhostUserBackend, VhostUserDaemon, VringEpollHandler, bitmap::BitmapReplace,
};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap, mmap::NewBitmap};

/// What happens to a backend's queues, for it to add events of its own.
pub type Handlers<T> = Vec<Arc<VringEpollHandler<T>>>;

/// A listening socket with one connection waiting, and that connection's other end, QEMU's. The
/// library serves nothing but a listener; its path exists only in here, in a directory of our own.
///
/// # Errors
/// When there is no room for a socket in the directory for temporary files.
pub fn connection(what: &str) -> Result<(UnixListener, OwnedFd)> {
    let directory = tempfile::tempdir()
        .map_err(|e| Error::io("making a private directory in", &std::env::temp_dir(), e))?;
    let path = directory.path().join("device");
    let listener = UnixListener::bind(&path).map_err(|e| {
        Error::io(&format!("binding {what}'s socket"), &path, e)
            .hint("set TMPDIR to a writable directory with a short path")
    })?;
    let stream = UnixStream::connect(&path)
        .map_err(|e| Error::io(&format!("connecting to {what}'s socket"), &path, e))?;
    Ok((listener, stream.into()))
}

/// A backend that is served by threads of this process.
pub struct Service<T>
where
    T: VhostUserBackend + Clone + 'static,
    T::Bitmap: BitmapReplace + NewBitmap + Clone + Send + Sync,
    T::Vring: Clone + Send + Sync,
{
    what: String,
    daemon: VhostUserDaemon<T>,
    exit: Arc<Exit>,
}

impl<T> Service<T>
where
    T: VhostUserBackend + Clone + 'static,
    T::Bitmap: BitmapReplace + NewBitmap + Clone + Send + Sync,
    T::Vring: Clone + Send + Sync,
{
    /// Serves a backend whose exit event is `exit`, over the one connection that waits at the listener ([`connection`]).
    /// `prepare` may register events before the first request is read.
    ///
    /// # Errors
    /// When threads or descriptors cannot be had; `what` is named then.
    pub fn start(
        what: &str,
        backend: T,
        exit: Arc<Exit>,
        listener: UnixListener,
        prepare: impl FnOnce(&Handlers<T>) -> io::Result<()>,
    ) -> Result<Service<T>> {
        let failed = |e: io::Error| Error::host(format!("starting {what}")).because(e);
        let library = |e: Library| failed(io::Error::other(e.to_string()));
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let mut daemon =
            VhostUserDaemon::new("vhost-user".to_owned(), backend, memory).map_err(library)?;
        prepare(&daemon.get_epoll_handlers()).map_err(failed)?;
        daemon
            .start(&mut Listener::from(listener))
            .map_err(library)?;
        Ok(Service {
            what: what.to_owned(),
            daemon,
            exit,
        })
    }

    /// Waits until QEMU lets go of its end, and until the last thread has ended.
    ///
    /// # Errors
    /// When it was something else that ended it: what QEMU sent makes no sense, or a thread panicked.
    pub fn wait(mut self) -> Result<()> {
        let ended = self.daemon.wait();
        drop(self.daemon); // Joins the workers, which use the descriptor.
        self.exit.close();
        match ended {
            // Between two messages, or, by a QEMU that was killed, within one.
            Ok(())
            | Err(Library::HandleRequest(Protocol::Disconnected | Protocol::PartialMessage)) => {
                Ok(())
            }
            Err(e) => Err(Error::host(format!("serving {} to QEMU", self.what))
                .because(io::Error::other(e.to_string()))),
        }
    }
}

#[cfg(test)]
mod tests;
