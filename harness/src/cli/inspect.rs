//! `diorama compare` and `report`: runs recorded before.

use super::{
    args::{Cli, CompareArgs, ReportArgs},
    colors,
    context::results_root,
    print, print_json, width,
};
use crate::{
    error::{Error, Exit, Result},
    record::{self, Results},
    report::{self, Format, Report, Style},
};
use std::path::Path;

/// Tables of one run or of several.
pub fn compare(cli: &Cli, args: &CompareArgs) -> Result<Exit> {
    let mut runs = read_runs(&results_root(&cli.places)?, &args.runs)?;
    if let Some(baseline) = &args.baseline {
        for run in &mut runs {
            if !run.kernels.iter().any(|k| k.name == *baseline) {
                let names: Vec<&str> = run.kernels.iter().map(|k| k.name.as_str()).collect();
                return Err(
                    Error::input(format!("run {} has no kernel `{baseline}`", run.run_id))
                        .hint(format!("its kernels are {}", names.join(", "))),
                );
            }
            run.scenario.baseline.clone_from(baseline);
            // Claims about ratios were made about another baseline.
            run.scenario.expect.retain(|claim| !claim.relative);
        }
    }
    let (first, others) = runs.split_first().expect("clap asks for at least one run");
    let report = Report::of_runs(first, &others.iter().collect::<Vec<_>>());
    if args.json {
        print_json(&report)?;
    } else {
        let style = Style {
            width: width(),
            color: colors(cli.color),
            chart: None,
        };
        print(&report::render(&report, Format::Terminal, &style)?)?;
    }
    Ok(Exit::Ok)
}

/// One run in one form.
pub fn report(cli: &Cli, args: &ReportArgs) -> Result<Exit> {
    let (_, results) = record::open(&results_root(&cli.places)?, &args.run)?;
    let format = args.format;
    let to_terminal = args.output.is_none() && format == Format::Terminal;
    let style = Style {
        width: if to_terminal {
            width()
        } else {
            Style::default().width
        },
        color: to_terminal && colors(cli.color),
        ..Style::default()
    };
    let bytes = report::render(&Report::new(&results), format, &style)?;
    match &args.output {
        None => print(&bytes)?,
        Some(path) if path.is_dir() => {
            let name = format!("report.{}", extension(format));
            return Err(
                Error::input(format!("{} is a directory", path.display())).hint(format!(
                    "name a file: --output {}",
                    path.join(name).display()
                )),
            );
        }
        Some(path) => record::write_atomically(path, &bytes)?,
    }
    Ok(Exit::Ok)
}

/// What a file of this format is usually called.
fn extension(format: Format) -> &'static str {
    match format {
        Format::Terminal => "txt",
        Format::Markdown => "md",
        Format::Org => "org",
        Format::Csv => "csv",
        Format::Json => "json",
        Format::Junit => "xml",
        Format::Svg => "svg",
        Format::Png => "png",
    }
}

fn read_runs(root: &Path, runs: &[String]) -> Result<Vec<Results>> {
    runs.iter()
        .map(|run| record::open(root, run).map(|(_, results)| results))
        .collect()
}
