//! Two JSON values, leaf by leaf.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A place in which two values differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leaf {
    /// Where: keys and, of lists, names or numbers: `workloads.write-4k.iodepth`, `repetitions[2].ios`.
    pub path: String,
    /// What stands there in the first; null where nothing does. Whole, for lists of words, and lists that
    /// are not of one length.
    pub a: Value,
    /// What stands there in the second.
    pub b: Value,
}

/// What came of comparing two values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Leaves {
    /// How many leaves both have, and are equal.
    pub equal: usize,
    /// Those that differ, in the order of their paths' keys.
    pub differ: Vec<Leaf>,
}

impl Leaves {
    /// Compares two values. What one lacks is null there.
    #[must_use]
    pub fn of(a: &Value, b: &Value) -> Leaves {
        let mut leaves = Leaves::default();
        leaves.compare("", a, b);
        leaves
    }

    fn compare(&mut self, path: &str, a: &Value, b: &Value) {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => self.members(path, a, b),
            (Value::Array(x), Value::Array(y)) => match (named(x), named(y)) {
                (Some(a), Some(b)) if !(a.is_empty() && b.is_empty()) => self.members(path, &a, &b),
                _ if x.len() == y.len() && !is_words(x) => {
                    for (i, (a, b)) in x.iter().zip(y).enumerate() {
                        self.compare(&format!("{path}[{i}]"), a, b);
                    }
                }
                _ => self.leaf(path, a, b),
            },
            (a, b) => self.leaf(path, a, b),
        }
    }

    fn members(&mut self, path: &str, a: &Map<String, Value>, b: &Map<String, Value>) {
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
            self.compare(&path, &of(a), &of(b));
        }
    }

    fn leaf(&mut self, path: &str, a: &Value, b: &Value) {
        if a == b {
            self.equal += 1;
            return;
        }
        self.differ.push(Leaf {
            path: path.to_owned(),
            a: a.clone(),
            b: b.clone(),
        });
    }
}

/// A list's elements by their names, where all have one of their own.
fn named(list: &[Value]) -> Option<Map<String, Value>> {
    let mut named = Map::new();
    for element in list {
        let name = element.get("name")?.as_str()?;
        if named.insert(name.to_owned(), element.clone()).is_some() {
            return None;
        }
    }
    Some(named)
}

fn is_words(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(Value::is_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differ(a: &Value, b: &Value) -> Vec<String> {
        let leaves = Leaves::of(a, b);
        let show = |leaf: &Leaf| format!("{}: {} -> {}", leaf.path, leaf.a, leaf.b);
        leaves.differ.iter().map(show).collect()
    }

    #[test]
    fn a_list_is_compared_by_names_where_it_has_some_and_by_places_elsewhere() {
        let a = json!({"workloads": [{"name": "w", "depth": 64}, {"name": "x", "depth": 1}]});
        let b = json!({"workloads": [{"name": "x", "depth": 1}, {"name": "w", "depth": 32}]});
        assert_eq!(differ(&a, &b), ["workloads.w.depth: 64 -> 32"]);
        assert_eq!(Leaves::of(&a, &b).equal, 3);
        let (a, b) = (
            json!([{"ios": 1}, {"ios": 2}]),
            json!([{"ios": 1}, {"ios": 3}]),
        );
        assert_eq!(differ(&a, &b), ["[1].ios: 2 -> 3"]);
        // Two of one name: by places.
        let twice = |n| json!([{"name": "j", "n": 1}, {"name": "j", "n": n}]);
        assert_eq!(differ(&twice(1), &twice(2)), ["[1].n: 1 -> 2"]);
    }

    #[test]
    fn what_one_lacks_is_null_and_lists_of_words_or_other_lengths_are_whole() {
        let a = json!({"a": 1, "words": ["-m", "1"], "list": [1, 2]});
        let b = json!({"b": {"c": 1}, "words": ["-m", "2"], "list": [1]});
        assert_eq!(
            differ(&a, &b),
            [
                "a: 1 -> null",
                "b: null -> {\"c\":1}",
                "list: [1,2] -> [1]",
                "words: [\"-m\",\"1\"] -> [\"-m\",\"2\"]"
            ]
        );
    }
}
