//! What a scenario's workloads differ in, where that is one number (pure).

use crate::{scenario::WorkloadSpec, units::show_bytes};
use diorama_wire::Workload;
use serde::Serialize;
use std::collections::BTreeSet;

/// A key of workloads that has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AxisKey {
    /// `iodepth`
    Iodepth,
    /// `bs`, in bytes.
    Bs,
}

impl AxisKey {
    /// The key's name, which an axis has as its title.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AxisKey::Iodepth => "iodepth",
            AxisKey::Bs => "bs",
        }
    }

    /// A value as the axis shows it.
    #[must_use]
    pub fn show(self, value: u32) -> String {
        match self {
            AxisKey::Iodepth => value.to_string(),
            AxisKey::Bs => show_bytes(value.into()),
        }
    }

    fn value(self, job: &Workload) -> u32 {
        match self {
            AxisKey::Iodepth => job.iodepth,
            AxisKey::Bs => job.block_size,
        }
    }

    /// Whether two workloads differ in this key alone. Files that were rounded to whole blocks of
    /// one length and of another are the same file.
    fn alone(self, one: &Workload, other: &Workload) -> bool {
        let mut moved = other.clone();
        match self {
            AxisKey::Iodepth => moved.iodepth = one.iodepth,
            AxisKey::Bs => {
                moved.block_size = one.block_size;
                let longest = one.block_size.max(other.block_size);
                if one.file_size.abs_diff(other.file_size) < longest.into() {
                    moved.file_size = one.file_size;
                }
            }
        }
        moved == *one
    }

    /// Whether fio is told the same but for this key: what a job file amounts to is not all of it.
    /// What a section is called says nothing; a file of whole blocks has a size of its own.
    fn alone_for_fio(self, one: &WorkloadSpec, other: &WorkloadSpec) -> bool {
        let names: &[&str] = match self {
            AxisKey::Iodepth => &["iodepth"],
            AxisKey::Bs => &["bs", "blocksize", "size", "io_size"],
        };
        let told = |line: &&str| {
            let name = line.split('=').next().unwrap_or_default().trim();
            !line.starts_with('[') && !names.contains(&name)
        };
        let told = |fio: &diorama_wire::Fio| -> Vec<String> {
            fio.jobs.lines().filter(told).map(str::to_owned).collect()
        };
        one.fio.as_ref().map(told) == other.fio.as_ref().map(told)
    }
}

/// A number that workloads differ in, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// The workload key that differs.
    pub key: AxisKey,
    /// Workloads and their values, in the order of the tables.
    pub points: Vec<(String, u32)>,
}

impl Axis {
    /// The axis of several workloads, if they have one; all those that are shown must be among them.
    pub(super) fn of(workloads: &[WorkloadSpec], shown: &[String]) -> Option<Axis> {
        let (first, others) = workloads.split_first()?;
        if others.is_empty() {
            return None;
        }
        let alone = |key: &AxisKey| {
            let like_first = |other: &WorkloadSpec| {
                key.alone(&first.job, &other.job) && key.alone_for_fio(first, other)
            };
            let values: BTreeSet<u32> = workloads.iter().map(|w| key.value(&w.job)).collect();
            others.iter().all(like_first) && values.len() == workloads.len()
        };
        let key = [AxisKey::Iodepth, AxisKey::Bs].into_iter().find(alone)?;
        let point = |name: &String| {
            let found = workloads.iter().find(|w| w.name == *name)?;
            Some((name.clone(), key.value(&found.job)))
        };
        let points = shown.iter().map(point).collect::<Option<_>>()?;
        Some(Axis { key, points })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_wire::{Bound, Engine, Rw};

    fn workload(bs: u32, iodepth: u32, size: u64) -> WorkloadSpec {
        let job = Workload::new(Engine::Libaio, Rw::Write, bs, iodepth, size, Bound::Ios(1));
        WorkloadSpec {
            name: format!("w{bs}-{iodepth}"),
            job,
            fio: None,
            notes: Vec::new(),
        }
    }

    fn axis(workloads: &[WorkloadSpec]) -> Option<(AxisKey, Vec<u32>)> {
        let shown: Vec<String> = workloads.iter().map(|w| w.name.clone()).collect();
        let axis = Axis::of(workloads, &shown)?;
        Some((axis.key, axis.points.into_iter().map(|(_, v)| v).collect()))
    }

    #[test]
    fn files_rounded_to_whole_blocks_are_one_file() {
        let of = |bs: u32| workload(bs, 64, (64 << 20) / u64::from(bs) * u64::from(bs));
        let sizes = [4096, 12_288, 16_384];
        let over = axis(&sizes.map(of));
        assert_eq!(over, Some((AxisKey::Bs, sizes.to_vec())));
        // A file of another length is another workload.
        let other = [workload(4096, 64, 1 << 20), workload(8192, 64, 2 << 20)];
        assert_eq!(axis(&other), None);
    }

    #[test]
    fn job_files_that_differ_in_more_than_the_number_are_no_axis() {
        let of = |iodepth: u32, jobs: &str| WorkloadSpec {
            fio: Some(diorama_wire::Fio {
                jobs: jobs.to_owned(),
                files: Vec::new(),
            }),
            ..workload(4096, iodepth, 1 << 20)
        };
        let same = [
            of(1, "[a]\niodepth=1\nrate=1m\n"),
            of(8, "[b]\niodepth=8\nrate=1m\n"),
        ];
        assert_eq!(axis(&same), Some((AxisKey::Iodepth, vec![1, 8])));
        let other = [
            of(1, "[a]\niodepth=1\n"),
            of(8, "[a]\niodepth=8\nrate=1m\n"),
        ];
        assert_eq!(axis(&other), None);
    }

    #[test]
    fn two_numbers_at_once_are_no_axis() {
        let both = [workload(4096, 1, 1 << 20), workload(8192, 2, 1 << 20)];
        assert_eq!(axis(&both), None);
        let by_fio = WorkloadSpec {
            fio: Some(diorama_wire::Fio {
                jobs: String::new(),
                files: Vec::new(),
            }),
            ..both[0].clone()
        };
        assert_eq!(
            axis(&[both[0].clone(), by_fio.clone()]),
            None,
            "one depth, by two programs"
        );
        assert_eq!(axis(&[workload(4096, 2, 1 << 20), by_fio]), None);
        let depths = [workload(4096, 8, 1 << 20), workload(4096, 2, 1 << 20)];
        assert_eq!(axis(&depths), Some((AxisKey::Iodepth, vec![8, 2])));
    }

    #[test]
    fn values_are_shown_as_scenarios_write_them() {
        assert_eq!(AxisKey::Iodepth.show(64), "64");
        assert_eq!(AxisKey::Bs.show(12_288), "12 KiB");
        assert_eq!(AxisKey::Bs.show(1536), "1536 B");
        assert_eq!(AxisKey::Bs.show(4 << 20), "4 MiB");
    }
}
