//! Each fault is done for real to a small entry; a new `Store` stands for the next process.

use super::*;
use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
    sync::atomic::{AtomicU32, Ordering},
};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("cache")).unwrap();
    (dir, store)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| Error::io("writing", path, e))
}

/// What a next process of this cache would see.
fn again(store: &Store) -> Store {
    Store::open(store.root().to_owned()).unwrap()
}

/// A small tree: an executable, a library below a directory, a link.
fn tree(dir: &Path) -> Result<()> {
    let lib = dir.join("lib");
    fs::create_dir(&lib).unwrap();
    write(&dir.join("qemu"), "the program")?;
    write(&lib.join("libm.so.6"), "a library")?;
    symlink("libm.so.6", lib.join("libm.so")).unwrap();
    for file in ["qemu", "lib/libm.so.6"] {
        fs::set_permissions(dir.join(file), Permissions::from_mode(0o555)).unwrap();
    }
    // As `Store::tree` does.
    for dir in [&lib, dir] {
        fs::set_permissions(dir, Permissions::from_mode(0o555)).unwrap();
    }
    Ok(())
}

/// Makes a sealed entry writable, for what a fault does to it.
fn unseal(entry: &Path) {
    for dir in [entry.to_owned(), entry.join("lib")] {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn a_directory_is_built_once_and_found_again() {
    let (_dir, store) = store();
    let key = Sha256::of(b"k");
    let builds = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let path = store
                    .derive("cell", &key, |dir| {
                        builds.fetch_add(1, Ordering::SeqCst);
                        write(&dir.join("a"), "b")
                    })
                    .unwrap();
                assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "b");
            });
        }
    });
    assert_eq!(builds.load(Ordering::SeqCst), 1);
    assert!(again(&store).derived("cell", &key).is_some());
    store.forget("cell", &key).unwrap();
    assert_eq!(store.derived("cell", &key), None);
    store.forget("cell", &key).unwrap();
    assert!(store.take_notes().is_empty());
}

#[test]
fn a_build_that_fails_or_died_leaves_nothing_that_looks_good() {
    let (_dir, store) = store();
    let key = Sha256::of(b"k");
    let failed = store.derive("cell", &key, |dir| {
        write(&dir.join("half"), "x")?;
        Err(Error::host("no"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "no");
    assert_eq!(store.derived("cell", &key), None);

    let left = store
        .kind_dir("cell")
        .unwrap()
        .join(format!(".building-{key}"));
    fs::create_dir(&left).unwrap();
    fs::write(left.join("half"), "x").unwrap();
    let path = store.derive("cell", &key, |_| Ok(())).unwrap();
    let names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, [MANIFEST], "what a dead process left is not adopted");
}

#[test]
fn whatever_is_altered_in_a_derived_directory_is_seen_mended_and_said() {
    type Fault = fn(&Path);
    let faults: [(&str, Fault); 16] = [
        ("qemu was altered", |at| flip(&at.join("qemu"))),
        ("qemu was altered", |at| {
            fs::remove_file(at.join("qemu")).unwrap();
            fs::write(at.join("qemu"), "").unwrap();
        }),
        ("qemu was altered", |at| {
            fs::set_permissions(at.join("qemu"), Permissions::from_mode(0o444)).unwrap();
        }),
        ("qemu is missing", |at| {
            fs::remove_file(at.join("qemu")).unwrap();
        }),
        ("qemu was altered", |at| {
            fs::rename(at.join("qemu"), at.join("lib/moved")).unwrap();
            symlink("lib/moved", at.join("qemu")).unwrap();
        }),
        ("lib/libm.so.6 was altered", |at| {
            flip(&at.join("lib/libm.so.6"));
        }),
        ("lib/libm.so.6 is missing", |at| {
            fs::remove_file(at.join("lib/libm.so.6")).unwrap();
        }),
        ("lib is missing", |at| {
            fs::remove_dir_all(at.join("lib")).unwrap();
        }),
        ("lib/libm.so was altered", |at| {
            fs::remove_file(at.join("lib/libm.so")).unwrap();
            symlink("/lib/libm.so.6", at.join("lib/libm.so")).unwrap();
        }),
        ("lib/libc.so.6 does not belong there", |at| {
            fs::write(at.join("lib/libc.so.6"), "another").unwrap();
        }),
        ("it has no manifest", |at| {
            fs::remove_file(at.join(MANIFEST)).unwrap();
        }),
        ("its manifest cannot be read", |at| {
            fs::write(at.join(MANIFEST), "").unwrap();
        }),
        ("", |at| flip(&at.join(MANIFEST))),
        ("its manifest cannot be read", |at| {
            let moved = at.with_extension("manifest");
            fs::rename(at.join(MANIFEST), &moved).unwrap();
            symlink(moved, at.join(MANIFEST)).unwrap();
        }),
        ("it is not a directory", |at| {
            fs::rename(at, at.with_extension("gone")).unwrap();
            fs::write(at, "a file").unwrap();
        }),
        ("it is not a directory", |at| {
            fs::rename(at, at.with_extension("gone")).unwrap();
            symlink(at.with_extension("gone"), at).unwrap();
        }),
    ];
    for (expected, fault) in faults {
        let (_dir, store) = store();
        let key = Sha256::of(b"k");
        let path = store.derive("tree", &key, tree).unwrap();
        unseal(&path);
        fault(&path);

        let next = again(&store);
        let found = next.find("tree", &key).unwrap_err();
        assert!(found.to_string().contains(expected), "{expected}: {found}");
        let path = next.derive("tree", &key, tree).unwrap();
        assert_eq!(
            fs::read_to_string(path.join("qemu")).unwrap(),
            "the program"
        );
        assert_eq!(
            fs::read_to_string(path.join("lib/libm.so")).unwrap(),
            "a library"
        );
        let notes = next.take_notes();
        assert_eq!(notes.len(), 1, "{expected}: {notes:?}");
        assert!(notes[0].contains(expected), "{expected}: {notes:?}");
        assert!(
            notes[0].ends_with("; it was removed and rebuilt"),
            "{notes:?}"
        );
        // Mended: the next one finds nothing to say.
        assert!(again(&store).find("tree", &key).unwrap().is_some());
    }
}

#[test]
fn two_directories_that_were_exchanged_are_known_by_their_own_names() {
    let (_dir, store) = store();
    let keys = [Sha256::of(b"6.12"), Sha256::of(b"7.2")];
    let build = |n: usize| move |dir: &Path| write(&dir.join("ram.img"), &format!("kernel {n}"));
    let paths: Vec<PathBuf> = (0..2)
        .map(|n| store.derive("checkpoint", &keys[n], build(n)).unwrap())
        .collect();
    let aside = store.root().join("aside");
    fs::rename(&paths[0], &aside).unwrap();
    fs::rename(&paths[1], &paths[0]).unwrap();
    fs::rename(&aside, &paths[1]).unwrap();

    let next = again(&store);
    for n in 0..2 {
        let found = next.find("checkpoint", &keys[n]).unwrap_err().to_string();
        let other = keys[1 - n].short();
        let expected = format!("it is checkpoint {other}, under the wrong name");
        assert!(found.contains(&expected), "{found}");
        let path = next.derive("checkpoint", &keys[n], build(n)).unwrap();
        let ram = fs::read_to_string(path.join("ram.img")).unwrap();
        assert_eq!(ram, format!("kernel {n}"));
    }
    // A kernel under a checkpoint's name is none either.
    let dir = next.kind_dir("kernel").unwrap().join(keys[0].to_string());
    fs::rename(&paths[0], dir).unwrap();
    assert!(again(&store).find("kernel", &keys[0]).is_err());
}

#[test]
fn what_is_in_doubt_and_cannot_be_made_anew_is_gone_and_the_error_says_both() {
    let (_dir, store) = store();
    let key = Sha256::of(b"k");
    let path = store.derive("tree", &key, tree).unwrap();
    unseal(&path);
    flip(&path.join("qemu"));
    let next = again(&store);
    let error = next
        .derive("tree", &key, |_| {
            Err(Error::fetch("offline").hint("go online"))
        })
        .unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: the cached tree 8254c329a928 is in doubt: qemu was altered; it was removed; rebuilding it
      caused by: offline
      help: go online
    ");
    assert!(!path.exists());
}

#[test]
fn a_file_altered_while_its_directory_is_in_use_is_seen_before_the_next_boot() {
    let (_dir, store) = store();
    let key = Sha256::of(b"k");
    let path = store.derive("tree", &key, tree).unwrap();
    store.check_again(&path.join("qemu")).unwrap();
    unseal(&path);
    flip(&path.join("qemu"));
    let error = store.check_again(&path.join("qemu")).unwrap_err();
    assert!(error.to_string().contains("qemu was altered"), "{error}");
    assert!(error.next_step().unwrap().contains("it was removed"));
    assert_eq!(store.derived("tree", &key), None);
    // An answer without evidence is none.
    assert!(store.check_again(Path::new("/etc/passwd")).is_err());
}

#[test]
fn what_is_replaced_stays_until_the_new_one_is_whole() {
    let (_dir, store) = store();
    let key = Sha256::of(b"k");
    let path = store
        .derive("cell", &key, |dir| write(&dir.join("a"), "old"))
        .unwrap();
    let text = || fs::read_to_string(path.join("a")).unwrap();
    let failed = store.replace("cell", &key, |_| Err(Error::host("full")));
    assert!(failed.is_err());
    assert_eq!(text(), "old");
    store
        .replace("cell", &key, |dir| {
            assert_eq!(text(), "old");
            write(&dir.join("a"), "new")
        })
        .unwrap();
    assert_eq!(text(), "new");
    // This process knew the old one: that is not the one that is there.
    let found = store.find("cell", &key).unwrap().unwrap();
    assert_eq!(fs::read_to_string(found.join("a")).unwrap(), "new");
}

#[test]
fn a_kind_that_is_a_link_is_not_followed() {
    let (dir, store) = store();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, store.root().join("derived/cell")).unwrap();
    let key = Sha256::of(b"k");
    let error = store.derive("cell", &key, |_| Ok(())).unwrap_err().render();
    assert!(error.contains("follows no link"), "{error}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(store.derive("thesis", &key, |_| Ok(())).is_err());
}
