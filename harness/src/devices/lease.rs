//! Leases of devices: two harnesses never use one device. An flock(2) on a file of the device itself, in
//! sysfs, so that it holds whatever cache or user they have, and ends with the process at the latest.

use super::{host::Host, kernel::Open};
use crate::{
    error::{Error, Result},
    store,
};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{fs::File, path::Path, time::Duration};

/// How often a lease is asked for: whoever only looks at a device has it for a moment.
const ATTEMPTS: u32 = 10;
/// How long in between.
const PAUSE: Duration = Duration::from_millis(100);

/// The right to use a device, until it is dropped.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Lease {
    /// On a file of the device; `device` is its name.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be opened.
    pub fn take(host: &Host, path: &Path, device: &str) -> Result<Lease> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                host.kernel().pause(PAUSE);
            }
            if let Some(lease) = Lease::attempt(host, path)? {
                return Ok(lease);
            }
        }
        Err(
            Error::host(format!("{device} is used by {}", store::lock_holder(path)))
                .hint("wait until that has ended, or choose another device"),
        )
    }

    /// If nobody has it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn attempt(host: &Host, path: &Path) -> Result<Option<Lease>> {
        let file = host
            .kernel()
            .open(path, Open::Read)
            .map_err(|e| Error::io("opening", path, e))?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Lease { _file: file })),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(Error::io("locking", path, e.into())),
            }
        }
    }
}
