//! Promise 1 under load: once a kill is acknowledged, nothing that begins later is accepted.

use crate::triggers::at_the_gateway;
use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::people::Person;
use portcullis_e2e::wait::until;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// When something was begun, and whether it was let through.
type Observation = (Instant, bool);

/// Asks without pause until told to stop.
fn observe(stop: &AtomicBool, ask: impl Fn() -> Result<bool>) -> Result<Vec<Observation>> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        seen.push((begun, ask()?));
    }
    Ok(seen)
}

/// Hammers the check and the gateway across `kill`, which returns when it is acknowledged.
fn nothing_begun_after_passes(
    person: &Person,
    tokens: &Tokens,
    kill: impl FnOnce() -> Result,
) -> Result {
    let stop = AtomicBool::new(false);
    let (acknowledged, seen) = thread::scope(|scope| -> Result<_> {
        let check = || {
            observe(&stop, || {
                let answer = person.api.check_session(&tokens.subject, &tokens.session)?;
                Ok(answer["verdict"] == "active")
            })
        };
        let gateway = || observe(&stop, || Ok(at_the_gateway(person, tokens)?.status == 200));
        let watchers = [
            scope.spawn(check),
            scope.spawn(gateway),
            scope.spawn(check),
            scope.spawn(gateway),
        ];
        thread::sleep(Duration::from_millis(150));
        let killed = kill();
        let acknowledged = Instant::now();
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let mut seen = Vec::new();
        for watcher in watchers {
            seen.extend(watcher.join().expect("no panic")?);
        }
        killed.map(|()| (acknowledged, seen))
    })?;
    let passed = seen.iter().filter(|(_, passed)| *passed);
    assert!(
        passed.clone().count() > 0,
        "nothing passed before the kill either"
    );
    let late = passed.filter(|(begun, _)| *begun >= acknowledged).count();
    let after = seen
        .iter()
        .filter(|(begun, _)| *begun >= acknowledged)
        .count();
    assert!(after > 0, "nothing was asked after the kill");
    assert_eq!(
        late, 0,
        "{late} of {after} that began after the acknowledgement passed"
    );
    Ok(())
}

#[test]
fn nothing_begun_after_an_acknowledged_deactivation_passes() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    for _ in 0..3 {
        let tokens = person.app.log_in(person.name)?;
        nothing_begun_after_passes(&person, &tokens, || {
            person.scim.set_active(&id, false).map(drop)
        })?;
        person.scim.set_active(&id, true)?;
    }
    Ok(())
}

#[test]
fn nothing_begun_after_an_acknowledged_admin_kill_passes() -> Result {
    let person = Person::new()?;
    for _ in 0..3 {
        let tokens = person.app.log_in(person.name)?;
        let body = json!({ "subject": tokens.subject, "session": tokens.session });
        nothing_begun_after_passes(&person, &tokens, || {
            person.api.revoke(&body)?.expect(200).map(drop)
        })?;
    }
    Ok(())
}

#[test]
fn no_log_in_that_races_a_deactivation_survives_it() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    for _ in 0..3 {
        let stop = AtomicBool::new(false);
        let logged_in = AtomicUsize::new(0);
        let given = thread::scope(|scope| -> Result<Vec<Tokens>> {
            let log_in = || {
                let mut given = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    // Refusals are to be expected; what counts is what the successes are worth.
                    given.extend(person.app.log_in(person.name).ok());
                    logged_in.fetch_add(given.len(), Ordering::Relaxed);
                }
                given
            };
            let threads = [scope.spawn(log_in), scope.spawn(log_in)];
            until("a log-in", || {
                Ok((logged_in.load(Ordering::Relaxed) > 1).then_some(()))
            })?;
            let killed = person.scim.set_active(&id, false);
            thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::Relaxed);
            let given = threads.map(|thread| thread.join().expect("no panic"));
            killed.map(|_| given.concat())
        })?;
        assert!(!given.is_empty());
        for tokens in &given {
            person.api.expect_denied(tokens, "subject_disabled")?;
        }
        assert!(person.api.sessions(&person.claim())?.is_empty());
        person.scim.set_active(&id, true)?;
        for tokens in &given {
            person.api.expect_denied(tokens, "session_ended")?;
        }
    }
    Ok(())
}
