//! Dead letters: what cannot be taken into the log is kept, shown, taken in after all or given up.

use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::random_text;
use portcullis_e2e::chaos::{Chaos, Mode};
use portcullis_e2e::cli::{portcullis, portcullis_as_admin};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::json::text;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::{now, until};
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};

/// A stack whose queues a test can fill.
struct Post {
    stack: Stack,
    chaos: Chaos,
    api: Api,
}

impl Post {
    fn start() -> Result<Self> {
        let stack = Stack::start_with(&Settings {
            chaos: Some(Mode::Normal),
            ..Settings::default()
        })?;
        Ok(Self {
            chaos: Chaos::new(&stack.at),
            api: Api::new(&stack.at),
            stack,
        })
    }

    fn ask(&self, method: &'static str, path: &str) -> Result<Response> {
        let url = format!("{}/v1/audit/{path}", self.stack.at.service);
        let request = Request::new(method, url).bearer(bearer::ADMIN);
        match method {
            "POST" => request.json(&json!({})).send(),
            _ => request.send(),
        }
    }

    /// The letters, once there are so many.
    fn letters(&self, count: usize) -> Result<Vec<Value>> {
        until(&format!("{count} dead letters"), || {
            let page = self.ask("GET", "dead-letters")?.expect(200)?.json()?;
            let letters = page["letters"].as_array().cloned().unwrap_or_default();
            Ok((letters.len() == count).then_some(letters))
        })
    }
}

/// A pack of two denials of somebody, or of something else.
fn pack(producer: u8, action: Action) -> Result<(String, Vec<u8>)> {
    let mut subject = [producer; 16];
    let random = random_text()?;
    subject[..15].copy_from_slice(&random.as_bytes()[..15]);
    let subject = SubjectKey::from_bytes(subject);
    let event = Event {
        subject: Some(subject),
        reason: Some("session_ended".to_owned()),
        ..Event::new(now(), action, Outcome::Denied, Actor::Subject(subject))
    };
    let pack = Pack {
        producer: ProducerId::from_bytes([producer; 16]),
        first_sequence: 1,
        events: vec![event; 2],
    };
    let bytes = pack.encode();
    let bytes = bytes.map_err(|error| Failure::new(error.to_string()))?;
    Ok((subject.to_string(), bytes))
}

#[test]
fn poison_is_kept_with_its_reason_and_the_rest_goes_on() -> Result {
    let post = Post::start()?;
    let (_, lie) = pack(1, Action::Kill)?;
    let (subject, good) = pack(2, Action::CheckDenied)?;
    let token = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
    post.chaos.send("queue", token.as_bytes())?;
    post.chaos.send("queue", &lie)?;
    post.chaos.send("queue", &good)?;
    // The same again is the same letter.
    post.chaos.send("queue", &lie)?;
    post.chaos.send("queue?text", b"no bytes at all")?;
    post.api
        .expect_events(&format!("subject={subject}&action=check.denied"), 2)?;
    let letters = post.letters(3)?;
    let mut reasons: Vec<&str> = letters
        .iter()
        .filter_map(|letter| letter["reason"].as_str())
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["malformed", "malformed", "not_allowed"]);
    let kept = post.api.expect_events("action=audit.dead_letter", 3)?;
    for event in &kept {
        assert_eq!(event["reason"], "kept");
        let named = |letter: &&Value| letter["letter"] == event["detail"]["letter"];
        let letter = letters.iter().find(named);
        let letter = letter.ok_or_else(|| Failure::new(format!("no letter of {event}")))?;
        assert_eq!(letter["reason"], event["detail"]["why"]);
    }
    for letter in &letters {
        let id = text(letter, "letter")?;
        let shown = post
            .ask("GET", &format!("dead-letters/{id}"))?
            .expect(200)?;
        assert!(!shown.body.contains("eyJ"), "{}", shown.body);
        let shown = shown.json()?;
        assert_eq!(shown["opened"], true);
        let is_pack = letter["reason"] == "not_allowed";
        assert_eq!(shown["events"].is_array(), is_pack, "{shown}");
        // It cannot be taken in, and stays.
        let replay = format!("dead-letters/{id}/replay");
        post.ask("POST", &replay)?.expect(409)?.problem()?;
    }
    assert_eq!(post.letters(3)?, letters);
    let query = format!("subject={subject}&action=kill");
    assert_eq!(post.api.events(&query)?, Vec::<Value>::new());
    Ok(())
}

#[test]
fn a_letter_that_is_given_up_is_gone_and_that_is_in_the_log_once() -> Result {
    let post = Post::start()?;
    post.chaos.send("queue", b"poison")?;
    let letters = post.letters(1)?;
    let id = text(&letters[0], "letter")?;
    let path = format!("dead-letters/{id}");
    for _ in 0..2 {
        post.ask("DELETE", &path)?.expect(204)?;
    }
    post.ask("GET", &path)?.expect(404)?;
    post.ask("POST", &format!("{path}/replay"))?.expect(404)?;
    post.letters(0)?;
    let events = post.api.expect_events("action=audit.dead_letter", 2)?;
    assert_eq!(events[1]["reason"], "discarded");
    assert_eq!(
        events[1]["actor"],
        json!({"type": "operator", "id": "admin"})
    );
    assert_eq!(events[1]["detail"]["letter"], id);
    Ok(())
}

#[test]
fn the_queue_of_what_was_given_up_has_a_consumer_that_takes_in_what_it_can() -> Result {
    let post = Post::start()?;
    let (subject, good) = pack(3, Action::RequestDenied)?;
    post.chaos.send("queue/dead", b"poison")?;
    post.chaos.send("queue/dead", &good)?;
    // It had come by the first queue, too.
    post.chaos.send("queue", &good)?;
    let query = format!("subject={subject}&action=request.denied");
    post.api.expect_events(&query, 2)?;
    let letters = post.letters(1)?;
    assert_eq!(letters[0]["reason"], "malformed");
    assert_eq!(post.api.events(&query)?.len(), 2);
    Ok(())
}

#[test]
fn an_operator_looks_after_letters_and_status_from_a_terminal() -> Result {
    let post = Post::start()?;
    post.chaos.send("queue", b"poison")?;
    let letters = post.letters(1)?;
    let id = text(&letters[0], "letter")?;
    let at = &post.stack.at;
    let letters = |args: &[&str]| {
        let args = [&["audit", "dead-letters"][..], args].concat();
        portcullis_as_admin(at, &args)
    };
    let listed = letters(&["list"])?;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.stdout.contains(id), "{listed:?}");
    let shown = letters(&["show", id])?;
    assert!(shown.stdout.contains("malformed"), "{shown:?}");
    assert_eq!(letters(&["replay", id])?.code, Some(1));
    let status = portcullis(at, &["audit", "status", "--json"])?;
    let status: Value = serde_json::from_str(&status.stdout)?;
    assert_eq!(status["dead_letters"]["by_reason"], json!({"malformed": 1}));
    assert_eq!(status["dead_letters"]["full"], false);
    assert_eq!(status["signing"], json!({"signs": true, "refusal": null}));
    assert!(status["size"].as_u64() > Some(0), "{status}");
    assert_eq!(letters(&["discard", id])?.code, Some(0));
    let listed = letters(&["list"])?;
    assert!(listed.stdout.contains("No dead letters."), "{listed:?}");
    // An auditor sees how the log is, and no letters.
    let refused = portcullis(at, &["audit", "dead-letters", "list"])?;
    assert_eq!(refused.code, Some(4), "{refused:?}");
    Ok(())
}
