//! Rate limits, by Workers' rate limiting binding: how often, per minute and data centre.
//!
//! They keep a guesser or a runaway client from using up what others need, and are no part of what
//! keeps anybody out: where a binding is missing or fails, requests pass. `wrangler.toml` says how
//! much is allowed.

use crate::error::json;
use portcullis_core::id::SubjectKey;
use serde_json::json;
use worker::{Env, Response, Result, console_error};

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Limit<'a> {
    /// Requests of who says to be a client, from one address: whoever knows a client's public name
    /// does not use up what others have of it.
    Client {
        /// `client_id`, as claimed.
        id: &'a str,
        /// Where from.
        address: Option<&'a str>,
    },
    /// Tokens of a subject for a client.
    Subject {
        /// Whose.
        subject: SubjectKey,
        /// For whom.
        client: &'a str,
    },
    /// Requests from an address; without one all count together.
    Address(Option<&'a str>),
}

impl Limit<'_> {
    const fn binding(self) -> &'static str {
        match self {
            Self::Client { .. } => "CLIENT_LIMIT",
            Self::Subject { .. } => "SUBJECT_LIMIT",
            Self::Address(_) => "ADDRESS_LIMIT",
        }
    }

    fn key(self) -> String {
        match self {
            Self::Client { id, address } => format!("{} {id}", address.unwrap_or("-")),
            Self::Subject { subject, client } => format!("{subject} {client}"),
            Self::Address(address) => address.unwrap_or("-").to_owned(),
        }
    }
}

/// Counts a request; says whether it may go on.
pub async fn allow(env: &Env, limit: Limit<'_>) -> bool {
    let Ok(limiter) = env.rate_limiter(limit.binding()) else {
        return true;
    };
    match limiter.limit(limit.key()).await {
        Ok(outcome) => outcome.success,
        Err(error) => {
            console_error!("{}: {error}", limit.binding());
            true
        }
    }
}

/// What an OAuth endpoint answers to a request too many.
pub fn refusal() -> Result<Response> {
    let response = json(429, &json!({"error": "temporarily_unavailable"}))?;
    response.headers().set("retry-after", "60")?;
    Ok(response)
}
