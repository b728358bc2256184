//! The Debian project's snapshot archive, which keeps every file ever published, by sha1.
//! Interface: <https://salsa.debian.org/snapshot-team/snapshot/-/blob/master/API>.

use super::{
    http::{self, HttpFailure},
    sources::Sources,
};
use crate::vocabulary::LockedFile;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `/mr/binary/<package>/<version>/binfiles?fileinfo=1`
#[derive(Deserialize)]
struct BinFiles {
    #[serde(default)]
    fileinfo: BTreeMap<String, Vec<FileInfo>>,
}

#[derive(Deserialize)]
struct FileInfo {
    name: String,
    size: u64,
}

/// The longest answer believed.
const LIMIT: u64 = 4 << 20;

/// URL of a locked file at a snapshot archive. The sha1 only finds the file; what is downloaded
/// is verified by the lock's sha256 like everything else.
pub fn url(sources: &Sources, base: &str, file: &LockedFile) -> Result<String, HttpFailure> {
    let (package, version) = (escape(&file.package), escape(&file.version));
    let query = format!("{base}/mr/binary/{package}/{version}/binfiles?fileinfo=1");
    let answer = http::get_all(sources, &query, LIMIT)?;
    let sha1 = find(&answer, file).map_err(|why| match why {
        Some(e) => HttpFailure::Refused(format!("{query}: {e}")),
        None => HttpFailure::Gone(format!("{query}: does not list {}", file.path)),
    })?;
    Ok(format!("{base}/file/{sha1}"))
}

fn find(answer: &[u8], file: &LockedFile) -> Result<String, Option<serde_json::Error>> {
    let known: BinFiles = serde_json::from_slice(answer).map_err(Some)?;
    // The pool's names have no epoch; the path's last part is the name.
    let name = file.path.rsplit('/').next().unwrap_or_default();
    known
        .fileinfo
        .into_iter()
        .find(|(sha1, infos)| {
            sha1.len() == 40
                && sha1.bytes().all(|b| b.is_ascii_hexdigit())
                && infos.iter().any(|i| i.name == name && i.size == file.size)
        })
        .map(|(sha1, _)| sha1)
        .ok_or(None)
}

/// Percent-encodes what may stand in package names and versions but not in a URL's path.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_plus_and_epoch_survive_the_url() {
        assert_eq!(escape("1:6.12.107+deb13-1~x"), "1%3A6.12.107%2Bdeb13-1~x");
    }
}
