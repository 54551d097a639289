//! Exports of the audit log, judged by programs that know nothing of us: events by the published schema of OCSF, and Parquet by
//! DuckDB. Of a service where something of every class happened, and of a made-up log that has every action there is.

use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::audit_log::Log;
use portcullis_e2e::cli::{example, portcullis, portcullis_alone};
use portcullis_e2e::connection::Connection;
use portcullis_e2e::http::Request;
use portcullis_e2e::people::Site;
use portcullis_e2e::python::python;
use portcullis_e2e::scratch::Scratch;
use portcullis_e2e::stack::Stack;
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::sync::Arc;

const PACKAGES: &str = "PORTCULLIS_PYTHON_ORACLES";

/// What happens before the log is taken away; each class of OCSF that we have is among it.
const HAPPENED: [&str; 14] = [
    "audit.read",
    "check.denied",
    "client.changed",
    "connection.changed",
    "credential.refused",
    "kill",
    "registry.read",
    "request.allowed",
    "scim.changed",
    "session.login",
    "session.logout",
    "subject.reactivated",
    "token.issued",
    "trust.changed",
];

/// The classes of our events.
const CLASSES: [&str; 4] = [
    "3001 Account Change",
    "3002 Authentication",
    "3004 Entity Management",
    "6003 API Activity",
];

/// What the schema requires of each event.
const REQUIRED: [&str; 7] = [
    "activity_id",
    "category_uid",
    "class_uid",
    "metadata",
    "severity_id",
    "time",
    "type_uid",
];

/// What it requires of a class besides.
fn required_of(class: u64) -> &'static [&'static str] {
    match class {
        3001 | 3002 => &["user"],
        3004 => &["entity"],
        _ => &["actor", "api", "src_endpoint"],
    }
}

fn judged_events(file: &str) -> Result<Value> {
    let told = python(PACKAGES, "audit-oracles/ocsf.py", &[file])?;
    Ok(serde_json::from_str(&told)?)
}

fn judged_rows(dir: &Scratch) -> Result<Value> {
    let told = python(PACKAGES, "audit-oracles/parquet.py", &[&dir.shown()])?;
    Ok(serde_json::from_str(&told)?)
}

/// Fails unless both find nothing wrong with the export; gives back how many lines there are of each action.
fn expect_sound(dir: &Scratch, what: &str) -> Result<BTreeMap<String, u64>> {
    let lines = fs::read_to_string(dir.path.join("events.ndjson"))?;
    let mut actions: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line)?;
        let action = line["action"].as_str().unwrap_or_default();
        *actions.entry(action.to_owned()).or_default() += 1;
    }
    let events = judged_events(&dir.file("events.ocsf.ndjson"))?;
    assert_eq!(events["faults"], json!([]), "{events:#}");
    let classes = events["classes"].as_object();
    let classes = classes.ok_or_else(|| Failure::new("no classes"))?;
    let judged: u64 = classes.values().filter_map(Value::as_u64).sum();
    assert_eq!(judged, lines.lines().count() as u64, "{events}");
    assert_eq!(classes.keys().collect::<Vec<_>>(), CLASSES);
    let rows = judged_rows(dir)?;
    assert_eq!(rows["differing"], 0, "{rows:#}");
    assert_eq!(
        (&rows["rows"], &rows["lines"]),
        (&json!(judged), &json!(judged))
    );
    assert_eq!(rows["actions"], json!(actions), "{rows:#}");
    for (column, kind) in rows["types"].as_object().into_iter().flatten() {
        let numbers = [
            "index",
            "lane",
            "sequence",
            "count",
            "request_status",
            "request_asn",
        ];
        let expected = if numbers.contains(&column.as_str()) {
            "UBIGINT"
        } else {
            "VARCHAR"
        };
        assert_eq!(kind, expected, "{column}");
    }
    // To the terminal also if the test passes.
    writeln!(io::stderr(), "{what}: {judged} events, {}", json!(classes))?;
    Ok(actions)
}

/// Something of every class happens at a service of its own.
fn happenings() -> Result<(Site, Log)> {
    let stack = Arc::new(Stack::start()?);
    let api = Api::new(&stack.at);
    let site = Site::at(Arc::clone(&stack))?;
    let service = &stack.at.service;
    let make = |path: &str, body: &Value| {
        let made = api.post(path, bearer::ADMIN, body).send()?;
        made.expect(201)
    };
    let visit = |token: &str| {
        let request = Request::get(format!("{}/a?b=c", stack.at.gateway));
        request
            .header("user-agent", "R&D, \"quoted\"")
            .bearer(token)
            .send()
    };
    let leaves = site.app.log_in("carol")?;
    let hint = leaves.id.as_deref().unwrap_or_default();
    let log_out = Request::post(format!("{service}/logout"));
    log_out.form(&[("id_token_hint", hint)]).send()?;
    let user = site.scim.provision("alice")?;
    let tokens = site.app.log_in("alice")?;
    visit(&tokens.access)?.expect(200)?;
    visit("nothing")?.expect(401)?;
    site.scim.set_active(&user, false)?;
    visit(&tokens.access)?.expect(401)?;
    site.scim.set_active(&user, true)?;
    let other = site.app.log_in("bob")?;
    api.revoke(&json!({ "subject": other.subject, "session": other.session }))?
        .expect(200)?;
    let look = Request::get(format!("{service}/v1/subjects?limit=5"));
    look.bearer(bearer::ADMIN).send()?.expect(200)?;
    let client = json!({ "client_name": "=cmd", "redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "none" });
    make("/v1/clients", &client)?;
    let trust = json!({ "issuer": "https://ci.example", "audience": "portcullis", "claims": { "repository": "org/app" },
        "client_id": "demo-service", "scope": "read" });
    make("/v1/trusts", &trust)?;
    // One more connection, so last: from now on people are asked which is theirs.
    let connection = Connection::at(Site::at(Arc::clone(&stack))?, |client| client, &json!({}))?;
    connection.about("DELETE", "", None)?;
    let log = Log::new(&stack.at);
    let index = until("all that happened in the log", || {
        let events = api.events("from=1970-01-01T00:00:00Z")?;
        let found: BTreeSet<&str> = events
            .iter()
            .filter_map(|it| it["action"].as_str())
            .collect();
        let missing = HAPPENED.iter().filter(|action| !found.contains(*action));
        let last = events.last().and_then(|event| event["index"].as_u64());
        Ok(last.filter(|_| missing.count() == 0))
    })?;
    log.head_beyond(index)?;
    Ok((site, log))
}

#[test]
fn what_the_service_logs_passes_the_schema_of_ocsf_and_duckdb_reads_the_values_of_the_lines()
-> Result {
    let (site, log) = happenings()?;
    let (dir, key) = (Scratch::new("export")?, log.key()?.to_vkey());
    let shown = dir.shown();
    let formats = ["--format", "ocsf", "--format", "parquet"];
    let args = [&["audit", "export", &shown, "--key", &key], &formats[..]].concat();
    portcullis(site.endpoints(), &args)?.expect(0)?;
    let actions = expect_sound(&dir, "a service's log")?;
    for action in HAPPENED {
        assert!(actions.contains_key(action), "{action}: {actions:?}");
    }
    Ok(())
}

/// An export with every action, outcome and kind of actor.
fn made_up() -> Result<Scratch> {
    let dir = Scratch::new("export")?;
    example("make_export", &[&dir.shown(), "696", "--all"])?.expect(0)?;
    let key = dir.file("key");
    portcullis_alone(&["audit", "verify", &dir.shown(), "--key-file", &key])?.expect(0)?;
    Ok(dir)
}

#[test]
fn every_action_passes_the_schema_of_ocsf_and_duckdb_reads_the_values_of_the_lines() -> Result {
    let actions = expect_sound(&made_up()?, "a made-up log")?;
    let all = portcullis_core::audit::event::Action::ALL.map(|action| action.as_str().to_owned());
    assert_eq!(actions.into_keys().collect::<BTreeSet<_>>(), all.into());
    Ok(())
}

#[test]
fn an_event_without_what_is_required_is_refused_by_the_schema() -> Result {
    let dir = made_up()?;
    let text = fs::read_to_string(dir.path.join("events.ocsf.ndjson"))?;
    let mut of_classes: BTreeMap<u64, Value> = BTreeMap::new();
    for event in text.lines() {
        let event: Value = serde_json::from_str(event)?;
        of_classes.insert(event["class_uid"].as_u64().unwrap_or_default(), event);
    }
    assert_eq!(of_classes.len(), CLASSES.len());
    let mut broken = Vec::new();
    for (class, event) in &of_classes {
        for attribute in REQUIRED.iter().chain(required_of(*class)) {
            let mut without = event.clone();
            let fields = without.as_object_mut();
            let removed = fields.and_then(|fields| fields.remove(*attribute));
            assert!(removed.is_some(), "{class} has no {attribute}");
            broken.push((format!("{class} without {attribute}"), without));
        }
        for (attribute, wrong) in [
            ("time", json!("now")),
            ("status_id", json!(77)),
            ("ours", json!(1)),
        ] {
            let mut with = event.clone();
            with[attribute] = wrong;
            broken.push((format!("{class} with another {attribute}"), with));
        }
    }
    let copy = dir.path.join("broken.ndjson");
    let mut lines = String::new();
    for (_, event) in &broken {
        lines.push_str(&event.to_string());
        lines.push('\n');
    }
    fs::write(&copy, lines)?;
    let told = judged_events(&dir.file("broken.ndjson"))?;
    let refused: BTreeSet<u64> = told["faults"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|fault| fault["line"].as_u64())
        .collect();
    for (line, (what, _)) in (1..).zip(&broken) {
        assert!(refused.contains(&line), "{what} passes");
    }
    Ok(())
}

#[test]
fn a_line_that_is_not_its_row_is_found_by_duckdb() -> Result {
    let dir = made_up()?;
    let lines = dir.path.join("events.ndjson");
    let text = fs::read_to_string(&lines)?;
    fs::write(&lines, text.replacen("\"asn\":64496", "\"asn\":64497", 1))?;
    assert_eq!(judged_rows(&dir)?["differing"], 1);
    Ok(())
}
