//! Images elsewhere: by a URL with its sha256, and in OCI registries.
//!
//! What is read comes by the store's own way of fetching: bounded by a size that is known before,
//! resumed, and checked by its digest before anything looks at it. What is written, and how a registry
//! is asked for a token, is oci-client's.

mod credentials;
mod pull;
mod push;
pub mod reference; // pure
mod registry;
#[cfg(test)]
mod tests;

pub use pull::{Pulled, local, pull};
pub use push::push;
pub use reference::Reference;
