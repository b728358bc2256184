//! A small SVG writer: rectangles, lines, text. Coordinates have one decimal, so that equal
//! charts have equal bytes.

/// An SVG being written.
pub(super) struct Svg {
    body: String,
}

/// Where a text's given point lies.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    /// At its start.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct Font {
    /// Size in SVG units.
    pub size: f64,
    /// Whether it is bold.
    pub bold: bool,
    /// Its colour.
    pub fill: &'static str,
    /// Whether a white edge keeps lines behind it off.
    pub halo: bool,
}

impl Svg {
    /// Nothing yet.
    pub fn new() -> Svg {
        Svg {
            body: String::new(),
        }
    }

    /// A filled rectangle; `more` holds further attributes.
    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str, more: &str) {
        self.body.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"{}{more}/>\n",
            if more.is_empty() { "" } else { " " }
        ));
    }

    /// A line; `more` holds further attributes.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str, more: &str) {
        self.body.push_str(&format!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"{}{more}/>\n",
            if more.is_empty() { "" } else { " " }
        ));
    }

    /// A filled circle; `more` holds further attributes.
    pub fn circle(&mut self, (x, y): (f64, f64), radius: f64, fill: &str, more: &str) {
        self.body.push_str(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{fill}\"{}{more}/>\n",
            if more.is_empty() { "" } else { " " }
        ));
    }

    /// A text on its base line, turned by `angle` degrees around its point.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, font: Font, angle: i32, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let bold = if font.bold {
            " font-weight=\"bold\""
        } else {
            ""
        };
        let halo = if font.halo {
            " stroke=\"#ffffff\" stroke-width=\"2.4\" paint-order=\"stroke\""
        } else {
            ""
        };
        let turn = match angle {
            0 => String::new(),
            a => format!(" transform=\"rotate({a} {x:.1} {y:.1})\""),
        };
        self.body.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{}\" fill=\"{}\"{anchor}{bold}{halo}{turn}>{}</text>\n",
            font.size,
            font.fill,
            escape(text)
        ));
    }

    /// The document. `title` is what a reader without eyes gets.
    pub fn finish(self, width: f64, height: f64, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"DejaVu Sans, Verdana, sans-serif\" \
             role=\"img\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
            escape(title),
            self.body
        )
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Not allowed in XML 1.0 at all.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A width that the text in DejaVu Sans does not exceed by much, in SVG units: advances are
/// between 0.28 and 0.98 em, and those of digits 0.636 em.
pub(super) fn text_width(text: &str, font: Font) -> f64 {
    let advance = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | ' ' | '|' | '\'' => 0.32,
        'f' | 'r' | 't' | '-' | '(' | ')' | '[' | ']' | '/' => 0.41,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.95,
        'A'..='Z' => 0.72,
        '=' | '~' | '+' | '<' | '>' => 0.84,
        _ => 0.636,
    };
    let bold = if font.bold { 1.1 } else { 1.0 };
    text.chars().map(advance).sum::<f64>() * font.size * bold
}

/// Lines no wider than `limit`, broken between words; a longer word stands alone.
pub(super) fn wrap(text: &str, font: Font, limit: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), font) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
