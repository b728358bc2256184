//! The harness's end of the guest's stream: whole frames in, whole frames out, under a deadline.

use crate::error::{Error, Exit, Result};
use diorama_wire::{MAX_FRAME, ShellFrame, decode_frame, decode_shell, encode_frame, encode_shell};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream as StdUnixStream,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::UnixStream,
    time::timeout,
};
use vsock::VsockStream;

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// A guest's stream. Dropping it ends the connection.
#[derive(Debug)]
pub struct GuestLink {
    stream: GuestStream,
    /// Received and not yet decoded: at most one frame and a chunk.
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum GuestStream {
    Local(UnixStream),
    Kernel(AsyncFd<VsockStream>),
}

impl GuestLink {
    /// Over the user-space device's local socket, which must be non-blocking.
    pub(super) fn local(stream: StdUnixStream) -> Result<GuestLink> {
        let stream = UnixStream::from_std(stream)
            .map_err(|e| Error::internal("watching the guest's stream").because(e))?;
        Ok(GuestLink::new(GuestStream::Local(stream)))
    }

    /// Over a connection of the kernel's AF_VSOCK.
    pub(super) fn kernel(stream: VsockStream) -> Result<GuestLink> {
        let failed = |e: io::Error| Error::internal("watching the guest's stream").because(e);
        stream.set_nonblocking(true).map_err(failed)?;
        // SAFETY: the stream owns its descriptor and keeps it for as long as it lives.
        let stream = unsafe { AsyncFd::register(stream) }.map_err(|e| failed(e.into()))?;
        Ok(GuestLink::new(GuestStream::Kernel(stream)))
    }

    fn new(stream: GuestStream) -> GuestLink {
        GuestLink {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The next message of the guest.
    ///
    /// # Errors
    /// When none came in time, the guest closed the stream (in mid-frame or not), or what it
    /// sent is not a `T`.
    pub async fn recv<T: DeserializeOwned>(&mut self, within: Duration) -> Result<T> {
        timeout(within, self.recv_frame())
            .await
            .unwrap_or_else(|_| Err(late("the guest sent no complete message", within)))
    }

    /// Sends a message to the guest.
    ///
    /// # Errors
    /// When the guest does not take it in time or the stream is closed.
    pub async fn send<T: Serialize>(&mut self, message: &T, within: Duration) -> Result<()> {
        let frame = encode_frame(message)
            .map_err(|e| Error::internal("encoding a message to the guest").because(e))?;
        timeout(within, self.stream.write_all(&frame))
            .await
            .map_err(|_| late("the guest did not accept a message", within))?
            .map_err(|e| broken("sending a message to the guest").because(e))
    }

    /// Both directions, each for itself: a shell says something while something is typed.
    #[must_use]
    pub fn split(self) -> (FromGuest, ToGuest) {
        let stream = Arc::new(self.stream);
        let from = FromGuest {
            stream: stream.clone(),
            buffer: self.buffer,
        };
        (from, ToGuest { stream })
    }

    async fn recv_frame<T: DeserializeOwned>(&mut self) -> Result<T> {
        loop {
            if let Some(message) = self.take_frame()? {
                return Ok(message);
            }
            let held = self.buffer.len();
            self.buffer.reserve(CHUNK);
            let read = self.stream.read_into(&mut self.buffer).await;
            match read {
                Ok(0) if held == 0 => {
                    return Err(broken("the guest closed its stream before its message"));
                }
                Ok(0) => {
                    return Err(broken(format!(
                        "the guest closed its stream in the middle of a message, after {held} bytes"
                    )));
                }
                Ok(_) => {}
                Err(e) => return Err(broken("receiving the guest's message").because(e)),
            }
        }
    }

    fn take_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        // Decoding parses only what is complete, so that a long frame costs one pass.
        let decoded = decode_frame(&self.buffer)
            .map_err(|e| Error::new(Exit::Incomplete, "decoding the guest's message").because(e))?;
        Ok(decoded.map(|(message, used)| {
            self.buffer.drain(..used);
            message
        }))
    }
}

/// What a guest's shell says.
#[derive(Debug)]
pub struct FromGuest {
    stream: Arc<GuestStream>,
    buffer: Vec<u8>,
}

impl FromGuest {
    /// The next frame. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// When the guest closed the stream, or what it sent is no frame.
    pub async fn next<T: ShellFrame>(&mut self) -> Result<T> {
        loop {
            let decoded = decode_shell(&self.buffer).map_err(|why| {
                Error::new(Exit::Incomplete, why).while_("listening to the shell")
            })?;
            if let Some((frame, used)) = decoded {
                self.buffer.drain(..used);
                return Ok(frame);
            }
            match self.stream.read_into(&mut self.buffer).await {
                Ok(0) => return Err(broken("the guest closed its stream before its shell ended")),
                Ok(_) => {}
                Err(e) => return Err(broken("listening to the shell").because(e)),
            }
        }
    }
}

/// What a guest's shell is told.
#[derive(Debug)]
pub struct ToGuest {
    stream: Arc<GuestStream>,
}

impl ToGuest {
    /// Sends a frame, whole; waits for as long as the guest takes nothing.
    ///
    /// # Errors
    /// When the stream is closed.
    pub async fn send(&self, frame: &impl ShellFrame) -> Result<()> {
        let bytes = encode_shell(frame).map_err(|why| {
            Error::internal("encoding what a shell is told").because(io::Error::other(why))
        })?;
        let sent = self.stream.write_all(&bytes).await;
        sent.map_err(|e| broken("sending to the shell").because(e))
    }
}

impl GuestStream {
    /// Reads at most a chunk to the buffer's end; 0 at the end of the stream.
    async fn read_into(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        debug_assert!(buffer.len() <= MAX_FRAME + 5 + CHUNK);
        match self {
            GuestStream::Local(stream) => loop {
                stream.readable().await?;
                let held = buffer.len();
                buffer.resize(held + CHUNK, 0);
                let read = stream.try_read(&mut buffer[held..]);
                buffer.truncate(held + read.as_ref().copied().unwrap_or(0));
                match read {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            },
            GuestStream::Kernel(stream) => {
                let mut chunk = [0; 8 << 10];
                let read = stream
                    .async_io(Interest::READABLE, |mut s| s.read(&mut chunk))
                    .await?;
                buffer.extend_from_slice(&chunk[..read]);
                Ok(read)
            }
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                GuestStream::Local(stream) => {
                    stream
                        .async_io(Interest::WRITABLE, || stream.try_write(bytes))
                        .await?
                }
                GuestStream::Kernel(stream) => {
                    stream
                        .async_io(Interest::WRITABLE, |mut s| s.write(bytes))
                        .await?
                }
            };
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

fn broken(what: impl Into<String>) -> Error {
    Error::new(Exit::Incomplete, what)
        .hint("see the guest's console in the run's directory for why it went away")
}

fn late(what: &str, within: Duration) -> Error {
    Error::new(
        Exit::Incomplete,
        format!("{what} within {:.1} s", within.as_secs_f64()),
    )
    .hint("see the guest's console in the run's directory for what it was doing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use diorama_wire::{Ack, Message};

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    fn pair() -> (GuestLink, StdUnixStream) {
        let (host, guest) = StdUnixStream::pair().unwrap();
        host.set_nonblocking(true).unwrap();
        (GuestLink::local(host).unwrap(), guest)
    }

    fn hello(agent: &str) -> Message {
        Message::Hello {
            protocol: 1,
            agent: agent.into(),
            build_id: String::new(),
        }
    }

    #[tokio::test]
    async fn messages_arrive_whole_however_they_are_cut() {
        let (mut link, mut guest) = pair();
        let sent = [hello("a"), hello(&"x".repeat(1 << 20)), hello("b")];
        let frames: Vec<u8> = sent.iter().flat_map(|m| encode_frame(m).unwrap()).collect();
        let writer = std::thread::spawn(move || {
            for piece in frames.chunks(1017) {
                guest.write_all(piece).unwrap();
            }
            guest
        });
        for message in &sent {
            assert_eq!(&link.recv::<Message>(LONG).await.unwrap(), message);
        }
        let mut guest = writer.join().unwrap();
        link.send(&Ack::Received, LONG).await.unwrap();
        let mut ack = vec![0; encode_frame(&Ack::Received).unwrap().len()];
        guest.read_exact(&mut ack).unwrap();
        assert_eq!(
            decode_frame(&ack).unwrap(),
            Some((Ack::Received, ack.len()))
        );
    }

    #[tokio::test]
    async fn every_way_to_fail_says_which() {
        let (mut link, mut guest) = pair();
        guest.write_all(&[1, 0]).unwrap();
        let late = link.recv::<Message>(SHORT).await.unwrap_err();
        drop(guest);
        let cut = link.recv::<Message>(LONG).await.unwrap_err();

        let (mut link, guest) = pair();
        drop(guest);
        let closed = link.recv::<Message>(LONG).await.unwrap_err();

        let (mut link, mut guest) = pair();
        guest.write_all(&[0xff; 4]).unwrap();
        let long = link.recv::<Message>(LONG).await.unwrap_err();

        let all = [late, cut, closed, long].map(|e| {
            assert_eq!(e.exit(), Exit::Incomplete);
            e.render()
        });
        insta::assert_snapshot!(all.join("\n"), @r"
        error: the guest sent no complete message within 0.1 s
          help: see the guest's console in the run's directory for what it was doing
        error: the guest closed its stream in the middle of a message, after 2 bytes
          help: see the guest's console in the run's directory for why it went away
        error: the guest closed its stream before its message
          help: see the guest's console in the run's directory for why it went away
        error: decoding the guest's message
          caused by: a frame of 4294967295 bytes exceeds 16777216
        ");
    }

    #[tokio::test]
    async fn a_guest_that_reads_nothing_does_not_hold_the_harness() {
        let (mut link, _guest) = pair();
        let big = hello(&"x".repeat(4 << 20));
        let error = link.send(&big, SHORT).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the guest did not accept a message within 0.1 s"
        );
    }
}
