//! Explanations: where a cell's instructions went and why one may believe it, as tables and sentences.

use super::table::{Entry, Group, Row, Table, Tone, number};
use crate::{
    profile::{Explanation, FunctionPart, Layer, Pair},
    scenario::Lane,
    text::counted,
};
use serde::Serialize;

/// An explanation, and why one may believe it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// Where the instructions went.
    pub explanation: Explanation,
    /// How each kernel's cell was profiled.
    pub checks: Vec<ProfileCheck>,
    /// Lane of every figure in it.
    pub lane: Lane,
}

/// How a cell was profiled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProfileCheck {
    /// The cell's name.
    pub cell: String,
    /// What uname -r said.
    pub release: String,
    /// Windows, all profiled.
    pub windows: usize,
    /// I/Os in them.
    pub ios: u64,
    /// Instructions executed in them; the functions add up to this.
    pub instructions: u64,
    /// Instructions executed from the cell's start to its stop, as the plugin counted them.
    pub executed: u64,
    /// The same by QEMU's own counter; absent where it keeps none.
    pub icount: Option<u64>,
    /// Instructions that an exception (a page fault) made the CPU begin twice: counted twice by the
    /// plugin and once by QEMU; absent where it is not known.
    pub faults: Option<u64>,
    /// Digest of the guest's memory at its stop; absent for a guest that cannot stop.
    pub memory: Option<String>,
    /// In which digits and digests the plain run differs; empty, or profiling has perturbed the guest.
    pub perturbed: Vec<String>,
    /// Host seconds of the plain run.
    pub plain_s: f64,
    /// Host seconds of the profiled run.
    pub profiled_s: f64,
}

impl ProfileCheck {
    /// What the plugin counted more than QEMU itself and the exceptions explain.
    #[must_use]
    pub fn remainder(&self) -> Option<i64> {
        let explained = self.icount? + self.faults.unwrap_or(0);
        Some(self.executed.cast_signed() - explained.cast_signed())
    }

    /// The check's result, one sentence each.
    pub(super) fn words(&self) -> Vec<String> {
        let cell = &self.cell;
        let mut words = vec![format!(
            "{cell} ({}): {} instructions in {} windows with {} I/Os in total; functions and \
             layers add up to exactly that number.",
            self.release,
            grouped(self.instructions),
            self.windows,
            grouped(self.ios),
        )];
        words.push(match (&self.memory, self.perturbed.is_empty()) {
            (Some(memory), true) => format!(
                "{cell}: profiling changed no byte of guest memory: digest {} and every digit are \
                 those of the plain run.",
                memory.get(..12).unwrap_or(memory)
            ),
            (None, true) => format!(
                "{cell}: every digit is that of the plain run; this guest cannot stop itself, so its memory \
                 was not compared."
            ),
            (_, false) => format!(
                "! {cell}: PROFILING CHANGED THE CELL: {}",
                self.perturbed.join("; ")
            ),
        });
        words.push(match (self.icount, self.remainder()) {
            (Some(icount), Some(remainder)) => format!(
                "{cell}: from start to stop {} instructions were counted one by one, and {} by QEMU's own \
                 counter; {} were restarted after a page fault; remainder {remainder}.",
                grouped(self.executed),
                grouped(icount),
                self.faults.map_or("an unknown number".into(), grouped),
            ),
            _ => format!("{cell}: QEMU keeps no counter of its own to compare with."),
        });
        words.push(format!(
            "{cell}: {:.1} s profiled, {:.1} s plain, by the host's clock.",
            self.profiled_s, self.plain_s
        ));
        words
    }
}

/// The why of a whole run: a table for each file system and workload, with what every kernel
/// executes more than the one that it is held against, by layer.
pub(super) fn of_a_run(whys: &[Why]) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut cells: Vec<&str> = Vec::new();
    for why in whys {
        if why.explanation.against.is_some() && !cells.contains(&why.explanation.cell.as_str()) {
            cells.push(&why.explanation.cell);
        }
    }
    for cell in cells {
        let same: Vec<&Why> = whys
            .iter()
            .filter(|w| w.explanation.cell == cell && w.explanation.against.is_some())
            .collect();
        tables.extend(of_a_cell(cell, &same));
    }
    tables
}

fn of_a_cell(cell: &str, whys: &[&Why]) -> Option<Table> {
    let first = whys.first()?;
    let against = first.explanation.against.as_ref()?.kernel.clone();
    let most = |layer: Layer| {
        let of = whys.iter().map(|w| &w.explanation);
        of.map(|e| e.difference(e.layer(layer)).abs())
            .fold(0.0, f64::max)
    };
    let mut layers: Vec<(f64, Layer)> = Layer::ALL
        .into_iter()
        .filter(|layer| {
            let of = whys.iter().map(|w| w.explanation.layer(*layer));
            of.into_iter().any(|pair| pair != Pair::default())
        })
        .map(|layer| (most(layer), layer))
        .collect();
    layers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let row = |label: &str, pair: &dyn Fn(&Explanation) -> Pair| {
        let differences = whys.iter().map(|w| {
            let e = &w.explanation;
            difference(e.difference(pair(e)))
        });
        let e = &first.explanation;
        let own = Entry::plain(number(e.against_per_io(pair(e)), 0)).toned(Tone::Quiet);
        Row {
            label: label.to_owned(),
            entries: differences.chain([own]).collect(),
        }
    };
    let mut rows: Vec<Row> = layers
        .iter()
        .map(|(_, layer)| row(layer.title(), &|e| e.layer(*layer)))
        .collect();
    rows.push(row("all", &Explanation::total));
    Some(Table {
        title: format!("Why: instructions per I/O by layer, {cell}"),
        caption: format!(
            "{}; counted one by one; each kernel's excess over {against}, and {against}'s own \
             count",
            first.lane
        ),
        corner: "layer".into(),
        columns: whys
            .iter()
            .map(|w| w.explanation.subject.kernel.clone())
            .chain([against])
            .collect(),
        groups: vec![Group {
            name: String::new(),
            rows,
        }],
        footnotes: vec![],
    })
}

/// In a line: how many cells were profiled, and whether that changed anything.
pub(super) fn checked(whys: &[Why]) -> Vec<String> {
    let mut cells: Vec<&ProfileCheck> = Vec::new();
    for check in whys.iter().flat_map(|w| &w.checks) {
        if !cells.iter().any(|c| c.cell == check.cell) {
            cells.push(check);
        }
    }
    let changed: Vec<&&ProfileCheck> = cells.iter().filter(|c| !c.perturbed.is_empty()).collect();
    if changed.is_empty() {
        return vec![format!(
            "{} profiled without changing a byte of guest memory; flame graphs and functions \
             are in explain/.",
            counted(cells.len(), "cell")
        )];
    }
    let changed = changed.into_iter().map(|c| {
        format!(
            "! {}: PROFILING CHANGED THE CELL: {}",
            c.cell,
            c.perturbed.join("; ")
        )
    });
    changed.collect()
}

pub(super) fn layers(why: &Why) -> Table {
    let e = &why.explanation;
    let row = |label: &str, pair: Pair| Row {
        label: label.to_owned(),
        entries: entries(e, pair),
    };
    let mut rows: Vec<Row> = e
        .layers
        .iter()
        .map(|part| row(part.layer.title(), part.instructions))
        .collect();
    rows.push(row("all", e.total()));
    table(why, "by layer", "layer", vec![], rows)
}

pub(super) fn functions(why: &Why, shown: usize) -> Table {
    let e = &why.explanation;
    let (shown, others) = e.functions.split_at(shown.min(e.functions.len()));
    let row = |function: &FunctionPart| {
        let called = if e.against.is_some() {
            signed(e.difference(function.with_called))
        } else {
            number(e.subject_per_io(function.with_called), 0)
        };
        let mut entries = entries(e, function.instructions);
        entries.push(Entry::plain(called));
        entries.push(Entry::plain(function.layer.title()));
        Row {
            label: function.name.clone(),
            entries,
        }
    };
    let mut rows: Vec<Row> = shown.iter().map(row).collect();
    if !others.is_empty() {
        let mut sum = Pair::default();
        for function in others {
            sum.subject += function.instructions.subject;
            sum.against += function.instructions.against;
        }
        let mut entries = entries(e, sum);
        entries.extend([Entry::plain(""), Entry::plain("")]);
        rows.push(Row {
            label: format!("{} others", others.len()),
            entries,
        });
    }
    let columns = vec!["inclusive".to_owned(), "layer".to_owned()];
    table(why, "by function", "function", columns, rows)
}

fn table(why: &Why, by: &str, corner: &str, more: Vec<String>, rows: Vec<Row>) -> Table {
    let e = &why.explanation;
    let mut columns = vec![e.subject.kernel.clone()];
    if let Some(against) = &e.against {
        columns.extend([against.kernel.clone(), "difference".to_owned()]);
    }
    columns.extend(more);
    Table {
        title: format!("Instructions per I/O {by}, {}/{}", e.subject.kernel, e.cell),
        caption: format!("{}; counted one by one in all windows", why.lane),
        corner: corner.to_owned(),
        columns,
        groups: vec![Group {
            name: String::new(),
            rows,
        }],
        footnotes: vec![],
    }
}

fn entries(e: &Explanation, pair: Pair) -> Vec<Entry> {
    let mut entries = vec![Entry::plain(number(e.subject_per_io(pair), 0))];
    if e.against.is_some() {
        let difference = e.difference(pair);
        entries.push(Entry::plain(number(e.against_per_io(pair), 0)));
        entries.push(self::difference(difference));
    }
    entries
}

fn difference(value: f64) -> Entry {
    let tone = match value {
        d if d >= 0.5 => Tone::Worse,
        d if d <= -0.5 => Tone::Better,
        _ => Tone::Quiet,
    };
    Entry::plain(signed(value)).toned(tone)
}

/// `+1,234`, `-12`, `0`.
pub(super) fn signed(value: f64) -> String {
    let text = number(value, 0);
    if value > 0.0 && text != "0" {
        format!("+{text}")
    } else {
        text
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn grouped(count: u64) -> String {
    number(count as f64, 0)
}
