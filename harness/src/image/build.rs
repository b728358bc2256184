//! What is built out of the workspace to be the same everywhere, all of it by one way: for every x86-64,
//! with no path of this host in its bytes, from the workspace's own lock.
//!
//! A [`Product`] says what differs; [`fetch`] gets all their crates, [`Build`] makes one, and cargo
//! itself says where it put it.

use crate::error::{Error, Result};
use serde::Deserialize;
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The only target.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The profile, in the workspace's Cargo.toml, of what guests run.
pub const GUEST: &str = "guest";

/// That of the program which carries everything.
pub const DIST: &str = "dist";

/// Cargo splits `CARGO_ENCODED_RUSTFLAGS` here, so that paths may hold spaces.
const SEPARATOR: &str = "\x1f";

/// Something that is built out of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its package.
    pub package: &'static str,
    /// Name of the target whose file is wanted, as cargo prints it.
    pub artifact: &'static str,
    /// Cargo's options that select the target: `--bin NAME`, `--lib`.
    pub select: &'static [&'static str],
    /// Its profile in the workspace's Cargo.toml.
    pub profile: &'static str,
    /// rustc's `-C` options for it and all its crates.
    pub codegen: &'static [&'static str],
    /// rustc's arguments for the last step alone: linker and libraries.
    pub link: Vec<String>,
    /// Variables for the build scripts of its crates: which C compiler.
    pub variables: Vec<(&'static str, OsString)>,
}

/// Where and how to build.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// The workspace.
    pub workspace: &'a Path,
    /// Where to put everything; without one, where the user's cargo does.
    pub target_dir: Option<&'a Path>,
    /// Use what cargo has downloaded already, and nothing else.
    pub offline: bool,
}

/// The command that downloads the crates of the whole workspace, of this target. Nothing is
/// downloaded that is there already.
#[must_use]
pub fn fetch(workspace: &Path, offline: bool) -> Command {
    let mut command = cargo(workspace);
    command.args(["fetch", "--quiet", "--locked", "--target", TARGET]);
    if offline {
        command.arg("--offline");
    }
    command
}

impl Build<'_> {
    /// The command that builds a product. On its standard output it says what it made, for
    /// [`artifact`]. It looks at where crates are ([`registries`]): when the build adds a place, it
    /// is to be done again.
    ///
    /// # Errors
    /// When a path is not UTF-8.
    pub fn command(&self, product: &Product) -> Result<Command> {
        let flags = compiler_flags(product.codegen, self.workspace, &cargo_home())?;
        let mut command = cargo(self.workspace);
        command
            .args(["rustc", "--locked", "--package", product.package])
            .args(product.select)
            .args(["--profile", product.profile, "--target", TARGET])
            .arg("--message-format=json-render-diagnostics");
        if let Some(dir) = self.target_dir {
            command.arg("--target-dir").arg(dir);
        }
        if self.offline {
            command.arg("--offline");
        }
        command
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR))
            .envs(product.variables.iter().map(|(name, value)| (name, value)))
            .arg("--")
            .args(&product.link)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Ok(command)
    }
}

/// The file of a product, out of what cargo printed while it built it.
///
/// # Errors
/// When cargo did not name one.
pub fn artifact(product: &Product, messages: &[u8]) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct CargoMessage {
        reason: String,
        target: Option<Target>,
        executable: Option<PathBuf>,
        #[serde(default)]
        filenames: Vec<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let lines = messages.split(|byte| *byte == b'\n');
    let mut made = lines
        .filter_map(|line| serde_json::from_slice::<CargoMessage>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| (message.target.as_ref()).is_some_and(|t| t.name == product.artifact));
    let shared = |files: Vec<PathBuf>| {
        files
            .into_iter()
            .find(|f| f.extension().is_some_and(|e| e == "so"))
    };
    made.next_back()
        .and_then(|message| message.executable.or_else(|| shared(message.filenames)))
        .ok_or_else(|| {
            Error::internal(format!(
                "cargo built {}, but did not say where {} is",
                product.package, product.artifact
            ))
        })
}

/// Cargo, without what a user's environment would add to a product's bytes.
fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    for (key, _) in env::vars_os() {
        if reaches_the_bytes(&key.to_string_lossy()) {
            command.env_remove(&key);
        }
    }
    command
}

/// Whether cargo or rustc compile something else because of a variable of this name. Whoever builds Rust
/// code in the kernel may have RUSTC_BOOTSTRAP set, and crates look for it.
fn reaches_the_bytes(name: &str) -> bool {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    begins(&["CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_UNSTABLE_"]) && name != "CARGO_TARGET_DIR"
        || [
            "CARGO_BUILD_RUSTC",
            "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CFLAGS",
            "RUSTC",
            "RUSTC_BOOTSTRAP",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "TARGET_CFLAGS",
        ]
        .contains(&name)
}

/// For every crate: code for every x86-64, and no path of this host.
fn compiler_flags(codegen: &[&str], workspace: &Path, cargo_home: &Path) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    for option in ["target-cpu=x86-64"].iter().chain(codegen) {
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
    for registry in registries_in(cargo_home) {
        remap(&registry, "/crates")?;
    }
    Ok(flags)
}

/// Directories of unpacked crates, one for each registry or mirror that cargo has used.
#[must_use]
pub fn registries() -> Vec<PathBuf> {
    registries_in(&cargo_home())
}

fn registries_in(cargo_home: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(cargo_home.join("registry/src"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    found.sort();
    found
}

/// A path as an argument that is text.
pub(super) fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::input(format!("the path {} is not UTF-8", path.display()))
            .hint("use a directory with a UTF-8 name")
    })
}

/// Cargo's own directory.
pub(super) fn cargo_home() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from(".cargo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCT: Product = Product {
        package: "p",
        artifact: "diorama-agent",
        select: &["--bin", "diorama-agent"],
        profile: GUEST,
        codegen: &["relocation-model=static"],
        link: Vec::new(),
        variables: Vec::new(),
    };

    #[test]
    fn the_name_of_a_registry_does_not_reach_the_agent() {
        let home = tempfile::tempdir().unwrap();
        let registry = home.path().join("registry/src/mirror.example-0123");
        fs::create_dir_all(&registry).unwrap();
        let flags = compiler_flags(&[], "/ws".as_ref(), home.path()).unwrap();
        let wanted = format!("--remap-path-prefix={}=/crates", registry.display());
        assert_eq!(flags.last(), Some(&wanted));
    }

    #[test]
    fn variables_that_change_what_is_compiled_stay_outside_and_others_do_not() {
        for name in [
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "CARGO_PROFILE_GUEST_LTO",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
        ] {
            assert!(reaches_the_bytes(name), "{name}");
        }
        for name in [
            "CARGO_TARGET_DIR",
            "CARGO_HOME",
            "RUSTUP_HOME",
            "RUSTC_WRAPPER",
            "PATH",
        ] {
            assert!(!reaches_the_bytes(name), "{name}");
        }
    }

    #[test]
    fn paths_with_spaces_stay_whole() {
        let build = Build {
            workspace: "/a b".as_ref(),
            target_dir: Some("/c d".as_ref()),
            offline: false,
        };
        let command = build.command(&PRODUCT).unwrap();
        assert!(command.get_args().any(|arg| arg == "/c d"));
        let (_, flags) = command
            .get_envs()
            .find(|(key, _)| *key == "CARGO_ENCODED_RUSTFLAGS")
            .unwrap();
        let flags: Vec<_> = flags.unwrap().to_str().unwrap().split(SEPARATOR).collect();
        assert!(flags.contains(&"--remap-path-prefix=/a b=/diorama"));
        assert!(flags.contains(&"relocation-model=static"));
    }

    #[test]
    fn nothing_is_resolved_anew_and_offline_means_cargo_too() {
        let build = |offline| Build {
            workspace: "/w".as_ref(),
            target_dir: None,
            offline,
        };
        for offline in [false, true] {
            for command in [
                fetch("/w".as_ref(), offline),
                build(offline).command(&PRODUCT).unwrap(),
            ] {
                let arguments: Vec<_> = command.get_args().collect();
                assert!(arguments.contains(&"--locked".as_ref()));
                assert_eq!(arguments.contains(&"--offline".as_ref()), offline);
                assert!(!arguments.contains(&"--target-dir".as_ref()));
            }
        }
    }

    /// Wherever the user's cargo puts things, it says so.
    #[test]
    fn cargo_says_where_a_product_is() {
        let message = |name: &str, executable: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"x","target":{{"name":"{name}","kind":["x"]}},"filenames":["{file}"],"executable":{executable}}}"#
            )
        };
        let agent = message(
            "diorama-agent",
            "\"/t/x/guest/diorama-agent\"",
            "/t/x/guest/diorama-agent",
        );
        let other = message("serde", "null", "/t/libserde.rlib");
        let text = format!(
            "{other}\n{agent}\nnot JSON\n{{\"reason\":\"build-finished\",\"success\":true}}\n"
        );
        let found = artifact(&PRODUCT, text.as_bytes()).unwrap();
        assert_eq!(found, Path::new("/t/x/guest/diorama-agent"));
        let plugin = Product {
            artifact: "diorama_plugin",
            ..PRODUCT
        };
        let text = message("diorama_plugin", "null", "/t/x/guest/libdiorama_plugin.so");
        let found = artifact(&plugin, text.as_bytes()).unwrap();
        assert_eq!(found, Path::new("/t/x/guest/libdiorama_plugin.so"));
        assert!(artifact(&PRODUCT, other.as_bytes()).is_err());
    }
}
