//! `diorama calibrate`: can this machine, this drive and this scenario tell a known slowdown from nothing?

use super::{
    args::{CalibrateArgs, Cli},
    control::Control,
    measuring::{Judge, Then},
    repro,
};
use crate::error::{Exit, Result};

/// Measures the baseline against itself, and against itself throttled.
pub fn calibrate(cli: &Cli, args: &CalibrateArgs) -> Result<Exit> {
    let control = Control {
        slowdown: (!args.aa_only).then_some(args.slowdown),
    };
    let then = Then::Calibrate(control);
    repro::repro(cli, &args.select, &args.measure, Judge::No, then)
}
