//! Bulk over SCIM (RFC 7644 section 3.7): references, limits, and what a crash in the middle leaves.

use crate::scim::{expect_error, expect_too_long, somebody};
use crate::triggers::at_the_gateway;
use portcullis_e2e::api::Api;
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::Response;
use portcullis_e2e::json::text;
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::scim::{Scim, group, user};
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::thread;

const REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

fn send(scim: &Scim, operations: &Value) -> Result<Response> {
    let body = json!({ "schemas": [REQUEST], "Operations": operations });
    scim.with_body("POST", "/Bulk", &body).send()
}

fn post(bulk_id: &str, path: &str, data: &Value) -> Value {
    json!({ "method": "POST", "bulkId": bulk_id, "path": path, "data": data })
}

fn statuses(answer: &Value) -> Vec<&str> {
    let operations = answer["Operations"].as_array().into_iter().flatten();
    operations
        .filter_map(|one| one["status"].as_str())
        .collect()
}

fn read(scim: &Scim, path: &str) -> Result<Value> {
    scim.request("GET", path).send()?.expect(200)?.json()
}

/// The last part of where something is.
fn id_at(location: &Value) -> &str {
    let location = location.as_str().unwrap_or_default();
    location.rsplit('/').next().unwrap_or_default()
}

#[test]
fn users_and_their_group_are_made_in_one_request_in_any_order() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let (ada, bob) = (somebody()?, somebody()?);
    let name = format!("group-{}", random_text()?);
    let rename = json!({ "Operations": [{ "op": "replace", "path": "title", "value": "t" }] });
    let operations = json!([
        post("g", "/Groups", &group(&name, &["bulkId:a", "bulkId:b"])),
        post("a", "/Users", &user(&ada, true)),
        post("b", "/Users", &user(&bob, true)),
        { "method": "PATCH", "path": "/Users/bulkId:a", "data": rename },
        post("c", "/Users", &user(&ada.to_uppercase(), true)),
        { "method": "DELETE", "path": "/Users/nobody" },
    ]);
    let response = send(scim, &operations)?.expect(200)?;
    let media_type = response.header("content-type").unwrap_or_default();
    assert!(
        media_type.starts_with("application/scim+json"),
        "{media_type}"
    );
    let answer = response.json()?;
    assert_eq!(answer["schemas"], json!([RESPONSE]));
    assert_eq!(
        statuses(&answer),
        ["201", "201", "201", "200", "409", "404"]
    );
    let ids: Vec<&str> = answer["Operations"]
        .as_array()
        .into_iter()
        .flatten()
        .take(3)
        .map(|one| id_at(&one["location"]))
        .collect();
    let made = read(scim, &format!("/Groups/{}", ids[0]))?;
    assert_eq!(made["displayName"], name.as_str());
    let members: BTreeSet<&str> = made["members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["value"].as_str())
        .collect();
    assert_eq!(members, BTreeSet::from([ids[1], ids[2]]));
    let of_ada = read(scim, &format!("/Users/{}", ids[1]))?;
    assert_eq!(of_ada["title"], "t");
    assert_eq!(
        answer["Operations"][3]["version"],
        of_ada["meta"]["version"]
    );
    assert_eq!(
        answer["Operations"][4]["response"]["scimType"],
        "uniqueness"
    );
    Ok(())
}

#[test]
fn a_bulk_stops_after_as_many_errors_as_it_says() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let (known, other) = (somebody()?, somebody()?);
    scim.provision(&known)?;
    let body = json!({
        "schemas": [REQUEST],
        "failOnErrors": 1,
        "Operations": [
            post("a", "/Users", &user(&known, true)),
            post("b", "/Users", &user(&other, true)),
        ],
    });
    let answer = scim.with_body("POST", "/Bulk", &body).send()?.expect(200)?;
    assert_eq!(statuses(&answer.json()?), ["409"]);
    let found = scim.find(&format!("userName eq \"{other}\""))?.json()?;
    assert_eq!(found["totalResults"], 0);
    Ok(())
}

#[test]
fn a_bulk_is_as_large_as_the_service_says_and_no_larger() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let config = read(scim, "/ServiceProviderConfig")?;
    let bulk = &config["bulk"];
    assert_eq!(
        bulk,
        &json!({ "supported": true, "maxOperations": 1000, "maxPayloadSize": 1_048_576 })
    );
    let one = json!({ "method": "DELETE", "path": "/Users/nobody" });
    expect_error(&send(scim, &json!(vec![&one; 1001]))?, 413, None)?;
    let long = json!([{ "method": "DELETE", "path": "/Users/nobody", "x": "x".repeat(1_050_000) }]);
    expect_too_long(|| send(scim, &long))?;
    expect_error(&send(scim, &json!([]))?, 400, Some("invalidSyntax"))?;
    let answer = send(scim, &json!(vec![&one; 1000]))?.expect(200)?.json()?;
    assert_eq!(statuses(&answer).len(), 1000);
    Ok(())
}

#[test]
fn who_is_deactivated_in_a_bulk_is_out_when_it_is_answered() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let tokens = person.app.log_in(person.name)?;
    at_the_gateway(&person, &tokens)?.expect(200)?;
    let out = json!({ "Operations": [{ "op": "replace", "value": { "active": false } }] });
    let operations = json!([
        { "method": "PATCH", "path": format!("/Users/{id}"), "data": out },
        post("a", "/Users", &user(&somebody()?, true)),
    ]);
    let answer = send(&person.scim, &operations)?.expect(200)?.json()?;
    assert_eq!(statuses(&answer), ["200", "201"]);
    at_the_gateway(&person, &tokens)?.expect(401)?;
    person.api.expect_denied(&tokens, "subject_disabled")
}

#[test]
fn two_bulks_at_once_do_not_mix_up() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let bulk = |name: &str| {
        let members: Vec<String> = (0..30).map(|at| format!("bulkId:{at}")).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let mut operations = vec![post("g", "/Groups", &group(name, &members))];
        for at in 0..30 {
            let named = user(&format!("{name}-{at}"), true);
            operations.push(post(&at.to_string(), "/Users", &named));
        }
        send(scim, &json!(operations))?.expect(200)?.json()
    };
    let names = [somebody()?, somebody()?];
    let answers = thread::scope(|scope| {
        let both: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(|| bulk(name)))
            .collect();
        both.into_iter()
            .map(|one| one.join().map_err(|_| Failure::new("a panic"))?)
            .collect::<Result<Vec<Value>>>()
    })?;
    for (name, answer) in names.iter().zip(&answers) {
        assert_eq!(statuses(answer), ["201"; 31], "{answer}");
        let id = id_at(&answer["Operations"][0]["location"]);
        let members = read(scim, &format!("/Groups/{id}"))?;
        let members = members["members"].as_array().cloned().unwrap_or_default();
        let own = members.iter().filter(|one| {
            let display = one["display"].as_str().unwrap_or_default();
            display.starts_with(&format!("{name}-"))
        });
        assert_eq!((own.count(), members.len()), (30, 30));
    }
    Ok(())
}

/// A group and as many users, in one request.
fn many(count: usize) -> Value {
    let members: Vec<String> = (0..count).map(|at| format!("bulkId:{at}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let users = (0..count).map(|at| {
        let name = user(&format!("bulk-{at}"), true);
        post(&at.to_string(), "/Users", &name)
    });
    let mut operations: Vec<Value> = users.collect();
    operations.push(post("g", "/Groups", &group("Everybody", &members)));
    json!(operations)
}

fn count(scim: &Scim, path: &str) -> Result<usize> {
    let list = read(scim, &format!("{path}?count=0"))?;
    let total = list["totalResults"].as_u64().unwrap_or_default();
    Ok(usize::try_from(total)?)
}

#[test]
fn a_bulk_that_a_crash_interrupts_is_finished_and_each_operation_once() -> Result {
    const USERS: usize = 400;
    let mut stack = Stack::start_with(&Settings::default())?;
    let scim = Scim::new(&stack.at);
    let (answered, at_the_crash) = thread::scope(|scope| {
        let sent = scope.spawn(|| send(&scim, &many(USERS)).is_ok());
        // Others are answered meanwhile: this asks the same directory.
        let reached = until("a bulk that is on its way", || {
            let reached = count(&scim, "/Users")?;
            Ok((reached >= 20).then_some(reached))
        });
        stack.kill_hard()?;
        let answered = sent.join().map_err(|_| Failure::new("a panic"))?;
        Ok::<_, Failure>((answered, reached?))
    })?;
    assert!(
        !answered && at_the_crash < USERS,
        "{at_the_crash} were there"
    );
    stack.restart(&Settings::default())?;
    // The alarm goes on: nobody sends anything again.
    until("the rest of the bulk", || {
        Ok((count(&scim, "/Groups")? == 1).then_some(()))
    })?;
    assert_eq!(count(&scim, "/Users")?, USERS);
    let found = scim.list("filter=userName%20sw%20%22bulk-%22&count=0")?;
    assert_eq!(found.expect(200)?.json()?["totalResults"], USERS);
    let everybody = read(&scim, "/Groups?filter=displayName%20eq%20%22everybody%22")?;
    let members = everybody["Resources"][0]["members"].as_array();
    assert_eq!(members.map_or(0, Vec::len), USERS);
    // Each is in the log once: what could come again has had its chance when something newer is there.
    let api = Api::new(&stack.at);
    scim.provision("last")?;
    let events = until("every change in the log", || {
        let events = api.events("action=scim.changed")?;
        Ok((events.len() >= USERS + 2).then_some(events))
    })?;
    let identities: BTreeSet<String> = events
        .iter()
        .map(|event| format!("{} {}", event["producer"], event["sequence"]))
        .collect();
    assert_eq!((events.len(), identities.len()), (USERS + 2, USERS + 2));
    // And nothing is left to be done.
    let again = send(
        &scim,
        &json!([{ "method": "DELETE", "path": "/Users/nobody" }]),
    )?;
    assert_eq!(statuses(&again.expect(200)?.json()?), ["404"]);
    Ok(())
}

#[test]
fn entra_adds_two_thousand_members_at_once_and_removes_them() -> Result {
    let stack = Stack::start_with(&Settings::default())?;
    let scim = Scim::new(&stack.at);
    let mut ids = Vec::new();
    for half in 0..2 {
        let users = (0..1000).map(|at| {
            let name = user(&format!("many-{half}-{at}"), true);
            post(&at.to_string(), "/Users", &name)
        });
        let operations: Vec<Value> = users.collect();
        let answer = send(&scim, &json!(operations))?.expect(200)?.json()?;
        let made = answer["Operations"].as_array().into_iter().flatten();
        ids.extend(made.map(|one| id_at(&one["location"]).to_owned()));
    }
    let id = scim.push_group("Everybody", &[])?;
    let value: Value = ids
        .iter()
        .map(|id| json!({ "$ref": null, "value": id }))
        .collect();
    let add = json!([{ "op": "Add", "path": "members", "value": value }]);
    scim.patch_group(&id, &add)?.expect(204)?;
    let whole = read(&scim, &format!("/Groups/{id}"))?;
    assert_eq!(whole["members"].as_array().map_or(0, Vec::len), 2000);
    let bare = read(&scim, &format!("/Groups/{id}?excludedAttributes=members"))?;
    assert!(bare.get("members").is_none());
    let one = text(&whole["members"][0], "value")?;
    let some = read(&scim, &format!("/Users/{one}"))?;
    assert_eq!(some["groups"][0]["display"], "Everybody");
    let remove = json!([{ "op": "Remove", "path": "members", "value": value }]);
    scim.patch_group(&id, &remove)?.expect(204)?;
    let emptied = read(&scim, &format!("/Groups/{id}"))?;
    assert!(emptied.get("members").is_none());
    Ok(())
}
