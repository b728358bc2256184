//! `diorama cache`.

use super::{
    args::{CacheArgs, CacheVerb, Places},
    context::Context,
    print, print_json,
};
use crate::{
    error::{Exit, Result},
    run::CHECKPOINTS,
    store::Store,
};

/// What goes first when the cache must shrink: what costs least to make again.
const CHEAPEST_FIRST: [&str; 7] = [
    "initramfs-with-job",
    CHECKPOINTS,
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
        CacheVerb::List(_) => print(table(&store)?.as_bytes())?,
        CacheVerb::Shrink { max } => {
            let freed = shrink(&store, *max)?;
            print(format!("{} MiB freed\n", freed >> 20).as_bytes())?;
        }
        CacheVerb::Clear => {
            let freed = store.clear()?;
            print(format!("{} MiB freed\n", freed >> 20).as_bytes())?;
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
    let usage = store.usage()?;
    let total: u64 = usage.iter().map(|e| e.bytes).sum();
    let mut excess = total.saturating_sub(max);
    let mut freed = 0;
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
