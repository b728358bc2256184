//! The files that fio's jobs use.

use crate::{
    fail::{Fail, Result},
    file::{self, Place, PreparedFile},
    format::MOUNT_POINT,
};
use diorama_wire::{Bound, Engine, FioFile, FsKind, Layout, Rw, Workload};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{MetadataExt as _, symlink},
};

/// Blocks that the preparation writes and the end checks: the largest of a sector to a page (512 to
/// 4096 bytes) of which the file is a whole number.
fn block(size: u64) -> u32 {
    1 << size.trailing_zeros().clamp(9, 12)
}

/// All of them.
pub struct Files {
    all: Vec<(FioFile, Option<PreparedFile>)>,
    /// Whether they are parts of the device.
    parts: bool,
}

impl Files {
    /// Makes those that a run begins with. A part of the device is a link to it.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn lay_out(wanted: &[FioFile], place: &Place) -> Result<Files> {
        let made = wanted.iter().map(|file| {
            let prepared = match file.layout {
                // fio removes a file that it extends, and makes it itself.
                Layout::Extending => None,
                _ => Some(make(file, place)?),
            };
            Ok((file.clone(), prepared))
        });
        Ok(Files {
            all: made.collect::<Result<_>>()?,
            parts: *place != Place::Mounted,
        })
    }

    /// Brings every file back to the state that a run begins with.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn lay_again(&self) -> Result<()> {
        for (file, prepared) in &self.all {
            if let Some(prepared) = prepared {
                prepared.lay_again()?;
                continue;
            }
            let path = path(file);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Fail::os(format_args!("remove {path}"), &e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses a run over other files than those that were laid out: fio removes a file that it finds
    /// too short, and lays out its own.
    ///
    /// # Errors
    /// Says which, and `when`.
    pub fn refuse_replaced(&self, when: &str) -> Result<()> {
        let mut prepared = self
            .all
            .iter()
            .filter_map(|(_, prepared)| prepared.as_ref());
        prepared.try_for_each(|file| file.refuse_replaced(when))
    }

    /// The files at the paths, by inode.
    pub fn inodes(&self) -> BTreeSet<u64> {
        let there = self
            .all
            .iter()
            .filter_map(|(file, _)| fs::metadata(path(file)).ok());
        there.map(|there| there.ino()).collect()
    }

    /// Refuses files that nobody laid out or audited. To be called when all is measured, since it
    /// moves a directory's time of access.
    ///
    /// # Errors
    /// Names the first of them.
    pub fn refuse_others(&self) -> Result<()> {
        let reading = |e: io::Error| Fail::os(format_args!("read {MOUNT_POINT}"), &e);
        for entry in fs::read_dir(MOUNT_POINT).map_err(reading)? {
            let name = entry.map_err(reading)?.file_name();
            let known = |file: &FioFile| *name == *file.name;
            let made = FsKind::ALL.iter().flat_map(|kind| kind.facts().own);
            if !made.into_iter().any(|own| name == **own)
                && !self.all.iter().any(|(file, _)| known(file))
            {
                return Err(Fail::wrong(format!(
                    "fio made {}, a file that was neither laid out nor checked",
                    name.display()
                )));
            }
        }
        Ok(())
    }

    /// Refuses pages in the page cache; returns how many there are.
    ///
    /// # Errors
    /// When there are any, or nobody can say.
    pub fn refuse_cached(&self, when: &str) -> Result<u64> {
        let mut pages = 0;
        for (file, prepared) in &self.all {
            if let Some(part) = prepared.as_ref().filter(|_| self.parts) {
                pages += part.cached_pages()?;
                continue;
            }
            let path = path(file);
            match fs::File::open(&path) {
                Ok(file) => pages += file::cached_pages(&file)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Fail::os(format_args!("open {path}"), &e)),
            }
        }
        match pages {
            0 => Ok(0),
            n => Err(Fail::wrong(format!(
                "{when} {n} pages of the files are cached"
            ))),
        }
    }

    /// Extents of those that were laid out.
    pub fn extents(&self) -> u32 {
        self.all
            .iter()
            .filter_map(|(_, p)| Some(p.as_ref()?.extents))
            .sum()
    }

    /// Where those are that were laid out.
    pub fn paths(&self) -> Vec<String> {
        let made = self.all.iter().filter(|(_, prepared)| prepared.is_some());
        made.map(|(file, _)| path(file)).collect()
    }

    /// Checks what fio only read: it is as it was laid out. fio's own data is not ours to know.
    /// Returns the number of blocks.
    ///
    /// # Errors
    /// The first wrong block.
    pub fn verify(&self) -> Result<u64> {
        let mut blocks = 0;
        for (file, prepared) in &self.all {
            if let Some(prepared) = prepared.as_ref().filter(|_| file.read_only) {
                blocks += prepared.verify(|_| None)?;
            }
        }
        Ok(blocks)
    }
}

fn path(file: &FioFile) -> String {
    format!("{MOUNT_POINT}/{}", file.name)
}

/// Laid out and audited as our own engine's files are.
fn make(file: &FioFile, place: &Place) -> Result<PreparedFile> {
    let own = Workload {
        layout: file.layout,
        ..Workload::new(
            Engine::Libaio,
            Rw::Read,
            block(file.size),
            1,
            file.size,
            Bound::Ios(1),
        )
    };
    let path = path(file);
    let part = match place {
        Place::Mounted => None,
        Place::Device(node) => {
            symlink(node, &path)
                .map_err(|e| Fail::os(format_args!("make {path} a link to {node}"), &e))?;
            Some(file.at)
        }
    };
    file::prepare_at(&own, &path, part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_whole_number_of_the_blocks_it_is_written_in() {
        assert_eq!(block(64 << 20), 4096);
        assert_eq!(block(5461 * (12 << 10)), 4096);
        // bs = 1536.
        assert_eq!(block(1001 * 1536), 512);
        assert_eq!(block(1002 * 1536), 1024);
        assert_eq!(block(0), 4096);
    }
}
