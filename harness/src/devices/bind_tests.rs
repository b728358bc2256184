//! Binding a device, and giving it back.

use super::{
    Confirm, HostDevice, Target, preflight,
    steps_testing::{bind, driver, entries, ready},
    testing::{ADDRESS, Fake, SERIAL},
};
use rustix::io::Errno;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

#[test]
fn a_device_is_bound_and_given_back_as_it_was() {
    let fake = Fake::new();
    let before = fake.sysfs();
    let bound = bind(&fake);
    assert_eq!(driver(&fake).as_deref(), Some("vfio-pci"));
    assert!(matches!(bound.target(), Target::Vfio { group, .. } if group == "14"));
    bound.restore().unwrap();
    assert_eq!(fake.sysfs(), before);
    assert_eq!(entries(&fake), 0);
    insta::assert_snapshot!(fake.state().writes.join("\n"), @r"
    sys/bus/pci/devices/0000:01:00.0/driver_override <- vfio-pci
    sys/bus/pci/devices/0000:01:00.0/driver/unbind <- 0000:01:00.0
    sys/bus/pci/drivers_probe <- 0000:01:00.0
    sys/bus/pci/devices/0000:01:00.0/driver_override <- 
    sys/bus/pci/devices/0000:01:00.0/driver/unbind <- 0000:01:00.0
    sys/bus/pci/drivers_probe <- 0000:01:00.0
    ");
}

#[test]
fn a_device_that_is_dropped_is_given_back_and_so_is_its_override() {
    let fake = Fake::new();
    let attribute = format!("sys/bus/pci/devices/{ADDRESS}/driver_override");
    fake.file(&attribute, "nvme\n");
    let before = fake.sysfs();
    drop(bind(&fake));
    assert_eq!(fake.sysfs(), before);
    // One that no driver had.
    let driver = format!("sys/bus/pci/devices/{ADDRESS}/driver");
    fake.remove(&driver);
    fake.remove(&format!("sys/bus/pci/devices/{ADDRESS}/nvme"));
    fake.file(&attribute, "\n");
    let bound = bind(&fake);
    assert!(fake.path(&driver).is_symlink());
    bound.restore().unwrap();
    assert!(!fake.path(&driver).is_symlink());
}

#[test]
fn the_journal_is_on_the_disk_before_anything_is_written_and_as_long_as_the_device_is_bound() {
    let fake = Fake::new();
    let entry = fake.path(&format!("bound/{ADDRESS}.json"));
    let writes = Arc::new(AtomicUsize::new(0));
    let (count, path) = (writes.clone(), entry.clone());
    fake.state().before_write = Some(Box::new(move |what| {
        assert!(path.is_file(), "{what}");
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let bound = bind(&fake);
    assert!(entry.is_file());
    let text = fs::read_to_string(&entry).unwrap();
    insta::assert_snapshot!(text, @r#"
    {
      "version": 1,
      "address": "0000:01:00.0",
      "driver": "nvme",
      "driver_override": null,
      "namespaces": 1,
      "owner": {
        "pid": 4711,
        "started": 471100,
        "boot_id": "boot-1"
      }
    }
    "#);
    bound.restore().unwrap();
    assert!(!entry.exists());
    assert_eq!(writes.load(Ordering::SeqCst), 6);
}

#[test]
fn probes_without_effect_are_repeated() {
    let fake = Fake::new();
    fake.state().deaf_probes = 2;
    let bound = bind(&fake);
    assert_eq!(driver(&fake).as_deref(), Some("vfio-pci"));
    assert!(!fake.state().waited.is_zero());
    fake.state().deaf_probes = 2;
    bound.restore().unwrap();
    assert_eq!(driver(&fake).as_deref(), Some("nvme"));
}

#[test]
fn what_does_not_bind_has_its_driver_again() {
    let fake = Fake::new();
    let before = fake.sysfs();
    fake.state().vfio_refuses = Some(Errno::INVAL);
    let error = ready(&fake).bind(&fake.journal()).unwrap_err();
    insta::assert_snapshot!(fake.shown(&error.render()), @r"
    error: binding 0000:01:00.0 to vfio-pci
      caused by: 0000:01:00.0 does not bind to vfio-pci: no driver has it
      caused by: writing to /sys/bus/pci/drivers/vfio-pci/bind
      caused by: Invalid argument (os error 22)
      help: `dmesg` says what the driver found
    ");
    assert_eq!(fake.sysfs(), before);
    assert_eq!(entries(&fake), 0);
    // A group that does not open.
    fake.state().vfio_refuses = None;
    fake.deny("dev/vfio/14");
    let error = ready(&fake).bind(&fake.journal()).unwrap_err();
    assert!(error.render().contains("Permission denied"), "{error:?}");
    assert_eq!(fake.sysfs(), before);
}

#[test]
fn what_came_into_use_after_the_preflight_is_not_bound() {
    let changes: [fn(&Fake); 3] = [
        |fake| fake.dir_at("sys/block/nvme0n1/holders/dm-0"),
        |fake| fake.function("0000:01:00.1", "0x020000", 14, "igb"),
        |fake| {
            let driver = format!("sys/bus/pci/devices/{ADDRESS}/driver");
            fake.remove(&driver);
            fake.link(&driver, "../../drivers/vfio-pci");
        },
    ];
    let mut refusals = Vec::new();
    for change in changes {
        let fake = Fake::new();
        let ready = ready(&fake);
        change(&fake);
        refusals.push(ready.bind(&fake.journal()).unwrap_err().to_string());
        assert!(fake.state().writes.is_empty());
        assert_eq!(entries(&fake), 0);
    }
    insta::assert_snapshot!(refusals.join("\n"), @r"
    0000:01:00.0 is in use: nvme0n1 is held by dm-0
    0000:01:00.0 shares IOMMU group 14 with 0000:01:00.1 (igb)
    0000:01:00.0 was checked while nvme had it, and now vfio-pci has it
    ");
}

#[test]
fn a_device_that_vfio_pci_had_before_is_left_to_it() {
    let fake = Fake::new();
    let device = format!("sys/bus/pci/devices/{ADDRESS}");
    fake.remove(&format!("{device}/driver"));
    fake.remove(&format!("{device}/nvme"));
    fake.link(&format!("{device}/driver"), "../../drivers/vfio-pci");
    fake.file("dev/vfio/14", "");
    let bound = bind(&fake);
    assert_eq!(entries(&fake), 0);
    bound.restore().unwrap();
    assert_eq!(driver(&fake).as_deref(), Some("vfio-pci"));
    assert!(fake.state().writes.is_empty());
}

#[test]
fn a_disk_is_claimed_as_long_as_it_is_used() {
    let fake = Fake::new();
    fake.file("sys/block/nvme0n1/device/serial", &format!("{SERIAL}\n"));
    let device = HostDevice::Disk(fake.path("dev/nvme0n1"));
    let confirm = Confirm {
        erase: Some(SERIAL),
    };
    let check = || preflight(&fake.host(), &device, &confirm, 1 << 30);
    let bound = check().unwrap().bind(&fake.journal()).unwrap();
    assert_eq!(bound.target(), &Target::Disk(fake.path("dev/nvme0n1")));
    assert!(check().is_err(), "another harness");
    bound.restore().unwrap();
    check().unwrap();
    assert!(fake.state().writes.is_empty());
}
