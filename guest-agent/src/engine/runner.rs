//! The loop around a queue, the same for every engine, with fio's behaviour (HOWTO; backend.c):
//! an I/O is made for every free slot and they are submitted `iodepth_batch` at a time; once
//! `iodepth` are in flight, what is left is submitted, `iodepth_batch_complete_min` completions are
//! awaited and up to `iodepth_batch_complete_max` taken.

use super::{Engine, Queue, STALL_NS, Setup, Span, Stop};
use crate::{
    clock,
    content::{self, Buffer},
    fail::{Fail, Result},
    file::PreparedFile,
    latency::Latency,
    pattern::Pattern,
    seconds::Seconds,
};
use diorama_wire::{Bound, Workload};
use std::{io, num::NonZeroU64, ops::Range, os::fd::AsRawFd, sync::Arc};

/// One I/O's place in the queue.
#[derive(Clone, Copy)]
struct Slot {
    /// Clock at its submission.
    submitted: u64,
    /// Its block, whose first 16 bytes are the header.
    header: *mut u64,
    offset: u64,
    /// The generation that a read must find. Kept for reads only.
    generation: u64,
    /// Kept where reads and writes are mixed only.
    write: bool,
}

/// One thread's queue, pattern, file and buffers. Fields are in the order in which they must be
/// dropped: the queue first, because the kernel may write to the buffers until it is gone.
///
/// PER_SECOND: I/Os are counted second by second, too. A type and no flag, so that a loop without it
/// has no instruction more.
pub struct Runner<Q, P, const PER_SECOND: bool> {
    queue: Q,
    pattern: P,
    slots: Vec<Slot>,
    /// Slots whose I/O is made and not submitted.
    pending: Vec<usize>,
    /// One block for each slot, each on pages of its own; held for the kernel, reached through the slots.
    _buffer: Buffer,
    file: Arc<PreparedFile>,
    workload: Workload,
    /// Writes submitted so far, for fdatasync.
    writes: u64,
    /// Of the stretch that was run last, where PER_SECOND.
    seconds: Seconds,
}

impl<Q: Queue, P: Pattern, const PER_SECOND: bool> Runner<Q, P, PER_SECOND> {
    /// Makes the buffers and opens the queue, which may have a bound on its I/Os a second.
    ///
    /// # Errors
    /// When the kernel refuses the queue or the buffers do not fit.
    pub fn new(
        workload: &Workload,
        file: Arc<PreparedFile>,
        pattern: P,
        throttle_iops: Option<NonZeroU64>,
    ) -> Result<Self> {
        let depth = workload.iodepth as usize;
        let block = workload.block_size as usize;
        // Each block begins on a page of its own, whatever its length is: no I/O touches one page
        // more than another.
        let stride = block.next_multiple_of(content::ALIGNMENT);
        let mut buffer = Buffer::new(depth * stride)?;
        for place in buffer.bytes_mut().chunks_exact_mut(stride) {
            content::fill(&mut place[..block], block);
        }
        // In bounds: the buffer holds `depth` strides.
        let blocks: Vec<u64> = (0..depth)
            .map(|i| buffer.as_ptr().wrapping_add(i * stride) as u64)
            .collect();
        let queue = Q::open(&Setup {
            workload,
            file: &file.file,
            buffers: &blocks,
            throttle_iops,
        })?;
        let slot = |header| Slot {
            submitted: 0,
            header: header as *mut u64,
            offset: 0,
            generation: 0,
            write: P::WRITES,
        };
        Ok(Runner {
            queue,
            pattern,
            slots: blocks.into_iter().map(slot).collect(),
            pending: Vec::with_capacity(depth),
            _buffer: buffer,
            file,
            workload: workload.clone(),
            writes: 0,
            seconds: Seconds::default(),
        })
    }

    /// Makes a slot's next I/O, the `nth` that is not submitted; returns whether it is a write.
    #[inline(always)]
    fn make(&mut self, nth: usize, slot: usize) -> bool {
        let step = self.pattern.next();
        // SAFETY: slots come from `0..depth` or from completions, which are of these slots.
        let place = unsafe { self.slots.get_unchecked_mut(slot) };
        // A read finds its buffer void, so that no earlier content passes for its own.
        let stamp = if step.write {
            [step.offset, step.generation]
        } else {
            [!0, !0]
        };
        // SAFETY: this slot's block, page-aligned and at least 16 bytes long, and no I/O on it is
        // in flight.
        unsafe {
            place.header.write_volatile(stamp[0]);
            place.header.add(1).write_volatile(stamp[1]);
        }
        place.offset = step.offset;
        if P::READS {
            place.generation = step.generation;
            place.write = step.write;
        }
        self.queue.prepare(nth, slot, step.write, step.offset);
        step.write
    }

    /// Checks one completion and records its latency; returns whether it was a read.
    #[inline(always)]
    fn complete(
        &mut self,
        slot: usize,
        result: i64,
        now: u64,
        latency: &mut Latency,
    ) -> Result<bool, Stop> {
        // SAFETY: the queue hands back what it was given: a slot of this runner.
        let place = unsafe { self.slots.get_unchecked(slot) };
        if result != i64::from(self.workload.block_size) {
            return Err(Stop::Short(slot, result));
        }
        let read = P::READS && !(P::WRITES && place.write);
        if read {
            // SAFETY: this slot's block; its I/O is complete. Volatile: the kernel wrote it.
            let found = unsafe {
                let header = place.header;
                [header.read_volatile(), header.add(1).read_volatile()]
            };
            if found != [place.offset, place.generation] && !self.is_another(place.offset, found) {
                return Err(Stop::Content(slot, found));
            }
        }
        latency.record(now - place.submitted);
        Ok(read)
    }

    /// Whether a block at this offset may carry this header because another thread has the block as
    /// well, and wrote it: when, nobody ordered.
    #[cold]
    fn is_another(&self, offset: u64, found: [u64; 2]) -> bool {
        let own = self.file.thread();
        let shared = P::WRITES && self.workload.overlaps() && self.workload.rw.writes();
        let Some(writer) = content::writer(found[1]).filter(|_| shared && found[0] == offset)
        else {
            return false;
        };
        let at = offset - self.file.begin();
        writer != own && writer < self.workload.numjobs && self.workload.part(writer).contains(&at)
    }

    /// Submits what is made; returns the clock at it.
    fn flush(&mut self) -> Result<u64, Stop> {
        let now = clock::now();
        for &slot in &self.pending {
            self.slots[slot].submitted = now;
        }
        let n = self.pending.len();
        self.pending.clear();
        self.queue.submit(n)?;
        Ok(now)
    }

    /// Makes an I/O for a slot and submits what is due; returns the clock at a submission, and
    /// counts calls of fdatasync. ONE: every I/O is submitted by itself, and nothing is synced.
    #[inline(always)]
    fn refill<const ONE: bool>(
        &mut self,
        slot: usize,
        fsyncs: &mut u64,
    ) -> Result<Option<u64>, Stop> {
        if ONE {
            self.make(0, slot);
            let now = clock::now();
            // SAFETY: as in `make`.
            unsafe { self.slots.get_unchecked_mut(slot) }.submitted = now;
            self.queue.submit(1)?;
            return Ok(Some(now));
        }
        let nth = self.pending.len();
        let write = self.make(nth, slot);
        self.pending.push(slot);
        self.writes += u64::from(write);
        let every = u64::from(self.workload.fdatasync);
        let sync = write && every > 0 && self.writes.is_multiple_of(every);
        if !sync && self.pending.len() < self.workload.batch.submit as usize {
            return Ok(None);
        }
        let now = self.flush()?;
        if sync {
            // As fio's libaio and psync engines do it: a call of its own, which waits.
            // SAFETY: an open descriptor.
            if unsafe { libc::fdatasync(self.file.file.as_raw_fd()) } != 0 {
                let errno = io::Error::last_os_error().raw_os_error();
                return Err(Stop::Sync(-i64::from(errno.unwrap_or(libc::EIO))));
            }
            *fsyncs += 1;
        }
        Ok(Some(now))
    }

    /// The whole stretch. No allocation, no formatting, two clock reads an I/O.
    fn turn<const ONE: bool>(&mut self, bound: Bound, latency: &mut Latency) -> Result<Span, Stop> {
        let batch = self.workload.batch;
        let (min, max) = if ONE {
            (1, 1)
        } else {
            (batch.complete_min as usize, batch.complete_max as usize)
        };
        let start = clock::now();
        if PER_SECOND {
            self.seconds.begin(start);
        }
        let (deadline, mut left) = match bound {
            Bound::Runtime(ns) => (start.saturating_add(ns), u64::MAX),
            Bound::Ios(n) => (u64::MAX, n),
        };
        let mut in_flight = 0;
        let mut fsyncs = 0;
        for slot in 0..self.slots.len() {
            if left == 0 {
                break;
            }
            self.refill::<ONE>(slot, &mut fsyncs)?;
            left -= 1;
            in_flight += 1;
        }
        let (mut ios, mut window_ios, mut reads, mut window_reads, mut user_ns) = (0, 0, 0, 0, 0);
        // Filling the queue takes a millisecond by itself, and is no stall.
        let (mut end, mut stalls, mut stall_end) = (clock::now(), 0, 0);
        while in_flight > 0 {
            if !ONE && !self.pending.is_empty() {
                let at = self.flush()?;
                if ios > 0 {
                    user_ns += at - end;
                }
            }
            let n = self.queue.reap(min.min(in_flight), max)?;
            let now = clock::now();
            if now - end > STALL_NS {
                stalls += 1;
                stall_end = now;
            }
            end = now;
            if PER_SECOND {
                self.seconds.count(now, n as u64);
            }
            let within = now < deadline;
            let mut submitted = false;
            for nth in 0..n {
                let (slot, result) = self.queue.completion(nth);
                let read = self.complete(slot, result, now, latency)?;
                ios += 1;
                window_ios += u64::from(within);
                if P::READS && P::WRITES {
                    reads += u64::from(read);
                    window_reads += u64::from(read && within);
                }
                if within && left > 0 {
                    left -= 1;
                    // From the second on it would hold the submission before it.
                    match self.refill::<ONE>(slot, &mut fsyncs)? {
                        Some(at) if !submitted => {
                            user_ns += at - now;
                            submitted = true;
                        }
                        _ => {}
                    }
                } else {
                    in_flight -= 1;
                }
            }
        }
        if P::READS && !P::WRITES {
            (reads, window_reads) = (ios, window_ios);
        }
        Ok(Span {
            start,
            window_ns: match bound {
                Bound::Runtime(ns) => ns,
                Bound::Ios(_) => end - start,
            },
            window_ios,
            window_reads,
            end,
            ios,
            reads,
            fsyncs,
            user_ns,
            stalls,
            stall_end: (stall_end != 0).then_some(stall_end),
        })
    }

    fn explain(&self, stop: Stop) -> Box<Fail> {
        let place = |slot: usize| &self.slots[slot];
        let doing = |slot: usize| if place(slot).write { "write" } else { "read" };
        let os = |r: i64| io::Error::from_raw_os_error(i32::try_from(-r).unwrap_or(libc::EIO));
        let block = self.workload.block_size;
        match stop {
            Stop::Submit(call, r) if r >= 0 => Fail::step(format!("{call} took no I/O")),
            Stop::Reap(call, r) if r >= 0 => {
                Fail::step(format!("{call} returned no event without a timeout"))
            }
            Stop::Submit(call, r) | Stop::Reap(call, r) => Fail::os(call, &os(r)),
            Stop::Sync(r) => Fail::os("fdatasync", &os(r)),
            Stop::Short(slot, r) if r < 0 => Fail::os(
                format_args!(
                    "{} {block} bytes at offset {}",
                    doing(slot),
                    place(slot).offset
                ),
                &os(r),
            ),
            Stop::Short(slot, r) => Fail::wrong(format!(
                "a {} at offset {} moved {r} bytes of {block}",
                doing(slot),
                place(slot).offset
            )),
            Stop::Content(slot, found) => content::mismatch(
                place(slot).offset,
                place(slot).generation,
                found[0],
                found[1],
            ),
        }
    }
}

impl<Q: Queue, P: Pattern, const PER_SECOND: bool> Engine for Runner<Q, P, PER_SECOND> {
    fn features(&self) -> Vec<String> {
        self.queue.features()
    }

    fn rewind(&mut self) -> Result<()> {
        if self.file.lay_again()? {
            self.pattern.restart();
        }
        Ok(())
    }

    fn run(&mut self, bound: Bound, latency: &mut Latency) -> Result<Span> {
        let one = diorama_wire::Batch::default() == self.workload.batch;
        let result = if one && self.workload.fdatasync == 0 {
            self.turn::<true>(bound, latency)
        } else {
            self.turn::<false>(bound, latency)
        };
        result.map_err(|stop| self.explain(stop))
    }

    fn per_second(&mut self) -> Result<Vec<u64>> {
        Ok(self.seconds.counts().to_vec())
    }

    fn verify(&mut self) -> Result<u64> {
        self.file.verify(|offset| self.pattern.written(offset))
    }

    fn written(&mut self, span: Range<u64>) -> Result<Vec<Vec<u64>>> {
        let blocks = span.step_by(self.workload.block_size as usize);
        Ok(vec![
            blocks
                .map(|offset| self.pattern.written(offset).unwrap_or(0))
                .collect(),
        ])
    }
}

#[cfg(test)]
mod tests;
