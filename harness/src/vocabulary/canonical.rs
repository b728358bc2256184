//! One text for one value, so that its digest can be computed by anybody (docs/identity.md): JSON as
//! RFC 8785 (JSON Canonicalization Scheme) writes it, without its floats.

use crate::digest::Sha256;
use serde::Serialize;
use serde_json::Value;

/// What is digested. The word and its version stand in front of the text, so that no two kinds of value
/// share a digest, and a new version of one never meets an old one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`super::MachineInputs`]
    Machine,
    /// [`super::CellInputs`]
    Cell,
    /// The contents of a directory ([`super::TreeItem`]).
    Tree,
    /// A QEMU of the host's.
    HostVmm,
}

impl Kind {
    /// The first line of what is hashed, without its end.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Kind::Machine => "diorama machine 1",
            Kind::Cell => "diorama cell 1",
            Kind::Tree => "diorama tree 1",
            Kind::HostVmm => "diorama host-vmm 1",
        }
    }

    /// What is hashed: the header, a line's end, and the value's canonical JSON.
    ///
    /// # Panics
    /// When the value holds a float or a map whose keys are no strings. No type digested here has
    /// either.
    #[must_use]
    pub fn text(self, value: &impl Serialize) -> String {
        let json = serde_json::to_value(value)
            .map_err(|e| e.to_string())
            .and_then(|value| encode(&value))
            .expect("plain data without floats is encoded");
        format!("{}\n{json}", self.header())
    }

    /// The sha256 of [`Kind::text`].
    ///
    /// # Panics
    /// As [`Kind::text`].
    #[must_use]
    pub fn digest(self, value: &impl Serialize) -> Sha256 {
        Sha256::of(self.text(value).as_bytes())
    }
}

/// Canonical JSON: keys sorted, no white space, strings escaped only where JSON demands it, integers in
/// full (RFC 8785 knows none above 2^53).
///
/// # Errors
/// When there is a float: their texts differ between languages. Says which.
pub fn encode(value: &Value) -> Result<String, String> {
    let mut text = String::new();
    write(value, &mut text)?;
    Ok(text)
}

fn write(value: &Value, text: &mut String) -> Result<(), String> {
    match value {
        Value::Number(number) if number.is_f64() => {
            return Err(format!("{number} is no integer"));
        }
        // serde_json escapes what RFC 8785 (3.2.2.2) lists, in the same words, and nothing else.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write(item, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            // Sorted here: serde_json's own order is a feature that any crate may turn off.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (i, (key, item)) in members.into_iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(item, text)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_value_has_one_text_whatever_the_order_of_its_keys() {
        let text = encode(&json!({
            "b": [1, -2, u64::MAX, true, null],
            "a": {"z": "", "é": "a\"b\\c\n\u{1}\u{7f}é\u{2028}/"},
        }));
        assert_eq!(
            text.unwrap(),
            "{\"a\":{\"z\":\"\",\"é\":\"a\\\"b\\\\c\\n\\u0001\u{7f}é\u{2028}/\"},\
             \"b\":[1,-2,18446744073709551615,true,null]}"
        );
        // RFC 8785, 3.2.3: by UTF-16 code units, where U+1F600 is before U+FB33.
        let text = encode(&json!({"\u{fb33}": 1, "\u{1f600}": 2, "\u{20ac}": 3, "1": 4}));
        assert_eq!(
            text.unwrap(),
            "{\"1\":4,\"\u{20ac}\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}"
        );
    }

    #[test]
    fn floats_are_refused_wherever_they_are() {
        assert_eq!(
            encode(&json!({"a": [{"b": 1.0}]})),
            Err("1.0 is no integer".into())
        );
    }

    /// `printf 'diorama tree 1\n[]' | sha256sum`
    #[test]
    fn a_digest_is_that_of_header_and_text() {
        assert_eq!(Kind::Tree.text(&[(); 0]), "diorama tree 1\n[]");
        assert_eq!(
            Kind::Tree.digest(&[(); 0]).to_string(),
            "5df2482a4a397f827311455ae14e0557d93c8f5cab4939cf88cf739f9eb6da79"
        );
        let headers = [Kind::Machine, Kind::Cell, Kind::Tree, Kind::HostVmm].map(Kind::header);
        assert_eq!(
            headers
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            headers.len()
        );
    }
}
