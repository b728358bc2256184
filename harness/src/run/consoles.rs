//! The guests' consoles, kept in the run directory: one file for each boot and for each cell.

use crate::vm::Stream;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Name of the directory in results/<run-id>/.
const DIR: &str = "console";

/// What is kept of the beginning and of the end of a longer console, in bytes: the kernel's first
/// words, and its last ones with any backtrace.
const HEAD: usize = 64 << 10;
const TAIL: usize = 192 << 10;

/// Where a run's consoles go.
#[derive(Clone, Debug)]
pub struct Consoles {
    dir: PathBuf,
}

impl Consoles {
    /// In a run directory.
    #[must_use]
    pub fn in_run(run: &Path) -> Consoles {
        Consoles { dir: run.join(DIR) }
    }

    /// Keeps a guest's console: it is written when the value returned is dropped, however the
    /// guest's run ends.
    pub(super) fn keep(&self, guest: &str, console: Stream) -> Kept {
        Kept {
            dir: self.dir.clone(),
            stem: stem(guest),
            console,
        }
    }
}

/// A console that will be written.
#[derive(Debug)]
pub(super) struct Kept {
    dir: PathBuf,
    stem: String,
    console: Stream,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut text = self.console.bytes_from(0);
        if text.is_empty() {
            return;
        }
        shorten(&mut text);
        // A log is a convenience, and outcomes carry their console's last lines themselves: a disk
        // that is full is found out, and said, by whatever of the record is written next.
        let _ = write(&self.dir, &self.stem, &text);
    }
}

/// A guest's name as a file's.
pub(super) fn stem(guest: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    guest
        .chars()
        .map(|c| if harmless(c) { c } else { '-' })
        .collect()
}

fn shorten(text: &mut Vec<u8>) {
    if text.len() > HEAD + TAIL {
        let end = text.len() - TAIL;
        let gap = format!("\n[{} bytes omitted]\n", end - HEAD);
        text.splice(HEAD..end, gap.into_bytes());
    }
}

/// Writes `<stem>.log`, or `<stem>-2.log` for a second try, and so on.
fn write(dir: &Path, stem: &str, text: &[u8]) -> io::Result<()> {
    // Not its parents: a run directory that went away is not made again.
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let mut path = dir.join(format!("{stem}.log"));
    let mut n = 1;
    loop {
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        match file {
            Ok(mut file) => return file.write_all(text),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                n += 1;
                path = dir.join(format!("{stem}-{n}.log"));
            }
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_guest_has_its_log_and_a_second_try_its_own() {
        let run = tempfile::tempdir().unwrap();
        let consoles = Consoles::in_run(run.path());
        for guest in ["boot 7.2", "boot 7.2", "7.2/ext4/write-4k", "../../evil"] {
            let console = Stream::new("console").unwrap();
            console.append(b"words\n").unwrap();
            drop(consoles.keep(guest, console));
        }
        drop(consoles.keep("silent", Stream::new("console").unwrap()));
        let dir = run.path().join(DIR);
        assert_eq!(
            names(&dir),
            [
                "..-..-evil.log",
                "7.2-ext4-write-4k.log",
                "boot-7.2-2.log",
                "boot-7.2.log"
            ]
        );
        let text = fs::read_to_string(dir.join("boot-7.2-2.log")).unwrap();
        assert_eq!(text, "words\n");
    }

    #[test]
    fn a_console_without_end_is_kept_in_bounds_with_both_its_ends() {
        let mut text = vec![b'a'; HEAD];
        text.extend(vec![b'b'; 1 << 20]);
        text.extend(vec![b'c'; TAIL]);
        shorten(&mut text);
        assert!(text.len() < HEAD + TAIL + 40);
        assert_eq!((text[HEAD - 1], text[text.len() - TAIL]), (b'a', b'c'));
        let gap = String::from_utf8_lossy(&text[HEAD..text.len() - TAIL]).into_owned();
        assert_eq!(gap, "\n[1048576 bytes omitted]\n");
    }

    #[test]
    fn a_run_directory_that_went_away_stays_away() {
        let run = tempfile::tempdir().unwrap();
        let gone = run.path().join("gone");
        assert!(write(&gone.join(DIR), "x", b"y").is_err());
        assert!(!gone.exists());
    }
}
