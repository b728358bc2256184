//! The command that gives a run's digits again, for its record and its report.

use super::args::{InputArgs, QemuChoice, SelectArgs};
use crate::scenario::{KernelRef, KernelSource};

/// The command line that measures the same cells with the same inputs again and compares. Choices
/// that change no digit (jobs, checkpoints, places) are left out.
pub fn command(select: &SelectArgs, inputs: &InputArgs) -> String {
    let mut words = vec!["cargo".into(), "xtask".into(), "repro".into()];
    words.push(select.scenario.clone());
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    for kernel in &select.kernels {
        add("--kernel", definition(kernel));
    }
    if let Some(baseline) = &select.baseline {
        add("--baseline", baseline.clone());
    }
    for (option, values) in [
        ("--only-kernel", &select.only_kernels),
        ("--filesystem", &select.only_filesystems),
        ("--workload", &select.only_workloads),
    ] {
        for value in values {
            add(option, value.clone());
        }
    }
    if let Some(repetitions) = select.repetitions {
        add("--repetitions", repetitions.to_string());
    }
    for word in &select.cmdline {
        add("--cmdline", word.clone());
    }
    match &inputs.qemu {
        QemuChoice::Lock => {}
        QemuChoice::System => add("--qemu", "system".into()),
        QemuChoice::Path(path) => add("--qemu", path.display().to_string()),
    }
    words.push("--verify".into());
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ")
}

fn definition(kernel: &KernelRef) -> String {
    let name = &kernel.name;
    match &kernel.source {
        KernelSource::Locked => name.clone(),
        KernelSource::Local { path, modules } => {
            let modules = modules.as_ref();
            let modules = modules.map_or(String::new(), |m| format!(",modules={}", m.display()));
            format!("{name}={}{modules}", path.display())
        }
    }
}

/// A word as a POSIX shell takes it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Verb};
    use clap::Parser as _;

    fn replay(line: &[&str]) -> String {
        let cli = Cli::try_parse_from(["diorama"].iter().chain(line)).unwrap();
        match cli.verb {
            Verb::Repro(args) => command(&args.select, &args.measure.inputs),
            Verb::Run(args) => command(&args.select, &args.measure.inputs),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_choice_that_changes_a_digit_is_in_it_and_no_other() {
        insta::assert_snapshot!(replay(&["repro"]), @"cargo xtask repro iomap-dio --verify");
        let line = [
            "run",
            "my smoke.toml",
            "--kernel",
            "a=b z,modules=m",
            "--kernel",
            "c=d",
            "--baseline",
            "a",
            "--only-kernel",
            "c",
            "--filesystem",
            "ext4",
            "--workload",
            "write-4k",
            "--repetitions",
            "3",
            "--cmdline",
            "it's=1",
            "--qemu",
            "/opt/qemu",
            "--jobs",
            "1",
            "--fresh",
            "--no-checkpoint",
            "--json",
        ];
        insta::assert_snapshot!(replay(&line), @r"cargo xtask repro 'my smoke.toml' --kernel 'a=b z,modules=m' --kernel c=d --baseline a --only-kernel c --filesystem ext4 --workload write-4k --repetitions 3 --cmdline 'it'\''s=1' --qemu /opt/qemu --verify");
        // What it says gives itself again.
        let said = replay(&["repro", "smoke", "--cmdline", "-x", "--only-kernel", "7.2"]);
        let words: Vec<&str> = said.split(' ').skip(2).collect();
        assert_eq!(replay(&words), said);
    }
}
