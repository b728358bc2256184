//! The kernel's functions and their addresses, for whoever profiled it.

use diorama_wire::{LoadedModule, Symbols};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
};

/// Everything that tells functions from their addresses.
pub fn read() -> Symbols {
    Symbols {
        functions: functions(),
        modules: modules(Path::new("/sys/module")),
    }
}

/// The modules below a directory like /sys/module, in the order of their names. What is built in
/// has no sections there.
fn modules(dir: &Path) -> Vec<LoadedModule> {
    let mut found: Vec<LoadedModule> = entries(dir)
        .into_iter()
        .filter_map(|name| {
            let sections = dir.join(&name).join("sections");
            let sections: Vec<(String, u64)> = entries(&sections)
                .into_iter()
                .filter_map(|section| {
                    let text = fs::read_to_string(sections.join(&section)).ok()?;
                    let address = u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()?;
                    Some((section, address))
                })
                .collect();
            (!sections.is_empty()).then_some(LoadedModule { name, sections })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The lines of /proc/kallsyms that name functions (`t`, `T`, `w`, `W` in nm(1)'s words), modules'
/// included; empty where the kernel has no such file, or hides the addresses.
fn functions() -> String {
    let Ok(file) = File::open("/proc/kallsyms") else {
        return String::new();
    };
    let mut found = String::new();
    for line in BufReader::new(file).lines() {
        let Ok(line) = line else {
            return String::new();
        };
        if is_function(&line) {
            found.push_str(&line);
            found.push('\n');
        }
    }
    found
}

/// `ffffffff81000000 T _stext`, `ffffffffc0000000 t xfs_foo\t[xfs]`
fn is_function(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let address = words.next().unwrap_or_default();
    let kind = words.next().unwrap_or_default();
    address.bytes().any(|b| b != b'0') && matches!(kind, "t" | "T" | "w" | "W")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_modules_are_those_with_sections() {
        let dir = tempfile::tempdir().unwrap();
        let sections = dir.path().join("xfs/sections");
        fs::create_dir_all(&sections).unwrap();
        fs::create_dir_all(dir.path().join("kernel/parameters")).unwrap();
        fs::write(sections.join(".text"), "0xffffffffc0001000\n").unwrap();
        fs::write(sections.join(".data"), "0x10\n").unwrap();
        let found = modules(dir.path());
        let sections = vec![
            (".data".into(), 0x10),
            (".text".into(), 0xffff_ffff_c000_1000),
        ];
        assert_eq!(
            found,
            [LoadedModule {
                name: "xfs".into(),
                sections
            }]
        );
    }

    #[test]
    fn functions_with_an_address_are_kept() {
        assert!(is_function("ffffffff81000000 T _stext"));
        assert!(is_function("ffffffffc0000000 t xfs_foo\t[xfs]"));
        assert!(!is_function("ffffffff82000000 D jiffies"));
        assert!(!is_function("0000000000000000 T hidden"));
        assert!(!is_function(""));
    }
}
