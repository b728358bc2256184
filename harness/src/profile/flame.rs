//! Flame graphs (pure): a chain of functions is a column, and its width is instructions.

use super::{Side, Stacks};
use inferno::flamegraph::{self, Options};
use std::collections::BTreeMap;

/// Pixels; a frame narrower than a tenth of a percent of them is left out.
const WIDTH: usize = 1800;
const NARROWEST_PERCENT: f64 = 0.1;

/// Chains as flamegraph.pl and its relatives read them: `outermost;...;innermost instructions`.
#[must_use]
pub fn folded(stacks: &Stacks) -> String {
    let lines = stacks.stacks.iter();
    let lines = lines.map(|s| format!("{} {}\n", s.frames.join(";"), s.instructions));
    lines.collect()
}

/// Chains with two counts, the baseline's first: as difffolded.pl writes them. The baseline's are
/// scaled to as many I/Os as the other's.
#[must_use]
pub fn folded_difference(subject: &Side, against: &Side) -> String {
    let mut both: BTreeMap<&[String], [u64; 2]> = BTreeMap::new();
    for s in &subject.stacks.stacks {
        both.entry(&s.frames).or_default()[1] += s.instructions;
    }
    for s in &against.stacks.stacks {
        let scaled = u128::from(s.instructions) * u128::from(subject.ios);
        let scaled = scaled / u128::from(against.ios.max(1));
        both.entry(&s.frames).or_default()[0] += u64::try_from(scaled).unwrap_or(u64::MAX);
    }
    let lines = both.iter();
    let lines = lines.map(|(f, [before, now])| format!("{} {before} {now}\n", f.join(";")));
    lines.collect()
}

/// A kernel's flame graph, as SVG.
///
/// # Errors
/// The drawing library's own words; when there is nothing to draw, too.
pub fn flame_graph(title: &str, side: &Side) -> Result<Vec<u8>, String> {
    let subtitle = format!(
        "{} I/Os, {} instructions; exact lane: model device, instructions clock",
        side.ios, side.stacks.instructions
    );
    draw(title, subtitle, &folded(&side.stacks))
}

/// The flame graph of `subject`, in the colours of the difference: red where it executes more
/// instructions per I/O than `against`, blue where fewer.
///
/// # Errors
/// As [`flame_graph`].
pub fn difference_graph(title: &str, subject: &Side, against: &Side) -> Result<Vec<u8>, String> {
    let subtitle = format!(
        "widths: {}; red: more instructions per I/O than {}, blue: fewer; exact lane: model device, \
         instructions clock",
        subject.kernel, against.kernel
    );
    draw(title, subtitle, &folded_difference(subject, against))
}

fn draw(title: &str, subtitle: String, lines: &str) -> Result<Vec<u8>, String> {
    let mut options = Options::default();
    options.title = title.to_owned();
    options.subtitle = Some(subtitle);
    options.count_name = "instructions".into();
    options.image_width = Some(WIDTH);
    options.min_width = NARROWEST_PERCENT;
    // The same pixels for the same profile, and nothing that executes in a reader's browser.
    options.deterministic = true;
    options.no_javascript = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.lines(), &mut svg).map_err(|e| e.to_string())?;
    without_scripts(svg)
}

/// `no_javascript` leaves out inferno's functions, but not the variables that they would use, nor the
/// attribute that calls them.
fn without_scripts(svg: Vec<u8>) -> Result<Vec<u8>, String> {
    const CALL: &str = " onload=\"init(evt)\"";
    const END: &str = "</script>";
    let mut svg = String::from_utf8(svg)
        .map_err(|e| e.to_string())?
        .replacen(CALL, "", 1);
    while let Some(begin) = svg.find("<script") {
        let end = svg[begin..]
            .find(END)
            .ok_or("a script in the graph does not end")?;
        svg.replace_range(begin..begin + end + END.len(), "");
    }
    Ok(svg.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Stack;

    fn side(kernel: &str, ios: u64, chains: &[(&str, u64)]) -> Side {
        let stacks: Vec<Stack> = chains
            .iter()
            .map(|(chain, instructions)| Stack {
                frames: chain.split(';').map(str::to_owned).collect(),
                instructions: *instructions,
            })
            .collect();
        Side {
            kernel: kernel.into(),
            ios,
            stacks: Stacks {
                instructions: stacks.iter().map(|s| s.instructions).sum(),
                stacks,
            },
        }
    }

    #[test]
    fn a_difference_is_at_as_many_ios() {
        let old = side("6.12", 10, &[("a", 100), ("a;b [xfs]", 50)]);
        let new = side("7.2", 20, &[("a", 100), ("c", 40)]);
        assert_eq!(folded(&old.stacks), "a 100\na;b [xfs] 50\n");
        assert_eq!(
            folded_difference(&old, &new),
            "a 50 100\na;b [xfs] 0 50\nc 20 0\n"
        );
    }

    #[test]
    fn a_graph_is_an_svg_without_scripts_and_always_the_same() {
        let old = side("6.12", 10, &[("a", 100), ("a;b [xfs]", 50)]);
        let new = side("7.2", 20, &[("a", 100), ("c", 40)]);
        let one = String::from_utf8(flame_graph("t", &old).unwrap()).unwrap();
        assert!(one.contains("<svg") && one.contains("b [xfs]"), "{one}");
        assert!(!one.contains("<script") && !one.contains("onload"), "{one}");
        assert_eq!(one.as_bytes(), flame_graph("t", &old).unwrap());
        let difference = String::from_utf8(difference_graph("t", &old, &new).unwrap()).unwrap();
        assert!(difference.contains("widths: 6.12"), "{difference}");
        assert!(flame_graph("t", &side("6.12", 1, &[])).is_err());
    }
}
