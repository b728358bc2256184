//! From a scenario to files: the VMM, the tool sets, the kernels and their initramfs, all by way
//! of the store. What comes out is what [`crate::plan`] plans with.

mod fio;
mod lacking;
mod machine;
mod mkfs;

pub use fio::HostFio;
pub use machine::{Boots, stop_by};

use crate::{
    digest::Sha256,
    error::{Error, Result},
    files, filesystem,
    image::{self, Image, ImageSpec, Needs, tools::Trees},
    kernel::{self, Kernel, LocalBuild},
    lock::{self, Declarations, Lock, LockEntry, Provided, WhenGone},
    plan::{self, Part, PreparedKernel},
    record::KernelRecord,
    scenario::{self, Clock, KernelRef, KernelSource, Scenario, SubjectKey},
    store::{
        FetchProgress, Sources, Store, elf,
        hermetic::{Hermetic, QEMU},
        tree_key,
    },
    vm::{Spec, Vmm, confine::Rung, share::Share},
    vocabulary::KernelVersion,
};
use diorama_wire::FsKind;
use machine::in_guest;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Name of the lock entry that holds QEMU.
pub const VMM: &str = "vmm";
/// Name of the lock entry that holds fio.
pub const FIO: &str = "fio";
/// Name of the lock entry that holds busybox, for a shell in a guest.
pub const SHELL_TOOLS: &str = "busybox";
/// Name of the lock entry that holds the C library the agent is linked with.
pub const AGENT_SYSROOT: &str = "agent-sysroot";
/// Name of the lock entry that holds the C compiler for a program that is given to others.
pub const COMPILER: &str = "compiler";

/// Bump when kernels are unpacked or initramfs are built in another way from the same inputs.
const RECIPE: u32 = 9;

/// A checkout's data: declarations and locks.
#[derive(Clone, Debug)]
pub struct Project {
    /// The directory that holds kernels/, images/ and scenarios/.
    pub root: PathBuf,
    /// kernels/lock.toml
    pub kernels: Lock,
    /// images/lock.toml
    pub images: Lock,
    /// What both were resolved from.
    pub declarations: Declarations,
}

impl Project {
    /// Reads the locks and what they were resolved from.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn open(root: &Path) -> Result<Project> {
        Ok(Project {
            root: root.to_owned(),
            kernels: Lock::load(&root.join("kernels/lock.toml"))?,
            images: Lock::load(&root.join("images/lock.toml"))?,
            declarations: Declarations::load(root)?,
        })
    }

    /// Names of the kernels that a scenario may name.
    #[must_use]
    pub fn kernel_names(&self) -> Vec<String> {
        self.kernels
            .entries
            .iter()
            .map(|e| e.name.clone())
            .collect()
    }
}

/// Makes a scenario's inputs ready.
pub struct Provision<'a> {
    /// Declarations and locks.
    pub project: &'a Project,
    /// Where everything is kept.
    pub store: &'a Store,
    /// Where it is fetched from.
    pub sources: &'a Sources,
    /// What to do when a locked file is gone everywhere.
    pub when_gone: WhenGone,
    /// Where downloads are reported.
    pub progress: &'a dyn FetchProgress,
    /// Sees steps that take a while.
    pub tell: &'a dyn Fn(&str),
}

/// Everything a plan is made from.
pub struct Provisioned {
    /// The VMM.
    pub vmm: Vmm,
    /// The agent's build id, if it has one.
    pub agent: Option<String>,
    /// One per subject of the scenario, in its order.
    pub kernels: Vec<PreparedKernel>,
    /// What a reader of the results must know.
    pub notes: Vec<String>,
}

impl Provision<'_> {
    /// Fetches and verifies a lock entry's files.
    ///
    /// # Errors
    /// When a file cannot be had.
    pub fn provide(&self, lock: &Lock, name: &str) -> Result<Provided> {
        lock::provide(
            self.store,
            &self.project.declarations,
            lock.entry(name)?,
            self.when_gone,
            self.sources,
            self.progress,
        )
    }

    /// Fetches and unpacks a tool set.
    ///
    /// # Errors
    /// When a file cannot be had or unpacked.
    pub fn tool_set(&self, name: &str) -> Result<(PathBuf, Provided)> {
        let provided = self.provide(&self.project.images, name)?;
        Ok((self.unpack(&provided.entry)?, provided))
    }

    /// A lock entry's files as they are used, the entry's or those that stand in for it; and where they
    /// are unpacked, if they are to be.
    ///
    /// # Errors
    /// When a file cannot be had or unpacked.
    pub fn source(
        &self,
        lock: &Lock,
        name: &str,
        unpacked: bool,
    ) -> Result<(LockEntry, Option<PathBuf>)> {
        let entry = match unpacked {
            true => self.provide(lock, name)?.entry,
            false => lock.entry(name)?.clone(),
        };
        let tree = unpacked.then(|| self.unpack(&entry)).transpose()?;
        Ok((entry, tree))
    }

    /// The tool sets of a scenario's file systems.
    fn guest_tools(&self, scenario: &Scenario, notes: &mut Vec<String>) -> Result<GuestTools> {
        let mut tools = GuestTools::default();
        for set in tool_sets(scenario) {
            let (tree, provided) = self.tool_set(set)?;
            notes.extend(provided.note);
            tools.trees.insert(set, tree);
            tools.keys.insert(set, tree_key(&provided.entry.files));
        }
        Ok(tools)
    }

    fn unpack(&self, entry: &LockEntry) -> Result<PathBuf> {
        self.store.tree(&entry.files, self.sources, self.progress)
    }

    /// The QEMU that `--qemu` names: `lock`, `system` or a path.
    ///
    /// # Errors
    /// When it cannot be had or does not start.
    pub fn vmm(&self, which: &str, notes: &mut Vec<String>) -> Result<Vmm> {
        if which != "lock" {
            return Vmm::from_host(which);
        }
        let (tree, provided) = self.tool_set(VMM)?;
        notes.extend(provided.note);
        let digest = self.store.contents_digest(&tree)?;
        // Debian's, by its digests: it runs wherever guests do.
        Vmm::from_store(Hermetic::in_tree(&tree, QEMU)?, digest, Rung::Nothing)
    }

    /// All of a scenario's inputs.
    ///
    /// # Errors
    /// When something that every cell needs cannot be had; a single kernel that cannot be used is
    /// an outcome of its cells instead.
    pub fn scenario(
        &self,
        scenario: &Scenario,
        qemu: &str,
        agent: &Path,
        shares: &[Share],
    ) -> Result<Provisioned> {
        let locals = self.local_kernels(scenario)?;
        let mut notes = Vec::new();
        let vmm = self.vmm(qemu, &mut notes)?;
        let (agent, kernels) = self.kernels(scenario, locals, agent, shares, &mut notes)?;
        notes.extend(self.store.take_notes());
        Ok(Provisioned {
            vmm,
            agent,
            kernels,
            notes,
        })
    }

    /// The kernels of a scenario that are all locked ones.
    ///
    /// # Errors
    /// As [`Provision::scenario`].
    pub fn locked_kernels(&self, scenario: &Scenario, agent: &Path) -> Result<Vec<PreparedKernel>> {
        let (_, kernels) = self.kernels(scenario, Locals::new(), agent, &[], &mut Vec::new())?;
        Ok(kernels)
    }

    /// The kernels of a scenario.
    ///
    /// # Errors
    /// As [`Provision::scenario`].
    pub fn all_kernels(&self, scenario: &Scenario, agent: &Path) -> Result<Vec<PreparedKernel>> {
        let locals = self.local_kernels(scenario)?;
        let (_, kernels) = self.kernels(scenario, locals, agent, &[], &mut Vec::new())?;
        Ok(kernels)
    }

    /// The kernels of a scenario, and the agent's build id, if it has one.
    fn kernels(
        &self,
        scenario: &Scenario,
        locals: Locals,
        agent: &Path,
        shares: &[Share],
        notes: &mut Vec<String>,
    ) -> Result<(Option<String>, Vec<PreparedKernel>)> {
        let tools = self.guest_tools(scenario, notes)?;
        let fio = if scenario.needs_fio() {
            let (tree, provided) = self.tool_set(FIO)?;
            notes.extend(provided.note);
            Some(FioSet {
                key: tree_key(&provided.entry.files),
                tree,
                stand_ins: self.project.declarations.stand_ins(FIO).to_vec(),
            })
        } else {
            None
        };
        let agent_bytes = files::read(agent, files::PROGRAM).map_err(|e| {
            Error::io("reading", agent, e)
                .hint("omit --agent and DIORAMA_AGENT to use the agent built from this checkout")
        })?;
        let inputs = ImageInputs {
            locals,
            fio,
            tools,
            agent,
            agent_bytes: &agent_bytes,
            agent_sha256: Sha256::of(&agent_bytes),
            shares,
        };
        let mut unpacked = BTreeMap::new();
        for kernel in &scenario.kernels {
            let found = self.unpacked(kernel, &inputs, notes)?;
            unpacked.insert(&kernel.name, found);
        }
        let mut kernels = Vec::new();
        for subject in &scenario.subjects {
            let kernel = unpacked
                .get(&subject.kernel)
                .ok_or_else(|| Error::internal(format!("the subject `{subject}` has no kernel")))?;
            let devices = devices(scenario, kernel, !shares.is_empty());
            kernels.push(self.subject(subject, kernel, (scenario, &devices), &inputs)?);
        }
        mkfs::check(scenario, &inputs.tools, plan::oldest(&kernels))?;
        Ok((elf::build_id(&agent_bytes, agent)?, kernels))
    }

    /// Fetches, and unpacks, what a scenario needs besides the agent. Returns what a person must
    /// know.
    ///
    /// # Errors
    /// When something cannot be had.
    pub fn fetch(&self, scenario: &Scenario) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let fio = scenario.needs_fio().then_some(FIO);
        let tools = tool_sets(scenario).into_iter().chain(fio);
        for name in [VMM].into_iter().chain(tools) {
            notes.extend(self.tool_set(name)?.1.note);
        }
        for kernel in scenario
            .kernels
            .iter()
            .filter(|k| k.source == KernelSource::Locked)
        {
            let provided = self.provide(&self.project.kernels, &kernel.name)?;
            self.package(&kernel.name, &provided.entry)?;
            notes.extend(provided.note);
        }
        notes.extend(self.store.take_notes());
        Ok(notes)
    }

    /// The image of a locked kernel that is in the store already, the smallest one.
    #[must_use]
    pub fn cached_kernel(&self) -> Option<PathBuf> {
        let mut entries: Vec<&LockEntry> = self.project.kernels.entries.iter().collect();
        entries.sort_by_key(|e| e.size());
        let dir = entries
            .iter()
            .find_map(|e| self.store.derived("kernel", &package_key(e)))?;
        kernel::load(&dir).ok().map(|k| k.image)
    }

    fn package(&self, name: &str, entry: &LockEntry) -> Result<(Sha256, PathBuf)> {
        let key = package_key(entry);
        let dir = self.store.derive("kernel", &key, |out| {
            (self.tell)(&format!("{name}: unpacking"));
            kernel::prepare_package(&self.unpack(entry)?, out).map(drop)
        })?;
        Ok((key, dir))
    }

    /// Unpacks the scenario's local kernels, before anything is downloaded for it. All that cannot
    /// be used are named at once.
    ///
    /// # Errors
    /// When there are some.
    fn local_kernels(&self, scenario: &Scenario) -> Result<Locals> {
        let (mut ready, mut refused) = (Locals::new(), Vec::new());
        for kernel in &scenario.kernels {
            let KernelSource::Local { path, modules } = &kernel.source else {
                continue;
            };
            match self.local(&kernel.name, path, modules.as_deref()) {
                Ok(local) => drop(ready.insert(kernel.name.clone(), local)),
                Err(error) => refused.push(error),
            }
        }
        Error::unless_none(refused, |n| format!("{n} kernels cannot be used"))?;
        Ok(ready)
    }

    /// A local kernel, unpacked: its key and its directory.
    fn local(&self, name: &str, image: &Path, modules: Option<&Path>) -> Result<(Sha256, PathBuf)> {
        scenario::look_for(name, image, modules)?;
        let prepare = || {
            let build = LocalBuild::read(image, modules)?;
            let key = Sha256::of_value(&(RECIPE, build.key()));
            let dir = self.store.derive("kernel", &key, |out| {
                (self.tell)(&format!("{name}: unpacking {}", image.display()));
                build.prepare(out).map(drop)
            })?;
            Ok((key, dir))
        };
        prepare().map_err(|e: Error| e.while_(format!("preparing kernel `{name}`")))
    }

    /// A kernel's files, whatever it is measured with.
    fn unpacked(
        &self,
        kernel: &KernelRef,
        inputs: &ImageInputs<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Unpacked> {
        let name = &kernel.name;
        let (key, dir, origin, as_locked) = match &kernel.source {
            KernelSource::Locked => {
                let provided = self.provide(&self.project.kernels, name)?;
                notes.extend(provided.note);
                let (key, dir) = self.package(name, &provided.entry)?;
                (key, dir, describe(&provided.entry), provided.as_locked)
            }
            KernelSource::Local { path, .. } => {
                let local = inputs.locals.get(name).ok_or_else(|| {
                    Error::internal(format!("the local kernel `{name}` was not prepared"))
                })?;
                let (key, dir) = local.clone();
                (key, dir, format!("local build {}", path.display()), false)
            }
        };
        let ready = kernel::load(&dir)?;
        let record = KernelRecord {
            name: name.clone(),
            variant: None,
            release: ready.release.clone(),
            build: ready.build.clone(),
            origin,
            image: Some(ready.image_sha256),
            initramfs: None,
            as_locked,
        };
        Ok(Unpacked { key, ready, record })
    }

    /// A kernel with all that the cells of one row need: those of a scenario as it is written, or with a
    /// variant's values.
    fn subject(
        &self,
        subject: &SubjectKey,
        kernel: &Unpacked,
        (scenario, devices): (&Scenario, &[diorama_wire::Device]),
        inputs: &ImageInputs<'_>,
    ) -> Result<PreparedKernel> {
        let scenario = &*scenario.of(subject);
        let ready = &kernel.ready;
        let mut record = KernelRecord {
            variant: subject.variant.clone(),
            ..kernel.record.clone()
        };
        let version = ready.release.as_deref().and_then(KernelVersion::of);

        let (always, unsupported) = lacking::of(ready, scenario, !inputs.shares.is_empty());
        let lost = |part: &Part| unsupported.iter().any(|u| u.part == *part);
        let filesystems = scenario.filesystems.iter();
        let filesystems = filesystems
            .filter(|f| !lost(&Part::Filesystem(f.name.clone())))
            .map(|f| f.kind)
            .collect();
        let machine = if always.is_empty() {
            let needs = (filesystems, devices, scenario.clock);
            let image = self.initramfs(&kernel.key, ready, needs, inputs)?;
            record.initramfs = Some(image.sha256);
            let boots = Boots {
                kernel: (ready.image.clone(), ready.image_sha256),
                boot: ready.boot,
                initramfs: (image.initramfs, image.sha256),
            };
            let spec = Spec {
                shares: inputs.shares.to_vec(),
                ..boots.machine(scenario)
            };
            Ok((spec, image.boot.stop_by))
        } else {
            Err(lacking::outcome(&always))
        };
        Ok(PreparedKernel {
            subject: subject.clone(),
            record,
            version,
            blind: ready.config.is_none() && ready.module_set.modules.is_empty(),
            machine,
            modules: ready.modules.clone(),
            unsupported,
        })
    }

    fn initramfs(
        &self,
        kernel_key: &Sha256,
        kernel: &Kernel,
        (filesystems, devices, clock): (Vec<FsKind>, &[diorama_wire::Device], Clock),
        inputs: &ImageInputs<'_>,
    ) -> Result<Image> {
        let identity = (
            RECIPE,
            kernel_key,
            inputs.agent_sha256,
            inputs.tools.keys_of(&filesystems),
            &filesystems,
        );
        let fio = inputs.fio.as_ref();
        let (device, besides) = devices
            .split_first()
            .ok_or_else(|| Error::internal("an image has no device"))?;
        let mut modules = Vec::new();
        for name in devices.iter().flat_map(image::device_modules) {
            if !modules.contains(&name) {
                modules.push(name);
            }
        }
        let shares: Vec<_> = inputs.shares.iter().map(in_guest).collect();
        let drive = (modules, device.driver(), clock, &shares);
        let key = Sha256::of_value(&(identity, drive, fio.map(|fio| (fio.key, &fio.stand_ins))));
        let dir = self.store.derive("initramfs", &key, |out| {
            let spec = ImageSpec {
                agent: (inputs.agent, inputs.agent_bytes),
                kernel,
                tools: &inputs.tools.trees,
                fio: fio.map(|fio| (fio.tree.as_path(), fio.stand_ins.as_slice())),
                needs: Needs {
                    filesystems,
                    device: Some(device.clone()),
                    besides: besides.to_vec(),
                    shares: !shares.is_empty(),
                    ..Needs::default()
                },
                shares: &shares,
                stop_by: stop_by(clock),
                clock,
                strip_modules: true,
            };
            image::build(&spec, out).map(drop)
        })?;
        image::load(&dir)
    }
}

/// The tool sets of a scenario's file systems.
#[must_use]
pub fn tool_sets(scenario: &Scenario) -> Vec<&'static str> {
    let kinds: Vec<FsKind> = scenario.filesystems.iter().map(|f| f.kind).collect();
    filesystem::tool_sets(&kinds)
}

/// The devices of all subjects that a kernel can have, but for those that need no other modules. One image
/// is for all of them, so that guests differ in what their cells are asked to do and in nothing else.
fn devices(scenario: &Scenario, kernel: &Unpacked, shares: bool) -> Vec<diorama_wire::Device> {
    let mut devices: Vec<diorama_wire::Device> = Vec::new();
    for subject in &scenario.subjects {
        let of = scenario.of(subject);
        let device = of.device.in_guest();
        let modules = image::device_modules(&device);
        let is_new = |known: &diorama_wire::Device| image::device_modules(known) != modules;
        if subject.kernel == kernel.record.name
            && devices.iter().all(is_new)
            && lacking::of(&kernel.ready, &of, shares).0.is_empty()
        {
            devices.push(device);
        }
    }
    devices
}

/// Keys and directories of unpacked local kernels, by name.
type Locals = BTreeMap<String, (Sha256, PathBuf)>;

struct ImageInputs<'a> {
    locals: Locals,
    tools: GuestTools,
    fio: Option<FioSet>,
    agent: &'a Path,
    agent_bytes: &'a [u8],
    agent_sha256: Sha256,
    /// Directories that the guests share with the host.
    shares: &'a [Share],
}

/// The tool sets that hold the programs of mkfs, ready.
#[derive(Default)]
struct GuestTools {
    trees: Trees,
    keys: BTreeMap<&'static str, Sha256>,
}

impl GuestTools {
    /// Identities of those that these file systems need.
    fn keys_of(&self, kinds: &[FsKind]) -> Vec<Option<Sha256>> {
        let sets = filesystem::tool_sets(kinds).into_iter();
        sets.map(|set| self.keys.get(set).copied()).collect()
    }
}

/// A kernel's files, and what they are.
struct Unpacked {
    key: Sha256,
    ready: Kernel,
    record: KernelRecord,
}

/// The tool set that holds fio, ready.
struct FioSet {
    tree: PathBuf,
    key: Sha256,
    stand_ins: Vec<String>,
}

fn package_key(entry: &LockEntry) -> Sha256 {
    Sha256::of_value(&(RECIPE, tree_key(&entry.files)))
}

fn describe(entry: &LockEntry) -> String {
    match entry.files.first() {
        Some(file) => format!("Debian {} {}", file.package, file.version),
        None => "Debian".into(),
    }
}
