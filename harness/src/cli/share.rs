//! `--share` and `--artifacts`: directories that guests share with the host.

use crate::{
    error::{Error, Result},
    scenario::Scenario,
    vm::share::{Access, Share, check_tag, try_confinement},
};
use clap::Args;
use diorama_wire::{ARTIFACTS_TAG, SHARES};
use std::{
    os::fd::RawFd,
    path::{Path, PathBuf},
};
use tokio::runtime::Runtime;

/// A directory as the command line names it: `[NAME=]DIR[,rw]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareWord {
    /// Its name in the guest, if it is not the directory's own.
    pub name: Option<String>,
    /// Which.
    pub dir: PathBuf,
    /// What the guest may do there.
    pub access: Access,
}

/// Directories that the guests see.
#[derive(Clone, Debug, Default, Args)]
pub struct ShareArgs {
    /// Show the guests this directory as /share/NAME, read-only unless `,rw` is added (repeatable; not in the exact lane)
    #[arg(
        help_heading = "Files",
        long = "share",
        value_name = "[NAME=]DIR[,rw]",
        value_parser = parse_share
    )]
    pub shares: Vec<ShareWord>,
}

/// `diorama serve-directory`
#[derive(Debug, Args)]
pub struct ServeDirectoryArgs {
    /// Descriptor of the directory
    #[arg(long, value_name = "FD")]
    pub directory: RawFd,
    /// Descriptor of a listening socket at which QEMU's connection waits; without one, only try to
    /// confine the process
    #[arg(long, value_name = "FD")]
    pub listener: Option<RawFd>,
    /// What the guest mounts it by
    #[arg(long)]
    pub tag: String,
    /// Let the guest write
    #[arg(long)]
    pub writable: bool,
}

/// Reads `[NAME=]DIR[,rw]`. What stands before a `=` and cannot be a name is a part of the path.
///
/// # Errors
/// When nothing is left of the path.
pub fn parse_share(text: &str) -> std::result::Result<ShareWord, String> {
    let (rest, access) = match text.strip_suffix(",rw") {
        Some(rest) => (rest, Access::Write),
        None => (text, Access::Read),
    };
    let named = rest
        .split_once('=')
        .filter(|(name, _)| check_tag(name).is_ok());
    let (name, dir) = match named {
        Some((name, dir)) => (Some(name.to_owned()), dir),
        None => (None, rest),
    };
    if dir.is_empty() {
        return Err(format!(
            "`{text}` names no directory; use DIR, NAME=DIR or DIR,rw"
        ));
    }
    Ok(ShareWord {
        name,
        dir: PathBuf::from(dir),
        access,
    })
}

/// Looks at the directories and gives each its name in the guest; the one for artifacts, which each
/// guest has its own of, has no place yet. `tell` hears which ones may be changed.
///
/// # Errors
/// When the scenario's lane has no room for them, a directory cannot be shared, or two have one name.
pub fn resolve(
    words: &[ShareWord],
    artifacts: bool,
    scenario: &Scenario,
    tell: &dyn Fn(&str),
) -> Result<Vec<Share>> {
    refuse_exact(words, artifacts, scenario)?;
    let mut shares: Vec<Share> = Vec::new();
    for word in words {
        let share = look(word)?;
        if share.tag == ARTIFACTS_TAG || shares.iter().any(|other| other.tag == share.tag) {
            return Err(Error::input(format!(
                "--share {}: the name `{}` is taken in the guest",
                word.dir.display(),
                share.tag
            ))
            .hint(format!(
                "give it another one: --share NAME={}",
                word.dir.display()
            )));
        }
        if share.access == Access::Write {
            tell(&format!(
                "guests may change {}, which they see as {SHARES}/{}",
                share.dir.display(),
                share.tag
            ));
        }
        shares.push(share);
    }
    if artifacts {
        shares.push(Share {
            tag: ARTIFACTS_TAG.to_owned(),
            dir: PathBuf::new(),
            access: Access::Write,
        });
    }
    Ok(shares)
}

fn refuse_exact(words: &[ShareWord], artifacts: bool, scenario: &Scenario) -> Result<()> {
    let asked = match (words.first(), artifacts) {
        (Some(word), _) => format!("--share {}", word.dir.display()),
        (None, true) => "--artifacts".to_owned(),
        (None, false) => return Ok(()),
    };
    let lane = scenario.lane();
    if !lane.is_exact() {
        return Ok(());
    }
    Err(Error::input(format!(
        "{asked}: this is the {lane}; a shared directory is a device that the host drives, and none may \
         be in a guest before its last measurement: the guest's clock would depend on the host's"
    ))
    .hint("measure by the wall clock, with `--device nvme` for example, or omit the option"))
}

fn look(word: &ShareWord) -> Result<Share> {
    let given = &word.dir;
    let hint = "give a directory that exists and that you may read";
    let dir = std::fs::canonicalize(given).map_err(|e| {
        Error::input(format!("--share {}", given.display()))
            .because(e)
            .hint(hint)
    })?;
    if !dir.is_dir() {
        return Err(
            Error::input(format!("--share {}: it is no directory", given.display())).hint(hint),
        );
    }
    let own = || {
        let name = dir.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let tag = word.name.clone().unwrap_or_else(own);
    check_tag(&tag).map_err(|why| {
        Error::input(format!("--share {}: {why}", given.display()))
            .hint(format!("give it a name: --share NAME={}", given.display()))
    })?;
    Ok(Share {
        tag,
        dir,
        access: word.access,
    })
}

/// How far the servers of these directories are confined on this host, tried before any boot, for the
/// record; none where nothing is shared. `run` stands for directories that have no place yet.
///
/// # Errors
/// When no server can begin.
pub fn confinement(runtime: &Runtime, shares: &[Share], run: &Path) -> Result<Option<String>> {
    let Some(share) = shares.first() else {
        return Ok(None);
    };
    let mut share = share.clone();
    if share.dir.as_os_str().is_empty() {
        run.clone_into(&mut share.dir);
    }
    let confined = runtime.block_on(try_confinement(&share))?;
    let names: Vec<&str> = shares.iter().map(|share| share.tag.as_str()).collect();
    Ok(Some(format!(
        "guests share directories with the host ({}); each is served by a process of its own, confined \
         by {confined}",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    fn word(text: &str) -> ShareWord {
        parse_share(text).unwrap()
    }

    #[test]
    fn a_directory_is_read_with_and_without_a_name() {
        let parts = |text| {
            let ShareWord { name, dir, access } = word(text);
            let access = access == Access::Write;
            (name.unwrap_or_default(), dir.display().to_string(), access)
        };
        let is = |name: &str, dir: &str, write| (name.to_owned(), dir.to_owned(), write);
        assert_eq!(parts("tools"), is("", "tools", false));
        assert_eq!(parts("t=/a/b,rw"), is("t", "/a/b", true));
        assert_eq!(parts("./a=b"), is("", "./a=b", false));
        assert_eq!(parts("t=a=b"), is("t", "a=b", false));
        for text in ["", "t=", ",rw"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    fn scenario(exact: bool) -> Scenario {
        let mut scenario = fixture::results().scenario;
        if !exact {
            scenario.clock = crate::scenario::Clock::Wall;
        }
        scenario
    }

    #[test]
    fn nothing_is_shared_in_the_exact_lane() {
        let refused = |words: &[ShareWord], artifacts| {
            let error = resolve(words, artifacts, &scenario(true), &|_| {}).unwrap_err();
            error.render()
        };
        insta::assert_snapshot!(refused(&[word("tools")], false), @r"
        error: --share tools: this is the exact lane: model device, instructions clock; a shared directory is a device that the host drives, and none may be in a guest before its last measurement: the guest's clock would depend on the host's
          help: measure by the wall clock, with `--device nvme` for example, or omit the option
        ");
        assert!(refused(&[], true).starts_with("error: --artifacts: "));
        assert_eq!(resolve(&[], false, &scenario(true), &|_| {}).unwrap(), []);
    }

    #[test]
    fn a_name_is_the_directorys_own_or_given_and_belongs_to_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path.display().to_string()
        };
        let resolved = |words: &[String], artifacts| {
            let words: Vec<ShareWord> = words.iter().map(|w| word(w)).collect();
            resolve(&words, artifacts, &scenario(false), &|_| {})
        };
        let tags =
            |shares: Vec<Share>| -> Vec<String> { shares.into_iter().map(|s| s.tag).collect() };
        let two = [at("tools"), format!("more={}", at("a b"))];
        let shares = resolved(&two, true).unwrap();
        assert_eq!(tags(shares), ["tools", "more", "artifacts"]);
        for (bad, why) in [
            (vec![at("tools"), at("x/tools")], "is taken"),
            (vec![at("artifacts")], "is taken"),
            (vec![at("a b")], "cannot be"),
            (vec![format!("{}/none", at("tools"))], "none"),
            (vec!["/dev/null".to_owned()], "no directory"),
        ] {
            let error = resolved(&bad, false).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.next_step().is_some(), "{error}");
        }
    }
}
