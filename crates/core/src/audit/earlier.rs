//! Packs as version 1 had them: what was stored or sent then is still read.
//!
//! Nothing writes these. Fields and their order are the wire form, for good.

use super::event::{Action, Actor, Event, Outcome, RequestFacts};
use super::pack::Pack;
use crate::id::{LogHash, ProducerId, SubjectKey};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// A pack of version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackV1 {
    producer: ProducerId,
    first_sequence: u64,
    events: Vec<EventV1>,
}

/// An event of version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventV1 {
    occurred: UnixMillis,
    action: Action,
    outcome: Outcome,
    reason: Option<String>,
    actor: Actor,
    subject: Option<SubjectKey>,
    session: Option<LogHash>,
    token: Option<LogHash>,
    client_id: Option<String>,
    request: Option<RequestFactsV1>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RequestFactsV1 {
    method: String,
    host: String,
    path: String,
    status: Option<u16>,
    ip: Option<String>,
    user_agent: Option<String>,
    ray: Option<String>,
}

impl From<PackV1> for Pack {
    fn from(pack: PackV1) -> Self {
        Self {
            producer: pack.producer,
            first_sequence: pack.first_sequence,
            events: pack.events.into_iter().map(Event::from).collect(),
        }
    }
}

impl From<EventV1> for Event {
    fn from(event: EventV1) -> Self {
        Self {
            reason: event.reason,
            subject: event.subject,
            session: event.session,
            token: event.token,
            client_id: event.client_id,
            request: event.request.map(RequestFacts::from),
            ..Self::new(event.occurred, event.action, event.outcome, event.actor)
        }
    }
}

impl From<RequestFactsV1> for RequestFacts {
    fn from(facts: RequestFactsV1) -> Self {
        Self {
            method: facts.method,
            host: facts.host,
            path: facts.path,
            status: facts.status,
            ip: facts.ip,
            user_agent: facts.user_agent,
            ray: facts.ray,
            ..Self::default()
        }
    }
}
