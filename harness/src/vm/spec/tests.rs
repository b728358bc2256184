//! Machines and the command lines that they become.

use super::*;
use crate::vm::share::Access;

fn spec() -> Spec {
    Spec {
        kernel: "/store/vmlinux".into(),
        kernel_sha256: Sha256::of(b"kernel"),
        boot: BootBy::Pvh,
        initramfs: "/store/initramfs".into(),
        initramfs_sha256: Sha256::of(b"initramfs"),
        cmdline: Spec::cmdline(Clock::Instructions, 1, &["pad".into()]),
        memory_mib: 1024,
        smp: 1,
        time: Time::Instructions,
        drive: None,
        shares: Vec::new(),
    }
}

fn inputs(spec: &Spec) -> MachineInputs {
    spec.inputs(Sha256::of(b"vmm"))
}

fn fds() -> Descriptors {
    Descriptors {
        ram: 5,
        qmp: 6,
        console: 7,
        progress: 8,
        job: 9,
        devices: 10,
        drive: None,
        shares: Vec::new(),
    }
}

#[test]
fn a_command_line_beyond_what_x86_takes_is_refused() {
    let room = COMMAND_LINE - Spec::cmdline(Clock::Instructions, 1, &[]).len() - 1;
    assert_eq!(
        Spec::check_cmdline(Clock::Instructions, 1, &["x".repeat(room)]),
        Ok(())
    );
    let error = Spec::check_cmdline(Clock::Instructions, 1, &["x".repeat(room + 1)]).unwrap_err();
    assert!(error.contains("is 2048 bytes"), "{error}");
}

/// It takes over another's devices: they must be the same.
#[test]
fn a_paced_machine_differs_by_what_it_does_while_idle_alone() {
    for smp in [1, 2] {
        let exact = Spec { smp, ..spec() };
        let paced = Spec {
            time: Time::Paced,
            ..exact.clone()
        };
        let text = |spec: &Spec| format!("{:?}", spec.argv(&fds(), Start::Boot));
        let (exact, paced) = (text(&exact), text(&paced));
        assert_ne!(exact, paced);
        assert_eq!(exact.replace("sleep=off", "sleep=on"), paced);
    }
}

#[test]
fn what_makes_the_lane_exact_is_on_the_command_line() {
    let argv = spec().argv(&fds(), Start::Boot);
    let text = argv
        .iter()
        .map(|a| a.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    for rule in [
        "-accel tcg,thread=single",
        "-icount shift=0,sleep=off,rr=record",
        "clock=vm",
        "-rtc base=2024-01-01T00:00:00",
        "-cpu qemu64",
        "nokaslr",
        "-m 1024M",
        "-smp 1",
        "panic=pause",
    ] {
        assert!(text.contains(rule), "{rule} in {text}");
    }
    assert!(!CPU.contains("rdrand") && !CPU.contains("max") && !CPU.contains("host"));
}

#[test]
fn only_a_guest_with_several_cpus_has_their_timers() {
    let one = Spec::cmdline(Clock::Instructions, 1, &["pad".into()]);
    assert_eq!(one, format!("{CMDLINE} pad"));
    assert!(
        CMDLINE
            .split_whitespace()
            .any(|word| word == ONE_CPUS_TIMER)
    );
    let two = Spec::cmdline(Clock::Instructions, 2, &[]);
    assert_eq!(two, CMDLINE.replace(ONE_CPUS_TIMER, SEVERAL_CPUS_TIMER));
}

#[test]
fn no_host_driven_device_exists_before_the_measurement() {
    let argv = spec().argv(&fds(), Start::Restore(&[]));
    let text = argv
        .iter()
        .map(|a| a.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    for device in [
        "virtio", "vhost", "nvme", "vsock", "-netdev", "-nic", "-drive",
    ] {
        assert!(!text.contains(device), "{device} in {text}");
    }
}

#[test]
fn identity_ignores_descriptors_and_paths_but_no_input() {
    let one = spec();
    let mut other = Spec {
        kernel: "/elsewhere".into(),
        ..spec()
    };
    assert_eq!(inputs(&one), inputs(&other));
    other.cmdline.push_str(" x");
    assert_ne!(inputs(&one), inputs(&other));
    let bigger = Spec {
        memory_mib: 2048,
        ..spec()
    };
    assert_ne!(inputs(&one), inputs(&bigger));
    let wider = Spec { smp: 2, ..spec() };
    assert_ne!(inputs(&one), inputs(&wider));
    let initramfs = Spec {
        initramfs_sha256: Sha256::of(b"x"),
        ..spec()
    };
    assert_ne!(inputs(&one), inputs(&initramfs));
}
#[test]
fn a_drive_by_the_wall_clock_has_nothing_of_the_exact_lane() {
    let spec = Spec {
        time: Time::Wall(Accel::Kvm),
        drive: Some(Drive::Emulated(EmulatedDrive {
            serial: "S1".into(),
            size: 1 << 30,
            block_size: 4096,
            queues: 4,
            backing: Backing::Image,
        })),
        cmdline: Spec::cmdline(Clock::Wall, 2, &[]),
        smp: 2,
        ..spec()
    };
    let fds = Descriptors {
        drive: Some(11),
        ..fds()
    };
    let argv = spec.argv(&fds, Start::Boot);
    let text: Vec<_> = argv.iter().map(|a| a.to_string_lossy()).collect();
    let text = text.join(" ");
    for there in [
        "-accel kvm",
        "-cpu host",
        "filename=/proc/self/fd/11,cache.direct=on,aio=native",
        "nvme,drive=drive,serial=S1,max_ioqpairs=4,logical_block_size=4096",
    ] {
        assert!(text.contains(there), "{there} in {text}");
    }
    for not in ["-icount", "clock=vm", "mitigations=off", "tsc", "lpj"] {
        assert!(!text.contains(not), "{not} in {text}");
    }
    // Where the data is on the host is no part of what the machine is.
    let mut on_disk = spec.clone();
    if let Some(Drive::Emulated(drive)) = &mut on_disk.drive {
        drive.backing = Backing::Disk("/dev/a,b".into());
    }
    assert_eq!(inputs(&spec), inputs(&on_disk));
    let argv = on_disk.argv(&fds, Start::Boot);
    let text: Vec<_> = argv.iter().map(|a| a.to_string_lossy()).collect();
    assert!(
        text.join(" ")
            .contains("driver=host_device,node-name=image,filename=/dev/a,,b,")
    );
}

#[test]
fn a_controller_that_is_passed_through_is_named_to_qemu_and_in_no_digest() {
    let passed = |address: Option<&str>| Spec {
        time: Time::Wall(Accel::Kvm),
        drive: Some(Drive::Passed(address.map(str::to_owned))),
        ..spec()
    };
    let here = passed(Some("0000:01:00.0"));
    let argv = here.argv(&fds(), Start::Boot);
    assert!(argv.contains(&"vfio-pci,host=0000:01:00.0,rombar=0".into()));
    assert_eq!(inputs(&here), inputs(&passed(Some("0001:02:00.0"))));
    assert_eq!(inputs(&here), inputs(&passed(None)));
    let without = Spec {
        drive: None,
        ..here.clone()
    };
    assert_ne!(inputs(&here), inputs(&without));
}

#[test]
fn shared_directories_are_known_by_their_tags_and_not_by_their_paths() {
    let share = |tag: &str, dir: &str| Share {
        tag: tag.into(),
        dir: dir.into(),
        access: Access::Read,
    };
    let with = |shares| Spec {
        time: Time::Wall(Accel::Tcg),
        shares,
        ..spec()
    };
    let one = with(vec![share("a", "/x"), share("b", "/y")]);
    let fds = Descriptors {
        shares: vec![12, 13],
        ..fds()
    };
    let argv = one.argv(&fds, Start::Boot);
    let text: Vec<_> = argv.iter().map(|a| a.to_string_lossy()).collect();
    let text = text.join(" ");
    for there in [
        "socket,id=share1,fd=13",
        "vhost-user-fs-pci,chardev=share1,tag=b",
        "share=on",
    ] {
        assert!(text.contains(there), "{there} in {text}");
    }
    let moved = with(vec![share("a", "/elsewhere"), share("b", "/y")]);
    assert_eq!(inputs(&one), inputs(&moved));
    assert_ne!(inputs(&one), inputs(&with(vec![share("a", "/x")])));
}
