//! Groups and their members over SCIM.

mod lists;
mod providers;
mod whole;

use super::{ALICE, ask, create, delete, with_alice};
use crate::objects::directory::service::DirectoryService;
use crate::objects::host_sql::HostSql;
use crate::objects::outbox::Producer;
use crate::objects::sql::Sql;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{
    ReadReply, ReadResource, SearchResources, Searched, Target, View, Write, WriteReply,
    WriteResource,
};
use portcullis_core::scim::group::GroupId;
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::user::UserId;
use serde_json::{Value, json};
use std::collections::BTreeSet;

type Directory = DirectoryService<HostSql>;

const STAFF: GroupId = GroupId::from_bytes([9; 16]);

const BOB: UserId = UserId::from_bytes([2; 16]);

const CAROL: UserId = UserId::from_bytes([3; 16]);

fn people() -> Directory {
    let directory = with_alice();
    for (id, name) in [(BOB, "bob"), (CAROL, "carol")] {
        let created = create(&directory, id, &json!({"userName": name}).to_string());
        assert!(matches!(created, Some(Ok(_))));
    }
    directory
}

fn write(directory: &Directory, target: Target, change: Write) -> Option<WriteReply> {
    let write = WriteResource {
        target,
        change,
        if_match: None,
        if_none_match: None,
        view: Some(View::default()),
    };
    ask(directory, write)
}

fn made(directory: &Directory, id: GroupId, body: &Value) -> Option<WriteReply> {
    write(
        directory,
        Target::Group(id),
        Write::Create(body.to_string()),
    )
}

fn put(directory: &Directory, body: &Value) -> Option<WriteReply> {
    write(
        directory,
        Target::Group(STAFF),
        Write::Replace(body.to_string()),
    )
}

fn patch(directory: &Directory, operations: &Value) -> Option<WriteReply> {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": operations,
    });
    write(
        directory,
        Target::Group(STAFF),
        Write::Patch(body.to_string()),
    )
}

fn done(reply: Option<WriteReply>) -> Value {
    let written = reply.expect("answers").expect("is done");
    let resource = written.resource.expect("there");
    serde_json::from_str(&resource.resource.expect("shown")).expect("JSON")
}

fn refused(reply: Option<WriteReply>) -> ScimError {
    reply.expect("answers").expect_err("is refused")
}

fn read(directory: &Directory, target: Target, view: View) -> ReadReply {
    ask(directory, ReadResource { target, view }).expect("answers")
}

fn shown(directory: &Directory, target: Target) -> Value {
    let resource = read(directory, target, View::default()).expect("there");
    serde_json::from_str(&resource.resource.expect("shown")).expect("JSON")
}

fn without(name: &str) -> View {
    View {
        attributes: None,
        excluded_attributes: Some(name.into()),
    }
}

fn version(directory: &Directory) -> u64 {
    let read = read(directory, Target::Group(STAFF), without("members"));
    read.expect("there").version
}

fn values(resource: &Value, of: &str) -> BTreeSet<String> {
    let list = resource[of].as_array().cloned().unwrap_or_default();
    let values = list
        .iter()
        .map(|one| one["value"].as_str().expect("text").to_owned());
    let distinct: BTreeSet<String> = values.collect();
    assert_eq!(distinct.len(), list.len(), "each once");
    distinct
}

fn members(directory: &Directory) -> BTreeSet<String> {
    values(&shown(directory, Target::Group(STAFF)), "members")
}

fn ids(ids: &[UserId]) -> BTreeSet<String> {
    ids.iter().map(|id| id.to_text()).collect()
}

fn named(ids: &[UserId]) -> Value {
    ids.iter()
        .map(|id| json!({"value": id.to_text()}))
        .collect()
}

fn staff(of: &[UserId]) -> Directory {
    let directory = people();
    let body = json!({"displayName": "Staff", "externalId": "e", "members": named(of)});
    done(made(&directory, STAFF, &body));
    directory
}

fn reasons(directory: &Directory) -> Vec<String> {
    let packs = directory.waiting().expect("reads");
    let events = packs.into_iter().flat_map(|pack| pack.events);
    let reasons = events.filter_map(|event| event.reason);
    reasons
        .filter(|reason| reason.starts_with("group"))
        .collect()
}

fn list(directory: &Directory, of: Searched, asked: Asked) -> Result<(u64, Vec<Value>), ScimError> {
    let found = ask(directory, SearchResources { of, asked }).expect("answers")?;
    let parsed = found
        .resources
        .iter()
        .map(|one| serde_json::from_str(one).expect("JSON"));
    Ok((found.total, parsed.collect()))
}

/// What names those that are found, of which there are no more.
fn found(directory: &Directory, of: Searched, asked: Asked) -> Vec<String> {
    let (total, resources) = list(directory, of, asked).expect("is answered");
    assert_eq!(total, resources.len() as u64);
    let name = |one: &Value| {
        one["displayName"]
            .as_str()
            .or(one["userName"].as_str())
            .map(str::to_owned)
    };
    resources.iter().filter_map(name).collect()
}

fn by_filter(filter: &str) -> Asked {
    Asked {
        filter: Some(filter.into()),
        ..Asked::default()
    }
}

#[test]
fn a_group_says_who_belongs_to_it_and_a_user_to_what() {
    let directory = staff(&[ALICE, BOB]);
    let group = shown(&directory, Target::Group(STAFF));
    assert_eq!(group["displayName"], "Staff");
    assert_eq!(group["externalId"], "e");
    assert_eq!(group["meta"]["resourceType"], "Group");
    let url = format!("http://s/Groups/{}", STAFF.to_text());
    assert_eq!(group["meta"]["location"], url.as_str());
    let alice = json!({
        "value": ALICE.to_text(), "$ref": format!("http://s/Users/{}", ALICE.to_text()),
        "display": "alice", "type": "User",
    });
    assert_eq!(group["members"][0], alice);
    let user = shown(&directory, Target::User(ALICE));
    let of_user = json!([{
        "value": STAFF.to_text(), "$ref": url, "display": "Staff", "type": "direct",
    }]);
    assert_eq!(user["groups"], of_user);
    assert!(
        shown(&directory, Target::User(CAROL))
            .get("groups")
            .is_none()
    );
}

#[test]
fn members_that_nobody_wants_to_see_are_not_read() {
    let directory = staff(&[ALICE]);
    directory
        .sql()
        .exec("DROP TABLE member", &[])
        .expect("drops");
    let group = read(&directory, Target::Group(STAFF), without("members"));
    let group = group.expect("there").resource.expect("shown");
    assert!(
        group.contains("Staff") && !group.contains("members"),
        "{group}"
    );
    let user = read(&directory, Target::User(ALICE), without("groups"));
    assert!(user.is_ok());
    let asked = |excluded: &str| Asked {
        excluded_attributes: Some(excluded.into()),
        ..Asked::default()
    };
    assert_eq!(
        found(&directory, Searched::Groups, asked("members")),
        ["Staff"]
    );
    assert_eq!(found(&directory, Searched::Users, asked("groups")).len(), 3);
    let whole = ask(
        &directory,
        ReadResource {
            target: Target::Group(STAFF),
            view: View::default(),
        },
    );
    assert_eq!(whole, None);
}

#[test]
fn only_users_of_the_directory_are_members_each_once() {
    let directory = staff(&[ALICE]);
    let stranger = UserId::from_bytes([7; 16]);
    let before = (shown(&directory, Target::Group(STAFF)), reasons(&directory));
    for value in [
        json!([{"value": stranger.to_text()}]),
        json!([{"value": ALICE.to_text()}, {"value": stranger.to_text()}]),
        json!([{"value": STAFF.to_text()}]),
        json!([{"value": "x"}]),
        json!([{"value": STAFF.to_text(), "type": "Group"}]),
        json!([{"value": ""}]),
        json!([{"display": "alice"}]),
    ] {
        let add = json!([{"op": "add", "path": "members", "value": value}]);
        let error = refused(patch(&directory, &add));
        assert!(
            matches!(error, ScimError::InvalidValue(_)),
            "{value}: {error:?}"
        );
        let error = refused(put(
            &directory,
            &json!({"displayName": "x", "members": value}),
        ));
        assert!(
            matches!(error, ScimError::InvalidValue(_)),
            "{value}: {error:?}"
        );
        let other = GroupId::from_bytes([8; 16]);
        let body = json!({"displayName": "y", "members": value});
        assert!(matches!(
            refused(made(&directory, other, &body)),
            ScimError::InvalidValue(_)
        ));
    }
    assert_eq!(
        (shown(&directory, Target::Group(STAFF)), reasons(&directory)),
        before
    );
    let twice = json!([{"op": "add", "path": "members", "value": named(&[BOB, BOB, ALICE])}]);
    assert_eq!(
        values(&done(patch(&directory, &twice)), "members"),
        ids(&[ALICE, BOB])
    );
    // Whoever is no member, or nobody, need not be removed.
    let gone = json!([{"op": "remove", "path": "members", "value": named(&[stranger, CAROL])},
        {"op": "remove", "path": "members", "value": [{"value": "x"}]}]);
    assert_eq!(
        values(&done(patch(&directory, &gone)), "members"),
        ids(&[ALICE, BOB])
    );
}

#[test]
fn names_of_groups_are_unique_whatever_their_case() {
    let directory = staff(&[]);
    let other = GroupId::from_bytes([8; 16]);
    let taken = ScimError::Taken("displayName".into());
    assert_eq!(
        refused(made(&directory, other, &json!({"displayName": "STAFF"}))),
        taken
    );
    done(made(&directory, other, &json!({"displayName": "Crew"})));
    assert_eq!(
        refused(put(&directory, &json!({"displayName": "crew"}))),
        taken
    );
    let rename = json!([{"op": "replace", "path": "displayName", "value": "CREW"}]);
    assert_eq!(refused(patch(&directory, &rename)), taken);
    let own = done(put(&directory, &json!({"displayName": "STAFF"})));
    assert_eq!(own["displayName"], "STAFF");
}

#[test]
fn what_changes_nothing_of_a_group_keeps_its_version_and_is_no_event() {
    let directory = staff(&[ALICE]);
    let before = (shown(&directory, Target::Group(STAFF)), reasons(&directory));
    patch(
        &directory,
        &json!([
            {"op": "add", "path": "members", "value": named(&[ALICE, BOB])},
            {"op": "remove", "path": "members", "value": named(&[BOB])},
            {"op": "replace", "path": "displayName", "value": "Staff"},
        ]),
    );
    put(
        &directory,
        &json!({"displayName": "Staff", "externalId": "e", "members": named(&[ALICE])}),
    );
    assert_eq!(
        (shown(&directory, Target::Group(STAFF)), reasons(&directory)),
        before
    );
    let mut versions = vec![version(&directory)];
    for operation in [
        json!({"op": "add", "path": "members", "value": named(&[BOB])}),
        json!({"op": "remove", "path": "externalId"}),
        json!({"op": "replace", "path": "displayName", "value": "Crew"}),
    ] {
        patch(&directory, &json!([operation]));
        versions.push(version(&directory));
    }
    assert!(
        versions.is_sorted_by(|one, next| one < next),
        "{versions:?}"
    );
    let reasons = &reasons(&directory)[1..];
    assert_eq!(
        reasons,
        ["group_members_changed", "group_updated", "group_renamed"]
    );
}

#[test]
fn what_rests_on_another_version_of_a_group_is_not_done() {
    let directory = staff(&[ALICE]);
    let old = format!("W/\"{}\"", version(&directory));
    patch(
        &directory,
        &json!([{"op": "add", "path": "members", "value": named(&[BOB])}]),
    );
    let changed = |change: Write, if_match: &str| {
        let write = WriteResource {
            target: Target::Group(STAFF),
            change,
            if_match: Some(if_match.into()),
            if_none_match: None,
            view: None,
        };
        ask(&directory, write).expect("answers")
    };
    let remove = json!({"Operations": [{"op": "remove", "path": "members"}]}).to_string();
    let body = json!({"displayName": "x"}).to_string();
    for change in [Write::Patch(remove), Write::Replace(body), Write::Delete] {
        assert_eq!(changed(change, &old), Err(ScimError::PreconditionFailed));
    }
    assert_eq!(members(&directory), ids(&[ALICE, BOB]));
    let now = format!("W/\"{}\"", version(&directory));
    assert_eq!(
        changed(Write::Delete, &now).map(|gone| gone.resource),
        Ok(None)
    );
    assert_eq!(changed(Write::Delete, &now), Err(ScimError::NotFound));
}

#[test]
fn a_deleted_user_is_in_no_group_and_their_groups_have_changed() {
    let directory = staff(&[ALICE, BOB]);
    let before = version(&directory);
    assert_eq!(delete(&directory, ALICE), Some(Ok(())));
    assert_eq!(members(&directory), ids(&[BOB]));
    assert!(version(&directory) > before);
    // Nobody comes back into a group by an id.
    create(&directory, ALICE, r#"{"userName":"alice"}"#);
    assert_eq!(members(&directory), ids(&[BOB]));
}

#[test]
fn a_deleted_group_is_nobodys() {
    let directory = staff(&[ALICE]);
    let reply = write(&directory, Target::Group(STAFF), Write::Delete);
    assert_eq!(reply.expect("answers").map(|gone| gone.resource), Ok(None));
    assert!(
        shown(&directory, Target::User(ALICE))
            .get("groups")
            .is_none()
    );
    let gone = read(&directory, Target::Group(STAFF), View::default());
    assert_eq!(gone, Err(ScimError::NotFound));
    done(made(&directory, STAFF, &json!({"displayName": "Staff"})));
    assert_eq!(members(&directory), ids(&[]));
    assert_eq!(reasons(&directory)[1..], ["group_deleted", "group_created"]);
}

/// A user of many.
fn numbered(number: u64) -> UserId {
    let mut bytes = [200; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

/// Users without anything but a name, quickly.
fn fill(directory: &Directory, many: usize) {
    for number in 0..many as u64 {
        let name = format!("n{number}");
        directory
            .sql()
            .exec(
                "INSERT INTO user (id, user_name, folded_name, active, attributes, created, modified) \
                 VALUES (?, ?, ?, 1, '{}', 1, 1)",
                &[numbered(number).as_bytes().into(), name.as_str().into(), name.as_str().into()],
            )
            .expect("writes");
    }
}
