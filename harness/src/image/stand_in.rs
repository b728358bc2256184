//! Stand-ins for shared libraries: a program that is linked with a library for a feature that
//! nobody uses starts without it. Pure.
//!
//! fio is linked with the clients of storage services that a guest cannot reach, and bound at its
//! start (`BIND_NOW`), so every symbol must be there. A stand-in has them all, in the versions
//! asked for, and each is the same instruction, `ud2`: a call ends the program with SIGILL instead
//! of pretending to have worked. The program's own bytes stay as Debian built them.

use crate::{
    error::{Error, Result},
    shared_object::{Exported, shared_object},
};
use object::{
    Object, ObjectSymbol,
    elf::{self, FileHeader64},
    endian::Endianness,
    read::elf::{ElfFile64, FileHeader as _},
};
use std::collections::BTreeSet;

/// The functions that `program` imports and none of the `libraries` exports, by name and version.
///
/// # Errors
/// When one of the files is no 64-bit ELF file.
pub fn missing(program: &[u8], libraries: &[&[u8]]) -> Result<BTreeSet<Exported>> {
    let fail = |e| Error::input("reading an ELF file's symbols").because(e);
    let mut there = BTreeSet::new();
    for library in libraries {
        let file = ElfFile64::<Endianness>::parse(*library).map_err(fail)?;
        let exported = file.dynamic_symbols().filter(|s| !s.is_undefined());
        there.extend(exported.filter_map(|s| Some(s.name().ok()?.to_owned())));
    }
    let mut wanted = imports(program).map_err(fail)?;
    wanted.retain(|(name, _)| !there.contains(name));
    Ok(wanted)
}

fn imports(program: &[u8]) -> object::read::Result<BTreeSet<Exported>> {
    let header = FileHeader64::<Endianness>::parse(program)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, program)?;
    let symbols = sections.symbols(endian, program, elf::SHT_DYNSYM)?;
    let versions = sections.versions(endian, program)?;
    let mut out = BTreeSet::new();
    for (index, symbol) in symbols.enumerate() {
        use object::read::elf::Sym as _;
        if !symbol.is_undefined(endian) || symbol.st_bind() != elf::STB_GLOBAL {
            continue;
        }
        let name = String::from_utf8_lossy(symbol.name(endian, symbols.strings())?).into_owned();
        let version = match &versions {
            Some(table) => table
                .version(table.version_index(endian, index).index())?
                .map(|v| String::from_utf8_lossy(v.name()).into_owned()),
            None => None,
        };
        out.insert((name, version));
    }
    Ok(out)
}

/// `ud2`, which raises an invalid-opcode exception.
const TRAP: [u8; 2] = [0x0f, 0x0b];

/// A shared library that exports `symbols`, each of which traps.
#[must_use]
pub fn library(symbols: &BTreeSet<Exported>) -> Vec<u8> {
    shared_object(symbols, &TRAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_library_exports_is_not_missing() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps.lines().find_map(|line| {
            let path = &line[line.find('/')?..];
            path.contains("/libc.so").then_some(path)
        });
        let libc = std::fs::read(libc.expect("the C library is mapped")).unwrap();
        let has = |libraries: &[&[u8]], wanted: &str| {
            let missing = missing(&program, libraries).unwrap();
            missing
                .iter()
                .any(|(name, version)| name == wanted && version.is_some())
        };
        assert!(has(&[], "malloc"));
        assert!(!has(&[&libc], "malloc"));
    }
}
