//! A file's routes in words, for whoever checks it.

use crate::consistency::{Consistency, WhenStale};
use crate::route::access::Requirements;
use crate::route::audit::{Audit, Loss};
use crate::route::table::Table;
use crate::route::{Guard, Route};
use serde_json::{Map, Value, json};

/// A record for each route, in their order, with what `[defaults]` say for it.
#[must_use]
pub fn described(table: &Table) -> Vec<Value> {
    let record = |route| Value::Object(record(route, table));
    table.routes.iter().map(record).collect()
}

fn record(route: &Route, table: &Table) -> Map<String, Value> {
    let upstream = table.upstreams.get(route.upstream);
    let mut record = Map::new();
    let mut put = |name: &str, value: Value| drop(record.insert(name.to_owned(), value));
    put("line", json!(route.line));
    put("host", json!(route.host));
    put("path", json!(route.path.to_string()));
    put("methods", json!(route.methods));
    put("upstream", json!(upstream.map(|upstream| &upstream.name)));
    put("public", json!(route.guard().is_none()));
    if let Some(guard) = route.guard() {
        for (name, value) in of_a_guard(guard) {
            put(name, value);
        }
    }
    record
}

fn of_a_guard(guard: &Guard) -> [(&'static str, Value); 10] {
    let Requirements {
        roles_any,
        roles_all,
        groups_any,
        groups_all,
        scopes,
    } = &guard.requirements;
    let headers: Vec<String> = guard
        .headers
        .iter()
        .map(|(name, claim)| format!("{name}={claim}"))
        .collect();
    [
        ("roles_any", json!(roles_any)),
        ("roles_all", json!(roles_all)),
        ("groups_any", json!(groups_any)),
        ("groups_all", json!(groups_all)),
        ("scopes", json!(scopes)),
        ("consistency", json!(consistency(guard.consistency))),
        ("audit", json!(audit(&guard.audit))),
        ("headers", json!(headers)),
        ("browser_login", json!(guard.browser_login)),
        ("assertion", json!(guard.assertion)),
    ]
}

fn consistency(consistency: Consistency) -> String {
    match consistency {
        Consistency::Strict => "strict".to_owned(),
        Consistency::SignatureOnly => "signature-only".to_owned(),
        Consistency::Bounded {
            max_age_ms,
            when_stale,
        } => {
            let then = match when_stale {
                WhenStale::Refresh => "refresh",
                WhenStale::Strict => "strict",
                WhenStale::Refuse => "refuse",
            };
            format!("bounded {max_age_ms}ms, else {then}")
        }
    }
}

fn audit(audit: &Audit) -> String {
    let loss = match audit.loss {
        Loss::Tolerate => "tolerate",
        Loss::Wait => "wait",
    };
    let claims = audit.claims.iter().map(|claim| format!(" {claim}"));
    let claims: String = claims.collect();
    format!("{} {loss}{claims}", audit.sample.share())
}
