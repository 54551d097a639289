//! Every way to end a session is the same kill: the next strict check and the next request at the
//! gateway are refused, and the log says once who did it and why.

use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::browser::Browser;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::json::instant;
use portcullis_e2e::people::Person;
use serde_json::{Value, json};
use url::Url;

pub fn at_the_gateway(person: &Person, tokens: &Tokens) -> Result<Response> {
    Request::get(format!("{}/hello", person.endpoints().gateway))
        .bearer(&tokens.access)
        .send()
}

/// Logs in, pulls the trigger, and looks everywhere.
#[track_caller]
fn ends_it_all(
    trigger: impl FnOnce(&Person, &Tokens) -> Result,
    denied_for: &str,
    action: &str,
    cause: &str,
    actor: &str,
) -> Result<Person> {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    at_the_gateway(&person, &tokens)?.expect(200)?;
    trigger(&person, &tokens)?;
    // At once: the trigger's answer is the promise.
    at_the_gateway(&person, &tokens)?.expect(401)?;
    person.api.expect_denied(&tokens, denied_for)?;
    assert!(person.api.sessions(&tokens.subject)?.is_empty());
    let query = format!("subject={}&action={action}", tokens.subject);
    let event = &person.api.expect_events(&query, 1)?[0];
    assert_eq!(event["outcome"], "success", "{event}");
    assert_eq!(event["reason"], cause, "{event}");
    assert_eq!(event["actor"]["type"], actor, "{event}");
    Ok(person)
}

fn ends_by_patch(operations: &Value) -> Result<Person> {
    ends_it_all(
        |person, _| {
            let id = person.scim.provision(person.name)?;
            let response = person.scim.patch(&id, operations)?;
            if matches!(response.status, 200 | 204) {
                return Ok(());
            }
            Err(response.unexpected("status 200 or 204"))
        },
        "subject_disabled",
        "kill",
        "scim_deactivated",
        "connection",
    )
}

#[test]
fn an_admin_ends_a_subject() -> Result {
    let end = |person: &Person, tokens: &Tokens| {
        let body = json!({ "subject": tokens.subject });
        let answer = person.api.revoke(&body)?.expect(200)?.json()?;
        assert_eq!(answer["subject"], tokens.subject.as_str());
        assert_eq!(answer["scope"], "subject");
        assert_eq!(answer["sessions"], 1);
        assert_eq!(answer["changed"], true);
        assert_eq!(answer["dry_run"], false);
        instant(&answer, "committed_at")?;
        Ok(())
    };
    let person = ends_it_all(end, "session_ended", "kill", "admin", "operator")?;
    // Ended, not shut out.
    let again = person.app.log_in(person.name)?;
    person.api.expect_active(&again)
}

#[test]
fn an_admin_ends_a_session() -> Result {
    let end = |person: &Person, tokens: &Tokens| {
        let body = json!({ "subject": tokens.subject, "session": tokens.session });
        let answer = person.api.revoke(&body)?.expect(200)?.json()?;
        assert_eq!(answer["scope"], "session");
        assert_eq!(answer["sessions"], 1);
        Ok(())
    };
    ends_it_all(end, "session_ended", "kill", "admin", "operator").map(drop)
}

#[test]
fn scim_deactivates() -> Result {
    ends_by_patch(&json!([{ "op": "replace", "path": "active", "value": false }])).map(drop)
}

#[test]
fn scim_deactivates_as_entra_spells_it() -> Result {
    ends_by_patch(&json!([{ "op": "Replace", "path": "active", "value": "False" }])).map(drop)
}

#[test]
fn scim_deactivates_without_a_path() -> Result {
    ends_by_patch(&json!([{ "op": "replace", "value": { "active": false } }])).map(drop)
}

#[test]
fn scim_deactivates_by_an_add_as_one_change_among_others() -> Result {
    ends_by_patch(&json!([
        { "op": "replace", "path": "displayName", "value": "X" },
        { "op": "add", "path": "active", "value": false },
    ]))
    .map(drop)
}

#[test]
fn scim_deactivates_by_a_put_of_the_whole_user() -> Result {
    ends_it_all(
        |person, _| {
            let id = person.scim.provision(person.name)?;
            let path = format!("/Users/{id}");
            let body = portcullis_e2e::scim::user(person.name, false);
            let put = person.scim.with_body("PUT", &path, &body).send()?;
            assert_eq!(put.expect(200)?.json()?["active"], false);
            Ok(())
        },
        "subject_disabled",
        "kill",
        "scim_deactivated",
        "connection",
    )
    .map(drop)
}

#[test]
fn scim_gives_the_user_another_name_by_a_put_and_the_old_one_is_ended() -> Result {
    ends_it_all(
        |person, _| {
            let id = person.scim.provision(person.name)?;
            let path = format!("/Users/{id}");
            let body = portcullis_e2e::scim::user(&format!("{}-x", person.name), true);
            let put = person.scim.with_body("PUT", &path, &body).send()?;
            put.expect(200).map(drop)
        },
        "subject_disabled",
        "kill",
        "scim_renamed",
        "connection",
    )
    .map(drop)
}

#[test]
fn scim_deletes() -> Result {
    let delete = |person: &Person, _: &Tokens| {
        let id = person.scim.provision(person.name)?;
        person.scim.delete(&id)?.expect(204)?;
        person
            .scim
            .request("GET", &format!("/Users/{id}"))
            .send()?
            .expect(404)?;
        Ok(())
    };
    let person = ends_it_all(
        delete,
        "subject_disabled",
        "kill",
        "scim_deleted",
        "connection",
    )?;
    assert_eq!(person.app.refused_log_in(person.name)?, "access_denied");
    Ok(())
}

#[test]
fn scim_provisions_as_inactive_somebody_who_logged_in_before_they_were_known() -> Result {
    let post = |person: &Person, _: &Tokens| {
        person.scim.post_user(person.name, false)?.expect(201)?;
        Ok(())
    };
    let person = ends_it_all(
        post,
        "subject_disabled",
        "kill",
        "scim_deactivated",
        "connection",
    )?;
    assert_eq!(person.app.refused_log_in(person.name)?, "access_denied");
    Ok(())
}

#[test]
fn scim_posts_as_inactive_somebody_who_is_a_user_already() -> Result {
    let post = |person: &Person, _: &Tokens| {
        person.scim.provision(person.name)?;
        let conflict = person.scim.post_user(person.name, false)?;
        let conflict = conflict.expect(409)?.json()?;
        assert_eq!(conflict["scimType"], "uniqueness");
        Ok(())
    };
    ends_it_all(
        post,
        "subject_disabled",
        "kill",
        "scim_deactivated",
        "connection",
    )
    .map(drop)
}

#[test]
fn scim_gives_the_user_another_name_and_the_old_one_is_ended() -> Result {
    let rename = |person: &Person, _: &Tokens| {
        let id = person.scim.provision(person.name)?;
        let name = format!("{}-renamed", person.name);
        let operations = json!([{ "op": "replace", "path": "userName", "value": name }]);
        let response = person.scim.patch(&id, &operations)?;
        assert!(matches!(response.status, 200 | 204), "{response:?}");
        Ok(())
    };
    ends_it_all(
        rename,
        "subject_disabled",
        "kill",
        "scim_renamed",
        "connection",
    )
    .map(drop)
}

#[test]
fn a_person_logs_out() -> Result {
    let log_out = |person: &Person, tokens: &Tokens| {
        let mut url = Url::parse(&format!("{}/logout", person.endpoints().service))?;
        url.query_pairs_mut()
            .append_pair("id_token_hint", tokens.id.as_deref().unwrap_or_default())
            .append_pair("client_id", "demo-app");
        let page = Browser::new().go(&url, None)?.page()?;
        page.response.expect(200).map(drop)
    };
    ends_it_all(
        log_out,
        "session_ended",
        "session.logout",
        "logout",
        "subject",
    )
    .map(drop)
}
