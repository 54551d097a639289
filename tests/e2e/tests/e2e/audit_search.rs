//! `GET /v1/audit/events` by session, client, actor, connection, resource and address, and through the index.

use crate::audit::kill_a_stranger;
use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::Request;
use portcullis_e2e::json::text;
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::wait::until;
use serde_json::{Value, json};

/// What the query finds besides who read it.
fn find(site: &Site, query: &str) -> Result<Vec<Value>> {
    let mut found = site.api.events(query)?;
    found.retain(|event| event["action"] != "audit.read");
    Ok(found)
}

#[test]
fn each_filter_finds_what_a_line_says_and_together_they_narrow() -> Result {
    let person = Person::new()?;
    let site = Site::any()?;
    let tokens = person.app.log_in(person.name)?;
    let subject = &tokens.subject;
    let story = person
        .api
        .expect_story(subject, &["session.login", "token.issued"])?;
    let (login, issued) = (&story[0], &story[1]);
    let hash = text(login, "session")?;
    assert_eq!(find(&site, &format!("session={hash}"))?, story);
    assert_eq!(find(&site, &format!("session={}", tokens.session))?, story);

    let narrowed = |more: &str| find(&site, &format!("subject={subject}&{more}"));
    let client = text(issued, "client_id")?;
    let through: Vec<&Value> = story
        .iter()
        .filter(|event| event["client_id"] == client)
        .collect();
    let found = narrowed(&format!("client_id={client}"))?;
    assert_eq!(found.iter().collect::<Vec<_>>(), through);
    for event in &story {
        let actor = &event["actor"];
        let (kind, id) = (text(actor, "type")?, text(actor, "id")?);
        let by: Vec<&Value> = story.iter().filter(|it| it["actor"] == *actor).collect();
        let found = narrowed(&format!("actor={kind}:{id}"))?;
        assert_eq!(found.iter().collect::<Vec<_>>(), by);
    }
    let connection = text(&login["actor"], "id")?;
    assert!(narrowed(&format!("connection={connection}"))?.contains(login));
    for nothing in [
        "client_id=nobody",
        "actor=operator:nobody",
        "connection=nowhere",
        "resource=https://nothing.example",
        "ip=203.0.113.99",
        "session=h_AAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(narrowed(nothing)?, Vec::<Value>::new(), "{nothing}");
    }
    Ok(())
}

#[test]
fn an_address_is_found() -> Result {
    let site = Site::any()?;
    let ip = format!("203.0.113.{}", std::process::id() % 90);
    let subject = format!("demo:{}", random_text()?);
    let path = format!("/v1/audit/events?subject={subject}");
    Request::get(format!("{}{path}", site.endpoints().service))
        .bearer(bearer::ADMIN)
        .header("cf-connecting-ip", &ip)
        .send()?
        .expect(200)?;
    // The address lies sealed in the line that it was read.
    let by = |ip: &str| {
        let query = format!("subject={subject}&ip={ip}&actor=operator:admin");
        site.api.events(&query)
    };
    let found = by(&ip)?;
    let [read] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (&read["action"], &read["request"]["ip"]),
        (&json!("audit.read"), &Value::Null)
    );
    assert!(site.api.events(&format!("ip={ip}"))?.contains(read));
    assert_eq!(by("192.0.2.1")?, Vec::<Value>::new());
    Ok(())
}

#[test]
fn a_filter_that_is_not_understood_is_refused_and_so_is_who_may_not_read() -> Result {
    let site = Site::any()?;
    for query in [
        "session=x",
        "session=",
        "session=h_x",
        "actor=",
        "actor=operator",
        "actor=operator:",
        "actor=nobody:x",
        "client_id=",
        "ip=",
        "resource=",
        "connection=",
        "client=x",
    ] {
        let response = site.api.audit(query)?;
        if response.status != 400 {
            return Err(response.unexpected(&format!("status 400 for {query}")));
        }
        response.problem()?;
    }
    let url = format!(
        "{}/v1/audit/events?session=h_AAAAAAAAAAAAAAAAAAAAAA",
        site.endpoints().service
    );
    for (bearer, status) in [(bearer::GATEWAY, 403), ("dev-nobody", 401)] {
        Request::get(&url).bearer(bearer).send()?.expect(status)?;
    }
    Ok(())
}

/// Each read is a commit: after 600 there is a group of the index, whatever there was before.
#[test]
fn what_is_in_a_group_of_the_index_is_found_as_before() -> Result {
    let site = Site::any()?;
    let subject = kill_a_stranger(&site, &random_text()?)?;
    let kills = format!("subject={subject}&action=kill");
    let before = site.api.expect_events(&kills, 1)?;
    for _ in 0..600 {
        site.api.audit("limit=1&order=newest")?.expect(200)?;
    }
    // The alarm rings every two seconds.
    std::thread::sleep(std::time::Duration::from_secs(5));
    let query = format!("{kills}&limit=5&order=newest");
    let page = site.api.audit(&query)?.expect(200)?.json()?;
    assert_eq!(page["events"].as_array(), Some(&before));
    assert_eq!(page["next"], Value::Null);
    let found = until("the kill by all that it says", || {
        let outcome = format!("{kills}&outcome=success&actor=operator:admin");
        Ok(Some(site.api.events(&outcome)?))
    })?;
    assert_eq!(found, before);
    let nothing = site.api.audit(&format!("{kills}&outcome=denied"))?;
    assert_eq!(nothing.expect(200)?.json()?["next"], Value::Null);
    Ok(())
}
