//! How far our engines and fio's agree.

use super::{print, width};
use crate::{
    compare::{
        agreement::{self, UserInstructions},
        compare,
    },
    error::Result,
    files::write_atomically,
    record::Results,
    report::{self, Style},
};
use std::path::Path;

/// Prints the tables and writes them into the run's directory.
///
/// # Errors
/// When they cannot be written.
pub fn show(results: &Results, user: &UserInstructions, dir: &Path, color: bool) -> Result<()> {
    let pairs = agreement::agreement(&results.scenario, &compare(&[results]), user);
    let lane = results.scenario.lane();
    let style = Style {
        width: width(),
        color,
        chart: None,
        ..Style::default()
    };
    print(report::agreement_text(&pairs, lane, &style).as_bytes())?;
    let markdown = report::agreement_markdown(&pairs, lane);
    write_atomically(&dir.join("agreement.md"), markdown.as_bytes())
}
