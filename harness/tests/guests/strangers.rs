//! What a stranger's machine and a stranger's words do: the program as it is called, with files that
//! are none, terminals that cannot draw, limits, and names made to be obeyed.

use crate::common::{Lab, outcomes, terminal::Terminal, text};
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The program, in the checkout that these tests are part of.
fn diorama() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
    command
        .env("DIORAMA_ROOT", concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::null());
    command
}

fn code_and_text(output: &Output) -> (Option<i32>, String) {
    let text = text(output);
    println!("{text}");
    (output.status.code(), text)
}

#[test]
fn a_reader_that_has_gone_away_is_no_panic() {
    for words in [&["completions", "bash"][..], &["kernels"], &["--help"]] {
        let mut child = diorama()
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("diorama starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("its end");
        let (code, text) = code_and_text(&output);
        assert_eq!((code, text.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_said_and_kills_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "ulimit -f 0; exec \"$0\" completions bash >out";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_diorama")])
        .current_dir(dir.path())
        .output()
        .expect("a shell");
    let (code, text) = code_and_text(&output);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("File too large"), "{text}");
}

#[test]
fn an_empty_variable_is_none() {
    let home = tempfile::tempdir().expect("a directory");
    let output = diorama()
        .args(["cache", "list"])
        .env("DIORAMA_CACHE", "")
        .env_remove("XDG_CACHE_HOME")
        .env("HOME", home.path())
        .output()
        .expect("diorama starts");
    let (code, text) = code_and_text(&output);
    assert_eq!(code, Some(0), "{text}");
    let expected = home.path().join(".cache/diorama").display().to_string();
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn foreign_names_are_short_and_give_no_terminal_a_command() {
    let long = "n".repeat(100_000);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s.toml");
    let mut scenario = "baseline = \"7.2\"\n[workloads]\n".to_owned();
    for i in 0..10_000 {
        scenario.push_str(&format!(
            "[workloads.\"\\u001b]0;{i}\\u0007{}\"]\nbs = \"x\"\n",
            "n".repeat(500)
        ));
    }
    fs::write(&path, scenario).expect("written");
    let path = path.to_str().expect("UTF-8");
    for words in [
        vec!["plan", "\u{1b}]0;owned\u{7}\u{9b}31m"],
        vec!["plan", &long],
        vec!["plan", path],
        vec!["plan", "smoke", "--baseline", &long],
        vec!["plan", "smoke", "--only-kernel", "\u{1b}[31m"],
        vec!["report", "\u{1b}[31m"],
    ] {
        let output = diorama().args(&words).output().expect("diorama starts");
        let text = text(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
        let shown: String = text.chars().take(2000).collect();
        assert!(text.len() < 20_000, "{} bytes: {shown}", text.len());
    }
}

#[test]
fn a_command_line_that_no_kernel_takes_is_refused_before_anything_starts() {
    let output = diorama()
        .args(["plan", "smoke", "--cmdline", &"x".repeat(2048)])
        .output()
        .expect("diorama starts");
    let (code, text) = code_and_text(&output);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("x86 allows 2047"), "{text}");
}

#[test]
fn devices_and_pipes_are_refused_at_once_wherever_a_file_is_named() {
    let Some(lab) = Lab::open("devices_and_pipes_are_refused_at_once") else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let sparse = dir.path().join("sparse");
    let file = fs::File::create(&sparse).expect("a file");
    file.set_len(4 << 30).expect("sparse");
    let job = dir.path().join("job.toml");
    let smoke = fs::read_to_string(lab.root().join("scenarios/smoke.toml")).expect("smoke");
    let (head, _) = smoke.split_once("[workloads").expect("workloads");
    for path in [Path::new("/dev/zero"), &pipe, &sparse] {
        let name = path.to_str().expect("UTF-8");
        let scenario = format!("{head}[workloads.mine]\nfio = \"{name}\"\n");
        fs::write(&job, scenario).expect("written");
        let kernel = format!("mine={name}");
        for words in [
            vec!["plan", "smoke", "--agent", name],
            vec!["plan", job.to_str().expect("UTF-8")],
            vec!["plan", "smoke", "--kernel", &kernel],
            vec!["report", name],
        ] {
            let began = Instant::now();
            let output = lab.run(&words);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
            assert!(began.elapsed() < Duration::from_secs(30), "{words:?}");
        }
    }
}

#[test]
fn a_dumb_terminal_is_told_what_happens() {
    let Some(lab) = Lab::open("a_dumb_terminal_is_told") else {
        return;
    };
    for term in ["dumb", "xterm"] {
        let mut command = lab.diorama();
        command
            .args([
                "run",
                "smoke",
                "--only-kernel",
                "7.2",
                "--workload",
                "read-4k",
            ])
            .env("TERM", term)
            .env_remove("CI");
        let (code, said) = Terminal::of(command).end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("record: "), "TERM={term}: {said}");
        assert!(term != "dumb" || !said.contains('\u{1b}'), "{said:?}");
    }
    // The record that is there now.
    let output = lab.run(&["report", "latest", "--output", "/tmp"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output);
    assert!(said.contains("/tmp is a directory"), "{said}");
    assert!(said.contains("help: give a file"), "{said}");
}

#[test]
fn a_panic_is_noticed_also_when_the_kernel_is_told_to_stand_still() {
    let Some(lab) = Lab::open("a_panic_is_noticed_also") else {
        return;
    };
    let words = [
        "smoke",
        "--only-kernel",
        "7.2",
        "--cmdline",
        "rdinit=/nonexistent",
        "--cmdline",
        "panic=0",
    ];
    let began = Instant::now();
    let results = lab.measure(&words, 5);
    assert_eq!(outcomes(&results), ["guest-fault"; 2]);
    let why = results["cells"][0]["outcome"]["why"].to_string();
    assert!(why.contains("kernel panic in phase `boot`"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(170));
}
