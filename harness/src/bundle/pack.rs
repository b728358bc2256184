//! From a run and what it was measured with to an image.

use super::{
    manifest::{
        Agent, Boots, FORMAT, FileRef, GUEST, LICENCES, Licence, Machine, Manifest, OnDrive,
        PLUGIN, PackedKernel, RESULTS, Source, VMM, WhichLock,
    },
    manifest::{CpioEntry, Recipe},
    portable::portable,
    progress::Progress,
    recipe,
    tree::tree_items,
    write::{Contents, PartItems, Writer},
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    files,
    image::INIT,
    lock::LockEntry,
    plan::{KernelPlan, MachinePlan, Plan, PreparedKernel},
    record::Results,
    scenario::{KernelSource, SubjectKey},
    vm::Spec,
};
use diorama_wire::BOOT_PATH;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// A run and everything that made it.
pub struct Packing<'a> {
    /// The run's directory, for its consoles and profiles.
    pub run: &'a Path,
    /// Its record.
    pub results: &'a Results,
    /// Its cells again, as they are planned now.
    pub plan: &'a Plan,
    /// The agent's build id.
    pub agent: Option<String>,
    /// The plugin that counts instructions, if the run had one.
    pub plugin: Option<&'a Path>,
    /// QEMU's tree, if it goes in.
    pub vmm: Option<&'a Path>,
    /// The lock entries that were used; and their unpacked trees, where licences are looked for.
    pub locked: Vec<(WhichLock, LockEntry, Option<PathBuf>)>,
    /// The licences of the crates in the agent and the plugin.
    pub crates: Vec<CrateLicence>,
    /// What the kernels' guests boot for a drive, row by row, as they are planned; empty where the jobs
    /// cannot run on one.
    pub on_drive: Vec<PreparedKernel>,
    /// Libraries that guests have stand-ins for.
    pub stand_ins: Vec<String>,
    /// Leaves out what the lock can fetch again.
    pub thin: bool,
}

/// The licence of a crate that something inside is built of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrateLicence {
    /// The crate.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its source is, and the words of its licence.
    pub text: Vec<u8>,
}

/// Refuses a run whose cells would not be measured with the same inputs again.
///
/// # Errors
/// When an input has changed since.
pub fn same_inputs(results: &Results, plan: &Plan) -> Result<()> {
    let planned: Vec<_> = plan.cells().map(|(_, cell)| cell).collect();
    let changed = || {
        Error::input(format!(
            "the inputs of run {} have changed since",
            results.run_id
        ))
        .hint("run the scenario again, or use the run's own kernels, QEMU and diorama version")
    };
    if planned.len() != results.cells.len() {
        return Err(changed().because("it has other cells"));
    }
    let pairs = results.cells.iter().zip(planned);
    match { pairs }.find(|(was, now)| was.key != now.key || was.inputs != now.inputs) {
        Some((was, _)) => {
            Err(changed().because(format!("cell {} has another input digest", was.key)))
        }
        None => Ok(()),
    }
}

/// Writes an image into an empty file; its manifest.
///
/// # Errors
/// When something cannot be read, or the image not be written.
pub fn pack(packing: &Packing<'_>, out: &File, progress: &dyn Progress) -> Result<Manifest> {
    same_inputs(packing.results, packing.plan)?;
    let mut writer = Writer::begin(out, progress)?;
    let results = writer.part(RESULTS, &results_items(packing)?)?;
    let results = reference(RESULTS, "results.json", &results.files)?;

    let mut guest = Guest::default();
    let mut kernels = Vec::new();
    let mut of_kernels = Vec::new();
    for kernel in &packing.plan.kernels {
        let (packed, items) = guest.kernel(packing, kernel)?;
        kernels.push(packed);
        of_kernels.push(items);
    }
    let Some(agent) = guest.agent else {
        return Err(Error::input(format!(
            "no kernel of run {} can be booted: there is nothing to replay",
            packing.results.run_id
        )));
    };
    let written = writer.part(GUEST, &guest.items)?;
    let agent = Agent {
        file: reference(GUEST, &agent, &written.files)?,
        build_id: packing.agent.clone(),
    };
    let plugin = match packing.plugin {
        None => None,
        Some(path) => {
            let mut items = PartItems::default();
            let name = "diorama-plugin.so";
            items.file(name, false, Contents::Path(path.to_owned()));
            Some(reference(
                PLUGIN,
                name,
                &writer.part(PLUGIN, &items)?.files,
            )?)
        }
    };
    for (kernel, items) in kernels.iter_mut().zip(&of_kernels) {
        let Boots::Packed(machine) = &mut kernel.boots else {
            continue;
        };
        let own = machine.kernel.part.clone();
        let written = writer.part(&own, items)?;
        check_same(&machine.kernel, &written.files)?;
        // The same build under another name, or with another variant, is there already.
        rename_part(machine, &own, &written.part.name);
    }
    if let Some(tree) = packing.vmm {
        writer.part(VMM, &tree_items(tree)?)?;
    }
    let licences = licences(packing, &mut writer)?;
    let sources = packing.locked.iter().map(|(lock, entry, _)| Source {
        lock: *lock,
        name: entry.name.clone(),
        release: entry.release.clone(),
        files: entry.files.clone(),
    });
    let manifest = Manifest {
        format: FORMAT,
        diorama: env!("CARGO_PKG_VERSION").to_owned(),
        parts: Vec::new(),
        results,
        agent,
        plugin,
        vmm: packing.vmm.is_some(),
        kernels,
        sources: sources.collect(),
        stand_ins: packing.stand_ins.clone(),
        licences,
    };
    writer.end(manifest)
}

/// What goes into the part that all guests share, as kernels are taken apart.
#[derive(Default)]
struct Guest {
    items: PartItems,
    digests: BTreeMap<String, Sha256>,
    agent: Option<String>,
    /// Of each kernel's part, by the paths in its initramfs: where what the kernel has alone is inside.
    owned: BTreeMap<(String, String), (String, Sha256)>,
}

impl Guest {
    /// Takes a row's initramfs apart; what is the row's alone.
    fn kernel(
        &mut self,
        packing: &Packing<'_>,
        kernel: &KernelPlan,
    ) -> Result<(PackedKernel, PartItems)> {
        let SubjectKey {
            kernel: name,
            variant,
        } = &kernel.subject;
        let mut items = PartItems::default();
        let mut of = packing.plan.scenario.kernels.iter();
        let locked = of.any(|k| k.name == *name && k.source == KernelSource::Locked);
        let boots = match &kernel.machine {
            None => Boots::Unusable(unusable(kernel)?),
            Some(machine) => {
                let part = format!("kernel-{}", kernel.subject);
                let whole = !(packing.thin && locked);
                let mut packed = self.machine(&part, machine, whole, &mut items)?;
                let mut drives = packing.on_drive.iter();
                if let Some(drive) = drives.find(|of| of.subject == kernel.subject) {
                    packed.on_drive = self.on_drive(&part, drive, whole, &mut items)?;
                }
                match whole {
                    true => Boots::Packed(Box::new(packed)),
                    false => Boots::Locked,
                }
            }
        };
        let packed = PackedKernel {
            name: name.clone(),
            variant: variant.clone(),
            release: kernel.record.release.clone(),
            blind: kernel.blind,
            unsupported: kernel.unsupported.clone(),
            boots,
        };
        Ok((packed, items))
    }

    fn machine(
        &mut self,
        part: &str,
        machine: &MachinePlan,
        whole: bool,
        items: &mut PartItems,
    ) -> Result<Machine> {
        let spec = &machine.spec;
        let own = Own {
            part,
            below: "initramfs",
            whole,
        };
        let recipe = self.initramfs(&own, spec, items)?;
        let modules: Vec<String> = { recipe.entries.iter() }
            .filter_map(|entry| entry.path().strip_prefix(MODULES))
            .map(str::to_owned)
            .collect();
        let image = (spec.kernel.file_name().and_then(|name| name.to_str())).unwrap_or("vmlinux");
        if whole {
            items.file(image, false, Contents::Path(spec.kernel.clone()));
        }
        let mut with_symbols = None;
        if let Some(dir) = &machine.modules {
            for module in &modules {
                let path = dir.join(module);
                if whole && path.is_file() {
                    items.file(&format!("modules/{module}"), false, Contents::Path(path));
                    with_symbols = Some("modules".to_owned());
                }
            }
        }
        Ok(Machine {
            boot: spec.boot,
            kernel: FileRef {
                part: part.to_owned(),
                path: image.to_owned(),
                sha256: spec.kernel_sha256,
            },
            modules: with_symbols,
            stop_by: machine.stop_by,
            initramfs: recipe,
            on_drive: None,
        })
    }

    /// What the same kernel boots for a drive; nothing where it cannot.
    fn on_drive(
        &mut self,
        part: &str,
        kernel: &PreparedKernel,
        whole: bool,
        items: &mut PartItems,
    ) -> Result<Option<OnDrive>> {
        let Ok((spec, _)) = &kernel.machine else {
            return Ok(None);
        };
        let own = Own {
            part,
            below: "on-drive",
            whole,
        };
        Ok(Some(OnDrive {
            initramfs: self.initramfs(&own, spec, items)?,
            unsupported: kernel.unsupported.clone(),
        }))
    }

    /// Takes an initramfs apart: what other kernels have, too, goes into the part that all share.
    fn initramfs(&mut self, own: &Own<'_>, spec: &Spec, items: &mut PartItems) -> Result<Recipe> {
        let path = &spec.initramfs;
        let initramfs =
            files::read(path, files::PROGRAM).map_err(|e| Error::io("reading", path, e))?;
        let place = |path: &str, mode: u32, data: Vec<u8>| {
            let agent = path == INIT.trim_start_matches('/');
            if agent {
                self.agent = Some(path.to_owned());
            }
            let sha256 = Sha256::of(&data);
            let file = |part: &str, path: String| FileRef {
                part: part.to_owned(),
                path,
                sha256,
            };
            let other = self.digests.get(path).is_some_and(|known| *known != sha256);
            let owned = path.starts_with(MODULES) || path == BOOT_PATH.trim_start_matches('/');
            if owned || other {
                let known = (own.part.to_owned(), path.to_owned());
                let (inside, first) = match self.owned.get(&known) {
                    Some((inside, digest)) if *digest == sha256 => (inside.clone(), false),
                    _ => (format!("{}/{path}", own.below), true),
                };
                if first {
                    self.owned.insert(known, (inside.clone(), sha256));
                    if own.whole {
                        items.file(&inside, false, Contents::Bytes(data));
                    }
                }
                return file(own.part, inside);
            }
            if own.whole || agent {
                self.digests.insert(path.to_owned(), sha256);
                let executable = mode & 0o111 != 0;
                self.items.file(path, executable, Contents::Bytes(data));
            }
            file(GUEST, path.to_owned())
        };
        let recipe = recipe::take_apart(&initramfs, place)
            .map_err(|why| Error::internal(format!("taking {} apart: {why}", path.display())))?;
        match recipe.sha256 == spec.initramfs_sha256 {
            true => Ok(recipe),
            false => Err(altered(path)),
        }
    }
}

/// Where modules are in an initramfs.
const MODULES: &str = "lib/modules/";

/// What of an initramfs is one kernel's alone.
struct Own<'a> {
    /// The kernel's part.
    part: &'a str,
    /// A directory of it.
    below: &'a str,
    /// Whether it goes into the image.
    whole: bool,
}

/// Why a kernel has no machine: all its cells say the same.
fn unusable(kernel: &KernelPlan) -> Result<crate::record::Outcome> {
    let settled = kernel.cells.iter().find_map(|cell| cell.settled.clone());
    settled.ok_or_else(|| {
        Error::internal(format!(
            "kernel `{}` cannot be booted, and nobody says why",
            kernel.subject
        ))
    })
}

/// The record, and what it has besides: consoles and profiles.
fn results_items(packing: &Packing<'_>) -> Result<PartItems> {
    let mut items = PartItems::default();
    let json = serde_json::to_vec(&portable(packing.results.clone()))
        .map_err(|e| Error::internal("writing results.json").because(e))?;
    items.file("results.json", false, Contents::Bytes(json));
    for dir in ["console", "explain"] {
        let path = packing.run.join(dir);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("listing", &path, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("listing", &path, e))?;
            let name = entry.file_name();
            let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else {
                continue;
            };
            if kind.is_file() {
                items.file(
                    &format!("{dir}/{name}"),
                    false,
                    Contents::Path(entry.path()),
                );
            }
        }
    }
    Ok(items)
}

/// Whose registry the sources of crates are in.
const CRATES: &str = "crates.io";

/// The copyright files of every package, and the licences of every crate, that something inside came from.
fn licences(packing: &Packing<'_>, writer: &mut Writer<'_>) -> Result<Vec<Licence>> {
    let mut items = PartItems::default();
    let mut found: BTreeMap<(String, String), Licence> = BTreeMap::new();
    for (_, entry, tree) in &packing.locked {
        let Some(tree) = tree else { continue };
        for file in &entry.files {
            let key = (file.package.clone(), file.version.clone());
            if found.contains_key(&key) {
                continue;
            }
            let path = format!("{}_{}", file.package, file.version.replace([':', '~'], "-"));
            let copyright = copyright(tree, &file.package)?;
            let copyright = copyright.map(|bytes| {
                let sha256 = Sha256::of(&bytes);
                items.file(&path, false, Contents::Bytes(bytes));
                FileRef {
                    part: LICENCES.to_owned(),
                    path,
                    sha256,
                }
            });
            let licence = Licence {
                package: file.package.clone(),
                version: file.version.clone(),
                source: source_of(&file.path),
                copyright,
            };
            found.insert(key, licence);
        }
    }
    let mut all: Vec<Licence> = found.into_values().collect();
    for of in &packing.crates {
        let path = format!("crates/{}_{}", of.name, of.version);
        let sha256 = Sha256::of(&of.text);
        items.file(&path, false, Contents::Bytes(of.text.clone()));
        all.push(Licence {
            package: of.name.clone(),
            version: of.version.clone(),
            source: CRATES.to_owned(),
            copyright: Some(FileRef {
                part: LICENCES.to_owned(),
                path,
                sha256,
            }),
        });
    }
    if !items.is_empty() {
        writer.part(LICENCES, &items)?;
    }
    Ok(all)
}

/// A package's copyright file, which may be another package's by a link in the tree.
fn copyright(tree: &Path, package: &str) -> Result<Option<Vec<u8>>> {
    let path = tree.join("usr/share/doc").join(package).join("copyright");
    let Ok(real) = fs::canonicalize(&path) else {
        return Ok(None);
    };
    let root = fs::canonicalize(tree).map_err(|e| Error::io("resolving", tree, e))?;
    if !real.starts_with(root) {
        return Ok(None);
    }
    let bytes = files::read(&real, files::TEXT).map_err(|e| Error::io("reading", &real, e))?;
    Ok(Some(bytes))
}

/// Debian's pool is sorted by source package: pool/main/q/qemu/qemu-system-x86_..deb.
fn source_of(path: &str) -> String {
    let source = path.rsplit('/').nth(1);
    source.unwrap_or("unknown").to_owned()
}

fn reference(part: &str, path: &str, files: &BTreeMap<String, Sha256>) -> Result<FileRef> {
    let sha256 = files
        .get(path)
        .ok_or_else(|| Error::internal(format!("part `{part}` was packed without `{path}`")))?;
    Ok(FileRef {
        part: part.to_owned(),
        path: path.to_owned(),
        sha256: *sha256,
    })
}

fn check_same(file: &FileRef, files: &BTreeMap<String, Sha256>) -> Result<()> {
    match files.get(&file.path) == Some(&file.sha256) {
        true => Ok(()),
        false => Err(altered(Path::new(&file.path))),
    }
}

fn altered(path: &Path) -> Error {
    Error::fetch(format!(
        "{} was changed after it was prepared",
        path.display()
    ))
    .hint("run the same command again; if it stays so, clear the cache with `diorama cache clear`")
}

fn rename_part(machine: &mut Machine, from: &str, to: &str) {
    let rename = |file: &mut FileRef| {
        if file.part == from {
            to.clone_into(&mut file.part);
        }
    };
    rename(&mut machine.kernel);
    let on_drive = machine.on_drive.as_mut().map(|of| &mut of.initramfs);
    for recipe in [&mut machine.initramfs].into_iter().chain(on_drive) {
        for entry in &mut recipe.entries {
            if let CpioEntry::File { file, .. } = entry {
                rename(file);
            }
        }
    }
}
