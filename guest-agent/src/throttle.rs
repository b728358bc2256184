//! A bound on a device's I/Os a second, for a positive control: io.max of a control group of version 2,
//! which this process joins (Documentation/admin-guide/cgroup-v2.rst). It holds for what this process,
//! its threads and its children submit, whichever driver the device has.

use crate::{
    device::Device,
    fail::{Fail, Result},
    sys,
};
use diorama_wire::config;
use std::{fs, num::NonZeroU64, path::Path};

/// Where control groups are mounted; sysfs has the directory where the kernel has control groups.
const MOUNT: &str = "/sys/fs/cgroup";

/// The group.
const GROUP: &str = "/sys/fs/cgroup/throttled";

/// Bounds the device's I/Os a second from now on, if that is asked for; returns the bound.
///
/// # Errors
/// When the kernel has no such bounds, or refuses this one.
pub fn apply(iops: Option<NonZeroU64>, device: &Device) -> Result<Option<NonZeroU64>> {
    let Some(iops) = iops else {
        return Ok(None);
    };
    crate::boot::mount("cgroup2", MOUNT, config::CGROUPS)?;
    let there = sys::read(format!("{MOUNT}/cgroup.controllers"))?;
    if !there
        .split_whitespace()
        .any(|controller| controller == "io")
    {
        return Err(Fail::unsupported(
            format!("the kernel's control groups do not bound I/O (they know {there:?})"),
            &[config::BLK_CGROUP],
        ));
    }
    sys::write(format!("{MOUNT}/cgroup.subtree_control"), "+io")?;
    fs::create_dir(GROUP).map_err(|e| Fail::os(format_args!("mkdir {GROUP}"), &e))?;
    let max = format!("{GROUP}/io.max");
    if !Path::new(&max).exists() {
        return Err(Fail::unsupported(
            "the kernel's control groups have no io.max",
            &[config::BLK_DEV_THROTTLING],
        ));
    }
    let number = sys::read(format!("/sys/block/{}/dev", device.facts.name))?;
    sys::write(&max, &line(&number, iops))?;
    // 0 is whoever writes it: all threads of this process.
    sys::write(format!("{GROUP}/cgroup.procs"), "0")?;
    let found = sys::read(&max)?;
    if bounds(&found, &number) == Some([iops.get(); 2]) {
        return Ok(Some(iops));
    }
    Err(Fail::step(format!(
        "io.max was to bound {number} to {iops} I/Os a second, and says {found:?}"
    )))
}

fn line(number: &str, iops: NonZeroU64) -> String {
    format!("{number} riops={iops} wiops={iops}")
}

/// `riops` and `wiops` of a device's line of io.max (`8:16 rbps=max wbps=max riops=120 wiops=max`).
fn bounds(io_max: &str, number: &str) -> Option<[u64; 2]> {
    let line = io_max
        .lines()
        .find(|l| l.split(' ').next() == Some(number))?;
    let value = |key: &str| {
        let word = line.split(' ').find_map(|word| word.strip_prefix(key))?;
        word.parse().ok()
    };
    Some([value("riops=")?, value("wiops=")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_read_back_are_those_of_the_device() {
        let said =
            "8:16 rbps=max wbps=max riops=max wiops=7\n259:0 rbps=max wbps=max riops=120 wiops=121";
        assert_eq!(bounds(said, "259:0"), Some([120, 121]));
        assert_eq!(bounds(said, "8:16"), None, "one is not bounded");
        assert_eq!(bounds(said, "259:1"), None);
        let iops = NonZeroU64::new(500).unwrap();
        assert_eq!(bounds(&line("259:0", iops), "259:0"), Some([500, 500]));
    }
}
