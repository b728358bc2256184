//! What a reader must know of a job before its figure is believed (pure).

use super::checker::{Draft, Guest, On};
use diorama_wire::Layout;

/// One sentence each, about jobs that run together on such a guest.
pub(super) fn of(group: &[Draft], guest: Guest) -> Vec<String> {
    // A device is written before anything runs on it.
    let unwritten = unwritten(group).filter(|_| guest.on != On::Device);
    let all = [different(group), unwritten, polled(group, guest.cpus)];
    all.into_iter().flatten().collect()
}

/// A sum over jobs that do different things.
fn different(group: &[Draft]) -> Option<String> {
    let first = group.first()?;
    let same = |d: &Draft| {
        let what = |d: &Draft| (d.rw, d.block_size, d.iodepth, d.engine);
        what(d) == what(first)
    };
    (!group.iter().all(same)).then(|| {
        let jobs: Vec<String> = group.iter().map(Draft::words).collect();
        format!(
            "its figure is the sum of jobs that do different things: {}; each job's own figures are \
             in results.json",
            jobs.join(", ")
        )
    })
}

/// Writes into blocks that are allocated and were never written.
fn unwritten(group: &[Draft]) -> Option<String> {
    let fresh = group.iter().filter(|d| d.layout == Layout::Unwritten);
    let names: Vec<&str> = fresh.map(|d| d.job.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "job {} writes into a file that is allocated and was never written (fio's default): a \
             run this short measures how the file system converts extents; overwrite = true \
             (--overwrite) writes the file first",
            names.join(", ")
        )
    })
}

/// A kernel thread that polls, on the only CPU.
fn polled(group: &[Draft], cpus: u32) -> Option<String> {
    let polling = |d: &&Draft| d.job.on(&["sqthread_poll"]);
    let job = group.iter().find(polling)?;
    (cpus == 1).then(|| {
        format!(
            "job {} has a polling kernel thread (sqthread_poll) that shares the guest's only CPU \
             with fio: this measures the scheduler more than the I/O; [guest] smp = 2 gives it a CPU",
            job.job.name
        )
    })
}
