//! The host's NVMe controllers, and whether each could be passed through.

use super::{
    block::{Contents, Disk, Lists, Volume},
    checks::Confirm,
    controller::{self, Controller},
    host::Host,
    preflight::preflight,
    word::HostDevice,
};
use crate::{
    error::{Error, Result},
    text,
    units::show_bytes,
};
use serde::Serialize;
use std::error::Error as _;

/// RAM of a guest by default, which is what a controller is judged for; in bytes.
const GUEST: u64 = 1 << 30;

/// A controller, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What it is.
    #[serde(flatten)]
    pub controller: Controller,
    /// Why it cannot be passed through: the first reason. Absent if it can, once its serial number is
    /// confirmed.
    pub obstacle: Option<Obstacle>,
}

/// Why a controller cannot be passed through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The reason.
    pub reason: String,
    /// The next step.
    pub next_step: Option<String>,
}

/// All NVMe controllers, by address. Nothing is changed; a controller that is judged is leased for a
/// moment.
///
/// # Errors
/// When it cannot be found out what is in use.
pub fn list(host: &Host) -> Result<Vec<Listed>> {
    let lists = Lists::read(host)?;
    let mut addresses = controller::addresses(host)?;
    addresses.sort_unstable();
    let one = |address| {
        let controller = controller::read(host, &lists, address)?;
        // As if somebody had confirmed whatever it is.
        let confirm = Confirm {
            erase: Some(controller.serial.as_deref().unwrap_or("unknown")),
        };
        let checked = preflight(host, &HostDevice::Vfio(address), &confirm, GUEST);
        Ok(Listed {
            controller,
            obstacle: checked.err().map(|error| Obstacle {
                reason: with_causes(&error),
                next_step: error.next_step().map(str::to_owned),
            }),
        })
    };
    addresses.into_iter().map(one).collect()
}

/// Message and causes on one line.
fn with_causes(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

/// The list for a person. Foreign words are as the devices gave them.
#[must_use]
pub fn render(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no NVMe controllers on the PCI bus\n".to_owned();
    }
    let all: Vec<_> = listed.iter().map(one).collect();
    all.join("\n")
}

fn one(listed: &Listed) -> String {
    let controller = &listed.controller;
    // What is known while its own driver has it.
    let known = |field: &Option<String>| match field {
        Some(known) => text::line(known),
        None => "unknown (only the driver nvme can ask)".to_owned(),
    };
    let model = controller.model.as_deref().unwrap_or("NVMe controller");
    let mut shown = format!("{}  {}\n", controller.address, text::line(model));
    let mut line = |name: &str, value: &str| shown.push_str(&format!("  {name:<11}  {value}\n"));
    line("serial", &known(&controller.serial));
    line("firmware", &known(&controller.firmware));
    line("group", &group(controller));
    line("driver", controller.driver.as_deref().unwrap_or("none"));
    for disk in &controller.namespaces {
        for (index, volume) in disk.volumes.iter().enumerate() {
            line(&volume.name, &words(disk, volume, index == 0));
        }
    }
    match &listed.obstacle {
        None => {
            let serial = text::shell_word(controller.serial.as_deref().unwrap_or("SERIAL"));
            let address = controller.address;
            line(
                "passthrough",
                &format!("yes: --device vfio:{address} --erase {serial}"),
            );
        }
        Some(obstacle) => {
            line("passthrough", &format!("no: {}", obstacle.reason));
            if let Some(step) = &obstacle.next_step {
                // Commands are lines of their own.
                let step = step.replace("\n", "\n             ");
                line("", &format!("help: {step}"));
            }
        }
    }
    shown
}

fn group(controller: &Controller) -> String {
    let Some(group) = &controller.group else {
        return "none".to_owned();
    };
    let others = group.foreign.iter();
    let others: Vec<_> = others
        .map(|s| format!("{} ({})", s.name, s.driver))
        .collect();
    match others.as_slice() {
        [] => group.number.clone(),
        others => format!("{}, with {}", group.number, others.join(", ")),
    }
}

fn words(disk: &Disk, volume: &Volume, whole: bool) -> String {
    let mut words = vec![volume.bytes.map_or("size unknown".to_owned(), size)];
    if whole && let Some(bytes) = disk.logical_block {
        words.push(format!("blocks of {bytes} bytes"));
    }
    words.push(match &volume.contents {
        Contents::Seen(found) if found.is_empty() => "blank".to_owned(),
        Contents::Seen(found) => found.join(" and "),
        Contents::Denied => "contents unknown (not readable by this user)".to_owned(),
        Contents::Failed(why) => format!("cannot be read ({why})"),
    });
    words.extend(volume.uses.iter().map(ToString::to_string));
    words.join(", ")
}

/// A size with as many digits as matter to a reader.
fn size(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    if bytes >= GIB {
        return format!("{:.1} GiB", bytes as f64 / GIB as f64);
    }
    show_bytes(bytes)
}
