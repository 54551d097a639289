//! What a change over SCIM does to people, by the connection's policy: groups and roles lost and gained, values that
//! pass to others, seats, and jobs that carry out what the change of a group means, through crashes.

use portcullis_e2e::api::bearer;
use portcullis_e2e::app::{Tokens, claims};
use portcullis_e2e::connection::Connection;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::json::text;
use portcullis_e2e::oauth::{refresh, refresh_token};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::scim::{Scim, user};
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::thread;

/// Members of the group whose removal is interrupted.
const MEMBERS: usize = 300;

fn admin(service: &str, path: &str) -> Result<Value> {
    let url = format!("{service}/v1/connections/{path}");
    let answer = Request::get(url).bearer(bearer::ADMIN).send()?;
    answer.expect(200)?.json()
}

/// The job that an answer names.
#[track_caller]
fn job_of(answer: &Response) -> Result<String> {
    let job = answer.header("portcullis-job").map(str::to_owned);
    job.ok_or_else(|| answer.unexpected("a header Portcullis-Job"))
}

fn job(site: &Site, connection: &str, id: &str) -> Result<Value> {
    admin(
        &site.endpoints().service,
        &format!("{connection}/scim-jobs/{id}"),
    )
}

/// Waits until the job of that answer is finished.
#[track_caller]
fn carried_out(site: &Site, connection: &str, answer: &Response) -> Result<Value> {
    let id = job_of(answer)?;
    until("the job to be finished", || {
        let job = job(site, connection, &id)?;
        Ok(job["finished_at"].is_string().then_some(job))
    })
}

fn seats(site: &Site, connection: &str) -> Result<u64> {
    let seats = admin(&site.endpoints().service, &format!("{connection}/seats"))?;
    seats["used"]
        .as_u64()
        .ok_or_else(|| Failure::new(format!("{seats}")))
}

/// The values of a claim of the access token that a refresh brings.
#[track_caller]
fn refreshed(site: &Site, tokens: &Tokens, claim: &str) -> Result<(Tokens, Vec<String>)> {
    let answer = refresh(site.endpoints(), "demo-app", refresh_token(tokens))?;
    let tokens = Tokens::read(&answer.expect(200)?)?;
    let values = of_claim(&tokens, claim)?;
    Ok((tokens, values))
}

fn of_claim(tokens: &Tokens, claim: &str) -> Result<Vec<String>> {
    let claims = claims(&tokens.access)?;
    let values = claims[claim].as_array().cloned().unwrap_or_default();
    Ok(values
        .iter()
        .filter_map(|one| one.as_str().map(str::to_owned))
        .collect())
}

fn add(id: &str) -> Value {
    json!([{"op": "add", "path": "members", "value": [{"value": id}]}])
}

fn remove(id: &str) -> Value {
    json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}])
}

/// A group of the test's own.
fn a_group(scim: &Scim, members: &[&str]) -> Result<(String, String)> {
    let name = format!("g{}", &portcullis_e2e::app::random_text()?[..12]);
    let id = scim.push_group(&name, members)?;
    Ok((name, id))
}

#[test]
fn a_gained_group_shows_at_the_next_refresh_and_a_lost_one_ends_sessions() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let (name, group) = a_group(&person.scim, &[])?;
    let tokens = person.app.log_in(person.name)?;
    assert!(!of_claim(&tokens, "groups")?.contains(&name));
    let added = person.scim.patch_group(&group, &add(&id))?;
    let told = carried_out(&person, "demo", &added)?;
    assert_eq!(
        (&told["total"], &told["done"], &told["cause"]),
        (&json!(1), &json!(1), &Value::Null)
    );
    person.api.expect_active(&tokens)?;
    let (tokens, groups) = refreshed(&person, &tokens, "groups")?;
    assert!(groups.contains(&name), "{groups:?}");
    // A log-in says it, too.
    let another = person.app.log_in(person.name)?;
    assert!(of_claim(&another, "groups")?.contains(&name));

    let removed = person.scim.patch_group(&group, &remove(&id))?;
    let ended = carried_out(&person, "demo", &removed)?;
    assert_eq!(ended["cause"], "scim_group_lost");
    assert_eq!(
        (&ended["what"], &ended["group"]["name"]),
        (&json!("members"), &json!(name))
    );
    for tokens in [&tokens, &another] {
        person.api.expect_denied(tokens, "session_ended")?;
    }
    let refused = refresh(person.endpoints(), "demo-app", refresh_token(&tokens))?;
    assert_eq!(refused.status, 400);
    // They may log in again, without it.
    let again = person.app.log_in(person.name)?;
    assert!(!of_claim(&again, "groups")?.contains(&name));
    Ok(())
}

#[test]
fn a_renamed_group_and_a_deleted_one_are_lost_by_all_members() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let (name, group) = a_group(&person.scim, &[&id])?;
    let tokens = person.app.log_in(person.name)?;
    assert!(of_claim(&tokens, "groups")?.contains(&name));
    let new_name = format!("{name}-new");
    let rename = json!([{"op": "replace", "path": "displayName", "value": new_name}]);
    let renamed = person.scim.patch_group(&group, &rename)?;
    assert_eq!(carried_out(&person, "demo", &renamed)?["what"], "renamed");
    person.api.expect_denied(&tokens, "session_ended")?;
    let tokens = person.app.log_in(person.name)?;
    assert!(of_claim(&tokens, "groups")?.contains(&new_name));
    let deleted = person
        .scim
        .request("DELETE", &format!("/Groups/{group}"))
        .send()?
        .expect(204)?;
    assert_eq!(carried_out(&person, "demo", &deleted)?["what"], "deleted");
    person.api.expect_denied(&tokens, "session_ended")?;
    let all = admin(&person.endpoints().service, "demo/scim-jobs?limit=100")?;
    let whats: Vec<&Value> = all["jobs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|job| job["group"]["id"] == group.as_str())
        .map(|job| &job["what"])
        .collect();
    assert_eq!(
        whats[..2],
        [&json!("deleted"), &json!("renamed")],
        "newest first: {all}"
    );
    Ok(())
}

#[test]
fn a_lost_role_ends_sessions_and_a_gained_one_shows_at_the_next_refresh() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let tokens = person.app.log_in(person.name)?;
    let set = |roles: Value| {
        let operations = json!([{"op": "replace", "path": "roles", "value": roles}]);
        person.scim.patch(&id, &operations)?.expect(200)
    };
    set(json!([{"value": "reader"}, {"value": "writer"}]))?;
    person.api.expect_active(&tokens)?;
    let (tokens, _) = refreshed(&person, &tokens, "roles")?;
    set(json!([{"value": "reader"}]))?;
    person.api.expect_denied(&tokens, "session_ended")?;
    person.app.log_in(person.name)?;
    Ok(())
}

#[test]
fn where_a_connection_says_nothing_nobody_is_ended_and_tokens_follow_all_the_same() -> Result {
    let settings =
        json!({"subject_claim": "preferred_username", "scim": {"group_changes": "nothing"}});
    let connection = Connection::with(&settings)?;
    let said = json!({"preferred_username": "robin"});
    connection.upstream.claims("alice", &said)?;
    let made = connection
        .about("POST", "/scim-secrets", None)?
        .expect(201)?
        .json()?;
    let scim = Scim::at(text(&made, "scim_url")?, text(&made, "secret")?);
    let id = scim.provision("robin")?;
    let (name, group) = a_group(&scim, &[&id])?;
    let tokens = connection.log_in("alice")?;
    assert!(of_claim(&tokens, "groups")?.contains(&name));
    let removed = scim.patch_group(&group, &remove(&id))?;
    let told = carried_out(&connection, &connection.id, &removed)?;
    assert_eq!((&told["cause"], &told["total"]), (&Value::Null, &json!(1)));
    connection.api.expect_active(&tokens)?;
    let (tokens, groups) = refreshed(&connection, &tokens, "groups")?;
    assert!(!groups.contains(&name), "{groups:?}");
    // Deprovisioning is no change of groups, and frees the seat.
    assert_eq!(seats(&connection, &connection.id)?, 1);
    scim.set_active(&id, false)?;
    connection.api.expect_denied(&tokens, "subject_disabled")?;
    assert_eq!(seats(&connection, &connection.id)?, 0);
    Ok(())
}

#[test]
fn a_connection_that_says_so_has_whoever_gains_a_group_log_in_again() -> Result {
    let settings = json!({
        "subject_claim": "email",
        "scim": {"matching": "work_email", "group_changes": "reauthenticate_on_group_change"},
    });
    let connection = Connection::with(&settings)?;
    let said = json!({"email": "robin@x.example", "email_verified": true});
    connection.upstream.claims("alice", &said)?;
    let made = connection
        .about("POST", "/scim-secrets", None)?
        .expect(201)?
        .json()?;
    let scim = Scim::at(text(&made, "scim_url")?, text(&made, "secret")?);
    let mut body = user("u-robin", true);
    body["emails"] = json!([{"value": "robin@x.example", "type": "work"}]);
    let created = scim
        .with_body("POST", "/Users", &body)
        .send()?
        .expect(201)?
        .json()?;
    let id = text(&created, "id")?;
    // The address is one user's at a time.
    body["userName"] = json!("u-other");
    let taken = scim
        .with_body("POST", "/Users", &body)
        .send()?
        .expect(409)?
        .json()?;
    assert_eq!(taken["scimType"], "uniqueness");
    let tokens = connection.log_in("alice")?;
    let (name, group) = a_group(&scim, &[])?;
    let added = scim.patch_group(&group, &add(id))?;
    let ended = carried_out(&connection, &connection.id, &added)?;
    assert_eq!(ended["cause"], "scim_groups_changed");
    connection.api.expect_denied(&tokens, "session_ended")?;
    let tokens = connection.log_in("alice")?;
    assert!(of_claim(&tokens, "groups")?.contains(&name));
    // Whose address it is no more is out.
    let other = json!([{"op": "replace", "path": "emails", "value": [{"value": "x@x.example", "type": "work"}]}]);
    scim.patch(id, &other)?.expect(200)?;
    connection.api.expect_denied(&tokens, "subject_disabled")?;
    assert_eq!(connection.refused_log_in("alice")?, "access_denied");
    Ok(())
}

#[test]
fn a_post_of_somebody_who_exists_with_active_false_puts_them_out() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let tokens = person.app.log_in(person.name)?;
    person.scim.post_user(person.name, true)?.expect(409)?;
    person.api.expect_active(&tokens)?;
    person.scim.post_user(person.name, false)?.expect(409)?;
    person.api.expect_denied(&tokens, "subject_disabled")?;
    let shown = person
        .scim
        .request("GET", &format!("/Users/{id}"))
        .send()?
        .expect(200)?;
    assert_eq!(shown.json()?["active"], false);
    assert_eq!(person.app.refused_log_in(person.name)?, "access_denied");
    person.scim.set_active(&id, true)?;
    person.app.log_in(person.name)?;
    Ok(())
}

#[test]
fn whoever_asks_for_what_is_not_there_or_not_so_is_told() -> Result {
    let site = Site::any()?;
    for (path, status) in [
        ("nowhere/seats", 404),
        ("nowhere/scim-jobs", 404),
        ("demo/scim-jobs/job_1", 404),
        ("demo/scim-jobs/1", 404),
        ("demo/scim-jobs?limit=0", 400),
        ("demo/scim-jobs?limit=101", 400),
        ("demo/scim-jobs?cursor=x", 400),
        ("demo/scim-jobs?other=1", 400),
    ] {
        let url = format!("{}/v1/connections/{path}", site.endpoints().service);
        let answer = Request::get(url).bearer(bearer::ADMIN).send()?;
        assert_eq!(answer.status, status, "{path}");
    }
    Ok(())
}

#[test]
fn a_removal_of_a_large_group_survives_a_crash_and_keeps_nobody_else_waiting() -> Result {
    let mut stack = Stack::start_with(&Settings::default())?;
    let endpoints = stack.at.clone();
    let service = endpoints.service.clone();
    let (app, api) = (
        portcullis_e2e::app::App::discover(&endpoints)?,
        portcullis_e2e::api::Api::new(&endpoints),
    );
    let scim = Scim::new(&endpoints);
    let names = (0..MEMBERS - 2).map(|n| format!("member-{n}"));
    let names: Vec<String> = ["alice", "bob"]
        .map(str::to_owned)
        .into_iter()
        .chain(names)
        .collect();
    let provision = |names: &[String]| {
        names
            .iter()
            .map(|name| scim.provision(name))
            .collect::<Result<Vec<String>>>()
    };
    let (first, second) = names.split_at(MEMBERS / 2);
    let ids = thread::scope(|scope| {
        let other = scope.spawn(|| provision(second));
        let mut ids = provision(first)?;
        ids.extend(other.join().expect("no panic")?);
        Ok::<_, Failure>(ids)
    })?;
    let carol = scim.provision("carol")?;
    let members: Vec<&str> = ids.iter().map(String::as_str).collect();
    let group = scim.push_group("everybody", &members)?;
    let tokens = [app.log_in("alice")?, app.log_in("bob")?];
    let bystander = app.log_in("carol")?;

    let deleted = scim
        .request("DELETE", &format!("/Groups/{group}"))
        .send()?
        .expect(204)?;
    let id = job_of(&deleted)?;
    let look = || admin(&service, &format!("demo/scim-jobs/{id}"));
    let done = |job: &Value| job["done"].as_u64().unwrap_or_default();
    // Somebody else is deactivated meanwhile, and that does not wait for the members.
    scim.set_active(&carol, false)?;
    api.expect_denied(&bystander, "subject_disabled")?;
    let meanwhile = look()?;
    assert_eq!(meanwhile["total"], MEMBERS);
    assert!(
        done(&meanwhile) < MEMBERS as u64,
        "the members were waited for: {meanwhile}"
    );
    until("the job to get on", || {
        Ok((done(&look()?) > 20).then_some(()))
    })?;
    stack.kill_hard()?;
    stack.restart(&Settings::default())?;
    let after = look()?;
    assert!(done(&after) > 0, "{after}");

    let finished = until("the job to be finished", || {
        let job = look()?;
        Ok(job["finished_at"].is_string().then_some(job))
    })?;
    assert_eq!(
        (done(&finished), &finished["failing"]),
        (MEMBERS as u64, &json!(0))
    );
    for tokens in &tokens {
        api.expect_denied(tokens, "session_ended")?;
    }
    // Each of them was ended, also who was never seen, and once: an end that comes again is none.
    let ended = until("every end in the log", || {
        let mut ended: BTreeMap<String, usize> = BTreeMap::new();
        for event in api.events("action=kill")? {
            if event["reason"] == "scim_group_lost" {
                *ended
                    .entry(text(&event, "subject")?.to_owned())
                    .or_default() += 1;
            }
        }
        Ok((ended.len() == MEMBERS).then_some(ended))
    })?;
    assert!(ended.values().all(|&times| times == 1), "{ended:?}");
    app.log_in("alice")?;
    Ok(())
}
