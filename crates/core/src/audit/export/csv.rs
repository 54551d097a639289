//! Lines as CSV (RFC 4180): records end with CR LF, the first has the names of the columns, and a field with a comma, a
//! quote or a line break is quoted.
//!
//! Spreadsheets take a field that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula, and others
//! choose paths and user agents. Such a text has a `'` in front; so has one that begins with a `'`, so that the text is
//! always known: take one `'` from the front of a field. Numbers are as they are.

use super::columns::{COLUMNS, Cell, cells};

/// The first record.
#[must_use]
pub fn header() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    names.join(",") + "\r\n"
}

/// The record of a line; `None` if it is no line of the log.
#[must_use]
pub fn record(line: &[u8]) -> Option<String> {
    let mut record = String::new();
    for (at, cell) in cells(line)?.iter().enumerate() {
        if at > 0 {
            record.push(',');
        }
        match cell {
            Cell::Nothing => {}
            Cell::Number(number) => record.push_str(&number.to_string()),
            Cell::Text(text) => field(text, &mut record),
        }
    }
    record.push_str("\r\n");
    Some(record)
}

fn field(text: &str, record: &mut String) {
    let is_taken_for_a_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']);
    let is_quoted = text.contains([',', '"', '\r', '\n']) || text.starts_with('\t');
    if is_quoted {
        record.push('"');
    }
    if is_taken_for_a_formula {
        record.push('\'');
    }
    for part in text.split_inclusive('"') {
        record.push_str(part);
        if part.ends_with('"') {
            record.push('"');
        }
    }
    if is_quoted {
        record.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Reads a record as RFC 4180 has it.
    fn parsed(record: &str) -> Vec<String> {
        let mut rest = record.strip_suffix("\r\n").expect("an end");
        let mut fields = Vec::new();
        loop {
            let mut field = String::new();
            if let Some(quoted) = rest.strip_prefix('"') {
                rest = quoted;
                loop {
                    let (part, behind) = rest.split_once('"').expect("a closing quote");
                    field.push_str(part);
                    rest = behind;
                    match rest.strip_prefix('"') {
                        Some(behind) => {
                            field.push('"');
                            rest = behind;
                        }
                        None => break,
                    }
                }
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                field.push_str(&rest[..end]);
                assert!(!field.contains(['"', '\r', '\n']), "{field}");
                rest = &rest[end..];
            }
            fields.push(field);
            match rest.strip_prefix(',') {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        assert_eq!(rest, "");
        fields
    }

    #[test]
    fn golden_record() {
        let line = json!({
            "index": 7, "lane": 0, "producer": "prd_x", "sequence": 4, "occurred": "1970-01-01T00:00:01.000Z",
            "action": "request.denied", "outcome": "denied", "actor": {"type": "anonymous"},
            "request": {"method": "GET", "path": "=cmd|' /C calc'!A0", "status": 403, "user_agent": "a, \"b\""},
        });
        assert_eq!(
            record(line.to_string().as_bytes()).as_deref(),
            Some(
                "7,0,prd_x,4,1970-01-01T00:00:01.000Z,,,request.denied,denied,,anonymous,,,,,,,,GET,,\
                 '=cmd|' /C calc'!A0,403,,,,\"a, \"\"b\"\"\",,,,,,,,,\r\n"
            )
        );
        assert_eq!(record(b"no JSON"), None);
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_and_none_begins_a_formula(path: String, agent in "[-=+@\t\r\n',\"a]{0,8}") {
            let line = json!({"index": 1, "request": {"path": path, "user_agent": agent}});
            let record = record(line.to_string().as_bytes()).expect("a line");
            let fields = parsed(&record);
            prop_assert_eq!(fields.len(), COLUMNS.len());
            for (name, text) in [("request_path", &path), ("request_user_agent", &agent)] {
                let at = COLUMNS.iter().position(|column| column.name == name).expect("a column");
                let field = &fields[at];
                prop_assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r']), "{field:?}");
                prop_assert_eq!(field.strip_prefix('\'').unwrap_or(field), text.as_str());
            }
        }
    }
}
