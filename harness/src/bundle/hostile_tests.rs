//! Images that somebody made to do harm. Each is whole and consistent but for one thing, and refused for
//! it, before anything of it is used.

use super::{manifest::*, testing::*, *};
use crate::{
    digest::Sha256,
    scenario::{Clock, Device, EmulatedNvme, KernelSource},
    store::Store,
};
use std::io::Write as _;
use tar::EntryType;

/// Why it is refused: by whoever looks, and by whoever would run it. Nothing of it is left.
#[track_caller]
fn refused(forge: &Forge) -> String {
    let image = forge.write();
    let inspected = Opened::read(&image.path, &Unseen);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let unpacked = Unpacked::new(&image.path, &store, &Unseen);
    assert!(unpacked.is_err(), "it was unpacked");
    let outside: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(outside.len(), 1, "{outside:?}");
    match inspected {
        Err(error) => error.render(),
        // Only what is put together tells.
        Ok(_) => unpacked.err().unwrap().render(),
    }
}

#[track_caller]
fn refused_for(why: &str, change: impl FnOnce(&mut Forge)) {
    let mut forge = Forge::new();
    change(&mut forge);
    let text = refused(&forge);
    assert!(text.contains(why), "{why}: {text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn what_the_forge_makes_is_an_image_as_long_as_nothing_is_changed() {
    let mut forge = Forge::new();
    forge.record(|_| {});
    Opened::read(&forge.write().path, &Unseen).unwrap();
}

#[test]
fn entries_of_the_container_that_do_not_belong_there() {
    refused_for("leaves its directory", |f| {
        f.entries = |all| all[1].0 = "blobs/../../evil".into();
    });
    refused_for("absolute path", |f| {
        f.entries = |all| all[1].0 = "/etc/cron.d/evil".into();
    });
    refused_for("does not belong there", |f| {
        f.entries = |all| all.insert(1, ("readme".into(), b"hello".to_vec()));
    });
    refused_for("there twice", |f| {
        f.entries = |all| {
            let again = all[1].clone();
            all.insert(1, again);
        };
    });
    refused_for("in another order", |f| f.entries = |all| all.swap(1, 2));
    refused_for("is missing", |f| f.entries = |all| drop(all.remove(1)));
    refused_for("is missing", |f| f.entries = |all| drop(all.pop()));
    refused_for("more than", |f| {
        f.entries = |all| {
            for n in 0..limits::ENTRIES {
                all.push((format!("x{n}"), Vec::new()));
            }
        };
    });
}

/// What [`Forge`] does not write, because it writes files alone.
#[test]
fn links_devices_and_sizes_without_end_in_the_container() {
    let bytes = Lab::new().pack(false);
    let with = |header: [u8; ustar::BLOCK]| {
        let image = Image::of(&[&header, bytes.as_slice()].concat());
        Opened::read(&image.path, &Unseen).unwrap_err().render()
    };
    for kind in [EntryType::Symlink, EntryType::Directory] {
        let text = with(header("x", kind, 0, "y"));
        assert!(
            text.contains("not a plain file") || text.contains("altered"),
            "{text}"
        );
    }
    for kind in [
        EntryType::Link,
        EntryType::Char,
        EntryType::Fifo,
        EntryType::GNUSparse,
    ] {
        let text = with(header("x", kind, 0, "y"));
        assert!(text.contains("neither"), "{text}");
    }
    let text = with(header("x", EntryType::Regular, 8 << 30, ""));
    assert!(text.contains("more than the file has"), "{text}");
}

#[test]
fn paths_in_a_part_that_lead_elsewhere() {
    let part = |entries: &[([u8; ustar::BLOCK], Vec<u8>)]| tar_of(entries);
    let file = |path: &str| (header(path, EntryType::Regular, 1, ""), b"x".to_vec());
    let link = |path: &str, to: &str| (header(path, EntryType::Symlink, 0, to), Vec::new());
    for (why, entries) in [
        ("leaves its directory", vec![file("../../../tmp/evil")]),
        ("absolute path", vec![file("/tmp/evil")]),
        ("leads out of its tree", vec![link("x", "/etc/passwd")]),
        ("leads out of its tree", vec![link("x", "../../home")]),
        ("is in no directory", vec![link("x", "usr"), file("x/evil")]),
        ("is in no directory", vec![file("usr/evil")]),
        ("there twice", vec![file("x"), file("x")]),
        ("there twice", vec![link("x", "y"), file("x")]),
        ("out of order", vec![file("y"), file("x")]),
        (
            "neither",
            vec![(header("x", EntryType::Char, 0, ""), Vec::new())],
        ),
        (
            "neither",
            vec![(header("x", EntryType::Link, 0, "/etc/passwd"), Vec::new())],
        ),
        ("characters", vec![file("\u{1b}]0;x\u{7}")]),
    ] {
        refused_for(why, |f| f.part("vmm", part(&entries)));
    }
}

#[test]
fn sizes_in_a_part_that_are_not_so() {
    refused_for("declares", |f| {
        let at = header("x", EntryType::Regular, 4 << 30, "");
        f.part("vmm", tar_of(&[(at, b"x".to_vec())]));
    });
    refused_for("something follows", |f| {
        let at = f.at("vmm");
        f.manifest.parts[at].size -= 512;
    });
    refused_for("bytes, not", |f| {
        let at = f.at("vmm");
        f.manifest.parts[at].size += 512;
    });
    refused_for("entries", |f| {
        let at = f.at("vmm");
        f.manifest.parts[at].entries += 1;
    });
    refused_for("more than", |f| {
        let at = f.at("vmm");
        f.manifest.parts[at].entries -= 1;
    });
    refused_for("at most", |f| {
        let at = f.at("vmm");
        f.manifest.parts[at].size = u64::MAX;
    });
    refused_for("its parts have", |f| {
        let name = |n: usize| format!("kernel-x{n}");
        for n in 0..5 {
            let part = Part {
                name: name(n),
                digest: Sha256::of(b""),
                size: limits::PART,
                entries: 1,
            };
            f.manifest.parts.push(part);
        }
    });
}

/// A megabyte that becomes four gigabytes, in a part that says it has a kilobyte; and one that makes the
/// decoder keep two gigabytes.
#[test]
fn bombs_are_left_alone() {
    let zeros = |bytes: usize, window: u32| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        if window > 0 {
            encoder.window_log(window).unwrap();
            encoder.long_distance_matching(true).unwrap();
        }
        let megabyte = vec![0; 1 << 20];
        for _ in 0..bytes >> 20 {
            encoder.write_all(&megabyte).unwrap();
        }
        encoder.finish().unwrap()
    };
    let bomb = zeros(256 << 20, 0);
    assert!(bomb.len() < 1 << 20);
    refused_for("something follows", |f| {
        let at = f.at("vmm");
        f.blobs[at] = Some(bomb);
    });
    refused_for("cannot be unpacked", |f| {
        let at = f.at("vmm");
        f.blobs[at] = Some(zeros(64 << 20, 27));
    });
    refused_for("bytes follow its end", |f| {
        let at = f.at("vmm");
        let mut blob = zstd::stream::encode_all(f.tars[at].as_slice(), 1).unwrap();
        blob.extend(zstd::stream::encode_all(&b"more"[..], 1).unwrap());
        f.blobs[at] = Some(blob);
    });
    refused_for("cannot be unpacked", |f| {
        let at = f.at("vmm");
        f.blobs[at] = Some(b"this is not zstd".to_vec());
    });
}

#[test]
fn digests_that_are_not_those_of_what_is_inside() {
    refused_for("part `vmm`", |f| {
        let at = f.at("vmm");
        f.manifest.parts[at].digest = Sha256::of(b"another");
    });
    refused_for("is not the manifest's", |f| {
        f.manifest.agent.file.sha256 = Sha256::of(b"x");
    });
    refused_for("is not the manifest's", |f| {
        f.manifest.plugin.as_mut().unwrap().path = "another.so".into();
    });
    refused_for("the record is not the manifest's", |f| {
        f.manifest.results.sha256 = Sha256::of(b"x");
    });
    refused_for("contradicts itself", |f| {
        f.record(|r| r.kernels[0].image = Some(Sha256::of(b"x")));
    });
    refused_for("the image of kernel `6.12`", |f| {
        machine(f).kernel.sha256 = Sha256::of(b"x");
    });
    refused_for("the initramfs of kernel `6.12`", |f| {
        machine(f).initramfs.sha256 = Sha256::of(b"x");
    });
    refused_for("do not give the initramfs", |f| {
        machine(f).initramfs.entries.pop();
    });
    refused_for("do not give the initramfs", |f| {
        let entries = &mut machine(f).initramfs.entries;
        entries.push(CpioEntry::CharDevice {
            path: "dev/mem".into(),
            mode: 0o666,
            major: 1,
            minor: 1,
        });
    });
}

fn machine(f: &mut Forge) -> &mut Machine {
    match &mut f.manifest.kernels[0].boots {
        Boots::Packed(machine) => machine,
        other => panic!("{other:?}"),
    }
}

#[test]
fn manifests_of_other_versions_or_that_say_more_or_less() {
    refused_for("it has format 2; this version reads 1", |f| {
        f.manifest.format = 2;
    });
    refused_for("format", |f| {
        f.text = |text| text.replace("\"format\":1,", "");
    });
    for more in [
        "\"argv\":[\"-chardev\",\"file,id=x,path=/home/u/.bashrc\"],",
        "\"environment\":{\"LD_PRELOAD\":\"/tmp/x.so\"},",
    ] {
        // One of both; a function takes nothing along.
        let text: fn(String) -> String = match more.contains("argv") {
            true => |text| text.replace("{\"format\":1,", "{\"format\":1,\"argv\":[\"-chardev\"],"),
            false => |text| {
                text.replace(
                    "{\"format\":1,",
                    "{\"format\":1,\"environment\":{\"LD_PRELOAD\":\"x\"},",
                )
            },
        };
        refused_for("unknown field", |f| f.text = text);
    }
    refused_for("the one form", |f| {
        f.text = |text| text.replace("\"format\":1,", "\"format\": 1,");
    });
    refused_for("part `kernel-9` is missing", |f| {
        machine(f).kernel.part = "kernel-9".into();
    });
    refused_for("is missing", |f| {
        let at = f.at("guest");
        f.manifest.parts.remove(at);
        f.tars.remove(at);
        f.blobs.remove(at);
    });
    refused_for("it has QEMU, and has it not", |f| f.manifest.vmm = false);
    refused_for("there twice", |f| {
        let part = f.manifest.parts[0].clone();
        f.manifest.parts.push(part);
        f.tars.push(Vec::new());
    });
    refused_for("nothing in it uses part", |f| {
        let part = Part {
            name: "more".into(),
            ..f.manifest.parts[0].clone()
        };
        f.manifest.parts.push(part);
    });
    refused_for("leaves its directory", |f| {
        machine(f).kernel.path = "../../../boot/vmlinuz".into();
    });
    refused_for("absolute path", |f| {
        machine(f).modules = Some("/lib/modules".into());
    });
    refused_for("not a valid name", |f| {
        f.manifest.parts[0].name = "../x".into();
    });
    refused_for("has no permissions", |f| {
        let entries = &mut machine(f).initramfs.entries;
        entries.push(CpioEntry::CharDevice {
            path: "dev/mem".into(),
            mode: u32::MAX,
            major: 1,
            minor: 1,
        });
    });
    refused_for("at most", |f| machine(f).initramfs.size = u64::MAX);
    refused_for("other kernels than the scenario", |f| {
        f.manifest.kernels[1].name = "7.3".into();
    });
}

/// A thin image's packages are fetched from the reader's own mirrors, and its kernels from no place of
/// the reader's.
#[test]
fn lock_entries_that_name_other_places() {
    let file = |f: &mut Forge, change: fn(&mut crate::vocabulary::LockedFile)| {
        change(&mut f.manifest.sources[0].files[0]);
    };
    refused_for("is no archive", |f| {
        file(f, |l| l.archive = "http://evil.example".into());
    });
    refused_for("leaves its directory", |f| {
        file(f, |l| l.path = "pool/../../x".into());
    });
    refused_for("not below an archive's pool", |f| {
        file(f, |l| l.path = "dists/sid/Release".into());
    });
    refused_for("not below an archive's pool", |f| {
        file(f, |l| l.path = "pool/x?y=z".into());
    });
    refused_for("is in no lock, and not inside", |f| {
        f.manifest.kernels[1].boots = Boots::Locked;
        f.manifest.parts.retain(|p| p.name != "kernel-7.2");
        f.tars.truncate(f.manifest.parts.len());
        let at = f
            .manifest
            .parts
            .iter()
            .position(|p| p.name == "vmm")
            .unwrap();
        // The lists follow the manifest's order.
        let fresh = Forge::new();
        f.tars = f
            .manifest
            .parts
            .iter()
            .map(|p| fresh.tars[fresh.at(&p.name)].clone())
            .collect();
        f.blobs = f.tars.iter().map(|_| None).collect();
        assert!(at < f.tars.len());
    });
}

#[test]
fn records_of_other_versions_or_without_their_cells() {
    refused_for("schema 99", |f| {
        f.record(|r| r.schema = 99);
    });
    refused_for("is not JSON", |f| f.record_text(b"{".to_vec()));
    refused_for("images have", |f| f.record(|r| r.schema = 4));
    refused_for("is not a record", |f| {
        let schema = f.results.schema;
        f.record_text(format!("{{\"schema\":{schema}}}").into_bytes());
    });
    refused_for("other cells than the scenario", |f| {
        f.record(|r| drop(r.cells.pop()));
    });
    refused_for("other cells than the scenario", |f| {
        f.record(|r| r.cells.swap(0, 1));
    });
    refused_for("other kernels than the scenario", |f| {
        f.record(|r| r.kernels.swap(0, 1));
    });
    refused_for("there twice", |f| {
        f.record(|r| {
            let kernel = r.scenario.kernels[0].clone();
            r.scenario.kernels.push(kernel);
        });
    });
}

#[test]
fn rows_and_variants_that_no_scenario_has() {
    const EVIL: &str = "x,file=/home/u/.ssh/id_rsa";
    let refused_for = |why: &str, change: fn(&mut crate::record::Results)| {
        let mut forge = Forge::of(&Lab::varied());
        forge.record(change);
        let text = refused(&forge);
        assert!(text.contains(why), "{why}: {text}");
    };
    refused_for("no kernel or variant of the row `6.12+nohz`", |r| {
        r.scenario.variants.clear();
    });
    refused_for("the row `6.12` is there twice", |r| {
        r.scenario.subjects[1] = r.scenario.subjects[0].clone();
    });
    refused_for("no name of a variant", |r| {
        r.scenario.variants[0].name = EVIL.into();
    });
    refused_for(
        "variant nohz: `x,file=/home/u/.ssh/id_rsa \"` is not a word",
        |r| {
            r.scenario.variants[0].parts.cmdline = Some(vec![format!("{EVIL} \"")]);
        },
    );
    refused_for("no scheduler", |r| {
        let mut with = r.scenario.clone();
        crate::compare::fixture::model(&mut with).scheduler = EVIL.into();
        r.scenario.variants[1].parts.device = Some(with.device);
    });
    refused_for("guest memory", |r| {
        r.scenario.variants[1].parts.memory_mib = Some(1);
    });
    refused_for("other file systems or workloads", |r| {
        r.scenario.variants[0].parts.filesystems = Some(Vec::new());
    });
    refused_for("other kernels than the scenario", |r| {
        r.scenario.subjects.swap(0, 2);
    });
}

/// QEMU takes options apart at commas, and a shell words at spaces. Nobody gives either to them; and
/// they do not come this far.
#[test]
fn options_of_qemus_in_every_text_that_a_machine_or_a_job_is_made_of() {
    const EVIL: &str = "x,file=/home/u/.ssh/id_rsa -chardev socket,path=/x";
    refused_for("no name of a scenario", |f| {
        f.record(|r| r.scenario.name = EVIL.into());
    });
    refused_for("no name of a run", |f| {
        f.record(|r| r.run_id = "../../x".into());
    });
    refused_for("no name of a kernel", |f| {
        f.record(|r| {
            r.scenario.kernels[0].name = EVIL.into();
            r.scenario.subjects[0].kernel = EVIL.into();
            r.kernels[0].name = EVIL.into();
            r.machines[0].name = EVIL.into();
            r.cells[0].key.subject.kernel = EVIL.into();
        });
    });
    refused_for("no name of a file system", |f| {
        f.record(|r| r.scenario.filesystems[0].name = EVIL.into());
    });
    refused_for("no name of a workload", |f| {
        f.record(|r| r.scenario.workloads[0].name = EVIL.into());
    });
    refused_for("not a word", |f| {
        f.record(|r| r.scenario.cmdline = vec![EVIL.into()]);
    });
    refused_for("not a word", |f| {
        f.record(|r| r.scenario.cmdline = vec!["x\"-monitor\"stdio".into()]);
    });
    refused_for("2047", |f| {
        f.record(|r| r.scenario.cmdline = vec!["x".repeat(2048)]);
    });
    refused_for("no scheduler", |f| {
        f.record(|r| crate::compare::fixture::model(&mut r.scenario).scheduler = EVIL.into());
    });
    refused_for("no option of a file system", |f| {
        f.record(|r| r.scenario.filesystems[0].mkfs = vec![EVIL.into()]);
    });
    refused_for("no option of a file system", |f| {
        f.record(|r| r.scenario.filesystems[0].mount_options = EVIL.into());
    });
    // A drive has a serial number, which is in QEMU's words: no drive is ever replayed.
    refused_for("in which nothing can be replayed", |f| {
        f.record(|r| {
            r.scenario.clock = Clock::Wall;
            r.scenario.device = Device::Nvme(EmulatedNvme {
                size_mib: 512,
                block_size: 4096,
                queues: 1,
                serial: "x,drive=y".into(),
                scheduler: "none".into(),
            });
        });
    });
    for (memory, smp) in [(0, 1), (u32::MAX, 1), (1024, 0), (1024, 64)] {
        refused_for("is not from", |f| {
            f.record(|r| (r.scenario.memory_mib, r.scenario.smp) = (memory, smp));
        });
    }
    refused_for("is not a number that is meant", |f| {
        f.record(|r| crate::compare::fixture::model(&mut r.scenario).latency_ns = u64::MAX);
    });
}

#[test]
fn sequences_that_a_terminal_obeys() {
    const ESCAPE: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J";
    refused_for("characters that act", |f| {
        f.record(|r| r.scenario.title = ESCAPE.into());
    });
    refused_for("characters that act", |f| {
        f.record(|r| r.scenario.description = ESCAPE.into());
    });
    refused_for("characters that act", |f| {
        f.record(|r| r.kernels[0].origin = ESCAPE.into());
    });
    refused_for("characters that act", |f| {
        f.record(|r| r.kernels[0].release = Some(ESCAPE.into()));
    });
    refused_for("characters that act", |f| {
        f.record(|r| r.vmm.version = ESCAPE.into());
    });
    refused_for("characters that act", |f| {
        f.record(|r| r.notes.push(ESCAPE.into()));
    });
    refused_for("characters that act", |f| {
        f.record(|r| r.started = ESCAPE.into());
    });
    refused_for("characters that act", |f| {
        f.record(|r| {
            r.scenario.kernels[1].source = KernelSource::Local {
                path: ESCAPE.into(),
                modules: None,
            };
        });
    });
    refused_for("not one line of text", |f| {
        f.manifest.diorama = ESCAPE.into();
    });
    refused_for("not one line of text", |f| {
        f.manifest.agent.build_id = Some(ESCAPE.into());
    });
    refused_for("not one line of text", |f| {
        f.manifest.licences[0].source = ESCAPE.into();
    });
    refused_for("not a valid name", |f| {
        f.manifest.sources[0].name = ESCAPE.into();
    });
}
