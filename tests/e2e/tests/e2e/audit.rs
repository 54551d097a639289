//! `GET /v1/audit/events`: what is found, by whom, and what reading leaves behind.

use portcullis_e2e::api::bearer;
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::Request;
use portcullis_e2e::json::{instant, text};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Kills somebody who was never seen; gives back their key.
pub fn kill_a_stranger(site: &Site, name: &str) -> Result<String> {
    let body = json!({ "subject": format!("demo:{name}") });
    let answer = site.api.revoke(&body)?.expect(200)?.json()?;
    text(&answer, "subject").map(str::to_owned)
}

#[test]
fn an_event_says_what_happened_when_and_by_whom() -> Result {
    let site = Site::any()?;
    let subject = kill_a_stranger(&site, &random_text()?)?;
    let event = &site.api.expect_story(&subject, &["kill"])?[0];
    assert_eq!(event["outcome"], "success");
    assert_eq!(event["reason"], "admin");
    assert_eq!(event["actor"], json!({ "type": "operator", "id": "admin" }));
    assert_eq!(event["subject"], subject.as_str());
    assert!(
        event["index"].is_u64() && event["sequence"].is_u64(),
        "{event}"
    );
    assert!(text(event, "producer")?.starts_with("prd_"), "{event}");
    assert!(!event["lane"].is_null(), "{event}");
    let occurred = instant(event, "occurred")?;
    let received = instant(event, "received")?;
    let committed = instant(event, "committed")?;
    assert!(occurred <= received && received <= committed, "{event}");
    Ok(())
}

#[test]
fn filters_find_exactly_what_they_say() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let subject = &tokens.subject;
    person
        .api
        .revoke(&json!({ "subject": subject }))?
        .expect(200)?;
    let all = person
        .api
        .expect_story(subject, &["session.login", "token.issued", "kill"])?;
    let find = |query: &str| -> Result<Vec<Value>> {
        let mut found = person.api.events(&format!("subject={subject}&{query}"))?;
        found.retain(|event| event["action"] != "audit.read");
        Ok(found)
    };
    assert_eq!(find("action=kill")?, all[2..]);
    assert_eq!(find("outcome=success")?, all);
    assert_eq!(find("outcome=denied")?, Vec::<Value>::new());
    assert_eq!(find("action=session.login&outcome=success")?, all[..1]);
    assert_eq!(person.api.story(&person.claim())?, all);

    let last = text(&all[2], "occurred")?;
    assert_eq!(find("from=2000-01-01T00:00:00Z")?, all);
    assert_eq!(find("to=2000-01-01T00:00:00Z")?, Vec::<Value>::new());
    assert_eq!(find("from=2999-01-01T00:00:00Z")?, Vec::<Value>::new());
    let from_last = find(&format!("from={last}"))?;
    assert!(
        from_last.contains(&all[2]),
        "`from` includes its own instant"
    );
    assert!(
        from_last
            .iter()
            .all(|event| event["occurred"].as_str() >= Some(last))
    );
    Ok(())
}

#[test]
fn newest_first_is_oldest_first_turned_round() -> Result {
    let site = Site::any()?;
    let name = random_text()?;
    let mut subject = String::new();
    for _ in 0..5 {
        subject = kill_a_stranger(&site, &name)?;
    }
    let kills = format!("subject={subject}&action=kill");
    let mut oldest = site.api.expect_events(&kills, 5)?;
    let mut newest = Vec::new();
    let mut cursor = String::new();
    loop {
        let query = format!("{kills}&order=newest&limit=2{cursor}");
        let page = site.api.audit(&query)?.expect(200)?.json()?;
        newest.extend(page["events"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    oldest.reverse();
    assert_eq!(newest, oldest);
    Ok(())
}

#[test]
fn a_query_that_is_not_understood_is_refused() -> Result {
    let site = Site::any()?;
    for query in [
        "action=kills",
        "outcome=maybe",
        "from=yesterday",
        "to=2026-13-01T00:00:00Z",
        "limit=0",
        "limit=-1",
        "limit=many",
        "order=random",
        "cursor=x",
        "cursor=",
        "subject=x",
        "acton=kill",
    ] {
        let response = site.api.audit(query)?;
        if response.status != 400 {
            return Err(response.unexpected(&format!("status 400 for {query}")));
        }
        response.problem()?;
    }
    Ok(())
}

#[test]
fn a_cursor_of_the_other_order_or_a_bent_one_is_refused() -> Result {
    let site = Site::any()?;
    let name = random_text()?;
    for _ in 0..2 {
        kill_a_stranger(&site, &name)?;
    }
    let subject = kill_a_stranger(&site, &name)?;
    let kills = format!("subject={subject}&action=kill");
    site.api.expect_events(&kills, 3)?;
    let query = format!("{kills}&order=oldest&limit=1");
    let page = site.api.audit(&query)?.expect(200)?.json()?;
    let next = text(&page, "next")?;
    let half = &next[..next.len() / 2];
    site.api
        .audit(&format!("{query}&cursor={half}"))?
        .expect(400)?
        .problem()?;
    let turned = format!("{kills}&order=newest&limit=1&cursor={next}");
    site.api.audit(&turned)?.expect(400)?.problem()?;
    Ok(())
}

#[test]
fn reading_the_log_is_in_the_log_with_the_reader() -> Result {
    let site = Site::any()?;
    let subject = kill_a_stranger(&site, &random_text()?)?;
    site.api.audit(&format!("subject={subject}"))?.expect(200)?;
    let query = format!("subject={subject}&action=audit.read");
    let reading = until("the reading in the log", || {
        Ok(site.api.events(&query)?.into_iter().next())
    })?;
    assert_eq!(
        reading["actor"],
        json!({ "type": "operator", "id": "auditor" })
    );
    assert_eq!(reading["outcome"], "success");
    Ok(())
}

#[test]
fn auditors_and_admins_may_read_and_nobody_else() -> Result {
    let site = Site::any()?;
    let url = format!("{}/v1/audit/events?limit=1", site.endpoints().service);
    for (bearer, status) in [
        (bearer::AUDITOR, 200),
        (bearer::ADMIN, 200),
        (bearer::GATEWAY, 403),
        (bearer::SCIM, 403),
        ("dev-nobody", 401),
    ] {
        Request::get(&url).bearer(bearer).send()?.expect(status)?;
    }
    Ok(())
}

#[test]
fn no_event_is_in_the_log_twice_and_no_sequence_has_a_gap() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    for _ in 0..10 {
        person
            .api
            .revoke(&json!({ "subject": tokens.subject }))?
            .expect(200)?;
    }
    person
        .api
        .expect_events(&format!("subject={}&action=kill", tokens.subject), 10)?;
    let events = person.api.events("")?;
    let mut indices = BTreeSet::new();
    let mut identities = BTreeSet::new();
    for event in &events {
        let lane = event["lane"].to_string();
        let identity = (
            text(event, "producer")?.to_owned(),
            event["sequence"].as_u64(),
        );
        if !indices.insert((lane, event["index"].as_u64())) || !identities.insert(identity) {
            return Err(Failure::new(format!("twice in the log: {event}")));
        }
    }
    // The subject's own object is one producer that tells of nothing else: its count has no gap.
    let own =
        |event: &&Value| event["subject"] == tokens.subject.as_str() && event["action"] == "kill";
    let sequences: Vec<u64> = events
        .iter()
        .filter(own)
        .filter_map(|event| event["sequence"].as_u64())
        .collect();
    assert!(
        sequences.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{sequences:?}"
    );
    Ok(())
}
