//! Deterministic ustar (POSIX.1-1988, pax(1)): one way only to write a name, a size and a mode, and
//! no other is read. So equal contents are equal bytes, and a flipped bit in a header is an error
//! (pure).

use super::limits;
use crate::text;
use tar::{EntryType, Header};

/// Bytes of a header, and what contents are padded to.
pub const BLOCK: usize = 512;

/// Bytes at the end: two blocks of zeros.
pub const END: usize = 2 * BLOCK;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its bytes.
        size: u64,
        /// Whether it may be executed (0755 instead of 0644).
        executable: bool,
    },
    /// A directory (0755).
    Directory,
    /// A symbolic link, to this.
    Link(String),
}

/// An entry's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path: relative, without `.` and `..`, see [`check_path`].
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

impl Entry {
    /// A regular file that nobody executes.
    #[must_use]
    pub fn file(path: impl Into<String>, size: u64) -> Entry {
        Entry {
            path: path.into(),
            kind: Kind::File {
                size,
                executable: false,
            },
        }
    }

    /// Bytes of its contents.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            Kind::Directory | Kind::Link(_) => 0,
        }
    }

    /// The header's only form: owner 0, time 0, mode 0644 or 0755.
    ///
    /// # Errors
    /// When the path or the target does not fit, or is none that may be: why.
    pub fn encode(&self) -> Result<[u8; BLOCK], String> {
        check_path(&self.path)?;
        let mut header = Header::new_ustar();
        let (kind, mode) = match &self.kind {
            Kind::File { executable, .. } => {
                let mode = if *executable { 0o755 } else { 0o644 };
                (EntryType::Regular, mode)
            }
            Kind::Directory => (EntryType::Directory, 0o755),
            Kind::Link(_) => (EntryType::Symlink, 0o777),
        };
        header.set_entry_type(kind);
        let failed = |e: std::io::Error| format!("the path `{}`: {e}", text::cut(&self.path));
        header.set_path(&self.path).map_err(failed)?;
        if let Kind::Link(to) = &self.kind {
            check_link(&self.path, to)?;
            header.set_link_name_literal(to).map_err(failed)?;
        }
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.size());
        header.set_cksum();
        Ok(*header.as_bytes())
    }

    /// Reads a header of exactly that form; none where the end of the archive begins.
    ///
    /// # Errors
    /// When it is any other: why.
    pub fn decode(block: &[u8; BLOCK]) -> Result<Option<Entry>, String> {
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(block);
        let path = String::from_utf8(header.path_bytes().into_owned())
            .map_err(|_| "a path is not UTF-8".to_owned())?;
        let shown = text::cut(&path);
        let kind = match header.entry_type() {
            EntryType::Regular => Kind::File {
                size: (header.entry_size())
                    .map_err(|_| format!("the size of `{shown}` is not a number"))?,
                executable: header.mode().is_ok_and(|mode| mode == 0o755),
            },
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => {
                let to = header.link_name_bytes().unwrap_or_default().into_owned();
                let to = String::from_utf8(to);
                Kind::Link(to.map_err(|_| format!("where `{shown}` links to is not UTF-8"))?)
            }
            _ => {
                return Err(format!(
                    "`{shown}` is neither a file, a directory nor a symbolic link"
                ));
            }
        };
        let entry = Entry { path, kind };
        match entry.encode()? == *block {
            true => Ok(Some(entry)),
            false => Err(format!("the header of `{shown}` was altered")),
        }
    }
}

/// Bytes that follow contents of this size, up to the next block.
#[must_use]
pub fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// Whether something may be unpacked under this path, or named by it.
///
/// # Errors
/// Why not.
pub fn check_path(path: &str) -> Result<(), String> {
    let shown = || text::line(&text::cut(path));
    if path.is_empty() || path.len() > limits::PATH {
        return Err(format!("`{}` is no path that may be in an image", shown()));
    }
    if path.starts_with('/') {
        return Err(format!("`{}` is an absolute path", shown()));
    }
    if path.contains('\\') || text::line(path) != *path {
        return Err(format!(
            "`{}` has characters that no path in an image may have",
            shown()
        ));
    }
    match path
        .split('/')
        .find(|part| matches!(*part, "" | "." | ".."))
    {
        Some("..") => Err(format!("`{}` leaves its directory", shown())),
        Some(_) => Err(format!("`{}` is not the plain form of a path", shown())),
        None => Ok(()),
    }
}

/// Whether a link at `path` may point to `to`: relative, and nowhere outside.
fn check_link(path: &str, to: &str) -> Result<(), String> {
    let outside = || {
        Err(format!(
            "the link `{}` leads out of its tree, to `{}`",
            text::line(&text::cut(path)),
            text::line(&text::cut(to))
        ))
    };
    if to.is_empty() || to.len() > 100 || to.starts_with('/') || text::line(to) != *to {
        return outside();
    }
    let mut depth = path.split('/').count() - 1;
    for part in to.split('/') {
        match part {
            "" | "." => return outside(),
            ".." if depth == 0 => return outside(),
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.into(),
            kind,
        }
    }

    #[test]
    fn a_header_is_read_back_and_no_bit_of_it_may_differ() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        let all = [
            entry(
                "a/b.ko",
                Kind::File {
                    size: 12345,
                    executable: false,
                },
            ),
            entry(
                &long,
                Kind::File {
                    size: 0,
                    executable: true,
                },
            ),
            entry("usr/lib64", Kind::Directory),
            entry("usr/lib64/ld.so", Kind::Link("../lib/ld-2.so".into())),
        ];
        for entry in all {
            let block = entry.encode().unwrap();
            assert_eq!(Entry::decode(&block), Ok(Some(entry.clone())));
            for bit in 0..BLOCK * 8 {
                let mut flipped = block;
                flipped[bit / 8] ^= 1 << (bit % 8);
                let read = Entry::decode(&flipped);
                assert!(read.is_err(), "{entry:?}, bit {bit}: {read:?}");
            }
        }
        assert_eq!(Entry::decode(&[0; BLOCK]), Ok(None));
    }

    #[test]
    fn paths_that_leave_or_deceive_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "a\nb",
            "\u{1b}[2J",
            "\u{202e}gnp.exe",
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
            assert!(entry(path, Kind::Directory).encode().is_err(), "{path:?}");
        }
        assert!(check_path(&"a".repeat(300)).is_err());
        for path in ["a", "usr/lib/x86_64-linux-gnu/qemu", "a..b/..c", "größe"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn links_stay_in_their_tree() {
        for to in [
            "/etc/passwd",
            "../../x",
            "../..",
            "",
            ".",
            "a//b",
            "b/../../../x",
            "\u{1b}",
        ] {
            let link = entry("usr/x", Kind::Link(to.into()));
            assert!(link.encode().is_err(), "{to:?}");
        }
        assert!(
            entry("usr/x", Kind::Link("../lib/y".into()))
                .encode()
                .is_ok()
        );
    }

    #[test]
    fn devices_hard_links_and_extensions_are_no_entries() {
        for kind in [
            EntryType::Link,
            EntryType::Char,
            EntryType::Block,
            EntryType::Fifo,
            EntryType::XHeader,
            EntryType::GNULongName,
            EntryType::GNUSparse,
        ] {
            let mut header = Header::new_ustar();
            header.set_path("x").unwrap();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_cksum();
            let error = Entry::decode(header.as_bytes()).unwrap_err();
            assert!(error.contains("neither"), "{error}");
        }
    }
}
