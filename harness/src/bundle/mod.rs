//! Images: a run and everything that made it, in one file that anybody can replay.
//!
//! An image is an OCI image layout in a deterministic tar; docs/image.md describes it. Packing the same
//! run twice gives the same bytes. Reading one trusts nothing in it: names, counts and sizes are bounded
//! before they are believed ([`limits`]), every digest is checked, and there is one form only that any
//! byte may have. What an image holds is data: the machines that replay it are built from typed fields,
//! which are looked at before ([`vet`]), and whose digests must be those of the record.

mod hashing;
pub mod limits; // pure
pub mod manifest; // pure
pub mod oci; // pure
mod open;
mod pack;
mod portable; // pure
mod progress;
mod read;
mod recipe; // pure
mod thin;
mod tree;
pub mod ustar; // pure
mod vet; // pure
mod write;

pub use manifest::{Boots, Manifest, WhichLock};
pub use open::{Opened, Unpacked};
pub use pack::{CrateLicence, Packing, pack, same_inputs};
pub use portable::portable;
pub use progress::{Progress, Unseen};
pub use read::{Blob, Container};
pub use thin::{From, fetch_kernels, fetch_vmm};

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
