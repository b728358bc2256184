//! Which inputs of two runs differ, which results do, and nothing else.

use super::{
    alarm::{Alarm, alarms, comparable},
    leaves::{Leaf, Leaves},
};
use crate::{
    record::{CellResult, KernelRecord, Outcome, Results},
    scenario::CellKey,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What two runs differ in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// Name of the first run's directory.
    pub a: String,
    /// Name of the second's.
    pub b: String,
    /// Inputs that differ. What all machines or all jobs share is named once, with a star.
    pub inputs: Vec<Leaf>,
    /// Cells whose results differ although their input digests are equal, in the exact lane.
    pub alarms: Vec<Alarm>,
    /// Cells that only the first run has.
    pub only_in_a: Vec<CellKey>,
    /// Cells that only the second has.
    pub only_in_b: Vec<CellKey>,
    /// Cells of both that differ.
    pub cells: Vec<CellDiff>,
    /// What is equal.
    pub equal: Equal,
}

/// A cell that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellDiff {
    /// Which.
    pub key: CellKey,
    /// Whether both have the same input digest.
    pub same_inputs: bool,
    /// What became of it in each, where that is not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<[String; 2]>,
    /// Everything that the guest reported, its instructions, and its memory's digests.
    pub digits: Leaves,
}

/// Counts of what is equal, and of how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Equal {
    /// Cells of both, without any difference.
    pub cells: usize,
    /// Cells that both have.
    pub of_cells: usize,
    /// Digits and words of cells that both measured.
    pub digits: usize,
    /// All of those.
    pub of_digits: usize,
    /// Digests of guest memory at the checkpoint and after the measurement.
    pub memories: usize,
    /// Those that both have.
    pub of_memories: usize,
}

impl Diff {
    /// Compares two runs.
    #[must_use]
    pub fn of(a: &Results, b: &Results) -> Diff {
        let mut diff = Diff {
            a: a.run_id.clone(),
            b: b.run_id.clone(),
            inputs: inputs(a, b),
            alarms: alarms(&[a, b]),
            only_in_a: only_in(a, b),
            only_in_b: only_in(b, a),
            cells: Vec::new(),
            equal: Equal::default(),
        };
        for (x, y) in both(a, b) {
            let cell = cell(x, y, &mut diff.equal);
            diff.cells.extend(cell);
        }
        diff
    }

    /// Whether neither an input nor a result differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
            && self.cells.is_empty()
            && self.only_in_a.is_empty()
            && self.only_in_b.is_empty()
            && self.alarms.is_empty()
    }
}

fn both<'a>(
    a: &'a Results,
    b: &'a Results,
) -> impl Iterator<Item = (&'a CellResult, &'a CellResult)> {
    let others: BTreeMap<&CellKey, &CellResult> = b.cells.iter().map(|c| (&c.key, c)).collect();
    a.cells
        .iter()
        .filter_map(move |cell| Some((cell, *others.get(&cell.key)?)))
}

fn only_in(a: &Results, b: &Results) -> Vec<CellKey> {
    let others: Vec<&CellKey> = b.cells.iter().map(|cell| &cell.key).collect();
    let only = a.cells.iter().filter(|cell| !others.contains(&&cell.key));
    only.map(|cell| cell.key.clone()).collect()
}

fn cell(a: &CellResult, b: &CellResult, equal: &mut Equal) -> Option<CellDiff> {
    let mut outcomes = None;
    let mut digits = Leaves::default();
    match (&a.outcome, &b.outcome) {
        (Outcome::Measured(x), Outcome::Measured(y)) => {
            let (x, y) = comparable(x, y);
            digits = Leaves::of(&x, &y);
            let memories = x["memory"].as_object().map_or(0, Map::len);
            let is_memory = |leaf: &&Leaf| leaf.path.starts_with("memory.");
            let other = digits.differ.iter().filter(is_memory).count();
            equal.of_memories += memories;
            equal.memories += memories - other;
            equal.digits += digits.equal - (memories - other);
            equal.of_digits += digits.equal + digits.differ.len() - memories;
        }
        (x, y) if x.word() == y.word() && x.why() == y.why() => {}
        (x, y) => outcomes = Some([x.words(), y.words()]),
    }
    equal.of_cells += 1;
    if outcomes.is_none() && digits.differ.is_empty() {
        equal.cells += 1;
        return None;
    }
    Some(CellDiff {
        key: a.key.clone(),
        same_inputs: a.inputs.is_some() && a.inputs == b.inputs,
        outcomes,
        digits,
    })
}

/// Every input in which they differ, the scenario's keys first.
fn inputs(a: &Results, b: &Results) -> Vec<Leaf> {
    let mut found = Leaves::of(&scenario(a), &scenario(b)).differ;
    for leaf in &mut found {
        leaf.path.insert_str(0, "scenario.");
    }
    let of_the_scenario = found.len();
    let jobless = [a, b]
        .iter()
        .all(|of| of.cells.iter().all(|cell| cell.job.is_none()));
    found.extend(Leaves::of(&run(a, jobless), &run(b, jobless)).differ);
    found.extend(shared("machines", &machines(a), &machines(b)));
    let jobs = shared("jobs", &jobs(a), &jobs(b));
    let (told, _) = found.split_at(of_the_scenario);
    // What a job has from the scenario is said there.
    let news: Vec<Leaf> = (jobs.into_iter())
        .filter(|leaf| !told.iter().any(|other| says_the_same(leaf, other)))
        .collect();
    found.extend(news);
    found
}

fn says_the_same(leaf: &Leaf, other: &Leaf) -> bool {
    let last = |leaf: &Leaf| leaf.path.rsplit('.').next().map(str::to_owned);
    last(leaf) == last(other) && (&leaf.a, &leaf.b) == (&other.a, &other.b)
}

/// The scenario as its file has it: a workload's own keys are not in a `job`, rows are named where there
/// are others than its kernels.
fn scenario(of: &Results) -> Value {
    let mut scenario = json!(of.scenario);
    scenario["subjects"] = match of.scenario.variants.is_empty() {
        true => Value::Null,
        false => json!(of.scenario.subject_names()),
    };
    let workloads = scenario.get_mut("workloads").and_then(Value::as_array_mut);
    for workload in workloads.into_iter().flatten() {
        let Some(map) = workload.as_object_mut() else {
            continue;
        };
        if let Some(Value::Object(job)) = map.remove("job") {
            map.extend(job);
        }
    }
    scenario
}

/// What a run had besides its scenario, its machines and its jobs. Where neither record has those, it is
/// `formatting` that tells of mkfs.
fn run(of: &Results, jobless: bool) -> Value {
    let mut run = json!({"diorama": of.diorama, "kernels": kernels(of), "vmm": of.vmm});
    if let Some(session) = &of.session {
        run["session"] = json!({"blocks": session.blocks, "seed": session.seed});
    }
    if jobless {
        run["formatting"] = json!(of.formatting);
    }
    run
}

/// Kernels under their rows' names.
fn kernels(of: &Results) -> Vec<Value> {
    let kernel = |kernel: &KernelRecord| {
        let named = KernelRecord {
            name: kernel.subject().to_string(),
            variant: None,
            ..kernel.clone()
        };
        json!(named)
    };
    of.kernels.iter().map(kernel).collect()
}

/// What machines have besides their kernels and the VMM, by the rows' names.
fn machines(of: &Results) -> BTreeMap<String, Value> {
    let machines = of.machines.iter().map(|machine| {
        let covers = &machine.covers;
        let value = json!({
            "lane": covers.lane, "argv": covers.argv, "wall_clock": covers.wall_clock,
        });
        (machine.subject().to_string(), value)
    });
    machines.collect()
}

/// Jobs by file system and workload; by the row as well where it has one of its own.
fn jobs(of: &Results) -> BTreeMap<String, Value> {
    let mut jobs = BTreeMap::new();
    for cell in &of.cells {
        let Some(job) = &cell.job else { continue };
        let job = json!(job);
        let known = jobs.entry(job["cell"].as_str().unwrap_or_default().to_owned());
        if *known.or_insert_with(|| job.clone()) != job {
            jobs.insert(cell.key.to_string(), job);
        }
    }
    jobs
}

/// Differences between things of one name; one that several have is named once.
fn shared(what: &str, a: &BTreeMap<String, Value>, b: &BTreeMap<String, Value>) -> Vec<Leaf> {
    let names: Vec<&String> = a.keys().filter(|name| b.contains_key(*name)).collect();
    let mut found: Vec<(Leaf, Vec<&str>)> = Vec::new();
    for name in &names {
        for leaf in Leaves::of(&a[*name], &b[*name]).differ {
            match found.iter_mut().find(|(known, _)| *known == leaf) {
                Some((_, of)) => of.push(name),
                None => found.push((leaf, vec![name])),
            }
        }
    }
    let whole = |(leaf, of): (Leaf, Vec<&str>)| {
        let of = match of.as_slice() {
            all if all.len() == names.len() && all.len() > 1 => "*".to_owned(),
            [one] => (*one).to_owned(),
            some => format!("{{{}}}", some.join(",")),
        };
        Leaf {
            path: format!("{what}.{of}.{}", leaf.path),
            ..leaf
        }
    };
    found.into_iter().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare::fixture, digest::Sha256};

    fn paths(diff: &Diff) -> Vec<&str> {
        diff.inputs.iter().map(|leaf| leaf.path.as_str()).collect()
    }

    fn measured(results: &mut Results, at: usize) -> &mut crate::record::Measured {
        match &mut results.cells[at].outcome {
            Outcome::Measured(measured) => measured,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_runs_that_differ_in_their_hosts_alone_do_not_differ() {
        let (a, mut b) = (fixture::results(), fixture::results());
        (b.run_id, b.started) = ("another".into(), "2027-01-02T03:04:05Z".into());
        b.notes.clear();
        for at in 0..b.cells.len() {
            b.cells[at].origin = crate::record::Origin::Cached;
            measured(&mut b, at).host.wall_s += 1.0;
        }
        let diff = Diff::of(&a, &b);
        assert!(diff.is_empty(), "{diff:?}");
        assert_eq!((diff.equal.cells, diff.equal.of_cells), (40, 40));
        assert_eq!(diff.equal.digits, diff.equal.of_digits);
        assert_eq!(diff.equal.of_memories, 0);
    }

    #[test]
    fn formatting_stands_for_jobs_only_where_neither_record_has_them() {
        let (mut a, mut b) = (fixture::results(), fixture::results());
        b.formatting = vec!["of 6.1".into()];
        assert_eq!(paths(&Diff::of(&a, &b)), [""; 0]);
        a.cells.iter_mut().for_each(|cell| cell.job = None);
        assert_eq!(paths(&Diff::of(&a, &b)), [""; 0]);
        b.cells.iter_mut().for_each(|cell| cell.job = None);
        assert_eq!(paths(&Diff::of(&a, &b)), ["formatting"]);
    }

    #[test]
    fn an_input_is_named_once_wherever_it_goes() {
        let (a, mut b) = (fixture::results(), fixture::results());
        b.scenario.workloads[2].job.iodepth = 32;
        for cell in b.cells.iter_mut().filter(|c| c.key.workload == "write-4k") {
            cell.job.as_mut().unwrap().workload.iodepth = 32;
        }
        for machine in &mut b.machines {
            machine.covers.argv[1] = "2048M".into();
        }
        b.machines[1].covers.wall_clock = None;
        b.kernels[4].initramfs = Some(Sha256::of(b"another agent"));
        for cell in &mut b.cells {
            let mkfs = &mut cell.job.as_mut().unwrap().filesystem.mkfs;
            mkfs.push("-O".into());
        }
        assert_eq!(
            paths(&Diff::of(&a, &b)),
            [
                "scenario.workloads.write-4k.iodepth",
                "kernels.7.2.initramfs",
                "machines.*.argv",
                "machines.6.1.wall_clock",
                "jobs.*.filesystem.mkfs",
            ]
        );
    }

    #[test]
    fn an_input_of_a_row_is_named_with_its_variant() {
        let (a, mut b) = (fixture::varied(), fixture::varied());
        b.kernels[1].initramfs = Some(Sha256::of(b"another agent"));
        b.machines[2].covers.argv[1] = "2048M".into();
        assert_eq!(
            paths(&Diff::of(&a, &b)),
            [
                "kernels.6.12+mq-deadline.initramfs",
                "machines.6.12+shallow.argv"
            ]
        );
    }

    #[test]
    fn a_job_that_differs_by_itself_is_named_though_the_scenario_does_not_differ() {
        let (a, mut b) = (fixture::results(), fixture::results());
        b.cells[0].job.as_mut().unwrap().workload.iodepth = 32;
        assert_eq!(
            paths(&Diff::of(&a, &b)),
            ["jobs.ext4/read-4k.workload.iodepth"]
        );
    }

    #[test]
    fn digits_memories_outcomes_and_cells_of_one_run_alone_are_told_apart() {
        let (mut a, mut b) = (fixture::results(), fixture::results());
        for (results, end) in [(&mut a, "00"), (&mut b, "11")] {
            for at in 0..3 {
                let end = if at == 1 { end } else { "00" };
                measured(results, at).memory.end = Some(end.into());
            }
        }
        measured(&mut b, 2).guest.repetitions[1].ios += 1;
        b.cells[3].outcome = Outcome::WrongResult { why: "torn".into() };
        b.cells.pop();
        let diff = Diff::of(&a, &b);
        assert_eq!((diff.only_in_a.len(), diff.only_in_b.len()), (1, 0));
        let cells: Vec<_> = diff.cells.iter().map(|c| c.key.workload.as_str()).collect();
        assert_eq!(cells, ["read-16k", "write-4k", "write-16k"]);
        let leaves: Vec<_> = (diff.cells.iter().flat_map(|c| &c.digits.differ))
            .map(|leaf| leaf.path.as_str())
            .collect();
        assert_eq!(leaves, ["memory.end", "guest.repetitions[1].ios"]);
        assert_eq!(
            diff.cells[2].outcomes,
            Some(["measured".to_owned(), "wrong result (torn)".to_owned()])
        );
        let equal = diff.equal;
        assert_eq!((equal.cells, equal.of_cells), (36, 39));
        assert_eq!((equal.memories, equal.of_memories), (2, 3));
        assert_eq!(equal.of_digits - equal.digits, 1);
        // All three have equal inputs.
        assert_eq!(diff.alarms.len(), 3);
    }
}
