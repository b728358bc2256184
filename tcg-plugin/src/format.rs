//! What the plugin leaves behind: little-endian 64-bit words.
//!
//! | words | what |
//! |---|---|
//! | 1 | [`MAGIC`], whose last byte is the version |
//! | 1 | instructions executed since the plugin was loaded, all CPUs; exact only if it counted from the start |
//! | 1 | those among them that an exception stopped, to be begun again |
//! | 1 | number of windows; for each: 1 if it was profiled, else 0; the count at its opening; at its close |
//! | 1 | number of nodes; for each: parent, address the call returns to, address of the function |
//! | 1 | number of slots; for each: node, address of the block, instructions |

use crate::calls::{Node, Slot};
use alloc::vec::Vec;

/// "DIOPROF" and the version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"DIOPROF\x02");

/// A window as the guest marked it. Counts are of executed instructions, all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whether its instructions are in the slots.
    pub profiled: bool,
    /// The count when it opened.
    pub open: u64,
    /// The count when it closed.
    pub close: u64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// Instructions executed since the plugin was loaded.
    pub executed: u64,
    /// Those among them that an exception stopped, of the exceptions whose entries the plugin was told.
    pub stopped: u64,
    /// The windows, in order.
    pub windows: Vec<Window>,
    /// The contexts.
    pub nodes: Vec<Node>,
    /// What was executed where, in the profiled windows. Empty slots are left out.
    pub slots: Vec<Slot>,
}

impl Dump {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut words: Vec<u64> = Vec::new();
        words.extend([MAGIC, self.executed, self.stopped]);
        words.push(self.windows.len() as u64);
        for w in &self.windows {
            words.extend([u64::from(w.profiled), w.open, w.close]);
        }
        words.push(self.nodes.len() as u64);
        for n in &self.nodes {
            words.extend([n.parent.into(), n.after, n.entry]);
        }
        words.push(self.slots.len() as u64);
        for s in &self.slots {
            words.extend([s.node.into(), s.pc, s.insns]);
        }
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// From bytes; [`None`] for anything that [`Dump::encode`] does not make.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Dump> {
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return None;
        }
        let mut words = words.iter().map(|w| u64::from_le_bytes(*w));
        if words.next()? != MAGIC {
            return None;
        }
        let executed = words.next()?;
        let stopped = words.next()?;
        let mut triples = || -> Option<Vec<[u64; 3]>> {
            let n = words.next()?;
            // No more than there are words, whatever the number says.
            (n <= words.len() as u64 / 3).then_some(())?;
            (0..n)
                .map(|_| Some([words.next()?, words.next()?, words.next()?]))
                .collect()
        };
        let windows = triples()?
            .into_iter()
            .map(|[profiled, open, close]| {
                (profiled <= 1 && open <= close).then_some(Window {
                    profiled: profiled == 1,
                    open,
                    close,
                })
            })
            .collect::<Option<_>>()?;
        let nodes: Vec<Node> = (0u64..)
            .zip(triples()?)
            .map(|(i, [parent, after, entry])| {
                // A parent comes before its children, so that every chain ends.
                (parent < i || i == 0 && parent == 0).then_some(Node {
                    parent: u32::try_from(parent).ok()?,
                    after,
                    entry,
                })
            })
            .collect::<Option<_>>()?;
        let slots = triples()?
            .into_iter()
            .map(|[node, pc, insns]| {
                ((node as usize) < nodes.len()).then_some(Slot {
                    node: u32::try_from(node).ok()?,
                    pc,
                    insns,
                })
            })
            .collect::<Option<_>>()?;
        words.next().is_none().then_some(Dump {
            executed,
            stopped,
            windows,
            nodes,
            slots,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn dump() -> Dump {
        let node = |parent, after, entry| Node {
            parent,
            after,
            entry,
        };
        Dump {
            executed: 99,
            stopped: 7,
            windows: vec![Window {
                profiled: true,
                open: 10,
                close: 20,
            }],
            nodes: vec![node(0, 0, 0), node(0, 5, 6), node(1, 7, 8)],
            slots: vec![Slot {
                node: 2,
                pc: 8,
                insns: 10,
            }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Dump::decode(&dump().encode()), Some(dump()));
        assert_eq!(
            Dump::decode(&Dump::default().encode()),
            Some(Dump::default())
        );
    }

    #[test]
    fn anything_else_is_refused_and_read_no_further() {
        let whole = dump().encode();
        for len in 0..whole.len() {
            assert_eq!(Dump::decode(&whole[..len]), None, "{len}");
        }
        let longer = [whole.as_slice(), &[0; 8]].concat();
        assert_eq!(Dump::decode(&longer), None);
        for (word, value) in [(0, 1), (3, u64::MAX), (7, 1 << 40), (11, 3), (18, 9)] {
            let mut broken = whole.clone();
            broken[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes());
            assert_eq!(Dump::decode(&broken), None, "word {word}");
        }
    }
}
