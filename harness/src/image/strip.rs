//! Makes a kernel module cheap to load, without changing its code or data. Pure.
//!
//! While a module is loaded, ftrace looks every one of its functions up in its symbol table by a
//! linear search (`find_kallsyms_symbol`): 1.0 to 3.4 G instructions for xfs. Relocations against
//! the module's own symbols are therefore turned into relocations against those symbols' sections,
//! and the symbols dropped. What the kernel searches by name in a module are sections, which stay.

use object::{
    Endianness,
    build::{
        Id,
        elf::{Builder, SectionData, SymbolId},
    },
    elf,
};
use std::collections::{BTreeMap, BTreeSet};

/// Drops the symbols that loading does not need, debugging sections, and the signature at the end.
///
/// # Errors
/// A reason when the module holds something that this function does not know; the module is then
/// best loaded as it is.
pub fn strip(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut builder = Builder::read(module).map_err(|e| e.to_string())?;
    let header = &builder.header;
    if header.e_type != elf::ET_REL
        || header.e_machine != elf::EM_X86_64
        || builder.endian != Endianness::Little
    {
        return Err("it is not a relocatable x86-64 object".to_owned());
    }
    drop_debugging(&mut builder);
    let sections = section_symbols(&mut builder)?;

    // Where each of the module's own symbols lies: section symbol and offset in it.
    let own: BTreeMap<usize, (SymbolId, i64)> = builder
        .symbols
        .iter()
        .filter(|symbol| symbol.st_type() != elf::STT_SECTION)
        .filter_map(|symbol| {
            let section = sections.get(&symbol.section?.index())?;
            Some((symbol.id().index(), (*section, symbol.st_value as i64)))
        })
        .collect();

    let mut used = BTreeSet::new();
    for section in &mut builder.sections {
        if section.delete {
            continue;
        }
        match &mut section.data {
            SectionData::Relocation(relocations) => {
                if section.sh_type != elf::SHT_RELA {
                    return Err("it has relocations without addends".to_owned());
                }
                for relocation in relocations {
                    let Some(id) = relocation.symbol else {
                        continue;
                    };
                    if let Some((symbol, offset)) = own.get(&id.index()) {
                        relocation.symbol = Some(*symbol);
                        relocation.r_addend = relocation.r_addend.wrapping_add(*offset);
                    }
                    used.extend(relocation.symbol.map(|id| id.index()));
                }
            }
            SectionData::Data(_)
            | SectionData::UninitializedData(_)
            | SectionData::Note(_)
            | SectionData::SectionString
            | SectionData::Symbol
            | SectionData::String => {}
            other => return Err(format!("it has a section of an unexpected kind: {other:?}")),
        }
    }
    for symbol in &mut builder.symbols {
        symbol.delete |= !used.contains(&symbol.id().index());
    }
    let mut out = Vec::new();
    builder.write(&mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

/// Deletes .debug* and .comment, with their relocations and symbols.
fn drop_debugging(builder: &mut Builder<'_>) {
    let unwanted = |name: &[u8]| {
        name.starts_with(b".debug")
            || name.starts_with(b".rela.debug")
            || name == b".comment"
            || name == b".gnu_debuglink"
    };
    for section in &mut builder.sections {
        section.delete |= unwanted(&section.name);
    }
    builder.delete_orphan_symbols();
}

/// One section symbol for every section that holds symbols, made where the linker left none.
fn section_symbols(builder: &mut Builder<'_>) -> Result<BTreeMap<usize, SymbolId>, String> {
    let mut symbols = BTreeMap::new();
    let mut wanted = BTreeMap::new();
    for symbol in &builder.symbols {
        let Some(section) = symbol.section.filter(|_| !symbol.delete) else {
            continue;
        };
        if symbol.st_type() == elf::STT_SECTION {
            if symbol.st_value != 0 {
                return Err("a section symbol does not lie at its section's start".to_owned());
            }
            symbols.insert(section.index(), symbol.id());
        } else {
            wanted.insert(section.index(), section);
        }
    }
    for (index, section) in wanted {
        symbols.entry(index).or_insert_with(|| {
            let symbol = builder.symbols.add();
            symbol.section = Some(section);
            symbol.set_st_info(elf::STB_LOCAL, elf::STT_SECTION);
            symbol.id()
        });
    }
    Ok(symbols)
}

#[cfg(test)]
mod meaning;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use meaning::{assert_same_meaning, meaning};
    use object::{
        BinaryFormat, Object, ObjectSymbol, RelocationFlags, SymbolFlags, SymbolKind, SymbolScope,
        write::{self, Relocation, StandardSection, Symbol, SymbolSection},
    };

    /// A module in miniature: two functions that call each other and the kernel, a pointer to one
    /// of them in .data, and a signature at the end.
    pub(in crate::image) fn module(name: &str) -> Vec<u8> {
        let mut file = write::Object::new(
            BinaryFormat::Elf,
            object::Architecture::X86_64,
            Endianness::Little,
        );
        let text = file.section_id(StandardSection::Text);
        let data = file.section_id(StandardSection::Data);
        let info = file.add_section(
            vec![],
            b".modinfo".to_vec(),
            object::SectionKind::ReadOnlyData,
        );
        file.append_section_data(info, format!("name={name}\0").as_bytes(), 1);
        let debug = file.add_section(vec![], b".debug_info".to_vec(), object::SectionKind::Debug);
        file.append_section_data(debug, &[0; 32], 1);
        file.append_section_data(text, &[0x90; 64], 16);
        file.append_section_data(data, &[0; 16], 8);
        let mut symbol = |name: &[u8], value, section| {
            file.add_symbol(Symbol {
                name: name.to_vec(),
                value,
                size: 16,
                kind: SymbolKind::Text,
                scope: SymbolScope::Linkage,
                weak: false,
                section,
                flags: SymbolFlags::None,
            })
        };
        let first = symbol(b"first", 0, SymbolSection::Section(text));
        let second = symbol(b"second", 32, SymbolSection::Section(text));
        let printk = symbol(b"_printk", 0, SymbolSection::Undefined);
        symbol(b"unused", 0, SymbolSection::Undefined);
        let relocations = [
            (text, 1, second, -4, elf::R_X86_64_PLT32),
            (text, 33, first, -4, elf::R_X86_64_PLT32),
            (text, 41, printk, -4, elf::R_X86_64_PLT32),
            (data, 8, second, 5, elf::R_X86_64_64),
            (debug, 8, first, 0, elf::R_X86_64_64),
        ];
        for (section, offset, symbol, addend, r_type) in relocations {
            let relocation = Relocation {
                offset,
                symbol,
                addend,
                flags: RelocationFlags::Elf { r_type },
            };
            file.add_relocation(section, relocation).unwrap();
        }
        let mut bytes = file.write().unwrap();
        bytes.extend(b"signature~Module signature appended~\n");
        bytes
    }

    #[test]
    fn relocations_keep_their_meaning_and_functions_lose_their_names() {
        let module = module("x");
        let small = strip(&module).unwrap();
        assert!(!meaning(&module).is_empty());
        assert_same_meaning(&module, &small);
        let file = object::File::parse(&*small).unwrap();
        let names: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.kind() != SymbolKind::Section)
            .map(|symbol| symbol.name().unwrap())
            .collect();
        assert_eq!(names, ["_printk"]);
        assert!(file.section_by_name(".debug_info").is_none());
        assert!(!small.ends_with(b"~Module signature appended~\n"));
    }

    #[test]
    fn stripping_twice_changes_nothing_more() {
        let once = strip(&module("x")).unwrap();
        assert_eq!(strip(&once).unwrap(), once);
    }

    #[test]
    fn what_is_no_module_is_left_alone() {
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(strip(&me).is_err());
        assert!(strip(b"nonsense").is_err());
    }
}
