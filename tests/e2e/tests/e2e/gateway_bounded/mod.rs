//! The gateway deciding by its own view of the feed: how old that is, and what passes no longer once it was
//! ended.

use portcullis_e2e::app::Tokens;
use portcullis_e2e::connection::Connection;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::{unix_secs, until};
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

const FILE: &str = "tests/e2e/tests/e2e/gateway_bounded/gateway.toml";
/// How old the view may be on the route of these tests.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A stack whose feed is old enough for new tokens, for one that has just begun knows nothing of them.
fn start(more: &[&str]) -> Result<Arc<Stack>> {
    let usual = ["TEST_FEED_AGE_MS=600000"];
    let vars = usual.iter().chain(more).map(|&var| var.to_owned());
    Ok(Arc::new(Stack::start_with(&Settings {
        vars: vars.collect(),
        gateway_file: Some(FILE),
        ..Settings::default()
    })?))
}

/// The stack of most of these tests.
fn site() -> Result<Site> {
    static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stack) = shared.upgrade() {
        return Site::at(stack);
    }
    let stack = start(&[])?;
    *shared = Arc::downgrade(&stack);
    Site::at(stack)
}

fn get(site: &Site, tokens: &Tokens, path: &str) -> Result<Response> {
    let url = format!("{}{path}", site.endpoints().gateway);
    Request::get(url).bearer(&tokens.access).send()
}

/// How the request was checked.
fn how(response: &Response) -> String {
    let header = response.header("portcullis-check");
    header.unwrap_or_default().to_owned()
}

/// The age of the view that the request passed by.
fn age_ms(response: &Response) -> Result<u64> {
    let how = how(response);
    let age = how
        .strip_prefix("bounded; age=")
        .and_then(|rest| rest.strip_suffix("; max=1000"))
        .and_then(|age| age.parse().ok());
    age.ok_or_else(|| Failure::new(format!("{how:?} is no age")))
}

#[test]
fn who_is_in_force_passes_by_a_view_that_is_as_old_as_is_said() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("alice")?;
    for _ in 0..5 {
        let response = get(&site, &tokens, "/bounded")?.expect(200)?;
        assert!(age_ms(&response)? <= 1000);
    }
    // Once nobody came for a while it is asked for first.
    thread::sleep(Duration::from_millis(1500));
    let response = get(&site, &tokens, "/bounded")?.expect(200)?;
    assert!(age_ms(&response)? <= 1000);
    let strict = get(&site, &tokens, "/strict")?.expect(200)?;
    assert!(how(&strict).starts_with("strict; at="), "{}", how(&strict));
    Ok(())
}

#[test]
fn a_route_that_finds_the_view_too_old_does_as_it_says() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("alice")?;
    let strict = get(&site, &tokens, "/or-strict")?.expect(200)?;
    assert!(how(&strict).starts_with("strict; at="), "{}", how(&strict));
    let refused = get(&site, &tokens, "/or-refused")?.expect(503)?;
    assert_eq!(refused.header("retry-after"), Some("1"));
    Ok(())
}

#[test]
fn nothing_passes_by_the_view_that_was_ended_longer_ago_than_it_may_be_old() -> Result {
    let site = site()?;
    let mut denied = 0;
    for whole in [false, true] {
        let tokens = site.app.log_in("bob")?;
        age_ms(&get(&site, &tokens, "/bounded")?.expect(200)?)?;
        let kill = if whole {
            json!({ "subject": tokens.subject })
        } else {
            json!({ "subject": tokens.subject, "session": tokens.session })
        };
        site.api.revoke(&kill)?.expect(200)?;
        let acknowledged = Instant::now();
        let before = denied;
        while acknowledged.elapsed() < 2 * MAX_AGE {
            let begun = acknowledged.elapsed();
            let response = get(&site, &tokens, "/bounded")?;
            if response.status == 200 {
                assert!(begun <= MAX_AGE, "passed {begun:?} after the kill");
                let age = age_ms(&response)?;
                assert!(begun.as_millis() <= u128::from(age) + 1, "{begun:?} {age}");
            } else {
                response.expect(401)?;
                denied += 1;
                thread::sleep(Duration::from_millis(100));
            }
        }
        assert!(denied > before);
        // What is remembered of a dead token is in the log as what was asked is.
        let denials = format!("subject={}&action=check.denied", tokens.subject);
        site.api.expect_events(&denials, denied)?;
        if whole {
            // Who is let in by a new log-in passes: in its first minute by a strict check.
            let again = site.app.log_in("bob")?;
            let response = get(&site, &again, "/bounded")?.expect(200)?;
            assert!(how(&response).starts_with("strict"), "{}", how(&response));
        }
    }
    Ok(())
}

#[test]
fn one_token_alone_can_be_ended() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("carol")?;
    age_ms(&get(&site, &tokens, "/bounded")?.expect(200)?)?;
    let body = json!({ "subject": tokens.subject, "jti": tokens.token_id });
    site.api.revoke(&body)?.expect(200)?;
    until("the end of the token", || {
        Ok((get(&site, &tokens, "/bounded")?.status == 401).then_some(()))
    })?;
    Ok(())
}

#[test]
fn a_providers_token_passes_by_the_view_once_the_service_vouched_for_it_until_it_is_ended() -> Result
{
    let settings = json!({ "tokens": { "audiences": ["api://app"], "max_age_secs": 3600 } });
    let site = Site::at(start(&[])?)?;
    let connection = Connection::at(site, |client| client, &settings)?;
    let now = unix_secs();
    let claims = json!({
        "iss": connection.upstream.issuer, "sub": "alice", "aud": "api://app", "iat": now - 60,
        "exp": now + 600,
    });
    let token = connection.upstream.token(&claims, &json!({}))?;
    let get = || {
        let url = format!("{}/bounded", connection.endpoints().gateway);
        Request::get(url).bearer(&token).send()
    };
    let first = get()?.expect(200)?;
    assert!(how(&first).starts_with("strict; at="), "{}", how(&first));
    age_ms(&get()?.expect(200)?)?;
    let kill = json!({ "subject": connection.claim("alice") });
    connection.api.revoke(&kill)?.expect(200)?;
    thread::sleep(MAX_AGE);
    for _ in 0..2 {
        get()?.expect(401)?;
    }
    Ok(())
}

#[test]
fn with_several_feeds_each_of_them_is_looked_at() -> Result {
    let site = Site::at(start(&["FEED_SHARDS=3"])?)?;
    for name in ["alice", "bob", "carol"] {
        let tokens = site.app.log_in(name)?;
        age_ms(&get(&site, &tokens, "/bounded")?.expect(200)?)?;
        let kill = json!({ "subject": tokens.subject });
        site.api.revoke(&kill)?.expect(200)?;
        thread::sleep(MAX_AGE);
        get(&site, &tokens, "/bounded")?.expect(401)?;
    }
    Ok(())
}

#[test]
fn a_feed_that_has_just_begun_leaves_what_was_issued_before_to_strict_checks() -> Result {
    let site = Site::at(start(&["TEST_FEED_AGE_MS="])?)?;
    let tokens = site.app.log_in("alice")?;
    let response = get(&site, &tokens, "/bounded")?.expect(200)?;
    assert!(
        how(&response).starts_with("strict; at="),
        "{}",
        how(&response)
    );
    let kill = json!({ "subject": tokens.subject, "session": tokens.session });
    site.api.revoke(&kill)?.expect(200)?;
    get(&site, &tokens, "/bounded")?.expect(401)?;
    Ok(())
}

#[test]
fn a_kill_that_the_feed_does_not_have_yet_holds_for_strict_routes_and_reaches_the_others() -> Result
{
    let site = Site::at(start(&["TEST_FEED_DELAY_MS=3000"])?)?;
    let tokens = site.app.log_in("alice")?;
    age_ms(&get(&site, &tokens, "/bounded")?.expect(200)?)?;
    let kill = json!({ "subject": tokens.subject, "session": tokens.session });
    site.api.revoke(&kill)?.expect(202)?;
    get(&site, &tokens, "/strict")?.expect(401)?;
    until("the end of the session by the view", || {
        Ok((get(&site, &tokens, "/bounded")?.status == 401).then_some(()))
    })
}
