//! `GET /openapi.json`: the route table as OpenAPI 3.1.
//!
//! What makes the description would be a tenth of the Worker, so the Worker has what was made: `openapi.json` beside this file,
//! with two names in place of what a deployment says. A test makes it anew and compares, so that table and file cannot differ.

use super::context::Ctx;
use crate::auth::{Access, Role};
use crate::error::JSON_HEADERS;
use crate::routes::{Route, rows};
use serde_json::{Map, Value, json};
use worker::{Response, Result};

/// As [`describe`] made it. The test below writes it.
const DESCRIPTION: &str = include_str!("openapi.json");

/// Stands there for the service's base URL.
const ISSUER: &str = "https://issuer.invalid";
/// Stands there for the name of the connection in paths of SCIM that have one.
const CONNECTION: &str = "configured-connection";

/// Where something is made without anything that has to be said.
const SCIM_SECRETS: &str = "/v1/connections/{connection}/scim-secrets";

/// The description.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let text = of_deployment(&ctx.config.issuer, &ctx.config.connection.id)?;
    let response = Response::ok(text)?;
    for (name, value) in JSON_HEADERS {
        response.headers().set(name, value)?;
    }
    Ok(response)
}

/// The description with what is this deployment's own.
fn of_deployment(issuer: &str, connection: &str) -> serde_json::Result<String> {
    let issuer = serde_json::to_string(issuer)?;
    let connection = serde_json::to_string(connection)?;
    let connection = connection.trim_matches('"');
    let described = DESCRIPTION.replace(&format!("\"{ISSUER}\""), &issuer);
    Ok(described.replace(CONNECTION, connection))
}

/// The route table as OpenAPI.
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the Worker has what it makes: it would be a tenth of it"
    )
)]
fn describe() -> Value {
    let mut paths = Map::new();
    for route in rows() {
        let path = paths.entry(name(route.path)).or_insert_with(|| json!({}));
        if let Some(operations) = path.as_object_mut() {
            let method = route.method.to_lowercase();
            operations.insert(method, operation(route));
        }
    }
    let schemes: Map<String, Value> = Role::ALL
        .iter()
        .map(|role| {
            (
                role.as_str().to_owned(),
                json!({"type": "http", "scheme": "bearer"}),
            )
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Portcullis", "version": env!("CARGO_PKG_VERSION")},
        "servers": [{"url": ISSUER}],
        "paths": paths,
        "components": {
            "securitySchemes": schemes,
            "schemas": schemas(),
        },
    })
}

/// What bodies about the audit log are made of.
fn audit_schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Events", super::audit::reply_schema()),
        ("EpochRequest", super::audit_epochs::request_schema()),
        ("Epoch", super::audit_epochs::reply_schema()),
        ("SubmittedEvents", super::audit_events::request_schema()),
        ("TakenEvents", super::audit_events::reply_schema()),
        ("AuditStatus", super::audit_status::schema()),
        ("DeadLetter", super::audit_letters::schema()),
        ("DeadLetters", super::audit_letters::page_schema()),
        ("Replay", super::audit_letters::replay_schema()),
        ("AuditKey", super::audit_log::key_schema()),
        ("Disclosures", super::audit_personal::disclosures_schema()),
        (
            "ErasureRequest",
            super::audit_personal::erasure_request_schema(),
        ),
        ("Erasure", super::audit_personal::erasure_schema()),
        ("Inclusion", super::audit_log::inclusion_schema()),
        ("Consistency", super::audit_log::consistency_schema()),
        ("RetentionRequest", super::audit_retention::request_schema()),
        ("Retention", super::audit_retention::reply_schema()),
        (
            "AuditHoldRequest",
            super::audit_retention::hold_request_schema(),
        ),
        ("AuditHold", super::audit_retention::hold_schema()),
        ("ExportRequest", super::exports::request_schema()),
        ("Export", super::exports::schema()),
        ("Exports", super::exports::list_schema()),
    ]
}

/// What bodies are made of.
fn schemas() -> Map<String, Value> {
    let schemas = [
        (
            "Problem",
            json!({
                "description": "RFC 9457",
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }),
        ),
        (
            "CheckRequest",
            json!({"anyOf": [
                super::check::request_schema(),
                super::check_batch::request_schema(),
            ]}),
        ),
        (
            "CheckReply",
            json!({"anyOf": [
                super::check::reply_schema(),
                super::check_batch::reply_schema(),
            ]}),
        ),
        ("RevocationRequest", super::revocations::request_schema()),
        (
            "Revocation",
            json!({"anyOf": [
                super::revocations::reply_schema(),
                {"$ref": "#/components/schemas/WideRevocation"},
            ]}),
        ),
        ("WideRevocation", super::wide::reply_schema()),
        ("Receipt", super::receipts::schema()),
        ("Receipts", super::receipts::list_schema()),
        ("Feed", super::feed::schema()),
        ("FeedRestart", super::feed::restart_schema()),
        ("ClientMetadata", super::clients::request_schema()),
        ("Client", super::clients::reply_schema()),
        ("Clients", super::clients::page_schema()),
        ("Rotation", super::clients::rotation_schema()),
        ("Trust", super::trusts::schema()),
        ("Trusts", super::trusts::list_schema()),
        ("Connection", super::connections::schema()),
        ("Connections", super::connections::list_schema()),
        ("ConnectionEnabled", super::connections::enabled_schema()),
        ("ConnectionTest", super::connections::test_schema()),
        ("ScimSecretRequest", super::scim_secrets::request_schema()),
        ("ScimSecret", super::scim_secrets::made_schema()),
        ("ScimSecrets", super::scim_secrets::list_schema()),
        ("Subjects", super::subjects::page_schema()),
        ("Subject", super::subjects::schema()),
        ("Sessions", super::sessions::reply_schema()),
        ("SignOut", super::sessions::sign_out_schema()),
        (
            "Empty",
            json!({"type": "object", "additionalProperties": false}),
        ),
        ("Keys", super::keys::list_schema()),
        ("KeyRotation", super::keys::rotation_schema()),
        ("KeyCompromise", super::keys::compromise_schema()),
        ("JwksSync", super::jwks_sync::view_schema()),
        ("JwksSyncRequest", super::jwks_sync::request_schema()),
        ("JwksSyncOutcome", super::jwks_sync::outcome_schema()),
        ("ScimJob", super::scim_jobs::schema()),
        ("ScimJobs", super::scim_jobs::page_schema()),
        ("Seats", super::scim_jobs::seats_schema()),
    ];
    let named = schemas.into_iter().chain(audit_schemas());
    named
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn operation(route: &Route) -> Value {
    let security: Vec<Value> = match route.access {
        Access::Public => vec![],
        Access::Scim => vec![json!({Role::Scim.as_str(): []})],
        Access::AnyOf(roles) => roles
            .iter()
            .map(|role| json!({role.as_str(): []}))
            .collect(),
    };
    let example = example(route.path);
    let path = name(route.path);
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| parameter(name, "path", true))
        .collect();
    let (request, reply) = match route.path {
        path if path.starts_with("/v1/clients") || path.starts_with("/v1/trusts") => {
            if (route.method, path) == ("GET", "/v1/clients") {
                let names = ["limit", "cursor"];
                parameters.extend(names.map(|name| parameter(name, "query", false)));
            }
            of_policy(route)
        }
        "/v1/check" => (Some("CheckRequest"), Some("CheckReply")),
        "/v1/feed/restart" => (Some("Empty"), Some("FeedRestart")),
        path if path.starts_with("/v1/feed")
            || (route.method, path) == ("GET", "/v1/revocations") =>
        {
            let (names, reply) = of_feed(route);
            parameters.extend(names.iter().map(|name| parameter(name, "query", false)));
            (None, Some(reply))
        }
        "/v1/revocations/{receipt}" => (None, Some("Receipt")),
        "/v1/revocations" => {
            parameters.push(parameter("Idempotency-Key", "header", false));
            (Some("RevocationRequest"), Some("Revocation"))
        }
        "/v1/subjects" => {
            let names = super::subjects::PARAMETERS;
            parameters.extend(names.iter().map(|name| parameter(name, "query", false)));
            (None, Some("Subjects"))
        }
        "/v1/subjects/{subject}" => (None, Some("Subject")),
        "/v1/subjects/{subject}/sessions" => (None, Some("Sessions")),
        "/v1/subjects/{subject}/sign-out" => {
            parameters.push(parameter("Idempotency-Key", "header", false));
            (Some("SignOut"), Some("Revocation"))
        }
        "/v1/subjects/{subject}/sessions/{session}"
        | "/v1/subjects/{subject}/consents/{client_id}" => {
            parameters.push(parameter("Idempotency-Key", "header", false));
            (None, Some("Revocation"))
        }
        path if path.starts_with("/v1/connections") => {
            if path.ends_with("/scim-jobs") {
                let names = super::scim_jobs::PARAMETERS;
                parameters.extend(names.iter().map(|name| parameter(name, "query", false)));
            }
            of_connections(route)
        }
        path if path.starts_with("/v1/keys") => of_keys(path),
        path if path.starts_with("/v1/audit/exports") => {
            let (names, place, request, reply) = of_exports(route);
            parameters.extend(names.iter().map(|name| parameter(name, place, false)));
            (request, reply)
        }
        path if path.starts_with("/v1/audit/") => {
            let (names, request, reply) = of_audit(route);
            parameters.extend(names);
            (request, reply)
        }
        _ => (None, None),
    };
    let done = done(route);
    let mut operation = json!({
        "summary": route.summary,
        "security": security,
        "parameters": parameters,
        "x-portcullis-example-path": example,
        "responses": {
            done: match reply {
                Some("Events") => json!({"description": "Done", "content": super::audit::content()}),
                Some(schema) => json!({"description": "Done", "content": content("application/json", schema)}),
                None => json!({"description": "Done"}),
            },
            "default": {"description": "Refused", "content": content("application/problem+json", "Problem")},
        },
    });
    if let (Some(schema), Some(fields)) = (request, operation.as_object_mut()) {
        let needed = route.path != SCIM_SECRETS;
        let body = json!({"required": needed, "content": content("application/json", schema)});
        fields.insert("requestBody".to_owned(), body);
    }
    operation
}

/// The status of what was done.
fn done(route: &Route) -> &'static str {
    let made = ["/v1/clients", "/v1/trusts", "/v1/connections", SCIM_SECRETS];
    match (route.method, route.path) {
        ("POST", "/v1/audit/exports") => "202",
        ("POST", "/v1/audit/epochs") => "201",
        ("DELETE", "/v1/audit/exports/{export}") => "204",
        ("POST", path) if made.contains(&path) => "201",
        _ => "200",
    }
}

/// The path as the description has it, which knows no parameter of several segments.
fn name(path: &str) -> String {
    path.replace("*}", "}")
}

/// The path with something in place of each pair of braces: of SCIM's, the connection that all of them have.
fn example(path: &str) -> String {
    path.replace("/scim/{connection}/", &format!("/scim/{CONNECTION}/"))
        .replace("{subject}", "sub_AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{session}", "ses_AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{client_id}", "demo-app")
        .replace("{id}", "AAAAAAAAAAAAAAAAAAAAAA")
        .replace("/files/{name}", "/files/manifest.json")
        .replace("{export}", "exp_1700000000000")
        .replace("{name}", "User")
        .replace("{urn}", "urn:ietf:params:scim:schemas:core:2.0:User")
        .replace("{kid}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        .replace("{connection}", "okta")
        .replace("{secret}", "scs_AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{job}", "job_1700000000000")
        .replace("{receipt}", "rev_AAAAAAAAAAA")
        .replace("{trust}", "trt_AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{hold}", "case-1")
        .replace("{letter}", "ltr_AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{lane}", "0")
        .replace("{level}", "0")
        .replace("{tile*}", "000")
        .replace("{bundle*}", "000")
}

/// The schemas of a route about connections.
fn of_connections(route: &Route) -> (Option<&'static str>, Option<&'static str>) {
    match route.path {
        "/v1/connections" if route.method == "GET" => (None, Some("Connections")),
        "/v1/connections" => (Some("Connection"), Some("Connection")),
        "/v1/connections/{connection}" => match route.method {
            "PUT" => (Some("Connection"), Some("Connection")),
            "GET" => (None, Some("Connection")),
            _ => (None, None),
        },
        "/v1/connections/{connection}/test" => (None, Some("ConnectionTest")),
        "/v1/connections/{connection}/enable" | "/v1/connections/{connection}/disable" => {
            (None, Some("ConnectionEnabled"))
        }
        SCIM_SECRETS => match route.method {
            "POST" => (Some("ScimSecretRequest"), Some("ScimSecret")),
            _ => (None, Some("ScimSecrets")),
        },
        "/v1/connections/{connection}/jwks-sync" => match route.method {
            "POST" => (Some("JwksSyncRequest"), Some("JwksSyncOutcome")),
            _ => (None, Some("JwksSync")),
        },
        "/v1/connections/{connection}/scim-jobs" => (None, Some("ScimJobs")),
        "/v1/connections/{connection}/scim-jobs/{job}" => (None, Some("ScimJob")),
        "/v1/connections/{connection}/seats" => (None, Some("Seats")),
        _ => (None, None),
    }
}

/// The schemas of a route about clients or trusts.
fn of_policy(route: &Route) -> (Option<&'static str>, Option<&'static str>) {
    match (route.method, route.path) {
        ("GET", "/v1/clients") => (None, Some("Clients")),
        ("GET", "/v1/trusts") => (None, Some("Trusts")),
        ("DELETE", "/v1/clients/{client_id}") => (None, Some("WideRevocation")),
        ("POST", "/v1/clients/{client_id}/secrets") => (Some("Rotation"), Some("Client")),
        ("GET", "/v1/clients/{client_id}") => (None, Some("Client")),
        ("GET", "/v1/trusts/{trust}") => (None, Some("Trust")),
        ("POST" | "PUT", "/v1/clients" | "/v1/clients/{client_id}") => {
            (Some("ClientMetadata"), Some("Client"))
        }
        ("POST" | "PUT", _) => (Some("Trust"), Some("Trust")),
        _ => (None, None),
    }
}

/// The parameters and the schemas of a route about the audit log.
fn of_audit(route: &Route) -> (Vec<Value>, Option<&'static str>, Option<&'static str>) {
    use super::{audit, audit_letters, audit_log, audit_personal};
    let (names, required, request, reply): (&[&str], _, _, _) = match (route.method, route.path) {
        ("GET", "/v1/audit/events") => (audit::PARAMETERS, false, None, Some("Events")),
        ("POST", "/v1/audit/events") => (&[], false, Some("SubmittedEvents"), Some("TakenEvents")),
        (_, "/v1/audit/epochs") => (&[], false, Some("EpochRequest"), Some("Epoch")),
        (_, "/v1/audit/status") => (&[], false, None, Some("AuditStatus")),
        (_, "/v1/audit/dead-letters") => {
            (audit_letters::PARAMETERS, false, None, Some("DeadLetters"))
        }
        ("GET", "/v1/audit/dead-letters/{letter}") => (&[], false, None, Some("DeadLetter")),
        (_, "/v1/audit/dead-letters/{letter}/replay") => (&[], false, None, Some("Replay")),
        (_, "/v1/audit/disclosures") => {
            (audit_personal::DISCLOSURES, true, None, Some("Disclosures"))
        }
        (_, "/v1/audit/erasures") => (&[], false, Some("ErasureRequest"), Some("Erasure")),
        (_, "/v1/audit/proof/inclusion") => (audit_log::INCLUSION, true, None, Some("Inclusion")),
        (_, "/v1/audit/proof/consistency") => {
            (audit_log::CONSISTENCY, true, None, Some("Consistency"))
        }
        (_, "/v1/audit/key") => (&[], false, None, Some("AuditKey")),
        ("GET", "/v1/audit/retention") => (&[], false, None, Some("Retention")),
        ("PUT", "/v1/audit/retention") => (&[], false, Some("RetentionRequest"), Some("Retention")),
        ("PUT", "/v1/audit/holds/{hold}") => {
            (&[], false, Some("AuditHoldRequest"), Some("AuditHold"))
        }
        _ => (&[], false, None, None),
    };
    let names = names.iter().map(|name| parameter(name, "query", required));
    let mut parameters: Vec<Value> = names.collect();
    if reply == Some("Events") {
        parameters.push(parameter("Last-Event-ID", "header", false));
    }
    (parameters, request, reply)
}

/// The parameters, where they are, and the schemas of a route about exports.
fn of_exports(
    route: &Route,
) -> (
    &'static [&'static str],
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
) {
    match (route.method, route.path) {
        ("POST", _) => {
            let names = &["Idempotency-Key"];
            (names, "header", Some("ExportRequest"), Some("Export"))
        }
        ("GET", "/v1/audit/exports") => {
            let names = super::exports::PARAMETERS;
            (names, "query", None, Some("Exports"))
        }
        ("GET", "/v1/audit/exports/{export}") => (&[], "query", None, Some("Export")),
        ("GET", _) => {
            let names = &["Range", "If-Range", "If-None-Match"];
            (names, "header", None, None)
        }
        _ => (&[], "query", None, None),
    }
}

/// The schemas of a route about signing keys.
fn of_keys(path: &str) -> (Option<&'static str>, Option<&'static str>) {
    match path {
        "/v1/keys" => (None, Some("Keys")),
        "/v1/keys/rotate" => (Some("Empty"), Some("KeyRotation")),
        _ => (Some("Empty"), Some("KeyCompromise")),
    }
}

/// The parameters and the schema of a route that tells what was ended.
fn of_feed(route: &Route) -> (Vec<&'static str>, &'static str) {
    if route.path == "/v1/revocations" {
        return (super::receipts::PARAMETERS.to_vec(), "Receipts");
    }
    let waits = route.path == "/v1/feed";
    let names = super::feed::PARAMETERS.iter().copied();
    (
        names.filter(|name| waits || *name != "wait").collect(),
        "Feed",
    )
}

fn content(media_type: &str, schema: &str) -> Value {
    json!({media_type: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

fn parameter(name: &str, place: &str, required: bool) -> Value {
    json!({"name": name, "in": place, "required": required, "schema": {"type": "string"}})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line for each operation and each schema, so that a change shows as what it is.
    fn in_lines(value: &Value, levels: usize) -> String {
        let fields = match value {
            Value::Object(fields) if levels > 0 => fields,
            value => return value.to_string(),
        };
        let line = |(name, value)| format!("{}: {}", json!(name), in_lines(value, levels - 1));
        let lines: Vec<String> = fields.iter().map(line).collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    }

    #[test]
    fn what_is_served_describes_the_table() {
        let described = describe();
        let kept: Option<Value> = serde_json::from_str(DESCRIPTION).ok();
        if kept.as_ref() == Some(&described) {
            return;
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/openapi.json");
        std::fs::write(file, in_lines(&described, 3) + "\n").expect("written");
        panic!("{file} was not up to date, and was written anew: run this again");
    }

    #[test]
    fn the_deployments_names_are_in_what_is_served() {
        let served = of_deployment("https://id.example/\"", "okta").expect("served");
        let served: Value = serde_json::from_str(&served).expect("JSON");
        assert_eq!(served["servers"][0]["url"], "https://id.example/\"");
        let path = "/scim/{connection}/v2/Users";
        let example = &served["paths"][path]["get"]["x-portcullis-example-path"];
        assert_eq!(example, "/scim/okta/v2/Users");
        let served = served.to_string();
        assert!(!served.contains(ISSUER) && !served.contains(CONNECTION));
    }

    #[test]
    fn every_row_is_described_with_what_it_requires() {
        let description = describe();
        for route in rows() {
            let method = route.method.to_lowercase();
            let operation = &description["paths"][name(route.path)][method.as_str()];
            assert_eq!(operation["summary"], route.summary);
            let public = matches!(route.access, Access::Public);
            assert_eq!(operation["security"] == json!([]), public, "{}", route.path);
            let example = operation["x-portcullis-example-path"]
                .as_str()
                .expect("text");
            assert!(!example.contains('{'), "{example}");
        }
    }
}
