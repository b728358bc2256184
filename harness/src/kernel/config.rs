//! A kernel's configuration: embedded (CONFIG_IKCONFIG), or a `config-*` / `.config` file. Pure.

use super::decompress::{Compression, decompress};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How an option is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `=y`, or a value.
    Yes,
    /// `=m`
    Module,
    /// Not set, or not known to this kernel.
    No,
}

/// A kernel's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Config(BTreeMap<String, String>);

impl Config {
    /// Reads the format of `.config`; lines it does not know are comments.
    #[must_use]
    pub fn parse(text: &str) -> Config {
        let set = text.lines().filter_map(|line| {
            let (name, value) = line.trim_end().split_once('=')?;
            name.starts_with("CONFIG_")
                .then(|| (name.to_owned(), value.to_owned()))
        });
        Config(set.collect())
    }

    /// The embedded configuration of an uncompressed kernel image: a gzip stream between the
    /// marks of kernel/configs.c.
    #[must_use]
    pub fn embedded(vmlinux: &[u8]) -> Option<Config> {
        let start = memmem::find(vmlinux, b"IKCFG_ST\x1f\x8b")? + b"IKCFG_ST".len();
        let text = decompress(Compression::Gzip, &vmlinux[start..]).ok()?;
        Some(Config::parse(&String::from_utf8_lossy(&text)))
    }

    /// How an option (`CONFIG_XFS_FS`) is set.
    #[must_use]
    pub fn get(&self, option: &str) -> Setting {
        match self.0.get(option).map(String::as_str) {
            None | Some("n") => Setting::No,
            Some("m") => Setting::Module,
            Some(_) => Setting::Yes,
        }
    }

    /// An option's number (`CONFIG_NR_CPUS`), if it is one.
    #[must_use]
    pub fn number(&self, option: &str) -> Option<u64> {
        self.0.get(option)?.parse().ok()
    }

    /// Whether nothing was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `6.1.5` of the heading `# Linux/x86 6.1.5 Kernel Configuration`, or `None` for a file that is
/// no x86 kernel's configuration.
#[must_use]
pub fn heading_version(text: &str) -> Option<&str> {
    let line = text.lines().take(8).find_map(|line| {
        line.strip_prefix("# Linux/x86 ")
            .or_else(|| line.strip_prefix("# Linux/x86_64 "))
    })?;
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const TEXT: &str = "#\n# Linux/x86 6.1.5 Kernel Configuration\n#\nCONFIG_A=y\nCONFIG_B=m\n\
                        # CONFIG_C is not set\nCONFIG_S=\"\"\nCONFIG_N=64\n";

    #[test]
    fn options_are_known() {
        let config = Config::parse(TEXT);
        let all = ["A", "B", "C", "S", "NO"].map(|o| config.get(&format!("CONFIG_{o}")));
        use Setting::{Module, No, Yes};
        assert_eq!(all, [Yes, Module, No, Yes, No]);
        let number = |option| Config::parse(TEXT).number(option);
        assert_eq!((number("CONFIG_N"), number("CONFIG_A")), (Some(64), None));
        assert_eq!(heading_version(TEXT), Some("6.1.5"));
        assert_eq!(heading_version("hello"), None);
    }

    #[test]
    fn an_embedded_configuration_is_found() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(TEXT.as_bytes()).unwrap();
        let mut image = b"IIKCFG_STxx IIKCFG_ST".to_vec();
        image.extend(gz.finish().unwrap());
        image.extend(b"IKCFG_ED rest");
        assert_eq!(Config::embedded(&image), Some(Config::parse(TEXT)));
        assert_eq!(Config::embedded(b"nothing here"), None);
    }
}
