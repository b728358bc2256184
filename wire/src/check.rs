//! Which workloads are refused: those that would not measure what they say. The agent refuses them,
//! and the harness writes none.

use crate::{Batch, Bound, Device, Engine, FsKind, IoUring, Layout, Rw, Sync, Workload};

impl Workload {
    /// No queue is deeper.
    pub const MAX_DEPTH: u32 = 4096;

    /// No workload has more threads.
    pub const MAX_JOBS: u32 = 64;

    /// Why a file under test cannot have this name, if it cannot.
    #[must_use]
    pub fn refused_name(name: &str) -> Option<&'static str> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || name.len() > 64 || !name.chars().all(known) {
            return Some(
                "is not up to 64 letters, digits, '.', '_', '+' and '-', a letter or digit first",
            );
        }
        let mut own = FsKind::ALL.iter().flat_map(|kind| kind.facts().own);
        own.any(|own| *own == name)
            .then_some("is what a file system calls a directory of its own")
    }

    /// Refuses a workload that would not measure what it says on this device, as far as that is known
    /// of it.
    ///
    /// # Errors
    /// Says why.
    pub fn check(&self, device: &Device) -> Result<(), String> {
        // No drive has smaller blocks.
        let device_block = device.block_size().unwrap_or(512);
        let block = self.block_size;
        if block > Workload::MAX_BLOCK {
            return Err(format!(
                "block_size {block} is more than {}",
                Workload::MAX_BLOCK
            ));
        }
        if device_block == 0 || block == 0 || !block.is_multiple_of(device_block.max(512)) {
            return Err(format!(
                "block_size {block} is no multiple of the device's {device_block}"
            ));
        }
        if self.numjobs == 0 || self.numjobs > Workload::MAX_JOBS {
            return Err(format!(
                "numjobs {} is not 1 to {}",
                self.numjobs,
                Workload::MAX_JOBS
            ));
        }
        queue(self)?;
        durability(self)?;
        layout(self)?;
        shared(self)?;
        let Some(room) = device.size().map(|size| size / 4 * 3) else {
            return Ok(());
        };
        match self.footprint() {
            Some(bytes) if bytes <= room => Ok(()),
            _ => Err(format!(
                "the files become larger than 3/4 of the device, {room} bytes"
            )),
        }
    }

    /// What all files grow to in a repetition, in bytes: what the device must hold.
    #[must_use]
    pub fn footprint(&self) -> Option<u64> {
        let each = match (self.layout.grows(), self.bound) {
            (true, Bound::Ios(ios)) => ios
                .checked_mul(self.block_size.into())
                .and_then(|more| more.checked_add(self.file_length())),
            _ => Some(self.file_length()),
        };
        each?.checked_mul(self.files().into())
    }
}

impl Rw {
    /// The deepest queue with which no two I/Os are in flight on one of a file's blocks: one pass over
    /// it ends and the next begins in another order.
    #[must_use]
    pub fn deepest(self, blocks: u64) -> u64 {
        if self.is_random() {
            (blocks / 2).max(1)
        } else {
            blocks
        }
    }
}

fn queue(w: &Workload) -> Result<(), String> {
    let Batch {
        submit,
        complete_min: min,
        complete_max: max,
    } = w.batch;
    let depth = w.iodepth;
    if depth == 0 || depth > Workload::MAX_DEPTH {
        return Err(format!(
            "iodepth {depth} is not 1 to {}",
            Workload::MAX_DEPTH
        ));
    }
    if w.engine == Engine::Psync && depth != 1 {
        return Err(format!("psync has iodepth 1, not {depth}"));
    }
    if submit == 0 || submit > depth || min == 0 || min > max || max > depth {
        return Err(format!(
            "batch {submit}, {min} to {max} does not fit iodepth {depth}"
        ));
    }
    if w.engine != Engine::IoUring && w.io_uring != IoUring::default() {
        return Err(format!("io_uring's options with {}", w.engine.name()));
    }
    if w.rwmixread > 100 {
        return Err(format!("rwmixread {} is no percentage", w.rwmixread));
    }
    Ok(())
}

fn durability(w: &Workload) -> Result<(), String> {
    if w.rw.writes() || (w.sync == Sync::None && w.fdatasync == 0) {
        return Ok(());
    }
    Err(format!(
        "sync {} and fdatasync {} without writes",
        w.sync.name(),
        w.fdatasync
    ))
}

/// A shared file lasts: who laid it out anew would do so below the others.
fn shared(w: &Workload) -> Result<(), String> {
    let (name, step) = (&w.filename, w.offset_increment);
    if !w.shares_a_file() {
        return match step {
            0 => Ok(()),
            _ => Err(format!("offset_increment {step} without a filename")),
        };
    }
    if let Some(why) = Workload::refused_name(name) {
        return Err(format!("filename {name:?} {why}"));
    }
    if !step.is_multiple_of(w.block_size.into()) {
        return Err(format!(
            "offset_increment {step} is no multiple of block_size {}",
            w.block_size
        ));
    }
    if w.layout != Layout::Written && w.numjobs > 1 {
        let layout = w.layout.name();
        return Err(format!("layout {layout} of a file that threads share"));
    }
    Ok(())
}

fn layout(w: &Workload) -> Result<(), String> {
    let (size, block) = (w.file_size, u64::from(w.block_size));
    let (name, rw) = (w.layout.name(), w.rw.name());
    let fits = match w.layout {
        Layout::Written => true,
        Layout::Unwritten => matches!(w.rw, Rw::Write | Rw::Randwrite),
        Layout::Extending | Layout::Append => w.rw == Rw::Write,
    };
    if !fits {
        return Err(format!("layout {name} with rw {rw}"));
    }
    if w.layout == Layout::Extending {
        if size != 0 {
            return Err(format!("layout {name} with file_size {size}"));
        }
    } else if size == 0 || !size.is_multiple_of(block) {
        return Err(format!(
            "file_size {size} is no multiple of block_size {block}"
        ));
    } else if !w.layout.grows() && u64::from(w.iodepth) > w.rw.deepest(size / block) {
        return Err(format!(
            "iodepth {} does not fit a file of {} blocks, {rw}",
            w.iodepth,
            size / block
        ));
    }
    match (w.layout, w.bound) {
        (_, Bound::Ios(0) | Bound::Runtime(0)) => Err("a bound of 0".into()),
        (Layout::Written, _) => Ok(()),
        (_, Bound::Runtime(_)) => Err(format!("layout {name} with a bound in time")),
        (Layout::Unwritten, Bound::Ios(ios)) if ios > size / block => Err(format!(
            "{ios} I/Os do not fit a file of {} blocks, {name}",
            size / block
        )),
        (_, Bound::Ios(_)) => Ok(()),
    }
}
