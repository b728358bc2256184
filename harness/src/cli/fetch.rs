//! `diorama fetch`: what a scenario needs, ahead of time, what the agent is built from included.

use super::{
    agent,
    args::{FetchArgs, Places},
    context::Context,
    ui::{Drawing, Ui},
};
use crate::{
    error::{Exit, Result},
    lock::WhenGone,
    scenario::{self, Overrides},
};

/// Downloads what a scenario needs.
pub fn fetch(places: &Places, args: &FetchArgs) -> Result<Exit> {
    let mut context = Context::new(places, false)?;
    let ui = Ui::new(Drawing::of_stderr(args.plain));
    context.store = context.store.telling(ui.teller());
    let project = context.project()?;
    let overrides = Overrides {
        fio: args.fio.choices(),
        ..Overrides::default()
    };
    let known = project.kernel_names();
    let scenario = match args.fio.run(&[]) {
        Some(run) => scenario::load_fio(&run, &known, &overrides, &|_| None)?,
        None => {
            let path = scenario::locate(&args.scenario, &context.root)?;
            scenario::load(&path, &known, &overrides)?
        }
    };
    let downloads = ui.downloads();
    let tell = |text: &str| ui.line(text);
    let provision = context.provision(&project, WhenGone::locked(args.locked), &downloads, &tell);
    let mut notes = provision.fetch(&scenario)?;
    for name in &args.tool_sets {
        notes.extend(provision.tool_set(name)?.1.note);
    }
    notes.extend(agent::fetch(&context, &provision)?);
    for note in notes {
        ui.line(&format!("note: {note}"));
    }
    ui.line(&format!(
        "everything {} needs is in {} ({} MiB downloaded)",
        scenario.name,
        context.store.root().display(),
        downloads.bytes() >> 20
    ));
    Ok(Exit::Ok)
}
