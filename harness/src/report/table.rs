//! A table as every text format renders it: rows in groups, cells with a short form for narrow
//! places and a tone for terminals with colours.

/// A table with its heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// What it shows.
    pub title: String,
    /// Lane and unit: stands with the title, always.
    pub caption: String,
    /// Heading of the label column.
    pub corner: String,
    /// Headings of the other columns.
    pub columns: Vec<String>,
    /// Rows, grouped (by file system).
    pub groups: Vec<Group>,
    /// What its marks mean; one line each.
    pub footnotes: Vec<String>,
}

/// Rows under one heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The heading.
    pub name: String,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The row's label.
    pub label: String,
    /// One per column.
    pub entries: Vec<Entry>,
}

/// What stands in a row and a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The text to show.
    pub text: String,
    /// For narrow places, where it differs.
    pub short: Option<String>,
    /// A mark that footnotes explain; one character, or none.
    pub mark: Option<char>,
    /// Its meaning, for colours.
    pub tone: Tone,
}

/// What a colour may say; nothing is said by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// A figure.
    Plain,
    /// No difference, or the baseline itself.
    Quiet,
    /// Better than the baseline.
    Better,
    /// Worse than the baseline.
    Worse,
    /// Not measured.
    Loud,
}

impl Entry {
    /// A figure.
    pub fn plain(text: impl Into<String>) -> Entry {
        Entry {
            text: text.into(),
            short: None,
            mark: None,
            tone: Tone::Plain,
        }
    }

    /// The same with another tone.
    pub fn toned(mut self, tone: Tone) -> Entry {
        self.tone = tone;
        self
    }

    /// Text and mark, for formats that do not align decimals.
    pub fn marked(&self) -> String {
        match self.mark {
            Some(mark) => format!("{} {mark}", self.text),
            None => self.text.clone(),
        }
    }
}

/// An integer with its thousands apart: `59,097`.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    // No "-0".
    if value < 0.0 && digits != "0" {
        text.insert(0, '-');
    }
    text
}

/// A value with its metric's decimals.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if decimals == 0 {
        thousands(value)
    } else {
        format!("{value:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_from_the_right() {
        let shown: Vec<_> = [0.0, -0.2, 7.0, 999.6, 59_097.0, 1_234_567.0, -1000.0]
            .into_iter()
            .map(thousands)
            .collect();
        assert_eq!(
            shown,
            ["0", "0", "7", "1,000", "59,097", "1,234,567", "-1,000"]
        );
    }
}
