//! What the command line changes, and what it takes from claims.

use super::*;

#[test]
fn the_command_line_adds_a_kernel_and_changes_the_baseline() {
    let overrides = Overrides {
        kernels: vec![parse_kernel("mine=/x/bzImage").expect("a kernel")],
        baseline: Some("mine".into()),
        repetitions: Some(7),
        cmdline: strings(&["quiet"]),
        ..Overrides::default()
    };
    let s = read(SMOKE, &overrides).expect("a scenario");
    assert_eq!(s.kernels.last().map(|k| k.name.as_str()), Some("mine"));
    assert_eq!((s.baseline.as_str(), s.measure.repetitions), ("mine", 7));
    assert_eq!(s.cmdline, ["quiet"]);
    assert!(
        s.expect.len() == 3 && s.expect.iter().all(|e| !e.relative),
        "ratios were claimed of another baseline"
    );
}

#[test]
fn a_selection_keeps_the_baseline_and_drops_claims_about_what_is_gone() {
    let overrides = Overrides {
        only_kernels: strings(&["6.1"]),
        only_filesystems: strings(&["xfs"]),
        only_workloads: strings(&["write-4k"]),
        ..Overrides::default()
    };
    let s = read(IOMAP_DIO, &overrides).expect("a scenario");
    assert_eq!(
        s.kernels.iter().map(|k| &k.name).collect::<Vec<_>>(),
        ["6.1", "7.2"]
    );
    assert_eq!((s.filesystems.len(), s.workloads.len()), (1, 1));
    let claims: Vec<_> = s
        .expect
        .iter()
        .map(|e| (e.metric, e.kernels.clone()))
        .collect();
    assert_eq!(
        claims,
        [
            (Metric::Iops, strings(&["6.1"])),
            (Metric::PathLength, strings(&["6.1"])),
            (Metric::ContextSwitchesPerIo, strings(&["6.1"])),
            (Metric::ContextSwitchesPerIo, strings(&["7.2"])),
        ]
    );
}

#[test]
fn a_wrong_command_line_is_named_as_such() {
    let overrides = Overrides {
        kernels: vec![parse_kernel("7.2=/x/bzImage").expect("a kernel")],
        baseline: Some("7.1".into()),
        only_kernels: strings(&["6.13"]),
        only_variants: strings(&["mq"]),
        vary: Vec::new(),
        only_filesystems: strings(&["xfs"]),
        only_workloads: strings(&["write4k"]),
        device: None,
        repetitions: Some(0),
        blocks: Some(4),
        seed: None,
        runtime: None,
        cmdline: strings(&["a b"]),
        fio: FioChoices::default(),
    };
    insta::assert_snapshot!(refusal(SMOKE, &overrides), @"
    error: the scenario s.toml has 9 problems:
      command line: --repetitions: is 0; use a number from 1 to 1000
      command line: --cmdline: `a b` is not a single word of a kernel command line; use one word per element, without spaces or quotes
      command line: --kernel: there is already a kernel `7.2`; remove it or give it another name
      command line: --baseline: baseline `7.1` is not one of the kernels; did you mean `7.2`? (known kernels: 6.12, 7.2)
      command line: --blocks: is for the metal lane; this is the exact lane, where one boot gives every digit; omit it, or add --device
      command line: --only-kernel: `6.13` is not in this scenario; did you mean `6.12`? (known names: 6.12, 7.2)
      command line: --only-variant: `mq` is not in this scenario; known names: as-written
      command line: --filesystem: `xfs` is not in this scenario; known names: ext4
      command line: --workload: `write4k` is not in this scenario; did you mean `write-4k`? (known names: write-4k, read-4k)
      help: fix the above; scenarios/README.md describes every key
    ");
}

fn mine() -> KernelRef {
    parse_kernel("mine=/x/bzImage").expect("a kernel")
}

#[test]
fn what_the_command_line_takes_from_claims_is_said() {
    // The README's first example: a kernel that no claim names.
    let overrides = Overrides {
        kernels: vec![mine()],
        only_kernels: strings(&["mine"]),
        ..Overrides::default()
    };
    let s = read(IOMAP_DIO, &overrides).expect("a scenario");
    assert_eq!(
        s.expect.len() + s.left_out.len(),
        7,
        "none is dropped in silence"
    );
    let point = |claim: &Expect| claim.point && claim.relative;
    assert!(
        s.left_out.iter().any(|l| point(&l.claim)),
        "{:?}",
        s.left_out
    );
    assert_eq!(
        s.left_out[0].why,
        "the command line left out 5.10, 6.1, 6.12, 6.18"
    );

    // Another baseline, and workloads that the point is not about.
    let overrides = Overrides {
        kernels: vec![mine(), parse_kernel("old=/y/bzImage").expect("a kernel")],
        baseline: Some("old".into()),
        only_kernels: strings(&["mine"]),
        only_filesystems: strings(&["xfs"]),
        only_workloads: strings(&["read-4k"]),
        ..Overrides::default()
    };
    let s = read(IOMAP_DIO, &overrides).expect("a scenario");
    assert_eq!(s.left_out[0].why, "the baseline is old, not 7.2");
    assert_eq!((s.expect.len(), s.left_out.len()), (1, 6));
    assert!(!s.expect[0].point);
    let mut without = s.expect[0].without.clone();
    without.sort();
    assert_eq!(
        without,
        ["5.10", "6.1", "6.12", "6.18", "7.2", "ext4", "read-16k"]
    );

    let part = Overrides {
        only_kernels: strings(&["6.12"]),
        ..Overrides::default()
    };
    let s = read(IOMAP_DIO, &part).expect("a scenario");
    assert!(s.left_out.is_empty());
    assert_eq!(s.expect[0].kernels, ["6.12"]);
    assert_eq!(s.expect[0].without, ["5.10", "6.1", "6.18"]);
    assert!(
        read(IOMAP_DIO, &Overrides::default())
            .expect("a scenario")
            .expect[0]
            .without
            .is_empty()
    );
}

#[test]
fn every_scenario_with_claims_says_which_make_its_point() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).expect("the scenarios") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a scenario");
        let marked = text.lines().filter(|line| *line == "point = true").count();
        assert_eq!(
            marked > 0,
            text.contains("[[expect]]"),
            "{}",
            path.display()
        );
        assert!(!text.contains("the baseline here"), "{}", path.display());
        seen += marked;
    }
    assert!(seen >= 6);
}

#[test]
fn a_ratio_of_the_baseline_to_itself_is_refused_and_unmarked_claims_are_all_the_point() {
    let claim = |kernel: &str| {
        format!(
            "{SMOKE}\n[[expect]]\nmetric = \"iops\"\nratio_at_least = 0.9\nkernels = [\"{kernel}\"]\n"
        )
    };
    let said = bad(&claim("7.2"));
    assert!(
        said.contains("bounds the ratio of `7.2`, the baseline, to itself"),
        "{said}"
    );
    let s = good(&claim("6.12"));
    assert!(s.expect.iter().all(|claim| claim.point));
    let marked = good(&format!("{}point = true\n", claim("6.12")));
    let points: Vec<bool> = marked.expect.iter().map(|claim| claim.point).collect();
    assert_eq!(
        points.iter().filter(|point| **point).count(),
        1,
        "{points:?}"
    );
}

#[test]
fn a_controller_of_the_hosts_is_what_the_command_line_says_of_it_and_never_a_scenarios() {
    let chosen = |size, block_size| Overrides {
        device: Some(ChosenDevice::Vfio(ControllerFacts {
            serial: "S 1".into(),
            size,
            block_size,
        })),
        ..Overrides::default()
    };
    let known = read(SMOKE, &chosen(Some(1 << 40), Some(512))).expect("a scenario");
    assert_eq!(
        known.lane().to_string(),
        "metal lane: vfio device, wall clock"
    );
    let device = known.device.in_guest();
    assert_eq!(
        (device.size(), device.block_size()),
        (Some(1 << 40), Some(512))
    );
    // Only the guest can ask: it judges what does not fit.
    let asleep = read(SMOKE, &chosen(None, None)).expect("a scenario");
    let device = asleep.device.in_guest();
    assert_eq!((device.size(), device.block_size()), (None, None));
    let small = read(SMOKE, &chosen(Some(1 << 20), Some(512))).expect_err("too small");
    assert!(
        small.render().contains("3/4 of the device"),
        "{}",
        small.render()
    );
    let written = format!("device = \"vfio\"\n{SMOKE}");
    let error = read(&written, &Overrides::default()).expect_err("whose?");
    assert!(
        error.render().contains("--device vfio:0000:01:00.0"),
        "{}",
        error.render()
    );
}
