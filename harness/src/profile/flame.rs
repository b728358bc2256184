//! Flame graphs (pure): a chain of functions is a column, and its width is instructions.

use super::{Side, Stacks, drive, explain::function};
use inferno::flamegraph::{
    self, Options,
    color::{Color, PaletteMap},
};
use std::collections::{BTreeMap, BTreeSet};

/// Pixels; a frame narrower than a tenth of a percent of them is left out.
const WIDTH: usize = 1800;
const NARROWEST_PERCENT: f64 = 0.1;

/// Chains as flamegraph.pl and its relatives read them: `outermost;...;innermost instructions`. An
/// interrupt stands by itself, wherever it struck, so that two kernels' can be compared.
#[must_use]
pub fn folded(stacks: &Stacks) -> String {
    let mut found: BTreeMap<&[String], u64> = BTreeMap::new();
    for s in &stacks.stacks {
        *found.entry(drive::called(&s.frames)).or_default() += s.instructions;
    }
    let lines = found.into_iter();
    lines
        .map(|(f, n)| format!("{} {n}\n", f.join(";")))
        .collect()
}

/// Chains with two counts, the baseline's first: as difffolded.pl writes them. The baseline's are
/// scaled to as many I/Os as the other's.
#[must_use]
pub fn folded_difference(subject: &Side, against: &Side) -> String {
    let mut both: BTreeMap<&[String], [u64; 2]> = BTreeMap::new();
    for (side, of) in [(against, 0), (subject, 1)] {
        for s in &side.stacks.stacks {
            both.entry(drive::called(&s.frames)).or_default()[of] += s.instructions;
        }
    }
    let scaled = |instructions: u64| {
        let scaled = u128::from(instructions) * u128::from(subject.ios);
        scaled / u128::from(against.ios.max(1))
    };
    let lines = both.iter();
    let lines = lines.map(|(f, [before, now])| {
        let before = scaled(*before);
        format!("{} {before} {now}\n", f.join(";"))
    });
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
    draw(title, subtitle, &folded(&side.stacks), None)
}

/// The flame graph of `subject`, in the colours of the difference: red where a function, with what it
/// calls, executes more instructions per I/O than in `against`, blue where fewer, white where as many.
///
/// Colours go by function and not by chain: a compiler that inlines one function of a chain
/// elsewhere would otherwise make everything above it a difference.
///
/// # Errors
/// As [`flame_graph`].
pub fn difference_graph(title: &str, subject: &Side, against: &Side) -> Result<Vec<u8>, String> {
    let subtitle = format!(
        "widths: {}; red: more instructions per I/O than {}, callees included; blue: fewer; exact \
         lane: model device, instructions clock",
        subject.kernel, against.kernel
    );
    let (now, before) = (per_function(subject), per_function(against));
    let mut colours = PaletteMap::default();
    // What stands for all of it.
    colours.insert("", colour(0.0));
    for stack in &subject.stacks.stacks {
        for frame in &stack.frames {
            let of = |all: &BTreeMap<&str, f64>| all.get(function(frame)).copied().unwrap_or(0.0);
            let (now, before) = (of(&now), of(&before));
            let most = now.max(before);
            let change = if most > 0.0 {
                (now - before) / most
            } else {
                0.0
            };
            colours.insert(frame, colour(change));
        }
    }
    draw(
        title,
        subtitle,
        &folded(&subject.stacks),
        Some(&mut colours),
    )
}

/// Instructions per I/O of each function with what it calls, whichever module it is in.
#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_function(side: &Side) -> BTreeMap<&str, f64> {
    let mut found: BTreeMap<&str, f64> = BTreeMap::new();
    for stack in &side.stacks.stacks {
        let chain = drive::called(&stack.frames).iter();
        let each: BTreeSet<&str> = chain.map(|f| function(f)).collect();
        for function in each {
            *found.entry(function).or_default() += stack.instructions as f64;
        }
    }
    for instructions in found.values_mut() {
        *instructions /= side.ios.max(1) as f64;
    }
    found
}

/// From blue by white to red, for a change from -1 to 1.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped"
)]
fn colour(change: f64) -> Color {
    let rest = (255.0 * (1.0 - change.abs())).clamp(0.0, 255.0) as u8;
    if change > 0.0 {
        Color::new(255, rest, rest)
    } else {
        Color::new(rest, rest, 255)
    }
}

fn draw(
    title: &str,
    subtitle: String,
    lines: &str,
    colours: Option<&mut PaletteMap>,
) -> Result<Vec<u8>, String> {
    let mut options = Options::default();
    options.title = title.to_owned();
    options.subtitle = Some(subtitle);
    options.count_name = "instructions".into();
    options.image_width = Some(WIDTH);
    options.min_width = NARROWEST_PERCENT;
    options.palette_map = colours;
    // The same pixels for the same profile, and nothing that executes in a reader's browser.
    options.deterministic = true;
    options.no_javascript = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.lines(), &mut svg).map_err(|e| e.to_string())?;
    let svg = String::from_utf8(svg).map_err(|e| e.to_string())?;
    Ok(without_scripts(&svg).into_bytes())
}

/// Without what `no_javascript` leaves behind: the settings of the script that is not there.
fn without_scripts(svg: &str) -> String {
    let svg = svg.replacen(" onload=\"init(evt)\"", "", 1);
    match (svg.find("<script"), svg.find("</script>")) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{}", &svg[..from], &svg[to + "</script>".len()..])
        }
        _ => svg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::testing::side;

    #[test]
    fn an_interrupt_stands_by_itself() {
        let irq = "asm_common_interrupt;common_interrupt";
        let struck = side(
            "6.12",
            1,
            &[("a", 1), (&format!("a;{irq}"), 2), (&format!("b;{irq}"), 4)],
        );
        assert_eq!(folded(&struck.stacks), format!("a 1\n{irq} 6\n"));
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
        // `b` is new, and `a`, with what it calls, executes 15 instead of 5.
        assert!(difference.contains("rgb(255,0,0)"), "{difference}");
        assert!(difference.contains("rgb(255,85,85)"), "{difference}");
        assert!(flame_graph("t", &side("6.12", 1, &[])).is_err());
    }
}
