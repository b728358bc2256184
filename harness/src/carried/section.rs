//! A section of one's own in an ELF executable. Pure.
//!
//! A section, and not bytes behind the file's end: strip(1) and objcopy(1) keep it, and readelf(1) shows
//! it. It is not loaded (no SHF_ALLOC), so that no address changes and a program that does not look for
//! it never pays for it. Layout: System V ABI, chapter 4.

use object::elf::SHT_PROGBITS;
use std::io;

/// The section's name.
pub const NAME: &str = ".diorama";

/// Sizes of an ELF64 header and of a section's header.
const EHDR: usize = 64;
const SHDR: usize = 64;
/// Offsets in the ELF64 header.
const E_SHOFF: usize = 0x28;
const E_SHENTSIZE: usize = 0x3a;
const E_SHNUM: usize = 0x3c;
const E_SHSTRNDX: usize = 0x3e;
/// Offsets in a section's header.
const SH_OFFSET: usize = 0x18;
const SH_SIZE: usize = 0x20;

/// An executable's section headers and their names.
struct Table {
    headers: Vec<u8>,
    /// Of the section that holds the names.
    names_index: usize,
    names: Vec<u8>,
}

impl Table {
    /// Read with `read(offset, length)`; none if the file is no ELF64 little-endian one, or has no
    /// sections.
    fn read(read: &dyn Fn(u64, usize) -> io::Result<Vec<u8>>) -> io::Result<Option<Table>> {
        let header = read(0, EHDR)?;
        let at = u64_at(&header, E_SHOFF);
        let (count, index) = (u16_at(&header, E_SHNUM), u16_at(&header, E_SHSTRNDX));
        let known = header.starts_with(b"\x7fELF\x02\x01")
            && usize::from(u16_at(&header, E_SHENTSIZE)) == SHDR;
        if !known || at == 0 || index >= count {
            return Ok(None);
        }
        let headers = read(at, SHDR * usize::from(count))?;
        let names_index = usize::from(index);
        let (at, len) = place(&headers[SHDR * names_index..][..SHDR]);
        // Names of sections: a few hundred bytes.
        let names = read(at, usize::try_from(len.min(1 << 20)).unwrap_or(0))?;
        Ok(Some(Table {
            headers,
            names_index,
            names,
        }))
    }

    fn find(&self) -> Option<(u64, u64)> {
        let mut headers = self.headers.chunks_exact(SHDR);
        let named = |header: &&[u8]| {
            let start = u32_at(header, 0) as usize;
            let name = self.names.get(start..).unwrap_or_default();
            name.split(|byte| *byte == 0).next() == Some(NAME.as_bytes())
        };
        headers.find(named).map(place)
    }
}

/// Where the section's content is in an executable: offset and length. `read(offset, length)` reads the
/// file.
///
/// # Errors
/// Those of `read`.
pub fn find(read: impl Fn(u64, usize) -> io::Result<Vec<u8>>) -> io::Result<Option<(u64, u64)>> {
    Ok(Table::read(&read)?.and_then(|table| table.find()))
}

/// The executable with the section added. Its bytes depend on these two alone.
///
/// # Errors
/// When it is no ELF64 executable with sections, or has the section already. Says why.
pub fn add(program: &[u8], content: &[u8]) -> Result<Vec<u8>, String> {
    let read = |at: u64, len: usize| {
        let bytes = usize::try_from(at).ok().and_then(|at| program.get(at..));
        let bytes = bytes.and_then(|bytes| bytes.get(..len));
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let table = Table::read(&read)
        .map_err(|e| format!("it cannot be read ({e})"))?
        .ok_or("it is no 64-bit ELF file with sections")?;
    if table.find().is_some() {
        return Err("it carries something already".to_owned());
    }
    let Table {
        mut headers,
        names_index,
        mut names,
    } = table;
    let mut out = program.to_vec();
    align(&mut out, 16);
    let content_at = out.len();
    out.extend(content);

    let name = names.len();
    names.extend(NAME.as_bytes());
    names.push(0);
    let names_at = out.len();
    out.extend(&names);
    let header = &mut headers[SHDR * names_index..][..SHDR];
    header[SH_OFFSET..][..8].copy_from_slice(&(names_at as u64).to_le_bytes());
    header[SH_SIZE..][..8].copy_from_slice(&(names.len() as u64).to_le_bytes());

    // sh_name, sh_type; sh_flags, sh_addr, sh_offset, sh_size; sh_link, sh_info; sh_addralign, sh_entsize
    headers.extend((name as u32).to_le_bytes());
    headers.extend(SHT_PROGBITS.0.to_le_bytes());
    for long in [0, 0, content_at as u64, content.len() as u64, 0, 16, 0] {
        headers.extend(long.to_le_bytes());
    }
    align(&mut out, 8);
    let headers_at = out.len() as u64;
    let count = u16::try_from(headers.len() / SHDR).map_err(|_| "it has too many sections")?;
    out.extend(headers);
    out[E_SHOFF..][..8].copy_from_slice(&headers_at.to_le_bytes());
    out[E_SHNUM..][..2].copy_from_slice(&count.to_le_bytes());
    Ok(out)
}

/// A section's offset and size.
fn place(header: &[u8]) -> (u64, u64) {
    (u64_at(header, SH_OFFSET), u64_at(header, SH_SIZE))
}

fn align(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::read::{Object as _, ObjectSection as _, elf::ElfFile64};

    fn own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    fn found(program: &[u8]) -> Option<&[u8]> {
        let read = |at, len| Ok(program[at as usize..][..len].to_vec());
        let (at, len) = find(read).unwrap()?;
        Some(&program[at as usize..][..len as usize])
    }

    /// Another reader of ELF files sees what this one wrote, and everything that was there before.
    #[test]
    fn a_section_is_added_and_nothing_else_changes() {
        let program = own();
        assert_eq!(found(&program), None);
        let with = add(&program, b"what it carries").unwrap();
        assert_eq!(found(&with), Some(&b"what it carries"[..]));
        let all = |bytes: &[u8]| {
            let elf = ElfFile64::<object::Endianness>::parse(bytes).unwrap();
            let sections = elf.sections();
            sections
                .map(|s| {
                    (
                        s.name().unwrap().to_owned(),
                        s.address(),
                        s.data().unwrap().to_vec(),
                    )
                })
                .filter(|(name, ..)| name != ".shstrtab")
                .collect::<Vec<_>>()
        };
        let (before, mut after) = (all(&program), all(&with));
        let (name, address, content) = after.pop().unwrap();
        assert_eq!((name.as_str(), address), (NAME, 0));
        assert_eq!(content, b"what it carries");
        assert!(before == after);
        assert_eq!(with, add(&program, b"what it carries").unwrap());
    }

    #[test]
    fn what_is_no_program_or_carries_something_is_refused() {
        let with = add(&own(), b"x").unwrap();
        assert_eq!(
            add(&with, b"y").unwrap_err(),
            "it carries something already"
        );
        let short = add(b"#!/bin/sh", b"y").unwrap_err();
        assert!(short.starts_with("it cannot be read"), "{short}");
        let text = add(&[b'x'; 200], b"y").unwrap_err();
        assert_eq!(text, "it is no 64-bit ELF file with sections");
    }
}
