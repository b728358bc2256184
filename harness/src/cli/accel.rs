//! What executes guests that run by the wall clock: KVM by trial, never by looking at its device file.

use super::choices::AccelChoice;
use crate::{
    error::{Error, Result},
    host::probe::kvm,
    plan::PreparedKernel,
    vm::{self, Time, Vmm},
    vocabulary::{Accel, KvmTrial},
};
use std::{num::NonZeroU32, time::Duration};

/// A guest under KVM says something within this time, or hangs.
const KVM_SILENCE: Duration = Duration::from_secs(20);

/// The same where a phase of a guest may take `deadline` seconds: a slow machine is silent for longer.
#[must_use]
pub fn kvm_silence(deadline: Option<NonZeroU32>) -> Duration {
    let slow = deadline.map(|s| Duration::from_secs(s.get().into()));
    slow.map_or(KVM_SILENCE, |slow| slow.max(KVM_SILENCE))
}

/// Decides for guests that run by the wall clock, with what a reader must know of it; the others are
/// left alone.
///
/// # Errors
/// When KVM was asked for and does not run guests.
pub fn decide(
    (choice, deadline): (AccelChoice, Option<NonZeroU32>),
    vmm: &Vmm,
    kernels: &mut [PreparedKernel],
    tell: &dyn Fn(&str),
) -> Result<Option<String>> {
    let silence = kvm_silence(deadline);
    let specs = kernels.iter_mut().filter_map(PreparedKernel::spec_mut);
    let mut specs: Vec<_> = specs
        .filter(|spec| spec.time != Time::Instructions)
        .collect();
    let Some(first) = specs.first() else {
        return Ok(None);
    };
    let trial = (choice != AccelChoice::Tcg).then(|| {
        tell("trying KVM with a guest");
        kvm(|| vm::try_kvm(vmm, &first.kernel, silence))
    });
    let accel = chosen(choice, trial.as_ref())?;
    for spec in &mut specs {
        spec.time = Time::Wall(accel);
    }
    Ok((accel == Accel::Tcg).then(|| {
        let why = trial.map_or("as asked".to_owned(), |t| format!("KVM: {t}"));
        format!(
            "guests run under TCG, an emulator ({why}): figures by the wall clock are the \
             emulator's, not a machine's"
        )
    }))
}

/// What a trial makes of a choice; none was needed for TCG.
fn chosen(choice: AccelChoice, trial: Option<&KvmTrial>) -> Result<Accel> {
    match (choice, trial) {
        (_, Some(KvmTrial::Works { .. })) => Ok(Accel::Kvm),
        (AccelChoice::Kvm, trial) => {
            let why = trial.map_or("not tried".to_owned(), ToString::to_string);
            Err(Error::host(format!("KVM does not run guests here: {why}"))
                .hint("run `diorama doctor`, or use --accel tcg"))
        }
        (AccelChoice::Auto | AccelChoice::Tcg, _) => Ok(Accel::Tcg),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_kvm_is_explained_and_never_used() {
        let works = KvmTrial::Works { after_s: 1.0 };
        let broken = KvmTrial::Failed {
            why: "error: failed to set MSR 0x10a".into(),
        };
        let auto = |trial| chosen(AccelChoice::Auto, Some(trial)).unwrap();
        assert_eq!(auto(&works), Accel::Kvm);
        assert_eq!(auto(&broken), Accel::Tcg);
        assert_eq!(chosen(AccelChoice::Tcg, None).unwrap(), Accel::Tcg);
        let error = chosen(AccelChoice::Kvm, Some(&broken)).unwrap_err();
        assert!(error.to_string().contains("MSR 0x10a"), "{error}");
    }
}
