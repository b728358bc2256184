//! The smallest /init there is: says that it is ready, and stops the machine. The measure of what
//! a boot costs without the agent. No standard library: no instruction is anybody else's.

#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};

/// QEMU's debug console, and the device at which a guest stops itself.
const DEBUGCON: u16 = 0x402;
const PVPANIC: u16 = 0x505;

const SYS_IOPL: u64 = 172;

fn out(port: u16, value: u8) {
    // SAFETY: iopl(3) was asked for; without it this faults, and the bench says so.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

extern "C" fn ready() -> ! {
    // SAFETY: iopl(3) takes a number and touches no memory.
    unsafe {
        asm!("syscall", inlateout("rax") SYS_IOPL => _, in("rdi") 3,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    for byte in *b"@READY\n" {
        out(DEBUGCON, byte);
    }
    out(PVPANIC, 1);
    loop {
        core::hint::spin_loop();
    }
}

/// The entry: aligns the stack as the ABI wants it.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _start() -> ! {
    naked_asm!("and rsp, -16", "call {ready}", "ud2", ready = sym ready)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
