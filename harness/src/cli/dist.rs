//! `diorama dist`: one static program that carries agent, plugin, scenarios, declarations and locks, and runs
//! without a checkout on any x86-64 Linux.

use super::{
    agent,
    args::{DistArgs, Places},
    context::Context,
    print_text,
    ui::{Drawing, Ui},
};
use crate::{
    carried,
    digest::Sha256,
    error::{Error, Exit, Result},
    files,
    image::{compiler, sysroot},
    lock::WhenGone,
    provision::{AGENT_SYSROOT, COMPILER, Provision},
    store::{hermetic::Hermetic, tree_key},
    units::show_bytes,
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Builds it, and prints its sha256 and its path as sha256sum(1) does.
pub fn dist(places: &Places, args: &DistArgs) -> Result<Exit> {
    let mut context = Context::new(places, args.agent.offline)?;
    if context.agent().is_some() {
        return Err(Error::input(
            "this program carries what was built, and not what it is built from",
        )
        .hint("run `cargo xtask dist` in a clone of the repository"));
    }
    let ui = Ui::new(Drawing::of_stderr(false));
    context.store = context.store.telling(ui.teller());
    let when_gone = WhenGone::locked(args.agent.locked);
    let downloads = ui.downloads();
    let tell = |text: &str| ui.line(text);
    let agent = match &args.prebuilt {
        Some(agent) => agent.clone(),
        None => agent::build(&context, when_gone, &downloads, &tell)?,
    };
    let project = context.project()?;
    let provision = context.provision(&project, when_gone, &downloads, &tell);
    let program = match &args.program {
        Some(program) => program.clone(),
        None => build(&context, &provision)?,
    };
    let plugin = agent.with_file_name(sysroot::PLUGIN);
    let tar = carried::pack(&context.root, &agent, &plugin)?;
    let bytes =
        files::read(&program, files::PROGRAM).map_err(|e| Error::io("reading", &program, e))?;
    let whole = carried::attach(&bytes, &tar)?;
    let default = || context.root.join("dist/diorama");
    let path = args.output.clone().unwrap_or_else(default);
    write(&path, &whole)?;
    ui.line(&format!(
        "{}: {}, of which {} are what it carries",
        path.display(),
        show_bytes(whole.len() as u64),
        show_bytes(tar.len() as u64)
    ));
    print_text(&format!("{}  {}\n", Sha256::of(&whole), path.display()))?;
    Ok(Exit::Ok)
}

/// The static program, carrying nothing yet.
fn build(context: &Context, provision: &Provision<'_>) -> Result<PathBuf> {
    let (tree, provided) = provision.tool_set(COMPILER)?;
    let (libc, libc_provided) = provision.tool_set(AGENT_SYSROOT)?;
    for note in provided.note.iter().chain(&libc_provided.note) {
        (provision.tell)(note);
    }
    let digest = tree_key(&provided.entry.files);
    let driver = Hermetic::in_tree(&tree, compiler::DRIVER)?;
    // Its programs name the tree's place.
    let key = Sha256::of_value(&(digest, tree.to_string_lossy()));
    let programs = (context.store).derive("compiler", &key, |out| compiler::write(&driver, out))?;
    // Where crates are is in their compiler's arguments.
    agent::fetch_crates(context)?;
    agent::product(
        context,
        &sysroot::harness(&libc, compiler::variables(&programs)?)?,
    )
}

fn write(path: &Path, program: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|e| Error::io("creating", parent, e))?;
    }
    files::write_atomically(path, program)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
        .map_err(|e| Error::io("writing", path, e))
}
