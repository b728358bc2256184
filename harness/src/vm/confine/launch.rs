//! Starting a program under confinement: what is prepared in the harness, and what its child does between
//! fork and exec, where nothing allocates or takes locks.

use super::{
    Bounds, Confined, Rung,
    calls::{self, install},
    capabilities::{FILES_OF_OTHERS, keep_only},
    paths,
    program::Program,
    qemu::{Filter, Pass},
    spaces::Spaces,
};
use crate::{
    error::{Error, Result},
    vm::child,
};
use rustix::{
    process::{Pid, Resource, Rlimit},
    thread::{CapabilitySet, CpuSet},
};
use std::{
    ffi::CStr,
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::Command,
};

/// How a program is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What it may reach.
    pub bounds: Bounds,
    /// The descriptors that it inherits, which are open here; no others but the standard streams.
    pub inherited: Vec<RawFd>,
    /// The one CPU that it runs on, where this host lets one choose.
    pub cpu: Option<usize>,
    /// How long a regular file may become by its writing, memfds included, in bytes (RLIMIT_FSIZE).
    pub largest_file: Option<u64>,
    /// Whether it may have System V shared memory.
    pub shared_memory: bool,
    /// It is not started if less than this confines it.
    pub required: Rung,
}

impl Launch {
    /// Of a program that may reach this, inherits nothing, and runs anywhere.
    #[must_use]
    pub fn within(bounds: Bounds, required: Rung) -> Launch {
        Launch {
            bounds,
            inherited: Vec::new(),
            cpu: None,
            largest_file: None,
            shared_memory: false,
            required,
        }
    }

    /// Makes a command start its program like that, in a process group of its own, and die with the thread
    /// that starts it. The command must be complete: its arguments and environment are those it has now, and
    /// nothing of the harness's environment.
    ///
    /// # Errors
    /// When this kernel refuses what it has, or has less than is required.
    pub fn confine(self, command: &mut Command) -> Result<Confined> {
        let paths = paths::prepare(&self.bounds)?;
        let filter = match calls::available() {
            true => Some(filter(self.shared_memory)?),
            false => None,
        };
        let spaces = Spaces::of_programs();
        let confined = Confined {
            landlock: paths.enforced,
            chroot: false,
            namespaces: spaces.is_some(),
            seccomp: filter.is_some(),
        };
        enough(&confined, self.required)?;
        let preparing = |e: io::Error| Error::host("preparing to start QEMU").because(e);
        let mut inherited = self.inherited;
        inherited.sort_unstable();
        let mut child = Child {
            inherited,
            cpu: self.cpu,
            largest_file: self.largest_file,
            spaces,
            ruleset: paths.ruleset,
            filter,
            program: Program::of(command).map_err(preparing)?,
            parent: rustix::process::getpid(),
        };
        // A terminal's ^C goes to every process of the foreground group. What becomes of a guest is for
        // the harness to decide.
        command.process_group(0);
        // SAFETY: the closure runs between fork and exec and makes only system calls; it neither
        // allocates nor takes locks.
        unsafe {
            command.pre_exec(move || Err(child.execute()));
        }
        Ok(confined)
    }
}

/// A filter, and what lets one execve through it.
fn filter(shared_memory: bool) -> Result<(Filter, Pass)> {
    loop {
        let mut bytes = [0; size_of::<Pass>()];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(
            |e| Error::host("asking the kernel for random bytes").because(io::Error::from(e)),
        )?;
        let words = bytes.as_chunks::<8>().0;
        let pass = std::array::from_fn(|at| u64::from_ne_bytes(words[at]));
        let filter = Filter::with(pass, shared_memory)
            .map_err(|e| Error::internal("writing QEMU's list of system calls").because(e))?;
        if let Some(filter) = filter {
            return Ok((filter, pass));
        }
    }
}

fn enough(confined: &Confined, required: Rung) -> Result<()> {
    let rung = confined.rung();
    if rung >= required {
        return Ok(());
    }
    Err(Error::host(format!(
        "this host confines a program by {confined} ({rung}), and {required} is required to start this one"
    ))
    .hint("use a kernel with seccomp and Landlock: 5.13 or later, `landlock` in /sys/kernel/security/lsm"))
}

/// How far a program would be confined on this host, tried as far as that goes without one.
///
/// # Errors
/// When this kernel refuses what it has.
pub fn possible() -> Result<Confined> {
    Ok(Confined {
        landlock: paths::prepare(&Bounds::default())?.enforced,
        chroot: false,
        namespaces: Spaces::of_programs().is_some(),
        seccomp: calls::available(),
    })
}

/// Makes sure that a running process is confined as it was to be, by what the kernel says of it.
///
/// # Errors
/// When it is not, or is gone.
pub fn check(pid: u32, confined: &Confined) -> Result<()> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|e| Error::host("looking at how QEMU is confined").because(e))?;
    let is = |field: &str, value: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|line| line.strip_prefix(':')).map(str::trim) == Some(value)
    };
    // proc_pid_status(5): a filter, and nothing more than it has by executing anything.
    let filtered = !confined.seccomp || is("Seccomp", "2");
    if filtered && is("NoNewPrivs", "1") {
        return Ok(());
    }
    Err(Error::internal(format!(
        "QEMU (process {pid}) runs without the confinement that it was started under"
    )))
}

/// What a child needs to become the program.
struct Child {
    inherited: Vec<RawFd>,
    cpu: Option<usize>,
    largest_file: Option<u64>,
    spaces: Option<Spaces>,
    ruleset: Option<OwnedFd>,
    filter: Option<(Filter, Pass)>,
    program: Program,
    parent: Pid,
}

impl Child {
    /// Confines this process and executes the program; returns why it could not. Standard error has which step
    /// that was.
    fn execute(&mut self) -> io::Error {
        match self.confine() {
            Err((step, error)) => {
                said(step);
                error
            }
            Ok(pass) => {
                let error = self.program.execute(pass);
                said(c"executing it");
                error
            }
        }
    }

    fn confine(&mut self) -> std::result::Result<Pass, (&'static CStr, io::Error)> {
        let at = |step: &'static CStr| move |error: io::Error| (step, error);
        child::inherit_only(&self.inherited).map_err(at(c"closing descriptors"))?;
        if let Some(cpu) = self.cpu {
            let mut cpus = CpuSet::new();
            cpus.set(cpu);
            // Pinning saves a tenth of the CPU time but decides nothing: a host that refuses is fine.
            let _ = rustix::thread::sched_setaffinity(None, &cpus);
        }
        // A core file would be written by the kernel, whatever the process itself may write.
        limit(Resource::Core, 0).map_err(at(c"limiting core files"))?;
        if let Some(bytes) = self.largest_file {
            limit(Resource::Fsize, bytes).map_err(at(c"limiting files"))?;
        }
        if let Some(spaces) = &self.spaces {
            spaces.enter().map_err(at(c"entering namespaces"))?;
        }
        keep_only(self.kept()).map_err(|e| (c"taking capabilities away", e.into()))?;
        // A change of credentials would take it back.
        child::die_with(self.parent).map_err(at(c"asking to die with the harness"))?;
        if let Some(ruleset) = &self.ruleset {
            restrict_self(ruleset).map_err(at(c"entering the Landlock ruleset"))?;
        }
        let Some((filter, pass)) = &mut self.filter else {
            return Ok(Pass::default());
        };
        let own = rustix::process::getpid().as_raw_nonzero().get();
        install(filter.of(own.unsigned_abs())).map_err(at(c"filtering system calls"))?;
        Ok(*pass)
    }

    /// In a user namespace of one's own there is nobody else. Otherwise what root needs for files of others, and
    /// for locking a guest's RAM for a drive that it is given.
    fn kept(&self) -> CapabilitySet {
        match &self.spaces {
            Some(spaces) if spaces.has_own_user() => CapabilitySet::empty(),
            _ => FILES_OF_OTHERS | CapabilitySet::IPC_LOCK,
        }
    }
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    Ok(rustix::process::setrlimit(resource, limit)?)
}

fn restrict_self(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: takes numbers.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Says on standard error where it failed; the harness quotes that.
fn said(step: &CStr) {
    for text in [c"starting it failed: ", step, c"\n"] {
        // Nobody is left to tell if that fails.
        let _ = rustix::io::write(rustix::stdio::stderr(), text.to_bytes());
    }
}
