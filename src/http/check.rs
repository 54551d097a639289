//! `POST /v1/check`: is this credential still good? Or several: see [`check_batch`].
//!
//! Takes a token, or a subject and session that the caller has verified itself. The token is one of ours, or
//! one of an identity provider whose connection accepts it. The answer
//! is strict: it was read from the subject's storage after the request came in, and says when. A
//! token that does not verify is denied like one that was ended; both are logged.

use super::check_batch;
use super::context::{Ctx, MAX_BODY_BYTES};
use crate::error::{Problem, json};
use crate::foreign::{self, Holder};
use crate::keys;
use crate::objects::call;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::id::{LogHash, SessionId, SubjectKey, TokenId};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::access_token::{AccessTokenVerifier, Presentation};
use portcullis_core::jwt::foreign::is_foreign;
use portcullis_core::session::check::{CheckReply, CheckRequest, Verdict};
use portcullis_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::rc::Rc;
use worker::{Response, Result};

/// A question, or several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    pub checks: Option<Vec<Box<RawValue>>>,
    pub token: Option<String>,
    pub resource: Option<String>,
    pub subject: Option<String>,
    pub session: Option<SessionId>,
    pub jti: Option<TokenId>,
}

/// An answer.
#[derive(Serialize)]
pub struct Reply {
    verdict: &'static str,
    reason: Option<String>,
    /// Among several: why there is no verdict of a check.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    subject: Option<SubjectKey>,
    session: Option<SessionId>,
    session_expires_at: Option<String>,
    /// Of an identity provider's token: through which connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    /// Likewise: what the connection makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<String>>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    freshness: Option<Freshness>,
}

#[derive(Serialize)]
struct Freshness {
    mode: &'static str,
    checked_at: String,
}

/// 200 with the verdict; 400 and 413 for what is no question.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let text = match ctx.text_within(check_batch::MAX_BODY_BYTES).await? {
        Ok(text) => text,
        Err(problem) => return problem.response(),
    };
    let body: Body = match serde_json::from_str(&text) {
        Ok(body) => body,
        Err(error) => return Problem::bad_request(format!("the body: {error}")).response(),
    };
    if let Body {
        checks: Some(checks),
        token: None,
        resource: None,
        subject: None,
        session: None,
        jti: None,
    } = body
    {
        return check_batch::answer(&ctx, &checks).await;
    }
    if text.len() > MAX_BODY_BYTES {
        return Problem::too_large(MAX_BODY_BYTES).response();
    }
    match judged(&ctx, body).await? {
        Ok(reply) => json(200, &reply),
        Err(problem) => problem.response(),
    }
}

/// What there is to say of one question. A denial is in the log by then.
pub async fn judged(ctx: &Ctx, body: Body) -> Result<std::result::Result<Reply, Problem>> {
    match question(ctx, body).await? {
        Ok(Question::Ask(request)) => answer(ctx, request).await,
        Ok(Question::AskForeign(holder, token)) => answer_foreign(ctx, &holder, &token).await,
        Ok(Question::Refused(error)) => Ok(Ok(refuse(ctx, error))),
        Err(problem) => Ok(Err(problem)),
    }
}

enum Question {
    Ask(CheckRequest),
    AskForeign(Rc<Holder>, String),
    Refused(TokenError),
}

async fn question(ctx: &Ctx, body: Body) -> Result<std::result::Result<Question, Problem>> {
    match body {
        Body {
            checks: None,
            token: Some(token),
            resource,
            subject: None,
            session: None,
            jti: None,
        } if is_foreign(&token, &ctx.config.issuer) => {
            let resource = resource.as_deref();
            let believed = foreign::verified(&ctx.env, &ctx.config, &token, resource).await?;
            Ok(Ok(match believed {
                Ok(holder) => Question::AskForeign(holder, token),
                Err(error) => Question::Refused(error),
            }))
        }
        Body {
            checks: None,
            token: Some(token),
            resource,
            subject: None,
            session: None,
            jti: None,
        } => {
            let keys = keys::for_token(&ctx.env, &ctx.config, &token).await?;
            let verifier = AccessTokenVerifier {
                issuer: &ctx.config.issuer,
                audience: resource.as_deref(),
            };
            let judged = keys
                .verify_access_token(&token, Presentation::Bearer, &verifier, ctx.now)
                .await?;
            Ok(Ok(match judged {
                Ok(token) => Question::Ask(token.check_request()),
                Err(error) => Question::Refused(error),
            }))
        }
        Body {
            checks: None,
            token: None,
            resource: None,
            subject: Some(subject),
            session: Some(session),
            jti,
        } => Ok(ctx.subject(&subject).await?.map(|subject| {
            Question::Ask(CheckRequest {
                token: jti,
                ..CheckRequest::of_session(subject, session)
            })
        })),
        _ => Ok(Err(Problem::bad_request(
            "either token, or subject and session, is needed",
        ))),
    }
}

async fn answer(ctx: &Ctx, request: CheckRequest) -> Result<std::result::Result<Reply, Problem>> {
    let (subject, session, token) = (request.subject, request.session, request.token);
    let reply: CheckReply = match call::check(&ctx.env, request).await {
        Ok(reply) => reply,
        Err(error) => {
            worker::console_error!("check: {error}");
            return Ok(Err(Problem::unavailable()));
        }
    };
    let (verdict, reason, expires_at) = match reply.verdict {
        Verdict::Active { session_expires_at } => ("active", None, Some(session_expires_at)),
        Verdict::Denied(reason) => {
            let event = Event {
                reason: Some(reason.as_str().to_owned()),
                subject: Some(subject),
                session: Some(LogHash::of_session(session)),
                token: token.map(LogHash::of_token),
                request: Some(ctx.facts_with_status(200)),
                ..Event::new(ctx.now, Action::CheckDenied, Outcome::Denied, ctx.actor())
            };
            // A denial is in the log before the caller hears of it.
            crate::audit::record(&ctx.env, event).await?;
            ("denied", Some(reason.as_str().to_owned()), None)
        }
    };
    Ok(Ok(Reply {
        reason,
        subject: Some(subject),
        session: Some(session),
        session_expires_at: expires_at.map(UnixMillis::to_rfc3339),
        ..Reply::strict(verdict, reply.checked_at)
    }))
}

/// The same of an identity provider's token. It has no session of ours; what expires is itself.
async fn answer_foreign(
    ctx: &Ctx,
    holder: &Holder,
    token: &str,
) -> Result<std::result::Result<Reply, Problem>> {
    let (holder, reply) = match holder.checked(&ctx.env, token).await {
        Ok(checked) => checked,
        Err(error) => {
            worker::console_error!("check: {error}");
            return Ok(Err(Problem::unavailable()));
        }
    };
    let (verdict, reason) = match reply.verdict {
        Verdict::Active { .. } => ("active", None),
        Verdict::Denied(reason) => {
            let event = Event {
                reason: Some(reason.as_str().to_owned()),
                subject: Some(holder.subject),
                token: Some(holder.token),
                client_id: holder.client_id.clone(),
                request: Some(ctx.facts_with_status(200)),
                ..Event::new(ctx.now, Action::CheckDenied, Outcome::Denied, ctx.actor())
            };
            // A denial is in the log before the caller hears of it.
            crate::audit::record(&ctx.env, event).await?;
            ("denied", Some(reason.as_str().to_owned()))
        }
    };
    Ok(Ok(Reply {
        reason,
        subject: Some(holder.subject),
        connection: Some(holder.connection),
        roles: Some(holder.roles),
        groups: Some(holder.groups),
        ..Reply::strict(verdict, reply.checked_at)
    }))
}

impl Reply {
    /// Of a question to which there is no verdict: denied, and why that is. Nothing was read for it, so nothing
    /// is fresh.
    pub fn without_verdict(reason: &str, error: &str, now: UnixMillis) -> Self {
        Self {
            reason: Some(reason.to_owned()),
            error: Some(error.to_owned()),
            freshness: None,
            ..Self::strict("denied", now)
        }
    }

    /// Yes.
    pub fn active(asked: &CheckRequest, expires_at: UnixMillis, checked_at: UnixMillis) -> Self {
        Self {
            subject: Some(asked.subject),
            session: Some(asked.session),
            session_expires_at: Some(expires_at.to_rfc3339()),
            ..Self::strict("active", checked_at)
        }
    }

    fn strict(verdict: &'static str, checked_at: UnixMillis) -> Self {
        Self {
            verdict,
            reason: None,
            error: None,
            subject: None,
            session: None,
            session_expires_at: None,
            connection: None,
            roles: None,
            groups: None,
            freshness: Some(Freshness {
                mode: "strict",
                checked_at: checked_at.to_rfc3339(),
            }),
        }
    }
}

fn refuse(ctx: &Ctx, error: TokenError) -> Reply {
    let reason = format!("token_{}", error.as_str());
    ctx.log(ctx.refusal(reason.clone(), 200));
    Reply {
        reason: Some(reason),
        ..Reply::strict("denied", ctx.now)
    }
}

/// One question, for the API description.
pub fn request_schema() -> Value {
    json!({
        "description": "Either token, or subject and session",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "token": {"type": "string", "description": "an access token of this service, or a token that a connection accepts"},
            "resource": {"type": "string", "description": "with token: where it was presented (RFC 8707), so that one for elsewhere is denied"},
            "subject": {"type": "string", "description": "sub_... or connection:value"},
            "session": {"type": "string", "description": "ses_..."},
            "jti": {"type": "string", "description": "jti_..., with subject and session"},
        },
    })
}

/// One answer, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["verdict", "reason"],
        "properties": {
            "verdict": {"enum": ["active", "denied"]},
            "reason": {"type": ["string", "null"]},
            "error": {"type": "string", "description": "among several: why this one has no verdict of a check"},
            "subject": {"type": ["string", "null"]},
            "session": {"type": ["string", "null"]},
            "session_expires_at": {"type": ["string", "null"], "format": "date-time"},
            "connection": {"type": "string", "description": "of an identity provider's token"},
            "roles": {"type": "array", "items": {"type": "string"}, "description": "likewise"},
            "groups": {"type": "array", "items": {"type": "string"}, "description": "likewise"},
            "freshness": {
                "type": "object",
                "properties": {
                    "mode": {"enum": ["strict"]},
                    "checked_at": {"type": "string", "format": "date-time"},
                },
            },
        },
    })
}
