//! A small image for tests, and images that somebody forged: consistent but for one thing.

use super::{
    CrateLicence, Manifest, Packing, Unseen, WhichLock,
    manifest::RESULTS,
    oci::{self, Descriptor, OciManifest},
    pack,
    ustar::{self, Entry},
};
use crate::{
    compare::fixture,
    digest::Sha256,
    image::cpio::Archive,
    kernel::BootBy,
    lock::LockEntry,
    plan::{KernelPlan, Plan, PreparedKernel},
    provision::Boots,
    record::{KernelRecord, MachineRecord, Outcome, Results},
    scenario::{KernelSource, Parts, SubjectKey, Variant},
    vocabulary::LockedFile,
};
use diorama_wire::StopBy;
use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

/// A run's directory with all that made it.
pub struct Lab {
    pub dir: tempfile::TempDir,
    pub results: Results,
    pub plan: Plan,
    /// Whether its kernels have something to boot for a drive.
    pub drives: bool,
}

impl Lab {
    /// Two kernels, one of one's own; one cell each.
    pub fn new() -> Lab {
        Lab::with(&[])
    }

    /// The same with two variants: one has another machine, the other does other jobs.
    pub fn varied() -> Lab {
        let mut with = fixture::results().scenario;
        fixture::model(&mut with).scheduler = "mq-deadline".into();
        let variant = |name: &str, parts: Parts| Variant {
            name: name.into(),
            overrides: Vec::new(),
            parts,
        };
        Lab::with(&[
            variant(
                "nohz",
                Parts {
                    cmdline: Some(vec!["nohz=off".into()]),
                    ..Parts::default()
                },
            ),
            variant(
                "mq-deadline",
                Parts {
                    device: Some(with.device),
                    ..Parts::default()
                },
            ),
        ])
    }

    fn with(variants: &[Variant]) -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("run/console")).unwrap();
        fs::write(at("run/console/boot-6.12.log"), "Linux version\n").unwrap();
        for tree in [
            "vmm/usr/bin",
            "vmm/usr/lib64",
            "tools/usr/share/doc/e2fsprogs",
        ] {
            fs::create_dir_all(at(tree)).unwrap();
        }
        fs::write(at("vmm/usr/bin/qemu-system-x86_64"), "not QEMU").unwrap();
        let executable = fs::Permissions::from_mode(0o555);
        fs::set_permissions(at("vmm/usr/bin/qemu-system-x86_64"), executable).unwrap();
        symlink("usr/lib64", at("vmm/lib64")).unwrap();
        fs::write(at("tools/usr/share/doc/e2fsprogs/copyright"), "GPL-2").unwrap();
        fs::write(at("plugin.so"), "plugin").unwrap();

        let mut results = fixture::results();
        let scenario = &mut results.scenario;
        scenario
            .kernels
            .retain(|k| ["6.12", "7.2"].contains(&k.name.as_str()));
        scenario.filesystems.retain(|f| f.name == "ext4");
        scenario.workloads.retain(|w| w.name == "write-4k");
        scenario.kernels[1].source = KernelSource::Local {
            path: "/home/somebody/linux/vmlinux".into(),
            modules: None,
        };
        scenario.expect.clear();
        let names = ["6.12", "7.2"];
        results.kernels.retain(|k| names.contains(&k.name.as_str()));
        results.kernels[1].origin = "local build /home/somebody/linux/vmlinux".into();
        results.cells.retain(|cell| {
            let key = &cell.key;
            names.contains(&key.subject.kernel.as_str())
                && key.filesystem == "ext4"
                && key.workload == "write-4k"
        });
        scenario.variants = variants.to_vec();
        let rows = || [None].into_iter().chain(variants.iter().map(Some));
        let varied = rows().flat_map(|variant| names.map(|name| (name, variant)));
        let subject = |(name, variant): (&str, Option<&Variant>)| SubjectKey {
            kernel: name.into(),
            variant: variant.map(|variant| variant.name.clone()),
        };
        scenario.subjects = varied.map(subject).collect();
        let (kernels, cells) = (results.kernels.clone(), results.cells.clone());
        let all = |n: usize| (0..names.len() * rows().count()).map(move |at| at % n);
        results.kernels = all(names.len()).map(|at| kernels[at].clone()).collect();
        results.cells = all(names.len()).map(|at| cells[at].clone()).collect();
        let mut prepared = Vec::new();
        for (at, subject) in scenario.subjects.iter().enumerate() {
            let record = &mut results.kernels[at];
            record.variant.clone_from(&subject.variant);
            results.cells[at].key.subject.clone_from(subject);
            prepared.push(kernel(
                (dir.path(), "null_blk"),
                record,
                &scenario.of(subject),
            ));
        }
        let plan = Plan::new(results.scenario.clone(), prepared, results.vmm.clone());
        for (cell, (_, planned)) in results.cells.iter_mut().zip(plan.cells()) {
            cell.inputs = planned.inputs;
            cell.job = Some(planned.job.clone());
            if let Outcome::Measured(measured) = &mut cell.outcome {
                measured.guest.repetitions.truncate(1);
            }
        }
        let mut lab = Lab {
            dir,
            results,
            plan,
            drives: true,
        };
        lab.name_machines();
        lab
    }

    /// The record's machines are the plan's.
    pub fn name_machines(&mut self) {
        let machine = |kernel: &KernelPlan| {
            let machine = kernel.machine.as_ref()?;
            Some(MachineRecord {
                name: kernel.subject.kernel.clone(),
                variant: kernel.subject.variant.clone(),
                digest: machine.checkpoint,
                covers: machine.inputs.clone(),
            })
        };
        self.results.machines = self.plan.kernels.iter().filter_map(machine).collect();
    }

    /// Packs it; the image's bytes.
    pub fn pack(&self, thin: bool) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        self.pack_into(&file, thin);
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    pub fn pack_into(&self, file: &File, thin: bool) -> Manifest {
        let at = |name: &str| self.dir.path().join(name);
        let entry = |name: &str, package: &str, path: &str| LockEntry {
            name: name.into(),
            release: None,
            files: vec![LockedFile {
                package: package.into(),
                version: "1:1.47-2".into(),
                archive: "debian".into(),
                path: path.into(),
                size: 7,
                sha256: Sha256::of(b""),
            }],
        };
        let pool = "pool/main/e/e2fsprogs/e2fsprogs_1.47-2_amd64.deb";
        let tools = entry("guest-tools", "e2fsprogs", pool);
        let kernel = entry("6.12", "linux-image", "pool/main/l/linux/linux-image.deb");
        let (vmm, plugin) = (at("vmm"), at("plugin.so"));
        let packing = Packing {
            run: &at("run"),
            results: &self.results,
            plan: &self.plan,
            agent: Some("0123".into()),
            plugin: Some(&plugin),
            vmm: (!thin).then_some(vmm.as_path()),
            locked: vec![
                (WhichLock::Images, tools, Some(at("tools"))),
                (WhichLock::Kernels, kernel, None),
            ],
            crates: vec![CrateLicence {
                name: "memchr".into(),
                version: "2.8.3".into(),
                text: b"memchr's licence".to_vec(),
            }],
            on_drive: if self.drives {
                self.on_drive()
            } else {
                Vec::new()
            },
            stand_ins: Vec::new(),
            thin,
        };
        pack(&packing, file, &Unseen).unwrap()
    }

    /// The rows on a drive: other modules, and the same for the rest.
    fn on_drive(&self) -> Vec<PreparedKernel> {
        let scenario = on_drive(&self.results.scenario);
        let dir = self.dir.path().join("on-drive");
        let rows = self.results.kernels.iter().cloned();
        rows.map(|mut record| kernel((&dir, "nvme"), &mut record, &scenario))
            .collect()
    }
}

/// A scenario on QEMU's controller.
pub fn on_drive(scenario: &crate::scenario::Scenario) -> crate::scenario::Scenario {
    let chosen = crate::scenario::OnDrive {
        device: crate::scenario::ChosenDevice::Nvme,
        blocks: None,
        seed: None,
        runtime_ns: None,
        repetitions: None,
    };
    scenario.on_drive(&chosen).expect("jobs that a drive has")
}

fn kernel(
    (dir, device): (&Path, &str),
    record: &mut KernelRecord,
    scenario: &crate::scenario::Scenario,
) -> PreparedKernel {
    let dir = dir.join(&record.name);
    fs::create_dir_all(dir.join("modules")).unwrap();
    fs::write(dir.join("modules/xfs.ko"), "xfs with symbols").unwrap();
    let image = format!("vmlinux of {}", record.name);
    fs::write(dir.join("vmlinux"), &image).unwrap();
    let mut archive = Archive::default();
    archive.file("/init", 0o755, b"the agent".to_vec());
    archive.file("/sbin/mkfs.ext4", 0o755, b"mkfs".to_vec());
    archive.char_device("/dev/null", 0o666, 1, 3);
    archive.file(
        "/lib/modules/xfs.ko",
        0o644,
        format!("xfs of {}", record.name).into(),
    );
    archive.file(
        &format!("/lib/modules/{device}.ko"),
        0o644,
        format!("{device} of {}", record.name).into(),
    );
    let initramfs = archive.to_bytes();
    fs::write(dir.join("initramfs.cpio"), &initramfs).unwrap();
    record.image = Some(Sha256::of(image.as_bytes()));
    record.initramfs = Some(Sha256::of(&initramfs));
    let boots = Boots {
        kernel: (dir.join("vmlinux"), Sha256::of(image.as_bytes())),
        boot: BootBy::Pvh,
        initramfs: (dir.join("initramfs.cpio"), Sha256::of(&initramfs)),
    };
    PreparedKernel {
        subject: record.subject(),
        version: record
            .release
            .as_deref()
            .and_then(crate::vocabulary::KernelVersion::of),
        record: record.clone(),
        blind: false,
        machine: Ok((boots.machine(scenario), StopBy::Pvpanic)),
        modules: Some(dir.join("modules")),
        unsupported: Vec::new(),
    }
}

/// An image on the disk.
pub struct Image {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
}

impl Image {
    pub fn of(bytes: &[u8]) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.diorama");
        fs::write(&path, bytes).unwrap();
        Image { _dir: dir, path }
    }
}

/// An image of which everything may be changed; digests and sizes follow, unless they are changed, too.
pub struct Forge {
    pub manifest: Manifest,
    pub results: Results,
    /// The parts' uncompressed tars, in the manifest's order.
    pub tars: Vec<Vec<u8>>,
    /// The parts as they are in the container, where not their tars compressed.
    pub blobs: Vec<Option<Vec<u8>>>,
    /// Changes the manifest's text.
    pub text: fn(String) -> String,
    /// Changes the container's entries.
    pub entries: fn(&mut Vec<(String, Vec<u8>)>),
}

impl Forge {
    pub fn new() -> Forge {
        Forge::of(&Lab::new())
    }

    /// Of what a laboratory packs.
    pub fn of(lab: &Lab) -> Forge {
        let image = Image::of(&lab.pack(false));
        let container = super::Container::open(&image.path).unwrap();
        let mut tars = Vec::new();
        let bytes = fs::read(&image.path).unwrap();
        for (_, blob) in container.parts() {
            let begin = find(&bytes, &oci::blob_path(&blob.digest)) + ustar::BLOCK;
            let packed = &bytes[begin..begin + usize::try_from(blob.size).unwrap()];
            tars.push(zstd::stream::decode_all(packed).unwrap());
        }
        Forge {
            results: super::portable(lab.results.clone()),
            manifest: container.manifest,
            blobs: tars.iter().map(|_| None).collect(),
            tars,
            text: |text| text,
            entries: |_| {},
        }
    }

    /// The place of a part in the lists.
    pub fn at(&self, part: &str) -> usize {
        self.manifest
            .parts
            .iter()
            .position(|p| p.name == part)
            .unwrap()
    }

    /// Replaces a part's tar.
    pub fn part(&mut self, name: &str, tar: Vec<u8>) {
        let at = self.at(name);
        let (digest, size) = (Sha256::of(&tar), tar.len() as u64);
        self.manifest.parts[at].digest = digest;
        self.manifest.parts[at].size = size;
        self.manifest.parts[at].entries = count(&tar);
        self.tars[at] = tar;
    }

    /// Replaces the record by what it is changed to.
    pub fn record(&mut self, change: impl FnOnce(&mut Results)) {
        change(&mut self.results);
        let json = serde_json::to_vec(&self.results).unwrap();
        self.record_text(json);
    }

    pub fn record_text(&mut self, json: Vec<u8>) {
        self.manifest.results.sha256 = Sha256::of(&json);
        let tar = tar_of(&[(
            Entry::file("results.json", json.len() as u64)
                .encode()
                .unwrap(),
            json,
        )]);
        self.part(RESULTS, tar);
    }

    pub fn write(&self) -> Image {
        let mut layers = Vec::new();
        let mut blobs = Vec::new();
        for (at, part) in self.manifest.parts.iter().enumerate() {
            let blob = match self.blobs.get(at) {
                Some(Some(blob)) => blob.clone(),
                _ => {
                    let tar = self.tars.get(at).cloned().unwrap_or_default();
                    zstd::stream::encode_all(tar.as_slice(), 1).unwrap()
                }
            };
            layers.push(Descriptor::part(
                &part.name,
                Sha256::of(&blob),
                blob.len() as u64,
            ));
            blobs.push(blob);
        }
        blobs.push((self.text)(String::from_utf8(self.manifest.to_bytes()).unwrap()).into_bytes());
        let config = blobs.last().unwrap();
        let config = Descriptor::config(Sha256::of(config), config.len() as u64);
        let manifest = OciManifest::new(config, layers).to_bytes();
        let index = oci::index(Sha256::of(&manifest), manifest.len() as u64);
        blobs.push(manifest);
        let mut entries = vec![(oci::LAYOUT.to_owned(), oci::LAYOUT_TEXT.to_vec())];
        entries.extend(
            blobs
                .into_iter()
                .map(|b| (oci::blob_path(&Sha256::of(&b)), b)),
        );
        entries.push((oci::INDEX.to_owned(), index));
        (self.entries)(&mut entries);
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(path, bytes)| {
                (
                    header(&path, tar::EntryType::Regular, bytes.len() as u64, ""),
                    bytes,
                )
            })
            .collect();
        Image::of(&tar_of(&entries))
    }
}

/// A header of any kind and path, which nobody checked.
pub fn header(path: &str, kind: tar::EntryType, size: u64, link: &str) -> [u8; ustar::BLOCK] {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_mode(match kind {
        tar::EntryType::Directory => 0o755,
        tar::EntryType::Symlink => 0o777,
        _ => 0o644,
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

/// A tar of these.
pub fn tar_of(entries: &[([u8; ustar::BLOCK], Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (header, bytes) in entries {
        tar.extend_from_slice(header);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(ustar::BLOCK), 0);
    }
    tar.resize(tar.len() + ustar::END, 0);
    tar
}

/// How many headers there are in a tar.
fn count(tar: &[u8]) -> u64 {
    let (mut at, mut entries) = (0, 0);
    while let Some(block) = tar.get(at..at + ustar::BLOCK) {
        if block.iter().all(|b| *b == 0) {
            break;
        }
        let size = tar::Header::from_byte_slice(block)
            .entry_size()
            .unwrap_or(0);
        at += ustar::BLOCK
            + usize::try_from(size)
                .unwrap()
                .next_multiple_of(ustar::BLOCK);
        entries += 1;
    }
    entries
}

fn find(bytes: &[u8], path: &str) -> usize {
    let headers = (0..bytes.len()).step_by(ustar::BLOCK);
    let mut headers = headers.filter(|at| bytes[*at..].starts_with(path.as_bytes()));
    headers.next().unwrap()
}
