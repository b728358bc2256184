//! What the command line changes about a scenario.

use super::{KernelRef, KernelSource};
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
    /// Only these file systems (`--filesystem`); empty means all.
    pub only_filesystems: Vec<String>,
    /// Only these workloads (`--workload`); empty means all.
    pub only_workloads: Vec<String>,
    /// Another number of repetitions.
    pub repetitions: Option<u32>,
    /// Words appended to the guest's kernel command line (`--cmdline`).
    pub cmdline: Vec<String>,
}

/// Reads `NAME=PATH[,modules=DIR]`, the value of `--kernel`.
///
/// # Errors
/// A sentence that names the text and the form expected.
pub fn parse_kernel(text: &str) -> Result<KernelRef, String> {
    let bad =
        || format!("`{text}` is not a local kernel; write NAME=PATH or NAME=PATH,modules=DIR");
    let (name, rest) = text.split_once('=').ok_or_else(bad)?;
    let (path, modules) = match rest.split_once(",modules=") {
        Some((path, modules)) => (path, Some(modules)),
        None => (rest, None),
    };
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
}
