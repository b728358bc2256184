//! Which kernel.

use std::{fmt, str::FromStr};

/// A kernel's version and patch level: 6.12 of `6.12.117+deb12-cloud-amd64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion(pub u32, pub u32);

impl KernelVersion {
    /// The oldest kernel that Diorama supports; to be assumed of one that is not known.
    pub const OLDEST: KernelVersion = KernelVersion(5, 4);

    /// That of a release (uname -r); none where it does not tell.
    #[must_use]
    pub fn of(release: &str) -> Option<KernelVersion> {
        release.parse().ok()
    }
}

impl FromStr for KernelVersion {
    type Err = String;

    /// Reads a release (uname -r) or a plain version.
    fn from_str(release: &str) -> Result<KernelVersion, String> {
        let mut numbers = release.splitn(3, '.').map(|part| {
            let end = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part[..end].parse().ok()
        });
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(version), Some(patch_level)) => Ok(KernelVersion(version, patch_level)),
            _ => Err(format!(
                "`{release}` is not a kernel release; use 6.12 or 6.12.117-amd64"
            )),
        }
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(
            "6.12.117+deb12-cloud-amd64".parse(),
            Ok(KernelVersion(6, 12))
        );
        assert_eq!("7.2".parse(), Ok(KernelVersion(7, 2)));
        assert_eq!("5.5-rc3".parse(), Ok(KernelVersion(5, 5)));
        assert!(KernelVersion(5, 4) < KernelVersion(5, 10));
        for text in ["mine", "6", "6.x", ""] {
            assert!(text.parse::<KernelVersion>().is_err(), "{text}");
        }
    }
}
