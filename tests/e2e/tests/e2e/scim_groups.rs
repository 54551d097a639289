//! Groups over SCIM (RFC 7643 section 4.2), as providers push them.

use crate::scim::{expect_error, expect_too_long, somebody};
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::Response;
use portcullis_e2e::json::text;
use portcullis_e2e::people::Site;
use portcullis_e2e::scim::{Scim, group};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn some_group() -> Result<String> {
    Ok(format!("group-{}", random_text()?))
}

fn get(scim: &Scim, path: &str) -> Result<Response> {
    scim.request("GET", path).send()
}

fn read(scim: &Scim, path: &str) -> Result<Value> {
    get(scim, path)?.expect(200)?.json()
}

fn members(scim: &Scim, id: &str) -> Result<BTreeSet<String>> {
    Ok(values(&read(scim, &format!("/Groups/{id}"))?, "members"))
}

fn values(resource: &Value, of: &str) -> BTreeSet<String> {
    let list = resource[of].as_array().into_iter().flatten();
    list.filter_map(|one| one["value"].as_str().map(str::to_owned))
        .collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn people(scim: &Scim, count: usize) -> Result<Vec<String>> {
    (0..count).map(|_| scim.provision(&somebody()?)).collect()
}

fn search(scim: &Scim, path: &str, filter: &str) -> Result<Value> {
    let body = json!({ "filter": filter });
    scim.with_body("POST", path, &body)
        .send()?
        .expect(200)?
        .json()
}

#[test]
fn a_group_is_pushed_renamed_filled_and_deleted() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let (alice, bob) = (scim.provision(&somebody()?)?, scim.provision(&somebody()?)?);
    let name = some_group()?;
    let mut body = group(&name, &[&alice]);
    body["members"][0]["display"] = json!("alice@x.example");
    let created = scim
        .with_body("POST", "/Groups", &body)
        .send()?
        .expect(201)?;
    let made = created.json()?;
    let id = text(&made, "id")?;
    let location = format!("{}/scim/v2/Groups/{id}", site.endpoints().service);
    assert_eq!(created.header("location"), Some(location.as_str()));
    assert_eq!(created.header("etag"), made["meta"]["version"].as_str());
    assert_eq!(made["meta"]["location"], location.as_str());
    assert_eq!(made["members"][0]["type"], "User");
    let user = format!("{}/scim/v2/Users/{alice}", site.endpoints().service);
    assert_eq!(made["members"][0]["$ref"], user.as_str());
    assert_eq!(read(scim, &format!("/Groups/{id}"))?, made);

    let of_alice = read(scim, &format!("/Users/{alice}"))?;
    let expected = json!([{ "value": id, "$ref": location, "display": name, "type": "direct" }]);
    assert_eq!(of_alice["groups"], expected);

    let renamed = some_group()?;
    let rename = json!([{ "op": "replace", "value": { "id": id, "displayName": renamed } }]);
    scim.patch_group(id, &rename)?.expect(204)?;
    let moved = json!([
        { "op": "remove", "path": format!("members[value eq \"{alice}\"]") },
        { "op": "add", "path": "members", "value": [{ "value": bob, "display": "bob" }] },
    ]);
    let answer = scim.patch_group(id, &moved)?.expect(204)?;
    assert!(answer.header("etag").is_some() && answer.body.is_empty());
    let now = read(scim, &format!("/Groups/{id}"))?;
    assert_eq!(now["displayName"], renamed.as_str());
    assert_eq!(values(&now, "members"), set(&[&bob]));
    let of_alice = read(scim, &format!("/Users/{alice}"))?;
    assert!(of_alice.get("groups").is_none(), "{of_alice}");

    let whole = group(&renamed, &[&alice, &bob]);
    let path = format!("/Groups/{id}");
    let put = scim.with_body("PUT", &path, &whole).send()?.expect(200)?;
    assert_eq!(values(&put.json()?, "members"), set(&[&alice, &bob]));
    scim.request("DELETE", &path).send()?.expect(204)?;
    expect_error(&get(scim, &path)?, 404, None)?;
    let of_bob = read(scim, &format!("/Users/{bob}"))?;
    assert!(of_bob.get("groups").is_none(), "{of_bob}");
    Ok(())
}

#[test]
fn entra_reads_groups_without_their_members_and_changes_them_one_by_one() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let all = people(scim, 3)?;
    let name = some_group()?;
    let id = scim.push_group(&name, &[])?;
    for user in &all {
        let value = json!([{ "$ref": null, "value": user }]);
        let add = json!([{ "op": "Add", "path": "members", "value": value }]);
        scim.patch_group(&id, &add)?.expect(204)?;
    }
    let bare = read(scim, &format!("/Groups/{id}?excludedAttributes=members"))?;
    assert!(bare.get("members").is_none() && bare["displayName"] == name.as_str());
    let query = format!(
        "/Groups?excludedAttributes=members&filter=displayName%20eq%20%22{}%22",
        name.to_uppercase()
    );
    let list = read(scim, &query)?;
    assert_eq!(
        (&list["totalResults"], &list["Resources"][0]),
        (&json!(1), &bare)
    );
    let value = json!([{ "$ref": null, "value": all[1] }]);
    let remove = json!([{ "op": "Remove", "path": "members", "value": value }]);
    scim.patch_group(&id, &remove)?.expect(204)?;
    assert_eq!(members(scim, &id)?, set(&[&all[0], &all[2]]));
    let is_in = |user: &str| {
        let filter = format!("id eq \"{id}\" and members eq \"{user}\"");
        search(scim, "/Groups/.search", &filter)
    };
    assert_eq!(is_in(&all[0])?["totalResults"], 1);
    assert_eq!(is_in(&all[1])?["totalResults"], 0);
    Ok(())
}

#[test]
fn what_is_no_group_is_refused_and_changes_nothing() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let user = scim.provision(&somebody()?)?;
    let name = some_group()?;
    let id = scim.push_group(&name, &[&user])?;
    let post = |body: &Value| scim.with_body("POST", "/Groups", body).send();
    expect_error(
        &post(&group(&name.to_uppercase(), &[]))?,
        409,
        Some("uniqueness"),
    )?;
    for body in [
        json!({}),
        json!({ "displayName": "" }),
        group(&some_group()?, &[&id]),
        group(&some_group()?, &["nobody"]),
        json!({ "displayName": some_group()?, "members": [{ "value": user, "type": "Group" }] }),
        json!({ "displayName": some_group()?, "members": [{ "display": "x" }] }),
    ] {
        expect_error(&post(&body)?, 400, Some("invalidValue"))?;
    }
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "nobody" }] }]);
    expect_error(&scim.patch_group(&id, &add)?, 400, Some("invalidValue"))?;
    let unnamed = json!([{ "op": "remove", "path": "displayName" }]);
    expect_error(&scim.patch_group(&id, &unnamed)?, 400, Some("mutability"))?;
    let member = json!([{ "op": "replace", "path": format!("members[value eq \"{user}\"].value"), "value": "x" }]);
    expect_error(&scim.patch_group(&id, &member)?, 400, Some("mutability"))?;
    assert_eq!(members(scim, &id)?, set(&[&user]));
    for path in ["/Groups/x", &format!("/Groups/{user}")] {
        expect_error(&get(scim, path)?, 404, None)?;
        expect_error(&scim.request("DELETE", path).send()?, 404, None)?;
    }
    // A group's body may be longer than others', and is bounded all the same.
    let mut long = group(&some_group()?, &[]);
    long["padding"] = json!("x".repeat(200_000));
    scim.with_body("POST", "/Groups", &long)
        .send()?
        .expect(201)?;
    long["padding"] = json!("x".repeat(1_100_000));
    expect_too_long(|| post(&long))
}

#[test]
fn a_change_of_a_group_rests_on_its_version_and_answers_what_is_asked_for() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let user = scim.provision(&somebody()?)?;
    let id = scim.push_group(&some_group()?, &[])?;
    let path = format!("/Groups/{id}");
    let old = get(scim, &path)?.expect(200)?;
    let old = old.header("etag").unwrap_or_default();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "add", "path": "members", "value": [{ "value": user }] }],
    });
    let asked = format!("{path}?attributes=members.value");
    let changed = scim
        .with_body("PATCH", &asked, &body)
        .header("if-match", old)
        .send()?
        .expect(200)?;
    let shown = changed.json()?;
    assert_eq!(shown["members"], json!([{ "value": user }]));
    assert!(shown.get("displayName").is_none() && shown.get("meta").is_none());
    let stale = scim
        .with_body("PATCH", &path, &body)
        .header("if-match", old)
        .send()?;
    expect_error(&stale, 412, None)?;
    let new = changed.header("etag").unwrap_or_default();
    let known = scim
        .request("GET", &path)
        .header("if-none-match", new)
        .send()?;
    assert_eq!(known.status, 304);
    Ok(())
}

#[test]
fn a_deleted_user_leaves_their_groups() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let (gone, stays) = (scim.provision(&somebody()?)?, scim.provision(&somebody()?)?);
    let id = scim.push_group(&some_group()?, &[&gone, &stays])?;
    let before = read(scim, &format!("/Groups/{id}"))?;
    scim.delete(&gone)?.expect(204)?;
    let after = read(scim, &format!("/Groups/{id}"))?;
    assert_eq!(values(&after, "members"), set(&[&stays]));
    assert_ne!(after["meta"]["version"], before["meta"]["version"]);
    Ok(())
}

#[test]
fn one_search_finds_users_and_groups() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let (name, of) = (somebody()?, some_group()?);
    let user = scim.provision(&name)?;
    let id = scim.push_group(&of, &[&user])?;
    let list = search(
        scim,
        "/.search",
        &format!("id eq \"{user}\" or id eq \"{id}\""),
    )?;
    let ids: Vec<&str> = list["Resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert_eq!(ids, [user.as_str(), id.as_str()], "{list}");
    let by_member = search(
        scim,
        "/Groups/.search",
        &format!("members[value eq \"{user}\"]"),
    )?;
    assert_eq!(by_member["Resources"][0]["displayName"], of.as_str());
    let by_group = search(scim, "/Users/.search", &format!("groups.value eq \"{id}\""))?;
    assert_eq!(by_group["Resources"][0]["userName"], name.as_str());
    let unknown = json!({ "filter": "nonsense pr" });
    let refused = scim.with_body("POST", "/.search", &unknown).send()?;
    expect_error(&refused, 400, Some("invalidFilter"))
}

#[test]
fn every_change_of_a_group_is_in_the_log() -> Result {
    let site = Site::any()?;
    let scim = &site.scim;
    let user = scim.provision(&somebody()?)?;
    let name = some_group()?;
    let id = scim.push_group(&name, &[])?;
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": user }] }]);
    scim.patch_group(&id, &add)?.expect(204)?;
    // Again: nothing changes, and nothing is logged.
    scim.patch_group(&id, &add)?.expect(204)?;
    let rename = json!([{ "op": "replace", "path": "displayName", "value": some_group()? }]);
    scim.patch_group(&id, &rename)?.expect(204)?;
    scim.request("DELETE", &format!("/Groups/{id}"))
        .send()?
        .expect(204)?;
    let path = format!("/scim/v2/Groups/{id}");
    let reasons = until("the changes of the group in the log", || {
        let events = site.api.events("action=scim.changed")?;
        let of_group = events
            .iter()
            .filter(|event| event["request"]["path"] == path.as_str());
        let reasons: Vec<String> = of_group
            .filter_map(|event| event["reason"].as_str().map(str::to_owned))
            .collect();
        Ok((reasons.len() >= 3).then_some(reasons))
    })?;
    let expected = ["group_members_changed", "group_renamed", "group_deleted"];
    if reasons != expected {
        return Err(Failure::new(format!("{reasons:?}")));
    }
    Ok(())
}
