//! The uncompressed kernel image. Pure.

use crate::error::{Error, Result};
use memchr::memmem;
use object::{
    Endianness,
    elf::{EM_X86_64, ET_EXEC, ET_REL, FileHeader64, PT_NOTE},
    read::elf::{FileHeader, ProgramHeader},
};

type ElfHeader = FileHeader64<Endianness>;

/// `XEN_ELFNOTE_PHYS32_ENTRY` (include/xen/interface/elfnote.h): the 32-bit entry point of PVH.
const PHYS32_ENTRY: u32 = 18;

/// An x86-64 vmlinux, looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmlinux {
    /// Whether it can be booted as it is (CONFIG_PVH).
    pub pvh: bool,
    /// uname -r, from its banner.
    pub release: Option<String>,
    /// uname -v, from its banner.
    pub build: Option<String>,
    /// Bytes from the front that booting needs: everything up to the last segment's end.
    /// Behind it are section headers, symbols and debugging information.
    pub loaded: usize,
}

/// Looks into an ELF file.
///
/// # Errors
/// When it is not an executable x86-64 kernel; says what it is instead.
pub fn look(image: &[u8]) -> Result<Vmlinux> {
    let damaged = |e: object::read::Error| {
        Error::input("reading the headers of an ELF file")
            .because(e)
            .hint("copy or build the kernel again: the file is damaged")
    };
    if image.get(4) == Some(&1) {
        return Err(not("a 32-bit ELF file"));
    }
    let header = ElfHeader::parse(image).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    if header.e_machine(endian) != EM_X86_64 {
        return Err(not("an ELF file for another architecture than x86-64"));
    }
    let kind = header.e_type(endian);
    if kind == ET_REL {
        return Err(not("an ELF object file or a kernel module"));
    }
    let (release, build) = banner(image).unzip();
    if kind != ET_EXEC || release.is_none() {
        return Err(not("an ELF program without a Linux banner"));
    }
    let mut pvh = false;
    let mut loaded = 0;
    for segment in header.program_headers(endian, image).map_err(damaged)? {
        let (offset, size) = segment.file_range(endian);
        loaded = loaded.max(offset.saturating_add(size));
        if segment.p_type(endian) != PT_NOTE {
            continue;
        }
        if let Some(mut notes) = segment.notes(endian, image).map_err(damaged)? {
            while let Some(note) = notes.next().map_err(damaged)? {
                pvh |= note.name() == b"Xen" && note.n_type(endian).0 == PHYS32_ENTRY;
            }
        }
    }
    let loaded = usize::try_from(loaded).unwrap_or(usize::MAX);
    if loaded > image.len() {
        return Err(Error::input("the vmlinux ends before its last segment")
            .hint("copy the file again: it is truncated"));
    }
    Ok(Vmlinux {
        pvh,
        release,
        build: build.flatten(),
        loaded,
    })
}

/// The part of a vmlinux that booting needs, without its section headers: the same bytes with and
/// without debugging information.
#[must_use]
pub fn trim(image: &[u8], loaded: usize) -> Vec<u8> {
    let mut out = image[..loaded].to_vec();
    // e_shoff; e_shnum and e_shstrndx
    for range in [0x28..0x30, 0x3c..0x40] {
        if let Some(field) = out.get_mut(range) {
            field.fill(0);
        }
    }
    out
}

/// Release and build in `Linux version 6.1.5 (builder@host) (gcc ...) #1 SMP ...`: what uname -r and
/// uname -v say. The format string "Linux version %s" may come first, and from 6.2 on a banner without
/// the build's number, which is made before the number is known (init/version.c, version-timestamp.c).
fn banner(image: &[u8]) -> Option<(String, Option<String>)> {
    const START: &[u8] = b"Linux version ";
    let words = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut release = None;
    for at in memmem::find_iter(image, START) {
        let text = &image[at + START.len()..];
        if !text.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let Some(end) = text.iter().take(128).position(|b| *b == b' ') else {
            continue;
        };
        if release.is_none() {
            release = words(&text[..end]);
        }
        let line = text.iter().take(1024).position(|b| *b == b'\n' || *b == 0);
        let rest = &text[end..line.unwrap_or(end).max(end)];
        let build = memmem::rfind(rest, b") #").map(|at| &rest[at + 2..]);
        if let Some(build) = build
            .filter(|build| !build.starts_with(b"# "))
            .and_then(words)
        {
            return Some((release?, Some(build)));
        }
    }
    release.map(|release| (release, None))
}

fn not(what: &str) -> Error {
    Error::input(format!("this is {what}, not a kernel"))
        .hint("give arch/x86/boot/bzImage or vmlinux of an x86-64 build")
}

/// What a file that is not a kernel is, for the error message.
#[must_use]
pub fn describe(image: &[u8]) -> &'static str {
    let at = |offset: usize, magic: &[u8]| {
        image
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(magic))
    };
    if image.is_empty() {
        "an empty file"
    } else if at(0x38, b"ARM\x64") {
        "an arm64 kernel image"
    } else if at(0x38, b"RSC\x05") {
        "a RISC-V kernel image"
    } else if at(0, b"MZ") {
        "an EFI program (a unified kernel image, perhaps)"
    } else if at(0, b"!<arch>\ndebian") {
        "a Debian package"
    } else if at(0, b"\xed\xab\xee\xdb") {
        "an RPM package"
    } else if at(0, b"070701") || at(257, b"ustar") {
        "a cpio or tar archive"
    } else if at(0, b"\x27\x05\x19\x56") {
        "a U-Boot image"
    } else if super::decompress::sniff(image).is_some() {
        "a compressed file"
    } else if image
        .iter()
        .take(512)
        .all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
    {
        "a text file"
    } else {
        "neither a bzImage nor an ELF file"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_is_named() {
        assert_eq!(describe(b""), "an empty file");
        assert_eq!(describe(b"#!/bin/sh\n"), "a text file");
        assert_eq!(describe(b"!<arch>\ndebian-binary"), "a Debian package");
        assert_eq!(describe(b"\x1f\x8b\x08"), "a compressed file");
        assert_eq!(describe(&[0; 600]), "neither a bzImage nor an ELF file");
    }

    #[test]
    fn a_host_program_is_not_taken_for_a_kernel() {
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        insta::assert_snapshot!(look(&me).unwrap_err().render(), @r"
        error: this is an ELF program without a Linux banner, not a kernel
          help: give arch/x86/boot/bzImage or vmlinux of an x86-64 build
        ");
    }

    #[test]
    fn the_banner_is_told_from_its_format_string() {
        let image = b"xx Linux version %s (%s) yy Linux version 5.4.0-rc1 (me) ";
        assert_eq!(banner(image), Some(("5.4.0-rc1".into(), None)));
        let image = b"\0Linux version 6.1.0-56-amd64 (me@here) (gcc) # SMP PREEMPT_DYNAMIC Debian\n\0\
            Linux version 6.1.0-56-amd64 (me@here) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld \
            (GNU Binutils) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-09-01)\n\0Linux version 9";
        let build = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-09-01)";
        let expected = ("6.1.0-56-amd64".to_owned(), Some(build.to_owned()));
        assert_eq!(banner(image), Some(expected));
    }
}
