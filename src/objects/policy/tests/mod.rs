//! What a change of policy stores, with storage failing both ways at every call.

mod connections;

use super::service::PolicyService;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use portcullis_core::audit::event::{Action, Actor};
use portcullis_core::client::{Client, Origin};
use portcullis_core::id::ProducerId;
use portcullis_core::policy::call::{
    ChangedBy, CreateClient, Created, DeleteClient, DeleteTrust, GetClient, GetView, ListClients,
    ListTrusts, PolicyRequest, PutTrust, RevokeWide, RotateSecret, Rotated, TrustKept,
    UpdateClient,
};
use portcullis_core::policy::trust::Trust;
use portcullis_core::policy::{KEPT_SECS, PolicyView, WideScope};
use portcullis_core::secret::Digest;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};
use serde_json::json;

const NOW: UnixMillis = UnixMillis(1_000_000);

type Policy = PolicyService<HostSql>;

fn policy() -> Policy {
    PolicyService::new(HostSql::new())
}

fn ask_at<C>(policy: &Policy, call: C, now: UnixMillis) -> Option<C::Reply>
where
    C: Call<Request = PolicyRequest>,
{
    let producer = ProducerId::from_bytes([2; 16]);
    let answer = policy.answer(call.into_request(), now, producer);
    answer
        .ok()
        .map(|answer| wire::decode(&answer.bytes).expect("decodes"))
}

fn ask<C>(policy: &Policy, call: C) -> C::Reply
where
    C: Call<Request = PolicyRequest>,
{
    ask_at(policy, call, NOW).expect("answers")
}

fn by() -> ChangedBy {
    ChangedBy {
        actor: Actor::Operator("admin".into()),
        request: None,
    }
}

fn client(id: &str) -> Client {
    let metadata = json!({"grant_types": ["client_credentials"]});
    let metadata = metadata.as_object().expect("an object").clone();
    Origin::Operator
        .client(id, metadata, NOW, false)
        .expect("valid")
}

fn create(client: &Client) -> CreateClient {
    CreateClient {
        client: serde_json::to_string(client).expect("serializes"),
        by: by(),
    }
}

fn update(client: &Client) -> UpdateClient {
    UpdateClient {
        client: serde_json::to_string(client).expect("serializes"),
        by: by(),
    }
}

fn kept(policy: &Policy, id: &str) -> Option<Client> {
    let get = GetClient {
        client_id: id.into(),
    };
    let json = ask(policy, get).client?;
    Some(serde_json::from_str(&json).expect("a client"))
}

fn revoke(scope: WideScope) -> RevokeWide {
    RevokeWide { scope, by: by() }
}

fn rotate(id: &str, secret: &str, earlier_until: u64) -> RotateSecret {
    RotateSecret {
        client_id: id.into(),
        sha256: Digest::of(secret.as_bytes()),
        earlier_until,
        by: by(),
    }
}

fn delete(id: &str) -> DeleteClient {
    DeleteClient {
        client_id: id.into(),
        by: by(),
    }
}

fn view(policy: &Policy, now: UnixMillis) -> PolicyView {
    ask_at(policy, GetView { known: None }, now)
        .flatten()
        .expect("a view")
}

fn story(policy: &Policy) -> Vec<(Action, Option<String>)> {
    let packs = policy.waiting().expect("reads");
    let events = packs.into_iter().flat_map(|pack| pack.events);
    events.map(|event| (event.action, event.reason)).collect()
}

fn told(action: Action, reason: &str) -> (Action, Option<String>) {
    (action, Some(reason.to_owned()))
}

#[test]
fn a_view_is_sent_only_to_who_does_not_have_it() {
    let policy = policy();
    let first = view(&policy, NOW);
    let known = |version| GetView {
        known: Some(version),
    };
    assert_eq!(ask(&policy, known(first.version)), None);
    ask(&policy, revoke(WideScope::Client("c".into())));
    let second = ask(&policy, known(first.version)).expect("changed");
    assert!(second.version > first.version);
    assert!(second.covers_session("c", "demo", NOW));
    assert_eq!(ask(&policy, known(second.version)), None);
}

#[test]
fn every_change_is_told_by_a_higher_version_and_what_changes_nothing_is_not() {
    let policy = policy();
    let mut version = view(&policy, NOW).version;
    let mut moved = || {
        let before = std::mem::replace(&mut version, view(&policy, NOW).version);
        version > before
    };
    assert_eq!(ask(&policy, create(&client("c"))), Created::Created(None));
    assert!(moved());
    assert_eq!(ask(&policy, create(&client("c"))), Created::Exists);
    assert!(!moved());
    assert!(ask(&policy, update(&client("c"))).is_some());
    assert!(moved());
    assert!(ask(&policy, update(&client("d"))).is_none());
    assert!(!moved());
    ask(&policy, rotate("c", "s", 0));
    assert!(moved());
    assert_eq!(ask(&policy, rotate("d", "s", 0)), Rotated::Unknown);
    assert!(!moved());
    assert!(ask(&policy, delete("c")).is_some());
    assert!(moved());
    assert!(ask(&policy, delete("c")).is_none());
    assert!(!moved());
}

#[test]
fn versions_do_not_go_back_when_the_clock_or_the_storage_does() {
    let policy = policy();
    ask(&policy, create(&client("c")));
    let before = view(&policy, NOW).version;
    assert!(before >= NOW.0, "a restored policy starts above this");
    ask_at(&policy, create(&client("d")), UnixMillis(5));
    assert!(view(&policy, NOW).version > before);
}

#[test]
fn a_deleted_client_is_gone_and_what_it_had_is_over() {
    let policy = policy();
    ask(&policy, create(&client("c")));
    let revoked = ask(&policy, delete("c")).expect("known");
    assert!(revoked.changed && revoked.at == NOW);
    assert_eq!(kept(&policy, "c"), None);
    assert!(view(&policy, NOW).covers_session("c", "demo", NOW));
    let expected = [
        told(Action::ClientChanged, "created"),
        told(Action::ClientChanged, "deleted"),
        told(Action::Kill, "client_revoked"),
    ];
    assert_eq!(story(&policy), expected);
}

#[test]
fn a_disabled_client_is_kept_and_what_it_had_is_over() {
    let policy = policy();
    ask(&policy, create(&client("c")));
    let off = Client {
        disabled: true,
        ..client("c")
    };
    let unknown = Client {
        disabled: true,
        ..client("d")
    };
    let created = ask(&policy, create(&unknown));
    assert!(matches!(created, Created::Created(Some(_))));
    assert!(view(&policy, NOW).covers_session("d", "demo", NOW));
    let updated = ask(&policy, update(&off)).expect("known");
    assert!(updated.revoked.is_some());
    assert!(kept(&policy, "c").is_some_and(|client| client.disabled));
    assert!(view(&policy, NOW).covers_session("c", "demo", NOW));
}

#[test]
fn a_wide_revocation_is_repeatable_and_never_shrinks() {
    let policy = policy();
    let scope = || WideScope::Connection("demo".into());
    let first = ask(&policy, revoke(scope()));
    let earlier = ask_at(&policy, revoke(scope()), UnixMillis(5)).expect("answers");
    assert_eq!(earlier.revocation, first.revocation);
    let later = ask_at(&policy, revoke(scope()), NOW.plus_secs(9)).expect("answers");
    assert!(later.revocation.not_before > first.revocation.not_before);
    assert_eq!(view(&policy, NOW).revoked, [later.revocation]);
    let key = || revoke(WideScope::Key("k".into()));
    assert!(ask(&policy, key()).changed);
    let again = ask_at(&policy, key(), NOW.plus_secs(9)).expect("answers");
    assert!(!again.changed);
}

#[test]
fn a_wide_revocation_is_forgotten_when_nothing_is_left_to_cover() {
    let policy = policy();
    let revoked = ask(&policy, revoke(WideScope::Client("c".into())));
    let end = revoked.revocation.not_before.plus_secs(KEPT_SECS);
    assert_eq!(view(&policy, UnixMillis(end.0 - 1)).revoked.len(), 1);
    assert_eq!(view(&policy, end).revoked, []);
    // It is also cleared away, not only left out.
    ask_at(&policy, revoke(WideScope::Client("d".into())), end);
    assert_eq!(view(&policy, NOW).revoked.len(), 1);
}

#[test]
fn secrets_rotate_with_an_overlap_and_survive_an_update() {
    let policy = policy();
    ask(&policy, create(&client("c")));
    ask(&policy, rotate("c", "one", 0));
    ask(&policy, rotate("c", "two", NOW.secs() + 60));
    assert!(ask(&policy, update(&client("c"))).is_some());
    let client = kept(&policy, "c").expect("kept");
    assert!(client.authenticates_with_secret("one", NOW.plus_secs(59)));
    assert!(!client.authenticates_with_secret("one", NOW.plus_secs(60)));
    assert!(client.authenticates_with_secret("two", NOW.plus_secs(60)));
}

#[test]
fn a_client_without_secrets_gets_none() {
    let policy = policy();
    let metadata =
        json!({"redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": "none"});
    let metadata = metadata.as_object().expect("an object").clone();
    let public = Origin::Operator
        .client("p", metadata, NOW, false)
        .expect("valid");
    ask(&policy, create(&public));
    assert_eq!(ask(&policy, rotate("p", "s", 0)), Rotated::NoSecrets);
}

#[test]
fn clients_are_listed_in_pages_that_together_are_all() {
    let policy = policy();
    let ids = ["a", "b", "c", "d", "e"];
    for id in ids {
        ask(&policy, create(&client(id)));
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let list = ListClients { after, limit: 2 };
        let page = ask(&policy, list);
        for json in page.clients {
            let client: Client = serde_json::from_str(&json).expect("a client");
            found.push(client.client_id);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ids);
}

#[test]
fn trusts_are_kept_replaced_and_forgotten() {
    let policy = policy();
    let put = |new| PutTrust {
        id: "t".into(),
        trust: "{}".into(),
        new,
        by: by(),
    };
    assert_eq!(ask(&policy, put(false)), TrustKept::Mismatch);
    assert_eq!(ask(&policy, put(true)), TrustKept::Kept);
    assert_eq!(ask(&policy, put(true)), TrustKept::Mismatch);
    assert_eq!(ask(&policy, put(false)), TrustKept::Kept);
    assert_eq!(ask(&policy, ListTrusts).trusts, ["{}"]);
    let delete = || DeleteTrust {
        id: "t".into(),
        by: by(),
    };
    assert!(ask(&policy, delete()));
    assert!(!ask(&policy, delete()));
    assert!(ask(&policy, ListTrusts).trusts.is_empty());
    // What it gave is over.
    let view = ask(&policy, GetView { known: None }).expect("a version");
    assert!(view.covers_session("any", &Trust::connection("t"), NOW));
    assert!(!view.covers_session("any", "local", NOW));
}

#[test]
fn a_deletion_with_its_revocation_and_events_is_stored_whole_or_not_at_all() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let policy = policy();
            ask(&policy, create(&client("c")));
            policy.sql().fail_nth(nth, fault);
            let reply = ask_at(&policy, delete("c"), NOW);
            let unused = policy.sql().heal();
            let gone = kept(&policy, "c").is_none();
            let over = view(&policy, NOW).covers_session("c", "demo", NOW);
            let logged = story(&policy).len() == 3;
            assert!(gone == over && over == logged, "call {nth}, {fault:?}");
            assert!(reply.is_none() || gone, "acknowledged and not done");
            // A caller that heard nothing asks again, and it is done.
            if reply.is_none() {
                ask(&policy, delete("c"));
            }
            assert_eq!(kept(&policy, "c"), None);
            assert!(view(&policy, NOW).covers_session("c", "demo", NOW));
            if unused {
                break;
            }
        }
    }
}
