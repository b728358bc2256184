//! Where what the guests hand back goes: a directory of the run directory's for each cell.

use super::consoles;
use crate::{
    error::{Error, Result},
    vm::Spec,
};
use diorama_wire::ARTIFACTS_TAG;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Name of the directory in results/<run-id>/.
const DIR: &str = "artifacts";

/// Where a run's artifacts go.
#[derive(Clone, Debug)]
pub struct Artifacts {
    dir: PathBuf,
}

impl Artifacts {
    /// In a run directory.
    #[must_use]
    pub fn in_run(run: &Path) -> Artifacts {
        Artifacts { dir: run.join(DIR) }
    }

    /// A machine whose guest may hand files back, with a new directory for them; any other as it is.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn place(of: Option<&Artifacts>, spec: &Spec, guest: &str) -> Result<Spec> {
        let mut spec = spec.clone();
        let share = spec.shares.iter_mut().find(|s| s.tag == ARTIFACTS_TAG);
        if let (Some(artifacts), Some(share)) = (of, share) {
            share.dir = artifacts.directory(guest)?;
        }
        Ok(spec)
    }

    /// `<guest>`, or `<guest>-2` for a second try, and so on.
    fn directory(&self, guest: &str) -> Result<PathBuf> {
        // Not its parents: a run directory that went away is not made again.
        make(&self.dir).or_else(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(Error::io("creating", &self.dir, e)),
        })?;
        let stem = consoles::stem(guest);
        let mut path = self.dir.join(&stem);
        let mut n = 1;
        loop {
            match make(&path) {
                Ok(()) => return Ok(path),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    n += 1;
                    path = self.dir.join(format!("{stem}-{n}"));
                }
                Err(e) => return Err(Error::io("creating", &path, e)),
            }
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_has_a_directory_and_a_second_try_its_own() {
        let run = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::in_run(run.path());
        let made = ["7.2/ext4/a", "7.2/ext4/a", "../../x"].map(|guest| {
            let path = artifacts.directory(guest).unwrap();
            let below = path.strip_prefix(run.path().join(DIR)).unwrap();
            below.display().to_string()
        });
        assert_eq!(made, ["7.2-ext4-a", "7.2-ext4-a-2", "..-..-x"]);
        let gone = Artifacts::in_run(&run.path().join("gone"));
        assert!(gone.directory("a").is_err());
    }
}
