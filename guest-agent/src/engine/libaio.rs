//! io_submit(2) and io_getevents(2) by raw system calls, with fio's behaviour for `iodepth=N` and
//! its other defaults (HOWTO: iodepth_batch=1, iodepth_batch_complete_min=1,
//! iodepth_batch_complete_max=iodepth_batch_complete_min): one I/O a submission; once N are in
//! flight, wait for one completion, take one, and refill.

use super::{Engine, Latency, STALL_NS, Span};
use crate::{
    clock,
    content::{self, Buffer},
    fail::{Fail, Result},
    schedule::Sequence,
    sys,
};
use diorama_wire::{Bound, Rw, Workload};
use std::{arch::asm, fs::File, io, os::fd::AsRawFd, ptr};

/// Completions taken by one io_getevents: fio's `iodepth_batch_complete_max`.
const REAP_MAX: usize = 1;

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

/// Whether the kernel has AIO.
///
/// # Errors
/// When it has not.
pub fn probe() -> Result<()> {
    match Context::new(1) {
        Ok(_) => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => Err(Fail::unsupported(
            "the kernel has no io_setup(2)",
            &["CONFIG_AIO"],
        )),
        Err(e) => Err(Fail::os("io_setup(1)", &e)),
    }
}

/// One I/O's place in the queue.
#[derive(Clone, Copy)]
struct Slot {
    iocb: Iocb,
    /// Clock at its submission.
    submitted: u64,
}

/// The engine. Fields are in the order in which they must be dropped: the context first, because
/// the kernel may write to the buffers until it is gone.
pub struct Libaio {
    context: Context,
    slots: Vec<Slot>,
    /// One block for each slot; held for the kernel, reached through the slots' `buf`.
    _buffer: Buffer,
    block: i64,
    write: bool,
}

impl Libaio {
    /// Sets the engine up for an open file.
    ///
    /// # Errors
    /// When the kernel refuses the context or the buffers do not fit.
    pub fn new(file: &File, workload: &Workload) -> Result<Libaio> {
        let depth = workload.iodepth as usize;
        let block = workload.block_size as usize;
        let context = Context::new(workload.iodepth)
            .map_err(|e| Fail::os(format_args!("io_setup({depth})"), &e))?;
        let mut buffer = Buffer::new(depth * block)?;
        content::fill(buffer.bytes_mut(), block);
        let write = workload.rw == Rw::Write;
        let slots = (0..depth)
            .map(|i| Slot {
                iocb: Iocb {
                    data: i as u64,
                    key: 0,
                    rw_flags: 0,
                    opcode: if write { PWRITE } else { PREAD },
                    reqprio: 0,
                    fildes: file.as_raw_fd().cast_unsigned(),
                    // In bounds: the buffer holds `depth` blocks.
                    buf: buffer.as_ptr().wrapping_add(i * block) as u64,
                    nbytes: block as u64,
                    offset: 0,
                    reserved: 0,
                    flags: 0,
                    resfd: 0,
                },
                submitted: 0,
            })
            .collect();
        Ok(Libaio {
            context,
            slots,
            _buffer: buffer,
            block: i64::from(workload.block_size),
            write,
        })
    }

    /// Stamps a slot with the next block and submits it.
    #[inline(always)]
    fn submit<const WRITE: bool>(
        &mut self,
        slot: usize,
        now: u64,
        sequence: &mut Sequence,
    ) -> Result<(), Stop> {
        let (offset, generation) = sequence.next();
        // SAFETY: slots come from `0..depth` or from events, whose `data` are the slots' own.
        let slot = unsafe { self.slots.get_unchecked_mut(slot) };
        let header = slot.iocb.buf as *mut u64;
        // A read finds its buffer void, so that no earlier content passes for its own.
        let stamp = if WRITE {
            [offset, generation]
        } else {
            [!0, !0]
        };
        // SAFETY: `buf` is this slot's block, page-aligned and at least 16 bytes long, and no I/O
        // on it is in flight.
        unsafe {
            header.write_volatile(stamp[0]);
            header.add(1).write_volatile(stamp[1]);
        }
        slot.iocb.offset = offset.cast_signed();
        slot.submitted = now;
        let mut one = &raw mut slot.iocb;
        // SAFETY: one valid iocb, whose buffer outlives the context.
        match unsafe { io_submit(self.context.0, &raw mut one) } {
            1 => Ok(()),
            r => Err(Stop::Submit(r)),
        }
    }

    /// Checks one completion and records its latency; returns its slot.
    #[inline(always)]
    fn complete<const WRITE: bool>(
        &self,
        event: &IoEvent,
        now: u64,
        latency: &mut Latency,
    ) -> Result<usize, Stop> {
        let index = event.data as usize;
        // SAFETY: the kernel hands back the `data` of a slot's iocb.
        let slot = unsafe { self.slots.get_unchecked(index) };
        if event.res != self.block {
            return Err(Stop::Short(index, event.res));
        }
        if !WRITE {
            let header = slot.iocb.buf as *const u64;
            // SAFETY: this slot's block; its I/O is complete. Volatile: the kernel wrote it.
            let found = unsafe { [header.read_volatile(), header.add(1).read_volatile()] };
            if found != [slot.iocb.offset.cast_unsigned(), 0] {
                return Err(Stop::Content(index, found));
            }
        }
        latency.saturating_record(now - slot.submitted);
        Ok(index)
    }

    /// The whole stretch. No allocation, no formatting, two clock reads an I/O.
    fn turn<const WRITE: bool>(
        &mut self,
        bound: Bound,
        sequence: &mut Sequence,
        latency: &mut Latency,
    ) -> Result<Span, Stop> {
        let context = self.context.0;
        let mut events = [IoEvent {
            data: 0,
            obj: 0,
            res: 0,
            res2: 0,
        }; REAP_MAX];
        let start = clock::now();
        let (deadline, mut left) = match bound {
            Bound::Runtime(ns) => (start.saturating_add(ns), u64::MAX),
            Bound::Ios(n) => (u64::MAX, n),
        };
        let mut in_flight = 0;
        for slot in 0..self.slots.len() {
            if left == 0 {
                break;
            }
            self.submit::<WRITE>(slot, clock::now(), sequence)?;
            left -= 1;
            in_flight += 1;
        }
        let (mut ios, mut window_ios, mut user_ns) = (0, 0, 0);
        // Filling the queue takes a millisecond by itself, and is no stall.
        let (mut end, mut stalls, mut stall_end) = (clock::now(), 0, 0);
        while in_flight > 0 {
            // SAFETY: `events` has room for REAP_MAX.
            let n = unsafe { io_getevents(context, 1, REAP_MAX as i64, events.as_mut_ptr()) };
            if n <= 0 {
                if n == -i64::from(libc::EINTR) {
                    continue;
                }
                return Err(Stop::Reap(n));
            }
            let now = clock::now();
            if now - end > STALL_NS {
                stalls += 1;
                stall_end = now;
            }
            end = now;
            let within = now < deadline;
            // SAFETY: the kernel wrote `n` of at most REAP_MAX events.
            for (i, event) in unsafe { events.get_unchecked(..n as usize) }
                .iter()
                .enumerate()
            {
                let slot = self.complete::<WRITE>(event, now, latency)?;
                ios += 1;
                window_ios += u64::from(within);
                if within && left > 0 {
                    left -= 1;
                    let again = clock::now();
                    // From the second on it would hold the submission before it.
                    if i == 0 {
                        user_ns += again - now;
                    }
                    self.submit::<WRITE>(slot, again, sequence)?;
                } else {
                    in_flight -= 1;
                }
            }
        }
        Ok(Span {
            start,
            window_ns: match bound {
                Bound::Runtime(ns) => ns,
                Bound::Ios(_) => end - start,
            },
            window_ios,
            end,
            ios,
            user_ns,
            stalls,
            stall_end: (stall_end != 0).then_some(stall_end),
        })
    }

    fn explain(&self, stop: Stop) -> Box<Fail> {
        let offset = |slot: usize| self.slots[slot].iocb.offset;
        let doing = if self.write { "write" } else { "read" };
        let os = |r: i64| io::Error::from_raw_os_error(i32::try_from(-r).unwrap_or(libc::EIO));
        match stop {
            Stop::Submit(0) => Fail::step("io_submit took no I/O"),
            Stop::Submit(r) => Fail::os("io_submit", &os(r)),
            Stop::Reap(0) => Fail::step("io_getevents returned no event without a timeout"),
            Stop::Reap(r) => Fail::os("io_getevents", &os(r)),
            Stop::Short(slot, r) if r < 0 => Fail::os(
                format_args!("{doing} {} bytes at offset {}", self.block, offset(slot)),
                &os(r),
            ),
            Stop::Short(slot, r) => Fail::wrong(format!(
                "a {doing} at offset {} moved {r} bytes of {}",
                offset(slot),
                self.block
            )),
            Stop::Content(slot, found) => {
                content::mismatch(offset(slot).cast_unsigned(), 0, found[0], found[1])
            }
        }
    }
}

impl Engine for Libaio {
    fn run(
        &mut self,
        bound: Bound,
        sequence: &mut Sequence,
        latency: &mut Latency,
    ) -> Result<Span> {
        let result = if self.write {
            self.turn::<true>(bound, sequence, latency)
        } else {
            self.turn::<false>(bound, sequence, latency)
        };
        result.map_err(|stop| self.explain(stop))
    }
}

/// Why the loop ended early; explained outside of it.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// io_submit returned this.
    Submit(i64),
    /// io_getevents returned this.
    Reap(i64),
    /// This slot's I/O moved this many bytes, or failed with this negative errno.
    Short(usize, i64),
    /// This slot's block carries this header.
    Content(usize, [u64; 2]),
}

/// Submits one I/O; returns 1, 0 or a negative errno.
///
/// # Safety
/// `iocbs` points to one pointer to a valid iocb, whose buffer lives until its completion.
#[inline(always)]
unsafe fn io_submit(context: u64, iocbs: *mut *mut Iocb) -> i64 {
    let returned;
    // SAFETY: io_submit(context, 1, iocbs), by the caller's promise. The assembly may read and
    // write memory as far as the compiler knows, so that the iocb is stored before it.
    unsafe {
        asm!("syscall",
            inlateout("rax") libc::SYS_io_submit => returned,
            in("rdi") context, in("rsi") 1u64, in("rdx") iocbs,
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
