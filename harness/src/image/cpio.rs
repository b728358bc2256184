//! The "newc" cpio archive of an initramfs (Documentation/driver-api/early-userspace/
//! buffer-format.rst), written so that equal contents are equal bytes. Pure.

use std::collections::BTreeMap;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpioEntry {
    /// A directory (0755).
    Directory,
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Contents.
        data: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Permission bits.
        mode: u32,
        /// Device number.
        major: u32,
        /// Device number.
        minor: u32,
    },
}

/// An archive in the making: entries sorted by path, parents made as needed, every owner 0, every
/// time 0, inodes counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive(BTreeMap<String, CpioEntry>);

impl Archive {
    /// Adds a directory.
    pub fn directory(&mut self, path: &str) {
        self.insert(path, CpioEntry::Directory);
    }

    /// Adds a regular file with its permission bits.
    pub fn file(&mut self, path: &str, mode: u32, data: Vec<u8>) {
        self.insert(path, CpioEntry::File { mode, data });
    }

    /// Adds a character device with its permission bits.
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.insert(path, CpioEntry::CharDevice { mode, major, minor });
    }

    fn insert(&mut self, path: &str, entry: CpioEntry) {
        let path = path.trim_matches('/');
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        for parent in parents {
            self.0
                .entry(parent.to_owned())
                .or_insert(CpioEntry::Directory);
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// Its entries in their order, by relative path.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &CpioEntry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Reads an archive that [`Archive::to_bytes`] wrote.
    ///
    /// # Errors
    /// When it is any other: why.
    pub fn parse(bytes: &[u8]) -> Result<Archive, String> {
        let mut archive = Archive::default();
        let mut rest = bytes;
        loop {
            let Record {
                fields,
                name,
                data,
                behind,
            } = split_record(rest).ok_or("an entry is cut off or malformed")?;
            if name == TRAILER {
                break;
            }
            let [_, mode, _, _, _, _, _, _, _, major, minor, ..] = fields;
            let entry = match mode & 0o170_000 {
                0o040_000 => CpioEntry::Directory,
                0o100_000 => CpioEntry::File {
                    mode: mode & 0o7777,
                    data: data.to_owned(),
                },
                0o020_000 => CpioEntry::CharDevice {
                    mode: mode & 0o7777,
                    major,
                    minor,
                },
                _ => return Err(format!("`{name}` is of a kind that is not written")),
            };
            archive.0.insert(name.to_owned(), entry);
            rest = behind;
        }
        match archive.to_bytes() == bytes {
            true => Ok(archive),
            false => Err("it is not written in the one form that it may have".into()),
        }
    }

    /// The archive's bytes, padded to 4 bytes, so that another may follow.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // '/' sorts before every letter that a name here has, so parents come first; the map's
        // order is by bytes and the same everywhere.
        for (ino, (path, entry)) in (1..).zip(&self.0) {
            let (mode, device, data): (u32, (u32, u32), &[u8]) = match entry {
                CpioEntry::Directory => (0o040_755, (0, 0), &[]),
                CpioEntry::File { mode, data } => (0o100_000 | mode, (0, 0), data),
                CpioEntry::CharDevice { mode, major, minor } => {
                    (0o020_000 | mode, (*major, *minor), &[])
                }
            };
            record(&mut out, ino, path, mode, device, data);
        }
        record(&mut out, 0, TRAILER, 0, (0, 0), &[]);
        out
    }
}

fn record(out: &mut Vec<u8>, ino: u32, path: &str, mode: u32, device: (u32, u32), data: &[u8]) {
    let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
    // Nothing in an initramfs comes near 4 GiB: the format's own limit.
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let name = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
    let fields = [
        ino, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name, 0,
    ];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(data);
    pad(out);
}

/// Name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An entry as it is read.
struct Record<'a> {
    fields: [u32; 13],
    name: &'a str,
    data: &'a [u8],
    /// What follows it.
    behind: &'a [u8],
}

/// The first entry.
fn split_record(bytes: &[u8]) -> Option<Record<'_>> {
    const HEADER: usize = 6 + 13 * 8;
    let header = bytes.get(..HEADER)?.strip_prefix(b"070701")?;
    let mut fields = [0; 13];
    for (field, digits) in fields.iter_mut().zip(header.chunks(8)) {
        *field = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    let (name, size) = (fields[11] as usize, fields[6] as usize);
    let end = HEADER.checked_add(name)?;
    let text = bytes.get(HEADER..end)?.strip_suffix(b"\0")?;
    let begin = end.next_multiple_of(4);
    let end = begin.checked_add(size)?;
    let data = bytes.get(begin..end)?;
    let behind = bytes.get(end.next_multiple_of(4)..)?;
    Some(Record {
        fields,
        name: std::str::from_utf8(text).ok()?,
        data,
        behind,
    })
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_newc_with_parents_first() {
        let mut archive = Archive::default();
        archive.file("/a/b/c", 0o644, b"12345".to_vec());
        archive.char_device("/dev/console", 0o600, 5, 1);
        let bytes = archive.to_bytes();
        let text = String::from_utf8(bytes.clone())
            .unwrap()
            .replace('\0', ".")
            .replace("070701", "\n070701");
        insta::assert_snapshot!(text.trim_start(), @r"
        07070100000001000041ED0000000000000000000000020000000000000000000000000000000000000000000000000000000200000000a.
        07070100000002000041ED0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000a/b...
        07070100000003000081A40000000000000000000000010000000000000005000000000000000000000000000000000000000600000000a/b/c.12345...
        07070100000004000041ED0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000dev...
        07070100000005000021800000000000000000000000010000000000000000000000000000000000000005000000010000000C00000000dev/console...
        07070100000000000000000000000000000000000000010000000000000000000000000000000000000000000000000000000B00000000TRAILER!!!....
        ");
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(Archive::parse(&bytes), Ok(archive));
    }

    #[test]
    fn an_archive_that_is_cut_off_altered_or_of_another_hand_is_not_read() {
        let mut archive = Archive::default();
        archive.file("/a/b", 0o644, b"12345".to_vec());
        let bytes = archive.to_bytes();
        for end in 0..bytes.len() {
            assert!(Archive::parse(&bytes[..end]).is_err(), "{end}");
        }
        for (at, what) in [(6, b'F'), (20, b'F'), (102, b'F'), (0, b'1')] {
            let mut other = bytes.clone();
            other[at] = what;
            assert!(Archive::parse(&other).is_err(), "{at}");
        }
    }

    #[test]
    fn the_order_of_additions_does_not_matter() {
        let mut a = Archive::default();
        a.file("x/1", 0o644, vec![1]);
        a.directory("x");
        let mut b = Archive::default();
        b.directory("x");
        b.file("x/1", 0o644, vec![1]);
        assert_eq!(a.to_bytes(), b.to_bytes());
    }
}
