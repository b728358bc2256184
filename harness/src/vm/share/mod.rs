//! Directories of the host's that a guest sees (virtio-fs): read-only scripts and tools, and a place
//! for what it hands back. Each is served by a process of its own, this program executing itself,
//! confined to the one directory ([`serve`]): a request that makes no sense, or a fault of the server's,
//! ends that device and nothing else.
//!
//! What is shared is driven by the host, so a guest that is measured under the instruction clock must
//! not have it.

mod confine;
mod filter;
mod process;
mod serve;

pub use process::{Server, VERB, try_confinement};
pub use serve::serve;

use std::path::PathBuf;

/// Longest tag in bytes (virtio 1.2, 5.11.4).
const MAX_TAG: usize = 36;

/// A directory of the host's in a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What the guest mounts it by.
    pub tag: String,
    /// Which directory it is.
    pub dir: PathBuf,
    /// What the guest may do there.
    pub access: Access,
}

/// What a guest may do in a directory of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Read,
    /// Read and write; what it makes belongs to the harness's user.
    Write,
}

/// Whether this can be a tag, also as a word of QEMU's and as a directory's name.
///
/// # Errors
/// When it cannot: a sentence that says which can.
pub fn check_tag(tag: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fine = (1..=MAX_TAG).contains(&tag.len())
        && tag.chars().all(plain)
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric());
    if fine {
        return Ok(());
    }
    Err(format!(
        "`{tag}` cannot be a shared directory's name in the guest: use 1 to {MAX_TAG} letters, digits \
         and `._-`, the first one a letter or a digit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_word_for_qemu_and_a_directory_for_the_guest() {
        for tag in ["tools", "a.b-c_d", "0", &"x".repeat(36)] {
            assert_eq!(check_tag(tag), Ok(()), "{tag}");
        }
        for tag in ["", ".", "..", "a/b", "a,b", "a b", "é", &"x".repeat(37)] {
            assert!(check_tag(tag).is_err(), "{tag}");
        }
    }
}
