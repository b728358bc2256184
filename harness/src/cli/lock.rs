//! `diorama lock` and `kernels`.

use super::{
    args::{ListArgs, LockArgs, Places},
    context::Context,
    print_json, print_text,
    ui::{Drawing, Ui},
};
use crate::{
    error::{Error, Exit, Result},
    lock::{self, Change},
};
use serde::Serialize;

/// Resolves declarations and writes the lock files, or checks them.
pub fn lock(places: &Places, args: &LockArgs) -> Result<Exit> {
    let mut context = Context::new(places, false)?;
    if context.root_is_carried() && !args.check {
        return Err(Error::input(
            "the locks are a part of this program, and it does not change itself",
        )
        .hint(format!(
            "copy kernels/, images/ and scenarios/ from {} to a directory of your own, and add --root DIR",
            context.root.display()
        )));
    }
    let project = context.project()?;
    let ui = Ui::new(Drawing::Plain);
    context.store = context.store.telling(ui.teller());
    let old = project.kernels.clone().join(project.images.clone());
    let downloads = ui.downloads();
    let older = match args.allow_older {
        true => lock::Older::Allow,
        false => lock::Older::Refuse,
    };
    let (new, changes) = lock::update(
        &project.declarations,
        &old,
        (&args.update, older),
        &context.store,
        &context.sources,
        &downloads,
    )?;
    print_text(&listing(&changes))?;
    if changes.is_empty() {
        return Ok(Exit::Ok);
    }
    if args.check {
        return Err(
            Error::fetch("the lock files do not match what the archive has now")
                .hint("run `diorama lock`, and commit kernels/lock.toml and images/lock.toml"),
        );
    }
    let (kernels, images) = new.split();
    kernels.save(&context.root.join("kernels/lock.toml"))?;
    images.save(&context.root.join("images/lock.toml"))?;
    ui.line(
        "wrote kernels/lock.toml and images/lock.toml (every digit depends on them: commit them)",
    );
    Ok(Exit::Ok)
}

fn listing(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "the lock files are up to date\n".into();
    }
    changes.iter().map(|change| format!("{change}\n")).collect()
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    series: &'a str,
    flavour: &'a str,
    suites: &'a [String],
    locked: Option<String>,
    release: Option<&'a str>,
    bytes: Option<u64>,
}

/// Lists what scenarios may name.
pub fn kernels(places: &Places, args: &ListArgs) -> Result<Exit> {
    let project = Context::new(places, true)?.project()?;
    let listed: Vec<Listed<'_>> = project
        .declarations
        .kernels
        .iter()
        .map(|kernel| {
            let entry = project
                .kernels
                .entries
                .iter()
                .find(|e| e.name == kernel.name);
            Listed {
                name: &kernel.name,
                series: &kernel.series,
                flavour: &kernel.flavour,
                suites: &kernel.suites,
                locked: entry.map(lock::LockEntry::describe),
                release: entry.and_then(|e| e.release.as_deref()),
                bytes: entry.map(lock::LockEntry::size),
            }
        })
        .collect();
    if args.json {
        print_json(&listed)?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for kernel in listed {
        let locked = match (&kernel.release, kernel.bytes) {
            (Some(release), Some(bytes)) => format!("{release} ({} MiB)", bytes >> 20),
            _ => format!("not locked: run `diorama lock --update {}`", kernel.name),
        };
        text.push_str(&format!(
            "{:<6} {:<36} from {}\n",
            kernel.name,
            locked,
            kernel.suites.join(", ")
        ));
    }
    print_text(&text)?;
    Ok(Exit::Ok)
}
