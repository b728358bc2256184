//! The command line as people meet it: help, mistakes, and what is made of it.

use super::*;
use crate::{cli::choices::DeviceWord, error::Exit, scenario::Overrides};
use clap::{CommandFactory, FromArgMatches};

#[path = "args_help_tests.rs"]
mod help;

/// At a fixed width, whatever terminal the tests run in.
fn try_parse(words: &[&str]) -> Result<Cli, clap::Error> {
    let words = std::iter::once(&"diorama").chain(words);
    let matches = Cli::command().term_width(100).try_get_matches_from(words)?;
    Cli::from_arg_matches(&matches)
}

fn parse(words: &[&str]) -> Cli {
    try_parse(words).unwrap_or_else(|e| panic!("{e}"))
}

/// What is printed instead of doing something: help or a refusal.
fn printed(words: &[&str]) -> String {
    let error = try_parse(words).expect_err("nothing is to be done");
    let text = error.to_string();
    let lines: Vec<_> = text.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn mistakes_are_answered_with_the_next_step() {
    let cases: &[&[&str]] = &[
        &["rpro"],
        &["repro", "--frsh"],
        &["repro", "--jobs", "0"],
        &["repro", "--kernel", "bzImage"],
        &["repro", "--fresh", "--verify"],
        &["report", "latest", "--format", "pdf"],
        &["compare"],
        &["lock", "--check", "--update", "6.12"],
        &["cache", "shrink", "--max", "lots"],
    ];
    let all: Vec<_> = cases.iter().map(|words| printed(words)).collect();
    insta::assert_snapshot!(all.join("\n\n====\n\n"), @r"
    error: unrecognized subcommand 'rpro'

      tip: some similar subcommands exist: 'report', 'repro'

    Usage: diorama [OPTIONS] <COMMAND>

    For more information, try '--help'.

    ====

    error: unexpected argument '--frsh' found

      tip: a similar argument exists: '--fresh'

    Usage: diorama repro --fresh [SCENARIO]

    For more information, try '--help'.

    ====

    error: invalid value '0' for '--jobs <N>': not a number of virtual machines; use 1 or more, or omit --jobs

    For more information, try '--help'.

    ====

    error: invalid value 'bzImage' for '--kernel <NAME=PATH[,modules=DIR]>': `bzImage` is not a local kernel; use NAME=PATH or NAME=PATH,modules=DIR

    For more information, try '--help'.

    ====

    error: the argument '--fresh' cannot be used with '--verify'

    Usage: diorama repro --fresh [SCENARIO]

    For more information, try '--help'.

    ====

    error: invalid value 'pdf' for '--format <FORMAT>'
      [possible values: terminal, markdown, org, csv, json, junit, svg, png]

    For more information, try '--help'.

    ====

    error: the following required arguments were not provided:
      <RUN>...

    Usage: diorama compare <RUN>...

    For more information, try '--help'.

    ====

    error: the argument '--check' cannot be used with '--update <NAME>'

    Usage: diorama lock --check

    For more information, try '--help'.

    ====

    error: invalid value 'lots' for '--max <SIZE>': `lots` is not a size; use 512, 4k, 64MiB or 1GiB

    For more information, try '--help'.
    ");
}

#[test]
fn a_usage_error_exits_as_bad_input() {
    let error = try_parse(&["--nonsense"]).expect_err("must be refused");
    assert_eq!(error.exit_code(), i32::from(Exit::Input as u8));
}

#[test]
fn repro_without_words_is_the_reports_scenario_with_the_locks_qemu() {
    let Verb::Repro(args) = parse(&["repro"]).verb else {
        panic!("not repro");
    };
    assert_eq!(args.select.scenario, "iomap-dio");
    assert_eq!(args.select.overrides(), Overrides::default());
    assert_eq!(args.measure.inputs.qemu, QemuChoice::Lock);
    assert!(args.measure.keep_going && !args.measure.fresh && !args.measure.inputs.no_checkpoint);
}

#[test]
fn what_the_command_line_changes_reaches_the_scenario() {
    let words = [
        "repro",
        "smoke",
        "--kernel",
        "a=x",
        "--kernel",
        "b=y,modules=m",
        "--baseline",
        "a",
        "--only-kernel",
        "b",
        "--filesystem",
        "ext4",
        "--workload",
        "write-4k",
        "--repetitions",
        "7",
        "--cmdline",
        "-pad",
        "--qemu",
        "./qemu",
        "--fail-fast",
        "--results",
        "r",
    ];
    let cli = parse(&words);
    assert_eq!(cli.places.results, Some(PathBuf::from("r")));
    let Verb::Repro(args) = cli.verb else {
        panic!("not repro");
    };
    let overrides = args.select.overrides();
    let names: Vec<_> = overrides.kernels.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(overrides.baseline.as_deref(), Some("a"));
    assert_eq!(overrides.only_kernels, ["b"]);
    assert_eq!(overrides.only_filesystems, ["ext4"]);
    assert_eq!(overrides.only_workloads, ["write-4k"]);
    assert_eq!(
        (overrides.repetitions, overrides.cmdline),
        (Some(7), vec!["-pad".to_owned()])
    );
    assert_eq!(args.measure.inputs.qemu, QemuChoice::Path("./qemu".into()));
    assert!(!args.measure.keep_going);
}

#[test]
fn the_environment_fills_what_the_command_line_leaves_open() {
    let filled = |words: &[&str], variables: &[(&str, &str)]| {
        parse(words).with_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).into())
        })
    };
    let set = [
        ("DIORAMA_ROOT", "/root"),
        ("DIORAMA_CACHE", "/cache"),
        ("DIORAMA_AGENT", "/agent"),
        ("DIORAMA_DEADLINE", "7"),
    ];
    let cli = filled(&["run", "--cache", "/mine"], &set).unwrap();
    assert_eq!(cli.places.root.as_deref(), Some("/root".as_ref()));
    assert_eq!(cli.places.cache.as_deref(), Some("/mine".as_ref()));
    let Verb::Run(run) = cli.verb else {
        panic!("run");
    };
    assert_eq!(run.measure.inputs.agent.as_deref(), Some("/agent".as_ref()));
    assert_eq!(run.measure.inputs.deadline.map(NonZeroU32::get), Some(7));

    // Whatever measures does so with one agent.
    let cli = filled(&["explain", "latest"], &set).unwrap();
    let Verb::Explain(explain) = cli.verb else {
        panic!("explain");
    };
    assert_eq!(explain.inputs.agent.as_deref(), Some("/agent".as_ref()));

    // An empty variable is none.
    let empty = set.map(|(name, _)| (name, ""));
    let cli = filled(&["run"], &empty).unwrap();
    assert_eq!((cli.places.root, cli.places.cache), (None, None));
    let wrong = filled(&["run"], &[("DIORAMA_DEADLINE", "0")]).unwrap_err();
    assert_eq!(wrong.exit(), Exit::Input);
}

#[test]
fn a_device_is_one_of_the_scenarios_or_one_of_the_hosts() {
    for word in ["model", "nvme", "vfio:0000:01:00.0", "/dev/disk/by-id/x"] {
        let device: DeviceWord = word.parse().unwrap();
        assert_eq!(device.to_string(), word);
    }
    let said = "nmve".parse::<DeviceWord>().unwrap_err();
    assert!(said.contains("`nmve` is not a device"), "{said}");
    assert!(said.contains("model or nvme"), "{said}");
}
