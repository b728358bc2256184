//! Writes ELF shared objects: a handful of exported functions, no imports, no relocations. Pure.

use object::elf;
use std::collections::{BTreeMap, BTreeSet};

/// A symbol and the version it is bound to, if any.
pub type Exported = (String, Option<String>);

const PAGE: usize = 4096;
const EHDR: usize = 64;
const PHDR: usize = 56;
/// Loaded: code and tables; the dynamic section. Then the dynamic section again, and the stack's.
const PHDRS: usize = 4;

/// A shared object that exports `symbols`, each of which is the same x86-64 `code`. Its bytes depend on nothing
/// else. The code must not depend on where it is loaded, and refers to nothing outside itself.
#[must_use]
pub fn shared_object(symbols: &BTreeSet<Exported>, code: &[u8]) -> Vec<u8> {
    let mut strings = Strings::default();
    // Index 1 is the object itself, and the version of what has none.
    let mut versions: BTreeMap<&str, u16> = BTreeMap::new();
    for version in symbols.iter().filter_map(|(_, v)| v.as_deref()) {
        versions.entry(version).or_default();
    }
    for (number, index) in (2..).zip(versions.values_mut()) {
        *index = number;
    }

    let entry = EHDR + PHDRS * PHDR;
    let mut out = vec![0; entry];
    out.extend(code);

    align(&mut out, 8);
    let dynsym = out.len();
    out.extend([0; 24]);
    let mut versym: Vec<u16> = vec![0];
    for (name, version) in symbols {
        out.extend(strings.add(name).to_le_bytes());
        out.push((elf::STB_GLOBAL.0 << 4) | elf::STT_FUNC.0);
        out.push(elf::STV_DEFAULT.0);
        out.extend(1u16.to_le_bytes()); // any section but SHN_UNDEF
        out.extend((entry as u64).to_le_bytes());
        out.extend((code.len() as u64).to_le_bytes());
        versym.push(version.as_deref().map_or(1, |v| versions[v]));
    }

    align(&mut out, 8);
    let hash = out.len();
    out.extend(hash_table(symbols.iter().map(|(name, _)| name.as_str())));

    let versym_at = out.len();
    out.extend(versym.iter().flat_map(|v| v.to_le_bytes()));

    align(&mut out, 8);
    let verdef = out.len();
    let mut all: Vec<(u16, &str)> = versions
        .iter()
        .map(|(name, index)| (*index, *name))
        .collect();
    all.insert(0, (1, BASE));
    for (i, (index, name)) in all.iter().enumerate() {
        let last = i + 1 == all.len();
        // vd_version, vd_flags, vd_ndx, vd_cnt, vd_hash, vd_aux, vd_next; vda_name, vda_next
        let flags: u16 = if *index == 1 { elf::VER_FLG_BASE.0 } else { 0 };
        for half in [1, flags, *index, 1] {
            out.extend(half.to_le_bytes());
        }
        let next: u32 = if last { 0 } else { 28 };
        for word in [elf::hash(name.as_bytes()), 20, next, strings.add(name), 0] {
            out.extend(word.to_le_bytes());
        }
    }

    let dynstr = out.len();
    out.extend(&strings.bytes);
    let text_len = out.len();

    // The loader may write to it.
    align(&mut out, PAGE);
    let dynamic = out.len();
    let entries = [
        (elf::DT_HASH, hash),
        (elf::DT_SYMTAB, dynsym),
        (elf::DT_STRTAB, dynstr),
        (elf::DT_STRSZ, strings.bytes.len()),
        (elf::DT_SYMENT, 24),
        (elf::DT_VERSYM, versym_at),
        (elf::DT_VERDEF, verdef),
        (elf::DT_VERDEFNUM, all.len()),
        (elf::DT_NULL, 0),
    ];
    for (tag, value) in entries {
        out.extend(tag.0.to_le_bytes());
        out.extend((value as u64).to_le_bytes());
    }
    let dynamic_len = out.len() - dynamic;

    let readable = elf::PF_R | elf::PF_X;
    let writable = elf::PF_R | elf::PF_W;
    let headers = [
        (elf::PT_LOAD, readable, 0, text_len, PAGE),
        (elf::PT_LOAD, writable, dynamic, dynamic_len, PAGE),
        (elf::PT_DYNAMIC, writable, dynamic, dynamic_len, 8),
        (elf::PT_GNU_STACK, writable, 0, 0, 16),
    ];
    let head = header(&headers);
    out[..head.len()].copy_from_slice(&head);
    out
}

/// Name of the version definition that means the object itself.
const BASE: &str = "stand-in";

/// Type, flags, offset (and address), size, alignment.
type Segment = (elf::ProgramType, elf::ProgramFlags, usize, usize, usize);

fn header(segments: &[Segment; PHDRS]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.extend(elf::ET_DYN.0.to_le_bytes());
    out.extend(elf::EM_X86_64.0.to_le_bytes());
    out.extend(1u32.to_le_bytes()); // e_version
    out.extend(0u64.to_le_bytes()); // e_entry
    out.extend((EHDR as u64).to_le_bytes()); // e_phoff
    out.extend(0u64.to_le_bytes()); // e_shoff: no sections
    out.extend(0u32.to_le_bytes()); // e_flags
    for half in [EHDR, PHDR, PHDRS, 0, 0, 0] {
        out.extend((half as u16).to_le_bytes());
    }
    for (kind, flags, offset, size, alignment) in segments {
        out.extend(kind.0.to_le_bytes());
        out.extend(flags.0.to_le_bytes());
        for long in [offset, offset, offset, size, size, alignment] {
            out.extend((*long as u64).to_le_bytes());
        }
    }
    out
}

/// The System V hash table (DT_HASH): one bucket a symbol, chains by symbol index.
fn hash_table<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let names: Vec<&str> = names.collect();
    let count = names.len() as u32 + 1;
    let mut buckets = vec![0u32; names.len().max(1)];
    let mut chains = vec![0u32; names.len() + 1];
    for (index, name) in (1u32..).zip(&names) {
        let bucket = elf::hash(name.as_bytes()) as usize % buckets.len();
        chains[index as usize] = buckets[bucket];
        buckets[bucket] = index;
    }
    [buckets.len() as u32, count]
        .iter()
        .chain(&buckets)
        .chain(&chains)
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

#[derive(Default)]
struct Strings {
    bytes: Vec<u8>,
}

impl Strings {
    fn add(&mut self, name: &str) -> u32 {
        if self.bytes.is_empty() {
            self.bytes.push(0);
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        at
    }
}

fn align(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{CStr, CString};
    use std::os::unix::ffi::OsStrExt as _;

    fn symbols() -> BTreeSet<Exported> {
        [
            ("old", None),
            ("a", Some("V_1")),
            ("b", Some("V_2")),
            ("c", Some("V_1")),
        ]
        .map(|(name, version)| (name.to_owned(), version.map(str::to_owned)))
        .into()
    }

    /// The C library's own loader is the judge.
    #[test]
    fn the_loader_takes_it_and_finds_every_symbol_in_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libx.so.1");
        std::fs::write(&path, shared_object(&symbols(), &[0x0f, 0x0b])).unwrap();
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a valid path; the library has no initialisers.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        // SAFETY: after a failure, a valid C string or null.
        let why = || unsafe { CStr::from_ptr(libc::dlerror()) }.to_owned();
        assert!(!handle.is_null(), "{:?}", why());
        let find = |name: &CStr, version: &CStr| {
            // SAFETY: an open handle and valid strings.
            !unsafe { libc::dlvsym(handle, name.as_ptr(), version.as_ptr()) }.is_null()
        };
        assert!(find(c"a", c"V_1") && find(c"b", c"V_2") && find(c"c", c"V_1"));
        assert!(!find(c"b", c"V_1"), "a symbol has one version");
        // SAFETY: an open handle and a valid string.
        assert!(!unsafe { libc::dlsym(handle, c"old".as_ptr()) }.is_null());
    }
}
