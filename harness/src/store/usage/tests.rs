use super::*;
use crate::{digest::Sha256, store::lease::Lease};
use std::os::unix::fs::symlink;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("cache")).unwrap();
    (dir, store)
}

fn fill(dir: &Path) -> Result<()> {
    fs::write(dir.join("x"), vec![1; 8192]).map_err(|e| Error::io("writing", dir, e))
}

/// Everything below a directory, sorted.
fn listing(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(listing(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn the_least_recently_used_goes_first() {
    let (_dir, store) = store();
    let keys = [b"a", b"b", b"c"].map(|k| Sha256::of(k));
    for (age, key) in (1..).zip(&keys) {
        let path = store.derive("cell", key, fill).unwrap();
        let old = SystemTime::now() - std::time::Duration::from_secs(1000 - age);
        fs::File::open(path).unwrap().set_modified(old).unwrap();
    }
    assert!(
        store.derived("cell", &keys[0]).is_some(),
        "used: now the youngest"
    );
    store.release();
    let cells = |store: &Store| store.usage().unwrap().pop().unwrap();
    let each = cells(&store).bytes / 3;
    assert!(each >= 8192);
    assert_eq!(store.shrink("cell", 2 * each).unwrap(), each);
    let left = keys.map(|k| store.derived("cell", &k).is_some());
    assert_eq!(left, [true, false, true]);
    let cells = cells(&store);
    assert_eq!(
        (cells.kind.as_str(), cells.entries, cells.bytes),
        ("cell", 2, 2 * each)
    );
    store.release();
    assert_eq!(store.clear().unwrap(), 2 * each);
}

#[test]
fn clearing_takes_the_stores_own_and_nothing_else_and_follows_no_link() {
    let (dir, store) = store();
    let root = store.root().to_owned();
    let key = Sha256::of(b"k").to_string();
    let outside = dir.path().join("outside");
    fs::create_dir_all(outside.join(&key)).unwrap();
    fs::write(outside.join(&key).join("thesis.txt"), "years").unwrap();
    for part in ["files", "partial", "quarantine", "derived", "derived/tree"] {
        fs::create_dir_all(root.join(part)).unwrap();
        fs::write(root.join(part).join("thesis.txt"), "years").unwrap();
        fs::create_dir(root.join(part).join("drafts")).unwrap();
    }
    fs::create_dir(root.join("files").join(&key)).unwrap();
    symlink(outside.join(&key), root.join("partial").join(&key)).unwrap();
    symlink(outside.join(&key), root.join("derived/tree").join(&key)).unwrap();
    symlink(&outside, root.join("derived/cell")).unwrap();
    symlink(&outside, root.join(".checkpoint-linked")).unwrap();
    let kind = root.join("derived/notes");
    fs::create_dir_all(kind.join(&key)).unwrap();
    let before = (listing(&root), listing(&outside));

    // Of the store's own there is one of each.
    let other = Sha256::of(b"other");
    for part in ["files", "partial", "quarantine"] {
        fs::write(root.join(part).join(other.to_string()), "x").unwrap();
    }
    store.derive("kernel", &other, fill).unwrap();
    store.release();
    store.clear().unwrap();
    fs::remove_dir(root.join("derived/kernel")).unwrap();
    assert_eq!((listing(&root), listing(&outside)), before);
}

#[test]
fn what_is_in_use_stays() {
    let (_dir, run) = store();
    let key = Sha256::of(b"k");
    let path = run.derive("checkpoint", &key, fill).unwrap();
    let file = run.root().join("files").join(key.to_string());
    fs::write(&file, "a package").unwrap();
    let lease = Lease::take(&file).unwrap();

    // `cache clear` and `cache shrink` of another process.
    let other = Store::open(run.root().to_owned()).unwrap();
    assert_eq!(other.clear().unwrap(), 0);
    assert_eq!(other.shrink("checkpoint", 0).unwrap(), 0);
    assert!(path.join("x").exists() && file.exists());

    drop(lease);
    run.release();
    assert!(other.clear().unwrap() > 8192);
    assert!(!path.exists() && !file.exists());
    // Held by its finder only.
    run.derive("cell", &key, fill).unwrap();
    run.release();
    let found = run.find("cell", &key).unwrap().unwrap();
    assert_eq!(other.clear().unwrap(), 0);
    drop(found);
    assert!(other.clear().unwrap() > 0);
}

#[test]
fn what_dead_processes_left_is_counted_and_goes() {
    let (_dir, store) = store();
    let root = store.root().to_owned();
    let key = Sha256::of(b"k");
    store.kind_dir("tree").unwrap();
    for left in [
        root.join(".checkpoint-a1b2c3"),
        root.join(format!("derived/tree/.building-{key}")),
        root.join(format!("derived/tree/.removing-{key}")),
    ] {
        fs::create_dir(&left).unwrap();
        fill(&left).unwrap();
    }
    for part in ["partial", "quarantine"] {
        fs::write(root.join(part).join(key.to_string()), "x").unwrap();
    }
    // One that lives: another process saves a checkpoint, or builds.
    let live = store.staging().unwrap();
    let lock = Flock::exclusive(&store.derived_lock("cell", key), |_| ()).unwrap();
    let building = store
        .kind_dir("cell")
        .unwrap()
        .join(format!(".building-{key}"));
    fs::create_dir(&building).unwrap();
    fs::create_dir(root.join(".checkpoint-d4e5f6")).unwrap();

    let usage = store.usage().unwrap();
    let left = usage.iter().find(|u| u.kind == LEFTOVER).unwrap();
    assert_eq!(left.entries, 4, "{usage:?}");
    store.clear().unwrap();
    assert!(live.path().exists() && building.exists());
    drop((live, lock));
    store.clear().unwrap();
    let left = [
        listing(&root.join("derived/tree")),
        listing(&root.join("derived/cell")),
    ];
    assert!(left.iter().all(Vec::is_empty), "{left:?}");
    let left: Vec<PathBuf> = ["partial", "quarantine"]
        .iter()
        .flat_map(|part| listing(&root.join(part)))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(
        !listing(&root)
            .iter()
            .any(|p| p.display().to_string().contains(".checkpoint-"))
    );
}
