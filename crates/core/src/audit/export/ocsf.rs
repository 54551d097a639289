//! Lines as events of the Open Cybersecurity Schema Framework, version 1.3.0, one JSON object a line.
//!
//! | class | actions |
//! |---|---|
//! | Account Change (3001) | `kill`, `scim.changed`, `subject.reactivated` |
//! | Authentication (3002) | `session.login`, `session.logout`, `logout.announced`, `token.issued`, `connection.tested` |
//! | Entity Management (3004) | `client.changed`, `trust.changed`, `connection.changed`, `key.rotated`, `key.compromised`, `keys.synced`, `consent.answered`, `feed.restarted` |
//! | API Activity (6003) | all others: requests, checks, refused credentials, reads; and what a later version adds |
//!
//! `raw_data` is the line itself, so that nothing is lost, and `metadata.uid` is its lane and index.

use crate::time::UnixMillis;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// The version of the schema.
pub const VERSION: &str = "1.3.0";

/// The methods that this version of the schema has; of others `raw_data` tells.
const METHODS: [&str; 8] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE",
];

/// A class of events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    AccountChange,
    Authentication,
    EntityManagement,
    ApiActivity,
}

impl Class {
    fn of(action: &str) -> Self {
        match action {
            "kill" | "scim.changed" | "subject.reactivated" => Self::AccountChange,
            "session.login" | "session.logout" | "logout.announced" | "token.issued"
            | "connection.tested" => Self::Authentication,
            "client.changed" | "trust.changed" | "connection.changed" | "key.rotated"
            | "key.compromised" | "keys.synced" | "consent.answered" | "feed.restarted" => {
                Self::EntityManagement
            }
            _ => Self::ApiActivity,
        }
    }

    const fn uid(self) -> u64 {
        match self {
            Self::AccountChange => 3001,
            Self::Authentication => 3002,
            Self::EntityManagement => 3004,
            Self::ApiActivity => 6003,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::AccountChange => "Account Change",
            Self::Authentication => "Authentication",
            Self::EntityManagement => "Entity Management",
            Self::ApiActivity => "API Activity",
        }
    }

    const fn category(self) -> (u64, &'static str) {
        match self {
            Self::ApiActivity => (6, "Application Activity"),
            _ => (3, "Identity & Access Management"),
        }
    }

    /// The activity's number and name.
    fn activity(self, action: &str, reason: &str, method: &str) -> (u64, &'static str) {
        match (self, action, reason) {
            (Self::AccountChange, "scim.changed", "reactivated")
            | (Self::AccountChange, "subject.reactivated", _) => (2, "Enable"),
            (Self::AccountChange, "scim.changed", "deactivated") => (5, "Disable"),
            (Self::AccountChange, "scim.changed", "deleted") => (6, "Delete"),
            (Self::Authentication, "session.login", _) => (1, "Logon"),
            (Self::Authentication, "session.logout" | "logout.announced", _) => (2, "Logoff"),
            (Self::Authentication, "token.issued", _) => (3, "Authentication Ticket"),
            (Self::AccountChange, "scim.changed", "created")
            | (Self::EntityManagement, _, "created" | "registered") => (1, "Create"),
            (Self::EntityManagement, _, "updated" | "secret_rotated") => (3, "Update"),
            (Self::EntityManagement, _, "enabled") => (8, "Enable"),
            (Self::EntityManagement, _, "disabled") => (9, "Disable"),
            (Self::EntityManagement, _, "deleted") => (4, "Delete"),
            (Self::ApiActivity, ..) => match method {
                "POST" => (1, "Create"),
                "GET" | "HEAD" => (2, "Read"),
                "PUT" | "PATCH" => (3, "Update"),
                "DELETE" => (4, "Delete"),
                _ => (99, "Other"),
            },
            _ => (99, "Other"),
        }
    }
}

/// The event of a line, without a line feed; `None` if it is no line of the log.
#[must_use]
pub fn event(line: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(line).ok()?;
    let line: Value = serde_json::from_str(raw).ok()?;
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let action = text("action")?;
    let request = line.get("request");
    let of_request = |name: &str| request.and_then(|request| request.get(name));
    let method = of_request("method")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let reason = text("reason").unwrap_or_default();
    let class = Class::of(action);
    let (category_uid, category_name) = class.category();
    let (activity_id, activity) = class.activity(action, reason, method);
    let (status_id, status, severity_id, severity) = match text("outcome")? {
        "success" => (1, "Success", 1, "Informational"),
        _ => (2, "Failure", 2, "Low"),
    };
    let millis = |name: &str| text(name).and_then(UnixMillis::from_rfc3339).map(|at| at.0);
    let mut event = json!({
        "activity_id": activity_id,
        // Of what the schema has no activity for, ours.
        "activity_name": if activity_id == 99 { action } else { activity },
        "category_uid": category_uid,
        "category_name": category_name,
        "class_uid": class.uid(),
        "class_name": class.name(),
        "type_uid": class.uid() * 100 + activity_id,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "time": millis("occurred")?,
        "message": action,
        "metadata": {
            "version": VERSION,
            "product": {"name": "Portcullis", "vendor_name": "Portcullis"},
            "uid": format!("{}/{}", line.get("lane")?, line.get("index")?),
            "sequence": line.get("index")?,
            "original_time": text("occurred")?,
            "logged_time": millis("committed")?,
        },
        "raw_data": raw,
    });
    let fields = event.as_object_mut()?;
    set(fields, "status_detail", text("reason").map(Value::from));
    set(fields, "count", line.get("count").cloned());
    set(fields, "actor", Some(actor(&line)));
    of_class(class, action, &line, fields)?;
    set(fields, "http_request", request.and_then(http_request));
    Some(event.to_string())
}

/// What the class has beside what all have.
fn of_class(
    class: Class,
    action: &str,
    line: &Value,
    fields: &mut Map<String, Value>,
) -> Option<()> {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let request = line.get("request");
    let of_request = |name: &str| request.and_then(|request| request.get(name));
    let source = source(request);
    match class {
        Class::ApiActivity => {
            let host = of_request("host").and_then(Value::as_str);
            let name = host.unwrap_or("Portcullis");
            let mut api = json!({"operation": action, "service": {"name": name}});
            let response = of_request("status").map(|code| json!({"code": code}));
            set(api.as_object_mut()?, "response", response);
            set(fields, "api", Some(api));
            let unknown = || json!({"name": "unknown"});
            set(fields, "src_endpoint", Some(source.unwrap_or_else(unknown)));
            let resource = text("resource").map(|resource| json!([{"name": resource}]));
            set(fields, "resources", resource);
            return Some(());
        }
        Class::Authentication => {
            set(fields, "user", Some(user(line)));
            set(fields, "service", Some(json!({"name": "Portcullis"})));
            let session = text("session").map(|uid| json!({"uid": uid}));
            set(fields, "session", session);
        }
        Class::AccountChange => set(fields, "user", Some(user(line))),
        Class::EntityManagement => {
            let (kind, _) = action.split_once('.').unwrap_or((action, ""));
            let path = || of_request("path").and_then(Value::as_str);
            let name = text("client_id").or_else(path).unwrap_or(kind);
            set(fields, "entity", Some(json!({"type": kind, "name": name})));
            // This class has an actor by that profile only.
            let metadata = fields.get_mut("metadata").and_then(Value::as_object_mut)?;
            set(metadata, "profiles", Some(json!(["host"])));
        }
    }
    set(fields, "src_endpoint", source);
    Some(())
}

fn http_request(request: &Value) -> Option<Value> {
    let mut url = Map::new();
    let host = request.get("host").and_then(Value::as_str);
    let (hostname, port) = host.map(host_and_port).unwrap_or_default();
    set(&mut url, "hostname", hostname.map(Value::from));
    set(&mut url, "port", port.map(Value::from));
    set(&mut url, "path", request.get("path").cloned());
    let mut http = json!({"url": url});
    let fields = http.as_object_mut()?;
    let method = request.get("method").filter(|method| {
        let known = method.as_str().map(|method| METHODS.contains(&method));
        known.unwrap_or_default()
    });
    set(fields, "http_method", method.cloned());
    set(fields, "user_agent", request.get("user_agent").cloned());
    set(fields, "uid", request.get("ray").cloned());
    Some(http)
}

/// A host without its port, if it is a name or an address as the schema has them, and the port.
fn host_and_port(host: &str) -> (Option<&str>, Option<u16>) {
    let parts = host.rsplit_once(':');
    let with_port = parts.and_then(|(name, port)| Some((name, Some(port.parse().ok()?))));
    let (name, port) = with_port.unwrap_or((host, None));
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (name.split('.').all(is_label).then_some(name), port)
}

fn set(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value);
    }
}

/// Who did it: a user, or whatever else has a name.
fn actor(line: &Value) -> Value {
    let of_actor = |name: &str| line.get("actor").and_then(|actor| actor.get(name));
    let kind = of_actor("type")
        .and_then(Value::as_str)
        .unwrap_or("anonymous");
    let id = of_actor("id").and_then(Value::as_str);
    let (type_id, r#type) = match kind {
        "subject" => (1, "User"),
        "operator" => (2, "Admin"),
        "connection" | "client" => (3, "System"),
        _ => (0, "Unknown"),
    };
    let mut user = json!({"type_id": type_id, "type": r#type, "name": kind});
    if let (Some(user), Some(id)) = (user.as_object_mut(), id) {
        set(user, "uid", Some(id.into()));
    }
    let mut actor = json!({"user": user});
    if let Some(actor) = actor.as_object_mut() {
        let session = line.get("session").map(|uid| {
            let mut session = json!({"uid": uid});
            let issuer = line.get("credential").and_then(|it| it.get("issuer"));
            if let Some(session) = session.as_object_mut() {
                set(session, "issuer", issuer.cloned());
            }
            session
        });
        set(actor, "session", session);
        set(actor, "app_uid", line.get("client_id").cloned());
    }
    actor
}

/// Whom it concerns.
fn user(line: &Value) -> Value {
    match line.get("subject") {
        Some(subject) => json!({"uid": subject, "type_id": 1, "type": "User"}),
        None => json!({"name": "unknown", "type_id": 0, "type": "Unknown"}),
    }
}

/// Where the request came from. The address itself is in lines from before it was sealed.
fn source(request: Option<&Value>) -> Option<Value> {
    // One that was redacted is none.
    let is_address = |ip: &&Value| ip.as_str().is_some_and(|ip| ip.parse::<IpAddr>().is_ok());
    let mut source = match request?.get("ip").filter(is_address) {
        Some(ip) => json!({"ip": ip}),
        None if request?.get("country").or(request?.get("asn")).is_some() => {
            json!({"name": "unknown"})
        }
        None => return None,
    };
    let fields = source.as_object_mut()?;
    let country = request?
        .get("country")
        .map(|country| json!({"country": country}));
    set(fields, "location", country);
    let number = request?.get("asn").map(|number| json!({"number": number}));
    set(fields, "autonomous_system", number);
    Some(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
    use crate::audit::line::{Position, render};
    use crate::id::ProducerId;

    fn of(event: &Event) -> Value {
        let position = Position {
            index: 7,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: 4,
            received: UnixMillis(2000),
            committed: UnixMillis(3000),
        };
        let line = render(event, None, None, &position).expect("renders");
        let found = super::event(line.as_bytes()).expect("an event");
        let found: Value = serde_json::from_str(&found).expect("JSON");
        assert_eq!(found["raw_data"], line.as_str());
        found
    }

    fn plain(action: Action) -> Event {
        Event::new(UnixMillis(1000), action, Outcome::Success, Actor::Anonymous)
    }

    #[test]
    fn every_action_has_what_its_class_requires() {
        for action in Action::ALL {
            let found = of(&plain(action));
            let class = found["class_uid"].as_u64().expect("a class");
            let activity = found["activity_id"].as_u64().expect("an activity");
            assert_eq!(found["type_uid"], class * 100 + activity);
            assert_eq!(found["category_uid"], class / 1000);
            assert_eq!(found["time"], 1000);
            assert_eq!(found["metadata"]["version"], VERSION);
            let required: &[&str] = match class {
                3001 => &["user"],
                3002 => &["user", "service"],
                3004 => &["entity"],
                6003 => &["actor", "api", "src_endpoint"],
                other => panic!("{other}"),
            };
            for name in required {
                assert!(found[name].is_object(), "{} {name}", action.as_str());
            }
        }
    }

    #[test]
    fn requests_log_ins_and_kills_are_what_the_schema_calls_them() {
        let request = Some(RequestFacts {
            method: "GET".into(),
            host: "api.example".into(),
            path: "/p".into(),
            status: Some(200),
            ip: Some("192.0.2.1".into()),
            country: Some("CH".into()),
            ..RequestFacts::default()
        });
        let found = of(&Event {
            request,
            ..plain(Action::RequestAllowed)
        });
        assert_eq!(
            (&found["type_uid"], &found["activity_name"]),
            (&600_302.into(), &"Read".into())
        );
        let from = json!({"name": "unknown", "location": {"country": "CH"}});
        assert_eq!(found["src_endpoint"], from);
        assert_eq!(
            found["http_request"]["url"],
            json!({"hostname": "api.example", "path": "/p"})
        );
        assert_eq!(found["api"]["response"], json!({"code": 200}));
        assert_eq!(of(&plain(Action::Login))["type_uid"], 300_201);
        let denied = Event {
            outcome: Outcome::Denied,
            ..plain(Action::Login)
        };
        assert_eq!(
            (&of(&denied)["status_id"], &of(&denied)["severity_id"]),
            (&2.into(), &2.into())
        );
        let kill = of(&Event {
            reason: Some("admin".into()),
            ..plain(Action::Kill)
        });
        assert_eq!(
            (&kill["type_uid"], &kill["activity_name"]),
            (&300_199.into(), &"kill".into())
        );
        let gone = of(&Event {
            reason: Some("deactivated".into()),
            ..plain(Action::ScimChanged)
        });
        assert_eq!(gone["type_uid"], 300_105);
    }

    #[test]
    fn the_address_of_a_line_from_before_it_was_sealed_is_where_the_request_came_from() {
        let line = json!({
            "index": 7, "lane": 0, "occurred": "1970-01-01T00:00:01.000Z", "action": "request.allowed",
            "outcome": "success", "actor": {"type": "anonymous"}, "producer": "prd_AwMDAwMDAwMDAwMDAwMDAw",
            "committed": "1970-01-01T00:00:03.000Z",
            "request": {"method": "GET", "host": "h", "path": "/p", "ip": "192.0.2.1", "asn": 1},
        });
        let found = super::event(line.to_string().as_bytes()).expect("an event");
        let found: Value = serde_json::from_str(&found).expect("JSON");
        let from = json!({"ip": "192.0.2.1", "autonomous_system": {"number": 1}});
        assert_eq!(found["src_endpoint"], from);
    }

    #[test]
    fn a_host_is_a_name_and_a_port_and_what_is_neither_is_left_to_the_line() {
        for (host, expected) in [
            ("api.example", (Some("api.example"), None)),
            ("127.0.0.1:28801", (Some("127.0.0.1"), Some(28801))),
            ("[::1]:443", (None, Some(443))),
            ("[redacted:01234567]", (None, None)),
            ("-a.example", (None, None)),
            ("a..example", (None, None)),
            ("a.example:", (None, None)),
            ("", (None, None)),
        ] {
            assert_eq!(host_and_port(host), expected, "{host}");
        }
        let request = Some(RequestFacts {
            method: "GET".into(),
            host: "api.example:8443".into(),
            path: "/p".into(),
            ip: Some("[redacted:01234567]".into()),
            ..RequestFacts::default()
        });
        let found = of(&Event {
            request,
            ..plain(Action::RequestAllowed)
        });
        let url = json!({"hostname": "api.example", "port": 8443, "path": "/p"});
        assert_eq!(found["http_request"]["url"], url);
        assert_eq!(found["src_endpoint"], json!({"name": "unknown"}));
    }

    #[test]
    fn what_the_schema_has_not_is_left_to_the_line() {
        let request = Some(RequestFacts {
            method: "PATCH".into(),
            path: "/p".into(),
            ..RequestFacts::default()
        });
        let found = of(&Event {
            request,
            ..plain(Action::ConnectionChanged)
        });
        assert_eq!(found["http_request"].get("http_method"), None);
        assert_eq!(found["metadata"]["profiles"], json!(["host"]));
    }

    #[test]
    fn what_is_no_line_is_no_event() {
        for line in [&b"{}"[..], b"[]", b"", b"\xff"] {
            assert_eq!(super::event(line), None);
        }
    }
}
