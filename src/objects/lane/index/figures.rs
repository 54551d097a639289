//! How long pages of a long log take. Small among the tests; the figures in docs/performance.md are of more lines.

use super::super::service::LaneService;
use super::GROUP;
use super::tests::{lane, page, put};
use crate::objects::host_sql::HostSql;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::id::{LogHash, SubjectKey};
use portcullis_core::time::UnixMillis;
use std::time::{Duration, Instant};

/// `PORTCULLIS_LINES=1000000 cargo test --release -p portcullis figures -- --nocapture`.
#[test]
fn figures_of_reading_many_lines() {
    let lines = std::env::var("PORTCULLIS_LINES").ok();
    let lines: u64 = lines.and_then(|it| it.parse().ok()).unwrap_or(4_000);
    let lane = lane(GROUP);
    let clock = Instant::now();
    let mut built = Duration::ZERO;
    let mut longest = Duration::ZERO;
    for first in (0..lines).step_by(100) {
        assert!(put(
            &lane,
            first + 1,
            (first..first + 100).map(a_request).collect()
        ));
        if lane.index.is_due() {
            let clock = Instant::now();
            lane.build_group().expect("builds");
            built += clock.elapsed();
            longest = longest.max(clock.elapsed());
        }
    }
    println!(
        "{lines} lines in {:?}, of that {built:?} for groups, {longest:?} the longest",
        clock.elapsed()
    );
    for (name, filter, expected) in asked(lines) {
        for order in [Order::Newest, Order::Oldest] {
            let calls = lane.sql().calls();
            let clock = Instant::now();
            let found = page(&lane, &filter, order, None, 100);
            let (took, calls) = (clock.elapsed(), lane.sql().calls() - calls);
            let count = found.lines.len() as u64;
            println!("{name}, {order:?}: {count} lines in {took:?}, {calls} statements");
            assert!(count == expected.min(100), "{name}: {count}");
            assert!(count == 100 || found.next.is_none(), "{name}");
        }
    }
    figures_by_address(&lane, lines);
}

/// First pages by addresses that have one line of 1,000: their lines lie each in a segment of its own, where all others are sealed, too.
fn figures_by_address(lane: &LaneService<HostSql>, lines: u64) {
    for order in [Order::Newest, Order::Oldest] {
        let mut took = Vec::new();
        let (mut calls, mut opened) = (0, 0);
        for n in 0..FREQUENT {
            let filter = Filter {
                ip: Some(frequent(n)),
                ..Filter::default()
            };
            lane.index.opened.set(0);
            let before = lane.sql().calls();
            let clock = Instant::now();
            let found = page(lane, &filter, order, None, 100);
            took.push(clock.elapsed());
            calls = calls.max(lane.sql().calls() - before);
            opened = opened.max(lane.index.opened.get());
            let count = found.lines.len() as u64;
            assert!(count == (lines / 1000).min(100), "{count}");
            // Lines that were passed over on the way have a fingerprint of 256.
            assert!(lane.index.opened.get() < count + count / 2 + 40);
        }
        took.sort_unstable();
        let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "an address of 1,000, {order:?}: {median:?}, of {FREQUENT} the longest {most:?}, at most {calls} statements and {opened} lines opened"
        );
    }
}

/// What is asked, and how many lines there are of it.
fn asked(lines: u64) -> [(&'static str, Filter, u64); 8] {
    let subject = SubjectKey::from_bytes([0; 16]);
    let session = |n: u64| Filter {
        session: Some(LogHash::from_bytes(u128::from(n).to_be_bytes())),
        ..Filter::default()
    };
    let common = Filter {
        subject: Some(subject),
        ..Filter::default()
    };
    let from = Filter {
        ip: Some(address(lines / 3)),
        ..Filter::default()
    };
    let denied = Filter {
        action: Some(Action::CheckDenied),
        outcome: Some(Outcome::Denied),
        ..Filter::default()
    };
    let day = Filter {
        from: Some(UnixMillis(lines / 2 * 864)),
        to: Some(UnixMillis(lines / 2 * 864 + 86_400_000)),
        ..Filter::default()
    };
    let both = Filter {
        action: Some(Action::RequestAllowed),
        ..session(7)
    };
    [
        ("no filter", Filter::default(), lines),
        ("a common subject", common, lines / 100),
        ("a session of one line", session(lines / 2), 1),
        ("an address", from, 5),
        ("an action denied", denied, lines / 1000),
        ("a day in the middle", day, 100_000.min(lines / 2)),
        ("a session and an action", both, 1),
        ("nothing", session(lines), 0),
    ]
}

fn address(n: u64) -> String {
    format!("2001:db8::{:x}:{:x}", (n / 5) >> 16, (n / 5) & 0xffff)
}

/// How many addresses have a line of 1,000 each.
const FREQUENT: u64 = 20;

fn frequent(n: u64) -> String {
    format!("198.51.100.{n}")
}

/// A hundred thousand a day; one of 100 is of subject 0, one of 1000 is denied.
fn a_request(n: u64) -> Event {
    let subject = if n.is_multiple_of(100) { 0 } else { n % 9973 };
    let subject = SubjectKey::from_bytes(u128::from(subject).to_be_bytes());
    let denied = n % 1000 == 1;
    let (action, outcome) = if denied {
        (Action::CheckDenied, Outcome::Denied)
    } else {
        (Action::RequestAllowed, Outcome::Success)
    };
    Event {
        subject: Some(subject),
        session: Some(LogHash::from_bytes(u128::from(n).to_be_bytes())),
        client_id: Some(format!("client-{}", n % 7)),
        resource: Some("https://api.example".into()),
        request: Some(RequestFacts {
            method: "GET".into(),
            host: "api.example".into(),
            path: "/orders/open".into(),
            status: Some(200),
            ip: Some(match n % 1000 {
                few if few < FREQUENT => frequent(few),
                _ => address(n),
            }),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:128.0)".into()),
            ray: Some("8a1b2c3d4e5f6071".into()),
            asn: Some(13_335),
            country: Some("CH".into()),
        }),
        ..Event::new(
            UnixMillis(n * 864),
            action,
            outcome,
            Actor::Subject(subject),
        )
    }
}
