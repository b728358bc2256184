//! A scenario's jobs on another device than the modelled one, out of what the scenario means alone: its
//! file may be somebody else's (pure).

use super::{
    ChosenDevice, Clock, Device, EmulatedNvme, HostDisk, Parts, PassedThrough, Scenario,
    SessionSpec, Variant, defaults, workload::footprint,
};
use crate::{metal, text::counted, units::show_bytes};
use diorama_wire::{Bound, Conditioning, Layout, ModelDevice};

/// What is chosen for the jobs, besides what they are.
#[derive(Clone, Debug)]
pub struct OnDrive {
    /// What they run on.
    pub device: ChosenDevice,
    /// Blocks of the session; the usual number if there is none.
    pub blocks: Option<u32>,
    /// What decides the order of boots; none where each run takes one of its own.
    pub seed: Option<u64>,
    /// How long a repetition takes, in nanoseconds, in place of a number of I/Os.
    pub runtime_ns: Option<u64>,
    /// Repetitions of each boot; as many as there are if there is none.
    pub repetitions: Option<u32>,
}

impl Scenario {
    /// The same jobs on a drive, by the wall clock. What is the modelled drive's own (its latency, its
    /// bandwidth) is left behind; its scheduler is the drive's, too.
    ///
    /// # Errors
    /// When they cannot run there: why, in one sentence.
    pub fn on_drive(&self, chosen: &OnDrive) -> Result<Scenario, String> {
        let blocks = chosen.blocks.unwrap_or(metal::BLOCKS);
        let mut scenario = self.with_drive(chosen)?;
        scenario.session = Some(SessionSpec {
            blocks,
            seed: chosen.seed,
        });
        scenario.variants.clear();
        for variant in &self.variants {
            let name = Some(&variant.name);
            let mut subjects = self.subjects.iter();
            let Some(row) = subjects.find(|row| row.variant.as_ref() == name) else {
                continue;
            };
            let named = |why| format!("variant {}: {why}", variant.name);
            let varied = self.of(row).with_drive(chosen).map_err(named)?;
            let parts = Parts::between(&scenario, &varied);
            if parts == Parts::default() {
                return Err(format!(
                    "the variant `{}` differs in nothing but the modelled drive",
                    variant.name
                ));
            }
            scenario.variants.push(Variant {
                parts,
                ..variant.clone()
            });
        }
        Ok(scenario)
    }

    fn with_drive(&self, chosen: &OnDrive) -> Result<Scenario, String> {
        let device = match &self.device {
            Device::Model(model) => drive(model, self.smp, &chosen.device)?,
            other => {
                return Err(format!(
                    "its cells are of the device `{}` already",
                    other.kind().name()
                ));
            }
        };
        let mut workloads = self.workloads.clone();
        if let Some(ns) = chosen.runtime_ns {
            // fio's own words say when fio ends, and a file that changes with every write has its size
            // from their number.
            let timed = workloads
                .iter_mut()
                .filter(|w| w.fio.is_none() && w.job.layout == Layout::Written);
            let mut count = 0;
            for workload in timed {
                workload.job.bound = Bound::Runtime(ns);
                count += 1;
            }
            if count == 0 {
                return Err(
                    "none of its jobs can take another runtime: fio's own words say how long they \
                     take, or their files change with every write"
                        .into(),
                );
            }
        }
        let in_guest = device.in_guest();
        for workload in &workloads {
            let (name, job) = (&workload.name, &workload.job);
            if let Some(block) = in_guest.block_size()
                && !job.block_size.is_multiple_of(block)
            {
                return Err(format!(
                    "{name} has blocks of {}, and the drive of {block}",
                    job.block_size
                ));
            }
            let all = footprint(job);
            if let Some(size) = in_guest.size()
                && all > size / 4 * 3
            {
                return Err(format!(
                    "{name} writes {} to files, more than 3/4 of the drive's {}",
                    show_bytes(all),
                    show_bytes(size)
                ));
            }
        }
        let mut measure = self.measure.clone();
        measure.repetitions = chosen.repetitions.unwrap_or(measure.repetitions);
        Ok(Scenario {
            measure,
            device,
            clock: Clock::Wall,
            conditioning: Conditioning::default(),
            workloads,
            ..self.clone()
        })
    }
}

/// The device in place of the modelled one.
fn drive(model: &ModelDevice, smp: u32, chosen: &ChosenDevice) -> Result<Device, String> {
    if !model.stack.is_empty() {
        let layers: Vec<&str> = model.stack.iter().map(|layer| layer.name()).collect();
        return Err(format!(
            "its file systems are on {} ({}), which nobody builds on a drive of one's own",
            counted(layers.len(), "layer"),
            layers.join(", ")
        ));
    }
    let scheduler = model.scheduler.clone();
    Ok(match chosen {
        ChosenDevice::Model => return Err("the modelled device is no drive".into()),
        ChosenDevice::Nvme => Device::Nvme(EmulatedNvme {
            size_mib: model.size_mib,
            // Controllers have no others.
            block_size: if model.block_size == 4096 { 4096 } else { 512 },
            queues: smp,
            serial: defaults::NVME_SERIAL.to_owned(),
            scheduler,
        }),
        ChosenDevice::Disk(facts) => Device::Disk(HostDisk {
            serial: facts.serial.clone(),
            size: facts.size,
            block_size: facts.block_size,
            queues: smp,
            scheduler,
        }),
        ChosenDevice::Vfio(facts) => Device::Vfio(PassedThrough {
            serial: facts.serial.clone(),
            size: facts.size,
            block_size: facts.block_size,
            scheduler,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{DiskFacts, Overrides, resolve};
    use std::path::Path;

    const HEAD: &str = "name = \"s\"\ntitle = \"t\"\nbaseline = \"7.2\"\nkernels = [\"7.2\"]\n\
                        [filesystems.ext4]\n";
    const WRITE: &str = "[workloads.w]\nrw = \"randwrite\"\nbs = \"4KiB\"\nsize = \"16MiB\"\n\
                         iodepth = 8\nnumber_ios = 100\noverwrite = true\n";

    fn scenario(text: &str) -> Scenario {
        let known = ["7.2".to_owned()];
        let text = format!("{HEAD}{text}");
        let scenario = resolve(
            &text,
            "s.toml",
            Path::new(""),
            &known,
            &Overrides::default(),
        );
        scenario.unwrap_or_else(|e| panic!("{}", e.render()))
    }

    fn on(device: ChosenDevice) -> OnDrive {
        OnDrive {
            device,
            blocks: None,
            seed: Some(7),
            runtime_ns: None,
            repetitions: None,
        }
    }

    fn disk(size: u64, block_size: u32) -> ChosenDevice {
        ChosenDevice::Disk(DiskFacts {
            serial: "S1".into(),
            size,
            block_size,
        })
    }

    /// What a scenario's own file says for another device is what its record alone says.
    #[test]
    fn jobs_are_those_that_the_file_gives_with_another_device() {
        let text = format!("{WRITE}[model]\nscheduler = \"none\"\n");
        let model = scenario(&text);
        let overrides = Overrides {
            device: Some(ChosenDevice::Nvme),
            seed: Some(7),
            ..Overrides::default()
        };
        let text = format!("{HEAD}{text}");
        let known = ["7.2".to_owned()];
        let by_file = resolve(&text, "s.toml", Path::new(""), &known, &overrides);
        let by_file = by_file.unwrap_or_else(|e| panic!("{}", e.render()));
        assert_eq!(model.on_drive(&on(ChosenDevice::Nvme)), Ok(by_file));
    }

    #[test]
    fn a_variant_of_the_scheduler_is_one_of_the_drives() {
        let variant = "[[variants]]\nname = \"dl\"\nmodel.scheduler = \"mq-deadline\"\n";
        let model = scenario(&format!("{WRITE}{variant}"));
        let drive = model.on_drive(&on(disk(1 << 30, 512))).unwrap();
        let scheduler = |of: &Scenario| match &of.device {
            Device::Disk(disk) => disk.scheduler.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(drive.subjects.len(), 2);
        let of: Vec<String> = drive.all().map(|(_, of)| scheduler(&of)).collect();
        assert_eq!(of, ["none", "mq-deadline"]);
        assert!(drive.all().all(|(_, of)| of.clock == Clock::Wall));
    }

    #[test]
    fn what_cannot_run_on_a_drive_is_said() {
        let refused = |text: &str, chosen: &OnDrive| {
            let scenario = scenario(&format!("{WRITE}{text}"));
            scenario.on_drive(chosen).expect_err("a refusal")
        };
        let nvme = on(ChosenDevice::Nvme);
        let slower = "[[variants]]\nname = \"slow\"\nmodel.latency = \"50us\"\n";
        insta::assert_snapshot!(refused(slower, &nvme), @"the variant `slow` differs in nothing but the modelled drive");
        let stack = "[model]\nstack = [\"linear\"]\n";
        insta::assert_snapshot!(refused(stack, &nvme), @"its file systems are on 1 layer (linear), which nobody builds on a drive of one's own");
        insta::assert_snapshot!(refused("", &on(disk(16 << 20, 512))), @"w writes 16 MiB to files, more than 3/4 of the drive's 16 MiB");
        insta::assert_snapshot!(refused("", &on(disk(1 << 30, 16384))), @"w has blocks of 4096, and the drive of 16384");
        insta::assert_snapshot!(refused("", &on(ChosenDevice::Model)), @"the modelled device is no drive");
    }

    #[test]
    fn a_runtime_takes_the_place_of_a_number_where_it_can() {
        let grows = "[workloads.g]\nrw = \"write\"\nbs = \"4KiB\"\nfallocate = \"none\"\n\
                     iodepth = 8\nnumber_ios = 100\n";
        let chosen = OnDrive {
            runtime_ns: Some(5),
            repetitions: Some(1),
            ..on(ChosenDevice::Nvme)
        };
        let both = scenario(&format!("{WRITE}{grows}"));
        let drive = both.on_drive(&chosen).unwrap();
        let bounds: Vec<Bound> = drive.workloads.iter().map(|w| w.job.bound).collect();
        assert_eq!(bounds, [Bound::Runtime(5), Bound::Ios(100)]);
        assert_eq!(drive.measure.repetitions, 1);
        assert!(scenario(grows).on_drive(&chosen).is_err());
    }
}
