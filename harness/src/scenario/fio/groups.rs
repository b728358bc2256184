//! Jobs that run together, and the text that fio gets for them (pure).

use super::checker::{Draft, Edit};
use super::ini::{Id, JobFile};
use std::collections::BTreeMap;

/// The jobs by what they wait for: `stonewall` begins a group.
pub(super) fn split(drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
    let mut groups: Vec<Vec<Draft>> = Vec::new();
    for draft in drafts {
        match groups.last_mut() {
            Some(group) if !draft.stonewall => group.push(draft),
            _ => groups.push(vec![draft]),
        }
    }
    groups
}

/// What each group is called behind the workload's name: the only job's name where it is the only
/// one of that name, else a number; nothing if there is one group.
pub(super) fn names(groups: &[Vec<Draft>]) -> Vec<Option<String>> {
    let alone = |group: &Vec<Draft>| match group.as_slice() {
        [one] => Some(word(&one.job.name)),
        _ => None,
    };
    let words: Vec<Option<String>> = groups.iter().map(alone).collect();
    let unique = |word: &String| words.iter().flatten().filter(|w| *w == word).count() == 1;
    let name = |(number, own): (usize, &Option<String>)| {
        let own = own.clone().filter(|own| unique(own));
        Some(own.unwrap_or_else(|| (number + 1).to_string()))
    };
    match groups.len() {
        1 => vec![None],
        _ => words.iter().enumerate().map(name).collect(),
    }
}

/// A word that a workload's name can end with.
pub(super) fn word(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let word: String = name
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    let word = word.trim_matches(['-', '.']);
    word.chars().take(40).collect()
}

/// The text that a group of jobs is for fio.
#[derive(Debug, Default)]
pub(super) struct Text {
    edits: BTreeMap<Id, Edit>,
    more: BTreeMap<usize, Vec<String>>,
}

impl Text {
    /// Adds what a job, in this section, needs. An option of [global] that jobs need differently is
    /// said in their own sections.
    pub(super) fn add(&mut self, section: usize, edits: &[(Id, Edit)], more: &[String]) {
        for (id, edit) in edits {
            match (self.edits.get(id), edit) {
                (Some(there), edit) if there == edit => {}
                (None, edit) => drop(self.edits.insert(*id, edit.clone())),
                (Some(_), Edit::Lines(lines)) => {
                    self.more
                        .entry(section)
                        .or_default()
                        .extend(lines.iter().cloned());
                }
                (Some(_), Edit::Drop) => {}
            }
        }
        self.more
            .entry(section)
            .or_default()
            .extend(more.iter().cloned());
    }

    /// Globals and the jobs of these sections, an option to a line.
    pub(super) fn render(&self, file: &JobFile, jobs: &[usize]) -> String {
        let mut out = String::new();
        let last = jobs.iter().max().copied().unwrap_or(0);
        for (number, section) in file.sections.iter().enumerate().take(last + 1) {
            if !section.is_global() && !jobs.contains(&number) {
                continue;
            }
            let mut lines: Vec<&str> = Vec::new();
            for option in &section.options {
                match self.edits.get(&option.id) {
                    None => lines.push(&option.raw),
                    Some(Edit::Drop) => {}
                    Some(Edit::Lines(new)) => lines.extend(new.iter().map(String::as_str)),
                }
            }
            lines.extend(
                self.more
                    .get(&number)
                    .into_iter()
                    .flatten()
                    .map(String::as_str),
            );
            if section.is_global() && lines.is_empty() {
                continue;
            }
            out.push_str(&format!("[{}]\n", section.name.replace('/', "-")));
            for line in lines {
                out.push_str(line);
                out.push('\n');
            }
        }
        out
    }
}
