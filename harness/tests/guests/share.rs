//! Directories that guests share with the host: read, written back, refused, and gone with their guests.

mod frontend;

use crate::common::{Lab, running::*, text};
use diorama::digest::Sha256;
use frontend::Served;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// The guests' own program: static and without a C library, because there is nothing but the agent and
/// mkfs in a guest. It hands a file back, and tries to write where it must not, also behind the back
/// of the guest's own kernel.
const AFTER_CELL: &str = r##"
#![no_std]
#![no_main]
use core::arch::{asm, global_asm};

global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call main", "ud2");

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { exit(101) }

unsafe fn call(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let r: isize;
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => r, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, out("rcx") _, out("r11") _);
    }
    r
}
fn exit(code: usize) -> ! { unsafe { call(231, code, 0, 0, 0, 0) }; loop {} }
fn open(path: &[u8], flags: usize) -> isize {
    unsafe { call(2, path.as_ptr() as usize, flags, 0o644, 0, 0) }
}
const CREATE: usize = 0o101;
static mut BUFFER: [u8; 1 << 20] = [0; 1 << 20];

fn say(fd: usize, words: &[u8]) { unsafe { call(1, fd, words.as_ptr() as usize, words.len(), 0, 0) }; }

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (from, to) = (open(b"/share/tools/big\0", 0), open(b"big\0", CREATE));
    if from < 0 || to < 0 { exit(2) }
    let buffer = &raw mut BUFFER as usize;
    loop {
        let read = unsafe { call(0, from as usize, buffer, 1 << 20, 0, 0) };
        if read == 0 { break }
        if read < 0 || unsafe { call(1, to as usize, buffer, read as usize, 0, 0) } != read { exit(3) }
    }
    // EROFS is 30; the second time it is the server's own answer (MS_REMOUNT is 32).
    let locked = open(b"/share/tools/new\0", CREATE) == -30;
    let at = b"/share/tools\0".as_ptr() as usize;
    if unsafe { call(165, at, at, at, 32, 0) } != 0 { exit(4) }
    let refused = open(b"/share/tools/new\0", CREATE) == -30;
    say(1, if locked { b"the guest refuses\n" } else { b"the guest allows it\n" });
    say(1, if refused { b"the host refuses\n" } else { b"the host allows it\n" });
    exit(7)
}
"##;

/// A directory with the program, a file of 100 MB, and nothing else.
fn tools(lab: &Lab) -> (PathBuf, Sha256) {
    let dir = lab.results().join("tools");
    fs::create_dir(&dir).expect("a directory");
    let source = lab.write("after-cell.rs", AFTER_CELL);
    let program = dir.join("after-cell");
    let built = Command::new("rustc")
        .args([
            "--edition=2024",
            "-O",
            "-C",
            "panic=abort",
            "-C",
            "linker=rust-lld",
        ])
        .args(["-C", "linker-flavor=ld.lld", "-C", "link-self-contained=no"])
        .args([
            "-C",
            "relocation-model=static",
            "--target",
            "x86_64-unknown-linux-gnu",
            "-o",
        ])
        .arg(&program)
        .arg(source)
        .output()
        .expect("rustc");
    assert!(built.status.success(), "{}", text(&built));
    // xorshift64: nothing compresses or repeats.
    let mut x = 88_172_645_463_325_252u64;
    let mut bytes = Vec::with_capacity(100 << 20);
    while bytes.len() < 100 << 20 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes.extend(x.to_le_bytes());
    }
    let digest = Sha256::of(&bytes);
    fs::write(dir.join("big"), bytes).expect("100 MB");
    (dir, digest)
}

fn scenario(kernels: &str, ios: u32) -> String {
    format!(
        "name = \"share\"\ntitle = \"Shared directories\"\nbaseline = \"7.2\"\nkernels = [{kernels}]\n\
         device = \"nvme\"\n[nvme]\nsize = \"128MiB\"\n[session]\nblocks = 1\n[measure]\n\
         repetitions = 1\n[filesystems.ext4]\n[workloads.write-4k]\nrw = \"write\"\nbs = \"4k\"\nsize = \"8MiB\"\nnumber_ios = {ios}\n"
    )
}

#[test]
#[ignore = "nightly: `cargo xtask nightly` runs it, for its time"]
fn guests_of_every_age_read_a_shared_directory_and_hand_100_mb_back() {
    let test = "guests_of_every_age_read_a_shared_directory_and_hand_100_mb_back";
    let Some(lab) = Lab::open(test) else { return };
    let (tools, digest) = tools(&lab);
    let kernels = ["5.10", "6.1", "6.12", "7.2"];
    let quoted: Vec<String> = kernels.iter().map(|k| format!("\"{k}\"")).collect();
    let path = lab.write("share.toml", &scenario(&quoted.join(", "), 200));
    let share = tools.to_str().expect("UTF-8");
    let words = [
        path.as_str(),
        "--accel",
        "tcg",
        "--share",
        share,
        "--artifacts",
    ];
    let results = lab.measure(&words, 0);
    for cell in results["cells"].as_array().expect("cells") {
        assert_eq!(cell["outcome"]["is"], "measured", "{cell}");
    }
    let notes = results["notes"].to_string();
    assert!(
        notes.contains("(tools, artifacts); each is served by"),
        "{notes}"
    );
    let of_run = lab.results().join("latest/artifacts");
    for kernel in kernels {
        let dir = of_run.join(format!("{kernel}-ext4-write-4k"));
        let read = |name: &str| fs::read(dir.join(name)).expect("an artifact");
        assert!(
            Sha256::of(&read("big")) == digest,
            "{kernel}: another file came back"
        );
        let said = String::from_utf8_lossy(&read("after-cell.log")).into_owned();
        assert_eq!(
            said, "the guest refuses\nthe host refuses\n[exit status: 7]\n",
            "{kernel}"
        );
        let log = String::from_utf8_lossy(&read("dmesg.txt")).into_owned();
        assert!(log.contains("Linux version"), "{kernel}: {log}");
        // The program's own verdict is no part of the cell's, and is said.
        let note = format!(
            "{kernel}/ext4/write-4k: /share/tools/after-cell: it ended with exit status: 7"
        );
        assert!(notes.contains(&note), "{notes}");
        fs::remove_file(dir.join("big")).expect("100 MB less");
    }
    assert!(!tools.join("new").exists());
}

/// Waits until the run's events have these words.
fn until_event(lab: &Lab, run: &mut Running, words: &str) {
    run.until("1 to measure");
    let path = lab.results().join("latest/events.jsonl");
    let began = Instant::now();
    while !fs::read_to_string(&path).is_ok_and(|text| text.contains(words)) {
        assert!(
            began.elapsed() < PATIENCE,
            "no {words} in {}",
            path.display()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// The program with its own directory for temporary files, where a socket would be seen.
fn running(lab: &Lab, temporary: &Path, scenario: &str, share: &str) -> Running {
    fs::create_dir_all(temporary).expect("a directory");
    let mut command = lab.diorama();
    command.env("TMPDIR", temporary);
    command.args(["run", "--plain", scenario, "--accel", "tcg"]);
    command.args(["--share", share, "--artifacts", "--deadline", "40"]);
    Running::of(command)
}

#[test]
fn servers_end_with_their_guest_and_with_the_harness() {
    let test = "servers_end_with_their_guest_and_with_the_harness";
    let Some(lab) = Lab::open(test) else { return };
    let path = lab.write("share.toml", &scenario("\"7.2\"", 100_000_000));
    let share = lab.results().join("tools");
    fs::create_dir(&share).expect("a directory");
    let share = share.to_str().expect("UTF-8");
    let temporary = lab.results().join("tmp");
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::KILL] {
        let mut run = running(&lab, &temporary, &path, share);
        until_event(&lab, &mut run, "\"warmup\"");
        // QEMU and the servers of two directories.
        let children = run.guests();
        assert_eq!(children.len(), 3, "{children:?}");
        run.signal(signal);
        assert_gone(&children, Duration::from_secs(5));
        let (code, said) = run.end();
        assert_eq!(code, (signal == Signal::TERM).then_some(143), "{said}");
        let left: Vec<_> = fs::read_dir(&temporary).expect("it").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_server_that_dies_costs_no_measurement() {
    let Some(lab) = Lab::open("a_server_that_dies_costs_no_measurement") else {
        return;
    };
    let path = lab.write("share.toml", &scenario("\"7.2\"", 10_000));
    let share = lab.results().join("tools");
    fs::create_dir(&share).expect("a directory");
    let share = share.to_str().expect("UTF-8");
    let mut run = running(&lab, &lab.results().join("tmp"), &path, share);
    until_event(&lab, &mut run, "\"warmup\"");
    let server = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).expect("a command line");
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("serve-directory") && line.contains("artifacts")
    };
    let of_artifacts: Vec<u32> = run.guests().into_iter().filter(server).collect();
    assert_eq!(of_artifacts.len(), 1, "{of_artifacts:?}");
    let pid = i32::try_from(of_artifacts[0]).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 of 1 cell measured"), "{said}");
    assert!(said.contains("not all was handed back: "), "{said}");
    assert!(
        said.contains("the server of the shared directory `artifacts` ended with signal: 9"),
        "{said}"
    );
}

#[test]
fn the_exact_lane_has_no_shared_directory() {
    let Some(lab) = Lab::open("the_exact_lane_has_no_shared_directory") else {
        return;
    };
    for option in [&["--share", "/tmp"][..], &["--artifacts"]] {
        let done = lab.run(&[&["run", "smoke"], option].concat());
        let said = text(&done);
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(
            said.contains("the guest's clock would depend on the host's"),
            "{said}"
        );
        assert!(said.contains("help: measure by the wall clock"), "{said}");
    }
}

fn named(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

#[test]
fn a_request_that_makes_no_sense_ends_its_device_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("hello"), "words").expect("a file");
    let (mut one, mut other) = (
        Served::start(dir.path(), false),
        Served::start(dir.path(), true),
    );
    one.init();
    other.init();
    one.send(&[0xff; 8]);
    let (code, said) = one.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("failed to decode fuse message"), "{said}");

    let (error, entry) = other.ask(frontend::LOOKUP, frontend::ROOT, &named("hello"));
    assert_eq!(error, 0);
    let inode = u64::from_le_bytes(entry[..8].try_into().expect("8 bytes"));
    let (error, opened) = other.ask(frontend::OPEN, inode, &[0; 8]);
    assert_eq!(error, 0);
    let mut read = opened[..8].to_vec();
    read.extend(0u64.to_le_bytes());
    read.extend(4096u32.to_le_bytes());
    read.extend([0; 20]);
    assert_eq!(
        other.ask(frontend::READ, inode, &read),
        (0, b"words".to_vec())
    );
    // No error: it was let go of.
    let (code, said) = other.end();
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn a_server_writes_where_it_may_and_as_its_own_user() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let mut body = 0o755u32.to_le_bytes().to_vec();
    body.extend(0u32.to_le_bytes());
    body.extend(named("made"));
    for (writable, wanted) in [(false, -libc::EROFS), (true, 0)] {
        let mut served = Served::start(dir.path(), writable);
        assert!(served.rung.contains("\"seccomp\":true"), "{}", served.rung);
        served.init();
        let (error, _) = served.ask(frontend::MKDIR, frontend::ROOT, &body);
        assert_eq!(error, wanted);
        let (error, _) = served.ask(frontend::LOOKUP, frontend::ROOT, &named("../x"));
        assert!(error < 0, "a name with a slash is none");
        served.end();
    }
    let made = dir.path().join("made").metadata().expect("a directory");
    let own = dir.path().metadata().expect("a directory");
    assert_eq!((made.uid(), made.mode() & 0o7777), (own.uid(), 0o755));
}

/// A field of proc_pid_status(5).
fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.expect("the field")
        .trim_start_matches(':')
        .trim()
        .to_owned()
}

#[test]
fn a_server_has_its_directory_and_its_socket_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let served = Served::start(dir.path(), false);
    let pid = served.child.id();
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(status(pid, "Seccomp"), "2");
    let capabilities = u64::from_str_radix(&status(pid, "CapEff"), 16).expect("hex");
    // DAC_OVERRIDE, DAC_READ_SEARCH and FOWNER.
    assert_eq!(capabilities & !0b1110, 0, "{capabilities:x}");
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let open: Vec<String> = open
        .map(|entry| {
            let entry = entry.expect("an entry");
            let number = entry.file_name().into_string().expect("a number");
            let to = fs::read_link(entry.path()).unwrap_or_default();
            format!("{number} {}", to.display())
        })
        .filter(|line| {
            line.split_once(' ')
                .is_some_and(|(fd, _)| !["0", "1", "2"].contains(&fd))
        })
        .collect();
    let stray: Vec<_> = open.iter().filter(|line| line.contains("/dev/")).collect();
    assert!(stray.is_empty(), "{stray:?}");
    let own = dir.path().display().to_string();
    assert!(open.iter().any(|line| line.ends_with(&own)), "{open:?}");
    served.end();
}

#[test]
fn without_landlock_the_directory_is_the_servers_root() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("hello"), "words").expect("a file");
    let mut served = Served::start_on(dir.path(), true, &[libc::SYS_landlock_create_ruleset]);
    assert!(
        served.rung.contains(r#""landlock":"none""#),
        "{}",
        served.rung
    );
    served.init();
    let (error, entry) = served.ask(frontend::LOOKUP, frontend::ROOT, &named("hello"));
    assert_eq!(error, 0);
    let inode = u64::from_le_bytes(entry[..8].try_into().expect("8 bytes"));
    assert_eq!(served.ask(frontend::OPEN, inode, &[0; 8]).0, 0);
    let root = fs::read_link(format!("/proc/{}/root", served.child.id())).expect("its root");
    // A container may forbid an ordinary user's namespaces; the rung then says so.
    let ours = root == dir.path();
    assert_eq!(served.rung.contains(r#""chroot":true"#), ours, "{root:?}");
    assert!(ours || !rustix::process::geteuid().is_root());
    served.end();
}
