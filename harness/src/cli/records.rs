//! `diorama compare` and `report`: runs recorded before.

use super::{
    args::{Cli, CompareArgs, ReportArgs},
    colors,
    context::results_root,
    print, print_json, width,
};
use crate::{
    bundle::{Opened, Unseen},
    error::{Error, Exit, Result},
    files,
    record::{self, Results},
    report::{self, Detail, Format, Report, Style},
};
use std::path::Path;

/// Tables of one run or of several.
pub fn compare(cli: &Cli, args: &CompareArgs) -> Result<Exit> {
    let mut runs = read_runs(&results_root(&cli.places)?, &args.runs)?;
    if let Some(baseline) = &args.baseline {
        for run in &mut runs {
            if !run.scenario.subjects.iter().any(|s| s.is(baseline)) {
                let names = run.scenario.subject_names();
                return Err(
                    Error::input(format!("run {} has no row `{baseline}`", run.run_id))
                        .hint(format!("its rows are {}", names.join(", "))),
                );
            }
            run.scenario.rebase(baseline);
        }
    }
    let (first, others) = runs.split_first().expect("clap asks for at least one run");
    let report = Report::of_runs(first, &others.iter().collect::<Vec<_>>());
    if args.json {
        print_json(&report)?;
    } else {
        let style = Style {
            detail: Detail::verbose(args.verbose),
            width: width(),
            color: colors(cli.color),
            chart: None,
        };
        print(&report::render(&report, Format::Terminal, &style)?)?;
    }
    Ok(exit(&report))
}

/// Equal inputs with other digits are no yes, and neither is a comparison that compares nothing.
fn exit(report: &Report) -> Exit {
    let comparison = &report.comparison;
    let several = comparison.runs.len() > 1;
    match comparison.alarms.is_empty() && (!several || comparison.answers()) {
        true => Exit::Ok,
        false => Exit::NotReproduced,
    }
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
        // A file has everything.
        detail: Detail::verbose(args.verbose || !to_terminal),
        ..Style::default()
    };
    let report = Report::new(&results);
    let bytes = report::render(&report, format, &style)?;
    match &args.output {
        None => print(&bytes)?,
        Some(path) if path.is_dir() => {
            let name = format!("report.{}", extension(format));
            return Err(
                Error::input(format!("{} is a directory", path.display())).hint(format!(
                    "give a file: --output {}",
                    path.join(name).display()
                )),
            );
        }
        Some(path) => files::write_atomically(path, &bytes)?,
    }
    Ok(exit(&report))
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

/// The records that are named: the one place where `compare` and `diff` get theirs. A file is an image,
/// every byte of which is checked before its record is taken.
pub(super) fn read_runs(root: &Path, runs: &[impl AsRef<str>]) -> Result<Vec<Results>> {
    let read = |run: &str| match Path::new(run).is_file() {
        true => Opened::read(Path::new(run), &Unseen).map(|opened| opened.results),
        false => record::open(root, run).map(|(_, results)| results),
    };
    runs.iter().map(|run| read(run.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare::fixture, digest::Sha256, record::Outcome};

    fn run(id: &str) -> Results {
        let mut results = fixture::results();
        results.run_id = id.into();
        for (i, cell) in results.cells.iter_mut().enumerate() {
            cell.inputs = Some(Sha256::of(&i.to_be_bytes()));
        }
        results
    }

    #[test]
    fn a_comparison_with_an_alarm_or_of_nothing_is_no_yes() {
        let (a, mut b) = (run("a"), run("b"));
        assert_eq!(exit(&Report::of_runs(&a, &[&b])), Exit::Ok);
        let Outcome::Measured(measured) = &mut b.cells[0].outcome else {
            panic!("the fixture's cells are measured");
        };
        measured.guest.repetitions[0].interrupts += 1;
        let report = Report::of_runs(&a, &[&b]);
        assert_eq!(exit(&report), Exit::NotReproduced);
        let style = Style::default();
        let text = report::render(&report, Format::Terminal, &style).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("! EQUAL INPUTS, DIFFERENT DIGITS: 5.10/ext4/read-4k of a"),
            "{text}"
        );

        let mut c = run("c");
        for cell in &mut c.cells {
            cell.inputs = None;
        }
        // One key that differs is what is compared; two are nothing.
        fixture::model(&mut c.scenario).latency_ns += 1;
        assert_eq!(exit(&Report::of_runs(&a, &[&c])), Exit::Ok);
        fixture::model(&mut c.scenario).hw_queue_depth -= 1;
        assert_eq!(exit(&Report::of_runs(&a, &[&c])), Exit::NotReproduced);
        assert_eq!(exit(&Report::new(&a)), Exit::Ok);
    }

    #[test]
    fn two_job_files_of_one_name_are_two_jobs() {
        let (mut a, mut b) = (run("a"), run("b"));
        for (run, jobs) in [(&mut a, "[j]\nthread\n"), (&mut b, "[j]\n")] {
            for cell in &mut run.cells {
                cell.inputs = None;
            }
            for workload in &mut run.scenario.workloads {
                workload.fio = Some(diorama_wire::Fio {
                    jobs: jobs.into(),
                    files: Vec::new(),
                });
            }
        }
        assert_eq!(exit(&Report::of_runs(&a, &[&b])), Exit::NotReproduced);
        b.scenario.workloads.clone_from(&a.scenario.workloads);
        assert_eq!(exit(&Report::of_runs(&a, &[&b])), Exit::Ok);
    }
}
