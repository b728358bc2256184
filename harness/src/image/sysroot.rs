//! The agent's build: static, and the same bytes on any distribution.
//!
//! The C library, its start files and libgcc come from locked Debian packages (libc6-dev and
//! libgcc-N-dev), and the linker is the one that comes with the Rust toolchain; the host's own
//! have no say.

use crate::error::{Error, Result};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The only target of the agent.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Profile of the agent in the workspace's Cargo.toml.
pub const PROFILE: &str = "guest";

/// Cargo splits `CARGO_ENCODED_RUSTFLAGS` here, so that paths may hold spaces.
const SEPARATOR: &str = "\x1f";

/// Directories in an unpacked libc6-dev and libgcc-N-dev.
struct Sysroot {
    /// libc.a, crt1.o, crti.o, crtn.o
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
    for file in ["libc.a", "crt1.o", "crti.o", "crtn.o"] {
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

/// The command that fetches the agent's crates; to be run before [`agent_build`] is called, which
/// looks at where they are.
#[must_use]
pub fn agent_fetch(workspace: &Path) -> Command {
    let mut command = cargo(workspace);
    command.args(["fetch", "--locked", "--target", TARGET]);
    command
}

/// The command that builds the agent in `workspace`; its program is then [`agent_path`].
///
/// # Errors
/// When the sysroot is not complete, or a path is not UTF-8.
pub fn agent_build(sysroot_tree: &Path, workspace: &Path, target_dir: &Path) -> Result<Command> {
    let sysroot = sysroot(sysroot_tree)?;
    let flags = compiler_flags(&AGENT_OPTIONS, workspace, &cargo_home())?;
    let mut command = cargo(workspace);
    command
        .args(["rustc", "--locked", "--package", "diorama-guest-agent"])
        .args(["--bin", "diorama-agent", "--profile", PROFILE])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR))
        .arg("--")
        .args(linker_flags(&sysroot, sysroot_tree)?);
    Ok(command)
}

/// The file that [`plugin_build`] leaves beside the agent.
pub const PLUGIN: &str = "libdiorama_tcg_plugin.so";

/// The command that builds the TCG plugin in `workspace`, beside the agent. It has no C library of
/// its own: it uses that of the QEMU which loads it.
///
/// # Errors
/// When a path is not UTF-8.
pub fn plugin_build(workspace: &Path, target_dir: &Path) -> Result<Command> {
    let options = ["target-cpu=x86-64", "relocation-model=pic"];
    let flags = compiler_flags(&options, workspace, &cargo_home())?;
    let mut command = cargo(workspace);
    command
        .args(["rustc", "--locked", "--package", "diorama-tcg-plugin"])
        .args(["--lib", "--crate-type", "cdylib", "--features", "plugin"])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR))
        .arg("--");
    for option in OWN_LINKER {
        command.args(["-C", option]);
    }
    Ok(command)
}

/// Where [`agent_build`] leaves the agent.
#[must_use]
pub fn agent_path(target_dir: &Path) -> PathBuf {
    target_dir.join(TARGET).join(PROFILE).join("diorama-agent")
}

/// Cargo, without what a user's environment would add to the agent's bytes.
fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    let exact = [
        "RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
    ];
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PROFILE_") || exact.contains(&&*name) {
            command.env_remove(&key);
        }
    }
    command
}

/// Static code for every x86-64.
const AGENT_OPTIONS: [&str; 3] = [
    "target-cpu=x86-64",
    "target-feature=+crt-static",
    "relocation-model=static",
];

/// The toolchain's own linker, driven directly.
const OWN_LINKER: [&str; 4] = [
    "linker=rust-lld",
    "linker-flavor=ld.lld",
    "link-self-contained=no",
    "link-arg=--build-id=sha1",
];

/// For every crate: these options, and no path of this host.
fn compiler_flags(options: &[&str], workspace: &Path, cargo_home: &Path) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    for option in options {
        flags.extend(["-C".to_owned(), (*option).to_owned()]);
    }
    let mut remap = |from: &Path, to: &str| -> Result<()> {
        flags.push(format!("--remap-path-prefix={}={to}", text(from)?));
        Ok(())
    };
    remap(workspace, "/diorama")?;
    remap(cargo_home, "/cargo")?;
    // The name of a registry's directory is a hash of its address: a mirror has another. The last
    // prefix that fits wins.
    let sources = cargo_home.join("registry/src");
    let mut registries: Vec<PathBuf> = fs::read_dir(&sources)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    registries.sort();
    for registry in registries {
        remap(&registry, "/crates")?;
    }
    Ok(flags)
}

/// For the program alone: the toolchain's own linker, driven directly, and the sysroot's files.
fn linker_flags(sysroot: &Sysroot, tree: &Path) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    let more = [
        "link-arg=-zmax-page-size=4096",
        // libm.a is a script that names its parts by absolute paths.
        &format!("link-arg=--sysroot={}", text(tree)?),
    ];
    for option in OWN_LINKER.into_iter().chain(more) {
        flags.extend(["-C".to_owned(), option.to_owned()]);
    }
    for dir in [&sysroot.libc, &sysroot.libgcc] {
        flags.extend(["-L".to_owned(), format!("native={}", text(dir)?)]);
    }
    // A linker driven directly is given no start files. As libraries they come before the C
    // library's archive, whose own start code would else collide with crt1.o's; crti.o before
    // crtn.o frames .init.
    for file in ["crt1.o", "crti.o", "crtn.o"] {
        flags.extend(["-l".to_owned(), format!("dylib:+verbatim={file}")]);
    }
    Ok(flags)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::input(format!("the path {} is not UTF-8", path.display()))
            .hint("use a directory with a UTF-8 name")
    })
}

fn cargo_home() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from(".cargo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_sysroot_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = agent_build(dir.path(), dir.path(), dir.path()).unwrap_err();
        let text = error
            .render()
            .replace(&*dir.path().to_string_lossy(), "/tree");
        insta::assert_snapshot!(text, @r"
        error: the agent's sysroot /tree lacks libc.a
          next: refresh images/lock.toml with `diorama lock`, or clear the cache with `diorama cache clear`
        ");
    }

    #[test]
    fn paths_with_spaces_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("a b");
        let libc = tree.join("usr/lib/x86_64-linux-gnu");
        let libgcc = tree.join("usr/lib/gcc/x86_64-linux-gnu/14");
        for dir in [&libc, &libgcc] {
            fs::create_dir_all(dir).unwrap();
        }
        for file in ["libc.a", "crt1.o", "crti.o", "crtn.o"] {
            fs::write(libc.join(file), "").unwrap();
        }
        for file in ["libgcc.a", "libgcc_eh.a"] {
            fs::write(libgcc.join(file), "").unwrap();
        }
        let command = agent_build(&tree, &tree, &tree).unwrap();
        let wanted = format!("native={}", libc.display());
        assert!(command.get_args().any(|arg| arg == &*wanted));
        let (_, flags) = command
            .get_envs()
            .find(|(key, _)| *key == "CARGO_ENCODED_RUSTFLAGS")
            .unwrap();
        let wanted = format!("--remap-path-prefix={}=/diorama", tree.display());
        let flags = flags.unwrap().to_str().unwrap();
        assert!(flags.split(SEPARATOR).any(|flag| flag == wanted));
    }

    #[test]
    fn the_name_of_a_registry_does_not_reach_the_agent() {
        let home = tempfile::tempdir().unwrap();
        let registry = home.path().join("registry/src/mirror.example-0123");
        fs::create_dir_all(&registry).unwrap();
        let flags = compiler_flags(&[], "/ws".as_ref(), home.path()).unwrap();
        let wanted = format!("--remap-path-prefix={}=/crates", registry.display());
        assert_eq!(flags.last(), Some(&wanted));
    }
}
