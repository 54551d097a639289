//! Promises 1, 4 and 5 through a crash: every process is killed with SIGKILL between the
//! acknowledgement of a kill and its delivery to the log, and started again on the same state.
//!
//! The service is told to hold back its first delivery (`TEST_DELIVERY_DELAY_MS`, development only),
//! so that what reaches the log after a restart was carried there by what is stored.

use portcullis_e2e::api::session_in_log;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::people::Person;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::sync::Arc;

const ROUNDS: usize = 20;
/// Zero is the usual service: now and then the crash comes between delivery and its acknowledgement.
const DELAYS_MS: [u32; 3] = [50, 1000, 0];

/// How the session of a round is ended.
#[derive(Clone, Copy, Debug)]
enum Trigger {
    Session,
    Subject,
    Scim,
}

/// One killed session, and what the log must say of it once.
struct Killed {
    trigger: Trigger,
    tokens: Tokens,
}

impl Killed {
    fn reason(&self) -> &'static str {
        match self.trigger {
            Trigger::Session | Trigger::Subject => "session_ended",
            Trigger::Scim => "subject_disabled",
        }
    }
}

#[test]
fn a_kill_survives_a_crash_before_its_delivery_and_is_in_the_log_once() -> Result {
    let rounds = match env::var("PORTCULLIS_CRASH_ROUNDS") {
        Ok(rounds) => rounds.parse()?,
        Err(_) => ROUNDS,
    };
    let mut stack = Stack::start_with(&delayed(DELAYS_MS[0]))?;
    let mut killed = Vec::new();
    let mut user_id = None;
    for round in 0..rounds {
        // Every trigger meets every delay.
        let trigger = [Trigger::Session, Trigger::Scim, Trigger::Subject][(round + round / 3) % 3];
        let delay = DELAYS_MS[round % DELAYS_MS.len()];
        let (next, round_killed) =
            one_round(stack, round, trigger, delay, &mut user_id).map_err(|failure| {
                Failure::new(format!("round {round}, {trigger:?}, {delay} ms: {failure}"))
            })?;
        stack = next;
        killed.push(round_killed);
    }
    // Whatever could still arrive twice has had its chance: something newer is in the log.
    let person = Person::at(Arc::new(stack), "alice")?;
    let last = person.app.log_in(person.name)?;
    let subject = &last.subject;
    let marker = json!({ "subject": subject, "session": last.session });
    person.api.revoke(&marker)?.expect(200)?;
    person
        .api
        .expect_events(&format!("subject={subject}&action=kill"), rounds + 1)?;
    person.api.expect_events(
        &format!("subject={subject}&action=session.login"),
        rounds + 1,
    )?;
    person.api.expect_events(
        &format!("subject={subject}&action=token.issued"),
        rounds + 1,
    )?;
    let events = person.api.events(&format!("subject={subject}"))?;
    expect_each_once(&events)?;
    for one in killed
        .iter()
        .filter(|one| matches!(one.trigger, Trigger::Session))
    {
        expect_kill_of(&events, &one.tokens)?;
    }
    Ok(())
}

/// Logs in, kills, crashes, restarts, and looks: the session is dead, and its kill comes to the log.
fn one_round(
    stack: Stack,
    round: usize,
    trigger: Trigger,
    delay_ms: u32,
    user_id: &mut Option<String>,
) -> Result<(Stack, Killed)> {
    let stack = Arc::new(stack);
    let person = Person::at(Arc::clone(&stack), "alice")?;
    let id = match user_id.take() {
        Some(id) => id,
        None => person.scim.provision(person.name)?,
    };
    let tokens = person.app.log_in(person.name)?;
    let killed = Killed { trigger, tokens };
    let Tokens {
        subject, session, ..
    } = &killed.tokens;
    match trigger {
        Trigger::Scim => drop(person.scim.set_active(&id, false)?),
        Trigger::Subject => drop(
            person
                .api
                .revoke(&json!({ "subject": subject }))?
                .expect(200)?,
        ),
        Trigger::Session => {
            let body = json!({ "subject": subject, "session": session });
            drop(person.api.revoke(&body)?.expect(200)?);
        }
    }
    drop(person);
    let mut stack =
        Arc::into_inner(stack).ok_or_else(|| Failure::new("the stack is still in use"))?;
    stack.kill_hard()?;
    // The next round's delay; what waits in storage is due at once or when its time comes.
    stack.restart(&delayed(DELAYS_MS[(round + 1) % DELAYS_MS.len()]))?;

    let stack = Arc::new(stack);
    let person = Person::at(Arc::clone(&stack), "alice")?;
    // Every other round asks the log first, so that no question wakes the object: its alarm must.
    if delay_ms > 0 && round.is_multiple_of(2) {
        expect_logged(&person, round, subject)?;
    }
    person.api.expect_denied(&killed.tokens, killed.reason())?;
    expect_logged(&person, round, subject)?;
    if matches!(trigger, Trigger::Scim) {
        person.scim.set_active(&id, true)?;
        person.api.expect_denied(&killed.tokens, "session_ended")?;
    }
    *user_id = Some(id);
    drop(person);
    let stack = Arc::into_inner(stack).ok_or_else(|| Failure::new("the stack is still in use"))?;
    Ok((stack, killed))
}

/// Waits for as many kills in the log as there were rounds so far; more fails.
fn expect_logged(person: &Person, round: usize, subject: &str) -> Result {
    let query = format!("subject={subject}&action=kill");
    until("the kill in the log after the restart", || {
        match person.api.events(&query)?.len() {
            count if count > round + 1 => Err(Failure::new(format!("{count} kills in the log"))),
            count => Ok((count == round + 1).then_some(())),
        }
    })
}

fn expect_kill_of(events: &[Value], tokens: &Tokens) -> Result {
    let session = session_in_log(&tokens.session)?;
    let kills = events
        .iter()
        .filter(|event| event["action"] == "kill" && event["session"] == session.as_str());
    match kills.count() {
        1 => Ok(()),
        count => Err(Failure::new(format!(
            "{count} kills of {session} in the log"
        ))),
    }
}

fn expect_each_once(events: &[Value]) -> Result {
    let mut seen = BTreeSet::new();
    for event in events {
        if !seen.insert((event["producer"].to_string(), event["sequence"].as_u64())) {
            return Err(Failure::new(format!("twice in the log: {event}")));
        }
    }
    Ok(())
}

fn delayed(ms: u32) -> Settings {
    Settings {
        vars: vec![format!("TEST_DELIVERY_DELAY_MS={ms}")],
        ..Settings::default()
    }
}
