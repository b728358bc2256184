//! Why a file could not be had from any source, and what follows from that.

use super::http::HttpFailure;
use crate::{error::Error, vocabulary::LockedFile};

/// Why a file is not in the store.
#[derive(Debug)]
pub(crate) enum MissingFile {
    /// Every mirror that answers says that it has it no more, and a witness whose word nobody on the
    /// way can forge, a mirror asked by HTTPS or the snapshot archive, says so too.
    Gone(Error),
    /// Opening it failed for another reason.
    Failed(Error),
}

impl From<Error> for MissingFile {
    fn from(error: Error) -> MissingFile {
        MissingFile::Failed(error)
    }
}

impl From<MissingFile> for Error {
    fn from(missing: MissingFile) -> Error {
        match missing {
            MissingFile::Gone(e) | MissingFile::Failed(e) => e,
        }
    }
}

/// The last failure of every source, in the order tried.
#[derive(Default)]
pub(super) struct Reasons(Vec<(String, HttpFailure)>);

impl Reasons {
    /// Takes note of a failure.
    pub(super) fn add(&mut self, source: String, failure: HttpFailure) {
        match self.0.iter_mut().find(|(s, _)| *s == source) {
            Some((_, last)) => *last = failure,
            None => self.0.push((source, failure)),
        }
    }

    fn any(&self, what: impl Fn(&HttpFailure) -> bool) -> bool {
        self.0.iter().any(|(_, f)| what(f))
    }

    /// Whether the archive has it no more: a mirror is sure of it, and none has it or sent another
    /// file in its place. A mirror that does not answer says nothing either way.
    pub(super) fn gone(&self) -> bool {
        self.any(|f| matches!(f, HttpFailure::Gone(_)))
            && !self.any(|f| matches!(f, HttpFailure::Cut(_) | HttpFailure::Wrong(_)))
    }

    /// Whether more than plain HTTP says so: anybody on the way can answer 404, and what follows from
    /// it is another kernel.
    pub(super) fn witnessed(&self, snapshots: &[String]) -> bool {
        self.0.iter().any(|(source, failure)| {
            matches!(failure, HttpFailure::Gone(_))
                && (source.starts_with("https://") || snapshots.contains(source))
        })
    }

    /// What became of the file; `gone` as the mirrors alone said it, `witnessed` as
    /// [`Reasons::witnessed`] says.
    pub(super) fn into_missing(
        self,
        file: &LockedFile,
        gone: bool,
        witnessed: bool,
    ) -> MissingFile {
        let why: Vec<_> = self.0.iter().map(|(_, f)| f.to_string()).collect();
        let what = format!("fetching {} {}", file.package, file.version);
        let why = why.join("; ");
        if gone && !witnessed {
            let error = Error::fetch(format!(
                "{what}: a mirror says over plain HTTP that it is gone, but no trustworthy source \
                 confirms it"
            ))
            .because(why)
            .hint(
                "set an https:// mirror in DIORAMA_MIRROR_DEBIAN, or a reachable snapshot archive \
                 in DIORAMA_SNAPSHOT; or take what the archive has now with `diorama lock --update \
                 NAME`",
            );
            return MissingFile::Failed(error);
        }
        if gone {
            let error = Error::fetch(format!("{what}: it is gone from the archive"))
                .because(why)
                .hint("resolve it again with `diorama lock --update`");
            return MissingFile::Gone(error);
        }
        let (what, hint) = if self.any(|f| matches!(f, HttpFailure::Wrong(_))) {
            // Never replaced unasked: a person has to say which of the two is to be trusted.
            (
                format!("{what}: what is served is not the locked file"),
                "try another mirror or network; if the lock was edited by hand, refresh it with `diorama lock --update NAME`",
            )
        } else if self.any(|f| matches!(f, HttpFailure::Cut(_))) {
            (
                format!("{what}: the transfer ended early"),
                "run the same command again: it resumes where the transfer stopped",
            )
        } else {
            let refused = |(_, f): &(_, HttpFailure)| matches!(f, HttpFailure::Refused(_));
            let answer = if !self.0.iter().any(refused) {
                "no mirror answered"
            } else if self.0.iter().all(refused) {
                "every mirror refused"
            } else {
                "every mirror refused or did not answer"
            };
            (
                format!("{what}: {answer}"),
                "check the network and the proxy variables, or set a mirror in \
                 DIORAMA_MIRROR_DEBIAN or DIORAMA_MIRROR_DEBIAN_SECURITY",
            )
        };
        MissingFile::Failed(Error::fetch(what).because(why).hint(hint))
    }
}
