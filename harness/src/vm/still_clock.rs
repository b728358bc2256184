//! The wall clock that QEMU sees stands still.
//!
//! QEMU caches the guest's page tables in a TLB of its own (accel/tcg/cputlb.c), and has that shrink when little
//! of it was used within 100 ms *of the host's time* (`tlb_mmu_resize_locked`, by `get_clock_realtime`). A page
//! that falls out of it is looked up in the guest's page tables again, and looking it up sets the entry's
//! accessed bit, which the guest's kernel reads: when a process ends, for each of its pages. So how fast the
//! host was reached the guest, by some forty instructions a page. QEMU has no option for it.
//!
//! `get_clock_realtime` calls gettimeofday(2) of the C library, so QEMU is started with a library in front of it
//! whose gettimeofday always tells the same time. What QEMU waits and measures by itself goes through
//! clock_gettime(2), which stays as it is.

use super::stream::Stream;
use crate::{
    error::{Error, Result},
    shared_object::shared_object,
};
use std::{fs, io};

/// `gettimeofday(rdi)`: 2024-01-01T00:00:00 UTC (the guests' own clock begins there, too) and 0 us; returns 0.
const GETTIMEOFDAY: [u8; 18] = [
    0x48, 0xc7, 0x07, 0x80, 0x00, 0x92, 0x65, // mov qword [rdi], 1704067200
    0x48, 0xc7, 0x47, 0x08, 0, 0, 0, 0, // mov qword [rdi + 8], 0
    0x31, 0xc0, // xor eax, eax
    0xc3, // ret
];

/// Its name, as /proc shows it.
const NAME: &str = "still-clock";

/// The version that x86-64 programs bind gettimeofday to since there is a glibc for it.
const GLIBC: &str = "GLIBC_2.2.5";

/// The library, in memory: nothing on a disk that could be exchanged.
///
/// # Errors
/// When there is no memory.
pub(super) fn library() -> io::Result<Stream> {
    let symbol = ("gettimeofday".to_owned(), Some(GLIBC.to_owned()));
    let stream = Stream::new(NAME)?;
    stream.append(&shared_object(&[symbol].into(), &GETTIMEOFDAY))?;
    Ok(stream)
}

/// Makes sure that a QEMU which `said` this has the library: its loader says only on standard error that it did
/// not take it, and a program without a loader never asks.
///
/// # Errors
/// When it has not, or is gone.
pub(super) fn check(pid: u32, said: &str) -> Result<()> {
    let looking = |e| Error::host("looking at what QEMU loaded").because(e);
    if is_in(pid).map_err(looking)? {
        return Ok(());
    }
    Err(Error::host(format!(
        "QEMU did not load the library that stops its clock, so its digits would depend on the host's speed; \
         it said: {said}"
    ))
    .hint("give a dynamically linked QEMU with --qemu PATH, or omit --qemu"))
}

/// Whether a process has the library among what it may execute.
fn is_in(pid: u32) -> io::Result<bool> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let ours = format!("/memfd:{NAME} (deleted)");
    Ok(maps.lines().any(|line| {
        // Address, permissions, offset, device, inode, name: proc_pid_maps(5).
        line.ends_with(&ours) && line.split(' ').nth(1).is_some_and(|p| p.contains('x'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A program of the C library's, for which the time of day is gettimeofday's; bash knows it as EPOCHSECONDS
    /// and EPOCHREALTIME.
    fn time_of_day(preload: Option<&str>) -> String {
        let mut bash = Command::new("bash");
        bash.args(["-c", "echo $EPOCHREALTIME"]);
        bash.envs(preload.map(|path| ("LD_PRELOAD", path)));
        let output = bash.output().expect("bash");
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn a_program_that_it_is_loaded_into_sees_the_clock_stand() {
        let library = library().unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), library.descriptor());
        assert_eq!(time_of_day(Some(&path)).trim(), "1704067200.000000");
        assert_ne!(time_of_day(None).trim(), "1704067200.000000");
    }

    #[test]
    fn a_process_without_it_is_known() {
        let error = check(std::process::id(), "nothing")
            .unwrap_err()
            .to_string();
        assert!(error.contains("did not load the library"), "{error}");
        assert!(is_in(u32::MAX).is_err());
    }
}
