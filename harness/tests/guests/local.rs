//! Kernels of one's own. A distribution's kernel, taken out of its packages and given as a file and
//! a directory, stands in for one.

use crate::common::{Lab, Tree, digits};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// bzImage and modules of a locked kernel.
fn stock(lab: &Lab, name: &str) -> (PathBuf, PathBuf) {
    let tree = lab.tree(Tree::Kernel(name));
    let image = only(&tree.join("boot"), "vmlinuz-");
    (image, only(&tree.join("usr/lib/modules"), ""))
}

fn only(dir: &Path, prefix: &str) -> PathBuf {
    let mut found = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            (path.file_name()).is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        });
    let one = found.next().expect("an entry of that name");
    assert_eq!(found.next(), None);
    one
}

fn argument(name: &str, image: &Path, modules: &Path) -> String {
    format!("{name}={},modules={}", image.display(), modules.display())
}

/// The same build gives the same digits, whatever way it comes and whatever it is called.
#[test]
fn a_local_kernel_gives_the_digits_of_the_locked_one() {
    let Some(lab) = Lab::open("a_local_kernel_gives_the_digits_of_the_locked_one") else {
        return;
    };
    let (image, modules) = stock(&lab, "6.12");
    let results = lab.measure(
        &[
            "smoke",
            "--kernel",
            &argument("mine", &image, &modules),
            "--baseline",
            "6.12",
            "--only-kernel",
            "mine",
            "--workload",
            "write-4k",
            "--fresh",
        ],
        0,
    );
    let kernels = results["kernels"].as_array().expect("kernels");
    let record = |name: &str| {
        let mut found = kernels.iter().filter(|kernel| kernel["name"] == name);
        found.next().unwrap_or_else(|| panic!("no kernel {name}"))
    };
    for part in ["release", "image", "initramfs"] {
        assert!(record("mine")[part].is_string(), "{part}");
        assert_eq!(record("mine")[part], record("6.12")[part], "{part}");
    }
    // Input digest, every digit, and the guest's memory.
    let exact = digits(&results);
    assert_eq!(exact.len(), 2);
    assert_eq!(exact["mine/ext4/write-4k"], exact["6.12/ext4/write-4k"]);
}

/// A copy of a module directory without one module.
fn without(modules: &Path, lost: &str, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(modules).expect("a directory") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a type").is_dir() {
            without(&from, lost, &to);
        } else if !entry
            .file_name()
            .to_string_lossy()
            .starts_with(&format!("{lost}.ko"))
        {
            fs::copy(&from, &to).expect("a file");
        }
    }
}

/// What is missing is known from the configuration and the module directory, before any boot.
#[test]
fn a_module_that_is_missing_is_named_with_its_option_and_nothing_boots() {
    let test = "a_module_that_is_missing_is_named_with_its_option_and_nothing_boots";
    let Some(lab) = Lab::open(test) else { return };
    let (image, modules) = stock(&lab, "6.12");
    let scenario = lab.scenario("smoke").replace(
        "[filesystems.ext4]",
        "[filesystems.ext4]\n\n[filesystems.xfs]",
    );
    let path = lab.write("both.toml", &scenario);
    for (module, filesystem, option) in [
        ("null_blk", "ext4", "CONFIG_BLK_DEV_NULL_BLK"),
        ("xfs", "xfs", "CONFIG_XFS_FS"),
    ] {
        let dir = lab.results().join(module);
        without(&modules, module, &dir);
        let kernel = argument("mine", &image, &dir);
        let results = lab.measure(
            &[
                &path,
                "--kernel",
                &kernel,
                "--baseline",
                "mine",
                "--only-kernel",
                "mine",
                "--filesystem",
                filesystem,
            ],
            INCOMPLETE,
        );
        let cells = results["cells"].as_array().expect("cells");
        assert_eq!(cells.len(), 2);
        for cell in cells {
            let outcome = &cell["outcome"];
            assert_eq!(outcome["is"], "unsupported", "{outcome}");
            assert_eq!(outcome["config"], serde_json::json!([option]));
            let why = outcome["why"].as_str().expect("words");
            let said = format!("{option}=m, but the module {module} was not found");
            assert!(why.contains(&said), "{why}");
            assert!(cell["inputs"].is_null(), "planned to run: {cell}");
        }
    }
}

/// Nothing is known of a bare bzImage but what its guest finds missing: whichever way the guest's words
/// take, it is unsupported, with the option and what to do.
#[test]
fn a_bare_image_whose_modules_are_missing_is_unsupported_and_asks_for_them() {
    let test = "a_bare_image_whose_modules_are_missing";
    let Some(lab) = Lab::open(test) else { return };
    let (image, _) = stock(&lab, "6.12");
    // Alone, without the configuration that lies beside it.
    let bare = lab.results().join("bare/bzImage");
    fs::create_dir_all(bare.parent().expect("a parent")).expect("a directory");
    fs::copy(&image, &bare).expect("a copy");
    let kernel = format!("mine={}", bare.display());
    let select = [
        "smoke",
        "--kernel",
        &kernel,
        "--baseline",
        "mine",
        "--only-kernel",
        "mine",
    ];
    for fresh in [false, true] {
        let mut words = select.to_vec();
        words.extend(fresh.then_some("--fresh"));
        let results = lab.measure(&words, INCOMPLETE);
        let cells = results["cells"].as_array().expect("cells");
        assert_eq!(cells.len(), 2);
        for cell in cells {
            let outcome = &cell["outcome"];
            assert_eq!(outcome["is"], "unsupported", "{outcome}");
            let options = outcome["config"].as_array().expect("options");
            assert!(!options.is_empty(), "{outcome}");
            let why = outcome["why"].as_str().expect("words");
            assert!(why.contains("mine=IMAGE,modules=DIR"), "{why}");
        }
    }
}

/// Every kernel that cannot be used, in one message, before anything is downloaded or boots.
#[test]
fn bad_kernels_are_named_at_once() {
    let Some(lab) = Lab::open("bad_kernels_are_named_at_once") else {
        return;
    };
    let (image, _) = stock(&lab, "6.12");
    let (text, empty) = (lab.results().join("text"), lab.results().join("empty"));
    fs::write(&text, "words").expect("a file");
    fs::create_dir(&empty).expect("a directory");
    let kernels = [
        format!("a={}", text.display()),
        format!("b={},modules={}", image.display(), empty.display()),
        format!("c={}", lab.results().join("none").display()),
    ];
    let mut words = vec!["plan", "smoke"];
    for kernel in &kernels {
        words.extend(["--kernel", kernel]);
    }
    let output = lab.run(&words);
    let said = crate::common::text(&output);
    for words in [
        "3 kernels cannot be used",
        "preparing kernel `a`",
        "preparing kernel `b`",
        "no kernel modules are in or below",
        "kernel `c` has no image at",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(output.status.code(), Some(2));
}

/// `Exit::Incomplete`: some cell has no figures.
const INCOMPLETE: i32 = 5;
