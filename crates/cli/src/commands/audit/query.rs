//! `portcullis audit query`: pages of the log, and what a page is.

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Table, member, to_the_second};
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// For the help.
pub const EXAMPLE: &str = "\
Times are those at which things happened, as who recorded it saw them. With --json a line is printed
exactly as the log has it; with --personal it is the member `event` of an object.

Example:
  portcullis audit query --subject okta:alice --newest
  portcullis audit query --ip 192.0.2.7 --outcome denied
  portcullis audit query --action kill --from 2026-11-01T00:00:00Z --all --json > kills.ndjson";

/// Which lines.
#[derive(Debug, Args)]
pub struct Filters {
    /// Only what concerns them: a subject's key (sub_...) or CONNECTION:VALUE
    #[arg(long)]
    pub subject: Option<String>,
    /// Only this action, such as kill or session.login
    #[arg(long)]
    pub action: Option<String>,
    /// Only what ended like this: success or denied
    #[arg(long)]
    pub outcome: Option<String>,
}

impl Filters {
    /// As the service takes them.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let each = [
            ("subject", self.subject.as_deref()),
            ("action", self.action.as_deref()),
            ("outcome", self.outcome.as_deref()),
        ];
        each.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Which lines, by all that the service can look for.
#[derive(Debug, Args)]
pub struct Search {
    #[command(flatten)]
    /// Those that an export has, too.
    pub filters: Filters,
    /// Only what they did: operator:ROLE, client:ID, connection:ID, anonymous, or a subject as above
    #[arg(long)]
    actor: Option<String>,
    /// Only in this session: its id (ses_...), or what the log calls it (h_...)
    #[arg(long)]
    session: Option<String>,
    /// Only through this OAuth client
    #[arg(long)]
    client_id: Option<String>,
    /// Only by this connection, or with its identity provider's tokens
    #[arg(long)]
    connection: Option<String>,
    /// Only at this resource
    #[arg(long)]
    resource: Option<String>,
    /// Only from this address
    #[arg(long)]
    ip: Option<String>,
}

impl Search {
    /// As the service takes them.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let each = [
            ("actor", self.actor.as_deref()),
            ("session", self.session.as_deref()),
            ("client_id", self.client_id.as_deref()),
            ("connection", self.connection.as_deref()),
            ("resource", self.resource.as_deref()),
            ("ip", self.ip.as_deref()),
        ];
        let each = each.into_iter();
        let each = each.filter_map(|(name, value)| Some((name, value?)));
        self.filters.parameters().chain(each)
    }
}

/// Which lines, and how many.
#[derive(Debug, Args)]
pub struct Query {
    #[command(flatten)]
    search: Search,
    /// From this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The newest first
    #[arg(long)]
    newest: bool,
    /// How many on a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Every page
    #[arg(long)]
    all: bool,
    /// Show also what is sealed: address, user agent, claims. That it was read is in the log
    #[arg(long)]
    personal: bool,
}

/// A page, with its lines as they are.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The lines.
    pub events: Vec<Box<RawValue>>,
    /// Where there is more now.
    pub next: Option<String>,
    /// Where there will be more later.
    pub tail: String,
    /// The index of the first line that is kept.
    #[serde(default)]
    pub pruned_to: u64,
    /// If it was asked for, what is sealed in lines, by index; null if nothing opens it.
    #[serde(default)]
    pub personal: BTreeMap<u64, Value>,
}

impl Page {
    /// What is sealed in a line, if anything is.
    pub fn sealed(&self, line: &Value) -> Option<&Value> {
        self.personal.get(&line.get("index")?.as_u64()?)
    }
}

/// Asks for a page.
pub fn page(client: &Client, query: &[(&str, &str)]) -> Result<Page, Failure> {
    let answer = client.get(&["v1", "audit", "events"], query)?;
    serde_json::from_str(&answer.body)
        .map_err(|_| Failure::NoAnswer("the answer is no page of events".to_owned()))
}

impl Query {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        let mut pruned_to = 0;
        let is_all = loop {
            let page = self.page(client, cursor.as_deref())?;
            pruned_to = pruned_to.max(page.pruned_to);
            for event in &page.events {
                let line = value(event)?;
                let sealed = page.sealed(&line).cloned();
                if !output.json {
                    found.push((line, sealed));
                } else if !Output::line_if_read(&as_json(event, self.personal, sealed.as_ref()))? {
                    return Ok(());
                }
            }
            match page.next {
                None => break true,
                Some(_) if !self.all => break false,
                Some(next) if cursor.as_ref() == Some(&next) => {
                    let why = "a page of events leads to itself";
                    return Err(Failure::NoAnswer(why.to_owned()));
                }
                Some(next) => cursor = Some(next),
            }
        };
        if !output.json {
            Output::line(&rows(&found, self.personal))?;
        }
        if !is_all {
            output.remark("There may be more: --all looks at everything.");
        }
        if pruned_to > 0 {
            output.remark(&format!(
                "Lines below index {pruned_to} are gone by their age."
            ));
        }
        Ok(())
    }

    fn page(&self, client: &Client, cursor: Option<&str>) -> Result<Page, Failure> {
        let limit = self.limit.map(|limit| limit.to_string());
        let rest = [
            ("from", self.from.as_deref()),
            ("to", self.to.as_deref()),
            ("order", self.newest.then_some("newest")),
            ("limit", limit.as_deref()),
            ("cursor", cursor),
            ("personal", self.personal.then_some("true")),
        ];
        let rest = rest
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let query: Vec<(&str, &str)> = self.search.parameters().chain(rest).collect();
        page(client, &query)
    }
}

/// A line as JSON.
pub fn value(event: &RawValue) -> Result<Value, Failure> {
    serde_json::from_str(event.get())
        .map_err(|_| Failure::NoAnswer("a line of the log is no JSON".to_owned()))
}

/// A line exactly as the log has it; if it was asked for, with what is sealed in it beside it.
pub fn as_json(event: &RawValue, is_personal: bool, sealed: Option<&Value>) -> String {
    let line = event.get();
    match (is_personal, sealed) {
        (false, _) => line.to_owned(),
        (true, None) => format!(r#"{{"event":{line}}}"#),
        (true, Some(sealed)) => format!(r#"{{"event":{line},"personal":{sealed}}}"#),
    }
}

/// What is sealed in a line, as people read it.
pub fn sealed_cell(sealed: Option<&Value>) -> String {
    match sealed {
        None => String::new(),
        Some(Value::Null) => "(cannot be opened)".to_owned(),
        Some(sealed) => {
            let claims = sealed.get("claims").and_then(Value::as_object);
            let claims = claims.into_iter().flatten();
            let claims = claims.map(|(name, it)| format!("{name}={}", it.as_str().unwrap_or("")));
            let parts = [member(sealed, "ip"), member(sealed, "user_agent")];
            let parts = parts.into_iter().chain(claims);
            let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
            parts.join(" ")
        }
    }
}

fn rows(events: &[(Value, Option<Value>)], is_personal: bool) -> String {
    let heads = [
        "INDEX", "OCCURRED", "ACTION", "OUTCOME", "REASON", "BY", "SUBJECT", "CLIENT", "REQUEST",
        "SEALED",
    ];
    let shown = if is_personal {
        heads.len()
    } else {
        heads.len() - 1
    };
    let mut table = Table::new(heads.get(..shown).unwrap_or(&heads));
    for (event, sealed) in events {
        let cells = cells(event).into_iter();
        let sealed = is_personal.then(|| sealed_cell(sealed.as_ref()));
        table.row(cells.chain(sealed));
    }
    table.render("No events.")
}

/// A line, as people read it.
pub fn cells(event: &Value) -> [String; 9] {
    let nested = |outer: &str, name: &str| {
        event
            .get(outer)
            .map(|it| member(it, name))
            .unwrap_or_default()
    };
    let joined = |parts: [String; 3]| {
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    };
    [
        member(event, "index"),
        to_the_second(event, "occurred"),
        member(event, "action"),
        member(event, "outcome"),
        member(event, "reason"),
        joined([
            nested("actor", "type"),
            nested("actor", "id"),
            String::new(),
        ]),
        member(event, "subject"),
        member(event, "client_id"),
        joined([
            nested("request", "method"),
            nested("request", "path"),
            nested("request", "status"),
        ]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_is_a_row_and_what_others_chose_does_nothing_to_a_terminal() {
        let shown = rows(
            &[(
                json!({
                    "index": 7, "occurred": "2026-11-25T22:15:19.123Z", "action": "kill", "outcome": "success",
                    "reason": "admin", "actor": {"type": "operator", "id": "admin"}, "subject": "sub_1",
                    "request": {"method": "POST", "path": "/v1/\u{1b}[2J", "status": 200},
                }),
                None,
            )],
            false,
        );
        assert_eq!(
            shown,
            "\
INDEX  OCCURRED              ACTION  OUTCOME  REASON  BY              SUBJECT  REQUEST
7      2026-11-25T22:15:19Z  kill    success  admin   operator admin  sub_1    POST /v1/\u{fffd}[2J 200"
        );
        assert_eq!(rows(&[], false), "No events.");
    }

    #[test]
    fn what_is_sealed_is_shown_beside_its_line() {
        let sealed = json!({"ip": "192.0.2.1", "user_agent": "ua \u{1b}", "claims": {"a": "1"}});
        let event = |index: u64| json!({"index": index, "action": "kill"});
        let shown = rows(
            &[
                (event(7), Some(sealed.clone())),
                (event(8), Some(Value::Null)),
                (event(9), None),
            ],
            true,
        );
        assert_eq!(
            shown,
            "\
INDEX  ACTION  SEALED
7      kill    192.0.2.1 ua \u{fffd} a=1
8      kill    (cannot be opened)
9      kill"
        );
        let raw = RawValue::from_string(r#"{"index":7}"#.to_owned()).expect("JSON");
        assert_eq!(as_json(&raw, false, None), r#"{"index":7}"#);
        assert_eq!(as_json(&raw, true, None), r#"{"event":{"index":7}}"#);
        assert_eq!(
            as_json(&raw, true, Some(&Value::Null)),
            r#"{"event":{"index":7},"personal":null}"#
        );
    }
}
