//! Every reason to refuse a disk, in its own words.

use super::{
    Serial, Target,
    steps_testing::{checked, refused_with},
    testing::{Fake, SERIAL},
};

/// The same of a disk: the drive's namespace.
fn refused_disk(change: impl FnOnce(&Fake)) -> String {
    let fake = Fake::new();
    disk_of(&fake);
    change(&fake);
    refused_with(&fake, "/dev/nvme0n1", Some(SERIAL))
}

fn disk_of(fake: &Fake) {
    fake.file("sys/block/nvme0n1/device/serial", &format!("{SERIAL}  \n"));
    fake.file("sys/block/nvme0n1/wwid", "eui.0025385c2140aaaa\n");
}

#[test]
fn a_disk_is_named_by_serial_or_by_its_name_in_the_world() {
    let fake = Fake::new();
    disk_of(&fake);
    fake.link("dev/disk/by-id/nvme-Samsung", "../../nvme0n1");
    for erase in [SERIAL, "eui.0025385c2140aaaa"] {
        let ready = checked(&fake, "/dev/disk/by-id/nvme-Samsung", Some(erase)).unwrap();
        assert_eq!(ready.target(), &Target::Disk(fake.path("dev/nvme0n1")));
        assert_eq!(ready.serial(), &Serial::Checked(erase.into()));
    }
    // SCSI has it in a page of its own.
    fake.disk("sda", "8:0", &[]);
    fake.bytes("sys/block/sda/device/vpd_pg80", b"\0\x80\0\x08  WD1234");
    checked(&fake, "/dev/sda", Some("WD1234")).unwrap();
}

#[test]
fn of_a_partition_its_own_number_is_named_too() {
    let fake = Fake::new();
    fake.disk("sdb", "8:16", &[("sdb1", "8:17"), ("sdb2", "8:18")]);
    fake.file("sys/block/sdb/serial", "B7\n");
    fake.put("sdb", 510, &[0x55, 0xaa]);
    fake.put("sdb2", 0, b"XFSB");
    // Its neighbour may be in use.
    fake.file("proc/swaps", "/dev/sdb1 partition 1 0 -2\n");
    insta::assert_snapshot!(refused_with(&fake, "/dev/sdb2", Some("B7")), @r"
    error: /dev/sdb2 bears data: sdb2: XFS
      help: check which device you mean: --erase names `B7`, and this one is `B7-part2`
    ");
    let ready = checked(&fake, "/dev/sdb2", Some("B7-part2")).unwrap();
    assert_eq!(ready.target(), &Target::Disk(fake.path("dev/sdb2")));
    assert_eq!(ready.data(), ["sdb2: XFS"]);
    drop(ready);
    // The whole may not.
    fake.dir_at("sys/block/sdb/holders/dm-0");
    let text = refused_with(&fake, "/dev/sdb2", Some("B7-part2"));
    assert!(text.contains("sdb is held by dm-0"), "{text}");
}

#[test]
fn a_disk_is_refused_for_the_same_reasons() {
    let fake = Fake::new();
    disk_of(&fake);
    let all = [
        refused_with(&fake, "/dev/nothing", None),
        refused_with(&fake, "/dev/vfio/vfio", None),
        refused_disk(|fake| {
            fake.file(
                "proc/self/mountinfo",
                "25 1 259:1 / /srv rw - ext4 /dev/root rw\n",
            );
        }),
        refused_disk(|fake| fake.file("proc/swaps", "/dev/nvme0n1 partition 1 0 -2\n")),
        refused_disk(|fake| fake.dir_at("sys/block/nvme0n1/nvme0n1p1/holders/dm-0")),
        refused_disk(|fake| fake.file("sys/block/nvme0n1/ro", "1\n")),
        refused_disk(|fake| fake.busy("nvme0n1")),
        refused_with(&fake, "/dev/nvme0n1", None),
        refused_with(&fake, "/dev/nvme0n1", Some("S0ME0THER")),
        refused_disk(|fake| {
            fake.remove("sys/block/nvme0n1/device");
            fake.remove("sys/block/nvme0n1/wwid");
        }),
        refused_disk(Fake::ordinary_user),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    error: there is no /dev/nothing
      help: `ls -l /dev/disk/by-id` lists the disks of this host
    error: /dev/vfio/vfio is not a block device
      help: `ls -l /dev/disk/by-id` lists the disks of this host
    error: /dev/nvme0n1 is in use: nvme0n1p1 is mounted on /srv
      help: umount /srv; or choose another device
    error: /dev/nvme0n1 is in use: nvme0n1 is used as swap space
      help: swapoff /dev/nvme0n1; or choose another device
    error: /dev/nvme0n1 is in use: nvme0n1p1 is held by dm-0
      help: stop what dm-0 is (LVM, encryption, RAID, a loop device); or choose another device
    error: /dev/nvme0n1 is read-only
      help: choose a device that can be written to
    error: /dev/nvme0n1 is in use: a program has opened nvme0n1, or part of it, for itself alone
      help: end that program (`lsof`, `lsblk` and `findmnt --all` find it); or choose another device
    error: nobody confirmed that all data on /dev/nvme0n1 may be destroyed
      help: if all of it may be destroyed, add --erase S5GXNX0T
    error: `S0ME0THER` is not the serial number of /dev/nvme0n1
      help: check which device you mean: --erase names `S0ME0THER`, and this one is `S5GXNX0T`
    error: /dev/nvme0n1 has no serial number by which it could be named
      help: choose a device that has one
    error: this user may not read and write /dev/nvme0n1
      help: as root, once per boot: chown 1000 /dev/nvme0n1
    ");
    let with_data = Fake::new();
    disk_of(&with_data);
    with_data.put("nvme0n1p1", 0x438, &[0x53, 0xef]);
    insta::assert_snapshot!(refused_with(&with_data, "/dev/nvme0n1", None), @r"
    error: /dev/nvme0n1 bears data: nvme0n1p1: ext2/3/4
      help: if all of it may be destroyed, add --erase S5GXNX0T
    ");
}
