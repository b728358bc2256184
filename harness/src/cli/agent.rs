//! `diorama agent`: builds the guest agent out of a checkout, linked against the locked C library, and
//! beside it the plugin that counts what guests execute. Every verb that needs them gets them here; from a
//! program that carries them there is nothing to build.

use super::{
    args::{AgentArgs, Places},
    context::Context,
    print_text,
    ui::{Drawing, Ui},
};
use crate::{
    error::{Error, Exit, Result},
    image::{
        build::{self, Build, Product},
        sysroot,
    },
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
pub fn agent(places: &Places, args: &AgentArgs) -> Result<Exit> {
    let mut context = Context::new(places, args.offline)?;
    let ui = Ui::new(Drawing::of_stderr(false));
    context.store = context.store.telling(ui.teller());
    let downloads = ui.downloads();
    let when_gone = WhenGone::locked(args.locked);
    let path = build(&context, when_gone, &downloads, &|text| ui.line(text))?;
    print_text(&format!("{}\n", path.display()))?;
    Ok(Exit::Ok)
}

/// Builds both, unless the program carries them, and returns the agent's path; the plugin is
/// [`sysroot::PLUGIN`] beside it.
///
/// # Errors
/// When the sysroot cannot be had or the build fails.
pub fn build(
    context: &Context,
    when_gone: WhenGone,
    progress: &dyn FetchProgress,
    tell: &dyn Fn(&str),
) -> Result<PathBuf> {
    if let Some(agent) = context.agent() {
        return Ok(agent);
    }
    let project = context.project()?;
    let provision = context.provision(&project, when_gone, progress, tell);
    let (tree, provided) = provision.tool_set(AGENT_SYSROOT)?;
    for note in provided.note.into_iter().chain(context.store.take_notes()) {
        tell(&note);
    }
    let agent = product(context, &sysroot::agent(&tree)?)?;
    let plugin = product(context, &sysroot::plugin())?;
    if plugin != agent.with_file_name(sysroot::PLUGIN) {
        return Err(Error::internal(format!(
            "cargo put the plugin at {}, not next to the agent at {}",
            plugin.display(),
            agent.display()
        )));
    }
    Ok(agent)
}

/// Downloads what the products are built from, ahead of time: the C library and the crates. Returns what a
/// person must know.
///
/// # Errors
/// When something cannot be had, or cargo cannot be started.
pub fn fetch(context: &Context, provision: &Provision<'_>) -> Result<Option<String>> {
    if context.agent().is_some() {
        return Ok(None);
    }
    let note = provision.tool_set(AGENT_SYSROOT)?.1.note;
    fetch_crates(context)?;
    Ok(note)
}

/// Downloads the workspace's crates.
///
/// # Errors
/// When cargo cannot be started, or cannot have them.
pub fn fetch_crates(context: &Context) -> Result<()> {
    let doing = "fetching the crates of the guest agent";
    let mut command = build::fetch(&context.root, context.offline);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()));
    let status = ends_with_us(&mut command)
        .status()
        .map_err(|e| no_cargo(doing, e))?;
    if status.success() {
        return Ok(());
    }
    let next = if context.offline {
        "run `cargo xtask fetch` while online"
    } else {
        "see cargo's output above; it needs network access once, or a mirror in its configuration"
    };
    Err(Error::fetch(format!("{doing}: cargo failed with {status}")).hint(next))
}

/// Builds one product of the workspace; cargo says where it is.
///
/// # Errors
/// When cargo cannot be started, or fails.
pub fn product(context: &Context, product: &Product) -> Result<PathBuf> {
    let doing = format!("building {}", product.package);
    let how = Build {
        workspace: &context.root,
        target_dir: None,
        offline: context.offline,
    };
    loop {
        let before = build::registries();
        let mut command = how.command(product)?;
        let child = ends_with_us(&mut command)
            .spawn()
            .map_err(|e| no_cargo(&doing, e))?;
        let output = child
            .wait_with_output()
            .map_err(|e| Error::host(doing.clone()).because(e))?;
        if !output.status.success() {
            return Err(
                Error::host(format!("{doing}: cargo failed with {}", output.status))
                    .hint("see its output above"),
            );
        }
        // Crates that came from a place not known before have its name in the product's bytes.
        if build::registries() == before {
            return build::artifact(product, &output.stdout);
        }
    }
}

fn no_cargo(doing: &str, error: std::io::Error) -> Error {
    Error::host(format!("{doing}: starting cargo"))
        .because(error)
        .hint("install Rust (https://rustup.rs), or give a prebuilt agent with --agent PATH")
}

/// A build that nobody waits for any more ends: a signal may end this process alone.
fn ends_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: the closure runs between fork and exec and makes one system call; it neither allocates
    // nor takes locks.
    unsafe {
        command.pre_exec(|| {
            let signal = Some(rustix::process::Signal::TERM);
            rustix::process::set_parent_process_death_signal(signal).map_err(Into::into)
        })
    }
}
