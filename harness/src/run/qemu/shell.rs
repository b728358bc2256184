//! A cell's guest, prepared as it is before its measurement, with a shell in place of that.

use super::{
    Attempt, CellPlan, KernelPlan, Qemu, With, failed, failed_in, go_on, machine_of, phases,
    report::{GOING, check_hello, gone, outcome_of},
};
use crate::{
    error::{Error, Result},
    run::{Watch, event::Doing},
    vm::{
        Checkpoint, HOTPLUG_BUS, Handover, Machine, Profiling, Spec, Time, Watcher, go_on_as,
        vsock::{FromGuest, GuestLink, ToGuest},
    },
};
use diorama_wire::{Ack, FromShell, Job, Message, Phase, Prepared, StopBy, ToShell};
use serde_json::json;
use std::rc::Rc;
use tokio::{sync::mpsc, time::timeout};

/// A guest with a shell. Dropping it ends the guest.
#[derive(Debug)]
pub struct Shell {
    machine: Machine,
    watcher: Watcher,
    from: FromGuest,
    to: ToGuest,
}

/// How a conversation with a shell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The shell did, with this status.
    Exited(u8),
    /// Nobody listens any more to what it says.
    Unheard,
}

impl Qemu {
    /// Brings a cell's guest to where it would be measured, and starts a shell in it, with the
    /// programs that `userland`, a static busybox, is.
    ///
    /// What came before is the cell's own, to the instruction. From then on its time is
    /// [`Time::Paced`] where it was [`Time::Instructions`].
    ///
    /// # Errors
    /// What came of the guest instead.
    pub async fn shell(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        cpu: usize,
        (shell, userland): (diorama_wire::Shell, Vec<u8>),
        watch: &Watch,
    ) -> Attempt<Shell> {
        let cell = CellPlan {
            job: Job {
                shell: true,
                ..cell.job.clone()
            },
            ..cell.clone()
        };
        let prepared = self.prepared(kernel, &cell, from, cpu, watch).await;
        let (machine, watcher, mut link) = prepared.map_err(|outcome| kernel.explain(outcome))?;
        let within = self.deadlines.report;
        let sent = link.send(&Ack::Shell(Box::new(shell)), within).await;
        let (from, to) = link.split();
        let sent = match sent {
            Ok(()) => to.send(&ToShell::Userland(userland)).await,
            error => error,
        };
        sent.map_err(|e| failed_in("starting the shell", &e, &machine))?;
        Ok(Shell {
            machine,
            watcher,
            from,
            to,
        })
    }

    /// The guest, prepared, and its stream, on which it has said so.
    async fn prepared(
        &self,
        kernel: &KernelPlan,
        cell: &CellPlan,
        from: Option<&Rc<Checkpoint>>,
        cpu: usize,
        watch: &Watch,
    ) -> Attempt<(Machine, Watcher, GuestLink)> {
        let plan = machine_of(kernel)?;
        let with = With {
            vmm: &self.vmm,
            cpu,
            // Without a plugin nothing is.
            profiling: Profiling::FirstWindow { of: 0 },
        };
        let mut watcher = Watcher::new(self.deadlines);
        let begun = self.begin(plan, cell, from, &with, &mut watcher, watch);
        let mut machine = begun.await?.machine;
        let stops = plan.stop_by == StopBy::Pvpanic;
        watcher
            .until(&mut machine, Handover::Done, stops, &phases(watch))
            .await?;
        let mut stopped = stops;
        if plan.spec.time == Time::Instructions {
            machine = self.paced(machine, &plan.spec, stops).await?;
            watcher = Watcher::new(self.deadlines);
            stopped = true;
        }
        watch(Doing::Phase(Phase::Report), "");
        let plugged = self.vsock.plug(&machine.qmp, HOTPLUG_BUS).await;
        let plugged =
            plugged.map_err(|e| failed_in("plugging the vsock device in", &e, &machine))?;
        if stopped {
            go_on(&machine).await?;
        }
        let within = self.deadlines.report;
        let answer = async {
            let mut link = plugged.accept(within).await?;
            check_hello(&link.recv(within).await?, self.agent.as_deref())?;
            let answer = link.recv::<Message>(within).await?;
            if let Message::Failed(_) = answer {
                link.send(&Ack::Received, within).await?;
            }
            Ok((answer, link))
        };
        let answer: Result<(Message, GuestLink)> = tokio::select! {
            biased;
            answer = answer => answer,
            () = gone(&mut machine, &mut watcher) => {
                return Err(watcher.ended(&mut machine, None, &|_, _| {}).await);
            }
        };
        let doing = "asking the guest for a shell";
        match answer {
            Ok((Message::Prepared(prepared), link)) => {
                is_kernel(kernel, &prepared)?;
                Ok((machine, watcher, link))
            }
            Ok((Message::Failed(failure), _)) => Err(outcome_of(failure, &machine)),
            Ok((other, _)) => {
                let what = format!("the agent did not prepare, but said {other:?}");
                Err(failed(doing, &Error::internal(what)))
            }
            Err(error) => Err(failed_in(doing, &error, &machine)),
        }
    }

    /// The same machine by a clock that a person can live with.
    async fn paced(&self, machine: Machine, spec: &Spec, stopped: bool) -> Attempt<Machine> {
        if !stopped && let Err(e) = machine.qmp.execute("stop", json!({})).await {
            return Err(failed_in("stopping the guest", &e, &machine));
        }
        let spec = Spec {
            time: Time::Paced,
            ..spec.clone()
        };
        let paced = go_on_as(machine, &self.vmm, &spec, super::NO_JOB).await;
        paced.map_err(|e| failed("giving the guest a clock for a shell", &e))
    }
}

fn is_kernel(kernel: &KernelPlan, prepared: &Prepared) -> Attempt<()> {
    match kernel.mistaken_for(&prepared.boot) {
        None => Ok(()),
        Some(why) => Err(failed(
            "checking which kernel the guest runs",
            &Error::internal(why).hint("run `diorama cache clear`"),
        )),
    }
}

impl Shell {
    /// Hands the guest what comes from `typed`, and `said` what it says, until its shell ends.
    ///
    /// # Errors
    /// When the guest ends otherwise.
    pub async fn talk(
        &mut self,
        mut typed: mpsc::Receiver<ToShell>,
        said: mpsc::Sender<FromShell>,
    ) -> Attempt<Ended> {
        let Shell {
            machine,
            watcher,
            from,
            to,
        } = self;
        // Apart from what is heard: a guest that says much may not listen meanwhile.
        let tell = async {
            while let Some(frame) = typed.recv().await {
                // A stream that is closed shows where it is listened to.
                if to.send(&frame).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let hear = async {
            loop {
                match from.next::<FromShell>().await? {
                    FromShell::Exited(status) => return Ok(Ended::Exited(status)),
                    words => {
                        if said.send(words).await.is_err() {
                            return Ok(Ended::Unheard);
                        }
                    }
                }
            }
        };
        let heard: Result<Ended> = tokio::select! {
            biased;
            heard = hear => heard,
            () = tell => return Err(failed("typing", &Error::internal("nobody types any more"))),
            () = gone(machine, watcher) => {
                return Err(watcher.ended(machine, None, &|_, _| {}).await);
            }
        };
        match heard {
            Ok(ended) => Ok(ended),
            Err(error) => {
                // A guest on its way out has said why, or its kernel has.
                if timeout(GOING, gone(machine, watcher)).await.is_ok() {
                    return Err(watcher.ended(machine, None, &|_, _| {}).await);
                }
                Err(failed_in("talking to the guest", &error, machine))
            }
        }
    }

    /// Waits until the guest has powered itself off, which it does when its shell has ended; returns
    /// whether it did. Whatever is left of it is ended.
    pub async fn end(self) -> bool {
        let Shell {
            mut machine,
            from,
            to,
            ..
        } = self;
        drop((from, to));
        // Which waits longer than any guest takes.
        let status = machine.status().await;
        if status.is_some_and(|status| status.success()) {
            return true;
        }
        machine.end().await;
        false
    }

    /// Ends the guest at once.
    pub async fn kill(self) {
        self.machine.end().await;
    }
}
