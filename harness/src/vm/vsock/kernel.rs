//! The kernel's vhost-vsock: one AF_VSOCK listener for all guests of this process, told apart by
//! their CIDs.

use super::link::GuestLink;
use crate::{
    error::{Error, Exit, Result},
    vm::qmp::{Qmp, QmpRefusal},
};
use serde_json::json;
use std::{
    collections::HashMap,
    fs::OpenOptions,
    hash::{BuildHasher, Hasher, RandomState},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use vsock::{VMADDR_CID_ANY, VsockListener, VsockStream};

/// CIDs 0 to 2 are reserved, and so is the last one (linux/vm_sockets.h).
const FIRST_CID: u32 = 3;

/// How many random CIDs are tried before giving up.
const ATTEMPTS: u32 = 16;

/// Whether this user may use the kernel's route, found by opening its device as QEMU will.
pub(super) fn probe() -> Result<()> {
    let path = Path::new("/dev/vhost-vsock");
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map(drop)
        .map_err(|e| {
            Error::io("opening", path, e).hint(
                "load the module vhost_vsock and let your user write to the device, or use the \
                 vhost-user route, which needs neither",
            )
        })
}

/// Guests that are expected, by CID.
type Guests = Mutex<HashMap<u32, oneshot::Sender<VsockStream>>>;

/// Accepts connections and hands each to whoever expects its guest.
#[derive(Debug)]
pub(super) struct Acceptor {
    guests: Arc<Guests>,
    task: JoinHandle<()>,
}

impl Acceptor {
    pub(super) fn listen(port: u32) -> Result<Arc<Acceptor>> {
        let failed = |e: std::io::Error| {
            Error::host(format!("listening on vsock port {port}"))
                .because(e)
                .hint("stop the other user of that port, or use the vhost-user route")
        };
        let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, port).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        // SAFETY: the listener owns its descriptor and keeps it for as long as it lives.
        let listener = unsafe { AsyncFd::register(listener) }.map_err(|e| failed(e.into()))?;
        let guests = Arc::new(Guests::default());
        let task = tokio::spawn(accept_loop(listener, guests.clone()));
        Ok(Arc::new(Acceptor { guests, task }))
    }

    /// Plugs a device with a CID that no other guest of this host has.
    pub(super) async fn plug(self: &Arc<Acceptor>, qmp: &Qmp, bus: &str) -> Result<Expected> {
        let mut attempt = 1;
        loop {
            let expected = self.expect();
            let device = json!({
                "driver": "vhost-vsock-pci", "id": super::DEVICE, "bus": bus,
                "guest-cid": expected.cid,
            });
            match qmp.execute("device_add", device).await {
                Ok(_) => return Ok(expected),
                Err(e) if attempt < ATTEMPTS && is_taken(&e) => attempt += 1,
                Err(e) => return Err(e.while_(format!("giving a guest CID {}", expected.cid))),
            }
        }
    }

    /// Expects a guest under a CID that no other guest of this process has.
    fn expect(self: &Arc<Acceptor>) -> Expected {
        let (sender, stream) = oneshot::channel();
        let mut guests = lock(&self.guests);
        let cid = loop {
            let cid = random_cid();
            if !guests.contains_key(&cid) {
                break cid;
            }
        };
        guests.insert(cid, sender);
        Expected {
            cid,
            stream,
            acceptor: self.clone(),
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A guest whose connection is awaited.
#[derive(Debug)]
pub struct Expected {
    cid: u32,
    stream: oneshot::Receiver<VsockStream>,
    acceptor: Arc<Acceptor>,
}

impl Expected {
    pub(super) async fn accept(mut self, within: Duration) -> Result<GuestLink> {
        match timeout(within, &mut self.stream).await {
            Ok(Ok(stream)) => GuestLink::kernel(stream),
            Ok(Err(_)) => {
                Err(Error::host("the kernel's vsock listener failed")
                    .hint("use the vhost-user route"))
            }
            Err(_) => Err(Error::new(
                Exit::Incomplete,
                format!(
                    "the guest did not connect over vsock within {:.1} s",
                    within.as_secs_f64()
                ),
            )
            .hint("see the guest's console in the run's directory for what it was doing")),
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&self.acceptor.guests).remove(&self.cid);
    }
}

async fn accept_loop(listener: AsyncFd<VsockListener>, guests: Arc<Guests>) {
    loop {
        match listener
            .async_io(Interest::READABLE, VsockListener::accept)
            .await
        {
            Ok((stream, address)) => {
                // A machine that is not ours, or a guest's second try, is turned away by the drop.
                if let Some(guest) = lock(&guests).remove(&address.cid()) {
                    let _ = guest.send(stream);
                }
            }
            // One connection that went away again; everything else is for good.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(_) => break,
        }
    }
    // Whoever waits learns of it at once.
    lock(&guests).clear();
}

/// QEMU passes the kernel's EADDRINUSE on only as a message.
fn is_taken(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<QmpRefusal>())
        .is_some_and(|refusal| refusal.desc.contains("Address already in use"))
}

fn random_cid() -> u32 {
    // The standard library's hash keys are the operating system's random bytes.
    let random = RandomState::new().build_hasher().finish();
    FIRST_CID + (random % u64::from(u32::MAX - FIRST_CID)) as u32
}

fn lock(guests: &Guests) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<VsockStream>>> {
    // Each use is one insertion or removal, so a panic elsewhere leaves it sound.
    guests.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cids_are_never_reserved_ones() {
        for _ in 0..1000 {
            assert!((FIRST_CID..u32::MAX).contains(&random_cid()));
        }
    }

    #[test]
    fn only_a_taken_cid_is_worth_another_try() {
        let refused = |desc: &str| {
            Error::internal("QEMU refused `device_add`").because(QmpRefusal {
                class: "GenericError".into(),
                desc: desc.into(),
            })
        };
        assert!(is_taken(&refused(
            "vhost-vsock: unable to set guest cid: Address already in use"
        )));
        assert!(!is_taken(&refused("Bus 'rp0' not found")));
        assert!(!is_taken(&Error::internal("Address already in use")));
    }
}
