//! Full disks, with real guests: a small tmpfs stands for the disk. It is mounted in a mount
//! namespace of its own, which needs no root where user namespaces are allowed.

use crate::common::{Lab, digits, outcomes, skip, store, text, unknown_cells};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A small disk: where it is mounted, and where its contents are copied to when the program ends,
/// since nobody else sees it.
struct SmallDisk {
    at: PathBuf,
    copy: PathBuf,
    kib: u32,
}

impl SmallDisk {
    /// A disk of this size, or none, with the reason printed, where the host does not allow it; under
    /// CI that is a failure.
    fn new(lab: &Lab, test: &str, kib: u32) -> Option<SmallDisk> {
        let disk = SmallDisk {
            at: lab.results().join("small"),
            copy: lab.results().join("copy"),
            kib,
        };
        for dir in [&disk.at, &disk.copy] {
            fs::create_dir(dir).expect("a mount point");
        }
        let tried = disk.command("true", &Command::new("true")).output();
        match tried {
            Ok(output) if output.status.success() => Some(disk),
            other => {
                let why = other.map_or_else(|e| e.to_string(), |o| text(&o));
                skip(
                    test,
                    &format!("no tmpfs may be mounted here: {}", why.trim()),
                );
                None
            }
        }
    }

    /// The program with the disk mounted, after `prepare` (shell, run on the disk).
    fn command(&self, prepare: &str, program: &Command) -> Command {
        let script = format!(
            "mount -t tmpfs -o size={}k none \"$0\" && cd \"$0\" && {prepare} || exit 99\n\
             \"$@\"; code=$?; cp -ax . \"{}\"; exit $code",
            self.kib,
            self.copy.display()
        );
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .arg(&self.at)
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in program.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }

    fn run(&self, prepare: &str, program: &Command) -> Output {
        let output = self.command(prepare, program).output().expect("it starts");
        println!("{program:?}\n{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

fn program(lab: &Lab, results: &Path, select: &[&str]) -> Command {
    let mut program = lab.diorama();
    program
        .args(["run", "--plain", "--json", "--jobs", "1", "--results"])
        .arg(results)
        .args(select);
    program
}

/// The disk holds cells, but no checkpoint: each cell boots by itself, with the same digits.
#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_cache_too_full_for_a_checkpoint_costs_no_cell_and_no_digit() {
    let name = "a_cache_too_full_for_a_checkpoint";
    let Some(lab) = Lab::open(name) else {
        return;
    };
    let Some(disk) = SmallDisk::new(&lab, name, 8 << 10) else {
        return;
    };
    let select = ["smoke", "--only-kernel", "7.2"];
    let usual = lab.measure(&select, 0);
    // What was fetched and built is elsewhere; the store follows no link.
    let root = store().root().display().to_string();
    let mut prepare = format!("cp {root}/CACHEDIR.TAG .");
    for part in [
        "files",
        "derived/tree",
        "derived/kernel",
        "derived/initramfs",
    ] {
        prepare += &format!(" && mkdir -p {part} && mount --bind {root}/{part} {part}");
    }
    let mut program = program(&lab, lab.results(), &select);
    program.arg("--cache").arg(&disk.at);
    let output = disk.run(&prepare, &program);
    assert_eq!(output.status.code(), Some(0));
    let results: Value = serde_json::from_slice(&output.stdout).expect("results");
    let notes = results["notes"].to_string();
    assert!(notes.contains("could not be saved"), "{notes}");
    assert!(notes.contains("No space left on device"), "{notes}");
    assert_eq!(results["cells"][0]["outcome"]["host"]["checkpoint"], false);
    assert_eq!(digits(&usual), digits(&results));
    let left = fs::read_dir(disk.copy.join("derived/cell")).expect("the cells");
    assert_eq!(left.count(), 2, "and the cells are cached");
}

/// A record that no longer fits ends the run; what is there is whole, and the next run resumes.
#[test]
fn a_full_disk_below_the_record_ends_the_run_and_loses_no_cell() {
    let name = "a_full_disk_below_the_record";
    let Some(lab) = Lab::open(name) else {
        return;
    };
    // Room for the record of one cell, and not of two.
    let Some(disk) = SmallDisk::new(&lab, name, 700) else {
        return;
    };
    let select = unknown_cells(&lab, "fault=full");
    let output = disk.run("true", &program(&lab, &disk.at, &select));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(
        said.contains("are in the cell cache: free some disk space"),
        "{said}"
    );
    let record = fs::read(disk.copy.join("latest/results.json")).expect("a record");
    let record: Value = serde_json::from_slice(&record).expect("a whole record");
    assert_eq!(outcomes(&record), ["measured", "not-run"]);
    let resumed = lab.measure(&select, 0);
    for cell in resumed["cells"].as_array().expect("cells") {
        assert_eq!(cell["origin"], "cached", "{said}");
    }
}
