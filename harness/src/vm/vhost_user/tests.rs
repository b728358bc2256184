use super::*;
use std::{io::Write as _, os::fd::AsRawFd as _, sync::Mutex};
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost_user_backend::{VhostUserBackendMut, VringMutex};
use vmm_sys_util::{
    epoll::EventSet,
    event::{EventConsumer, EventNotifier},
};

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// A device that does nothing.
struct Idle(Arc<Exit>);

impl VhostUserBackendMut for Idle {
    type Bitmap = ();
    type Vring = VringMutex<Memory>;

    fn num_queues(&self) -> usize {
        1
    }
    fn max_queue_size(&self) -> usize {
        8
    }
    fn features(&self) -> u64 {
        0
    }
    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::empty()
    }
    fn set_event_idx(&mut self, _: bool) {}
    fn update_memory(&mut self, _: Memory) -> io::Result<()> {
        Ok(())
    }
    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        self.0.event()
    }
    fn handle_event(
        &mut self,
        _: u16,
        _: EventSet,
        _: &[VringMutex<Memory>],
        _: usize,
    ) -> io::Result<()> {
        Ok(())
    }
}

fn serve() -> (Service<Arc<Mutex<Idle>>>, UnixStream, UnixStream) {
    let (listener, qemu) = connection("a device").unwrap();
    let exit = Arc::new(Exit::default());
    let device = Arc::new(Mutex::new(Idle(exit.clone())));
    let (held, _other) = UnixStream::pair().unwrap();
    let service = Service::start("a device", device, exit, listener, |handlers| {
        let set = EventSet::IN | EventSet::EDGE_TRIGGERED;
        handlers[0].register_listener(held.as_raw_fd(), set, 2)
    });
    (service.unwrap(), qemu.into(), held)
}

#[test]
fn a_qemu_that_lets_go_is_an_end_and_no_error() {
    let (service, qemu, _held) = serve();
    drop(qemu);
    service.wait().unwrap();
    // Killed in the middle of a message.
    let (service, mut qemu, _held) = serve();
    qemu.write_all(&[1, 0, 0]).unwrap();
    drop(qemu);
    service.wait().unwrap();
}

#[test]
fn what_makes_no_sense_is_an_error_that_names_the_device() {
    let (service, mut qemu, _held) = serve();
    qemu.write_all(&[0xff; 12]).unwrap();
    let error = service.wait().unwrap_err();
    assert_eq!(error.to_string(), "serving a device to QEMU");
}

#[test]
fn the_exit_event_is_closed_once() {
    let exit = Exit::default();
    exit.close(); // None yet.
    let (consumer, _notifier) = exit.event().unwrap();
    // As the library does: nobody owns it any more.
    let number = std::os::fd::IntoRawFd::into_raw_fd(consumer);
    let name = format!("/proc/self/fd/{number}");
    let is_event =
        || std::fs::read_link(&name).is_ok_and(|to| to.ends_with("anon_inode:[eventfd]"));
    assert!(is_event());
    exit.close();
    // The number may belong to another test's file by now; closing again must leave that alone.
    let taken = std::fs::File::open("/dev/null").unwrap();
    exit.close();
    assert!(taken.metadata().is_ok());
}
