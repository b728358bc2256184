//! What is built to be the same bytes on any distribution: the agent, static; the plugin that counts what
//! guests execute; and the harness itself, static, to be given to others.
//!
//! The C library, its start files and libgcc come from locked Debian packages (libc6-dev and
//! libgcc-N-dev), and the linker is the one that comes with the Rust toolchain; the host's own
//! have no say.

use super::build::{DIST, GUEST, Product, text};
use crate::error::{Error, Result};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// The guest agent, which every guest runs as /init.
///
/// # Errors
/// When the sysroot is not complete, or its path is not UTF-8.
pub fn agent(sysroot_tree: &Path) -> Result<Product> {
    let sysroot = sysroot(sysroot_tree)?;
    Ok(Product {
        package: "diorama-guest-agent",
        artifact: "diorama-agent",
        select: &["--bin", "diorama-agent"],
        profile: GUEST,
        codegen: &["target-feature=+crt-static", "relocation-model=static"],
        link: linker_flags(&sysroot, sysroot_tree, "crt1.o")?,
        variables: Vec::new(),
    })
}

/// The harness, for any x86-64 Linux. `variables` say which compiler makes the C parts of its crates.
///
/// # Errors
/// When the sysroot is not complete, or its path is not UTF-8.
pub fn harness(sysroot_tree: &Path, variables: Vec<(&'static str, OsString)>) -> Result<Product> {
    let sysroot = sysroot(sysroot_tree)?;
    Ok(Product {
        package: "diorama",
        artifact: "diorama",
        select: &["--bin", "diorama"],
        profile: DIST,
        // It reads what strangers made: where it is loaded is left to chance.
        codegen: &["target-feature=+crt-static", "relocation-model=pic"],
        link: linker_flags(&sysroot, sysroot_tree, "rcrt1.o")?,
        variables,
    })
}

/// The plugin's file, beside the agent.
pub const PLUGIN: &str = "libdiorama_tcg_plugin.so";

/// The TCG plugin. It has no C library of its own: it uses that of the QEMU which loads it.
#[must_use]
pub fn plugin() -> Product {
    Product {
        package: "diorama-tcg-plugin",
        artifact: "diorama_tcg_plugin",
        select: &["--lib", "--crate-type", "cdylib", "--features", "plugin"],
        profile: GUEST,
        codegen: &["relocation-model=pic"],
        link: options(&OWN_LINKER),
        variables: Vec::new(),
    }
}

/// The toolchain's own linker, driven directly.
const OWN_LINKER: [&str; 4] = [
    "linker=rust-lld",
    "linker-flavor=ld.lld",
    "link-self-contained=no",
    "link-arg=--build-id=sha1",
];

/// Each as an argument of rustc's.
fn options(all: &[&str]) -> Vec<String> {
    let pairs = all
        .iter()
        .map(|option| ["-C".to_owned(), (*option).to_owned()]);
    pairs.flatten().collect()
}

/// Directories in an unpacked libc6-dev and libgcc-N-dev.
struct Sysroot {
    /// libc.a, crt1.o, rcrt1.o (for a program that is loaded anywhere), crti.o, crtn.o
    libc: PathBuf,
    /// libgcc.a, libgcc_eh.a
    libgcc: PathBuf,
}

fn sysroot(tree: &Path) -> Result<Sysroot> {
    let lacks = |what: &str| {
        Error::fetch(format!("the agent's sysroot {} lacks {what}", tree.display()))
            .hint("refresh images/lock.toml with `diorama lock`, or clear the cache with `diorama cache clear`")
    };
    let libc = tree.join("usr/lib/x86_64-linux-gnu");
    for file in ["libc.a", "crt1.o", "rcrt1.o", "crti.o", "crtn.o"] {
        if !libc.join(file).is_file() {
            return Err(lacks(file));
        }
    }
    let versions = tree.join("usr/lib/gcc/x86_64-linux-gnu");
    let mut found: Vec<PathBuf> = fs::read_dir(&versions)
        .map_err(|_| lacks("libgcc.a"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|dir| dir.join("libgcc.a").is_file() && dir.join("libgcc_eh.a").is_file())
        .collect();
    found.sort();
    let libgcc = found.pop().ok_or_else(|| lacks("libgcc_eh.a"))?;
    Ok(Sysroot { libc, libgcc })
}

/// For the program alone: the toolchain's own linker, driven directly, and the sysroot's files.
fn linker_flags(sysroot: &Sysroot, tree: &Path, start: &str) -> Result<Vec<String>> {
    let mut flags = options(&OWN_LINKER);
    flags.extend(options(&[
        "link-arg=-zmax-page-size=4096",
        // libm.a is a script that names its parts by absolute paths.
        &format!("link-arg=--sysroot={}", text(tree)?),
    ]));
    for dir in [&sysroot.libc, &sysroot.libgcc] {
        flags.extend(["-L".to_owned(), format!("native={}", text(dir)?)]);
    }
    // A linker driven directly is given no start files. As libraries they come before the C
    // library's archive, whose own start code would else collide with theirs; crti.o before
    // crtn.o frames .init.
    for file in [start, "crti.o", "crtn.o"] {
        flags.extend(["-l".to_owned(), format!("dylib:+verbatim={file}")]);
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_sysroot_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = agent(dir.path()).unwrap_err();
        let text = error
            .render()
            .replace(&*dir.path().to_string_lossy(), "/tree");
        insta::assert_snapshot!(text, @r"
        error: the agent's sysroot /tree lacks libc.a
          help: refresh images/lock.toml with `diorama lock`, or clear the cache with `diorama cache clear`
        ");
    }

    #[test]
    fn a_sysroot_with_spaces_in_its_path_stays_whole() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("a b");
        let libc = tree.join("usr/lib/x86_64-linux-gnu");
        let libgcc = tree.join("usr/lib/gcc/x86_64-linux-gnu/14");
        for dir in [&libc, &libgcc] {
            fs::create_dir_all(dir).unwrap();
        }
        for file in ["libc.a", "crt1.o", "rcrt1.o", "crti.o", "crtn.o"] {
            fs::write(libc.join(file), "").unwrap();
        }
        for file in ["libgcc.a", "libgcc_eh.a"] {
            fs::write(libgcc.join(file), "").unwrap();
        }
        let agent = agent(&tree).unwrap();
        let wanted = format!("native={}", libc.display());
        assert!(agent.link.contains(&wanted), "{:?}", agent.link);
    }
}
