//! Chains of functions and the instructions that each executed.

use super::{Symbol, Symbols};
use diorama_tcg_plugin::{
    calls::{Node, ROOT, USER_END},
    format::Dump,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The one name of everything outside the kernel: the agent's code, or fio's.
pub const USER: &str = "[user]";

/// What stands for an address that no symbol explains.
const UNKNOWN: &str = "[unknown]";

/// A chain of functions, the outermost first, and the instructions of its last one there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Functions; `name`, or `name [module]`. Never empty.
    pub frames: Vec<String>,
    /// Instructions executed in the last of them, called this way.
    pub instructions: u64,
}

/// All instructions of the profiled windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stacks {
    /// Each chain once, in the order of their names.
    pub stacks: Vec<Stack>,
    /// Instructions over all stacks.
    pub instructions: u64,
}

impl Stacks {
    /// Instructions of user space.
    #[must_use]
    pub fn user(&self) -> u64 {
        let user = self.stacks.iter().filter(|s| s.frames == [USER]);
        user.fold(0, |sum, s| sum.saturating_add(s.instructions))
    }

    /// Gives names to what the plugin saw.
    ///
    /// A function that a block of instructions lies in need not be the one that was entered by the
    /// call: a jump leads on to another one (a tail call, the entry of an interrupt). It then
    /// stands below the one entered.
    #[must_use]
    pub fn new(dump: &Dump, symbols: &Symbols) -> Stacks {
        let function = |address: u64| match address {
            ..USER_END => Function::User,
            _ => Function::Kernel(symbols.index(address)),
        };
        // Many blocks lie in one function called one way: chains are made for each such pair.
        let mut called: HashMap<(u32, Function), u64> = HashMap::new();
        for slot in &dump.slots {
            let here = called.entry((slot.node, function(slot.pc))).or_default();
            *here = here.saturating_add(slot.insns);
        }
        let mut found: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for ((node, function_here), insns) in called {
            let mut frames = Vec::new();
            // From the inside out: where the block is, and for each call who was entered and from
            // where.
            let mut at = node;
            push(&mut frames, function_here.label(symbols));
            while at != ROOT {
                let Node {
                    parent,
                    after,
                    entry,
                } = dump.nodes[at as usize];
                push(&mut frames, function(entry).label(symbols));
                frames.push(function(after.wrapping_sub(1)).label(symbols));
                at = parent;
                // The caller's own entry is pushed by its node; only a jump makes it another.
                if at != ROOT {
                    let entered = function(dump.nodes[at as usize].entry).label(symbols);
                    if frames.last() == Some(&entered) {
                        frames.pop();
                    }
                }
            }
            frames.reverse();
            let chain = found.entry(frames).or_default();
            *chain = chain.saturating_add(insns);
        }
        let stacks = found
            .into_iter()
            .map(|(frames, instructions)| Stack {
                frames,
                instructions,
            })
            .collect::<Vec<_>>();
        Stacks {
            instructions: (stacks.iter()).fold(0, |sum, s| sum.saturating_add(s.instructions)),
            stacks,
        }
    }
}

/// What an address belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Function {
    User,
    /// By its place among the symbols; none where no symbol explains it.
    Kernel(Option<usize>),
}

impl Function {
    fn label(self, symbols: &Symbols) -> String {
        match self {
            Function::User => USER.to_owned(),
            Function::Kernel(None) => UNKNOWN.to_owned(),
            Function::Kernel(Some(index)) => match symbols.get(index) {
                Symbol { name, module: None } => name.clone(),
                Symbol {
                    name,
                    module: Some(module),
                } => format!("{name} [{module}]"),
            },
        }
    }
}

/// Adds a frame unless the one below it is the same function, entered by this very call.
fn push(frames: &mut Vec<String>, label: String) {
    if frames.last() != Some(&label) {
        frames.push(label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_tcg_plugin::calls::Slot;

    const K: u64 = 0xffff_ffff_8100_0000;

    fn symbols() -> Symbols {
        let lines = [
            "0 t entry",
            "100 t submit",
            "200 t queue",
            "300 t interrupt",
            "400 t handler",
        ];
        let lines = lines.map(|l| {
            let (at, rest) = l.split_once(' ').unwrap();
            format!("{:x} {rest}", K + u64::from_str_radix(at, 16).unwrap())
        });
        Symbols::parse(&lines.join("\n"))
    }

    fn folded(nodes: &[(u32, u64, u64)], slots: &[(u32, u64, u64)]) -> Vec<String> {
        let root = Node {
            parent: 0,
            after: 0,
            entry: 0,
        };
        let nodes = nodes.iter().map(|&(parent, after, entry)| Node {
            parent,
            after: K + after,
            entry: K + entry,
        });
        let dump = Dump {
            nodes: [root].into_iter().chain(nodes).collect(),
            slots: slots
                .iter()
                .map(|&(node, pc, insns)| Slot { node, pc, insns })
                .collect(),
            ..Dump::default()
        };
        let stacks = Stacks::new(&dump, &symbols());
        let total: u64 = slots.iter().map(|s| s.2).sum();
        assert_eq!(stacks.instructions, total);
        stacks
            .stacks
            .iter()
            .map(|s| format!("{} {}", s.frames.join(";"), s.instructions))
            .collect()
    }

    #[test]
    fn a_chain_names_every_function_once_per_call() {
        // entry calls submit, which calls queue.
        let nodes = [(0, 0x10, 0x100), (1, 0x110, 0x200)];
        let slots = [
            (0, K, 1),
            (1, K + 0x100, 2),
            (1, K + 0x150, 3),
            (2, K + 0x210, 4),
            (0, 5, 6),
        ];
        assert_eq!(
            folded(&nodes, &slots),
            [
                "[user] 6",
                "entry 1",
                "entry;submit 5",
                "entry;submit;queue 4"
            ]
        );
    }

    #[test]
    fn what_a_jump_leads_to_stands_below_what_was_entered() {
        // submit is entered; an interrupt's entry is jumped to there, and calls handler.
        let nodes = [(0, 0x10, 0x100), (1, 0x310, 0x400)];
        let slots = [(1, K + 0x300, 1), (2, K + 0x400, 2)];
        assert_eq!(
            folded(&nodes, &slots),
            [
                "entry;submit;interrupt 1",
                "entry;submit;interrupt;handler 2"
            ]
        );
    }
}
