//! `--verify`: what was measured now against what was known, digit by digit (pure).

use crate::{
    compare::{differences, memory_compared},
    record::Measured,
    scenario::CellKey,
    text::counted,
};

/// What `--verify` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Cells that were known and are identical now.
    pub identical: usize,
    /// Those of them whose guests' memory was compared, too.
    pub memory: usize,
    /// Cells that were known and differ now, with what differs.
    pub different: Vec<(CellKey, Vec<String>)>,
    /// Cells that were not known before.
    pub new: usize,
}

impl Verification {
    /// Takes in one cell; returns what differs.
    pub fn add(&mut self, key: &CellKey, before: Option<&Measured>, now: &Measured) -> Vec<String> {
        let Some(before) = before else {
            self.new += 1;
            return Vec::new();
        };
        let differences = differences(before, now);
        if differences.is_empty() {
            self.identical += 1;
            self.memory += usize::from(memory_compared(before, now));
        } else {
            self.different.push((key.clone(), differences.clone()));
        }
        differences
    }

    /// Whether every cell that was measured was known before and is identical now. Nothing
    /// compared is no answer, and so no yes.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.identical > 0 && self.different.is_empty() && self.new == 0
    }

    /// One line: "40 of 40 cells identical, digit by digit and in guest memory".
    #[must_use]
    pub fn summary(&self) -> String {
        let compared = self.identical + self.different.len();
        let mut text = match compared {
            0 => "NOTHING TO COMPARE WITH".to_owned(),
            _ => format!(
                "{} of {} identical",
                self.identical,
                counted(compared, "cell")
            ),
        };
        if self.identical > 0 {
            text.push_str(&match self.memory {
                all if all == self.identical => ", digit by digit and in guest memory".to_owned(),
                0 => ", digit by digit; guest memory was not compared, as none of these guests \
                      stopped itself"
                    .to_owned(),
                some => format!(
                    ", digit by digit; {some} of them also in guest memory, as the other guests \
                     did not stop themselves"
                ),
            });
        }
        if self.new > 0 {
            let cells = counted(self.new, "cell");
            text.push_str(&format!(
                "; {cells} had not been measured before: run again with --verify to compare"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    fn key() -> CellKey {
        fixture::results().cells[0].key.clone()
    }

    fn cell(memory: Option<&str>) -> Measured {
        let mut cell = fixture::measured(50_000.0, 4096);
        cell.memory.end = memory.map(str::to_owned);
        cell
    }

    #[test]
    fn nothing_compared_is_never_a_yes() {
        let mut verification = Verification::default();
        assert!(!verification.holds());
        insta::assert_snapshot!(verification.summary(), @"NOTHING TO COMPARE WITH");
        verification.add(&key(), None, &cell(None));
        assert!(!verification.holds());
        insta::assert_snapshot!(verification.summary(), @"NOTHING TO COMPARE WITH; 1 cell had not been measured before: run again with --verify to compare");
        verification.add(&key(), Some(&cell(None)), &cell(None));
        assert!(!verification.holds(), "one of two is not all");
    }

    #[test]
    fn what_was_compared_is_said() {
        let mut verification = Verification::default();
        verification.add(&key(), Some(&cell(None)), &cell(None));
        assert!(verification.holds());
        insta::assert_snapshot!(verification.summary(), @"1 of 1 cell identical, digit by digit; \
                                                          guest memory was not compared, as none \
                                                          of these guests stopped itself");
        verification.add(&key(), Some(&cell(Some("a"))), &cell(Some("a")));
        insta::assert_snapshot!(verification.summary(), @"2 of 2 cells identical, digit by digit; 1 of them also in guest memory, as the other guests did not stop themselves");
        let mut verification = Verification::default();
        verification.add(&key(), Some(&cell(Some("a"))), &cell(Some("a")));
        insta::assert_snapshot!(verification.summary(), @"1 of 1 cell identical, digit by digit \
                                                          and in guest memory");
        let differences = verification.add(&key(), Some(&cell(Some("a"))), &cell(Some("b")));
        assert_eq!(differences.len(), 1);
        assert!(!verification.holds());
    }
}
