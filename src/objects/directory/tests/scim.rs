//! Users over SCIM: replaced, changed on conditions, and found.

use super::{ALICE, ask, commands, create, directory, set, subject, with_alice};
use crate::objects::directory::command::SubjectCommand;
use crate::objects::directory::search::MAX_LOOKED_AT;
use crate::objects::directory::service::DirectoryService;
use crate::objects::directory::store;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use crate::objects::sql::{Sql, migrate};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{
    ChangeReply, ChangeUser, Found, GetUser, SearchReply, SearchUsers, UserChange,
};
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::user::UserId;
use portcullis_core::session::revoke::Cause;
use serde_json::Value;

type Directory = DirectoryService<HostSql>;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn changed(
    directory: &Directory,
    change: UserChange,
    if_match: Option<&str>,
) -> Option<ChangeReply> {
    let change = ChangeUser {
        id: ALICE,
        change,
        if_match: if_match.map(str::to_owned),
        if_none_match: None,
    };
    ask(directory, change)
}

fn put(directory: &Directory, body: &str) -> Option<ChangeReply> {
    changed(directory, UserChange::Replace(body.into()), None)
}

fn alice(directory: &Directory) -> Value {
    let resource = ask(directory, GetUser { id: ALICE }).expect("answers");
    serde_json::from_str(&resource.expect("there")).expect("JSON")
}

fn version(directory: &Directory) -> String {
    alice(directory)["meta"]["version"]
        .as_str()
        .expect("a version")
        .to_owned()
}

fn search(directory: &Directory, asked: Asked) -> SearchReply {
    ask(directory, SearchUsers { asked }).expect("answers")
}

fn by_filter(filter: &str) -> Asked {
    Asked {
        filter: Some(filter.into()),
        ..Asked::default()
    }
}

fn names(found: &Found) -> Vec<String> {
    let of = |resource: &String| {
        let resource: Value = serde_json::from_str(resource).expect("JSON");
        resource["userName"].as_str().expect("a name").to_owned()
    };
    found.resources.iter().map(of).collect()
}

/// The names that are found, of whom there are no more.
fn found(directory: &Directory, asked: Asked) -> Vec<String> {
    let found = search(directory, asked).expect("is answered");
    let names = names(&found);
    assert_eq!(u64::try_from(names.len()), Ok(found.total));
    names
}

fn people() -> Directory {
    let directory = directory();
    for (at, body) in (1u8..).zip([
        r#"{"userName":"carol","externalId":"X","title":"b","emails":[{"value":"C@x.example","type":"work"}]}"#,
        r#"{"userName":"Alice","externalId":"x","title":"A","active":false}"#,
        r#"{"userName":"bob","externalId":"X"}"#,
    ]) {
        let id = UserId::from_bytes([at; 16]);
        assert!(matches!(create(&directory, id, body), Some(Ok(_))));
    }
    directory
}

#[test]
fn a_put_means_for_subjects_what_a_patch_does() {
    let directory = with_alice();
    put(&directory, r#"{"userName":"alice","active":"False"}"#);
    let disabled = (
        subject("alice"),
        SubjectCommand::Disable(Cause::ScimDeactivated),
    );
    assert_eq!(commands(&directory), [disabled]);
    // Whoever is out stays out until the provider says otherwise.
    put(&directory, r#"{"userName":"alice"}"#);
    assert_eq!(commands(&directory), [disabled]);
    put(&directory, r#"{"userName":"alice","active":true}"#);
    assert_eq!(
        commands(&directory)[1..],
        [(subject("alice"), SubjectCommand::Reactivate)]
    );
    put(&directory, r#"{"userName":"alicia"}"#);
    assert_eq!(
        commands(&directory)[2..],
        [
            (
                subject("alice"),
                SubjectCommand::Disable(Cause::ScimRenamed)
            ),
            (
                subject("alicia"),
                SubjectCommand::End(Cause::ScimReassigned)
            ),
        ]
    );
}

#[test]
fn a_put_clears_what_it_does_not_say_and_keeps_the_extension() {
    let directory = with_alice();
    let body = format!(
        r#"{{"userName":"alice","title":"t","id":"other","x":1,"{ENTERPRISE}":{{"department":"d"}}}}"#
    );
    put(&directory, &body);
    let resource = alice(&directory);
    assert_eq!(resource["title"], "t");
    assert_eq!(resource["id"], ALICE.to_text());
    assert_eq!(resource[ENTERPRISE]["department"], "d");
    assert_eq!(resource["schemas"][1], ENTERPRISE);
    assert!(resource.get("x").is_none());
    put(&directory, r#"{"userName":"alice"}"#);
    let resource = alice(&directory);
    assert!(resource.get("title").is_none() && resource.get(ENTERPRISE).is_none());
}

#[test]
fn a_put_that_is_refused_changes_nothing() {
    let directory = with_alice();
    create(
        &directory,
        UserId::from_bytes([2; 16]),
        r#"{"userName":"bob"}"#,
    );
    let before = (alice(&directory), directory.waiting());
    for (body, error) in [
        (
            "{",
            ScimError::InvalidSyntax("the body is no JSON object".into()),
        ),
        ("{}", ScimError::InvalidValue("userName".into())),
        (r#"{"userName":"BOB"}"#, ScimError::Uniqueness),
        (
            r#"{"userName":"a","externalId":1}"#,
            ScimError::InvalidValue("externalId".into()),
        ),
    ] {
        assert_eq!(put(&directory, body), Some(Err(error)), "{body}");
    }
    assert_eq!((alice(&directory), directory.waiting()), before);
}

#[test]
fn a_put_with_its_commands_is_stored_whole_or_not_at_all() {
    let out = r#"{"userName":"alice","active":false}"#;
    let calls = {
        let directory = with_alice();
        let before = directory.sql().calls();
        put(&directory, out);
        directory.sql().calls() - before
    };
    assert!(calls >= 8, "the change made {calls} storage calls");
    for nth in 0..calls {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            let directory = with_alice();
            directory.sql().fail_nth(nth, fault);
            assert_eq!(put(&directory, out), None, "call {nth}");
            assert!(!directory.sql().heal());
            let is_active = alice(&directory)["active"] == true;
            let stored = (commands(&directory).len(), is_active);
            assert!(matches!(stored, (0, true) | (1, false)), "call {nth}");
            assert!(matches!(put(&directory, out), Some(Ok(_))));
            assert_eq!(commands(&directory).len(), 1);
        }
    }
}

#[test]
fn a_version_is_of_one_state_and_what_changes_nothing_keeps_it() {
    let directory = with_alice();
    let mut versions = vec![version(&directory)];
    for title in [r#""a""#, r#""b""#, r#""a""#] {
        set(&directory, "title", title);
        versions.push(version(&directory));
    }
    let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
    assert_eq!(distinct.len(), versions.len(), "{versions:?}");
    let before = alice(&directory);
    set(&directory, "title", r#""a""#);
    put(&directory, r#"{"userName":"alice","title":"a"}"#);
    assert_eq!(alice(&directory), before);
}

#[test]
fn what_rests_on_another_version_is_not_done() {
    let directory = with_alice();
    let old = version(&directory);
    set(&directory, "title", r#""t""#);
    let out = UserChange::Patch(
        r#"{"Operations":[{"op":"replace","path":"active","value":false}]}"#.into(),
    );
    let put = UserChange::Replace(r#"{"userName":"alicia"}"#.into());
    for change in [out.clone(), put, UserChange::Delete] {
        let reply = changed(&directory, change, Some(&old));
        assert_eq!(reply, Some(Err(ScimError::PreconditionFailed)));
    }
    let malformed = changed(&directory, UserChange::Delete, Some("7"));
    assert!(matches!(malformed, Some(Err(ScimError::InvalidSyntax(_)))));
    assert_eq!(commands(&directory), []);
    let now = version(&directory);
    assert!(matches!(
        changed(&directory, out, Some(&now)),
        Some(Ok(Some(_)))
    ));
    assert_eq!(commands(&directory).len(), 1);
    assert_eq!(
        changed(&directory, UserChange::Delete, Some("*")),
        Some(Ok(None))
    );
    let gone = changed(&directory, UserChange::Delete, Some("*"));
    assert_eq!(gone, Some(Err(ScimError::NotFound)));
}

#[test]
fn users_are_found_by_every_kind_of_filter() {
    let directory = people();
    let id = UserId::from_bytes([3; 16]).to_text();
    let by_id = format!("id eq \"{id}\"");
    let by_id_and_more = format!("id eq \"{id}\" and active eq false");
    for (filter, expected) in [
        ("userName eq \"ALICE\"", &["Alice"][..]),
        ("externalId eq \"X\"", &["bob", "carol"]),
        ("externalId eq \"x\"", &["Alice"]),
        ("externalId eq \"X\" and title pr", &["carol"]),
        (
            "externalId eq \"X\" or userName eq \"bob\"",
            &["bob", "carol"],
        ),
        (&by_id, &["bob"]),
        (&by_id_and_more, &[]),
        ("id eq \"x\"", &[]),
        (
            "emails[type eq \"work\"].value eq \"c@X.example\"",
            &["carol"],
        ),
        ("emails.value eq \"c@x.example\"", &["carol"]),
        ("not (title pr)", &["bob"]),
        ("active eq false", &["Alice"]),
        ("userName sw \"b\" or title co \"a\"", &["Alice", "bob"]),
        ("groups.value eq \"g\"", &[]),
        ("meta.resourceType eq \"User\"", &["Alice", "bob", "carol"]),
    ] {
        assert_eq!(found(&directory, by_filter(filter)), expected, "{filter}");
    }
    let refused = search(&directory, by_filter("nonsense eq 1"));
    assert!(matches!(refused, Err(ScimError::FilterRefused(_))));
}

#[test]
fn lists_are_in_the_order_and_the_pages_that_are_asked_for() {
    let directory = people();
    let sorted = |by: &str, order: &str| {
        let asked = Asked {
            sort_by: Some(by.into()),
            sort_order: Some(order.into()),
            ..Asked::default()
        };
        found(&directory, asked)
    };
    assert_eq!(
        found(&directory, Asked::default()),
        ["Alice", "bob", "carol"]
    );
    assert_eq!(sorted("userName", "descending"), ["carol", "bob", "Alice"]);
    assert_eq!(sorted("title", "ascending"), ["Alice", "carol", "bob"]);
    for filter in [None, Some("userName pr")] {
        for by in [None, Some("userName"), Some("meta.location")] {
            let page = |start: u32| {
                let asked = Asked {
                    filter: filter.map(str::to_owned),
                    sort_by: by.map(str::to_owned),
                    start_index: Some(start.to_string()),
                    count: Some("2".into()),
                    ..Asked::default()
                };
                search(&directory, asked).expect("is answered")
            };
            let pages = [page(1), page(3), page(5)];
            assert!(pages.iter().all(|page| page.total == 3));
            let mut all: Vec<String> = pages.iter().flat_map(names).collect();
            assert_eq!(all.len(), 3, "{filter:?} {by:?}");
            all.sort();
            assert_eq!(all, ["Alice", "bob", "carol"], "{filter:?} {by:?}");
        }
    }
}

#[test]
fn what_would_look_at_too_many_is_refused_and_what_an_index_finds_is_not() {
    let directory = with_alice();
    let sql = directory.sql();
    let more = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
         INSERT INTO user (id, user_name, folded_name, external_id, active, attributes, created, \
         modified) SELECT randomblob(16), 'u' || i, 'u' || i, 'same', 1, '{}', 1, 1 FROM n";
    sql.exec(more, &[(MAX_LOOKED_AT - 1).into()])
        .expect("writes");
    let scan = || by_filter("title pr or userName eq \"alice\"");
    assert_eq!(found(&directory, scan()), ["alice"]);
    create(
        &directory,
        UserId::from_bytes([2; 16]),
        r#"{"userName":"bob"}"#,
    );
    let is_too_many = |asked| matches!(search(&directory, asked), Err(ScimError::TooMany(_)));
    assert!(is_too_many(scan()));
    assert!(is_too_many(Asked {
        sort_by: Some("title".into()),
        ..Asked::default()
    }));
    assert_eq!(found(&directory, by_filter("userName eq \"BOB\"")), ["bob"]);
    let all = search(&directory, Asked::default()).expect("is answered");
    assert_eq!((all.total, all.resources.len()), (MAX_LOOKED_AT + 1, 100));
    sql.exec("UPDATE user SET external_id = 'same'", &[])
        .expect("writes");
    assert!(is_too_many(by_filter("externalId eq \"same\"")));
}

#[test]
fn users_from_before_versions_have_one() {
    let sql = HostSql::new();
    let has_versions = |script: &&str| script.contains("version INTEGER NOT NULL DEFAULT 1");
    let newer = store::MIGRATIONS.iter().position(has_versions);
    let before = &store::MIGRATIONS[..newer.expect("there")];
    migrate(&sql, before).expect("migrates");
    sql.exec(
        "INSERT INTO user (id, user_name, folded_name, external_id, active, attributes, created, \
         modified) VALUES (?, 'alice', 'alice', 'x', 1, '{\"favouriteTea\":\"black\"}', 1, 1)",
        &[ALICE.as_bytes().into()],
    )
    .expect("writes");
    let directory = DirectoryService::new(sql, super::NAMING_KEY);
    assert_eq!(version(&directory), "W/\"1\"");
    assert_eq!(
        found(&directory, by_filter("externalId eq \"x\"")),
        ["alice"]
    );
    set(&directory, "title", r#""t""#);
    assert_eq!(version(&directory), "W/\"2\"");
}
