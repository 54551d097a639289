//! `/v1/subjects/{subject}/...`: where somebody is logged in, and signing them out there.
//!
//! Each end is a kill like any other: it answers as [`super::revocations`] does, takes an
//! `Idempotency-Key` as that does, and is in force when it answers.
//!
//! Out of scope: people who do this themselves, with an access token of their own. Such a token would have
//! to be for this service and for nobody else, or every API that is sent one could sign the person
//! out; that a client is first party changes nothing about that. No client can ask for one yet.

use super::context::Ctx;
use super::revocations::{carry_out, idempotency};
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::id::{SessionId, SubjectKey};
use portcullis_core::session::Session;
use portcullis_core::session::call::ListSessions;
use portcullis_core::session::revoke::{Cause, Revoke, Scope};
use portcullis_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Response, Result};

#[derive(Serialize)]
struct Reply {
    subject: SubjectKey,
    sessions: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    session: SessionId,
    client_id: String,
    connection: String,
    device: Option<String>,
    begun_at: String,
    auth_time: Option<String>,
    last_used_at: String,
    idle_expires_at: String,
    expires_at: String,
}

impl From<Session> for Item {
    fn from(session: Session) -> Self {
        let live_until = session.live_until();
        Self {
            session: session.id,
            client_id: session.client_id,
            connection: session.connection,
            device: session.device,
            begun_at: session.begun_at.to_rfc3339(),
            auth_time: session
                .auth_time_secs
                .map(|secs| UnixMillis(0).plus_secs(secs).to_rfc3339()),
            last_used_at: session.last_used_at.to_rfc3339(),
            idle_expires_at: live_until.to_rfc3339(),
            expires_at: session.expires_at.to_rfc3339(),
        }
    }
}

/// Which sessions to leave.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SignOut {
    except: Option<SessionId>,
}

/// Live sessions, oldest first; none for somebody never seen.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let subject = match subject(&ctx).await? {
        Ok(subject) => subject,
        Err(problem) => return problem.response(),
    };
    match call::subject(&ctx.env, subject, ListSessions).await {
        Ok(sessions) => json(
            200,
            &Reply {
                subject,
                sessions: sessions.into_iter().map(Item::from).collect(),
            },
        ),
        Err(error) => {
            worker::console_error!("sessions: {error}");
            Problem::unavailable().response()
        }
    }
}

/// Signs out of one session.
pub async fn end(ctx: Ctx) -> Result<Response> {
    let Ok(session) = ctx.param(1).parse() else {
        return Problem::bad_request("the session is not a session id").response();
    };
    sign_out(&ctx, Scope::Session(session), Cause::Admin, &()).await
}

/// Signs out everywhere, or everywhere else.
pub async fn end_all(mut ctx: Ctx) -> Result<Response> {
    let body: SignOut = match ctx.json().await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    let scope = body.except.map_or(Scope::Subject, Scope::OtherSessions);
    sign_out(&ctx, scope, Cause::Admin, &body).await
}

/// Forgets what the person allowed a client, and ends the sessions that rest on it.
pub async fn withdraw(ctx: Ctx) -> Result<Response> {
    let scope = Scope::Client(ctx.decoded_param(1));
    sign_out(&ctx, scope, Cause::ConsentWithdrawn, &()).await
}

async fn sign_out(
    ctx: &Ctx,
    scope: Scope,
    cause: Cause,
    body: &impl Serialize,
) -> Result<Response> {
    let command = subject(ctx).await?.and_then(|subject| {
        let request = (ctx.url.path(), body);
        let revoke = Revoke {
            idempotency: idempotency(ctx, &request)?,
            ..Revoke::new(scope, cause, ctx.actor())
        };
        Ok((subject, revoke))
    });
    match command {
        Ok((subject, revoke)) => carry_out(ctx, subject, revoke).await,
        Err(problem) => problem.response(),
    }
}

async fn subject(ctx: &Ctx) -> Result<std::result::Result<SubjectKey, Problem>> {
    ctx.subject(&ctx.decoded_param(0)).await
}

/// The body of a sign-out, for the API description.
pub fn sign_out_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "except": {"type": ["string", "null"], "description": "ses_...: all but this one"},
        },
    })
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    let time = || json!({"type": "string", "format": "date-time"});
    json!({
        "type": "object",
        "required": ["subject", "sessions"],
        "properties": {
            "subject": {"type": "string"},
            "sessions": {"type": "array", "items": {
                "type": "object",
                "properties": {
                    "session": {"type": "string"},
                    "client_id": {"type": "string"},
                    "connection": {"type": "string"},
                    "device": {"type": ["string", "null"]},
                    "begun_at": time(),
                    "auth_time": {"type": ["string", "null"], "format": "date-time"},
                    "last_used_at": time(),
                    "idle_expires_at": time(),
                    "expires_at": time(),
                },
            }},
        },
    })
}
