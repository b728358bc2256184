//! Frames over vsock: a little-endian u32 length, then that many bytes of JSON.

use crate::{CellReport, Failure, Prepared, Shell};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;

/// Guest to host, in this order: `Hello`, then exactly one of `Report`, `Failed` and `Prepared`, and
/// `Symbols` if the host asks for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Always first.
    Hello {
        /// [`crate::PROTOCOL`] of the agent.
        protocol: u32,
        /// The agent's version.
        agent: String,
        /// The build it is: its linker's digest of it (NT_GNU_BUILD_ID), in hex.
        build_id: String,
    },
    /// The cell was measured.
    Report(Box<CellReport>),
    /// The cell was not measured.
    Failed(Failure),
    /// The cell was prepared, and a shell can be had.
    Prepared(Box<Prepared>),
    /// The answer to [`Ack::Symbols`].
    Symbols(Symbols),
}

/// Where the kernel's functions are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symbols {
    /// The functions in /proc/kallsyms, a line each as the kernel writes them; empty where it has
    /// none (`CONFIG_KALLSYMS`).
    pub functions: String,
    /// The modules that are loaded: they may have been stripped of their names.
    pub modules: Vec<LoadedModule>,
}

/// A module in the guest's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadedModule {
    /// Its name, as in /proc/modules.
    pub name: String,
    /// Its sections and their addresses (/sys/module/*/sections), by name.
    pub sections: Vec<(String, u64)>,
}

/// Host to guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// The whole message is on the host: the agent powers the guest off.
    Received,
    /// It is, and the kernel's functions are wanted, too.
    Symbols,
    /// The answer to [`Message::Prepared`]: a shell is wanted. From here on the stream carries frames of
    /// its own ([`crate::ToShell`], [`crate::FromShell`]).
    Shell(Box<Shell>),
}

/// No frame is longer than this many bytes.
pub const MAX_FRAME: usize = 16 << 20;

/// A frame that cannot be read.
#[derive(Debug)]
pub enum FrameError {
    /// The length exceeds [`MAX_FRAME`].
    TooLong(usize),
    /// The bytes are not the JSON expected.
    Json(serde_json::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong(n) => write!(f, "a frame of {n} bytes exceeds {MAX_FRAME}"),
            FrameError::Json(_) => f.write_str("a frame does not hold the message expected"),
        }
    }
}

impl std::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FrameError::TooLong(_) => None,
            FrameError::Json(e) => Some(e),
        }
    }
}

/// Turns a message into a frame.
///
/// # Errors
/// When the message cannot be serialised or is longer than [`MAX_FRAME`].
pub fn encode_frame<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).map_err(FrameError::Json)?;
    let len = frame.len() - 4;
    match u32::try_from(len) {
        Ok(n) if len <= MAX_FRAME => frame[..4].copy_from_slice(&n.to_le_bytes()),
        _ => return Err(FrameError::TooLong(len)),
    }
    Ok(frame)
}

/// Takes one whole frame off the front of `buffer`: the message and the bytes used, or `None`
/// when more bytes are needed.
///
/// # Errors
/// When the length is impossible or the JSON is not a `T`.
pub fn decode_frame<T: DeserializeOwned>(buffer: &[u8]) -> Result<Option<(T, usize)>, FrameError> {
    let Some(head) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let len = u32::from_le_bytes(*head) as usize;
    if len > MAX_FRAME {
        return Err(FrameError::TooLong(len));
    }
    match buffer.get(4..4 + len) {
        None => Ok(None),
        Some(json) => serde_json::from_slice(json)
            .map(|m| Some((m, 4 + len)))
            .map_err(FrameError::Json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_round_trips_and_says_when_it_is_short() {
        let hello = Message::Hello {
            protocol: 1,
            agent: "0.1.0".into(),
            build_id: "5c01".into(),
        };
        let frame = encode_frame(&hello).unwrap();
        for cut in 0..frame.len() {
            assert!(decode_frame::<Message>(&frame[..cut]).unwrap().is_none());
        }
        assert_eq!(decode_frame(&frame).unwrap(), Some((hello, frame.len())));
    }

    #[test]
    fn an_absurd_length_is_refused_before_it_is_awaited() {
        assert!(matches!(
            decode_frame::<Message>(&[0xff; 4]),
            Err(FrameError::TooLong(0xffff_ffff))
        ));
    }
}
