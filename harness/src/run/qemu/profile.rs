//! What a guest executes: the plugin that counts it, and QEMU's own counter beside it.

use super::{Attempt, MachinePlan, Qemu};
use crate::{
    error::Error,
    profile::Symbols,
    record::Outcome,
    run::seen::Seen,
    vm::{Machine, Plugin, Profiling, Vmm},
};
use serde_json::json;

impl Qemu {
    /// The VMM under the plugin, where there is one.
    pub(super) fn watched(&self, plan: &MachinePlan, profiling: Profiling) -> Vmm {
        // Known since the kernel was measured first.
        let known = match profiling {
            Profiling::AllWindows => self.symbols.known(&plan.checkpoint),
            Profiling::FirstWindow { .. } => None,
        };
        let exceptions = known.map_or(vec![], |symbols| symbols.fault_entries());
        self.vmm.under(self.plugin.as_ref().map(|path| Plugin {
            path: path.clone(),
            profiling,
            exceptions,
        }))
    }

    /// What the plugin saw, if there was one.
    pub(super) fn counted(
        &self,
        vmm: &Vmm,
        profile: &[u8],
        symbols: &Symbols,
        icount: Option<u64>,
    ) -> Attempt<Option<Seen>> {
        let Some(plugin) = &vmm.plugin else {
            return Ok(None);
        };
        let mut seen = Seen::new(profile, symbols).map_err(|e| failed(&e))?;
        seen.icount = icount;
        seen.faults_known = !plugin.exceptions.is_empty();
        Ok(Some(seen))
    }
}

pub(super) fn failed(why: &Error) -> Outcome {
    super::failed("counting instructions", why)
}

/// What QEMU's own instruction counter says of a paused guest (QMP `query-replay`); nothing where
/// it keeps none, and where nobody wants to know.
pub(super) async fn executed(machine: &Machine, profiling: Profiling) -> Option<u64> {
    if profiling != Profiling::AllWindows {
        return None;
    }
    let answer = machine.qmp.execute("query-replay", json!({})).await.ok()?;
    (answer["mode"] == "record").then(|| answer["icount"].as_u64())?
}
