//! mkfs on this side: whether it takes a scenario's options, before anything boots.

use super::GuestTools;
use crate::{
    error::{Error, Result},
    filesystem::{self, Facts, Format},
    scenario::{FilesystemSpec, Scenario},
    store::hermetic::Hermetic,
};
use diorama_wire::complaint;
use std::{fs::File, process::Stdio};

/// The largest drive that is stood for, in bytes: some programs write a little everywhere.
const LARGEST: u64 = 1 << 40;

/// Refuses file systems that mkfs refuses, as far as the drive is known: with its own complaint.
///
/// # Errors
/// All of them, as bad input; and when a program cannot be run.
pub(super) fn check(scenario: &Scenario, tools: &GuestTools, format: &Format) -> Result<()> {
    let device = scenario.device.in_guest();
    let (Some(size), Some(block)) = (device.size(), device.block_size()) else {
        return Ok(());
    };
    let mut refused = Vec::new();
    for spec in &scenario.filesystems {
        let Some(facts) = filesystem::facts(spec.kind) else {
            continue;
        };
        let Some(tree) = tools.trees.get(facts.tools) else {
            continue;
        };
        let program = Hermetic::in_tree(tree, &format!("usr{}", facts.mkfs))?;
        let drive = Drive { size, block };
        if let Some(why) = try_on_file(&program, facts, spec, format, drive)? {
            let name = &spec.name;
            let line = filesystem::mkfs_argv(spec.kind, &spec.mkfs, format).join(" ");
            let next = match spec.mkfs.is_empty() {
                true => {
                    format!("use a larger drive, or options of your own: [filesystems.{name}] mkfs")
                }
                false => format!("correct [filesystems.{name}] mkfs"),
            };
            refused.push(Error::input(format!("{name}: mkfs refuses: {why} ({line})")).hint(next));
        }
    }
    Error::unless_none(refused, |n| format!("mkfs refuses {n} file systems"))
}

/// The drive that a file stands for.
#[derive(Clone, Copy)]
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
    let output = program
        .command()
        .env("MKE2FS_CONFIG", program.tree.join("etc/mke2fs.conf"))
        .envs(dry.variables)
        .args(dry.words)
        .args(argv.iter().skip(1))
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .map_err(failed)?;
    if output.status.success() {
        return Ok(None);
    }
    let [stderr, stdout] = [&output.stderr, &output.stdout].map(|t| String::from_utf8_lossy(t));
    let said = complaint(&stderr, &stdout);
    // Its name on this side says nothing.
    let named = file.display().to_string();
    Ok(Some(said.replace(&named, "the drive")))
}
