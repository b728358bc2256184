//! The guest's functions, from its own /proc/kallsyms.

/// A function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol {
    /// Its name, without the compiler's suffix for a clone (`.isra.0`, `.constprop.0`, `.cold`).
    pub name: String,
    /// The module it is in; none for the kernel's image.
    pub module: Option<String>,
}

/// All functions of a guest, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Sorted by address, each address once.
    all: Vec<(u64, Symbol)>,
}

impl Symbols {
    /// From lines as /proc/kallsyms has them: address in hex, type, name and, for a module's, the
    /// module in brackets. Other lines are left out.
    #[must_use]
    pub fn parse(kallsyms: &str) -> Symbols {
        let mut all: Vec<(u64, Symbol)> = kallsyms.lines().filter_map(parse).collect();
        // Of several names for one address the first is kept: the linker's own markers (`_stext`)
        // come before a function at the same place only at the very beginning.
        all.sort_by_key(|(address, _)| *address);
        all.dedup_by_key(|(address, _)| *address);
        Symbols { all }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Where the CPU enters the kernel by an exception that stops an instruction before its end
    /// (faults, in the manual's words: not breakpoints, not interrupts); before 5.8 without `asm_exc_`.
    #[must_use]
    pub fn fault_entries(&self) -> Vec<u64> {
        const FAULTS: [&str; 11] = [
            "divide_error",
            "bounds",
            "invalid_op",
            "device_not_available",
            "invalid_tss",
            "segment_not_present",
            "stack_segment",
            "general_protection",
            "page_fault",
            "coprocessor_error",
            "alignment_check",
        ];
        let is_fault = |symbol: &Symbol| {
            let name = symbol.name.strip_prefix("asm_exc_").unwrap_or(&symbol.name);
            symbol.module.is_none() && FAULTS.contains(&name)
        };
        let faults = self.all.iter().filter(|(_, symbol)| is_fault(symbol));
        faults.map(|(address, _)| *address).collect()
    }

    /// The place of the function that holds an address: the nearest below it.
    #[must_use]
    pub fn index(&self, address: u64) -> Option<usize> {
        let after = self.all.partition_point(|(start, _)| *start <= address);
        after.checked_sub(1)
    }

    /// The function at a place that [`Symbols::index`] gave.
    ///
    /// # Panics
    ///
    /// Where the place is another table's.
    #[must_use]
    pub fn get(&self, index: usize) -> &Symbol {
        &self.all[index].1
    }
}

fn parse(line: &str) -> Option<(u64, Symbol)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    words.next()?;
    let name = words.next()?;
    let module = words
        .next()
        .and_then(|m| m.strip_prefix('[')?.strip_suffix(']'))
        .map(str::to_owned);
    let name = name.split_once('.').map_or(name, |(name, _)| name);
    (!name.is_empty()).then(|| {
        let name = name.to_owned();
        (address, Symbol { name, module })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_their_entries_whatever_they_are_called() {
        let symbols = Symbols::parse(
            "ffffffff81000000 T asm_exc_page_fault\nffffffff81000040 T asm_exc_int3\n\
             ffffffff81000080 T general_protection\nffffffff810000c0 T asm_common_interrupt\n\
             ffffffffc0000000 t page_fault\t[mine]\n",
        );
        assert_eq!(
            symbols.fault_entries(),
            [0xffff_ffff_8100_0000, 0xffff_ffff_8100_0080]
        );
    }

    #[test]
    fn an_address_belongs_to_the_nearest_function_below_it() {
        let symbols = Symbols::parse(
            "ffffffff81000100 T b\nffffffff81000000 t a.isra.0\nnonsense\n\
             ffffffffc0000000 t null_queue_rq\t[null_blk]\n",
        );
        let at = |address| symbols.index(address).map(|index| symbols.get(index));
        let name = |address| at(address).map(|s| s.name.as_str());
        assert_eq!(name(0xffff_ffff_8000_0000), None);
        assert_eq!(name(0xffff_ffff_8100_0000), Some("a"));
        assert_eq!(name(0xffff_ffff_8100_00ff), Some("a"));
        assert_eq!(name(0xffff_ffff_8100_0100), Some("b"));
        let module = &at(0xffff_ffff_c000_0010).unwrap().module;
        assert_eq!(module.as_deref(), Some("null_blk"));
    }
}
