//! Another axis than the kernel: `[[variants]]` and `--vary`.

use super::*;

/// The small scenario with these lines behind it.
fn with(variants: &str) -> String {
    format!("{SMOKE}\n{variants}")
}

const MQ: &str = "[[variants]]\nname = \"mq-deadline\"\nmodel.scheduler = \"mq-deadline\"\n";

fn vary(words: &[&str]) -> Overrides {
    Overrides {
        vary: words
            .iter()
            .map(|word| parse_vary(word).unwrap_or_else(|e| panic!("{e}")))
            .collect(),
        ..Overrides::default()
    }
}

fn subjects(scenario: &Scenario) -> String {
    scenario.subject_names().join(", ")
}

fn told(scenario: &Scenario) -> String {
    let of = |variant: &Variant| {
        let changes = scenario.changes(variant);
        let changes: Vec<String> = changes.iter().map(Difference::to_string).collect();
        format!("{}: {}", variant.name, changes.join(", "))
    };
    scenario
        .variants
        .iter()
        .map(of)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_kernel_is_measured_as_written_and_with_each_variant() {
    let s = good(&with(&format!(
        "{MQ}\n[[variants]]\nname = \"shallow\"\nworkloads.\"*\".iodepth = 1\nguest.cmdline = [\"a\", \"b\"]\n"
    )));
    insta::assert_snapshot!(subjects(&s), @"6.12, 6.12+mq-deadline, 6.12+shallow, 7.2, 7.2+mq-deadline, 7.2+shallow");
    insta::assert_snapshot!(told(&s), @r"
    mq-deadline: model.scheduler none -> mq-deadline
    shallow: guest.cmdline none -> a b, workloads.write-4k.iodepth 64 -> 1, workloads.read-4k.iodepth 64 -> 1
    ");
    assert_eq!(
        s.varies(),
        ["model.scheduler", "workloads.*.iodepth", "guest.cmdline"]
    );
    let of = |name: &str| {
        let mut subjects = s.subjects.iter();
        let subject = subjects.find(|subject| subject.is(name));
        s.of(subject.expect("a subject"))
    };
    assert_eq!(
        of("6.12+mq-deadline").device.in_guest().scheduler(),
        "mq-deadline"
    );
    assert_eq!(of("6.12").device.in_guest().scheduler(), "none");
    assert_eq!(of("7.2+shallow").workloads[0].job.iodepth, 1);
    assert_eq!(of("7.2+shallow").workloads.len(), 2);
    // What a variant leaves alone is not in the record twice.
    assert_eq!(s.variants[0].parts.workloads, None);
    let json = serde_json::to_string(&s).expect("plain data serialises");
    assert_eq!(
        serde_json::from_str::<Scenario>(&json).expect("it was written so"),
        s
    );
}

#[test]
fn a_variant_is_what_the_scenario_would_be_with_its_values_written_out() {
    let s = good(&with(
        "[[variants]]\nname = \"v\"\nmodel = { latency = \"20us\", write_cache = \"volatile\" }\nworkloads.write-4k.rw = \"randwrite\"\nmeasure.repetitions = 2\n",
    ));
    let written = changed("rw = \"write\"", "rw = \"randwrite\"")
        .replace("repetitions = 3", "repetitions = 2")
        .replace(
            "[measure]",
            "[model]\nlatency = \"20us\"\nwrite_cache = \"volatile\"\n[measure]",
        );
    let written = good(&written);
    let varied = s.of(&s.subjects[1]).into_owned();
    let only_settings = |of: Scenario| Scenario {
        variants: Vec::new(),
        subjects: Vec::new(),
        ..of
    };
    assert_eq!(only_settings(varied), only_settings(written));
}

#[test]
fn what_is_wrong_with_a_variant_is_said_with_its_name_and_its_place() {
    let text = with(
        r#"[[variants]]
name = "mq"
model.scheduler = "mq-deadlin"
[[variants]]
name = "typo"
model.shceduler = "none"
device = "nvme"
workloads.write4k.bs = "8k"
filesystems.ext4.kind = "xfs"
[[variants]]
model.scheduler = "bfq"
[[variants]]
name = "same"
model.scheduler = "none"
[[variants]]
name = "odd"
workloads."*".bs = "5000"
model = 5
[[variants]]
name = "as-written"
[[variants]]
name = "small"
model.size = "64MiB"
[[variants]]
name = "bfq"
model.scheduler = "bfq"
[[variants]]
name = "bfq-too"
model.scheduler = "bfq"
[[variants]]
name = "bfq"
model.scheduler = "kyber"
"#,
    );
    insta::assert_snapshot!(bad(&text), @r#"
    error: the scenario s.toml has 16 problems:
      s.toml:17:12: variant small: workloads.write-4k.size: 64 MiB is more than 3/4 of the device, 64 MiB; use a smaller size or a larger model.size
      s.toml:22:12: variant small: workloads.read-4k.size: 64 MiB is more than 3/4 of the device, 64 MiB; use a smaller size or a larger model.size
      s.toml:57:19: variant mq: model.scheduler: `mq-deadlin` is not one of the schedulers; did you mean `mq-deadline`? (known schedulers: none, mq-deadline, kyber, bfq)
      s.toml:60:7: variant typo: model.shceduler: unknown key; did you mean `scheduler`? (known keys: size, block_size, latency, bandwidth, queue_depth, submit_queues, scheduler, stack, write_cache, fua, flush_latency)
      s.toml:61:1: variants[2].device: unknown key; known keys: name, model, nvme, conditioning, guest, measure, filesystems, workloads
      s.toml:62:11: variant typo: workloads.write4k: `write4k` is not one of the workloads; did you mean `write-4k`? (known workloads: read-4k, write-4k)
      s.toml:63:18: variant typo: filesystems.ext4.kind: file systems are an axis of their own; write a table of its own: [filesystems.NAME]
      s.toml:64:1: variants[3]: has no name; add name = "..", which tables will show
      s.toml:67:8: variants[4].name: the variant `same` changes nothing that is measured on the model device; remove it, or give a key another value: equal inputs give equal digits
      s.toml:71:20: variant odd: workloads.write-4k.bs: 5000 is not a multiple of the device's block size, 4096; use a multiple of 4096 up to 4 MiB
      s.toml:71:20: variant odd: workloads.read-4k.bs: 5000 is not a multiple of the device's block size, 4096; use a multiple of 4096 up to 4 MiB
      s.toml:72:1: variants[5].model: is 5; use a table: model.KEY = VALUE
      s.toml:73:1: variants[6]: overrides nothing; add a key of the scenario with another value: model.scheduler = "mq-deadline"
      s.toml:74:8: variants[6].name: `as-written` is what the scenario without a variant is called; give the variant another name
      s.toml:82:8: variants[9].name: the variants `bfq` and `bfq-too` are the same; remove one, or make them differ: equal inputs give equal digits
      s.toml:85:8: variants[10].name: there is already a variant `bfq`; remove it or give it another name
      help: fix the above; scenarios/README.md describes every key
    "#);
}

#[test]
fn the_command_line_varies_every_combination_and_leaves_out_what_is_written_anyway() {
    let s = read(
        SMOKE,
        &vary(&["model.scheduler=none,mq-deadline", "guest.smp=1,2"]),
    )
    .expect("a scenario");
    insta::assert_snapshot!(subjects(&s), @"6.12, 6.12+smp-2, 6.12+mq-deadline, 6.12+mq-deadline+smp-2, 7.2, 7.2+smp-2, 7.2+mq-deadline, 7.2+mq-deadline+smp-2");
    // Claims of a scenario without variants are about it as it is written.
    assert!(s.expect.iter().all(|claim| claim.variants == [AS_WRITTEN]));
    assert_eq!(s.baseline, "7.2");
    assert!(s.left_out.is_empty());

    let words = [
        "workloads.*.iodepth=1",
        "filesystems.ext4.mount_options=dioread_lock",
        "guest.cmdline=[\"nohz=off\"]",
        "model.fua=true",
        "model.write_cache=volatile",
    ];
    let s = read(SMOKE, &vary(&words)).expect("a scenario");
    insta::assert_snapshot!(told(&s), @"iodepth-1+dioread_lock+nohz-off+fua-true+volatile: model.write_cache none -> volatile, model.fua false -> true, guest.cmdline none -> nohz=off, filesystems.ext4.mount_options none -> dioread_lock, workloads.write-4k.iodepth 64 -> 1, workloads.read-4k.iodepth 64 -> 1");

    let all: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let many = format!("measure.repetitions={}", all.join(","));
    let said = refusal(SMOKE, &vary(&[&many]));
    assert!(said.contains("--vary: gives 101 combinations"), "{said}");

    // A job of two workloads is told by which.
    let both = vary(&[
        "workloads.write-4k.iodepth=1,2",
        "workloads.read-4k.iodepth=1,2",
    ]);
    let s = read(SMOKE, &both).expect("a scenario");
    assert_eq!(
        s.subjects[1].to_string(),
        "6.12+write-4k.iodepth-1+read-4k.iodepth-1"
    );
}

#[test]
fn what_is_wrong_with_the_command_lines_axes_is_said_of_the_command_line() {
    let words = [
        "model.scheduler=mq-deadlin",
        "modle.latency=1us",
        "device=nvme",
        "workloads.rite.iodepth=2",
        "model.latency=10us",
        "model.latency=20us",
        "guest.cmdline=quiet",
        "model.size=64MiB",
    ];
    insta::assert_snapshot!(refusal(SMOKE, &vary(&words)), @r#"
    error: the scenario s.toml has 7 problems:
      command line: --vary: `modle` is nothing that varies between rows; did you mean `model`? (known keys: model.KEY, nvme.KEY, conditioning.KEY, guest.KEY, measure.KEY, filesystems.NAME.KEY, workloads.NAME.KEY)
      command line: --vary: `device` is nothing that varies between rows; use one of model.KEY, nvme.KEY, conditioning.KEY, guest.KEY, measure.KEY, filesystems.NAME.KEY, workloads.NAME.KEY
      command line: --vary: model.latency is given twice; give all of its values at once, with commas
      command line: --vary: model.latency: no value of it changes anything that is measured here; leave it out, or give it a value that the scenario does not have
      command line: --vary workloads.rite: `rite` is not one of the workloads; known workloads: read-4k, write-4k
      command line: --vary guest.cmdline: is "quiet"; use a list: [.., ..]
      command line: --vary model.scheduler: `mq-deadlin` is not one of the schedulers; did you mean `mq-deadline`? (known schedulers: none, mq-deadline, kyber, bfq)
      help: fix the above; scenarios/README.md describes every key
    "#);
    // What the scenario has anyway is no variant, and neither is what its device has not.
    let nothing = vary(&["model.scheduler=none", "nvme.size=1GiB,2GiB"]);
    insta::assert_snapshot!(refusal(SMOKE, &nothing), @r"
    error: the scenario s.toml has 2 problems:
      command line: --vary: model.scheduler: no value of it changes anything that is measured here; leave it out, or give it a value that the scenario does not have
      command line: --vary: nvme.size: no value of it changes anything that is measured here; leave it out, or give it a value that the scenario does not have
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn a_variant_is_a_baseline_and_is_selected_by_its_name() {
    let text = with(MQ).replace("baseline = \"7.2\"", "baseline = \"6.12+mq-deadline\"");
    let text: String = text
        .split("[[expect]]")
        .next()
        .expect("a beginning")
        .to_owned()
        + MQ;
    let s = good(&text);
    assert!(s.is_baseline(&s.subjects[1]));
    let only = |kernels: &[&str], variants: &[&str], baseline: Option<&str>| {
        let overrides = Overrides {
            only_kernels: strings(kernels),
            only_variants: strings(variants),
            baseline: baseline.map(str::to_owned),
            ..Overrides::default()
        };
        let s = read(&text, &overrides).unwrap_or_else(|e| panic!("{}", e.render()));
        (subjects(&s), s.kernels.len())
    };
    assert_eq!(
        only(&["7.2"], &[], None),
        ("6.12+mq-deadline, 7.2, 7.2+mq-deadline".into(), 2)
    );
    assert_eq!(
        only(&["7.2+mq-deadline"], &[], None),
        ("6.12+mq-deadline, 7.2+mq-deadline".into(), 2)
    );
    assert_eq!(
        only(&[], &["as-written"], Some("6.12")),
        ("6.12, 7.2".into(), 2)
    );
    assert_eq!(
        only(&["6.12"], &[], None),
        ("6.12, 6.12+mq-deadline".into(), 1)
    );
    let wrong = Overrides {
        only_variants: strings(&["mq"]),
        baseline: Some("6.12+mq".into()),
        ..Overrides::default()
    };
    insta::assert_snapshot!(refusal(&text, &wrong), @"
    error: the scenario s.toml has 2 problems:
      command line: --baseline: baseline `6.12+mq` is not one of the subjects; did you mean `6.12`? (known subjects: 6.12, 6.12+mq-deadline, 7.2, 7.2+mq-deadline)
      command line: --only-variant: `mq` is not in this scenario; known names: as-written, mq-deadline
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn claims_name_variants_and_lose_those_that_are_gone() {
    let claim = |kernels: &str, variants: &str| {
        with(&format!(
            "{MQ}[[expect]]\nmetric = \"path-length\"\nratio_at_least = 1.01\nkernels = {kernels}\nvariants = {variants}\n"
        ))
    };
    let s = good(&claim("[\"7.2\"]", "[\"mq-deadline\"]"));
    let about = s.expect.last().expect("a claim");
    let named: Vec<bool> = s
        .subjects
        .iter()
        .map(|subject| about.names(subject))
        .collect();
    assert_eq!(named, [false, false, false, true]);
    // The baseline's other variants are not the baseline.
    assert!(good(&claim("[\"7.2\"]", "[]")).expect.len() == 5);
    let said = bad(&claim("[\"7.2\"]", "[\"as-written\"]"));
    assert!(
        said.contains("bounds the ratio of `7.2`, the baseline, to itself"),
        "{said}"
    );
    let said = bad(&claim("[\"7.2\"]", "[\"mq-deadlin\"]"));
    assert!(
        said.contains("`mq-deadlin` is not one of the variants; did you mean `mq-deadline`?"),
        "{said}"
    );

    let overrides = Overrides {
        only_variants: strings(&["as-written"]),
        ..Overrides::default()
    };
    let s = read(&claim("[]", "[\"mq-deadline\"]"), &overrides).expect("a scenario");
    assert_eq!(s.left_out.len(), 1);
    assert_eq!(
        s.left_out[0].why,
        "the command line left out 6.12+mq-deadline, 7.2+mq-deadline"
    );
}
