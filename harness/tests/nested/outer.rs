//! The outer machine: its disk with a userland, Diorama and a cache; its boot; what it said.

use crate::common::{Lab, Tree};
use diorama::{
    digest::Sha256,
    image::{cpio::Archive, loading},
    kernel::modules,
    store::{
        elf,
        hermetic::{Hermetic, QEMU},
    },
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::fs::{PermissionsExt as _, symlink},
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

/// With SVM, which TCG emulates, and what Debian's libraries may use.
const CPU: &str = "qemu64,+svm,+npt,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+rdrand";

/// RAM: a guest of the exact lane, its copy of the checkpoint and QEMU fit.
const MEMORY_MIB: u32 = 3072;

/// How long the whole of it may take.
const DEADLINE: Duration = Duration::from_secs(1800);

/// Something that is done inside, and how it must end.
pub struct Case {
    pub name: &'static str,
    /// `root` or `user`.
    pub user: &'static str,
    /// For a shell; in /tmp, with diorama's variables set.
    pub command: String,
}

impl Case {
    /// One that root does.
    pub fn root(name: &'static str, command: impl Into<String>) -> Case {
        Case {
            name,
            user: "root",
            command: command.into(),
        }
    }
}

/// What came of a case.
#[derive(Debug)]
pub struct Came {
    pub said: Vec<String>,
    pub exit: i32,
}

impl Came {
    /// Whether a line of it has these words.
    pub fn says(&self, words: &str) -> bool {
        self.said.iter().any(|line| line.contains(words))
    }
}

/// The machine, put together but not started.
pub struct Outer<'a> {
    lab: &'a Lab,
    /// Its root file system, in the making.
    root: PathBuf,
    /// Its NVMe controllers, by serial.
    drives: Vec<(&'static str, PathBuf)>,
}

/// Bytes of an NVMe drive.
const DRIVE: u64 = 256 << 20;

impl<'a> Outer<'a> {
    /// With this cache.
    pub fn with_cache(lab: &'a Lab, cache: &Path) -> Outer<'a> {
        let root = lab.results().join("outer");
        for dir in [
            "bin", "sbin", "dev", "proc", "sys", "tmp", "run", "root", "etc", "srv",
        ] {
            fs::create_dir_all(root.join(dir)).expect("a directory of the outer machine");
        }
        let outer = Outer {
            lab,
            root,
            drives: Vec::new(),
        };
        outer.userland();
        outer.diorama();
        copy(cache, &outer.root.join("srv/cache"));
        outer
    }

    /// Gives it an NVMe controller, blank or with ext4 on it.
    pub fn drive(&mut self, serial: &'static str, formatted: bool) {
        let path = self.lab.results().join(format!("{serial}.img"));
        let image = File::create(&path).expect("a drive");
        image.set_len(DRIVE).expect("its size");
        if formatted {
            self.mkfs(&["-q", "-F"], &path);
        }
        self.drives.push((serial, path));
    }

    fn mkfs(&self, words: &[&str], image: &Path) {
        let tools = self.lab.tree(Tree::Tools("guest-tools"));
        let mkfs =
            Hermetic::in_tree(&tools, "usr/sbin/mkfs.ext4", Sha256::of(b"")).expect("mkfs.ext4");
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
            "grep", "ls", "rm", "sync", "basename", "dirname",
        ];
        for applet in applets {
            symlink("busybox", self.root.join("bin").join(applet)).expect("an applet");
        }
        self.file("sbin/init", 0o755, include_bytes!("init.sh"));
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

    /// Boots it, has it do these things and returns what came of each.
    pub fn run(&self, cases: &[Case]) -> BTreeMap<&'static str, Came> {
        let mut script = String::new();
        for case in cases {
            let Case {
                name,
                user,
                command,
            } = case;
            script.push_str(&format!("case_ '{name}' {user} '{command}'\n"));
        }
        self.file("etc/cases.sh", 0o644, script.as_bytes());
        let (kernel, initramfs) = self.initramfs();
        let disk = self.disk();
        let mut said = self.boot(&kernel, &initramfs, &disk);
        cases
            .iter()
            .map(|case| {
                said.until(&format!("@case {}", case.name));
                let began = Instant::now();
                let (said, last) = said.until("@exit ");
                let exit = last
                    .trim_start_matches("@exit ")
                    .parse()
                    .expect("an exit code");
                println!(
                    "{:<28} exit {exit}, {:.0} s",
                    case.name,
                    began.elapsed().as_secs_f64()
                );
                for line in &said {
                    println!("  | {line}");
                }
                (case.name, Came { said, exit })
            })
            .collect()
    }

    /// The kernel's image and an initramfs that loads its modules and mounts the disk.
    fn initramfs(&self) -> (PathBuf, PathBuf) {
        let tree = self.lab.tree(Tree::Kernel(KERNEL));
        let image = fs::read_dir(tree.join("boot")).expect("the kernel's package");
        let image = image
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().contains("/vmlinuz-"))
            .expect("an image");
        let collected =
            modules::collect(&tree.join("usr/lib/modules"), &MODULES).expect("its modules");
        let (mut order, mut missing) = (Vec::new(), Vec::new());
        for name in MODULES {
            loading::require(name, &collected.set, &mut order, &mut missing);
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
        let mut qemu = Hermetic::in_tree(&tree, QEMU, Sha256::of(b""))
            .expect("QEMU")
            .command();
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
        .arg("console=ttyS0 quiet panic=-1 no_timer_check mitigations=off rootfstype=ramfs")
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
        for (serial, image) in &self.drives {
            let image = image.display();
            qemu.arg("-drive")
                .arg(format!("file={image},format=raw,if=none,id={serial}"))
                .arg("-device")
                .arg(format!("nvme,drive={serial},serial={serial}"));
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
