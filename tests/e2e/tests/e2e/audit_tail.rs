//! `GET /v1/audit/events` as a stream: what is committed comes at once, and whoever comes again misses nothing.

use crate::audit::kill_a_stranger;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::{Request, Stream};
use portcullis_e2e::json::text;
use portcullis_e2e::people::Site;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A stream of messages, and the last id that it gave.
struct Tail {
    lines: Stream,
    id: Option<String>,
}

fn request(site: &Site, query: &str) -> Request {
    Request::get(format!(
        "{}/v1/audit/events?{query}",
        site.endpoints().service
    ))
    .bearer(bearer::AUDITOR)
    .header("accept", "text/event-stream")
}

impl Tail {
    /// Opens it and reads up to its first id: from there on nothing is missed.
    fn open(site: &Site, query: &str, id: Option<&str>) -> Result<Self> {
        let mut request = request(site, query);
        if let Some(id) = id {
            request = request.header("last-event-id", id);
        }
        let mut tail = Self {
            lines: request.stream("text/event-stream")?,
            id: None,
        };
        while tail.id.is_none() {
            if tail.next()?.is_some() {
                return Err(Failure::new("a message without an id"));
            }
        }
        Ok(tail)
    }

    /// The next line of the stream; an event, if that is what it is.
    fn next(&mut self) -> Result<Option<Value>> {
        let line = self.lines.line()?;
        if let Some(id) = line.strip_prefix("id: ") {
            self.id = Some(id.to_owned());
        }
        let data = line.strip_prefix("data: ");
        Ok(data.map(serde_json::from_str).transpose()?)
    }

    fn event(&mut self) -> Result<Value> {
        loop {
            if let Some(event) = self.next()? {
                return Ok(event);
            }
        }
    }
}

#[test]
fn a_kill_is_in_the_stream_within_two_seconds_and_nothing_else_is() -> Result {
    let site = Site::any()?;
    let name = random_text()?;
    let subject = kill_a_stranger(&site, &name)?;
    site.api.expect_story(&subject, &["kill"])?;
    let mut tail = Tail::open(&site, &format!("subject={subject}&action=kill"), None)?;
    kill_a_stranger(&site, &random_text()?)?;
    kill_a_stranger(&site, &name)?;
    let clock = Instant::now();
    let event = tail.event()?;
    let took = clock.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let kills = site
        .api
        .expect_events(&format!("subject={subject}&action=kill"), 2)?;
    assert_eq!(event, kills[1]);
    Ok(())
}

#[test]
fn whoever_comes_again_with_the_last_id_misses_nothing_and_gets_nothing_twice() -> Result {
    let site = Site::any()?;
    let name = random_text()?;
    let subject = kill_a_stranger(&site, &name)?;
    let query = format!("subject={subject}&action=kill");
    site.api.expect_events(&query, 1)?;
    let mut got = Vec::new();
    let mut id = None;
    for round in 0..4 {
        let mut tail = Tail::open(&site, &query, id.as_deref())?;
        for _ in 0..=round {
            kill_a_stranger(&site, &name)?;
        }
        got.push(tail.event()?);
        id = tail.id.take();
        // Cut off; what comes meanwhile is for the next.
        drop(tail);
        kill_a_stranger(&site, &name)?;
    }
    let all = site.api.expect_events(&query, 1 + 1 + 2 + 3 + 4 + 4)?;
    let mut tail = Tail::open(&site, &query, id.as_deref())?;
    while got.len() < all.len() - 1 {
        got.push(tail.event()?);
    }
    assert_eq!(got, all[1..]);
    Ok(())
}

#[test]
fn a_stream_from_a_cursor_begins_there_and_is_one_read_in_the_log() -> Result {
    let site = Site::any()?;
    let name = random_text()?;
    let subject = kill_a_stranger(&site, &name)?;
    let query = format!("subject={subject}&action=kill");
    site.api.expect_events(&query, 1)?;
    kill_a_stranger(&site, &name)?;
    let kills = site.api.expect_events(&query, 2)?;
    let page = site.api.audit(&format!("{query}&limit=1"))?.expect(200)?;
    let page = page.json()?;
    let reads = format!("subject={subject}&action=audit.read");
    let before = site.api.events(&reads)?.len();
    let next = text(&page, "next")?;
    let mut tail = request(&site, &format!("{query}&cursor={next}")).stream("text/event-stream")?;
    let event = loop {
        if let Some(data) = tail.line()?.strip_prefix("data: ") {
            break serde_json::from_str::<Value>(data)?;
        }
    };
    assert_eq!(event, kills[1]);
    std::thread::sleep(Duration::from_secs(3));
    // The stream itself, and the question before it, which was not in its own answer.
    let after = site.api.events(&reads)?;
    assert_eq!(after.len(), before + 2);
    assert_eq!(
        after[before]["actor"],
        json!({ "type": "operator", "id": "auditor" })
    );
    Ok(())
}

#[test]
fn what_is_no_stream_is_refused() -> Result {
    let site = Site::any()?;
    for query in ["order=oldest", "limit=5", "cursor=x", "session=x", "x=y"] {
        let answer = request(&site, query).send()?.expect(400)?;
        answer.problem()?;
    }
    let bent = request(&site, "").header("last-event-id", "x").send()?;
    bent.expect(400)?.problem()?;
    // A cursor of pages that go backwards.
    let page = site
        .api
        .audit("order=newest&limit=1")?
        .expect(200)?
        .json()?;
    let next = text(&page, "next")?.to_owned();
    let turned = request(&site, &format!("cursor={next}")).send()?;
    turned.expect(400)?.problem()?;
    let url = format!("{}/v1/audit/events", site.endpoints().service);
    for (bearer, status) in [
        (bearer::GATEWAY, 403),
        (bearer::SCIM, 403),
        ("dev-nobody", 401),
    ] {
        let request = Request::get(&url).bearer(bearer);
        let answer = request.header("accept", "text/event-stream").send()?;
        answer.expect(status)?;
    }
    Ok(())
}
