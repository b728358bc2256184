//! What a reader must know of a scenario's figures before they are believed (pure).

use crate::{
    scenario::{Clock, FilesystemSpec, Scenario, WorkloadSpec, fio_jobs_at_once},
    units::show_nanos,
};
use diorama_wire::{FsKind, Sync};

/// One sentence each.
pub(super) fn of(scenario: &Scenario) -> Vec<String> {
    let smp = scenario.smp;
    let turns = (smp > 1 && scenario.clock == Clock::Instructions).then(|| {
        format!(
            "each guest has {smp} CPUs: QEMU keeps its threads in step only for guests with one \
             CPU, so on a busy host a cell may occasionally not reproduce bit-exactly; `--verify` \
             shows which"
        )
    });
    let notes = turns.into_iter().chain(durability(scenario));
    let notes = notes.chain(stack(scenario)).chain(contention(scenario));
    let notes = notes
        .chain(layers(scenario))
        .chain(parts(scenario))
        .chain(copied(scenario));
    notes.chain(of_jobs(&scenario.workloads)).collect()
}

/// Threads of an exact guest never wait for each other's caches and locks.
fn contention(scenario: &Scenario) -> Option<String> {
    if scenario.clock == Clock::Wall {
        return None;
    }
    let jobs = scenario.workloads.iter();
    let several: Vec<&str> = jobs
        .filter(|workload| threads(workload) > 1 || scenario.smp > 1)
        .map(|workload| workload.name.as_str())
        .collect();
    (!several.is_empty()).then(|| {
        format!(
            "contention is not modelled: in {} several threads take turns on one thread of the host, \
             so what they lose by waiting for each other's locks and cache lines on a real machine \
             does not show; the metal lane (--device) shows it",
            several.join(", ")
        )
    })
}

/// Threads or processes of a workload.
fn threads(workload: &WorkloadSpec) -> u64 {
    match &workload.fio {
        Some(fio) => fio_jobs_at_once(fio),
        None => workload.job.numjobs.into(),
    }
}

/// Files that a workload uses at once.
fn files(workload: &WorkloadSpec) -> usize {
    match &workload.fio {
        Some(fio) => fio.files.len(),
        None => workload.job.files() as usize,
    }
}

/// What lies between the drive and the file system.
fn layers(scenario: &Scenario) -> Option<String> {
    let model = scenario.device.model().filter(|m| !m.stack.is_empty())?;
    let names: Vec<&str> = model.stack.iter().map(|layer| layer.name()).collect();
    let counted = match model.is_mirrored() {
        true => "both drives, so that a write is two",
        false => "the drive",
    };
    Some(format!(
        "over the drive lies {}, from it up: its code, and what it hands to workers, is on the path of \
         every I/O; requests are counted at {counted}",
        names.join(", ")
    ))
}

/// btrfs, which copies on write and has checksums unless it is told otherwise.
fn copied(scenario: &Scenario) -> Option<String> {
    let btrfs = (scenario.filesystems.iter()).filter(|fs| fs.kind == FsKind::Btrfs);
    let unchecked = |fs: &&FilesystemSpec| {
        let mut options = fs.mount_options.split(',');
        options.any(|option| ["nodatacow", "nodatasum"].contains(&option))
    };
    let (plain, copying): (Vec<_>, Vec<_>) = btrfs.partition(unchecked);
    if let Some(fs) = copying.first() {
        return Some(format!(
            "{}: btrfs checks and copies what is written: every overwrite allocates a new extent, and a \
             kernel may send direct writes to such files through the page cache, which is no direct \
             I/O; where the guest finds that, the cell is a WRONG RESULT. mount_options = \"nodatacow\" \
             writes in place, without checksums",
            fs.name
        ));
    }
    let fs = plain.first()?;
    Some(format!(
        "{}: mounted with {}, btrfs keeps no checksums of data; these figures are not those of its \
         defaults",
        fs.name, fs.mount_options
    ))
}

/// Where files are that there is no file system for.
fn parts(scenario: &Scenario) -> Option<String> {
    let raw = scenario.filesystems.iter().find(|fs| fs.kind.is_none())?;
    let several = scenario.workloads.iter().filter(|w| files(w) > 1);
    let names: Vec<&str> = several.map(|w| w.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "on {} each file of {} is a part of the device of its own, one behind the other; jobs \
             that name the same file share its part",
            raw.name,
            names.join(", ")
        )
    })
}

/// What is said of fio's job files, each sentence once.
fn of_jobs(workloads: &[WorkloadSpec]) -> Vec<String> {
    let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
    for workload in workloads {
        for note in &workload.notes {
            match said.iter_mut().find(|(known, _)| known == note) {
                Some((_, names)) => names.push(&workload.name),
                None => said.push((note, vec![&workload.name])),
            }
        }
    }
    let sentence = |(note, names): (&str, Vec<&str>)| format!("{}: {note}", names.join(", "));
    said.into_iter().map(sentence).collect()
}

/// Durable writes on a drive that makes them so for nothing, or for the latency of any write.
fn durability(scenario: &Scenario) -> Option<String> {
    let workloads = scenario.workloads.iter();
    let names: Vec<&str> = workloads
        .filter(|w| is_durable(w))
        .map(|w| w.name.as_str())
        .collect();
    if names.is_empty() {
        return None;
    }
    let names = names.join(", ");
    match scenario.device.model()?.write_cache {
        None => Some(format!(
            "durability is free in {names}: the modelled drive has no volatile write cache, so it \
             never gets a flush, and these figures show only the kernel's path; [model] \
             write_cache = \"volatile\" adds one"
        )),
        Some(cache) if cache.fua => Some(format!(
            "in {names} a durable write may go out as an FUA write, which takes the modelled \
             drive's latency like any other write, and no flush"
        )),
        Some(_) => None,
    }
}

fn is_durable(workload: &WorkloadSpec) -> bool {
    let job = &workload.job;
    let by_fio = workload.fio.as_ref().is_some_and(|fio| asks_fio(&fio.jobs));
    job.sync != Sync::None || job.fdatasync != 0 || by_fio
}

/// Whether a job file asks fio for durable writes in any of its words for it, other than by saying
/// no.
fn asks_fio(jobs: &str) -> bool {
    const WORDS: [&str; 6] = [
        "sync",
        "fsync",
        "fdatasync",
        "sync_file_range",
        "end_fsync",
        "fsync_on_close",
    ];
    let options = jobs.lines().map(|line| {
        let (name, value) = line.split_once('=').unwrap_or((line, "1"));
        (name.trim(), value.trim())
    });
    options
        .filter(|(name, _)| WORDS.contains(name))
        .any(|(_, value)| !["0", "none"].contains(&value))
}

/// What it takes that a flush has a latency of its own.
fn stack(scenario: &Scenario) -> Option<String> {
    let model = scenario.device.model()?;
    let cache = model.write_cache.filter(|_| model.is_stacked())?;
    Some(format!(
        "a flush takes {} and any other request {}: the modelled drive is two null_blk disks behind \
         device-mapper, whose code is on the path of every I/O",
        show_nanos(cache.flush_latency_ns),
        show_nanos(model.latency_ns)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;
    use diorama_wire::WriteCache;

    fn scenario(sync: Sync, write_cache: Option<WriteCache>) -> Scenario {
        let mut scenario = fixture::results().scenario;
        scenario.workloads[2].job.sync = sync;
        fixture::model(&mut scenario).write_cache = write_cache;
        scenario
    }

    fn cache(fua: bool, flush_latency_ns: u64) -> Option<WriteCache> {
        Some(WriteCache {
            fua,
            flush_latency_ns,
        })
    }

    #[test]
    fn free_durability_is_said_and_only_of_those_that_ask_for_it() {
        assert!(of(&scenario(Sync::None, None)).is_empty());
        insta::assert_snapshot!(of(&scenario(Sync::Dsync, None)).join("\n"), @r#"durability is free in write-4k: the modelled drive has no volatile write cache, so it never gets a flush, and these figures show only the kernel's path; [model] write_cache = "volatile" adds one"#);
        assert!(of(&scenario(Sync::Dsync, cache(false, 10_000))).is_empty());
        let mut by_call = scenario(Sync::None, None);
        by_call.workloads[0].job.fdatasync = 8;
        assert!(of(&by_call)[0].contains(&by_call.workloads[0].name));
    }

    #[test]
    fn several_cpus_are_a_caution_where_figures_are_exact() {
        let mut several = scenario(Sync::None, None);
        several.smp = 2;
        let said = of(&several);
        assert!(said.len() == 2 && said[1].starts_with("contention is not modelled"));
        several.clock = Clock::Wall;
        assert!(of(&several).is_empty());
    }

    #[test]
    fn what_btrfs_does_with_direct_writes_is_said() {
        let mut on_btrfs = scenario(Sync::None, None);
        on_btrfs.filesystems[0].kind = FsKind::Btrfs;
        assert!(of(&on_btrfs)[0].contains("a WRONG RESULT"));
        on_btrfs.filesystems[0].mount_options = "noatime,nodatacow".into();
        assert!(of(&on_btrfs)[0].contains("no checksums"));
        on_btrfs.filesystems[0].kind = FsKind::Xfs;
        assert!(of(&on_btrfs).is_empty());
    }

    #[test]
    fn parts_of_a_device_are_said_where_there_are_several() {
        let mut raw = scenario(Sync::None, None);
        raw.filesystems[0].kind = FsKind::None;
        assert!(of(&raw).is_empty());
        raw.workloads[0].job.numjobs = 2;
        let said = of(&raw);
        assert!(
            said[0].starts_with("contention is not modelled"),
            "{said:?}"
        );
        assert!(
            said[1].contains("a part of the device of its own"),
            "{said:?}"
        );
    }

    #[test]
    fn a_drive_of_two_disks_is_said() {
        let found = of(&scenario(Sync::RwfDsync, cache(true, 2_000)));
        insta::assert_snapshot!(found.join("\n"), @r"
        in write-4k a durable write may go out as an FUA write, which takes the modelled drive's latency like any other write, and no flush
        a flush takes 2 us and any other request 10 us: the modelled drive is two null_blk disks behind device-mapper, whose code is on the path of every I/O
        ");
    }

    #[test]
    fn fios_words_for_durable_writes_are_known() {
        for jobs in ["[a]\nfsync=1\n", "sync = dsync\n", "end_fsync\n"] {
            assert!(asks_fio(jobs), "{jobs}");
        }
        for jobs in ["[a]\nfsync=0\nsync=none\n", "[sync]\nrw=write\n"] {
            assert!(!asks_fio(jobs), "{jobs}");
        }
    }
}
