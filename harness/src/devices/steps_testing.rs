//! The steps that tests take with a simulated host's controller.

use super::{
    Bound, Confirm, HostDevice, Ready, preflight,
    testing::{Fake, SERIAL, address},
};
use crate::error::{Exit, Result};

/// What the preflight says: a path is one of this host's.
pub fn checked(fake: &Fake, word: &str, erase: Option<&str>) -> Result<Ready> {
    let device: HostDevice = match word.strip_prefix("/dev/") {
        Some(name) => HostDevice::Disk(fake.path(&format!("dev/{name}"))),
        None => word.parse().unwrap(),
    };
    preflight(&fake.host(), &device, &Confirm { erase }, 1 << 30)
}

/// A refusal, rendered.
pub fn refused_with(fake: &Fake, word: &str, erase: Option<&str>) -> String {
    match checked(fake, word, erase) {
        Err(error) => {
            assert!(matches!(error.exit(), Exit::Input | Exit::Host));
            fake.shown(&error.render())
        }
        Ok(ready) => panic!("{ready:?}"),
    }
}

/// The controller, checked.
pub fn ready(fake: &Fake) -> Ready {
    let confirm = Confirm {
        erase: Some(SERIAL),
    };
    preflight(
        &fake.host(),
        &HostDevice::Vfio(address()),
        &confirm,
        1 << 30,
    )
    .unwrap()
}

/// The same, bound.
pub fn bind(fake: &Fake) -> Bound {
    ready(fake).bind(&fake.journal()).unwrap()
}

/// Who has it.
pub fn driver(fake: &Fake) -> Option<String> {
    fake.host().driver(address())
}

/// How many entries the journal has.
pub fn entries(fake: &Fake) -> usize {
    fake.journal().entries().unwrap().len()
}

/// The refusal of the controller that every such host has, its serial number confirmed.
pub fn refused(change: impl FnOnce(&Fake)) -> String {
    let fake = Fake::new();
    change(&fake);
    refused_with(&fake, "vfio:01:00.0", Some(SERIAL))
}
