//! `GET /openapi.json`: the route table as OpenAPI 3.1, so that the two cannot differ.

use super::context::Ctx;
use crate::auth::{Access, Role};
use crate::error::json;
use crate::routes::{ROUTES, Route};
use serde_json::{Map, Value, json};
use worker::{Response, Result};

/// The description.
pub async fn get(ctx: Ctx) -> Result<Response> {
    json(200, &describe(&ctx.config.issuer))
}

fn describe(server: &str) -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
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
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "securitySchemes": schemes,
            "schemas": schemas(),
        },
    })
}

/// What the operations take and answer.
fn schemas() -> Value {
    let mut schemas = json!({
        "Problem": {
            "description": "RFC 9457",
            "type": "object",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
            },
        },
        "CheckRequest": {"anyOf": [
            super::check::request_schema(),
            super::check_batch::request_schema(),
        ]},
        "CheckReply": {"anyOf": [
            super::check::reply_schema(),
            super::check_batch::reply_schema(),
        ]},
        "RevocationRequest": super::revocations::request_schema(),
        "Revocation": {"anyOf": [
            super::revocations::reply_schema(),
            {"$ref": "#/components/schemas/WideRevocation"},
        ]},
        "WideRevocation": super::wide::reply_schema(),
        "Receipt": super::receipts::schema(),
        "Receipts": super::receipts::list_schema(),
        "Feed": super::feed::schema(),
        "FeedRestart": super::feed::restart_schema(),
        "ClientMetadata": super::clients::request_schema(),
        "Client": super::clients::reply_schema(),
        "Clients": super::clients::page_schema(),
        "Rotation": super::clients::rotation_schema(),
        "Trust": super::trusts::schema(),
        "Trusts": super::trusts::list_schema(),
        "Connection": super::connections::schema(),
        "Connections": super::connections::list_schema(),
        "ConnectionEnabled": super::connections::enabled_schema(),
        "ConnectionTest": super::connections::test_schema(),
        "Subjects": super::subjects::page_schema(),
        "Subject": super::subjects::schema(),
        "Sessions": super::sessions::reply_schema(),
        "SignOut": super::sessions::sign_out_schema(),
        "Empty": {"type": "object", "additionalProperties": false},
        "Keys": super::keys::list_schema(),
        "KeyRotation": super::keys::rotation_schema(),
        "KeyCompromise": super::keys::compromise_schema(),
        "JwksSync": super::jwks_sync::view_schema(),
        "JwksSyncRequest": super::jwks_sync::request_schema(),
        "JwksSyncOutcome": super::jwks_sync::outcome_schema(),
        "Events": super::audit::reply_schema(),
    });
    if let Some(schemas) = schemas.as_object_mut() {
        // The macro has its bounds.
        let of_the_log = [
            ("AuditKey", super::audit_log::key_schema()),
            ("Inclusion", super::audit_log::inclusion_schema()),
            ("Consistency", super::audit_log::consistency_schema()),
        ];
        schemas.extend(of_the_log.map(|(name, schema)| (name.to_owned(), schema)));
    }
    schemas
}

fn operation(route: &Route) -> Value {
    let security: Vec<Value> = match route.access {
        Access::Public => vec![],
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
        path if path.starts_with("/v1/keys") => of_keys(path),
        "/v1/connections/{connection}/jwks-sync" => match route.method {
            "POST" => (Some("JwksSyncRequest"), Some("JwksSyncOutcome")),
            _ => (None, Some("JwksSync")),
        },
        path if path.starts_with("/v1/audit/") => {
            let (names, reply) = of_audit(path);
            parameters.extend(names);
            (None, reply)
        }
        _ => (None, None),
    };
    let made = ["/v1/clients", "/v1/trusts", "/v1/connections"];
    let creates = route.method == "POST" && made.contains(&route.path);
    let done = if creates { "201" } else { "200" };
    let mut operation = json!({
        "summary": route.summary,
        "security": security,
        "parameters": parameters,
        "x-portcullis-example-path": example,
        "responses": {
            done: match reply {
                Some(schema) => json!({"description": "Done", "content": content("application/json", schema)}),
                None => json!({"description": "Done"}),
            },
            "default": {"description": "Refused", "content": content("application/problem+json", "Problem")},
        },
    });
    if let (Some(schema), Some(fields)) = (request, operation.as_object_mut()) {
        let body = json!({"required": true, "content": content("application/json", schema)});
        fields.insert("requestBody".to_owned(), body);
    }
    operation
}

/// The path as the description has it, which knows no parameter of several segments.
fn name(path: &str) -> String {
    path.replace("*}", "}")
}

/// The path with something in place of each pair of braces.
fn example(path: &str) -> String {
    path.replace("{subject}", "sub_AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{session}", "ses_AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{client_id}", "demo-app")
        .replace("{id}", "AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{name}", "User")
        .replace("{urn}", "urn:ietf:params:scim:schemas:core:2.0:User")
        .replace("{kid}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        .replace("{connection}", "okta")
        .replace("{receipt}", "rev_AAAAAAAAAAA")
        .replace("{trust}", "trt_AAAAAAAAAAAAAAAAAAAAAA")
        .replace("{lane}", "0")
        .replace("{level}", "0")
        .replace("{tile*}", "000")
        .replace("{bundle*}", "000")
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

/// The parameters and the schema of a route about the audit log.
fn of_audit(path: &str) -> (Vec<Value>, Option<&'static str>) {
    let (names, required, reply) = match path {
        "/v1/audit/events" => (super::audit::PARAMETERS, false, Some("Events")),
        "/v1/audit/proof/inclusion" => (super::audit_log::INCLUSION, true, Some("Inclusion")),
        "/v1/audit/proof/consistency" => (super::audit_log::CONSISTENCY, true, Some("Consistency")),
        "/v1/audit/key" => (&[][..], false, Some("AuditKey")),
        _ => (&[][..], false, None),
    };
    let names = names.iter().map(|name| parameter(name, "query", required));
    (names.collect(), reply)
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

    #[test]
    fn every_row_is_described_with_what_it_requires() {
        let description = describe("https://id.example");
        for route in ROUTES {
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
