//! `diorama inspect`: what is in an image, without running anything. Its words are a stranger's.

use super::{
    args::{Cli, InspectArgs},
    colors,
    pack::megabytes,
    print, print_json, print_text, push,
    ui::{Drawing, Ui},
    width,
};
use crate::{
    bundle::{Boots, Manifest, Opened},
    error::{Exit, Result},
    report::{self, Format, Report, Style},
};
use serde::Serialize;
use std::{fmt::Write as _, path::Path};

/// The version of what `--json` prints.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// Digest of the manifest: the image's identity.
    identity: String,
    /// Digest of OCI's manifest, its name in a registry.
    oci: String,
    /// Bytes of the file.
    size: u64,
    /// The parts' bytes as they are in the file, in the manifest's order.
    compressed: Vec<u64>,
    manifest: &'a Manifest,
    report: &'a Report,
}

/// `diorama inspect`
pub fn inspect(cli: &Cli, args: &InspectArgs) -> Result<Exit> {
    let ui = Ui::new(Drawing::of_stderr(false));
    let here = push::local(&cli.places, &args.image, false, &ui)?;
    let opened = Opened::read(here.path(), &ui.transfers("checking"))?;
    let report = Report::new(&opened.results);
    let style = Style {
        width: width(),
        color: colors(cli.color),
        chart: None,
        ..Style::default()
    };
    if args.json {
        let container = &opened.container;
        let document = Document {
            version: VERSION,
            identity: container.identity.to_string(),
            oci: container.oci.to_string(),
            size: container.size,
            compressed: container.parts().map(|(_, blob)| blob.size).collect(),
            manifest: &container.manifest,
            report: &report,
        };
        print_json(&document)?;
        return Ok(Exit::Ok);
    }
    if let Some(format) = args.format {
        let style = match format {
            Format::Terminal => style,
            _ => Style::default(),
        };
        print(&report::render(&report, format, &style)?)?;
        return Ok(Exit::Ok);
    }
    print_text(&contents(&opened, &args.image))?;
    print(&report::render(&report, Format::Terminal, &style)?)?;
    Ok(Exit::Ok)
}

/// What is inside, by parts.
fn contents(opened: &Opened, path: &Path) -> String {
    let container = &opened.container;
    let manifest = &container.manifest;
    let results = &opened.results;
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    line(format!("{}: intact", path.display()));
    line(format!(
        "  run       {}, of diorama {}",
        results.run_id, results.diorama
    ));
    line(format!("  identity  sha256:{}", container.identity));
    line(format!("  as OCI    sha256:{}", container.oci));
    line(format!("  file      {}", megabytes(container.size)));
    line(format!(
        "  QEMU      {}{}",
        results.vmm.version,
        match manifest.vmm {
            true => "",
            false => " (not inside)",
        }
    ));
    line(String::new());
    line(format!(
        "  {:<24}{:>12}{:>12}{:>8}  sha256 (unpacked)",
        "part", "in file", "unpacked", "files"
    ));
    for (part, blob) in container.parts() {
        let files = opened.files.get(&part.name).map_or(0, |files| files.len());
        line(format!(
            "  {:<24}{:>12}{:>12}{files:>8}  {}",
            part.name,
            megabytes(blob.size),
            megabytes(part.size),
            part.digest.short()
        ));
    }
    line(String::new());
    for (kernel, packed) in results.kernels.iter().zip(&manifest.kernels) {
        let boots = match &packed.boots {
            Boots::Packed(machine) => format!("sha256 {}", machine.kernel.sha256.short()),
            Boots::Locked => "fetched by its lock entry".to_owned(),
            Boots::Unusable(why) => format!("{}: {}", why.word(), why.why()),
        };
        line(format!(
            "  kernel {:<12} {}, {}; {boots}",
            kernel.subject().to_string(),
            kernel.release.as_deref().unwrap_or("of unknown release"),
            kernel.origin
        ));
    }
    let packages: usize = manifest
        .sources
        .iter()
        .map(|source| source.files.len())
        .sum();
    line(format!(
        "  Debian packages named with their sha256: {packages}; licences inside: {}",
        manifest
            .licences
            .iter()
            .filter(|l| l.copyright.is_some())
            .count()
    ));
    line(String::new());
    text
}
