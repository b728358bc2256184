//! A guest that is prepared like a cell's and then gives a shell instead of measuring: what is said
//! before, in JSON like every other message, and the frames that carry a terminal after it.
//!
//! A frame is one byte that says what it is, a little-endian u32 length, and that many bytes.

use crate::{BootFacts, MAX_FRAME};
use serde::{Deserialize, Serialize};

/// Where everything is in a guest that is prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    /// The guest as it describes itself.
    pub boot: BootFacts,
    /// The block device: /dev/NAME.
    pub device: String,
    /// Where its file system is mounted; empty where it has none.
    pub mount_point: String,
    /// The files that the workload would use, laid out and with none of their pages cached.
    pub files: Vec<String>,
}

/// What the shell is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shell {
    /// The terminal that it is on; none for a script, whose streams are pipes.
    pub terminal: Option<Terminal>,
    /// One command to run instead of reading any.
    pub command: Option<String>,
    /// Lines for the banner that only the host knows: the cell, the clock, the way out.
    pub banner: Vec<String>,
}

/// A terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// Its kind, `$TERM`.
    pub kind: String,
    /// Its size.
    pub size: Size,
}

/// A terminal's size, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Host to guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToShell {
    /// The first: busybox, a static executable that is every program.
    Userland(Vec<u8>),
    /// What was typed.
    Input(Vec<u8>),
    /// Nothing more will be.
    EndOfInput,
    /// The terminal has another size now.
    Size(Size),
}

/// Guest to host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromShell {
    /// For standard output, or the terminal.
    Output(Vec<u8>),
    /// For standard error; never where there is a terminal.
    Errors(Vec<u8>),
    /// The last: the shell has ended with this status (128 + N after signal N).
    Exited(u8),
}

/// A kind of frame.
pub trait ShellFrame: Sized {
    /// What it is, and its bytes.
    fn parts(&self) -> (u8, Vec<u8>);
    /// The frame that these are, if they are one.
    fn of(kind: u8, bytes: &[u8]) -> Option<Self>;
}

impl ShellFrame for ToShell {
    fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            ToShell::Userland(bytes) => (1, bytes.clone()),
            ToShell::Input(bytes) => (2, bytes.clone()),
            ToShell::EndOfInput => (3, Vec::new()),
            ToShell::Size(Size { rows, columns }) => {
                (4, [rows.to_le_bytes(), columns.to_le_bytes()].concat())
            }
        }
    }

    fn of(kind: u8, bytes: &[u8]) -> Option<ToShell> {
        match (kind, bytes) {
            (1, bytes) => Some(ToShell::Userland(bytes.to_vec())),
            (2, bytes) => Some(ToShell::Input(bytes.to_vec())),
            (3, []) => Some(ToShell::EndOfInput),
            (4, &[a, b, c, d]) => Some(ToShell::Size(Size {
                rows: u16::from_le_bytes([a, b]),
                columns: u16::from_le_bytes([c, d]),
            })),
            _ => None,
        }
    }
}

impl ShellFrame for FromShell {
    fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            FromShell::Output(bytes) => (1, bytes.clone()),
            FromShell::Errors(bytes) => (2, bytes.clone()),
            FromShell::Exited(status) => (3, vec![*status]),
        }
    }

    fn of(kind: u8, bytes: &[u8]) -> Option<FromShell> {
        match (kind, bytes) {
            (1, bytes) => Some(FromShell::Output(bytes.to_vec())),
            (2, bytes) => Some(FromShell::Errors(bytes.to_vec())),
            (3, &[status]) => Some(FromShell::Exited(status)),
            _ => None,
        }
    }
}

/// Bytes before a frame's own.
const HEAD: usize = 5;

/// Turns it into bytes.
///
/// # Errors
/// A sentence, when it is longer than [`MAX_FRAME`].
pub fn encode_shell(frame: &impl ShellFrame) -> Result<Vec<u8>, String> {
    let (kind, bytes) = frame.parts();
    let length = match u32::try_from(bytes.len()) {
        Ok(length) if bytes.len() <= MAX_FRAME => length,
        _ => return Err(too_long(bytes.len())),
    };
    let mut frame = Vec::with_capacity(HEAD + bytes.len());
    frame.push(kind);
    frame.extend(length.to_le_bytes());
    frame.extend(bytes);
    Ok(frame)
}

/// Takes one whole frame off the front of `buffer`: it and the bytes used, or `None` when more bytes
/// are needed.
///
/// # Errors
/// A sentence, when the length is impossible or there is no such frame.
pub fn decode_shell<T: ShellFrame>(buffer: &[u8]) -> Result<Option<(T, usize)>, String> {
    let Some(&[kind, a, b, c, d]) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME {
        return Err(too_long(length));
    }
    let Some(bytes) = buffer.get(HEAD..HEAD + length) else {
        return Ok(None);
    };
    match T::of(kind, bytes) {
        Some(frame) => Ok(Some((frame, HEAD + length))),
        None => Err(format!("a shell has no frame {kind} of {length} bytes")),
    }
}

fn too_long(length: usize) -> String {
    format!("a shell's frame of {length} bytes exceeds {MAX_FRAME}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: ShellFrame + PartialEq + std::fmt::Debug>(frames: Vec<T>) {
        for frame in frames {
            let bytes = encode_shell(&frame).unwrap();
            for cut in 0..bytes.len() {
                assert!(decode_shell::<T>(&bytes[..cut]).unwrap().is_none());
            }
            let used = bytes.len();
            let longer = [bytes, vec![1, 2, 3]].concat();
            assert_eq!(decode_shell(&longer), Ok(Some((frame, used))));
        }
    }

    #[test]
    fn frames_round_trip_and_say_when_they_are_short() {
        let size = Size {
            rows: 40,
            columns: 1000,
        };
        round_trip(vec![
            ToShell::Userland(b"\x7fELF".to_vec()),
            ToShell::Input(vec![0, 0xff, 3]),
            ToShell::EndOfInput,
            ToShell::Size(size),
        ]);
        round_trip(vec![
            FromShell::Output(Vec::new()),
            FromShell::Errors(b"sh: not found\n".to_vec()),
            FromShell::Exited(130),
        ]);
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_awaited() {
        let said = |bytes: &[u8]| decode_shell::<ToShell>(bytes).unwrap_err();
        assert_eq!(said(&[9, 0, 0, 0, 0]), "a shell has no frame 9 of 0 bytes");
        assert_eq!(
            said(&[4, 1, 0, 0, 0, 7]),
            "a shell has no frame 4 of 1 bytes"
        );
        let long = said(&[2, 0xff, 0xff, 0xff, 0xff]);
        assert!(long.contains("4294967295"), "{long}");
    }
}
