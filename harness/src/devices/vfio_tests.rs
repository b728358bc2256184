//! Every reason to refuse a controller, in its own words.

use super::{
    Geometry, Serial, Target,
    steps_testing::{checked, refused, refused_with},
    testing::{ADDRESS, Fake, SERIAL, address},
};

#[test]
fn a_free_blank_controller_that_was_named_passes() {
    let fake = Fake::new();
    let ready = checked(&fake, "vfio:01:00.0", Some(SERIAL)).unwrap();
    let target = Target::Vfio {
        address: address(),
        group: "14".into(),
    };
    assert_eq!(ready.target(), &target);
    assert_eq!(ready.serial(), &Serial::Checked(SERIAL.into()));
    assert!(ready.data().is_empty());
    let geometry = Geometry {
        size: 1 << 20,
        block_size: 512,
    };
    assert_eq!(ready.geometry(), Some(geometry));
}

#[test]
fn what_is_not_there_or_no_nvme_controller_is_refused() {
    insta::assert_snapshot!(
        refused(|fake| fake.remove(&format!("sys/bus/pci/devices/{ADDRESS}"))),
        @r"
    error: there is no PCI device 0000:01:00.0
      help: `diorama devices` lists this host's NVMe controllers
    "
    );
    insta::assert_snapshot!(
        refused(|fake| fake.file(&format!("sys/bus/pci/devices/{ADDRESS}/class"), "0x010601\n")),
        @r"
    error: 0000:01:00.0 is not an NVMe controller: its PCI class is 0x010601
      help: `diorama devices` lists this host's NVMe controllers
    "
    );
}

#[test]
fn a_controller_needs_an_iommu_group_with_an_iommu_behind_it() {
    insta::assert_snapshot!(
        refused(|fake| fake.remove(&format!("sys/bus/pci/devices/{ADDRESS}/iommu_group"))),
        @r"
    error: 0000:01:00.0 is in no IOMMU group
      help: enable the IOMMU (VT-d, AMD-Vi) in the firmware; with an Intel CPU boot with intel_iommu=on; or give the block device instead, which needs no IOMMU
    "
    );
    insta::assert_snapshot!(
        refused(|fake| fake.file("sys/kernel/iommu_groups/14/name", "vfio-noiommu\n")),
        @r"
    error: there is no IOMMU behind group 14 of 0000:01:00.0
      help: enable the IOMMU (VT-d, AMD-Vi) in the firmware; with an Intel CPU boot with intel_iommu=on; or give the block device instead, which needs no IOMMU
    "
    );
}

#[test]
fn siblings_that_do_dma_are_refused_and_others_are_not() {
    let harmless = |fake: &Fake| {
        fake.function("0000:00:01.0", "0x060400", 14, "pcieport");
        fake.function("0000:00:01.1", "0x060400", 14, "shpchp");
        fake.function("0000:01:00.1", "0x010802", 14, "vfio-pci");
        fake.function("0000:01:00.2", "0x040300", 14, "");
    };
    let fake = Fake::new();
    harmless(&fake);
    checked(&fake, "vfio:01:00.0", Some(SERIAL)).unwrap();
    insta::assert_snapshot!(
        refused(|fake| {
            harmless(fake);
            fake.function("0000:01:00.3", "0x040300", 14, "snd_hda_intel");
            fake.function("0000:01:00.4", "0x060100", 14, "lpc_ich");
        }),
        @r"
    error: 0000:01:00.0 shares IOMMU group 14 with 0000:01:00.3 (snd_hda_intel), 0000:01:00.4 (lpc_ich)
      help: put the drive into another slot; or, if nobody needs them, unbind the others from their drivers
    "
    );
}

#[test]
fn what_is_in_use_is_never_touched() {
    let root = |source: &str| {
        let line = format!("25 1 259:1 / /srv/my\\040data rw - ext4 {source} rw\n");
        move |fake: &Fake| fake.file("proc/self/mountinfo", &line)
    };
    let all = [
        refused(root("/dev/root")),
        refused(|fake| {
            fake.file(
                "proc/self/mountinfo",
                "25 1 0:40 / /b rw - btrfs /dev/nvme0n1 rw\n",
            );
        }),
        refused(|fake| {
            fake.file(
                "proc/swaps",
                "Filename Type\n/dev/nvme0n1p1 partition 1 0 -2\n",
            );
        }),
        refused(|fake| fake.dir_at("sys/block/nvme0n1/nvme0n1p1/holders/dm-0")),
        refused(|fake| fake.dir_at("sys/block/nvme0n1/holders/md127")),
        refused(|fake| fake.file("sys/block/loop0/loop/backing_file", "/dev/nvme0n1\n")),
        refused(|fake| fake.dir_at("sys/fs/btrfs/8a1f/devices/nvme0n1p1")),
        refused(|fake| fake.busy("nvme0n1")),
        refused(|fake| {
            let driver = format!("sys/bus/pci/devices/{ADDRESS}/driver");
            fake.remove(&driver);
            fake.link(&driver, "../../drivers/uio_pci_generic");
        }),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    error: 0000:01:00.0 is in use: nvme0n1p1 is mounted on /srv/my data
      help: umount '/srv/my data'; or choose another device
    error: 0000:01:00.0 is in use: nvme0n1 is mounted on /b
      help: umount /b; or choose another device
    error: 0000:01:00.0 is in use: nvme0n1p1 is used as swap space
      help: swapoff /dev/nvme0n1p1; or choose another device
    error: 0000:01:00.0 is in use: nvme0n1p1 is held by dm-0
      help: stop what dm-0 is (LVM, encryption, RAID, a loop device); or choose another device
    error: 0000:01:00.0 is in use: nvme0n1 is held by md127
      help: stop what md127 is (LVM, encryption, RAID, a loop device); or choose another device
    error: 0000:01:00.0 is in use: nvme0n1 is held by loop0
      help: stop what loop0 is (LVM, encryption, RAID, a loop device); or choose another device
    error: 0000:01:00.0 is in use: nvme0n1p1 is part of a mounted btrfs 8a1f
      help: unmount btrfs 8a1f; or choose another device
    error: 0000:01:00.0 is in use: a program has opened nvme0n1, or part of it, for itself alone
      help: end that program (`lsof`, `lsblk` and `findmnt --all` find it); or choose another device
    error: 0000:01:00.0 is in use: uio_pci_generic has it, which hands it to another program
      help: end that program, and give the device back to nvme
    ");
}

/// Where the kernel hides which paths lead to a namespace (CONFIG_NVME_MULTIPATH).
#[test]
fn a_namespace_with_several_paths_is_looked_at_itself() {
    let text = refused(|fake| {
        let nvme = format!("sys/bus/pci/devices/{ADDRESS}/nvme/nvme0");
        fake.remove(&format!("{nvme}/nvme0n1"));
        fake.dir_at(&format!("{nvme}/nvme0c0n1"));
        fake.dir_at("sys/block/nvme0n1/holders/dm-1");
    });
    assert!(text.contains("nvme0n1 is held by dm-1"), "{text}");
}

#[test]
fn nobody_knows_what_is_in_use_where_the_lists_cannot_be_read() {
    let all = [
        refused(|fake| fake.remove("proc/self/mountinfo")),
        refused(|fake| fake.remove("sys/block/nvme0n1/nvme0n1p1/dev")),
        refused(|fake| fake.remove("sys/block/nvme0n1")),
        refused(|fake| fake.remove("sys/kernel/iommu_groups/14/devices")),
        refused(|fake| {
            fake.remove("sys/block/nvme0n1/holders");
            fake.file("sys/block/nvme0n1/holders", "no directory");
        }),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    error: reading /proc/self/mountinfo
      caused by: No such file or directory (os error 2)
      help: run where /sys and /proc are the host's: outside of a container
    error: /sys/block/nvme0n1/nvme0n1p1 does not say which device it is
      help: run where /sys and /proc are the host's: outside of a container
    error: /sys/block/nvme0n1 does not say which device it is
      help: run where /sys and /proc are the host's: outside of a container
    error: 0000:01:00.0 is not in /sys/kernel/iommu_groups/14/devices
      help: run where /sys and /proc are the host's: outside of a container
    error: reading /sys/block/nvme0n1/holders
      caused by: Not a directory (os error 20)
      help: run where /sys and /proc are the host's: outside of a container
    ");
}

#[test]
fn a_device_that_another_harness_has_is_refused() {
    let fake = Fake::new();
    let held = checked(&fake, "vfio:01:00.0", Some(SERIAL)).unwrap();
    let text = refused_with(&fake, "vfio:01:00.0", Some(SERIAL));
    let this = format!("process {} ", std::process::id());
    assert!(
        text.contains(&format!("{ADDRESS} is used by {this}")),
        "{text}"
    );
    drop(held);
    checked(&fake, "vfio:01:00.0", Some(SERIAL)).unwrap();
}

#[test]
fn data_that_nobody_named_is_shown_and_kept() {
    let fake = Fake::new();
    fake.put("nvme0n1", 512, b"EFI PART");
    fake.put("nvme0n1p1", 0, b"XFSB");
    let refusals = [
        refused_with(&fake, "vfio:01:00.0", None),
        refused_with(&fake, "vfio:01:00.0", Some("S0ME0THER")),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    error: 0000:01:00.0 bears data: nvme0n1: GPT partition table, nvme0n1p1: XFS
      help: if all of it may be destroyed, add --erase S5GXNX0T
    error: 0000:01:00.0 bears data: nvme0n1: GPT partition table, nvme0n1p1: XFS
      help: check which device you mean: --erase names `S0ME0THER`, and this one is `S5GXNX0T`
    ");
    let ready = checked(&fake, "vfio:01:00.0", Some(SERIAL)).unwrap();
    assert_eq!(
        ready.data(),
        ["nvme0n1: GPT partition table", "nvme0n1p1: XFS"]
    );
}

#[test]
fn a_blank_device_must_be_named_as_well() {
    let fake = Fake::new();
    let refusals = [
        refused_with(&fake, "vfio:01:00.0", None),
        refused_with(&fake, "vfio:01:00.0", Some("S0ME0THER")),
        refused_with(&fake, "vfio:01:00.0", Some("")),
        refused(|fake| {
            fake.remove(&format!("sys/bus/pci/devices/{ADDRESS}/nvme/nvme0/serial"));
        }),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    error: nobody confirmed that all data on 0000:01:00.0 may be destroyed
      help: if all of it may be destroyed, add --erase S5GXNX0T
    error: `S0ME0THER` is not the serial number of 0000:01:00.0
      help: check which device you mean: --erase names `S0ME0THER`, and this one is `S5GXNX0T`
    error: `` is not the serial number of 0000:01:00.0
      help: check which device you mean: --erase names ``, and this one is `S5GXNX0T`
    error: 0000:01:00.0 has no serial number by which it could be named
      help: choose a device that has one
    ");
}
