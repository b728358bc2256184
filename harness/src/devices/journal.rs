//! The journal of bound devices: what has to be given back, however this process ends. An entry is on
//! the disk before the first byte is written to sysfs, and goes when the device has its driver again.
//!
//! ```text
//! <cache>/bound/<address>.json
//! ```

use super::{owner::Owner, word::PciAddress};
use crate::{
    error::{Error, Result},
    files,
    store::{JOURNAL, Store, real_directory},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Of an entry. Another version's is left to that version.
const VERSION: u32 = 1;

/// The journal.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
}

/// What is known about a device that was bound to vfio-pci.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    version: u32,
    /// The device.
    pub address: PciAddress,
    /// The driver that had it; none if none had.
    pub driver: Option<String>,
    /// Its `driver_override`, if one was set.
    pub driver_override: Option<String>,
    /// How many namespaces it had.
    pub namespaces: usize,
    /// Who bound it.
    pub owner: Owner,
}

impl Entry {
    /// An entry for a device of this owner.
    #[must_use]
    pub fn new(address: PciAddress, driver: Option<String>, owner: Owner) -> Entry {
        Entry {
            version: VERSION,
            address,
            driver,
            driver_override: None,
            namespaces: 0,
            owner,
        }
    }

    /// Whether it is one that this version wrote: names in it become part of paths.
    fn makes_sense(&self, address: PciAddress) -> bool {
        let name = |name: &String| {
            !name.contains(['/', '\n', '\0']) && !["", ".", ".."].contains(&name.as_str())
        };
        self.version == VERSION
            && self.address == address
            && self.driver.iter().chain(&self.driver_override).all(name)
    }
}

impl Journal {
    /// The journal in a cache.
    #[must_use]
    pub fn of(store: &Store) -> Journal {
        Journal::at(store.root().join(JOURNAL))
    }

    /// The journal in a directory, which is made when it is needed.
    #[must_use]
    pub fn at(dir: PathBuf) -> Journal {
        Journal { dir }
    }

    fn path(&self, address: PciAddress) -> PathBuf {
        self.dir.join(format!("{address}.json"))
    }

    /// Writes an entry. It is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written, or when there is one already: it says to whom the device belongs.
    pub fn write(&self, entry: &Entry) -> Result<()> {
        let path = self.path(entry.address);
        real_directory(&self.dir)?;
        sync(self.dir.parent().unwrap_or(Path::new("/")))?;
        if fs::symlink_metadata(&path).is_ok() {
            let (address, path) = (entry.address, path.display());
            return Err(Error::host(format!(
                "{address} was bound before and has not been given back: {path}"
            ))
            .hint("run `diorama devices restore`"));
        }
        let mut json = serde_json::to_vec_pretty(entry)
            .map_err(|e| Error::internal("writing JSON").because(e))?;
        json.push(b'\n');
        files::write_atomically(&path, &json)?;
        sync(&self.dir)
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, address: PciAddress) -> Result<()> {
        let path = self.path(address);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("removing", &path, e)),
            _ => sync(&self.dir),
        }
    }

    /// All entries, by address; an error stands for one that cannot be read.
    ///
    /// # Errors
    /// When the directory cannot be read. There need not be one.
    pub fn entries(&self) -> Result<Vec<(PciAddress, Result<Entry>)>> {
        let reading = |e| Error::io("reading", &self.dir, e);
        match fs::symlink_metadata(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(reading(e)),
            // Refuses a link.
            Ok(_) => real_directory(&self.dir)?,
        }
        let dir = fs::read_dir(&self.dir).map_err(reading)?;
        let mut addresses = Vec::new();
        for entry in dir {
            let name = entry.map_err(reading)?.file_name();
            // What else is there was being written when its writer died.
            let name = name.to_string_lossy();
            let address = name.strip_suffix(".json").map(str::parse::<PciAddress>);
            addresses.extend(address.and_then(|address| address.ok()));
        }
        addresses.sort_unstable();
        let read = |address| Some((address, self.read(address)?));
        Ok(addresses.into_iter().filter_map(read).collect())
    }

    /// A device's entry; none where it has none, or its owner has just given the device back.
    #[must_use]
    pub fn read(&self, address: PciAddress) -> Option<Result<Entry>> {
        let path = self.path(address);
        match files::read(&path, files::TEXT) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => Some(Err(Error::io("reading", &path, e))),
            Ok(json) => Some(parse(&json, address, &path)),
        }
    }
}

fn parse(json: &[u8], address: PciAddress, path: &Path) -> Result<Entry> {
    let bad = || {
        Error::input(format!("{} cannot be read", path.display())).hint(format!(
            "give {address} back to its driver by hand, then remove this file"
        ))
    };
    let entry: Entry = serde_json::from_slice(json).map_err(|e| bad().because(e))?;
    if entry.makes_sense(address) {
        Ok(entry)
    } else {
        Err(bad())
    }
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| Error::io("flushing", dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let owner = Owner {
            pid: 1,
            started: 2,
            boot_id: "b".into(),
        };
        Entry::new("01:00.0".parse().unwrap(), Some("nvme".into()), owner)
    }

    #[test]
    fn an_entry_is_written_once_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::at(dir.path().join("bound"));
        let entry = entry();
        assert!(journal.entries().unwrap().is_empty());
        journal.write(&entry).unwrap();
        let again = journal.write(&entry).unwrap_err().render();
        assert!(again.contains("has not been given back"), "{again}");
        let entries = journal.entries().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].1.as_ref().unwrap(), &entry);
        journal.remove(entry.address).unwrap();
        assert!(journal.entries().unwrap().is_empty());
    }

    #[test]
    fn an_entry_that_makes_no_sense_is_an_error_and_never_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::at(dir.path().to_owned());
        let good = serde_json::to_string(&entry()).unwrap();
        for bad in [
            "",
            &good[..20],
            &good.replace("nvme\"", "../../../../tmp/x\""),
            &good.replace("\"version\":1", "\"version\":2"),
            &good.replace("0000:01:00.0", "0000:02:00.0"),
            &good.replace("\"pid\"", "\"uid\""),
        ] {
            fs::write(dir.path().join("0000:01:00.0.json"), bad).unwrap();
            let entries = journal.entries().unwrap();
            assert!(entries[0].1.is_err(), "{bad}");
        }
        // A link leads to somebody else's.
        let link = Journal::at(dir.path().join("link"));
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        assert!(link.entries().is_err() && link.write(&entry()).is_err());
        // A writer died.
        fs::write(dir.path().join(".writing-x"), "{").unwrap();
        assert_eq!(journal.entries().unwrap().len(), 1);
    }
}
