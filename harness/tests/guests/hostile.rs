//! What a stranger's QEMU tries, and does not get: a program of the test's own in QEMU's place, which is
//! started as QEMU is. Each attempt is made without confinement first, where it succeeds: so each of these
//! tests can fail. No guest is booted.

use crate::common::{skip, text};
use diorama::vm::{
    Vmm,
    confine::{Bounds, Launch, Rung, possible},
};
use std::{
    fs::{self, File},
    net::TcpListener,
    os::{
        fd::AsRawFd as _,
        unix::net::{UnixDatagram, UnixListener},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;

/// Compiled once for all tests of this process: static, so that it needs nothing but itself.
fn program() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let build = || {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("stranger");
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/guests/hostile/program.rs"
        );
        let built = Command::new("rustc")
            .args(["--edition=2024", "-C", "target-feature=+crt-static"])
            .args(["--target", "x86_64-unknown-linux-gnu", "-o"])
            .arg(&program)
            .arg(source)
            .output()
            .expect("rustc");
        assert!(built.status.success(), "{}", text(&built));
        (dir, program)
    };
    &BUILT.get_or_init(build).1
}

/// The program, told what to try and on what, confined or not.
fn run(what: &str, of: &str, confined: bool) -> Output {
    let mut command = Command::new(program());
    command.args([what, of]).stdin(Stdio::null());
    if confined {
        let bounds = Bounds::default().executing(program());
        let launch = Launch {
            // What QEMU is given to write to is a file in memory, and as long as this.
            inherited: Vec::from_iter(
                (what == "lengthen").then(|| of.parse().expect("a descriptor")),
            ),
            largest_file: Some(1 << 20),
            ..Launch::within(bounds, Rung::Landlock)
        };
        launch.confine(&mut command).expect("a confinement");
    }
    command.output().expect("it starts")
}

/// It can do that, and cannot when it is confined as QEMU is. `before` makes the world in which it tries, and
/// what it tries it on.
fn is_held<W>(what: &str, before: impl Fn() -> (W, String)) {
    if !can_be_confined(what) {
        return;
    }
    let (world, of) = before();
    let free = run(what, &of, false);
    assert!(free.status.success(), "unconfined: {}", text(&free));
    drop(world);
    let (world, of) = before();
    let held = run(what, &of, true);
    println!("{what} {of}: {}", text(&held));
    assert_eq!(held.status.code(), Some(1), "{}", text(&held));
    drop(world);
}

/// Whether this kernel has what these tests are about.
fn can_be_confined(test: &str) -> bool {
    let rung = possible().expect("an answer").rung();
    if rung < Rung::Landlock {
        skip(test, &format!("this kernel confines up to {rung} only"));
    }
    rung >= Rung::Landlock
}

/// A directory with a file of somebody's in it: a home.
fn home() -> (TempDir, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("secret");
    fs::write(&file, "words\n").expect("a file");
    let path = file.to_str().expect("UTF-8").to_owned();
    (dir, path)
}

fn beside(name: &str) -> (TempDir, String) {
    let (dir, _) = home();
    let path = dir.path().join(name).to_str().expect("UTF-8").to_owned();
    (dir, path)
}

#[test]
fn a_stranger_does_not_read_a_file() {
    is_held("read", home);
}

#[test]
fn a_stranger_does_not_list_the_home_directory() {
    let real = || ((), std::env::var("HOME").unwrap_or_else(|_| "/".into()));
    is_held("list", real);
}

#[test]
fn a_stranger_writes_nowhere() {
    is_held("write", || beside("new"));
    is_held("write", home);
    is_held("append", home);
    is_held("cut", home);
    is_held("directory", || beside("new"));
}

#[test]
fn a_stranger_does_not_change_what_is_there() {
    for what in ["remove", "rename", "link", "mode"] {
        is_held(what, home);
    }
}

#[test]
fn a_stranger_reaches_no_network() {
    is_held("connect", || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        (listener, address)
    });
    is_held("listen", || ((), String::new()));
}

#[test]
fn a_stranger_talks_to_no_other_program() {
    is_held("connect-local", || {
        let (dir, path) = beside("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        ((dir, listener), path)
    });
    is_held("listen-local", || beside("socket"));
    is_held("send-local", || {
        let (dir, path) = beside("socket");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        ((dir, socket), path)
    });
}

#[test]
fn a_stranger_starts_no_program_and_no_process() {
    for what in ["start", "become", "fork"] {
        is_held(what, || ((), String::new()));
    }
}

/// A process of the same user's, which is not the stranger's.
struct Victim(Child);

impl Victim {
    fn new() -> (Victim, String) {
        let sleep = Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = sleep.id().to_string();
        (Victim(sleep), pid)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stranger_kills_nobody() {
    for what in ["kill", "kill-thread", "queue-signal", "own-signals"] {
        is_held(what, Victim::new);
    }
    if !can_be_confined("a_stranger_kills_nobody") {
        return;
    }
    let (mut victim, pid) = Victim::new();
    for what in ["kill", "kill-thread", "queue-signal"] {
        run(what, &pid, true);
    }
    assert!(victim.0.try_wait().expect("an answer").is_none());
}

#[test]
fn a_stranger_looks_into_nobody() {
    is_held("look-into", Victim::new);
    is_held("open-process", Victim::new);
    is_held("trace", || ((), String::new()));
}

#[test]
fn a_stranger_cannot_ask_to_outlive_the_harness() {
    is_held("outlive", || ((), String::new()));
}

#[test]
fn a_stranger_changes_no_namespace() {
    is_held("unshare", || ((), String::new()));
}

#[test]
fn a_stranger_sees_nothing_of_the_harness_s_environment() {
    is_held("environment", || ((), "PATH".to_owned()));
}

#[test]
fn a_stranger_has_no_descriptor_that_somebody_forgot() {
    is_held("descriptor", || {
        let file = File::open("/dev/null").expect("a file");
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("no flag");
        let number = file.as_raw_fd().to_string();
        (file, number)
    });
}

#[test]
fn a_stranger_fills_no_memory_through_what_it_writes_to() {
    is_held("lengthen", || {
        let file = rustix::fs::memfd_create("console", rustix::fs::MemfdFlags::empty());
        let file = file.expect("a file in memory");
        let number = file.as_raw_fd().to_string();
        (file, number)
    });
}

#[test]
fn what_qemu_needs_a_stranger_has_too() {
    if !can_be_confined("what_qemu_needs_a_stranger_has_too") {
        return;
    }
    let output = run("thread", "", true);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn more_than_this_host_has_is_refused_before_anything_starts() {
    let confined = possible().expect("an answer");
    if confined.rung() == Rung::Namespaces {
        // Expected where all tests run: such a host is what they need.
        println!("SKIPPED: this host has all that there is to be required");
        return;
    }
    let launch = Launch::within(Bounds::default().executing(program()), Rung::Namespaces);
    let error = launch.confine(&mut Command::new(program())).unwrap_err();
    assert!(error.next_step().is_some(), "{error}");
}

/// What a shell can do by itself: it says what it could.
fn script(dir: &Path, secret: &str, victim: &str) -> PathBuf {
    let path = dir.join("qemu-system-x86_64");
    let outside = dir.join("outside").display().to_string();
    let text = format!(
        "#!/bin/sh\n\
         could=\n\
         read -r line <'{secret}' && could=\"$could read\"\n\
         echo x >'{outside}' && could=\"$could write\"\n\
         kill {victim} && could=\"$could kill\"\n\
         echo \"QEMU emulator that could:$could\"\n\
         (true) && echo forked >&2\n"
    );
    fs::write(&path, text).expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&path, mode).expect("its mode");
    path
}

#[test]
fn a_qemu_that_is_a_shell_script_is_started_and_can_do_nothing() {
    let test = "a_qemu_that_is_a_shell_script_is_started_and_can_do_nothing";
    if !can_be_confined(test) {
        return;
    }
    let (dir, secret) = home();
    let (mut victim, pid) = Victim::new();
    let script = script(dir.path(), &secret, &pid);
    // A shell that cannot make a process ends with an error, so it is no QEMU; its words are quoted.
    let error = Vmm::from_host(script.to_str().expect("UTF-8")).unwrap_err();
    println!("{}", error.render());
    assert!(error.render().contains("Cannot fork"), "{}", error.render());
    assert!(!dir.path().join("outside").exists());
    assert!(victim.0.try_wait().expect("an answer").is_none());

    let free = Command::new(&script).output().expect("a shell");
    let said = text(&free);
    assert!(said.contains("could: read write kill"), "{said}");
    assert!(said.contains("forked"), "{said}");
    assert!(dir.path().join("outside").exists());
}
