//! A job that is throttled in the guest reaches the rate it is allowed, by our engine and by fio: the
//! slower arm of a positive control.

use crate::common::{Lab, store};
use diorama::{
    lock::WhenGone,
    plan::{CellPlan, KernelPlan, Plan},
    provision::{Project, Provision},
    record::Outcome,
    run::{Executor as _, Qemu, SymbolTables},
    scenario::{self, Overrides},
    store::{NoProgress, Sources},
    vm::{Deadlines, vsock::Vsock},
};
use std::{collections::BTreeMap, num::NonZeroU64, path::Path};

const SCENARIO: &str = "name = \"throttled\"\ntitle = \"A slower arm\"\nbaseline = \"6.12\"\n\
    kernels = [\"6.12\"]\ndevice = \"nvme\"\n[nvme]\nsize = \"128MiB\"\n[measure]\n\
    repetitions = 1\nramp_time = \"500ms\"\n[filesystems.ext4]\n\
    [workloads.own]\nrw = \"write\"\nbs = \"4k\"\nsize = \"16MiB\"\nruntime = \"2s\"\n\
    [workloads.fio]\nvia = \"fio\"\nrw = \"write\"\nbs = \"4k\"\nsize = \"16MiB\"\nruntime = \"2s\"\n";

/// I/Os a second that are allowed: without a bound it is thousands, also under TCG on a slow host.
const BOUND: u64 = 400;

/// I/Os a second, and the bound that was in force as the guest says it.
async fn rate(
    qemu: &Qemu,
    kernel: &KernelPlan,
    cell: &CellPlan,
    iops: Option<NonZeroU64>,
) -> (u64, Option<NonZeroU64>) {
    let mut cell = cell.clone();
    cell.job.throttle_iops = iops;
    let quiet = Box::new(|_, _: &str| {});
    let measured = match qemu.cell(kernel, &cell, None, 0, quiet).await {
        Outcome::Measured(measured) => measured,
        other => panic!("{}: {}", cell.key, other.why()),
    };
    let r = &measured.guest.repetitions[0];
    let per_s = r.ios * 1_000_000_000 / r.window_ns;
    println!(
        "{}: {per_s} a second, bound {iops:?}, seconds {:?}",
        cell.key, r.per_second
    );
    (per_s, measured.guest.throttle_iops)
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_throttled_job_reaches_the_rate_it_is_allowed_and_no_more() {
    let test = "a_throttled_job_reaches_the_rate_it_is_allowed_and_no_more";
    let Some(lab) = Lab::open(test) else { return };
    let path = lab.write("throttled.toml", SCENARIO);
    let project = Project::open(lab.root()).expect("the locks");
    let scenario = scenario::load(
        Path::new(&path),
        &project.kernel_names(),
        &Overrides::default(),
    );
    let scenario = scenario.expect("a scenario");
    let store = store();
    let provision = Provision {
        project: &project,
        store: &store,
        sources: &Sources::only(BTreeMap::new(), Vec::new()),
        when_gone: WhenGone::Fail,
        progress: &NoProgress,
        tell: &|line| println!("{line}"),
    };
    let provided = provision.scenario(&scenario, "lock", lab.agent(), &[]);
    let provided = provided.expect("its inputs");
    let record = provided.vmm.record.clone();
    let plan = Plan::new(scenario, provided.kernels, record);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let vsock = runtime.block_on(async { Vsock::open(None) });
    let qemu = Qemu {
        vmm: provided.vmm,
        plugin: None,
        agent: provided.agent,
        symbols: SymbolTables::new(store.clone()),
        store: store.clone(),
        vsock: vsock.expect("a way for reports"),
        deadlines: plan.deadlines(Deadlines::default()),
        fresh_checkpoints: false,
        consoles: None,
        filled: std::cell::Cell::default(),
        artifacts: None,
    };
    runtime.block_on(async {
        for (kernel, cell) in plan.cells() {
            let (reached, said) = rate(&qemu, kernel, cell, NonZeroU64::new(BOUND)).await;
            assert_eq!(said, NonZeroU64::new(BOUND), "{}", cell.key);
            let share = reached * 100 / BOUND;
            assert!(
                (75..=110).contains(&share),
                "{}: {share}% of the bound",
                cell.key
            );
        }
    });
}
