//! What the device needs of a kernel. Pure.

use super::needs::{Driver, Missing, Needs};
use crate::{kernel::Kernel, vocabulary::KernelVersion};
use diorama_wire::{Device, ModelDevice, StackLayer, config};

const MQ_DEADLINE: Driver = (
    "mq_deadline",
    "CONFIG_MQ_IOSCHED_DEADLINE",
    "the scheduler mq-deadline",
);
const KYBER: Driver = (
    "kyber_iosched",
    "CONFIG_MQ_IOSCHED_KYBER",
    "the scheduler kyber",
);
const BFQ: Driver = ("bfq", "CONFIG_IOSCHED_BFQ", "the scheduler bfq");
const DM: Driver = (
    "dm_mod",
    config::BLK_DEV_DM,
    "device-mapper: for a stack, or a write cache that null_blk alone cannot model",
);
const CRYPT: Driver = ("dm_crypt", config::DM_CRYPT, "the stack's layer crypt");
const XTS: Driver = (
    "xts",
    config::CRYPTO_XTS,
    "the cipher of the stack's layer crypt",
);
const LOOP: Driver = ("loop", config::BLK_DEV_LOOP, "the stack's layer loop");

const MD: Driver = (
    "md_mod",
    config::BLK_DEV_MD,
    "md: for the stack's layer raid1",
);
const RAID1: Driver = ("raid1", config::MD_RAID1, "the stack's layer raid1");

/// What a layer between the drive and the file system needs.
fn layer(layer: StackLayer) -> &'static [Driver] {
    match layer {
        StackLayer::Linear => &[DM],
        StackLayer::Crypt => &[DM, XTS, CRYPT],
        StackLayer::Loop => &[LOOP],
        StackLayer::Raid1 => &[MD, RAID1],
    }
}

/// Every driver that some device needs.
#[cfg(test)]
pub(super) const ALL: [Driver; 12] = [
    MODEL[0],
    MODEL[1],
    NVME[0],
    MQ_DEADLINE,
    KYBER,
    BFQ,
    DM,
    CRYPT,
    XTS,
    LOOP,
    MD,
    RAID1,
];

/// configfs first: null_blk is set up through it.
pub(super) const MODEL: [Driver; 2] = [
    (
        "configfs",
        config::CONFIGFS_FS,
        "through which the model device is set up",
    ),
    ("null_blk", config::BLK_DEV_NULL_BLK, "the model device"),
];
pub(super) const NVME: [Driver; 1] = [("nvme", config::BLK_DEV_NVME, "the NVMe drive")];

/// What drives this device, and what else it needs.
pub(super) fn drivers(device: &Device) -> Vec<Driver> {
    let own: &[Driver] = match device {
        Device::Model(_) => &MODEL,
        Device::Nvme(_) => &NVME,
    };
    let scheduler = match device.scheduler() {
        "mq-deadline" => Some(MQ_DEADLINE),
        "kyber" => Some(KYBER),
        "bfq" => Some(BFQ),
        _ => None,
    };
    let mapper = device.model().is_some_and(ModelDevice::is_stacked);
    let mapper = mapper.then_some(DM);
    let stack = device.model().map_or(&[][..], |model| &model.stack);
    let stack = stack.iter().flat_map(|one| layer(*one)).copied();
    let mut all: Vec<Driver> = (own.iter().copied())
        .chain(scheduler)
        .chain(mapper)
        .collect();
    for driver in stack {
        if !all.contains(&driver) {
            all.push(driver);
        }
    }
    all
}

/// Names of the modules that an image may have because of its device.
#[must_use]
pub fn modules(device: &Device) -> Vec<&'static str> {
    drivers(device).into_iter().map(|(name, ..)| name).collect()
}

/// What the kernel's null_blk certainly lacks. Attributes have no options of their own: the
/// module says which it has, by the parameters of the same names, and otherwise the version does.
pub(super) fn missing(needs: &Needs, kernel: &Kernel) -> Vec<Missing> {
    let module = kernel.module_set.modules.get("null_blk");
    let has = |name: &str| module.map(|m| m.parameters.iter().any(|p| p == name));
    let version = kernel.release.as_deref().and_then(KernelVersion::of);
    let mut missing = Vec::new();
    let mut add = |what: &str| {
        missing.push(Missing {
            what: what.to_owned(),
            options: Vec::new(),
            certain: true,
        });
    };
    if needs.polled {
        let old = || version.is_some_and(|v| v < KernelVersion(5, 19));
        if has("poll_queues").map_or_else(old, |has| !has) {
            add("null_blk's poll queues (5.19 and later): polled completion, hipri");
        }
    }
    let model = needs.device.as_ref().and_then(Device::model);
    let cache = model.and_then(|m| m.write_cache);
    if cache.is_some_and(|cache| !cache.fua) {
        // From 6.5 on a cache that a driver does not have cannot be switched on either.
        let checked = version.is_some_and(|v| v >= KernelVersion(6, 5));
        let lacks = has("fua").map_or_else(
            || version.is_some_and(|v| v < KernelVersion(6, 9)),
            |has| !has,
        );
        if checked && lacks {
            add(
                "null_blk's fua attribute, for a write cache without FUA; [model] fua = true would \
                 work",
            );
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::loading::{plan, tests::kernel};
    use diorama_wire::WriteCache;

    fn model(scheduler: &str, write_cache: Option<WriteCache>) -> Device {
        Device::Model(ModelDevice {
            size_mib: 512,
            block_size: 4096,
            latency_ns: 10_000,
            bandwidth_mib_s: None,
            hw_queue_depth: 1023,
            submit_queues: 1,
            scheduler: scheduler.to_owned(),
            stack: Vec::new(),
            write_cache,
        })
    }

    fn cache(fua: bool, flush_latency_ns: u64) -> Option<WriteCache> {
        Some(WriteCache {
            fua,
            flush_latency_ns,
        })
    }

    #[test]
    fn a_scheduler_s_module_is_there_where_it_is_asked_for_and_nowhere_else() {
        let of = |scheduler| modules(&model(scheduler, None));
        assert_eq!(of("none"), ["configfs", "null_blk"]);
        assert_eq!(of("mq-deadline"), ["configfs", "null_blk", "mq_deadline"]);
        assert_eq!(of("kyber"), ["configfs", "null_blk", "kyber_iosched"]);
        assert_eq!(of("bfq"), ["configfs", "null_blk", "bfq"]);
    }

    #[test]
    fn device_mapper_is_there_where_a_flush_takes_another_time() {
        let with = |flush| modules(&model("none", cache(false, flush)));
        assert_eq!(with(10_000), ["configfs", "null_blk"]);
        assert_eq!(with(10_001), ["configfs", "null_blk", "dm_mod"]);
    }

    #[test]
    fn a_stack_s_layers_are_there_where_they_are_asked_for() {
        let with = |stack: &[StackLayer]| {
            let Device::Model(mut model) = model("none", None) else {
                panic!("a model device");
            };
            model.stack = stack.to_vec();
            modules(&Device::Model(model)).split_off(2)
        };
        assert_eq!(with(&[]), [""; 0]);
        let all = [StackLayer::Linear, StackLayer::Crypt, StackLayer::Loop];
        assert_eq!(with(&all), ["dm_mod", "xts", "dm_crypt", "loop"]);
        assert_eq!(with(&[StackLayer::Raid1]), ["md_mod", "raid1"]);
        for layer in StackLayer::ALL {
            let options: Vec<&str> = super::layer(layer).iter().map(|driver| driver.1).collect();
            for option in layer.options() {
                assert!(options.contains(option), "{layer:?}: {option}");
            }
        }
    }

    fn lacks(needs: &Needs, list: &[&str], release: &str, config: &str) -> Vec<String> {
        let list: Vec<(&str, &[&str])> = list.iter().map(|name| (*name, &[][..])).collect();
        let mut kernel = kernel(&list, Some(config));
        kernel.release = Some(release.to_owned());
        let mut missing = plan(needs, &kernel).missing;
        missing.retain(|m| m.certain);
        missing.into_iter().map(|m| m.what).collect()
    }

    #[test]
    fn a_scheduler_that_a_kernel_lacks_is_known_before_any_boot() {
        let needs = Needs {
            device: Some(model("kyber", None)),
            ..Needs::default()
        };
        let says = |list: &[&str], config: &str| {
            let all = lacks(&needs, list, "6.1.0", config);
            all.into_iter().find(|what| what.contains("kyber"))
        };
        assert_eq!(
            says(&[], "CONFIG_X=y\n").as_deref(),
            Some("kyber_iosched, the scheduler kyber")
        );
        let lost = says(&[], "CONFIG_MQ_IOSCHED_KYBER=m\n").unwrap();
        assert!(lost.contains("no modules were given"), "{lost}");
        assert_eq!(says(&[], "CONFIG_MQ_IOSCHED_KYBER=y\n"), None);
        let there = says(&["kyber_iosched"], "CONFIG_MQ_IOSCHED_KYBER=m\n");
        assert_eq!(there, None);
    }

    #[test]
    fn what_null_blk_lacks_is_known_from_its_parameters_or_its_version() {
        let polled = Needs {
            polled: true,
            ..Needs::default()
        };
        let no_fua = Needs {
            device: Some(model("none", cache(false, 10_000))),
            ..Needs::default()
        };
        let says = |needs: &Needs, list: &[&str], release: &str, word: &str| {
            let all = lacks(needs, list, release, "CONFIG_BLK_DEV_NULL_BLK=y\n");
            all.iter().any(|what| what.contains(word))
        };
        assert!(says(&polled, &[], "5.10.262", "poll queues"));
        assert!(!says(&polled, &[], "5.19.0", "poll queues"));
        // A module without the parameter, whatever its version says.
        assert!(says(&polled, &["null_blk"], "6.1.0", "poll queues"));
        assert!(says(&no_fua, &[], "6.6.1", "fua"));
        assert!(says(&no_fua, &["null_blk"], "6.12.1", "fua"));
        // Up to 6.4 there may be another way, and the guest tells.
        assert!(!says(&no_fua, &["null_blk"], "6.1.0", "fua"));
        assert!(!says(&no_fua, &[], "6.12.1", "fua"));
    }
}
