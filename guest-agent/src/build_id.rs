//! Which build of the agent this is.

use std::{ffi::c_void, slice};

/// n_type of the note (elf(5)); its owner is `GNU`.
const NT_GNU_BUILD_ID: u32 = 3;
const OWNER: &[u8] = b"GNU\0";

/// The linker's digest of this program, in hex; none if it was linked without `--build-id`.
pub fn own() -> Option<String> {
    let mut found: Option<String> = None;
    // SAFETY: the callback takes `found` by the pointer handed over here, and is gone on return.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
    found
}

/// Looks through the notes of the first object, which is the program; anything but 0 ends the walk.
unsafe extern "C" fn look(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    found: *mut c_void,
) -> libc::c_int {
    // SAFETY: the C library hands over a valid description of an object, `own` its own variable.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Option<String>>()) };
    // SAFETY: the program headers stay mapped for the life of the program.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    *found = headers
        .iter()
        .filter(|header| header.p_type == libc::PT_NOTE)
        .find_map(|header| {
            let start = (info.dlpi_addr + header.p_vaddr) as *const u8;
            // SAFETY: notes of a program are loaded with it.
            in_notes(unsafe { slice::from_raw_parts(start, header.p_memsz as usize) })
        });
    1
}

/// The build id among notes: each has three words (sizes of owner and content, type), then both,
/// each filled up to a word.
fn in_notes(mut notes: &[u8]) -> Option<String> {
    loop {
        let owner_len = word(&mut notes)?;
        let content_len = word(&mut notes)?;
        let kind = word(&mut notes)?;
        let owner = padded(&mut notes, owner_len)?;
        let content = padded(&mut notes, content_len)?;
        if (owner, kind) == (OWNER, NT_GNU_BUILD_ID) {
            return Some(content.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
}

fn word(notes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = notes.split_first_chunk()?;
    *notes = rest;
    Some(u32::from_ne_bytes(*word))
}

fn padded<'a>(notes: &mut &'a [u8], len: u32) -> Option<&'a [u8]> {
    let len = len as usize;
    let taken = notes.get(..len)?;
    *notes = notes.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, owner: &[u8], content: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for n in [owner.len() as u32, content.len() as u32, kind] {
            note.extend(n.to_ne_bytes());
        }
        for part in [owner, content] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let id = note(NT_GNU_BUILD_ID, OWNER, &[0xab, 0x01, 0x5c]);
        let other = note(NT_GNU_BUILD_ID, b"Xen\0", &[9; 5]);
        let abi = note(1, OWNER, &[0; 16]);
        let all = [&abi[..], &other, &id].concat();
        assert_eq!(in_notes(&all).as_deref(), Some("ab015c"));
        assert_eq!(in_notes(&all[..all.len() - id.len()]), None);
        assert_eq!(in_notes(&id[..14]), None);
        assert_eq!(in_notes(&[]), None);
    }
}
