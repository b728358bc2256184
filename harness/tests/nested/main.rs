//! Another machine than this one: with the kernel's vhost-vsock, a KVM that works, an IOMMU and spare NVMe
//! drives, as a well-equipped desktop has them. It is emulated; in it the program does what a user does
//! there. The exact lane must give the digits, and the memory, that it gives here; a controller must
//! be passed through and given back, and whatever must not be touched must be refused.
//!
//! Not part of `cargo xtask test`: everything takes a hundred times as long there. `cargo xtask nested`
//! measures one small cell (ci/nested.toml), or with DIORAMA_NESTED=smoke the smoke scenario.

#[path = "../common/mod.rs"]
mod common;
mod outer;
mod vfio;

use common::{Lab, Tree, store};
use diorama::store::Store;
use outer::{All, Case, Outer};
use std::env;

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

    let mut outer = Outer::new(&lab, &cache, &vfio::DRIVES);
    let labels = vfio::scenarios(&outer);
    let drives = [
        vfio::refusals(),
        vfio::passed_by_root(),
        vfio::passed_by_a_user(),
        vfio::disk(),
    ];
    let cases: Vec<Case> = exact(scenario)
        .into_iter()
        .chain(drives.into_iter().flatten())
        .collect();
    let mut came = outer.run(&cases);
    // The same machine without an IOMMU.
    outer.iommu = false;
    came.append(outer.run(&vfio::without_iommu()));
    println!("{}", came.table());
    judge_exact(&came, cells);
    vfio::judge(&came, &outer, &labels);
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

fn judge_exact(came: &All, cells: u32) {
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
        let identical =
            format!("{cells} of {cells} cells identical, digit by digit and in guest memory");
        assert!(
            came.exit == 0 && came.says(&identical) && came.says(route),
            "{case}: {came:?}"
        );
    }
}
