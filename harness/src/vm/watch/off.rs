//! The end of a guest that has reported, and may have more to hand over.

use super::{TICK, Watcher};
use crate::{vm::machine::Machine, vocabulary::Outcome};
use diorama_wire::Phase;
use std::time::Instant;

impl Watcher {
    /// Waits until a guest has powered off, under the deadline of a phase, telling `tell` of every
    /// phase.
    ///
    /// # Errors
    /// What came of the guest instead.
    pub async fn until_off(
        &mut self,
        machine: &mut Machine,
        tell: &dyn Fn(Phase, &str),
    ) -> Result<(), Outcome> {
        self.since = Instant::now();
        self.entered = self.since;
        loop {
            let ended = machine.ended_well();
            self.read_lines(machine, tell);
            if let Some(outcome) = self.gave_up(machine) {
                return Err(outcome);
            }
            match ended {
                Some(true) if self.panic_of(machine).is_none() => return Ok(()),
                Some(_) => return Err(self.ended(machine, None, tell).await),
                None => {}
            }
            if let Some(outcome) = self.overdue(machine) {
                return Err(outcome);
            }
            tokio::time::sleep(TICK).await;
        }
    }
}
