//! pread(2) and pwrite(2), or pwritev2(2) where a flag is asked for: one I/O at a time, in the
//! submission itself.

use super::{Queue, Setup, Stop};
use crate::fail::Result;
use diorama_wire::Sync;
use std::{io, os::fd::AsRawFd};

/// The engine: one slot, and the I/O in it.
pub struct Psync {
    file: libc::c_int,
    buffer: *mut libc::c_void,
    block: usize,
    rwf_dsync: bool,
    write: bool,
    offset: libc::off_t,
    result: i64,
}

impl Queue for Psync {
    fn open(setup: &Setup<'_>) -> Result<Psync> {
        Ok(Psync {
            file: setup.file.as_raw_fd(),
            buffer: setup.buffers[0] as *mut libc::c_void,
            block: setup.workload.block_size as usize,
            rwf_dsync: setup.workload.sync == Sync::RwfDsync,
            write: false,
            offset: 0,
            result: 0,
        })
    }

    #[inline(always)]
    fn prepare(&mut self, _nth: usize, _slot: usize, write: bool, offset: u64) {
        self.write = write;
        self.offset = offset.cast_signed();
    }

    #[inline(always)]
    fn submit(&mut self, _n: usize) -> Result<(), Stop> {
        let (file, buffer, block, offset) = (self.file, self.buffer, self.block, self.offset);
        let returned = match (self.write, self.rwf_dsync) {
            // SAFETY: the slot's block, which outlives the queue.
            (false, _) => unsafe { libc::pread(file, buffer, block, offset) },
            // SAFETY: as above.
            (true, false) => unsafe { libc::pwrite(file, buffer, block, offset) },
            (true, true) => {
                let iov = libc::iovec {
                    iov_base: buffer,
                    iov_len: block,
                };
                // SAFETY: one iovec, of the slot's block.
                unsafe { libc::pwritev2(file, &iov, 1, offset, libc::RWF_DSYNC) }
            }
        };
        self.result = if returned < 0 {
            let errno = io::Error::last_os_error().raw_os_error();
            -i64::from(errno.unwrap_or(libc::EIO))
        } else {
            returned as i64
        };
        Ok(())
    }

    #[inline(always)]
    fn reap(&mut self, _min: usize, _max: usize) -> Result<usize, Stop> {
        Ok(1)
    }

    #[inline(always)]
    fn completion(&self, _nth: usize) -> (usize, i64) {
        (0, self.result)
    }
}
