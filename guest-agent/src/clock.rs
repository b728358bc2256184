//! The guest's monotonic clock, and waiting by it.

use crate::fail::{Fail, Result};
use std::time::Duration;

/// Nanoseconds of CLOCK_MONOTONIC. Through the vDSO, which static glibc uses since 2.31: no system
/// call, some 50 instructions. Under the instruction clock this counts executed instructions.
#[inline]
pub fn now() -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is valid for writing; CLOCK_MONOTONIC always exists, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec.cast_unsigned() * 1_000_000_000 + t.tv_nsec.cast_unsigned()
}

/// Whether timers end by the clock or by the tick only.
///
/// # Errors
/// When it is by the tick: the model device's latency would be a whole tick.
pub fn check() -> Result<()> {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: as in `now`.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC, &mut t) };
    if (t.tv_sec, t.tv_nsec) == (0, 1) {
        return Ok(());
    }
    Err(Fail::unsupported(
        format!(
            "the kernel's timers are as coarse as its tick ({} ns)",
            t.tv_nsec
        ),
        &["CONFIG_HIGH_RES_TIMERS"],
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
