//! Trees of files as parts, and parts as trees.

use super::{
    read::Sink,
    write::{Contents, PartItems},
};
use crate::error::{Error, Result};
use std::{
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

/// Everything below a directory of the store's but its own manifest.
///
/// # Errors
/// When it cannot be read, or holds something that no part may have.
pub fn tree_items(root: &Path) -> Result<PartItems> {
    let mut items = PartItems::default();
    walk(root, "", &mut items)?;
    Ok(items)
}

fn walk(dir: &Path, prefix: &str, items: &mut PartItems) -> Result<()> {
    let listing = |e| Error::io("listing", dir, e);
    for entry in fs::read_dir(dir).map_err(listing)? {
        let entry = entry.map_err(listing)?;
        let name = entry.file_name();
        let path = entry.path();
        let name = (name.to_str())
            .ok_or_else(|| Error::host(format!("the name {} is not UTF-8", path.display())))?;
        if prefix.is_empty() && name == crate::store::MANIFEST {
            continue;
        }
        let meta = fs::symlink_metadata(&path).map_err(listing)?;
        let inside = format!("{prefix}{name}");
        if meta.is_dir() {
            items.directory(&inside);
            walk(&path, &format!("{inside}/"), items)?;
        } else if meta.is_symlink() {
            let to = fs::read_link(&path).map_err(|e| Error::io("reading", &path, e))?;
            items.link(&inside, &to.to_string_lossy());
        } else if meta.is_file() {
            let executable = meta.permissions().mode() & 0o111 != 0;
            items.file(&inside, executable, Contents::Path(path));
        } else {
            return Err(Error::host(format!("{} is not a file", path.display())));
        }
    }
    Ok(())
}

/// Writes a part's entries below a new directory.
#[derive(Debug)]
pub struct Below(pub PathBuf);

impl Sink for Below {
    fn directory(&mut self, path: &str) -> Result<()> {
        let path = self.0.join(path);
        fs::create_dir(&path).map_err(|e| Error::io("creating", &path, e))
    }

    fn link(&mut self, path: &str, to: &str) -> Result<()> {
        let path = self.0.join(path);
        symlink(to, &path).map_err(|e| Error::io("creating", &path, e))
    }

    fn file(&mut self, path: &str, size: u64, exec: bool, contents: &mut dyn Read) -> Result<()> {
        let path = self.0.join(path);
        let mut file = File::create_new(&path).map_err(|e| Error::io("creating", &path, e))?;
        let mut left = size;
        let mut buffer = vec![0; 1 << 17];
        while left > 0 {
            // What cannot be read is the image's fault: the caller finds out.
            let Ok(n @ 1..) = contents.read(&mut buffer) else {
                break;
            };
            io::Write::write_all(&mut file, &buffer[..n])
                .map_err(|e| Error::io("writing", &path, e))?;
            left -= n as u64;
        }
        let mode = if exec { 0o555 } else { 0o444 };
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(|e| Error::io("writing", &path, e))
    }
}

/// Keeps one file in memory.
#[derive(Debug)]
pub struct One {
    /// Its path.
    pub path: String,
    /// The most bytes that it may have.
    pub limit: u64,
    /// Its contents, once it came by.
    pub bytes: Option<Vec<u8>>,
}

impl Sink for One {
    fn directory(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn link(&mut self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    fn file(&mut self, path: &str, size: u64, _: bool, contents: &mut dyn Read) -> Result<()> {
        if path != self.path {
            return Ok(());
        }
        if size > self.limit {
            return Err(Error::fetch(format!(
                "`{path}` has {size} bytes; at most {} are allowed",
                self.limit
            )));
        }
        // As above; and no more is given than comes.
        let mut bytes = Vec::new();
        let _ = contents.read_to_end(&mut bytes);
        self.bytes = Some(bytes);
        Ok(())
    }
}
