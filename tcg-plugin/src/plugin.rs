//! The part that QEMU loads (include/qemu/qemu-plugin.h of QEMU, API version 3, which 9.1 and
//! later take).
//!
//! Arguments: `out=PATH` of a file that exists, `mark=N`, `profile=all|first|none`, `windows=N`, `cpus=N`,
//! `exceptions=ADDRESS[:ADDRESS]..`, the entries of exceptions that are to be counted.
//!
//! `profile=all` counts and follows calls from the start, and records every window. Otherwise
//! calls are followed from [`PROFILE`] on, for one window, if it is `first`. With several CPUs nothing but
//! marks is looked for until [`COUNT`], and behind the last of `windows=N`.

use crate::{
    calls::{Block, Calls, USER_END},
    cpus::Cpus,
    decode::{self, End},
    format::{Dump, Window},
};
use alloc::{boxed::Box, vec, vec::Vec};
use core::{
    alloc::{GlobalAlloc, Layout},
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

/// The agent's marks (`diorama_wire::Mark`): count from here on.
const COUNT: u8 = 1;
/// The windows that follow may be profiled.
const PROFILE: u8 = 2;
/// A window opens.
const OPEN: u8 = 3;
/// It closes.
const CLOSE: u8 = 4;
/// All is measured.
const END: u8 = 5;

/// No instruction of x86-64 is longer.
const LONGEST: usize = 15;

/// What QEMU looks for: the API that this is written for.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, missing_docs, reason = "QEMU's name")]
pub static qemu_plugin_version: c_int = 3;

#[repr(C)]
struct Tb {
    _opaque: [u8; 0],
}
#[repr(C)]
struct Insn {
    _opaque: [u8; 0],
}
#[repr(C)]
struct Scoreboard {
    _opaque: [u8; 0],
}
/// `qemu_plugin_u64`
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    score: *mut Scoreboard,
    offset: usize,
}

/// `enum qemu_plugin_cb_flags`: QEMU_PLUGIN_CB_NO_REGS
const NO_REGS: c_int = 0;
/// `enum qemu_plugin_mem_rw`: QEMU_PLUGIN_MEM_R
const READS: c_int = 1;
/// `enum qemu_plugin_op`: QEMU_PLUGIN_INLINE_ADD_U64
const ADD: c_int = 0;
/// `enum qemu_plugin_cond`: QEMU_PLUGIN_COND_NE
const NE: c_int = 3;

type OnBlock = unsafe extern "C" fn(u32, *mut c_void);
type OnMemory = unsafe extern "C" fn(u32, u32, u64, *mut c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_init_cb(id: u64, cb: unsafe extern "C" fn(u64, u32));
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, cb: unsafe extern "C" fn(u64, *mut Tb));
    fn qemu_plugin_reset(id: u64, cb: unsafe extern "C" fn(u64));
    fn qemu_plugin_tb_n_insns(tb: *const Tb) -> usize;
    fn qemu_plugin_tb_vaddr(tb: *const Tb) -> u64;
    fn qemu_plugin_tb_get_insn(tb: *const Tb, index: usize) -> *mut Insn;
    fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    fn qemu_plugin_insn_size(insn: *const Insn) -> usize;
    fn qemu_plugin_insn_data(insn: *const Insn, to: *mut u8, len: usize) -> usize;
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        tb: *mut Tb,
        cb: OnBlock,
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_tb_exec_cond_cb(
        tb: *mut Tb,
        cb: OnBlock,
        flags: c_int,
        cond: c_int,
        entry: Entry,
        imm: u64,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn,
        cb: OnBlock,
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        insn: *mut Insn,
        op: c_int,
        entry: Entry,
        imm: u64,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut Insn,
        cb: OnMemory,
        flags: c_int,
        rw: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_scoreboard_new(size: usize) -> *mut Scoreboard;
    fn qemu_plugin_u64_sum(entry: Entry) -> u64;
    fn qemu_plugin_u64_set(entry: Entry, vcpu: u32, value: u64);

    fn malloc(size: usize) -> *mut c_void;
    fn realloc(old: *mut c_void, size: usize) -> *mut c_void;
    fn free(old: *mut c_void);
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn open(path: *const c_char, flags: c_int) -> c_int;
    fn pwrite(fd: c_int, from: *const c_void, len: usize, at: i64) -> isize;
    fn ftruncate(fd: c_int, len: i64) -> c_int;
    fn abort() -> !;
}

/// The C library's allocator.
struct Malloc;

/// What malloc(3) aligns to.
const ALIGNED: usize = 16;

// SAFETY: malloc(3) and its relatives keep GlobalAlloc's promises for alignments up to 16;
// aligned_alloc(3) does for larger ones.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: sizes as the caller promises them; both may return null, which is allowed.
        unsafe {
            if layout.align() <= ALIGNED {
                malloc(layout.size()).cast()
            } else {
                let size = layout.size().next_multiple_of(layout.align());
                aligned_alloc(layout.align(), size).cast()
            }
        }
    }

    unsafe fn dealloc(&self, old: *mut u8, _: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { free(old.cast()) };
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: it came from `alloc`; realloc(3) keeps malloc's alignment.
        unsafe {
            if layout.align() <= ALIGNED {
                return realloc(old.cast(), size).cast();
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(old, new, layout.size().min(size));
                self.dealloc(old, layout);
            }
            new
        }
    }
}

#[global_allocator]
static ALLOCATOR: Malloc = Malloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: takes nothing. The harness sees QEMU end, and the cell fails: better than a wrong count.
    unsafe { abort() }
}

/// What is looked for in what the guest executes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Marks.
    Marks,
    /// Marks and the number of instructions.
    Count,
    /// All of it and who calls whom.
    Calls,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    All,
    First,
    None,
}

/// How executed instructions are counted.
enum Count {
    /// By additions in the translated code.
    Inline(Entry),
    /// By calls, for guests with several CPUs, of all together: slower. In QEMU 10.0 the inline addition
    /// multiplies the CPU's index, which is a constant of the block while all CPUs are executed in one
    /// thread, in place: from the second addition in a block on, those of any CPU but the first go astray.
    Calls(u64),
}

struct Plugin {
    id: u64,
    mark: u32,
    profile: Profile,
    look: Look,
    /// Not zero while calls are followed, for guests with one CPU.
    follows: Entry,
    cpus: Cpus,
    count: Count,
    /// Where exceptions enter the kernel, and instructions that one stopped after they were counted.
    entries: Vec<u64>,
    stopped: u64,
    calls: Calls,
    windows: Vec<Window>,
    /// How many there will be, if it is known.
    expected: Option<usize>,
    /// Whether windows are counted.
    windows_count: bool,
    /// Whether they may be profiled.
    may_profile: bool,
    /// The window that is open: its count, and whether it is recorded.
    open: Option<(u64, bool)>,
    out: c_int,
}

/// Made once, before the guest runs.
static mut PLUGIN: *mut Plugin = ptr::null_mut();

/// QEMU executes all CPUs in one thread here, and calls from it alone.
fn plugin() -> &'static mut Plugin {
    // SAFETY: set before any callback is registered, never freed, and used by one thread, in
    // callbacks that do not nest.
    unsafe { &mut *PLUGIN }
}

impl Plugin {
    /// Instructions executed by all CPUs together.
    fn counted(&self) -> u64 {
        match &self.count {
            // SAFETY: the entry is the plugin's own.
            Count::Inline(entry) => unsafe { qemu_plugin_u64_sum(*entry) },
            Count::Calls(count) => *count,
        }
    }

    /// Has the execution of an instruction, before it begins, add to the count.
    ///
    /// # Safety
    /// While QEMU translates the block that the instruction is of.
    unsafe fn count(&self, insn: *mut Insn, instructions: u64) {
        // SAFETY: as the caller promises.
        unsafe {
            match &self.count {
                Count::Inline(entry) => qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
                    insn,
                    ADD,
                    *entry,
                    instructions,
                ),
                Count::Calls(_) => {
                    let data = instructions as *mut c_void;
                    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_count, NO_REGS, data);
                }
            }
        }
    }

    /// From the next block on, something else is looked for.
    ///
    /// What a guest with one CPU executes is translated once, for all there is to look for, and a flag says
    /// whether calls are followed: translating it anew costs as much as the flag does, and interrupts the guest.
    /// Guests with several CPUs are translated anew: counting their boot by calls would take a minute.
    fn change(&mut self, look: Look) {
        if self.look == look {
            return;
        }
        self.look = look;
        // SAFETY: the entry is the plugin's own; QEMU calls back once no block of before is left.
        unsafe {
            match self.cpus.number {
                1 => qemu_plugin_u64_set(self.follows, 0, u64::from(look == Look::Calls)),
                _ => qemu_plugin_reset(self.id, again),
            }
        }
    }

    fn record(&mut self, on: bool) {
        let count = self.counted();
        self.calls.record(count, on);
    }

    fn marked(&mut self, code: u8) {
        match code {
            COUNT => {
                self.windows_count = true;
                if self.look == Look::Marks {
                    self.change(Look::Count);
                }
            }
            PROFILE => {
                self.may_profile = true;
                if self.profile == Profile::First {
                    self.change(Look::Calls);
                }
            }
            // Windows before that mark (fio's first run of one I/O) are nobody's.
            OPEN if self.open.is_none() && self.windows_count => {
                let recorded = self.may_profile && self.look == Look::Calls;
                if recorded {
                    self.record(true);
                }
                self.open = Some((self.counted(), recorded));
            }
            CLOSE => {
                let Some((open, profiled)) = self.open.take() else {
                    return;
                };
                if profiled {
                    self.record(false);
                }
                self.windows.push(Window {
                    profiled,
                    open,
                    close: self.counted(),
                });
                if self.expected == Some(self.windows.len()) {
                    self.change(Look::Marks);
                } else if profiled && self.profile == Profile::First {
                    self.change(Look::Count);
                }
            }
            END => self.write(),
            _ => {}
        }
    }

    fn write(&self) {
        let slots = self.calls.slots().iter().filter(|s| s.insns > 0);
        let dump = Dump {
            executed: self.counted(),
            stopped: self.stopped,
            windows: self.windows.clone(),
            nodes: self.calls.nodes().to_vec(),
            slots: slots.copied().collect(),
        };
        let bytes = dump.encode();
        // SAFETY: an open descriptor and a valid buffer.
        unsafe {
            ftruncate(self.out, 0);
            let mut done = 0;
            while done < bytes.len() {
                let rest = &bytes[done..];
                let n = pwrite(self.out, rest.as_ptr().cast(), rest.len(), done as i64);
                if n <= 0 {
                    abort();
                }
                done += n as usize;
            }
        }
    }
}

unsafe extern "C" fn on_mark(_: u32, code: *mut c_void) {
    plugin().marked(code as usize as u8);
}

unsafe extern "C" fn on_count(_: u32, instructions: *mut c_void) {
    if let Count::Calls(count) = &mut plugin().count {
        *count += instructions as u64;
    }
}

unsafe extern "C" fn on_block(_: u32, block: *mut c_void) {
    let plugin = plugin();
    let count = plugin.counted();
    let cpu = plugin.cpus.executing();
    // SAFETY: made in `translated` and never freed.
    let block = unsafe { &mut *block.cast::<Block>() };
    let left_early = plugin.calls.executes(cpu, count, block);
    plugin.stopped += u64::from(left_early && block.is_entry);
}

unsafe extern "C" fn on_switch(_: u32, _: u32, address: u64, _: *mut c_void) {
    let plugin = plugin();
    if plugin.look != Look::Calls {
        return;
    }
    let count = plugin.counted();
    plugin.calls.switches(count, address);
}

unsafe extern "C" fn again(id: u64) {
    // SAFETY: QEMU's own id.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
}

/// There is no CPU yet when the plugin is loaded, and so no entry that could be set.
unsafe extern "C" fn on_cpu(_: u64, vcpu: u32) {
    let plugin = plugin();
    plugin.cpus.appears();
    if plugin.profile == Profile::All {
        // SAFETY: the entry is the plugin's own.
        unsafe { qemu_plugin_u64_set(plugin.follows, vcpu, 1) };
    }
}

unsafe extern "C" fn translated(_: u64, tb: *mut Tb) {
    let plugin = plugin();
    // SAFETY: QEMU hands over a block that is valid during this call.
    unsafe {
        let pc = qemu_plugin_tb_vaddr(tb);
        let look = match (plugin.cpus.number, plugin.profile) {
            (1, Profile::None) => Look::Count,
            (1, _) => Look::Calls,
            _ => plugin.look,
        };
        if look == Look::Marks && pc >= USER_END {
            return;
        }
        let n = qemu_plugin_tb_n_insns(tb);
        let mut end = End::Other;
        let mut after = pc;
        // Instructions since the last that was made to count.
        let mut uncounted = 0;
        for i in 0..n {
            let insn = qemu_plugin_tb_get_insn(tb, i);
            let at = qemu_plugin_insn_vaddr(insn);
            let mut bytes = [0; LONGEST];
            let len = qemu_plugin_insn_data(insn, bytes.as_mut_ptr(), LONGEST).min(LONGEST);
            let bytes = &bytes[..len];
            let mark = match at < USER_END {
                true => decode::marked(bytes, plugin.mark),
                false => None,
            };
            if let Some(code) = mark {
                // Callbacks see the count before their instruction.
                if uncounted > 0 {
                    plugin.count(insn, uncounted);
                    uncounted = 0;
                }
                let data = usize::from(code) as *mut c_void;
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, NO_REGS, data);
            }
            if look == Look::Marks {
                continue;
            }
            if look == Look::Calls && at >= USER_END && decode::switches_stack(bytes) {
                qemu_plugin_register_vcpu_mem_cb(insn, on_switch, NO_REGS, READS, ptr::null_mut());
            }
            uncounted += 1;
            // Each addition costs as much as an instruction or two, and nobody looks before the
            // block can be left.
            if i + 1 == n || !decode::stays(bytes, at >= USER_END) {
                plugin.count(insn, uncounted);
                uncounted = 0;
            }
            if i + 1 == n {
                end = decode::end(at, bytes);
                after = at + qemu_plugin_insn_size(insn) as u64;
            }
        }
        if look == Look::Calls {
            let mut block = Box::new(Block::new(pc, after, n as u64, end));
            block.is_entry = plugin.entries.contains(&pc);
            let data = Box::into_raw(block).cast();
            match plugin.cpus.number {
                1 => qemu_plugin_register_vcpu_tb_exec_cond_cb(
                    tb,
                    on_block,
                    NO_REGS,
                    NE,
                    plugin.follows,
                    0,
                    data,
                ),
                _ => qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGS, data),
            }
        }
    }
}

struct Arguments {
    out: c_int,
    mark: u32,
    profile: Profile,
    windows: Option<usize>,
    cpus: u32,
    exceptions: Vec<u64>,
}

/// The arguments, each a C string `name=value`.
unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Option<Arguments> {
    let mut found = Arguments {
        out: -1,
        mark: 0,
        profile: Profile::None,
        windows: None,
        cpus: 1,
        exceptions: vec![],
    };
    for i in 0..usize::try_from(argc).ok()? {
        // SAFETY: QEMU hands over `argc` C strings.
        let argument = unsafe { CStr::from_ptr(*argv.add(i)) };
        let text = argument.to_str().ok()?;
        let (name, value) = text.split_once('=')?;
        match name {
            // O_RDWR; the value ends where the argument does.
            "out" => {
                // SAFETY: a C string.
                found.out = unsafe { open(argument.as_ptr().add(name.len() + 1), 2) };
            }
            "mark" => found.mark = value.parse().ok()?,
            "exceptions" => {
                let addresses = value.split(':').map(|a| u64::from_str_radix(a, 16));
                found.exceptions = addresses.collect::<Result<_, _>>().ok()?;
            }
            "windows" => found.windows = Some(value.parse().ok()?),
            "cpus" => found.cpus = value.parse().ok()?,
            "profile" => {
                found.profile = match value {
                    "all" => Profile::All,
                    "first" => Profile::First,
                    "none" => Profile::None,
                    _ => return None,
                };
            }
            _ => return None,
        }
    }
    (found.out >= 0 && found.mark != 0 && found.cpus > 0).then_some(found)
}

/// QEMU's entry.
///
/// # Safety
/// To be called by QEMU alone, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: as QEMU promises; nothing else runs yet.
    unsafe {
        let Some(arguments) = arguments(argc, argv) else {
            return -1;
        };
        let entry = || Entry {
            score: qemu_plugin_scoreboard_new(8),
            offset: 0,
        };
        let count = match arguments.cpus {
            1 => Count::Inline(entry()),
            _ => Count::Calls(0),
        };
        let made = Plugin {
            id,
            mark: arguments.mark,
            profile: arguments.profile,
            look: match arguments.profile {
                Profile::All => Look::Calls,
                _ => Look::Marks,
            },
            follows: entry(),
            cpus: Cpus::new(arguments.cpus),
            count,
            entries: arguments.exceptions,
            stopped: 0,
            calls: Calls::new(arguments.cpus as usize),
            windows: vec![],
            expected: arguments.windows,
            windows_count: false,
            may_profile: false,
            open: None,
            out: arguments.out,
        };
        PLUGIN = Box::into_raw(Box::new(made));
        qemu_plugin_register_vcpu_init_cb(id, on_cpu);
        qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    }
    0
}
