//! mkfs on this side: whether it takes a scenario's options, before anything boots.

use super::GuestTools;
use crate::{
    error::{Error, Result},
    filesystem::{self, Facts, Format},
    plan,
    scenario::{FilesystemSpec, Scenario},
    store::hermetic::Hermetic,
    vm::{Given, try_tool},
    vocabulary::KernelVersion,
};
use diorama_wire::complaint;
use std::fs::File;

/// The largest drive that is stood for, in bytes: some programs write a little everywhere.
const LARGEST: u64 = 1 << 40;

/// Refuses file systems that mkfs refuses, as far as the drive is known: with its own complaint. Those of
/// a variant are tried where it makes them in another way.
///
/// # Errors
/// All of them, as bad input; and when a program cannot be run.
pub(super) fn check(scenario: &Scenario, tools: &GuestTools, oldest: KernelVersion) -> Result<()> {
    let mut tried = Vec::new();
    let mut refused = Vec::new();
    for (variant, of) in scenario.all() {
        let device = of.device.in_guest();
        let (Some(size), Some(block)) = (device.size(), device.block_size()) else {
            continue;
        };
        let format = plan::format(&of, oldest);
        for spec in &of.filesystems {
            let Some(facts) = filesystem::facts(spec.kind) else {
                continue;
            };
            let Some(tree) = tools.trees.get(facts.tools) else {
                continue;
            };
            let drive = Drive { size, block };
            let argv = filesystem::mkfs_argv(spec.kind, &spec.mkfs, &format);
            let line = argv.join(" ");
            let way = (drive, argv);
            if tried.contains(&way) {
                continue;
            }
            tried.push(way);
            let program = Hermetic::in_tree(tree, &format!("usr{}", facts.mkfs))?;
            if let Some(why) = try_on_file(&program, facts, spec, &format, drive)? {
                let of = variant.map_or_else(String::new, |v| format!("variant {}: ", v.name));
                let what = format!("{of}{}: mkfs refuses: {why} ({line})", spec.name);
                refused.push(Error::input(what).hint(next(spec)));
            }
        }
    }
    Error::unless_none(refused, |n| format!("mkfs refuses {n} file systems"))
}

/// What to do about one that is refused.
fn next(spec: &FilesystemSpec) -> String {
    let name = &spec.name;
    match spec.mkfs.is_empty() {
        true => format!("use a larger drive, or options of your own: [filesystems.{name}] mkfs"),
        false => format!("correct [filesystems.{name}] mkfs"),
    }
}

/// The drive that a file stands for.
#[derive(Clone, Copy, PartialEq)]
struct Drive {
    size: u64,
    block: u32,
}

/// What mkfs says where it refuses.
fn try_on_file(
    program: &Hermetic,
    facts: &Facts,
    spec: &FilesystemSpec,
    format: &Format,
    drive: Drive,
) -> Result<Option<String>> {
    let failed = |e| Error::host(format!("trying {} on a file", facts.mkfs)).because(e);
    let dir = tempfile::tempdir().map_err(failed)?;
    let file = dir.path().join("drive");
    let made = File::create(&file).and_then(|made| made.set_len(drive.size.min(LARGEST)));
    made.map_err(failed)?;
    let dry = filesystem::dry(facts, &spec.mkfs, drive.block);
    let argv = filesystem::mkfs_argv(spec.kind, &spec.mkfs, format);
    let mut command = program.command();
    command
        .env("MKE2FS_CONFIG", program.tree.join("etc/mke2fs.conf"))
        .envs(dry.variables)
        .args(dry.words)
        .args(argv.iter().skip(1))
        .arg(&file);
    // Its options may be a stranger's. It asks what is mounted, which is in the directory of a process that
    // does not exist yet.
    let given = Given {
        read: &["/proc"],
        file: Some((&file, drive.size.min(LARGEST))),
        ..Given::default()
    };
    let output = try_tool(program, command, facts.mkfs, given)
        .map_err(|e| e.while_(format!("trying {} on a file", facts.mkfs)))?;
    if output.status.success() {
        return Ok(None);
    }
    let said = complaint(&output.stderr, &output.stdout);
    // Its name on this side says nothing.
    let named = file.display().to_string();
    Ok(Some(said.replace(&named, "the drive")))
}
