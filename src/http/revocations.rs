//! `POST /v1/revocations`: the kill, by an operator.
//!
//! 200 means that it is in force: every strict check that begins after this answer denies. A
//! repeated `Idempotency-Key` gets the first answer; with another body it gets 422.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::id::{SessionId, SubjectKey, TokenId};
use portcullis_core::secret::Digest;
use portcullis_core::session::revoke::{Cause, IdempotencyKey, Revoke, RevokeReply, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Response, Result};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Body {
    subject: String,
    session: Option<SessionId>,
    jti: Option<TokenId>,
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
}

/// Ends a subject's credentials, a session, or a token.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let body: Body = match ctx.json().await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    match command(&ctx, &body) {
        Ok((subject, revoke)) => carry_out(&ctx, subject, revoke).await,
        Err(problem) => problem.response(),
    }
}

/// Tells the subject, and answers what came of it.
pub async fn carry_out(ctx: &Ctx, subject: SubjectKey, revoke: Revoke) -> Result<Response> {
    let scope = match revoke.scope {
        Scope::Subject | Scope::SubjectUntilReactivated { .. } => "subject",
        Scope::Session(_) => "session",
        Scope::OtherSessions(_) => "other_sessions",
        Scope::Client(_) => "client",
        Scope::Token(_) => "token",
    };
    let dry_run = revoke.dry_run;
    match call::subject(&ctx.env, subject, revoke).await {
        Ok(RevokeReply::Revoked(revoked)) => json(
            200,
            &Reply {
                subject,
                scope,
                sessions: revoked.sessions,
                changed: revoked.changed,
                dry_run,
                committed_at: revoked.at.to_rfc3339(),
            },
        ),
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

fn command(ctx: &Ctx, body: &Body) -> std::result::Result<(SubjectKey, Revoke), Problem> {
    let subject = ctx.subject(&body.subject)?;
    let scope = match (body.session, body.jti) {
        (None, None) => Scope::Subject,
        (Some(session), None) => Scope::Session(session),
        (None, Some(token)) => Scope::Token(token),
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("session and jti exclude each other"));
        }
    };
    Ok((
        subject,
        Revoke {
            dry_run: body.dry_run,
            idempotency: idempotency(ctx, body)?,
            ..Revoke::new(scope, Cause::Admin, ctx.actor())
        },
    ))
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
        "required": ["subject"],
        "additionalProperties": false,
        "properties": {
            "subject": {"type": "string", "description": "sub_... or connection:value"},
            "session": {"type": "string", "description": "ses_...: only this session"},
            "jti": {"type": "string", "description": "jti_...: only this token"},
            "dry_run": {"type": "boolean", "description": "count and change nothing"},
        },
    })
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["subject", "scope", "sessions", "changed", "dry_run", "committed_at"],
        "properties": {
            "subject": {"type": "string"},
            "scope": {"enum": ["subject", "session", "other_sessions", "client", "token"]},
            "sessions": {"type": "integer", "description": "live sessions that it ended"},
            "changed": {"type": "boolean", "description": "false if all of it had been ended before"},
            "dry_run": {"type": "boolean"},
            "committed_at": {"type": "string", "format": "date-time"},
        },
    })
}
