//! The feed on its way to the gateway, in every way in which it can go wrong: a route does what it declares when its
//! view is too old, what was ended passes no longer than the bound after the feed's commit, who is in force is not
//! denied, and when the fault is over gateways find back by themselves.
//!
//! Each fault: somebody has three sessions, and the gateway a view. The fault begins, two of the sessions are ended,
//! and all are presented for longer than the bound. A gateway remembers what it has denied, so one of those that are
//! ended is presented on the strict route and the other on the bounded ones only. What was seen is
//! [judged](portcullis_e2e::history::History::judge).

use portcullis_core::time::UnixMillis;
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::{App, Tokens};
use portcullis_e2e::chaos::{Chaos, Mode};
use portcullis_e2e::history::{Consistency, History, Kill, Micros, Outcome, Request as Seen};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

const FILE: &str = "tests/e2e/tests/e2e/feed_faults/gateway.toml";
/// What the routes allow.
const BOUND: Duration = Duration::from_secs(1);
/// For how long both sessions are presented beyond the bound.
const WATCHED: Duration = Duration::from_millis(800);

/// A route, and what it does with a view that is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Refresh,
    OrStrict,
    OrRefused,
    Strict,
}

impl Route {
    const ALL: [Self; 4] = [Self::Refresh, Self::OrStrict, Self::OrRefused, Self::Strict];
    const BOUNDED: [Self; 3] = [Self::Refresh, Self::OrStrict, Self::OrRefused];

    const fn path(self) -> &'static str {
        match self {
            Self::Refresh => "/refresh",
            Self::OrStrict => "/or-strict",
            Self::OrRefused => "/or-refused",
            Self::Strict => "/strict",
        }
    }

    fn consistency(self) -> Consistency {
        match self {
            Self::Strict => Consistency::Strict,
            _ => Consistency::Bounded(micros(BOUND)),
        }
    }
}

/// What becomes of the view under a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// It gets too old.
    GetsStale,
    /// It stays fresh enough.
    StaysFresh,
}

/// A stack with a gateway that has a view, and what fails.
struct Faulty {
    stack: Stack,
    chaos: Chaos,
    app: App,
    api: Api,
}

impl Faulty {
    fn start() -> Result<Self> {
        let stack = Stack::start_with(&settings(Mode::Normal))?;
        Ok(Self {
            chaos: Chaos::new(&stack.at),
            app: App::discover(&stack.at)?,
            api: Api::new(&stack.at),
            stack,
        })
    }

    fn get(&self, route: Route, tokens: &Tokens) -> Result<Response> {
        let url = format!("{}{}", self.stack.at.gateway, route.path());
        Request::get(url).bearer(&tokens.access).send()
    }

    /// Waits until every bounded route lets these pass by the view.
    fn expect_a_view(&self, tokens: &Tokens) -> Result {
        for route in Route::BOUNDED {
            until(&format!("a view on {route:?}"), || {
                let response = self.get(route, tokens)?;
                Ok((response.status == 200 && is_by_view(&response)).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Ends a session; when that was in the feed.
    fn end(&self, credential: usize, tokens: &Tokens) -> Result<Kill> {
        let sent = now();
        let body = json!({ "subject": tokens.subject, "session": tokens.session });
        let answer = self.api.revoke(&body)?.expect(200)?;
        let acknowledged = now();
        Ok(Kill {
            covers: vec![credential],
            sent,
            acknowledged: Some(acknowledged),
            committed: commit(&answer.json()?),
        })
    }

    /// Presents the sessions while two of them are ended, and judges what came of it.
    fn end_and_watch(&self, sessions: &Sessions, refused: &[Route]) -> Result {
        let end = AtomicU64::new(Micros::MAX);
        let (kills, after_bound, requests) = thread::scope(|scope| -> Result<_> {
            let end = &end;
            let watchers: Vec<_> = Route::ALL
                .into_iter()
                .enumerate()
                .map(|(way, route)| scope.spawn(move || self.watch(way, route, sessions, end)))
                .collect();
            let ended = self.end_both(sessions);
            let after_bound = ended
                .as_ref()
                .map_or(0, |(_, committed)| committed + micros(BOUND));
            // However late a busy machine is, each route is asked after the bound.
            end.store(after_bound + micros(WATCHED), Ordering::Relaxed);
            let mut requests = Vec::new();
            for watcher in watchers {
                requests.extend(watcher.join().expect("no panic")?);
            }
            Ok((ended?.0, after_bound, requests))
        })?;
        for (way, route) in Route::ALL.into_iter().enumerate() {
            let asked = |seen: &&Seen| seen.way == way && seen.invoked > after_bound;
            let of_ended = |seen: &&Seen| seen.credential != LIVE;
            let late = requests.iter().filter(asked).filter(of_ended).count();
            assert!(late > 0, "{route:?} was not asked after the bound");
        }
        let history = History {
            // A route may be declared to refuse; no other may leave anybody without an answer.
            requests: requests
                .into_iter()
                .filter(|seen| {
                    let may = refused
                        .iter()
                        .any(|route| Route::ALL.get(seen.way) == Some(route));
                    !(may && seen.outcome == Outcome::Nothing)
                })
                .collect(),
            kills,
            faults: Vec::new(),
        };
        let broken = history.judge();
        let told: Vec<String> = broken
            .iter()
            .map(|broken| format!("{broken}: {:?}", history.requests.get(broken.request())))
            .collect();
        assert!(told.is_empty(), "{told:#?}");
        Ok(())
    }

    /// Ends two of them; and when the feed had both.
    fn end_both(&self, sessions: &Sessions) -> Result<(Vec<Kill>, Micros)> {
        let kills = vec![
            self.end(ENDED, &sessions.ended)?,
            self.end(ELSEWHERE, &sessions.elsewhere)?,
        ];
        let committed = kills.iter().map(|kill| kill.committed);
        let committed = committed.collect::<Option<Vec<Micros>>>();
        let committed = committed.ok_or_else(|| Failure::new("not in the feed"))?;
        Ok((kills, committed.into_iter().max().unwrap_or_default()))
    }

    /// Presents the live one and one that is ended on a route, again and again.
    fn watch(
        &self,
        way: usize,
        route: Route,
        sessions: &Sessions,
        end: &AtomicU64,
    ) -> Result<Vec<Seen>> {
        let ended = if route == Route::Strict {
            (ELSEWHERE, &sessions.elsewhere)
        } else {
            (ENDED, &sessions.ended)
        };
        let mut seen = Vec::new();
        let mut over = false;
        while !over {
            // Once more when it is over, so that each is asked then, however long an answer takes.
            over = now() >= end.load(Ordering::Relaxed);
            for (credential, tokens) in [(LIVE, &sessions.live), ended] {
                let invoked = now();
                let response = self.get(route, tokens)?;
                let outcome = match response.status {
                    200 => Outcome::Accepted,
                    401 => Outcome::Denied,
                    503 => Outcome::Nothing,
                    _ => return Err(response.unexpected("200, 401 or 503")),
                };
                seen.push(Seen {
                    credential,
                    way,
                    consistency: route.consistency(),
                    invoked,
                    answered: now(),
                    outcome,
                });
            }
        }
        Ok(seen)
    }

    /// What every route does with the live and the ended one while the view is too old.
    fn expect_as_declared(&self, Sessions { live, ended, .. }: &Sessions) -> Result {
        for route in [Route::Refresh, Route::OrStrict, Route::Strict] {
            let response = self.get(route, live)?.expect(200)?;
            assert!(
                how(&response).starts_with("strict"),
                "{route:?} {}",
                how(&response)
            );
            self.get(route, ended)?.expect(401)?;
        }
        let refused = self.get(Route::OrRefused, live)?.expect(503)?;
        assert_eq!(refused.header("retry-after"), Some("1"));
        // What was denied once is remembered: that is certain, whatever the view's age.
        let refused = self.get(Route::OrRefused, ended)?;
        if matches!(refused.status, 401 | 503) {
            return Ok(());
        }
        Err(refused.unexpected("401 or 503"))
    }

    /// One fault, from a view to a view.
    fn survives(&self, fault: Mode, view: View) -> Result {
        let sessions = self.sessions()?;
        self.chaos.feed(fault)?;
        self.meets_the_fault(&sessions, view)
            .map_err(|failure| Failure::new(format!("{fault:?}: {failure}")))
    }

    fn sessions(&self) -> Result<Sessions> {
        let log_in = || self.app.log_in("alice");
        let (live, ended, elsewhere) = (log_in()?, log_in()?, log_in()?);
        self.expect_a_view(&live)?;
        self.expect_a_view(&ended)?;
        Ok(Sessions {
            live,
            ended,
            elsewhere,
        })
    }

    /// The fault has begun.
    fn meets_the_fault(&self, sessions: &Sessions, view: View) -> Result {
        // Also where it stays fresh: a machine that is busy may be late.
        self.end_and_watch(sessions, &[Route::OrRefused])?;
        assert!(self.chaos.feed_calls()? > 0, "the fault was not met");
        let Sessions { live, ended, .. } = sessions;
        match view {
            View::GetsStale => self.expect_as_declared(sessions)?,
            View::StaysFresh => self.expect_a_view(live)?,
        }
        self.chaos.feed(Mode::Normal)?;
        self.expect_a_view(live)?;
        for route in Route::ALL {
            self.get(route, ended)?.expect(401)?;
        }
        Ok(())
    }
}

/// Somebody's sessions.
struct Sessions {
    /// Nobody ends it.
    live: Tokens,
    /// It is ended, and presented on the bounded routes.
    ended: Tokens,
    /// It is ended, and presented on the strict route.
    elsewhere: Tokens,
}

/// Which credential is which in a record.
const LIVE: usize = 0;
const ENDED: usize = 1;
const ELSEWHERE: usize = 2;

fn settings(feed: Mode) -> Settings {
    Settings {
        // Else the gateway would ask about everybody for the feed's first minute.
        vars: vec!["TEST_FEED_AGE_MS=120000".to_owned()],
        gateway_file: Some(FILE),
        chaos: Some(feed),
        ..Settings::default()
    }
}

/// How the gateway says that a request was checked.
fn how(response: &Response) -> &str {
    response.header("portcullis-check").unwrap_or_default()
}

fn is_by_view(response: &Response) -> bool {
    how(response).starts_with("bounded")
}

fn now() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, micros)
}

fn micros(length: Duration) -> Micros {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

fn commit(answer: &Value) -> Option<Micros> {
    let at = answer["feed"][0]["committed_at"].as_str()?;
    Some(UnixMillis::from_rfc3339(at)?.0 * 1000)
}

#[test]
fn a_feed_that_cannot_be_reached_or_does_not_answer_makes_a_view_old_and_nothing_else() -> Result {
    let faulty = Faulty::start()?;
    faulty.survives(Mode::Cut, View::GetsStale)?;
    faulty.survives(Mode::Silent, View::GetsStale)
}

#[test]
fn a_slow_feed_is_as_good_as_its_answers_are_young() -> Result {
    let faulty = Faulty::start()?;
    faulty.survives(Mode::Delay(Duration::from_millis(300)), View::StaysFresh)?;
    faulty.survives(Mode::Delay(Duration::from_millis(1300)), View::GetsStale)
}

#[test]
fn a_page_that_was_cut_or_forged_is_no_page() -> Result {
    let faulty = Faulty::start()?;
    faulty.survives(Mode::TruncatedEntries, View::GetsStale)?;
    faulty.survives(Mode::TruncatedStatement, View::GetsStale)?;
    faulty.survives(Mode::ForgedEntries, View::GetsStale)?;
    faulty.survives(Mode::ForgedStatement, View::GetsStale)
}

#[test]
fn a_page_that_comes_again_does_not_make_a_view_young() -> Result {
    Faulty::start()?.survives(Mode::Repeat, View::GetsStale)
}

#[test]
fn a_feed_that_goes_back_is_not_followed() -> Result {
    let faulty = Faulty::start()?;
    faulty
        .api
        .revoke(&json!({ "subject": "demo:bob" }))?
        .expect(200)?;
    faulty.chaos.keep()?;
    // The gateway has more than what was kept.
    faulty
        .api
        .revoke(&json!({ "subject": "demo:carol" }))?
        .expect(200)?;
    thread::sleep(BOUND);
    faulty.survives(Mode::Replay, View::GetsStale)
}

#[test]
fn an_earlier_life_of_the_feed_is_not_followed() -> Result {
    let faulty = Faulty::start()?;
    let sessions = faulty.sessions()?;
    faulty.chaos.keep()?;
    let restart = Request::post(format!("{}/v1/feed/restart", faulty.stack.at.service));
    let restart = restart.bearer(bearer::ADMIN).json(&json!({}));
    restart.send()?.expect(200)?;
    // In the new life whoever was vouched for before it began is asked about, and not refused: the view is fresh.
    let follows = || {
        until("the new life", || {
            let response = faulty.get(Route::OrRefused, &sessions.live)?;
            Ok((response.status == 200 && how(&response).starts_with("strict")).then_some(()))
        })
    };
    follows()?;
    faulty.chaos.feed(Mode::Replay)?;
    faulty.end_and_watch(&sessions, &[Route::OrRefused])?;
    assert!(faulty.chaos.feed_calls()? > 0, "the fault was not met");
    faulty.expect_as_declared(&sessions)?;
    faulty.chaos.feed(Mode::Normal)?;
    follows()
}

#[test]
fn an_isolate_that_has_just_begun_knows_nothing_and_says_so() -> Result {
    let mut faulty = Faulty::start()?;
    let sessions = faulty.sessions()?;
    faulty.end(ENDED, &sessions.ended)?;
    faulty.stack.restart(&settings(Mode::Cut))?;
    faulty.expect_as_declared(&sessions)?;
    assert!(faulty.chaos.feed_calls()? > 0, "the fault was not met");
    faulty.chaos.feed(Mode::Normal)?;
    faulty.expect_a_view(&sessions.live)?;
    for route in Route::ALL {
        faulty.get(route, &sessions.ended)?.expect(401)?;
    }
    Ok(())
}

#[test]
fn without_feed_and_checks_nobody_passes_anywhere() -> Result {
    let faulty = Faulty::start()?;
    let sessions = faulty.sessions()?;
    faulty.end(ENDED, &sessions.ended)?;
    faulty.chaos.feed(Mode::Cut)?;
    faulty.chaos.check(Mode::Cut)?;
    thread::sleep(BOUND + Duration::from_millis(50));
    for route in Route::ALL {
        for tokens in [&sessions.live, &sessions.ended] {
            faulty.get(route, tokens)?.expect(503)?;
        }
    }
    assert!(faulty.chaos.checks()? > 0, "nobody was asked");
    faulty.chaos.check(Mode::Normal)?;
    faulty.chaos.feed(Mode::Normal)?;
    faulty.expect_a_view(&sessions.live)
}
