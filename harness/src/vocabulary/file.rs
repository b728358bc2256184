//! A file that a lock names.

use crate::digest::Sha256;
use serde::{Deserialize, Serialize};

/// One .deb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Binary package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Archive: `debian` or `debian-security`; the mirror's base URL is configuration.
    pub archive: String,
    /// Path below the archive's base: `pool/main/...`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Its sha256.
    pub sha256: Sha256,
}
