//! Connections as the policy keeps them.

use super::{NOW, Policy, ask, ask_at, by, policy, story, view};
use crate::objects::host_sql::Fault;
use portcullis_core::audit::event::Action;
use portcullis_core::policy::call::{
    ConnectionKept, DeleteConnection, EnableConnection, KeptConnection, ListConnections,
    PutConnection,
};
use serde_json::{Value, json};

fn document(changes: &Value) -> String {
    let mut document = json!({
        "id": "okta", "issuer": "https://idp.example", "client_id": "c",
        "sealed_client_secret": "sealed",
    });
    let members = document.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    document.to_string()
}

fn put(changes: &Value, new: bool) -> PutConnection {
    PutConnection {
        connection: document(changes),
        enabled: changes["enabled"].as_bool(),
        new,
        by: by(),
    }
}

fn enable(id: &str, enabled: bool, is_static: bool) -> EnableConnection {
    EnableConnection {
        id: id.into(),
        enabled,
        is_static,
        by: by(),
    }
}

fn delete(policy: &Policy) -> bool {
    let id = "okta".into();
    ask(policy, DeleteConnection { id, by: by() })
}

fn kept(policy: &Policy) -> Vec<KeptConnection> {
    ask(policy, ListConnections).connections
}

fn is_over(policy: &Policy) -> bool {
    view(policy, NOW).covers_session("any", "okta", NOW)
}

/// Whether a change ended what rests on the connection; `None`: it was not made.
fn ends(policy: &Policy, changes: &Value) -> Option<bool> {
    match ask(policy, put(changes, false)) {
        ConnectionKept::Kept(_, revoked) => Some(revoked.is_some()),
        _ => None,
    }
}

#[test]
fn a_connection_is_made_once_and_changed_as_often_as_one_likes() {
    let policy = policy();
    assert_eq!(
        ask(&policy, put(&json!({}), false)),
        ConnectionKept::Mismatch
    );
    assert!(matches!(
        ask(&policy, put(&json!({}), true)),
        ConnectionKept::Kept(_, None)
    ));
    assert_eq!(
        ask(&policy, put(&json!({}), true)),
        ConnectionKept::Mismatch
    );
    assert_eq!(ends(&policy, &json!({"name": "x"})), Some(false));
    assert!(!is_over(&policy));
    let reasons: Vec<_> = story(&policy)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons, [Some("created".into()), Some("updated".into())]);
}

#[test]
fn a_change_of_who_somebody_is_ends_what_there_is() {
    let policy = policy();
    ask(&policy, put(&json!({}), true));
    assert_eq!(ends(&policy, &json!({"requires": {"hd": "x"}})), Some(true));
    assert!(is_over(&policy));
}

#[test]
fn turned_off_by_either_way_everything_is_over() {
    for off in [
        (|policy| ends(policy, &json!({"enabled": false})) == Some(true)) as fn(&Policy) -> bool,
        |policy| ask(policy, enable("okta", false, false)),
    ] {
        let policy = policy();
        ask(&policy, put(&json!({}), true));
        assert!(off(&policy) && is_over(&policy));
        assert!(!kept(&policy)[0].enabled);
        // And on again, though nothing comes back.
        assert!(ask(&policy, enable("okta", true, false)));
        assert!(kept(&policy)[0].enabled && is_over(&policy));
    }
}

#[test]
fn a_change_turns_nothing_on_by_leaving_out_that_it_is_off() {
    let policy = policy();
    ask(&policy, put(&json!({}), true));
    assert!(ask(&policy, enable("okta", false, false)));
    assert_eq!(ends(&policy, &json!({"name": "x"})), Some(false));
    assert!(!kept(&policy)[0].enabled);
    assert!(ends(&policy, &json!({"enabled": true})).is_some());
    assert!(kept(&policy)[0].enabled);
    let told = story(&policy);
    for reason in ["disabled", "enabled"] {
        let told = told.contains(&(Action::ConnectionChanged, Some(reason.into())));
        assert!(told, "{reason}");
    }
}

#[test]
fn where_a_value_would_mean_another_person_it_is_another_connection() {
    let policy = policy();
    ask(&policy, put(&json!({}), true));
    for other in [
        json!({"issuer": "https://other.example"}),
        json!({"subject_claim": "email"}),
        json!({"subject_folds_case": true}),
    ] {
        let kept = ask(&policy, put(&other, false));
        assert_eq!(kept, ConnectionKept::OtherPeople, "{other}");
    }
    let slashed = json!({"issuer": "https://idp.example/", "sealed_client_secret": "new"});
    assert!(ends(&policy, &slashed).is_some());
}

#[test]
fn no_token_is_two_connections_and_no_place_has_two_key_sets() {
    let policy = policy();
    let tokens = json!({"audiences": ["a", "b"]});
    let place = json!({"zone_id": "z", "config_id": "c"});
    let first = json!({"tokens": tokens, "api_shield": place});
    ask(&policy, put(&first, true));
    let taken = ConnectionKept::Taken("okta".into());
    for second in [
        json!({"id": "b", "tokens": {"audiences": ["b"]}}),
        json!({"id": "b", "issuer": "https://idp.example/", "tokens": {"audiences": ["x", "a"]}}),
        json!({"id": "b", "issuer": "https://other.example", "api_shield": place}),
    ] {
        assert_eq!(ask(&policy, put(&second, true)), taken, "{second}");
    }
    let apart = json!({"id": "b", "tokens": {"audiences": ["c"]}});
    assert!(matches!(
        ask(&policy, put(&apart, true)),
        ConnectionKept::Kept(..)
    ));
    // Nor by a change, also of one that is off.
    ask(&policy, enable("okta", false, false));
    let grown = json!({"id": "b", "tokens": {"audiences": ["c", "a"]}});
    assert_eq!(ask(&policy, put(&grown, false)), taken);
    assert_eq!(ends(&policy, &first), Some(false));
}

#[test]
fn a_removed_id_stays_taken_and_off() {
    let policy = policy();
    ask(&policy, put(&json!({}), true));
    assert!(delete(&policy) && is_over(&policy));
    // Who asks again was not answered the first time.
    assert!(delete(&policy));
    assert_eq!(
        ask(&policy, put(&json!({}), true)),
        ConnectionKept::Mismatch
    );
    assert_eq!(
        ask(&policy, put(&json!({}), false)),
        ConnectionKept::Mismatch
    );
    assert!(!ask(&policy, enable("okta", true, false)));
    let gone = KeptConnection {
        id: "okta".into(),
        document: None,
        enabled: false,
    };
    assert_eq!(kept(&policy), [gone]);
}

#[test]
fn the_configurations_connection_is_turned_off_without_a_document() {
    let policy = policy();
    assert!(!ask(&policy, enable("okta", false, false)));
    assert!(ask(&policy, enable("okta", false, true)) && is_over(&policy));
    let off = KeptConnection {
        id: "okta".into(),
        document: None,
        enabled: false,
    };
    assert_eq!(kept(&policy), [off]);
    assert!(ask(&policy, enable("okta", true, true)) && kept(&policy)[0].enabled);
}

#[test]
fn a_secret_stays_where_it_was_and_goes_nowhere_else() {
    let policy = policy();
    let none = json!({"sealed_client_secret": null});
    assert_eq!(ask(&policy, put(&none, true)), ConnectionKept::NeedsSecret);
    ask(&policy, put(&json!({}), true));
    assert_eq!(ends(&policy, &none), Some(false));
    assert!(
        kept(&policy)[0]
            .document
            .as_ref()
            .is_some_and(|json| json.contains("sealed\""))
    );
    let elsewhere = json!({"sealed_client_secret": null, "client_id": "another"});
    assert_eq!(
        ask(&policy, put(&elsewhere, false)),
        ConnectionKept::NeedsSecret
    );
}

#[test]
fn a_change_is_stored_whole_or_not_at_all() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let policy = policy();
            ask(&policy, put(&json!({}), true));
            policy.sql().fail_nth(nth, fault);
            let answered = ask_at(&policy, enable("okta", false, false), NOW);
            let unused = policy.sql().heal();
            let disabled = !kept(&policy)[0].enabled;
            let told = story(&policy).contains(&(Action::Kill, Some("connection_revoked".into())));
            let all = (is_over(&policy), told);
            assert_eq!(all, (disabled, disabled), "call {nth}, {fault:?}");
            assert!(answered.is_none() || disabled, "acknowledged and not done");
            if unused {
                break;
            }
        }
    }
}
