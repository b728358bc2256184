//! The guest's memory as a QEMU describes it, which is a stranger's word: a mapping of a file that QEMU can
//! make shorter would be a way to end this process (SIGBUS, mmap(2)).

use rustix::fs::{SealFlags, fcntl_get_seals};
use std::io;
use vm_memory::{GuestMemory, GuestMemoryRegion};

/// Makes sure that what is mapped stays: every region lies in a file whose length is sealed (memfd_create(2)), as
/// that of [`crate::vm::memory::GuestRam`] is.
///
/// # Errors
/// When one does not.
pub fn check<M: GuestMemory>(memory: &M) -> io::Result<()> {
    for region in memory.iter() {
        if !stays(region)? {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "QEMU offered memory that could be taken away again",
            ));
        }
    }
    Ok(())
}

fn stays<R: GuestMemoryRegion>(region: &R) -> io::Result<bool> {
    let Some(at) = region.file_offset() else {
        return Ok(false);
    };
    // Anything but a memfd has no seals, and says so.
    let seals = fcntl_get_seals(at.file()).unwrap_or(SealFlags::empty());
    // Asked last: sealed now, it is as long as this for ever.
    let end = at.start().checked_add(region.len());
    let length = at.file().metadata()?.len();
    Ok(seals.contains(SealFlags::SHRINK) && end.is_some_and(|end| end <= length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};
    use std::fs::File;
    use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap};

    const SIZE: usize = 1 << 16;

    fn memfd(seals: SealFlags) -> File {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("memory", flags).unwrap();
        ftruncate(&fd, SIZE as u64).unwrap();
        fcntl_add_seals(&fd, seals).unwrap();
        fd.into()
    }

    fn mapped(file: File, start: u64, length: usize) -> GuestMemoryMmap {
        let at = Some(FileOffset::new(file, start));
        GuestMemoryMmap::from_ranges_with_files([(GuestAddress(0), length, at)]).unwrap()
    }

    #[test]
    fn memory_that_its_owner_could_take_away_is_refused() {
        let sealed = || memfd(SealFlags::SHRINK);
        assert!(check(&mapped(sealed(), 0, SIZE)).is_ok());
        assert!(check(&mapped(memfd(SealFlags::GROW), 0, SIZE)).is_err());
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE as u64).unwrap();
        assert!(check(&mapped(file, 0, SIZE)).is_err());
        let anonymous = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), SIZE)]).unwrap();
        assert!(check(&anonymous).is_err());
    }

    #[test]
    fn memory_that_was_taken_away_before_it_was_sealed_is_refused() {
        let file = memfd(SealFlags::empty());
        let memory = mapped(file.try_clone().unwrap(), 0, SIZE);
        ftruncate(&file, 4096).unwrap();
        fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        assert!(check(&memory).is_err());
    }
}
