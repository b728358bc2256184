//! Signals before anything is measured, against a mirror on the loopback interface.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What the mirror sends of each file before it falls silent; no package is smaller.
const SENT: usize = 600;

/// A mirror that begins to send whatever it is asked for, and never goes on.
fn mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.expect("a client");
                let head = BufReader::new(stream.try_clone().expect("the same client"));
                for line in head.lines() {
                    if line.expect("a header").is_empty() {
                        break;
                    }
                }
                let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                stream.write_all(head).expect("sent");
                stream.write_all(&[0; SENT]).expect("sent");
                // Until the client hangs up.
                let _ = stream.read(&mut [0]);
            });
        }
    });
    url
}

/// Sizes of the partial downloads that have begun.
fn begun(cache: &Path) -> Vec<u64> {
    let entries = fs::read_dir(cache.join("partial")).into_iter().flatten();
    let sizes = entries.filter_map(|e| Some(e.ok()?.metadata().ok()?.len()));
    sizes.filter(|size| *size > 0).collect()
}

#[test]
fn a_signal_during_a_download_has_its_message_and_exit_code_and_keeps_what_arrived() {
    use rustix::process::{Pid, Signal, kill_process};
    for (signal, exit, why) in [
        (Signal::INT, 130, "interrupted (SIGINT)"),
        (Signal::TERM, 143, "terminated (SIGTERM)"),
    ] {
        let cache = tempfile::tempdir().expect("a directory");
        let child = Command::new(env!("CARGO_BIN_EXE_diorama"))
            .args(["fetch", "smoke", "--plain"])
            .env("DIORAMA_ROOT", concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .env("DIORAMA_CACHE", cache.path())
            .env("DIORAMA_MIRROR_DEBIAN", mirror())
            .env("DIORAMA_MIRROR_DEBIAN_SECURITY", mirror())
            .env_remove("http_proxy")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("diorama starts");
        let began = Instant::now();
        while begun(cache.path()).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(60), "no download");
            thread::sleep(Duration::from_millis(10));
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("signalled");
        let output = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{said}");
        assert!(said.contains(&format!("error: {why}")), "{said}");
        assert!(
            said.contains("downloads resume where they stopped"),
            "{said}"
        );
        let kept = begun(cache.path());
        assert!(kept.iter().all(|size| *size == SENT as u64), "{kept:?}");
        let whole = fs::read_dir(cache.path().join("files")).expect("files");
        assert_eq!(whole.count(), 0, "nothing that looks good");
    }
}
