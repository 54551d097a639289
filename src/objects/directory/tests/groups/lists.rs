//! Groups as they are found, and users by their groups.

use super::super::ALICE;
use super::{
    BOB, Directory, STAFF, by_filter, done, fill, found, list, made, named, numbered, patch, read,
    refused, staff, values, without,
};
use crate::objects::directory::render::MAX_LISTED;
use crate::objects::directory::search::MAX_LOOKED_AT;
use crate::objects::sql::Sql;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{ReadReply, Searched, Target, View};
use portcullis_core::scim::group::GroupId;
use portcullis_core::scim::query::Asked;
use serde_json::{Value, json};

#[test]
fn groups_are_found_by_every_kind_of_filter() {
    let directory = staff(&[ALICE, BOB]);
    for (at, name, of) in [(8, "crew", &[BOB][..]), (7, "Nobody", &[])] {
        let body = json!({"displayName": name, "members": named(of)});
        done(made(&directory, GroupId::from_bytes([at; 16]), &body));
    }
    let (alice, bob) = (ALICE.to_text(), BOB.to_text());
    for (filter, expected) in [
        (
            format!("members[value eq \"{bob}\"]"),
            &["crew", "Staff"][..],
        ),
        (format!("members.value eq \"{alice}\""), &["Staff"]),
        (
            format!("members eq \"{bob}\" and displayName sw \"c\""),
            &["crew"],
        ),
        (
            format!("members[value eq \"{bob}\" and display eq \"BOB\"]"),
            &["crew", "Staff"],
        ),
        (
            format!("members[value eq \"{bob}\" and display eq \"x\"]"),
            &[],
        ),
        (
            format!("members eq \"{bob}\" and not (members eq \"{alice}\")"),
            &["crew"],
        ),
        ("members.display eq \"alice\"".to_owned(), &["Staff"]),
        ("not (members pr)".to_owned(), &["Nobody"]),
        ("members eq \"x\"".to_owned(), &[]),
        ("displayName eq \"CREW\"".to_owned(), &["crew"]),
        (
            format!("id eq \"{}\" or displayName eq \"nobody\"", STAFF.to_text()),
            &["Nobody", "Staff"],
        ),
        ("externalId eq \"E\"".to_owned(), &[]),
        ("displayName co \"o\"".to_owned(), &["Nobody"]),
        (
            "meta.resourceType eq \"Group\"".to_owned(),
            &["crew", "Nobody", "Staff"],
        ),
    ] {
        assert_eq!(
            found(&directory, Searched::Groups, by_filter(&filter)),
            expected,
            "{filter}"
        );
    }
    for (filter, expected) in [
        (
            format!("groups.value eq \"{}\"", STAFF.to_text()),
            &["alice", "bob"][..],
        ),
        (
            format!(
                "groups[value eq \"{}\"] and userName sw \"b\"",
                STAFF.to_text()
            ),
            &["bob"],
        ),
        ("groups.display eq \"crew\"".to_owned(), &["bob"]),
        ("not (groups pr)".to_owned(), &["carol"]),
    ] {
        assert_eq!(
            found(&directory, Searched::Users, by_filter(&filter)),
            expected,
            "{filter}"
        );
    }
}

#[test]
fn lists_of_groups_are_in_order_and_in_pages() {
    let directory = staff(&[ALICE]);
    for (at, name) in [(8, "crew"), (7, "Nobody")] {
        done(made(
            &directory,
            GroupId::from_bytes([at; 16]),
            &json!({"displayName": name}),
        ));
    }
    let page = |of: Searched, by: Option<&str>, start: u32, count: u32| {
        let asked = Asked {
            sort_by: by.map(str::to_owned),
            start_index: Some(start.to_string()),
            count: Some(count.to_string()),
            ..Asked::default()
        };
        list(&directory, of, asked).expect("is answered")
    };
    let names = |of: &[Value]| -> Vec<String> {
        let name = |one: &Value| {
            one["displayName"]
                .as_str()
                .or(one["userName"].as_str())
                .map(str::to_owned)
        };
        of.iter().filter_map(name).collect()
    };
    for by in [None, Some("displayName")] {
        let (total, first) = page(Searched::Groups, by, 1, 2);
        let (_, second) = page(Searched::Groups, by, 3, 2);
        assert_eq!(
            (total, names(&first)),
            (3, vec!["crew".to_owned(), "Nobody".into()])
        );
        assert_eq!(names(&second), ["Staff"]);
    }
    let (_, by_members) = page(Searched::Groups, Some("members"), 1, 2);
    assert_eq!(names(&by_members), ["Staff", "crew"]);
    // Users come first, and then groups, whatever the pages.
    let mut all = Vec::new();
    for start in 1..=7 {
        let (total, one) = page(Searched::All, None, start, 1);
        assert_eq!(total, 6);
        all.extend(names(&one));
    }
    assert_eq!(all, ["alice", "bob", "carol", "crew", "Nobody", "Staff"]);
    assert_eq!(names(&page(Searched::All, None, 3, 2).1), ["carol", "crew"]);
}

#[test]
fn a_search_of_everything_finds_both_types() {
    let directory = staff(&[ALICE]);
    for (filter, expected) in [
        ("meta.resourceType eq \"Group\"", &["Staff"][..]),
        (
            "userName eq \"ALICE\" or displayName eq \"staff\"",
            &["alice", "Staff"],
        ),
        ("userName eq \"bob\"", &["bob"]),
        ("members pr", &["Staff"]),
        ("userName eq null", &["Staff"]),
        ("externalId eq \"e\"", &["Staff"]),
    ] {
        assert_eq!(
            found(&directory, Searched::All, by_filter(filter)),
            expected,
            "{filter}"
        );
    }
    let asked = Asked {
        sort_by: Some("displayName".into()),
        attributes: Some("userName,displayName".into()),
        ..Asked::default()
    };
    let (_, sorted) = list(&directory, Searched::All, asked).expect("is answered");
    assert_eq!(
        (sorted.len(), &sorted[0]["displayName"]),
        (4, &json!("Staff"))
    );
    assert!(sorted.iter().all(|one| one.get("meta").is_none()));
    assert!(list(&directory, Searched::All, by_filter("nonsense pr")).is_err());
}

fn fill_group(directory: &Directory, id: GroupId) {
    let all = "INSERT OR IGNORE INTO member (grp, user) SELECT ?, id FROM user";
    directory
        .sql()
        .exec(all, &[id.as_bytes().into()])
        .expect("writes");
}

#[test]
fn a_group_of_too_many_is_answered_without_them_and_changed_all_the_same() {
    let directory = staff(&[]);
    let most = usize::try_from(MAX_LISTED).expect("fits");
    fill(&directory, most);
    fill_group(&directory, STAFF);
    let too_many = |reply: ReadReply| matches!(reply, Err(ScimError::TooMany(_)));
    assert!(too_many(read(
        &directory,
        Target::Group(STAFF),
        View::default()
    )));
    assert!(read(&directory, Target::Group(STAFF), without("members")).is_ok());
    assert!(list(&directory, Searched::Groups, Asked::default()).is_err());
    assert!(list(&directory, Searched::Groups, by_filter("members pr")).is_err());
    let such = json!([{"op": "remove", "path": "members[value sw \"x\"]"}]);
    assert!(matches!(
        refused(patch(&directory, &such)),
        ScimError::TooMany(_)
    ));
    let remove = json!([{"op": "remove", "path": "members", "value": named(&[ALICE])}]);
    let shown = done(patch(&directory, &remove));
    assert!(shown.get("members").is_none());
    let more = [numbered(0), numbered(1)];
    let remove = json!([{"op": "remove", "path": "members", "value": named(&more)}]);
    assert_eq!(
        values(&done(patch(&directory, &remove)), "members").len(),
        most
    );
    // A page ends where it would have too many, and the next goes on there.
    let other = GroupId::from_bytes([8; 16]);
    done(made(
        &directory,
        other,
        &json!({"displayName": "a", "members": named(&[BOB])}),
    ));
    let page = |start: &str| {
        let start_index = Some(start.to_owned());
        let asked = Asked {
            start_index,
            ..Asked::default()
        };
        list(&directory, Searched::Groups, asked).expect("is answered")
    };
    let (total, first) = page("1");
    assert_eq!(
        (total, first.len(), &first[0]["displayName"]),
        (2, 1, &json!("a"))
    );
    assert_eq!(page("2").1[0]["displayName"], "Staff");
}

#[test]
fn what_would_look_at_too_many_groups_is_refused_and_what_an_index_finds_is_not() {
    let directory = staff(&[ALICE]);
    let more = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
         INSERT INTO scim_group (id, display_name, folded_name, attributes, created, modified, version) \
         SELECT randomblob(16), 'g' || i, 'g' || i, '{}', 1, 1, 1 FROM n";
    directory
        .sql()
        .exec(more, &[MAX_LOOKED_AT.into()])
        .expect("writes");
    let is_too_many = |filter: &str| {
        let reply = list(&directory, Searched::Groups, by_filter(filter));
        matches!(reply, Err(ScimError::TooMany(_)))
    };
    assert!(is_too_many("displayName co \"x\"") && is_too_many("members pr"));
    let by_member = by_filter(&format!("members eq \"{}\"", ALICE.to_text()));
    assert_eq!(found(&directory, Searched::Groups, by_member), ["Staff"]);
    let by_name = by_filter("displayName eq \"G7\"");
    assert_eq!(found(&directory, Searched::Groups, by_name), ["g7"]);
}
