//! The event that ends a backend's worker.

use std::{
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::atomic::{AtomicI32, Ordering},
};
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

const NONE: i32 = -1;

/// By which the worker of a backend with one thread hears of the end. The library takes the
/// descriptor's number out of its owner and forgets it: somebody has to close it.
#[derive(Debug)]
pub struct Exit {
    descriptor: AtomicI32,
}

impl Default for Exit {
    fn default() -> Exit {
        Exit {
            descriptor: AtomicI32::new(NONE),
        }
    }
}

impl Exit {
    /// The event, for the backend's `exit_event`.
    pub fn event(&self) -> Option<(EventConsumer, EventNotifier)> {
        let (consumer, notifier) = new_event_consumer_and_notifier(EventFlag::CLOEXEC).ok()?;
        self.descriptor
            .store(consumer.as_raw_fd(), Ordering::Release);
        Some((consumer, notifier))
    }

    /// Closes it once nobody waits for it any more.
    pub(super) fn close(&self) {
        let descriptor = self.descriptor.swap(NONE, Ordering::AcqRel);
        if descriptor != NONE {
            // SAFETY: the library took this descriptor's number out of its owner and forgot it; its
            // only user, the worker's epoll instance, went with the daemon.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
    }
}
