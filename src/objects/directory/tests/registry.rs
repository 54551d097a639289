//! Who is known: by logging in, by being provisioned, or both; and finding them page by page.

use super::{ALICE, NAMING_KEY, ask, create, directory, set, subject, with_alice};
use crate::objects::directory::service::DirectoryService;
use crate::objects::directory::store;
use crate::objects::host_sql::HostSql;
use crate::objects::sql::{Sql, Value, migrate};
use portcullis_core::registry::{
    FindPerson, KnownPerson, ListPeople, MAX_PEOPLE, People, SeeLogin, SeenLogin,
};
use portcullis_core::scim::user::UserId;
use portcullis_core::session::{Profile, Upstream};
use portcullis_core::text::folded;
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;

type Directory = DirectoryService<HostSql>;

fn sees(directory: &Directory, value: &str, name: Option<&str>, email: Option<&str>) {
    let login = SeeLogin {
        subject: subject(&folded(value)),
        value: value.into(),
        upstream: Upstream::default(),
        flow_begun_at: UnixMillis(0),
        profile: Profile {
            name: name.map(str::to_owned),
            email: email.map(str::to_owned),
            ..Profile::default()
        },
        groups: vec!["staff".into()],
    };
    assert!(matches!(
        ask(directory, login),
        Some(SeenLogin::Seen | SeenLogin::Provisioned(_))
    ));
}

fn person(directory: &Directory, value: &str) -> Option<KnownPerson> {
    let find = FindPerson {
        subject: subject(&folded(value)),
    };
    ask(directory, find).expect("answers")
}

fn delete(directory: &Directory, id: UserId) {
    assert_eq!(super::delete(directory, id), Some(Ok(())));
}

fn everybody() -> ListPeople {
    ListPeople {
        search: String::new(),
        disabled: None,
        after: None,
        limit: MAX_PEOPLE,
    }
}

/// Every page of `list`, by value, and how many pages there were.
fn values(directory: &Directory, mut list: ListPeople) -> (Vec<String>, usize) {
    let mut values = Vec::new();
    for pages in 1.. {
        let page: People = ask(directory, list.clone()).expect("answers");
        assert!(page.people.len() <= list.limit as usize);
        values.extend(page.people.into_iter().map(|person| person.value));
        match page.next {
            None => return (values, pages),
            Some(next) => {
                assert!(list.after.is_none_or(|before| before < next), "it goes on");
                list.after = Some(next);
            }
        }
    }
    (values, 0)
}

fn found(directory: &Directory, search: &str) -> Vec<String> {
    let list = ListPeople {
        search: search.into(),
        ..everybody()
    };
    let (all_at_once, _) = values(directory, list.clone());
    for limit in [1, 2] {
        let (one_by_one, _) = values(
            directory,
            ListPeople {
                limit,
                ..list.clone()
            },
        );
        assert_eq!(one_by_one, all_at_once, "{search}");
    }
    all_at_once
}

#[test]
fn somebody_provisioned_who_logs_in_is_one_person() {
    let directory = with_alice();
    let provisioned = person(&directory, "alice").expect("known");
    assert_eq!(provisioned.last_login_at, None);
    let scim = provisioned.scim.expect("provisioned");
    assert_eq!((scim.id, scim.active), (ALICE, true));
    sees(&directory, "Alice", Some("Alice A."), None);
    let both = person(&directory, "alice").expect("known");
    assert_eq!(
        (both.value.as_str(), both.name.as_deref()),
        ("Alice", Some("Alice A."))
    );
    assert_eq!(
        (both.scim, both.groups),
        (Some(scim), vec!["staff".to_owned()])
    );
    assert!(both.last_login_at.is_some() && !both.disabled);
    assert_eq!(values(&directory, everybody()).0, ["Alice"]);
    assert_eq!(person(&directory, "bob"), None);
}

#[test]
fn of_a_name_the_last_word_counts_and_silence_takes_nothing_away() {
    let directory = with_alice();
    let name = || person(&directory, "alice").and_then(|person| person.name);
    set(&directory, "displayName", r#""From SCIM""#);
    assert_eq!(name().as_deref(), Some("From SCIM"));
    sees(&directory, "alice", Some("From a log-in"), None);
    assert_eq!(name().as_deref(), Some("From a log-in"));
    sees(&directory, "alice", None, None);
    assert_eq!(name().as_deref(), Some("From a log-in"));
    set(&directory, "displayName", r#""Newer""#);
    assert_eq!(name().as_deref(), Some("Newer"));
    assert_eq!(found(&directory, "from"), [""; 0]);
    assert_eq!(found(&directory, "newer"), ["alice"]);
}

#[test]
fn whoever_is_deactivated_is_disabled_until_reactivated() {
    let directory = with_alice();
    sees(&directory, "bob", None, None);
    let of = |disabled| {
        let list = ListPeople {
            disabled: Some(disabled),
            ..everybody()
        };
        let searched = ListPeople {
            search: "a".into(),
            ..list.clone()
        };
        (values(&directory, list).0, values(&directory, searched).0)
    };
    let alice = || vec!["alice".to_owned()];
    set(&directory, "active", "false");
    assert_eq!(of(true), (alice(), alice()));
    assert_eq!(of(false), (vec!["bob".to_owned()], vec![]));
    // Somebody who was disabled before they were known here.
    delete(&directory, ALICE);
    assert_eq!(person(&directory, "alice"), None);
    sees(&directory, "alice", None, None);
    assert!(person(&directory, "alice").expect("known").disabled);
    create(&directory, ALICE, r#"{"userName":"alice"}"#);
    assert!(!person(&directory, "alice").expect("known").disabled);
}

#[test]
fn a_renamed_user_is_under_the_new_name_and_who_logged_in_stays_known() {
    let directory = with_alice();
    set(&directory, "userName", r#""alicia""#);
    assert_eq!(values(&directory, everybody()).0, ["alicia"]);
    sees(&directory, "alicia", None, None);
    set(&directory, "userName", r#""alexa""#);
    let before = person(&directory, "alicia").expect("known");
    assert_eq!((before.scim, before.disabled), (None, true));
    assert!(person(&directory, "alexa").expect("known").scim.is_some());
    delete(&directory, ALICE);
    assert_eq!(values(&directory, everybody()).0, ["alicia"]);
}

#[test]
fn a_search_finds_beginnings_of_values_names_and_addresses_once_each() {
    let directory = directory();
    for (value, name, email) in [
        ("u1", Some("Alice Archer"), Some("alice@example.com")),
        (
            "alice@example.com",
            Some("ALICE B"),
            Some("alice@example.com"),
        ),
        ("u3", Some("Bob"), Some("al@example.com")),
        ("u4", None, None),
        ("Älice", Some("100% _alice"), None),
    ] {
        sees(&directory, value, name, email);
    }
    assert_eq!(found(&directory, "alice"), ["u1", "alice@example.com"]);
    assert_eq!(found(&directory, "alice "), ["u1", "alice@example.com"]);
    assert_eq!(found(&directory, "al"), ["u3", "u1", "alice@example.com"]);
    assert_eq!(found(&directory, "u"), ["u1", "u3", "u4"]);
    assert_eq!(found(&directory, "ä"), ["Älice"]);
    // No character is a pattern.
    for nothing in ["%", "_lice", "lice", "archer", "x"] {
        assert_eq!(found(&directory, nothing), [""; 0], "{nothing}");
    }
    assert_eq!(found(&directory, "100%"), ["Älice"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_of_a_search_have_everybody_whom_it_should_find_once(
        people in prop::collection::btree_map("[abA]{1,3}", ("[abA ]{0,3}", "[abA]{0,3}"), 0..12),
        search in "[ab]{0,2}",
        limit in 1u32..4,
    ) {
        let directory = directory();
        let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        for (value, (name, email)) in &people {
            sees(&directory, value, said(name).as_deref(), said(email).as_deref());
        }
        let list = ListPeople { search: search.clone(), limit, ..everybody() };
        let (mut listed, _) = values(&directory, list);
        let mut known: Vec<KnownPerson> = Vec::new();
        for value in people.keys() {
            known.extend(person(&directory, value).filter(|one| !known.contains(one)));
        }
        let begins = |text: &str| text.to_lowercase().starts_with(&search);
        let mut expected: Vec<String> = known
            .into_iter()
            .filter(|one| {
                begins(&one.value)
                    || one.name.as_deref().is_some_and(begins)
                    || one.email.as_deref().is_some_and(begins)
            })
            .map(|one| one.value)
            .collect();
        listed.sort();
        expected.sort();
        prop_assert_eq!(listed, expected);
    }
}

#[test]
fn pages_follow_each_other_though_people_come_and_go() {
    let directory = directory();
    for n in 0..25 {
        sees(&directory, &format!("p{n:02}"), Some("Same Name"), None);
    }
    let list = ListPeople {
        limit: 10,
        ..everybody()
    };
    let (all, pages) = values(&directory, list.clone());
    assert_eq!((all.len(), pages), (25, 3));
    assert!(all.is_sorted());
    let first: People = ask(&directory, list.clone()).expect("answers");
    sees(&directory, "p000", None, None);
    let after = first.next;
    assert!(after.is_some());
    let second: People = ask(&directory, ListPeople { after, ..list }).expect("answers");
    assert_eq!(second.people[0].value, "p10");
    // What ten at a time find of one name is everybody with it.
    let same = ListPeople {
        search: "same".into(),
        limit: 10,
        ..everybody()
    };
    assert_eq!(values(&directory, same), (all, 3));
}

#[test]
fn a_page_looks_at_so_many_whatever_it_finds() {
    let directory = directory();
    for n in 0..1200 {
        sees(&directory, &format!("p{n:04}"), None, None);
    }
    let nobody = ListPeople {
        search: "p".into(),
        disabled: Some(true),
        ..everybody()
    };
    let before = directory.sql().calls();
    let page: People = ask(&directory, nobody.clone()).expect("answers");
    assert!(page.people.is_empty() && page.next.is_some());
    assert_eq!(directory.sql().calls() - before, 1);
    assert_eq!(values(&directory, nobody), (vec![], 3));
}

#[test]
fn every_page_is_found_by_an_index() {
    let directory = directory();
    sees(&directory, "alice", None, None);
    let plan = |statement: &str, bound: usize| {
        let values = vec![Value::from("a"); bound];
        let rows = directory
            .sql()
            .exec(&format!("EXPLAIN QUERY PLAN {statement}"), &values)
            .expect("a plan");
        let steps = rows.iter().map(|row| row.text(3).expect("text").to_owned());
        steps.collect::<Vec<_>>()
    };
    for (statement, bound) in crate::objects::directory::registry::statements() {
        let steps = plan(&statement, bound);
        assert!(steps.iter().any(|step| step.contains("SEARCH registry")));
        // A search sorts what its arms found, of which there is so much and no more.
        let is_search = statement.contains("UNION");
        let bad = steps.iter().find(|step| {
            step.contains("SCAN registry") || (!is_search && step.contains("TEMP B-TREE"))
        });
        assert_eq!(bad, None, "{statement}: {steps:?}");
    }
}

#[test]
fn users_from_before_there_was_a_registry_are_in_it() {
    let sql = HostSql::new();
    migrate(&sql, &store::MIGRATIONS[..2]).expect("migrates");
    for (n, name, active) in [(1u8, "Alice", 1u64), (2, "bob", 0)] {
        sql.exec(
            "INSERT INTO user (id, user_name, folded_name, active, attributes, created, modified) \
             VALUES (?, ?, ?, ?, ?, 1, 1)",
            &[
                [n; 16].as_slice().into(),
                name.into(),
                name.to_lowercase().as_str().into(),
                active.into(),
                r#"{"displayName":"Somebody"}"#.into(),
            ],
        )
        .expect("inserts");
    }
    sql.exec(
        "INSERT INTO held_subject (subject) VALUES (?)",
        &[subject("bob").as_bytes().into()],
    )
    .expect("inserts");
    let directory = DirectoryService::new(sql, NAMING_KEY);
    assert_eq!(values(&directory, everybody()).0, ["Alice", "bob"]);
    assert_eq!(found(&directory, "somebody"), ["Alice", "bob"]);
    let disabled = |value: &str| person(&directory, value).expect("known").disabled;
    assert_eq!((disabled("alice"), disabled("bob")), (false, true));
    // Once is enough: who is deleted does not come back.
    delete(&directory, UserId::from_bytes([1; 16]));
    let again = DirectoryService::new(directory.into_sql(), NAMING_KEY);
    assert_eq!(values(&again, everybody()).0, ["bob"]);
}
