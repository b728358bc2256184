//! Options about fio's jobs.

use super::choices::ScaleChoice;
use crate::scenario::{FioChoices, FioRun};
use clap::Args;

/// fio's jobs, and how they are taken.
#[derive(Clone, Debug, Default, Args)]
pub struct FioArgs {
    /// Run a fio job instead of a scenario: a job file, or a command line in quotes, 'fio --name=..'
    /// (repeatable)
    #[arg(
        help_heading = "fio jobs",
        id = "fio",
        long = "fio",
        value_name = "FILE|COMMAND",
        conflicts_with = "scenario"
    )]
    pub jobs: Vec<String>,
    /// The locked kernels to run it on; the first is the baseline
    #[arg(
        help_heading = "fio jobs",
        id = "locked-kernels",
        long = "kernels",
        value_name = "NAME,NAME",
        value_delimiter = ',',
        requires = "fio"
    )]
    pub kernels: Vec<String>,
    /// Only this section of the job file (repeatable)
    #[arg(help_heading = "fio jobs", long = "section", value_name = "NAME")]
    pub sections: Vec<String>,
    /// Give ${VAR} in a job file a value (repeatable) [default: the environment's]
    #[arg(help_heading = "fio jobs", short = 'D', value_name = "VAR=VALUE", value_parser = parse_variable)]
    pub variables: Vec<(String, String)>,
    /// Whether sizes and runtimes are scaled to the drive and the guest
    #[arg(
        help_heading = "fio jobs",
        long,
        value_name = "auto|none",
        value_enum,
        hide_possible_values = true
    )]
    pub scale: Option<ScaleChoice>,
    /// Write every file before the job writes to it
    #[arg(help_heading = "fio jobs", long)]
    pub overwrite: bool,
}

impl FioArgs {
    /// What is changed about job files.
    #[must_use]
    pub fn choices(&self) -> FioChoices {
        FioChoices {
            variables: self.variables.clone(),
            sections: self.sections.clone(),
            literal: self.scale == Some(ScaleChoice::None),
            overwrite: self.overwrite,
        }
    }

    /// The jobs in place of a scenario, if there are some; `filesystems` are those of the command
    /// line.
    #[must_use]
    pub fn run(&self, filesystems: &[String]) -> Option<FioRun> {
        (!self.jobs.is_empty()).then(|| FioRun {
            jobs: self.jobs.clone(),
            kernels: self.kernels.clone(),
            filesystems: filesystems.to_vec(),
        })
    }

    /// The same options for a command line, paths by `place`.
    #[must_use]
    pub fn words(&self, place: impl Fn(&str) -> String) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        for job in &self.jobs {
            add("--fio", place(job));
        }
        if !self.kernels.is_empty() {
            add("--kernels", self.kernels.join(","));
        }
        for section in &self.sections {
            add("--section", section.clone());
        }
        for (name, value) in &self.variables {
            add("-D", format!("{name}={value}"));
        }
        if let Some(scale) = self.scale {
            add("--scale", scale.name().to_owned());
        }
        if self.overwrite {
            words.push("--overwrite".to_owned());
        }
        words
    }
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!(
            "`{text}` gives no variable a value; use -D NAME=VALUE"
        )),
    }
}
