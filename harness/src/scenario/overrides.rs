//! What the command line changes about a scenario.

use super::{DeviceKind, KernelRef, KernelSource, Vary};
use crate::suggest::next_step;
use std::path::PathBuf;

/// What the command line changes about a scenario. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Local kernels, appended to the scenario's (`--kernel NAME=PATH[,modules=DIR]`).
    pub kernels: Vec<KernelRef>,
    /// Another baseline (`--baseline`). The scenario's claims about ratios, which were made about
    /// its own baseline, are dropped then.
    pub baseline: Option<String>,
    /// Only these kernels, and the baseline (`--only-kernel`); empty means all.
    pub only_kernels: Vec<String>,
    /// Only these variants, and the baseline (`--only-variant`); empty means all.
    pub only_variants: Vec<String>,
    /// More variants: every combination of these keys' values (`--vary`).
    pub vary: Vec<Vary>,
    /// Only these file systems (`--filesystem`); empty means all.
    pub only_filesystems: Vec<String>,
    /// Only these workloads (`--workload`); empty means all.
    pub only_workloads: Vec<String>,
    /// Another device (`--device`), with the clock that it allows.
    pub device: Option<ChosenDevice>,
    /// Another number of repetitions.
    pub repetitions: Option<u32>,
    /// Another number of blocks (`--blocks`), in the metal lane.
    pub blocks: Option<u32>,
    /// What decides the order of boots there (`--seed`).
    pub seed: Option<u64>,
    /// Another `runtime` for workloads that have one, and so long a `ramp_time` at most (`--runtime`).
    pub runtime: Option<String>,
    /// Words appended to the guest's kernel command line (`--cmdline`).
    pub cmdline: Vec<String>,
    /// What it says about fio's job files.
    pub fio: FioChoices,
}

/// What the command line says about fio's job files, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FioChoices {
    /// Values of `${NAME}` (`-D NAME=VALUE`); before the environment's.
    pub variables: Vec<(String, String)>,
    /// The only sections to run (`--section`); empty means all.
    pub sections: Vec<String>,
    /// Sizes and times are taken as they are (`--scale none`).
    pub literal: bool,
    /// Files are written before they are written to (`--overwrite`).
    pub overwrite: bool,
}

/// A device that the command line chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChosenDevice {
    /// The scenario's `[model]`.
    Model,
    /// The scenario's `[nvme]`.
    Nvme,
    /// A disk of the host's, with the scheduler and the queues of `[nvme]`.
    Disk(DiskFacts),
    /// A controller of the host's, with the scheduler of `[nvme]`.
    Vfio(ControllerFacts),
}

/// What the host says of its controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControllerFacts {
    /// Serial number.
    pub serial: String,
    /// Capacity in bytes, if the host could ask.
    pub size: Option<u64>,
    /// Logical block size in bytes, likewise.
    pub block_size: Option<u32>,
}

/// What the host says of its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFacts {
    /// Serial number.
    pub serial: String,
    /// Capacity in bytes.
    pub size: u64,
    /// Logical block size in bytes.
    pub block_size: u32,
}

impl ChosenDevice {
    /// Which one.
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        match self {
            ChosenDevice::Model => DeviceKind::Model,
            ChosenDevice::Nvme => DeviceKind::Nvme,
            ChosenDevice::Disk(_) => DeviceKind::Disk,
            ChosenDevice::Vfio(_) => DeviceKind::Vfio,
        }
    }
}

/// Reads `NAME=PATH[,modules=DIR]`, the value of `--kernel`.
///
/// What looks like an option and is none (`,moduels=DIR`) is refused: taken for a part of the path
/// it would give a kernel without modules, or a file that does not exist. A path that holds such
/// words can be given in a scenario.
///
/// # Errors
/// A sentence that names the text and the form expected.
pub fn parse_kernel(text: &str) -> Result<KernelRef, String> {
    let bad = || format!("`{text}` is not a local kernel; use NAME=PATH or NAME=PATH,modules=DIR");
    let (name, rest) = text.split_once('=').ok_or_else(bad)?;
    let (path, modules) = match rest.split_once(",modules=") {
        Some((path, modules)) => (path, Some(modules)),
        None => (rest, None),
    };
    for part in [path].into_iter().chain(modules) {
        if let Some(word) = unknown_option(part) {
            let next = next_step(word, "options", &["modules"]);
            return Err(format!("`{text}`: there is no option `{word}`; {next}"));
        }
    }
    if name.is_empty() || path.is_empty() || modules == Some("") {
        return Err(bad());
    }
    Ok(KernelRef {
        name: name.to_owned(),
        source: KernelSource::Local {
            path: PathBuf::from(path),
            modules: modules.map(PathBuf::from),
        },
    })
}

/// The first `,word=` in a path; the word may have blanks around it.
fn unknown_option(path: &str) -> Option<&str> {
    path.split(',').skip(1).find_map(|part| {
        let word = part.split_once('=')?.0.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        (!word.is_empty() && word.chars().all(plain)).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_kernels_are_read_with_and_without_modules() {
        assert_eq!(
            parse_kernel("mine=arch/x86/boot/bzImage,modules=out/lib"),
            Ok(KernelRef {
                name: "mine".into(),
                source: KernelSource::Local {
                    path: "arch/x86/boot/bzImage".into(),
                    modules: Some("out/lib".into())
                }
            })
        );
        assert!(matches!(
            parse_kernel("mine=a=b").map(|k| k.source),
            Ok(KernelSource::Local { path, modules: None }) if path.as_os_str() == "a=b"
        ));
        for text in ["mine", "=x", "mine=", "mine=x,modules="] {
            assert!(
                parse_kernel(text)
                    .unwrap_err()
                    .contains(&format!("`{text}`"))
            );
        }
    }

    #[test]
    fn an_option_that_does_not_exist_is_no_part_of_the_path() {
        for (text, word) in [
            ("mine=bzImage,moduels=dir", "moduels"),
            ("mine=bzImage, modules=dir", "modules"),
            ("mine=bzImage,Modules=dir", "Modules"),
            ("mine=bzImage,modules=dir,modules=other", "modules"),
            ("mine=bzImage,config=x", "config"),
            ("mine=bzImage,modules=dir,initrd=y", "initrd"),
        ] {
            let said = parse_kernel(text).unwrap_err();
            assert!(said.contains(&format!("no option `{word}`")), "{said}");
        }
        let said = parse_kernel("mine=bzImage,moduels=dir").unwrap_err();
        assert!(said.contains("did you mean `modules`?"), "{said}");
        for text in ["mine=a,b/bzImage", "mine=a=b", "mine=x,y z/w=1/bzImage"] {
            assert!(parse_kernel(text).is_ok(), "{text}");
        }
    }
}
