//! Another machine than this one: with the kernel's vhost-vsock, a KVM that works, an IOMMU and spare NVMe
//! drives, as a well-equipped desktop has them. It is emulated; in it the program does what a user does
//! there. The exact lane must give the digits, and the memory, that it gives here; a controller must
//! be passed through and given back, and whatever must not be touched must be refused.
//!
//! Not part of `cargo xtask test`: everything takes a hundred times as long there. `cargo xtask nested`
//! measures one small cell (ci/nested.toml), or with DIORAMA_NESTED=smoke the smoke scenario, in a machine
//! without an IOMMU; what needs drives is done in another one, which has one.

#[path = "../common/mod.rs"]
mod common;
mod outer;
mod vfio;

use common::{Lab, Tree, store};
use diorama::{store::Store, text::counted};
use outer::{All, Case, Outer};
use std::{
    env,
    path::{Path, PathBuf},
};

#[test]
fn a_machine_with_vhost_vsock_and_kvm_gives_the_same_digits_and_memory() {
    let test = "a_machine_with_vhost_vsock_and_kvm_gives_the_same_digits_and_memory";
    let Some(lab) = Lab::open(test) else { return };
    let (scenario, kernels, cells) = match env::var("DIORAMA_NESTED").as_deref() {
        Ok("smoke") => ("smoke", &["6.12", "7.2"][..], 4),
        Ok(other) => panic!("DIORAMA_NESTED={other}: the only word is smoke"),
        Err(_) => ("ci/nested.toml", &["6.12"][..], 1),
    };
    let cache = cache(&lab, kernels);
    diorama_here(&lab, &cache, &["run", scenario, "--plain", "--offline"]);
    let mut outer = Outer::new(&lab, &cache, &vfio::DRIVES);
    outer.iommu = false;
    vfio::scenarios(&outer);
    let cases: Vec<Case> = exact(scenario)
        .into_iter()
        .chain(vfio::without_iommu())
        .collect();
    let came = outer.run(&cases);
    println!("{}", came.table());
    judge_exact(&came, cells);
    vfio::judge_without_iommu(&came);
}

#[test]
fn drives_are_given_to_guests_and_given_back_and_refused_where_they_must_be() {
    let test = "drives_are_given_to_guests_and_given_back_and_refused_where_they_must_be";
    let Some(lab) = Lab::open(test) else { return };
    let cache = cache(&lab, &["6.12"]);
    // What guests boot from is built here, where it takes seconds.
    let scenario = lab.write("drive.toml", &vfio::scenario("here"));
    diorama_here(
        &lab,
        &cache,
        &["plan", &scenario, "--device", "nvme", "--accel", "tcg"],
    );
    let outer = Outer::new(&lab, &cache, &vfio::DRIVES);
    let labels = vfio::scenarios(&outer);
    vfio::image(&lab, &outer, &labels);
    let cases: Vec<Case> = [
        vfio::refusals(),
        vfio::passed_by_root(),
        vfio::passed_by_a_user(),
        vfio::disk(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let came = outer.run(&cases);
    println!("{}", came.table());
    vfio::judge(&came, &outer, &labels);
}

/// A cache of the lab's own, which holds no more than is needed; what is unpacked already comes along.
fn cache(lab: &Lab, kernels: &[&str]) -> PathBuf {
    let cache = lab.results().join("cache");
    drop(Store::open(cache.clone()).expect("a cache"));
    let mut needed = vec![Tree::Tools("vmm"), Tree::Tools("guest-tools")];
    needed.extend(kernels.iter().map(|name| Tree::Kernel(name)));
    for tree in needed {
        for path in lab.files(tree).into_iter().chain([lab.tree(tree)]) {
            let inside = path
                .strip_prefix(store().root())
                .expect("in the cache")
                .to_owned();
            outer::copy(&path, &cache.join(inside));
        }
    }
    cache
}

/// Runs the program here, with that cache.
fn diorama_here(lab: &Lab, cache: &Path, words: &[&str]) {
    let mut program = lab.diorama();
    program.arg("--cache").arg(cache).args(words);
    let output = program.current_dir(lab.root()).output();
    let output = output.expect("diorama starts");
    assert!(output.status.success(), "{}", common::text(&output));
}

/// What the exact lane must do there.
fn exact(scenario: &str) -> Vec<Case> {
    let verify = |results: &str| {
        format!(
            "cd /srv/project; diorama --results /tmp/{results} run {scenario} --verify --plain --offline; \
             code=$?; grep -h -o \"\\\"vsock\\\": \\\"[a-z-]*\\\"\" \
             /tmp/{results}/latest/results.json; exit $code"
        )
    };
    vec![
        Case::root("doctor", "diorama doctor --offline"),
        Case::root("exact, root: vhost-vsock", verify("exact-root")),
        Case::user("exact, a user: vhost-user", verify("exact-user")),
    ]
}

fn judge_exact(came: &All, cells: usize) {
    let doctor = came.of("doctor");
    assert_eq!(doctor.exit, 0, "{doctor:?}");
    for good in ["vhost-vsock", "kvm"] {
        let says_so = |line: &String| line.split_whitespace().take(2).eq(["good", good]);
        assert!(doctor.said.iter().any(says_so), "{good}: {doctor:?}");
    }
    for (case, route) in [
        ("exact, root: vhost-vsock", "\"vsock\": \"vhost-vsock\""),
        (
            "exact, a user: vhost-user",
            "\"vsock\": \"vhost-user-vsock\"",
        ),
    ] {
        let came = came.of(case);
        let cells = counted(cells, "cell");
        let identical = format!("of {cells} identical, digit by digit and in guest memory");
        assert!(
            came.exit == 0 && came.says(&identical) && came.says(route),
            "{case}: {came:?}"
        );
    }
}
