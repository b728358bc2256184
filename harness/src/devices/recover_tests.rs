//! What a harness could not give back, the next one does.

use super::{
    Bound, Outcome, recover,
    steps_testing::{bind, entries, ready},
    testing::{ADDRESS, Fake},
};
use crate::error::Exit;

/// What a process that is killed leaves: nothing is given back, its locks are gone.
fn kill(fake: &Fake, bound: Bound) {
    fake.state().writes_left = Some(0);
    drop(bound);
    fake.state().writes_left = None;
    fake.alive(4711, false);
    fake.alive(4712, true);
}

fn outcomes(fake: &Fake) -> Vec<Outcome> {
    let all = recover(&fake.host(), &fake.journal());
    all.into_iter().map(|recovered| recovered.outcome).collect()
}

/// After every single write, while binding and while giving back.
#[test]
fn wherever_a_process_is_killed_the_next_one_gives_the_device_back() {
    let mut killed = 0;
    for writes in 0..6 {
        let fake = Fake::new();
        let before = fake.sysfs();
        fake.state().writes_left = Some(writes);
        // Whatever it tries after that, it cannot: as if it had been killed there.
        match ready(&fake).bind(&fake.journal()) {
            Err(_) => killed += 1,
            Ok(bound) => drop(bound.restore().unwrap_err()),
        }
        fake.state().writes_left = None;
        assert_eq!(entries(&fake), 1, "after {writes} writes");
        fake.alive(4711, false);
        fake.alive(4712, true);
        let outcomes = outcomes(&fake);
        assert!(
            matches!(&outcomes[..], [Outcome::Restored(Some(driver))] if driver == "nvme"),
            "after {writes} writes: {outcomes:?}"
        );
        assert_eq!(fake.sysfs(), before, "after {writes} writes");
        assert_eq!(entries(&fake), 0);
    }
    assert_eq!(killed, 3, "the other half while giving back");
}

#[test]
fn a_device_whose_harness_lives_is_left_alone() {
    let fake = Fake::new();
    let bound = bind(&fake);
    let writes = fake.state().writes.len();
    let words = |outcomes: Vec<Outcome>| match &outcomes[..] {
        [Outcome::InUse(who)] => who.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(words(outcomes(&fake)), "process 4711");
    // One that cannot be seen from here (another PID namespace) still has the lease.
    fake.alive(4711, false);
    let this = format!("process {} ", std::process::id());
    assert!(words(outcomes(&fake)).starts_with(&this));
    assert_eq!(fake.state().writes.len(), writes);
    bound.restore().unwrap();
}

#[test]
fn an_id_that_another_process_has_now_is_not_its_owner() {
    let fake = Fake::new();
    let bound = bind(&fake);
    kill(&fake, bound);
    fake.file(
        "proc/4711/stat",
        "4711 (other) S 1 1 1 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 999 0 0\n",
    );
    assert!(matches!(outcomes(&fake)[..], [Outcome::Restored(_)]));
}

#[test]
fn entries_with_nothing_to_give_back_go_and_the_device_is_left_alone() {
    let lost = || {
        let fake = Fake::new();
        let bound = bind(&fake);
        kill(&fake, bound);
        fake.state().writes.clear();
        fake
    };
    let mut whys = Vec::new();
    let mut void = |fake: &Fake| match &outcomes(fake)[..] {
        [Outcome::Void(why)] => {
            whys.push(why.clone());
            assert!(fake.state().writes.is_empty());
            assert_eq!(entries(fake), 0);
        }
        other => panic!("{other:?}"),
    };
    let fake = lost();
    fake.file("proc/sys/kernel/random/boot_id", "boot-2\n");
    void(&fake);
    let fake = lost();
    fake.remove(&format!("sys/bus/pci/devices/{ADDRESS}"));
    void(&fake);
    let fake = lost();
    let driver = format!("sys/bus/pci/devices/{ADDRESS}/driver");
    fake.remove(&driver);
    fake.link(&driver, "../../drivers/uio_pci_generic");
    void(&fake);
    insta::assert_snapshot!(whys.join("\n"), @r"
    the host was restarted since
    it is no longer there
    it was given to uio_pci_generic meanwhile
    ");
}

#[test]
fn what_cannot_be_given_back_stays_in_the_journal_and_is_said() {
    let fake = Fake::new();
    let bound = bind(&fake);
    fake.remove("sys/bus/pci/drivers/nvme");
    let error = bound.restore().unwrap_err();
    assert_eq!(error.exit(), Exit::Host);
    insta::assert_snapshot!(fake.shown(&error.render()), @r"
    error: giving 0000:01:00.0 back to nvme
      caused by: 0000:01:00.0 does not bind to nvme: no driver has it
      caused by: writing to /sys/bus/pci/drivers/nvme/bind
      caused by: No such file or directory (os error 2)
      help: `dmesg` says what the driver found; then run `diorama devices restore` as root
    ");
    assert_eq!(entries(&fake), 1);
    // Nor is it used meanwhile, as it says to whom it belongs.
    fake.dir_at("sys/bus/pci/drivers/nvme");
    let bind_again = || {
        let driver = format!("sys/bus/pci/devices/{ADDRESS}/driver");
        assert!(!fake.path(&driver).exists());
        ready(&fake).bind(&fake.journal()).unwrap_err().render()
    };
    let text = bind_again();
    assert!(text.contains("has not been given back"), "{text}");
    fake.alive(4711, false);
    assert!(matches!(outcomes(&fake)[..], [Outcome::Restored(_)]));
}

#[test]
fn an_entry_that_cannot_be_read_is_said_and_kept() {
    let fake = Fake::new();
    fake.file(&format!("bound/{ADDRESS}.json"), "{}");
    match &outcomes(&fake)[..] {
        [Outcome::Failed(error)] => {
            insta::assert_snapshot!(fake.shown(&error.render()), @r"
            error: /bound/0000:01:00.0.json cannot be read
              caused by: missing field `version` at line 1 column 2
              help: give 0000:01:00.0 back to its driver by hand, then remove this file
            ");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(entries(&fake), 1);
}
