//! For tests: packages made by hand, and a small HTTP server on the loopback interface.

use crate::{digest::Sha256, store::Sources, vocabulary::LockedFile};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Something in a package.
pub enum Item<'a> {
    /// Path, mode, contents.
    File(&'a str, u32, &'a [u8]),
    /// Path, target of the symbolic link.
    Link(&'a str, &'a str),
}

/// A package, deb(5), whose data.tar is compressed as named (`""`, `gz`, `xz`, `zst`).
pub fn deb(items: &[Item<'_>], compression: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        let (path, data) = match item {
            Item::File(path, mode, data) => {
                header.set_mode(*mode);
                header.set_entry_type(tar::EntryType::Regular);
                (path, *data)
            }
            Item::Link(path, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name_literal(target).unwrap();
                (path, &b""[..])
            }
        };
        header.set_size(data.len() as u64);
        // By hand: the library refuses the paths that an attacker would write.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, data).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let data = match compression {
        "" => tar,
        "gz" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&tar).unwrap();
            out.finish().unwrap()
        }
        "xz" => xz(&tar),
        "zst" => zstd::encode_all(&tar[..], 1).unwrap(),
        other => panic!("{other}"),
    };
    let dot = if compression.is_empty() { "" } else { "." };
    let mut ar = ar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("debian-binary".to_owned(), b"2.0\n".to_vec()),
        ("control.tar".to_owned(), Vec::new()),
        (format!("data.tar{dot}{compression}"), data),
    ] {
        let header = ar::Header::new(name.into_bytes(), bytes.len() as u64);
        ar.append(&header, &bytes[..]).unwrap();
    }
    ar.into_inner().unwrap()
}

/// xz-compressed bytes.
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 0);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A minimal 64-bit ELF file with a dynamic section (elf(5)): what the loader would read of it.
pub fn elf(interpreter: Option<&str>, needed: &[&str]) -> Vec<u8> {
    const HEADER: usize = 64;
    const PROGRAM: usize = 56;
    const SECTION: usize = 64;
    let mut strings = vec![0];
    let mut dynamic = Vec::new();
    for library in needed {
        dynamic.extend(1_u64.to_le_bytes()); // DT_NEEDED
        dynamic.extend((strings.len() as u64).to_le_bytes());
        strings.extend(library.bytes().chain([0]));
    }
    dynamic.extend([0; 16]); // DT_NULL
    let interp: Vec<u8> = interpreter.map_or(Vec::new(), |i| i.bytes().chain([0]).collect());
    let interp_at = HEADER + PROGRAM;
    let strings_at = interp_at + interp.len();
    let dynamic_at = (strings_at + strings.len()).next_multiple_of(8);
    let sections_at = dynamic_at + dynamic.len();

    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    let half =
        |out: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    let word =
        |out: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    let long = |out: &mut Vec<u8>, values: &[usize]| {
        values
            .iter()
            .for_each(|v| out.extend((*v as u64).to_le_bytes()));
    };
    half(&mut out, &[3, 62]); // ET_DYN, EM_X86_64
    word(&mut out, &[1]);
    long(&mut out, &[0, HEADER, sections_at]);
    word(&mut out, &[0]);
    half(
        &mut out,
        &[HEADER as u16, PROGRAM as u16, 1, SECTION as u16, 3, 1],
    );
    // The only segment: PT_INTERP, or PT_NULL.
    word(&mut out, &[if interpreter.is_some() { 3 } else { 0 }, 4]);
    long(&mut out, &[interp_at, 0, 0, interp.len(), interp.len(), 1]);
    out.extend(interp);
    out.extend(&strings);
    out.resize(dynamic_at, 0);
    out.extend(&dynamic);
    // Sections: null, SHT_STRTAB, SHT_DYNAMIC (linked to the strings).
    for (kind, offset, size, link, entry) in [
        (0, 0, 0, 0, 0),
        (3, strings_at, strings.len(), 0, 0),
        (6, dynamic_at, dynamic.len(), 1, 16),
    ] {
        word(&mut out, &[0, kind]);
        long(&mut out, &[0, 0, offset, size]);
        word(&mut out, &[link, 0]);
        long(&mut out, &[8, entry]);
    }
    out
}

/// What the server answers to a path.
#[derive(Clone)]
pub enum Reply {
    /// The file, ranges honoured.
    File(Vec<u8>),
    /// The file, ranges ignored.
    NoRanges(Vec<u8>),
    /// The headers of the whole file, but the connection ends after so many bytes of the answer.
    Cut(Vec<u8>, usize),
    /// Bytes without end, and without a length.
    Endless,
    /// A redirection there (307).
    Moved(String),
    /// This status, without a body.
    Status(u16),
    /// These, one after the other; the last one for ever.
    Sequence(Vec<Reply>),
}

/// A server; it ends with the test's process.
pub struct Server {
    /// `http://127.0.0.1:port`
    pub url: String,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers these paths, and 404 to all others.
    pub fn new(replies: impl IntoIterator<Item = (String, Reply)>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            url: format!("http://{}", listener.local_addr().unwrap()),
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            seen: Arc::default(),
        };
        let (replies, seen) = (server.replies.clone(), server.seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (replies, seen) = (replies.clone(), seen.clone());
                std::thread::spawn(move || {
                    // A client may hang up at any time; the test judges by what it got.
                    let _ = stream.and_then(|s| serve(s, &replies, &seen));
                });
            }
        });
        server
    }

    /// Nobody listens there: connections are refused.
    pub fn refusing() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Server {
            url: format!("http://{}", listener.local_addr().unwrap()),
            replies: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// Changes one answer.
    pub fn set(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// The requests so far, `METHOD /path [range]`, and ` as ...` if they say who asks.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    replies: &Mutex<BTreeMap<String, Reply>>,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let (mut range, mut who) = (None, String::new());
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(from) = line.strip_prefix("range: bytes=") {
            range = from.trim_end_matches('-').parse::<usize>().ok();
        }
        if let Some(said) = line.strip_prefix("authorization: ") {
            who = format!(" as {said}");
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let shown = range.map_or(String::new(), |from| format!(" from {from}"));
    seen.lock()
        .unwrap()
        .push(format!("{method} {path}{shown}{who}"));
    let reply = match replies.lock().unwrap().get_mut(path) {
        None => Reply::Status(404),
        Some(Reply::Sequence(list)) if list.len() > 1 => list.remove(0),
        Some(Reply::Sequence(list)) => list[0].clone(),
        Some(reply) => reply.clone(),
    };
    let mut out = stream;
    let (bytes, range, limit) = match reply {
        Reply::File(bytes) => (bytes, range, usize::MAX),
        Reply::NoRanges(bytes) => (bytes, None, usize::MAX),
        Reply::Cut(bytes, limit) => (bytes, range, limit),
        Reply::Endless => {
            write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            // Until the client hangs up.
            loop {
                out.write_all(&[b' '; 1 << 16])?;
            }
        }
        Reply::Moved(to) => {
            return write!(
                out,
                "HTTP/1.1 307 X\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Reply::Status(status) => {
            return write!(
                out,
                "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Reply::Sequence(_) => unreachable!("sequences do not nest"),
    };
    let total = bytes.len();
    let body = &bytes[range.unwrap_or(0).min(total)..];
    let status = match range {
        Some(from) => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}",
            total - 1
        ),
        None => "200 OK".to_owned(),
    };
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        out.write_all(&body[..body.len().min(limit)])?;
    }
    out.flush()
}

/// A locked file with these contents at `pool/<package>.deb`.
pub fn locked(package: &str, bytes: &[u8]) -> LockedFile {
    LockedFile {
        package: package.to_owned(),
        version: "1.0+b1".to_owned(),
        archive: "debian".to_owned(),
        path: format!("pool/{package}.deb"),
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

/// Sources that know these mirrors of `debian` and these snapshot archives only.
pub fn sources(mirrors: &[&Server], snapshots: &[&Server]) -> Sources {
    let urls = |servers: &[&Server]| servers.iter().map(|s| s.url.clone()).collect::<Vec<_>>();
    let mut sources = Sources::only(
        [("debian".to_owned(), urls(mirrors))].into(),
        urls(snapshots),
    );
    sources.backoff = Duration::from_millis(1);
    sources
}
