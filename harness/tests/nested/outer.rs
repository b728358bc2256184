//! The outer machine: its disk with a userland, Diorama and a cache; its boot; what it said.

use crate::common::{Lab, Tree};
use diorama::{
    image::{cpio::Archive, loading},
    kernel::modules,
    store::{
        elf,
        hermetic::{Hermetic, QEMU},
    },
    vm::cpu_seconds,
};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The kernel that the outer machine runs.
const KERNEL: &str = "6.12";

/// What it has as modules and needs: a disk, the kernel's vsock transport, KVM on a CPU of AMD's.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "ext4", "vhost_vsock", "kvm_amd"];

/// What its administrator loads.
const ON_DEMAND: [&str; 2] = ["vfio_pci", "vfio_iommu_type1"];

/// With SVM, which TCG emulates, and what Debian's libraries may use.
const CPU: &str = "qemu64,+svm,+npt,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+rdrand";

/// RAM: a guest of the exact lane, its copy of the checkpoint and QEMU fit.
const MEMORY_MIB: u32 = 3072;

/// How long the whole of it may take.
const DEADLINE: Duration = Duration::from_secs(1800);

/// Something that is done inside.
pub struct Case {
    pub name: &'static str,
    /// `root` or `user`.
    user: &'static str,
    /// KiB of memory that the user may lock, as ulimit(1) takes them.
    locked: &'static str,
    /// For a shell; in /tmp, with diorama's variables set.
    command: String,
}

impl Case {
    /// One that root does.
    pub fn root(name: &'static str, command: impl Into<String>) -> Case {
        Case {
            name,
            user: "root",
            locked: "unlimited",
            command: command.into(),
        }
    }

    /// One that an ordinary user does, with the kernel's own limit.
    pub fn user(name: &'static str, command: impl Into<String>) -> Case {
        Case {
            user: "user",
            locked: "8192",
            ..Case::root(name, command)
        }
    }

    /// One that an ordinary user does whose limit an administrator has raised to so many KiB.
    pub fn user_with_limit(
        name: &'static str,
        locked: &'static str,
        command: impl Into<String>,
    ) -> Case {
        Case {
            user: "user",
            locked,
            ..Case::root(name, command)
        }
    }
}

/// What came of a case.
#[derive(Debug)]
pub struct Came {
    pub said: Vec<String>,
    pub exit: i32,
    /// Seconds it took.
    wall_s: f64,
    /// CPU seconds that the outer machine used for it.
    cpu_s: f64,
}

impl Came {
    /// Whether a line of it has these words.
    pub fn says(&self, words: &str) -> bool {
        self.said.iter().any(|line| line.contains(words))
    }

    /// From its error on.
    pub fn error(&self) -> String {
        let error = self
            .said
            .iter()
            .skip_while(|line| !line.starts_with("error: "));
        let lines: Vec<&str> = error.map(String::as_str).collect();
        format!("{}\nexit {}", lines.join("\n").trim_end(), self.exit)
    }
}

/// What came of all of them, in order.
pub struct All(Vec<(&'static str, Came)>);

impl All {
    /// What came of one.
    pub fn of(&self, case: &str) -> &Came {
        let found = self.0.iter().find(|(name, _)| *name == case);
        &found.unwrap_or_else(|| panic!("no case {case}")).1
    }

    /// The table of cases.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<52} {:>4} {:>7} {:>7}\n",
            "case", "exit", "wall s", "CPU s"
        );
        let sum = |of: fn(&Came) -> f64| self.0.iter().map(|(_, came)| of(came)).sum::<f64>();
        let mut row = |name: &str, exit: &str, wall: f64, cpu: f64| {
            table.push_str(&format!("{name:<52} {exit:>4} {wall:>7.0} {cpu:>7.0}\n"));
        };
        for (name, came) in &self.0 {
            row(name, &came.exit.to_string(), came.wall_s, came.cpu_s);
        }
        row("all", "", sum(|came| came.wall_s), sum(|came| came.cpu_s));
        table
    }
}

/// An NVMe controller of the outer machine's.
pub struct Drive {
    pub serial: &'static str,
    /// Device and function, as QEMU's `addr` takes them; on bus 0.
    pub at: &'static str,
    /// Whether there is ext4 on it, or nothing.
    pub formatted: bool,
}

impl Drive {
    /// Its address inside.
    pub fn address(&self) -> String {
        format!("0000:00:{}", self.at)
    }
}

/// The machine, put together but not started.
pub struct Outer<'a> {
    lab: &'a Lab,
    /// Its root file system, in the making.
    root: PathBuf,
    /// Its NVMe controllers.
    drives: &'static [Drive],
    /// Whether it has an IOMMU.
    pub iommu: bool,
}

/// Bytes of an NVMe drive.
const DRIVE: u64 = 256 << 20;

impl<'a> Outer<'a> {
    /// With this cache and these drives.
    pub fn new(lab: &'a Lab, cache: &Path, drives: &'static [Drive]) -> Outer<'a> {
        let root = lab.results().join("outer");
        for dir in [
            "bin",
            "sbin",
            "dev",
            "proc",
            "sys",
            "tmp",
            "run",
            "root",
            "etc/security/limits.d",
            "srv/cases",
        ] {
            fs::create_dir_all(root.join(dir)).expect("a directory of the outer machine");
        }
        let outer = Outer {
            lab,
            root,
            drives,
            iommu: true,
        };
        for drive in drives {
            outer.image(drive);
        }
        outer.userland();
        outer.diorama();
        copy(cache, &outer.root.join("srv/cache"));
        outer
    }

    /// Makes what is on a drive.
    fn image(&self, drive: &Drive) {
        let path = self.contents(drive.serial);
        let image = File::create(&path).expect("a drive");
        image.set_len(DRIVE).expect("its size");
        if drive.formatted {
            self.mkfs(&["-q", "-F"], &path);
        }
    }

    /// What is on the drive with this serial.
    pub fn contents(&self, serial: &str) -> PathBuf {
        self.lab.results().join(format!("{serial}.img"))
    }

    fn mkfs(&self, words: &[&str], image: &Path) {
        let tools = self.lab.tree(Tree::Tools("guest-tools"));
        let mkfs = Hermetic::in_tree(&tools, "usr/sbin/mkfs.ext4").expect("mkfs.ext4");
        let output = (mkfs.command().args(words).arg(image).output()).expect("mkfs.ext4 starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn busybox(&self) -> Vec<u8> {
        let tree = self.lab.tree(Tree::Tools("busybox"));
        fs::read(tree.join("usr/bin/busybox")).expect("busybox")
    }

    fn file(&self, path: &str, mode: u32, data: &[u8]) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("its directory");
        fs::write(&path, data).expect("a file of the outer machine");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
    }

    fn userland(&self) {
        self.file("bin/busybox", 0o755, &self.busybox());
        let applets = [
            "sh", "mount", "ip", "hostname", "mkdir", "chown", "chmod", "su", "poweroff", "cat",
            "grep", "ls", "rm", "sync", "basename", "dirname", "dmesg", "insmod", "sleep", "sed",
            "dd", "readlink", "umount", "tr", "mkswap", "swapon", "swapoff", "unshare", "kill",
            "test", "find",
        ];
        for applet in applets {
            symlink("busybox", self.root.join("bin").join(applet)).expect("an applet");
        }
        self.file("sbin/init", 0o755, include_bytes!("init.sh"));
        self.file("srv/lib.sh", 0o644, include_bytes!("lib.sh"));
        self.file(
            "etc/passwd",
            0o644,
            b"root::0:0::/root:/bin/sh\nuser::1000:1000::/tmp:/bin/sh\n",
        );
        self.file("etc/group", 0o644, b"root::0:\nuser::1000:\n");
        self.file("etc/shadow", 0o600, b"root::1::::::\nuser::1::::::\n");
    }

    /// The program as it was built, with the libraries that it was linked to, the agent and the plugin,
    /// and the project's files.
    fn diorama(&self) {
        let program = env!("CARGO_BIN_EXE_diorama");
        let closure = elf::closure(Path::new("/"), &[program.trim_start_matches('/')], &[])
            .expect("the program's libraries");
        for (name, bytes) in closure
            .read(Path::new("/"))
            .expect("the program's libraries")
        {
            let name = name.to_str().expect("UTF-8");
            match program.ends_with(name) {
                true => self.file("bin/diorama", 0o755, &bytes),
                false => self.file(name, 0o755, &bytes),
            }
        }
        // Where programs look for their loader, if it lives in /usr.
        for (link, to) in [("lib64", "usr/lib64"), ("lib", "usr/lib")] {
            if !self.root.join(link).exists() && self.root.join(to).exists() {
                symlink(to, self.root.join(link)).expect("a link");
            }
        }
        let agent = self.lab.agent();
        for entry in ["diorama-agent", "libdiorama_tcg_plugin.so"] {
            let bytes =
                fs::read(agent.with_file_name(entry)).expect("what the agent was built with");
            self.file(&format!("opt/diorama/{entry}"), 0o755, &bytes);
        }
        for part in ["kernels", "images", "scenarios", "ci"] {
            copy(
                &self.lab.root().join(part),
                &self.root.join("srv/project").join(part),
            );
        }
    }

    /// The place, here, of a file of its own.
    pub fn place(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    /// Puts a scenario of the test's own into its checkout's ci/.
    pub fn scenario(&self, name: &str, text: &str) {
        self.file(
            &format!("srv/project/ci/{name}.toml"),
            0o644,
            text.as_bytes(),
        );
    }

    /// Boots it, has it do these things and returns what came of each.
    pub fn run(&self, cases: &[Case]) -> All {
        let mut script = String::new();
        for case in cases {
            let Case {
                name,
                user,
                locked,
                command,
            } = case;
            self.file(&format!("srv/cases/{name}"), 0o755, command.as_bytes());
            script.push_str(&format!("case_ '{name}' {user} {locked}\n"));
        }
        self.file("srv/cases.sh", 0o644, script.as_bytes());
        let (kernel, initramfs) = self.initramfs();
        let disk = self.disk();
        let mut said = self.boot(&kernel, &initramfs, &disk);
        let (began, cpu) = (Instant::now(), said.cpu_s());
        let mut came = Vec::new();
        let mut add = |name, came_of: Came| {
            println!("{name}: exit {}, {:.0} s", came_of.exit, came_of.wall_s);
            for line in &came_of.said {
                println!("  | {line}");
            }
            came.push((name, came_of));
        };
        for (i, case) in cases.iter().enumerate() {
            said.until(&format!("@case {}", case.name));
            if i == 0 {
                add(
                    "boot",
                    Came {
                        said: Vec::new(),
                        exit: 0,
                        wall_s: began.elapsed().as_secs_f64(),
                        cpu_s: said.cpu_s() - cpu,
                    },
                );
            }
            let (began, cpu) = (Instant::now(), said.cpu_s());
            let (lines, last) = said.until("@exit ");
            let exit = last.trim_start_matches("@exit ").parse();
            add(
                case.name,
                Came {
                    said: lines,
                    exit: exit.expect("an exit code"),
                    wall_s: began.elapsed().as_secs_f64(),
                    cpu_s: said.cpu_s() - cpu,
                },
            );
        }
        said.until("@end");
        said.over();
        All(came)
    }

    /// The kernel's image and an initramfs that loads its modules and mounts the disk.
    fn initramfs(&self) -> (PathBuf, PathBuf) {
        let tree = self.lab.tree(Tree::Kernel(KERNEL));
        let image = fs::read_dir(tree.join("boot")).expect("the kernel's package");
        let image = image
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().contains("/vmlinuz-"))
            .expect("an image");
        let wanted: Vec<&str> = MODULES.iter().chain(&ON_DEMAND).copied().collect();
        let collected =
            modules::collect(&tree.join("usr/lib/modules"), &wanted).expect("its modules");
        let (mut order, mut missing) = (Vec::new(), Vec::new());
        for name in MODULES {
            loading::require(name, &collected.set, &mut order, &mut missing);
        }
        for name in ON_DEMAND {
            let mut all = Vec::new();
            loading::require(name, &collected.set, &mut all, &mut missing);
            for name in &all {
                self.file(&format!("modules/{name}.ko"), 0o644, &collected.files[name]);
            }
            self.file(&format!("modules/{name}"), 0o644, all.join("\n").as_bytes());
        }
        assert_eq!(missing, []);
        let mut archive = Archive::default();
        archive.file("init", 0o755, include_bytes!("initramfs.sh").to_vec());
        archive.file("bin/busybox", 0o755, self.busybox());
        archive.directory("dev");
        archive.directory("disk");
        for name in &order {
            archive.file(
                &format!("modules/{name}.ko"),
                0o644,
                collected.files[name].clone(),
            );
        }
        archive.file(
            "modules/order",
            0o644,
            (order.join("\n") + "\n").into_bytes(),
        );
        archive.char_device("dev/console", 0o600, 5, 1);
        let path = self.lab.results().join("outer.cpio");
        fs::write(&path, archive.to_bytes()).expect("the initramfs, written");
        (image, path)
    }

    /// The root file system as an image, sparse as the checkpoints in it are.
    fn disk(&self) -> PathBuf {
        let path = self.lab.results().join("outer.img");
        let disk = File::create(&path).expect("an image");
        disk.set_len(8 << 30).expect("its size");
        let root = self.root.to_str().expect("UTF-8");
        let words = ["-q", "-F", "-O", "^has_journal", "-m", "0", "-d", root];
        self.mkfs(&words, &path);
        path
    }

    fn boot(&self, kernel: &Path, initramfs: &Path, disk: &Path) -> Said {
        let tree = self.lab.tree(Tree::Tools("vmm"));
        let mut qemu = Hermetic::in_tree(&tree, QEMU).expect("QEMU").command();
        let iommu = match self.iommu {
            true => {
                qemu.args(["-device", "intel-iommu,intremap=on"]);
                "intel_iommu=on"
            }
            false => "",
        };
        qemu.args([
            "-M",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-smp",
            "2",
            "-cpu",
            CPU,
        ])
        .args(["-m", &MEMORY_MIB.to_string()])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args(["-serial", "stdio", "-append"])
        .arg(format!(
            "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off rootfstype=ramfs {iommu}"
        ))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-drive")
        .arg(format!(
            "file={},format=raw,if=none,id=d0,cache=unsafe",
            disk.display()
        ))
        .args(["-device", "virtio-blk-pci,drive=d0"]);
        for Drive { serial, at, .. } in self.drives {
            let image = self.contents(serial);
            qemu.arg("-drive")
                .arg(format!(
                    "file={},format=raw,if=none,id={serial},discard=unmap",
                    image.display()
                ))
                .arg("-device")
                .arg(format!(
                    "nvme,drive={serial},serial={serial},addr={at},multifunction=on"
                ));
        }
        Said::of(qemu)
    }
}

/// Copies a file or a directory, sparse files as such, with times and modes.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a parent")).expect("its directory");
    let mut cp = Command::new("cp");
    let done = cp
        .args(["-a", "--sparse=always"])
        .arg(from)
        .arg(to)
        .status();
    assert!(
        done.expect("cp starts").success(),
        "copying {}",
        from.display()
    );
}

/// A machine's console, line by line; the machine ends with it.
struct Said {
    qemu: std::process::Child,
    lines: mpsc::Receiver<String>,
    until: Instant,
    all: Vec<String>,
}

impl Said {
    fn of(mut qemu: Command) -> Said {
        // A test that is killed leaves no machine behind; the test's own thread is the one that starts it.
        let with_the_test = || {
            let signal = Some(rustix::process::Signal::KILL);
            rustix::process::set_parent_process_death_signal(signal).map_err(Into::into)
        };
        // SAFETY: the closure runs between fork and exec and makes one system call.
        unsafe { qemu.pre_exec(with_the_test) };
        let mut qemu = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("QEMU starts");
        let (send, lines) = mpsc::channel();
        let out = BufReader::new(qemu.stdout.take().expect("its console"));
        thread::spawn(move || {
            for line in out.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Said {
            qemu,
            lines,
            until: Instant::now() + DEADLINE,
            all: Vec::new(),
        }
    }

    /// CPU seconds of the machine so far.
    fn cpu_s(&self) -> f64 {
        cpu_seconds(self.qemu.id()).unwrap_or_default()
    }

    /// Waits until it has powered off: then all that it wrote is in the images.
    fn over(mut self) {
        while !matches!(self.qemu.try_wait(), Ok(Some(_))) {
            assert!(
                Instant::now() < self.until,
                "the outer machine does not power off"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The lines up to one that begins with these words, and that one.
    fn until(&mut self, words: &str) -> (Vec<String>, String) {
        let mut before = Vec::new();
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|why| {
                panic!(
                    "waiting for `{words}`: {why}; the outer machine said:\n{}",
                    self.all.join("\n")
                )
            });
            self.all.push(line.clone());
            if line.starts_with(words) {
                return (before, line);
            }
            before.push(line);
        }
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
