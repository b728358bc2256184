//! PNG, from the SVG, with the font in the tree: the same pixels on every machine.

use crate::error::{Error, Result};
use resvg::{tiny_skia, usvg};

/// Pixels per SVG unit.
const SCALE: f32 = 2.0;

const REGULAR: &[u8] = include_bytes!("font/DejaVuSans.subset.ttf");
const BOLD: &[u8] = include_bytes!("font/DejaVuSans-Bold.subset.ttf");

/// Draws an SVG.
pub(super) fn render(svg: &str) -> Result<Vec<u8>> {
    let mut options = usvg::Options {
        font_family: "DejaVu Sans".into(),
        ..usvg::Options::default()
    };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(REGULAR.to_vec());
    fonts.load_font_data(BOLD.to_vec());
    let tree = usvg::Tree::from_str(svg, &options)
        .map_err(|e| Error::internal("reading the chart's own SVG").because(e))?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let pixmap = size.and_then(|s| tiny_skia::Pixmap::new(s.width(), s.height()));
    let mut pixmap =
        pixmap.ok_or_else(|| Error::internal("making room for a chart without a size"))?;
    let transform = tiny_skia::Transform::from_scale(SCALE, SCALE);
    resvg::render(&tree, transform, &mut pixmap.as_mut());
    pixmap
        .encode_png()
        .map_err(|e| Error::internal("encoding the chart as PNG").because(e))
}
