//! Faults, with real guests: each has its own message and exit code, costs its own cells only, and
//! loses nothing that was measured.

use crate::common::{Lab, outcomes, running::*, store, text, unknown_cells};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

fn latest(lab: &Lab) -> Value {
    let text = fs::read(lab.results().join("latest/results.json")).expect("results.json");
    serde_json::from_slice(&text).expect("a whole record")
}

#[test]
fn sigint_lets_the_guest_finish_and_the_same_command_measures_the_rest() {
    let Some(lab) = Lab::open("sigint_lets_the_guest_finish") else {
        return;
    };
    let select = unknown_cells(&lab, "fault=sigint");
    let mut run = Running::start(&lab, &select);
    // The first cell starts as soon as its checkpoint is there.
    run.until("7.2: ");
    run.signal(rustix::process::Signal::INT);
    let (code, said) = run.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("stopping: interrupted (SIGINT)"), "{said}");
    assert!(said.contains("help: run the same command again"), "{said}");
    assert_eq!(outcomes(&latest(&lab)), ["measured", "not-run"]);

    let resumed = lab.measure(&select, 0);
    let origins: Vec<&Value> = resumed["cells"]
        .as_array()
        .expect("cells")
        .iter()
        .map(|c| &c["origin"])
        .collect();
    assert_eq!(origins, ["cached", "measured"]);
}

#[test]
fn a_second_sigint_and_sigterm_end_guests_at_once() {
    let Some(lab) = Lab::open("a_second_sigint_and_sigterm_end_guests_at_once") else {
        return;
    };
    use rustix::process::Signal;
    let select = unknown_cells(&lab, "fault=now");
    for (signals, exit) in [
        (&[Signal::INT, Signal::INT][..], 130),
        (&[Signal::TERM], 143),
    ] {
        let mut run = Running::start(&lab, &select);
        // Before that its child is QEMU telling its version.
        run.until("boot 7.2");
        let guests = run.guests();
        for signal in signals {
            run.signal(*signal);
            // Two at once would be one.
            thread::sleep(Duration::from_millis(300));
        }
        let (code, said) = run.end();
        assert_eq!(code, Some(exit), "{said}");
        assert!(said.contains("killing guests"), "{said}");
        assert_gone(&guests, Duration::from_secs(2));
        assert_eq!(outcomes(&latest(&lab)), ["not-run", "not-run"]);
    }
}

#[test]
fn kill_9_of_the_harness_leaves_no_guest_and_a_whole_record() {
    let Some(lab) = Lab::open("kill_9_of_the_harness_leaves_no_guest") else {
        return;
    };
    let select = unknown_cells(&lab, "fault=kill");
    let mut run = Running::start(&lab, &select);
    run.until("measured in");
    let guests = run.guests();
    run.signal(rustix::process::Signal::KILL);
    assert_gone(&guests, Duration::from_secs(2));
    let (code, _) = run.end();
    assert_eq!(code, None, "killed");
    assert_eq!(outcomes(&latest(&lab)), ["measured", "not-run"]);
    let resumed = lab.measure(&select, 0);
    assert_eq!(resumed["cells"][0]["origin"], "cached");
}

#[test]
fn a_guest_panic_is_named_with_the_console_s_last_lines() {
    let Some(lab) = Lab::open("a_guest_panic_is_named") else {
        return;
    };
    let results = lab.measure(&["smoke", "--cmdline", "rdinit=/nonexistent"], 5);
    assert_eq!(outcomes(&results), ["guest-fault"; 4]);
    for cell in results["cells"].as_array().expect("cells") {
        let why = cell["outcome"]["why"].as_str().expect("why");
        let expected = "kernel panic in phase `boot`: VFS: Unable to mount root fs";
        assert!(why.starts_with(expected), "{why}");
        let console = cell["outcome"]["console"].to_string();
        assert!(console.contains("Kernel panic - not syncing"), "{console}");
    }
    for kernel in ["6.12", "7.2"] {
        let log = format!("latest/console/boot-{kernel}.log");
        let log = fs::read_to_string(lab.results().join(log)).expect("the whole console");
        assert!(log.contains("Kernel panic - not syncing"), "{log}");
    }
}

/// A static executable of a few instructions (ELF64, one loadable segment).
fn executable(path: &Path, code: &[u8]) -> PathBuf {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let u16s = |v: &mut Vec<u8>, n: &[u16]| n.iter().for_each(|n| v.extend(n.to_le_bytes()));
    let u32s = |v: &mut Vec<u8>, n: &[u32]| n.iter().for_each(|n| v.extend(n.to_le_bytes()));
    let u64s = |v: &mut Vec<u8>, n: &[u64]| n.iter().for_each(|n| v.extend(n.to_le_bytes()));
    // ET_EXEC, EM_X86_64, version 1; entry, program headers, no section headers.
    u16s(&mut elf, &[2, 62]);
    u32s(&mut elf, &[1]);
    u64s(&mut elf, &[BASE + HEADERS, 64, 0]);
    u32s(&mut elf, &[0]);
    u16s(&mut elf, &[64, 56, 1, 64, 0, 0]);
    // PT_LOAD, read and execute, the whole file.
    u32s(&mut elf, &[1, 5]);
    u64s(&mut elf, &[0, BASE, BASE, size, size, 0x1000]);
    elf.extend(code);
    fs::write(path, elf).expect("an executable");
    path.to_owned()
}

#[test]
fn an_agent_that_ends_and_one_that_hangs_are_told_apart() {
    let Some(lab) = Lab::open("an_agent_that_ends_and_one_that_hangs") else {
        return;
    };
    let select = ["smoke", "--only-kernel", "7.2", "--agent"];
    // mov edi, 3; mov eax, 60 (exit); syscall
    let code = [0xbf, 3, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let ends = executable(&lab.results().join("ends"), &code);
    let mut words = select.to_vec();
    words.push(ends.to_str().expect("UTF-8"));
    let results = lab.measure(&words, 5);
    assert_eq!(outcomes(&results), ["guest-fault"; 2]);
    let why = results["cells"][0]["outcome"]["why"].to_string();
    assert!(why.contains("Attempted to kill init"), "{why}");

    // jmp to itself
    let hangs = executable(&lab.results().join("hangs"), &[0xeb, 0xfe]);
    let mut words = select.to_vec();
    words.extend([hangs.to_str().expect("UTF-8"), "--deadline", "10"]);
    let results = lab.measure(&words, 5);
    assert_eq!(outcomes(&results), ["timed-out"; 2]);
    assert_eq!(results["cells"][0]["outcome"]["phase"], "boot");
    let notes = results["notes"].to_string();
    assert!(notes.contains("retrying once"), "{notes}");
}

#[test]
fn a_refused_mount_has_the_kernels_own_words_and_costs_no_other_cell() {
    let Some(lab) = Lab::open("a_refused_mount_has_the_kernels_own_words") else {
        return;
    };
    let scenario = lab.scenario("smoke").replace(
        "[filesystems.ext4]",
        "[filesystems.ext4]\n[filesystems.bad]\nkind = \"ext4\"\nmount_options = \"no_such_option\"",
    );
    let path = lab.write("mount.toml", &scenario);
    let results = lab.measure(
        &[&path, "--only-kernel", "7.2", "--workload", "write-4k"],
        5,
    );
    assert_eq!(outcomes(&results), ["measured", "unsupported"]);
    let why = results["cells"][1]["outcome"]["why"].to_string();
    assert!(why.contains("no_such_option"), "{why}");
}

/// Flips one byte in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("a cached file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).expect("removed");
    fs::write(path, bytes).expect("written back");
}

#[test]
fn an_altered_checkpoint_and_an_altered_cell_are_made_anew_and_said_to_be() {
    let Some(lab) = Lab::open("an_altered_checkpoint_and_an_altered_cell") else {
        return;
    };
    let select = unknown_cells(&lab, "fault=altered");
    let before = lab.measure(&select, 0);
    let manifest = fs::read(lab.results().join("latest/manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let entry = |kind: &str, digest: &Value| {
        let digest = digest.as_str().expect("a digest");
        store().root().join("derived").join(kind).join(digest)
    };
    flip(&entry("checkpoint", &manifest["kernels"][0]["checkpoint"]).join("devices.bin"));
    flip(&entry("cell", &before["cells"][0]["inputs"]).join("cell.json"));

    let after = lab.measure(&select, 0);
    let notes = after["notes"].to_string();
    assert!(notes.contains("was altered; measuring it again"), "{notes}");
    assert!(notes.contains("was altered; rebuilding it"), "{notes}");
    assert_eq!(after["cells"][0]["origin"], "measured");
    assert_eq!(after["cells"][1]["origin"], "cached");
    assert_eq!(
        crate::common::digits(&before),
        crate::common::digits(&after)
    );
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn two_harnesses_at_once_measure_the_same() {
    let Some(lab) = Lab::open("two_harnesses_at_once_measure_the_same") else {
        return;
    };
    let select = unknown_cells(&lab, "fault=two");
    let results = thread::scope(|scope| {
        let one = scope.spawn(|| lab.measure(&select, 0));
        let two = scope.spawn(|| lab.measure(&select, 0));
        [one.join().expect("one"), two.join().expect("two")]
    });
    assert_eq!(
        crate::common::digits(&results[0]),
        crate::common::digits(&results[1])
    );
}

#[test]
fn bad_input_and_an_unwritable_place_have_their_own_exit_codes() {
    let Some(lab) = Lab::open("bad_input_and_an_unwritable_place") else {
        return;
    };
    let smoke = lab.scenario("smoke");
    for (from, to, message) in [
        ("baseline =", "basline =", "did you mean `baseline`?"),
        (
            "\"6.12\", \"7.2\"",
            "\"6.99\", \"7.2\"",
            "`6.99` is not in the lock",
        ),
        (
            "\"6.12\", \"7.2\"",
            "\"6.12\", \"6.12\", \"7.2\"",
            "there is already a kernel",
        ),
        (
            "bs = \"4k\"",
            "bs = \"5000\"",
            "is not a multiple of the device's block size",
        ),
    ] {
        let path = lab.write("bad.toml", &smoke.replacen(from, to, 1));
        let output = lab.run(&["plan", &path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output).contains(message), "{}", text(&output));
    }
    let output = lab.run(&["plan", "smoke", "--cache", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(4));
    let said = text(&output);
    assert!(said.contains("creating /proc/nowhere"), "{said}");
    assert!(said.contains("help: set DIORAMA_CACHE"), "{said}");
}
