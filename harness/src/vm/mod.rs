//! Virtual machines: what they are ([`Spec`]), their process, their checkpoints, and the one
//! channel out of them.

mod checkpoint;
mod child;
pub mod confine;
pub mod drive;
#[doc(hidden)]
pub mod fuzz;
mod kvm;
mod machine;
pub mod memory;
mod plugin;
pub mod qmp;
pub mod share;
mod spec;
mod still_clock;
mod stream;
mod trial;
mod vhost_user;
mod vmm;
pub mod vsock;
mod watch;

pub use checkpoint::{Checkpoint, Meta, blocking, go_on_as};
pub use kvm::try_kvm;
pub use machine::{Contents, Machine, cpu_seconds};
pub use plugin::{Plugin, Profiling};
pub use spec::{Backing, CMDLINE, CPU, Drive, EmulatedDrive, HOTPLUG_BUS, Spec, Start, Time};
pub use stream::Stream;
pub use trial::{Given, try_tool};
pub use vmm::Vmm;
pub use watch::{Deadlines, Handover, Watcher, console_tail, fault};
