//! `diorama push` and `pull`: images to registries, and from them or by https.

use super::{
    args::{Places, PullArgs, PushArgs},
    context::Context,
    print_text,
    ui::{Drawing, Ui},
};
use crate::{
    error::{Error, Exit, Result},
    sharing::{self, Pulled, Reference},
};
use std::path::Path;

/// Sends an image, and prints its name by digest.
pub fn push(args: &PushArgs) -> Result<Exit> {
    let Reference::Registry(to) = Reference::parse(args.to.as_ref())? else {
        return Err(Error::input(format!("`{}` is in no registry", args.to))
            .hint("push to oci://HOST/NAME:TAG"));
    };
    let ui = Ui::new(Drawing::of_stderr(args.plain));
    let sent = sharing::push(&args.image, &to, &ui.uploads())?;
    ui.line(&format!(
        "{} is now {to}, for good by its digest:",
        args.image.display()
    ));
    print_text(&format!("{sent}\n"))?;
    Ok(Exit::Ok)
}

/// Fetches an image into a file, and prints its name by digest.
pub fn pull(places: &Places, args: &PullArgs) -> Result<Exit> {
    let ui = Ui::new(Drawing::of_stderr(args.plain));
    let store = Context::store(places)?.telling(ui.teller());
    let sources = Context::sources(false)?;
    let downloads = ui.downloads();
    let from = sharing::pull(
        args.from.as_ref(),
        &args.output,
        &store,
        &sources,
        &downloads,
    )?;
    ui.line(&format!("{} is", args.output.display()));
    print_text(&format!("{from}\n"))?;
    Ok(Exit::Ok)
}

/// The file that a verb's argument means, fetched into the cache if it is elsewhere. A file needs no cache.
pub fn local(places: &Places, image: &Path, offline: bool, ui: &Ui) -> Result<Pulled> {
    let reference = Reference::parse(image)?;
    if let Reference::File(path) = reference {
        return Ok(Pulled::file(path));
    }
    let store = Context::store(places)?.telling(ui.teller());
    let pulled = sharing::local(
        &reference,
        &store,
        &Context::sources(offline)?,
        &ui.downloads(),
    )?;
    if let Some(from) = &pulled.from {
        ui.line(&format!("fetched {from}"));
    }
    Ok(pulled)
}
