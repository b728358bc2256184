//! io_uring, as fio's io_uring engine uses it (engines/io_uring.c): each submission is one
//! io_uring_enter(2); completions are first looked for in the ring, and a second enter waits only
//! if there are too few.
//!
//! The ring is set up with all that the kernel knows of what fio asks for (a completion ring no
//! larger than the queue, cooperative task work, a single issuer, task work deferred to the
//! reaping), and what it refuses as unknown is left out, newest first. The report says what it was.

use super::{Queue, Setup, Stop};
use crate::fail::{Fail, Result};
use diorama_wire::{Sync, config};
use io_uring::{IoUring, Parameters, Probe, opcode, squeue, types};
use std::{arch::asm, io, os::fd::AsRawFd};

/// `IORING_ENTER_GETEVENTS` (include/uapi/linux/io_uring.h).
const GETEVENTS: u32 = 1;

/// Set-up flags beside the polling, newest last, with the release that brought each.
const SETUP: [&str; 4] = ["cqsize", "coop_taskrun", "single_issuer", "defer_taskrun"];

/// How many of [`SETUP`] are tried, one after the other: the last two go together.
const TRIES: [usize; 4] = [4, 2, 1, 0];

/// The opcodes that the engine may use.
const OPCODES: [(&str, u8); 4] = [
    ("read", opcode::Read::CODE),
    ("write", opcode::Write::CODE),
    ("read_fixed", opcode::ReadFixed::CODE),
    ("write_fixed", opcode::WriteFixed::CODE),
];

/// A kernel without io_uring, or that keeps it from user space.
const OPTION: &[&str] = &[config::IO_URING];

/// The engine. Dropping the ring cancels or awaits what is in flight.
pub struct Ring {
    ring: IoUring,
    features: Vec<String>,
    /// The file's descriptor, or its place among the registered ones.
    file: types::Fd,
    /// Says which.
    flags: squeue::Flags,
    buffers: Vec<u64>,
    block: u32,
    fixed_buffers: bool,
    rw_flags: i32,
    /// Completions taken last: slot and result.
    taken: Vec<(usize, i64)>,
}

/// Opens a ring with as many of [`SETUP`] as the kernel knows; returns how many those were.
fn set_up(depth: u32, poll: bool) -> Result<(IoUring, usize)> {
    let mut refused = io::Error::from_raw_os_error(libc::EINVAL);
    for count in TRIES {
        let mut builder = IoUring::builder();
        if poll {
            builder.setup_iopoll();
        }
        for name in &SETUP[..count] {
            match *name {
                "cqsize" => builder.setup_cqsize(depth),
                "coop_taskrun" => builder.setup_coop_taskrun(),
                "single_issuer" => builder.setup_single_issuer(),
                _ => builder.setup_defer_taskrun(),
            };
        }
        match builder.build(depth) {
            Ok(ring) => return Ok((ring, count)),
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => refused = e,
            Err(e) => {
                refused = e;
                break;
            }
        }
    }
    let doing = format!("io_uring_setup({depth})");
    Err(match refused.raw_os_error() {
        Some(libc::ENOSYS) => Fail::unsupported("the kernel has no io_uring_setup(2)", OPTION),
        Some(libc::EPERM) => Fail::unsupported(
            format!("{doing}: {refused} (sysctl kernel.io_uring_disabled?)"),
            OPTION,
        ),
        _ => Fail::os(doing, &refused),
    })
}

/// What the kernel says of itself in the set-up's parameters, by the names of `IORING_FEAT_*`.
fn kernel_features(p: &Parameters) -> Vec<String> {
    [
        ("single_mmap", p.is_feature_single_mmap()),
        ("nodrop", p.is_feature_nodrop()),
        ("submit_stable", p.is_feature_submit_stable()),
        ("rw_cur_pos", p.is_feature_rw_cur_pos()),
        ("fast_poll", p.is_feature_fast_poll()),
        ("ext_arg", p.is_feature_ext_arg()),
        ("native_workers", p.is_feature_native_workers()),
        ("rsrc_tags", p.is_feature_resource_tagging()),
        ("cqe_skip", p.is_feature_skip_cqe_on_success()),
        ("linked_file", p.is_feature_linked_file()),
        ("min_timeout", p.is_feature_min_timeout()),
    ]
    .into_iter()
    .filter(|(_, there)| *there)
    .map(|(name, _)| format!("feature:{name}"))
    .collect()
}

impl Queue for Ring {
    fn open(setup: &Setup<'_>) -> Result<Ring> {
        let workload = setup.workload;
        let options = workload.io_uring;
        let (ring, count) = set_up(workload.iodepth, options.hipri)?;
        let mut features: Vec<String> = SETUP[..count]
            .iter()
            .map(|name| format!("setup:{name}"))
            .collect();
        features.extend(options.hipri.then(|| "setup:iopoll".to_owned()));
        features.extend(kernel_features(ring.params()));
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(|e| {
            Fail::unsupported(
                format!("io_uring of this kernel cannot be probed (before 5.6): {e}"),
                &[],
            )
        })?;
        for (name, code) in OPCODES {
            if probe.is_supported(code) {
                features.push(format!("op:{name}"));
                continue;
            }
            return Err(Fail::unsupported(
                format!("io_uring of this kernel has no opcode {name} (before 5.6)"),
                &[],
            ));
        }
        let mut file = types::Fd(setup.file.as_raw_fd());
        let mut flags = squeue::Flags::empty();
        if options.registerfiles {
            ring.submitter()
                .register_files(&[setup.file.as_raw_fd()])
                .map_err(|e| Fail::os("io_uring_register IORING_REGISTER_FILES", &e))?;
            (file, flags) = (types::Fd(0), squeue::Flags::FIXED_FILE);
            features.push("use:registerfiles".to_owned());
        }
        if options.fixedbufs {
            let iovecs: Vec<libc::iovec> = setup
                .buffers
                .iter()
                .map(|&address| libc::iovec {
                    iov_base: address as *mut libc::c_void,
                    iov_len: workload.block_size as usize,
                })
                .collect();
            // SAFETY: the buffers outlive the ring, whose end unregisters them.
            unsafe { ring.submitter().register_buffers(&iovecs) }
                .map_err(|e| Fail::os("io_uring_register IORING_REGISTER_BUFFERS", &e))?;
            features.push("use:fixedbufs".to_owned());
        }
        Ok(Ring {
            ring,
            features,
            file,
            flags,
            buffers: setup.buffers.to_vec(),
            block: workload.block_size,
            fixed_buffers: options.fixedbufs,
            rw_flags: match workload.sync {
                Sync::RwfDsync => libc::RWF_DSYNC,
                Sync::None | Sync::Dsync => 0,
            },
            taken: vec![(0, 0); workload.iodepth as usize],
        })
    }

    fn features(&self) -> Vec<String> {
        self.features.clone()
    }

    #[inline]
    fn prepare(&mut self, _nth: usize, slot: usize, write: bool, offset: u64) {
        let entry = self
            .entry(slot, write, offset)
            .flags(self.flags)
            .user_data(slot as u64);
        // SAFETY: the slot's buffer and the file outlive the ring.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        // The ring has at least as many entries as there are slots.
        debug_assert!(pushed.is_ok());
    }

    #[inline]
    fn submit(&mut self, n: usize) -> Result<(), Stop> {
        let mut left = n;
        while left > 0 {
            let taken = self.enter(left as u32, 0);
            if taken == -i64::from(libc::EINTR) {
                continue;
            }
            if taken <= 0 {
                return Err(Stop::Submit("io_uring_enter", taken));
            }
            left = left.saturating_sub(taken as usize);
        }
        Ok(())
    }

    #[inline]
    fn reap(&mut self, min: usize, max: usize) -> Result<usize, Stop> {
        let mut n = 0;
        let max = max.min(self.taken.len());
        loop {
            for event in self.ring.completion().take(max - n) {
                self.taken[n] = (event.user_data() as usize, i64::from(event.result()));
                n += 1;
            }
            if n >= min {
                return Ok(n);
            }
            let r = self.enter(0, (min - n) as u32);
            if r < 0 && r != -i64::from(libc::EINTR) {
                return Err(Stop::Reap("io_uring_enter", r));
            }
        }
    }

    #[inline(always)]
    fn completion(&self, nth: usize) -> (usize, i64) {
        self.taken[nth]
    }
}

impl Ring {
    #[inline(always)]
    fn entry(&self, slot: usize, write: bool, offset: u64) -> squeue::Entry {
        let file = self.file;
        let buffer = self.buffers[slot] as *mut u8;
        // At most 4096 slots.
        let index = slot as u16;
        match (write, self.fixed_buffers) {
            (false, false) => opcode::Read::new(file, buffer, self.block)
                .offset(offset)
                .build(),
            (true, false) => opcode::Write::new(file, buffer, self.block)
                .offset(offset)
                .rw_flags(self.rw_flags)
                .build(),
            (false, true) => opcode::ReadFixed::new(file, buffer, self.block, index)
                .offset(offset)
                .build(),
            (true, true) => opcode::WriteFixed::new(file, buffer, self.block, index)
                .offset(offset)
                .rw_flags(self.rw_flags)
                .build(),
        }
    }

    /// io_uring_enter(2): how many submissions it took, or a negative errno. It always does the
    /// completions' pending work, as fio's engine asks for.
    #[inline(always)]
    fn enter(&self, submit: u32, min: u32) -> i64 {
        let returned;
        // SAFETY: io_uring_enter(ring, submit, min, GETEVENTS, NULL, 0); the entries are valid
        // (`prepare`). The kernel writes to the buffers and the ring only, which the compiler must
        // take to be changed.
        unsafe {
            asm!("syscall",
                inlateout("rax") libc::SYS_io_uring_enter => returned,
                in("rdi") i64::from(self.ring.as_raw_fd()), in("rsi") u64::from(submit),
                in("rdx") u64::from(min), in("r10") u64::from(GETEVENTS),
                in("r8") 0u64, in("r9") 0u64,
                lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        returned
    }
}
