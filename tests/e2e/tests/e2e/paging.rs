//! Cursors: a reader who pages while events come in misses none and sees none twice.

use crate::audit::kill_a_stranger;
use portcullis_e2e::Result;
use portcullis_e2e::app::random_text;
use portcullis_e2e::json::text;
use portcullis_e2e::people::Site;
use portcullis_e2e::wait::until;
use serde_json::Value;

/// A reader of one subject's kills, two at a time, oldest first.
struct Reader<'a> {
    site: &'a Site,
    query: String,
    cursor: Option<String>,
    read: Vec<Value>,
}

impl<'a> Reader<'a> {
    fn new(site: &'a Site, subject: &str) -> Self {
        Self {
            site,
            query: format!("subject={subject}&action=kill&order=oldest&limit=2"),
            cursor: None,
            read: Vec::new(),
        }
    }

    /// Reads one page; whether there may be more at once.
    fn turn(&mut self) -> Result<bool> {
        let cursor = self
            .cursor
            .as_ref()
            .map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let page = self
            .site
            .api
            .audit(&format!("{}{cursor}", self.query))?
            .expect(200)?
            .json()?;
        let events = page["events"].as_array().cloned().unwrap_or_default();
        assert!(events.len() <= 2, "{page}");
        self.read.extend(events);
        let next = page["next"].as_str();
        // At the end of what there is, `tail` is where to go on later.
        self.cursor = Some(next.map_or_else(|| text(&page, "tail"), Ok)?.to_owned());
        Ok(next.is_some())
    }
}

#[test]
fn pages_of_two_while_events_come_in_miss_none_and_double_none() -> Result {
    let site = Site::any()?;
    let name = random_text()?;
    let subject = kill_a_stranger(&site, &name)?;
    for _ in 0..4 {
        kill_a_stranger(&site, &name)?;
    }
    site.api
        .expect_events(&format!("subject={subject}&action=kill"), 5)?;

    let mut reader = Reader::new(&site, &subject);
    for _ in 0..6 {
        kill_a_stranger(&site, &name)?;
        reader.turn()?;
        // Another subject's event, which the filter keeps out of the pages.
        kill_a_stranger(&site, &random_text()?)?;
        reader.turn()?;
    }
    until("all eleven events", || {
        while reader.turn()? {}
        Ok((reader.read.len() >= 11).then_some(()))
    })?;
    let expected = site
        .api
        .expect_events(&format!("subject={subject}&action=kill"), 11)?;
    assert_eq!(reader.read, expected);
    let indices: Vec<Option<u64>> = expected
        .iter()
        .map(|event| event["index"].as_u64())
        .collect();
    assert!(indices.is_sorted(), "{indices:?}");
    Ok(())
}

#[test]
fn the_tail_of_an_empty_answer_is_good_for_what_comes() -> Result {
    let site = Site::any()?;
    let name = random_text()?;
    // Known by a dry run: its key, and no event.
    let dry = serde_json::json!({ "subject": format!("demo:{name}"), "dry_run": true });
    let answer = site.api.revoke(&dry)?.expect(200)?.json()?;
    let mut reader = Reader::new(&site, text(&answer, "subject")?);
    assert!(!reader.turn()?);
    assert_eq!(reader.read, Vec::<Value>::new());
    kill_a_stranger(&site, &name)?;
    until("the event after the tail", || {
        reader.turn()?;
        Ok((!reader.read.is_empty()).then_some(()))
    })?;
    assert_eq!(reader.read.len(), 1);
    Ok(())
}
