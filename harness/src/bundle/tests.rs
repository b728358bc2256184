//! Packing, opening and damaging a small image.

use super::{testing::*, *};
use crate::{
    digest::Sha256,
    image::cpio::{Archive, CpioEntry},
    plan::Plan,
    record::Outcome,
    store::Store,
    vm::Time,
    vocabulary::Accel,
};
use diorama_wire::StopBy;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

fn store(dir: &Path) -> Store {
    Store::open(dir.join("store")).unwrap()
}

#[test]
fn packing_twice_gives_the_same_bytes_and_nothing_of_this_host() {
    let lab = Lab::new();
    let bytes = lab.pack(false);
    assert_eq!(Sha256::of(&bytes), Sha256::of(&lab.pack(false)));
    // Another host has other paths and other times of files.
    let other = Lab::new();
    assert_eq!(Sha256::of(&bytes), Sha256::of(&other.pack(false)));
    let image = Image::of(&bytes);
    let opened = Opened::read(&image.path, &Unseen).unwrap();
    let results = serde_json::to_string(&opened.results).unwrap();
    for place in ["somebody", lab.dir.path().to_str().unwrap()] {
        assert!(!results.contains(place), "{place}");
        let manifest = String::from_utf8(opened.container.manifest.to_bytes()).unwrap();
        assert!(!manifest.contains(place), "{place}");
    }
}

#[test]
fn what_was_packed_is_unpacked_and_plans_the_same_cells() {
    let lab = Lab::new();
    let image = Image::of(&lab.pack(false));
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let unpacked = Unpacked::new(&image.path, &store, &Unseen).unwrap();
    let vmm = unpacked.vmm.clone().unwrap();
    let qemu = vmm.join("usr/bin/qemu-system-x86_64");
    assert_eq!(fs::read_to_string(&qemu).unwrap(), "not QEMU");
    assert_eq!(qemu.metadata().unwrap().permissions().mode() & 0o777, 0o555);
    assert_eq!(
        fs::read_link(vmm.join("lib64")).unwrap(),
        Path::new("usr/lib64")
    );
    assert_eq!(fs::read_to_string(&unpacked.agent).unwrap(), "the agent");
    let kernels: Vec<_> = unpacked.kernels.into_iter().map(Option::unwrap).collect();
    for kernel in &kernels {
        let (spec, _) = kernel.machine.as_ref().unwrap();
        assert_eq!(
            Sha256::of(&fs::read(&spec.initramfs).unwrap()),
            spec.initramfs_sha256
        );
        // What guests boot from is in use, and can be checked again.
        store.check_again(&spec.kernel).unwrap();
        store.check_again(&spec.initramfs).unwrap();
        let symbols = kernel.modules.as_ref().unwrap().join("xfs.ko");
        assert_eq!(fs::read_to_string(symbols).unwrap(), "xfs with symbols");
    }
    let plan = Plan::new(
        unpacked.results.scenario.clone(),
        kernels,
        unpacked.results.vmm.clone(),
    );
    same_inputs(&unpacked.results, &plan).unwrap();
    same_inputs(&lab.results, &plan).unwrap();
}

#[test]
fn what_all_kernels_share_is_inside_once() {
    let lab = Lab::new();
    let image = Image::of(&lab.pack(false));
    let opened = Opened::read(&image.path, &Unseen).unwrap();
    let names = |part: &str| opened.files[part].keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("guest"), ["init", "sbin/mkfs.ext4"]);
    assert_eq!(names("kernel-7.2"), OF_A_KERNEL);
    assert_eq!(
        names("licences"),
        ["crates/memchr_2.8.3", "e2fsprogs_1-1.47-2"]
    );
    let parts: Vec<_> = opened.files.keys().map(String::as_str).collect();
    assert_eq!(
        parts,
        [
            "guest",
            "kernel-6.12",
            "kernel-7.2",
            "licences",
            "plugin",
            "results",
            "vmm"
        ]
    );
}

#[test]
fn a_build_under_two_names_is_inside_once() {
    let mut lab = Lab::new();
    lab.drives = false;
    let (first, second) = lab.plan.kernels.split_at_mut(1);
    second[0].machine.clone_from(&first[0].machine);
    // The record's inputs follow.
    let inputs = first[0].cells[0].inputs;
    second[0].cells[0].inputs = inputs;
    lab.results.cells[1].inputs = inputs;
    lab.results.kernels[1].image = lab.results.kernels[0].image;
    lab.results.kernels[1].initramfs = lab.results.kernels[0].initramfs;
    lab.name_machines();
    let image = Image::of(&lab.pack(false));
    let opened = Opened::read(&image.path, &Unseen).unwrap();
    assert!(!opened.files.contains_key("kernel-7.2"));
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Unpacked::new(&image.path, &store(dir.path()), &Unseen).unwrap();
    assert!(unpacked.kernels.iter().all(Option::is_some));
}

#[test]
fn rows_of_variants_are_packed_once_and_plan_the_same_cells() {
    let lab = Lab::varied();
    let image = Image::of(&lab.pack(false));
    let opened = Opened::read(&image.path, &Unseen).unwrap();
    let kernels: Vec<_> = (opened.files.keys())
        .filter(|part| part.starts_with("kernel-"))
        .collect();
    assert_eq!(kernels, ["kernel-6.12", "kernel-7.2"]);
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Unpacked::new(&image.path, &store(dir.path()), &Unseen).unwrap();
    let kernels: Vec<_> = unpacked.kernels.into_iter().map(Option::unwrap).collect();
    let plan = Plan::new(
        unpacked.results.scenario.clone(),
        kernels,
        unpacked.results.vmm.clone(),
    );
    same_inputs(&lab.results, &plan).unwrap();
    let rows: Vec<_> = plan.kernels.iter().map(|k| k.subject.to_string()).collect();
    assert_eq!(
        rows,
        [
            "6.12",
            "7.2",
            "6.12+nohz",
            "7.2+nohz",
            "6.12+mq-deadline",
            "7.2+mq-deadline"
        ]
    );
    // Another command line is another machine; another scheduler is not.
    assert_eq!(plan.boots(), [0, 1, 2, 3, 0, 1]);
    let inputs: std::collections::BTreeSet<_> = plan.cells().map(|(_, c)| c.inputs).collect();
    assert_eq!(inputs.len(), 6);
}

/// Whoever replays an image on a drive boots the same kernels, with the drive's modules.
#[test]
fn rows_boot_for_a_drive_too() {
    let lab = Lab::new();
    let image = Image::of(&lab.pack(false));
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let unpacked = Unpacked::new(&image.path, &store, &Unseen).unwrap();
    let scenario = on_drive(&unpacked.results.scenario);
    let rows = unpacked.on_drive(&scenario, &store).unwrap();
    assert_eq!(rows.len(), 2);
    for (row, exact) in rows.into_iter().zip(&unpacked.kernels) {
        let (row, exact) = (row.unwrap(), exact.as_ref().unwrap());
        let [(spec, stop_by), (own, _)] = [&row, exact].map(|k| k.machine.as_ref().unwrap());
        assert_eq!(
            (spec.kernel_sha256, *stop_by),
            (own.kernel_sha256, StopBy::None)
        );
        assert_eq!(spec.time, Time::Wall(Accel::Tcg));
        assert_eq!(row.record.initramfs, Some(spec.initramfs_sha256));
        store.check_again(&spec.initramfs).unwrap();
        let archive = Archive::parse(&fs::read(&spec.initramfs).unwrap()).unwrap();
        let name = &row.subject.kernel;
        let modules: Vec<_> = (archive.entries())
            .filter_map(|(path, entry)| match entry {
                CpioEntry::File { data, .. } if path.ends_with(".ko") => Some(data.clone()),
                _ => None,
            })
            .collect();
        let wanted = [format!("nvme of {name}"), format!("xfs of {name}")];
        assert_eq!(modules, wanted.map(String::into_bytes));
    }
    // What both have is inside once.
    let opened = Opened::read(&image.path, &Unseen).unwrap();
    let own: Vec<_> = opened.files["kernel-6.12"].keys().collect();
    assert_eq!(own, OF_A_KERNEL);
}

/// What is one kernel's alone.
const OF_A_KERNEL: [&str; 5] = [
    "initramfs/lib/modules/null_blk.ko",
    "initramfs/lib/modules/xfs.ko",
    "modules/xfs.ko",
    "on-drive/lib/modules/nvme.ko",
    "vmlinux",
];

#[test]
fn an_image_without_machines_for_drives_says_so() {
    let mut lab = Lab::new();
    lab.drives = false;
    let image = Image::of(&lab.pack(false));
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let unpacked = Unpacked::new(&image.path, &store, &Unseen).unwrap();
    let scenario = on_drive(&unpacked.results.scenario);
    let error = unpacked.on_drive(&scenario, &store).err().unwrap();
    insta::assert_snapshot!(error.render(), @r"
    error: the image has nothing that kernel `6.12` boots for a drive
      help: ask for an image that was packed by this version, or measure without --device
    ");
}

#[test]
fn a_thin_image_has_no_row_of_a_locked_kernel() {
    let lab = Lab::varied();
    let image = Image::of(&lab.pack(true));
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Unpacked::new(&image.path, &store(dir.path()), &Unseen).unwrap();
    let there: Vec<_> = unpacked.kernels.iter().map(Option::is_some).collect();
    assert_eq!(there, [false, true, false, true, false, true]);
}

#[test]
fn a_thin_image_leaves_out_what_the_lock_has_and_keeps_what_nobody_else_has() {
    let lab = Lab::new();
    let image = Image::of(&lab.pack(true));
    let opened = Opened::read(&image.path, &Unseen).unwrap();
    let parts: Vec<_> = opened.files.keys().map(String::as_str).collect();
    assert_eq!(
        parts,
        ["guest", "kernel-7.2", "licences", "plugin", "results"]
    );
    assert!(opened.container.manifest.is_thin());
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Unpacked::new(&image.path, &store(dir.path()), &Unseen).unwrap();
    assert!(unpacked.kernels[0].is_none() && unpacked.kernels[1].is_some());
    assert!(unpacked.vmm.is_none());
}

#[test]
fn a_run_whose_inputs_have_changed_is_not_packed() {
    let mut lab = Lab::new();
    lab.results.cells[1].inputs = Some(Sha256::of(b"another"));
    let error = same_inputs(&lab.results, &lab.plan).unwrap_err();
    assert!(
        error.render().contains("7.2/ext4/write-4k"),
        "{}",
        error.render()
    );
    let mut lab = Lab::new();
    lab.results.cells.pop();
    assert!(same_inputs(&lab.results, &lab.plan).is_err());
}

#[test]
fn a_kernel_that_changed_after_it_was_prepared_is_not_packed() {
    let lab = Lab::new();
    fs::write(lab.dir.path().join("6.12/vmlinux"), "another").unwrap();
    let packed = std::panic::catch_unwind(|| lab.pack(false));
    assert!(packed.is_err());
}

#[test]
fn a_cell_that_could_not_run_stays_so() {
    let mut lab = Lab::new();
    let why = Outcome::Unsupported {
        why: "the kernel lacks XFS".into(),
        config: vec!["CONFIG_XFS_FS".into()],
    };
    let kernel = &mut lab.plan.kernels[0];
    kernel.machine = None;
    kernel.cells[0].settled = Some(why.clone());
    kernel.cells[0].inputs = None;
    lab.results.cells[0].inputs = None;
    lab.results.cells[0].outcome = why.clone();
    lab.name_machines();
    let image = Image::of(&lab.pack(false));
    let dir = tempfile::tempdir().unwrap();
    let unpacked = Unpacked::new(&image.path, &store(dir.path()), &Unseen).unwrap();
    let kernel = unpacked.kernels[0].as_ref().unwrap();
    assert_eq!(kernel.machine.as_ref().unwrap_err(), &why);
}

/// Wherever it is: in a header, a document, a part, the padding or the end.
#[test]
fn an_image_with_one_flipped_bit_is_refused_and_the_place_is_named() {
    let bytes = Lab::new().pack(false);
    let image = Image::of(&bytes);
    Opened::read(&image.path, &Unseen).unwrap();
    let mut named = std::collections::BTreeSet::new();
    for (n, at) in (0..bytes.len()).step_by(7).enumerate() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (n % 8);
        fs::write(&image.path, &flipped).unwrap();
        let Err(error) = Opened::read(&image.path, &Unseen) else {
            panic!("bit {} of byte {at} was not missed", n % 8);
        };
        let text = error.render();
        let places = [
            "part `",
            "manifest",
            "oci-layout",
            "index.json",
            "of the container",
            "last entry",
        ];
        let place = places.into_iter().find(|place| text.contains(place));
        named.insert(place.unwrap_or_else(|| panic!("byte {at}: {text}")));
    }
    assert!(named.contains("part `"), "{named:?}");
}

#[test]
fn an_image_that_is_cut_off_or_goes_on_is_refused() {
    let bytes = Lab::new().pack(false);
    for end in [
        0,
        1,
        511,
        512,
        bytes.len() / 2,
        bytes.len() - 512,
        bytes.len() - 1,
    ] {
        let image = Image::of(&bytes[..end]);
        assert!(Opened::read(&image.path, &Unseen).is_err(), "{end}");
    }
    for more in [1, 512, 10_240] {
        let image = Image::of(&[bytes.as_slice(), &vec![0; more]].concat());
        assert!(Opened::read(&image.path, &Unseen).is_err(), "{more}");
    }
}

#[test]
fn the_documented_fields_are_those_of_a_manifest() {
    use crate::record::documented;
    use std::collections::BTreeSet;
    const PAGE: &str = include_str!("../../../docs/image.md");
    let file = tempfile::tempfile().unwrap();
    let manifest = Lab::new().pack_into(&file, false);
    let mut found = BTreeSet::new();
    documented::keys(&serde_json::to_value(&manifest).unwrap(), &mut found);
    let missing: Vec<_> = found
        .iter()
        .filter(|key| !documented::has(PAGE, key))
        .collect();
    assert!(missing.is_empty(), "docs/image.md lacks {missing:?}");
    assert!(PAGE.contains(&format!(
        "version of this format, currently {}",
        manifest::FORMAT
    )));
}
