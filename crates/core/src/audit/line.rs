//! A line of the log: an event as it was committed, in JSON with a fixed order of fields.
//!
//! The line is written once and kept as bytes; every reader gets those bytes, and without its line feed it is
//! a leaf of the log's tree ([`super::log`]). Absent fields are left out. What is personal is never in clear: it is sealed
//! ([`super::sealed`]). Lines from before that have `claims`, and `ip` and `user_agent` in `request`. Times are RFC 3339 in UTC
//! with milliseconds.

use super::detail::Detail;
use super::event::{Action, Actor, Credential, Event, Outcome, RequestFacts};
use super::log::MAX_ENTRY_BYTES;
use crate::id::ProducerId;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Where and when an event entered the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its place in the lane, from 0 without gaps.
    pub index: u64,
    /// Which lane.
    pub lane: u32,
    /// Who sent it.
    pub producer: ProducerId,
    /// Its number by that producer.
    pub sequence: u64,
    /// When the service got hold of it.
    pub received: UnixMillis,
    /// When the lane committed it.
    pub committed: UnixMillis,
}

/// How a producer's clock stands to ours, where they are far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Clock {
    /// `occurred` is more than [`AHEAD_MS`] after `received`.
    Ahead,
    /// `occurred` is more than [`LATE_MS`] before `received`: the clock is wrong, or the event took long.
    Late,
}

const AHEAD_MS: u64 = 5_000;
const LATE_MS: u64 = 3_600_000;

impl Clock {
    const fn of(occurred: UnixMillis, received: UnixMillis) -> Option<Self> {
        if occurred.0 > received.0.saturating_add(AHEAD_MS) {
            Some(Self::Ahead)
        } else if occurred.0.saturating_add(LATE_MS) < received.0 {
            Some(Self::Late)
        } else {
            None
        }
    }
}

#[derive(Serialize)]
struct Fields<'a> {
    index: u64,
    lane: u32,
    producer: ProducerId,
    sequence: u64,
    occurred: String,
    received: String,
    committed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<Clock>,
    action: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    actor: ActorFields<'a>,
    /// How often, where one event stands for several.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a Detail>,
}

/// Who did something, as JSON has it.
#[derive(Serialize)]
pub struct ActorFields<'a> {
    /// What they are.
    pub r#type: &'static str,
    /// Who of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Serialize)]
struct RequestFields<'a> {
    method: &'a str,
    host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ray: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
}

#[derive(Serialize)]
struct CredentialFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    act: Vec<String>,
}

impl<'a> From<&'a Credential> for CredentialFields<'a> {
    fn from(credential: &'a Credential) -> Self {
        Self {
            issuer: credential.issuer.as_deref(),
            kid: credential.kid.as_deref(),
            connection: credential.connection.as_deref(),
            act: credential.act.iter().map(ToString::to_string).collect(),
        }
    }
}

impl<'a> From<&'a Actor> for ActorFields<'a> {
    fn from(actor: &'a Actor) -> Self {
        let (r#type, id) = match actor {
            Actor::Anonymous | Actor::Unproven(_) => ("anonymous", None),
            Actor::Subject(key) => ("subject", Some(key.to_string().into())),
            Actor::Operator(role) => ("operator", Some(role.into())),
            Actor::Connection(name) => ("connection", Some(name.into())),
            Actor::Client(client_id) => ("client", Some(client_id.into())),
        };
        Self { r#type, id }
    }
}

impl<'a> From<&'a RequestFacts> for RequestFields<'a> {
    fn from(facts: &'a RequestFacts) -> Self {
        Self {
            method: &facts.method,
            host: &facts.host,
            path: &facts.path,
            status: facts.status,
            ray: facts.ray.as_deref(),
            asn: facts.asn,
            country: facts.country.as_deref(),
        }
    }
}

/// Why an event has no line.
#[derive(Debug)]
pub enum NoLine {
    /// It is no JSON.
    Json(serde_json::Error),
    /// It is longer than an entry of the log may be. Events within their bounds never are.
    TooLong,
}

/// The line of `event` at `position`, without a line break: at most [`MAX_ENTRY_BYTES`]. Its personal fields are in
/// `sealed`, or nowhere.
pub fn render(
    event: &Event,
    detail: Option<&Detail>,
    sealed: Option<&str>,
    position: &Position,
) -> Result<String, NoLine> {
    let line = serde_json::to_string(&Fields {
        index: position.index,
        lane: position.lane,
        producer: position.producer,
        sequence: position.sequence,
        occurred: event.occurred.to_rfc3339(),
        received: position.received.to_rfc3339(),
        committed: position.committed.to_rfc3339(),
        clock: Clock::of(event.occurred, position.received),
        action: event.action.as_str(),
        outcome: event.outcome.as_str(),
        reason: event.reason.as_deref(),
        actor: (&event.actor).into(),
        count: match event.actor {
            Actor::Unproven(count) => Some(count),
            _ => None,
        },
        subject: event.subject.map(|key| key.to_string()),
        session: event.session.map(|hash| hash.to_string()),
        token: event.token.map(|hash| hash.to_string()),
        client_id: event.client_id.as_deref(),
        resource: event.resource.as_deref(),
        request: event.request.as_ref().map(Into::into),
        credential: event.credential.as_ref().map(Into::into),
        policy: event.policy.map(|hash| hash.to_string()),
        sealed,
        detail,
    });
    match line {
        Ok(line) if line.len() <= MAX_ENTRY_BYTES => Ok(line),
        Ok(_) => Err(NoLine::TooLong),
        Err(error) => Err(NoLine::Json(error)),
    }
}

/// What a query looks at in a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Its place in the lane.
    pub index: u64,
    /// When it happened.
    pub occurred: String,
    /// [`Action`] by name.
    pub action: String,
    /// [`Outcome`] by name.
    pub outcome: String,
    /// Whom it concerns, in text form.
    pub subject: Option<String>,
    /// Who acted.
    pub actor: Option<LineActor>,
    /// Which session.
    pub session: Option<String>,
    /// Through which client.
    pub client_id: Option<String>,
    /// At which resource.
    pub resource: Option<String>,
    /// Through which request.
    pub request: Option<LineRequest>,
    /// With which credential.
    pub credential: Option<LineCredential>,
}

/// Who acted, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LineActor {
    /// What they are.
    pub r#type: String,
    /// Who of those.
    pub id: Option<String>,
}

/// A request, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LineRequest {
    /// The client's address.
    pub ip: Option<String>,
}

/// A credential, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LineCredential {
    /// The connection, of an identity provider's own.
    pub connection: Option<String>,
    /// Who acts with it in the subject's stead.
    #[serde(default)]
    pub act: Vec<String>,
}

impl Line {
    /// The client's address.
    #[must_use]
    pub fn ip(&self) -> Option<&str> {
        self.request.as_ref()?.ip.as_deref()
    }

    /// The same, with the address that is in what was sealed in it.
    pub fn opened(self, sealed: &str) -> Result<Self, serde_json::Error> {
        let request = serde_json::from_str(sealed)?;
        Ok(Self {
            request: Some(request),
            ..self
        })
    }

    /// Reads back a line that [`render`] wrote.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// Its action, unless a later version wrote it.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        Action::parse(&self.action)
    }

    /// Its outcome.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        Outcome::parse(&self.outcome)
    }
}

/// The line as JSON within JSON, byte for byte, for a reply that holds several.
pub fn to_json(line: String) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::detail::Followed;
    use crate::audit::sealed::{PersonKey, Place, personal};
    use crate::id::{LogHash, SessionId, SubjectKey};

    #[test]
    fn golden_line() {
        let event = Event {
            reason: Some("admin".into()),
            subject: Some(SubjectKey::from_bytes([1; 16])),
            session: Some(LogHash::of_session(SessionId::from_bytes([2; 16]))),
            request: Some(RequestFacts {
                method: "POST".into(),
                host: "h".into(),
                path: "/p".into(),
                ..RequestFacts::default()
            }),
            ..Event::new(
                UnixMillis(1000),
                Action::Kill,
                Outcome::Success,
                Actor::Operator("admin".into()),
            )
        };
        let position = Position {
            index: 7,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: 4,
            received: UnixMillis(2000),
            committed: UnixMillis(3000),
        };
        let line = render(&event, None, None, &position).expect("renders");
        assert_eq!(
            line,
            concat!(
                r#"{"index":7,"lane":0,"producer":"prd_AwMDAwMDAwMDAwMDAwMDAw","sequence":4,"#,
                r#""occurred":"1970-01-01T00:00:01.000Z","received":"1970-01-01T00:00:02.000Z","#,
                r#""committed":"1970-01-01T00:00:03.000Z","action":"kill","outcome":"success","#,
                r#""reason":"admin","actor":{"type":"operator","id":"admin"},"#,
                r#""subject":"sub_AQEBAQEBAQEBAQEBAQEBAQ","session":"h_KSr947ZOZjbWjxEg2SQvHw","#,
                r#""request":{"method":"POST","host":"h","path":"/p"}}"#
            )
        );
        let read = Line::parse(&line).expect("parses");
        assert_eq!((read.index, read.action()), (7, Some(Action::Kill)));
        assert!(!line.contains('\n'));
    }

    #[test]
    fn golden_line_of_what_a_gateway_says() {
        let subject = SubjectKey::from_bytes([1; 16]);
        let event = Event {
            request: Some(RequestFacts {
                method: "GET".into(),
                host: "h".into(),
                path: "/p".into(),
                ip: Some("192.0.2.1".into()),
                user_agent: Some("ua".into()),
                asn: Some(13335),
                country: Some("CH".into()),
                ..RequestFacts::default()
            }),
            credential: Some(Credential {
                issuer: Some("https://id.example".into()),
                kid: Some("k".into()),
                connection: None,
                act: vec![SubjectKey::from_bytes([2; 16])],
            }),
            resource: Some("https://api.example".into()),
            claims: vec![("dept".into(), "b".into()), ("cost".into(), "a".into())],
            policy: Some(LogHash::from_bytes([5; 16])),
            ..Event::new(
                UnixMillis(1000),
                Action::RequestAllowed,
                Outcome::Success,
                Actor::Subject(subject),
            )
        };
        let position = Position {
            index: 8,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: 5,
            received: UnixMillis(2000),
            committed: UnixMillis(3000),
        };
        assert_eq!(
            render(&event, None, Some("AQ"), &position).expect("renders"),
            concat!(
                r#"{"index":8,"lane":0,"producer":"prd_AwMDAwMDAwMDAwMDAwMDAw","sequence":5,"#,
                r#""occurred":"1970-01-01T00:00:01.000Z","received":"1970-01-01T00:00:02.000Z","#,
                r#""committed":"1970-01-01T00:00:03.000Z","action":"request.allowed","#,
                r#""outcome":"success","actor":{"type":"subject","id":"sub_AQEBAQEBAQEBAQEBAQEBAQ"},"#,
                r#""resource":"https://api.example","#,
                r#""request":{"method":"GET","host":"h","path":"/p","asn":13335,"country":"CH"},"#,
                r#""credential":{"issuer":"https://id.example","kid":"k","#,
                r#""act":["sub_AgICAgICAgICAgICAgICAg"]},"policy":"h_BQUFBQUFBQUFBQUFBQUFBQ","#,
                r#""sealed":"AQ"}"#
            )
        );
    }

    #[test]
    fn golden_lines_of_what_the_log_says_of_itself() {
        let position = Position {
            index: 9,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: 6,
            received: UnixMillis(2000),
            committed: UnixMillis(3000),
        };
        let said = |action, detail| {
            let event = Event::new(UnixMillis(1000), action, Outcome::Success, Actor::Anonymous);
            let line = render(&event, Some(&detail), None, &position).expect("renders");
            line.split_once(r#""actor":"#)
                .expect("an actor")
                .1
                .to_owned()
        };
        let sequences = Detail::Sequences {
            producer: ProducerId::from_bytes([4; 16]),
            first_sequence: 5,
            last_sequence: 7,
        };
        assert_eq!(
            said(Action::AuditGap, sequences),
            concat!(
                r#"{"type":"anonymous"},"detail":{"producer":"prd_BAQEBAQEBAQEBAQEBAQEBA","#,
                r#""first_sequence":5,"last_sequence":7}}"#
            )
        );
        let lines = Detail::Lines {
            first_index: 0,
            end_index: 512,
        };
        assert_eq!(
            said(Action::AuditPruned, lines),
            r#"{"type":"anonymous"},"detail":{"first_index":0,"end_index":512}}"#
        );
        let followed = Detail::Followed(Followed {
            first_index: 7,
            end_index: 9,
            lines: 1,
        });
        assert_eq!(
            said(Action::AuditRead, followed),
            r#"{"type":"anonymous"},"detail":{"first_index":7,"end_index":9,"lines":1}}"#
        );
    }

    #[test]
    fn golden_line_of_an_event_that_stands_for_several() {
        let event = Event {
            reason: Some("signature".into()),
            ..Event::new(
                UnixMillis(1000),
                Action::CredentialRefused,
                Outcome::Denied,
                Actor::Unproven(37),
            )
        };
        let position = Position {
            index: 8,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: 5,
            received: UnixMillis(2000),
            committed: UnixMillis(3000),
        };
        let line = render(&event, None, None, &position).expect("renders");
        assert_eq!(
            line,
            concat!(
                r#"{"index":8,"lane":0,"producer":"prd_AwMDAwMDAwMDAwMDAwMDAw","sequence":5,"#,
                r#""occurred":"1970-01-01T00:00:01.000Z","received":"1970-01-01T00:00:02.000Z","#,
                r#""committed":"1970-01-01T00:00:03.000Z","action":"credential.refused","#,
                r#""outcome":"denied","reason":"signature","actor":{"type":"anonymous"},"count":37}"#
            )
        );
    }

    #[test]
    fn a_clock_that_is_far_from_ours_is_flagged() {
        let event = |occurred| {
            Event::new(
                UnixMillis(occurred),
                Action::Kill,
                Outcome::Success,
                Actor::Anonymous,
            )
        };
        let received = 10_000_000;
        let position = Position {
            index: 0,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: 1,
            received: UnixMillis(received),
            committed: UnixMillis(received),
        };
        for (occurred, flag) in [
            (received, None),
            (received + 5000, None),
            (received + 5001, Some(r#"Z","clock":"ahead","action":"#)),
            (received - 3_600_000, None),
            (received - 3_600_001, Some(r#"Z","clock":"late","action":"#)),
        ] {
            let line = render(&event(occurred), None, None, &position).expect("renders");
            match flag {
                Some(flag) => assert!(line.contains(flag), "{line}"),
                None => assert!(!line.contains("clock"), "{line}"),
            }
        }
    }

    #[test]
    fn no_event_within_its_bounds_is_too_long_and_no_longer_line_is_made() {
        // What takes most bytes in JSON: a control character is six.
        let longest = || "\u{1}".repeat(2_000);
        let event = Event {
            reason: Some(longest()),
            session: Some(LogHash::from_bytes([255; 16])),
            token: Some(LogHash::from_bytes([255; 16])),
            subject: Some(SubjectKey::from_bytes([255; 16])),
            client_id: Some(longest()),
            request: Some(RequestFacts {
                method: longest(),
                host: longest(),
                path: longest(),
                status: Some(u16::MAX),
                ip: Some(longest()),
                user_agent: Some(longest()),
                ray: Some(longest()),
                asn: Some(u32::MAX),
                country: Some(longest()),
            }),
            credential: Some(Credential {
                issuer: Some(longest()),
                kid: Some(longest()),
                connection: Some(longest()),
                act: vec![SubjectKey::from_bytes([255; 16]); 1000],
            }),
            resource: Some(longest()),
            claims: (0..100)
                .map(|n| (format!("{n}{}", longest()), longest()))
                .collect(),
            policy: Some(LogHash::from_bytes([255; 16])),
            ..Event::new(
                UnixMillis(1000),
                Action::Kill,
                Outcome::Success,
                Actor::Client(longest()),
            )
        };
        let position = Position {
            index: u64::MAX,
            lane: u32::MAX,
            producer: ProducerId::from_bytes([1; 16]),
            sequence: u64::MAX,
            received: UnixMillis(2000),
            committed: UnixMillis(3000),
        };
        let whole = |event: &Event| {
            let text = personal(event).expect("renders").expect("something");
            let place = Place::from(&position);
            let leaf = PersonKey::from_bytes([1; 32]).leaf(place);
            let sealed = leaf.seal(place, &text).expect("seals");
            render(event, None, Some(&sealed), &position)
        };
        assert!(matches!(whole(&event), Err(NoLine::TooLong)));
        let line = whole(&event.bounded()).expect("renders");
        assert!(line.len() < MAX_ENTRY_BYTES, "{}", line.len());
    }
}
