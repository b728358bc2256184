//! How long a job's files must be, so that fio finds them long enough (pure).
//!
//! fio's rule is in `setup_files` and `get_start_offset` (filesetup.c): a file shorter than where a
//! job's part of it ends is removed and laid out anew, by fio, through the page cache.

use super::Checker;

/// Files are audited in whole blocks of this many bytes. A file longer than a job's part is fio's
/// to leave alone.
const WHOLE: u64 = 4096;

/// The part of a file that a job uses, by fio's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// `offset`, in bytes.
    offset: u64,
    /// `offset_increment`: so many bytes further in each clone.
    increment: u64,
    /// `size`, in bytes.
    size: Option<u64>,
    /// `filesize`, in bytes.
    file: Option<u64>,
}

impl Region {
    /// The length that the file of the `clone`th clone must have, in bytes; None when it exceeds
    /// what can be counted, or the part begins behind the file's end.
    pub(super) fn length(&self, clone: u64) -> Option<u64> {
        let start = self.increment.checked_mul(clone)?;
        let start = start.checked_add(self.offset)?;
        let end = match (self.file, self.size) {
            (Some(file), _) => (start < file).then_some(file)?,
            (None, size) => start.checked_add(size?)?,
        };
        end.checked_next_multiple_of(WHOLE)
    }
}

impl Checker<'_> {
    /// Reads the four options.
    pub(super) fn region(&mut self) -> Option<Region> {
        let wanted = "a number of bytes, such as 64m";
        let mut optional = |name: &str| match self.job.get(&[name]) {
            None => Some(None),
            Some(_) => self.read(&[name], 0, super::ini::bytes, wanted).map(Some),
        };
        let (size, file) = (optional("size"), optional("filesize"));
        let offset = self.offset("offset");
        let increment = self.offset("offset_increment");
        let (size, file) = (size?, file?);
        if size.is_none() && file.is_none() {
            let next = "add the size of the job's file: size=64m";
            self.refuse(1, "size", "it is missing", next);
            return None;
        }
        for (name, value) in [("size", size), ("filesize", file)] {
            if value == Some(0) {
                let line = self.job.get(&[name]).map_or(1, |s| s.line);
                let why = "there is nothing to read or write";
                self.refuse(line, &format!("{name}=0"), why, format!("use {name}=64m"));
                return None;
            }
        }
        if self.job.on(&["file_append"]) {
            if let Some(setting) = self.job.get(&["filesize"]) {
                let why = "with file_append fio would extend the file to it first";
                self.refuse(setting.line, "filesize", why, "use size alone");
                return None;
            }
            // fio begins at the file's end, whatever the offset.
            let (offset, increment) = (0, 0);
            return Some(Region {
                offset,
                increment,
                size,
                file,
            });
        }
        Some(Region {
            offset: offset?,
            increment: increment?,
            size,
            file,
        })
    }

    fn offset(&mut self, name: &str) -> Option<u64> {
        let sector = u64::from(self.sector);
        let aligned = |text: &str| super::ini::bytes(text).filter(|n| n.is_multiple_of(sector));
        let wanted = format!("a number of bytes, a multiple of {sector}, the drive's block");
        self.read(&[name], 0, aligned, &wanted)
    }

    /// Refuses a part that begins behind its file's end, or ends where nobody can count.
    pub(super) fn lengths(&mut self, region: &Region, clones: u64) -> Option<Vec<u64>> {
        let lengths = (0..clones).map(|clone| region.length(clone));
        let lengths: Option<Vec<u64>> = lengths.collect();
        if lengths.is_none() {
            let setting = self
                .job
                .get(&["offset_increment"])
                .or(self.job.get(&["offset"]));
            let line = setting.map_or(1, |s| s.line);
            let why = "a clone of the job would start beyond the end of its file";
            let next = "use a smaller offset, or a larger filesize";
            self.refuse(line, "offset", why, next);
        }
        lengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(offset: u64, increment: u64, size: Option<u64>, file: Option<u64>) -> Region {
        Region {
            offset,
            increment,
            size,
            file,
        }
    }

    /// Each was run by fio 3.33 on a file of that length, and fio left the file alone; one block
    /// shorter, and it made another.
    #[test]
    fn a_file_is_as_long_as_fio_wants_it() {
        const M: u64 = 1 << 20;
        assert_eq!(region(0, 0, Some(M), None).length(0), Some(M));
        assert_eq!(region(M / 2, 0, Some(M), None).length(0), Some(M / 2 * 3));
        let clones = region(4096, M, Some(M), None);
        let lengths: Vec<_> = (0..3).map(|i| clones.length(i).unwrap()).collect();
        assert_eq!(lengths, [M + 4096, 2 * M + 4096, 3 * M + 4096]);
        assert_eq!(region(0, 0, Some(M / 2), Some(M)).length(0), Some(M));
        assert_eq!(region(M / 2, 0, Some(M), Some(M)).length(0), Some(M));
        assert_eq!(region(0, 0, None, Some(M)).length(0), Some(M));
        assert_eq!(
            region(0, 0, Some(4_000_000), None).length(0),
            Some(4_001_792)
        );
    }

    #[test]
    fn a_part_behind_the_end_has_no_length() {
        assert_eq!(region(8192, 0, None, Some(8192)).length(0), None);
        assert_eq!(region(0, 4096, Some(4096), Some(8192)).length(2), None);
        assert_eq!(region(u64::MAX - 511, 0, Some(4096), None).length(0), None);
        assert_eq!(region(0, u64::MAX / 2, Some(4096), None).length(9), None);
    }
}
