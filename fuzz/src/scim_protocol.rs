//! SCIM beyond one user: filters and paths, resources and PATCHes of them, Bulk requests.

use crate::parted;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::bulk::{Bulk, Done, Limits, Progress};
use portcullis_core::scim::filter::{Filter, Ready};
use portcullis_core::scim::patch::{self, MemberChange};
use portcullis_core::scim::path::Path;
use portcullis_core::scim::resource::render::Projection;
use portcullis_core::scim::resource::version::Conditions;
use portcullis_core::scim::resource::{created, is_active, replaced};
use portcullis_core::scim::schema::{GROUP, ResourceType, USER};
use serde_json::{Map, Value, json};

/// As a filter, a path, a list of attributes and a condition: what is read means the same when
/// printed and read again, and can be asked of any resource.
pub fn scim_filter(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(path) = Path::parse(text) {
        assert_eq!(Path::parse(&path.to_string()), Ok(path));
    }
    for of in [&USER, &GROUP] {
        let _ = Projection::new(of, Some(text), Some(text));
    }
    let _ = Conditions::new(Some(text), Some(text));
    let Ok(filter) = Filter::parse(text) else {
        return;
    };
    let printed = filter.to_string();
    // Escapes may make it longer than what is read.
    if printed.len() <= portcullis_core::scim::filter::MAX_FILTER_BYTES {
        assert_eq!(Filter::parse(&printed).as_ref(), Ok(&filter));
    }
    for of in [&USER, &GROUP] {
        if let Ok(ready) = Ready::new(&filter, of) {
            let _ = ready.plan();
            let is = ready.matches(&alice());
            let not = Filter::Not(Box::new(filter.clone()));
            let not = Ready::new(&not, of).map(|ready| ready.matches(&alice()));
            assert_eq!(not, Ok(!is));
        }
    }
}

/// As a resource, and as `RESOURCE \0 PATCH`: what is accepted is a resource, in the one form.
pub fn scim_resource(data: &[u8]) {
    if let Ok(body) = serde_json::from_slice::<Value>(data) {
        for of in [&USER, &GROUP] {
            let _ = created(of, &body).map(|body| is_kept(of, &body.attributes));
            let _ = replaced(of, &alice(), &body).map(|body| is_kept(of, &body.attributes));
        }
    }
    let Some((resource, request)) = parted(data) else {
        return;
    };
    let Ok(request) = serde_json::from_str::<Value>(request) else {
        return;
    };
    let Ok(operations) = patch::operations(&request) else {
        return;
    };
    let given = serde_json::from_str::<Value>(resource).unwrap_or_default();
    for of in [&USER, &GROUP] {
        let before = created(of, &given).map(|body| body.attributes);
        let Ok(patched) = patch::apply(of, &before.unwrap_or_else(|_| alice()), &operations) else {
            continue;
        };
        is_kept(of, &patched.after);
        let whole = &MemberChange::Replace(Vec::new());
        if patched.members.contains(whole) {
            // A group is emptied by nothing that names members.
            let text = request.to_string().to_ascii_lowercase();
            assert!(text.contains("remove") || text.contains("replace"));
        }
    }
}

/// As a Bulk request: it ends, and each operation is answered once.
pub fn scim_bulk(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let limits = Limits {
        max_operations: 50,
        max_payload_bytes: 100_000,
    };
    let Ok(bulk) = Bulk::parse(text, limits) else {
        return;
    };
    let mut progress = Progress::default();
    let mut carried_out = 0;
    while let Some(work) = bulk.next(&mut progress) {
        carried_out += 1;
        assert!(carried_out <= bulk.len());
        let id = work.id.unwrap_or_else(|| carried_out.to_string());
        let result = if carried_out % 3 == 0 {
            Err(ScimError::NotFound)
        } else {
            Ok(Done { id, version: None })
        };
        bulk.record(&mut progress, result);
    }
    assert!(progress.position() <= bulk.len());
    let response = bulk.response(&progress, "");
    let answered = response["Operations"].as_array().map(Vec::len);
    assert_eq!(answered, Some(progress.position()));
}

/// What was kept is kept again unchanged, but for what a new user gets.
fn is_kept(of: &ResourceType, attributes: &Map<String, Value>) {
    let Ok(again) = created(of, &Value::Object(attributes.clone())) else {
        panic!("{attributes:?}");
    };
    for (name, value) in &again.attributes {
        let is_default = name == "active" && !is_active(attributes);
        assert!(is_default || attributes.get(name) == Some(value), "{name}");
    }
    for name in ["id", "meta", "password", "members", "groups", "schemas"] {
        assert!(!attributes.contains_key(name), "{name}");
    }
}

fn alice() -> Map<String, Value> {
    let alice = json!({
        "userName": "alice", "displayName": "A", "active": true, "externalId": "1",
        "name": {"givenName": "A"}, "emails": [{"value": "a", "type": "work", "primary": true}],
    });
    alice.as_object().cloned().unwrap_or_default()
}
