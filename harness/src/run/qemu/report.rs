//! How a guest reports: over vsock, once it is measured.

use super::{Attempt, MachinePlan, Qemu, failed, failed_in, go_on};
use crate::{
    error::{Error, Result},
    profile::Symbols,
    record::Outcome,
    vm::{HOTPLUG_BUS, Machine, Watcher, console_tail},
};
use diorama_wire::{Ack, Failure, FailureKind, Message, PROTOCOL};
use std::{rc::Rc, time::Duration};

impl Qemu {
    /// Plugs the vsock device in and takes the guest's answer, with the kernel's functions if they
    /// are not known yet.
    pub(super) async fn report(
        &self,
        machine: &mut Machine,
        watcher: &mut Watcher,
        stopped: bool,
        plan: &MachinePlan,
    ) -> Attempt<(diorama_wire::CellReport, Rc<Symbols>)> {
        let known = self.symbols.known(&plan.checkpoint);
        let plugged = self.vsock.plug(&machine.qmp, HOTPLUG_BUS).await;
        let plugged =
            plugged.map_err(|e| failed_in("plugging the vsock device in", &e, machine))?;
        if stopped {
            go_on(machine).await?;
        }
        let answer = async {
            let mut link = plugged.accept(self.deadlines.report).await?;
            let hello = link.recv::<Message>(self.deadlines.report).await?;
            check_hello(&hello, self.agent.as_deref())?;
            let answer = link.recv::<Message>(self.deadlines.report).await?;
            let symbols = match known {
                Some(known) => known,
                None if self.plugin.is_none() => Rc::default(),
                None => {
                    link.send(&Ack::Symbols, self.deadlines.report).await?;
                    match link.recv::<Message>(self.deadlines.report).await? {
                        Message::Symbols(said) => {
                            let modules = plan.modules.as_deref();
                            self.symbols.keep(&plan.checkpoint, &said, modules)?
                        }
                        other => {
                            let what =
                                format!("asked for its symbols, the agent answered {other:?}");
                            return Err(Error::internal(what));
                        }
                    }
                }
            };
            link.send(&Ack::Received, self.deadlines.report).await?;
            Ok((answer, symbols))
        };
        // The agent may give up, or the guest end, while its words are awaited. Its answer goes
        // first: it ends once it knows that it was heard.
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = gone(machine, watcher) => {
                return Err(watcher.ended(machine, None, &|_, _| {}).await);
            }
        };
        match answer {
            Ok((Message::Report(report), symbols)) => Ok((*report, symbols)),
            Ok((Message::Failed(failure), _)) => Err(outcome_of(failure, machine)),
            Ok((Message::Hello { .. } | Message::Symbols(_) | Message::Prepared(_), _)) => {
                Err(failed(
                    "taking the report",
                    &Error::internal("the agent sent something other than its report"),
                ))
            }
            Err(error) => {
                // The device goes before the process does: a guest on its way out has said why.
                if tokio::time::timeout(GOING, gone(machine, watcher))
                    .await
                    .is_ok()
                {
                    return Err(watcher.ended(machine, None, &|_, _| {}).await);
                }
                Err(failed_in("taking the report", &error, machine))
            }
        }
    }
}

/// Whether it is our own agent that speaks.
pub(super) fn check_hello(hello: &Message, ours: Option<&str>) -> Result<()> {
    match hello {
        Message::Hello {
            protocol: PROTOCOL,
            build_id,
            ..
        } if Some(build_id.as_str()) == ours => Ok(()),
        Message::Hello {
            protocol,
            agent,
            build_id,
        } => Err(Error::internal(format!(
            "the guest runs agent {agent}, build {build_id}, protocol {protocol}; expected build \
             {}, protocol {PROTOCOL}",
            ours.unwrap_or("unknown")
        ))
        .hint("omit --agent and DIORAMA_AGENT to use the agent built from this checkout")),
        other => Err(Error::internal(format!(
            "the agent's first message was {other:?}"
        ))),
    }
}

/// How long a guest that no longer answers is given to end.
pub(super) const GOING: Duration = Duration::from_secs(5);

/// Returns when the agent has given up or the machine has ended.
pub(super) async fn gone(machine: &mut Machine, watcher: &mut Watcher) {
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        watcher.read_lines(machine, &|_, _| {});
        if watcher.gave_up(machine).is_some() || machine.ended().is_some() {
            return;
        }
    }
}

/// Each kind of the guest's failures is one outcome.
pub(super) fn outcome_of(failure: Failure, machine: &Machine) -> Outcome {
    let Failure {
        kind,
        phase,
        what,
        config,
        output,
    } = failure;
    let mut console = console_tail(machine);
    console.extend(output.lines().map(str::to_owned));
    match kind {
        FailureKind::Unsupported => Outcome::Unsupported { why: what, config },
        FailureKind::Refused => Outcome::Refused { why: what },
        FailureKind::WrongResult => Outcome::WrongResult { why: what },
        FailureKind::Step | FailureKind::NotQuiet => {
            let said = output
                .lines()
                .last()
                .map_or(String::new(), |l| format!(": {l}"));
            Outcome::GuestFault {
                why: format!("in phase `{phase}`: {what}{said}"),
                console,
            }
        }
        FailureKind::Protocol => Outcome::HarnessFailed {
            stage: phase,
            why: what,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agent_that_was_put_into_the_guest_may_answer() {
        let hello = |protocol, build_id: &str| Message::Hello {
            protocol,
            agent: "0.1.0".into(),
            build_id: build_id.into(),
        };
        assert!(check_hello(&hello(PROTOCOL, "5c01"), Some("5c01")).is_ok());
        let refused = [
            (hello(PROTOCOL, "5c01"), Some("77aa")),
            (hello(PROTOCOL, "5c01"), None),
            (hello(PROTOCOL + 1, "5c01"), Some("5c01")),
            (
                Message::Failed(Failure {
                    kind: FailureKind::Step,
                    phase: "start".into(),
                    what: "x".into(),
                    config: Vec::new(),
                    output: String::new(),
                }),
                Some("5c01"),
            ),
        ];
        let words = refused.map(|(hello, ours)| check_hello(&hello, ours).unwrap_err().render());
        insta::assert_snapshot!(words.join("\n"), @r#"
        error: the guest runs agent 0.1.0, build 5c01, protocol 7; expected build 77aa, protocol 7
          help: omit --agent and DIORAMA_AGENT to use the agent built from this checkout
        error: the guest runs agent 0.1.0, build 5c01, protocol 7; expected build unknown, protocol 7
          help: omit --agent and DIORAMA_AGENT to use the agent built from this checkout
        error: the guest runs agent 0.1.0, build 5c01, protocol 8; expected build 5c01, protocol 7
          help: omit --agent and DIORAMA_AGENT to use the agent built from this checkout
        error: the agent's first message was Failed(Failure { kind: Step, phase: "start", what: "x", config: [], output: "" })
        "#);
    }
}
