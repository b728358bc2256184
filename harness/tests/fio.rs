//! fio as a workload: a user's own job file in real guests, and what is refused before any boots.

mod common;

use common::{Lab, digits, text};

/// Two jobs of one file, on both sides of v6.19; measured afresh, and verified.
#[test]
fn two_jobs_of_a_users_file_run_and_are_exact() {
    let Some(lab) = Lab::open("two_jobs_of_a_users_file_run_and_are_exact") else {
        return;
    };
    let measured = digits(&lab.measure(&["fio-example", "--fresh"], 0));
    assert_eq!(measured.len(), 2);
    for (cell, exact) in &measured {
        let guest = &exact["guest"];
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        for (jobs, repetition) in (guest["fio"]["repetitions"].as_array().expect("runs"))
            .iter()
            .zip(guest["repetitions"].as_array().expect("repetitions"))
        {
            let (reader, writer) = (&jobs[0], &jobs[1]);
            assert_eq!(
                (&reader["name"], &writer["name"]),
                (&"reader".into(), &"writer".into())
            );
            assert!(
                number(&reader["reads"]) > 1000 && number(&reader["writes"]) == 0,
                "{jobs}"
            );
            assert!(
                number(&writer["writes"]) > 1000 && number(&writer["reads"]) == 0,
                "{jobs}"
            );
            let both = number(&reader["reads"]) + number(&writer["writes"]);
            assert_eq!(number(&repetition["ios"]), both, "{cell}");
            let bytes = number(&repetition["device_sectors"]) * 512;
            assert!(
                bytes >= both * 4096,
                "{cell}: {bytes} bytes passed the device"
            );
        }
        // What was only read is checked block by block: 16 MiB of 4 KiB.
        assert_eq!(
            number(&guest["evidence"]["verified_blocks"]),
            4096,
            "{cell}"
        );
    }
    let verified = text(&lab.run(&["repro", "fio-example", "--verify", "--plain"]));
    assert!(
        verified.contains("verify: 2 of 2 cells identical"),
        "{verified}"
    );
}

/// By job, option and reason, and before anything boots.
#[test]
fn a_job_that_cannot_work_here_is_refused_before_any_boot() {
    let test = "a_job_that_cannot_work_here_is_refused_before_any_boot";
    let Some(lab) = Lab::open(test) else { return };
    let scenario = std::fs::read_to_string(lab.root().join("scenarios/fio-example.toml"))
        .expect("the scenario")
        .replace("jobs/example.fio", "mine.fio");
    let path = lab.results().join("mine.toml");
    std::fs::write(&path, scenario).expect("the scenario, written");
    let jobs = "[global]\ndirect=1\nsize=16m\n[ceph]\nioengine=rbd\n[raw]\nfilename=/dev/nvme0n1\n";
    std::fs::write(lab.results().join("mine.fio"), jobs).expect("the job file, written");
    let output = lab.run(&["run", path.to_str().expect("UTF-8"), "--plain"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("mine.fio:5: job `ceph`, `ioengine=rbd`"),
        "{said}"
    );
    assert!(
        said.contains("mine.fio:7: job `raw`, `filename=/dev/nvme0n1`"),
        "{said}"
    );
    assert!(
        said.contains("outside of the file system under test"),
        "{said}"
    );
    assert!(!said.contains("boot"), "{said}");

    std::fs::remove_file(lab.results().join("mine.fio")).expect("the job file, removed");
    let said = text(&lab.run(&["run", path.to_str().expect("UTF-8"), "--plain"]));
    assert!(said.contains("`mine.fio` cannot be read"), "{said}");
}
