//! Promises 1, 4 and 5 through a crash: every process is killed with SIGKILL between the
//! acknowledgement of a kill and its delivery to the log, and started again on the same state.
//!
//! The service is told to hold back its first delivery (`TEST_DELIVERY_DELAY_MS`, development only),
//! so that what reaches the log after a restart was carried there by what is stored.
//! `PORTCULLIS_CRASH_ROUNDS` sets the number of rounds.

use portcullis_e2e::api::{Api, session_in_log};
use portcullis_e2e::app::{App, Tokens};
use portcullis_e2e::scim::Scim;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::time::{Duration, Instant};

const ROUNDS: usize = 20;
/// How long deliveries are held back, round by round. With none the crash comes somewhere between
/// delivery and the receiver's answer, or after it.
const DELAYS_MS: [u32; 3] = [50, 1000, 0];
/// Within this time of the kill, a delivery that is held back for a second cannot have happened.
const SURELY_BEFORE: Duration = Duration::from_millis(900);

/// How the session of a round is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Session,
    Scim,
    Subject,
}

/// One round's plan.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: usize,
    trigger: Trigger,
    delay_ms: u32,
}

impl Round {
    /// Every trigger meets every delay.
    fn plan(number: usize) -> Self {
        let triggers = [Trigger::Session, Trigger::Scim, Trigger::Subject];
        Self {
            number,
            trigger: triggers[(number + number / 3) % triggers.len()],
            delay_ms: DELAYS_MS[number % DELAYS_MS.len()],
        }
    }

    fn settings(self) -> Settings {
        Settings::vars(&[&format!("TEST_DELIVERY_DELAY_MS={}", self.delay_ms)])
    }
}

/// The stack under test, and what talks to it; its addresses stay the same.
struct Crashing {
    stack: Stack,
    app: App,
    api: Api,
    scim: Scim,
    /// Alice's id in the directory.
    user: String,
}

#[test]
fn a_kill_survives_a_crash_before_its_delivery_and_is_in_the_log_once() -> Result {
    let rounds = match env::var("PORTCULLIS_CRASH_ROUNDS") {
        Ok(rounds) => rounds.parse()?,
        Err(_) => ROUNDS,
    };
    let stack = Stack::start_with(&Round::plan(0).settings())?;
    let scim = Scim::new(&stack.at);
    let mut crashing = Crashing {
        app: App::discover(&stack.at)?,
        api: Api::new(&stack.at),
        user: scim.provision("alice")?,
        scim,
        stack,
    };
    let bystander = crashing.app.log_in("bob")?;
    let mut ended_alone = Vec::new();
    let mut caught_before_delivery = 0;
    for round in (0..rounds).map(Round::plan) {
        let (tokens, caught) = crashing.round(round).map_err(|failure| {
            let said = crashing.stack.output();
            Failure::new(format!("{round:?}: {failure}\nthe stack said:\n{said}"))
        })?;
        caught_before_delivery += usize::from(caught);
        if round.trigger == Trigger::Session {
            ended_alone.push(tokens);
        }
    }
    assert!(
        caught_before_delivery > 0 || rounds < DELAYS_MS.len(),
        "no crash came before its delivery"
    );
    let untouched = crashing
        .api
        .check_session(&bystander.subject, &bystander.session)?;
    assert_eq!(untouched["verdict"], "active", "{untouched}");
    crashing.expect_each_event_once(rounds, &ended_alone)
}

impl Crashing {
    /// Logs in, kills, crashes, restarts, and looks: the session is dead, and its kill reaches the
    /// log. Gives back whether the kill was surely not there before the crash.
    fn round(&mut self, round: Round) -> Result<(Tokens, bool)> {
        let tokens = self.app.log_in("alice")?;
        let subject = &tokens.subject;
        let begun = Instant::now();
        let denied_for = self.kill(round.trigger, &tokens)?;
        let mut caught = false;
        if round.delay_ms == 1000 {
            let logged = self.kills(subject)?;
            caught = begun.elapsed() < SURELY_BEFORE;
            assert!(!caught || logged == round.number, "it was not held back");
        }
        self.stack.kill_hard()?;
        self.stack
            .restart(&Round::plan(round.number + 1).settings())?;

        // Every other time the log is asked first: no question wakes the object, its alarm must.
        if round.number.is_multiple_of(2) {
            self.expect_logged(round, subject)?;
        }
        self.api.expect_denied(&tokens, denied_for)?;
        self.expect_logged(round, subject)?;
        if round.trigger == Trigger::Scim {
            self.scim.set_active(&self.user, true)?;
            self.api.expect_denied(&tokens, "session_ended")?;
        }
        Ok((tokens, caught))
    }

    /// Returns when the kill is acknowledged, with the reason for which a check now denies.
    fn kill(&self, trigger: Trigger, tokens: &Tokens) -> Result<&'static str> {
        let body = match trigger {
            Trigger::Scim => {
                self.scim.set_active(&self.user, false)?;
                return Ok("subject_disabled");
            }
            Trigger::Subject => json!({ "subject": tokens.subject }),
            Trigger::Session => json!({ "subject": tokens.subject, "session": tokens.session }),
        };
        self.api.revoke(&body)?.expect(200)?;
        Ok("session_ended")
    }

    fn kills(&self, subject: &str) -> Result<usize> {
        let query = format!("subject={subject}&action=kill");
        Ok(self.api.events(&query)?.len())
    }

    /// Waits for one kill per round so far; more is a failure at once.
    fn expect_logged(&self, round: Round, subject: &str) -> Result {
        let expected = round.number + 1;
        until("the kill in the log after the restart", || {
            match self.kills(subject)? {
                count if count > expected => {
                    Err(Failure::new(format!("{count} kills, {expected} expected")))
                }
                count => Ok((count == expected).then_some(())),
            }
        })
    }

    /// Looks at the whole log when all is over.
    fn expect_each_event_once(&self, rounds: usize, ended_alone: &[Tokens]) -> Result {
        // Whatever could still arrive again has had its chance when something newer is there.
        let last = self.app.log_in("alice")?;
        let subject = &last.subject;
        self.kill(Trigger::Session, &last)?;
        for action in ["session.login", "token.issued", "kill"] {
            let query = format!("subject={subject}&action={action}");
            self.api.expect_events(&query, rounds + 1)?;
        }
        let events = self.api.story(subject)?;
        let mut seen = BTreeSet::new();
        for event in &events {
            let identity = (event["producer"].to_string(), event["sequence"].as_u64());
            if !seen.insert(identity) {
                return Err(Failure::new(format!("twice in the log: {event}")));
            }
        }
        for tokens in ended_alone {
            expect_one_kill_of(&events, &tokens.session)?;
        }
        Ok(())
    }
}

fn expect_one_kill_of(events: &[Value], session: &str) -> Result {
    let session = session_in_log(session)?;
    let kills = events
        .iter()
        .filter(|event| event["action"] == "kill" && event["session"] == session.as_str());
    match kills.count() {
        1 => Ok(()),
        count => Err(Failure::new(format!("{count} kills of {session}"))),
    }
}
