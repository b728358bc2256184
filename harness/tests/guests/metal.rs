//! The metal lane on what every machine has: QEMU's emulated NVMe controller, executed by TCG.

use crate::common::Lab;

const SCENARIO: &str = "name = \"nvme\"\ntitle = \"An emulated drive\"\nbaseline = \"7.2\"\n\
    kernels = [\"5.10\", \"7.2\"]\ndevice = \"nvme\"\n[nvme]\nsize = \"128MiB\"\nblock_size = 512\n\
    queues = 3\nserial = \"NEST-1\"\n[session]\nblocks = 1\n[measure]\nrepetitions = 2\n[filesystems.ext4]\n\
    [workloads.write-4k]\nrw = \"write\"\nbs = \"4k\"\nsize = \"8MiB\"\nnumber_ios = 500\n[[expect]]\n\
    metric = \"iops\"\nratio_at_least = 0.1\nratio_at_most = 10.0\n";

#[test]
fn a_drive_is_found_by_its_serial_and_one_block_proves_nothing() {
    let test = "a_drive_is_found_by_its_serial_and_one_block_proves_nothing";
    let Some(lab) = Lab::open(test) else { return };
    let path = lab.write("nvme.toml", SCENARIO);
    let words = [
        "repro", &path, "--plain", "--device", "nvme", "--accel", "tcg",
    ];
    for refused in [&["--verify"][..], &["--explain"], &["--jobs", "2"]] {
        let done = lab.run(&[&words[..], refused].concat());
        assert_eq!(done.status.code(), Some(2), "{refused:?}");
    }
    let done = lab.run(&words);
    // The report breaks sentences at the terminal's width.
    let said = crate::common::text(&done);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("NOT A DRIVE'S FIGURES"), "{said}");
    assert!(
        said.contains("UNDECIDED") && !said.contains("REPRODUCED"),
        "{said}"
    );
    assert!(
        said.contains("the baseline was not measured twice in enough blocks"),
        "{said}"
    );

    let record = std::fs::read(lab.results().join("latest/results.json")).expect("a record");
    let results: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    let samples = results["session"]["samples"].as_array().expect("samples");
    let seconds = samples.iter().filter(|s| s["at"]["second"] == true);
    assert_eq!((samples.len(), seconds.count()), (2, 0), "{samples:?}");
    let cells = results["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 2);
    for cell in cells {
        // Never taken from a cache, and nothing in it that only the exact lane has.
        assert_eq!(cell["origin"], "measured", "{cell}");
        assert_eq!(cell["key"]["lane"]["clock"], "wall", "{cell}");
        let outcome = &cell["outcome"];
        assert_eq!(outcome["is"], "measured", "{cell}");
        assert!(outcome["memory"]["end"].is_null(), "{cell}");
        assert!(outcome["instructions"].is_null(), "{cell}");
        assert_eq!(outcome["host"]["accel"], "tcg", "{cell}");
        assert_eq!(outcome["host"]["checkpoint"], false, "{cell}");
        let guest = &outcome["guest"];
        assert!(guest["boot"]["quiet"].is_null(), "{cell}");
        let device = &guest["device"];
        assert_eq!(device["nvme"]["serial"], "NEST-1", "{cell}");
        assert_eq!(device["logical_block_size"], 512, "{cell}");
        assert_eq!(device["size"], 128 << 20, "{cell}");
        assert!(guest["evidence"]["verified_blocks"].as_u64() > Some(0));
        let repetitions = guest["repetitions"].as_array().expect("repetitions");
        assert_eq!(repetitions.len(), 2, "{cell}");
        assert!(repetitions.iter().all(|r| r["ios"] == 500), "{cell}");
    }
    assert!(results["vmm"]["plugin"].is_null(), "nothing counts here");
    let notes = results["notes"].to_string();
    assert!(
        notes.contains("guests run under TCG, an emulator"),
        "{notes}"
    );
    assert!(
        notes.contains("one block: each cell is measured once"),
        "{notes}"
    );
}

/// A cell of two seconds on a drive that is discarded and filled first.
const TIMED: &str = "name = \"timed\"\ntitle = \"By time\"\nbaseline = \"6.12\"\n\
    kernels = [\"6.12\"]\ndevice = \"nvme\"\n[nvme]\nsize = \"128MiB\"\n[session]\nblocks = 1\n[measure]\n\
    repetitions = 1\nramp_time = \"1s\"\n[conditioning]\nformat = \"erase\"\ndiscard = true\n\
    precondition = \"sequential-fill\"\n[filesystems.ext4]\n\
    [workloads.write-4k]\nrw = \"write\"\nbs = \"4k\"\nsize = \"16MiB\"\nruntime = \"2500ms\"\n";

#[test]
fn a_drive_is_made_ready_and_every_second_of_a_window_is_kept() {
    let test = "a_drive_is_made_ready_and_every_second_of_a_window_is_kept";
    let Some(lab) = Lab::open(test) else { return };
    let path = lab.write("timed.toml", TIMED);
    let results = lab.measure(&[&path, "--accel", "tcg"], 0);
    let guest = &results["cells"][0]["outcome"]["guest"];
    let done = &guest["conditioned"];
    assert_eq!(done["filled_bytes"], 128 << 20, "{guest}");
    for step in ["format_ns", "discard_ns", "fill_ns"] {
        assert!(done[step].as_u64() > Some(0), "{step}: {done}");
    }
    assert!(guest["device"]["nvme"]["discard_max_bytes"].as_u64() > Some(0));
    let repetition = &guest["repetitions"][0];
    let seconds: Vec<u64> = repetition["per_second"]
        .as_array()
        .expect("seconds")
        .iter()
        .filter_map(serde_json::Value::as_u64)
        .collect();
    let ios = repetition["ios"].as_u64().expect("I/Os");
    assert_eq!(seconds.len(), 2, "{repetition}");
    // The half second at the end is in the window, and in no whole second.
    let whole: u64 = seconds.iter().sum();
    assert!(
        seconds.iter().all(|n| *n > 0) && whole < ios,
        "{repetition}"
    );
    assert!(whole > ios / 2, "{repetition}");
    let notes = results["notes"].to_string();
    assert!(notes.contains("before every cell"), "{notes}");
    assert!(guest["throttle_iops"].is_null(), "{guest}");
}
