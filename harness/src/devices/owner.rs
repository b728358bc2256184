//! Which process something belongs to, so that it can be told whether it still lives: a process id
//! alone is given to another process sooner or later.

use super::host::{AS_THE_HOST, Host, attribute};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A process, for good: ids are unique together with the start time, start times within one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since the boot (field 22 of /proc/PID/stat).
    pub started: u64,
    /// The host's boot (/proc/sys/kernel/random/boot_id).
    pub boot_id: String,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It lives.
    Lives,
    /// It has ended.
    Ended,
    /// The host was restarted since.
    Restarted,
}

impl Owner {
    /// This process.
    ///
    /// # Errors
    /// When procfs does not say it.
    pub fn this(host: &Host) -> Result<Owner> {
        let this = || {
            let stat = attribute(&host.proc("self/stat"))?;
            Some(Owner {
                pid: stat.split(' ').next()?.parse().ok()?,
                started: state_and_start(&stat)?.1,
                boot_id: boot_id(host)?,
            })
        };
        this().ok_or_else(|| {
            Error::host("reading this process's id and start time from /proc").hint(AS_THE_HOST)
        })
    }

    /// What became of it.
    #[must_use]
    pub fn fate(&self, host: &Host) -> Fate {
        // Where the boot cannot be read, the process decides.
        if boot_id(host).is_some_and(|now| now != self.boot_id) {
            return Fate::Restarted;
        }
        let stat = attribute(&host.proc(format!("{}/stat", self.pid)));
        match stat.as_deref().and_then(state_and_start) {
            // Dead, but not waited for.
            Some(('Z' | 'X', _)) | None => Fate::Ended,
            Some((_, started)) if started == self.started => Fate::Lives,
            Some(_) => Fate::Ended,
        }
    }
}

fn boot_id(host: &Host) -> Option<String> {
    attribute(&host.proc("sys/kernel/random/boot_id"))
}

/// proc_pid_stat(5); the name, in parentheses, may hold anything.
fn state_and_start(stat: &str) -> Option<(char, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_id_start_and_boot() {
        let host = Host::here();
        let this = Owner::this(&host).unwrap();
        assert_eq!(this.pid, std::process::id());
        assert_eq!(this.fate(&host), Fate::Lives);
        let another = |change: fn(&mut Owner)| {
            let mut owner = this.clone();
            change(&mut owner);
            owner.fate(&host)
        };
        assert_eq!(another(|o| o.started += 1), Fate::Ended);
        // Beyond any PID_MAX_LIMIT.
        assert_eq!(another(|o| o.pid = 1 << 30), Fate::Ended);
        assert_eq!(another(|o| o.boot_id.push('x')), Fate::Restarted);
    }

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        let rest = "1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        let stat = |state: &str| format!("42 (a) S 1 (b) {state} {rest}");
        assert_eq!(state_and_start(&stat("R")), Some(('R', 777)));
        assert_eq!(state_and_start("42 (a) R 1 2"), None);
    }
}
