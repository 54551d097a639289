//! `GET /v1/revocations/{receipt}`: what became of a revocation. And the newest ones of a subject, or the
//! newest wide ones.
//!
//! A receipt says what was ended, why and by whom, when it was committed, where the feeds have it, and from
//! when on it is in force: for strict checks, and for gateways that decide by their copy of a feed.
//! Those have it by then, or have stopped deciding by that copy.

use super::context::Ctx;
use crate::config::Config;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError};
use crate::runtime::now;
use portcullis_core::audit::line::ActorFields;
use portcullis_core::feed::receipt::{
    AskReceipts, Covers, Followed, Position, ReceiptId, Receipts,
};
use portcullis_core::id::{IncarnationId, SessionId, SubjectKey, TokenId};
use portcullis_core::policy::call::AskWideReceipts;
use portcullis_core::policy::{MARGIN_MS, WideScope};
use portcullis_core::session::revoke::Scope;
use portcullis_core::time::UnixMillis;
use serde::Serialize;
use serde_json::{Value, json};
use worker::{Env, Response, Result};

/// The parameters of the list, for the API description and for refusing others.
pub const PARAMETERS: &[&str] = &["subject", "limit"];
/// How many are listed unless the caller says otherwise.
const DEFAULT_LIMIT: u32 = 20;

/// How far a revocation has got, as callers are told of it.
#[derive(Serialize)]
pub struct Reach {
    /// Where the feeds have it; null while they have not confirmed it.
    feed: Option<Vec<Place>>,
    in_force: InForce,
}

#[derive(Serialize)]
struct Place {
    shard: String,
    incarnation: IncarnationId,
    sequence: u64,
    committed_at: String,
}

#[derive(Serialize)]
struct InForce {
    strict_at: String,
    bounded_at: Option<String>,
}

#[derive(Serialize)]
struct Reply<'a> {
    receipt: String,
    subject: Option<SubjectKey>,
    scope: &'static str,
    #[serde(flatten)]
    named: Named<'a>,
    cause: &'a str,
    actor: ActorFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u32>,
    committed_at: String,
    #[serde(flatten)]
    reach: Reach,
}

/// What the scope is about, where it is about one thing.
#[derive(Default, Serialize)]
struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

impl Reach {
    /// Of a revocation that strict checks know from `strict_at` on. `feed`: where the feeds have it, if they
    /// have confirmed it.
    pub fn of(strict_at: UnixMillis, feed: Option<Vec<Position>>) -> Self {
        let bounded_at = feed.as_ref().map(|positions| {
            let gone = positions
                .iter()
                .map(|position| oldest_copy_gone_at(position.committed_at, position.max_age_ms));
            gone.max().map_or(strict_at, |at| at.max(strict_at))
        });
        Self::new(strict_at, bounded_at, feed)
    }

    /// Of something that had been ended before, by whoever and whenever: the feeds have it `now`.
    fn of_old(strict_at: UnixMillis, now: UnixMillis, config: &Config) -> Self {
        let bounded_at = oldest_copy_gone_at(now, config.feed.max_age_ms);
        Self::new(strict_at, Some(bounded_at), Some(Vec::new()))
    }

    fn new(
        strict_at: UnixMillis,
        bounded_at: Option<UnixMillis>,
        feed: Option<Vec<Position>>,
    ) -> Self {
        Self {
            feed: feed.map(|positions| positions.into_iter().map(Place::from).collect()),
            in_force: InForce {
                strict_at: strict_at.to_rfc3339(),
                bounded_at: bounded_at.map(UnixMillis::to_rfc3339),
            },
        }
    }

    /// 200 if the feeds have it, so that the time by which every gateway does is known; else 202.
    pub const fn status(&self) -> u16 {
        if self.feed.is_some() { 200 } else { 202 }
    }
}

/// When nobody decides any more by a copy of a feed from before it had something.
const fn oldest_copy_gone_at(committed_at: UnixMillis, max_age_ms: u64) -> UnixMillis {
    UnixMillis(committed_at.0.saturating_add(max_age_ms + MARGIN_MS))
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self {
            shard: position.shard,
            incarnation: position.incarnation.id,
            sequence: position.sequence,
            committed_at: position.committed_at.to_rfc3339(),
        }
    }
}

/// How far the revocation of `serial` has got, or, without one, whatever was ended there before.
pub async fn reach(
    ctx: &Ctx,
    subject: Option<SubjectKey>,
    serial: Option<u64>,
    strict_at: UnixMillis,
) -> Reach {
    let ask = serial.map_or(AskReceipts::Newest(0), AskReceipts::One);
    match ask_for(&ctx.env, subject, ask).await {
        Ok(receipts) => match receipts.receipts.into_iter().next() {
            Some(followed) => Reach::of(strict_at, followed.feed),
            None if receipts.settled => Reach::of_old(strict_at, now(), &ctx.config),
            None => Reach::of(strict_at, None),
        },
        // It is committed; how far it has got is not known.
        Err(error) => {
            worker::console_error!("receipt: {error}");
            Reach::of(strict_at, None)
        }
    }
}

/// One receipt.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let unknown = || Problem::new(404, "there is no such revocation").response();
    let Ok(id) = ctx.param(0).parse() else {
        return unknown();
    };
    let (subject, serial) = match id {
        ReceiptId::Subject(subject, serial) => (Some(subject), serial),
        ReceiptId::Wide(serial) => (None, serial),
    };
    match ask_for(&ctx.env, subject, AskReceipts::One(serial)).await {
        Ok(receipts) => match receipts.receipts.first() {
            Some(followed) => json(200, &rendered(subject, followed)),
            None => unknown(),
        },
        Err(error) => failed(&error),
    }
}

/// The newest receipts of a subject; without one, of wide revocations.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let query = match ctx.query_of(PARAMETERS) {
        Ok(query) => query,
        Err(problem) => return problem.response(),
    };
    let limit = query
        .get("limit")
        .map_or(Ok(DEFAULT_LIMIT), |limit| limit.parse());
    let Ok(limit @ 1..=100) = limit else {
        return Problem::bad_request("limit is a number from 1 to 100").response();
    };
    let subject = match query.get("subject") {
        None => None,
        Some(subject) => match ctx.subject(subject).await? {
            Ok(subject) => Some(subject),
            Err(problem) => return problem.response(),
        },
    };
    match ask_for(&ctx.env, subject, AskReceipts::Newest(limit)).await {
        Ok(receipts) => {
            let rendered = |followed| rendered(subject, followed);
            let list: Vec<Reply> = receipts.receipts.iter().map(rendered).collect();
            json(
                200,
                &json!({"revocations": list, "settled": receipts.settled}),
            )
        }
        Err(error) => failed(&error),
    }
}

async fn ask_for(
    env: &Env,
    subject: Option<SubjectKey>,
    ask: AskReceipts,
) -> std::result::Result<Receipts, CallError> {
    match subject {
        Some(subject) => call::subject(env, subject, ask).await,
        None => call::policy_object(env, AskWideReceipts(ask)).await,
    }
}

fn failed(error: &CallError) -> Result<Response> {
    worker::console_error!("receipts: {error}");
    Problem::unavailable().response()
}

fn rendered(subject: Option<SubjectKey>, followed: &Followed) -> Reply<'_> {
    let receipt = &followed.receipt;
    let (scope, named) = match &receipt.covers {
        Covers::Subject(scope) => (scope_name(scope), of_subject(scope)),
        Covers::Wide(scope) => (scope.kind(), of_wide(scope)),
    };
    Reply {
        receipt: ReceiptId::of(subject, receipt.serial).to_string(),
        subject,
        scope,
        named,
        cause: &receipt.cause,
        actor: (&receipt.actor).into(),
        sessions: receipt.sessions,
        committed_at: receipt.at.to_rfc3339(),
        reach: Reach::of(receipt.in_force_at, followed.feed.clone()),
    }
}

/// The stable name of a subject's scope.
pub const fn scope_name(scope: &Scope) -> &'static str {
    match scope {
        Scope::Subject | Scope::SubjectUntilReactivated { .. } => "subject",
        Scope::Session(_) => "session",
        Scope::OtherSessions(_) => "other_sessions",
        Scope::Client(_) => "client",
        Scope::Token(_) => "token",
        Scope::UpstreamSession(_) => "upstream_session",
    }
}

fn of_subject(scope: &Scope) -> Named<'_> {
    match scope {
        Scope::Session(session) | Scope::OtherSessions(session) => Named {
            session: Some(*session),
            ..Named::default()
        },
        Scope::Token(token) => Named {
            jti: Some(*token),
            ..Named::default()
        },
        Scope::Client(client_id) => Named {
            client_id: Some(client_id),
            ..Named::default()
        },
        Scope::Subject | Scope::SubjectUntilReactivated { .. } | Scope::UpstreamSession(_) => {
            Named::default()
        }
    }
}

fn of_wide(scope: &WideScope) -> Named<'_> {
    let none = Named::default();
    match scope {
        WideScope::Client(id) => Named {
            client_id: Some(id),
            ..none
        },
        WideScope::Connection(id) => Named {
            connection: Some(id),
            ..none
        },
        WideScope::Key(id) => Named {
            kid: Some(id),
            ..none
        },
    }
}

/// Where the feeds have a revocation, for the API description.
pub fn feed_schema() -> Value {
    json!({
        "type": ["array", "null"],
        "description": "where the feeds have it; empty: there was nothing to tell them; null: they have not confirmed it yet",
        "items": {
            "type": "object",
            "properties": {
                "shard": {"type": "string"},
                "incarnation": {"type": "string"},
                "sequence": {"type": "integer"},
                "committed_at": {"type": "string", "format": "date-time"},
            },
        },
    })
}

/// From when on a revocation is in force, for the API description.
pub fn in_force_schema() -> Value {
    json!({
        "type": "object",
        "required": ["strict_at", "bounded_at"],
        "properties": {
            "strict_at": {
                "type": "string",
                "format": "date-time",
                "description": "no strict check that begins later accepts what it covers",
            },
            "bounded_at": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "every gateway has it by then or decides by its copy of the feed no more; null: not known yet",
            },
        },
    })
}

/// A receipt, for the API description.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["receipt", "subject", "scope", "cause", "actor", "committed_at", "feed", "in_force"],
        "properties": {
            "receipt": {"type": "string", "description": "rev_..."},
            "subject": {"type": ["string", "null"], "description": "null: of everyone's"},
            "scope": {"type": "string"},
            "session": {"type": "string"},
            "jti": {"type": "string"},
            "client_id": {"type": "string"},
            "connection": {"type": "string"},
            "kid": {"type": "string"},
            "cause": {"type": "string", "description": "as in the audit log"},
            "actor": {"type": "object"},
            "sessions": {"type": "integer", "description": "live sessions that it ended"},
            "committed_at": {"type": "string", "format": "date-time"},
            "feed": feed_schema(),
            "in_force": in_force_schema(),
        },
    })
}

/// The list, for the API description.
pub fn list_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "revocations": {"type": "array", "items": {"$ref": "#/components/schemas/Receipt"}},
            "settled": {"type": "boolean", "description": "whether the feeds have confirmed all of them"},
        },
    })
}
