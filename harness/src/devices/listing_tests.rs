//! The list of controllers.

use super::{
    list, render,
    steps_testing::checked,
    testing::{Fake, SERIAL},
};

#[test]
fn the_list_says_what_there_is_and_what_is_in_the_way() {
    let fake = Fake::new();
    assert_eq!(render(&[]), "no NVMe controllers on the PCI bus\n");
    fake.controller("0000:02:00.0", 15, "nvme1", "S\u{1b}[31m2");
    fake.disk("nvme1n1", "259:5", &[("nvme1n1p1", "259:6")]);
    fake.put("nvme1n1", 4096, b"EFI PART");
    fake.put("nvme1n1p1", 0x438, &[0x53, 0xef]);
    fake.file(
        "proc/self/mountinfo",
        "25 1 259:6 / / rw - ext4 /dev/root rw\n",
    );
    fake.function("0000:03:00.0", "0x010802", 16, "");
    fake.function("0000:03:00.1", "0x020000", 16, "igb");
    fake.function("0000:04:00.0", "0x030000", 17, "i915");
    let listed = list(&fake.host()).unwrap();
    insta::assert_snapshot!(crate::text::lines(&render(&listed)), @r"
    0000:01:00.0  Samsung SSD 980 PRO 1TB
      serial       S5GXNX0T
      firmware     5B2QGXA7
      group        14
      driver       nvme
      nvme0n1      1 MiB, blocks of 512 bytes, blank
      nvme0n1p1    1 MiB, blank
      passthrough  yes: --device vfio:0000:01:00.0 --erase S5GXNX0T

    0000:02:00.0  Samsung SSD 980 PRO 1TB
      serial       S\u{1b}[31m2
      firmware     5B2QGXA7
      group        15
      driver       nvme
      nvme1n1      1 MiB, blocks of 512 bytes, GPT partition table
      nvme1n1p1    1 MiB, ext2/3/4, mounted on /
      passthrough  no: 0000:02:00.0 is in use: nvme1n1p1 is mounted on /
                   help: umount /; or choose another device

    0000:03:00.0  NVMe controller
      serial       unknown (only the driver nvme can ask)
      firmware     unknown (only the driver nvme can ask)
      group        16, with 0000:03:00.1 (igb)
      driver       none
      passthrough  no: 0000:03:00.0 shares IOMMU group 16 with 0000:03:00.1 (igb)
                   help: put the drive into another slot; or, if nobody needs them, unbind the others from their drivers
    ");
    insta::assert_snapshot!(serde_json::to_string_pretty(&listed[1]).unwrap(), @r#"
    {
      "address": "0000:02:00.0",
      "model": "Samsung SSD 980 PRO 1TB",
      "serial": "S\u001b[31m2",
      "firmware": "5B2QGXA7",
      "driver": "nvme",
      "group": {
        "number": "15",
        "unsafe_without_iommu": false,
        "foreign": []
      },
      "namespaces": [
        {
          "logical_block": 512,
          "physical_block": null,
          "volumes": [
            {
              "name": "nvme1n1",
              "bytes": 1048576,
              "uses": [],
              "contents": {
                "seen": [
                  "GPT partition table"
                ]
              }
            },
            {
              "name": "nvme1n1p1",
              "bytes": 1048576,
              "uses": [
                {
                  "mounted": "/"
                }
              ],
              "contents": {
                "seen": [
                  "ext2/3/4"
                ]
              }
            }
          ]
        }
      ],
      "obstacle": {
        "reason": "0000:02:00.0 is in use: nvme1n1p1 is mounted on /",
        "next_step": "umount /; or choose another device"
      }
    }
    "#);
    // Nothing was kept.
    checked(&fake, "vfio:01:00.0", Some(SERIAL)).unwrap();
    fake.ordinary_user();
    let listed = list(&fake.host()).unwrap();
    insta::assert_snapshot!(render(&listed[..1]), @r"
    0000:01:00.0  Samsung SSD 980 PRO 1TB
      serial       S5GXNX0T
      firmware     5B2QGXA7
      group        14
      driver       nvme
      nvme0n1      1 MiB, blocks of 512 bytes, contents unknown (not readable by this user)
      nvme0n1p1    1 MiB, contents unknown (not readable by this user)
      passthrough  no: this user may not bind 0000:01:00.0 to vfio-pci: Permission denied (os error 13)
                   help: as root, once:
                       lsblk -f /dev/nvme0n1    # whatever this shows will be lost
                       modprobe -a vfio-pci vfio_iommu_type1
                       echo vfio-pci > /sys/bus/pci/devices/0000:01:00.0/driver_override
                       echo 0000:01:00.0 > /sys/bus/pci/devices/0000:01:00.0/driver/unbind
                       echo 0000:01:00.0 > /sys/bus/pci/drivers_probe
                       chown 1000 /dev/vfio/14
                       echo ':1000 - memlock 1048832' > /etc/security/limits.d/diorama.conf    # then log in again
                       to give it back to nvme: echo > /sys/bus/pci/devices/0000:01:00.0/driver_override; echo 0000:01:00.0 > /sys/bus/pci/devices/0000:01:00.0/driver/unbind; echo 0000:01:00.0 > /sys/bus/pci/drivers_probe
    ");
}
