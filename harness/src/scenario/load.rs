//! Finding and reading a scenario's file.

use super::{
    Overrides, Scenario, is_fio_command,
    resolve::{World, resolve_with},
};
use crate::{
    error::{Error, Result},
    files,
    suggest::next_step,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The file that an argument of the command line means: a path, or the name of a file in scenarios/
/// below `root`, `smoke` or `gallery/mq-deadline`.
///
/// # Errors
/// When there is no such file; names the scenarios that there are.
pub fn locate(argument: &str, root: &Path) -> Result<PathBuf> {
    let file = if is_path(argument) && !is_listed(argument, root) {
        PathBuf::from(argument)
    } else {
        root.join("scenarios").join(format!("{argument}.toml"))
    };
    if file.is_file() {
        return Ok(file);
    }
    let names = available(root);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let error = Error::input(format!(
        "there is no scenario `{argument}`: {} is not a file",
        file.display()
    ));
    Err(error.hint(next_step(argument, "scenarios", &names)))
}

/// Whether an argument of the command line is a file's path, and not a scenario's name.
#[must_use]
pub fn is_path(argument: &str) -> bool {
    let extension = Path::new(argument).extension();
    argument.contains('/') || extension.is_some_and(|e| e == "toml")
}

/// Whether it is the name of a scenario below `root`, with its directory before it.
#[must_use]
pub fn is_listed(argument: &str, root: &Path) -> bool {
    let in_gallery = || gallery(root).iter().any(|name| name == argument);
    argument.starts_with(GALLERY) && in_gallery()
}

/// The directory below scenarios/ of published reports.
pub const GALLERY: &str = "gallery";

/// Names of the scenarios below `root`, sorted, those of the gallery last; empty when the directory
/// cannot be read.
#[must_use]
pub fn available(root: &Path) -> Vec<String> {
    let mut names = listed(&root.join("scenarios"));
    names.extend(gallery(root));
    names
}

/// Names of the gallery's scenarios below `root`, sorted, as `gallery/mq-deadline`.
#[must_use]
pub fn gallery(root: &Path) -> Vec<String> {
    let names = listed(&root.join("scenarios").join(GALLERY));
    let named = names.iter().map(|name| format!("{GALLERY}/{name}"));
    named.collect()
}

/// Names of the scenarios in a directory, sorted.
fn listed(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            Some(
                entry
                    .ok()?
                    .file_name()
                    .to_str()?
                    .strip_suffix(".toml")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    names
}

/// Reads and resolves a scenario's file. `known_kernels` are the names in the lock.
///
/// # Errors
/// When the file cannot be read, and for every problem in it at once. Files of local kernels are not
/// looked for ([`look_for`]).
pub fn load(path: &Path, known_kernels: &[String], overrides: &Overrides) -> Result<Scenario> {
    load_checked(path, known_kernels, overrides, &|_| None)
}

/// The same; `fio` is asked about every job file, and says why it refuses it, if it does.
///
/// # Errors
/// As [`load`].
pub fn load_checked(
    path: &Path,
    known_kernels: &[String],
    overrides: &Overrides,
    fio: &dyn Fn(&str) -> Option<String>,
) -> Result<Scenario> {
    let text = files::read_text(path, files::TEXT).map_err(|e| {
        Error::input(format!("reading the scenario {}", path.display()))
            .because(e)
            .hint("give a scenario file, or the name of one in scenarios/")
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    let origin = path.display().to_string();
    resolve(&text, &origin, base, known_kernels, overrides, fio)
}

/// Job files of fio's, and the kernels to run them on: a scenario that nobody has written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FioRun {
    /// Job files, by path, or command lines of fio's.
    pub jobs: Vec<String>,
    /// Locked kernels. The first is the baseline, or the first of the overrides' own.
    pub kernels: Vec<String>,
    /// Kinds of file systems; empty means ext4.
    pub filesystems: Vec<String>,
}

/// Resolves such a scenario.
///
/// # Errors
/// As [`load`], and when there is no kernel.
pub fn load_fio(
    run: &FioRun,
    known_kernels: &[String],
    overrides: &Overrides,
    fio: &dyn Fn(&str) -> Option<String>,
) -> Result<Scenario> {
    let text = written_down(run, overrides)?;
    resolve(&text, "--fio", Path::new(""), known_kernels, overrides, fio)
}

fn resolve(
    text: &str,
    origin: &str,
    base: &Path,
    known_kernels: &[String],
    overrides: &Overrides,
    fio: &dyn Fn(&str) -> Option<String>,
) -> Result<Scenario> {
    let taken = RefCell::new(BTreeMap::new());
    let world = World {
        read: &|path| files::read_text(path, files::TEXT).map_err(|e| e.to_string()),
        variable: &|name| {
            let value = std::env::var(name).ok()?;
            taken.borrow_mut().insert(name.to_owned(), value.clone());
            Some(value)
        },
        fio,
    };
    let scenario = resolve_with(text, origin, base, known_kernels, overrides, &world)?;
    Ok(Scenario {
        environment: taken.take().into_iter().collect(),
        ..scenario
    })
}

/// The scenario's text.
fn written_down(run: &FioRun, overrides: &Overrides) -> Result<String> {
    let own = overrides.kernels.iter().map(|kernel| &kernel.name);
    let first = run.kernels.iter().chain(own).next();
    let baseline = overrides.baseline.as_ref().or(first).ok_or_else(|| {
        Error::input("--fio names a job, but no kernel to run it on")
            .hint("add --kernels 6.12,7.2 (see `diorama kernels`), or --kernel NAME=PATH")
    })?;
    let names = job_names(&run.jobs);
    let text = |text: &str| toml::Value::from(text).to_string();
    let list = |texts: &[String]| toml::Value::from(texts.to_vec()).to_string();
    let mut out = format!(
        "name = {}\ntitle = {}\nbaseline = {}\nkernels = {}\n",
        text(&names[0]),
        text(&format!("fio: {}", names.join(", "))),
        text(baseline),
        list(&run.kernels),
    );
    // fio's own start and end are a part of every repetition.
    out.push_str("[measure]\nrepetitions = 3\n");
    let ext4 = ["ext4".to_owned()];
    let kinds = if run.filesystems.is_empty() {
        &ext4[..]
    } else {
        &run.filesystems[..]
    };
    for kind in kinds {
        out.push_str(&format!("[filesystems.{}]\n", text(kind)));
    }
    for (name, job) in names.iter().zip(&run.jobs) {
        out.push_str(&format!(
            "[workloads.{}]\nfio = {}\n",
            text(name),
            text(job)
        ));
    }
    Ok(out)
}

/// What each job file is called in tables: its name without the ending, different from the others'.
fn job_names(jobs: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for job in jobs {
        let stem = match is_fio_command(job) {
            true => None,
            false => Path::new(job).file_stem().and_then(|stem| stem.to_str()),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        let name = stem.unwrap_or("fio").chars();
        let name: String = name.map(|c| if fits(c) { c } else { '-' }).collect();
        let name = name.trim_start_matches(['.', '-']).to_owned();
        let name: String = name.chars().take(40).collect();
        let name = if name.is_empty() {
            "fio".to_owned()
        } else {
            name
        };
        let count = names.iter().filter(|other| **other == name).count();
        let taken = count > 0;
        names.push(match taken {
            true => format!("{name}.{}", names.len() + 1),
            false => name,
        });
    }
    names
}

/// Whether a local kernel's image and modules are where the scenario says.
///
/// # Errors
/// When one is not, naming the kernel.
pub fn look_for(kernel: &str, image: &Path, modules: Option<&Path>) -> Result<()> {
    if !image.is_file() {
        return Err(absent(kernel, "image", image, "bzImage or vmlinux"));
    }
    match modules.filter(|dir| !dir.is_dir()) {
        Some(dir) => Err(absent(
            kernel,
            "modules",
            dir,
            "directory of its *.ko files",
        )),
        None => Ok(()),
    }
}

fn absent(kernel: &str, part: &str, path: &Path, wanted: &str) -> Error {
    Error::input(format!(
        "kernel `{kernel}` has no {part} at {}",
        path.display()
    ))
    .hint(format!("give the path of a {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(jobs: &[&str], kernels: &[&str]) -> FioRun {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        FioRun {
            jobs: texts(jobs),
            kernels: texts(kernels),
            filesystems: vec![],
        }
    }

    #[test]
    fn what_a_job_takes_from_the_environment_is_kept() {
        let job = "fio --name=a --direct=1 --rw=read --size=16m --filename=${CARGO_PKG_NAME}";
        let run = run(&[job], &["7.2"]);
        let taken = |overrides: &Overrides| {
            let scenario = load_fio(&run, &["7.2".to_owned()], overrides, &|_| None);
            scenario
                .unwrap_or_else(|e| panic!("{}", e.render()))
                .environment
        };
        // cargo sets it for every test.
        let variable = ("CARGO_PKG_NAME".to_owned(), "diorama".to_owned());
        assert_eq!(
            taken(&Overrides::default()),
            std::slice::from_ref(&variable)
        );
        let mut given = Overrides::default();
        given.fio.variables.push(variable);
        assert_eq!(taken(&given), []);
    }

    #[test]
    fn jobs_and_kernels_alone_are_a_scenario() {
        let jobs = [
            "their jobs/a b.fio",
            "/x/a b.fio",
            "fio --name=\"q\" --rw=read",
            "..fio",
        ];
        let text = written_down(&run(&jobs, &["6.12", "7.2"]), &Overrides::default()).unwrap();
        insta::assert_snapshot!(text, @r#"
        name = "a-b"
        title = "fio: a-b, a-b.2, fio, fio.4"
        baseline = "6.12"
        kernels = ["6.12", "7.2"]
        [measure]
        repetitions = 3
        [filesystems."ext4"]
        [workloads."a-b"]
        fio = "their jobs/a b.fio"
        [workloads."a-b.2"]
        fio = "/x/a b.fio"
        [workloads."fio"]
        fio = 'fio --name="q" --rw=read'
        [workloads."fio.4"]
        fio = "..fio"
        "#);
    }

    #[test]
    fn a_job_without_a_kernel_says_how_to_name_one() {
        let error = written_down(&run(&["a.fio"], &[]), &Overrides::default()).unwrap_err();
        assert!(
            error.render().contains("--kernels 6.12,7.2"),
            "{}",
            error.render()
        );
    }

    #[test]
    fn the_first_kernel_is_the_baseline_locked_or_own() {
        let own = super::super::parse_kernel("mine=bzImage").unwrap();
        let overrides = Overrides {
            kernels: vec![own],
            ..Overrides::default()
        };
        let baseline = |kernels: &[&str]| {
            let text = written_down(&run(&["a.fio"], kernels), &overrides).unwrap();
            text.lines()
                .find(|l| l.starts_with("baseline"))
                .unwrap()
                .to_owned()
        };
        assert_eq!(baseline(&[]), "baseline = \"mine\"");
        assert_eq!(baseline(&["6.12"]), "baseline = \"6.12\"");
    }

    #[test]
    fn mistakes_in_a_job_are_named_by_its_line_alone() {
        let dir = tempfile::tempdir().unwrap();
        let job = dir.path().join("bad.fio");
        std::fs::write(&job, "[j]\nioengine=rbd\ndirect=1\nsize=1m\n").unwrap();
        let job = job.display().to_string();
        let run = run(&[&job], &["7.2"]);
        let error = load_fio(&run, &["7.2".to_owned()], &Overrides::default(), &|_| None);
        let said = error.unwrap_err().render();
        assert!(said.contains("--fio has 1 problem:\n"), "{said}");
        assert!(
            said.contains(&format!("\n  {job}:2: job `j`, `ioengine=rbd`")),
            "{said}"
        );
    }
}
