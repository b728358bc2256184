//! What QEMU and a guest's kernel are to the server of a shared directory: a vhost-user frontend, one
//! virtqueue, and FUSE requests written by hand (include/uapi/linux/fuse.h).

use diorama::vm::share::VERB;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::{
            fs::FileExt as _,
            net::{UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use vhost::{
    VhostBackend as _, VhostUserMemoryRegionInfo, VringConfigData,
    vhost_user::{Frontend, VhostUserFrontend as _},
};
use vmm_sys_util::eventfd::EventFd;

/// The memory that both sides see: where it is for the frontend, and what lies in it.
const MEMORY: u64 = 1 << 20;
const BASE: u64 = 0x1000_0000;
const TABLE: u64 = 0;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
const REQUEST: u64 = 0x3000;
const REPLY: u64 = 0x8000;
const REPLY_SIZE: u32 = 0x4000;
const QUEUE: u16 = 16;
/// The queue of ordinary requests; 0 is that of urgent ones.
const REQUESTS: usize = 1;
/// Flags of a descriptor (virtio 1.2, 2.7.5).
const NEXT: u16 = 1;
const WRITE: u16 = 2;

/// VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES.
const FEATURES: u64 = 1 << 32 | 1 << 30;

pub const LOOKUP: u32 = 1;
pub const MKDIR: u32 = 9;
pub const OPEN: u32 = 14;
pub const READ: u32 = 15;
const INIT: u32 = 26;
/// The directory itself.
pub const ROOT: u64 = 1;

/// A server's process, and the frontend that talks to it.
pub struct Served {
    pub child: Child,
    frontend: Option<Frontend>,
    memory: File,
    kick: EventFd,
    sent: u16,
    /// What it said first.
    pub rung: String,
}

impl Served {
    /// Starts the program as the harness does.
    pub fn start(directory: &Path, writable: bool) -> Served {
        Served::start_on(directory, writable, &[])
    }

    /// The same on a kernel that lacks these system calls.
    pub fn start_on(directory: &Path, writable: bool, lacking: &[libc::c_long]) -> Served {
        let filter = without(lacking);
        // What the harness's own parent left open, and is nobody's business.
        let stray = File::open("/dev/null").expect("a file");
        let socket = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(socket.path().join("s")).expect("a socket");
        let stream = UnixStream::connect(socket.path().join("s")).expect("a connection");
        let directory = File::open(directory).expect("the directory");
        let fds = [
            directory.as_raw_fd(),
            listener.as_raw_fd(),
            stray.as_raw_fd(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
        command.args([VERB, "--tag", "t", "--directory"]);
        command
            .arg(fds[0].to_string())
            .arg("--listener")
            .arg(fds[1].to_string());
        if writable {
            command.arg("--writable");
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: system calls alone between fork and exec.
        unsafe {
            command.pre_exec(move || {
                let_through(&fds)?;
                match filter.is_empty() {
                    true => Ok(()),
                    false => {
                        seccompiler::apply_filter(&filter).map_err(|_| ErrorKind::Other.into())
                    }
                }
            })
        };
        let mut child = command.spawn().expect("the server");
        let mut rung = String::new();
        let mut byte = [0];
        let out = child.stdout.as_mut().expect("its words");
        while out.read(&mut byte).expect("a byte") == 1 && byte[0] != b'\n' {
            rung.push(char::from(byte[0]));
        }
        println!("{rung}");

        let memory: OwnedFd = memfd_create("memory", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&memory, MEMORY).expect("its size");
        let kick = EventFd::new(0).expect("an eventfd");
        let memory = File::from(memory);
        let frontend = connect(stream, &memory, &kick);
        Served {
            child,
            frontend: Some(frontend),
            memory,
            kick,
            sent: 0,
            rung,
        }
    }

    /// Puts these bytes into the queue, with room for a reply.
    pub fn send(&mut self, request: &[u8]) {
        let write = |at: u64, bytes: &[u8]| self.memory.write_all_at(bytes, at).expect("memory");
        write(REQUEST, request);
        let length = u32::try_from(request.len()).expect("short");
        write(TABLE, &descriptor(REQUEST, length, NEXT, 1));
        write(TABLE + 16, &descriptor(REPLY, REPLY_SIZE, WRITE, 0));
        let slot = AVAILABLE + 4 + 2 * u64::from(self.sent % QUEUE);
        write(slot, &0u16.to_le_bytes());
        self.sent += 1;
        write(AVAILABLE + 2, &self.sent.to_le_bytes());
        self.kick.write(1).expect("a kick");
    }

    /// A FUSE request about an inode: the error that answers it, and what follows.
    pub fn ask(&mut self, opcode: u32, inode: u64, body: &[u8]) -> (i32, Vec<u8>) {
        let length = 40 + body.len();
        let mut request = Vec::new();
        request.extend(u32::try_from(length).expect("short").to_le_bytes());
        request.extend(opcode.to_le_bytes());
        request.extend(u64::from(self.sent).to_le_bytes());
        request.extend(inode.to_le_bytes());
        request.extend([0; 16]); // As root, in group 0, process 0.
        request.extend(body);
        self.send(&request);
        let began = Instant::now();
        let mut used = [0; 2];
        loop {
            self.memory
                .read_exact_at(&mut used, USED + 2)
                .expect("memory");
            if u16::from_le_bytes(used) == self.sent {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "no answer to {opcode}"
            );
            thread::sleep(Duration::from_millis(2));
        }
        let mut head = [0; 16];
        self.memory.read_exact_at(&mut head, REPLY).expect("memory");
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let length = u32::from_le_bytes(word(0)) as usize;
        let mut rest = vec![0; length.saturating_sub(16)];
        self.memory
            .read_exact_at(&mut rest, REPLY + 16)
            .expect("memory");
        (i32::from_le_bytes(word(4)), rest)
    }

    /// What a kernel says first: version 7.31, nothing asked for.
    pub fn init(&mut self) {
        let mut body = Vec::new();
        for word in [7u32, 31, 1 << 17, 0] {
            body.extend(word.to_le_bytes());
        }
        let (error, _) = self.ask(INIT, 0, &body);
        assert_eq!(error, 0);
    }

    /// Lets go, as a QEMU does that ends; the server's exit code and its last words.
    pub fn end(mut self) -> (Option<i32>, String) {
        drop(self.frontend.take());
        let began = Instant::now();
        while self.child.try_wait().expect("its end").is_none() {
            assert!(began.elapsed() < Duration::from_secs(30), "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        let output = self.child.wait_with_output().expect("its words");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

fn without(calls: &[libc::c_long]) -> BpfProgram {
    if calls.is_empty() {
        return BpfProgram::new();
    }
    SeccompFilter::new(
        calls.iter().map(|call| (*call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        TargetArch::x86_64,
    )
    .and_then(TryInto::try_into)
    .expect("a filter")
}

fn let_through(fds: &[RawFd]) -> std::io::Result<()> {
    for fd in fds {
        // SAFETY: open in the parent.
        let fd = unsafe { rustix::fd::BorrowedFd::borrow_raw(*fd) };
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
    }
    Ok(())
}

fn descriptor(at: u64, length: u32, flags: u16, next: u16) -> Vec<u8> {
    let mut bytes = at.to_le_bytes().to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(next.to_le_bytes());
    bytes
}

fn connect(stream: UnixStream, memory: &File, kick: &EventFd) -> Frontend {
    let mut frontend = Frontend::from_stream(stream, 2);
    frontend.set_owner().expect("an owner");
    let features = frontend.get_features().expect("features") & FEATURES;
    frontend.set_features(features).expect("features");
    let protocol = frontend.get_protocol_features().expect("protocol");
    frontend.set_protocol_features(protocol).expect("protocol");
    let region = VhostUserMemoryRegionInfo {
        guest_phys_addr: 0,
        memory_size: MEMORY,
        userspace_addr: BASE,
        mmap_offset: 0,
        mmap_handle: memory.as_raw_fd(),
    };
    frontend.set_mem_table(&[region]).expect("memory");
    frontend.set_vring_num(REQUESTS, QUEUE).expect("a size");
    let ring = VringConfigData {
        queue_max_size: QUEUE,
        queue_size: QUEUE,
        flags: 0,
        desc_table_addr: BASE + TABLE,
        used_ring_addr: BASE + USED,
        avail_ring_addr: BASE + AVAILABLE,
        log_addr: None,
    };
    frontend.set_vring_addr(REQUESTS, &ring).expect("a ring");
    frontend.set_vring_base(REQUESTS, 0).expect("a beginning");
    let call = EventFd::new(0).expect("an eventfd");
    frontend.set_vring_call(REQUESTS, &call).expect("a call");
    frontend.set_vring_kick(REQUESTS, kick).expect("a kick");
    frontend.set_vring_enable(REQUESTS, true).expect("enabled");
    frontend
}
