//! A workload's TOML as written (pure).

use crate::scenario::fio::keys::JobFileText;
use crate::scenario::problems::{At, Place};
use crate::scenario::section::Section;

/// `[workloads.NAME]`
#[derive(Debug)]
pub(in crate::scenario) struct RawWorkload {
    pub(in crate::scenario) name: At<String>,
    pub(super) ioengine: Option<At<String>>,
    pub(super) rw: Option<At<String>>,
    pub(super) rwmixread: Option<At<u64>>,
    pub(super) randseed: Option<At<u64>>,
    pub(super) bs: Option<At<String>>,
    pub(super) iodepth: Option<At<u64>>,
    pub(super) iodepth_batch: Option<At<u64>>,
    pub(super) complete_min: Option<At<u64>>,
    pub(super) complete_max: Option<At<u64>>,
    pub(super) numjobs: Option<At<u64>>,
    pub(super) size: Option<At<String>>,
    pub(super) overwrite: Option<At<bool>>,
    pub(super) fallocate: Option<At<String>>,
    pub(super) file_append: Option<At<bool>>,
    pub(super) sync: Option<At<String>>,
    pub(super) rwf_dsync: Option<At<bool>>,
    pub(super) fdatasync: Option<At<u64>>,
    pub(super) fixedbufs: Option<At<bool>>,
    pub(super) registerfiles: Option<At<bool>>,
    pub(super) hipri: Option<At<bool>>,
    pub(super) runtime: Option<At<String>>,
    pub(super) number_ios: Option<At<u64>>,
    pub(in crate::scenario) via: Option<At<String>>,
    pub(in crate::scenario) fio: Option<JobFileText>,
}

impl RawWorkload {
    /// Where a key would have been written.
    pub(super) fn place(&self, key: &str) -> Place {
        Place {
            key: format!("{}.{key}", self.name.at.key),
            offset: self.name.at.offset,
        }
    }

    /// Where a value was written, or would have been.
    pub(super) fn place_of<T>(&self, value: Option<&At<T>>, key: &str) -> Place {
        value.map_or_else(|| self.place(key), |value| value.at.clone())
    }
}

/// fio's words, but for `rwf_dsync`, which fio has none for, and for who runs it.
const KEYS: &[&str] = &[
    "ioengine",
    "rw",
    "rwmixread",
    "randseed",
    "bs",
    "iodepth",
    "iodepth_batch",
    "iodepth_batch_complete_min",
    "iodepth_batch_complete_max",
    "numjobs",
    "size",
    "overwrite",
    "fallocate",
    "file_append",
    "sync",
    "rwf_dsync",
    "fdatasync",
    "fixedbufs",
    "registerfiles",
    "hipri",
    "runtime",
    "number_ios",
    "via",
    "fio",
];

/// The tables below `[workloads]`, in the file's order.
pub(in crate::scenario) fn workloads(top: &Section<'_, '_>) -> Vec<RawWorkload> {
    let read = |(name, section): (At<String>, Section<'_, '_>)| RawWorkload {
        name,
        ioengine: section.text("ioengine"),
        rw: section.text("rw"),
        rwmixread: section.whole("rwmixread"),
        randseed: section.whole("randseed"),
        bs: section.quantity("bs"),
        iodepth: section.whole("iodepth"),
        iodepth_batch: section.whole("iodepth_batch"),
        complete_min: section.whole("iodepth_batch_complete_min"),
        complete_max: section.whole("iodepth_batch_complete_max"),
        numjobs: section.whole("numjobs"),
        size: section.quantity("size"),
        overwrite: section.flag("overwrite"),
        fallocate: section.text("fallocate"),
        file_append: section.flag("file_append"),
        sync: section.text("sync"),
        rwf_dsync: section.flag("rwf_dsync"),
        fdatasync: section.whole("fdatasync"),
        fixedbufs: section.flag("fixedbufs"),
        registerfiles: section.flag("registerfiles"),
        hipri: section.flag("hipri"),
        runtime: section.text("runtime"),
        number_ios: section.whole("number_ios"),
        via: section.text("via"),
        fio: section.text("fio").map(|path| JobFileText {
            path,
            text: Err("nobody has read it".to_owned()),
            beside: section.others("fio"),
        }),
    };
    top.named("workloads", KEYS).into_iter().map(read).collect()
}
