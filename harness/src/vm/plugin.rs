//! The TCG plugin that a guest is executed under: which file, and what it is asked to watch.

use super::{child::own_path, confine::Launch, trial};
use diorama_wire::MARK;
use std::{
    ffi::OsString,
    os::fd::RawFd,
    path::{Path, PathBuf},
    process::Command,
};

/// How much of a guest's execution is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profiling {
    /// Every window: for an explanation. Slow.
    AllWindows,
    /// The first window; of the others only the number of instructions.
    FirstWindow {
        /// How many there are; with several CPUs, what comes behind them is not counted.
        of: u32,
    },
}

impl Profiling {
    fn argument(self) -> String {
        match self {
            Profiling::AllWindows => "profile=all".into(),
            Profiling::FirstWindow { of } => format!("profile=first,windows={of}"),
        }
    }
}

/// A plugin, and what it watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The shared object.
    pub path: PathBuf,
    /// How much it follows.
    pub profiling: Profiling,
    /// Addresses at which exceptions enter the kernel, to be counted.
    pub exceptions: Vec<u64>,
}

impl Plugin {
    /// QEMU's arguments; what was seen goes to the file that QEMU inherits as `out`.
    pub(super) fn argv(&self, out: RawFd, cpus: u32) -> [OsString; 2] {
        let mut value = option_value(&self.path);
        value.push(format!(
            ",out={},mark={MARK},{},cpus={cpus}",
            own_path(out),
            self.profiling.argument()
        ));
        if !self.exceptions.is_empty() {
            let addresses: Vec<String> = self.exceptions.iter().map(|a| format!("{a:x}")).collect();
            value.push(format!(",exceptions={}", addresses.join(":")));
        }
        ["-plugin".into(), value]
    }
}

/// What QEMU is told through its monitor to end at once.
const QUIT: &[u8] = br#"{"execute":"qmp_capabilities"}{"execute":"quit"}"#;

impl Plugin {
    /// Whether a QEMU loads it, tried with a machine that executes nothing.
    ///
    /// # Errors
    /// In QEMU's own words, when it does not.
    pub(super) fn try_in(&self, mut qemu: Command, launch: Launch) -> Result<(), String> {
        let mut value = option_value(&self.path);
        value.push(format!(",out=/dev/null,mark={MARK}"));
        qemu.args(["-M", "none", "-nodefaults", "-no-user-config", "-S"])
            .args(["-display", "none", "-accel", "tcg", "-qmp", "stdio"])
            .arg("-plugin")
            .arg(value);
        let output = trial::run(qemu, launch, QUIT).map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = output.stderr.lines().last().unwrap_or("nothing");
        Err(format!("QEMU did not load the plugin; it said: {said}"))
    }
}

/// A path in a list of QEMU's options, where a comma is written twice.
fn option_value(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let bytes = path.as_os_str().as_bytes();
    let doubled = bytes
        .iter()
        .flat_map(|&b| std::iter::repeat_n(b, if b == b',' { 2 } else { 1 }));
    OsString::from_vec(doubled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_told_is_whole() {
        let plugin = Plugin {
            path: "/a,b/plugin.so".into(),
            profiling: Profiling::FirstWindow { of: 25 },
            exceptions: vec![0xffff_ffff_8100_0000, 0x10],
        };
        let [flag, value] = plugin.argv(7, 1);
        assert_eq!(flag, "-plugin");
        assert_eq!(
            value,
            "/a,,b/plugin.so,out=/proc/self/fd/7,mark=1145655040,profile=first,windows=25,cpus=1,\
             exceptions=ffffffff81000000:10"
        );
    }
}
