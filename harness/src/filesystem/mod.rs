//! The file systems there are, in one table: what a kernel must have for each, which program of which
//! tool set makes it, and how (pure).
//!
//! A file system gets the features that the oldest kernel of a scenario knows, the same for every
//! kernel, and is made for the least work on a fresh memory-backed device: that reads as zeros, so
//! nothing has to be zeroed again (`assume_storage_prezeroed`, which also leaves ext4 no background
//! initialisation that would disturb a measurement), and logs are small. Nothing here is on the path
//! of a direct overwrite. Nothing is left to a configuration file or to chance, as far as mkfs lets
//! one say it.

mod btrfs;
mod ext4;
mod f2fs;
mod xfs;

use crate::vocabulary::KernelVersion;
use diorama_wire::FsKind;

/// What UUIDs and hash seeds are made of when nobody says otherwise.
pub const DEFAULT_SEED: u128 = 0xd10a_3a00_0000_0000_0000_0000_0000_0001;

/// The tool set (images/images.toml) of ext4 and XFS.
pub const GUEST_TOOLS: &str = "guest-tools";

/// What the harness knows of a file system; what both sides know is [`diorama_wire::FsFacts`].
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Which one.
    pub kind: FsKind,
    /// The kernel's module.
    pub module: &'static str,
    /// What a kernel needs it for, in words.
    pub purpose: &'static str,
    /// The program that makes it, where the guest has it.
    pub mkfs: &'static str,
    /// The tool set that holds that program.
    pub tools: &'static str,
    /// What the program reads besides its arguments.
    pub files: &'static [&'static str],
    /// Words before those of a scenario's own: identity, and what is chosen where it has none.
    argv: fn(&[String], &Format) -> Vec<String>,
    /// How the program is tried on a file that stands for a drive with blocks of so many bytes.
    dry: fn(&[String], u32) -> Dry,
    /// That choice in words, for the oldest kernel.
    chosen: fn(KernelVersion) -> &'static str,
}

/// What a program is told besides, so that it says what it would say of a drive, and writes as little
/// as it can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dry {
    /// Words in front of all others.
    pub words: Vec<String>,
    /// Variables of its environment.
    pub variables: Vec<(&'static str, String)>,
}

/// Every file system. A block device without one ([`FsKind::None`]) has no line here.
pub const TABLE: [Facts; 4] = [ext4::FACTS, xfs::FACTS, btrfs::FACTS, f2fs::FACTS];

/// What is known of a kind; nothing where there is no file system.
#[must_use]
pub fn facts(kind: FsKind) -> Option<&'static Facts> {
    TABLE.iter().find(|facts| facts.kind == kind)
}

/// The tool sets that these need, each once, in the table's order.
#[must_use]
pub fn tool_sets(kinds: &[FsKind]) -> Vec<&'static str> {
    let mut sets = Vec::new();
    let wanted = TABLE.iter().filter(|facts| kinds.contains(&facts.kind));
    for facts in wanted {
        if !sets.contains(&facts.tools) {
            sets.push(facts.tools);
        }
    }
    sets
}

/// What a file system is made for.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The oldest kernel that will mount it.
    pub oldest: KernelVersion,
    /// Whether the device reads as zeros where nothing was written.
    pub zeroed: bool,
    /// What its UUID and hash seed are made of.
    pub seed: u128,
}

impl Format {
    fn uuid(&self) -> String {
        uuid(self.seed)
    }
}

/// Program and arguments of mkfs, without the device; empty where there is no file system.
///
/// Options that the scenario sets (`own`) replace the chosen ones, but for the identity.
#[must_use]
pub fn mkfs_argv(kind: FsKind, own: &[String], format: &Format) -> Vec<String> {
    let Some(facts) = facts(kind) else {
        return Vec::new();
    };
    let mut argv = vec![facts.mkfs.to_owned()];
    argv.extend((facts.argv)(own, format));
    argv.extend_from_slice(own);
    argv
}

/// What a program of mkfs is told when it is tried on a file ([`Dry`]) that stands for a drive with
/// blocks of so many bytes; `own` are the scenario's options.
#[must_use]
pub fn dry(facts: &Facts, own: &[String], block_size: u32) -> Dry {
    (facts.dry)(own, block_size)
}

/// What was chosen, and for whom, in one line for the record. `name` is what the scenario calls it.
#[must_use]
pub fn note(name: &str, kind: FsKind, own: &[String], oldest: KernelVersion) -> String {
    let Some(facts) = facts(kind) else {
        return format!("{name}: the block device itself, without a file system");
    };
    if !own.is_empty() {
        let own = own.join(" ");
        return format!("{name}: formatted with the scenario's own options, {own}");
    }
    let chosen = (facts.chosen)(oldest);
    format!("{name}: formatted for Linux {oldest} and later, the same for every kernel: {chosen}")
}

/// A version 4 UUID (RFC 9562) made of a seed.
fn uuid(seed: u128) -> String {
    let version = (seed & !(0xf << 76)) | (0x4 << 76);
    let bits = (version & !(0x3 << 62)) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Whether one of these words is an option, with its value or before it.
fn has(own: &[String], option: &str) -> bool {
    own.iter().any(|word| word.starts_with(option))
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(kind: FsKind, own: &[&str], oldest: KernelVersion) -> String {
        let format = Format {
            oldest,
            zeroed: true,
            seed: DEFAULT_SEED,
        };
        mkfs_argv(kind, &strings(own), &format).join(" ")
    }

    #[test]
    fn every_kind_but_none_has_a_line() {
        for kind in FsKind::ALL {
            assert_eq!(facts(kind).is_none(), kind.is_none(), "{kind:?}");
        }
        assert_eq!(argv(FsKind::None, &[], KernelVersion::OLDEST), "");
    }

    #[test]
    fn a_tool_set_is_needed_where_its_file_system_is() {
        assert_eq!(tool_sets(&[FsKind::Xfs, FsKind::Ext4]), ["guest-tools"]);
        assert_eq!(tool_sets(&[FsKind::Btrfs, FsKind::None]), ["btrfs-tools"]);
    }

    #[test]
    fn btrfs_and_f2fs_are_made_the_same_every_time() {
        let btrfs = argv(FsKind::Btrfs, &[], KernelVersion(5, 4));
        insta::assert_snapshot!(btrfs, @"/sbin/mkfs.btrfs -q -f -K -U d10a3a00-0000-4000-8000-000000000001 -O extref,skinny-metadata,no-holes -R free-space-tree --csum crc32c -m dup -d single -n 16384 -s 4096");
        insta::assert_snapshot!(argv(FsKind::Btrfs, &["-m", "single"], KernelVersion(5, 4)), @"/sbin/mkfs.btrfs -q -f -K -U d10a3a00-0000-4000-8000-000000000001 -m single");
        insta::assert_snapshot!(argv(FsKind::F2fs, &[], KernelVersion(5, 4)), @"/sbin/mkfs.f2fs -q -f -r -U d10a3a00-0000-4000-8000-000000000001 -T 1700000000 -t 0");
    }

    #[test]
    fn ext4_is_formatted_the_same_whatever_mke2fs_conf_says() {
        insta::assert_snapshot!(argv(FsKind::Ext4, &[], KernelVersion(5, 4)), @"/sbin/mkfs.ext4 -q -F -U d10a3a00-0000-4000-8000-000000000001 -E hash_seed=d10a3a00-0000-4000-8000-000000000001,nodiscard,assume_storage_prezeroed=1 -b 4096 -I 256 -N 128 -m 0 -J size=4 -O none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum");
        assert_eq!(
            argv(FsKind::Ext4, &[], KernelVersion(5, 4)),
            argv(FsKind::Ext4, &[], KernelVersion(7, 2)),
        );
    }

    #[test]
    fn xfs_gets_the_features_that_the_oldest_kernel_knows() {
        insta::assert_snapshot!(argv(FsKind::Xfs, &[], KernelVersion(5, 4)), @"/sbin/mkfs.xfs -q -f -K --unsupported -m uuid=d10a3a00-0000-4000-8000-000000000001,crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=0,inobtcount=0 -i size=512,sparse=1,nrext64=0 -d agcount=2 -l size=8m");
        insta::assert_snapshot!(argv(FsKind::Xfs, &[], KernelVersion(5, 10)), @"/sbin/mkfs.xfs -q -f -K --unsupported -m uuid=d10a3a00-0000-4000-8000-000000000001,crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=1,inobtcount=1 -i size=512,sparse=1,nrext64=0 -d agcount=2 -l size=8m");
    }

    #[test]
    fn own_options_replace_the_chosen_ones_but_for_the_identity() {
        insta::assert_snapshot!(argv(FsKind::Ext4, &["-b", "1024"], KernelVersion(5, 4)), @"/sbin/mkfs.ext4 -q -F -U d10a3a00-0000-4000-8000-000000000001 -E hash_seed=d10a3a00-0000-4000-8000-000000000001,nodiscard,assume_storage_prezeroed=1 -b 1024");
        insta::assert_snapshot!(argv(FsKind::Ext4, &["-E", "stride=2"], KernelVersion(5, 4)), @"/sbin/mkfs.ext4 -q -F -U d10a3a00-0000-4000-8000-000000000001 -E stride=2");
        insta::assert_snapshot!(argv(FsKind::Xfs, &["-m", "reflink=0"], KernelVersion(5, 4)), @"/sbin/mkfs.xfs -q -f -K -m uuid=d10a3a00-0000-4000-8000-000000000001 -m reflink=0");
        let own = argv(FsKind::Xfs, &["-m", "uuid=x"], KernelVersion(5, 4));
        assert_eq!(own.matches("uuid=").count(), 1);
    }

    #[test]
    fn the_note_says_for_whom_and_what() {
        let note =
            |kind: FsKind, own: &[&str], oldest| note(kind.name(), kind, &strings(own), oldest);
        insta::assert_snapshot!(note(FsKind::Ext4, &[], KernelVersion(5, 4)), @"ext4: formatted for Linux 5.4 and later, the same for every kernel: e2fsprogs 1.47's features, a 4 MiB journal");
        insta::assert_snapshot!(note(FsKind::Xfs, &[], KernelVersion(5, 4)), @"xfs: formatted for Linux 5.4 and later, the same for every kernel: xfsprogs 6.1's features without bigtime and inobtcount, an 8 MiB log");
        insta::assert_snapshot!(note(FsKind::Xfs, &[], KernelVersion(5, 10)), @"xfs: formatted for Linux 5.10 and later, the same for every kernel: xfsprogs 6.1's features (bigtime and inobtcount among them), an 8 MiB log");
        insta::assert_snapshot!(note(FsKind::Xfs, &["-l", "size=64m"], KernelVersion(5, 4)), @"xfs: formatted with the scenario's own options, -l size=64m");
        insta::assert_snapshot!(note(FsKind::None, &[], KernelVersion(5, 4)), @"none: the block device itself, without a file system");
    }
}
