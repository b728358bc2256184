//! One HTTP request at a time: whole small answers, HEAD, and resumable downloads.

use super::sources::Sources;
use std::{fmt, io::Read};
use ureq::{RequestBuilder, typestate::WithoutBody};

/// Why a request gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// The server is sure that it does not have it (404, 410).
    Gone(String),
    /// May work later, and says nothing of the file: no connection, time-out, 5xx.
    Transient(String),
    /// It has the file, but the transfer ended early.
    Cut(String),
    /// The server will not: another mirror may.
    Refused(String),
    /// What it sent under this name is another file.
    Wrong(String),
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpFailure::Gone(why)
            | HttpFailure::Transient(why)
            | HttpFailure::Cut(why)
            | HttpFailure::Refused(why)
            | HttpFailure::Wrong(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HttpFailure {}

/// An answer whose body may be read.
pub struct Answer {
    /// Whether it continues at the offset asked for (206).
    pub resumed: bool,
    /// Content-Length.
    pub length: Option<u64>,
    /// The body.
    pub body: ureq::BodyReader<'static>,
}

/// A request that says what every request to these sources does.
fn with_headers(
    request: RequestBuilder<WithoutBody>,
    sources: &Sources,
) -> RequestBuilder<WithoutBody> {
    let headers = sources.headers().iter();
    headers.fold(request, |request, (name, value)| {
        request.header(*name, value)
    })
}

/// GET from an offset.
pub fn get(sources: &Sources, url: &str, offset: u64) -> Result<Answer, HttpFailure> {
    let mut request = with_headers(sources.agent().get(url), sources);
    if offset > 0 {
        request = request.header("Range", format!("bytes={offset}-"));
    }
    let response = request.call().map_err(|e| failed(url, &e))?;
    let status = response.status().as_u16();
    check(url, status)?;
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
    let length = header("content-length").and_then(|v| v.parse().ok());
    if status == 206
        && !header("content-range").is_some_and(|v| v.starts_with(&format!("bytes {offset}-")))
    {
        return Err(HttpFailure::Refused(format!(
            "{url}: the server sent a different range than requested"
        )));
    }
    Ok(Answer {
        resumed: status == 206,
        length,
        body: response.into_body().into_reader(),
    })
}

/// GET of a whole answer of at most `limit` bytes.
pub fn get_all(sources: &Sources, url: &str, limit: u64) -> Result<Vec<u8>, HttpFailure> {
    let answer = get(sources, url, 0)?;
    let mut bytes = Vec::new();
    answer
        .body
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| HttpFailure::Transient(format!("{url}: {e}")))?;
    if bytes.len() as u64 > limit {
        return Err(HttpFailure::Refused(format!(
            "{url}: longer than {limit} bytes"
        )));
    }
    if let Some(length) = answer.length.filter(|&n| n != bytes.len() as u64) {
        return Err(HttpFailure::Transient(format!(
            "{url}: cut short after {} of {length} bytes",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// HEAD: the Content-Length, if the server says.
pub fn head(sources: &Sources, url: &str) -> Result<Option<u64>, HttpFailure> {
    let request = with_headers(sources.agent().head(url), sources);
    let response = request.call().map_err(|e| failed(url, &e))?;
    check(url, response.status().as_u16())?;
    let length = response.headers().get("content-length");
    Ok(length.and_then(|v| v.to_str().ok()?.parse().ok()))
}

/// Asks the first mirror of Debian's archive for anything at all: its URL, or why it does not
/// answer.
///
/// # Errors
/// A sentence for a person.
pub fn reach(sources: &Sources) -> Result<String, String> {
    let bases = sources.mirrors("debian").map_err(|e| e.to_string())?;
    let base = bases.first().ok_or("no mirror is configured")?;
    match head(sources, &format!("{base}/dists/stable/Release")) {
        Ok(_) => Ok(base.clone()),
        Err(failure) => Err(format!("{base}: {failure}")),
    }
}

fn check(url: &str, status: u16) -> Result<(), HttpFailure> {
    match status {
        200 | 206 => Ok(()),
        404 | 410 => Err(HttpFailure::Gone(format!("{url}: gone (HTTP {status})"))),
        408 | 425 | 429 | 500.. => Err(HttpFailure::Transient(format!("{url}: HTTP {status}"))),
        _ => Err(HttpFailure::Refused(format!("{url}: HTTP {status}"))),
    }
}

fn failed(url: &str, error: &ureq::Error) -> HttpFailure {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Tls(_) | ureq::Error::TooManyRedirects => {
            HttpFailure::Refused(format!("{url}: {error}"))
        }
        _ => HttpFailure::Transient(format!("{url}: {error}")),
    }
}
