//! Lock files: package, version, URL, size and sha256 of every file that is ever executed or
//! measured. kernels/lock.toml and images/lock.toml, resolved from the declarations beside them.

use crate::digest::Sha256;
use serde::{Deserialize, Serialize};

/// A lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of this format.
    pub version: u32,
    /// One per declaration, sorted by name.
    #[serde(rename = "entry")]
    pub entries: Vec<LockEntry>,
}

/// What one declaration was resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockEntry {
    /// Name of the kernel or tool set: `6.12`, `vmm`, `guest-tools`, `agent-sysroot`.
    pub name: String,
    /// The kernel's release (uname -r), for kernels.
    pub release: Option<String>,
    /// Its files, sorted by package.
    #[serde(rename = "file")]
    pub files: Vec<LockedFile>,
}

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
