//! Finding out what the host has, without changing anything. Judgement is in [`super::doctor`].

pub use crate::vocabulary::{DeviceNode, KvmTrial};

use super::facts::HostFacts;
use crate::{
    devices,
    vm::confine::{self, Confined},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::Path,
};

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// The host.
    pub host: HostFacts,
    /// Its architecture, as Rust names it.
    pub arch: String,
    /// Soft limit of open files (RLIMIT_NOFILE); absent when there is none.
    pub open_files: Option<u64>,
    /// /dev/vhost-vsock
    pub vhost_vsock: DeviceNode,
    /// KVM, tried.
    pub kvm: KvmTrial,
    /// /dev/vfio/vfio
    pub vfio: DeviceNode,
    /// IOMMU groups (/sys/kernel/iommu_groups); none means no IOMMU in use.
    pub iommu_groups: usize,
    /// NVMe namespaces.
    pub nvme: Vec<NvmeDisk>,
    /// Debian's archive, tried.
    pub archive: ArchiveTrial,
    /// What confines a QEMU here, tried; or why that could not be found out.
    pub confinement: Result<Confined, String>,
}

/// What came of asking Debian's archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveTrial {
    /// The address that answered.
    Reached(String),
    /// It did not.
    Failed(String),
    /// Not tried.
    NotTried,
}

/// An NVMe namespace, identified by what does not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvmeDisk {
    /// Kernel name, which moves.
    pub name: String,
    /// The drive's model name.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// PCI address, where the controller is a PCI device.
    pub address: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Whether it, or a partition of it, is mounted, swap, or held by another device (LVM, RAID).
    pub in_use: bool,
}

/// What comes of KVM here: `try_kvm` runs a guest, and is called only if /dev/kvm opens.
pub fn kvm(try_kvm: impl FnOnce() -> KvmTrial) -> KvmTrial {
    match device_node(Path::new("/dev/kvm")) {
        DeviceNode::Usable => try_kvm(),
        other => KvmTrial::NoDevice(other),
    }
}

impl Probes {
    /// Finds out. `directories` are roles and paths, as of [`HostFacts::probe`]. `try_kvm` runs a
    /// guest and is called only if /dev/kvm opens; `try_archive` asks the archive and gives its
    /// URL, or why not.
    #[must_use]
    pub fn find(
        directories: &[(&str, &Path)],
        try_kvm: impl FnOnce() -> KvmTrial,
        try_archive: Option<impl FnOnce() -> Result<String, String>>,
    ) -> Probes {
        let archive = match try_archive.map(|ask| ask()) {
            Some(Ok(url)) => ArchiveTrial::Reached(url),
            Some(Err(why)) => ArchiveTrial::Failed(why),
            None => ArchiveTrial::NotTried,
        };
        let kvm = kvm(try_kvm);
        Probes {
            host: HostFacts::probe(directories),
            arch: std::env::consts::ARCH.to_owned(),
            open_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            vhost_vsock: device_node(Path::new("/dev/vhost-vsock")),
            kvm,
            vfio: device_node(Path::new("/dev/vfio/vfio")),
            iommu_groups: fs::read_dir("/sys/kernel/iommu_groups").map_or(0, Iterator::count),
            nvme: nvme(
                Path::new("/sys/block"),
                &text("/proc/self/mountinfo"),
                &text("/proc/swaps"),
            ),
            archive,
            confinement: confine::possible().map_err(|e| e.to_string()),
        }
    }
}

/// Opens a device node for reading and writing, and closes it again.
#[must_use]
pub fn device_node(path: &Path) -> DeviceNode {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => DeviceNode::Usable,
        Err(e) if e.kind() == ErrorKind::NotFound => DeviceNode::Absent,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => DeviceNode::Denied,
        // A node without a driver behind it (ENODEV, ENXIO).
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => {
            DeviceNode::Absent
        }
        Err(e) => DeviceNode::Failed(e.to_string()),
    }
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// NVMe namespaces below `sys_block`, sorted by name.
fn nvme(sys_block: &Path, mountinfo: &str, swaps: &str) -> Vec<NvmeDisk> {
    let Ok(entries) = fs::read_dir(sys_block) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("nvme")).collect();
    names.sort();
    let disk = |name: String| {
        let dir = sys_block.join(&name);
        let address = text(dir.join("device/address"));
        let mut used = block_in_use(&name, &dir, mountinfo, swaps);
        for part in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let part_name = part.file_name().to_string_lossy().into_owned();
            if part_name.starts_with(&name) {
                used |= block_in_use(&part_name, &part.path(), mountinfo, swaps);
            }
        }
        NvmeDisk {
            model: text(dir.join("device/model")),
            serial: text(dir.join("device/serial")),
            address: (!address.is_empty()).then_some(address),
            // In units of 512 bytes, whatever the device's block size (Documentation/ABI).
            size: text(dir.join("size"))
                .parse()
                .ok()
                .and_then(|n: u64| n.checked_mul(512)),
            in_use: used,
            name,
        }
    };
    names.into_iter().map(disk).collect()
}

/// By number and by name: a file system of several devices (btrfs) has a number of its own.
fn block_in_use(name: &str, dir: &Path, mountinfo: &str, swaps: &str) -> bool {
    let number = text(dir.join("dev"));
    let mounted = devices::mounts(mountinfo, &number, name).next().is_some();
    let held = fs::read_dir(dir.join("holders")).is_ok_and(|mut held| held.next().is_some());
    mounted || devices::is_swap(swaps, name) || held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(root: &Path, name: &str, number: &str) {
        let dir = root.join(name);
        fs::create_dir_all(dir.join("device")).expect("a directory");
        fs::create_dir_all(dir.join("holders")).expect("a directory");
        for (file, text) in [
            ("dev", number),
            ("size", "8\n"),
            ("device/model", "Drive  \n"),
            ("device/serial", "S1\n"),
            ("device/address", "0000:01:00.0\n"),
        ] {
            fs::write(dir.join(file), text).expect("a file");
        }
    }

    #[test]
    fn a_drive_that_is_mounted_swapped_to_or_held_is_in_use() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        for i in 0..5 {
            disk(root, &format!("nvme{i}n1"), &format!("259:{i}\n"));
        }
        disk(root, "sda", "8:0\n");
        // A partition of the first is mounted, the second is swap, the third held, the fourth
        // part of a btrfs, the fifth free.
        fs::create_dir_all(root.join("nvme0n1/nvme0n1p1")).expect("a directory");
        fs::write(root.join("nvme0n1/nvme0n1p1/dev"), "259:9\n").expect("a file");
        fs::create_dir(root.join("nvme2n1/holders/dm-0")).expect("a directory");
        let mountinfo =
            "25 1 259:9 / / rw - ext4 /dev/root rw\n26 1 0:40 / /b rw - btrfs /dev/nvme3n1 rw";
        let swaps = "Filename Type\n/dev/nvme1n1 partition 100 0 -2";
        let found = nvme(root, mountinfo, swaps);
        let used: Vec<_> = found.iter().map(|disk| disk.in_use).collect();
        assert_eq!(used, [true, true, true, true, false]);
        assert_eq!(
            found[4],
            NvmeDisk {
                name: "nvme4n1".into(),
                model: "Drive".into(),
                serial: "S1".into(),
                address: Some("0000:01:00.0".into()),
                size: Some(4096),
                in_use: false,
            }
        );
    }

    #[test]
    fn a_node_is_judged_by_opening_it() {
        assert_eq!(device_node(Path::new("/dev/null")), DeviceNode::Usable);
        assert_eq!(
            device_node(Path::new("/dev/no-such-node")),
            DeviceNode::Absent
        );
        assert!(matches!(
            device_node(Path::new("/dev")),
            DeviceNode::Failed(_)
        ));
    }

    #[test]
    fn kvm_is_tried_only_where_its_device_opens() {
        let mut tried = false;
        let probes = Probes::find(
            &[],
            || {
                tried = true;
                KvmTrial::Works { after_s: 1.0 }
            },
            Some(|| Err("no route".to_owned())),
        );
        assert_eq!(tried, !matches!(probes.kvm, KvmTrial::NoDevice(_)));
        assert_eq!(probes.archive, ArchiveTrial::Failed("no route".into()));
    }
}
