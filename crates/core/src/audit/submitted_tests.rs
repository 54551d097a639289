//! What is sent as JSON: what is taken, and what is said of what is not.

use super::*;
use crate::audit::pack::Pack;
use crate::id::{ProducerId, SessionId, TokenId};
use proptest::prelude::*;
use serde_json::json;

const OCCURRED: &str = "2026-01-02T03:04:05.678Z";

fn event() -> Value {
    json!({"occurred": OCCURRED, "action": "request.denied", "outcome": "denied"})
}

fn body(events: &Value) -> Value {
    json!({"producer": "billing-1", "first_sequence": 5, "events": events})
}

fn parsed(body: &Value) -> Result<Submitted, Rejected> {
    parse(body.to_string().as_bytes())
}

/// What is said of a body in which this stands in the second event.
fn said_of(name: &str, value: Value) -> String {
    let mut wrong = event();
    wrong[name] = value;
    let rejected = parsed(&body(&json!([event(), wrong]))).expect_err("a refusal");
    assert_eq!(rejected.event, Some(1));
    rejected.to_string()
}

#[test]
fn all_that_can_be_said_is_read() {
    let session = SessionId::from_bytes([1; 16]);
    let token = TokenId::from_bytes([2; 16]);
    let subject = SubjectKey::from_bytes([3; 16]);
    let full = json!({
        "occurred": OCCURRED, "action": "request.denied", "outcome": "denied", "reason": "role_missing",
        "subject": "okta:alice", "session": session, "token": LogHash::of_token(token), "client_id": "app",
        "request": {"method": "GET", "host": "h.example", "path": "/a", "status": 403, "ip": "192.0.2.1",
            "user_agent": "u", "ray": "r", "asn": 7, "country": "CH"},
        "credential": {"issuer": "https://i.example", "kid": "k", "connection": "c", "act": [subject]},
        "resource": "https://r.example", "claims": {"team": "red"},
        "policy": LogHash::of_policy("p"),
    });
    let mut submitted = parsed(&body(&json!([full]))).expect("is read");
    assert_eq!(submitted.producer, "billing-1");
    assert_eq!(submitted.first_sequence, 5);
    let said = submitted.events.remove(0);
    assert_eq!(said.subject.as_deref(), Some("okta:alice"));
    let event = said.of(Some(subject));
    assert_eq!(event.actor, Actor::Subject(subject));
    assert_eq!(event.subject, Some(subject));
    assert_eq!(event.session, Some(LogHash::of_session(session)));
    assert_eq!(event.token, Some(LogHash::of_token(token)));
    assert_eq!(event.claims, [("team".to_owned(), "red".to_owned())]);
    let request = event.request.as_ref().expect("a request");
    assert_eq!((request.status, request.asn), (Some(403), Some(7)));
    assert_eq!(event.clone().bounded(), event);
    let pack = Pack {
        producer: ProducerId::of_api("gateway", "billing-1"),
        first_sequence: 5,
        events: vec![event],
    };
    assert!(pack.is_a_gateways());
}

#[test]
fn only_what_a_gateway_may_say_is_taken() {
    for action in Action::ALL {
        let mut one = event();
        one["action"] = json!(action.as_str());
        let taken = parsed(&body(&json!([one]))).is_ok();
        let may = matches!(
            action,
            Action::RequestAllowed
                | Action::RequestDenied
                | Action::CheckDenied
                | Action::CredentialRefused
        );
        assert_eq!(taken, may, "{}", action.as_str());
    }
    assert_eq!(
        said_of("action", json!("kill")),
        "events[1].action is not one that is taken here"
    );
    assert_eq!(
        said_of("count", json!(2)),
        "events[1].count is for credential.refused of nobody in particular"
    );
    assert_eq!(
        said_of("actor", json!({"type": "operator", "id": "admin"})),
        "events[1].actor is no field of it"
    );
}

#[test]
fn a_text_over_its_bound_is_refused_with_its_event_and_its_field_and_not_cut() {
    let long = |bytes: usize| json!("x".repeat(bytes));
    assert_eq!(
        said_of("reason", long(257)),
        "events[1].reason is longer than 256 bytes"
    );
    let request = |path: Value| json!({"method": "GET", "host": "h", "path": path});
    assert_eq!(
        said_of("request", request(long(513))),
        "events[1].request.path is longer than 512 bytes"
    );
    assert_eq!(
        said_of("request", request(json!("/a?token=x"))),
        "events[1].request.path has a query or a fragment"
    );
    assert_eq!(
        said_of("claims", json!({"a": long(257)})),
        "events[1].claims.a is longer than 256 bytes"
    );
    assert_eq!(
        said_of("claims", json!({"a".repeat(65): "x"})),
        "events[1].claims has a name that is not 1 to 64 bytes long"
    );
    assert_eq!(
        said_of("session", json!("ses_x")),
        "events[1].session is neither h_... nor ses_..."
    );
    assert_eq!(
        said_of("occurred", json!("yesterday")),
        "events[1].occurred is no time (RFC 3339)"
    );
    let mut fits = event();
    fits["reason"] = long(256);
    let fitting = parsed(&body(&json!([fits]))).expect("is read");
    let reason = fitting.events.into_iter().next().expect("one").event.reason;
    assert_eq!(reason.map(|reason| reason.len()), Some(256));
}

#[test]
fn more_events_than_may_come_are_refused_and_so_are_none() {
    let many = vec![event(); MAX_EVENTS + 1];
    let refused = parsed(&body(&json!(many))).expect_err("a refusal");
    assert_eq!(
        refused.to_string(),
        "events has 1001 events, and may have 1000"
    );
    assert!(parsed(&body(&json!(vec![event(); MAX_EVENTS]))).is_ok());
    let refused = parsed(&body(&json!([]))).expect_err("a refusal");
    assert_eq!(refused.to_string(), "events is empty");
}

#[test]
fn a_body_must_say_who_counts_from_where() {
    let said = |name: &str, value: Value| {
        let mut wrong = body(&json!([event()]));
        wrong[name] = value;
        parsed(&wrong).expect_err("a refusal").to_string()
    };
    assert_eq!(said("producer", Value::Null), "producer is missing");
    assert_eq!(said("producer", json!("")), "producer is empty");
    assert_eq!(
        said("producer", json!("x".repeat(65))),
        "producer is longer than 64 bytes"
    );
    assert_eq!(
        said("producer", json!("a\nb")),
        "producer has a control character"
    );
    assert!(said("first_sequence", json!(0)).contains("is no whole number"));
    assert!(said("first_sequence", json!(1.5)).contains("is no whole number"));
    assert_eq!(
        said("first_sequence", json!(MAX_SEQUENCE)),
        "first_sequence leads beyond 2^53 - 1"
    );
    assert_eq!(said("event", json!([])), "event is no field of it");
    let said = |text: &str| parse(text.as_bytes()).expect_err("a refusal").to_string();
    assert_eq!(said("[]"), "the body is no object");
    assert!(said("{").starts_with("the body is no JSON"));
}

#[test]
fn the_last_sequence_and_instant_are_those_of_packs() {
    let mut last = event();
    last["occurred"] = json!("9999-12-31T23:59:59.999Z");
    let mut asked = body(&json!([last]));
    asked["first_sequence"] = json!(MAX_SEQUENCE - 1);
    let submitted = parsed(&asked).expect("is read");
    let pack = |submitted: Submitted| Pack {
        producer: ProducerId::of_api("gateway", &submitted.producer),
        first_sequence: submitted.first_sequence,
        events: submitted.events.into_iter().map(|it| it.of(None)).collect(),
    };
    assert!(pack(submitted).encode().is_ok());
    assert_eq!(
        said_of("occurred", json!("9999-12-31T23:59:59.999-01:00")),
        "events[1].occurred is after the year 9999"
    );
}

#[test]
fn what_looks_like_a_credential_is_replaced() {
    let mut one = event();
    one["reason"] = json!("eyJhbGciOiJFUzI1NiJ9.e30.c2ln");
    let submitted = parsed(&body(&json!([one]))).expect("is read");
    let reason = submitted.events[0].event.reason.as_deref();
    assert!(reason.is_some_and(|reason| reason.starts_with("[redacted:")));
}

fn json_value() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 24] = [
        "producer",
        "first_sequence",
        "events",
        "occurred",
        "action",
        "outcome",
        "reason",
        "subject",
        "session",
        "token",
        "client_id",
        "request",
        "credential",
        "claims",
        "policy",
        "count",
        "path",
        "method",
        "host",
        "status",
        "act",
        OCCURRED,
        "request.denied",
        "denied",
    ];
    let name = || prop::sample::select(&NAMES[..]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        name().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..12)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes).is_ok();
    }

    #[test]
    fn arbitrary_json_never_panics_and_what_is_taken_is_within_bounds(value in json_value(), field in json_value()) {
        let mut likely = event();
        likely["request"] = field.clone();
        likely["claims"] = field;
        for body in [value.clone(), body(&json!([value])), body(&json!([likely]))] {
            if let Ok(submitted) = parse(body.to_string().as_bytes()) {
                for said in submitted.events {
                    prop_assert_eq!(said.event.clone().bounded(), said.event);
                }
            }
        }
    }
}
