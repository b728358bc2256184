//! Where one cell's instructions went, and how that differs from another kernel's (pure).

use super::{
    Layer, Stacks, USER,
    drive::{self, Mover},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A kernel's profile of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The kernel's name in the scenario.
    pub kernel: String,
    /// I/Os of the profiled windows; never 0.
    pub ios: u64,
    /// What was executed in them.
    pub stacks: Stacks,
}

/// Instructions of a layer or a function: of the kernel that is explained, and of the one that it is
/// held against (0 where there is none). Sums of what was executed in all windows, never rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Of the kernel that is explained.
    pub subject: u64,
    /// Of the one that it is held against.
    pub against: u64,
}

/// What was profiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The kernel.
    pub kernel: String,
    /// I/Os.
    pub ios: u64,
    /// Instructions executed in the windows.
    pub instructions: u64,
}

/// A layer's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerPart {
    /// The layer.
    pub layer: Layer,
    /// Its instructions.
    pub instructions: Pair,
    /// Its functions, those that differ most first.
    pub functions: Vec<FunctionPart>,
}

/// A function's part, whichever module it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionPart {
    /// The function's name.
    pub name: String,
    /// The layer that most of its instructions are booked in.
    pub layer: Layer,
    /// Instructions of its own.
    pub instructions: Pair,
    /// With everything that it calls, each chain once; without interrupts that struck meanwhile.
    pub with_called: Pair,
}

/// A cell's instructions, by layer and by function. Both add up to the totals, to the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// File system and workload: `ext4/write-4k`.
    pub cell: String,
    /// The kernel that is explained.
    pub subject: Total,
    /// The kernel that it is held against.
    pub against: Option<Total>,
    /// Every layer that executed anything, those that differ most first.
    pub layers: Vec<LayerPart>,
    /// Every function that executed anything, those that differ most first.
    pub functions: Vec<FunctionPart>,
}

impl Explanation {
    /// Books every chain.
    #[must_use]
    pub fn new(cell: String, subject: &Side, against: Option<&Side>) -> Explanation {
        let mut booked: BTreeMap<(Layer, &str), Pair> = BTreeMap::new();
        let mut called: HashMap<&str, Pair> = HashMap::new();
        for (side, of) in [(Some(subject), 0), (against, 1)] {
            let Some(Side { stacks, .. }) = side else {
                continue;
            };
            let mover = Mover::of(stacks);
            for stack in &stacks.stacks {
                let layer = Layer::of(&stack.frames, &mover);
                let Some(last) = stack.frames.last() else {
                    continue;
                };
                let n = stack.instructions;
                booked
                    .entry((layer, function(last)))
                    .or_default()
                    .add(of, n);
                // An interrupt was not called by what it struck.
                let chain = drive::called(&stack.frames).iter();
                let each: HashSet<&str> = chain.map(|f| function(f)).collect();
                for function in each {
                    called.entry(function).or_default().add(of, n);
                }
            }
        }
        let total = |side: &Side| Total {
            kernel: side.kernel.clone(),
            ios: side.ios,
            instructions: side.stacks.instructions,
        };
        let mut found = Explanation {
            cell,
            subject: total(subject),
            against: against.map(total),
            layers: Vec::new(),
            functions: Vec::new(),
        };
        let mut layers: BTreeMap<Layer, Vec<FunctionPart>> = BTreeMap::new();
        // A function's layers, each with what of it is booked there.
        let mut merged: BTreeMap<&str, Vec<(Layer, Pair)>> = BTreeMap::new();
        for ((layer, function), instructions) in &booked {
            let with_called = called.get(function).copied().unwrap_or_default();
            layers.entry(*layer).or_default().push(FunctionPart {
                name: (*function).to_owned(),
                layer: *layer,
                instructions: *instructions,
                with_called,
            });
            merged
                .entry(function)
                .or_default()
                .push((*layer, *instructions));
        }
        let functions = merged.into_iter().map(|(function, parts)| {
            let mut sum = Pair::default();
            for (_, part) in &parts {
                sum.add(0, part.subject);
                sum.add(1, part.against);
            }
            // Of layers with equal parts the first on an I/O's way.
            let most = parts
                .iter()
                .max_by_key(|(layer, p)| (p.subject + p.against, std::cmp::Reverse(*layer)));
            FunctionPart {
                name: function.to_owned(),
                layer: most.map_or(Layer::Other, |(layer, _)| *layer),
                instructions: sum,
                with_called: called.get(function).copied().unwrap_or_default(),
            }
        });
        found.functions = functions.collect();
        found.layers = layers
            .into_iter()
            .map(|(layer, functions)| LayerPart {
                layer,
                instructions: functions.iter().fold(Pair::default(), |mut sum, f| {
                    sum.add(0, f.instructions.subject);
                    sum.add(1, f.instructions.against);
                    sum
                }),
                functions,
            })
            .collect();
        found.sort();
        found
    }

    /// What differs most comes first; without anything to differ from, what is most.
    fn sort(&mut self) {
        let (subject, against) = (self.subject.clone(), self.against.clone());
        let weight = |pair: &Pair| {
            let (now, before) = (
                per_io(pair.subject, Some(&subject)),
                per_io(pair.against, against.as_ref()),
            );
            (now - before).abs()
        };
        let by_weight = |a: &Pair, b: &Pair| weight(b).total_cmp(&weight(a));
        self.layers
            .sort_by(|a, b| by_weight(&a.instructions, &b.instructions));
        self.functions
            .sort_by(|a, b| by_weight(&a.instructions, &b.instructions));
        for layer in &mut self.layers {
            layer
                .functions
                .sort_by(|a, b| by_weight(&a.instructions, &b.instructions));
        }
    }

    /// Instructions per I/O of the kernel that is explained.
    #[must_use]
    pub fn subject_per_io(&self, pair: Pair) -> f64 {
        per_io(pair.subject, Some(&self.subject))
    }

    /// Instructions per I/O of the one that it is held against; 0 without one.
    #[must_use]
    pub fn against_per_io(&self, pair: Pair) -> f64 {
        per_io(pair.against, self.against.as_ref())
    }

    /// What the explained kernel executes more per I/O; negative where it executes less.
    #[must_use]
    pub fn difference(&self, pair: Pair) -> f64 {
        self.subject_per_io(pair) - self.against_per_io(pair)
    }

    /// Both kernels' totals.
    #[must_use]
    pub fn total(&self) -> Pair {
        Pair {
            subject: self.subject.instructions,
            against: self.against.as_ref().map_or(0, |a| a.instructions),
        }
    }

    /// A layer's instructions; none where nothing of it was executed.
    #[must_use]
    pub fn layer(&self, layer: Layer) -> Pair {
        let found = self.layers.iter().find(|l| l.layer == layer);
        found.map_or(Pair::default(), |l| l.instructions)
    }
}

impl Pair {
    fn add(&mut self, of: usize, instructions: u64) {
        match of {
            0 => self.subject += instructions,
            _ => self.against += instructions,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_io(instructions: u64, total: Option<&Total>) -> f64 {
    total.map_or(0.0, |t| instructions as f64 / t.ios.max(1) as f64)
}

/// A function's name without its module: what one kernel has built in is a module in another.
pub(super) fn function(frame: &str) -> &str {
    match frame {
        USER => frame,
        _ => frame.split_once(" [").map_or(frame, |(name, _)| name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::side;

    fn explained() -> Explanation {
        let old = [
            ("[user]", 200),
            ("[unknown]", 3),
            ("do_syscall_64;aio_write;memset", 40),
            ("bio_endio;memset", 10),
            (
                "bio_endio;iomap_dio_bio_end_io;queue_work_on;__queue_work",
                300,
            ),
            ("kthread;worker_thread;schedule;__schedule", 500),
            ("kthread;worker_thread;schedule;__schedule;__schedule", 1),
        ];
        let new = [
            ("[user]", 400),
            ("do_syscall_64;aio_write;memset", 80),
            ("bio_endio;helper [xfs]", 20),
            ("bio_endio;helper", 2),
        ];
        Explanation::new(
            "ext4/write-4k".into(),
            &side("6.12", 10, &old),
            Some(&side("7.2", 20, &new)),
        )
    }

    #[test]
    fn sums_over_layers_and_functions_are_what_was_executed() {
        let e = explained();
        assert_eq!(
            e.total(),
            Pair {
                subject: 1054,
                against: 502
            }
        );
        for pairs in [
            e.layers.iter().map(|l| l.instructions).collect::<Vec<_>>(),
            e.functions.iter().map(|f| f.instructions).collect(),
            e.layers
                .iter()
                .flat_map(|l| &l.functions)
                .map(|f| f.instructions)
                .collect(),
        ] {
            assert_eq!(pairs.iter().map(|p| p.subject).sum::<u64>(), 1054);
            assert_eq!(pairs.iter().map(|p| p.against).sum::<u64>(), 502);
        }
        // What has no name has its line too.
        assert!(
            e.functions
                .iter()
                .any(|f| f.name == "[unknown]" && f.instructions.subject == 3)
        );
    }

    #[test]
    fn the_greatest_difference_per_io_comes_first_whatever_the_number_of_ios() {
        let e = explained();
        let layers: Vec<_> = e
            .layers
            .iter()
            .map(|l| (l.layer, e.difference(l.instructions)))
            .collect();
        assert_eq!(layers[0], (Layer::Scheduler, 50.1));
        assert_eq!(layers[1], (Layer::Workqueue, 30.0));
        let user = e.layer(Layer::Agent);
        assert!(e.difference(user).abs() < 1e-9);
        assert_eq!(e.functions[0].name, "__schedule");
    }

    #[test]
    fn a_function_is_one_whichever_module_it_is_in_and_whoever_calls_it() {
        let e = explained();
        let function = |name: &str| e.functions.iter().find(|f| f.name == name).unwrap();
        let helper = function("helper");
        assert_eq!(
            helper.instructions,
            Pair {
                subject: 0,
                against: 22
            }
        );
        assert_eq!(helper.layer, Layer::FileSystem);
        let memset = function("memset");
        assert_eq!(
            memset.instructions,
            Pair {
                subject: 50,
                against: 80
            }
        );
        assert_eq!(memset.layer, Layer::AsyncIo);
        // Once per chain, however often it is in it.
        assert_eq!(
            function("__schedule").with_called,
            Pair {
                subject: 501,
                against: 0
            }
        );
        assert_eq!(
            function("__queue_work").with_called,
            Pair {
                subject: 300,
                against: 0
            }
        );
    }

    #[test]
    fn a_kernel_by_itself_has_what_is_most_first() {
        let e = Explanation::new(
            "ext4/read-4k".into(),
            &side(
                "7.2",
                2,
                &[("[user]", 4), ("schedule", 9), ("bio_endio", 6)],
            ),
            None,
        );
        let layers: Vec<_> = e.layers.iter().map(|l| l.layer).collect();
        assert_eq!(layers, [Layer::Scheduler, Layer::Block, Layer::Agent]);
        assert_eq!(e.against, None);
    }
}
