//! What differs between runs besides what they were made to compare.

use crate::{
    record::Results,
    scenario::{Difference, Scenario, SubjectKey, differences},
};

/// The keys that decide what a cell's job is: where more than one of them differs, nobody could say which
/// made a difference. The others are said beside the tables.
pub(super) fn decisive(a: &Scenario, b: &Scenario, cell: (&str, &str)) -> Vec<Difference> {
    let decides = |key: &str| {
        let beside = ["guest.", "measure.", "conditioning."];
        !beside.iter().any(|section| key.starts_with(section))
    };
    let mut keys = differences(a, b, cell);
    keys.retain(|difference| decides(&difference.key));
    keys
}

/// In which keys the cells of `b` differ from `a`'s baseline, if they do: what is compared, where it is
/// one for each cell.
pub(super) fn differing(a: &Results, b: &Results, [first, second]: [&str; 2]) -> Vec<String> {
    let (x, y) = (&a.scenario, &b.scenario);
    let baseline = x.subjects.iter().find(|subject| x.is_baseline(subject));
    let Some(baseline) = baseline else {
        return Vec::new();
    };
    let base = x.of(baseline);
    // Subjects that differ alike are named together.
    let mut found: Vec<(String, Vec<&SubjectKey>)> = Vec::new();
    for subject in &y.subjects {
        let own = y.of(subject);
        let (mut keys, mut several) = (Vec::new(), 0_usize);
        for cell in b.cells.iter().filter(|cell| cell.key.subject == *subject) {
            let (filesystem, workload) = (&cell.key.filesystem, &cell.key.workload);
            let mut others = a.cells.iter();
            if !others.any(|c| c.key.filesystem == *filesystem && c.key.workload == *workload) {
                continue;
            }
            let of_cell = decisive(&base, &own, (filesystem, workload));
            several += usize::from(of_cell.len() > 1);
            for key in of_cell.iter().map(Difference::to_string) {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        if keys.is_empty() {
            continue;
        }
        let words = match several {
            0 => keys.join(", "),
            n => format!(
                "{}; {n} cells of each row differ in more than one of them and are not compared",
                keys.join(", ")
            ),
        };
        match found.iter_mut().find(|(known, _)| *known == words) {
            Some((_, subjects)) => subjects.push(subject),
            None => found.push((words, vec![subject])),
        }
    }
    let all = y.subjects.len();
    let note = |(words, subjects): (String, Vec<&SubjectKey>)| match subjects.len() == all
        && x.variants.is_empty()
    {
        true => format!("{second} differs from {first}: {words}"),
        false => {
            let names = subjects.iter().map(|subject| format!("{second}:{subject}"));
            let names: Vec<String> = names.collect();
            let differ = match names.len() {
                1 => "differs",
                _ => "differ",
            };
            let names = names.join(", ");
            format!("{names} {differ} from {first}:{baseline}: {words}")
        }
    };
    found.into_iter().map(note).collect()
}

/// Everything but kernels, workloads and file systems in which `b` is not as `a`, one sentence each.
/// Workloads, file systems and devices that differ make cells incomparable, and are said there.
pub(super) fn besides_the_kernel(a: &Results, b: &Results, names: [&str; 2]) -> Vec<String> {
    let [first, second] = names;
    let mut notes = Vec::new();
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            notes.push(format!(
                "{what}: {a} in {first}, {b} in {second}; a difference may be due to that alone"
            ));
        }
    };
    let (x, y) = (&a.scenario, &b.scenario);
    let words = |words: &[String]| match words {
        [] => "none".to_owned(),
        words => words.join(" "),
    };
    differ("the VMM", a.vmm.version.clone(), b.vmm.version.clone());
    if a.vmm.version == b.vmm.version {
        differ(
            "the VMM's build",
            a.vmm.digest.short(),
            b.vmm.digest.short(),
        );
    }
    differ("guest CPUs", x.smp.to_string(), y.smp.to_string());
    let mib = |mib: u32| format!("{mib} MiB");
    differ("guest memory", mib(x.memory_mib), mib(y.memory_mib));
    differ(
        "the guests' kernel command line",
        words(&x.cmdline),
        words(&y.cmdline),
    );
    differ(
        "the number of repetitions",
        x.measure.repetitions.to_string(),
        y.measure.repetitions.to_string(),
    );
    differ(
        "the warm-up",
        x.measure.warmup_ios.to_string(),
        y.measure.warmup_ios.to_string(),
    );
    differ("what executes the guests", accels(a), accels(b));
    differ(
        "the version of diorama",
        a.diorama.clone(),
        b.diorama.clone(),
    );
    differ(
        "features of file systems",
        words(&a.formatting),
        words(&b.formatting),
    );
    // The same image with another initramfs: another agent, or other tools.
    for kernel in &a.kernels {
        let same = |k: &&crate::record::KernelRecord| {
            k.image == kernel.image && k.initramfs != kernel.initramfs && k.initramfs.is_some()
        };
        if kernel.image.is_some()
            && kernel.initramfs.is_some()
            && let Some(other) = b.kernels.iter().find(same)
        {
            let note = format!(
                "{first}:{} and {second}:{} are the same image with another initramfs: the agent, the \
                 tools or the modules differ",
                kernel.name, other.name
            );
            // One image is for all rows of a kernel.
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

/// What executed a run's guests.
fn accels(run: &Results) -> String {
    let cells = run.cells.iter().filter_map(|cell| cell.outcome.measured());
    let mut accels: Vec<&str> = cells.map(|measured| measured.host.accel.name()).collect();
    accels.sort_unstable();
    accels.dedup();
    accels.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare::fixture, digest::Sha256};

    #[test]
    fn whatever_differs_besides_the_kernel_is_named() {
        let a = fixture::results();
        assert_eq!(besides_the_kernel(&a, &a, ["A", "B"]), Vec::<String>::new());
        let mut b = a.clone();
        b.vmm.digest = Sha256::of(b"another");
        b.scenario.smp = 2;
        b.scenario.memory_mib = 2048;
        b.scenario.cmdline = vec!["nohz=off".into()];
        b.scenario.measure.repetitions = 3;
        b.kernels[1].initramfs = Some(Sha256::of(b"another agent's"));
        b.formatting = vec!["of 6.1".into()];
        let notes = besides_the_kernel(&a, &b, ["A", "B"]);
        insta::assert_snapshot!(notes.join("\n"), @"
        the VMM's build: 4d09264a5878 in A, ae448ac86c4e in B; a difference may be due to that alone
        guest CPUs: 1 in A, 2 in B; a difference may be due to that alone
        guest memory: 1024 MiB in A, 2048 MiB in B; a difference may be due to that alone
        the guests' kernel command line: none in A, nohz=off in B; a difference may be due to that alone
        the number of repetitions: 5 in A, 3 in B; a difference may be due to that alone
        features of file systems: none in A, of 6.1 in B; a difference may be due to that alone
        A:6.1 and B:6.1 are the same image with another initramfs: the agent, the tools or the modules differ
        ");
    }
}
