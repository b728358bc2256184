//! What a device bears, by the marks at its beginning and its end (pure). No more is asked than
//! whether there is something that somebody may miss: nothing is validated, and what is not known but
//! not zero either is said to be data.
//!
//! Offsets and magic numbers: UEFI 2.10, 5.3.2 (GPT) and 5.2.1 (MBR); the kernel's fs/ext4/ext4.h,
//! fs/xfs/libxfs/xfs_format.h, fs/btrfs/fs.h, include/linux/f2fs_fs.h, fs/erofs/erofs_fs.h,
//! include/uapi/linux/raid/md_p.h, include/linux/swap.h and drivers/md/bcache/bcache_ondisk.h;
//! cryptsetup's LUKS2 on-disk format; LVM2's lib/format_text/layout.h; OpenZFS's uberblock_impl.h;
//! util-linux's libblkid for the rest.

/// Bytes of a device's beginning that are looked at: as far as ZFS's second half of a label.
pub const HEAD: usize = 256 << 10;

/// Bytes of its end: md's version 0.90 lies up to 128 KiB before it.
pub const TAIL: usize = 128 << 10;

/// The beginning and the end of a device, as far as they could be read.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// Its first bytes, at most [`HEAD`].
    pub head: &'a [u8],
    /// Its last bytes, at most [`TAIL`].
    pub tail: &'a [u8],
    /// Its size in bytes.
    pub size: u64,
}

const GPT: &str = "GPT partition table";
const MD: &str = "Linux RAID member";
const BCACHE: [u8; 12] = [
    0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f,
];
const BCACHEFS: [u8; 12] = [
    0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf,
];
/// Little-endian, as on every machine that we run on.
const MD_MAGIC: &[u8] = &0xa92b_4efc_u32.to_le_bytes();

/// At which bytes of the beginning is which mark.
const MARKS: [(usize, &[u8], &str); 35] = [
    // Blocks of 512 and of 4096 bytes.
    (512, b"EFI PART", GPT),
    (4096, b"EFI PART", GPT),
    (0x438, &[0x53, 0xef], "ext2/3/4"),
    (0, b"XFSB", "XFS"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
    (0x400, &[0x10, 0x20, 0xf5, 0xf2], "F2FS"),
    (0x1018, &BCACHEFS, "bcachefs"),
    (0x1018, &BCACHE, "bcache"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    // The second header of LUKS2, where the first was lost.
    (0x4000, b"SKUL\xba\xbe", "LUKS"),
    (0x8000, b"SKUL\xba\xbe", "LUKS"),
    // In any of the first four sectors.
    (0, b"LABELONE", "LVM2"),
    (512, b"LABELONE", "LVM2"),
    (1024, b"LABELONE", "LVM2"),
    (1536, b"LABELONE", "LVM2"),
    // At the end of a page of 4, 8, 16 or 64 KiB.
    (0xff6, b"SWAPSPACE2", "swap"),
    (0x1ff6, b"SWAPSPACE2", "swap"),
    (0x3ff6, b"SWAPSPACE2", "swap"),
    (0xfff6, b"SWAPSPACE2", "swap"),
    (0xff6, b"S1SUSPEND", "hibernation image"),
    (0xff6, b"LINHIB0001", "hibernation image"),
    // Versions 1.1 and 1.2.
    (0, MD_MAGIC, MD),
    (4096, MD_MAGIC, MD),
    (3, b"NTFS    ", "NTFS"),
    (3, b"-FVE-FS-", "BitLocker"),
    (3, b"EXFAT   ", "exFAT"),
    (0x52, b"FAT32   ", "FAT"),
    (0x36, b"FAT16   ", "FAT"),
    (0x36, b"FAT12   ", "FAT"),
    (0, b"hsqs", "SquashFS"),
    (0x400, &[0xe2, 0xe1, 0xf5, 0xe0], "EROFS"),
    (0x8001, b"CD001", "ISO 9660"),
    (0x1_0040, b"ReIsEr", "ReiserFS"),
    (0x1_0034, b"ReIsEr", "ReiserFS"),
    (0, b"bluestore block device", "Ceph"),
];

/// What a device bears, each once, in the order in which it is told; nothing if it bears nothing.
#[must_use]
pub fn found(ends: &Ends<'_>) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut say = |what| {
        if !found.contains(&what) {
            found.push(what);
        }
    };
    for (at, mark, what) in MARKS {
        if has(ends.head, at, mark) {
            say(what);
        }
    }
    if is_zfs(ends.head) {
        say("ZFS");
    }
    for (before_end, mark, what) in at_the_end(ends.size) {
        let at = (ends.tail.len() as u64).checked_sub(before_end);
        if at.is_some_and(|at| has(ends.tail, at as usize, mark)) {
            say(what);
        }
    }
    // Every boot sector ends so, FAT's and GPT's protective one too.
    if found.is_empty() && has(ends.head, 510, &[0x55, 0xaa]) {
        found.push("MBR partition table");
    }
    let written = |bytes: &[u8]| bytes.iter().any(|byte| *byte != 0);
    if found.is_empty() && (written(ends.head) || written(ends.tail)) {
        found.push("data of an unknown kind");
    }
    found
}

/// Marks near the end: how many bytes before it, for a device of this size.
fn at_the_end(size: u64) -> [(u64, &'static [u8], &'static str); 5] {
    const K64: u64 = 64 << 10;
    // md_p.h and the kernel's drivers/md/md.c: 0.90 in the last whole 64 KiB, 1.0 at least 8 KiB
    // before the end, at a multiple of 4 KiB.
    let v0 = size - (size / K64 * K64).saturating_sub(K64);
    let v1 = size - (size.saturating_sub(8 << 10) & !4095);
    [
        (512, b"EFI PART", GPT),
        (4096, b"EFI PART", GPT),
        (v0, MD_MAGIC, MD),
        (v1, MD_MAGIC, MD),
        (1024, b"Intel Raid ISM Cfg Sig. ", "Intel RAID member"),
    ]
}

/// The uberblocks of the first label: from 128 KiB to 256 KiB, each at a multiple of 1 KiB.
fn is_zfs(head: &[u8]) -> bool {
    let magic = 0x00ba_b10c_u64.to_le_bytes();
    (128..256).any(|kib| has(head, kib << 10, &magic))
}

fn has(bytes: &[u8], at: usize, mark: &[u8]) -> bool {
    bytes.get(at..at + mark.len()) == Some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1 << 20;

    fn of(image: &[u8]) -> Vec<&'static str> {
        found(&Ends {
            head: &image[..HEAD.min(image.len())],
            tail: &image[image.len().saturating_sub(TAIL)..],
            size: image.len() as u64,
        })
    }

    fn with(marks: &[(usize, &[u8])]) -> Vec<&'static str> {
        let mut image = vec![0; SIZE];
        for (at, mark) in marks {
            image[*at..at + mark.len()].copy_from_slice(mark);
        }
        of(&image)
    }

    #[test]
    fn what_is_zero_bears_nothing_and_every_mark_is_found() {
        assert!(with(&[]).is_empty());
        assert!(of(&[]).is_empty());
        for (at, mark, what) in MARKS {
            assert_eq!(with(&[(at, mark)]), [what]);
        }
        assert_eq!(with(&[(130 << 10, &0xba_b10c_u64.to_le_bytes())]), ["ZFS"]);
    }

    #[test]
    fn what_lies_at_the_end_is_found_too() {
        assert_eq!(with(&[(SIZE - 512, b"EFI PART")]), [GPT]);
        assert_eq!(with(&[(SIZE - (64 << 10), MD_MAGIC)]), [MD]);
        assert_eq!(with(&[(SIZE - (8 << 10), MD_MAGIC)]), [MD]);
        // A size that no multiple divides: 1 MiB and 5 KiB more.
        let mut odd = vec![0; SIZE + 5120];
        odd[SIZE - 4096..][..4].copy_from_slice(MD_MAGIC);
        assert_eq!(of(&odd), [MD]);
        let mut odd = vec![0; SIZE + 5120];
        odd[SIZE - (64 << 10)..][..4].copy_from_slice(MD_MAGIC);
        assert_eq!(of(&odd), [MD]);
    }

    #[test]
    fn a_boot_sector_is_told_as_what_it_belongs_to() {
        let boot: (usize, &[u8]) = (510, &[0x55, 0xaa]);
        assert_eq!(with(&[boot]), ["MBR partition table"]);
        assert_eq!(with(&[boot, (512, b"EFI PART")]), [GPT]);
        assert_eq!(with(&[boot, (0x52, b"FAT32   ")]), ["FAT"]);
    }

    #[test]
    fn what_nobody_knows_is_data_all_the_same() {
        assert_eq!(with(&[(77, b"thesis")]), ["data of an unknown kind"]);
        assert_eq!(with(&[(SIZE - 1, b"x")]), ["data of an unknown kind"]);
        assert_eq!(of(b"XFSB"), ["XFS"], "shorter than any device");
        assert_eq!(of(b"x"), ["data of an unknown kind"]);
    }
}
