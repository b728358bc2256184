//! One error type for the whole harness: what was being done, with which value, why it failed
//! (the chain of sources), the one next step (the hint), and how the process exits.

use crate::text;
use std::{error::Error as StdError, fmt, io::ErrorKind, process::ExitCode};

/// How `diorama` exits. Documented in the README; a script may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Success; the scenario's claims, if any, held.
    Ok = 0,
    /// Measured, but the answer is no: NOT REPRODUCED, or `--verify` or `diff` found a difference.
    NotReproduced = 1,
    /// Bad input: command line, scenario, kernel definition, an unreadable record.
    Input = 2,
    /// Something could not be fetched or verified: network, archive, lock, corrupt cache.
    Fetch = 3,
    /// A problem with the host: disk full, memory, permissions, a missing facility.
    Host = 4,
    /// Some cell was not measured (guest fault, timeout, unsupported); the rest is on disk.
    Incomplete = 5,
    /// The harness itself failed: a bug or a broken invariant.
    Internal = 6,
    /// Stopped by SIGINT (128 + 2).
    Interrupted = 130,
    /// Stopped by SIGTERM (128 + 15).
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The harness's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// An error that names what was being done, its cause and the one next step.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    exit: Exit,
    what: String,
    hint: Option<String>,
    source: Option<Source>,
}

impl Error {
    /// An error without a cause below it.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            exit,
            what: what.into(),
            hint: None,
            source: None,
        }))
    }

    /// Bad input ([`Exit::Input`]).
    #[must_use]
    pub fn input(what: impl Into<String>) -> Error {
        Error::new(Exit::Input, what)
    }

    /// A problem with the host ([`Exit::Host`]).
    #[must_use]
    pub fn host(what: impl Into<String>) -> Error {
        Error::new(Exit::Host, what)
    }

    /// A fetch or a verification failed ([`Exit::Fetch`]).
    #[must_use]
    pub fn fetch(what: impl Into<String>) -> Error {
        Error::new(Exit::Fetch, what)
    }

    /// The harness itself failed ([`Exit::Internal`]).
    #[must_use]
    pub fn internal(what: impl Into<String>) -> Error {
        Error::new(Exit::Internal, what)
    }

    /// Several errors of one kind, one below the other; it exits as the first does.
    #[must_use]
    pub fn listing(what: impl Into<String>, errors: &[Error]) -> Error {
        let mut text = what.into();
        for error in errors {
            let rendered = error.render();
            let one = rendered.strip_prefix("error: ").unwrap_or(&rendered);
            text.push_str(&format!("\n- {one}"));
        }
        let exit = errors.first().map_or(Exit::Internal, Error::exit);
        Error::new(exit, text)
    }

    /// Whether all of several went well.
    ///
    /// # Errors
    /// The one that did not; several as [`Error::listing`], below what `what` makes of their number.
    pub fn unless_none(mut errors: Vec<Error>, what: impl FnOnce(usize) -> String) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            n => Err(Error::listing(what(n), &errors)),
        }
    }

    /// A failed system call on a file: `doing` names the verb ("writing"), `path` the file.
    /// A full disk is the host's fault and says so.
    #[must_use]
    pub fn io(doing: &str, path: &std::path::Path, source: std::io::Error) -> Error {
        let full = matches!(
            source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        );
        let kind = source.kind();
        let what = format!("{doing} {}", path.display());
        let ours = matches!(kind, ErrorKind::InvalidInput | ErrorKind::FileTooLarge);
        if ours && source.raw_os_error().is_none() {
            // `files` refused it.
            return Error::input(what)
                .because(source)
                .hint("use a regular file");
        }
        let error = Error::host(what).because(source);
        match kind {
            _ if full => error.hint(format!(
                "free up space on the disk that holds {}",
                path.display()
            )),
            ErrorKind::FileTooLarge => error.hint("raise the file size limit (`ulimit -f`)"),
            _ => error,
        }
    }

    /// Adds the one next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Source>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Puts a wider context above this error, keeping exit code and hint.
    #[must_use]
    pub fn while_(self, what: impl Into<String>) -> Error {
        let (exit, hint) = (self.0.exit, self.0.hint.clone());
        Error(Box::new(Inner {
            exit,
            what: what.into(),
            hint,
            source: Some(Box::new(self)),
        }))
    }

    /// How the process exits on it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.0.exit
    }

    /// The next step, if there is one.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Message, causes and hint as a person reads them: one line each.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("error: {}", self.0.what);
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(&format!("\n  caused by: {error}"));
            cause = error.source();
        }
        if let Some(hint) = &self.0.hint {
            text.push_str(&format!("\n  help: {hint}"));
        }
        // What is named may be anybody's.
        text::lines(&text::cut_long_words(&text))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_errors_keep_their_causes_and_next_steps() {
        let one = |name: &str| {
            Error::input(format!("{name} is no kernel"))
                .hint("give a bzImage")
                .while_(format!("preparing kernel `{name}`"))
        };
        let all = Error::listing("2 kernels cannot be used", &[one("a"), one("b")]);
        assert_eq!(all.exit(), Exit::Input);
        insta::assert_snapshot!(all.render(), @r"
        error: 2 kernels cannot be used
        - preparing kernel `a`
          caused by: a is no kernel
          help: give a bzImage
        - preparing kernel `b`
          caused by: b is no kernel
          help: give a bzImage
        ");
    }

    #[test]
    fn a_rendered_error_names_what_why_and_the_next_step() {
        let error = Error::io("writing", "/x/y".as_ref(), ErrorKind::StorageFull.into())
            .while_("storing cell 6.12/ext4/read-4k");
        insta::assert_snapshot!(error.render(), @r"
        error: storing cell 6.12/ext4/read-4k
          caused by: writing /x/y
          caused by: no storage space
          help: free up space on the disk that holds /x/y
        ");
        assert_eq!(error.exit(), Exit::Host);
    }
}
