//! Block devices: what they are, who uses them, what they bear. Attributes are those of
//! Documentation/ABI/stable/sysfs-block.

use super::{
    host::{AS_THE_HOST, Host, attribute, names},
    kernel::Open,
    signature::{self, Ends},
    usage::{Use, is_node, is_swap, mounts},
};
use crate::{
    error::{Error, Result},
    files,
};
use serde::Serialize;
use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// A whole block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Bytes of its logical block: an NVMe namespace's LBA format in use.
    pub logical_block: Option<u32>,
    /// Bytes of its physical block.
    pub physical_block: Option<u32>,
    /// The device itself, then its partitions.
    pub volumes: Vec<Volume>,
}

/// A block device or one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The kernel's name, which moves: `nvme0n1p1`.
    pub name: String,
    /// Size in bytes.
    pub bytes: Option<u64>,
    /// Who uses it.
    pub uses: Vec<Use>,
    /// What it bears.
    pub contents: Contents,
}

/// What a block device bears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// Partition tables and file systems, by their marks; none if it is blank.
    Seen(Vec<&'static str>),
    /// This user may not read it.
    Denied,
    /// It cannot be read.
    Failed(String),
}

impl Disk {
    /// The kernel's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.volumes.first().map_or("", |whole| &whole.name)
    }

    /// Whether it or a partition is used, and how that ends.
    #[must_use]
    pub fn first_use(&self) -> Option<(&Volume, &Use)> {
        let used = |volume: &'_ Volume| !volume.uses.is_empty();
        let volume = self.volumes.iter().find(|volume| used(volume))?;
        volume.uses.first().map(|use_| (volume, use_))
    }
}

/// What the kernel says about the use of block devices, read once.
#[derive(Debug)]
pub(super) struct Lists {
    mountinfo: String,
    swaps: String,
    /// Loop devices, and what is behind them.
    loops: Vec<(String, String)>,
    /// Mounted btrfs, and the names of their devices: not every one of them is in mountinfo.
    btrfs: Vec<(String, Vec<String>)>,
}

impl Lists {
    /// Reads them.
    ///
    /// # Errors
    /// When one cannot be read: nobody could say then what is in use.
    pub fn read(host: &Host) -> Result<Lists> {
        let text = |path: &Path| {
            files::read(path, files::LIST).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let mounts = host.proc("self/mountinfo");
        let swaps = host.proc("swaps");
        let mut loops = Vec::new();
        for name in names(&host.sys("block"))? {
            let file = attribute(&host.sys(format!("block/{name}/loop/backing_file")));
            loops.extend(file.map(|file| (name, file)));
        }
        let mut btrfs = Vec::new();
        for uuid in names(&host.sys("fs/btrfs"))? {
            let devices = names(&host.sys(format!("fs/btrfs/{uuid}/devices")))?;
            btrfs.push((format!("btrfs {uuid}"), devices));
        }
        Ok(Lists {
            mountinfo: text(&mounts)
                .map_err(|e| Error::io("reading", &mounts, e).hint(AS_THE_HOST))?,
            swaps: match text(&swaps) {
                // A kernel without swap.
                Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
                swaps_ => swaps_.map_err(|e| Error::io("reading", &swaps, e).hint(AS_THE_HOST))?,
            },
            loops,
            btrfs,
        })
    }

    /// Who uses the device of this name and directory.
    fn uses(&self, name: &str, dir: &Path) -> Result<Vec<Use>> {
        let number = attribute(&dir.join("dev"));
        let number = number.ok_or_else(|| {
            Error::host(format!("{} does not say which device it is", dir.display()))
                .hint(AS_THE_HOST)
        })?;
        let mut uses: Vec<_> = mounts(&self.mountinfo, &number, name).collect();
        if is_swap(&self.swaps, name) {
            uses.push(Use::Swap);
        }
        uses.extend(names(&dir.join("holders"))?.into_iter().map(Use::Held));
        let behind = self.loops.iter().filter(|(_, file)| is_node(file, name));
        uses.extend(behind.map(|(of, _)| Use::Held(of.clone())));
        if uses.is_empty() {
            let has = |members: &[String]| members.iter().any(|member| member == name);
            let of = self.btrfs.iter().filter(|(_, members)| has(members));
            uses.extend(of.map(|(of, _)| Use::Member(of.clone())));
        }
        Ok(uses)
    }
}

/// A whole block device, with its partitions, by the kernel's name.
///
/// # Errors
/// When it cannot be found out who uses it.
pub(super) fn disk(host: &Host, lists: &Lists, name: &str) -> Result<Disk> {
    let dir = host.sys(format!("block/{name}"));
    let number = |file: &str| attribute(&dir.join(file))?.parse().ok();
    let mut volumes = vec![volume(host, lists, name, &dir)?];
    for part in names(&dir)? {
        let dir = dir.join(&part);
        if dir.join("partition").exists() {
            volumes.push(volume(host, lists, &part, &dir)?);
        }
    }
    Ok(Disk {
        logical_block: number("queue/logical_block_size"),
        physical_block: number("queue/physical_block_size"),
        volumes,
    })
}

fn volume(host: &Host, lists: &Lists, name: &str, dir: &Path) -> Result<Volume> {
    // In units of 512 bytes, whatever the device's block size.
    let units: Option<u64> = attribute(&dir.join("size")).and_then(|text| text.parse().ok());
    let bytes = units.and_then(|units| units.checked_mul(512));
    Ok(Volume {
        name: name.to_owned(),
        bytes,
        uses: lists.uses(name, dir)?,
        contents: contents(host, name, bytes.unwrap_or(0)),
    })
}

fn contents(host: &Host, name: &str, size: u64) -> Contents {
    let ends = host
        .kernel()
        .open(&host.dev(name), Open::Read)
        .and_then(|file| {
            let tail = size.saturating_sub(signature::TAIL as u64);
            let head = read_at(&file, 0, signature::HEAD)?;
            Ok((head, read_at(&file, tail, signature::TAIL)?))
        });
    match ends {
        Ok((head, tail)) => Contents::Seen(signature::found(&Ends {
            head: &head,
            tail: &tail,
            size,
        })),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Contents::Denied,
        Err(e) => Contents::Failed(e.to_string()),
    }
}

/// As many bytes as there are, at most `length`.
fn read_at(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
