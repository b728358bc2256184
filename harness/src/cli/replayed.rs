//! What became of an image's cells: which were measured again, and how they compare with the record (pure).

use crate::{
    compare::{Distance, distance},
    error::{Error, Exit, Result},
    plan::Plan,
    record::{Measured, Outcome, Results},
    run::Finished,
    scenario::CellKey,
    text::counted,
};
use std::{collections::BTreeMap, fmt::Write as _};

/// Which cells are replayed.
pub(super) struct Selected(Vec<[String; 3]>);

impl Selected {
    pub(super) fn new(words: &[String], results: &Results) -> Result<Selected> {
        let mut patterns = Vec::new();
        for word in words {
            let parts: Vec<String> = word.split('/').map(str::to_owned).collect();
            let pattern: [String; 3] = parts.try_into().map_err(|_| {
                Error::input(format!("--cells {word}: this is not a cell"))
                    .hint("give KERNEL/FILESYSTEM/WORKLOAD; `*` stands for any part")
            })?;
            let selected = Selected(vec![pattern]);
            if !results.cells.iter().any(|cell| selected.has(&cell.key)) {
                let names: Vec<String> = results.cells.iter().map(|c| short(&c.key)).collect();
                return Err(
                    Error::input(format!("--cells {word}: the image has no such cell"))
                        .hint(format!("its cells are {}", names.join(", "))),
                );
            }
            patterns.extend(selected.0);
        }
        Ok(Selected(patterns))
    }

    fn has(&self, key: &CellKey) -> bool {
        let fits = |pattern: &str, part: &str| pattern == "*" || pattern == part;
        self.0.is_empty()
            || self.0.iter().any(|[kernel, filesystem, workload]| {
                (kernel == "*" || key.subject.is(kernel))
                    && fits(filesystem, &key.filesystem)
                    && fits(workload, &key.workload)
            })
    }

    /// The plan with all others settled: they stay in the record, as not run.
    pub(super) fn only(&self, mut plan: Plan) -> Plan {
        let cells = plan.kernels.iter_mut().flat_map(|k| &mut k.cells);
        for cell in cells.filter(|cell| !self.has(&cell.key)) {
            cell.settled.get_or_insert_with(|| Outcome::NotRun {
                why: "not selected (--cells)".into(),
            });
        }
        plan
    }
}

/// A cell's name without its lane, which is the exact one for all.
fn short(key: &CellKey) -> String {
    format!("{}/{}/{}", key.subject, key.filesystem, key.workload)
}

/// What became of a replayed cell.
enum Now {
    /// Every digit is the record's; and so is the guest's memory, where both know it.
    Identical {
        memory: bool,
    },
    Different {
        what: Vec<String>,
        distance: Option<Distance>,
    },
    /// Measured now, but not by the record.
    New,
    /// The record has no figures either, for the same reason.
    SameOutcome(String),
    Failed(String),
}

/// Cell by cell.
pub(super) struct Compared(Vec<(String, Now)>);

impl Compared {
    pub(super) fn new(
        selected: &Selected,
        finished: &Finished,
        known: &BTreeMap<String, Measured>,
    ) -> Compared {
        let cells = finished.results.cells.iter();
        let cells = cells.filter(|cell| selected.has(&cell.key)).map(|cell| {
            let before = known.get(&cell.key.to_string());
            let now = match (&cell.outcome, before) {
                (Outcome::Measured(now), Some(before)) => compared(before, now),
                (Outcome::Measured(_), None) => Now::New,
                (other @ Outcome::Unsupported { .. }, None) => {
                    Now::SameOutcome(format!("{}: {}", other.word(), other.why()))
                }
                (other, _) => Now::Failed(format!("{}: {}", other.word(), other.why())),
            };
            (short(&cell.key), now)
        });
        Compared(cells.collect())
    }

    /// One line for each cell; of other inputs also how far it is.
    pub(super) fn lines(&self, other: bool) -> String {
        let width = self.0.iter().map(|(cell, _)| cell.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (cell, now) in &self.0 {
            let words = match now {
                Now::Identical { memory: true } => "identical: digits and guest memory".to_owned(),
                Now::Identical { memory: false } => {
                    "identical: digits (its guest does not stop itself, so not its memory)"
                        .to_owned()
                }
                Now::Different { distance, .. } if other => match distance {
                    Some(Distance { at, relative, iops }) => {
                        let rate = iops.map_or_else(String::new, |grown| {
                            format!("IOPS {:+.3}%; ", grown * 100.0)
                        });
                        format!(
                            "{rate}no number more than {:.3}% apart ({at})",
                            relative * 100.0
                        )
                    }
                    None => "the same figures; other details or memory differ".to_owned(),
                },
                Now::Different { what, .. } => format!("DIFFERENT: {}", what.join("; ")),
                Now::New => "measured; the record has no figures to compare with".to_owned(),
                Now::SameOutcome(why) => format!("as recorded: {why}"),
                Now::Failed(why) => format!("NOT MEASURED: {why}"),
            };
            let _ = writeln!(text, "{cell:width$}  {words}");
        }
        text
    }

    pub(super) fn summary(&self) -> String {
        let count = |f: fn(&Now) -> bool| self.0.iter().filter(|(_, now)| f(now)).count();
        let identical = count(|now| matches!(now, Now::Identical { .. }));
        let memory = count(|now| matches!(now, Now::Identical { memory: true }));
        let recorded = count(|now| !matches!(now, Now::New | Now::SameOutcome(_)));
        let mut text = format!("{identical} of {} identical", counted(recorded, "cell"));
        match (identical, memory) {
            (0, _) => {}
            (all, memory) if all == memory => text.push_str(", digit by digit and in guest memory"),
            (_, memory) => {
                let _ = write!(
                    text,
                    ", digit by digit; {memory} of them also in guest memory"
                );
            }
        }
        text
    }

    /// Yes only if all are.
    pub(super) fn exit(&self) -> Exit {
        let any = |f: fn(&Now) -> bool| self.0.iter().any(|(_, now)| f(now));
        if any(|now| matches!(now, Now::Different { .. } | Now::New)) {
            Exit::NotReproduced
        } else if any(|now| matches!(now, Now::Failed(_))) {
            Exit::Incomplete
        } else if any(|now| matches!(now, Now::Identical { .. })) {
            Exit::Ok
        } else {
            // Nothing compared is no yes.
            Exit::NotReproduced
        }
    }
}

fn compared(before: &Measured, now: &Measured) -> Now {
    let what = crate::compare::differences(before, now);
    match what.is_empty() {
        true => Now::Identical {
            memory: crate::compare::memory_compared(before, now),
        },
        false => Now::Different {
            what,
            distance: distance(before, now),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    fn all(cells: Vec<Now>) -> Compared {
        Compared(
            cells
                .into_iter()
                .map(|now| ("6.12/ext4/read-4k".to_owned(), now))
                .collect(),
        )
    }

    fn identical() -> Now {
        Now::Identical { memory: true }
    }

    #[test]
    fn only_identical_cells_are_a_yes() {
        let exit = |cells| all(cells).exit();
        assert_eq!(exit(vec![identical(), identical()]), Exit::Ok);
        assert_eq!(exit(vec![]), Exit::NotReproduced);
        let before = fixture::measured(50_000.0, 4096);
        let mut now = before.clone();
        now.guest.repetitions[0].interrupts += 1;
        let different = || compared(&before, &now);
        assert_eq!(exit(vec![identical(), different()]), Exit::NotReproduced);
        assert_eq!(exit(vec![identical(), Now::New]), Exit::NotReproduced);
        let failed = || Now::Failed("guest fault: panic".into());
        assert_eq!(exit(vec![identical(), failed()]), Exit::Incomplete);
        // What the record says could not run cannot run here either.
        let same = || Now::SameOutcome("unsupported: no XFS".into());
        assert_eq!(exit(vec![identical(), same()]), Exit::Ok);
        assert_eq!(exit(vec![same()]), Exit::NotReproduced);
        insta::assert_snapshot!(all(vec![identical(), different(), failed(), same()]).summary(), @"1 of 3 cells identical, digit by digit and in guest memory");
        insta::assert_snapshot!(all(vec![different()]).lines(false), @"6.12/ext4/read-4k  DIFFERENT: guest.repetitions[0].interrupts: 10071, was 10070");
        let line = all(vec![different()]).lines(true);
        assert!(
            line.contains("IOPS +0.000%; no number more than")
                && line.contains("% apart (repetitions[0].interrupts)"),
            "{line}"
        );
        let Now::Identical { memory } = compared(&before, &before) else {
            panic!("equal cells differ");
        };
        assert_eq!(memory, before.memory.end.is_some());
    }

    #[test]
    fn a_row_of_a_variant_is_selected_by_its_name() {
        let results = fixture::varied();
        let cells = |word: &str| {
            let selected = Selected::new(&[word.to_owned()], &results).unwrap();
            let cells = results.cells.iter().filter(|cell| selected.has(&cell.key));
            cells.map(|cell| short(&cell.key)).collect::<Vec<_>>()
        };
        assert_eq!(
            cells("6.12+mq-deadline/ext4/read-4k"),
            ["6.12+mq-deadline/ext4/read-4k"]
        );
        assert_eq!(cells("6.12/ext4/read-4k"), ["6.12/ext4/read-4k"]);
        assert_eq!(cells("*/ext4/read-4k").len(), 3);
    }

    #[test]
    fn cells_are_selected_by_their_parts() {
        let results = fixture::results();
        let selected = |word: &str| {
            let selected = Selected::new(&[word.to_owned()], &results)?;
            let cells = results.cells.iter().filter(|cell| selected.has(&cell.key));
            Ok::<_, Error>(cells.count())
        };
        assert_eq!(selected("6.12/ext4/write-4k").unwrap(), 1);
        assert_eq!(selected("*/ext4/write-4k").unwrap(), 5);
        assert_eq!(selected("6.12/*/*").unwrap(), 8);
        for word in [
            "6.12",
            "6.12/ext4",
            "9/ext4/write-4k",
            "6.12/ext4/write-4k/x",
            "",
        ] {
            assert!(selected(word).is_err(), "{word}");
        }
        let every = Selected::new(&[], &results).unwrap();
        assert!(results.cells.iter().all(|cell| every.has(&cell.key)));
    }
}
