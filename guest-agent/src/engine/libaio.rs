//! io_submit(2) and io_getevents(2) by raw system calls, as fio's libaio engine uses them.

use super::{Queue, Setup, Stop};
use crate::{
    fail::{Fail, Result},
    sys,
};
use diorama_wire::{Sync, config};
use std::{arch::asm, io, os::fd::AsRawFd, ptr};

/// `struct iocb` of include/uapi/linux/aio_abi.h, little-endian.
#[repr(C)]
#[derive(Clone, Copy)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: i32,
    opcode: u16,
    reqprio: i16,
    fildes: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: u32,
}

/// `struct io_event` of include/uapi/linux/aio_abi.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct IoEvent {
    data: u64,
    obj: u64,
    res: i64,
    res2: i64,
}

/// `IOCB_CMD_PREAD`
const PREAD: u16 = 0;
/// `IOCB_CMD_PWRITE`
const PWRITE: u16 = 1;

/// An AIO context; destroying it waits for what is in flight.
struct Context(u64);

impl Context {
    fn new(events: u32) -> io::Result<Context> {
        let mut id = 0u64;
        // SAFETY: the kernel writes the context's id to `id`.
        let returned =
            unsafe { libc::syscall(libc::SYS_io_setup, libc::c_long::from(events), &raw mut id) };
        sys::check(returned).map(|_| Context(id))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the id is that of a context of this process.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.0) };
    }
}

/// The engine. The context is dropped first: it waits for what is in flight.
pub struct Libaio {
    context: Context,
    iocbs: Vec<Iocb>,
    /// Pointers to the iocbs to submit.
    batch: Vec<*mut Iocb>,
    events: Vec<IoEvent>,
}

impl Queue for Libaio {
    fn open(setup: &Setup<'_>) -> Result<Libaio> {
        let workload = setup.workload;
        let depth = workload.iodepth;
        let context = Context::new(depth).map_err(|e| match e.raw_os_error() {
            Some(libc::ENOSYS) => {
                Fail::unsupported("the kernel has no io_setup(2)", &[config::AIO])
            }
            _ => Fail::os(format_args!("io_setup({depth})"), &e),
        })?;
        let rw_flags = match workload.sync {
            Sync::RwfDsync => libc::RWF_DSYNC,
            Sync::None | Sync::Dsync => 0,
        };
        let iocbs: Vec<Iocb> = (0u64..)
            .zip(setup.buffers)
            .map(|(slot, &buf)| Iocb {
                data: slot,
                key: 0,
                rw_flags,
                opcode: PREAD,
                reqprio: 0,
                fildes: setup.file.as_raw_fd().cast_unsigned(),
                buf,
                nbytes: u64::from(workload.block_size),
                offset: 0,
                reserved: 0,
                flags: 0,
                resfd: 0,
            })
            .collect();
        let none = IoEvent {
            data: 0,
            obj: 0,
            res: 0,
            res2: 0,
        };
        Ok(Libaio {
            context,
            batch: vec![ptr::null_mut(); iocbs.len()],
            events: vec![none; iocbs.len()],
            iocbs,
        })
    }

    #[inline(always)]
    fn prepare(&mut self, nth: usize, slot: usize, write: bool, offset: u64) {
        // SAFETY: the caller's slots are those that the queue was opened with, and no more are
        // prepared than there are slots.
        unsafe {
            let iocb = self.iocbs.get_unchecked_mut(slot);
            iocb.opcode = if write { PWRITE } else { PREAD };
            iocb.offset = offset.cast_signed();
            *self.batch.get_unchecked_mut(nth) = iocb;
        }
    }

    #[inline(always)]
    fn submit(&mut self, n: usize) -> Result<(), Stop> {
        let mut done = 0;
        while done < n {
            // SAFETY: `n` pointers to valid iocbs, whose buffers outlive the context.
            let taken = unsafe {
                let iocbs = self.batch.as_mut_ptr().add(done);
                io_submit(self.context.0, n - done, iocbs)
            };
            if taken <= 0 {
                return Err(Stop::Submit("io_submit", taken));
            }
            done += taken as usize;
        }
        Ok(())
    }

    #[inline(always)]
    fn reap(&mut self, min: usize, max: usize) -> Result<usize, Stop> {
        loop {
            let room = max.min(self.events.len());
            let events = self.events.as_mut_ptr();
            // SAFETY: `events` has room for as many.
            let n = unsafe { io_getevents(self.context.0, min as i64, room as i64, events) };
            if n > 0 {
                return Ok(n as usize);
            }
            if n != -i64::from(libc::EINTR) {
                return Err(Stop::Reap("io_getevents", n));
            }
        }
    }

    #[inline(always)]
    fn completion(&self, nth: usize) -> (usize, i64) {
        // SAFETY: `nth` is below the number that `reap` returned.
        let event = unsafe { self.events.get_unchecked(nth) };
        (event.data as usize, event.res)
    }
}

/// Submits `n` I/Os; returns how many were taken, or a negative errno.
///
/// # Safety
/// `iocbs` points to `n` pointers to valid iocbs, whose buffers live until their completion.
#[inline(always)]
unsafe fn io_submit(context: u64, n: usize, iocbs: *mut *mut Iocb) -> i64 {
    let returned;
    // SAFETY: io_submit(context, n, iocbs), by the caller's promise. The assembly may read and
    // write memory as far as the compiler knows, so that the iocbs are stored before it.
    unsafe {
        asm!("syscall",
            inlateout("rax") libc::SYS_io_submit => returned,
            in("rdi") context, in("rsi") n, in("rdx") iocbs,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    returned
}

/// Waits for `min` events and takes up to `max`; returns their number or a negative errno.
///
/// # Safety
/// `events` has room for `max` events.
#[inline(always)]
unsafe fn io_getevents(context: u64, min: i64, max: i64, events: *mut IoEvent) -> i64 {
    let returned;
    // SAFETY: io_getevents(context, min, max, events, NULL), by the caller's promise.
    unsafe {
        asm!("syscall",
            inlateout("rax") libc::SYS_io_getevents => returned,
            in("rdi") context, in("rsi") min, in("rdx") max, in("r10") events,
            in("r8") ptr::null::<libc::timespec>(),
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    returned
}
