//! Debian's binary packages, deb(5): an ar archive whose third member is a compressed tar.

use crate::error::{Error, Result};
use std::io::{self, Read};

/// The uncompressed data.tar of a package; `name` is for messages.
pub fn data_tar(deb: &[u8], name: &str) -> Result<Box<dyn Read>> {
    let bad = |why: &str| Error::fetch(format!("unpacking {name}: {why}"));
    let mut archive = ar::Archive::new(deb);
    while let Some(member) = archive.next_entry() {
        let mut member = member.map_err(|e| bad("not an ar archive").because(e))?;
        let id = String::from_utf8_lossy(member.header().identifier()).into_owned();
        let Some(compression) = id.trim_end_matches('/').strip_prefix("data.tar") else {
            continue;
        };
        let mut data = Vec::new();
        member
            .read_to_end(&mut data)
            .map_err(|e| bad("its data.tar is cut short").because(e))?;
        let data = io::Cursor::new(data);
        return Ok(match compression {
            "" => Box::new(data),
            ".gz" => Box::new(flate2::read::MultiGzDecoder::new(data)),
            ".xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(data)),
            ".zst" => Box::new(
                zstd::Decoder::new(data).map_err(|e| bad("its data.tar is not zstd").because(e))?,
            ),
            other => {
                return Err(bad(&format!(
                    "data.tar{other} is compressed in an unknown way"
                )));
            }
        });
    }
    Err(bad("it has no data.tar"))
}

/// A path inside a package as its components, with usr-merge applied (Debian's merged /usr: /bin,
/// /sbin and /lib* are links into /usr). `None` for a path that is absolute or climbs out.
pub fn merged(path: &str) -> Option<Vec<&str>> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    if parts.first().is_some_and(|top| MERGED.contains(top)) {
        parts.insert(0, "usr");
    }
    Some(parts)
}

/// Top-level directories that are links to their namesakes in /usr.
pub const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Paths of everything but directories in a package, usr-merged.
pub fn paths(deb: &[u8], name: &str) -> Result<Vec<String>> {
    let fail = |e: io::Error| Error::fetch(format!("unpacking {name}")).because(e);
    let mut paths = Vec::new();
    let mut tar = tar::Archive::new(data_tar(deb, name)?);
    for entry in tar.entries().map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !entry.header().entry_type().is_dir() {
            let path = entry.path_bytes();
            let path = String::from_utf8_lossy(&path);
            paths.extend(merged(&path).map(|parts| parts.join("/")));
        }
    }
    Ok(paths)
}
