//! What a kernel module says of itself (.modinfo, include/linux/moduleparam.h). Pure.

use crate::error::{Error, Result};
use object::{Object, ObjectSection};

/// A module's own words. Names are normalised to underscores, as in /proc/modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modinfo {
    /// `name=`
    pub name: Option<String>,
    /// `depends=`: modules that must be loaded before it.
    pub depends: Vec<String>,
    /// `softdep=pre: ...`: modules or aliases that it would like to be loaded before it.
    pub soft: Vec<String>,
    /// `alias=`
    pub aliases: Vec<String>,
    /// `parm=name:..`: names of its parameters.
    pub parameters: Vec<String>,
    /// The release of the kernel that it was built for (the first word of `vermagic=`).
    pub release: Option<String>,
}

/// A module's name as the kernel shows it.
#[must_use]
pub fn normalise(name: &str) -> String {
    name.replace('-', "_")
}

/// Reads the .modinfo section of a decompressed module.
///
/// # Errors
/// When the bytes are no ELF file or have no such section.
pub fn read(module: &[u8]) -> Result<Modinfo> {
    let file = object::File::parse(module)
        .map_err(|e| Error::input("reading a kernel module").because(e))?;
    let section = file
        .section_by_name(".modinfo")
        .ok_or_else(|| Error::input("reading a kernel module: it has no .modinfo section"))?;
    let data = section
        .data()
        .map_err(|e| Error::input("reading a module's .modinfo section").because(e))?;
    Ok(parse(data))
}

/// Reads NUL-separated `key=value` strings.
#[must_use]
pub fn parse(data: &[u8]) -> Modinfo {
    let mut info = Modinfo::default();
    for entry in data.split(|b| *b == 0) {
        let entry = String::from_utf8_lossy(entry);
        let Some((key, value)) = entry.split_once('=') else {
            continue;
        };
        match key {
            "name" => info.name = Some(normalise(value)),
            "depends" => info.depends.extend(
                value
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(normalise),
            ),
            "softdep" => info.soft.extend(pre_softdeps(value)),
            "parm" => {
                let name = value.split_once(':').map_or(value, |(name, _)| name);
                info.parameters.push(name.to_owned());
            }
            "alias" => info.aliases.push(value.to_owned()),
            "vermagic" => info.release = value.split_whitespace().next().map(str::to_owned),
            _ => {}
        }
    }
    info
}

/// The `pre:` half of `pre: a b post: c` (modprobe.d(5)).
fn pre_softdeps(value: &str) -> Vec<String> {
    let mut pre = false;
    let mut names = Vec::new();
    for word in value.split_whitespace() {
        match word {
            "pre:" => pre = true,
            "post:" => pre = false,
            name if pre => names.push(normalise(name)),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_names_normalised() {
        let info = parse(
            b"license=GPL\0alias=fs-xfs\0softdep=pre: crc32c post: x\0depends=lib-crc32c,b\0\
              name=xfs\0vermagic=5.10.0-46 SMP mod_unload \0",
        );
        assert_eq!(info.name.as_deref(), Some("xfs"));
        assert_eq!(info.depends, ["lib_crc32c", "b"]);
        assert_eq!(info.soft, ["crc32c"]);
        assert_eq!(info.aliases, ["fs-xfs"]);
        assert_eq!(info.release.as_deref(), Some("5.10.0-46"));
        assert!(parse(b"depends=\0").depends.is_empty());
    }
}
