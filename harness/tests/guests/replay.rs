//! An image out of a real run, replayed where nothing else is.

use crate::common::{Lab, text};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// The program with nothing but an image: no checkout, no cache, no agent, an empty home, and no network
/// where the host lets somebody go without.
fn elsewhere(place: &Path, words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_diorama");
    let alone = ["--user", "--map-root-user", "--net"];
    // By its path: there is no PATH below.
    let unshare = "/usr/bin/unshare";
    let tried = Command::new(unshare).args(alone).arg("/bin/true").output();
    let mut command = match tried.is_ok_and(|done| done.status.success()) {
        true => {
            let mut command = Command::new(unshare);
            command.args(alone).arg(program);
            command
        }
        false => Command::new(program),
    };
    let home = place.join("home");
    fs::create_dir_all(&home).expect("a home");
    let output = command
        .args(words)
        .env_clear()
        .env("HOME", &home)
        .env("PATH", "/nonexistent")
        .env("TMPDIR", place)
        .current_dir(place)
        .output()
        .expect("diorama starts");
    println!("$ diorama {}\n{}", words.join(" "), text(&output));
    output
}

/// One cell, packed twice and replayed; and refused once a bit of it is another.
#[test]
fn a_cell_is_replayed_out_of_its_image_alone() {
    let Some(lab) = Lab::open("a_cell_is_replayed_out_of_its_image_alone") else {
        return;
    };
    let cell = ["smoke", "--only-kernel", "7.2", "--workload", "write-4k"];
    let results = lab.measure(&[&cell[..], &["--repetitions", "1"]].concat(), 0);
    assert_eq!(results["cells"].as_array().expect("cells").len(), 1);
    let place = tempfile::tempdir().expect("a place");
    let at = |name: &str| place.path().join(name).display().to_string();
    for name in ["one.diorama", "two.diorama"] {
        let output = lab.run(&["pack", "latest", "-o", &at(name), "--plain"]);
        assert!(output.status.success());
    }
    let image = fs::read(at("one.diorama")).expect("an image");
    assert!(
        image == fs::read(at("two.diorama")).expect("another"),
        "two packings differ"
    );
    fs::remove_file(at("two.diorama")).expect("removed");

    let output = elsewhere(place.path(), &["inspect", "one.diorama"]);
    assert!(output.status.success());
    assert!(text(&output).contains("one.diorama: intact"));

    let output = elsewhere(
        place.path(),
        &["replay", "one.diorama", "--trust", "--plain"],
    );
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let all = "1 of 1 cell identical, digit by digit and in guest memory";
    assert!(said.contains(all), "{said}");
    // Nothing is left but the record.
    let home = place.path().join("home");
    assert_eq!(fs::read_dir(home).expect("the home").count(), 0);
    let left = fs::read_dir(place.path()).expect("the place");
    let mut left: Vec<_> = left.map(|e| e.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["home", "one.diorama", "results"]);

    // The same job on a drive, out of the same file.
    let on_drive = [
        "replay",
        "one.diorama",
        "--trust",
        "--plain",
        "--device",
        "nvme",
        "--accel",
        "tcg",
        "--blocks",
        "1",
        "--seed",
        "7",
    ];
    let output = elsewhere(place.path(), &on_drive);
    let said = text(&output);
    // One block concludes nothing.
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in [
        "1 of 1 cell measured",
        "metal lane: nvme device, wall clock",
        "THESE ARE NOT A DRIVE'S FIGURES",
        "jobs these are",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }

    let mut flipped = image;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(at("one.diorama"), flipped).expect("written");
    let output = elsewhere(place.path(), &["replay", "one.diorama", "--trust"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("part `"), "{}", text(&output));
}
