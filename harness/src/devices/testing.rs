//! A host of directories, with a simulated kernel.

use super::{
    Host, Journal, PciAddress,
    kernel_testing::{Simulated, State},
};
use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

/// The controller that every such host has.
pub const ADDRESS: &str = "0000:01:00.0";
/// Its serial number.
pub const SERIAL: &str = "S5GXNX0T";

/// The host, and where it is.
pub struct Fake {
    dir: tempfile::TempDir,
    kernel: Arc<Simulated>,
}

impl Fake {
    /// A host with an IOMMU, vfio loaded, root, and a blank drive of one namespace with one partition.
    pub fn new() -> Fake {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Arc::new(Simulated {
            root: dir.path().to_owned(),
            state: Mutex::default(),
        });
        let fake = Fake { dir, kernel };
        for driver in ["nvme", "vfio-pci"] {
            fake.dir_at(&format!("sys/bus/pci/drivers/{driver}"));
        }
        fake.dir_at("sys/module/vfio_iommu_type1");
        fake.dir_at("sys/block");
        fake.dir_at("hidden");
        fake.file("dev/vfio/vfio", "");
        fake.file(
            "proc/self/mountinfo",
            "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
        );
        fake.file("proc/swaps", "Filename Type Size Used Priority\n");
        fake.file("proc/sys/kernel/random/boot_id", "boot-1\n");
        fake.user(0, "000001ffffffffff", "8388608");
        fake.alive(4711, true);
        fake.controller(ADDRESS, 14, "nvme0", SERIAL);
        fake.disk("nvme0n1", "259:0", &[("nvme0n1p1", "259:1")]);
        fake
    }

    pub fn host(&self) -> Host {
        let at = |name: &str| self.dir.path().join(name);
        Host::at(at("sys"), at("proc"), at("dev"), self.kernel.clone())
    }

    pub fn journal(&self) -> Journal {
        Journal::at(self.path("bound"))
    }

    /// Somebody has opened the node of this name for himself alone.
    pub fn busy(&self, name: &str) {
        self.state().busy.insert(name.to_owned());
    }

    /// This user may neither open nor write this path.
    pub fn deny(&self, path: &str) {
        self.state().denied.insert(path.to_owned());
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.kernel.state.lock().unwrap()
    }

    pub fn dir_at(&self, below: &str) {
        fs::create_dir_all(self.path(below)).unwrap();
    }

    pub fn file(&self, below: &str, text: &str) {
        self.bytes(below, text.as_bytes());
    }

    pub fn bytes(&self, below: &str, bytes: &[u8]) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn link(&self, below: &str, target: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    pub fn remove(&self, below: &str) {
        let path = self.path(below);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    /// Who runs this process, with which capabilities and which limit of locked memory.
    pub fn user(&self, uid: u32, capabilities: &str, memlock: &str) {
        let status =
            format!("Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t{capabilities}\n");
        self.file("proc/self/status", &status);
        let limits = format!("Max locked memory         {memlock}   {memlock}   bytes\n");
        self.file("proc/self/limits", &limits);
    }

    /// An ordinary user, who may neither read the drive nor bind it.
    pub fn ordinary_user(&self) {
        self.user(1000, "0000000000000000", "8388608");
        let override_ = format!("sys/bus/pci/devices/{ADDRESS}/driver_override");
        for path in ["dev/nvme0n1", "dev/nvme0n1p1", &override_] {
            self.deny(path);
        }
    }

    /// This process, by its id; another that has ended.
    pub fn alive(&self, pid: u32, alive: bool) {
        let stat = format!("{pid} (a b) S 1 1 1 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 {pid}00 0 0\n");
        self.file("proc/self/stat", &stat);
        if alive {
            self.file(&format!("proc/{pid}/stat"), &stat);
        } else {
            self.remove(&format!("proc/{pid}"));
        }
    }

    /// A PCI function in a group, bound to a driver if that is not empty.
    pub fn function(&self, address: &str, class: &str, group: u32, driver: &str) {
        let device = format!("sys/bus/pci/devices/{address}");
        self.file(&format!("{device}/class"), &format!("{class}\n"));
        self.file(&format!("{device}/driver_override"), "(null)\n");
        let of_group = format!("sys/kernel/iommu_groups/{group}");
        self.link(
            &format!("{device}/iommu_group"),
            &format!("../../../../kernel/iommu_groups/{group}"),
        );
        self.file(&format!("{of_group}/type"), "DMA\n");
        self.link(
            &format!("{of_group}/devices/{address}"),
            &format!("../../../../bus/pci/devices/{address}"),
        );
        if !driver.is_empty() {
            self.dir_at(&format!("sys/bus/pci/drivers/{driver}"));
            self.link(
                &format!("{device}/driver"),
                &format!("../../drivers/{driver}"),
            );
        }
    }

    /// An NVMe controller.
    pub fn controller(&self, address: &str, group: u32, name: &str, serial: &str) {
        self.function(address, "0x010802", group, "nvme");
        let nvme = format!("sys/bus/pci/devices/{address}/nvme/{name}");
        for (file, text) in [
            ("model", "Samsung SSD 980 PRO 1TB                 "),
            ("serial", &format!("{serial}            ")),
            ("firmware_rev", "5B2QGXA7"),
        ] {
            self.file(&format!("{nvme}/{file}"), &format!("{text}\n"));
        }
        self.dir_at(&format!("{nvme}/{name}n1"));
    }

    /// A block device with partitions, by names and numbers; all blank.
    pub fn disk(&self, name: &str, number: &str, parts: &[(&str, &str)]) {
        self.block(&format!("sys/block/{name}"), name, number);
        self.file(
            &format!("sys/block/{name}/queue/logical_block_size"),
            "512\n",
        );
        for (at, (part, number)) in parts.iter().enumerate() {
            let dir = format!("sys/block/{name}/{part}");
            self.block(&dir, part, number);
            self.file(&format!("{dir}/partition"), &format!("{}\n", at + 1));
        }
    }

    fn block(&self, dir: &str, name: &str, number: &str) {
        self.file(&format!("{dir}/dev"), &format!("{number}\n"));
        self.file(&format!("{dir}/size"), "2048\n");
        self.file(&format!("{dir}/ro"), "0\n");
        self.dir_at(&format!("{dir}/holders"));
        self.bytes(&format!("dev/{name}"), &vec![0; 1 << 20]);
        let below = dir.strip_prefix("sys/").unwrap();
        self.link(
            &format!("sys/dev/block/{number}"),
            &format!("../../{below}"),
        );
    }

    /// Puts bytes on a device.
    pub fn put(&self, node: &str, at: usize, bytes: &[u8]) {
        let path = self.path(&format!("dev/{node}"));
        let mut image = fs::read(&path).unwrap();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(path, image).unwrap();
    }

    /// Everything in sysfs, as text.
    pub fn sysfs(&self) -> String {
        let mut text = String::new();
        show(&self.path("sys"), &mut text);
        text
    }

    /// A text without the directory's name.
    pub fn shown(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "")
    }
}

fn show(dir: &Path, text: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let shown = path.display();
        if path.is_symlink() {
            writeln!(
                text,
                "{shown} -> {}",
                fs::read_link(&path).unwrap().display()
            )
            .unwrap();
        } else if path.is_dir() {
            show(&path, text);
        } else {
            writeln!(
                text,
                "{shown}: {}",
                fs::read_to_string(&path).unwrap().trim()
            )
            .unwrap();
        }
    }
}

/// [`ADDRESS`], as a value.
pub fn address() -> PciAddress {
    ADDRESS.parse().unwrap()
}
