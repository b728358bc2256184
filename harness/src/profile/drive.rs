//! The model device's moving of data: what a real drive's DMA does without the CPU.
//!
//! Request handling and its timer are not in it: they stand for what a real drive's driver costs.

use super::{Stack, Stacks, USER};
use std::collections::BTreeSet;

/// How a frame of null_blk's ends where it is a module.
const MODULE: &str = " [null_blk]";

/// null_blk's functions that find and move a request's data (drivers/block/null_blk, 5.4 to 7.2).
/// Which of them a compiler leaves standing differs.
const MOVERS: [&str; 13] = [
    "null_process_cmd",
    "null_handle_data_transfer",
    "null_handle_memory_backed",
    "null_handle_rq",
    "null_handle_bio",
    "null_transfer",
    "copy_to_nullb",
    "copy_from_nullb",
    "null_lookup_page",
    "__null_lookup_page",
    "null_insert_page",
    "null_radix_tree_insert",
    "null_flush_cache_page",
];

/// Where the kernel is entered by an interrupt or an exception, and left again, and where it takes
/// the CPU away from a task: what is executed there, and called from there, has nothing to do with
/// what was interrupted (arch/x86/entry/entry_64.S, kernel/sched/core.c). Since 5.8 most names of
/// entries begin alike.
const ENTRIES: &str = "asm_";
/// Beginnings of functions that are called, all the same.
const NO_ENTRIES: [&str; 2] = ["asm_load_gs_index", "asm_call_"];
const OTHER_ENTRIES: [&str; 16] = [
    "preempt_schedule_thunk",
    "___preempt_schedule",
    "preempt_schedule",
    "preempt_schedule_irq",
    "__schedule",
    "irq_entries_start",
    "common_interrupt",
    "common_interrupt_return",
    "apic_timer_interrupt",
    "interrupt_entry",
    "page_fault",
    "error_entry",
    "error_return",
    "ret_from_intr",
    "restore_regs_and_return_to_kernel",
    "native_iret",
];

/// Tells in one profile what moves data.
#[derive(Clone, Debug, Default)]
pub struct Mover<'a> {
    /// Functions that have the loop over a request's segments inlined.
    loops: BTreeSet<&'a str>,
}

impl<'a> Mover<'a> {
    /// For the chains of this profile.
    #[must_use]
    pub fn of(stacks: &'a Stacks) -> Mover<'a> {
        Mover {
            loops: stacks.stacks.iter().filter_map(looping).collect(),
        }
    }

    /// Whether what a chain's last function executed moves data: it is one of [`MOVERS`], or called
    /// by one, or the loop over a request's segments has been inlined into it.
    #[must_use]
    pub fn moves(&self, frames: &[String]) -> bool {
        let frames = uninterrupted(frames);
        frames.iter().any(|f| is_mover(f))
            || frames.last().is_some_and(|f| self.loops.contains(&**f))
    }
}

/// Instructions of the profiled windows that moved data.
#[must_use]
pub fn instructions(stacks: &Stacks) -> u64 {
    let mover = Mover::of(stacks);
    stacks
        .stacks
        .iter()
        .filter(|s| mover.moves(&s.frames))
        .map(|s| s.instructions)
        .sum()
}

/// Whether a frame is one of the functions that move data.
#[must_use]
pub fn is_mover(frame: &str) -> bool {
    MOVERS.contains(&function(frame))
}

/// The part of a chain since the last interrupt.
#[must_use]
pub fn uninterrupted(frames: &[String]) -> &[String] {
    let from = frames.iter().rposition(is_entry).map_or(0, |i| i + 1);
    // What stands for the entry itself is of no function's chain.
    &frames[from..]
}

/// The same with the interrupt itself: the chain of those who really called one another.
#[must_use]
pub fn called(frames: &[String]) -> &[String] {
    let since = frames.len() - uninterrupted(frames).len();
    let entries = frames[..since].iter().rev().take_while(|f| is_entry(f));
    &frames[since - entries.count()..]
}

fn is_entry(frame: &String) -> bool {
    let called = || NO_ENTRIES.iter().any(|name| frame.starts_with(name));
    let entry = frame.starts_with(ENTRIES) && !called();
    frame != USER && (entry || OTHER_ENTRIES.contains(&&**frame))
}

/// null_blk's function that calls movers without being one.
fn looping(stack: &Stack) -> Option<&str> {
    let frames = uninterrupted(&stack.frames);
    let first = frames.iter().position(|f| is_mover(f))?;
    let caller = frames.get(first.checked_sub(1)?)?;
    let inlined = ["null_handle_cmd", "null_queue_rq", "null_queue_bio"];
    // A mover of its own right, called once a request, has the loop in it.
    let whole = MOVERS[..5].contains(&function(&frames[first]));
    (!whole && inlined.contains(&function(caller))).then_some(caller)
}

fn function(frame: &str) -> &str {
    frame.strip_suffix(MODULE).unwrap_or(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(stacks: &[(&str, u64)]) -> u64 {
        let stacks = stacks.iter().map(|(chain, instructions)| Stack {
            frames: chain.split(';').map(str::to_owned).collect(),
            instructions: *instructions,
        });
        instructions(&Stacks {
            stacks: stacks.collect(),
            instructions: 0,
        })
    }

    #[test]
    fn what_movers_call_is_the_drives_and_what_handles_requests_is_not() {
        let sum = moved(&[
            ("null_queue_rq [null_blk]", 1),
            ("null_queue_rq [null_blk];null_handle_cmd [null_blk]", 2),
            (
                "null_queue_rq [null_blk];null_handle_cmd [null_blk];hrtimer_start_range_ns",
                4,
            ),
            ("null_handle_cmd [null_blk];null_process_cmd [null_blk]", 8),
            (
                "null_process_cmd [null_blk];null_transfer [null_blk];__memcpy;memcpy_orig",
                16,
            ),
            ("ext4_file_write_iter;memcpy_orig", 32),
        ]);
        assert_eq!(sum, 8 + 16);
    }

    #[test]
    fn a_loop_that_was_inlined_is_the_drives_too() {
        let sum = moved(&[
            ("null_queue_rq;null_handle_cmd", 1),
            ("null_queue_rq;null_handle_cmd;copy_to_nullb;memcpy", 2),
            ("null_queue_rq;null_handle_cmd;hrtimer_start_range_ns", 4),
            ("null_queue_rq", 8),
        ]);
        assert_eq!(sum, 1 + 2);
    }

    #[test]
    fn what_is_called_begins_with_the_innermost_interrupt() {
        let rest = |chain: &str| {
            let frames: Vec<String> = chain.split(';').map(str::to_owned).collect();
            called(&frames).join(";")
        };
        assert_eq!(rest("a;b"), "a;b");
        let irq = "asm_common_interrupt;common_interrupt;asm_call_irq_on_stack;handle_edge_irq";
        assert_eq!(rest(&format!("a;b;{irq}")), irq);
        assert_eq!(
            rest("asm_exc_page_fault;x;asm_sysvec_apic_timer_interrupt"),
            "asm_sysvec_apic_timer_interrupt"
        );
        let switch = "schedule;__switch_to;native_load_gs_index;asm_load_gs_index";
        assert_eq!(rest(switch), switch);
    }

    #[test]
    fn an_interrupt_during_the_copy_is_not_the_drives() {
        let interrupted = "null_handle_data_transfer [null_blk];_raw_spin_unlock_irq";
        let sum = moved(&[
            (interrupted, 1),
            (
                &format!("{interrupted};asm_common_interrupt;common_interrupt;hrtimer_interrupt"),
                2,
            ),
            (&format!("{interrupted};asm_common_interrupt"), 4),
        ]);
        assert_eq!(sum, 1);
    }
}
