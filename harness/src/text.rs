//! Foreign words made harmless (pure): names, titles and messages come out of files and guests that
//! somebody else made, and a terminal or a reader of documents obeys some of what it is shown.

/// Longest part of a foreign name that a message repeats, in characters.
pub const SHOWN: usize = 80;

/// Whether a character does something instead of showing something: control characters (ESC begins
/// a terminal's commands), and those that turn the direction of the text around it.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A number and what is counted: `1 cell`, `2 entries`.
#[must_use]
pub fn counted(number: usize, of: &str) -> String {
    match (number, of.strip_suffix('y')) {
        (1, _) => format!("1 {of}"),
        (n, Some(stem)) => format!("{n} {stem}ies"),
        (n, None) => format!("{n} {of}s"),
    }
}

/// One line: whatever acts is shown as an escape (`\u{1b}`, `\n`).
#[must_use]
pub fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// Lines: like [`line`], but line feeds and tabs stay.
#[must_use]
pub fn lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) && !stays(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// At most [`SHOWN`] characters of a text; `...` stands for the rest.
#[must_use]
pub fn cut(text: &str) -> String {
    cut_to(text, SHOWN)
}

fn cut_to(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// A text whose words have at most [`SHOWN`] characters: sentences stay whole, and a name of a
/// hundred thousand letters does not.
#[must_use]
pub fn cut_words(text: &str) -> String {
    words_to(text, SHOWN)
}

/// The same with room for any path (PATH_MAX), which must stay whole to be of use.
#[must_use]
pub fn cut_long_words(text: &str) -> String {
    words_to(text, 4096)
}

fn words_to(text: &str, most: usize) -> String {
    let words: Vec<String> = text.split(' ').map(|word| cut_to(word, most)).collect();
    words.join(" ")
}

/// One word as a POSIX shell (sh(1)) takes it, whatever is in it.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// [`quoted`], for commands that are shown to be typed: of foreign text, one line that gives no terminal a
/// command.
#[must_use]
pub fn shell_word(text: &str) -> String {
    quoted(&line(text))
}

/// One line of Markdown that shows the text and nothing else: no HTML, no link, no emphasis.
#[must_use]
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let text = line(&text.replace(['\n', '\r'], " "));
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let markup = match c {
            '\\' | '|' | '<' | '>' | '*' | '`' => true,
            // The end of a link's text, or of the name that it refers to.
            ']' => matches!(rest.peek(), Some('(' | '[' | ':')),
            // A character's name or number.
            '&' => rest
                .peek()
                .is_some_and(|c| *c == '#' || c.is_ascii_alphabetic()),
            _ => false,
        };
        if markup {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// One line of Org that shows the text and nothing else. Org has no escape character; its manual
/// ("Escape Character") breaks what would be read as markup with a zero-width space.
#[must_use]
pub fn org(text: &str) -> String {
    const BREAK: char = '\u{200b}';
    // Links, export snippets, macros, targets, footnotes, calls and inline source blocks.
    const MARKUP: [&str; 12] = [
        "[[", "]]", "@@", "{{{", "<<", "[fn:", "src_", "call_", "elisp:", "shell:", "file:", "<%",
    ];
    let text = line(&text.replace(['\n', '\r'], " "));
    let mut broken = String::with_capacity(text.len());
    // A headline, a keyword, a comment, a drawer or a table at the beginning of a line.
    if text.starts_with(['*', '#', ':', '|']) {
        broken.push(BREAK);
    }
    for (at, c) in text.char_indices() {
        broken.push(c);
        let rest = &text[at..];
        let begins = |word: &&str| {
            rest.get(..word.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        // Most characters begin none, and names may be long.
        if "[]@{<sceSCEfF".contains(c) && MARKUP.iter().any(begins) {
            broken.push(BREAK);
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_counted_as_several() {
        let shown = [0, 1, 2].map(|n| counted(n, "cell"));
        assert_eq!(shown, ["0 cells", "1 cell", "2 cells"]);
        assert_eq!(counted(3, "entry"), "3 entries");
    }

    #[test]
    fn what_acts_is_shown_and_what_shows_stays() {
        assert_eq!(line("a\u{1b}]0;x\u{7}b\nc"), "a\\u{1b}]0;x\\u{7}b\\nc");
        assert_eq!(lines("a\n\tb\u{9b}31m\r"), "a\n\tb\\u{9b}31m\\r");
        assert_eq!(line("\u{202e}txt.exe"), "\\u{202e}txt.exe");
        assert_eq!(line("größer 中 \\n"), "größer 中 \\n");
    }

    #[test]
    fn a_shell_takes_a_foreign_word_for_a_word() {
        assert_eq!(shell_word("S5GX-1.0"), "S5GX-1.0");
        assert_eq!(shell_word("S1; rm -r ~"), "'S1; rm -r ~'");
        assert_eq!(shell_word("it's$(x)"), r"'it'\''s$(x)'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn documents_show_foreign_markup_as_text() {
        assert_eq!(
            markdown("<img src=x onerror=alert(1)> [a](b) &lt;\n# no"),
            "\\<img src=x onerror=alert(1)\\> [a\\](b) \\&lt; # no"
        );
        assert_eq!(markdown("59 [57 to 60] & [x]"), "59 [57 to 60] & [x]");
        let shown = org("#+INCLUDE: x\n[[shell:rm]] @@html:<b>@@ src_sh{ls}");
        for markup in ["[[", "@@html", "src_sh", "shell:rm"] {
            assert!(!shown.contains(markup), "{shown}");
        }
        assert!(!shown.starts_with('#') && !shown.contains('\n'), "{shown}");
        assert_eq!(org("7.2 of file systems"), "7.2 of file systems");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(100_000);
        assert_eq!(cut(&long).chars().count(), SHOWN + 3);
    }
}
