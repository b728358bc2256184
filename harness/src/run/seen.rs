//! What the plugin saw of a cell, held against what the guest reported (pure).

use crate::{
    error::{Error, Result},
    profile::{Stacks, Symbols, drive},
    record::{DriveWork, Instructions},
};
use diorama_tcg_plugin::{
    calls::Slot,
    format::{Dump, Window},
};
use diorama_wire::{CellReport, Job};

/// What was executed in a cell's windows, and what the kernel calls it.
#[derive(Clone, Debug)]
pub struct Seen {
    dump: Dump,
    /// Chains of functions with their instructions, of the profiled windows together.
    pub stacks: Stacks,
    /// The same stretch as [`Seen::executed`] by QEMU's own instruction counter, up to and with the
    /// instruction that stopped the guest; absent where it keeps none or the guest does not stop.
    pub icount: Option<u64>,
    /// Whether the plugin knew where exceptions enter the kernel.
    pub(super) faults_known: bool,
    named: bool,
}

impl Seen {
    /// From the plugin's own words.
    ///
    /// # Errors
    /// When they are none, or do not add up.
    pub fn new(words: &[u8], symbols: &Symbols) -> Result<Seen> {
        let dump = Dump::decode(words).ok_or_else(|| {
            Error::internal(format!(
                "the plugin wrote {} bytes that are not a profile",
                words.len()
            ))
            .hint("rebuild the plugin with `cargo xtask agent`")
        })?;
        let frames = frames(&dump);
        if frames > MOST_FRAMES {
            return Err(Error::internal(format!(
                "the profile has chains of {frames} calls together; at most {MOST_FRAMES} are believed"
            )));
        }
        let stacks = Stacks::new(&dump, symbols);
        let profiled = dump.windows.iter().filter(|w| w.profiled);
        let profiled = profiled.fold(0u64, |sum, w| sum.saturating_add(executed(w)));
        if stacks.instructions != profiled {
            return Err(Error::internal(format!(
                "the profile holds {} instructions of the {profiled} executed in its windows",
                stacks.instructions
            )));
        }
        Ok(Seen {
            dump,
            stacks,
            icount: None,
            faults_known: false,
            named: !symbols.is_empty(),
        })
    }

    /// Instructions executed since the guest was started or restored; exact where all windows are
    /// profiled.
    #[must_use]
    pub fn executed(&self) -> u64 {
        self.dump.executed
    }

    /// Instructions among [`Seen::executed`] that an exception stopped before their end: they are begun
    /// again, and QEMU counts them once. Absent where the kernel's functions were not known before.
    #[must_use]
    pub fn faults(&self) -> Option<u64> {
        self.faults_known.then_some(self.dump.stopped)
    }

    /// The figures that go into the record.
    ///
    /// # Errors
    /// When there is not one window for each repetition.
    pub fn instructions(&self, guest: &CellReport) -> Result<Instructions> {
        let around = around(guest.fio.is_some());
        let windows = &self.dump.windows;
        if windows.len() != guest.repetitions.len() + around {
            return Err(Error::internal(format!(
                "the plugin saw {} windows of {} repetitions",
                windows.len(),
                guest.repetitions.len()
            )));
        }
        let (overhead, windows) = windows.split_at(around);
        let overhead = (overhead.iter()).fold(0u64, |sum, w| sum.saturating_add(executed(w)));
        let executed = windows
            .iter()
            .map(|w| executed(w).saturating_sub(overhead))
            .collect();
        let ios = guest
            .repetitions
            .iter()
            .zip(windows)
            .filter(|(_, window)| window.profiled)
            .fold(0u64, |sum, (r, _)| sum.saturating_add(r.span_ios));
        Ok(Instructions {
            executed,
            drive: self.named.then(|| DriveWork {
                ios,
                instructions: drive::instructions(&self.stacks),
            }),
        })
    }
}

/// How many calls the chains of a profile may have together: a million of 32 each. The plugin's words are
/// QEMU's, and without a limit they would take memory by the square of their length.
const MOST_FRAMES: u64 = 1 << 25;

/// How many calls the chains have together; a parent comes before its children.
fn frames(dump: &Dump) -> u64 {
    let mut depths: Vec<u64> = Vec::with_capacity(dump.nodes.len());
    for node in &dump.nodes {
        let above = depths.get(node.parent as usize).copied().unwrap_or(0);
        depths.push(above + 1);
    }
    let of = |slot: &Slot| depths.get(slot.node as usize).copied().unwrap_or(0);
    (dump.slots.iter()).fold(0, |sum, slot| sum.saturating_add(of(slot)))
}

/// How many windows a job opens.
pub(super) fn windows(job: &Job) -> u32 {
    job.measure.repetitions + around(job.fio.is_some()) as u32
}

/// fio's cells begin with a window for what fio costs besides its I/Os.
fn around(fio: bool) -> usize {
    usize::from(fio)
}

fn executed(window: &Window) -> u64 {
    window.close - window.open
}
