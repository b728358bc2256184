//! Which CPU executes.
//!
//! While QEMU 10.0 executes several CPUs in one thread, the index that it hands to a callback is that of
//! the CPU for which the block was translated first, and not of the one that executes it
//! (accel/tcg/plugin-gen.c, `gen_cpu_index`: a constant wherever CF_PARALLEL is not set). The kernel's
//! own area per CPU tells them apart: the base of GS, or, outside the kernel, the one that SWAPGS will
//! bring.

use crate::calls::USER_END;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};

/// `qemu_plugin_reg_descriptor`
#[repr(C)]
struct Descriptor {
    handle: *mut c_void,
    name: *const c_char,
    _feature: *const c_char,
}

/// GLib's `GArray` and `GByteArray`, as far as they are public.
#[repr(C)]
struct Array<T> {
    data: *mut T,
    len: c_uint,
}

unsafe extern "C" {
    fn qemu_plugin_get_registers() -> *mut Array<Descriptor>;
    fn qemu_plugin_read_register(handle: *mut c_void, to: *mut Array<u8>) -> c_int;
    fn g_byte_array_new() -> *mut Array<u8>;
    fn g_byte_array_set_size(array: *mut Array<u8>, len: c_uint) -> *mut Array<u8>;
}

/// The registers that are read: the base of GS, and the one that it is exchanged for.
const BASES: [&CStr; 2] = [c"gs_base", c"k_gs_base"];

/// Where the kernel itself is mapped (Documentation/arch/x86/x86_64/mm.rst of Linux); its early boot uses an
/// area in there.
const KERNEL_IMAGE: u64 = 0xffff_ffff_8000_0000;

/// A guest's CPUs.
pub(crate) struct Cpus {
    /// How many.
    pub(crate) number: u32,
    registers: Option<Registers>,
    /// The areas seen so far; an index is a CPU's, in the order in which they came.
    areas: Vec<u64>,
}

struct Registers {
    bases: [*mut c_void; 2],
    bytes: *mut Array<u8>,
}

impl Cpus {
    pub(crate) fn new(number: u32) -> Cpus {
        Cpus {
            number,
            registers: None,
            areas: Vec::new(),
        }
    }

    /// To be called where QEMU says that there is a CPU now: before, there are no registers.
    pub(crate) fn appears(&mut self) {
        if self.number > 1 && self.registers.is_none() {
            self.registers = Some(Registers::find());
        }
    }

    /// Index of the CPU that executes; to be called while one does.
    pub(crate) fn executing(&mut self) -> usize {
        let Some(registers) = &self.registers else {
            return 0;
        };
        let mut bases = registers.bases.iter().map(|base| registers.read(*base));
        // Until the kernel has made its areas, which lie below its own image, its first CPU alone executes.
        let Some(area) = bases.find(|base| (USER_END..KERNEL_IMAGE).contains(base)) else {
            return 0;
        };
        if let Some(cpu) = self.areas.iter().position(|a| *a == area) {
            return cpu;
        }
        // Never more CPUs than there are, whatever a guest sets.
        if self.areas.len() < self.number as usize {
            self.areas.push(area);
        }
        self.areas.len() - 1
    }
}

impl Registers {
    /// # Panics
    /// Where QEMU has no such registers: chains of several CPUs would be mixed up.
    fn find() -> Registers {
        // SAFETY: QEMU hands over descriptors whose names are C strings, in a list of this length.
        let found = unsafe {
            let list = &*qemu_plugin_get_registers();
            core::slice::from_raw_parts(list.data, list.len as usize)
        };
        let handle = |name: &CStr| {
            // SAFETY: as above.
            let mut all = found.iter();
            let one = all.find(|register| unsafe { CStr::from_ptr(register.name) } == name);
            one.expect("x86-64 has its segments' bases").handle
        };
        Registers {
            bases: BASES.map(handle),
            // SAFETY: takes nothing.
            bytes: unsafe { g_byte_array_new() },
        }
    }

    fn read(&self, handle: *mut c_void) -> u64 {
        // SAFETY: an array of GLib's own, a handle of QEMU's, and a CPU that executes. The bases are not among
        // the registers that QEMU keeps elsewhere while a block is executed.
        unsafe {
            g_byte_array_set_size(self.bytes, 0);
            if qemu_plugin_read_register(handle, self.bytes) != 8 {
                return 0;
            }
            (*self.bytes).data.cast::<u64>().read_unaligned()
        }
    }
}
