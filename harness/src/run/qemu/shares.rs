//! What the guests share with the host: told where it fails, and awaited where files come back.

use super::Qemu;
use crate::{
    run::{event::Doing, executor::Watch},
    vm::{Machine, Spec, Watcher},
};
use diorama_wire::{ARTIFACTS_TAG, Phase};

impl Qemu {
    /// Waits until a guest that has reported has handed its files back, if it has any to hand back.
    /// Its result is safe by now: what goes wrong is noted.
    pub(super) async fn take_artifacts(
        &self,
        machine: &mut Machine,
        watcher: &mut Watcher,
        spec: &Spec,
        watch: &Watch,
    ) {
        if spec.shares.iter().all(|share| share.tag != ARTIFACTS_TAG) {
            return;
        }
        let tell = |phase, detail: &str| watch(Doing::Phase(phase), detail);
        if let Err(outcome) = watcher.until_off(machine, &tell).await {
            let text = format!("not all was handed back: {}", outcome.why());
            watch(Doing::Phase(Phase::Artifacts), &text);
        }
        tell_failed(machine, spec, watch);
    }
}

/// Tells of servers that ended before their guest did: what the guest then says is no explanation.
pub(super) fn tell_failed(machine: &mut Machine, spec: &Spec, watch: &Watch) {
    for text in machine.failed_shares(spec) {
        watch(Doing::Phase(Phase::Artifacts), &text);
    }
}
