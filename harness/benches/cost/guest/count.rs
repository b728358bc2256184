//! A plugin of QEMU's TCG (docs/devel/tcg-plugins.rst; API version 2, which QEMU 8.2 and later
//! take) that counts the instructions which the guest executes at user-space addresses, into a file
//! that the bench maps too. The guest cannot notice. No standard library, so that it loads next to
//! whatever C library that QEMU runs with.

#![no_std]

use core::{arch::asm, ffi::c_char, ptr};

/// User space of x86-64 ends here.
const USER_END: u64 = 1 << 47;
/// `enum qemu_plugin_cb_flags`: QEMU_PLUGIN_CB_NO_REGS.
const NO_REGS: u32 = 0;

const SYS_OPEN: u64 = 2;
const SYS_MMAP: u64 = 9;
const O_RDWR: u64 = 2;
const PROT_READ_WRITE: u64 = 3;
const MAP_SHARED: u64 = 1;

/// What QEMU looks for: the API that this is written for.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: i32 = 2;

/// Where the count is; written once, before the guest runs.
static mut COUNT: *mut u64 = ptr::null_mut();

#[repr(C)]
pub struct Tb {
    _opaque: [u8; 0],
}
#[repr(C)]
pub struct Insn {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, cb: unsafe extern "C" fn(u64, *mut Tb));
    fn qemu_plugin_tb_n_insns(tb: *const Tb) -> usize;
    fn qemu_plugin_tb_get_insn(tb: *const Tb, index: usize) -> *mut Insn;
    fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn,
        cb: unsafe extern "C" fn(u32, *mut u64),
        flags: u32,
        data: *mut u64,
    );
}

unsafe fn syscall(number: u64, a: [u64; 6]) -> i64 {
    let returned;
    // SAFETY: by the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number => returned,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    returned
}

/// The guest has one CPU, so nobody else counts at the same time.
unsafe extern "C" fn executed(_vcpu: u32, count: *mut u64) {
    // SAFETY: COUNT, mapped for good.
    unsafe { count.write_volatile(count.read_volatile() + 1) };
}

unsafe extern "C" fn translated(_id: u64, tb: *mut Tb) {
    // SAFETY: QEMU hands over a block that is valid during this call.
    unsafe {
        for i in 0..qemu_plugin_tb_n_insns(tb) {
            let insn = qemu_plugin_tb_get_insn(tb, i);
            if qemu_plugin_insn_vaddr(insn) < USER_END {
                qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, NO_REGS, COUNT);
            }
        }
    }
}

/// QEMU's entry; the argument is `count=PATH` of a file of 8 bytes or more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const u8,
    argc: i32,
    argv: *const *const c_char,
) -> i32 {
    const NAME: &[u8] = b"count=";
    if argc != 1 {
        return -1;
    }
    // SAFETY: QEMU hands over `argc` C strings; the mapping is 4096 bytes and never unmapped.
    unsafe {
        let argument = (*argv).cast::<u8>();
        if NAME.iter().enumerate().any(|(i, c)| *argument.add(i) != *c) {
            return -1;
        }
        let path = argument.add(NAME.len()) as u64;
        let file = syscall(SYS_OPEN, [path, O_RDWR, 0, 0, 0, 0]);
        if file < 0 {
            return -1;
        }
        let map = [0, 4096, PROT_READ_WRITE, MAP_SHARED, file as u64, 0];
        let address = syscall(SYS_MMAP, map);
        if (-4095..0).contains(&address) {
            return -1;
        }
        COUNT = address as *mut u64;
        qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    }
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
