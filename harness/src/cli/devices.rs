//! `diorama devices`.

use super::{
    args::{DevicesArgs, DevicesVerb, Places},
    context::Context,
    print_json, print_text,
};
use crate::{
    devices::{self, Host, Journal, Outcome, PciAddress, Recovered},
    error::{Error, Exit, Result},
};

/// Lists the host's NVMe controllers, or gives back those that were bound.
pub fn devices(places: &Places, args: &DevicesArgs) -> Result<Exit> {
    let host = Host::here();
    match &args.verb {
        Some(DevicesVerb::Restore) => {
            let journal = Journal::of(&Context::store(places)?);
            restored(devices::recover(&host, &journal), print_text)
        }
        None => {
            let listed = devices::list(&host)?;
            if args.json {
                print_json(&listed)?;
            } else {
                print_text(&devices::render(&listed))?;
            }
            Ok(Exit::Ok)
        }
    }
}

/// Says what came of each; what could not be given back is an error, after everything else was said.
fn restored(all: Vec<Recovered>, mut say: impl FnMut(&str) -> Result<()>) -> Result<Exit> {
    if all.is_empty() {
        say("nothing to restore\n")?;
    }
    let mut failed = Vec::new();
    for Recovered { address, outcome } in all {
        match outcome {
            Outcome::Failed(error) => failed.push(error),
            outcome => say(&format!("{}\n", words(address, &outcome)))?,
        }
    }
    Error::unless_none(failed, |n| format!("{n} devices were not restored"))?;
    Ok(Exit::Ok)
}

/// What came of giving a device back, in a line.
pub fn words(address: Option<PciAddress>, outcome: &Outcome) -> String {
    let device = address.map_or_else(|| "the journal".to_owned(), |a| a.to_string());
    let words = match outcome {
        Outcome::Restored(Some(driver)) => format!("{driver} has it again"),
        Outcome::Restored(None) => "no driver has it, as before".to_owned(),
        Outcome::InUse(who) => format!("left alone, {who} uses it"),
        Outcome::Void(why) => format!("nothing to restore, {why}"),
        Outcome::Failed(error) => format!("not restored: {error}"),
    };
    format!("{device}: {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outcomes: Vec<Outcome>) -> (String, Result<Exit>) {
        let address = "0000:01:00.0".parse().ok();
        let all = outcomes.into_iter();
        let all = all.map(|outcome| Recovered { address, outcome });
        let mut text = String::new();
        let exit = restored(all.collect(), |words| {
            text.push_str(words);
            Ok(())
        });
        (text, exit)
    }

    #[test]
    fn whatever_came_of_restoring_is_said() {
        let (text, exit) = said(Vec::new());
        assert_eq!(
            (text.as_str(), exit.unwrap()),
            ("nothing to restore\n", Exit::Ok)
        );
        let (text, exit) = said(vec![
            Outcome::Restored(Some("nvme".into())),
            Outcome::Failed(Error::host("writing to /sys/x")),
            Outcome::Restored(None),
            Outcome::InUse("process 4711".into()),
            Outcome::Void("the host was restarted since".into()),
        ]);
        insta::assert_snapshot!(text, @r"
        0000:01:00.0: nvme has it again
        0000:01:00.0: no driver has it, as before
        0000:01:00.0: left alone, process 4711 uses it
        0000:01:00.0: nothing to restore, the host was restarted since
        ");
        assert_eq!(
            exit.unwrap_err().exit(),
            Exit::Host,
            "and the others are restored"
        );
        let (_, exit) = said(vec![
            Outcome::Failed(Error::host("a")),
            Outcome::Failed(Error::input("b")),
        ]);
        insta::assert_snapshot!(exit.unwrap_err().render(), @r"
        error: 2 devices were not restored
        - a
        - b
        ");
    }
}
