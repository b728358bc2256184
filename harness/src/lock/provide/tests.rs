//! Resolving and providing, whole, against an archive made by hand on the loopback interface.

use super::*;
use crate::{
    digest::Sha256,
    error::Exit,
    lock::release::tests::Signer,
    store::{
        NoProgress,
        testing::{Item, Reply, Server, deb, elf, sources, xz},
    },
};
use std::{fs, sync::Mutex};

const NEVER: &str = "Tue, 01 Jan 2222 00:00:00 UTC";
const PAST: &str = "Sat, 01 Jan 2022 00:00:00 UTC";

/// A repository's declarations, an archive that serves two suites, and a store.
struct Fixture {
    dir: tempfile::TempDir,
    signer: Signer,
    server: Server,
    store: Store,
}

/// name, version, source, depends, file
type Debian<'a> = (&'a str, &'a str, &'a str, &'a str, Vec<u8>);

/// Big enough to hold a kernel, and incompressible enough not to matter.
fn kernel(mark: u8) -> Vec<u8> {
    deb(
        &[Item::File("./boot/vmlinuz", 0o644, &vec![mark; 2 << 20])],
        "",
    )
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::new();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("kernels/keys/test.asc", &signer.armour());
        write(
            "kernels/suites.toml",
            r#"
            suite = [
                { name = "one", archive = "debian", keys = ["test"] },
                { name = "two", archive = "debian", keys = ["test"] },
            ]"#,
        );
        write(
            "kernels/kernels.toml",
            r#"kernel = [{ name = "6.12", series = "6.12", flavour = "cloud", suites = ["one", "two"] }]"#,
        );
        write(
            "images/images.toml",
            r#"tools = [{ name = "t", suites = ["one"], packages = ["tool"], executables = ["usr/bin/tool"] }]"#,
        );
        let store = Store::open(dir.path().join("cache")).unwrap();
        let fixture = Fixture {
            dir,
            signer,
            server: Server::new([]),
            store,
        };
        fixture.suite("one", NEVER, &[]);
        fixture.suite("two", NEVER, &[]);
        fixture
    }

    /// Publishes a suite, signed.
    fn suite(&self, name: &str, until: &str, packages: &[Debian<'_>]) {
        let mut index = String::new();
        for (package, version, source, depends, bytes) in packages {
            let (size, sha256) = (bytes.len(), Sha256::of(bytes));
            let path = format!("pool/{package}_{version}.deb");
            index += &format!(
                "Package: {package}\nVersion: {version}\nSource: {source}\nDepends: {depends}\n\
                 Filename: {path}\nSize: {size}\nSHA256: {sha256}\n\n"
            );
            self.server
                .set(&format!("/{path}"), Reply::File(bytes.clone()));
        }
        let index = xz(index.as_bytes());
        let (size, sha256) = (index.len(), Sha256::of(&index));
        let release = format!(
            "Codename: {name}\nValid-Until: {until}\nAcquire-By-Hash: yes\nSHA256:\n {sha256} {size} main/binary-amd64/Packages.xz\n"
        );
        self.server.set(
            &format!("/dists/{name}/main/binary-amd64/by-hash/SHA256/{sha256}"),
            Reply::File(index),
        );
        self.server.set(
            &format!("/dists/{name}/InRelease"),
            Reply::File(self.signer.sign(&release, true).into_bytes()),
        );
    }

    fn update(&self, old: &Lock, only: &[&str]) -> Result<(Lock, Vec<Change>)> {
        let only: Vec<_> = only.iter().map(|&o| o.to_owned()).collect();
        let sources = sources(&[&self.server], &[]);
        update(
            &self.declared(),
            old,
            (&only, Older::Refuse),
            &self.store,
            &sources,
            &NoProgress,
        )
    }

    fn declared(&self) -> Declarations {
        Declarations::load(self.dir.path()).unwrap()
    }

    fn plain(&self, error: &Error) -> String {
        error.render().replace(&self.server.url, "http://server")
    }
}

fn image(version: &str, mark: u8) -> Debian<'static> {
    (
        "linux-image-6.12.1-cloud",
        Box::leak(version.to_owned().into_boxed_str()),
        "linux-signed-amd64",
        "",
        kernel(mark),
    )
}

#[test]
fn a_tool_set_is_its_packages_and_those_that_hold_its_libraries() {
    let f = Fixture::new();
    let tool = elf(Some("/lib64/ld.so.2"), &["libx.so.1", "libc.so.6"]);
    let tool = deb(
        &[
            Item::File("./usr/bin/tool", 0o755, &tool),
            Item::File("./usr/share/data", 0o644, b"d"),
        ],
        "xz",
    );
    let libx = elf(None, &["libc.so.6"]);
    let libx = deb(
        &[
            Item::File("./usr/lib/x86_64-linux-gnu/libx.so.1.2", 0o644, &libx),
            Item::Link("./usr/lib/x86_64-linux-gnu/libx.so.1", "libx.so.1.2"),
        ],
        "zst",
    );
    let libc = elf(None, &[]);
    let libc = deb(
        &[
            Item::File("./lib/x86_64-linux-gnu/libc.so.6", 0o755, &libc),
            Item::File("./lib64/ld.so.2", 0o755, &libc),
        ],
        "gz",
    );
    let useless = deb(&[Item::File("./usr/share/doc/x", 0o644, b"x")], "xz");
    f.suite(
        "one",
        NEVER,
        &[
            ("tool", "1", "tool", "libx1 (>= 1), useless", tool),
            ("libx1", "1", "x", "libc6", libx),
            ("libc6", "2", "glibc", "", libc),
            ("useless", "1", "u", "", useless),
        ],
    );
    let (lock, changes) = f.update(&Lock::default(), &["t"]).unwrap();
    let names: Vec<_> = lock.entries[0]
        .files
        .iter()
        .map(|f| f.package.as_str())
        .collect();
    assert_eq!(names, ["libc6", "libx1", "tool"]);
    assert_eq!(changes[0].to_string(), "t: new: libc6 2");
    assert_eq!(
        f.update(&lock, &["t"]).unwrap(),
        (lock, Vec::new()),
        "nothing changed"
    );
}

#[test]
fn a_kernel_that_is_listed_but_gone_gives_way_to_the_next() {
    let f = Fixture::new();
    f.suite("one", NEVER, &[image("6.12.9-1", 9)]);
    f.suite("two", NEVER, &[image("6.12.8-1", 8)]);
    f.server.set(
        "/pool/linux-image-6.12.1-cloud_6.12.9-1.deb",
        Reply::Status(404),
    );
    let (lock, _) = f.update(&Lock::default(), &["6.12"]).unwrap();
    assert_eq!(lock.entries[0].files[0].version, "6.12.8-1");
    f.server.set(
        "/pool/linux-image-6.12.1-cloud_6.12.8-1.deb",
        Reply::Status(404),
    );
    let error = f.update(&lock, &["6.12"]).unwrap_err();
    insta::assert_snapshot!(f.plain(&error), @r"
    error: resolving kernel `6.12`: no signed cloud kernel of series 6.12 in one, two (2 listed, none there)
      help: name other suites for it in kernels/kernels.toml
    ");
}

#[test]
fn an_expired_suite_is_left_out_while_another_serves_and_is_an_error_alone() {
    let f = Fixture::new();
    f.suite("one", PAST, &[image("6.12.9-1", 9)]);
    f.suite("two", NEVER, &[image("6.12.8-1", 8)]);
    let (lock, _) = f.update(&Lock::default(), &["6.12"]).unwrap();
    assert_eq!(lock.entries[0].files[0].version, "6.12.8-1");
    f.suite("two", PAST, &[image("6.12.8-1", 8)]);
    let error = f.update(&Lock::default(), &["6.12"]).unwrap_err();
    insta::assert_snapshot!(f.plain(&error), @r"
    error: the Release file of two expired on Sat, 01 Jan 2022 00:00:00 UTC
      help: try another mirror (this one is stale), or set this machine's clock
    ");
}

#[test]
fn a_suite_signed_by_another_key_is_an_error_even_while_another_serves() {
    let f = Fixture::new();
    f.suite("two", NEVER, &[image("6.12.8-1", 8)]);
    let forged = Signer::new().sign("Codename: one\nSHA256:\n", true);
    f.server
        .set("/dists/one/InRelease", Reply::File(forged.into_bytes()));
    let error = f.update(&Lock::default(), &["6.12"]).unwrap_err();
    assert_eq!(error.exit(), Exit::Fetch);
    insta::assert_snapshot!(f.plain(&error), @r"
    error: reading http://server/dists/one/InRelease
      caused by: verifying the Release file of one: it has no valid signature by test
      help: do not trust this mirror or network; try another, and compare kernels/keys with Debian's archive keys
    ");
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

#[test]
fn a_vanished_kernel_is_refused_or_resolved_afresh_and_said_so() {
    let f = Fixture::new();
    f.suite("one", NEVER, &[image("6.12.8-1", 8)]);
    let (lock, _) = f.update(&Lock::default(), &["6.12"]).unwrap();
    let entry = lock.entry("6.12").unwrap();
    f.server.set(
        "/pool/linux-image-6.12.1-cloud_6.12.8-1.deb",
        Reply::Status(404),
    );
    f.suite("one", NEVER, &[image("6.12.9-1", 9)]);
    // It keeps nothing: its word is the second one.
    let snapshot = Server::new([]);
    let (declared, sources) = (f.declared(), sources(&[&f.server], &[&snapshot]));
    let ask = |when, notes: &Notes| provide(&f.store, &declared, entry, when, &sources, notes);

    let error = ask(WhenGone::Fail, &Notes::default()).unwrap_err();
    let text = f.plain(&error).replace(&snapshot.url, "http://snapshot");
    insta::assert_snapshot!(text, @r"
    error: `6.12` is not available as locked
      caused by: fetching linux-image-6.12.1-cloud 6.12.8-1: it is gone from the archive
      caused by: http://server/pool/linux-image-6.12.1-cloud_6.12.8-1.deb: gone (HTTP 404); http://snapshot/mr/binary/linux-image-6.12.1-cloud/6.12.8-1/binfiles?fileinfo=1: gone (HTTP 404)
      help: refresh its lock entry with `diorama lock --update 6.12`
    ");

    let notes = Notes::default();
    let provided = ask(WhenGone::Reresolve, &notes).unwrap();
    assert!(!provided.as_locked);
    assert_eq!(provided.entry.files[0].version, "6.12.9-1");
    let note = provided.note.unwrap();
    insta::assert_snapshot!(note, @"6.12: not the locked kernel: locked Debian linux-image-6.12.1-cloud 6.12.8-1 (gone from the archive), using Debian linux-image-6.12.1-cloud 6.12.9-1");
    assert_eq!(notes.0.into_inner().unwrap().pop(), Some(note));

    let again = ask(WhenGone::Reresolve, &Notes::default()).unwrap();
    assert!(!again.as_locked, "still not the locked one");
}

/// Anybody on the way can say "gone" by plain HTTP. Without a second word nothing stands in for the
/// locked kernel; whoever wants that says so.
#[test]
fn a_kernel_that_one_mirror_calls_gone_is_not_replaced_on_its_word_alone() {
    let f = Fixture::new();
    f.suite("one", NEVER, &[image("6.12.8-1", 8)]);
    let (lock, _) = f.update(&Lock::default(), &["6.12"]).unwrap();
    let entry = lock.entry("6.12").unwrap();
    f.server.set(
        "/pool/linux-image-6.12.1-cloud_6.12.8-1.deb",
        Reply::Status(404),
    );
    f.suite("one", NEVER, &[image("6.12.9-1", 9)]);
    let (refusing, empty) = (Server::refusing(), Server::new([]));
    let declared = f.declared();
    let ask = |mirrors: &[&Server], snapshot: &Server| {
        let sources = sources(mirrors, &[snapshot]);
        let when = WhenGone::Reresolve;
        provide(&f.store, &declared, entry, when, &sources, &NoProgress)
    };
    let error = ask(&[&refusing, &f.server], &refusing).unwrap_err();
    assert_eq!(error.exit(), Exit::Fetch);
    let text = error.render();
    assert!(
        text.contains("says over plain HTTP that it is gone"),
        "{text}"
    );
    assert!(text.contains("`diorama lock --update NAME`"), "{text}");

    let provided = ask(&[&refusing, &f.server], &empty).unwrap();
    assert!(!provided.as_locked);
    assert_eq!(provided.entry.files[0].version, "6.12.9-1");

    let error = ask(&[&refusing], &empty).unwrap_err();
    let text = error.render();
    assert!(text.contains("no mirror answered"), "{text}");
}

/// Debian's suites have indexes without Valid-Until: one of last year is still properly signed.
#[test]
fn a_replayed_index_takes_no_entry_back_unless_asked_to_and_says_so() {
    let f = Fixture::new();
    f.suite("one", NEVER, &[image("6.12.12-1", 12)]);
    let (lock, _) = f.update(&Lock::default(), &["6.12"]).unwrap();
    let entry = lock.entry("6.12").unwrap();
    f.suite("one", NEVER, &[image("6.12.1-1", 1)]);

    let error = f.update(&lock, &["6.12"]).unwrap_err();
    assert_eq!(error.exit(), Exit::Fetch);
    insta::assert_snapshot!(f.plain(&error), @r"
    error: `6.12`: the archive offers older packages than those locked: linux-image-6.12.1-cloud 6.12.12-1 -> 6.12.1-1
      help: an old index may have been replayed: try another mirror or network; to go back on purpose, use `diorama lock --update 6.12 --allow-older`
    ");

    let sources = sources(&[&f.server], &[&f.server]);
    let only = ["6.12".to_owned()];
    let declared = f.declared();
    let (older, changes) = update(
        &declared,
        &lock,
        (&only, Older::Allow),
        &f.store,
        &sources,
        &NoProgress,
    )
    .unwrap();
    assert_eq!(older.entry("6.12").unwrap().files[0].version, "6.12.1-1");
    insta::assert_snapshot!(changes[0].to_string(), @"6.12: Debian linux-image-6.12.1-cloud 6.12.12-1 -> Debian linux-image-6.12.1-cloud 6.12.1-1, OLDER: linux-image-6.12.1-cloud 6.12.12-1 -> 6.12.1-1");

    // Nor does a file that is said to be gone, in whoever's name.
    f.server.set(
        "/pool/linux-image-6.12.1-cloud_6.12.12-1.deb",
        Reply::Status(404),
    );
    let when = WhenGone::Reresolve;
    let error = provide(&f.store, &declared, entry, when, &sources, &NoProgress).unwrap_err();
    assert!(error.render().contains("older packages than those locked"));
}

#[test]
fn what_is_there_is_provided_as_locked_without_asking_for_an_index() {
    let f = Fixture::new();
    f.suite("one", NEVER, &[image("6.12.8-1", 8)]);
    let (lock, _) = f.update(&Lock::default(), &["6.12"]).unwrap();
    let before = f.server.seen().len();
    let entry = lock.entry("6.12").unwrap();
    let sources = sources(&[&f.server], &[]);
    let provided = provide(
        &f.store,
        &f.declared(),
        entry,
        WhenGone::Fail,
        &sources,
        &NoProgress,
    )
    .unwrap();
    assert_eq!((provided.as_locked, &provided.entry), (true, entry));
    assert_eq!(
        f.server.seen()[before..],
        ["GET /pool/linux-image-6.12.1-cloud_6.12.8-1.deb"]
    );
}

#[test]
fn an_unknown_name_is_refused_before_anything_is_asked() {
    let f = Fixture::new();
    let error = f.update(&Lock::default(), &["6.13"]).unwrap_err();
    insta::assert_snapshot!(f.plain(&error), @r"
    error: there is no kernel or tool set `6.13`
      help: did you mean `6.12`?
    ");
    assert!(f.server.seen().is_empty());
}
