//! A scenario's values under the keys that scenarios write them with: what two of them differ in (pure).

use super::{Device, FilesystemSpec, Scenario, SubjectKey, Variant, WorkloadSpec};
use crate::units::{show_bytes, show_nanos};
use diorama_wire::{Batch, Bound, Conditioning, IoUring, Measure, ModelDevice, Workload};
use serde::Serialize;
use std::fmt;

/// A key whose value is another one in another scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// As scenarios write it: `model.scheduler`.
    pub key: String,
    /// Its value in the first scenario; `-` where it has none.
    pub from: String,
    /// Its value in the second.
    pub to: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.key, self.from, self.to)
    }
}

/// What a cell on this file system with this workload is measured with in `b` and not in `a`. Which
/// kernels, claims and sessions they have is left aside.
#[must_use]
pub fn differences(
    a: &Scenario,
    b: &Scenario,
    (filesystem, workload): (&str, &str),
) -> Vec<Difference> {
    let values = |scenario: &Scenario| {
        let mut values = Values::default();
        values.scenario(scenario);
        let mut filesystems = scenario.filesystems.iter();
        if let Some(spec) = filesystems.find(|spec| spec.name == filesystem) {
            values.filesystem(spec);
        }
        let mut workloads = scenario.workloads.iter();
        if let Some(spec) = workloads.find(|spec| spec.name == workload) {
            values.workload(spec);
        }
        values.0
    };
    let (a, b) = (values(a), values(b));
    let value = |values: &[(String, String)], key: &str| {
        let found = values.iter().find(|(known, _)| known == key);
        found.map_or_else(|| "-".to_owned(), |(_, value)| value.clone())
    };
    let added = b.iter().filter(|(key, _)| a.iter().all(|(k, _)| k != key));
    let keys = a.iter().chain(added).map(|(key, _)| key);
    keys.filter_map(|key| {
        let (from, to) = (value(&a, key), value(&b, key));
        (from != to).then(|| Difference {
            key: key.clone(),
            from,
            to,
        })
    })
    .collect()
}

impl Scenario {
    /// What a variant changes of the scenario as it is written, whichever cells have it.
    #[must_use]
    pub fn changes(&self, variant: &Variant) -> Vec<Difference> {
        let of = self.of(&SubjectKey {
            kernel: String::new(),
            variant: Some(variant.name.clone()),
        });
        let mut all: Vec<Difference> = Vec::new();
        for filesystem in &self.filesystems {
            for workload in &self.workloads {
                let found = differences(self, &of, (&filesystem.name, &workload.name));
                let is_new = |one: &Difference| !all.contains(one);
                let new: Vec<Difference> = found.into_iter().filter(is_new).collect();
                all.extend(new);
            }
        }
        all
    }
}

/// Keys and values. Every struct is taken apart, so that a new field is not forgotten here.
#[derive(Default)]
struct Values(Vec<(String, String)>);

impl Values {
    fn add(&mut self, key: &str, value: impl fmt::Display) {
        let value = value.to_string();
        let value = match value.as_str() {
            "" => "none".to_owned(),
            _ => value,
        };
        self.0.push((key.to_owned(), value));
    }

    fn scenario(&mut self, scenario: &Scenario) {
        self.device(&scenario.device, scenario.smp);
        self.conditioning(scenario.conditioning);
        self.add("guest.memory", mib(scenario.memory_mib));
        self.add("guest.smp", scenario.smp);
        self.add("guest.cmdline", scenario.cmdline.join(" "));
        self.measure(&scenario.measure);
    }

    fn device(&mut self, device: &Device, smp: u32) {
        self.add("device", device.kind().name());
        match device {
            Device::Model(model) => self.model(model, smp),
            Device::Nvme(nvme) => {
                self.add("nvme.size", mib(nvme.size_mib));
                self.add("nvme.block_size", nvme.block_size);
                self.add("nvme.queues", unless(nvme.queues, smp, "as guest.smp"));
                self.add("nvme.serial", &nvme.serial);
                self.add("nvme.scheduler", &nvme.scheduler);
            }
            Device::Disk(disk) => {
                self.add("the disk", &disk.serial);
                self.add("the disk's size", show_bytes(disk.size));
                self.add("the disk's block size", disk.block_size);
                self.add("nvme.queues", unless(disk.queues, smp, "as guest.smp"));
                self.add("nvme.scheduler", &disk.scheduler);
            }
            Device::Vfio(passed) => {
                let unknown = || "unknown".to_owned();
                let size = passed.size.map_or_else(unknown, show_bytes);
                let block = passed.block_size.map_or_else(unknown, |b| b.to_string());
                self.add("the controller", &passed.serial);
                self.add("the controller's size", size);
                self.add("the controller's block size", block);
                self.add("nvme.scheduler", &passed.scheduler);
            }
        }
    }

    fn model(&mut self, model: &ModelDevice, smp: u32) {
        let ModelDevice {
            size_mib,
            block_size,
            latency_ns,
            bandwidth_mib_s,
            hw_queue_depth,
            submit_queues,
            scheduler,
            stack,
            write_cache,
        } = model;
        self.add("model.size", mib(*size_mib));
        self.add("model.block_size", block_size);
        self.add("model.latency", show_nanos(*latency_ns));
        let bandwidth = bandwidth_mib_s.map(|mib| format!("{mib} MiB/s"));
        self.add("model.bandwidth", bandwidth.unwrap_or_default());
        self.add("model.queue_depth", hw_queue_depth);
        let queues = unless(*submit_queues, smp, "as guest.smp");
        self.add("model.submit_queues", queues);
        self.add("model.scheduler", scheduler);
        let layers: Vec<_> = stack.iter().map(|layer| layer.name()).collect();
        self.add("model.stack", layers.join(" "));
        let kind = write_cache.map(|_| "volatile");
        self.add("model.write_cache", kind.unwrap_or_default());
        // Without a cache they have their defaults, and do not differ by themselves.
        self.add("model.fua", write_cache.is_some_and(|cache| cache.fua));
        let flush = write_cache.map(|cache| cache.flush_latency_ns);
        let flush = flush.filter(|flush| flush != latency_ns).map(show_nanos);
        let flush = flush.unwrap_or_else(|| "as model.latency".to_owned());
        self.add("model.flush_latency", flush);
    }

    fn conditioning(&mut self, of: Conditioning) {
        let Conditioning {
            format,
            discard,
            precondition,
        } = of;
        self.add("conditioning.format", format.name());
        self.add("conditioning.discard", discard);
        self.add("conditioning.precondition", precondition.name());
    }

    fn measure(&mut self, of: &Measure) {
        let Measure {
            repetitions,
            warmup_ios,
            ramp_time_ns,
            phase_step_ns,
        } = of;
        self.add("measure.repetitions", repetitions);
        self.add("measure.warmup_ios", warmup_ios);
        self.add("measure.ramp_time", show_nanos(*ramp_time_ns));
        self.add("measure.phase_step", show_nanos(*phase_step_ns));
    }

    fn filesystem(&mut self, of: &FilesystemSpec) {
        let FilesystemSpec {
            name,
            kind,
            mkfs,
            mount_options,
        } = of;
        let at = |key: &str| format!("filesystems.{name}.{key}");
        self.add(&at("kind"), kind.name());
        self.add(&at("mkfs"), mkfs.join(" "));
        self.add(&at("mount_options"), mount_options);
    }

    fn workload(&mut self, of: &WorkloadSpec) {
        // Notes say what was made of a job file, which is compared itself.
        let WorkloadSpec {
            name,
            job,
            fio,
            notes: _,
        } = of;
        let at = |key: &str| format!("workloads.{name}.{key}");
        if let Some(fio) = fio {
            // All of the job is in it.
            let one_line = |text: &str| text.trim_end().replace('\n', "; ");
            self.add(&at("fio"), one_line(&fio.jobs));
            return;
        }
        let Workload {
            engine,
            rw,
            rwmixread,
            randseed,
            block_size,
            iodepth,
            batch,
            numjobs,
            filename,
            offset_increment,
            file_size,
            layout,
            sync,
            fdatasync,
            io_uring,
            bound,
        } = job;
        self.add(&at("ioengine"), engine.name());
        self.add(&at("rw"), rw.name());
        self.add(&at("rwmixread"), rwmixread);
        self.add(&at("randseed"), randseed);
        self.add(&at("bs"), show_bytes((*block_size).into()));
        self.add(&at("iodepth"), iodepth);
        let Batch {
            submit,
            complete_min,
            complete_max,
        } = batch;
        self.add(&at("iodepth_batch"), submit);
        self.add(&at("iodepth_batch_complete_min"), complete_min);
        let most = unless(*complete_max, *complete_min, "as the least");
        self.add(&at("iodepth_batch_complete_max"), most);
        self.add(&at("numjobs"), numjobs);
        self.add(&at("filename"), filename);
        self.add(&at("offset_increment"), show_bytes(*offset_increment));
        self.add(&at("size"), show_bytes(*file_size));
        self.add(&at("file"), layout.name());
        self.add(&at("sync"), sync.name());
        self.add(&at("fdatasync"), fdatasync);
        let IoUring {
            fixedbufs,
            registerfiles,
            hipri,
        } = io_uring;
        self.add(&at("fixedbufs"), fixedbufs);
        self.add(&at("registerfiles"), registerfiles);
        self.add(&at("hipri"), hipri);
        let (runtime, ios) = match bound {
            Bound::Runtime(ns) => (show_nanos(*ns), String::new()),
            Bound::Ios(ios) => (String::new(), ios.to_string()),
        };
        self.add(&at("runtime"), runtime);
        self.add(&at("number_ios"), ios);
    }
}

fn mib(mib: u32) -> String {
    show_bytes(u64::from(mib) << 20)
}

/// A value that follows another one where nobody gives it: then it does not differ by itself.
fn unless(value: u32, other: u32, words: &str) -> String {
    match value == other {
        true => words.to_owned(),
        false => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    const CELL: (&str, &str) = ("ext4", "write-4k");

    fn told(a: &Scenario, b: &Scenario) -> String {
        let all = differences(a, b, CELL);
        let all: Vec<String> = all.iter().map(Difference::to_string).collect();
        all.join("\n")
    }

    #[test]
    fn what_differs_is_named_by_its_key() {
        let a = fixture::results().scenario;
        assert_eq!(differences(&a, &a, CELL), []);
        let mut b = a.clone();
        fixture::model(&mut b).scheduler = "mq-deadline".into();
        fixture::model(&mut b).bandwidth_mib_s = None;
        b.cmdline = vec!["nohz=off".into(), "x".into()];
        b.measure.repetitions = 3;
        b.filesystems[0].mount_options = "dioread_lock".into();
        b.filesystems[1].mkfs = vec!["-K".into()];
        b.workloads[2].job.iodepth = 1;
        b.workloads[0].job.iodepth = 1;
        insta::assert_snapshot!(told(&a, &b), @"
        model.bandwidth 440 MiB/s -> none
        model.scheduler none -> mq-deadline
        guest.cmdline none -> nohz=off x
        measure.repetitions 5 -> 3
        filesystems.ext4.mount_options none -> dioread_lock
        workloads.write-4k.iodepth 64 -> 1
        ");
    }

    #[test]
    fn what_follows_another_key_does_not_differ_by_itself() {
        let a = fixture::results().scenario;
        let mut b = a.clone();
        b.smp = 2;
        fixture::model(&mut b).submit_queues = 2;
        insta::assert_snapshot!(told(&a, &b), @"guest.smp 1 -> 2");
        let (mut a, mut b) = (a.clone(), a);
        for (scenario, latency) in [(&mut a, 10_000), (&mut b, 20_000)] {
            let model = fixture::model(scenario);
            model.latency_ns = latency;
            model.write_cache = Some(diorama_wire::WriteCache {
                fua: true,
                flush_latency_ns: latency,
            });
        }
        insta::assert_snapshot!(told(&a, &b), @"model.latency 10 us -> 20 us");
    }

    #[test]
    fn a_key_that_one_side_lacks_differs() {
        let a = fixture::results().scenario;
        let mut b = a.clone();
        fixture::on_a_drive(&mut b);
        assert!(told(&a, &b).starts_with("device model -> nvme\nmodel.size 512 MiB -> -\n"));
    }
}
