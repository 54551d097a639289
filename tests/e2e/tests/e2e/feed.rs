//! The feed over HTTP, and the receipts that say how far a revocation has got.

use portcullis_core::feed::Target;
use portcullis_core::feed::page::{SignedPage, VerifiedPage};
use portcullis_core::jwt::feed::begin_page;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::jwks::pending::Pending;
use portcullis_core::wire;
use portcullis_e2e::api::bearer;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const BINARY: &str = "application/vnd.portcullis.feed";
const STATEMENT: &str = "portcullis-feed-statement";

fn get(site: &Site, path: &str) -> Request {
    let url = format!("{}{path}", site.endpoints().service);
    Request::get(url).bearer(bearer::GATEWAY)
}

fn feed(site: &Site, query: &str) -> Result<Value> {
    get(site, &format!("/v1/feed?{query}"))
        .send()?
        .expect(200)?
        .json()
}

fn sequence(site: &Site) -> Result<u64> {
    number(&feed(site, "")?["sequence"])
}

fn number(value: &Value) -> Result<u64> {
    let number = value.as_u64();
    number.ok_or_else(|| Failure::new(format!("{value} is no number")))
}

/// The entries of one page that have this in that member.
fn entries_of(page: &Value, member: &str, value: &str) -> usize {
    let entries = page["entries"].as_array();
    let of = |entry: &&Value| entry[member] == value;
    entries.map_or(0, |entries| entries.iter().filter(of).count())
}

/// The page behind a compact answer, if it is the service's.
fn verified(site: &Site, answer: &Response) -> Result<VerifiedPage> {
    let service = &site.endpoints().service;
    let jwks = Request::get(format!("{service}/.well-known/jwks.json")).send()?;
    let keys = KeySet::parse(jwks.expect(200)?.body.as_bytes())?;
    let page: SignedPage = wire::decode(&answer.bytes)?;
    let verified = begin_page(&page, &keys, service).and_then(Pending::check);
    verified.map_err(|error| Failure::new(format!("{error:?}")))
}

fn receipt(site: &Site, id: &Value) -> Result<Value> {
    let id = id.as_str().unwrap_or_default();
    let url = format!("{}/v1/revocations/{id}", site.endpoints().service);
    Request::get(url)
        .bearer(bearer::ADMIN)
        .send()?
        .expect(200)?
        .json()
}

#[test]
fn a_kill_is_in_the_feed_when_it_is_acknowledged_and_its_receipt_says_where() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let before = sequence(&person)?;
    let body = json!({ "subject": tokens.subject, "session": tokens.session });
    let answer = person.api.revoke(&body)?.expect(200)?.json()?;
    let place = &answer["feed"][0];
    let at = number(&place["sequence"])?;
    assert!(at > before, "{answer}");

    let page = feed(&person, &format!("after={}", at - 1))?;
    assert_eq!(entries_of(&page, "session", &tokens.session), 1, "{page}");

    let receipt = receipt(&person, &answer["receipt"])?;
    assert_eq!(receipt["cause"], "admin");
    assert_eq!(
        receipt["actor"],
        json!({ "type": "operator", "id": "admin" })
    );
    assert_eq!(receipt["scope"], "session");
    assert_eq!(receipt["session"], tokens.session.as_str());
    assert_eq!(receipt["sessions"], 1);
    for member in ["feed", "in_force", "committed_at"] {
        assert_eq!(receipt[member], answer[member], "{member}");
    }
    // A second later than the feed's commit, and a margin.
    let time = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        portcullis_core::time::UnixMillis::from_rfc3339(text).map_or(0, |at| at.0)
    };
    let bounded = time(&answer["in_force"]["bounded_at"]);
    assert_eq!(bounded, time(&place["committed_at"]) + 1250);
    Ok(())
}

#[test]
fn every_trigger_leaves_a_receipt_that_its_subject_lists() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let user = person.scim.provision(person.name)?;
    person.scim.set_active(&user, false)?.expect(200)?;
    let url = format!(
        "{}/v1/revocations?subject={}&limit=1",
        person.endpoints().service,
        tokens.subject
    );
    let list = Request::get(url)
        .bearer(bearer::ADMIN)
        .send()?
        .expect(200)?
        .json()?;
    let newest = &list["revocations"][0];
    assert_eq!(newest["cause"], "scim_deactivated", "{list}");
    assert_eq!(newest["actor"]["type"], "connection");
    assert_eq!(list["settled"], true);
    let page = feed(&person, "limit=5000")?;
    assert_eq!(entries_of(&page, "subject", &tokens.subject), 1);

    // Let in again, what covers the subject ends with its last token.
    person.scim.set_active(&user, true)?.expect(200)?;
    until("the lifted entry", || {
        let page = feed(&person, "limit=5000")?;
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        let of = entries
            .iter()
            .find(|entry| entry["subject"] == tokens.subject.as_str());
        Ok(of
            .is_some_and(|entry| entry["ends_at"].is_string())
            .then_some(()))
    })
}

#[test]
fn a_wide_revocation_is_in_the_feed_and_has_a_receipt() -> Result {
    let person = Person::new()?;
    let body = json!({ "client_id": "no-such-client-yet" });
    let answer = person.api.revoke(&body)?.expect(200)?.json()?;
    assert_eq!(answer["scope"], "client");
    let receipt = receipt(&person, &answer["receipt"])?;
    assert_eq!(receipt["client_id"], "no-such-client-yet");
    assert_eq!(receipt["subject"], Value::Null);
    assert_eq!(receipt["in_force"]["strict_at"], answer["in_force_at"]);
    let at = number(&receipt["feed"][0]["sequence"])?;
    let page = feed(&person, &format!("after={}", at - 1))?;
    assert_eq!(entries_of(&page, "client_id", "no-such-client-yet"), 1);
    Ok(())
}

#[test]
fn who_waits_hears_of_a_kill_at_once_and_of_nothing_in_time() -> Result {
    let site = Site::at(Arc::new(Stack::start()?))?;
    let quiet = Instant::now();
    let nothing = feed(&site, "wait=1")?;
    assert_eq!(nothing["entries"], json!([]));
    assert!(quiet.elapsed() >= Duration::from_millis(900));

    let after = sequence(&site)?;
    let heard = thread::scope(|scope| {
        let waits = scope.spawn(|| feed(&site, &format!("after={after}&wait=20")));
        thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        site.api
            .revoke(&json!({ "subject": "demo:nobody-yet" }))?
            .expect(200)?;
        let page = waits
            .join()
            .map_err(|_| Failure::new("the reader panicked"))??;
        assert!(began.elapsed() < Duration::from_secs(10));
        Ok::<_, Failure>(page)
    })?;
    assert_eq!(
        heard["entries"].as_array().map(Vec::len),
        Some(1),
        "{heard}"
    );
    Ok(())
}

#[test]
fn the_compact_form_is_signed_and_pages_of_it_are_the_whole() -> Result {
    let site = Site::at(Arc::new(Stack::start()?))?;
    for n in 0..5 {
        let body = json!({ "subject": format!("demo:somebody-{n}") });
        site.api.revoke(&body)?.expect(200)?;
    }
    let mut path = "/v1/feed/snapshot?limit=2".to_owned();
    let mut entries = Vec::new();
    let mut through = 0;
    loop {
        let answer = get(&site, &path)
            .header("accept", BINARY)
            .send()?
            .expect(200)?;
        assert_eq!(answer.header("content-type"), Some(BINARY));
        let page = verified(&site, &answer)?;
        assert_eq!(page.statement.after, through);
        assert!(answer.header(STATEMENT).is_some());
        through = page.statement.through;
        entries.extend(page.entries.clone());
        let Some(next) = answer.header("link") else {
            assert!(!page.statement.has_more());
            break;
        };
        let next = next.split(['<', '>']).nth(1).unwrap_or_default();
        path = format!("{next}&limit=2");
    }
    assert_eq!(entries.len(), 5);
    assert!(
        entries
            .iter()
            .all(|entry| matches!(entry.target, Target::Subject(_)))
    );
    Ok(())
}

#[test]
fn an_unchanged_snapshot_is_not_sent_again_and_its_statement_is_new() -> Result {
    let site = Site::at(Arc::new(Stack::start()?))?;
    let first = get(&site, "/v1/feed/snapshot").send()?.expect(200)?;
    let tag = first.header("etag").unwrap_or_default().to_owned();
    thread::sleep(Duration::from_millis(5));
    let same = get(&site, "/v1/feed/snapshot")
        .header("if-none-match", &tag)
        .send()?;
    let same = same.expect(304)?;
    assert!(same.header(STATEMENT).is_some());
    assert_ne!(same.header(STATEMENT), first.header(STATEMENT));
    site.api
        .revoke(&json!({ "subject": "demo:nobody-yet" }))?
        .expect(200)?;
    let changed = get(&site, "/v1/feed/snapshot")
        .header("if-none-match", &tag)
        .send()?;
    assert_ne!(changed.expect(200)?.header("etag"), Some(tag.as_str()));
    Ok(())
}

#[test]
fn a_kill_that_the_feed_does_not_have_yet_is_accepted_and_arrives() -> Result {
    let settings = Settings::vars(&["TEST_FEED_DELAY_MS=2500"]);
    let site = Site::at(Arc::new(Stack::start_with(&settings)?))?;
    let tokens = site.app.log_in("alice")?;
    let answer = site
        .api
        .revoke(&json!({ "subject": tokens.subject }))?
        .expect(202)?
        .json()?;
    assert_eq!(answer["feed"], Value::Null);
    assert_eq!(answer["in_force"]["bounded_at"], Value::Null);
    // Strict checks know.
    site.api.expect_denied(&tokens, "session_ended")?;
    // To say that there was nothing to end is not to say that everybody knows.
    let body = json!({ "subject": tokens.subject, "session": tokens.session });
    let again = site.api.revoke(&body)?.expect(202)?.json()?;
    assert_eq!(again["changed"], false);
    until("the feed", || {
        let receipt = receipt(&site, &answer["receipt"])?;
        Ok(receipt["feed"].is_array().then_some(()))
    })?;
    assert_eq!(entries_of(&feed(&site, "")?, "subject", &tokens.subject), 1);
    Ok(())
}

#[test]
fn a_kill_survives_a_crash_between_its_commit_and_the_feeds() -> Result {
    let slow = Settings::vars(&["TEST_FEED_DELAY_MS=30000"]);
    let mut stack = Stack::start_with(&slow)?;
    let api = portcullis_e2e::api::Api::new(&stack.at);
    let answer = api
        .revoke(&json!({ "subject": "demo:alice" }))?
        .expect(202)?
        .json()?;
    stack.restart(&Settings::default())?;
    let site = Site::at(Arc::new(stack))?;
    // Nobody asks the subject: its alarm tells the feed.
    let subject = answer["subject"].as_str().unwrap_or_default().to_owned();
    until("the feed", || {
        let page = feed(&site, "")?;
        Ok((entries_of(&page, "subject", &subject) == 1).then_some(()))
    })?;
    let receipt = receipt(&site, &answer["receipt"])?;
    assert!(receipt["feed"].is_array(), "{receipt}");
    Ok(())
}

#[test]
fn while_the_number_of_feeds_changes_each_of_them_is_written() -> Result {
    let mut stack = Stack::start_with(&Settings::vars(&["FEED_SHARDS=1,3"]))?;
    let api = portcullis_e2e::api::Api::new(&stack.at);
    for n in 0..12 {
        let body = json!({ "subject": format!("demo:somebody-{n}") });
        let answer = api.revoke(&body)?.expect(200)?.json()?;
        assert_eq!(answer["feed"][0]["shard"], "1-0");
    }
    api.revoke(&json!({ "client_id": "some-client" }))?
        .expect(200)?;
    stack.restart(&Settings::vars(&["FEED_SHARDS=3,1"]))?;
    let site = Site::at(Arc::new(stack))?;
    get(&site, "/v1/feed").send()?.expect(400)?.problem()?;
    get(&site, "/v1/feed?shard=1-0")
        .send()?
        .expect(400)?
        .problem()?;
    let mut subjects = 0;
    for shard in 0..3 {
        let page = feed(&site, &format!("shard=3-{shard}"))?;
        assert_eq!(entries_of(&page, "client_id", "some-client"), 1, "{page}");
        subjects += entries_of(&page, "target", "subject");
    }
    assert_eq!(subjects, 12);
    Ok(())
}

#[test]
fn an_operator_has_the_feed_begin_another_life_and_that_is_in_the_log() -> Result {
    let site = Site::at(Arc::new(Stack::start()?))?;
    site.api
        .revoke(&json!({ "subject": "demo:nobody-yet" }))?
        .expect(200)?;
    let before = feed(&site, "")?;
    let url = format!("{}/v1/feed/restart", site.endpoints().service);
    let restart = || Request::post(&url).bearer(bearer::ADMIN);
    restart()
        .json(&json!({ "x": 1 }))
        .send()?
        .expect(400)?
        .problem()?;
    let answer = restart().json(&json!({})).send()?.expect(200)?.json()?;
    let life = before["incarnation"].as_str().unwrap_or_default();
    let after = feed(&site, &format!("incarnation={life}&after=1"))?;
    assert_eq!(after["incarnation"], answer["feeds"][0]["incarnation"]);
    assert_ne!(after["incarnation"], before["incarnation"]);
    // It is read from the beginning, and what was ended is still in it.
    assert_eq!(after["after"], 0);
    assert_eq!(after["entries"], before["entries"]);
    site.api.expect_events("action=feed.restarted", 1)?;
    Ok(())
}

#[test]
fn what_is_no_question_is_refused() -> Result {
    let site = Site::any()?;
    for query in [
        "after=x",
        "after=-1",
        "wait=31",
        "limit=5001",
        "incarnation=x",
        "shard=9-9",
        "x=1",
        "after=1&after=2",
    ] {
        get(&site, &format!("/v1/feed?{query}"))
            .send()?
            .expect(400)?
            .problem()?;
    }
    get(&site, "/v1/feed/snapshot?wait=1")
        .send()?
        .expect(400)?
        .problem()?;
    for id in [
        "rev_AAAAAAAAAAA",
        "rev_x",
        "x",
        "rev_AQEBAQEBAQEBAQEBAQEBAQAAAAAAAAAC",
    ] {
        let url = format!("{}/v1/revocations/{id}", site.endpoints().service);
        Request::get(url)
            .bearer(bearer::ADMIN)
            .send()?
            .expect(404)?
            .problem()?;
    }
    let url = format!("{}/v1/revocations?limit=0", site.endpoints().service);
    Request::get(url)
        .bearer(bearer::ADMIN)
        .send()?
        .expect(400)?
        .problem()?;
    Ok(())
}
