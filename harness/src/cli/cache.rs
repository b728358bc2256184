//! `diorama cache`.

use super::{
    args::{CacheArgs, CacheVerb, Places},
    context::Context,
    print_json, print_text,
};
use crate::{
    error::{Exit, Result},
    run::CHECKPOINTS,
    store::{LEFTOVER, Store},
};

/// What goes first when the cache must shrink: what costs least to make again.
const CHEAPEST_FIRST: [&str; 15] = [
    "quarantine",
    "partial",
    "initramfs-with-job",
    "compiler",
    "carried",
    "image",
    CHECKPOINTS,
    "fio",
    "contents",
    "symbols",
    "tree",
    "kernel",
    "initramfs",
    "files",
    "cell",
];

/// Shows, shrinks or clears the cache.
pub fn cache(places: &Places, args: &CacheArgs) -> Result<Exit> {
    let store = Context::store(places)?;
    match &args.verb {
        CacheVerb::List(list) if list.json => print_json(&store.usage()?)?,
        CacheVerb::List(_) => print_text(&table(&store)?)?,
        CacheVerb::Shrink { max } => {
            let freed = shrink(&store, *max)?;
            print_text(&format!("{} MiB freed\n", freed >> 20))?;
        }
        CacheVerb::Clear => {
            let freed = store.clear()?;
            print_text(&format!("{} MiB freed\n", freed >> 20))?;
        }
    }
    Ok(Exit::Ok)
}

fn table(store: &Store) -> Result<String> {
    let usage = store.usage()?;
    let mut text = format!("{}\n", store.root().display());
    for entry in &usage {
        text.push_str(&format!(
            "{:<20} {:>6} entries {:>8} MiB\n",
            entry.kind,
            entry.entries,
            entry.bytes >> 20
        ));
    }
    let total: u64 = usage.iter().map(|e| e.bytes).sum();
    text.push_str(&format!(
        "{:<20} {:>6}         {:>8} MiB\n",
        "all",
        "",
        total >> 20
    ));
    Ok(text)
}

fn shrink(store: &Store, max: u64) -> Result<u64> {
    // Nobody can use these, however much room there is.
    let mut freed = store.shrink(LEFTOVER, 0)?;
    let usage = store.usage()?;
    let total: u64 = usage.iter().map(|e| e.bytes).sum();
    let mut excess = total.saturating_sub(max);
    for kind in CHEAPEST_FIRST {
        let Some(entry) = usage.iter().find(|e| e.kind == kind) else {
            continue;
        };
        if excess == 0 {
            break;
        }
        let gone = store.shrink(kind, entry.bytes.saturating_sub(excess))?;
        freed += gone;
        excess = excess.saturating_sub(gone);
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::Sha256, store};
    use std::fs;

    #[test]
    fn leftovers_go_whatever_room_there_is_and_all_kinds_can_be_shrunk() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_owned()).unwrap();
        let key = Sha256::of(b"k");
        let fill = |path: &std::path::Path| fs::write(path, vec![1; 8192]).unwrap();
        let left = dir.path().join(".checkpoint-a1b2c3");
        fs::create_dir(&left).unwrap();
        fill(&left.join("ram.img"));
        for part in ["files", "partial", "quarantine"] {
            fill(&dir.path().join(part).join(key.to_string()));
        }
        for kind in store::KINDS {
            let build = |dir: &std::path::Path| {
                fill(&dir.join("x"));
                Ok(())
            };
            store.derive(kind, &key, build).unwrap();
        }
        store.release();
        let total =
            |store: &Store| -> u64 { store.usage().unwrap().iter().map(|kind| kind.bytes).sum() };
        assert_eq!(shrink(&store, 1 << 30).unwrap(), 8192);
        assert!(!left.exists());
        let all = total(&store);
        assert!(all >= 10 * 8192);
        assert_eq!(shrink(&store, 0).unwrap(), all);
        assert_eq!(total(&store), 0);
    }
}
