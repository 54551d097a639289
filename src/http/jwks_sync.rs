//! `/v1/connections/{id}/jwks-sync`: a connection's keys at API Shield, for operators.
//!
//! GET shows what would be sent now, what was sent last, and how runs ended. POST runs now, and sends
//! what differs; with `{"again": true}` also what was sent before, for a configuration that somebody else
//! has changed.

use super::context::Ctx;
use super::wide::changed_by;
use crate::connections;
use crate::error::{Problem, json};
use crate::jwks_sync::{self, Outcome, Wish};
use crate::objects::call;
use crate::objects::keyring::call::GetSync;
use portcullis_core::connection::sync::{
    Credentials, Failure, Source, SyncError, SyncState, Target,
};
use portcullis_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use worker::{Response, Result, console_error};

#[derive(Serialize)]
struct View<'a> {
    connection: &'a str,
    target: &'a Target,
    current: Current,
    sent: Option<Sent>,
    in_step: bool,
    attempted_at: Option<String>,
    failures: u32,
    failure: Option<Failed>,
    next_attempt_at: Option<String>,
}

/// What would be sent now, or why nothing can be.
#[derive(Serialize)]
#[serde(untagged)]
enum Current {
    Keys(Box<RawValue>),
    Error { error: &'static str },
}

#[derive(Serialize)]
struct Sent {
    credentials: Box<RawValue>,
    target: Target,
    at: String,
}

#[derive(Serialize)]
struct Failed {
    error: &'static str,
    code: Option<u64>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            error: failure.error.as_str(),
            code: failure.code,
        }
    }
}

/// What would be sent, what was, and how it went.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let Some(source) = source(&ctx).await? else {
        return unknown();
    };
    let connection = source.connection.clone();
    let state = match call::keyring(&ctx.env, GetSync { connection }).await {
        Ok(state) => state,
        Err(error) => return unavailable(&error),
    };
    let current = jwks_sync::provided(&source, ctx.config.dev).await;
    json(200, &view(&source, &current, state)?)
}

fn view<'s>(
    source: &'s Source,
    current: &std::result::Result<Credentials, SyncError>,
    state: SyncState,
) -> Result<View<'s>> {
    let sent = state.sent.as_ref().filter(|_| !state.in_doubt);
    let in_step = sent.is_some_and(|sent| {
        sent.target == source.target && current.as_ref() == Ok(&sent.credentials)
    });
    let raw = |keys: &Credentials| RawValue::from_string(keys.as_json().to_owned());
    Ok(View {
        connection: &source.connection,
        target: &source.target,
        current: match current {
            Ok(keys) => Current::Keys(raw(keys)?),
            Err(error) => Current::Error {
                error: error.as_str(),
            },
        },
        sent: match state.sent {
            Some(sent) => Some(Sent {
                credentials: raw(&sent.credentials)?,
                target: sent.target,
                at: sent.at.to_rfc3339(),
            }),
            None => None,
        },
        in_step,
        attempted_at: state.attempted_at.map(UnixMillis::to_rfc3339),
        failures: state.failures,
        failure: state.failure.map(Failed::from),
        next_attempt_at: state.next_attempt_at.map(UnixMillis::to_rfc3339),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    again: bool,
}

/// Runs now.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let asked: Asked = match ctx.json().await? {
        Ok(asked) => asked,
        Err(problem) => return problem.response(),
    };
    let Some(source) = source(&ctx).await? else {
        return unknown();
    };
    let by = changed_by(&ctx);
    let wish = Wish {
        now: true,
        again: asked.again,
    };
    match jwks_sync::run(&ctx.env, &ctx.config, &source, wish, by).await {
        Ok(Outcome::Sent) => json(200, &json!({"outcome": "sent"})),
        Ok(Outcome::Unchanged) => json(200, &json!({"outcome": "unchanged"})),
        Ok(Outcome::UnderWay(_) | Outcome::NotDue(_)) => {
            Problem::new(409, "a run for this connection is under way").response()
        }
        Ok(Outcome::Failed(failure)) => problem_of(failure).response(),
        Err(error) => unavailable(&error),
    }
}

fn problem_of(failure: Failure) -> Problem {
    if failure.error == SyncError::NotConfigured {
        return Problem::new(409, "not_configured: API_SHIELD_TOKEN is not set");
    }
    match failure.code {
        Some(code) => Problem::new(502, format!("{}: the API says {code}", failure.error)),
        None => Problem::new(502, failure.error.as_str()),
    }
}

/// The connection of the path, if its keys are kept in step.
async fn source(ctx: &Ctx) -> Result<Option<Source>> {
    let id = ctx.decoded_param(0);
    let connection = connections::any(&ctx.env, &ctx.config, &id).await?;
    Ok(connection.and_then(|connection| Source::of(&connection)))
}

fn unknown() -> Result<Response> {
    let detail = "there is no such connection, or it has no api_shield";
    Problem::new(404, detail).response()
}

fn unavailable(error: &call::CallError) -> Result<Response> {
    console_error!("jwks-sync: {error}");
    Problem::unavailable().response()
}

/// What GET answers, for the API description.
pub fn view_schema() -> Value {
    let time = |description: &str| json!({"type": ["string", "null"], "format": "date-time", "description": description});
    let target = json!({
        "type": "object",
        "required": ["zone_id", "config_id"],
        "properties": {"zone_id": {"type": "string"}, "config_id": {"type": "string"}},
    });
    let keys = json!({
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
    });
    let error = json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"enum": SyncError::ALL.map(SyncError::as_str)}},
    });
    json!({
        "type": "object",
        "required": ["connection", "target", "current", "in_step", "failures"],
        "properties": {
            "connection": {"type": "string"},
            "target": target,
            "current": {"anyOf": [keys, error], "description": "what would be sent now, or why nothing can be"},
            "sent": {
                "type": ["object", "null"],
                "required": ["credentials", "target", "at"],
                "properties": {
                    "credentials": keys,
                    "target": target,
                    "at": {"type": "string", "format": "date-time"},
                },
                "description": "what was sent last",
            },
            "in_step": {"type": "boolean", "description": "whether the one is the other, for sure"},
            "attempted_at": time("when the last run ended"),
            "failures": {"type": "integer", "description": "how many runs in a row failed"},
            "failure": {
                "type": ["object", "null"],
                "required": ["error"],
                "properties": {
                    "error": {"enum": SyncError::ALL.map(SyncError::as_str)},
                    "code": {"type": ["integer", "null"], "description": "the API's"},
                },
            },
            "next_attempt_at": time("after failures: when the schedule tries again"),
        },
    })
}

/// What POST takes, for the API description.
pub fn request_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "again": {"type": "boolean", "description": "also what was sent before"},
        },
    })
}

/// What POST answers, for the API description.
pub fn outcome_schema() -> Value {
    json!({
        "type": "object",
        "required": ["outcome"],
        "properties": {"outcome": {"enum": ["sent", "unchanged"]}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::connection::sync::{Begun, Ended};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn source() -> Source {
        Source {
            connection: "okta".to_owned(),
            issuer: "https://idp.example".to_owned(),
            jwks_uri: None,
            jwks_path: "/keys".to_owned(),
            target: Target {
                zone_id: "z".to_owned(),
                config_id: "c".to_owned(),
            },
        }
    }

    fn keys(kid: &str) -> Credentials {
        let jwk = json!({"kty": "RSA", "kid": kid, "n": "AQAB", "e": "AQAB"});
        let document = json!({ "keys": [jwk] }).to_string();
        Credentials::read(document.as_bytes(), "/keys").expect("keys")
    }

    fn shown(current: &std::result::Result<Credentials, SyncError>, state: SyncState) -> Value {
        let source = source();
        let Ok(view) = view(&source, current, state) else {
            panic!("renders")
        };
        serde_json::to_value(view).expect("JSON")
    }

    fn after(ended: Ended) -> SyncState {
        let mut state = SyncState::default();
        assert!(matches!(state.begin(true, NOW), Begun::Run { .. }));
        state.end(1, ended, NOW);
        state
    }

    #[test]
    fn what_is_sent_and_what_would_be_are_shown_and_whether_they_are_one() {
        let before = shown(&Ok(keys("a")), SyncState::default());
        assert_eq!(before["current"]["keys"][0]["kid"], "a");
        assert_eq!(
            (&before["sent"], &before["in_step"]),
            (&Value::Null, &json!(false))
        );
        let sent = after(Ended::Sent(source().target, keys("a")));
        let in_step = shown(&Ok(keys("a")), sent.clone());
        assert_eq!(in_step["in_step"], true);
        assert_eq!(in_step["sent"]["credentials"], in_step["current"]);
        assert_eq!(in_step["sent"]["at"], "2027-01-15T08:00:00.000Z");
        assert_eq!(shown(&Ok(keys("b")), sent.clone())["in_step"], false);
        let broken = shown(&Err(SyncError::NoKeys), sent);
        assert_eq!(broken["current"], json!({"error": "no_keys"}));
    }

    #[test]
    fn a_failure_is_shown_by_its_stable_name_and_the_apis_code() {
        let failure = Failure {
            error: SyncError::ApiRefused,
            code: Some(10403),
            retry_after_secs: None,
        };
        let shown = shown(&Ok(keys("a")), after(Ended::Failed(failure)));
        let expected = json!({"error": "api_refused", "code": 10403});
        assert_eq!(
            (&shown["failure"], &shown["failures"]),
            (&expected, &json!(1))
        );
        assert_eq!(shown["next_attempt_at"], "2027-01-15T08:01:00.000Z");
        let problem = problem_of(failure);
        assert_eq!(problem.status(), 502);
        assert_eq!(problem.detail(), "api_refused: the API says 10403");
        assert_eq!(problem_of(SyncError::NotConfigured.into()).status(), 409);
    }
}
