//! File-system features: those that the oldest kernel of a scenario knows, the same for every
//! kernel (pure).
//!
//! Written for Debian bookworm's e2fsprogs 1.47.0 and xfsprogs 6.1.0, and made for the least work
//! on a fresh memory-backed device: it reads as zeros, so nothing has to be zeroed again
//! (`assume_storage_prezeroed`, which also leaves ext4 no background initialisation that would
//! disturb a measurement), and logs are small. Nothing here is on the path of a direct overwrite.
//! Nothing is left to mke2fs.conf or chance.

use super::FilesystemSpec;
use crate::vocabulary::{KernelVersion, mkfs};
use diorama_wire::FsKind;

/// What UUIDs and hash seeds are made of when nobody says otherwise.
pub const DEFAULT_SEED: u128 = 0xd10a_3a00_0000_0000_0000_0000_0000_0001;

/// ext4 features, on top of none: e2fsprogs 1.47's defaults in Debian, without `resize_inode`,
/// which reserves blocks for growing. All are known since Linux 3.6 (metadata_csum).
const EXT4_FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,\
    sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// The first kernel with XFS's bigtime and inobtcount (fs/xfs/libxfs/xfs_format.h).
const XFS_BIGTIME: KernelVersion = KernelVersion(5, 10);

/// Program and arguments of mkfs, without the device. `oldest` is the oldest kernel that will
/// mount the file system, `seed` what its UUID and hash seed are made of;
/// `zeroed` says whether the device reads as zeros where nothing was written.
///
/// Options that the scenario sets replace the chosen ones, but for the identity.
#[must_use]
pub fn mkfs_argv(
    spec: &FilesystemSpec,
    oldest: KernelVersion,
    zeroed: bool,
    seed: u128,
) -> Vec<String> {
    let words: Vec<String> = match spec.kind {
        FsKind::Ext4 => ext4(&spec.mkfs, zeroed, &uuid(seed)),
        FsKind::Xfs => xfs(&spec.mkfs, oldest, &uuid(seed)),
    };
    words
}

fn ext4(own: &[String], zeroed: bool, uuid: &str) -> Vec<String> {
    let mut argv = strings(&[mkfs(FsKind::Ext4), "-q", "-F"]);
    if !own.iter().any(|word| word.starts_with("-U")) {
        argv.extend(strings(&["-U", uuid]));
    }
    if !own.iter().any(|word| word.starts_with("-E")) {
        // What mkfs would leave to the kernel's background is done at once, or need not be.
        let tables = match zeroed {
            true => "assume_storage_prezeroed=1",
            false => "lazy_itable_init=0,lazy_journal_init=0",
        };
        let extended = format!("hash_seed={uuid},nodiscard,{tables}");
        argv.extend(["-E".to_owned(), extended]);
    }
    if own.is_empty() {
        // 4 MiB is the smallest journal of 4 KiB blocks; 128 inodes are a file's and to spare.
        let chosen = [
            "-b", "4096", "-I", "256", "-N", "128", "-m", "0", "-J", "size=4", "-O",
        ];
        argv.extend(strings(&chosen));
        argv.push(EXT4_FEATURES.to_owned());
    }
    argv.extend_from_slice(own);
    argv
}

fn xfs(own: &[String], oldest: KernelVersion, uuid: &str) -> Vec<String> {
    let mut argv = strings(&[mkfs(FsKind::Xfs), "-q", "-f", "-K"]);
    if !own.is_empty() {
        if !own.iter().any(|word| word.contains("uuid=")) {
            argv.extend(["-m".to_owned(), format!("uuid={uuid}")]);
        }
        argv.extend_from_slice(own);
        return argv;
    }
    let new = u8::from(oldest >= XFS_BIGTIME);
    // Without --unsupported the log would have at least 64 MiB, all of it written; it changes
    // nothing else here (mkfs/xfs_mkfs.c, validate_supported).
    argv.extend(strings(&["--unsupported", "-m"]));
    argv.push(format!(
        "uuid={uuid},crc=1,finobt=1,rmapbt=0,reflink=1,bigtime={new},inobtcount={new}"
    ));
    let chosen = [
        "-i",
        "size=512,sparse=1,nrext64=0",
        "-d",
        "agcount=2",
        "-l",
        "size=8m",
    ];
    argv.extend(strings(&chosen));
    argv
}

/// What was chosen, and for whom, in one line for the record.
#[must_use]
pub fn features_note(spec: &FilesystemSpec, oldest: KernelVersion) -> String {
    let name = &spec.name;
    if !spec.mkfs.is_empty() {
        return format!(
            "{name}: formatted with the scenario's own options, {}",
            spec.mkfs.join(" ")
        );
    }
    let chosen = match spec.kind {
        FsKind::Ext4 => "e2fsprogs 1.47's features, a 4 MiB journal",
        FsKind::Xfs if oldest >= XFS_BIGTIME => {
            "xfsprogs 6.1's features (bigtime and inobtcount among them), an 8 MiB log"
        }
        FsKind::Xfs => "xfsprogs 6.1's features without bigtime and inobtcount, an 8 MiB log",
    };
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

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: FsKind, mkfs: &[&str]) -> FilesystemSpec {
        FilesystemSpec {
            name: kind.name().to_owned(),
            kind,
            mkfs: strings(mkfs),
            mount_options: String::new(),
        }
    }

    fn argv(kind: FsKind, mkfs: &[&str], oldest: KernelVersion) -> String {
        mkfs_argv(&spec(kind, mkfs), oldest, true, DEFAULT_SEED).join(" ")
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
        let note = |kind, oldest| features_note(&spec(kind, &[]), oldest);
        insta::assert_snapshot!(note(FsKind::Ext4, KernelVersion(5, 4)), @"ext4: formatted for Linux 5.4 and later, the same for every kernel: e2fsprogs 1.47's features, a 4 MiB journal");
        insta::assert_snapshot!(note(FsKind::Xfs, KernelVersion(5, 4)), @"xfs: formatted for Linux 5.4 and later, the same for every kernel: xfsprogs 6.1's features without bigtime and inobtcount, an 8 MiB log");
        insta::assert_snapshot!(note(FsKind::Xfs, KernelVersion(5, 10)), @"xfs: formatted for Linux 5.10 and later, the same for every kernel: xfsprogs 6.1's features (bigtime and inobtcount among them), an 8 MiB log");
        insta::assert_snapshot!(features_note(&spec(FsKind::Xfs, &["-l", "size=64m"]), KernelVersion(5, 4)), @"xfs: formatted with the scenario's own options, -l size=64m");
    }
}
