//! The functions of a kernel module's object file. Pure.

use object::{
    Endianness,
    elf::{FileHeader64, STT_FUNC},
    read::elf::{FileHeader, Sym},
};

/// Its functions: section, offset in it and name. Empty for anything that is no such file.
#[must_use]
pub fn functions(module: &[u8]) -> Vec<(String, u64, String)> {
    parse(module).unwrap_or_default()
}

fn parse(module: &[u8]) -> object::read::Result<Vec<(String, u64, String)>> {
    let header = FileHeader64::<Endianness>::parse(module)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, module)?;
    let symbols = sections.symbols(endian, module, object::elf::SHT_SYMTAB)?;
    let mut found = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        if symbol.st_type() != STT_FUNC {
            continue;
        }
        let Some(section) = symbols.symbol_section(endian, symbol, index)? else {
            continue;
        };
        let section = sections.section_name(endian, sections.section(section)?)?;
        let name = symbol.name(endian, symbols.strings())?;
        found.push((
            String::from_utf8_lossy(section).into_owned(),
            symbol.st_value(endian),
            String::from_utf8_lossy(name).into_owned(),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_has_no_functions() {
        assert!(functions(b"").is_empty());
        assert!(functions(&[0x7f, b'E', b'L', b'F', 2, 1]).is_empty());
    }

    #[test]
    fn an_object_files_functions_are_found_by_section() {
        let exe = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = functions(&exe);
        assert!(found.iter().any(|(section, offset, name)| {
            section == ".text" && *offset > 0 && name == "main"
        }));
    }
}
