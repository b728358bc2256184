//! The host that is looked at: where its sysfs, procfs and device nodes are, and its kernel.

use super::{
    kernel::{Kernel, System},
    word::PciAddress,
};
use crate::{
    error::{Error, Result},
    files,
};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The next step where sysfs or procfs lack what every host has there.
pub(super) const AS_THE_HOST: &str =
    "run where /sys and /proc are the host's: outside of a container";

/// The host. Tests make one of a few directories.
#[derive(Clone, Debug)]
pub struct Host {
    sys: PathBuf,
    proc: PathBuf,
    dev: PathBuf,
    kernel: Arc<dyn Kernel>,
}

impl Host {
    /// This machine.
    #[must_use]
    pub fn here() -> Host {
        Host::at("/sys", "/proc", "/dev", Arc::new(System))
    }

    /// A host whose sysfs, procfs and device nodes are elsewhere.
    #[must_use]
    pub fn at(
        sys: impl Into<PathBuf>,
        proc: impl Into<PathBuf>,
        dev: impl Into<PathBuf>,
        kernel: Arc<dyn Kernel>,
    ) -> Host {
        Host {
            sys: sys.into(),
            proc: proc.into(),
            dev: dev.into(),
            kernel,
        }
    }

    /// A path in sysfs.
    pub(super) fn sys(&self, below: impl AsRef<Path>) -> PathBuf {
        self.sys.join(below)
    }

    /// A path in procfs.
    pub(super) fn proc(&self, below: impl AsRef<Path>) -> PathBuf {
        self.proc.join(below)
    }

    /// A device node by the kernel's name, in which `!` stands for a slash.
    pub(super) fn dev(&self, name: &str) -> PathBuf {
        self.dev.join(name.replace('!', "/"))
    }

    pub(super) fn kernel(&self) -> &dyn Kernel {
        &*self.kernel
    }

    /// A PCI function's directory.
    pub(super) fn pci(&self, address: PciAddress) -> PathBuf {
        self.sys(format!("bus/pci/devices/{address}"))
    }

    /// The driver that a PCI function is bound to.
    pub(super) fn driver(&self, address: PciAddress) -> Option<String> {
        link_name(&self.pci(address).join("driver"))
    }

    /// Its `driver_override`, where one is set. The kernel's word for none was `(null)` once.
    pub(super) fn driver_override(&self, address: PciAddress) -> Option<String> {
        attribute(&self.pci(address).join("driver_override")).filter(|word| word != "(null)")
    }
}

/// An attribute's text without the spaces that pad it; nothing where it is empty or cannot be read.
pub(super) fn attribute(path: &Path) -> Option<String> {
    let bytes = files::read(path, files::TEXT).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(['\0', ' ', '\n', '\t']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The last name in a link: sysfs tells drivers and groups so.
pub(super) fn link_name(link: &Path) -> Option<String> {
    let target = fs::read_link(link).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// The names in a directory, sorted; none where there is no such directory.
///
/// # Errors
/// When it cannot be read: what is in it is not known then.
pub(super) fn names(dir: &Path) -> Result<Vec<String>> {
    let reading = |e| Error::io("reading", dir, e).hint(AS_THE_HOST);
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(reading)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(reading)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    // nvme0n1p2 stands before nvme0n1p10.
    names.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
    Ok(names)
}
