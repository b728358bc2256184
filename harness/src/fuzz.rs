//! Fuzz targets: everything that reads what a stranger sends, each as a function of bytes that panics where
//! something is wrong. `fuzz/` runs them by libFuzzer; the test below, over the corpus that is kept there.

use crate::{
    bundle::{
        Container, Manifest, Unseen,
        oci::{self, OciManifest},
        ustar,
    },
    profile::{Symbols, flame::folded},
    run::Seen,
    vm,
};
use diorama_wire::{FromShell, Message, Progress, decode_frame, decode_shell, encode_frame};
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    fs::File,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::Path,
};

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name: a program of `fuzz/fuzz_targets` and a directory of `fuzz/corpus` each.
pub const TARGETS: [(&str, Target); 7] = [
    ("documents", documents),
    ("image", image),
    ("profile", profile),
    ("qmp", vm::fuzz::qmp),
    ("vhost_user", vm::fuzz::vhost_user),
    ("vsock", vm::fuzz::vsock),
    ("wire", wire),
];

/// The target of this name.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn of(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map_or_else(|| panic!("{name}: no such target"), |(_, target)| *target)
}

/// A whole image: opened, and all of its parts read if that can be.
///
/// # Panics
/// When there is no memory.
pub fn image(data: &[u8]) {
    let file = memfd_create("image", MemfdFlags::CLOEXEC).expect("a file in memory");
    let file = File::from(file);
    file.write_all_at(data, 0).expect("room");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Ok(container) = Container::open(Path::new(&path)) {
        let _ = container.verify(&Unseen);
    }
}

/// The documents of an image, which a digest would keep bytes that somebody made up from: its own manifest,
/// OCI's, the index, and headers of a tar. What is read has one form only.
pub fn documents(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        assert_eq!(manifest.to_bytes(), data);
    }
    if let Ok(manifest) = OciManifest::parse(data) {
        assert_eq!(manifest.to_bytes(), data);
    }
    let _ = oci::parse_index(data);
    for block in data.as_chunks().0 {
        if let Ok(Some(entry)) = ustar::Entry::decode(block) {
            assert_eq!(entry.encode().as_ref(), Ok(block));
        }
    }
}

/// A guest's frames and lines. What is understood can be said again.
pub fn wire(data: &[u8]) {
    if let Ok(Some((message, used))) = decode_frame::<Message>(data) {
        assert!(used <= data.len());
        let frame = encode_frame(&message).expect("a message that was a frame");
        let again = decode_frame::<Message>(&frame).expect("a frame");
        assert_eq!(again.map(|(_, used)| used), Some(frame.len()));
    }
    if let Ok(Some((_, used))) = decode_shell::<FromShell>(data) {
        assert!((1..=data.len()).contains(&used));
    }
    for line in String::from_utf8_lossy(data).lines() {
        let _ = Progress::parse(line);
    }
}

/// What the plugin wrote, and what a guest says of its kernel's functions: the same bytes, as lines.
pub fn profile(data: &[u8]) {
    let names = data.split(|byte| *byte == b'\n').take(64);
    let names: Vec<_> = names.map(String::from_utf8_lossy).collect();
    let symbols = Symbols::parse(&names.join("\n"));
    if let Ok(seen) = Seen::new(data, &symbols) {
        let _ = (seen.executed(), seen.faults(), folded(&seen.stacks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_target_has_a_program_and_takes_its_corpus() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let names = |of: &str| {
            let entries = fs::read_dir(fuzz.join(of)).expect("a directory");
            let stem = |path: &Path| path.file_stem().expect("a name").to_owned();
            let mut names: Vec<_> = entries
                .map(|e| stem(&e.expect("an entry").path()))
                .collect();
            names.sort();
            names
        };
        let targets = TARGETS.map(|(name, _)| name);
        assert_eq!(names("fuzz_targets"), targets);
        assert_eq!(names("corpus"), targets);
        for (name, target) in TARGETS {
            let corpus: Vec<_> = fs::read_dir(fuzz.join("corpus").join(name))
                .expect("a corpus")
                .map(|entry| entry.expect("an entry").path())
                .collect();
            assert!(!corpus.is_empty(), "{name}");
            for path in corpus {
                println!("{}", path.display());
                target(&fs::read(path).expect("an input"));
            }
            target(&[]);
        }
    }
}
