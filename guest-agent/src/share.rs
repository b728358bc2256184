//! Directories of the host's (virtio-fs): mounted before the cell where there are some, and what goes
//! back through one of them once the cell has been reported. Nothing here costs the cell its result.

use crate::{
    debugcon,
    fail::{Fail, Result},
    fio, sys,
};
use diorama_wire::{AFTER_CELL, ARTIFACTS, ARTIFACTS_TAG, Phase, Share, config};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Mounts all of them.
///
/// # Errors
/// The first one that cannot be mounted.
pub fn mount(shares: &[Share]) -> Result<()> {
    shares.iter().try_for_each(mount_one)
}

fn mount_one(share: &Share) -> Result<()> {
    let Share { tag, at, read_only } = share;
    fs::create_dir_all(at).map_err(|e| Fail::os(format_args!("make {at}"), &e))?;
    let flags = if *read_only { libc::MS_RDONLY } else { 0 };
    match sys::mount_with(tag, at, "virtiofs", flags, "")? {
        Ok(()) => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Err(Fail::unsupported(
            "the kernel has no virtiofs, for the directories that the host shares",
            &[config::FUSE_FS, config::VIRTIO_FS],
        )),
        Err(e) => Err(Fail::os(
            format_args!("mount the shared directory {tag} on {at}"),
            &e,
        )),
    }
}

/// Hands back what the harness takes, if it takes anything: the kernel's log, fio's own output, and
/// what a program of the user's makes. What fails is said, and the rest goes on.
pub fn hand_back(shares: &[Share]) {
    if shares.iter().all(|share| share.tag != ARTIFACTS_TAG) {
        return;
    }
    enter("");
    said("the kernel's log", kernel_log("dmesg.txt"));
    if let Some(output) = fio::last_output() {
        said("fio's output", copy(output, "fio.json"));
    }
    for share in shares {
        let program = Path::new(&share.at).join(AFTER_CELL);
        if is_executable(&program) {
            said(&program.display().to_string(), run(&program));
        }
    }
    // So that nothing is on its way when the guest goes.
    said("unmounting", sys::unmount(ARTIFACTS));
}

fn enter(detail: &str) {
    debugcon::enter(Phase::Artifacts, detail);
}

fn said<T>(what: &str, result: Result<T>) {
    if let Err(e) = result {
        enter(&format!("{what}: {e}"));
    }
}

fn artifact(name: &str) -> PathBuf {
    Path::new(ARTIFACTS).join(name)
}

fn copy(from: &Path, name: &str) -> Result<()> {
    let to = artifact(name);
    let doing = format!("copy {} to {}", from.display(), to.display());
    fs::copy(from, to)
        .map(drop)
        .map_err(|e| Fail::os(doing, &e))
}

/// All that the kernel's ring buffer holds (syslog(2)).
fn kernel_log(name: &str) -> Result<()> {
    const READ_ALL: libc::c_int = 3;
    const SIZE: libc::c_int = 10;
    // SAFETY: without a buffer: it returns the size of the kernel's.
    let size = unsafe { libc::klogctl(SIZE, std::ptr::null_mut(), 0) };
    let size = sys::check(size.into()).map_err(|e| Fail::os("syslog SIZE_BUFFER", &e))?;
    let mut bytes = vec![0u8; usize::try_from(size).unwrap_or(0)];
    let room = libc::c_int::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: a buffer of this length.
    let read = unsafe { libc::klogctl(READ_ALL, bytes.as_mut_ptr().cast(), room) };
    let read = sys::check(read.into()).map_err(|e| Fail::os("syslog READ_ALL", &e))?;
    bytes.truncate(usize::try_from(read).unwrap_or(0));
    let path = artifact(name);
    fs::write(&path, bytes).map_err(|e| Fail::os(format_args!("write {}", path.display()), &e))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// How long the user's program may run. The harness waits for this phase a little longer.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often the harness is told that it still runs.
const TELL: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Runs the user's program in the artifacts' directory; its words go there as well.
fn run(program: &Path) -> Result<()> {
    let path = artifact("after-cell.log");
    let doing = |e: io::Error| Fail::os(format_args!("write {}", path.display()), &e);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let mut log = log.map_err(doing)?;
    let (out, errors) = (log.try_clone(), log.try_clone());
    let child = Command::new(program)
        .current_dir(ARTIFACTS)
        .env_clear()
        .env("PATH", "/sbin:/usr/sbin:/bin:/usr/bin")
        .env("HOME", "/tmp")
        .stdin(Stdio::null())
        .stdout(out.map_err(doing)?)
        .stderr(errors.map_err(doing)?)
        .spawn()
        .map_err(|e| match e.kind() == io::ErrorKind::NotFound {
            true => Fail::step(
                "its interpreter is not in the guest: use a static program, or an interpreter in the \
                 shared directory",
            ),
            false => Fail::os("start it", &e),
        })?;
    let status = wait(child)?;
    writeln!(log, "[{status}]").map_err(doing)?;
    match status.success() {
        true => Ok(()),
        false => Err(Fail::step(format!("it ended with {status}"))),
    }
}

/// How a program ended; one that takes too long is killed.
fn wait(mut child: Child) -> Result<ExitStatus> {
    let (began, mut told) = (Instant::now(), Instant::now());
    let failed = |e: io::Error| Fail::os("wait for it", &e);
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        if began.elapsed() > PATIENCE {
            child.kill().map_err(failed)?;
            return child.wait().map_err(failed);
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            enter("");
        }
        thread::sleep(LOOK);
    }
}
