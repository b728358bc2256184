//! `diorama gallery`: the published reports of scenarios/gallery, one run each, and one page about all.

use super::{
    args::{Cli, GalleryArgs, SelectArgs},
    context::Context,
    measuring::{Judge, Then},
    print, print_json, repro, signals,
};
use crate::{
    error::{Error, Exit, Result},
    files::write_atomically,
    report::{GalleryEntry, GalleryRun, Report, gallery_markdown, gallery_summary},
    scenario,
    suggest::next_step,
};
use std::{
    io::{self, Write as _},
    path::Path,
};

/// The page, in the directory of results.
const PAGE: &str = "gallery.md";

/// Runs every entry, and says whether each ended as its scenario says that it does.
pub fn gallery(cli: &Cli, args: &GalleryArgs) -> Result<Exit> {
    let context = Context::new(&cli.places, args.measure.inputs.offline)?;
    let names = wanted(&args.entries, &scenario::gallery(&context.root))?;
    let results = context.results();
    // Every run opens the store by itself.
    drop(context);
    let mut entries = Vec::new();
    let mut exit = Exit::Ok;
    for (i, name) in names.iter().enumerate() {
        let _ = writeln!(io::stderr(), "{name} ({} of {})", i + 1, names.len());
        let select = SelectArgs {
            scenario: name.clone(),
            ..SelectArgs::default()
        };
        let run = match repro::measured(cli, &select, &args.measure, Judge::Elsewhere, Then::End) {
            Ok((ended, finished)) => {
                // Whoever stopped one of them meant all.
                if let Some(exit) = signals::exit(finished.stopped) {
                    return Ok(exit);
                }
                exit = worse(exit, ended);
                GalleryRun::Ran {
                    report: Box::new(Report::new(&finished.results)),
                    path: format!("{}/report.md", finished.results.run_id),
                }
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "{}", error.render());
                exit = worse(exit, error.exit());
                GalleryRun::Failed(first_line(&error))
            }
        };
        entries.push(GalleryEntry {
            name: name.clone(),
            run,
        });
    }
    show(&entries, &results, args.measure.json)?;
    if entries.iter().any(|entry| entry.surprise().is_some()) {
        exit = worse(exit, Exit::NotReproduced);
    }
    Ok(exit)
}

/// Prints the page, or all reports as data, and keeps the page.
fn show(entries: &[GalleryEntry], results: &Path, json: bool) -> Result<()> {
    let page = gallery_markdown(entries);
    if json {
        let reports = entries.iter().filter_map(|entry| match &entry.run {
            GalleryRun::Ran { report, .. } => Some((&entry.name, report)),
            GalleryRun::Failed(_) => None,
        });
        print_json(&reports.collect::<std::collections::BTreeMap<_, _>>())?;
    } else {
        print(page.as_bytes())?;
    }
    let path = results.join(PAGE);
    std::fs::create_dir_all(results).map_err(|e| Error::io("creating", results, e))?;
    write_atomically(&path, page.as_bytes())?;
    let summary = gallery_summary(entries);
    let _ = writeln!(io::stderr(), "{summary}\npage: {}", path.display());
    Ok(())
}

/// The entries that the command line names; all, if it names none.
fn wanted(named: &[String], all: &[String]) -> Result<Vec<String>> {
    let prefix = format!("{}/", scenario::GALLERY);
    let known: Vec<&str> = all.iter().map(String::as_str).collect();
    if known.is_empty() {
        return Err(Error::input("there is no scenario in scenarios/gallery")
            .hint("run this in a clone of the repository, or give one with --root"));
    }
    for name in named {
        let whole = format!("{prefix}{name}");
        if !known.contains(&name.as_str()) && !known.contains(&whole.as_str()) {
            let error = Error::input(format!("the gallery has no entry `{name}`"));
            return Err(error.hint(next_step(&whole, "entries", &known)));
        }
    }
    let is_wanted = |entry: &&String| {
        let short = entry.strip_prefix(&prefix);
        named.is_empty()
            || named
                .iter()
                .any(|name| name == *entry || Some(name.as_str()) == short)
    };
    Ok(all.iter().filter(is_wanted).cloned().collect())
}

/// The first exit code that is no success.
fn worse(so_far: Exit, next: Exit) -> Exit {
    match so_far {
        Exit::Ok => next,
        other => other,
    }
}

/// What went wrong, in one line.
fn first_line(error: &Error) -> String {
    let whole = error.to_string();
    whole.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<String> {
        ["gallery/a", "gallery/b"].map(String::from).to_vec()
    }

    #[test]
    fn entries_are_named_with_their_directory_or_without() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            wanted(&names, &all())
        };
        assert_eq!(named(&[]).unwrap(), all());
        assert_eq!(named(&["b"]).unwrap(), ["gallery/b"]);
        assert_eq!(named(&["gallery/b", "a"]).unwrap(), all());
        insta::assert_snapshot!(named(&["c"]).unwrap_err().render(), @r#"
        error: the gallery has no entry `c`
          help: did you mean `gallery/a`? (known entries: gallery/a, gallery/b)
        "#);
        assert!(wanted(&[], &[]).is_err());
    }

    #[test]
    fn the_first_failure_decides_the_exit_code() {
        assert_eq!(worse(Exit::Ok, Exit::Incomplete), Exit::Incomplete);
        assert_eq!(worse(Exit::Fetch, Exit::NotReproduced), Exit::Fetch);
        assert_eq!(worse(Exit::Ok, Exit::Ok), Exit::Ok);
    }
}
