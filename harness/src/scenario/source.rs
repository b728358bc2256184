//! `[source]`: the published report that a scenario is about (pure).

use super::parse::RawSource;
use super::problems::{At, Problems};
use super::rules::{choice, required};
use serde::{Deserialize, Serialize};

/// A published report: where it is, what it says, and what is known of its reproduction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where it can be read.
    pub url: String,
    /// Who reported it; may be empty, like all texts below but the claim.
    pub by: String,
    /// When: year, month and day, as `2023-06-21`.
    pub date: String,
    /// What it was measured on, and with what.
    pub setup: String,
    /// What it says.
    pub claim: String,
    /// What of it this scenario's lane can show, and what it cannot.
    pub limits: String,
    /// What a run of the scenario as it is written is known to end with.
    pub known: Known,
    /// Why, where that is not a reproduction.
    pub because: String,
}

/// The verdict that a run is known to end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// Every claim holds.
    Reproduced,
    /// Some claim is contradicted.
    NotReproduced,
    /// Some claim has no answer.
    Undecided,
}

impl Known {
    /// The words in capitals that reports use for such a verdict.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Known::Reproduced => "REPRODUCED",
            Known::NotReproduced => "NOT REPRODUCED",
            Known::Undecided => "UNDECIDED",
        }
    }
}

/// The same, by the word a scenario uses.
const KNOWN: &[(&str, Known)] = &[
    ("reproduced", Known::Reproduced),
    ("not-reproduced", Known::NotReproduced),
    ("undecided", Known::Undecided),
];

/// The report, if the scenario names one.
pub(super) fn source(raw: Option<&RawSource>, problems: &mut Problems) -> Option<Source> {
    let raw = raw?;
    let url = required(
        raw.url.as_ref(),
        "source.url",
        "\"https://..\", where the report can be read",
        problems,
    );
    if let Some(url) = url.filter(|url| !is_url(&url.value)) {
        let what = format!("`{}` is not a URL", url.value);
        problems.add(&url.at, what, "write it as https://..");
    }
    let claim = required(
        raw.claim.as_ref(),
        "source.claim",
        "\"..\", what the report says",
        problems,
    );
    if let Some(date) = raw.date.as_ref().filter(|date| !is_date(&date.value)) {
        let what = format!("`{}` is not a day", date.value);
        problems.add(&date.at, what, "write it as 2023-06-21");
    }
    let word = raw.known.as_ref();
    let known = match word {
        None => Some(Known::Reproduced),
        Some(word) => choice(word, "verdicts", KNOWN, problems),
    };
    let text = |text: &Option<At<String>>| {
        let text = text.as_ref().map(|text| text.value.trim().to_owned());
        text.unwrap_or_default()
    };
    let because = text(&raw.because);
    match (word, known) {
        (Some(word), Some(Known::NotReproduced | Known::Undecided)) if because.is_empty() => {
            let next = "add source.because = \"..\": why, and what that means";
            problems.add(&word.at, "needs a reason", next);
        }
        _ => {}
    }
    Some(Source {
        url: url?.value.clone(),
        by: text(&raw.by),
        date: text(&raw.date),
        setup: text(&raw.setup),
        claim: claim?.value.trim().to_owned(),
        limits: text(&raw.limits),
        known: known?,
        because,
    })
}

fn is_url(text: &str) -> bool {
    let rest = ["https://", "http://"].iter();
    let mut rest = rest.filter_map(|scheme| text.strip_prefix(scheme));
    let plain = |c: char| c.is_ascii_graphic() && !"<>\"`\\".contains(c);
    rest.any(|rest| rest.contains('.') && rest.chars().all(plain))
}

/// Year, month and day, of which only the form is looked at: reports of any calendar are old enough.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.as_slice(), [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_days_have_one_form() {
        for good in ["https://lore.kernel.org/x/y@z/", "http://a.b"] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "lore.kernel.org/x",
            "https://",
            "https://a.b/ c",
            "ftp://a.b",
            "https://a.b/<i>",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
        assert!(is_date("2023-06-21"));
        for bad in ["2023-06", "2023-6-21", "21.06.2023", "2023-06-21-1", "June"] {
            assert!(!is_date(bad), "{bad}");
        }
    }
}
