//! Giving back what earlier harnesses could not: they were killed, or the kernel refused.

use super::{
    bound::{leased_file, undo},
    driver::GivenBack,
    host::Host,
    journal::{Entry, Journal},
    lease::Lease,
    owner::Fate,
    word::PciAddress,
};
use crate::{
    error::{Error, Result},
    store,
};

/// What came of an entry of the journal.
#[derive(Debug)]
pub struct Recovered {
    /// The device; none where the journal itself could not be read.
    pub address: Option<PciAddress>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of giving a device back.
#[derive(Debug)]
pub enum Outcome {
    /// This driver has it again; none where none had it.
    Restored(Option<String>),
    /// It belongs to a harness that lives, and was left alone: "process 4711".
    InUse(String),
    /// There was nothing to give back, and why.
    Void(String),
    /// It could not be given back.
    Failed(Error),
}

/// Gives back every device whose harness has ended. What belongs to one that lives is left alone.
#[must_use]
pub fn recover(host: &Host, journal: &Journal) -> Vec<Recovered> {
    let entries = match journal.entries() {
        Ok(entries) => entries,
        Err(error) => {
            return vec![Recovered {
                address: None,
                outcome: Outcome::Failed(error),
            }];
        }
    };
    let one = |(address, entry): (PciAddress, Result<Entry>)| Recovered {
        address: Some(address),
        outcome: entry
            .and_then(|entry| recover_one(host, journal, &entry))
            .unwrap_or_else(Outcome::Failed),
    };
    entries.into_iter().map(one).collect()
}

fn recover_one(host: &Host, journal: &Journal, entry: &Entry) -> Result<Outcome> {
    let void = |why: &str| {
        journal.remove(entry.address)?;
        Ok(Outcome::Void(why.to_owned()))
    };
    match entry.owner.fate(host) {
        Fate::Lives => return Ok(Outcome::InUse(format!("process {}", entry.owner.pid))),
        Fate::Restarted => return void("the host was restarted since"),
        Fate::Ended => {}
    }
    let file = leased_file(host, entry.address);
    if !file.exists() {
        return void("it is no longer there");
    }
    let Some(_lease) = Lease::attempt(host, &file)? else {
        return Ok(Outcome::InUse(store::lock_holder(&file)));
    };
    // Before we had the lease, another harness may have given it back, and a third bound it again.
    match journal.read(entry.address) {
        Some(Ok(now)) if now == *entry => {}
        _ => return Ok(Outcome::Void("it was given back meanwhile".into())),
    }
    Ok(match undo(host, journal, entry)? {
        GivenBack::Yes => Outcome::Restored(entry.driver.clone()),
        GivenBack::Void(why) => Outcome::Void(why),
    })
}
