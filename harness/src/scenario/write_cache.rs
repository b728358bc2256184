//! The model device's volatile write cache (pure).

use super::parse::RawModel;
use super::problems::{Place, Problems};
use super::{
    defaults,
    rules::{check_latency, choice, quantity},
};
use crate::units::{parse_nanos, show_nanos};
use diorama_wire::WriteCache;

/// The cache of a device of a given latency, if it shall have one. None when something is wrong
/// with it.
pub(super) fn write_cache(
    raw: &RawModel,
    latency: Option<u64>,
    problems: &mut Problems,
) -> Option<Option<WriteCache>> {
    let words = [("none", false), ("volatile", true)];
    let volatile = match &raw.write_cache {
        Some(word) => choice(word, "write caches", &words, problems)?,
        None => false,
    };
    if !volatile {
        // That there is no FUA is true of it.
        let fua = raw.fua.as_ref().filter(|fua| fua.value).map(|fua| &fua.at);
        let flush = raw.flush_latency.as_ref().map(|flush| &flush.at);
        let needless: Vec<&Place> = fua.into_iter().chain(flush).collect();
        for at in &needless {
            let what = "has no effect: a drive without a volatile write cache is never flushed";
            problems.add(at, what, "add write_cache = \"volatile\", or remove it");
        }
        return needless.is_empty().then_some(None);
    }
    let flush = match &raw.flush_latency {
        Some(text) => {
            let ns = quantity(Some(text), "", parse_nanos, problems);
            check_latency(text, ns, problems);
            ns?
        }
        None => latency?,
    };
    let fua = raw
        .fua
        .as_ref()
        .map_or(defaults::MODEL_FUA, |fua| fua.value);
    if let (Some(at), Some(latency)) = (&raw.fua, latency)
        && fua
        && flush > latency
    {
        let what = format!(
            "is true, but then a durable write would take {} while the flush it avoids takes {}: \
             the drive model has one latency for all its writes",
            show_nanos(latency),
            show_nanos(flush)
        );
        let next = "use fua = false, or a flush_latency of at most the latency";
        problems.add(&at.at, what, next);
        return None;
    }
    Some(Some(WriteCache {
        fua,
        flush_latency_ns: flush,
    }))
}
