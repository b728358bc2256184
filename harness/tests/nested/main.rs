//! Another machine than this one: with the kernel's vhost-vsock and a KVM that works, as a desktop has
//! them. It is emulated; in it the program does what a user does there, and the exact lane must give
//! the digits, and the memory, that it gives here.
//!
//! Not part of `cargo xtask test`: everything takes a hundred times as long there. `cargo xtask nested`
//! measures one small cell (ci/nested.toml), or with DIORAMA_NESTED=smoke the smoke scenario.

#[path = "../common/mod.rs"]
mod common;
mod outer;

use common::{Lab, Tree, store};
use diorama::store::Store;
use outer::{Came, Case, Outer};
use std::{collections::BTreeMap, env};

/// The block device of the outer machine's drive with this serial, for its shell: names move.
fn node(serial: &str) -> String {
    format!(
        "/dev/$(basename $(dirname $(dirname $(grep -l {serial} /sys/block/nvme*/device/serial))))"
    )
}

/// One cell on a drive.
fn measure(device: &str) -> String {
    format!("cd /srv/project && diorama run ci/nested.toml {device} --accel tcg --plain --offline")
}

/// What came of the drives: all are listed, and none is touched that must not be.
fn drives(came: &BTreeMap<&str, Came>) {
    let listed = &came["devices"];
    assert_eq!(listed.exit, 0, "{listed:?}");
    for words in ["nest0", "nest1", "nest2", "mounted on /tmp/m"] {
        assert!(listed.says(words), "{words}: {listed:?}");
    }
    for (case, exit, words) in [
        ("a mounted drive", 4, "is mounted on /tmp/m"),
        ("a drive with data", 2, "ext2/3/4"),
        ("another serial", 2, "nest2"),
        ("a drive of root", 4, "chown 1000"),
    ] {
        let came = &came[case];
        assert!(came.exit == exit && came.says(words), "{case}: {came:?}");
    }
}

#[test]
fn a_machine_with_vhost_vsock_and_kvm_gives_the_same_digits_and_memory() {
    let test = "a_machine_with_vhost_vsock_and_kvm_gives_the_same_digits_and_memory";
    let Some(lab) = Lab::open(test) else { return };
    let (scenario, kernels, cells) = match env::var("DIORAMA_NESTED").as_deref() {
        Ok("smoke") => ("smoke", ["6.12", "7.2"].iter(), 4),
        Ok(other) => panic!("DIORAMA_NESTED={other}: the only word is smoke"),
        Err(_) => ("ci/nested.toml", ["6.12"].iter(), 1),
    };
    // A cache of its own holds no more than this scenario needs; what is unpacked already comes along.
    let cache = lab.results().join("cache");
    drop(Store::open(cache.clone()).expect("a cache"));
    let mut needed = vec![Tree::Tools("vmm"), Tree::Tools("guest-tools")];
    needed.extend(kernels.map(|name| Tree::Kernel(name)));
    for tree in needed {
        for path in lab.files(tree).into_iter().chain([lab.tree(tree)]) {
            let inside = path
                .strip_prefix(store().root())
                .expect("in the cache")
                .to_owned();
            outer::copy(&path, &cache.join(inside));
        }
    }
    let here = lab
        .diorama()
        .arg("--cache")
        .arg(&cache)
        .args(["run", scenario, "--plain", "--offline"])
        .current_dir(lab.root())
        .output()
        .expect("diorama starts");
    assert!(here.status.success(), "{}", common::text(&here));

    let verify = |results: &str| {
        format!(
            "diorama --results /tmp/{results} run {scenario} --verify --plain --offline; code=$?; \
             grep -h -o \"\\\"vsock\\\": \\\"[a-z-]*\\\"\" /tmp/{results}/latest/results.json; exit $code"
        )
    };
    let mut outer = Outer::with_cache(&lab, &cache);
    outer.drive("nest0", false);
    outer.drive("nest1", true);
    outer.drive("nest2", true);
    let came = outer.run(&[
        Case::root("doctor", "diorama doctor --offline"),
        Case::root(
            "over vhost-vsock, root",
            format!("cd /srv/project && {}", verify("root")),
        ),
        Case {
            name: "over vhost-user, a user",
            user: "user",
            command: format!("cd /srv/project && {}", verify("user")),
        },
        Case::root(
            "devices",
            format!(
                "mkdir /tmp/m; mount {} /tmp/m && diorama devices",
                node("nest1")
            ),
        ),
        Case::root(
            "a mounted drive",
            measure(&format!("--device {} --erase nest1", node("nest1"))),
        ),
        Case::root(
            "a drive with data",
            measure(&format!("--device {}", node("nest2"))),
        ),
        Case::root(
            "another serial",
            measure(&format!("--device {} --erase nest0", node("nest2"))),
        ),
        Case {
            name: "a drive of root",
            user: "user",
            command: measure(&format!("--device {} --erase nest0", node("nest0"))),
        },
    ]);
    drives(&came);
    let doctor = &came["doctor"];
    assert_eq!(doctor.exit, 0, "{doctor:?}");
    for good in ["vhost-vsock", "kvm"] {
        // The guest's kernel writes to the same console, also about KVM.
        let says_so = |line: &String| line.split_whitespace().take(2).eq(["good", good]);
        assert!(doctor.said.iter().any(says_so), "{good}: {doctor:?}");
    }
    for (case, route) in [
        ("over vhost-vsock, root", "\"vsock\": \"vhost-vsock\""),
        ("over vhost-user, a user", "\"vsock\": \"vhost-user-vsock\""),
    ] {
        let came = &came[case];
        let identical =
            format!("{cells} of {cells} cells identical, digit by digit and in guest memory");
        assert!(
            came.exit == 0 && came.says(&identical) && came.says(route),
            "{case}: {came:?}"
        );
    }
}
