//! A workload's TOML as written (pure).

use crate::scenario::{
    problems::{At, Place},
    section::Section,
};

/// `[workloads.NAME]`
#[derive(Debug)]
pub(in crate::scenario) struct RawWorkload {
    pub(in crate::scenario) name: At<String>,
    pub(in crate::scenario) ioengine: Option<At<String>>,
    pub(in crate::scenario) rw: Option<At<String>>,
    pub(in crate::scenario) rwmixread: Option<At<u64>>,
    pub(in crate::scenario) randseed: Option<At<u64>>,
    pub(in crate::scenario) bs: Option<At<String>>,
    pub(in crate::scenario) iodepth: Option<At<u64>>,
    pub(in crate::scenario) iodepth_batch: Option<At<u64>>,
    pub(in crate::scenario) complete_min: Option<At<u64>>,
    pub(in crate::scenario) complete_max: Option<At<u64>>,
    pub(in crate::scenario) numjobs: Option<At<u64>>,
    pub(in crate::scenario) filename: Option<At<String>>,
    pub(in crate::scenario) offset_increment: Option<At<String>>,
    pub(in crate::scenario) size: Option<At<String>>,
    pub(in crate::scenario) overwrite: Option<At<bool>>,
    pub(in crate::scenario) fallocate: Option<At<String>>,
    pub(in crate::scenario) file_append: Option<At<bool>>,
    pub(in crate::scenario) sync: Option<At<String>>,
    pub(in crate::scenario) rwf_dsync: Option<At<bool>>,
    pub(in crate::scenario) fdatasync: Option<At<u64>>,
    pub(in crate::scenario) fixedbufs: Option<At<bool>>,
    pub(in crate::scenario) registerfiles: Option<At<bool>>,
    pub(in crate::scenario) hipri: Option<At<bool>>,
    pub(in crate::scenario) runtime: Option<At<String>>,
    pub(in crate::scenario) number_ios: Option<At<u64>>,
    pub(in crate::scenario) via: Option<At<String>>,
    pub(in crate::scenario) fio: Option<JobFileText>,
    /// Keys that are about a job file.
    pub(in crate::scenario) about_file: Vec<Place>,
}

/// A job file that a workload names, and what is said about it.
#[derive(Debug)]
pub(in crate::scenario) struct JobFileText {
    /// The path as written.
    pub(in crate::scenario) path: At<String>,
    /// The only section to run.
    pub(in crate::scenario) section: Option<At<String>>,
    /// Whether sizes and times may be scaled.
    pub(in crate::scenario) scale: Option<At<String>>,
    /// Whether files are written first.
    pub(in crate::scenario) overwrite: Option<At<bool>>,
    /// The workload's other keys.
    pub(in crate::scenario) beside: Vec<Place>,
}

impl RawWorkload {
    /// Where a key would have been written.
    pub(in crate::scenario) fn place(&self, key: &str) -> Place {
        Place {
            key: format!("{}.{key}", self.name.at.key),
            offset: self.name.at.offset,
        }
    }

    /// Where a value was written, or would have been.
    pub(in crate::scenario) fn place_of<T>(&self, value: Option<&At<T>>, key: &str) -> Place {
        value.map_or_else(|| self.place(key), |value| value.at.clone())
    }
}

/// fio's words, but for `rwf_dsync`, which fio has none for, and for who runs it and how.
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
    "filename",
    "offset_increment",
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
    "section",
    "scale",
];

/// Keys that say more about a job file.
const ABOUT_FILE: [&str; 4] = ["fio", "section", "scale", "overwrite"];

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
        filename: section.text("filename"),
        offset_increment: section.quantity("offset_increment"),
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
            section: section.text("section"),
            scale: section.text("scale"),
            overwrite: section.flag("overwrite"),
            beside: section.others(&ABOUT_FILE),
        }),
        about_file: (["section", "scale"].into_iter())
            .filter_map(|key| section.text(key).map(|value| value.at))
            .collect(),
    };
    top.named("workloads", KEYS).into_iter().map(read).collect()
}
