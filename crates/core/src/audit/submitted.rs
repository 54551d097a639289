//! Events as JSON, from producers that are no Workers (`POST /v1/audit/events`).
//!
//! `{"producer": "...", "first_sequence": n, "events": [...]}`: what a gateway may say ([`Pack::is_a_gateways`]) and nothing
//! else. All is judged before anything is taken. Nothing is cut: a text over its bound is refused, with the event and the
//! field that it stands in. What looks like a credential is replaced as everywhere. Whom a `subject` names is for the
//! caller to find out ([`Said::subject`]).

use super::event::{Action, Actor, Credential, Event, MAX_CLAIMS, Outcome, RequestFacts, bounds};
use super::pack::may_be_a_gateways;
use super::scrub::scrubbed;
use crate::id::{LogHash, SubjectKey};
use crate::jwt::actor::MAX_ACTORS;
use crate::time::UnixMillis;
use serde_json::{Map, Value};

/// The most bytes of a body.
pub const MAX_BYTES: usize = 1_000_000;
/// The most events in it.
pub const MAX_EVENTS: usize = 1000;
/// The longest name of a producer.
pub const MAX_NAME_BYTES: usize = 64;

/// The last sequence and the last instant that a pack may have.
const MAX_SEQUENCE: u64 = (1 << 53) - 1;
const LAST_INSTANT: UnixMillis = UnixMillis(253_402_300_799_999);

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Who counts, by the name that they give themselves.
    pub producer: String,
    /// The sequence of the first event.
    pub first_sequence: u64,
    /// The events.
    pub events: Vec<Said>,
}

/// An event, and whom it is said to concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    event: Event,
    /// A subject's key or `connection:value`, not looked up yet.
    pub subject: Option<String>,
}

impl Said {
    /// The event, by and of the subject that was looked up.
    #[must_use]
    pub fn of(self, subject: Option<SubjectKey>) -> Event {
        match subject {
            Some(subject) => Event {
                subject: Some(subject),
                actor: Actor::Subject(subject),
                ..self.event
            },
            None => self.event,
        }
    }
}

/// Why nothing of it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which event is wrong, from 0.
    pub event: Option<usize>,
    /// Which field, such as `request.path`; empty: the whole.
    pub field: String,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.event, self.field.as_str()) {
            (None, "") => write!(f, "the body {}", self.why),
            (None, field) => write!(f, "{field} {}", self.why),
            (Some(event), "") => write!(f, "events[{event}] {}", self.why),
            (Some(event), field) => write!(f, "events[{event}].{field} {}", self.why),
        }
    }
}

/// Reads a body.
pub fn parse(body: &[u8]) -> Result<Submitted, Rejected> {
    let whole = Place {
        event: None,
        path: "",
    };
    let value = serde_json::from_slice(body);
    let value = value.map_err(|error| whole.rejected("", format!("is no JSON: {error}")))?;
    let mut fields = Fields::of(value, whole)?;
    let producer = fields.needed("producer", |it, name| it.verbatim(name, MAX_NAME_BYTES))?;
    if producer.chars().any(char::is_control) {
        return Err(whole.rejected("producer", "has a control character"));
    }
    let first_sequence = fields.needed("first_sequence", |it, name| {
        it.number(name, 1, MAX_SEQUENCE)
    })?;
    let events = match fields.map.remove("events") {
        Some(Value::Array(events)) => events,
        Some(_) => return Err(whole.rejected("events", "is no list")),
        None => return Err(whole.rejected("events", "is missing")),
    };
    fields.done()?;
    if events.is_empty() {
        return Err(whole.rejected("events", "is empty"));
    }
    if events.len() > MAX_EVENTS {
        let why = format!("has {} events, and may have {MAX_EVENTS}", events.len());
        return Err(whole.rejected("events", why));
    }
    if first_sequence > MAX_SEQUENCE - events.len() as u64 {
        return Err(whole.rejected("first_sequence", "leads beyond 2^53 - 1"));
    }
    let events = events.into_iter().enumerate();
    let said = |(at, event)| {
        let event: Value = event;
        said(Fields::of(
            event,
            Place {
                event: Some(at),
                path: "",
            },
        )?)
    };
    Ok(Submitted {
        producer,
        first_sequence,
        events: events.map(said).collect::<Result<_, _>>()?,
    })
}

fn said(mut it: Fields) -> Result<Said, Rejected> {
    let place = it.place;
    let occurred = it.needed("occurred", |it, name| {
        it.parsed(name, UnixMillis::from_rfc3339, "is no time (RFC 3339)")
    })?;
    if occurred > LAST_INSTANT {
        return Err(place.rejected("occurred", "is after the year 9999"));
    }
    let action = it.needed("action", |it, name| {
        it.parsed(name, Action::parse, "is no action")
    })?;
    let outcome = it.needed("outcome", |it, name| {
        it.parsed(name, Outcome::parse, "is no outcome")
    })?;
    let subject = it.verbatim("subject", bounds::TEXT)?;
    let count = it.number("count", 1, u64::from(u32::MAX))?;
    let actor = match count.map(u32::try_from) {
        None => Actor::Anonymous,
        Some(Ok(count)) if action == Action::CredentialRefused && subject.is_none() => {
            Actor::Unproven(count)
        }
        Some(_) => {
            let why = "is for credential.refused of nobody in particular";
            return Err(place.rejected("count", why));
        }
    };
    let event = Event {
        reason: it.text("reason", bounds::TEXT)?,
        session: it.parsed("session", session, "is neither h_... nor ses_...")?,
        token: it.parsed("token", token, "is neither h_... nor jti_...")?,
        client_id: it.text("client_id", bounds::TEXT)?,
        request: it.object("request", "request.")?.map(request).transpose()?,
        credential: it
            .object("credential", "credential.")?
            .map(credential)
            .transpose()?,
        resource: it.text("resource", bounds::TEXT)?,
        claims: match it.object("claims", "claims.")? {
            Some(claims) => self::claims(claims)?,
            None => Vec::new(),
        },
        policy: it.parsed("policy", |text| text.parse().ok(), "is not h_...")?,
        ..Event::new(occurred, action, outcome, actor)
    };
    it.done()?;
    if !may_be_a_gateways(&event) {
        return Err(place.rejected("action", "is not one that is taken here"));
    }
    Ok(Said { event, subject })
}

/// The log's name for a session; whoever has the session's own id need not know how it is made.
fn session(text: &str) -> Option<LogHash> {
    let hash = text.parse().ok();
    hash.or_else(|| text.parse().ok().map(LogHash::of_session))
}

fn token(text: &str) -> Option<LogHash> {
    let hash = text.parse().ok();
    hash.or_else(|| text.parse().ok().map(LogHash::of_token))
}

fn request(mut it: Fields) -> Result<RequestFacts, Rejected> {
    let path = it.needed("path", |it, name| it.text(name, bounds::PATH))?;
    if path.contains(['?', '#']) {
        return Err(it.place.rejected("path", "has a query or a fragment"));
    }
    let request = RequestFacts {
        method: it.needed("method", |it, name| it.text(name, bounds::METHOD))?,
        host: it.needed("host", |it, name| it.text(name, bounds::TEXT))?,
        path,
        status: it
            .number("status", 100, 599)?
            .and_then(|status| u16::try_from(status).ok()),
        ip: it.text("ip", bounds::TEXT)?,
        user_agent: it.text("user_agent", bounds::TEXT)?,
        ray: it.text("ray", bounds::TEXT)?,
        asn: it
            .number("asn", 0, u64::from(u32::MAX))?
            .and_then(|asn| u32::try_from(asn).ok()),
        country: it.text("country", bounds::COUNTRY)?,
    };
    it.done().map(|()| request)
}

fn credential(mut it: Fields) -> Result<Credential, Rejected> {
    let act = match it.map.remove("act") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(act)) if act.len() <= MAX_ACTORS => {
            let key = |key: &Value| key.as_str()?.parse::<SubjectKey>().ok();
            let act: Option<Vec<_>> = act.iter().map(key).collect();
            act.ok_or_else(|| it.place.rejected("act", "has what is not sub_..."))?
        }
        Some(_) => {
            let why = format!("is no list of at most {MAX_ACTORS}");
            return Err(it.place.rejected("act", why));
        }
    };
    let credential = Credential {
        issuer: it.text("issuer", bounds::TEXT)?,
        // As in `Event::bounded`: a published name, which looks random.
        kid: it.verbatim("kid", bounds::TEXT)?,
        connection: it.text("connection", bounds::TEXT)?,
        act,
    };
    it.done().map(|()| credential)
}

fn claims(it: Fields) -> Result<Vec<(String, String)>, Rejected> {
    if it.map.len() > MAX_CLAIMS {
        let why = format!("has more than {MAX_CLAIMS} claims");
        return Err(it.place.whole(why));
    }
    let place = it.place;
    let claim = |(name, value): (String, Value)| {
        let cleaned = scrubbed(name.clone());
        if name.is_empty() || name.len().max(cleaned.len()) > bounds::CLAIM_NAME {
            let why = format!(
                "has a name that is not 1 to {} bytes long",
                bounds::CLAIM_NAME
            );
            return Err(place.whole(why));
        }
        let mut one = Fields {
            map: Map::from_iter([(cleaned.clone(), value)]),
            place,
        };
        let value = one.text(&cleaned, bounds::TEXT)?;
        Ok((cleaned, value.unwrap_or_default()))
    };
    it.map.into_iter().map(claim).collect()
}

/// Where something stands.
#[derive(Clone, Copy)]
struct Place {
    event: Option<usize>,
    /// What is in front of a field's name.
    path: &'static str,
}

impl Place {
    fn rejected(self, field: &str, why: impl Into<String>) -> Rejected {
        Rejected {
            event: self.event,
            field: format!("{}{field}", self.path),
            why: why.into(),
        }
    }

    /// Of the object that this is the place of.
    fn whole(self, why: String) -> Rejected {
        Rejected {
            event: self.event,
            field: self.path.trim_end_matches('.').to_owned(),
            why,
        }
    }
}

/// An object's fields that have not been read yet.
struct Fields {
    map: Map<String, Value>,
    place: Place,
}

impl Fields {
    fn of(value: Value, place: Place) -> Result<Self, Rejected> {
        match value {
            Value::Object(map) => Ok(Self { map, place }),
            _ => Err(place.whole("is no object".to_owned())),
        }
    }

    /// Text as it came.
    fn verbatim(&mut self, name: &str, max_bytes: usize) -> Result<Option<String>, Rejected> {
        let why = match self.map.remove(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => "is empty".to_owned(),
            Some(Value::String(text)) if text.len() <= max_bytes => return Ok(Some(text)),
            Some(Value::String(_)) => format!("is longer than {max_bytes} bytes"),
            Some(_) => "is no text".to_owned(),
        };
        Err(self.place.rejected(name, why))
    }

    /// Text without what looks like a credential, which must fit, too.
    fn text(&mut self, name: &str, max_bytes: usize) -> Result<Option<String>, Rejected> {
        let Some(text) = self.verbatim(name, max_bytes)? else {
            return Ok(None);
        };
        let text = scrubbed(text);
        if text.len() <= max_bytes {
            return Ok(Some(text));
        }
        let why = format!("is longer than {max_bytes} bytes without its credential");
        Err(self.place.rejected(name, why))
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        why: &str,
    ) -> Result<Option<T>, Rejected> {
        let text = self.verbatim(name, bounds::TEXT)?;
        let parsed = text.map(|text| parse(&text).ok_or_else(|| self.place.rejected(name, why)));
        parsed.transpose()
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Rejected> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64().filter(|n| (least..=most).contains(n));
                let why = || format!("is no whole number from {least} to {most}");
                let number = number.ok_or_else(|| self.place.rejected(name, why()));
                number.map(Some)
            }
        }
    }

    fn object(&mut self, name: &str, path: &'static str) -> Result<Option<Self>, Rejected> {
        let place = Place { path, ..self.place };
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => Self::of(value, place).map(Some),
        }
    }

    fn needed<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &str) -> Result<Option<T>, Rejected>,
    ) -> Result<T, Rejected> {
        let found = read(self, name)?;
        found.ok_or_else(|| self.place.rejected(name, "is missing"))
    }

    /// All must have been read: what is misspelt must not become nothing.
    fn done(self) -> Result<(), Rejected> {
        match self.map.keys().next() {
            Some(unknown) => {
                let unknown: String = scrubbed(unknown.clone()).chars().take(64).collect();
                Err(self.place.rejected(&unknown, "is no field of it"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "submitted_tests.rs"]
mod tests;
