//! Answers as people read them: tables, and one thing in detail.
//!
//! Columns are aligned by counting characters. What comes from outside is [cleaned](clean) first:
//! names and addresses are other people's to choose.

use serde_json::Value;

/// Rows under heads.
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(heads: &[&str]) -> Self {
        Self {
            heads: heads.iter().copied().map(str::to_owned).collect(),
            rows: Vec::new(),
        }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A column for each member that fits into one, those named `first` before the others.
    pub fn of_records(records: &[Value], first: &[&str]) -> Self {
        let mut names: Vec<&str> = first.to_vec();
        for (name, value) in records.iter().filter_map(Value::as_object).flatten() {
            if is_short(value) && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let heads = names.iter().map(|name| head(name)).collect();
        let row = |record: &Value| names.iter().map(|name| member(record, name)).collect();
        Self {
            heads,
            rows: records.iter().map(row).collect(),
        }
    }

    /// The table, or `nothing` if it has no rows. A column in which nobody has anything is left out.
    pub fn render(&self, nothing: &str) -> String {
        if self.rows.is_empty() {
            return nothing.to_owned();
        }
        let cell = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
        let columns = self.heads.iter().enumerate().filter_map(|(at, head)| {
            let cells: Vec<String> = self.rows.iter().map(|row| cell(row, at)).collect();
            let filled = cells.iter().any(|cell| !cell.is_empty());
            filled.then(|| {
                let lines = std::iter::once(head.clone()).chain(cells);
                padded(lines.collect())
            })
        });
        side_by_side(columns)
    }
}

/// A thing's members, a line each, those named `first` before the others.
pub fn details(thing: &Value, first: &[&str]) -> String {
    let mut lines = Vec::new();
    flatten("", thing, &mut lines);
    let place = |name: &str| {
        let top = name.split('.').next().unwrap_or_default();
        first.iter().position(|it| *it == top)
    };
    lines.sort_by_key(|(name, _)| place(name).unwrap_or(first.len()));
    let mut previous = String::new();
    let mut names = Vec::new();
    let mut values = Vec::new();
    for (name, value) in lines {
        names.push(if name == previous {
            String::new()
        } else {
            clean(&name)
        });
        values.push(value);
        previous = name;
    }
    side_by_side([padded(names), values].into_iter())
}

/// A member of a record, as a cell.
pub fn member(record: &Value, name: &str) -> String {
    record.get(name).map(cell).unwrap_or_default()
}

/// An instant, to the second; anything else as it is.
pub fn to_the_second(record: &Value, name: &str) -> String {
    let text = member(record, name);
    match text.strip_suffix('Z').and_then(|it| it.split_once('.')) {
        Some((seconds, fraction)) if fraction.bytes().all(|it| it.is_ascii_digit()) => {
            format!("{seconds}Z")
        }
        _ => text,
    }
}

/// Text that can do nothing to a terminal, nor show in another order than it is in.
pub fn clean(text: &str) -> String {
    let harmful = |it: char| {
        it.is_control()
            || matches!(it, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let replaced = |it| if harmful(it) { '\u{fffd}' } else { it };
    text.chars().map(replaced).collect()
}

/// A value in one line.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => clean(text),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(_) => {
            let mut members = Vec::new();
            flatten("", value, &mut members);
            let members = members
                .iter()
                .map(|(name, value)| format!("{}={value}", clean(name)));
            members.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Members of members by their path, and each record of a list by itself.
fn flatten(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                flatten(&path, value, lines);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            lines.extend(items.iter().map(|item| (path.to_owned(), cell(item))));
        }
        other => lines.push((path.to_owned(), cell(other))),
    }
}

fn is_short(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.iter().any(|it| it.is_object() || it.is_array()),
        other => !other.is_object(),
    }
}

fn head(name: &str) -> String {
    clean(name).replace('_', " ").to_uppercase()
}

/// The lines of a column, all of one width.
fn padded(lines: Vec<String>) -> Vec<String> {
    let width = lines.iter().map(|line| line.chars().count()).max();
    let width = width.unwrap_or_default();
    lines
        .into_iter()
        .map(|line| format!("{line:width$}"))
        .collect()
}

/// Columns beside each other; the last leaves no space at the ends of lines.
fn side_by_side(columns: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for column in columns {
        if lines.is_empty() {
            lines = column;
            continue;
        }
        for (line, cell) in lines.iter_mut().zip(column) {
            line.push_str("  ");
            line.push_str(&cell);
        }
    }
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_lines_end_without_space() {
        let mut table = Table::new(&["ID", "NAME", "STATE"]);
        table.row(["okta".to_owned(), "Zoë".to_owned(), "enabled".to_owned()]);
        table.row(["a".to_owned(), "Entra ID".to_owned(), String::new()]);
        assert_eq!(
            table.render("none"),
            "ID    NAME      STATE\nokta  Zoë       enabled\na     Entra ID"
        );
    }

    #[test]
    fn a_column_in_which_nobody_has_anything_is_left_out() {
        let mut table = Table::new(&["A", "B", "C"]);
        table.row(["1".to_owned(), String::new(), "3".to_owned()]);
        table.row(["4".to_owned()]);
        assert_eq!(table.render("none"), "A  C\n1  3\n4");
        assert_eq!(Table::new(&["A"]).render("none"), "none");
    }

    #[test]
    fn records_have_the_columns_that_they_bring() {
        let records = [
            json!({"state": "active", "subject": "sub_1", "keys": ["a", "b"]}),
            json!({"subject": "sub_2", "last_seen_at": null, "linked": {"a": 1}}),
        ];
        assert_eq!(
            Table::of_records(&records, &["subject", "missing"]).render("none"),
            "SUBJECT  KEYS  STATE\nsub_1    a, b  active\nsub_2"
        );
    }

    #[test]
    fn details_are_by_path_and_a_record_has_a_line() {
        let thing = json!({
            "enabled": true,
            "id": "okta",
            "roles": [
                {"role": "admin", "claim": "groups", "equals": "admins"},
                {"role": "owner", "claim": "/memberships", "where": {"org": "acme"}},
            ],
            "scope": null,
            "tokens": {"audiences": ["a", "b"], "max_age_secs": 3600},
        });
        assert_eq!(
            details(&thing, &["id", "tokens"]),
            "\
id                   okta
tokens.audiences     a, b
tokens.max_age_secs  3600
enabled              yes
roles                claim=groups equals=admins role=admin
                     claim=/memberships role=owner where.org=acme
scope"
        );
    }

    #[test]
    fn what_others_chose_does_nothing_to_a_terminal() {
        let record = json!({"name": "a\u{1b}]0;x\u{7}\nb\u{9b}2J\u{202e}c\u{2028}"});
        let shown = member(&record, "name");
        assert_eq!(
            shown,
            "a\u{fffd}]0;x\u{fffd}\u{fffd}b\u{fffd}2J\u{fffd}c\u{fffd}"
        );
        let thing = json!({"a\u{1b}b": {"c\nd": 1}, "l": [{"e\rf": 2}]});
        let shown = details(&thing, &[]);
        assert!(!shown.replace('\n', "").contains(char::is_control));
        assert_eq!(shown.lines().count(), 2);
    }

    #[test]
    fn an_instant_is_shown_to_the_second_and_other_text_as_it_is() {
        let shown = |text: &str| to_the_second(&json!({"at": text}), "at");
        assert_eq!(shown("2026-11-25T22:15:19.123Z"), "2026-11-25T22:15:19Z");
        assert_eq!(shown("2026-11-25T22:15:19Z"), "2026-11-25T22:15:19Z");
        assert_eq!(shown("a.bZ"), "a.bZ");
        assert_eq!(to_the_second(&json!({"at": null}), "at"), "");
    }
}
