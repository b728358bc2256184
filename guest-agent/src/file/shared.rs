//! One file of several threads (fio: jobs with the same `filename`): laid out once, and open once for
//! each of them, as fio's jobs open theirs.

use super::{Place, PreparedFile, create, settle};
use crate::{
    content::{self, Buffer},
    fail::{Fail, Result},
    format::MOUNT_POINT,
};
use diorama_wire::Workload;
use std::{ops::Range, os::unix::fs::FileExt as _};

/// Makes it, with a descriptor for each thread.
///
/// # Errors
/// As [`super::prepare`].
pub(super) fn prepare(workload: &Workload, place: &Place) -> Result<Vec<PreparedFile>> {
    let first = match place {
        Place::Device(node) => create(workload, node, Some(0))?,
        Place::Mounted => create(
            workload,
            &format!("{MOUNT_POINT}/{}", workload.filename),
            None,
        )?,
    };
    let mut files = vec![first];
    settle(&mut files)?;
    for thread in 1..workload.numjobs {
        let first = &files[0];
        files.push(PreparedFile {
            file: first.opened_again()?,
            // They are the first's.
            extents: 0,
            path: first.path.clone(),
            thread,
            behind: workload.part(thread).start,
            ..*first
        });
    }
    Ok(files)
}

impl PreparedFile {
    /// Reads the whole file and checks every block; returns their number. `written` asks the threads
    /// for the generations of their last writes of the blocks in a span, 0 where one wrote none.
    ///
    /// No thread has two writes of one block in flight, so that what the block holds is the last write
    /// of one of those that wrote it; whose, nobody ordered.
    ///
    /// # Errors
    /// A failed read, the first wrong block, or another length.
    pub fn verify_shared(
        &self,
        written: impl Fn(Range<u64>) -> Result<Vec<Vec<u64>>>,
    ) -> Result<u64> {
        let length = self.len()?;
        if self.part.is_none() && length != self.size {
            let path = &self.path;
            let what = format!("{path} is {length} bytes long, not {}", self.size);
            return Err(Fail::wrong(what));
        }
        let mut buffer = Buffer::new(self.transfer())?;
        let mut template = vec![0; self.block];
        content::fill(&mut template, self.block);
        let mut blocks = 0;
        for (offset, len) in self.transfers(self.span()) {
            let bytes = &mut buffer.bytes_mut()[..len];
            self.file.read_exact_at(bytes, offset).map_err(|e| {
                let doing = format!("read {len} bytes at offset {offset} of {}", self.path);
                Fail::os(doing, &e)
            })?;
            let threads = written(offset..offset + len as u64)?;
            let mut at = offset;
            for (nth, block) in bytes.chunks_exact(self.block).enumerate() {
                let last = threads.iter().filter_map(|of| of.get(nth).copied());
                let expected = expected(last, content::header(block).1);
                content::check(block, &template, at, expected)?;
                at += self.block as u64;
                blocks += 1;
            }
        }
        Ok(blocks)
    }
}

/// The generation that a block must have in which this one was found: that, if it is some thread's
/// last; the preparation's, if none wrote the block.
fn expected(last: impl Iterator<Item = u64>, found: u64) -> u64 {
    let mut any = 0;
    for generation in last.filter(|generation| *generation != 0) {
        if generation == found {
            return found;
        }
        any = generation;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_wire::{Bound, Engine, Rw};

    const BLOCK: usize = 512;

    fn file(generations: &[u64]) -> PreparedFile {
        let mut bytes = vec![0; generations.len() * BLOCK];
        content::fill(&mut bytes, BLOCK);
        let blocks = bytes.chunks_exact_mut(BLOCK).zip(generations);
        for ((block, generation), nth) in blocks.zip(0u64..) {
            content::stamp(block, nth * BLOCK as u64, *generation);
        }
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let size = bytes.len() as u64;
        let bound = Bound::Ios(1);
        let w = Workload::new(Engine::Libaio, Rw::Write, BLOCK as u32, 1, size, bound);
        PreparedFile::as_it_is(file, &w)
    }

    #[test]
    fn a_block_holds_the_last_write_of_any_thread_that_wrote_it_and_nothing_else() {
        let second = content::first_generation(1);
        // What each of two threads wrote last: both, one, the other, none.
        let threads = || vec![vec![7, 7, 0, 0], vec![second, 0, second + 3, 0]];
        let verify = |found: &[u64]| file(found).verify_shared(|_| Ok(threads()));
        assert_eq!(verify(&[7, 7, second + 3, 0]).unwrap(), 4);
        assert_eq!(verify(&[second, 7, second + 3, 0]).unwrap(), 4);
        let wrong: [[u64; 4]; 6] = [
            [6, 7, second + 3, 0],
            [second + 1, 7, second + 3, 0],
            [0, 7, second + 3, 0],
            [7, second, second + 3, 0],
            [7, 7, 7, 0],
            [7, 7, second + 3, 1],
        ];
        for found in wrong {
            let said = verify(&found).unwrap_err().to_string();
            assert!(said.contains("must carry offset"), "{found:?}: {said}");
        }
        let short = file(&[7, 7, second + 3]);
        let longer = PreparedFile {
            size: 4 * BLOCK as u64,
            ..short
        };
        let said = longer.verify_shared(|_| Ok(threads())).unwrap_err();
        assert!(said.to_string().contains("1536 bytes long, not 2048"));
    }

    #[test]
    fn a_generation_says_whose_it_is() {
        for thread in [0, 1, 63] {
            let first = content::first_generation(thread);
            assert_eq!(content::writer(first), Some(thread));
            assert_eq!(content::writer(first + 1_000_000), Some(thread));
            assert_eq!(content::writer(first - 1), None);
        }
    }
}
