//! The steps, each with what must come of it.

use crate::hammer::{Hammer, Outcome};
use crate::teller::{Teller, rounded};
use portcullis_e2e::api::{Api, session_in_log};
use portcullis_e2e::app::{App, Tokens};
use portcullis_e2e::failure::expect_eq;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::json::text;
use portcullis_e2e::scim::Scim;
use portcullis_e2e::stack::Endpoints;
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Map, Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};

const ALICE: &str = "alice";
const SENT_BY_GATEWAYS: [&str; 2] = ["request.allowed", "check.denied"];

/// What the subject's own object must have told the log, in this order.
const STORY: [&str; 7] = [
    "session.login success",
    "token.issued success",
    "kill success",
    "session.login denied",
    "subject.reactivated success",
    "session.login success",
    "token.issued success",
];

struct Demo<'a> {
    teller: &'a mut Teller,
    gateway: String,
    app: App,
    api: Api,
    scim: Scim,
}

pub fn run(at: &Endpoints, teller: &mut Teller) -> Result {
    let mut demo = Demo {
        teller,
        gateway: at.gateway.clone(),
        app: App::discover(at)?,
        api: Api::new(at),
        scim: Scim::new(at),
    };
    let user = demo.provision()?;
    // A stack that runs already has a history; the demo's own begins here.
    let from = now(&demo.api)?;
    let old = demo.log_in("alice logs in at the identity provider; the app gets a token")?;
    demo.passes(
        "her request passes the gateway; the origin sees who she is",
        &old,
    )?;
    demo.deactivate(&user, &old)?;
    demo.denied("her next request is refused at the gateway", &old)?;
    demo.log_in_is_refused()?;
    demo.reactivate(&user)?;
    demo.denied("her old token stays dead", &old)?;
    let new = demo.log_in("she logs in again")?;
    demo.passes("her new request passes", &new)?;
    demo.read_the_log(&[old, new], &from)
}

impl Demo<'_> {
    fn provision(&mut self) -> Result<String> {
        let begun = Instant::now();
        let response = self.scim.post_user(ALICE, true)?;
        if response.status == 409 {
            // Told before, to this stack: she is there, and only has to be welcome.
            let found = self
                .scim
                .find(&format!("userName eq \"{ALICE}\""))?
                .expect(200)?
                .json()?;
            let id = text(&found["Resources"][0], "id")?.to_owned();
            self.scim.set_active(&id, true)?;
            let facts = json!({ "user": id });
            self.teller.step(
                "SCIM has provisioned alice before; she is active",
                ms(begun),
                &facts,
            );
            return Ok(id);
        }
        let id = text(&response.expect(201)?.json()?, "id")?.to_owned();
        self.teller
            .step("SCIM provisions alice", ms(begun), &json!({ "user": id }));
        Ok(id)
    }

    fn log_in(&mut self, what: &str) -> Result<Tokens> {
        let begun = Instant::now();
        let tokens = self.app.log_in(ALICE)?;
        let took = ms(begun);
        self.api.expect_active(&tokens)?;
        let facts = json!({ "subject": tokens.subject, "session": tokens.session });
        self.teller.step(what, took, &facts);
        Ok(tokens)
    }

    fn request(&self, tokens: &Tokens) -> Result<Response> {
        Request::get(format!("{}/reports", self.gateway))
            .bearer(&tokens.access)
            .send()
    }

    fn passes(&mut self, what: &str, tokens: &Tokens) -> Result {
        let begun = Instant::now();
        let seen = self.request(tokens)?.expect(200)?.json()?;
        let took = ms(begun);
        let headers = &seen["headers"];
        expect_eq(
            "portcullis-subject",
            &text(headers, "portcullis-subject")?,
            &tokens.subject.as_str(),
        )?;
        if let Some(credential) = headers.get("authorization") {
            return Err(Failure::new(format!(
                "the origin was given the credential {credential}"
            )));
        }
        let told: Map<String, Value> = headers
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.starts_with("portcullis-"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.teller.step(what, took, &Value::Object(told));
        Ok(())
    }

    fn deactivate(&mut self, user: &str, tokens: &Tokens) -> Result {
        let hammer = Hammer::start(&format!("{}/reports", self.gateway), &tokens.access);
        sleep(Duration::from_millis(300));
        let begun = Instant::now();
        let deactivated = self.scim.set_active(user, false);
        let acknowledged = Instant::now();
        let took = ms(begun);
        sleep(Duration::from_millis(300));
        let Outcome {
            sent,
            passed,
            begun_after,
            passed_after,
            first_denial_ms,
        } = hammer.stop(acknowledged)?;
        deactivated?;
        expect_eq(
            "requests begun after the acknowledged kill that passed",
            &passed_after,
            &0,
        )?;
        if passed == 0 {
            return Err(Failure::new(
                "expected requests to pass before the kill, none did",
            ));
        }
        let facts = json!({
            "acknowledged_after_ms": rounded(took),
            "acknowledgement_to_first_denial_ms": rounded(first_denial_ms),
            "requests_around_it": sent,
            "begun_after_acknowledgement": begun_after,
            "of_those_passed": passed_after,
        });
        let what = "SCIM deactivates her under load; the kill is acknowledged";
        self.teller.step(what, took, &facts);
        Ok(())
    }

    fn denied(&mut self, what: &str, tokens: &Tokens) -> Result {
        let begun = Instant::now();
        let response = self.request(tokens)?.expect(401)?;
        let took = ms(begun);
        let challenge = response.header("www-authenticate").unwrap_or_default();
        if !challenge.starts_with("Bearer") {
            return Err(response.unexpected("a Bearer challenge"));
        }
        let verdict = self.api.check_session(&tokens.subject, &tokens.session)?;
        expect_eq(
            "the strict check's verdict",
            &text(&verdict, "verdict")?,
            &"denied",
        )?;
        let facts = json!({ "www-authenticate": challenge, "check": verdict["reason"] });
        self.teller.step(what, took, &facts);
        Ok(())
    }

    fn log_in_is_refused(&mut self) -> Result {
        let begun = Instant::now();
        let error = self.app.refused_log_in(ALICE)?;
        expect_eq(
            "the error that the application is sent",
            &error.as_str(),
            &"access_denied",
        )?;
        let facts = json!({ "error": error });
        self.teller
            .step("she cannot log in again", ms(begun), &facts);
        Ok(())
    }

    fn reactivate(&mut self, user: &str) -> Result {
        let begun = Instant::now();
        self.scim.set_active(user, true)?;
        self.teller
            .step("SCIM reactivates her", ms(begun), &Value::Null);
        Ok(())
    }

    fn read_the_log(&mut self, log_ins: &[Tokens], from: &str) -> Result {
        let begun = Instant::now();
        let subject = log_ins.first().map_or("", |tokens| &tokens.subject);
        let query = format!("subject={subject}&from={from}");
        let events = until("the whole story in the log", || {
            let events = self.api.events(&query)?;
            let whole = story(&events)?.len() >= STORY.len() && passages(&events, log_ins)?;
            Ok(whole.then_some(events))
        })?;
        let told = story(&events)?;
        expect_eq(
            "the story in the log",
            &told,
            &STORY.map(str::to_owned).to_vec(),
        )?;
        let facts = json!({ "events": events.len(), "shown": "by when each happened" });
        self.teller
            .step("the log shows it all, in order", ms(begun), &facts);
        for line in compact(events)? {
            self.teller.line(&line);
        }
        Ok(())
    }
}

/// The subject's own events, which have one order: others come from gateways when they come.
fn story(events: &[Value]) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for event in events {
        let action = text(event, "action")?;
        if STORY.iter().any(|line| line.starts_with(action)) {
            told.push(format!("{action} {}", text(event, "outcome")?));
        }
    }
    Ok(told)
}

/// Whether each log-in's request at the gateway is there; those come through the queue.
fn passages(events: &[Value], log_ins: &[Tokens]) -> Result<bool> {
    for tokens in log_ins {
        let session = session_in_log(&tokens.session)?;
        let passed = events.iter().any(|event| {
            event["action"] == "request.allowed" && event["session"] == session.as_str()
        });
        if !passed {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One line per event in the order of their clocks, neighbours that say the same in one.
fn compact(mut events: Vec<Value>) -> Result<Vec<String>> {
    // Who reads the log is in it, too: here it is ourselves, waiting.
    events.retain(|event| event["action"] != "audit.read");
    events.sort_by_key(|event| event["occurred"].to_string());
    let mut lines: Vec<(String, String, usize)> = Vec::new();
    for event in &events {
        let said = describe(event)?;
        match lines.last_mut() {
            Some((_, last, count)) if *last == said => *count += 1,
            _ => lines.push((text(event, "occurred")?.to_owned(), said, 1)),
        }
    }
    let shown = lines.into_iter().map(|(occurred, said, count)| {
        let clock = occurred.split(['T', 'Z']).nth(1).unwrap_or_default();
        if count == 1 {
            format!("{clock} {said}")
        } else {
            format!("{clock} {said} ({count} times)")
        }
    });
    Ok(shown.collect())
}

fn describe(event: &Value) -> Result<String> {
    let (action, outcome) = (text(event, "action")?, text(event, "outcome")?);
    let actor = &event["actor"];
    let who = match actor["id"].as_str() {
        // Their own key is the same on every line.
        Some(id) if actor["type"] != "subject" => id,
        _ => text(actor, "type")?,
    };
    let mut words = vec![format!("{action:<20} {outcome:<8} by {who:<8}")];
    words.extend(event["reason"].as_str().map(str::to_owned));
    if SENT_BY_GATEWAYS.contains(&action) {
        let request = &event["request"];
        let texts = ["method", "path"].map(|name| request[name].as_str());
        words.extend(texts.into_iter().flatten().map(str::to_owned));
        words.extend(request["status"].as_u64().map(|status| status.to_string()));
    }
    Ok(words.join(" ").trim_end().to_owned())
}

/// The present, by the service's clock.
fn now(api: &Api) -> Result<String> {
    let body = json!({ "subject": "demo:nobody", "session": "ses_AAAAAAAAAAAAAAAAAAAAAA" });
    let answer = api.check(&body)?.expect(200)?.json()?;
    text(&answer["freshness"], "checked_at").map(str::to_owned)
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
