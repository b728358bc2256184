//! The guest's image out of real inputs: the locked kernels' modules, the locked C library.

#[path = "../../src/image/strip/meaning.rs"]
mod meaning;

use crate::common::{Lab, Tree};
use diorama::{
    image::{
        Needs,
        build::{self, Build},
        loading,
        strip::strip,
        sysroot,
    },
    kernel,
};
use diorama_wire::{Engine, FsKind};
use std::{fs, path::Path};

/// Every module that a real kernel needs keeps the meaning of every relocation when it is
/// stripped, and every kernel has what both file systems need.
#[test]
fn real_kernels_keep_every_relocation() {
    let Some(lab) = Lab::open("real_kernels_keep_every_relocation") else {
        return;
    };
    for name in ["6.12", "7.2"] {
        let out = lab.results().join(name);
        let tree = lab.tree(Tree::Kernel(name));
        let kernel = kernel::prepare_package(&tree, &out).expect("a kernel");
        assert_eq!(kernel.boot, kernel::BootBy::Pvh);
        let needs = Needs {
            filesystems: vec![FsKind::Ext4, FsKind::Xfs],
            engines: vec![Engine::Libaio],
            fio: true,
            smp: 1,
            ..Needs::default()
        };
        let plan = loading::plan(&needs, &kernel);
        assert_eq!(plan.missing, []);
        let modules = kernel.modules.as_deref().expect("modules");
        assert!(plan.early.iter().any(|module| module == "xfs"));
        for module in plan.early.iter().chain(&plan.late) {
            let bytes = fs::read(modules.join(format!("{module}.ko"))).expect("a module");
            let small = strip(&bytes).expect("a module that can be stripped");
            assert!(small.len() < bytes.len(), "{module}");
            meaning::assert_same_meaning(&bytes, &small);
        }
    }
}

/// Two workspaces, two target directories and two copies of the sysroot give one agent and one plugin.
#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn the_agent_is_the_same_wherever_it_is_built() {
    let Some(lab) = Lab::open("the_agent_is_the_same_wherever_it_is_built") else {
        return;
    };
    let tree = lab.tree(Tree::Tools("agent-sysroot"));
    // Elsewhere than the one that the guests of these tests have.
    let place = lab.results().join("b c/deeper");
    let copy = place.join("workspace");
    fs::create_dir_all(&copy).expect("a directory");
    for part in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
        fs::copy(lab.root().join(part), copy.join(part)).expect("a file");
    }
    for part in [
        "wire",
        "guest-agent",
        "tcg-plugin",
        "capng",
        "harness",
        "xtask",
    ] {
        copy_tree(&lab.root().join(part), &copy.join(part));
    }
    let sysroot = place.join("sysroot");
    copy_tree(&tree.join("usr/lib"), &sysroot.join("usr/lib"));
    let target = place.join("target");
    assert!((build::fetch(&copy, false).status().expect("cargo")).success());
    let build = Build {
        workspace: &copy,
        target_dir: Some(&target),
        offline: true,
    };
    let agent = sysroot::agent(&sysroot).expect("a sysroot");
    let plugin = lab.agent().with_file_name(sysroot::PLUGIN);
    for (product, there) in [(agent, lab.agent()), (sysroot::plugin(), &plugin)] {
        let mut command = build.command(&product).expect("a command");
        let output = command.output().expect("cargo");
        assert!(output.status.success(), "{}", crate::common::text(&output));
        let path = build::artifact(&product, &output.stdout).expect("its place");
        assert!(path.starts_with(&target), "{}", path.display());
        let [here, there] = [&path, there].map(|path| fs::read(path).expect("what was built"));
        assert!(here == there, "{} differs elsewhere", path.display());
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &to);
        } else if entry.path().is_file() {
            fs::copy(entry.path(), to).expect("a file");
        }
    }
}
