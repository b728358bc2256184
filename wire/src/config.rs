//! Options of a kernel's configuration that both sides name: the harness before a boot, from the
//! configuration, and the agent in the guest, where something is not there.

use crate::Engine;

/// Linux AIO.
pub const AIO: &str = "CONFIG_AIO";
/// btrfs
pub const BTRFS_FS: &str = "CONFIG_BTRFS_FS";
/// device-mapper.
pub const BLK_DEV_DM: &str = "CONFIG_BLK_DEV_DM";
/// md, the kernel's software RAID.
pub const BLK_DEV_MD: &str = "CONFIG_BLK_DEV_MD";
/// Loop devices.
pub const BLK_DEV_LOOP: &str = "CONFIG_BLK_DEV_LOOP";
/// The model device.
pub const BLK_DEV_NULL_BLK: &str = "CONFIG_BLK_DEV_NULL_BLK";
/// NVM Express block devices.
pub const BLK_DEV_NVME: &str = "CONFIG_BLK_DEV_NVME";
/// F2FS
pub const F2FS_FS: &str = "CONFIG_F2FS_FS";
/// File systems that are served from elsewhere, a host's for one.
pub const FUSE_FS: &str = "CONFIG_FUSE_FS";
/// Through which the model device is set up.
pub const CONFIGFS_FS: &str = "CONFIG_CONFIGFS_FS";
/// XTS, a mode of block ciphers.
pub const CRYPTO_XTS: &str = "CONFIG_CRYPTO_XTS";
/// device-mapper's crypt target.
pub const DM_CRYPT: &str = "CONFIG_DM_CRYPT";
/// Device nodes.
pub const DEVTMPFS: &str = "CONFIG_DEVTMPFS";
/// ext4
pub const EXT4_FS: &str = "CONFIG_EXT4_FS";
/// Timers for the model device's latency.
pub const HIGH_RES_TIMERS: &str = "CONFIG_HIGH_RES_TIMERS";
/// PCI hot-plug.
pub const HOTPLUG_PCI_ACPI: &str = "CONFIG_HOTPLUG_PCI_ACPI";
/// io_uring
pub const IO_URING: &str = "CONFIG_IO_URING";
/// md's mirrors.
pub const MD_RAID1: &str = "CONFIG_MD_RAID1";
/// Module loading.
pub const MODULES: &str = "CONFIG_MODULES";
/// /proc
pub const PROC_FS: &str = "CONFIG_PROC_FS";
/// /sys
pub const SYSFS: &str = "CONFIG_SYSFS";
/// System V shared memory.
pub const SYSVIPC: &str = "CONFIG_SYSVIPC";
/// timerfd
pub const TIMERFD: &str = "CONFIG_TIMERFD";
/// Unix sockets.
pub const UNIX: &str = "CONFIG_UNIX";
/// Directories of the host's.
pub const VIRTIO_FS: &str = "CONFIG_VIRTIO_FS";
/// The device that carries results.
pub const VIRTIO_PCI: &str = "CONFIG_VIRTIO_PCI";
/// Terminals for a shell.
pub const UNIX98_PTYS: &str = "CONFIG_UNIX98_PTYS";
/// The socket that carries results.
pub const VIRTIO_VSOCKETS: &str = "CONFIG_VIRTIO_VSOCKETS";
/// I/O ports for user space.
pub const X86_IOPL_IOPERM: &str = "CONFIG_X86_IOPL_IOPERM";
/// XFS
pub const XFS_FS: &str = "CONFIG_XFS_FS";

impl Engine {
    /// The option that provides its system calls, if there is one.
    #[must_use]
    pub fn option(self) -> Option<&'static str> {
        match self {
            Engine::Libaio => Some(AIO),
            Engine::IoUring => Some(IO_URING),
            Engine::Psync => None,
        }
    }
}
