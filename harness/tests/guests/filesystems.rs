//! File systems that Debian's kernels have besides ext4 and XFS, what mkfs refuses, and devices between
//! the drive and the file system.

use crate::common::{Lab, digits, outcomes, text};

/// One kernel, one short cell of each kind.
fn scenario(model: &str, filesystems: &str) -> String {
    format!(
        "name = \"kinds\"\ntitle = \"Kinds\"\nbaseline = \"6.12\"\nkernels = [\"6.12\"]\n\
         [measure]\nrepetitions = 1\nwarmup_ios = 100\n[model]\n{model}\n{filesystems}\n\
         [workloads.write-4k]\nrw = \"write\"\nbs = \"4k\"\nsize = \"2MiB\"\nnumber_ios = 500\n\
         iodepth = 8\n"
    )
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn btrfs_writes_in_place_where_it_is_told_to() {
    let Some(lab) = Lab::open("btrfs_writes_in_place_where_it_is_told_to") else {
        return;
    };
    let filesystems = "[filesystems.btrfs]\nmount_options = \"nodatacow\"\n[filesystems.f2fs]\n";
    let path = lab.write("kinds.toml", &scenario("", filesystems));
    let results = lab.measure(&[&path], 5);
    // Debian's cloud kernels have no F2FS, which is known without a boot.
    assert_eq!(outcomes(&results), ["measured", "unsupported"]);
    let guest = &results["cells"][0]["outcome"]["guest"];
    assert_eq!(guest["filesystem"]["kind"], "btrfs");
    let options = guest["filesystem"]["mount_options"].to_string();
    assert!(options.contains("nodatacow"), "{options}");
    assert_eq!(guest["evidence"]["cached_pages_after"], 0);
    let missing = &results["cells"][1]["outcome"]["config"];
    assert_eq!(missing[0], "CONFIG_F2FS_FS");
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_stack_is_put_over_the_drive_and_is_exact() {
    let Some(lab) = Lab::open("a_stack_is_put_over_the_drive_and_is_exact") else {
        return;
    };
    let model = "stack = [\"linear\", \"crypt\", \"loop\"]";
    let path = lab.write("stack.toml", &scenario(model, "[filesystems.ext4]\n"));
    lab.measure(&[&path], 0);
    let results = lab.measure(&[&path, "--verify"], 0);
    let digits = digits(&results);
    let (name, cell) = digits.iter().next().expect("a cell");
    assert_eq!(cell["guest"]["device"]["name"], "loop0", "{name}");
    let modules = cell["guest"]["boot"]["modules"].to_string();
    for module in ["dm_mod", "dm_crypt", "loop"] {
        assert!(modules.contains(module), "{module}: {modules}");
    }
    let notes = results["notes"].to_string();
    assert!(
        notes.contains("over the drive lies linear, crypt, loop"),
        "{notes}"
    );
}

/// md hands writes to its thread or not, and both drives get them.
#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn a_mirror_of_two_drives_is_quiet_and_exact() {
    let Some(lab) = Lab::open("a_mirror_of_two_drives_is_quiet_and_exact") else {
        return;
    };
    let model = "stack = [\"raid1\"]";
    let path = lab.write("mirror.toml", &scenario(model, "[filesystems.ext4]\n"));
    lab.measure(&[&path], 0);
    let results = lab.measure(&[&path, "--verify"], 0);
    let digits = digits(&results);
    let (name, cell) = digits.iter().next().expect("a cell");
    assert_eq!(cell["guest"]["device"]["name"], "md_diorama", "{name}");
    for repetition in cell["guest"]["repetitions"]
        .as_array()
        .expect("repetitions")
    {
        let of = |key: &str| repetition[key].as_u64().expect("a number");
        assert!(of("device_ios") >= 2 * of("ios"), "{name}: {repetition}");
    }
    let notes = results["notes"].to_string();
    assert!(notes.contains("counted at both drives"), "{notes}");
}

/// Small logs, wrong sizes, options of another program: each with mkfs's own complaint, all at once,
/// and no guest.
#[test]
fn what_mkfs_refuses_is_bad_input_before_any_boot() {
    let Some(lab) = Lab::open("what_mkfs_refuses_is_bad_input_before_any_boot") else {
        return;
    };
    let filesystems = "[filesystems.log]\nkind = \"xfs\"\nmkfs = [\"-l\", \"size=1m\"]\n\
         [filesystems.small]\nkind = \"ext4\"\nmkfs = [\"-b\", \"1024\"]\n\
         [filesystems.journal]\nkind = \"ext4\"\nmkfs = [\"-J\", \"size=1\"]\n\
         [filesystems.node]\nkind = \"btrfs\"\nmkfs = [\"-n\", \"3\"]\n";
    let path = lab.write("refused.toml", &scenario("", filesystems));
    let output = lab.run(&["plan", &path]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for wanted in [
        "log: mkfs refuses: Invalid value 1m for -l size option. Value is too small.",
        "small: mkfs refuses: Invalid argument while setting blocksize; too small for device",
        "journal: mkfs refuses: The total requested journal size is 256 blocks; it must be between",
        "node: mkfs refuses: illegal nodesize 3 (smaller than 4096)",
        "correct [filesystems.node] mkfs",
    ] {
        assert!(said.contains(wanted), "{wanted}:\n{said}");
    }
    assert!(!said.contains("Usage"), "{said}");
}
