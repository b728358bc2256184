//! How a drive is made ready for a cell: words and what they may not mean together (pure).

use super::DeviceKind;
use super::parse::RawConditioning;
use super::problems::{At, Problems};
use super::rules::choice;
use diorama_wire::{Conditioning, NvmeFormat, Precondition};

/// How the drive of every cell is made ready. `written` is the scenario's own device, `device` the one
/// that is used: what was written for another device than the modelled one is not for that.
pub(super) fn conditioning(
    raw: &RawConditioning,
    written: DeviceKind,
    device: DeviceKind,
    problems: &mut Problems,
) -> Option<Conditioning> {
    let formats = NvmeFormat::ALL.map(|format| (format.name(), format));
    let fills = Precondition::ALL.map(|fill| (fill.name(), fill));
    let format = word(raw.format.as_ref(), "formats", &formats, problems);
    let precondition = word(
        raw.precondition.as_ref(),
        "kinds of preconditioning",
        &fills,
        problems,
    );
    let conditioning = Conditioning {
        format: format?,
        discard: raw.discard.as_ref().is_some_and(|flag| flag.value),
        precondition: precondition?,
    };
    if device != DeviceKind::Model {
        return Some(conditioning);
    }
    if conditioning.is_none() || written != DeviceKind::Model {
        return Some(Conditioning::default());
    }
    let asked = [
        (raw.format.as_ref().map(|word| &word.at))
            .filter(|_| conditioning.format != NvmeFormat::None),
        (raw.discard.as_ref().map(|flag| &flag.at)).filter(|_| conditioning.discard),
        raw.precondition.as_ref().map(|word| &word.at),
    ];
    if let Some(at) = asked.into_iter().flatten().next() {
        let what = "the modelled drive is made anew for every cell, so there is nothing to format, \
                    discard or fill";
        problems.add(at, what, "leave it out, or use device = \"nvme\"");
    }
    None
}

fn word<T: Copy + Default>(
    raw: Option<&At<String>>,
    kind: &str,
    choices: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    match raw {
        Some(word) => choice(word, kind, choices, problems),
        None => Some(T::default()),
    }
}
