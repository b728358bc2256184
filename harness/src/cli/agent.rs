//! `diorama agent`: builds the guest agent out of a checkout, linked against the locked C library,
//! and beside it the plugin that counts what guests execute.

use super::{
    args::Places,
    context::Context,
    print_text,
    ui::{Drawing, Ui},
};
use crate::{
    error::{Error, Exit, Result},
    image,
    lock::WhenGone,
    provision::{AGENT_SYSROOT, Provision},
    store::FetchProgress,
};
use std::{
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Builds the agent and prints its path.
pub fn agent(places: &Places) -> Result<Exit> {
    let mut context = Context::new(places, false)?;
    let ui = Ui::new(Drawing::of_stderr(false));
    context.store = context.store.telling(ui.teller());
    let downloads = ui.downloads();
    let path = build(&context, WhenGone::Reresolve, &downloads, &|text| {
        ui.line(text);
    })?;
    print_text(&format!("{}\n", path.display()))?;
    Ok(Exit::Ok)
}

/// Builds it and returns the executable's path.
///
/// # Errors
/// When the sysroot cannot be had or the build fails.
pub fn build(
    context: &Context,
    when_gone: WhenGone,
    progress: &dyn FetchProgress,
    tell: &dyn Fn(&str),
) -> Result<PathBuf> {
    let project = context.project()?;
    let provision = Provision {
        project: &project,
        store: &context.store,
        sources: &context.sources,
        when_gone,
        progress,
        tell,
    };
    let (sysroot, provided) = provision.tool_set(AGENT_SYSROOT)?;
    for note in provided.note.into_iter().chain(context.store.take_notes()) {
        tell(&note);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| context.root.join("target"), PathBuf::from);
    let target = target.join("guest");
    let root = &context.root;
    cargo(
        "the guest agent",
        image::sysroot::agent_build(&sysroot, root, &target)?,
    )?;
    cargo(
        "the TCG plugin",
        image::sysroot::plugin_build(root, &target)?,
    )?;
    Ok(image::sysroot::agent_path(&target))
}

/// Runs a build that must succeed.
fn cargo(what: &str, mut command: Command) -> Result<()> {
    // SAFETY: the closure runs between fork and exec and makes one system call; it neither allocates
    // nor takes locks.
    unsafe {
        // A build that nobody waits for any more ends: a signal may end this process alone.
        command.pre_exec(|| {
            let signal = Some(rustix::process::Signal::TERM);
            rustix::process::set_parent_process_death_signal(signal).map_err(Into::into)
        });
    }
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .map_err(|e| {
            Error::host(format!("starting cargo to build {what}"))
                .because(e)
                .hint("install Rust (https://rustup.rs), or name a built agent with --agent PATH")
        })?;
    if !status.success() {
        return Err(Error::host(format!("building {what}: cargo gave {status}"))
            .hint("its own words are above"));
    }
    Ok(())
}
