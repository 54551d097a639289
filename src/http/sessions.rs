//! `GET /v1/subjects/{subject}/sessions`: where somebody is logged in.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::id::{SessionId, SubjectKey};
use portcullis_core::session::Session;
use portcullis_core::session::call::ListSessions;
use portcullis_core::time::UnixMillis;
use serde::Serialize;
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

/// Live sessions, oldest first; none for somebody never seen.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let subject = match ctx.subject(&percent_decoded(ctx.param(0))) {
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

fn percent_decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8_lossy()
        .into_owned()
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
