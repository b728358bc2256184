//! The server's side: what the process does that serves a directory.

use super::{Access, confine};
use crate::{
    error::{Error, Result},
    vm::{
        child,
        confine::Confined,
        vhost_user::{Exit, Service},
    },
};
use rustix::process::{Resource, Rlimit};
use std::{
    fs::File,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::net::UnixListener,
    },
    sync::Arc,
};
use virtiofsd::{
    filesystem::{FileSystem, SerializableFileSystem},
    passthrough::{Config, PassthroughFs, read_only::PassthroughFsRo},
    soft_idmap::cmdline::IdMap,
    vhost_user::VhostUserFsBackendBuilder,
};

/// What messages call it.
const WHAT: &str = "a shared directory";

/// Descriptors that the library and the connection need besides the guest's.
const OWN_DESCRIPTORS: u64 = 128;

/// Serves the directory to the QEMU whose connection waits at the listener, until it lets go; from a
/// process of its own, whose descriptors these are. Without a listener the process confines itself and
/// says how far, and no more.
///
/// # Errors
/// When it cannot begin. A request that makes no sense ends the process at once.
pub fn serve(directory: RawFd, listener: Option<RawFd>, tag: &str, access: Access) -> Result<()> {
    let doing = |e: io::Error| Error::host(format!("beginning to serve {WHAT}")).because(e);
    let mut kept: Vec<RawFd> = listener.into_iter().chain([directory]).collect();
    kept.sort_unstable();
    child::close_others(&kept).map_err(doing)?;
    // SAFETY: whoever started this process gave it these two descriptors for good.
    let directory = unsafe { OwnedFd::from_raw_fd(directory) };
    // SAFETY: the same.
    let listener = listener.map(|fd| unsafe { UnixListener::from_raw_fd(fd) });
    // Fails only where the library's logger is set already.
    let _ = log::set_logger(&STDERR);
    log::set_max_level(log::LevelFilter::Warn);

    confine::enter(&directory).map_err(doing)?;
    let descriptors = confine::own_descriptors().map_err(doing)?;
    let limit = descriptors_for_the_guest().map_err(doing)?;
    let confined = confine::confine(directory.as_fd(), access)?;
    let Some(listener) = listener else {
        return say(&confined);
    };
    let config = config(descriptors, limit);
    match access {
        Access::Read => {
            let files = PassthroughFsRo::new(config).map_err(doing)?;
            until_the_end(files, listener, tag, &confined)
        }
        Access::Write => {
            let files = PassthroughFs::new(config).map_err(doing)?;
            until_the_end(files, listener, tag, &confined)
        }
    }
}

/// How many descriptors the guest may use: the files it knows are open here.
fn descriptors_for_the_guest() -> io::Result<u64> {
    let own = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: own.maximum,
        ..own
    };
    rustix::process::setrlimit(Resource::Nofile, all)?;
    Ok(own
        .maximum
        .unwrap_or(u64::MAX)
        .saturating_sub(OWN_DESCRIPTORS))
}

fn config(descriptors: File, limit: u64) -> Config {
    Config {
        // The working directory, whatever the root is.
        root_dir: ".".to_owned(),
        proc_sfd_rawfd: Some(descriptors),
        guest_fd_limit: limit,
        // Whoever the guest's users are, what they make is ours; and what is ours is root's there.
        uid_map: Some(one_user(rustix::process::geteuid().as_raw())),
        gid_map: Some(one_user(rustix::process::getegid().as_raw())),
        ..Config::default()
    }
}

fn one_user(id: u32) -> Vec<IdMap> {
    vec![
        IdMap::SquashGuest {
            from_guest: 0,
            to_host: id,
            count: u32::MAX,
        },
        IdMap::SquashHost {
            from_host: 0,
            to_guest: 0,
            count: u32::MAX,
        },
    ]
}

fn until_the_end<F>(files: F, listener: UnixListener, tag: &str, confined: &Confined) -> Result<()>
where
    F: FileSystem + SerializableFileSystem + Send + Sync + 'static,
{
    let backend = VhostUserFsBackendBuilder::default()
        .set_thread_pool_size(0)
        .set_tag(Some(tag.to_owned()))
        .build(files)
        .map_err(|e| Error::host(format!("beginning to serve {WHAT}")).because(e))?;
    // The library's backend makes its own exit event, and the process's end closes it.
    let exit = Arc::new(Exit::default());
    let service = Service::start(WHAT, Arc::new(backend), exit, listener, |_| Ok(()))?;
    say(confined)?;
    service.wait()
}

/// Tells the harness that the guest may come, and how far this process is confined.
fn say(confined: &Confined) -> Result<()> {
    let failed = |e: io::Error| Error::host("telling the harness").because(e);
    let mut line = serde_json::to_vec(confined).map_err(|e| failed(e.into()))?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)
        .and_then(|()| out.flush())
        .map_err(failed)
}

/// The library's words, for the harness to quote.
struct Stderr;
static STDERR: Stderr = Stderr;

impl log::Log for Stderr {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            // Nobody is left to tell if that fails.
            let _ = writeln!(io::stderr(), "{}", record.args());
        }
    }

    fn flush(&self) {}
}
