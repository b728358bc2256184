//! What ran the guests.

use crate::digest::Sha256;
use serde::{Deserialize, Serialize};

/// The VMM that ran the guests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmmRecord {
    /// "QEMU emulator version 10.0.2 (Debian ...)".
    pub version: String,
    /// Digest of the unpacked tree's contents; of a host's QEMU, of its executable and its version
    /// (docs/identity.md).
    pub digest: Sha256,
    /// "lock", "system" or "path".
    pub origin: String,
    /// Digest of the plugin that counts instructions; absent where this VMM takes none.
    #[serde(default)]
    pub plugin: Option<Sha256>,
}
