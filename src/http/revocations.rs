//! `POST /v1/revocations`: the kill, by an operator.
//!
//! Of a subject, one of its sessions or tokens; or [wide](super::wide), of everything that a client has
//! or that rests on a connection. One route for all, so that who has to end something looks in one
//! place.
//!
//! 200 and 202 both mean that it is committed: every strict check that begins after this answer denies. 200
//! says besides that the feeds have it, and by when every gateway that decides by its copy of them does; with
//! 202 the [receipt](super::receipts) will say so later. A
//! repeated `Idempotency-Key` gets the first answer; with another body it gets 422.

use super::context::Ctx;
use super::receipts::{Reach, reach, scope_name};
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::client::metadata::MAX_CLIENT_ID_BYTES;
use portcullis_core::feed::receipt::ReceiptId;
use portcullis_core::id::{SessionId, SubjectKey, TokenId};
use portcullis_core::policy::WideScope;
use portcullis_core::secret::Digest;
use portcullis_core::session::revoke::{Cause, IdempotencyKey, Revoke, RevokeReply, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Response, Result};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    session: Option<SessionId>,
    jti: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Reply {
    subject: SubjectKey,
    scope: &'static str,
    sessions: u32,
    changed: bool,
    dry_run: bool,
    committed_at: String,
    receipt: Option<String>,
    #[serde(flatten)]
    reach: Option<Reach>,
}

/// Ends a subject's credentials, a session, a token, or everything of a client or a connection.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let body: Body = match ctx.json().await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    match wide(&body) {
        Ok(Some(scope)) => return super::wide::revoke(&ctx, scope).await,
        Ok(None) => {}
        Err(problem) => return problem.response(),
    }
    let Some(subject) = &body.subject else {
        return Problem::bad_request("subject is missing").response();
    };
    let subject = match ctx.subject(subject).await? {
        Ok(subject) => subject,
        Err(problem) => return problem.response(),
    };
    match command(&ctx, &body) {
        Ok(revoke) => carry_out(&ctx, subject, revoke).await,
        Err(problem) => problem.response(),
    }
}

/// Tells the subject, and answers what came of it.
pub async fn carry_out(ctx: &Ctx, subject: SubjectKey, revoke: Revoke) -> Result<Response> {
    let scope = scope_name(&revoke.scope);
    let dry_run = revoke.dry_run;
    match call::subject(&ctx.env, subject, revoke).await {
        Ok(RevokeReply::Revoked(revoked)) => {
            let reach = if dry_run {
                None
            } else {
                Some(reach(ctx, Some(subject), revoked.receipt, revoked.at).await)
            };
            let receipt = revoked
                .receipt
                .map(|serial| ReceiptId::of(Some(subject), serial));
            json(
                reach.as_ref().map_or(200, Reach::status),
                &Reply {
                    subject,
                    scope,
                    sessions: revoked.sessions,
                    changed: revoked.changed,
                    dry_run,
                    committed_at: revoked.at.to_rfc3339(),
                    receipt: receipt.map(|id| id.to_string()),
                    reach,
                },
            )
        }
        Ok(RevokeReply::SessionUnknown) => {
            Problem::new(404, "the subject has no such session").response()
        }
        Ok(RevokeReply::KeyReused) => {
            Problem::new(422, "the Idempotency-Key was used with another request").response()
        }
        Err(error) => {
            worker::console_error!("revocation: {error}");
            Problem::unavailable().response()
        }
    }
}

/// The wide scope that the body names, if it names one.
fn wide(body: &Body) -> std::result::Result<Option<WideScope>, Problem> {
    let scope = match (&body.client_id, &body.connection) {
        (None, None) => return Ok(None),
        (Some(client_id), None) => WideScope::Client(client_id.clone()),
        (None, Some(connection)) => WideScope::Connection(connection.clone()),
        (Some(_), Some(_)) => {
            let why = "client_id and connection exclude each other";
            return Err(Problem::bad_request(why));
        }
    };
    if body.subject.is_some() || body.session.is_some() || body.jti.is_some() {
        let why = "client_id or connection stands alone";
        return Err(Problem::bad_request(why));
    }
    if body.dry_run {
        // Whose sessions those are is known to no one object.
        let why = "what a client or a connection has cannot be counted";
        return Err(Problem::bad_request(why));
    }
    if !(1..=MAX_CLIENT_ID_BYTES).contains(&scope.id().len()) {
        return Err(Problem::bad_request(
            "client_id or connection is empty or too long",
        ));
    }
    Ok(Some(scope))
}

fn command(ctx: &Ctx, body: &Body) -> std::result::Result<Revoke, Problem> {
    let scope = match (body.session, body.jti) {
        (None, None) => Scope::Subject,
        (Some(session), None) => Scope::Session(session),
        (None, Some(token)) => Scope::Token(token),
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("session and jti exclude each other"));
        }
    };
    Ok(Revoke {
        dry_run: body.dry_run,
        idempotency: idempotency(ctx, body)?,
        ..Revoke::new(scope, Cause::Admin, ctx.actor())
    })
}

/// The caller's key for a request that `body` tells from others, if they sent one.
pub fn idempotency(
    ctx: &Ctx,
    body: &impl Serialize,
) -> std::result::Result<Option<IdempotencyKey>, Problem> {
    let unreadable = || Problem::bad_request("the Idempotency-Key cannot be read");
    let header = ctx.request.headers().get("idempotency-key");
    let Some(key) = header.map_err(|_| unreadable())? else {
        return Ok(None);
    };
    if key.is_empty() || key.len() > 255 {
        return Err(unreadable());
    }
    let fingerprint = serde_json::to_vec(body).map_err(|_| unreadable())?;
    // Keys belong to their caller: another role's same key is another key.
    let owner = ctx.role.map_or("", crate::auth::Role::as_str);
    Ok(Some(IdempotencyKey {
        key: Digest::of(format!("{owner}\n{key}").as_bytes()),
        fingerprint: Digest::of(&fingerprint),
    }))
}

/// The body, for the API description.
pub fn request_schema() -> Value {
    json!({
        "type": "object",
        "description": "subject, client_id or connection",
        "additionalProperties": false,
        "properties": {
            "subject": {"type": "string", "description": "sub_... or connection:value"},
            "session": {"type": "string", "description": "ses_...: only this session"},
            "jti": {"type": "string", "description": "jti_...: only this token"},
            "client_id": {"type": "string", "description": "everything that this client has, of anybody"},
            "connection": {"type": "string", "description": "everything that rests on a log-in through this connection"},
            "dry_run": {"type": "boolean", "description": "count and change nothing"},
        },
    })
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["subject", "scope", "sessions", "changed", "dry_run", "committed_at", "receipt"],
        "properties": {
            "subject": {"type": "string"},
            "scope": {"enum": ["subject", "session", "other_sessions", "client", "token"]},
            "sessions": {"type": "integer", "description": "live sessions that it ended"},
            "changed": {"type": "boolean", "description": "false if all of it had been ended before"},
            "dry_run": {"type": "boolean"},
            "committed_at": {"type": "string", "format": "date-time"},
            "receipt": {"type": ["string", "null"], "description": "rev_...: what to ask for what became of it; null: nothing was ended now"},
            "feed": super::receipts::feed_schema(),
            "in_force": super::receipts::in_force_schema(),
        },
    })
}
