//! Contents of files and of guests' memory by pages: a hole costs nothing, and a page of zeros counts
//! as one that was never written, everywhere.

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};
use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
};

/// Bytes in a page: the granularity of holes and of the digest.
pub const PAGE: usize = 4096;

/// Bytes read at a time; a multiple of [`PAGE`] that stays in a core's cache.
const CHUNK: usize = 64 * PAGE;

const ZEROS: [u8; PAGE] = [0; PAGE];

/// The digest of contents: BLAKE3 over the number (le64) and the bytes of every page that is not all
/// zero, in order. It says nothing of the length: that belongs beside it.
#[derive(Debug, Default)]
pub struct Hasher {
    hasher: blake3::Hasher,
    /// Gathered, because the hash is several times faster on long pieces.
    pieces: Vec<u8>,
}

impl Hasher {
    /// Adds bytes that stand at this offset, which is a page's; in order.
    pub fn add(&mut self, at: u64, chunk: &[u8]) {
        self.pieces.clear();
        for (index, page) in (at / PAGE as u64..).zip(chunk.chunks(PAGE)) {
            if page != &ZEROS[..page.len()] {
                self.pieces.extend_from_slice(&index.to_le_bytes());
                self.pieces.extend_from_slice(page);
            }
        }
        self.hasher.update(&self.pieces);
    }

    /// The digest, in hex.
    #[must_use]
    pub fn finish(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

/// The digest of a file's first `size` bytes, in hex; see [`Hasher`].
///
/// # Errors
/// When the file cannot be read, or is shorter.
pub fn digest(file: &File, size: u64) -> io::Result<String> {
    let mut hasher = Hasher::default();
    for_each_chunk(file, size, |at, chunk| {
        hasher.add(at, chunk);
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// Runs of pages in a chunk that are not all zero.
#[must_use]
pub fn runs_of_data(chunk: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (i, page) in chunk.chunks(PAGE).enumerate() {
        if page == &ZEROS[..page.len()] {
            continue;
        }
        let (start, end) = (i * PAGE, i * PAGE + page.len());
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// Reads the first `size` bytes of a file but for the holes, in order, in whole pages; the last page
/// ends where the file does.
///
/// # Errors
/// When the file cannot be read, or is shorter, and those of `visit`.
pub fn for_each_chunk(
    file: &File,
    size: u64,
    mut visit: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
    // Looking for holes costs more than reading most files does (stat(3type) counts units of 512).
    let whole = file.metadata()?.blocks() * 512 >= size;
    let mut at = 0;
    let next = |at| match whole {
        true if at < size => Ok(Some(at..size)),
        true => Ok(None),
        false => next_data(file, at, size),
    };
    while let Some(data) = next(at)? {
        at = data.start;
        while at < data.end {
            let len = CHUNK.min(usize::try_from(data.end - at).unwrap_or(CHUNK));
            let chunk = &mut buffer[..len];
            file.read_exact_at(chunk, at)?;
            visit(at, chunk)?;
            at += len as u64;
        }
    }
    Ok(())
}

/// The next range of data at or after a page boundary, widened to whole pages.
fn next_data(file: &File, at: u64, size: u64) -> io::Result<Option<Range<u64>>> {
    let page = PAGE as u64;
    if at >= size {
        return Ok(None);
    }
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start - start % page,
        Err(Errno::NXIO) => return Ok(None), // Only a hole is left (lseek(2)).
        Err(e) => return Err(e.into()),
    };
    let end = seek(file, SeekFrom::Hole(start.max(at)))?;
    Ok(Some(start.max(at)..end.next_multiple_of(page).min(size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_last_page_that_is_not_whole_counts_as_it_is() {
        let digest_of = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            digest(&file, bytes.len() as u64).unwrap()
        };
        let mut stream = 1u64.to_le_bytes().to_vec();
        stream.extend(b"end");
        let mut bytes = vec![0; PAGE];
        bytes.extend(b"end");
        assert_eq!(
            digest_of(&bytes),
            blake3::hash(&stream).to_hex().to_string()
        );
        assert_eq!(digest_of(b""), blake3::hash(b"").to_hex().to_string());
    }

    #[test]
    fn a_file_that_is_shorter_than_it_is_said_to_be_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        assert!(digest(&file, 5).is_err());
    }
}
