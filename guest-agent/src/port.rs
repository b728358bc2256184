//! x86 port I/O from user space.
//!
//! Access is taken for each conversation and given back after it: a task with an I/O bitmap pays
//! for it at every context switch (`TIF_IO_BITMAP`), and that must not be part of a measurement.

use std::{arch::asm, io};

/// `jmp .`, the instruction that [`Ports::out8_and_stand_still`] repeats.
pub const JUMP_TO_ITSELF: [u8; 2] = [0xeb, 0xfe];

/// The right to use I/O ports; given back when dropped.
pub struct Ports(());

impl Ports {
    /// Takes the right with iopl(2).
    ///
    /// # Errors
    /// ENOSYS without CONFIG_X86_IOPL_IOPERM, EPERM under lockdown.
    pub fn open() -> io::Result<Ports> {
        iopl(3).map(Ports)
    }

    /// Writes one byte.
    pub fn out8(&self, port: u16, value: u8) {
        // SAFETY: iopl(3) holds while `self` lives; the ports used belong to QEMU's debugcon,
        // pvpanic and fw_cfg, which touch no memory on such a write.
        unsafe {
            asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags));
        }
    }

    /// Writes one byte and executes [`JUMP_TO_ITSELF`] right after it, until a signal handler
    /// moves the program on.
    pub fn out8_and_stand_still(&self, port: u16, value: u8) {
        // SAFETY: as in `out8`; the jump touches nothing.
        unsafe {
            asm!("out dx, al", ".byte 0xeb, 0xfe", in("dx") port, in("al") value);
        }
    }

    /// Writes two bytes in one access.
    pub fn out16(&self, port: u16, value: u16) {
        // SAFETY: as in `out8`.
        unsafe {
            asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack, preserves_flags));
        }
    }

    /// Reads one byte.
    pub fn in8(&self, port: u16) -> u8 {
        let value: u8;
        // SAFETY: as in `out8`.
        unsafe {
            asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags));
        }
        value
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        // Giving a right back cannot fail.
        let _ = iopl(0);
    }
}

fn iopl(level: libc::c_int) -> io::Result<()> {
    // SAFETY: takes a number, touches no memory.
    match unsafe { libc::syscall(libc::SYS_iopl, level) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
