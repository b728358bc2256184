//! The guest's monotonic clock, and waiting by it.

use crate::{
    fail::{Fail, Result},
    spin,
};
use diorama_wire::{Clock, config};
use std::{
    arch::x86_64::{_mm_lfence, _rdtsc},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Whether the time-stamp counter counts nanoseconds here, as it does under the instruction clock;
/// decided once, by [`check`].
static TSC_COUNTS_NS: AtomicBool = AtomicBool::new(false);

/// So much may counter and clock differ over [`COMPARED`], ns: they are read one after the other.
const APART_NS: u64 = 64;

/// Instructions over which they are compared.
const COMPARED: u64 = 2_000_000;

/// Nanoseconds of a clock that never goes back. Under the instruction clock it counts executed
/// instructions and is the time-stamp counter itself, a few instructions; elsewhere it is
/// CLOCK_MONOTONIC. Only differences mean anything.
#[inline]
pub fn now() -> u64 {
    if TSC_COUNTS_NS.load(Ordering::Relaxed) {
        tsc()
    } else {
        monotonic()
    }
}

#[inline]
fn tsc() -> u64 {
    // SAFETY: every x86-64 has both. The fence keeps the reading behind what comes before it.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
}

/// CLOCK_MONOTONIC, through the vDSO, which static glibc uses since 2.31: no system call, some 50
/// instructions.
fn monotonic() -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is valid for writing; CLOCK_MONOTONIC always exists, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec.cast_unsigned() * 1_000_000_000 + t.tv_nsec.cast_unsigned()
}

/// Whether the counter and the clock run alike.
fn tsc_counts_ns() -> bool {
    let before = (monotonic(), tsc());
    spin::spin(COMPARED / 2);
    let after = (monotonic(), tsc());
    (after.0 - before.0).abs_diff(after.1.wrapping_sub(before.1)) <= APART_NS
}

/// Chooses how time is read, and says whether timers end by it or by the tick only.
///
/// # Errors
/// When it is by the tick: the model device's latency would be a whole tick.
pub fn check(clock: Clock) -> Result<()> {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: as in `monotonic`.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC, &mut t) };
    if (t.tv_sec, t.tv_nsec) == (0, 1) {
        // A host's counter that happens to count nanoseconds is not the guest's clock.
        let exact = clock == Clock::Instructions && tsc_counts_ns();
        TSC_COUNTS_NS.store(exact, Ordering::Relaxed);
        return Ok(());
    }
    Err(Fail::unsupported(
        format!(
            "the kernel's timers are as coarse as its tick ({} ns)",
            t.tv_nsec
        ),
        &[config::HIGH_RES_TIMERS],
    ))
}

/// Makes sleeps end when they should: by default the kernel may lengthen each by 50 us.
pub fn sleep_exactly() {
    // SAFETY: takes numbers. It cannot fail, and sleeps would only be less exact.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Spins until the clock shows `deadline`; returns at once when it is past.
pub fn spin_until(deadline: u64) {
    while now() < deadline {
        std::hint::black_box(());
    }
}

/// Sleeps until the clock shows `deadline` or a little more.
pub fn sleep_until(deadline: u64) {
    let left = deadline.saturating_sub(now());
    if left > 0 {
        std::thread::sleep(Duration::from_nanos(left));
    }
}

/// Sleeps until the clock shows `deadline` exactly, however long the call takes to begin.
pub fn sleep_until_exactly(deadline: u64) {
    // The kernel's timers know CLOCK_MONOTONIC, which runs alike but begins elsewhere.
    let deadline = monotonic() + deadline.saturating_sub(now());
    let until = libc::timespec {
        tv_sec: (deadline / 1_000_000_000).cast_signed(),
        tv_nsec: (deadline % 1_000_000_000).cast_signed(),
    };
    loop {
        // SAFETY: a valid time, only read; no remainder is asked for.
        let returned = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &until,
                std::ptr::null_mut(),
            )
        };
        if returned != libc::EINTR {
            return;
        }
    }
}
