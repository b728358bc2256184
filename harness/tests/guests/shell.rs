//! A shell in a cell's guest, as a person at a terminal has it, and as a script does.

use crate::common::{Lab, running::*, terminal::*};
use std::{
    io::Write as _,
    process::{Output, Stdio},
    time::Duration,
};

/// The key that leaves a shell from outside: Ctrl-].
const LEAVE: u8 = 0x1d;

/// How long what has ended may still be there.
const SOON: Duration = Duration::from_secs(5);

/// Starts a shell on a terminal, and waits for its prompt.
fn open(lab: &Lab, words: &[&str]) -> (Terminal, Vec<u32>) {
    let mut all = vec!["shell", "6.12", "--scenario", "smoke"];
    all.extend(words);
    let mut shell = Terminal::start(lab, &all);
    shell.until("NOTHING HERE IS A MEASUREMENT");
    shell.until("/mnt # ");
    let guests = guests_of(shell.pid());
    (shell, guests)
}

/// Runs a script in a guest.
fn script(lab: &Lab, words: &[&str], input: &[u8]) -> Output {
    let mut child = lab
        .diorama()
        .args(["shell", "6.12", "--scenario", "smoke"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("diorama starts");
    let mut stdin = child.stdin.take().expect("its standard input");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("its end");
    println!("{}", String::from_utf8_lossy(&output.stderr));
    writer.join().expect("a writer").expect("all of the input");
    output
}

#[test]
fn a_terminal_is_passed_on_and_is_as_it_was_after_exit() {
    let Some(lab) = Lab::open("a_terminal_is_passed_on_and_is_as_it_was_after_exit") else {
        return;
    };
    let (mut shell, guests) = open(&lab, &["--workload", "write-4k"]);
    assert!(shell.hands_on_every_key());
    shell.type_in("echo at=$(uname -r) size=$(stty size)\r");
    shell.until("at=6.12.");
    shell.until("size=40 100");
    shell.type_in("mount | grep -o 'on /mnt type.*'; ls -s /mnt/file | wc -l\r");
    shell.until("on /mnt type ext4 (rw");
    shell.until("\r\n1\r\n");
    // A guest that idles does not run away: this lasts until somebody ends it.
    shell.type_in("echo begun=$((1 + 1)); sleep 1000\r");
    shell.until("begun=2");
    std::thread::sleep(Duration::from_secs(1));
    shell.press(CTRL_C);
    shell.type_in("echo after=$?\r");
    shell.until("after=130");
    shell.resize(50, 120);
    shell.type_in(
        "while [ \"$(stty size)\" != '50 120' ]; do sleep 0.1; done; echo now=$(stty size)\r",
    );
    shell.until("now=50 120");
    shell.type_in("exit\r");
    let keyboard = shell.keyboard();
    let (code, said) = shell.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!hands_on_every_key(&keyboard));
    assert_gone(&guests, SOON);
}

#[test]
fn a_signal_ends_the_guest_of_a_drive_and_gives_the_terminal_back() {
    let Some(lab) = Lab::open("a_signal_ends_the_guest_of_a_drive_and_gives_the_terminal_back")
    else {
        return;
    };
    let (mut shell, guests) = open(&lab, &["--device", "nvme", "--accel", "tcg"]);
    shell.type_in("grep -c '^/dev/nvme0n1 /mnt ext4 ' /proc/mounts\r");
    shell.until("\r\n1\r\n");
    assert!(shell.hands_on_every_key());
    shell.signal(rustix::process::Signal::TERM);
    let keyboard = shell.keyboard();
    let (code, said) = shell.end();
    assert_eq!(code, Some(143), "{said}");
    assert!(!hands_on_every_key(&keyboard));
    assert_gone(&guests, SOON);
}

#[test]
fn a_script_has_its_streams_and_its_status_and_a_key_leaves_from_outside() {
    let test = "a_script_has_its_streams_and_its_status_and_a_key_leaves_from_outside";
    let Some(lab) = Lab::open(test) else { return };
    let ran = script(&lab, &[], b"uname -r\nls /nowhere\nsleep 0 &\nexit 3\n");
    assert_eq!(ran.status.code(), Some(3));
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        said.starts_with("6.12.") && said.lines().count() == 1,
        "{said}"
    );
    assert!(String::from_utf8_lossy(&ran.stderr).contains("/nowhere: No such file"));

    // Both ways at once, and more than fits in between.
    let bytes: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    let ran = script(&lab, &["--command", "cat"], &bytes);
    assert_eq!(ran.status.code(), Some(0));
    assert!(ran.stdout == bytes, "{} bytes", ran.stdout.len());

    let (mut shell, guests) = open(&lab, &[]);
    shell.type_in("cat\r");
    shell.press(LEAVE);
    let keyboard = shell.keyboard();
    let (code, said) = shell.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the guest was ended"), "{said}");
    assert!(!hands_on_every_key(&keyboard));
    assert_gone(&guests, SOON);
}
