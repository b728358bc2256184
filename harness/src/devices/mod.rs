//! Devices of the host that a guest may have: what NVMe controllers there are, whether one may be
//! touched (the preflight), and binding it to vfio-pci and giving it back.
//!
//! A device that is mounted, in use or shares an IOMMU group with something else is never touched: the
//! kernel itself refuses none of that. What is bound is on the disk in a [`Journal`] first, so that
//! it is given back however this process ends.
//!
//! ```text
//! preflight(host, device, confirm, memory) -> Ready    every check, in order; leased, claimed
//! Ready::bind(journal) -> Bound                        vfio-pci has it
//! Bound::restore()                                     its driver has it again
//! recover(host, journal) -> Vec<Recovered>             what killed harnesses left
//! ```

mod admin; // pure
mod block;
mod bound;
mod checks;
mod controller;
mod disk;
mod driver;
mod health;
mod host;
mod journal;
mod kernel;
mod lease;
mod listing;
mod owner;
mod preflight;
mod recover;
mod signature; // pure
mod smart; // pure
mod usage; // pure
mod user;
mod vfio;
mod word; // pure

#[cfg(test)]
mod kernel_testing;
#[cfg(test)]
mod steps_testing;
#[cfg(test)]
mod testing;

pub use block::{Contents, Disk, Volume};
pub use bound::{Bound, Geometry, Ready, Serial, Target};
pub use checks::Confirm;
pub use controller::{Controller, Group, Sibling};
pub use health::{Health, health};
pub use host::Host;
pub use journal::Journal;
pub use kernel::{Kernel, Node, Open};
pub use listing::{Listed, list, render};
pub use preflight::preflight;
pub use recover::{Outcome, Recovered, recover};
pub use smart::{NamespaceUse, Smart};
pub use usage::{Use, is_swap, mounts};
pub use word::{HostDevice, PciAddress};

#[cfg(test)]
mod bind_tests;
#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod listing_tests;
#[cfg(test)]
mod recover_tests;
#[cfg(test)]
mod user_tests;
#[cfg(test)]
mod vfio_tests;
