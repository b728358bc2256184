//! What scenarios say of drives by the wall clock.

use super::*;
use diorama_wire::{Conditioning, NvmeFormat, Precondition, Workload};

/// A scenario on an emulated drive, with more keys in two of its tables.
fn on_a_drive(measure: &str, conditioning: &str) -> String {
    let text = changed(
        "baseline = \"7.2\"",
        "device = \"nvme\"\nbaseline = \"7.2\"",
    );
    text.replace("[measure]\n", &format!("[measure]\n{measure}\n"))
        + "\n[conditioning]\n"
        + conditioning
}

fn metal(measure: &str, conditioning: &str) -> Scenario {
    good(&on_a_drive(measure, conditioning))
}

fn said(text: &str) -> String {
    let said = bad(text);
    let line = said.lines().nth(1).unwrap_or_default();
    line.trim().to_owned()
}

#[test]
fn a_drive_is_made_ready_as_the_scenario_says() {
    assert!(metal("", "").conditioning.is_none());
    let asked = "format = \"erase\"\ndiscard = true\nprecondition = \"sequential-fill\"\n";
    let all = Conditioning {
        format: NvmeFormat::Erase,
        discard: true,
        precondition: Precondition::SequentialFill,
    };
    assert_eq!(metal("", asked).conditioning, all);
    assert_eq!(
        metal("ramp_time = \"10s\"", "").measure.ramp_time_ns,
        10_000_000_000
    );
    insta::assert_snapshot!(said(&on_a_drive("", "precondition = \"random\"")), @"s.toml:58:16: conditioning.precondition: `random` is not one of the kinds of preconditioning; known kinds of preconditioning: none, sequential-fill");
}

#[test]
fn the_modelled_drive_takes_none_of_it() {
    let model = |keys: &str| said(&format!("{SMOKE}\n[conditioning]\n{keys}\n"));
    insta::assert_snapshot!(model("discard = true"), @r#"s.toml:56:11: conditioning.discard: the modelled drive is made anew for every cell, so there is nothing to format, discard or fill; leave it out, or use device = "nvme""#);
    insta::assert_snapshot!(model("format = \"erase\""), @r#"s.toml:56:10: conditioning.format: the modelled drive is made anew for every cell, so there is nothing to format, discard or fill; leave it out, or use device = "nvme""#);
    insta::assert_snapshot!(model("discard = false\nprecondition = \"sequential-fill\""), @r#"s.toml:57:16: conditioning.precondition: the modelled drive is made anew for every cell, so there is nothing to format, discard or fill; leave it out, or use device = "nvme""#);
    assert!(
        good(&format!("{SMOKE}\n[conditioning]\ndiscard = false\n"))
            .conditioning
            .is_none()
    );
    // Written for a drive, and run on the model.
    let chosen = Overrides {
        device: Some(ChosenDevice::Model),
        ..Overrides::default()
    };
    let text = on_a_drive("ramp_time = \"10s\"", "discard = true");
    let known = ["6.12", "7.2"].map(String::from);
    let s = resolve(&text, "s.toml", Path::new("/base"), &known, &chosen).unwrap();
    assert!(s.conditioning.is_none() && s.measure.ramp_time_ns == 0);
}

#[test]
fn a_warm_up_by_time_is_refused_where_it_means_nothing() {
    let exact = changed("[measure]\n", "[measure]\nramp_time = \"1s\"\n");
    insta::assert_snapshot!(said(&exact), @r#"s.toml:13:13: measure.ramp_time: is a time for a drive to settle, which the modelled drive does not need; use warmup_ios, or clock = "wall""#);
    insta::assert_snapshot!(said(&on_a_drive("ramp_time = \"11m\"", "")), @"s.toml:14:13: measure.ramp_time: 660 s is not a valid warm-up; use up to 10m");
    insta::assert_snapshot!(said(&on_a_drive("ramp_time = \"1s\"\nwarmup_ios = 5", "")), @"s.toml:14:13: measure.ramp_time: cannot be combined with warmup_ios; keep one of warmup_ios and ramp_time");
    let append = on_a_drive("ramp_time = \"1s\"", "")
        + "[workloads.append]\nrw = \"write\"\nbs = \"4k\"\nsize = \"8MiB\"\nfile_append = true\nnumber_ios = 10\n";
    insta::assert_snapshot!(said(&append), @"s.toml:14:13: measure.ramp_time: would use up the file of append, which changes with every write; use warmup_ios");
}

#[test]
fn the_command_line_makes_a_long_measurement_short() {
    let shorter = |text: &str, time: &str| {
        let overrides = Overrides {
            runtime: Some(time.to_owned()),
            ..Overrides::default()
        };
        read(text, &overrides)
    };
    let s = shorter(&on_a_drive("ramp_time = \"10s\"", ""), "2s").unwrap();
    let two = Bound::Runtime(2_000_000_000);
    assert!(s.workloads.iter().all(|w| w.job.bound == two));
    assert_eq!(s.measure.ramp_time_ns, 2_000_000_000);
    let s = shorter(&on_a_drive("ramp_time = \"1s\"", ""), "2s").unwrap();
    assert_eq!(s.measure.ramp_time_ns, 1_000_000_000, "short enough");
    let counted = changed("runtime = \"100ms\"", "number_ios = 9");
    for (text, time) in [(counted.as_str(), "2s"), (SMOKE, "2x")] {
        let said = shorter(text, time).unwrap_err().render();
        assert!(said.contains("--runtime"), "{said}");
    }
}

#[test]
fn the_reports_scenarios_for_drives_have_its_parameters() {
    let named = Overrides {
        device: Some(ChosenDevice::Vfio(ControllerFacts::default())),
        ..Overrides::default()
    };
    for (text, overrides) in [
        (
            include_str!("../../../../scenarios/iomap-dio-nvme.toml"),
            Overrides::default(),
        ),
        (
            include_str!("../../../../scenarios/iomap-dio-vfio.toml"),
            named,
        ),
    ] {
        let s = read(text, &overrides).unwrap_or_else(|e| panic!("{}", e.render()));
        let exact = good(IOMAP_DIO);
        assert_eq!(s.lane().clock, Clock::Wall);
        assert_eq!((&s.kernels, &s.baseline), (&exact.kernels, &exact.baseline));
        assert_eq!(s.filesystems, exact.filesystems);
        for (drive, model) in s.workloads.iter().zip(&exact.workloads) {
            assert_eq!(drive.name, model.name);
            let expected = Workload {
                file_size: 2 << 30,
                bound: Bound::Runtime(100_000_000_000),
                ..model.job.clone()
            };
            assert_eq!(drive.job, expected, "{}", drive.name);
        }
        // The exact lane's claims about rates, with other bounds: the same cells, and the same point.
        let claims = |of: &Scenario| -> Vec<_> {
            let rates = of.expect.iter().filter(|c| c.metric == Metric::Iops);
            rates
                .map(|c| (c.kernels.clone(), c.workloads.clone(), c.point))
                .collect()
        };
        assert_eq!(claims(&s), claims(&exact));
    }
}
