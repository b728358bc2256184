//! The report's way out: vsock, whose device is hot-plugged and whose driver is loaded only now.
//!
//! An idle guest's clock jumps to its next timer under the instruction clock, so that a timeout
//! of guest time passes in no time at all. Every wait here is therefore counted in *executed
//! instructions* (a spin before each attempt, which the host needs real time for), nothing here
//! blocks, and the sleep between two attempts only lets the guest's own threads run.

use crate::{
    boot, build_id,
    fail::{Fail, Result},
    spin, symbols, sys,
};
use diorama_wire::{
    Ack, Message, Module, PROTOCOL, Shell, VSOCK_PORT, config, decode_frame, encode_frame,
};
use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

/// Iterations of the spin before each attempt: two million instructions, at least a few hundred
/// microseconds of the host's time.
const SPIN: u64 = 1_000_000;

/// Guest time for the guest's own threads between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// Attempts before giving up: 4e10 instructions, a minute of the host's time and more.
const ATTEMPTS: u32 = 20_000;

/// Guest time that a connection may take, far beyond what clocks can jump here.
const CONNECT_TIMEOUT_S: libc::time_t = 1_000_000;

/// `SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD`: a struct timeval (include/uapi/linux/vm_sockets.h).
const SO_VM_SOCKETS_CONNECT_TIMEOUT: libc::c_int = 6;

/// What the host wants once it has the outcome.
pub enum Then {
    /// That the guest ends.
    End,
    /// A shell, over this stream, of which these bytes were read already.
    Shell(Box<Shell>, File, Vec<u8>),
}

/// Loads the driver, connects, sends `Hello` and the outcome, and waits for the acknowledgement.
///
/// # Errors
/// When any of it fails for good.
pub fn deliver(late_modules: &[Module], outcome: &Message) -> Result<Then> {
    boot::load(late_modules)?;
    let mut stream = connect()?;
    let hello = Message::Hello {
        protocol: PROTOCOL,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        build_id: build_id::own().ok_or_else(|| Fail::step("the agent has no build id"))?,
    };
    for message in [&hello, outcome] {
        send(&mut stream, message)?;
    }
    let mut read = Vec::new();
    loop {
        match receive(&mut stream, &mut read)? {
            Ack::Received => return Ok(Then::End),
            Ack::Shell(shell) => return Ok(Then::Shell(shell, stream, read)),
            Ack::Symbols => send(&mut stream, &Message::Symbols(symbols::read()))?,
        }
    }
}

/// Tries `attempt` until it is ready, fails for good or was tried too often.
fn paced<T>(doing: &str, mut attempt: impl FnMut() -> io::Result<T>) -> Result<T> {
    let mut last = io::Error::from(ErrorKind::TimedOut);
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(e) if is_passing(&e) => last = e,
            Err(e) => return Err(Fail::os(doing, &e)),
        }
        spin::spin(SPIN);
        std::thread::sleep(PAUSE);
    }
    Err(Fail::os(
        format_args!("{doing}, {ATTEMPTS} attempts"),
        &last,
    ))
}

/// Whether waiting may help. Until the device is there, and while the host is not listening,
/// connecting gives one of several errors, which differ between kernels.
fn is_passing(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(
            libc::EAGAIN
                | libc::EINTR
                | libc::EINPROGRESS
                | libc::EALREADY
                | libc::ENODEV
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::ETIMEDOUT
                | libc::EADDRNOTAVAIL
        )
    )
}

fn connect() -> Result<File> {
    let mut socket = None;
    paced(
        &format!("connect to the host's vsock port {VSOCK_PORT}"),
        || {
            let open = match socket.take() {
                Some(open) => open,
                None => new_socket()?,
            };
            match try_connect(&open) {
                Ok(()) => Ok(File::from(open)),
                Err(e) => {
                    // On its way: ask the same socket again. Otherwise begin anew.
                    if matches!(
                        e.raw_os_error(),
                        Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR)
                    ) {
                        socket = Some(open);
                    }
                    Err(e)
                }
            }
        },
    )
    .map_err(|e| {
        if e.to_string().contains("os error 97") {
            Fail::unsupported(e.to_string(), &["CONFIG_VSOCKETS", config::VIRTIO_VSOCKETS])
        } else {
            e
        }
    })
}

fn new_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes and returns numbers.
    let fd = unsafe {
        libc::socket(
            libc::AF_VSOCK,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        )
    };
    sys::check(fd.into())?;
    // SAFETY: a descriptor that nothing else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let timeout = libc::timeval {
        tv_sec: CONNECT_TIMEOUT_S,
        tv_usec: 0,
    };
    // SAFETY: an option of this length from valid memory.
    let returned = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::AF_VSOCK,
            SO_VM_SOCKETS_CONNECT_TIMEOUT,
            (&raw const timeout).cast(),
            size_of_val(&timeout) as libc::socklen_t,
        )
    };
    sys::check(returned.into())?;
    Ok(socket)
}

fn try_connect(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: all of it may be zero.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = libc::VMADDR_CID_HOST;
    address.svm_port = VSOCK_PORT;
    // SAFETY: an address of this length.
    let returned = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    match sys::check(returned.into()) {
        Err(e) if e.raw_os_error() == Some(libc::EISCONN) => Ok(()),
        other => other.map(drop),
    }
}

fn send(stream: &mut File, message: &Message) -> Result<()> {
    let frame = encode_frame(message).map_err(|e| Fail::step(format!("encode the report: {e}")))?;
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        let n = paced("send the report", || stream.write(rest))?;
        rest = &rest[n..];
    }
    Ok(())
}

/// What is read beyond the acknowledgement stays in the buffer.
fn receive(stream: &mut File, buffer: &mut Vec<u8>) -> Result<Ack> {
    loop {
        let decoded = decode_frame::<Ack>(buffer)
            .map_err(|e| Fail::protocol(format!("the acknowledgement: {e}")))?;
        if let Some((ack, used)) = decoded {
            buffer.drain(..used);
            return Ok(ack);
        }
        let mut chunk = [0; 256];
        match paced("wait for the acknowledgement", || stream.read(&mut chunk))? {
            0 => return Err(Fail::step("the host closed without an acknowledgement")),
            n => buffer.extend_from_slice(&chunk[..n]),
        }
    }
}
