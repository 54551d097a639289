//! `POST /v1/check`: is this credential still good?
//!
//! Takes an access token, or a subject and session that the caller has verified itself. The answer
//! is strict: it was read from the subject's storage after the request came in, and says when. A
//! token that does not verify is denied like one that was ended; both are logged.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::keys;
use crate::objects::call;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::id::{LogHash, SessionId, SubjectKey, TokenId};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::access_token::{AccessTokenVerifier, Presentation};
use portcullis_core::session::check::{CheckReply, CheckRequest, Verdict};
use portcullis_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Response, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    token: Option<String>,
    subject: Option<String>,
    session: Option<SessionId>,
    jti: Option<TokenId>,
}

#[derive(Serialize)]
struct Reply {
    verdict: &'static str,
    reason: Option<String>,
    subject: Option<SubjectKey>,
    session: Option<SessionId>,
    session_expires_at: Option<String>,
    freshness: Freshness,
}

#[derive(Serialize)]
struct Freshness {
    mode: &'static str,
    checked_at: String,
}

/// 200 with the verdict; 400 and 413 for what is no question.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let body: Body = match ctx.json().await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    let question = match question(&ctx, body).await? {
        Ok(question) => question,
        Err(problem) => return problem.response(),
    };
    match question {
        Question::Ask(request) => answer(&ctx, request).await,
        Question::Refused(error) => refuse(&ctx, error),
    }
}

enum Question {
    Ask(CheckRequest),
    Refused(TokenError),
}

async fn question(ctx: &Ctx, body: Body) -> Result<std::result::Result<Question, Problem>> {
    match body {
        Body {
            token: Some(token),
            subject: None,
            session: None,
            jti: None,
        } => {
            let keys = keys::for_token(&ctx.env, &ctx.config, &token).await?;
            let verifier = AccessTokenVerifier {
                issuer: &ctx.config.issuer,
                audience: None,
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
            token: None,
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

async fn answer(ctx: &Ctx, request: CheckRequest) -> Result<Response> {
    let (subject, session, token) = (request.subject, request.session, request.token);
    let reply: CheckReply = match call::check(&ctx.env, request).await {
        Ok(reply) => reply,
        Err(error) => {
            worker::console_error!("check: {error}");
            return Problem::unavailable().response();
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
    json(
        200,
        &Reply {
            verdict,
            reason,
            subject: Some(subject),
            session: Some(session),
            session_expires_at: expires_at.map(UnixMillis::to_rfc3339),
            freshness: Freshness {
                mode: "strict",
                checked_at: reply.checked_at.to_rfc3339(),
            },
        },
    )
}

fn refuse(ctx: &Ctx, error: TokenError) -> Result<Response> {
    let reason = format!("token_{}", error.as_str());
    let event = Event {
        reason: Some(reason.clone()),
        request: Some(ctx.facts_with_status(200)),
        ..Event::new(
            ctx.now,
            Action::CredentialRefused,
            Outcome::Denied,
            ctx.actor(),
        )
    };
    crate::audit::record_off_the_path(&ctx.env, &ctx.context, event);
    json(
        200,
        &Reply {
            verdict: "denied",
            reason: Some(reason),
            subject: None,
            session: None,
            session_expires_at: None,
            freshness: Freshness {
                mode: "strict",
                checked_at: ctx.now.to_rfc3339(),
            },
        },
    )
}

/// The body, for the API description.
pub fn request_schema() -> Value {
    json!({
        "description": "Either token, or subject and session",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "token": {"type": "string", "description": "an access token of this service"},
            "subject": {"type": "string", "description": "sub_... or connection:value"},
            "session": {"type": "string", "description": "ses_..."},
            "jti": {"type": "string", "description": "jti_..., with subject and session"},
        },
    })
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["verdict", "reason", "freshness"],
        "properties": {
            "verdict": {"enum": ["active", "denied"]},
            "reason": {"type": ["string", "null"]},
            "subject": {"type": ["string", "null"]},
            "session": {"type": ["string", "null"]},
            "session_expires_at": {"type": ["string", "null"], "format": "date-time"},
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
