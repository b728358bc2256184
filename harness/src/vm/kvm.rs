//! Trying KVM: by running a guest to a known point under a deadline, never by looking at the file.

use super::{
    Vmm,
    confine::Launch,
    stream::{CONSOLE_LIMIT, Stream},
};
use crate::vocabulary::KvmTrial;
use std::{
    io,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// What a kernel without a root file system says at its end.
const KNOWN_POINT: &str = "Kernel panic - not syncing";

/// Notices and whatever is graver (printk's levels): enough to see that it goes on. A byte on the console
/// is an exit or two, and under an emulated KVM a whole boot's words took longer than the boot.
const CMDLINE: &str = "console=ttyS0 panic=-1 loglevel=6";

/// A guest that says something new now and then is slow, as under an emulated KVM, and may take this
/// many times as long as one that is silent.
const SLOW: u32 = 6;

/// Boots a kernel under KVM until it panics for want of a root file system. It hangs if it says nothing
/// for as long as `silence`.
#[must_use]
pub fn try_kvm(vmm: &Vmm, kernel: &Path, silence: Duration) -> KvmTrial {
    match attempt(vmm, kernel, silence) {
        Ok(trial) => trial,
        Err(why) => KvmTrial::Failed { why },
    }
}

fn attempt(vmm: &Vmm, kernel: &Path, silence: Duration) -> Result<KvmTrial, String> {
    let memory = |e: io::Error| format!("a file in memory: {e}");
    let console = Stream::new("console").map_err(memory)?;
    let stderr = Stream::new("stderr").map_err(memory)?;
    let began = Instant::now();
    let mut command = vmm.command();
    command
        .args([
            "-accel", "kvm", "-cpu", "host", "-M", "q35", "-m", "256M", "-display", "none",
        ])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-append", CMDLINE])
        .arg("-serial")
        .arg(format!("file:{}", console.inherited_path()))
        .arg("-kernel")
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr.duplicate().map_err(memory)?);
    let launch = Launch {
        inherited: vec![console.descriptor()],
        largest_file: Some(CONSOLE_LIMIT),
        ..vmm.launch(|bounds| bounds.reading(kernel).using("/dev/kvm"))
    };
    // A guest that hangs under KVM does not outlive whoever tries it.
    launch.confine(&mut command).map_err(|e| e.to_string())?;
    let mut child = command
        .spawn()
        .map_err(|e| format!("starting QEMU: {e}; it said: {}", stderr.text_or_nothing()))?;
    let said = || console.bytes_from(0);
    let reached = |said: &[u8]| String::from_utf8_lossy(said).contains(KNOWN_POINT);
    let (mut length, mut heard) = (0, began);
    let trial = loop {
        let text = said();
        if reached(&text) {
            break KvmTrial::Works {
                after_s: began.elapsed().as_secs_f64(),
            };
        }
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            if reached(&said()) {
                continue;
            }
            break KvmTrial::Failed {
                why: format!("QEMU ended with {status}: {}", last_line(&stderr)),
            };
        }
        if text.len() > length {
            (length, heard) = (text.len(), Instant::now());
        }
        if heard.elapsed() > silence || began.elapsed() > silence * SLOW {
            break KvmTrial::TimedOut {
                after_s: began.elapsed().as_secs_f64(),
            };
        }
        thread::sleep(Duration::from_millis(50));
    };
    let _ = child.kill();
    let _ = child.wait();
    Ok(trial)
}

fn last_line(stderr: &Stream) -> String {
    stderr
        .text()
        .lines()
        .last()
        .unwrap_or("no message")
        .to_owned()
}
