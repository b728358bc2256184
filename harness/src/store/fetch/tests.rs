//! Fetching against servers that behave badly.

use super::*;
use crate::store::{
    NoProgress,
    testing::{Reply, Server, locked, sources},
};
use std::os::unix::fs::symlink;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("cache")).unwrap();
    (dir, store)
}

fn bytes() -> Vec<u8> {
    (0..200_000_u32).map(|i| (i % 251) as u8).collect()
}

fn server(reply: Reply) -> Server {
    Server::new([("/pool/p.deb".to_owned(), reply)])
}

/// Collects the notes.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl FetchProgress for Notes {
    fn started(&self, _: &LockedFile) {}
    fn advanced(&self, _: &LockedFile, _: u64) {}
    fn finished(&self, _: &LockedFile) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

fn fetch(store: &Store, file: &LockedFile, sources: &Sources) -> Result<Vec<u8>> {
    let paths = store.fetch(std::slice::from_ref(file), sources, &NoProgress)?;
    Ok(fs::read(&paths[0]).unwrap())
}

/// The servers' ports differ from run to run.
fn plain(error: &Error, servers: &[&Server]) -> String {
    let mut text = error.render();
    for (i, server) in servers.iter().enumerate() {
        text = text.replace(&server.url, &format!("http://server{}", i + 1));
    }
    text
}

#[test]
fn a_fetched_file_is_read_only_and_fetched_once() {
    let (_dir, store) = store();
    let server = server(Reply::File(bytes()));
    let file = locked("p", &bytes());
    for _ in 0..2 {
        assert_eq!(
            fetch(&store, &file, &sources(&[&server], &[])).unwrap(),
            bytes()
        );
    }
    assert_eq!(server.seen(), ["GET /pool/p.deb"]);
    let mode = fs::metadata(store.file_path(&file.sha256))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o444);
    assert_eq!(
        fs::read_dir(store.root().join("partial")).unwrap().count(),
        0
    );
    assert_eq!(fs::read_dir(store.root().join("locks")).unwrap().count(), 0);
}

#[test]
fn a_truncated_download_is_resumed() {
    let (_dir, store) = store();
    let server = server(Reply::Sequence(vec![
        Reply::Cut(bytes(), 150_000),
        Reply::File(bytes()),
    ]));
    let file = locked("p", &bytes());
    assert_eq!(
        fetch(&store, &file, &sources(&[&server], &[])).unwrap(),
        bytes()
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    let from: u64 = seen[1].rsplit(' ').next().unwrap().parse().unwrap();
    assert!(seen[1].starts_with("GET /pool/p.deb from ") && from > 0 && from <= 150_000);
}

/// A server that closes early every time: what has arrived is kept, and the next command goes on
/// from there.
#[test]
fn a_transfer_that_ends_early_every_time_is_given_up_and_keeps_what_arrived() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    let short = server(Reply::Cut(bytes(), 20_000));
    let error = fetch(&store, &file, &sources(&[&short], &[])).unwrap_err();
    assert_eq!(error.exit(), crate::error::Exit::Fetch);
    let text = plain(&error, &[&short]);
    assert!(text.contains("the transfer ended early"), "{text}");
    assert!(!store.file_path(&file.sha256).exists());
    let kept = fs::metadata(store.partial_path(&file.sha256))
        .unwrap()
        .len();
    assert!(kept > 0 && kept <= 80_000, "{kept}: one try and three more");

    let whole = server(Reply::File(bytes()));
    assert_eq!(
        fetch(&store, &file, &sources(&[&whole], &[])).unwrap(),
        bytes()
    );
    assert_eq!(whole.seen(), [format!("GET /pool/p.deb from {kept}")]);
}

#[test]
fn what_a_killed_process_left_is_resumed() {
    let (_dir, store) = store();
    let server = server(Reply::File(bytes()));
    let file = locked("p", &bytes());
    fs::write(store.partial_path(&file.sha256), &bytes()[..70_000]).unwrap();
    assert_eq!(
        fetch(&store, &file, &sources(&[&server], &[])).unwrap(),
        bytes()
    );
    assert_eq!(server.seen(), ["GET /pool/p.deb from 70000"]);
}

#[test]
fn a_complete_partial_file_needs_no_server() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    fs::write(store.partial_path(&file.sha256), bytes()).unwrap();
    let server = Server::new([]);
    assert_eq!(
        fetch(&store, &file, &sources(&[&server], &[])).unwrap(),
        bytes()
    );
    assert!(server.seen().is_empty());
}

#[test]
fn a_corrupt_partial_file_is_started_over_from_the_same_mirror() {
    let (_dir, store) = store();
    let server = server(Reply::File(bytes()));
    let file = locked("p", &bytes());
    for rubbish in [vec![0xff; 70_000], vec![0xff; 200_000], vec![0xff; 300_000]] {
        fs::write(store.partial_path(&file.sha256), rubbish).unwrap();
        assert_eq!(
            fetch(&store, &file, &sources(&[&server], &[])).unwrap(),
            bytes()
        );
        fs::remove_file(store.file_path(&file.sha256)).unwrap();
    }
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_start() {
    let (_dir, store) = store();
    let server = server(Reply::NoRanges(bytes()));
    let file = locked("p", &bytes());
    fs::write(store.partial_path(&file.sha256), &bytes()[..70_000]).unwrap();
    assert_eq!(
        fetch(&store, &file, &sources(&[&server], &[])).unwrap(),
        bytes()
    );
}

#[test]
fn a_busy_mirror_is_asked_again_and_not_for_ever() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    let busy = server(Reply::Sequence(vec![
        Reply::Status(503),
        Reply::File(bytes()),
    ]));
    assert_eq!(
        fetch(&store, &file, &sources(&[&busy], &[])).unwrap(),
        bytes()
    );

    let (_dir, store) = self::store();
    let down = server(Reply::Status(503));
    let error = fetch(&store, &file, &sources(&[&down], &[])).unwrap_err();
    assert_eq!(down.seen().len(), 4, "one try and three more");
    insta::assert_snapshot!(plain(&error, &[&down]), @r"
    error: fetching p 1.0+b1: no mirror answered
      caused by: http://server1/pool/p.deb: HTTP 503
      help: check the network and the proxy variables, or set a mirror in DIORAMA_MIRROR_DEBIAN or DIORAMA_MIRROR_DEBIAN_SECURITY
    ");
}

#[test]
fn the_second_mirror_and_then_the_snapshot_serve_what_the_first_has_lost() {
    let file = locked("p", &bytes());
    let (first, second) = (Server::new([]), server(Reply::File(bytes())));
    let (_dir, store) = store();
    assert_eq!(
        fetch(&store, &file, &sources(&[&first, &second], &[])).unwrap(),
        bytes()
    );
    assert_eq!(first.seen(), ["GET /pool/p.deb"], "a 404 is final");

    let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let info = format!(
        r#"{{"package":"p","binary_version":"1.0+b1","result":[{{"hash":"{sha1}","architecture":"amd64"}}],
        "fileinfo":{{"0000000000000000000000000000000000000000":[{{"name":"p.deb","size":5}}],
        "{sha1}":[{{"archive_name":"debian","name":"p.deb","size":200000,"path":"/pool","first_seen":"x"}}]}}}}"#
    );
    let snapshot = Server::new([
        (
            "/mr/binary/p/1.0%2Bb1/binfiles?fileinfo=1".to_owned(),
            Reply::File(info.into()),
        ),
        (format!("/file/{sha1}"), Reply::File(bytes())),
    ]);
    let (_dir, store) = self::store();
    let notes = Notes::default();
    store
        .fetch(
            std::slice::from_ref(&file),
            &sources(&[&first], &[&snapshot]),
            &notes,
        )
        .unwrap();
    let last = notes.0.lock().unwrap().pop().unwrap();
    assert_eq!(last, format!("p: fetched from {}", snapshot.url));
}

#[test]
fn gone_everywhere_is_told_from_not_reached() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    let (empty, also, down) = (Server::new([]), Server::new([]), server(Reply::Status(502)));
    let ask = |mirrors: &[&Server], snapshots: &[&Server]| {
        store
            .fetch_or_missing(
                std::slice::from_ref(&file),
                &sources(mirrors, snapshots),
                &NoProgress,
            )
            .unwrap_err()
    };
    let gone = ask(&[&empty, &also], &[&empty]);
    let MissingFile::Gone(error) = gone else {
        panic!("{gone:?}")
    };
    insta::assert_snapshot!(plain(&error, &[&empty, &also]), @r"
    error: fetching p 1.0+b1: it is gone from the archive
      caused by: http://server1/pool/p.deb: gone (HTTP 404); http://server2/pool/p.deb: gone (HTTP 404); http://server1/mr/binary/p/1.0%2Bb1/binfiles?fileinfo=1: gone (HTTP 404)
      help: resolve it again with `diorama lock --update`
    ");
    let unreached = Server::refusing();
    let MissingFile::Failed(error) = ask(&[&empty], &[&unreached]) else {
        panic!("plain HTTP alone is no reason to take another file")
    };
    insta::assert_snapshot!(plain(&error, &[&empty, &unreached]), @r"
    error: fetching p 1.0+b1: a mirror says over plain HTTP that it is gone, but no trustworthy source confirms it
      caused by: http://server1/pool/p.deb: gone (HTTP 404); http://server2/mr/binary/p/1.0%2Bb1/binfiles?fileinfo=1: io: Connection refused (os error 111)
      help: set an https:// mirror in DIORAMA_MIRROR_DEBIAN, or a reachable snapshot archive in DIORAMA_SNAPSHOT; or take what the archive has now with `diorama lock --update NAME`
    ");
    assert!(
        matches!(ask(&[&empty, &down], &[&empty]), MissingFile::Gone(_)),
        "a mirror that does not answer says nothing either way"
    );
    assert!(
        matches!(ask(&[&down], &[&empty]), MissingFile::Failed(_)),
        "without any mirror's word it is the network"
    );
    let cut = server(Reply::Cut(bytes(), 0));
    let MissingFile::Failed(error) = ask(&[&empty, &cut], &[]) else {
        panic!("a mirror has it")
    };
    insta::assert_snapshot!(plain(&error, &[&empty, &cut]), @r"
    error: fetching p 1.0+b1: the transfer ended early
      caused by: http://server1/pool/p.deb: gone (HTTP 404); http://server2/pool/p.deb: cut short after 0 of 200000 bytes (Peer disconnected)
      help: run the same command again: it resumes where the transfer stopped
    ");
    let other = server(Reply::File(vec![7; 200_000]));
    let MissingFile::Failed(error) = ask(&[&empty, &other], &[]) else {
        panic!("another file is never a reason to take a third")
    };
    insta::assert_snapshot!(plain(&error, &[&empty, &other]), @r"
    error: fetching p 1.0+b1: what is served is not the locked file
      caused by: http://server1/pool/p.deb: gone (HTTP 404); http://server2/pool/p.deb: sha256 is 8cfcba83dcfc, not e24bc62381f1
      help: try another mirror or network; if the lock was edited by hand, refresh it with `diorama lock --update NAME`
    ");
}

#[test]
fn a_mirror_asked_by_https_is_a_witness_and_plain_http_is_not() {
    use super::super::{http::HttpFailure, reasons::Reasons};
    let said = |source: &str| {
        let mut reasons = Reasons::default();
        reasons.add(source.to_owned(), HttpFailure::Gone("404".into()));
        reasons.witnessed(&["http://snapshot".to_owned()])
    };
    assert!(said("https://mirror/pool/p.deb") && said("http://snapshot"));
    assert!(!said("http://mirror/pool/p.deb"));
    assert_eq!(
        secure("http://m/debian").as_deref(),
        Some("https://m/debian")
    );
    assert_eq!(
        (secure("http://127.0.0.1:80"), secure("https://m")),
        (None, None)
    );
}

#[test]
fn corrupt_bytes_are_refused_and_the_next_mirror_is_asked() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    let mut wrong = bytes();
    wrong[100_000] ^= 1;
    let bad = server(Reply::File(wrong));
    let error = fetch(&store, &file, &sources(&[&bad], &[])).unwrap_err();
    assert_eq!(error.exit(), crate::error::Exit::Fetch);
    insta::assert_snapshot!(plain(&error, &[&bad]), @r"
    error: fetching p 1.0+b1: what is served is not the locked file
      caused by: http://server1/pool/p.deb: sha256 is d8679f548774, not e24bc62381f1
      help: try another mirror or network; if the lock was edited by hand, refresh it with `diorama lock --update NAME`
    ");
    assert!(!store.file_path(&file.sha256).exists());

    let good = server(Reply::File(bytes()));
    assert_eq!(
        fetch(&store, &file, &sources(&[&bad, &good], &[])).unwrap(),
        bytes()
    );
}

#[test]
fn a_file_of_another_length_is_refused_before_it_is_read() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    let page = server(Reply::File(b"<html>please log in</html>".to_vec()));
    let error = fetch(&store, &file, &sources(&[&page], &[])).unwrap_err();
    insta::assert_snapshot!(plain(&error, &[&page]), @r"
    error: fetching p 1.0+b1: what is served is not the locked file
      caused by: http://server1/pool/p.deb: the file there has 26 bytes, not 200000
      help: try another mirror or network; if the lock was edited by hand, refresh it with `diorama lock --update NAME`
    ");
}

#[test]
fn a_corrupt_cached_file_is_set_aside_reported_and_fetched_again() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    let server = server(Reply::File(bytes()));
    let sources = sources(&[&server], &[]);
    let path = store.file_path(&file.sha256);
    // Same length: only its digest gives it away. Then another length.
    for rubbish in [vec![0; 200_000], vec![0; 10]] {
        fs::write(&path, rubbish).unwrap();
        let notes = Notes::default();
        assert_eq!(
            store.read_verified(&file, &sources, &notes).unwrap(),
            bytes()
        );
        let notes = notes.0.into_inner().unwrap();
        assert!(
            notes[0].starts_with("p: the cached file is corrupt ("),
            "{notes:?}"
        );
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn two_fetchers_at_once_download_once() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    let server = server(Reply::File(bytes()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let store = Store::open(store.root().to_owned()).unwrap();
                assert_eq!(
                    fetch(&store, &file, &sources(&[&server], &[])).unwrap(),
                    bytes()
                );
            });
        }
    });
    assert_eq!(server.seen(), ["GET /pool/p.deb"]);
}

#[test]
fn a_full_disk_is_said_to_be_full_and_leaves_nothing_that_looks_good() {
    let (_dir, store) = store();
    let file = locked("p", &bytes());
    let server = server(Reply::File(bytes()));
    // Every write to this device fails as on a full disk.
    let partial = store.partial_path(&file.sha256);
    symlink("/dev/full", &partial).unwrap();
    let error = fetch(&store, &file, &sources(&[&server], &[])).unwrap_err();
    assert_eq!(error.exit(), crate::error::Exit::Host);
    assert!(
        error
            .next_step()
            .unwrap()
            .starts_with("free up space on the disk"),
        "{}",
        error.render()
    );
    assert!(!store.file_path(&file.sha256).exists());
}

#[test]
fn one_file_that_cannot_be_had_stops_the_others() {
    let (_dir, store) = store();
    let server = Server::new([("/pool/a.deb".to_owned(), Reply::File(bytes()))]);
    let files = [locked("a", &bytes()), locked("b", b"b")];
    let error = store
        .fetch(&files, &sources(&[&server], &[]), &NoProgress)
        .unwrap_err();
    assert!(error.to_string().contains("b 1.0+b1"), "{}", error.render());
}
