//! What a module means, whatever its symbols are called: for tests, those with real kernels too.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, elf};

/// What every relocation of a module means: where it is, what it does, and what it points at,
/// as a section's name or an undefined symbol's, with the offset.
pub fn meaning(module: &[u8]) -> Vec<(String, u64, String, String, i64)> {
    let file = object::File::parse(module).unwrap();
    let mut all = Vec::new();
    for section in file.sections() {
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let symbol = file.symbol_by_index(index).unwrap();
            let (target, value) = match symbol.section_index() {
                Some(index) => {
                    let section = file.section_by_index(index).unwrap();
                    (section.name().unwrap().to_owned(), symbol.address() as i64)
                }
                None => (format!("symbol {}", symbol.name().unwrap()), 0),
            };
            all.push((
                section.name().unwrap().to_owned(),
                offset,
                format!("{:?}", relocation.flags()),
                target,
                relocation.addend() + value,
            ));
        }
    }
    all.retain(|(section, ..)| !section.starts_with(".debug"));
    all
}

/// Asserts that stripping changed neither a byte of what is loaded nor a relocation.
pub fn assert_same_meaning(module: &[u8], small: &[u8]) {
    assert_eq!(meaning(module), meaning(small));
    let loaded = |bytes: &[u8]| -> Vec<(String, u64, Vec<u8>)> {
        let file = object::File::parse(bytes).unwrap();
        file.sections()
            .filter(|section| {
                let object::SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                    return false;
                };
                sh_flags.contains(elf::SHF_ALLOC)
            })
            .map(|section| {
                let name = section.name().unwrap().to_owned();
                (name, section.align(), section.data().unwrap().to_vec())
            })
            .collect()
    };
    assert_eq!(loaded(module), loaded(small));
}
