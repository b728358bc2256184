//! The kernel's functions and their addresses, for whoever profiled it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

/// The lines of /proc/kallsyms that name functions (`t`, `T`, `w`, `W` in nm(1)'s words), modules'
/// included; empty where the kernel has no such file, or hides the addresses.
pub fn functions() -> String {
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
    fn functions_with_an_address_are_kept() {
        assert!(is_function("ffffffff81000000 T _stext"));
        assert!(is_function("ffffffffc0000000 t xfs_foo\t[xfs]"));
        assert!(!is_function("ffffffff82000000 D jiffies"));
        assert!(!is_function("0000000000000000 T hidden"));
        assert!(!is_function(""));
    }
}
