//! Who called whom, and how many instructions each executed: a calling context tree.
//!
//! It is fed with the blocks that QEMU executes, in order. A block ends with at most one change of
//! control, so the kind of its last instruction and the address of the next block tell calls and
//! returns apart from all else. Interrupts and exceptions need no special case: their entry looks
//! like a jump, what they call returns before they do, and their end looks like a jump back.

use crate::decode::End;
use alloc::{vec, vec::Vec};
use hashbrown::HashMap;

/// User space of x86-64 ends here.
pub const USER_END: u64 = 1 << 47;

/// The context of which no caller is known.
pub const ROOT: u32 = 0;

/// Calls deeper than this are taken for jumps: a kernel stack of 16 KiB does not hold as many.
const DEPTH: u16 = 512;

/// How far up a return looks for its caller. The kernel returns to where it was called from, but
/// for a few places that drop a frame or two.
const LOOK: usize = 8;

/// A block of instructions, as translated.
#[derive(Clone, Debug)]
pub struct Block {
    /// Address of its first instruction.
    pub pc: u64,
    /// Address behind its last instruction: where a call returns to.
    pub after: u64,
    /// Its instructions.
    pub insns: u64,
    /// How it ends.
    pub end: End,
    /// Whether an exception enters the kernel with it.
    pub is_entry: bool,
    /// The node that it was executed in last, and its slot there.
    cached: (u32, u32),
}

impl Block {
    /// A block that was not executed yet.
    #[must_use]
    pub fn new(pc: u64, after: u64, insns: u64, end: End) -> Block {
        Block {
            pc,
            after,
            insns,
            end,
            is_entry: false,
            cached: (u32::MAX, 0),
        }
    }
}

/// A function entered in one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The caller's node; the root's is its own.
    pub parent: u32,
    /// Address that the call returns to.
    pub after: u64,
    /// Address of the function's first instruction.
    pub entry: u64,
}

/// What one block executed in one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The context.
    pub node: u32,
    /// The block's address.
    pub pc: u64,
    /// Instructions that were recorded.
    pub insns: u64,
}

/// One CPU.
#[derive(Clone, Copy, Debug, Default)]
struct Cpu {
    /// The task it executes, as an index into the tasks' nodes.
    task: usize,
    /// The context it is in.
    node: u32,
    /// Where its instructions are booked.
    slot: u32,
    /// Instructions of its block that it has executed before its last turn ended.
    done: u64,
    /// That block's instructions, end and address behind it.
    block: Option<(u64, End, u64)>,
}

/// The tree, and where in it every task is.
#[derive(Debug)]
pub struct Calls {
    nodes: Vec<Node>,
    depths: Vec<u16>,
    children: HashMap<(u32, u64, u64), u32>,
    slots: Vec<Slot>,
    places: HashMap<(u32, u64), u32>,
    /// Where each task was when it left its CPU.
    left: Vec<u32>,
    tasks: HashMap<u64, usize>,
    cpus: Vec<Cpu>,
    /// The CPU whose turn it is: they are executed in one thread, one at a time.
    turn: usize,
    /// The count up to which its instructions are booked.
    booked: u64,
    /// The count at which its block began, or would have, had it not waited for its turn.
    began: u64,
    recording: bool,
}

impl Calls {
    /// Empty, for this many CPUs.
    #[must_use]
    pub fn new(cpus: usize) -> Calls {
        let root = Node {
            parent: ROOT,
            after: 0,
            entry: 0,
        };
        let mut calls = Calls {
            nodes: vec![root],
            depths: vec![0],
            children: HashMap::new(),
            slots: Vec::new(),
            places: HashMap::new(),
            // Each CPU begins with a task of its own, whose name is not known yet.
            left: vec![ROOT; cpus],
            tasks: HashMap::new(),
            cpus: Vec::new(),
            turn: 0,
            booked: 0,
            began: 0,
            recording: false,
        };
        let slot = calls.slot(ROOT, 0);
        calls.cpus.extend((0..cpus).map(|task| Cpu {
            task,
            slot,
            ..Cpu::default()
        }));
        calls
    }

    /// The contexts; an index is a node's number.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What was executed where, while recording.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Begins or ends recording, when `count` instructions have been executed, by all CPUs together.
    pub fn record(&mut self, count: u64, on: bool) {
        self.book(count);
        self.recording = on;
    }

    /// A CPU begins to execute a block, when `count` instructions have been executed, by all CPUs
    /// together. Returns whether its block before was left early.
    pub fn executes(&mut self, cpu: usize, count: u64, block: &mut Block) -> bool {
        self.book(count);
        if cpu != self.turn {
            self.cpus[self.turn].done = count - self.began;
            self.turn = cpu;
            self.began = count - self.cpus[cpu].done;
        }
        let done = count - self.began;
        self.began = count;
        let last = &mut self.cpus[cpu];
        let ended = last.block.replace((block.insns, block.end, block.after));
        let node = last.node;
        let left_early = ended.is_some_and(|(insns, _, _)| done != insns);
        let node = match ended {
            // The task is outside the kernel, with nothing of it on its kernel stack.
            _ if block.pc < USER_END => ROOT,
            // A block that was left early, by a fault or for a device, has not come to its end.
            Some(_) if left_early => node,
            Some((_, End::Call(target), after)) if after >= USER_END => {
                self.child(node, after, target.unwrap_or(block.pc))
            }
            Some((_, End::Return, _)) => self.caller(node, block.pc),
            _ => node,
        };
        if block.cached.0 != node {
            block.cached = (node, self.slot(node, block.pc));
        }
        let now = &mut self.cpus[cpu];
        now.node = node;
        now.slot = block.cached.1;
        left_early
    }

    /// The CPU whose turn it is goes over to another task in the middle of a block.
    pub fn switches(&mut self, count: u64, task: u64) {
        self.book(count);
        let cpu = self.turn;
        let unseen = self.left.len();
        let to = *self.tasks.entry(task).or_insert(unseen);
        if to == unseen {
            self.left.push(ROOT);
        }
        let Cpu {
            task: from,
            node,
            slot,
            ..
        } = self.cpus[cpu];
        self.left[from] = node;
        let pc = self.slots[slot as usize].pc;
        let node = self.left[to];
        let slot = self.slot(node, pc);
        let now = &mut self.cpus[cpu];
        now.task = to;
        now.node = node;
        now.slot = slot;
    }

    /// Books what was executed since this was done last: by the CPU whose turn it is.
    fn book(&mut self, count: u64) {
        if self.recording {
            let slot = self.cpus[self.turn].slot;
            self.slots[slot as usize].insns += count - self.booked;
        }
        self.booked = count;
    }

    fn child(&mut self, parent: u32, after: u64, entry: u64) -> u32 {
        let depth = self.depths[parent as usize] + 1;
        if depth > DEPTH {
            return parent;
        }
        let (nodes, depths) = (&mut self.nodes, &mut self.depths);
        *self
            .children
            .entry((parent, after, entry))
            .or_insert_with(|| {
                nodes.push(Node {
                    parent,
                    after,
                    entry,
                });
                depths.push(depth);
                (nodes.len() - 1) as u32
            })
    }

    /// The context that a return to `pc` ends in. Where no caller is found the return was a jump.
    fn caller(&self, from: u32, pc: u64) -> u32 {
        let mut node = from;
        for _ in 0..LOOK {
            let Node { parent, after, .. } = self.nodes[node as usize];
            if after == pc {
                return parent;
            }
            node = parent;
        }
        from
    }

    fn slot(&mut self, node: u32, pc: u64) -> u32 {
        let slots = &mut self.slots;
        *self.places.entry((node, pc)).or_insert_with(|| {
            slots.push(Slot { node, pc, insns: 0 });
            (slots.len() - 1) as u32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, string::String};
    extern crate std;

    const K: u64 = 0xffff_ffff_8100_0000;
    const A: u64 = K;
    const B: u64 = K + 0x100;
    const IRQ: u64 = K + 0x800;

    /// Executes blocks of (address, instructions, end), each whole; a call returns 0x10 behind its
    /// block's address.
    struct Run {
        calls: Calls,
        count: u64,
    }

    impl Run {
        fn new() -> Run {
            let mut calls = Calls::new(1);
            calls.record(0, true);
            Run { calls, count: 0 }
        }

        fn block(&mut self, pc: u64, insns: u64, end: End) -> &mut Run {
            self.cut(pc, insns, insns, end)
        }

        /// One of `insns` instructions of which only `done` are executed.
        fn cut(&mut self, pc: u64, insns: u64, done: u64, end: End) -> &mut Run {
            let mut block = Block::new(pc, pc + 0x10, insns, end);
            self.calls.executes(0, self.count, &mut block);
            self.count += done;
            self
        }

        fn switch(&mut self, task: u64) -> &mut Run {
            self.calls.switches(self.count, task);
            self
        }

        /// Instructions by chain of entries and the block's address, relative to `K`.
        fn chains(&mut self) -> BTreeMap<String, u64> {
            self.calls.record(self.count, false);
            let mut found = BTreeMap::new();
            for slot in self.calls.slots().iter().filter(|s| s.insns > 0) {
                let mut chain = std::format!("{:x}", slot.pc.wrapping_sub(K));
                let mut node = slot.node;
                while node != ROOT {
                    let at = self.calls.nodes()[node as usize];
                    chain = std::format!("{:x};{chain}", at.entry - K);
                    node = at.parent;
                }
                *found.entry(chain).or_default() += slot.insns;
            }
            assert_eq!(found.values().sum::<u64>(), self.count, "nothing is lost");
            found
        }
    }

    #[test]
    fn calls_nest_and_returns_end_them() {
        let mut run = Run::new();
        run.block(A, 3, End::Call(Some(B)))
            .block(B, 5, End::Other)
            .block(B + 0x20, 2, End::Return)
            .block(A + 0x10, 4, End::Other);
        insta::assert_debug_snapshot!(run.chains(), @r#"
        {
            "0": 3,
            "10": 4,
            "100;100": 5,
            "100;120": 2,
        }
        "#);
    }

    #[test]
    fn an_interrupt_is_booked_below_what_it_interrupts_and_leaves_no_trace() {
        let mut run = Run::new();
        run.block(A, 3, End::Call(Some(B)))
            // Interrupted at its beginning: the entry comes first, calls, returns, and goes back.
            .block(IRQ, 7, End::Call(None))
            .block(IRQ + 0x40, 9, End::Return)
            .block(IRQ + 0x10, 1, End::Other)
            .block(B, 5, End::Return)
            .block(A + 0x10, 4, End::Other);
        insta::assert_debug_snapshot!(run.chains(), @r#"
        {
            "0": 3,
            "10": 4,
            "100;100": 5,
            "100;800": 7,
            "100;810": 1,
            "100;840;840": 9,
        }
        "#);
    }

    #[test]
    fn a_block_that_was_left_early_has_not_called() {
        let mut run = Run::new();
        run.cut(A, 6, 2, End::Call(Some(B)))
            .block(A + 0x8, 4, End::Other);
        insta::assert_debug_snapshot!(run.chains(), @r#"
        {
            "0": 2,
            "8": 4,
        }
        "#);
    }

    #[test]
    fn each_task_goes_on_where_it_was() {
        let (one, two) = (0x7001, 0x7002);
        let mut run = Run::new();
        run.switch(one)
            .block(A, 3, End::Call(Some(B)))
            .block(B, 1, End::Other)
            .switch(two)
            .block(IRQ, 5, End::Call(Some(B)))
            .block(B, 1, End::Other)
            .switch(one)
            .block(B + 0x20, 2, End::Return)
            .block(A + 0x10, 4, End::Other);
        insta::assert_debug_snapshot!(run.chains(), @r#"
        {
            "0": 3,
            "10": 4,
            "100;100": 2,
            "100;120": 2,
            "800": 5,
        }
        "#);
    }

    #[test]
    fn user_space_has_no_callers_and_ends_the_kernels_chain() {
        let mut run = Run::new();
        run.block(A, 3, End::Call(Some(B)))
            .block(B, 5, End::Other)
            .block(0x40_0000, 8, End::Call(None))
            .block(0x40_0100, 2, End::Other)
            .block(A, 1, End::Other);
        insta::assert_debug_snapshot!(run.calls.cpus[0].node, @"0");
        assert_eq!(run.chains().len(), 4);
    }

    #[test]
    fn nothing_is_recorded_unless_it_is_asked_for() {
        let mut run = Run::new();
        run.calls.record(0, false);
        run.block(A, 3, End::Other).block(A + 3, 2, End::Other);
        run.calls.record(run.count, true);
        run.calls.record(run.count, false);
        assert_eq!(run.calls.slots().iter().map(|s| s.insns).sum::<u64>(), 0);
    }

    #[test]
    fn endless_recursion_stays_bounded() {
        let mut run = Run::new();
        for _ in 0..2 * u64::from(DEPTH) {
            run.block(A, 1, End::Call(Some(A)));
        }
        assert_eq!(run.calls.nodes().len(), usize::from(DEPTH) + 1);
    }

    #[test]
    fn cpus_that_take_turns_have_chains_of_their_own() {
        let mut calls = Calls::new(2);
        let block = |pc, end| Block::new(pc, pc + 0x10, 4, end);
        let (mut call, mut ret) = (block(A, End::Call(Some(B))), block(B, End::Return));
        let (mut back, mut other) = (block(A + 0x10, End::Other), block(IRQ, End::Other));
        calls.executes(0, 0, &mut call);
        // Two instructions before the window, two in it, and then the other CPU's turn.
        calls.record(2, true);
        assert!(!calls.executes(1, 4, &mut call), "it had none before");
        // The first goes on with what it called, the second is in the middle of its call.
        assert!(!calls.executes(0, 6, &mut ret));
        assert!(calls.executes(1, 10, &mut other), "its call was left early");
        assert!(!calls.executes(0, 14, &mut back));
        calls.record(18, false);
        let node = |cpu: usize| calls.cpus[cpu].node;
        assert_eq!((node(0), node(1)), (ROOT, ROOT), "returned; never called");
        let recorded: u64 = calls.slots().iter().map(|slot| slot.insns).sum();
        assert_eq!(recorded, 16);
    }
}
