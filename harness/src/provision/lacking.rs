//! What a kernel lacks for a scenario's cells, as far as its configuration tells (pure).

use crate::{
    image::{Missing, Needs, loading},
    kernel::Kernel,
    plan::{Part, Unsupported},
    record::Outcome,
    scenario::{Clock, Scenario},
};

/// What a kernel certainly lacks for any cell at all, and which cells it lacks something for: a
/// file system or an engine costs its own cells only. `shares` says whether the guests share
/// directories with the host. All of it is known before anything boots.
pub(super) fn of(
    kernel: &Kernel,
    scenario: &Scenario,
    shares: bool,
) -> (Vec<Missing>, Vec<Unsupported>) {
    let common = Needs {
        smp: scenario.smp,
        device: Some(scenario.device.in_guest()),
        console: scenario.clock == Clock::Wall,
        shares,
        ..Needs::default()
    };
    let always = missing(kernel, &common);
    let mut unsupported = Vec::new();
    let mut check = |part: Part, needs: Needs| {
        let mut lacking = missing(kernel, &needs);
        lacking.retain(|m| !always.contains(m));
        if !lacking.is_empty() {
            let why = outcome(&lacking);
            unsupported.push(Unsupported { part, why });
        }
    };
    for filesystem in &scenario.filesystems {
        let needs = Needs {
            filesystems: vec![filesystem.kind],
            ..common.clone()
        };
        check(Part::Filesystem(filesystem.name.clone()), needs);
    }
    for workload in &scenario.workloads {
        let engine = workload.job.engine;
        let needs = Needs {
            engines: vec![engine],
            polled: workload.job.io_uring.hipri,
            fio: workload.fio.is_some(),
            ..common.clone()
        };
        check(Part::Workload(workload.name.clone()), needs);
    }
    (always, unsupported)
}

/// What a kernel certainly lacks.
fn missing(kernel: &Kernel, needs: &Needs) -> Vec<Missing> {
    let plan = loading::plan(needs, kernel);
    plan.missing.into_iter().filter(|m| m.certain).collect()
}

/// That, as what becomes of a cell.
pub(super) fn outcome(missing: &[Missing]) -> Outcome {
    let what: Vec<&str> = missing.iter().map(|m| m.what.as_str()).collect();
    Outcome::Unsupported {
        why: format!("the kernel lacks {}", what.join(", ")),
        config: missing.iter().flat_map(|m| m.options.clone()).collect(),
    }
}
