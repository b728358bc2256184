//! The command that gives a run's digits again, for its record and its report.

use super::{
    args::{InputArgs, SelectArgs},
    choices::{AccelChoice, DeviceWord, QemuChoice},
};
use crate::{
    devices::HostDevice,
    scenario::{KernelRef, KernelSource, Lane, is_fio_command, is_listed, is_path},
    text,
    vm::share::Access,
};
use std::path::{self, Path};

/// The command line that measures the same cells with the same inputs again, and compares where there are
/// digits, for a shell in the repository's top directory, `root`; there it begins with `program`. Choices that change no digit (jobs,
/// checkpoints, places) are left out. `taken` are variables that job files took from the environment, which
/// is another one elsewhere.
pub fn command(
    (select, taken): (&SelectArgs, &[(String, String)]),
    inputs: &InputArgs,
    lane: Lane,
    (program, root): (&[&str], &Path),
) -> String {
    let place = |path: &Path| place(path, root);
    let mut words: Vec<String> = program.iter().map(|&word| word.to_owned()).collect();
    words.push("repro".to_owned());
    words.extend(select.fio.words(|job| match is_fio_command(job) {
        true => job.to_owned(),
        false => place(Path::new(job)),
    }));
    if select.fio.jobs.is_empty() {
        let scenario = &select.scenario;
        words.push(match is_path(scenario) && !is_listed(scenario, root) {
            true => place(Path::new(&select.scenario)),
            false => select.scenario.clone(),
        });
    }
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    for (name, value) in taken {
        add("-D", format!("{name}={value}"));
    }
    for kernel in &select.own.kernels {
        add("--kernel", definition(kernel, place));
    }
    for vary in &select.varied.vary {
        add("--vary", vary.text().to_owned());
    }
    if let Some(baseline) = &select.baseline {
        add("--baseline", baseline.clone());
    }
    for (option, values) in [
        ("--only-kernel", &select.only.only_kernels),
        ("--only-variant", &select.only_variants),
        ("--filesystem", &select.only_filesystems),
        ("--workload", &select.only_workloads),
    ] {
        for value in values {
            add(option, value.clone());
        }
    }
    // Never --erase: whoever runs it again says so again.
    if let Some(device) = &select.drive.device {
        add("--device", device_word(device));
    }
    if let Some(repetitions) = select.repetitions {
        add("--repetitions", repetitions.to_string());
    }
    if let Some(blocks) = select.blocks {
        add("--blocks", blocks.to_string());
    }
    if let Some(seed) = select.seed {
        add("--seed", seed.to_string());
    }
    if let Some(runtime) = &select.runtime {
        add("--runtime", runtime.clone());
    }
    for word in &select.words.cmdline {
        add("--cmdline", word.clone());
    }
    match &inputs.qemu {
        QemuChoice::Lock => {}
        QemuChoice::System => add("--qemu", "system".into()),
        QemuChoice::Path(path) => add("--qemu", place(path)),
    }
    for share in &select.share.shares {
        let name = share
            .name
            .as_ref()
            .map_or(String::new(), |name| format!("{name}="));
        let write = if share.access == Access::Write {
            ",rw"
        } else {
            ""
        };
        add("--share", format!("{name}{}{write}", place(&share.dir)));
    }
    if select.artifacts {
        words.push("--artifacts".into());
    }
    if lane.is_exact() {
        words.push("--verify".into());
    } else if inputs.accel != AccelChoice::Auto {
        words.extend(["--accel".to_owned(), inputs.accel.name().to_owned()]);
    }
    let quoted: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
    quoted.join(" ")
}

/// A device. Which of a host's slots a controller was in is not for its record: that host may have
/// moved it, and another has its own.
pub fn device_word(device: &DeviceWord) -> String {
    match device {
        DeviceWord::Host(HostDevice::Vfio(_)) => "vfio:ADDRESS".to_owned(),
        other => other.to_string(),
    }
}

fn definition(kernel: &KernelRef, place: impl Fn(&Path) -> String) -> String {
    let name = &kernel.name;
    match &kernel.source {
        KernelSource::Locked => name.clone(),
        KernelSource::Local { path, modules } => {
            let modules = modules.as_ref();
            let modules = modules.map_or(String::new(), |m| format!(",modules={}", place(m)));
            format!("{name}={}{modules}", place(path))
        }
    }
}

/// A path that was relative to the caller's directory, for somebody who is elsewhere: below the
/// repository relative to it, which holds in every clone; absolute otherwise.
fn place(path: &Path, root: &Path) -> String {
    let whole = |path: &Path| path::absolute(path).map_or_else(|_| path.to_owned(), plain);
    let (path, root) = (whole(path), whole(root));
    match path.strip_prefix(&root) {
        // A bare name would be a scenario's.
        Ok(below) => format!("./{}", below.display()),
        Err(_) => path.display().to_string(),
    }
}

/// An absolute path without `..`. A directory before it that is a link may mean another place, so
/// such a path stays as it is.
fn plain(path: path::PathBuf) -> path::PathBuf {
    if !path.components().any(|c| c == path::Component::ParentDir) {
        return path;
    }
    std::fs::canonicalize(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::args::{Cli, Verb},
        scenario::{Clock, DeviceKind},
    };
    use clap::Parser as _;

    const XTASK: &[&str] = &["cargo", "xtask"];

    fn replay(line: &[&str]) -> String {
        replay_in(line, Path::new("/the/clone"))
    }

    fn replay_in(line: &[&str], root: &Path) -> String {
        replay_with(line, root, &[])
    }

    fn replay_with(line: &[&str], root: &Path, taken: &[(String, String)]) -> String {
        let cli = Cli::try_parse_from(["diorama"].iter().chain(line)).unwrap();
        let on_a_drive = line.contains(&"--device");
        let lane = match on_a_drive {
            true => Lane {
                device: DeviceKind::Nvme,
                clock: Clock::Wall,
            },
            false => Lane::EXACT,
        };
        match cli.verb {
            Verb::Repro(args) => command(
                (&args.select, taken),
                &args.measure.inputs,
                lane,
                (XTASK, root),
            ),
            Verb::Run(args) => command(
                (&args.select, taken),
                &args.measure.inputs,
                lane,
                (XTASK, root),
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_choice_that_changes_a_digit_is_in_it_and_no_other() {
        let fio = [
            "repro",
            "--fio",
            "/x/a.fio",
            "--fio",
            "fio --name=a --rw=read",
            "--kernels",
            "6.12,7.2",
            "-D",
            "A=1 2",
            "--section",
            "b c",
            "--scale",
            "none",
            "--overwrite",
            "--filesystem",
            "xfs",
        ];
        insta::assert_snapshot!(replay(&fio), @"cargo xtask repro --fio /x/a.fio --fio 'fio --name=a --rw=read' --kernels 6.12,7.2 --section 'b c' -D 'A=1 2' --scale none --overwrite --filesystem xfs --verify");
        let taken = [("SIZE".to_owned(), "1 m".to_owned())];
        let line = ["repro", "--fio", "/x/a.fio", "--kernels", "7.2"];
        let said = replay_with(&line, Path::new("/the/clone"), &taken);
        insta::assert_snapshot!(said, @"cargo xtask repro --fio /x/a.fio --kernels 7.2 -D 'SIZE=1 m' --verify");
        insta::assert_snapshot!(replay(&["repro"]), @"cargo xtask repro iomap-dio --verify");
        let line = [
            "run",
            "/the/clone/my smoke.toml",
            "--kernel",
            "a=/b z,modules=/m",
            "--kernel",
            "c=/the/clone/d",
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
            "--runtime",
            "2s",
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
        insta::assert_snapshot!(replay(&line), @r"cargo xtask repro './my smoke.toml' --kernel 'a=/b z,modules=/m' --kernel c=./d --baseline a --only-kernel c --filesystem ext4 --workload write-4k --repetitions 3 --runtime 2s --cmdline 'it'\''s=1' --qemu /opt/qemu --verify");
        // What it says gives itself again.
        let said = replay(&["repro", "smoke", "--cmdline", "-x", "--only-kernel", "7.2"]);
        let words: Vec<&str> = said.split(' ').skip(2).collect();
        assert_eq!(replay(&words), said);
    }

    #[test]
    fn where_there_are_no_digits_none_are_compared_and_no_drive_is_erased() {
        let drive = ["--device", "/dev/disk/by-id/x", "--erase", "S1"];
        let line = [&["repro", "smoke", "--accel", "tcg"][..], &drive].concat();
        insta::assert_snapshot!(replay(&line), @"cargo xtask repro smoke --device /dev/disk/by-id/x --accel tcg");
        let line = [
            "repro",
            "smoke",
            "--device",
            "vfio:0000:01:00.0",
            "--erase",
            "S1",
        ];
        insta::assert_snapshot!(replay(&line), @"cargo xtask repro smoke --device vfio:ADDRESS");
    }

    #[test]
    fn paths_hold_where_the_caller_is_not() {
        let here = std::env::current_dir().unwrap();
        let line = [
            "repro",
            "a/mine.toml",
            "--kernel",
            "k=bzImage,modules=../m",
            "--qemu",
            "bin/qemu",
        ];
        // The caller stood in the clone, or below it: what is in the clone is in every clone.
        let below = here.parent().unwrap();
        let name = here.file_name().unwrap().display().to_string();
        let said = replay_in(&line, below);
        assert!(said.contains(&format!(" ./{name}/a/mine.toml ")), "{said}");
        assert!(
            said.contains(&format!("k=./{name}/bzImage,modules=")),
            "{said}"
        );
        assert!(
            said.contains(&format!("--qemu ./{name}/bin/qemu ")),
            "{said}"
        );
        assert!(!said.contains("=../m"), "{said}");
        // Elsewhere: absolute.
        let said = replay(&line);
        assert!(
            said.contains(&format!(" {}/a/mine.toml ", here.display())),
            "{said}"
        );
        assert!(
            said.contains(&format!("k={}/bzImage", here.display())),
            "{said}"
        );
    }
}
