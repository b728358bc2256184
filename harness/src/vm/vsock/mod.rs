//! How results leave the guest: a vsock device, plugged in only after the measurement.
//!
//! Two routes lead to the same stream. The kernel's vhost-vsock is taken where this user may open
//! it; everywhere else this process is the device itself, through vhost-user, and needs nothing
//! of the host. Which one it was goes into the record.

mod connection;
mod device;
mod fuzz;
mod kernel;
mod link;
mod packet;
mod start;
#[cfg(test)]
mod testing;

pub(super) use fuzz::{fuzz_device, fuzz_start};
pub use link::{FromGuest, GuestLink, ToGuest};

use super::qmp::Qmp;
use crate::error::Result;
use diorama_wire::VSOCK_PORT;
use kernel::Acceptor;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// The guest's CID on the user-space route. Nobody else sees it, so it need not be unique.
const PRIVATE_CID: u64 = 3;

/// Names inside QEMU of what is plugged in.
const CHARDEV: &str = "vsock-socket";
const DEVICE: &str = "vsock";

/// Who plays the vsock device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// This process, through vhost-user.
    VhostUser,
    /// The host's kernel, through /dev/vhost-vsock.
    Vhost,
}

impl Route {
    /// The one that was asked for, else the kernel's where it is usable.
    ///
    /// # Errors
    /// When the kernel's route was asked for and this host or user does not have it.
    pub fn pick(force: Option<Route>) -> Result<Route> {
        match force {
            Some(Route::VhostUser) => Ok(Route::VhostUser),
            Some(Route::Vhost) => kernel::probe().map(|()| Route::Vhost),
            None if kernel::probe().is_ok() => Ok(Route::Vhost),
            None => Ok(Route::VhostUser),
        }
    }

    /// The name in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Route::VhostUser => "vhost-user-vsock",
            Route::Vhost => "vhost-vsock",
        }
    }
}

/// The harness's vsock service: one for all its guests.
#[derive(Debug)]
pub struct Vsock {
    /// Present on the kernel's route.
    acceptor: Option<Arc<Acceptor>>,
}

impl Vsock {
    /// Picks a route and makes it ready; to be called in a tokio runtime.
    ///
    /// # Errors
    /// When the kernel's route was asked for and cannot be had.
    pub fn open(force: Option<Route>) -> Result<Vsock> {
        let acceptor = match Route::pick(force)? {
            Route::VhostUser => None,
            Route::Vhost => match Acceptor::listen(VSOCK_PORT) {
                Ok(acceptor) => Some(acceptor),
                Err(e) if force.is_some() => return Err(e),
                // Another harness has the port: this one needs nobody's.
                Err(_) => None,
            },
        };
        Ok(Vsock { acceptor })
    }

    /// The route taken.
    #[must_use]
    pub fn route(&self) -> Route {
        match self.acceptor {
            Some(_) => Route::Vhost,
            None => Route::VhostUser,
        }
    }

    /// Plugs a device into a free PCIe root port of a running guest. The guest's RAM must be
    /// shared memory (`memory-backend-*,share=on`).
    ///
    /// # Errors
    /// When the host cannot, or QEMU refuses.
    pub async fn plug(&self, qmp: &Qmp, bus: &str) -> Result<Plugged> {
        match &self.acceptor {
            None => plug_own(qmp, bus).await.map(Plugged::Own),
            Some(acceptor) => acceptor.plug(qmp, bus).await.map(Plugged::Kernel),
        }
    }
}

/// A device that is in the guest.
#[derive(Debug)]
pub enum Plugged {
    /// This process is the device; the stream exists, and will carry what the guest sends.
    Own(GuestLink),
    /// The guest's connection is awaited.
    Kernel(kernel::Expected),
}

impl Plugged {
    /// The guest's stream.
    ///
    /// # Errors
    /// When the guest does not connect in time (on the user-space route the first `recv` says so).
    pub async fn accept(self, within: Duration) -> Result<GuestLink> {
        match self {
            Plugged::Own(link) => Ok(link),
            Plugged::Kernel(expected) => expected.accept(within).await,
        }
    }
}

/// The chardev is added only now as well, so that before and during the measurement QEMU has
/// nothing that the host could drive.
async fn plug_own(qmp: &Qmp, bus: &str) -> Result<GuestLink> {
    let ends = start::start(PRIVATE_CID, VSOCK_PORT)?;
    let link = GuestLink::local(ends.guest)?;
    qmp.send_fd(CHARDEV, &ends.qemu).await?;
    drop(ends.qemu); // QEMU has its own copy: the device must end when that one does.
    let address = json!({ "type": "fd", "data": { "str": CHARDEV } });
    let backend = json!({ "type": "socket", "data": { "addr": address, "server": false } });
    qmp.execute("chardev-add", json!({ "id": CHARDEV, "backend": backend }))
        .await?;
    let device = json!({
        "driver": "vhost-user-vsock-pci", "id": DEVICE, "bus": bus, "chardev": CHARDEV,
    });
    qmp.execute("device_add", device).await?;
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_asked_for_is_taken_or_refused_never_replaced() {
        assert_eq!(
            Route::pick(Some(Route::VhostUser)).unwrap(),
            Route::VhostUser
        );
        match Route::pick(Some(Route::Vhost)) {
            Ok(route) => assert_eq!(route, Route::Vhost),
            Err(e) => assert!(e.next_step().is_some(), "{}", e.render()),
        }
        assert!(Route::pick(None).is_ok());
    }
}
