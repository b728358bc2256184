//! A kernel build of one's own. It is identified by contents, and prepared from the very bytes that
//! identified it: what changes on the disk meanwhile is another build.

use super::{
    Kernel, bzimage, config, elf, finish, look,
    modules::{self, Collected},
    read,
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    files,
};
use std::path::{Path, PathBuf};

/// A build, read: its image, the modules that a scenario may need with what they depend on, and the
/// configurations that may be its own.
#[derive(Debug)]
pub struct LocalBuild {
    path: PathBuf,
    image: Vec<u8>,
    modules: Option<(PathBuf, Collected)>,
    configs: Vec<NearConfig>,
}

/// A configuration near the image, and whether its name bears the kernel's release.
#[derive(Debug)]
pub(super) struct NearConfig {
    pub named: bool,
    pub text: String,
}

impl LocalBuild {
    /// Reads a bzImage or a vmlinux, and the directory of its modules if there is one.
    ///
    /// # Errors
    /// When a file cannot be read, or the image is neither.
    pub fn read(image: &Path, modules: Option<&Path>) -> Result<LocalBuild> {
        let bytes = read(image).map_err(|e| {
            e.hint("name a bzImage or a vmlinux that you can read: kernel = { path = \"...\" }")
        })?;
        let using = |e: Error| e.while_(format!("using {} as a kernel", image.display()));
        let release = release(&bytes).map_err(using)?;
        // config-RELEASE beside the image, and .config at the root of its build tree:
        // vmlinux lies in it, arch/x86/boot/bzImage three levels below.
        let beside = image.parent().unwrap_or(Path::new("."));
        let mut near = Vec::new();
        if let Some(release) = &release {
            near.push(beside.join(format!("config-{release}")));
        }
        let up = beside.canonicalize().unwrap_or_else(|_| beside.to_owned());
        near.extend(up.ancestors().take(4).map(|dir| dir.join(".config")));
        let modules = modules
            .map(|dir| own_modules(dir, release.as_deref()))
            .map(|dir| some_modules(&dir).map(|collected| (dir, collected)))
            .transpose()
            .map_err(using)?;
        Ok(LocalBuild {
            path: image.to_owned(),
            image: bytes,
            modules,
            configs: near_configs(&near, release.as_deref()),
        })
    }

    /// Its identity, by contents alone: not by a path, a size or a time. Equal keys give equal kernels.
    #[must_use]
    pub fn key(&self) -> Sha256 {
        let modules = self.modules.as_ref().map(|(_, found)| &found.set);
        let configs = self.configs.iter();
        let configs: Vec<(bool, Sha256)> = configs
            .map(|config| (config.named, Sha256::of(config.text.as_bytes())))
            .collect();
        Sha256::of_value(&(Sha256::of(&self.image), modules, configs))
    }

    /// Prepares it below `out`.
    ///
    /// # Errors
    /// When the image is no x86-64 kernel from 5.4 on (says what it is instead), a vmlinux cannot be
    /// booted, or the modules belong to another kernel.
    pub fn prepare(&self, out: &Path) -> Result<Kernel> {
        let using = |e: Error| e.while_(format!("using {} as a kernel", self.path.display()));
        let found = look(&self.image).map_err(using)?;
        let modules = (self.modules.as_ref()).map(|(dir, found)| (dir.as_path(), found));
        finish(found, modules, &self.configs, out).map_err(using)
    }
}

/// uname -r of an image, without unpacking it where its header tells.
fn release(image: &[u8]) -> Result<Option<String>> {
    let told = if bzimage::is_bzimage(image) {
        bzimage::parse(image)?.release()
    } else if image.starts_with(b"\x7fELF") {
        elf::look(image)?.release
    } else {
        None
    };
    match told {
        Some(release) => Ok(Some(release)),
        None => look(image).map(|found| found.release),
    }
}

/// The modules in a directory, which holds some: an empty one is a slip, and the kernel would be short of
/// all that it has as modules.
fn some_modules(dir: &Path) -> Result<Collected> {
    if modules::are_in(dir)? {
        return modules::collect(dir, &modules::candidates());
    }
    Err(Error::input(format!(
        "no kernel modules are in or below {}",
        dir.display()
    ))
    .hint(
        "give the directory that `make modules_install INSTALL_MOD_PATH=dir` wrote, or omit \
             modules=",
    ))
}

/// The release's own directory below one that may hold several kernels' modules: /lib/modules, or
/// what `make modules_install INSTALL_MOD_PATH=` wrote.
pub(super) fn own_modules(dir: &Path, release: Option<&str>) -> PathBuf {
    let below = ["", "lib/modules", "usr/lib/modules"];
    release
        .into_iter()
        .flat_map(|release| below.map(|lib| dir.join(lib).join(release)))
        .find(|own| own.is_dir())
        .unwrap_or_else(|| dir.to_owned())
}

/// Those of the files that are configurations, in order.
pub(super) fn near_configs(near: &[PathBuf], release: Option<&str>) -> Vec<NearConfig> {
    near.iter()
        .filter(|path| path.is_file())
        .filter_map(|path| {
            let text = files::read_text(path, files::TEXT).ok()?;
            config::heading_version(&text)?;
            let named = release.is_some_and(|release| path.to_string_lossy().contains(release));
            Some(NearConfig { named, text })
        })
        .collect()
}
