//! How the guest stops: for a checkpoint, and for good.

use crate::{
    debugcon,
    fail::{Fail, Result},
    mark,
    port::{JUMP_TO_ITSELF, Ports},
};
use diorama_wire::{PVPANIC_PANICKED, PVPANIC_PORT, Progress, StopBy, config};
use std::{ptr, thread};

/// Whether this guest can stop the way it was told to.
///
/// # Errors
/// When the kernel refuses port I/O to user space.
pub fn check(by: StopBy) -> Result<()> {
    match by {
        StopBy::None => Ok(()),
        StopBy::Pvpanic => Ports::open().map(drop).map_err(|e| {
            Fail::unsupported(
                format!(
                    "the kernel does not let user space use I/O ports (iopl(3): {e}), so the guest \
                     cannot stop itself; with the build's .config beside the image, as \
                     config-RELEASE, that is known in time and the guest is booted once per cell"
                ),
                &[config::X86_IOPL_IOPERM],
            )
        }),
    }
}

/// Hands the machine over to the host; returns when the host lets it go on.
pub fn hand_over(by: StopBy) {
    match by {
        StopBy::None => mark::end(),
        // Checked at the start: a kernel does not change its mind. A failure shows on the host
        // as a machine that does not stop.
        StopBy::Pvpanic => {
            if let Ok(ports) = Ports::open() {
                stop_exactly(&ports);
            }
        }
    }
}

/// How long the guest stands still after a stop, in microseconds of guest time: longer than a
/// tick of any kernel (HZ is at least 100).
const STAND_STILL_US: libc::suseconds_t = 12_000;

/// Stops the machine, and goes on at a moment that does not depend on how QEMU stopped it.
///
/// With `-icount sleep=off` QEMU's main loop may find the vCPU stopped before it has itself left
/// the running state; then it takes the guest for idle and moves its clock on to the next timer
/// (`icount_start_warp_timer`). That is a race between QEMU's threads, seen in one stop of four. So
/// the guest stands still, in one instruction that jumps to itself and changes nothing, until a
/// timer of its own ends that: whether the clock jumped or ran to the next tick, that tick
/// interrupts the same instruction at the same time, and not one bit of memory differs after it.
fn stop_exactly(ports: &Ports) {
    // SAFETY: all of it may be zero.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = leave as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: a handler that is safe to run at any time: see there.
    unsafe { libc::sigaction(libc::SIGALRM, &action, ptr::null_mut()) };
    // Again and again, in case that one comes before the guest stands still.
    set_timer(STAND_STILL_US);
    // Right before the stop, so that whoever counts and QEMU's own clock count the same stretch.
    mark::end();
    ports.out8_and_stand_still(PVPANIC_PORT, PVPANIC_PANICKED);
    set_timer(0);
}

fn set_timer(every_us: libc::suseconds_t) {
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: every_us,
    };
    let timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: a valid value, only read.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) };
}

/// Moves the interrupted program on, if it stands still.
extern "C" fn leave(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the third argument is the interrupted context, this frame's own.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let rip = &mut registers[libc::REG_RIP as usize];
    // SAFETY: the program was about to execute the instruction there, and the text goes on.
    let next = unsafe { (*rip as *const [u8; 2]).read_unaligned() };
    if next == JUMP_TO_ITSELF {
        *rip += JUMP_TO_ITSELF.len() as libc::greg_t;
    }
}

/// Says what failed, or what the kernel lacks, and powers off.
pub fn give_up(fail: Fail) -> ! {
    debugcon::say(&fail.into_progress());
    power_off()
}

/// Says why, and powers off.
pub fn fatal(why: impl Into<String>) -> ! {
    debugcon::say(&Progress::Fatal(why.into()));
    power_off()
}

/// Powers the guest off. Never returns: a kernel whose PID 1 ends panics.
pub fn power_off() -> ! {
    // SAFETY: no memory involved; nothing on the guest's disks is to survive.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    // Reached only where the kernel cannot power off.
    loop {
        thread::park();
    }
}
