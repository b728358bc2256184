//! How long a job's files must be, so that fio finds them long enough (pure).
//!
//! fio's rule is in `setup_files` and `get_start_offset` (filesetup.c): a file shorter than where a
//! job's part of it ends is removed and laid out anew, by fio, through the page cache.

use super::ini;

/// Files are audited in whole blocks of this many bytes. A file longer than a job's part is fio's
/// to leave alone.
pub(super) const WHOLE: u64 = 4096;

/// A number of bytes, or a share of the drive or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    Bytes(u64),
    /// Of what the job file does not say: the drive it was written for.
    Percent(u32),
}

impl Amount {
    pub(super) fn read(text: &str) -> Option<Amount> {
        let bytes = || ini::bytes(text).map(Amount::Bytes);
        ini::percent(text).map(Amount::Percent).or_else(bytes)
    }

    /// The bytes that it is of a file of so many.
    pub(super) fn of(self, whole: u64) -> u64 {
        match self {
            Amount::Bytes(bytes) => bytes,
            Amount::Percent(share) => {
                let part = u128::from(whole) * u128::from(share) / 100;
                u64::try_from(part).unwrap_or(whole)
            }
        }
    }

    fn bytes(self) -> u64 {
        self.of(0)
    }
}

/// The part of a file that a job uses, by fio's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// `offset`
    pub(super) offset: Amount,
    /// `offset_increment`: so much further in each clone.
    pub(super) increment: Amount,
    /// `size`
    pub(super) size: Option<Amount>,
    /// `filesize`
    pub(super) file: Option<Amount>,
    /// `io_size`: what is moved, if it is not the part once.
    pub(super) moved: Option<Amount>,
}

impl Region {
    /// Whether its file is as long as the drive, which the job file does not tell.
    pub(super) fn is_relative(&self) -> bool {
        let percent = |amount: Option<Amount>| matches!(amount, Some(Amount::Percent(_)));
        let shares = [
            Some(self.offset),
            Some(self.increment),
            self.size,
            self.file,
        ];
        (self.size.is_none() && self.file.is_none()) || shares.into_iter().any(percent)
    }

    /// What a drive must hold at least for its clones to lie side by side, as far as the job tells.
    pub(super) fn least(&self, clones: u64) -> u64 {
        let reach = self.increment.bytes().saturating_mul(clones);
        let end = self.offset.bytes().saturating_add(reach);
        let size = self.size.map_or(0, Amount::bytes);
        let file = self.file.map_or(0, Amount::bytes);
        end.max(size).max(file)
    }

    /// The same in bytes, on a drive of so many.
    pub(super) fn on(self, drive: u64) -> Region {
        if !self.is_relative() {
            return self;
        }
        let file = self.file.map_or(drive, |file| file.of(drive));
        let bytes = |amount: Amount| Amount::Bytes(amount.of(file) / WHOLE * WHOLE);
        Region {
            offset: bytes(self.offset),
            increment: bytes(self.increment),
            size: self.size.map(bytes),
            file: Some(bytes(Amount::Bytes(file))),
            moved: self.moved.map(bytes),
        }
    }

    /// The length that the file of the `clone`th clone must have, in bytes; None when it exceeds
    /// what can be counted, or the part begins behind the file's end.
    pub(super) fn length(&self, clone: u64) -> Option<u64> {
        let start = self.increment.bytes().checked_mul(clone)?;
        let start = start.checked_add(self.offset.bytes())?;
        let end = match (self.file, self.size) {
            (Some(file), _) => (start < file.bytes()).then_some(file.bytes())?,
            (None, size) => start.checked_add(size?.bytes())?,
        };
        end.checked_next_multiple_of(WHOLE)
    }

    /// Bytes that a clone moves in one loop.
    pub(super) fn moves(&self) -> u64 {
        let part = self.size.or(self.file).map_or(0, Amount::bytes);
        let part = self.file.map_or(part, |file| part.min(file.bytes()));
        self.moved.map_or(part, Amount::bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(offset: u64, increment: u64, size: Option<u64>, file: Option<u64>) -> Region {
        Region {
            offset: Amount::Bytes(offset),
            increment: Amount::Bytes(increment),
            size: size.map(Amount::Bytes),
            file: file.map(Amount::Bytes),
            moved: None,
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

    #[test]
    fn shares_are_of_the_drive_and_offsets_of_the_file() {
        const M: u64 = 1 << 20;
        let whole = Region {
            size: Some(Amount::Percent(10)),
            offset: Amount::Percent(50),
            ..region(0, 0, None, None)
        };
        assert!(whole.is_relative() && region(0, 0, None, None).is_relative());
        let here = whole.on(100 * M);
        assert_eq!(here.length(0), Some(100 * M));
        assert_eq!(
            (here.moves(), here.offset),
            (10 * M / 4096 * 4096, Amount::Bytes(50 * M))
        );
        // A drive on which eight clones lie side by side.
        let clones = Region {
            size: Some(Amount::Percent(100)),
            ..region(0, M, None, None)
        };
        assert_eq!(clones.least(8), 8 * M);
    }
}
