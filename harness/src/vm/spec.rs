//! What a virtual machine is, as typed fields, and the one place where they become QEMU's argv
//! (pure).
//!
//! In the exact lane every option here is an input of the digits: see the design's list of what
//! makes it exact.

use super::{child::own_path, share::Share};
use crate::{
    digest::Sha256,
    kernel::BootBy,
    vocabulary::{Accel, LANE_VERSION, MachineInputs},
};
use diorama_wire::{Clock, DEBUGCON_PORT, FW_CFG_JOB};
use std::{
    ffi::OsString,
    os::fd::RawFd,
    path::{Path, PathBuf},
};

/// The CPU every guest has: a named model without rdrand and rdseed, whose digits hardly differ
/// between QEMU versions.
pub const CPU: &str = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm";

/// The PCIe slot that the vsock device is plugged into once the cell is measured.
pub const HOTPLUG_BUS: &str = "rp0";

/// What a guest's kernel is told under the instruction clock. `nolapic_timer` spares the LAPIC calibration's five million
/// PAUSE exits; `cryptomgr.notests` keeps self-tests from running behind init; `clearcpuid=112` is
/// X86_FEATURE_REP_GOOD (word 3, bit 16 in arch/x86/include/asm/cpufeatures.h), by which kernels
/// before 6.4 copy memory with fewer instructions than later ones; the rest pins clocks and
/// addresses, and makes a fault end the guest.
pub const CMDLINE: &str = "console=ttyS0 quiet nokaslr nolapic_timer tsc_early_khz=1000000 \
    tsc=reliable lpj=4000000 no_timer_check mitigations=off numa=off noresume cryptomgr.notests \
    clearcpuid=112 oops=panic panic=-1";

/// What it is told by the wall clock: all that the kernel's own developers would have, but for the
/// console and that a fault ends the guest.
pub const WALL_CMDLINE: &str = "console=ttyS0 quiet noresume oops=panic panic=-1";

/// Longest kernel command line on x86 (COMMAND_LINE_SIZE less the byte that ends it).
const COMMAND_LINE: usize = 2047;

/// The HPET is one timer, and drives one CPU.
const ONE_CPUS_TIMER: &str = "nolapic_timer";
/// What stands in its place where there are several: each has its local APIC's timer, and the HPET,
/// which is emulated by an access at a time, has nothing to do. Without high-resolution timers on
/// every CPU there would be no model device.
const SEVERAL_CPUS_TIMER: &str = "hpet=disable";

/// How the guest's time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// With the instructions that QEMU executes.
    Instructions,
    /// The same, but while nothing is executed, with the host's: for a person, before whom an idle
    /// guest must not run away. Never for a measurement.
    Paced,
    /// With the host's, on this accelerator.
    Wall(Accel),
}

impl Time {
    /// The clock that it is.
    #[must_use]
    pub fn clock(self) -> Clock {
        match self {
            Time::Instructions | Time::Paced => Clock::Instructions,
            Time::Wall(_) => Clock::Wall,
        }
    }

    /// What executes the guest.
    #[must_use]
    pub fn accel(self) -> Accel {
        match self {
            Time::Instructions | Time::Paced => Accel::Tcg,
            Time::Wall(accel) => accel,
        }
    }
}

/// QEMU's emulated NVMe controller with one namespace (docs/system/devices/nvme.rst).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmulatedDrive {
    /// Serial number.
    pub serial: String,
    /// Capacity in bytes.
    pub size: u64,
    /// Logical block size in bytes.
    pub block_size: u32,
    /// I/O queue pairs (`max_ioqpairs`).
    pub queues: u32,
    /// Where its data is.
    pub backing: Backing,
}

/// A drive that a machine has from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drive {
    /// QEMU is the controller.
    Emulated(EmulatedDrive),
    /// A controller of the host's, bound to vfio-pci: its PCI address, once somebody has said it. QEMU
    /// locks all of the guest's RAM for it.
    Passed(Option<String>),
}

/// What is behind an emulated drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A file of this machine's own, empty when it starts ([`super::drive::contents`]).
    Image,
    /// A block device of the host's.
    Disk(PathBuf),
}

/// A machine. Everything in it, and nothing else, decides the guest's digits (with the VMM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// vmlinux or bzImage.
    pub kernel: PathBuf,
    /// Its digest.
    pub kernel_sha256: Sha256,
    /// How it is entered.
    pub boot: BootBy,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// Its digest.
    pub initramfs_sha256: Sha256,
    /// The kernel's command line, whole.
    pub cmdline: String,
    /// Guest RAM in MiB.
    pub memory_mib: u32,
    /// The guest's CPUs. One thread of QEMU's executes them in turns. Digits are exact for one CPU
    /// whatever the host does, and for several as long as the host leaves QEMU's threads alone.
    pub smp: u32,
    /// How its time passes.
    pub time: Time,
    /// A drive that is there from the start; none where the device is the guest's own.
    pub drive: Option<Drive>,
    /// Directories of the host's that are there from the start; none under the instruction clock.
    pub shares: Vec<Share>,
}

/// Descriptors that QEMU inherits. What it writes to are memfds but for the monitor's socket, so that
/// nothing the guest writes can block it and nothing is left on a disk.
#[derive(Clone, Debug)]
pub struct Descriptors {
    /// The guest's RAM.
    pub ram: RawFd,
    /// QEMU's end of the QMP socket pair.
    pub qmp: RawFd,
    /// Receives the serial console.
    pub console: RawFd,
    /// Receives the agent's progress.
    pub progress: RawFd,
    /// Holds the job; spaces where there is none yet.
    pub job: RawFd,
    /// The drive's contents, if it has one.
    pub drive: Option<RawFd>,
    /// QEMU's ends of the sockets of the shared directories' servers, in the order of the shares.
    pub shares: Vec<RawFd>,
    /// The state of the devices: a pipe from which a machine is restored, or where it is saved to.
    pub devices: RawFd,
}

/// How the machine begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// At the kernel's entry.
    Boot,
    /// Paused, with the devices in this state.
    Restore(&'a [u8]),
}

/// One instruction is one nanosecond, and while nothing is executed time jumps to the next timer.
///
/// `rr=record` is here for its mutex: the thread that executes holds it from when it begins until
/// its instructions are accounted, and the main loop waits. Without it the main loop may find the
/// CPU halted when what it executed last is not counted yet, and jump too far (QEMU's
/// `icount_start_warp_timer`). Nobody needs the recording.
const ONE_CPUS_CLOCK: &str = "shift=0,sleep=off,rr=record,rrfile=/dev/null";
/// QEMU records no machine with several CPUs. It jumps only when all of them are idle.
const SEVERAL_CPUS_CLOCK: &str = "shift=0,sleep=off";
/// The same, but while all CPUs are idle the clock is the host's. The state of a recorder is among the
/// devices': a machine that goes on from one that had it must have it, too.
const ONE_CPUS_PACED_CLOCK: &str = "shift=0,sleep=on,rr=record,rrfile=/dev/null";
const SEVERAL_CPUS_PACED_CLOCK: &str = "shift=0,sleep=on";

impl Spec {
    /// The command line of a guest with `smp` CPUs, with a scenario's own words at its end.
    #[must_use]
    pub fn cmdline(clock: Clock, smp: u32, extra: &[String]) -> String {
        let ours = match clock {
            Clock::Instructions => CMDLINE,
            Clock::Wall => WALL_CMDLINE,
        };
        let timer = |word| match word {
            ONE_CPUS_TIMER if smp > 1 => SEVERAL_CPUS_TIMER,
            word => word,
        };
        let mut words: Vec<&str> = ours.split_whitespace().map(timer).collect();
        words.extend(extra.iter().map(String::as_str));
        words.join(" ")
    }

    /// Whether a guest's kernel takes that command line: x86's COMMAND_LINE_SIZE is 2048 with the
    /// byte that ends it, and a longer one leaves a guest that never says a word.
    ///
    /// # Errors
    /// When it is too long: a message with both lengths and the limit.
    pub fn check_cmdline(clock: Clock, smp: u32, extra: &[String]) -> Result<(), String> {
        let (ours, whole) = (
            Spec::cmdline(clock, smp, &[]),
            Spec::cmdline(clock, smp, extra),
        );
        if whole.len() <= COMMAND_LINE {
            return Ok(());
        }
        Err(format!(
            "the guests' kernel command line is {} bytes, {} of them our own; x86 allows \
             {COMMAND_LINE}",
            whole.len(),
            ours.len()
        ))
    }

    /// QEMU's arguments.
    #[must_use]
    pub fn argv(&self, fds: &Descriptors, start: Start<'_>) -> Vec<OsString> {
        let mut argv: Vec<OsString> = self
            .machine(
                &own_path(fds.ram),
                &fds.drive.map(own_path).unwrap_or_default(),
            )
            .into_iter()
            .chain([
                "-chardev".into(),
                format!("socket,id=qmp,fd={}", fds.qmp),
                "-mon".into(),
                "chardev=qmp,mode=control".into(),
                "-chardev".into(),
                format!("file,id=console,path={}", own_path(fds.console)),
                "-chardev".into(),
                format!("file,id=progress,path={}", own_path(fds.progress)),
            ])
            .map(OsString::from)
            .collect();
        for (at, fd) in fds.shares.iter().enumerate() {
            let socket = format!("socket,id=share{at},fd={fd}");
            argv.extend(["-chardev".into(), socket.into()]);
        }
        let job = own_path(fds.job);
        argv.extend([
            "-fw_cfg".into(),
            format!("name={FW_CFG_JOB},file={job}").into(),
        ]);
        let path = |argv: &mut Vec<OsString>, flag: &str, path: &Path| {
            argv.extend([flag.into(), path.as_os_str().to_owned()]);
        };
        path(&mut argv, "-kernel", &self.kernel);
        path(&mut argv, "-initrd", &self.initramfs);
        if let Start::Restore(_) = start {
            let incoming = format!("fd:{}", fds.devices);
            argv.extend(["-S".into(), "-incoming".into(), incoming.into()]);
        }
        argv
    }

    /// What the digits depend on, under this VMM.
    #[must_use]
    pub fn inputs(&self, vmm: Sha256) -> MachineInputs {
        MachineInputs {
            lane: LANE_VERSION,
            vmm,
            argv: self.identified().machine("RAM", "DRIVE"),
            // `vm::still_clock`.
            wall_clock: (self.time == Time::Instructions).then(|| "still".to_owned()),
            kernel: self.kernel_sha256,
            initramfs: self.initramfs_sha256,
        }
    }

    /// Without what is this host's.
    fn identified(&self) -> Spec {
        let mut spec = self.clone();
        match &mut spec.drive {
            Some(Drive::Emulated(drive)) => drive.backing = Backing::Image,
            Some(Drive::Passed(address)) => *address = None,
            None => {}
        }
        spec
    }

    fn machine(&self, ram: &str, drive: &str) -> Vec<String> {
        let memory = self.memory_mib;
        let mut argv = words(&[
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-M",
            "q35,smm=off,sata=off,smbus=off,memory-backend=mem,suppress-vmdesc=on",
            // What is saved are the devices alone.
            "-global",
            "migration.send-configuration=off",
        ]);
        argv.extend(self.execution());
        argv.extend(words(&[
            "-smp",
            &self.smp.to_string(),
            "-m",
            &format!("{memory}M"),
            "-object",
            &format!("memory-backend-file,id=mem,size={memory}M,mem-path={ram},share=on"),
            "-display",
            "none",
            "-serial",
            "chardev:console",
            "-device",
            &format!("isa-debugcon,iobase={DEBUGCON_PORT:#x},chardev=progress"),
            "-device",
            "pvpanic",
            "-action",
            "panic=pause",
            "-device",
            &format!("pcie-root-port,id={HOTPLUG_BUS},chassis=1,slot=1"),
        ]));
        match &self.drive {
            Some(Drive::Emulated(of)) => argv.extend(of.argv(drive)),
            Some(Drive::Passed(address)) => argv.extend(passed(address.as_deref())),
            None => {}
        }
        for (at, share) in self.shares.iter().enumerate() {
            let device = format!("vhost-user-fs-pci,chardev=share{at},tag={}", share.tag);
            argv.extend(["-device".to_owned(), device]);
        }
        argv.extend(["-append".to_owned(), self.cmdline.clone()]);
        argv
    }

    /// What executes the guest, and by which clock.
    fn execution(&self) -> Vec<String> {
        match self.time {
            Time::Instructions | Time::Paced => words(&[
                "-accel",
                "tcg,thread=single",
                "-icount",
                match (self.time, self.smp) {
                    (Time::Paced, 1) => ONE_CPUS_PACED_CLOCK,
                    (Time::Paced, _) => SEVERAL_CPUS_PACED_CLOCK,
                    (_, 1) => ONE_CPUS_CLOCK,
                    (_, _) => SEVERAL_CPUS_CLOCK,
                },
                "-rtc",
                "base=2024-01-01T00:00:00,clock=vm",
                "-cpu",
                CPU,
            ]),
            Time::Wall(accel) => {
                let cpu = match accel {
                    Accel::Tcg => CPU,
                    Accel::Kvm => "host",
                };
                words(&["-accel", accel.name(), "-rtc", "base=utc", "-cpu", cpu])
            }
        }
    }
}

impl EmulatedDrive {
    fn argv(&self, at: &str) -> Vec<String> {
        let EmulatedDrive {
            serial,
            block_size,
            queues,
            backing,
            ..
        } = self;
        let (driver, at) = match backing {
            Backing::Image => ("file", at.to_owned()),
            // A comma would end QEMU's word; doubled it is one.
            Backing::Disk(node) => ("host_device", node.display().to_string().replace(',', ",,")),
        };
        words(&[
            "-blockdev",
            // The guest's O_DIRECT goes on to the host's disk; its discards do, too. Not aio=io_uring: what
            // a ring is told passes by QEMU's seccomp filter.
            &format!(
                "driver={driver},node-name=image,filename={at},cache.direct=on,aio=native,\
                 discard=unmap,locking=off"
            ),
            "-blockdev",
            "driver=raw,node-name=drive,file=image,discard=unmap",
            "-device",
            &format!(
                "nvme,drive=drive,serial={serial},max_ioqpairs={queues},\
                 logical_block_size={block_size},physical_block_size={block_size}"
            ),
        ])
    }
}

/// A controller of the host's (docs/system/devices/vfio in QEMU's tree; `-device vfio-pci,help`). Its
/// option ROM is the firmware's business, which boots nothing from it.
fn passed(address: Option<&str>) -> Vec<String> {
    let address = address.unwrap_or("HOST");
    words(&["-device", &format!("vfio-pci,host={address},rombar=0")])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
