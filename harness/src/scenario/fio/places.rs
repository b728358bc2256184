//! Which part of a file a job asks for: its options read (pure).

use super::checker::Checker;
use super::region::{Amount, Region};

impl Checker<'_> {
    /// Reads the options.
    pub(super) fn region(&mut self) -> Option<Region> {
        let wanted = "a number of bytes, such as 64m, or a share, such as 10%";
        let mut optional = |names: &[&str]| match self.job.get(names) {
            None => Some(None),
            Some(_) => {
                let read = |text: &str| Amount::read(text);
                self.read(names, Amount::Bytes(0), read, wanted).map(Some)
            }
        };
        let (size, file) = (optional(&["size"]), optional(&["filesize"]));
        let moved = optional(&["io_size", "io_limit"]);
        let offset = self.offset(&["offset", "fileoffset"]);
        let increment = self.offset(&["offset_increment"]);
        let (size, file) = (size?, file?);
        for (name, value) in [("size", size), ("filesize", file)] {
            if value == Some(Amount::Bytes(0)) {
                let line = self.job.get(&[name]).map_or(1, |s| s.line);
                let why = "there is nothing to read or write";
                self.refuse(line, &format!("{name}=0"), why, format!("use {name}=64m"));
                return None;
            }
        }
        let region = Region {
            offset: offset?,
            increment: increment?,
            size,
            file,
            moved: moved?.filter(|moved| *moved != Amount::Bytes(0)),
        };
        if !self.job.on(&["file_append"]) {
            return Some(region);
        }
        if let Some(setting) = self.job.get(&["filesize"]) {
            let why = "with file_append fio would extend the file to it first";
            self.refuse(setting.line, "filesize", why, "use size alone");
            return None;
        }
        if !matches!(size, Some(Amount::Bytes(_))) {
            let line = self.job.get(&["file_append"]).map_or(1, |s| s.line);
            let why = "how much is appended must be known";
            self.refuse(line, "file_append", why, "add a size in bytes: size=16m");
            return None;
        }
        // fio begins at the file's end, whatever the offset.
        Some(Region {
            offset: Amount::Bytes(0),
            increment: Amount::Bytes(0),
            ..region
        })
    }

    fn offset(&mut self, names: &[&str]) -> Option<Amount> {
        let sector = u64::from(self.sector);
        let aligned = |text: &str| {
            Amount::read(text)
                .filter(|n| !matches!(n, Amount::Bytes(n) if !n.is_multiple_of(sector)))
        };
        let wanted = format!("a multiple of {sector} bytes, the drive's block, or a share");
        self.read(names, Amount::Bytes(0), aligned, &wanted)
    }
}
