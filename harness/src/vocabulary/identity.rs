//! What digits depend on, and the digests that name it (docs/identity.md).

use super::canonical::Kind;
use crate::digest::Sha256;
use diorama_wire::Job;
use serde::{Deserialize, Serialize};

/// Bump when the harness itself starts to treat equal inputs differently.
pub const LANE_VERSION: u32 = 2;

/// A machine without anything of the host's: all that its guest's digits depend on, but for the job. Its
/// digest is also the identity of its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineInputs {
    /// [`LANE_VERSION`] of the harness.
    pub lane: u32,
    /// The VMM: [`super::VmmRecord::digest`].
    pub vmm: Sha256,
    /// Its arguments: those that make the machine. `RAM` and `DRIVE` stand for what is behind a
    /// descriptor, `HOST` for a controller's PCI address.
    pub argv: Vec<String>,
    /// What the VMM takes for the wall clock: "still" where it never moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_clock: Option<String>,
    /// sha256 of the kernel's image.
    pub kernel: Sha256,
    /// sha256 of the initramfs: agent, modules, tools.
    pub initramfs: Sha256,
}

impl MachineInputs {
    /// Its identity.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Kind::Machine.digest(self)
    }
}

/// All that a cell's digits depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CellInputs<'a> {
    /// [`MachineInputs::digest`] of its machine.
    pub machine: Sha256,
    /// What the guest was asked for.
    pub job: &'a Job,
    /// What counts the cell's instructions; no part of a checkpoint, which it does not watch.
    pub plugin: Option<Sha256>,
}

impl CellInputs<'_> {
    /// Its identity: the input digest.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Kind::Cell.digest(self)
    }
}

/// Something below a directory, as its contents' digest sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum TreeItem {
    /// A directory.
    Directory {
        /// Where: below the directory that is digested, without a slash in front.
        path: String,
    },
    /// A regular file.
    File {
        /// Where.
        path: String,
        /// Whether anybody may execute it.
        executable: bool,
        /// Its contents.
        sha256: Sha256,
    },
    /// A symbolic link.
    Link {
        /// Where.
        path: String,
        /// To what.
        to: String,
    },
}

impl TreeItem {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            TreeItem::Directory { path }
            | TreeItem::File { path, .. }
            | TreeItem::Link { path, .. } => path,
        }
    }
}

/// What is hashed for a directory: its items, ordered by the bytes of their paths.
#[must_use]
pub fn tree_text(mut items: Vec<TreeItem>) -> String {
    items.sort_by(|a, b| a.path().cmp(b.path()));
    Kind::Tree.text(&items)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by hand with the lines of docs/identity.md.
    #[test]
    fn a_machine_has_the_digest_that_the_page_says() {
        let machine = MachineInputs {
            lane: 2,
            vmm: Sha256::of(b"vmm"),
            argv: vec!["-append".into(), "a \"b\"".into()],
            wall_clock: Some("still".into()),
            kernel: Sha256::of(b"kernel"),
            initramfs: Sha256::of(b"initramfs"),
        };
        insta::assert_snapshot!(Kind::Machine.text(&machine), @r#"
        diorama machine 1
        {"argv":["-append","a \"b\""],"initramfs":"9752c38a9065f7646ffaac3621d1fa2f7dbe726c7e12e511eac7fdb14d4e2a24","kernel":"6923dd1bc0460082c5d55a831908c24a282860b7f1cd6c2b79cf1bc8857c639c","lane":2,"vmm":"e0e572b54422e80a647c76e4596ac06732c7376c0ef18986c277597f48dbf237","wall_clock":"still"}
        "#);
        insta::assert_snapshot!(machine.digest(), @"a7e9c238c8029a114ce199810a27e87b1dc62077d618e27ffef083cb42b48e81");
        let drive = MachineInputs {
            wall_clock: None,
            ..machine
        };
        assert!(!Kind::Machine.text(&drive).contains("wall_clock"));
    }

    #[test]
    fn a_tree_is_told_by_its_paths_kinds_modes_contents_and_targets() {
        let file = |path: &str, executable, contents: &[u8]| TreeItem::File {
            path: path.into(),
            executable,
            sha256: Sha256::of(contents),
        };
        let dir = |path: &str| TreeItem::Directory { path: path.into() };
        let link = |path: &str, to: &str| TreeItem::Link {
            path: path.into(),
            to: to.into(),
        };
        let tree = vec![dir("d"), file("d/f", false, b""), link("l", "d/f")];
        let text = tree_text(tree.clone());
        insta::assert_snapshot!(text, @r#"
        diorama tree 1
        [{"is":"directory","path":"d"},{"executable":false,"is":"file","path":"d/f","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},{"is":"link","path":"l","to":"d/f"}]
        "#);
        let reversed = tree.iter().rev().cloned().collect();
        assert_eq!(tree_text(reversed), text);
        for (at, other) in [
            (0, dir("e")),
            (1, file("d/f", true, b"")),
            (1, file("d/f", false, b"x")),
            (2, link("l", "d")),
        ] {
            let mut altered = tree.clone();
            altered[at] = other;
            assert_ne!(tree_text(altered), text);
        }
    }
}
