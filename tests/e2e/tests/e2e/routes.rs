//! Every route of the service, from its own description: who may not.
//!
//! The list of public routes below may only shrink. A route that is not on it needs a credential,
//! and every credential without the role is refused before anything else is looked at.

use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Site;
use portcullis_e2e::{Failure, Result};
use serde_json::Value;
use std::collections::BTreeSet;

const PUBLIC: [&str; 37] = [
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/openid-configuration",
    "GET /audit/lane/{lane}/checkpoint",
    "GET /audit/lane/{lane}/key",
    "GET /audit/lane/{lane}/tile/{level}/{tile}",
    "GET /authorize",
    "GET /callback",
    "GET /callback/{connection}",
    "GET /choose",
    "GET /connection-test",
    "GET /consent",
    "GET /healthz",
    "GET /logout",
    "GET /openapi.json",
    "GET /saml/{connection}/metadata",
    "GET /userinfo",
    "OPTIONS /.well-known/jwks.json",
    "OPTIONS /.well-known/oauth-authorization-server",
    "OPTIONS /.well-known/openid-configuration",
    "OPTIONS /par",
    "OPTIONS /register",
    "OPTIONS /revoke",
    "OPTIONS /token",
    "OPTIONS /userinfo",
    "POST /authorize",
    "POST /backchannel-logout/{connection}",
    "POST /choose",
    "POST /consent",
    "POST /introspect",
    "POST /logout",
    "POST /par",
    "POST /register",
    "POST /revoke",
    "POST /saml/{connection}/acs",
    "POST /token",
    "POST /userinfo",
];

const ROLES: [&str; 4] = ["admin", "auditor", "gateway", "scim"];

/// One row of the route table.
struct Row {
    method: &'static str,
    path: String,
    /// The path with its parameters filled in.
    example: String,
    /// The roles that may; empty for a public route.
    roles: BTreeSet<String>,
}

impl Row {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// A request to it that is good for nothing but its credential.
    fn request(&self, site: &Site, bearer: Option<&str>) -> Result<Response> {
        let url = format!("{}{}", site.endpoints().service, self.example);
        let mut request = Request::new(self.method, url);
        if matches!(self.method, "POST" | "PUT" | "PATCH") {
            request = request.body("application/json", "not json");
        }
        if let Some(bearer) = bearer {
            request = request.bearer(bearer);
        }
        request.send()
    }
}

fn rows(site: &Site) -> Result<Vec<Row>> {
    let url = format!("{}/openapi.json", site.endpoints().service);
    let document = Request::get(url).send()?.expect(200)?.json()?;
    let version = document["openapi"].as_str().unwrap_or_default();
    assert!(version.starts_with("3.1"), "{version}");
    let mut rows = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if let Some(method) = method_named(method) {
                rows.push(row(method, path, operation)?);
            }
        }
    }
    assert!(
        rows.len() > 15,
        "only {} operations are described",
        rows.len()
    );
    Ok(rows)
}

fn row(method: &'static str, path: &str, operation: &Value) -> Result<Row> {
    let missing = |what: &str| Failure::new(format!("{method} {path} has no {what}: {operation}"));
    let security = operation["security"]
        .as_array()
        .ok_or_else(|| missing("security"))?;
    let roles: BTreeSet<String> = security
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|scheme| scheme.keys().cloned())
        .collect();
    let example = operation["x-portcullis-example-path"].as_str();
    let example = example.unwrap_or(path).to_owned();
    if example.contains('{') {
        return Err(missing("x-portcullis-example-path"));
    }
    Ok(Row {
        method,
        path: path.to_owned(),
        example,
        roles,
    })
}

fn method_named(name: &str) -> Option<&'static str> {
    [
        "GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE",
    ]
    .into_iter()
    .find(|method| method.eq_ignore_ascii_case(name))
}

#[test]
fn only_the_listed_routes_are_public_and_each_of_them_exists() -> Result {
    let site = Site::any()?;
    let public: BTreeSet<String> = rows(&site)?
        .iter()
        .filter(|row| row.roles.is_empty())
        .map(Row::name)
        .collect();
    let listed: BTreeSet<String> = PUBLIC.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(public, listed);
    Ok(())
}

#[test]
fn every_other_route_refuses_no_credential_a_wrong_one_and_each_wrong_role() -> Result {
    let site = Site::any()?;
    for row in rows(&site)?.iter().filter(|row| !row.roles.is_empty()) {
        let wrong = [
            None,
            Some("wrong"),
            Some("dev-"),
            Some("dev-admin ,"),
            Some("DEV-ADMIN"),
        ];
        for bearer in wrong {
            let response = row.request(&site, bearer)?;
            let challenge = response.header("www-authenticate").unwrap_or_default();
            if response.status != 401 || !challenge.starts_with("Bearer") {
                let expected = format!("401 and a Bearer challenge with the bearer {bearer:?}");
                return Err(response.unexpected(&expected));
            }
        }
        for role in ROLES {
            let response = row.request(&site, Some(&format!("dev-{role}")))?;
            let allowed = row.roles.contains(role);
            let refused = matches!(response.status, 401 | 403);
            if (allowed && refused) || (!allowed && response.status != 403) {
                let expected = if allowed {
                    "neither 401 nor 403"
                } else {
                    "403"
                };
                return Err(response.unexpected(&format!("{expected} for the role {role}")));
            }
        }
        for role in &row.roles {
            assert!(
                ROLES.contains(&role.as_str()),
                "{}: unknown role {role}",
                row.name()
            );
        }
    }
    Ok(())
}

#[test]
fn the_bearer_scheme_is_the_only_one() -> Result {
    let site = Site::any()?;
    let url = format!("{}/v1/audit/events", site.endpoints().service);
    for header in [
        "Basic ZGV2LWFkbWluOg==",
        "dev-admin",
        "Bearer",
        "Bearer  ",
        "DPoP dev-admin",
    ] {
        Request::get(&url)
            .header("authorization", header)
            .send()?
            .expect(401)?;
    }
    Request::get(format!("{url}?access_token=dev-admin"))
        .send()?
        .expect(401)?;
    Request::get(&url)
        .header("authorization", "bearer dev-admin")
        .send()?
        .expect(200)?;
    Ok(())
}

#[test]
fn what_is_no_route_is_not_found_and_a_wrong_method_is_said_to_be_one() -> Result {
    let site = Site::any()?;
    let service = &site.endpoints().service;
    for path in [
        "/v1/nothing",
        "/v1",
        "/v2/check",
        "/v1/check/",
        "/.well-known/nothing",
        "/.git/config",
    ] {
        Request::get(format!("{service}{path}"))
            .send()?
            .expect(404)?;
    }
    Request::get(format!("{service}/v1/nothing"))
        .send()?
        .problem()?;
    let wrong = Request::new("DELETE", format!("{service}/v1/check"))
        .bearer("dev-admin")
        .send()?;
    let wrong = wrong.expect(405)?;
    assert_eq!(wrong.header("allow"), Some("POST"));
    Ok(())
}

#[test]
fn the_service_says_that_it_is_well() -> Result {
    let site = Site::any()?;
    let answer = Request::get(format!("{}/healthz", site.endpoints().service))
        .send()?
        .expect(200)?;
    assert_eq!(answer.json()?, serde_json::json!({ "status": "ok" }));
    Ok(())
}
