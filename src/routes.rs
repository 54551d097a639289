//! The whole API on one page: every route, what it requires, and what answers it.

use crate::auth::{Access, Role};
use crate::http::context::Ctx;
use crate::http::scim::Whose;
use crate::http::{
    audit, audit_epochs, audit_events, audit_letters, audit_log, audit_personal, audit_retention,
    audit_status, check, clients, connections, export_file, exports, feed, health, jwks_sync, keys,
    oauth, openapi, preflight, receipts, revocations, scim, scim_jobs, scim_secrets, sessions,
    subjects, trusts,
};
use futures::future::LocalBoxFuture;
use worker::{Response, Result};

/// What answers a request.
pub type Handler = fn(Ctx) -> LocalBoxFuture<'static, Result<Response>>;

/// One row of the table.
pub struct Route {
    /// The method, as it is sent.
    pub method: &'static str,
    /// The path; a segment in braces matches any one segment, and one that ends in `*}` all that are left.
    pub path: &'static str,
    /// Who may call.
    pub access: Access,
    /// In one line, for the API description.
    pub summary: &'static str,
    /// What answers.
    pub handler: Handler,
}

const ADMIN: Access = Access::AnyOf(&[Role::Admin]);
const AUDITORS: Access = Access::AnyOf(&[Role::Auditor, Role::Admin]);
const CHECKERS: Access = Access::AnyOf(&[Role::Gateway, Role::Admin]);
const PUBLIC: Access = Access::Public;

macro_rules! route {
    ($method:literal, $path:literal, $access:expr, $summary:literal, $handler:path) => {
        Route {
            method: $method,
            path: $path,
            access: $access,
            summary: $summary,
            handler: |ctx| Box::pin($handler(ctx)),
        }
    };
}

macro_rules! scim_routes {
    ($($method:literal, $path:literal, $summary:literal, $handler:path;)*) => {
        &[$([
            Route {
                method: $method,
                path: concat!("/scim/v2", $path),
                access: Access::Scim,
                summary: $summary,
                handler: |ctx| Box::pin(scim::answer(ctx, Whose::Configured, $handler)),
            },
            Route {
                method: $method,
                path: concat!("/scim/{connection}/v2", $path),
                access: Access::Scim,
                summary: $summary,
                handler: |ctx| Box::pin(scim::answer(ctx, Whose::Named, $handler)),
            },
        ]),*]
    };
}

/// The table, but for SCIM.
#[rustfmt::skip]
const ROUTES: &[Route] = &[
    route!("GET", "/healthz", PUBLIC, "Whether the service is configured and answers", health::get),
    route!("GET", "/openapi.json", PUBLIC, "This description", openapi::get),

    route!("GET", "/.well-known/oauth-authorization-server", PUBLIC, "Authorization server metadata (RFC 8414)", oauth::metadata::get),
    route!("GET", "/.well-known/openid-configuration", PUBLIC, "The same as OpenID provider metadata", oauth::metadata::get),
    route!("GET", "/.well-known/jwks.json", PUBLIC, "Public signing keys (RFC 7517)", oauth::metadata::jwks),
    route!("GET", "/authorize", PUBLIC, "Authorization endpoint (RFC 6749 section 3.1)", oauth::authorize::get),
    route!("POST", "/authorize", PUBLIC, "The same with parameters in a form (OIDC Core section 3.1.2.1)", oauth::authorize::post),
    route!("POST", "/par", PUBLIC, "Pushed authorization requests (RFC 9126)", oauth::par::post),
    route!("GET", "/callback", PUBLIC, "Where the identity provider sends browsers back", oauth::callback::get),
    route!("GET", "/callback/{connection}", PUBLIC, "Where that identity provider sends browsers back", oauth::callback::get),
    route!("POST", "/saml/{connection}/acs", PUBLIC, "Where browsers post the answers of that SAML provider", oauth::saml::acs),
    route!("GET", "/saml/{connection}/metadata", PUBLIC, "What that SAML provider must know of the service", oauth::saml::metadata),
    route!("GET", "/choose", PUBLIC, "Asks a person through which identity provider they log in", oauth::choose::get),
    route!("POST", "/choose", PUBLIC, "Takes the person's choice", oauth::choose::post),
    route!("GET", "/connection-test", PUBLIC, "Begins a connection's test, by an operator's link", oauth::connection_test::get),
    route!("GET", "/consent", PUBLIC, "Asks a person what a client may have", oauth::consent::get),
    route!("POST", "/consent", PUBLIC, "Takes the person's answer", oauth::consent::post),
    route!("POST", "/token", PUBLIC, "Token endpoint (RFC 6749 section 3.2)", oauth::token::post),
    route!("POST", "/introspect", PUBLIC, "Token introspection (RFC 7662)", oauth::introspect::post),
    route!("POST", "/revoke", PUBLIC, "Token revocation (RFC 7009)", oauth::revoke::post),
    route!("GET", "/userinfo", PUBLIC, "Claims about a person (OIDC Core section 5.3)", oauth::userinfo::get),
    route!("POST", "/userinfo", PUBLIC, "Claims about a person (OIDC Core section 5.3)", oauth::userinfo::get),
    route!("POST", "/register", PUBLIC, "Register a client, where that is allowed (RFC 7591)", oauth::register::post),
    route!("GET", "/logout", PUBLIC, "End a session (OIDC RP-Initiated Logout)", oauth::logout::get),
    route!("POST", "/logout", PUBLIC, "End a session (OIDC RP-Initiated Logout)", oauth::logout::post),

    route!("POST", "/backchannel-logout/{connection}", PUBLIC, "Where an identity provider says whom it has logged out (OIDC Back-Channel Logout section 2.5)", oauth::backchannel_logout::post),

    // What apps in browsers call with more than a browser lets any page send.
    route!("OPTIONS", "/.well-known/oauth-authorization-server", PUBLIC, "CORS preflight", preflight::options),
    route!("OPTIONS", "/.well-known/openid-configuration", PUBLIC, "CORS preflight", preflight::options),
    route!("OPTIONS", "/.well-known/jwks.json", PUBLIC, "CORS preflight", preflight::options),
    route!("OPTIONS", "/token", PUBLIC, "CORS preflight", preflight::options),
    route!("OPTIONS", "/par", PUBLIC, "CORS preflight", preflight::options),
    route!("OPTIONS", "/register", PUBLIC, "CORS preflight", preflight::options),
    route!("OPTIONS", "/revoke", PUBLIC, "CORS preflight", preflight::options),
    route!("OPTIONS", "/userinfo", PUBLIC, "CORS preflight", preflight::options),

    route!("POST", "/v1/check", CHECKERS, "Whether a credential is in force, strictly", check::post),
    route!("POST", "/v1/revocations", ADMIN, "End a subject's credentials, a session, a token, or all of a client or connection", revocations::post),
    route!("GET", "/v1/revocations", ADMIN, "The newest revocations of a subject, or of everyone's", receipts::list),
    route!("GET", "/v1/revocations/{receipt}", ADMIN, "What became of a revocation", receipts::get),
    route!("GET", "/v1/feed", CHECKERS, "What was ended after a place in the feed, at once or when there is something", feed::get),
    route!("GET", "/v1/feed/snapshot", CHECKERS, "What was ended and may still be presented, in pages", feed::snapshot),
    route!("POST", "/v1/feed/restart", ADMIN, "Have gateways take nothing from before for granted, as after a restore", feed::restart),
    route!("GET", "/v1/subjects", ADMIN, "Who is known, by logging in or by being provisioned", subjects::list),
    route!("GET", "/v1/subjects/{subject}", ADMIN, "Somebody who is known, and how it is with them now", subjects::get),
    route!("GET", "/v1/subjects/{subject}/sessions", ADMIN, "A subject's live sessions", sessions::list),
    route!("DELETE", "/v1/subjects/{subject}/sessions/{session}", ADMIN, "Sign a subject out of one session", sessions::end),
    route!("POST", "/v1/subjects/{subject}/sign-out", ADMIN, "Sign a subject out of all sessions, or all but one", sessions::end_all),
    route!("DELETE", "/v1/subjects/{subject}/consents/{client_id}", ADMIN, "Forget what a subject allowed a client, and end its sessions", sessions::withdraw),
    route!("GET", "/v1/keys", ADMIN, "The signing keys and where they are in their lives", keys::list),
    route!("POST", "/v1/keys/rotate", ADMIN, "Have another key sign, as soon as every cache can know it", keys::rotate),
    route!("POST", "/v1/keys/{kid}/compromise", ADMIN, "Have a key count for nothing, at once", keys::compromise),
    route!("POST", "/v1/clients", ADMIN, "Register an OAuth client", clients::create),
    route!("GET", "/v1/clients", ADMIN, "OAuth clients", clients::list),
    route!("GET", "/v1/clients/{client_id}", ADMIN, "An OAuth client", clients::get),
    route!("PUT", "/v1/clients/{client_id}", ADMIN, "Replace an OAuth client's metadata", clients::put),
    route!("DELETE", "/v1/clients/{client_id}", ADMIN, "Remove an OAuth client and end all that it has", clients::delete),
    route!("POST", "/v1/clients/{client_id}/secrets", ADMIN, "Give an OAuth client a new secret", clients::rotate),
    route!("POST", "/v1/trusts", ADMIN, "Declare a trust in workload identities", trusts::create),
    route!("GET", "/v1/trusts", ADMIN, "Trusts in workload identities", trusts::list),
    route!("GET", "/v1/trusts/{trust}", ADMIN, "A trust", trusts::get),
    route!("PUT", "/v1/trusts/{trust}", ADMIN, "Replace a trust", trusts::put),
    route!("DELETE", "/v1/trusts/{trust}", ADMIN, "Remove a trust", trusts::delete),
    route!("POST", "/v1/connections", ADMIN, "Make a connection to an identity provider", connections::create),
    route!("GET", "/v1/connections", ADMIN, "Connections to identity providers", connections::list),
    route!("GET", "/v1/connections/{connection}", ADMIN, "A connection", connections::get),
    route!("PUT", "/v1/connections/{connection}", ADMIN, "Replace a connection", connections::put),
    route!("DELETE", "/v1/connections/{connection}", ADMIN, "Remove a connection and end all that rests on it", connections::delete),
    route!("POST", "/v1/connections/{connection}/enable", ADMIN, "Turn a connection on", connections::enable),
    route!("POST", "/v1/connections/{connection}/disable", ADMIN, "Turn a connection off and end all that rests on it", connections::disable),
    route!("POST", "/v1/connections/{connection}/test", ADMIN, "Make a link that tests a connection in a browser", connections::test),
    route!("POST", "/v1/connections/{connection}/scim-secrets", ADMIN, "Make a secret for a connection's SCIM endpoint", scim_secrets::create),
    route!("GET", "/v1/connections/{connection}/scim-secrets", ADMIN, "The secrets of a connection's SCIM endpoint, but for themselves", scim_secrets::list),
    route!("DELETE", "/v1/connections/{connection}/scim-secrets/{secret}", ADMIN, "Remove a secret of a connection's SCIM endpoint, at once", scim_secrets::delete),
    route!("GET", "/v1/connections/{connection}/jwks-sync", ADMIN, "A connection's keys at API Shield: what would be sent, what was, and how it went", jwks_sync::get),
    route!("POST", "/v1/connections/{connection}/jwks-sync", ADMIN, "Send a connection's keys to API Shield now", jwks_sync::post),
    route!("GET", "/v1/connections/{connection}/scim-jobs", ADMIN, "What changes of groups have done to people, newest first", scim_jobs::list),
    route!("GET", "/v1/connections/{connection}/scim-jobs/{job}", ADMIN, "How far what a change of a group does to people is", scim_jobs::get),
    route!("GET", "/v1/connections/{connection}/seats", ADMIN, "How many people hold a seat", scim_jobs::seats),
    route!("GET", "/v1/audit/events", AUDITORS, "Search the audit log", audit::events),
    route!("GET", "/v1/audit/disclosures", AUDITORS, "What opens the sealed fields of lines", audit_personal::disclosures),
    route!("POST", "/v1/audit/erasures", ADMIN, "Have nobody read any more what is sealed of a person", audit_personal::erase),
    route!("POST", "/v1/audit/epochs", ADMIN, "End a log that may not be signed any more, and begin a new one", audit_epochs::begin),
    route!("POST", "/v1/audit/events", CHECKERS, "Put events of a producer that is no Worker into the audit log", audit_events::post),
    route!("GET", "/v1/audit/status", AUDITORS, "How the audit log is: its size, what waits, and whether it signs", audit_status::get),
    route!("GET", "/v1/audit/dead-letters", ADMIN, "What could not be taken into the audit log", audit_letters::list),
    route!("GET", "/v1/audit/dead-letters/{letter}", ADMIN, "A dead letter, and its events if it is a pack", audit_letters::get),
    route!("POST", "/v1/audit/dead-letters/{letter}/replay", ADMIN, "Take in what is in a dead letter", audit_letters::replay),
    route!("DELETE", "/v1/audit/dead-letters/{letter}", ADMIN, "Give a dead letter up", audit_letters::discard),
    route!("GET", "/v1/audit/key", AUDITORS, "The public key of the audit log's checkpoints", audit_log::key),
    route!("GET", "/v1/audit/proof/inclusion", AUDITORS, "Prove that a line is in the log of some size", audit_log::inclusion),
    route!("GET", "/v1/audit/proof/consistency", AUDITORS, "Prove that the log of one size continues that of another", audit_log::consistency),
    route!("GET", "/v1/audit/retention", AUDITORS, "How long lines of the audit log are kept, and what is gone", audit_retention::get),
    route!("PUT", "/v1/audit/retention", ADMIN, "Have lines of the audit log go that are older, or say what would go", audit_retention::put),
    route!("PUT", "/v1/audit/holds/{hold}", ADMIN, "Place a legal hold: no line of the audit log goes", audit_retention::place),
    route!("DELETE", "/v1/audit/holds/{hold}", ADMIN, "Release a legal hold", audit_retention::release),

    route!("POST", "/v1/audit/exports", AUDITORS, "Have the service export a part of the audit log", exports::create),
    route!("GET", "/v1/audit/exports", AUDITORS, "Exports that the service makes or has made, newest first", exports::list),
    route!("GET", "/v1/audit/exports/{export}", AUDITORS, "How far an export is, and its files", exports::get),
    route!("DELETE", "/v1/audit/exports/{export}", AUDITORS, "Cancel an export, or remove its files", exports::delete),
    route!("GET", "/v1/audit/exports/{export}/files/{name}", AUDITORS, "A file of an export", export_file::get),

    // The log as a tiled transparency log (C2SP tlog-tiles). Bundles stand above tiles, whose names are wider.
    route!("GET", "/audit/lane/{lane}/checkpoint", PUBLIC, "The log's size and root, signed (C2SP tlog-checkpoint)", audit_log::checkpoint),
    route!("GET", "/audit/lane/{lane}/key", PUBLIC, "The public key of the log's checkpoints (C2SP signed-note)", audit_log::vkey),
    route!("GET", "/audit/lane/{lane}/tile/entries/{bundle*}", AUDITORS, "An entry bundle (C2SP tlog-tiles)", audit_log::bundle),
    route!("GET", "/audit/lane/{lane}/tile/{level}/{tile*}", PUBLIC, "A hash tile (C2SP tlog-tiles)", audit_log::tile),
];

/// SCIM: each row is there for the configuration's connection, below `/scim/v2`, and for every connection,
/// below `/scim/{connection}/v2`. Which connection it is for, and that it is let in, is found out before the
/// handler is called.
#[rustfmt::skip]
const SCIM_ROUTES: &[[Route; 2]] = scim_routes![
    "GET", "/ServiceProviderConfig", "What the SCIM service can do (RFC 7643 section 5)", scim::discovery::config;
    "GET", "/ResourceTypes", "The types of SCIM resources (RFC 7643 section 6)", scim::discovery::types;
    "GET", "/ResourceTypes/{name}", "A type of SCIM resources", scim::discovery::one_type;
    "GET", "/Schemas", "The schemas of SCIM resources (RFC 7643 section 7)", scim::discovery::all_schemas;
    "GET", "/Schemas/{urn}", "A schema of SCIM resources", scim::discovery::one_schema;
    "POST", "/.search", "Find resources of all types (RFC 7644 section 3.4.3)", scim::search::post_all;
    "POST", "/Bulk", "Many operations in one request (RFC 7644 section 3.7)", scim::bulk::post;
    "POST", "/Users", "Create a user (RFC 7644 section 3.3)", scim::users::create;
    "GET", "/Users", "Find users (RFC 7644 section 3.4.2)", scim::search::get_users;
    "POST", "/Users/.search", "Find users, asked for in the body (RFC 7644 section 3.4.3)", scim::search::post_users;
    "GET", "/Users/{id}", "Get a user (RFC 7644 section 3.4.1)", scim::users::get;
    "PUT", "/Users/{id}", "Replace a user (RFC 7644 section 3.5.1)", scim::users::replace;
    "PATCH", "/Users/{id}", "Change a user (RFC 7644 section 3.5.2)", scim::users::patch;
    "DELETE", "/Users/{id}", "Delete a user (RFC 7644 section 3.6)", scim::users::delete;
    "POST", "/Groups", "Create a group (RFC 7644 section 3.3)", scim::groups::create;
    "GET", "/Groups", "Find groups (RFC 7644 section 3.4.2)", scim::search::get_groups;
    "POST", "/Groups/.search", "Find groups, asked for in the body (RFC 7644 section 3.4.3)", scim::search::post_groups;
    "GET", "/Groups/{id}", "Get a group (RFC 7644 section 3.4.1)", scim::groups::get;
    "PUT", "/Groups/{id}", "Replace a group (RFC 7644 section 3.5.1)", scim::groups::replace;
    "PATCH", "/Groups/{id}", "Change a group or its members (RFC 7644 section 3.5.2)", scim::groups::patch;
    "DELETE", "/Groups/{id}", "Delete a group (RFC 7644 section 3.6)", scim::groups::delete;
];

/// Every row.
pub fn rows() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().chain(SCIM_ROUTES.as_flattened())
}

/// What a request's method and path lead to.
pub enum Found {
    /// A row, and what its braces matched.
    Route(&'static Route, Vec<String>),
    /// The path is known, the method is not; these are.
    WrongMethod(Vec<&'static str>),
    /// Nothing is there.
    Nothing,
}

/// Looks `method` and `path` up.
pub fn find(method: &str, path: &str) -> Found {
    let mut allowed = Vec::new();
    for route in rows() {
        if let Some(params) = matched(route.path, path) {
            if route.method == method {
                return Found::Route(route, params);
            }
            allowed.push(route.method);
        }
    }
    if allowed.is_empty() {
        Found::Nothing
    } else {
        Found::WrongMethod(allowed)
    }
}

fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        if expected.ends_with("*}") {
            let mut rest = vec![segment];
            rest.extend(segments.by_ref());
            if segment.is_empty() {
                return None;
            }
            params.push(rest.join("/"));
        } else if expected.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            params.push(segment.to_owned());
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_in_braces_matches_one_segment_that_is_not_empty() {
        assert_eq!(matched("/a/{x}", "/a/b"), Some(vec!["b".to_owned()]));
        for other in ["/a/", "/a", "/a/b/c", "/b/b", "a/b", "/a/b/"] {
            assert_eq!(matched("/a/{x}", other), None, "{other}");
        }
    }

    #[test]
    fn the_rest_of_a_path_is_one_parameter_and_is_not_empty() {
        let rest = |path| matched("/a/{x}/{y*}", path);
        let both = |x: &str, y: &str| Some(vec![x.to_owned(), y.to_owned()]);
        assert_eq!(rest("/a/b/c"), both("b", "c"));
        assert_eq!(rest("/a/b/c/d.p/5"), both("b", "c/d.p/5"));
        for other in ["/a/b", "/a/b/", "/a//c", "/a/b//c", "/b/b/c"] {
            assert_eq!(rest(other), None, "{other}");
        }
    }

    #[test]
    fn entry_bundles_are_never_found_as_public_tiles() {
        for path in ["000", "x001/234", "000.p/5", "anything"] {
            let path = format!("/audit/lane/0/tile/entries/{path}");
            let Found::Route(route, _) = find("GET", &path) else {
                panic!("{path} is no route");
            };
            assert!(matches!(route.access, Access::AnyOf(_)), "{path}");
        }
    }

    #[test]
    fn no_two_rows_answer_the_same_request() {
        for (at, route) in rows().enumerate() {
            let example = route.path.replace(['{', '*', '}'], "");
            let first = rows()
                .position(|r| r.method == route.method && matched(r.path, &example).is_some());
            assert_eq!(first, Some(at), "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn every_connection_has_every_row_of_scim() {
        for [configured, named] in SCIM_ROUTES {
            assert_eq!(
                configured.path.replacen("/scim/", "/scim/{connection}/", 1),
                named.path
            );
            assert_eq!(configured.method, named.method);
        }
        let Found::Route(_, params) = find("GET", "/scim/okta/v2/Users/1") else {
            panic!("a row");
        };
        assert_eq!(params, ["okta", "1"]);
    }

    #[test]
    fn everything_under_v1_and_scim_and_every_line_of_the_log_requires_a_role() {
        for route in rows() {
            let guarded = route.path.starts_with("/v1/")
                || route.path.starts_with("/scim/")
                || route.path.contains("/tile/entries/");
            assert_eq!(
                guarded,
                !matches!(route.access, Access::Public),
                "{}",
                route.path
            );
        }
    }
}
