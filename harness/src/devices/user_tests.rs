//! What a user needs besides a free controller.

use super::{
    Serial,
    steps_testing::{checked, refused, refused_with},
    testing::{ADDRESS, Fake, SERIAL},
};

#[test]
fn vfio_must_be_loaded() {
    let all = [
        refused(|fake| fake.remove("sys/bus/pci/drivers/vfio-pci")),
        refused(|fake| fake.remove("sys/module/vfio_iommu_type1")),
        refused(|fake| fake.remove("dev/vfio/vfio")),
        refused(|fake| fake.deny("dev/vfio/vfio")),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    error: vfio-pci is not loaded
      help: as root: modprobe vfio-pci
    error: vfio_iommu_type1 is not loaded
      help: as root: modprobe vfio_iommu_type1
    error: opening /dev/vfio/vfio
      caused by: No such file or directory (os error 2)
      help: as root: modprobe vfio; chmod 666 /dev/vfio/vfio
    error: opening /dev/vfio/vfio
      caused by: Permission denied (os error 13)
      help: as root: modprobe vfio; chmod 666 /dev/vfio/vfio
    ");
}

#[test]
fn an_ordinary_user_is_told_what_an_administrator_does_once() {
    insta::assert_snapshot!(refused(Fake::ordinary_user), @r"
    error: this user may not bind 0000:01:00.0 to vfio-pci
      caused by: Permission denied (os error 13)
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

/// After the administrator's commands: vfio-pci has the controller, and the user its group.
fn given_to_a_user(fake: &Fake) {
    fake.ordinary_user();
    fake.user(1000, "0000000000000000", "1099511627776");
    let device = format!("sys/bus/pci/devices/{ADDRESS}");
    fake.remove(&format!("{device}/nvme"));
    fake.remove(&format!("{device}/driver"));
    fake.link(&format!("{device}/driver"), "../../drivers/vfio-pci");
    fake.file("dev/vfio/14", "");
}

#[test]
fn a_controller_that_an_administrator_bound_is_used_as_it_is() {
    let fake = Fake::new();
    given_to_a_user(&fake);
    let ready = checked(&fake, "vfio:01:00.0", Some("ANY")).unwrap();
    // Nobody but the guest can ask for it.
    assert_eq!(ready.serial(), &Serial::ForTheGuest("ANY".into()));
    assert_eq!(ready.geometry(), None);
    assert!(
        ready.data()[0].starts_with("whatever is on it"),
        "{ready:?}"
    );
    drop(ready);
    let all = [
        refused_with(&fake, "vfio:01:00.0", None),
        refused(|fake| {
            given_to_a_user(fake);
            fake.busy("14");
        }),
        refused(|fake| {
            given_to_a_user(fake);
            fake.deny("dev/vfio/14");
        }),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    error: nobody confirmed that all data on 0000:01:00.0 may be destroyed
      help: if all of it may be destroyed, add --erase SERIAL
    error: 0000:01:00.0 is in use: another program has /dev/vfio/14
      help: end the virtual machine that has it; or choose another device
    error: opening /dev/vfio/14
      caused by: Permission denied (os error 13)
      help: as root, once:
          chown 1000 /dev/vfio/14
    ");
}

#[test]
fn the_guests_memory_must_be_lockable() {
    let limited = |fake: &Fake, hard: &str| {
        given_to_a_user(fake);
        let limits = format!("Max locked memory         65536   {hard}   bytes\n");
        fake.file("proc/self/limits", &limits);
    };
    let all = [
        refused(|fake| limited(fake, "65536")),
        refused(|fake| limited(fake, "unlimited")),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    error: this user may lock 64 KiB of memory, and the guest needs 1048832
      help: as root: echo ':1000 - memlock 1048832' > /etc/security/limits.d/diorama.conf; then log in again
    error: this user may lock 64 KiB of memory, and the guest needs 1048832
      help: ulimit -l 1048832
    ");
    let fake = Fake::new();
    fake.user(0, "000001ffffffffff", "65536");
    checked(&fake, "vfio:01:00.0", Some(SERIAL)).unwrap();
}
