//! Drives of a machine with an IOMMU: what is refused, and with which words; a controller passed through
//! to a guest and given back, however the run ends; a disk. What a guest wrote is read back in the outer
//! machine, and from the image of its drive.

use crate::{
    common::Lab,
    outer::{All, Case, Drive, Outer},
};
use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    time::{SystemTime, UNIX_EPOCH},
};

/// A free drive, one to be mounted, one with data, and two functions of one device, which the IOMMU
/// cannot keep apart.
pub const DRIVES: [Drive; 5] = [
    drive("nest0", "05.0", false),
    drive("nest1", "06.0", true),
    drive("nest2", "07.0", true),
    drive("nest3", "08.0", false),
    drive("nest4", "08.1", false),
];

const fn drive(serial: &'static str, at: &'static str, formatted: bool) -> Drive {
    Drive {
        serial,
        at,
        formatted,
    }
}

const FREE: &str = "0000:00:05.0";

/// What the user is told to have an administrator allow: the guest's RAM and a little, in KiB.
const LOCKED: &str = "524544";

/// A cell by the wall clock, whose file system has this label.
pub fn scenario(label: &str) -> String {
    cell(
        label,
        "device = \"vfio\"\n[guest]\nmemory = \"512MiB\"\n[session]\nblocks = 1\n",
    )
}

/// The same cell in the exact lane, to be packed.
fn exact(label: &str) -> String {
    cell(label, "[guest]\nmemory = \"640MiB\"\n")
}

fn cell(label: &str, on: &str) -> String {
    format!(
        "name = \"nested-drive\"\ntitle = \"A drive\"\nbaseline = \"6.12\"\nkernels = [\"6.12\"]\n\
         {on}[measure]\nrepetitions = 2\nwarmup_ios = 10\n\
         [filesystems.ext4]\nmkfs = [\"-L\", \"{label}\"]\n\
         [workloads.write-4k]\nrw = \"write\"\nbs = \"4k\"\nsize = \"1MiB\"\nnumber_ios = 100\n"
    )
}

/// Labels that no file system has by chance, by scenario.
pub struct Labels(Vec<(&'static str, String)>);

/// A scenario for every run that gets to the drive, each with a label of its own.
pub fn scenarios(outer: &Outer<'_>) -> Labels {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let random = now.expect("a clock").as_nanos() as u32;
    let labels = ["root", "image", "user", "other", "disk"].map(|name| {
        let label = format!("{name}-{random:08x}");
        outer.scenario(name, &scenario(&label));
        (name, label)
    });
    Labels(labels.into())
}

/// Puts an image of an exact run into the outer machine: whose jobs are measured on a drive there.
pub fn image(lab: &Lab, outer: &Outer<'_>, labels: &Labels) {
    let scenario = lab.write("image.toml", &exact(labels.of("image")));
    let image = outer.place(IMAGE);
    for words in [
        &["run", &scenario, "--plain"][..],
        &["pack", "latest", "--plain", "-o", &image],
    ] {
        assert!(lab.run(words).status.success());
    }
}

/// Where that is there.
const IMAGE: &str = "srv/x.diorama";

impl Labels {
    fn of(&self, scenario: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| *name == scenario);
        &found.expect("a scenario").1
    }
}

fn sh(text: impl AsRef<str>) -> String {
    format!(". /srv/lib.sh\n{}\n", text.as_ref())
}

/// Everything that is refused before anything is touched.
pub fn refusals() -> Vec<Case> {
    let root = |name, text: &str| Case::root(name, sh(text));
    let user = |name, text: &str| Case::user(name, sh(text));
    vec![
        root(
            "devices",
            "mkdir /tmp/m; mount $(node nest1) /tmp/m && diorama devices",
        ),
        root(
            "vfio: no device at that address",
            "measure root vfio:0000:00:0a.0 --erase nest0",
        ),
        root(
            "vfio: no NVMe controller",
            "measure root vfio:0000:00:00.0 --erase nest0",
        ),
        root(
            "vfio: a group shared with another device",
            "measure root vfio:0000:00:08.0 --erase nest3",
        ),
        root(
            "vfio: mounted",
            "measure root vfio:0000:00:06.0 --erase nest1",
        ),
        root(
            "vfio: swap space",
            "mkswap $(node nest0) >/dev/null && swapon $(node nest0)\n\
             measure root vfio:0000:00:05.0 --erase nest0; code=$?\n\
             swapoff $(node nest0); dd if=/dev/zero of=$(node nest0) bs=4k count=1 2>/dev/null\n\
             exit $code",
        ),
        root(
            "vfio: mounted where nobody sees it",
            "mkdir /tmp/n; unshare -m sh -c \"mount $(node nest2) /tmp/n && exec sleep 1000\" & sleep 2\n\
             measure root vfio:0000:00:07.0 --erase nest2; code=$?; kill $!; exit $code",
        ),
        root(
            "vfio: data that nobody named",
            "measure root vfio:0000:00:07.0",
        ),
        root(
            "vfio: vfio-pci is not loaded",
            "measure root vfio:0000:00:05.0 --erase nest0",
        ),
        root(
            "vfio: vfio_iommu_type1 is not loaded",
            "modprobe vfio-pci && measure root vfio:0000:00:05.0 --erase nest0",
        ),
        root(
            "vfio: a blank drive that nobody named",
            "modprobe vfio_iommu_type1 && measure root vfio:0000:00:05.0",
        ),
        root(
            "vfio: another serial",
            "measure root vfio:0000:00:05.0 --erase nest1; code=$?\n\
             chmod 600 /dev/vfio/vfio; chmod 666 /dev/kvm; exit $code",
        ),
        user(
            "vfio: a user who may not open vfio",
            "measure user vfio:0000:00:05.0 --erase nest0",
        ),
        root("(root opens vfio)", "chmod 666 /dev/vfio/vfio"),
        user(
            "vfio: a user without rights",
            "measure user vfio:0000:00:05.0 --erase nest0 2>/tmp/asked; code=$?\n\
             cat /tmp/asked; exit $code",
        ),
        root("disk: mounted", "measure disk $(node nest1) --erase nest1"),
        root("disk: data that nobody named", "measure disk $(node nest2)"),
        root(
            "disk: another serial",
            "measure disk $(node nest2) --erase nest0",
        ),
        user(
            "disk: a drive of root",
            "measure disk $(node nest0) --erase nest0",
        ),
    ]
}

/// A controller passed through by root, and given back however the run ends.
pub fn passed_by_root() -> Vec<Case> {
    let root = |name, text: &str| Case::root(name, sh(text));
    vec![
        root(
            "vfio, root: SIGTERM",
            "begin root vfio:0000:00:05.0 --erase nest0 --accel tcg &\n\
             passed 0000:00:05.0 && kill -TERM $!; wait $!; code=$?\n\
             echo \"driver $(driver 0000:00:05.0)\"; ls /srv/cache/bound; exit $code",
        ),
        root(
            "vfio, root: SIGINT twice",
            "begin root vfio:0000:00:05.0 --erase nest0 --accel tcg &\n\
             passed 0000:00:05.0 && kill -INT $!; sleep 1; kill -INT $!; wait $!; code=$?\n\
             echo \"driver $(driver 0000:00:05.0)\"; ls /srv/cache/bound; exit $code",
        ),
        root(
            "vfio, root: kill -9",
            "begin root vfio:0000:00:05.0 --erase nest0 --accel tcg &\n\
             passed 0000:00:05.0 && kill -9 $!; wait $!; code=$?\n\
             echo \"driver $(driver 0000:00:05.0)\"; ls /srv/cache/bound; exit $code",
        ),
        root(
            "vfio, root: the next one gives it back and measures",
            "measure root vfio:0000:00:05.0 --erase nest0 --accel kvm; code=$?\n\
             accel root; echo \"driver $(driver 0000:00:05.0)\"; echo \"label $(label nest0)\"\n\
             mkdir -p /tmp/d; mount $(node nest0) /tmp/d && ls /tmp/d && umount /tmp/d; exit $code",
        ),
        root(
            "vfio, root: a job out of an image",
            &format!(
                "mkdir /srv/t; TMPDIR=/srv/t diorama --results /tmp/results-image replay /{IMAGE} \
                 --device vfio:0000:00:05.0 --erase nest0 --accel kvm --blocks 1 --plain --offline; code=$?\n\
                 accel image; echo \"driver $(driver 0000:00:05.0)\"; echo \"label $(label nest0)\"\n\
                 ls /srv/t; exit $code"
            ),
        ),
    ]
}

/// The same by an ordinary user, after an administrator did what he was told.
pub fn passed_by_a_user() -> Vec<Case> {
    let root = |name, text: &str| Case::root(name, sh(text));
    vec![
        root(
            "(an administrator does what the user was told)",
            "sed -n '/as root, once:/,/to give it back/p' /tmp/asked | sed '1d;$d' >/tmp/commands\n\
             cat /tmp/commands; (set -e; . /tmp/commands); code=$?\n\
             echo \"driver $(driver 0000:00:05.0)\"; exit $code",
        ),
        Case::user(
            "vfio: too little memory may be locked",
            sh("measure user vfio:0000:00:05.0 --erase nest0"),
        ),
        Case::user_with_limit(
            "vfio: another program has the group",
            LOCKED,
            sh(
                "group=$(basename $(readlink /sys/bus/pci/devices/0000:00:05.0/iommu_group))\n\
                sleep 1000 <>/dev/vfio/$group & sleep 1\n\
                measure user vfio:0000:00:05.0 --erase nest0; code=$?; kill $!; exit $code",
            ),
        ),
        Case::user_with_limit(
            "vfio, a user: the guest finds another serial",
            LOCKED,
            sh(
                "measure other vfio:0000:00:05.0 --erase nest1 --accel kvm; code=$?\n\
                grep -ho 'no NVMe drive has serial[^\"]*' /tmp/results-other/latest/results.json; exit $code",
            ),
        ),
        Case::user_with_limit(
            "vfio, a user",
            LOCKED,
            sh(
                "measure user vfio:0000:00:05.0 --erase nest0 --accel kvm; code=$?\n\
                accel user; echo \"driver $(driver 0000:00:05.0)\"; exit $code",
            ),
        ),
        root(
            "(the administrator gives it back)",
            "sed -n 's/.*to give it back to nvme: //p' /tmp/asked >/tmp/commands\n\
             cat /tmp/commands; (set -e; . /tmp/commands); sleep 2\n\
             echo \"driver $(driver 0000:00:05.0)\"; echo \"label $(label nest0)\"",
        ),
    ]
}

/// A whole disk behind QEMU's controller.
pub fn disk() -> Vec<Case> {
    let text = "measure disk $(node nest2) --erase nest2 --accel kvm; code=$?\n\
                echo \"label $(label nest2)\"; exit $code";
    vec![Case::root("disk, root", sh(text))]
}

/// The label of the ext4 in an image.
fn label_in(outer: &Outer<'_>, serial: &str) -> String {
    let mut label = [0; 16];
    let image = File::open(outer.contents(serial)).expect("the image");
    image
        .read_exact_at(&mut label, 1024 + 0x78)
        .expect("a superblock");
    String::from_utf8_lossy(&label)
        .trim_end_matches('\0')
        .to_owned()
}

/// In a machine whose IOMMU is off there is none to keep a drive to its guest.
pub fn without_iommu() -> Vec<Case> {
    vec![Case::root(
        "vfio: no IOMMU",
        sh("measure root vfio:0000:00:05.0 --erase nest0"),
    )]
}

pub fn judge_without_iommu(came: &All) {
    insta::assert_snapshot!(said(came, "vfio: no IOMMU"), @r"
    error: 0000:00:05.0 is in no IOMMU group
      help: enable the IOMMU (VT-d, AMD-Vi) in the firmware; with an Intel CPU boot with intel_iommu=on; or give the block device instead, which needs no IOMMU
    exit 4
    ");
}

/// The error of a case, without the kernel's numbers for drives, which move.
fn said(came: &All, case: &str) -> String {
    let mut said = came.of(case).error();
    for number in ["0", "1", "2", "3", "4"] {
        said = said.replace(&format!("nvme{number}n1"), "nvmeXn1");
    }
    said
}

pub fn judge(came: &All, outer: &Outer<'_>, labels: &Labels) {
    let listed = came.of("devices");
    assert_eq!(listed.exit, 0, "{listed:?}");
    for drive in &DRIVES {
        for words in [drive.serial, &drive.address()] {
            assert!(listed.says(words), "{words}: {listed:?}");
        }
    }
    assert!(listed.says("mounted on /tmp/m"), "{listed:?}");
    let refused: Vec<String> = refusals()
        .iter()
        .filter(|case| case.name.contains(": "))
        .map(|case| format!("{}\n{}", case.name, said(came, case.name)))
        .collect();
    insta::assert_snapshot!(refused.join("\n\n"), @r"
    vfio: no device at that address
    error: there is no PCI device 0000:00:0a.0
      help: `diorama devices` lists this host's NVMe controllers
    exit 2

    vfio: no NVMe controller
    error: 0000:00:00.0 is not an NVMe controller: its PCI class is 0x060000
      help: `diorama devices` lists this host's NVMe controllers
    exit 2

    vfio: a group shared with another device
    error: 0000:00:08.0 shares IOMMU group 5 with 0000:00:08.1 (nvme)
      help: put the drive into another slot; or, if nobody needs them, unbind the others from their drivers
    exit 4

    vfio: mounted
    error: 0000:00:06.0 is in use: nvmeXn1 is mounted on /tmp/m
      help: umount /tmp/m; or choose another device
    exit 4

    vfio: swap space
    error: 0000:00:05.0 is in use: nvmeXn1 is used as swap space
      help: swapoff /dev/nvmeXn1; or choose another device
    exit 4

    vfio: mounted where nobody sees it
    error: 0000:00:07.0 is in use: a program has opened nvmeXn1, or part of it, for itself alone
      help: end that program (`lsof`, `lsblk` and `findmnt --all` find it); or choose another device
    exit 4

    vfio: data that nobody named
    error: 0000:00:07.0 bears data: nvmeXn1: ext2/3/4
      help: if all of it may be destroyed, add --erase nest2
    exit 2

    vfio: vfio-pci is not loaded
    error: vfio-pci is not loaded
      help: as root: modprobe vfio-pci
    exit 4

    vfio: vfio_iommu_type1 is not loaded
    error: vfio_iommu_type1 is not loaded
      help: as root: modprobe vfio_iommu_type1
    exit 4

    vfio: a blank drive that nobody named
    error: nobody confirmed that all data on 0000:00:05.0 may be destroyed
      help: if all of it may be destroyed, add --erase nest0
    exit 2

    vfio: another serial
    error: `nest1` is not the serial number of 0000:00:05.0
      help: check which device you mean: --erase names `nest1`, and this one is `nest0`
    exit 2

    vfio: a user who may not open vfio
    error: opening /dev/vfio/vfio
      caused by: Permission denied (os error 13)
      help: as root: modprobe vfio; chmod 666 /dev/vfio/vfio
    exit 4

    vfio: a user without rights
    error: this user may not bind 0000:00:05.0 to vfio-pci
      caused by: Permission denied (os error 13)
      help: as root, once:
          lsblk -f /dev/nvmeXn1    # whatever this shows will be lost
          modprobe -a vfio-pci vfio_iommu_type1
          echo vfio-pci > /sys/bus/pci/devices/0000:00:05.0/driver_override
          echo 0000:00:05.0 > /sys/bus/pci/devices/0000:00:05.0/driver/unbind
          echo 0000:00:05.0 > /sys/bus/pci/drivers_probe
          chown 1000 /dev/vfio/2
          echo ':1000 - memlock 524544' > /etc/security/limits.d/diorama.conf    # then log in again
          to give it back to nvme: echo > /sys/bus/pci/devices/0000:00:05.0/driver_override; echo 0000:00:05.0 > /sys/bus/pci/devices/0000:00:05.0/driver/unbind; echo 0000:00:05.0 > /sys/bus/pci/drivers_probe
    exit 4

    disk: mounted
    error: /dev/nvmeXn1 is in use: nvmeXn1 is mounted on /tmp/m
      help: umount /tmp/m; or choose another device
    exit 4

    disk: data that nobody named
    error: /dev/nvmeXn1 bears data: nvmeXn1: ext2/3/4
      help: if all of it may be destroyed, add --erase nest2
    exit 2

    disk: another serial
    error: /dev/nvmeXn1 bears data: nvmeXn1: ext2/3/4
      help: check which device you mean: --erase names `nest0`, and this one is `nest2`
    exit 2

    disk: a drive of root
    error: this user may not read and write /dev/nvmeXn1
      help: as root, once per boot: chown 1000 /dev/nvmeXn1
    exit 4
    ");
    judge_ends(came);
    judge_root(came, labels);
    judge_image(came, labels);
    judge_user(came, labels);
    let disk = came.of("disk, root");
    let label = labels.of("disk");
    assert!(
        disk.exit == 0 && disk.says(&format!("label {label}")),
        "{disk:?}"
    );
    assert_eq!(label_in(outer, "nest2"), label);
    assert_eq!(label_in(outer, "nest0"), labels.of("user"));
    // What was refused is as it was.
    for serial in ["nest1", "nest3", "nest4"] {
        assert_eq!(label_in(outer, serial), "", "{serial}");
    }
}

/// However a run ends, nvme has the drive again and nothing is left in the journal; after a kill -9 it
/// is in the journal.
fn judge_ends(came: &All) {
    for (case, exit) in [
        ("vfio, root: SIGTERM", 143),
        ("vfio, root: SIGINT twice", 130),
    ] {
        let came = came.of(case);
        let journal = came.says(&format!("{FREE}.json"));
        assert!(
            came.exit == exit && came.says("driver nvme") && !journal,
            "{case}: {came:?}"
        );
        assert!(came.says("0 of 1 cell measured"), "{case}: {came:?}");
    }
    let killed = came.of("vfio, root: kill -9");
    assert_eq!(killed.exit, 137, "{killed:?}");
    assert!(
        killed.says("driver vfio-pci") && killed.says(&format!("{FREE}.json")),
        "{killed:?}"
    );
}

fn judge_root(came: &All, labels: &Labels) {
    let next = came.of("vfio, root: the next one gives it back and measures");
    for words in [
        &format!("an earlier run was killed: {FREE}: nvme has it again"),
        "1 of 1 cell measured",
        "\"accel\": \"kvm\"",
        "driver nvme",
        &format!("label {}", labels.of("root")),
        // In what the guest mounted.
        "lost+found",
    ] {
        assert!(next.says(words), "{words}: {next:?}");
    }
    assert_eq!(next.exit, 0, "{next:?}");
}

fn judge_image(came: &All, labels: &Labels) {
    let image = came.of("vfio, root: a job out of an image");
    for words in [
        "whose jobs these are",
        "1 of 1 cell measured",
        "\"accel\": \"kvm\"",
        "driver nvme",
        &format!("label {}", labels.of("image")),
    ] {
        assert!(image.says(words), "{words}: {image:?}");
    }
    assert_eq!(image.exit, 0, "{image:?}");
}

fn judge_user(came: &All, labels: &Labels) {
    let admin = came.of("(an administrator does what the user was told)");
    assert!(
        admin.exit == 0 && admin.says("driver vfio-pci"),
        "{admin:?}"
    );
    insta::assert_snapshot!(said(came, "vfio: too little memory may be locked"), @r"
    error: this user may lock 8192 KiB of memory, and the guest needs 524544
      help: as root: echo ':1000 - memlock 524544' > /etc/security/limits.d/diorama.conf; then log in again
    exit 4
    ");
    insta::assert_snapshot!(said(came, "vfio: another program has the group"), @r"
    error: 0000:00:05.0 is in use: another program has /dev/vfio/2
      help: end the virtual machine that has it; or choose another device
    exit 4
    ");
    let other = came.of("vfio, a user: the guest finds another serial");
    assert!(
        other.exit == 5 && other.says("no NVMe drive has serial nest1 (there are: nest0)"),
        "{other:?}"
    );
    let user = came.of("vfio, a user");
    for words in [
        "1 of 1 cell measured",
        "\"accel\": \"kvm\"",
        "driver vfio-pci",
    ] {
        assert!(user.says(words), "{words}: {user:?}");
    }
    assert_eq!(user.exit, 0, "{user:?}");
    let back = came.of("(the administrator gives it back)");
    let label = format!("label {}", labels.of("user"));
    assert!(back.says("driver nvme") && back.says(&label), "{back:?}");
}
