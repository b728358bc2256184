use super::*;
use crate::devices::Health;
use std::{fs, path::Path};

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for (file, text) in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, format!("{text}\n")).expect("a file");
    }
    root
}

fn smart() -> Smart {
    Smart {
        critical_warning: 0,
        temperature_c: 41,
        available_spare_percent: 100,
        spare_threshold_percent: 10,
        percentage_used: 3,
        bytes_written: 12 << 40,
        bytes_read: 1 << 40,
        media_errors: 0,
        warning_temperature_minutes: 0,
        thermal_transitions: 0,
    }
}

fn answers(_: &Path) -> Result<Health, String> {
    Ok(Health {
        smart: smart(),
        namespace: Some(NamespaceUse {
            size: 1000,
            used: 100,
        }),
    })
}

fn denied(node: &Path) -> Result<Health, String> {
    let name = node.file_name().unwrap().to_string_lossy().into_owned();
    Err(format!("/dev/{name}: Permission denied (os error 13)"))
}

fn look(root: &Path, ask: fn(&Path) -> Result<Health, String>, subject: Subject<'_>) -> Hygiene {
    Places::at(root.join("sys"), root.join("proc"), root.join("dev"), ask).look(subject)
}

const CPU: &str = "sys/devices/system/cpu";

/// A notebook as it is bought: everything that saves energy is on.
fn notebook() -> tempfile::TempDir {
    let cpu = |n: u32, file: &str| format!("{CPU}/cpu{n}/{file}");
    let mut files = vec![
        (format!("{CPU}/cpufreq/policy0/x"), ""),
        (format!("{CPU}/intel_pstate/no_turbo"), "0"),
        (format!("{CPU}/smt/active"), "1"),
        (format!("{CPU}/isolated"), ""),
        ("proc/loadavg".to_owned(), "1.25 0.80 0.40 2/900 4242"),
        ("sys/class/power_supply/AC/type".to_owned(), "Mains"),
        ("sys/class/power_supply/AC/online".to_owned(), "0"),
        ("sys/class/power_supply/BAT0/type".to_owned(), "Battery"),
        (
            "sys/class/power_supply/BAT0/status".to_owned(),
            "Discharging",
        ),
        (
            "sys/block/nvme0n1/device/model".to_owned(),
            "Some Drive 250GB  ",
        ),
        (
            "sys/block/nvme0n1/device/hwmon3/temp1_input".to_owned(),
            "78850",
        ),
        (
            "sys/block/nvme0n1/device/hwmon3/temp1_max".to_owned(),
            "81850",
        ),
        (
            "sys/block/nvme0n1/device/power/pm_qos_latency_tolerance_us".to_owned(),
            "100000",
        ),
        ("sys/block/nvme0c0n1/hidden".to_owned(), "1"),
        ("sys/block/sda/device/model".to_owned(), "A disk"),
    ];
    for n in 0..2 {
        files.push((cpu(n, "cpufreq/scaling_governor"), "powersave"));
        files.push((
            cpu(n, "cpufreq/energy_performance_preference"),
            "balance_performance",
        ));
        files.push((cpu(n, "thermal_throttle/core_throttle_count"), "3"));
        files.push((cpu(n, "thermal_throttle/package_throttle_count"), "4"));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), *text))
        .collect();
    tree(&files)
}

#[test]
fn a_notebook_as_it_is_bought_is_warned_about_with_what_to_do() {
    let root = notebook();
    let found = look(root.path(), answers, Subject::EveryDrive);
    assert_eq!(
        (found.cpus, found.boost, found.smt),
        (2, Some(true), Some(true))
    );
    assert_eq!(
        (found.cpu_throttled, found.isolated.as_deref()),
        (Some(14), None)
    );
    assert_eq!(found.on_battery, Some(true));
    let [drive] = &found.drives[..] else {
        panic!("{:?}", found.drives);
    };
    assert_eq!(drive.model.as_deref(), Some("Some Drive 250GB"));
    assert_eq!(drive.apst_latency_us, Some(100_000));
    insta::assert_snapshot!(warnings(&found).join("\n"), @r"
    energy preference: balance_performance: the CPUs save energy at the cost of latency; `cpupower frequency-set -g performance`
    boost: on: the CPUs' frequency depends on their temperature and on each other; write 1 to /sys/devices/system/cpu/intel_pstate/no_turbo or 0 to cpufreq/boost beside it
    SMT: on: what runs on the other thread of a core takes from the guest's; `echo off > /sys/devices/system/cpu/smt/control`
    load: 1.25 on 2 CPU(s): something else runs here, and what it takes is in the figures; end it, or wait
    CPU throttling: 14 times since the boot: the CPUs become too hot under load and are slowed down; cool the machine, or turn boost off
    power source: a battery: firmware and drivers save energy on a battery; plug it in
    nvme0n1 temperature: 79 °C: it may slow down for that; cool it
    ");
}

#[test]
fn a_host_that_was_made_ready_is_not_warned_about() {
    let root = tree(&[
        (
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "performance",
        ),
        ("sys/devices/system/cpu/cpufreq/boost", "0"),
        ("sys/devices/system/cpu/smt/active", "0"),
        ("sys/devices/system/cpu/isolated", "2-3"),
        (
            "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
            "0",
        ),
        ("proc/loadavg", "0.05 0.01 0.00 1/200 4242"),
        ("sys/class/power_supply/AC/type", "Mains"),
        ("sys/class/power_supply/hid/type", "Battery"),
        ("sys/class/power_supply/hid/scope", "Device"),
        ("sys/class/power_supply/hid/status", "Discharging"),
        ("sys/block/nvme0n1/device/model", "Some Drive"),
    ]);
    let found = look(
        root.path(),
        answers,
        Subject::Disk(&root.path().join("dev/nvme0n1")),
    );
    assert_eq!(warnings(&found), Vec::<String>::new());
    assert_eq!(
        found.on_battery, None,
        "a mouse's battery powers nothing here"
    );
    assert_eq!(found.boost, Some(false));
    assert_eq!(found.isolated.as_deref(), Some("2-3"));
    assert_eq!(found.drives[0].smart, Some(smart()));
    assert!(rows(&found).len() >= 9, "{found:?}");
}

#[test]
fn what_cannot_be_found_out_is_absent_and_no_praise() {
    let root = tree(&[]);
    let found = look(root.path(), denied, Subject::EveryDrive);
    assert_eq!(found, Hygiene::default());
    assert!(rows(&found).is_empty());
}

#[test]
fn a_controller_is_looked_at_through_its_first_namespace() {
    let root = tree(&[
        (
            "sys/bus/pci/devices/0000:01:00.0/nvme/nvme3/nvme3n1/size",
            "8",
        ),
        ("sys/block/nvme3n1/device/hwmon/hwmon7/temp1_input", "40000"),
    ]);
    let address = "0000:01:00.0".parse().unwrap();
    let found = look(root.path(), denied, Subject::Controller(address));
    assert_eq!(found.drives[0].name, "nvme3n1");
    assert_eq!(found.drives[0].temperature_c, Some(40.0));
    insta::assert_snapshot!(warnings(&found).join("\n"), @"nvme3n1 health: unread (/dev/nvme3n1: Permission denied (os error 13)): wear, errors and fullness are unknown; as root `nvme smart-log` shows them");
}

#[test]
fn a_disk_that_is_no_nvme_drive_is_not_asked() {
    let root = tree(&[("sys/block/sda/device/hwmon/hwmon1/temp1_input", "35000")]);
    let found = look(
        root.path(),
        answers,
        Subject::Disk(&root.path().join("dev/sda")),
    );
    let drive = &found.drives[0];
    assert_eq!((drive.temperature_c, &drive.smart), (Some(35.0), &None));
    assert_eq!(drive.not_asked.as_deref(), Some("it is not an NVMe drive"));
}

#[test]
fn an_images_file_system_is_looked_at() {
    let root = tree(&[]);
    let found = look(root.path(), answers, Subject::Image(root.path()));
    let room = found.image.unwrap();
    assert!(room.free <= room.total && room.total > 0);
    let full = Hygiene {
        image: Some(ImageRoom {
            total: 100 << 30,
            free: 10 << 30,
        }),
        ..Hygiene::default()
    };
    insta::assert_snapshot!(warnings(&full).join("\n"), @"the image's file system: 90% full, 10 GiB free: a full file system places the drive's image in pieces; free some of it");
}

#[test]
fn a_failing_drive_is_said_to_be_one() {
    let of = |change: fn(&mut Smart), used: u64| {
        let mut smart = smart();
        change(&mut smart);
        Hygiene {
            drives: vec![DriveHygiene {
                name: "nvme0n1".into(),
                smart: Some(smart),
                namespace: Some(NamespaceUse { size: 100, used }),
                ..DriveHygiene::default()
            }],
            ..Hygiene::default()
        }
    };
    assert!(warnings(&of(|_| {}, 50)).is_empty());
    // One that keeps no account is not warned of.
    let silent = |s: &mut Smart| (s.available_spare_percent, s.spare_threshold_percent) = (0, 0);
    assert!(warnings(&of(silent, 100)).is_empty());
    let failing = of(
        |s| {
            (s.percentage_used, s.available_spare_percent) = (112, 8);
            (s.media_errors, s.critical_warning) = (2, 0b1001);
        },
        97,
    );
    insta::assert_snapshot!(warnings(&failing).join("\n"), @r"
    nvme0n1 wear: 112% of its endurance, 12 TiB written: a worn drive is slower, and may fail; use another one
    nvme0n1 spare: 8% (the drive warns below 10%): it has few blocks left to replace bad ones; use another one
    nvme0n1 media errors: 2: it lost data before; use another one
    nvme0n1 health: critical (its spare is below the threshold, its media are read-only): figures of a failing drive mean little; use another one
    nvme0n1 fullness: 97% full as the drive counts it: a full drive has no spare blocks to write to, and collects garbage meanwhile; [conditioning] discard = true empties it
    ");
    let hotter = of(|s| (s.thermal_transitions, s.media_errors) = (3, 1), 50);
    let (before, mut after) = (of(|_| {}, 50), hotter);
    assert!(during(&before, &before).is_empty());
    after.cpu_throttled = Some(9);
    assert_eq!(
        during(&before, &after).len(),
        2,
        "nobody knows what it was before"
    );
    let mut before = before;
    before.cpu_throttled = Some(4);
    insta::assert_snapshot!(during(&before, &after).join("\n"), @r"
    CPUs were slowed down 5 times for their temperature during the run: cool the machine, or turn boost off
    nvme0n1 slowed down 3 times for its temperature during the run: cool the drive
    nvme0n1 had 1 media errors during the run: its figures are not to be trusted; replace it
    ");
}
