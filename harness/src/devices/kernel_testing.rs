//! A simulated kernel: what binding and unbinding do there is what the kernel does with real devices
//! (drivers/base/bus.c, drivers/pci/pci-driver.c, drivers/nvme/host).

use super::kernel::{Kernel, Node, Open};
use rustix::io::Errno;
use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

/// The kernel.
pub struct Simulated {
    pub root: PathBuf,
    pub state: Mutex<State>,
}

type Hook = Box<dyn FnMut(&str) + Send>;

/// How it behaves.
#[derive(Default)]
pub struct State {
    /// Names of nodes that somebody has opened for himself alone.
    pub busy: BTreeSet<String>,
    /// Paths below the root that this user may not open or write.
    pub denied: BTreeSet<String>,
    /// Everything written: path and text.
    pub writes: Vec<String>,
    /// How many more writes succeed before none does any more.
    pub writes_left: Option<usize>,
    /// How many probes are without effect.
    pub deaf_probes: usize,
    /// What vfio-pci answers when it is to have a device.
    pub vfio_refuses: Option<Errno>,
    /// Called before each write.
    pub before_write: Option<Hook>,
    /// Time that was waited.
    pub waited: Duration,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulated")
    }
}

impl Simulated {
    fn below(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap();
        below.to_string_lossy().into_owned()
    }

    fn may(&self, path: &Path) -> io::Result<()> {
        if self
            .state
            .lock()
            .unwrap()
            .denied
            .contains(&self.below(path))
        {
            return Err(Errno::ACCESS.into());
        }
        fs::symlink_metadata(path).map(drop)
    }

    fn device(&self, address: &str) -> PathBuf {
        self.root.join("sys/bus/pci/devices").join(address)
    }

    /// What a driver brings into sysfs goes when it leaves the device, and comes back with it.
    fn move_namespaces(&self, address: &str, hide: bool) {
        let (shown, hidden) = (self.device(address).join("nvme"), self.root.join("hidden"));
        let kept = hidden.join(address);
        let (from, to) = if hide {
            (&shown, &kept)
        } else {
            (&kept, &shown)
        };
        let Ok(controllers) = fs::read_dir(from) else {
            return;
        };
        let names: Vec<_> = controllers.map(|e| e.unwrap().file_name()).collect();
        fs::rename(from, to).unwrap();
        for name in names {
            let name = format!("{}n1", name.to_string_lossy());
            let block = self.root.join("sys/block").join(&name);
            let kept = hidden.join(&name);
            let (from, to) = if hide { (block, kept) } else { (kept, block) };
            fs::rename(from, to).unwrap();
        }
    }

    fn unbind(&self, address: &str) -> io::Result<()> {
        let link = self.device(address).join("driver");
        if !link.is_symlink() {
            return Err(Errno::NODEV.into());
        }
        let driver = fs::read_link(&link)?;
        fs::remove_file(&link)?;
        match driver.file_name().unwrap().to_str().unwrap() {
            "nvme" => self.move_namespaces(address, true),
            "vfio-pci" => fs::remove_file(self.root.join("dev/vfio/14"))?,
            _ => {}
        }
        Ok(())
    }

    fn bind(&self, address: &str, driver: &str) -> io::Result<()> {
        let refuses = self.state.lock().unwrap().vfio_refuses;
        match (driver, refuses) {
            ("vfio-pci", Some(refuses)) => return Err(refuses.into()),
            ("vfio-pci", None) => fs::write(self.root.join("dev/vfio/14"), "")?,
            ("nvme", _) => self.move_namespaces(address, false),
            _ => {}
        }
        symlink(
            format!("../../drivers/{driver}"),
            self.device(address).join("driver"),
        )
    }

    fn probe(&self, address: &str) -> io::Result<()> {
        if self.device(address).join("driver").is_symlink() {
            return Ok(());
        }
        let own = fs::read_to_string(self.device(address).join("driver_override"))?;
        let driver = match own.trim() {
            "(null)" | "" => "nvme",
            own => own,
        };
        let there = self.root.join("sys/bus/pci/drivers").join(driver).exists();
        let deaf = {
            let mut state = self.state.lock().unwrap();
            let deaf = state.deaf_probes > 0;
            state.deaf_probes = state.deaf_probes.saturating_sub(1);
            deaf
        };
        if there && !deaf {
            return self.bind(address, driver);
        }
        Ok(())
    }
}

impl Kernel for Simulated {
    fn node(&self, path: &Path) -> io::Result<Node> {
        let path = fs::canonicalize(path)?;
        let name = path.file_name().unwrap().to_str().unwrap();
        let numbers = fs::read_dir(self.root.join("sys/dev/block"))?;
        for number in numbers {
            let number = number?;
            if fs::read_link(number.path())?.file_name().unwrap() == name {
                let text = number.file_name().into_string().unwrap();
                let (major, minor) = text.split_once(':').unwrap();
                return Ok(Node::Block {
                    major: major.parse().unwrap(),
                    minor: minor.parse().unwrap(),
                });
            }
        }
        Ok(Node::Other)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<File> {
        self.may(path)?;
        let name = path.file_name().unwrap().to_str().unwrap();
        if how != Open::Read && self.state.lock().unwrap().busy.contains(name) {
            return Err(Errno::BUSY.into());
        }
        let write = matches!(how, Open::Write | Open::ClaimWrite);
        File::options().read(true).write(write).open(path)
    }

    fn may_write(&self, path: &Path) -> io::Result<()> {
        self.may(path)
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let below = self.below(path);
        let hook = self.state.lock().unwrap().before_write.take();
        if let Some(mut hook) = hook {
            hook(&below);
            self.state.lock().unwrap().before_write = Some(hook);
        }
        {
            let mut state = self.state.lock().unwrap();
            if let Some(left) = &mut state.writes_left {
                *left = left.checked_sub(1).ok_or(Errno::IO)?;
            }
            state.writes.push(format!("{below} <- {}", text.trim()));
        }
        self.may(path.parent().unwrap())?;
        self.may_write(path)
            .or_else(|e| match path.file_name().unwrap().to_str() {
                // Attributes that the tree does not have as files.
                Some("unbind" | "bind" | "drivers_probe") => Ok(()),
                _ => Err(e),
            })?;
        match path.file_name().unwrap().to_str().unwrap() {
            "driver_override" => {
                let text = match text.trim() {
                    "" => "(null)",
                    text => text,
                };
                fs::write(path, format!("{text}\n"))
            }
            "unbind" => self.unbind(text),
            "bind" => {
                let driver = path.parent().unwrap().file_name().unwrap();
                self.bind(text, driver.to_str().unwrap())
            }
            "drivers_probe" => self.probe(text),
            other => panic!("nobody writes {other}"),
        }
    }

    fn pause(&self, time: Duration) {
        self.state.lock().unwrap().waited += time;
    }
}
