//! The preflight of a block device that is to be used as a whole, in the order in which it is told.

use super::{
    block::{self, Lists, Volume},
    bound::{Geometry, Ready, Serial, Target},
    checks::{Confirm, Stake, bears, claim, in_use},
    host::{Host, attribute},
    kernel::{Node, Open},
    lease::Lease,
    user::User,
};
use crate::{
    error::{Error, Result},
    files,
};
use std::{fs, io::ErrorKind, path::Path};

/// A block device by the kernel's names.
struct Named {
    /// The whole device.
    disk: String,
    /// The partition that is meant, and its number.
    partition: Option<(String, String)>,
}

pub(super) fn preflight(host: &Host, path: &Path, confirm: &Confirm<'_>) -> Result<Ready> {
    let named = named(host, path)?;
    let device = path.display().to_string();
    let dir = host.sys(format!("block/{}", named.disk));
    // Readable by everybody, and one for all partitions.
    let lease = Lease::take(host, &dir.join("dev"), &device)?;
    let disk = block::disk(host, &Lists::read(host)?, &named.disk)?;
    let meant: Vec<&Volume> = match &named.partition {
        None => disk.volumes.iter().collect(),
        Some((name, _)) => disk.volumes.iter().filter(|v| v.name == *name).collect(),
    };
    // Whoever uses the whole uses every partition.
    for volume in disk.volumes.iter().take(1).chain(meant.iter().copied()) {
        if let Some(use_) = volume.uses.first() {
            return Err(in_use(&device, volume, use_));
        }
    }
    let name = match &named.partition {
        Some((name, _)) => name,
        None => &named.disk,
    };
    read_only(&dir, &device, &named)?;
    let claim = claim(host, &device, name, Open::ClaimWrite)?;
    let size = disk.volumes.iter().find(|v| v.name == *name);
    let size = size.and_then(|volume| volume.bytes);
    let geometry =
        (size.zip(disk.logical_block)).map(|(size, block_size)| Geometry { size, block_size });
    let stake = Stake {
        device: &device,
        serials: serials(&dir, &named),
        data: bears(meant),
    };
    stake.no_data_unnamed(confirm)?;
    stake.is_named(confirm)?;
    let Some(claim) = claim else {
        let uid = User::of(host)?.uid;
        let node = host.dev(name);
        return Err(
            Error::host(format!("this user may not read and write {device}")).hint(format!(
                "as root, once per boot: chown {uid} {}",
                node.display()
            )),
        );
    };
    Ok(Ready {
        host: host.clone(),
        target: Target::Disk(host.dev(name)),
        serial: Serial::Checked(confirm.erase.unwrap_or_default().to_owned()),
        data: stake.data,
        geometry,
        driver: None,
        lease,
        claims: vec![claim],
    })
}

fn read_only(dir: &Path, device: &str, named: &Named) -> Result<()> {
    let own = named.partition.as_ref().map(|(name, _)| dir.join(name));
    let attribute = attribute(&own.as_deref().unwrap_or(dir).join("ro"));
    if attribute.as_deref() != Some("1") {
        return Ok(());
    }
    Err(Error::host(format!("{device} is read-only"))
        .hint("choose a device that can be written to"))
}

fn named(host: &Host, path: &Path) -> Result<Named> {
    let node = host.kernel().node(path).map_err(|e| {
        let missing = e.kind() == ErrorKind::NotFound;
        let error = Error::io("looking for", path, e);
        if missing {
            let what = format!("there is no {}", path.display());
            return Error::input(what).hint("`ls -l /dev/disk/by-id` lists the disks of this host");
        }
        error
    })?;
    let Node::Block { major, minor } = node else {
        return Err(
            Error::input(format!("{} is not a block device", path.display()))
                .hint("`ls -l /dev/disk/by-id` lists the disks of this host"),
        );
    };
    let link = host.sys(format!("dev/block/{major}:{minor}"));
    let dir = fs::canonicalize(&link).map_err(|e| Error::io("reading", &link, e))?;
    let name = |dir: &Path| dir.file_name().map(|n| n.to_string_lossy().into_owned());
    let own = name(&dir).unwrap_or_default();
    Ok(match attribute(&dir.join("partition")) {
        None => Named {
            disk: own,
            partition: None,
        },
        Some(number) => Named {
            disk: dir.parent().and_then(name).unwrap_or_default(),
            partition: Some((own, number)),
        },
    })
}

/// The words for a disk: its serial number, and the name that it has in the world (WWN). Of a partition,
/// the same with its number, as in /dev/disk/by-id.
fn serials(dir: &Path, named: &Named) -> Vec<String> {
    let files: [fn(&Path) -> Option<String>; 5] = [
        |dir| attribute(&dir.join("device/serial")),
        |dir| attribute(&dir.join("serial")),
        |dir| unit_serial(&dir.join("device/vpd_pg80")),
        |dir| attribute(&dir.join("wwid")),
        |dir| attribute(&dir.join("device/wwid")),
    ];
    let whole = files.iter().filter_map(|read| read(dir));
    match &named.partition {
        None => whole.collect(),
        Some((_, number)) => whole.map(|word| format!("{word}-part{number}")).collect(),
    }
}

/// SCSI's "unit serial number" page (SPC-4, 7.8.15): four bytes, the last two of which are the length
/// of the rest.
fn unit_serial(page: &Path) -> Option<String> {
    let bytes = files::read(page, files::TEXT).ok()?;
    let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let text = String::from_utf8_lossy(bytes.get(4..4 + length)?).into_owned();
    let text = text.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}
