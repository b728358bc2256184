//! Faults of the cache, with real guests: whatever the disk or somebody did to it, no figure rests on it.

use crate::common::{
    Lab, digits, outcomes,
    running::{PATIENCE, Running},
    store, text,
};
use diorama::{digest::Sha256, store::Store};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// A cache of this test's own. Downloads are shared with the user's: the store never writes into one.
struct Cache(tempfile::TempDir);

impl Cache {
    fn new() -> Cache {
        let dir = tempfile::tempdir().expect("a directory");
        let own = Store::open(dir.path().to_owned()).expect("a cache");
        let files = |store: &Store| store.root().join("files");
        for entry in fs::read_dir(files(&store())).expect("downloads") {
            let from = entry.expect("a download").path();
            let to = files(&own).join(from.file_name().expect("a name"));
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).expect("copied");
            }
        }
        Cache(dir)
    }

    fn words<'a>(&'a self, select: &[&'a str]) -> Vec<&'a str> {
        let mut words = select.to_vec();
        let place = self.0.path().to_str().expect("UTF-8");
        words.extend(["--offline", "--cache", place]);
        words
    }

    /// A derived directory.
    fn entry(&self, kind: &str, key: &Value) -> PathBuf {
        let key = key.as_str().expect("a digest");
        self.0.path().join("derived").join(kind).join(key)
    }

    /// The one derived directory of a kind that holds this file.
    fn entry_with(&self, kind: &str, file: &str) -> PathBuf {
        let entries = fs::read_dir(self.0.path().join("derived").join(kind)).expect("entries");
        let mut found = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.join(file).exists());
        let one = found.next().expect("one that holds it");
        assert_eq!(found.next(), None);
        one
    }
}

/// What the last run was about to do.
fn manifest(lab: &Lab) -> Value {
    let json = fs::read(lab.results().join("latest/manifest.json")).expect("manifest.json");
    serde_json::from_slice(&json).expect("JSON")
}

/// Flips one bit in a file, in place, as a disk would.
fn flip(path: &Path, at: u64) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("writable");
    let file = fs::File::options().read(true).write(true).open(path);
    let file = file.expect("a cached file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], at).expect("written");
    let readable = fs::Permissions::from_mode(0o555);
    fs::set_permissions(path, readable).expect("as before");
}

fn middle(path: &Path) -> u64 {
    path.metadata().expect("a file").len() / 2
}

/// Some page of the RAM image that holds data.
fn data_of(ram: &Path) -> u64 {
    let file = fs::File::open(ram).expect("the RAM image");
    let half = rustix::fs::SeekFrom::Data(middle(ram));
    rustix::fs::seek(&file, half)
        .or_else(|_| rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)))
        .expect("data")
}

fn notes(results: &Value) -> String {
    results["notes"].to_string()
}

/// Waits until the guest that runs says that it is in this phase.
fn await_phase(lab: &Lab, phase: &str) {
    let began = Instant::now();
    let said = format!("\"phase\":\"{phase}\"");
    let events = lab.results().join("latest/events.jsonl");
    while !fs::read_to_string(&events).is_ok_and(|text| text.contains(&said)) {
        assert!(began.elapsed() < PATIENCE, "no guest came to {phase}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn no_figure_rests_on_a_cache_that_was_altered() {
    let Some(lab) = Lab::open("no_figure_rests_on_a_cache_that_was_altered") else {
        return;
    };
    let cache = Cache::new();
    let measure = |select: &[&str], exit| lab.measure(&cache.words(select), exit);
    let before = measure(&["smoke", "--workload", "write-4k"], 0);
    let plan = manifest(&lab);
    let checkpoint = |k: usize| cache.entry("checkpoint", &plan["kernels"][k]["checkpoint"]);
    assert!(!notes(&before).contains("in doubt"), "{before}");

    // All at once: QEMU, a kernel's description, an initramfs, a cell; and two checkpoints exchanged.
    let qemu = "usr/bin/qemu-system-x86_64";
    let qemu = cache.entry_with("tree", qemu).join(qemu);
    flip(&qemu, middle(&qemu));
    let kernels = cache.0.path().join("derived/kernel");
    let kernel = fs::read_dir(kernels).expect("kernels").next();
    let kernel = kernel.expect("a kernel").expect("an entry").path();
    fs::write(kernel.join("kernel.json"), "").expect("emptied");
    let initramfs = cache.0.path().join("derived/initramfs");
    let initramfs = fs::read_dir(initramfs).expect("initramfs").next();
    let initramfs = initramfs.expect("one").expect("an entry").path();
    let initramfs = initramfs.join("initramfs.cpio");
    flip(&initramfs, middle(&initramfs));
    let cell = cache.entry("cell", &before["cells"][0]["inputs"]);
    flip(&cell.join("cell.json"), middle(&cell.join("cell.json")));
    let aside = cache.0.path().join("derived/checkpoint/aside");
    fs::rename(checkpoint(0), &aside).expect("moved");
    fs::rename(checkpoint(1), checkpoint(0)).expect("moved");
    fs::rename(&aside, checkpoint(1)).expect("moved");

    let after = measure(&["smoke", "--workload", "write-4k", "--verify"], 1);
    assert_eq!(digits(&after), digits(&before));
    let notes = notes(&after);
    for expected in [
        "usr/bin/qemu-system-x86_64 was altered; it was removed and rebuilt",
        "kernel.json was altered; it was removed and rebuilt",
        "initramfs.cpio was altered; it was removed and rebuilt",
        "cell.json was altered; measuring it again",
        "boot 6.12: the cached checkpoint",
        "boot 7.2: the cached checkpoint",
        "under the wrong name; rebuilding it",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
    // Mended, and nothing to say any more.
    let healed = measure(&["smoke", "--workload", "write-4k", "--verify"], 0);
    assert_eq!(healed["notes"], before["notes"]);
    assert_eq!(digits(&healed), digits(&before));

    // Another kernel's checkpoint, as whole as its manifest: only the guest itself can tell.
    let own = Store::open(cache.0.path().to_owned()).expect("the cache");
    let key: Sha256 =
        serde_json::from_value(plan["kernels"][1]["checkpoint"].clone()).expect("key");
    own.replace("checkpoint", &key, |dir| {
        for file in ["ram.img", "devices.bin", "checkpoint.json"] {
            fs::copy(checkpoint(0).join(file), dir.join(file)).expect("copied");
        }
        Ok(())
    })
    .expect("replaced");
    let wrong = measure(&["smoke", "--workload", "write-4k", "--verify"], 5);
    assert_eq!(outcomes(&wrong), ["measured", "harness-failed"]);
    let why = wrong["cells"][1]["outcome"]["why"].to_string();
    assert!(why.contains("but kernel 7.2 is 7.2"), "{why}");
    assert!(why.contains("the guest runs 6.12"), "{why}");
    let healed = measure(&["smoke", "--workload", "write-4k", "--verify"], 0);
    assert_eq!(digits(&healed), digits(&before));
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_run_survives_what_is_done_to_its_cache_meanwhile() {
    let Some(lab) = Lab::open("a_run_survives_what_is_done_to_its_cache_meanwhile") else {
        return;
    };
    let cache = Cache::new();
    let select = cache.words(&["smoke", "--only-kernel", "7.2"]);
    let before = lab.measure(&select, 0);
    let plan = manifest(&lab);
    let checkpoint = cache.entry("checkpoint", &plan["kernels"][0]["checkpoint"]);

    let mut words = select.clone();
    words.push("--verify");
    let mut run = Running::start(&lab, &words);
    run.until("7.2: ");
    // The first of two cells was restored and runs. Everything that nobody uses is cleared away, and
    // the checkpoint's memory altered before the second restore.
    await_phase(&lab, "measure");
    let place = cache.0.path().to_str().expect("UTF-8");
    let cleared = lab.run(&["cache", "clear", "--cache", place]);
    assert_eq!(cleared.status.code(), Some(0), "{}", text(&cleared));
    let ram = checkpoint.join("ram.img");
    assert!(ram.exists(), "in use");
    flip(&ram, data_of(&ram));
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");

    let results = fs::read(lab.results().join("latest/results.json")).expect("results.json");
    let after: Value = serde_json::from_slice(&results).expect("JSON");
    assert_eq!(digits(&after), digits(&before));
    let booted: Vec<&Value> = (0..2)
        .map(|at| &after["cells"][at]["outcome"]["host"]["checkpoint"])
        .collect();
    assert_eq!(booted, [true, false], "{said}");
    let notes = notes(&after);
    assert!(
        notes.contains("ram.img of the checkpoint was altered"),
        "{notes}"
    );

    // Now nobody uses it.
    let cleared = lab.run(&["cache", "clear", "--cache", place]);
    assert_eq!(cleared.status.code(), Some(0), "{}", text(&cleared));
    let entries = fs::read_dir(cache.0.path().join("derived")).expect("kinds");
    for kind in entries {
        let kind = kind.expect("a kind").path();
        assert_eq!(
            fs::read_dir(&kind).expect("entries").count(),
            0,
            "{}",
            kind.display()
        );
    }
}
