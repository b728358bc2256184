//! A client of QEMU's control protocol (QMP; QEMU's docs/interop/qmp-spec.rst) on a connected
//! socket, one end of a pair that QEMU inherited: `-chardev socket,id=qmp,fd=N -mon
//! chardev=qmp,mode=control`. Commands may overlap; answers are matched by id.

use crate::error::{Error, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt, io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Interest},
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    sync::{
        Mutex as AsyncMutex,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::JoinHandle,
    time::timeout,
};

// What QEMU says is a stranger's: a guest may have taken it over. So a line, and how much of what it says
// is kept, are bounded.

/// No answer of QEMU's is longer than this many bytes.
const MAX_LINE: u64 = 1 << 20;
/// Nor an event, which may have to wait for somebody to read it.
const MAX_EVENT: usize = 64 << 10;
/// Events that may wait.
const MAX_EVENTS: usize = 1024;

/// QEMU's refusal of a command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QmpRefusal {
    /// `GenericError`, `CommandNotFound`, ...
    pub class: String,
    /// QEMU's message.
    pub desc: String,
}

impl fmt::Display for QmpRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.desc, self.class)
    }
}

impl std::error::Error for QmpRefusal {}

/// Something that happened in QEMU.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct QmpEvent {
    /// `STOP`, `GUEST_PANICKED`, `SHUTDOWN`, ...
    #[serde(rename = "event")]
    pub name: String,
    /// Its members; null when it has none.
    #[serde(default)]
    pub data: Value,
}

/// One line of QEMU's.
#[derive(Deserialize)]
struct Line {
    id: Option<u64>,
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<QmpRefusal>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
}

type Reply = Result<Value, QmpRefusal>;

/// Commands that wait for their answer; once the connection is over, what QEMU did.
type Waiting = Arc<Mutex<std::result::Result<HashMap<u64, oneshot::Sender<Reply>>, &'static str>>>;

/// The client. Dropping it closes the connection.
#[derive(Debug)]
pub struct Qmp {
    /// Held for one whole message: a partial write must not be mixed with another's.
    writer: AsyncMutex<OwnedWriteHalf>,
    waiting: Waiting,
    next_id: AtomicU64,
    within: Duration,
    reader: JoinHandle<()>,
}

/// QEMU's events, in order.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<QmpEvent>);

impl Qmp {
    /// Greets QEMU and negotiates; `within` bounds that and every later command.
    ///
    /// # Errors
    /// When QEMU does not answer in time or what answers is not QMP.
    pub async fn connect(stream: StdUnixStream, within: Duration) -> Result<(Qmp, Events)> {
        let failed = |e: io::Error| Error::internal("opening QEMU's control connection").because(e);
        stream.set_nonblocking(true).map_err(failed)?;
        let (reader, writer) = UnixStream::from_std(stream).map_err(failed)?.into_split();
        let mut reader = BufReader::new(reader);
        let greeting = timeout(within, read_line(&mut reader))
            .await
            .map_err(|_| late("QEMU's greeting", within))?
            .map_err(failed)?
            .map_err(over)?;
        let greeting: Value = serde_json::from_slice(&greeting)
            .map_err(|e| Error::internal("reading QEMU's greeting").because(e))?;
        if greeting.get("QMP").is_none() {
            return Err(Error::internal(format!(
                "the greeting on QEMU's control connection is not QMP: {greeting}"
            )));
        }
        let waiting: Waiting = Arc::new(Mutex::new(Ok(HashMap::new())));
        let (events, receiver) = mpsc::channel(MAX_EVENTS);
        let qmp = Qmp {
            writer: AsyncMutex::new(writer),
            waiting: waiting.clone(),
            next_id: AtomicU64::new(1),
            within,
            reader: tokio::spawn(read_loop(reader, waiting, events)),
        };
        qmp.execute("qmp_capabilities", Value::Null).await?;
        Ok((qmp, Events(receiver)))
    }

    /// Runs a command; `arguments` may be null.
    ///
    /// # Errors
    /// QEMU's refusal with its own words, no answer in time, or the end of the connection.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value> {
        self.execute_within(command, arguments, self.within).await
    }

    /// [`Qmp::execute`] with a deadline of its own.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn execute_within(
        &self,
        command: &str,
        arguments: Value,
        within: Duration,
    ) -> Result<Value> {
        self.run(command, arguments, None, within).await
    }

    /// Hands QEMU a descriptor under a name (`getfd`), for a later command that refers to it.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn send_fd(&self, name: &str, fd: impl AsFd) -> Result<()> {
        let arguments = json!({ "fdname": name });
        self.run("getfd", arguments, Some(fd.as_fd()), self.within)
            .await
            .map(drop)
    }

    async fn run(
        &self,
        command: &str,
        arguments: Value,
        fd: Option<BorrowedFd<'_>>,
        within: Duration,
    ) -> Result<Value> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "execute": command, "id": id });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(b'\n');

        let (sender, receiver) = oneshot::channel();
        match lock(&self.waiting).as_mut() {
            Ok(waiting) => waiting.insert(id, sender),
            Err(why) => return Err(over(why).while_(format!("sending `{command}` to QEMU"))),
        };
        let answer = timeout(within, async {
            let writer = self.writer.lock().await;
            send(writer.as_ref(), &bytes, fd).await?;
            drop(writer);
            // An error means that the reader has gone, and with it the connection.
            Ok::<_, io::Error>(receiver.await.ok())
        })
        .await;
        let why = match lock(&self.waiting).as_mut() {
            Ok(waiting) => {
                waiting.remove(&id);
                CLOSED
            }
            Err(why) => why,
        };
        match answer {
            Err(_) => Err(late(&format!("QEMU's answer to `{command}`"), within)),
            Ok(Err(e)) => Err(Error::internal(format!("sending `{command}` to QEMU")).because(e)),
            Ok(Ok(None)) => {
                Err(over(why).while_(format!("waiting for QEMU to complete `{command}`")))
            }
            Ok(Ok(Some(Ok(value)))) => Ok(value),
            Ok(Ok(Some(Err(refusal)))) => {
                Err(Error::internal(format!("QEMU refused `{command}`")).because(refusal))
            }
        }
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Events {
    /// The next event if it is there already.
    pub fn try_next(&mut self) -> Option<QmpEvent> {
        self.0.try_recv().ok()
    }

    /// The next event; `None` when the connection is over.
    pub async fn next(&mut self) -> Option<QmpEvent> {
        self.0.recv().await
    }

    /// The next event of that name; those before it are dropped.
    ///
    /// # Errors
    /// When it does not come in time, or QEMU ends first.
    pub async fn wait_for(&mut self, name: &str, within: Duration) -> Result<QmpEvent> {
        timeout(within, async {
            loop {
                match self.next().await {
                    Some(event) if event.name == name => return Ok(event),
                    Some(_) => {}
                    None => return Err(over(CLOSED).while_(format!("waiting for QEMU's {name}"))),
                }
            }
        })
        .await
        .unwrap_or_else(|_| Err(late(&format!("QEMU's event {name}"), within)))
    }
}

async fn read_loop(
    mut reader: BufReader<OwnedReadHalf>,
    waiting: Waiting,
    events: mpsc::Sender<QmpEvent>,
) {
    // Anything that cannot be read or understood ends the connection: a lost answer or event
    // would otherwise be waited for in vain.
    let why = loop {
        let line = match read_line(&mut reader).await {
            Ok(Ok(line)) => line,
            Ok(Err(why)) => break why,
            Err(_) => break CLOSED,
        };
        let Ok(said) = serde_json::from_slice::<Line>(&line) else {
            break "said something on its control connection that is not QMP";
        };
        if let Some(name) = said.event {
            if line.len() > MAX_EVENT {
                break "sent an event that is too long";
            }
            let data = said.data;
            match events.try_send(QmpEvent { name, data }) {
                // Nobody may be listening any more; that is theirs to decide.
                Ok(()) | Err(TrySendError::Closed(_)) => continue,
                Err(TrySendError::Full(_)) => break "sent more events than anybody reads",
            }
        }
        let answer = match (said.value, said.error) {
            (_, Some(refusal)) => Err(refusal),
            (value, None) => Ok(value.unwrap_or(Value::Null)),
        };
        let sender = said
            .id
            .and_then(|id| lock(&waiting).as_mut().ok()?.remove(&id));
        if let Some(sender) = sender {
            // The one who asked may have given up.
            let _ = sender.send(answer);
        }
    };
    *lock(&waiting) = Err(why);
}

/// One line; or what QEMU did instead.
async fn read_line(
    reader: &mut BufReader<OwnedReadHalf>,
) -> io::Result<std::result::Result<Vec<u8>, &'static str>> {
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    Ok(match line.ends_with(b"\n") {
        true => Ok(line),
        false if line.len() as u64 == MAX_LINE => {
            Err("said more in one line than it ever has to say")
        }
        false => Err(CLOSED),
    })
}

/// Writes it all; the descriptor travels with the first byte.
async fn send(stream: &UnixStream, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut left = bytes;
    let mut fd = fd;
    while !left.is_empty() {
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
                if !fds.is_empty() {
                    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
                }
                let parts = [io::IoSlice::new(left)];
                Ok(sendmsg(
                    stream,
                    &parts,
                    &mut ancillary,
                    SendFlags::NOSIGNAL,
                )?)
            })
            .await?;
        fd = None;
        left = left.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// A panic elsewhere leaves the map usable: it is only inserted into and removed from.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What most QEMUs do at their end.
const CLOSED: &str = "closed its control connection";

/// The connection is over, for QEMU did this.
fn over(why: &str) -> Error {
    Error::internal(format!("QEMU {why}"))
        .hint("run the same command again; `diorama doctor` shows what this host lacks")
}

fn late(what: &str, within: Duration) -> Error {
    Error::internal(format!(
        "{what} did not come within {:.1} s",
        within.as_secs_f64()
    ))
}

#[cfg(test)]
mod tests;
