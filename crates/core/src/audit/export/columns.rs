//! A line as a row: columns by name, in an order that does not change. What no column has is in the last, as JSON.

use serde_json::{Map, Value};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Whether it has numbers; else it has texts.
    pub is_number: bool,
    /// Where a line has it: a member, or one within a member.
    path: (&'static str, Option<&'static str>),
}

const fn text(name: &'static str) -> Column {
    Column {
        name,
        is_number: false,
        path: (name, None),
    }
}

const fn number(name: &'static str) -> Column {
    Column {
        is_number: true,
        ..text(name)
    }
}

const fn within(name: &'static str, outer: &'static str, inner: &'static str) -> Column {
    Column {
        path: (outer, Some(inner)),
        ..text(name)
    }
}

const fn number_within(name: &'static str, outer: &'static str, inner: &'static str) -> Column {
    Column {
        is_number: true,
        ..within(name, outer, inner)
    }
}

/// Every column. Append before the last.
pub const COLUMNS: [Column; 35] = [
    number("index"),
    number("lane"),
    text("producer"),
    number("sequence"),
    text("occurred"),
    text("received"),
    text("committed"),
    text("action"),
    text("outcome"),
    text("reason"),
    within("actor_type", "actor", "type"),
    within("actor_id", "actor", "id"),
    number("count"),
    text("subject"),
    text("session"),
    text("token"),
    text("client_id"),
    text("resource"),
    within("request_method", "request", "method"),
    within("request_host", "request", "host"),
    within("request_path", "request", "path"),
    number_within("request_status", "request", "status"),
    within("request_ip", "request", "ip"),
    number_within("request_asn", "request", "asn"),
    within("request_country", "request", "country"),
    within("request_user_agent", "request", "user_agent"),
    within("request_ray", "request", "ray"),
    within("credential_issuer", "credential", "issuer"),
    within("credential_kid", "credential", "kid"),
    within("credential_connection", "credential", "connection"),
    within("credential_act", "credential", "act"),
    text("claims"),
    text("policy"),
    text("sealed"),
    // Named so that nothing in a line is lost: members that a later version wrote.
    text("other"),
];

/// What a column has of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The line says nothing of it.
    Nothing,
    /// A number.
    Number(u64),
    /// A text; of what is no text, its JSON.
    Text(String),
}

/// The cells of a line, one for each of [`COLUMNS`]; `None` if it is no line of the log.
#[must_use]
pub fn cells(line: &[u8]) -> Option<Vec<Cell>> {
    let mut line: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let (_, named) = COLUMNS.split_last()?;
    let mut cells: Vec<Cell> = named
        .iter()
        .map(|column| take(&mut line, *column))
        .collect();
    // An object of which everything was taken has nothing more to say.
    line.retain(|_, rest| rest.as_object().is_none_or(|rest| !rest.is_empty()));
    cells.push(if line.is_empty() {
        Cell::Nothing
    } else {
        Cell::Text(Value::Object(line).to_string())
    });
    Some(cells)
}

fn take(line: &mut Map<String, Value>, column: Column) -> Cell {
    let holder = match column.path {
        (outer, Some(_)) => line.get_mut(outer).and_then(Value::as_object_mut),
        (_, None) => Some(line),
    };
    let (outer, inner) = column.path;
    let name = inner.unwrap_or(outer);
    let Some(holder) = holder else {
        return Cell::Nothing;
    };
    if column.is_number && holder.get(name).is_some_and(|value| !value.is_u64()) {
        return Cell::Nothing;
    }
    match holder.remove(name) {
        None => Cell::Nothing,
        Some(Value::String(text)) => Cell::Text(text),
        Some(value) if column.is_number => value.as_u64().map_or(Cell::Nothing, Cell::Number),
        Some(value) => Cell::Text(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_the_order_is_the_documented_one() {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(
            names.join(","),
            "index,lane,producer,sequence,occurred,received,committed,action,outcome,reason,actor_type,actor_id,count,\
             subject,session,token,client_id,resource,request_method,request_host,request_path,request_status,request_ip,\
             request_asn,request_country,request_user_agent,request_ray,credential_issuer,credential_kid,\
             credential_connection,credential_act,claims,policy,sealed,other"
        );
    }

    #[test]
    fn what_no_column_has_is_in_the_last() {
        let line = br#"{"index":7,"lane":"x","request":{"status":200,"new":1},"claims":{"a":"b"},"later":[1]}"#;
        let cells = cells(line).expect("a line");
        let of = |name: &str| {
            let at = COLUMNS.iter().position(|column| column.name == name);
            cells[at.expect("a column")].clone()
        };
        assert_eq!(of("index"), Cell::Number(7));
        assert_eq!(of("lane"), Cell::Nothing);
        assert_eq!(of("request_status"), Cell::Number(200));
        assert_eq!(of("claims"), Cell::Text(r#"{"a":"b"}"#.to_owned()));
        let other = r#"{"lane":"x","later":[1],"request":{"new":1}}"#;
        assert_eq!(of("other"), Cell::Text(other.to_owned()));
        assert_eq!(super::cells(b"[]"), None);
    }
}
