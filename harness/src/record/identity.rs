//! Whether a record's digests follow from what it says (pure).

use super::Results;
use crate::vocabulary::CellInputs;
use std::collections::BTreeMap;

/// The first schema whose records say what their digests cover.
const SAYS_WHAT: u32 = 5;

/// Computes every digest of a record from the record itself, and names those that are others than it says,
/// one sentence each. Nothing can be said of records of earlier schemas.
#[must_use]
pub fn contradictions(results: &Results) -> Vec<String> {
    if results.schema < SAYS_WHAT {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut machines = BTreeMap::new();
    for machine in &results.machines {
        let (name, covers) = (machine.subject(), &machine.covers);
        let mut wrong = |what: &str| found.push(format!("the machine of {name}: {what}"));
        if covers.digest() != machine.digest {
            wrong("its digest is not that of what it covers");
        }
        if covers.vmm != results.vmm.digest {
            wrong("its VMM is not that of the record");
        }
        match (results.kernels.iter()).find(|kernel| kernel.subject() == name) {
            None => wrong("the record has no such kernel"),
            Some(kernel) => {
                if kernel.image != Some(covers.kernel) {
                    wrong("its kernel image is not that of the kernel");
                }
                if kernel.initramfs != Some(covers.initramfs) {
                    wrong("its initramfs is not that of the kernel");
                }
            }
        }
        if machines.insert(name.clone(), machine.digest).is_some() {
            wrong("it is there twice");
        }
    }
    for cell in &results.cells {
        let Some(inputs) = cell.inputs else { continue };
        let key = &cell.key;
        let mut wrong = |what: &str| found.push(format!("cell {key}: {what}"));
        let Some(machine) = machines.get(&key.subject) else {
            wrong("the record has no machine for it");
            continue;
        };
        let Some(job) = &cell.job else {
            wrong("the record has no job for it");
            continue;
        };
        if job.cell != format!("{}/{}", key.filesystem, key.workload) {
            wrong("its job is another cell's");
        }
        let covers = CellInputs {
            machine: *machine,
            job,
            plugin: results.vmm.plugin,
        };
        if covers.digest() != inputs {
            wrong("its input digest is not that of machine, job and plugin");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare::fixture, digest::Sha256, store::contents};
    use std::{
        env, fs,
        io::ErrorKind,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::Path,
        process::Command,
    };

    const PAGE: &str = include_str!("../../../docs/identity.md");

    #[test]
    fn whatever_a_digest_covers_cannot_be_altered_unseen() {
        let record = fixture::results();
        assert_eq!(contradictions(&record), [""; 0]);
        assert_eq!(contradictions(&fixture::varied()), [""; 0]);
        let altered = |alter: fn(&mut Results)| {
            let mut record = fixture::results();
            alter(&mut record);
            contradictions(&record)
        };
        let other = || Sha256::of(b"other");
        let first = |alter| altered(alter).into_iter().next().unwrap_or_default();
        insta::assert_snapshot!(first(|r| r.machines[0].covers.argv[0].push('x')), @"the machine of 5.10: its digest is not that of what it covers");
        insta::assert_snapshot!(first(|r| r.machines[0].covers.wall_clock = None), @"the machine of 5.10: its digest is not that of what it covers");
        insta::assert_snapshot!(first(|r| r.machines[1].name = "9.9".into()), @"the machine of 9.9: the record has no such kernel");
        insta::assert_snapshot!(first(|r| r.machines[1].name = "5.10".into()), @"the machine of 5.10: its kernel image is not that of the kernel");
        insta::assert_snapshot!(first(|r| r.cells[0].job = None), @"cell 5.10/ext4/read-4k: the record has no job for it");
        insta::assert_snapshot!(first(|r| r.cells[1].key.workload = "x".into()), @"cell 5.10/ext4/x: its job is another cell's");
        assert_eq!(altered(|r| r.vmm.plugin = None).len(), record.cells.len());
        assert_eq!(altered(|r| r.machines.clear()).len(), record.cells.len());
        let mut record = record;
        record.vmm.digest = other();
        assert_eq!(contradictions(&record).len(), record.kernels.len());
        let mut record = fixture::results();
        record.kernels[0].image = Some(other());
        assert_eq!(contradictions(&record).len(), 1);
        let mut record = fixture::results();
        if let Some(job) = &mut record.cells[3].job {
            job.workload.iodepth += 1;
        }
        assert_eq!(
            contradictions(&record),
            ["cell 5.10/ext4/write-16k: its input digest is not that of machine, job and plugin"]
        );
        // An earlier version's says too little to be contradicted.
        record.schema = 4;
        assert_eq!(contradictions(&record), [""; 0]);
    }

    /// Runs the page's lines of Python, all of them up to the `nth` piece; nothing where there is no
    /// Python, which is an error under CI.
    fn python(nth: usize, dir: &Path, arguments: &[&Path]) -> Option<String> {
        let pieces = PAGE.split("```python\n").skip(1).take(nth);
        let script: String = pieces.filter_map(|rest| rest.split("```").next()).collect();
        let ran = Command::new("python3")
            .arg("-c")
            .arg(script)
            .args(arguments)
            .current_dir(dir)
            .output();
        let output = match ran {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                assert!(env::var_os("CI").is_none(), "there is no python3 under CI");
                eprintln!("not tried: there is no python3");
                return None;
            }
            ran => ran.unwrap(),
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    fn write_record(dir: &Path) -> Results {
        write(dir, fixture::results())
    }

    fn write(dir: &Path, record: Results) -> Results {
        let json = serde_json::to_vec_pretty(&record).unwrap();
        fs::write(dir.join("results.json"), json).unwrap();
        record
    }

    #[test]
    fn the_pages_lines_of_python_compute_every_digest_of_a_record() {
        for record in [fixture::results(), fixture::varied()] {
            let dir = tempfile::tempdir().unwrap();
            let record = write(dir.path(), record);
            let machines = record.machines.iter().map(|machine| machine.digest);
            let cells = record.cells.iter().filter_map(|cell| cell.inputs);
            let expected: Vec<String> = machines.chain(cells).map(|d| d.to_string()).collect();
            if let Some(said) = python(1, dir.path(), &[]) {
                assert_eq!(said.lines().collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn the_pages_lines_of_python_compute_a_trees_digest() {
        let dir = tempfile::tempdir().unwrap();
        write_record(dir.path());
        let top = dir.path().join("tree");
        fs::create_dir_all(top.join("usr/bin")).unwrap();
        // `usr.d` is between `usr` and `usr/bin` by the bytes.
        fs::create_dir(top.join("usr.d")).unwrap();
        fs::write(top.join("usr/bin/qemu \"é\""), "ELF").unwrap();
        let executable = fs::Permissions::from_mode(0o555);
        fs::set_permissions(top.join("usr/bin/qemu \"é\""), executable).unwrap();
        fs::write(top.join("usr/f"), [0, 255]).unwrap();
        fs::write(top.join(".manifest.json"), "{}").unwrap();
        symlink("usr/bin", top.join("bin")).unwrap();
        symlink("nowhere", top.join("usr/broken")).unwrap();
        let digest = contents::digest(&top).unwrap().to_string();
        if let Some(said) = python(2, dir.path(), &[&top]) {
            assert_eq!(said.lines().last(), Some(digest.as_str()));
        }
    }
}
