//! Control files, deb822(5): a Release file's fields and a Packages index (pure).

use crate::digest::Sha256;
use std::collections::BTreeMap;

/// Paragraphs of a control file, each as its fields in order; a field's continuation lines are in
/// its value. Lines that are neither are skipped: signed indexes are trusted to be well-formed.
pub fn paragraphs(text: &str) -> impl Iterator<Item = Vec<(&str, &str)>> {
    text.split("\n\n")
        .map(fields)
        .filter(|fields| !fields.is_empty())
}

fn fields(paragraph: &str) -> Vec<(&str, &str)> {
    let mut fields = Vec::new();
    let mut rest = paragraph;
    while !rest.is_empty() {
        // A field ends at the first newline that no blank or tab follows.
        let mut end = 0;
        loop {
            end += rest[end..].find('\n').unwrap_or(rest.len() - end);
            if !rest[end..].starts_with("\n ") && !rest[end..].starts_with("\n\t") {
                break;
            }
            end += 1;
        }
        if let Some((name, value)) = rest[..end].split_once(':')
            && !name.contains(char::is_whitespace)
        {
            fields.push((name, value.trim()));
        }
        rest = rest[end..].trim_start_matches('\n');
    }
    fields
}

/// What a Packages index says of a package, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// `Package`
    pub name: String,
    /// `Version`
    pub version: String,
    /// `Source`, without its version; the package's name when absent.
    pub source: String,
    /// `Filename`: below the archive's base.
    pub path: String,
    /// `Size` in bytes.
    pub size: u64,
    /// `SHA256`
    pub sha256: Sha256,
    /// `Pre-Depends` and `Depends`: names only, each group being alternatives.
    pub depends: Vec<Vec<String>>,
    /// `Provides`: names only.
    pub provides: Vec<String>,
}

/// Reads a Packages index; paragraphs that lack an obligatory field are left out, and so are the
/// packages that `wanted` refuses by name.
pub fn packages(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Package> {
    paragraphs(text)
        .filter(|fields| fields.iter().any(|(k, v)| *k == "Package" && wanted(v)))
        .filter_map(|fields| package(&fields))
        .collect()
}

fn package(fields: &[(&str, &str)]) -> Option<Package> {
    let fields: BTreeMap<_, _> = fields.iter().copied().collect();
    let name = fields.get("Package")?.to_string();
    let words = |text: &str| -> Vec<String> { text.split('|').filter_map(package_name).collect() };
    let list = |key: &str| fields.get(key).copied().unwrap_or_default().split(',');
    Some(Package {
        version: fields.get("Version")?.to_string(),
        source: fields
            .get("Source")
            .and_then(|s| package_name(s))
            .unwrap_or_else(|| name.clone()),
        path: fields.get("Filename")?.to_string(),
        size: fields.get("Size")?.parse().ok()?,
        sha256: fields.get("SHA256")?.parse().ok()?,
        depends: list("Pre-Depends")
            .chain(list("Depends"))
            .map(words)
            .filter(|group| !group.is_empty())
            .collect(),
        provides: list("Provides").filter_map(package_name).collect(),
        name,
    })
}

/// `libc6:any (>= 2.34) [amd64]` is `libc6`.
fn package_name(text: &str) -> Option<String> {
    let end = |c: char| c.is_whitespace() || matches!(c, '(' | '[' | ':');
    let name = text.trim().split(end).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
Package: qemu-x
Source: qemu (1:10.0)
Version: 1:10.0-1+b2
Depends: libc6 (>= 2.34), libfoo1 | libfoo2:any, seabios
Pre-Depends: init
Provides: emulator (= 1), vmm
Description: one
 two: three
Filename: pool/main/q/q.deb
Size: 12
SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

Package: broken
Version: 1

Package: other
Version: 2
Filename: pool/o.deb
Size: 1
SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
";

    #[test]
    fn a_packages_index_is_read() {
        let all = packages(INDEX, |_| true);
        assert_eq!(all.len(), 2, "the broken one is left out");
        let qemu = &all[0];
        assert_eq!(
            (&*qemu.source, &*qemu.version, &*qemu.path, qemu.size),
            ("qemu", "1:10.0-1+b2", "pool/main/q/q.deb", 12)
        );
        let groups: Vec<_> = qemu.depends.iter().map(|g| g.join("|")).collect();
        assert_eq!(groups, ["init", "libc6", "libfoo1|libfoo2", "seabios"]);
        assert_eq!(qemu.provides, ["emulator", "vmm"]);
        assert_eq!((&*all[1].source, all[1].depends.len()), ("other", 0));
    }

    #[test]
    fn continuation_lines_belong_to_their_field() {
        let fields = paragraphs("A: 1\n 2\n\t3\nB:\n x\n").next().unwrap();
        assert_eq!(fields, [("A", "1\n 2\n\t3"), ("B", "x")]);
    }
}
