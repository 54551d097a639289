//! What is found by the index is what a look at every line finds, however much of the index there is.

use super::super::retained;
use super::super::service::LaneService;
use super::super::signer::LogKeyMaker;
use super::super::tests::{append, query};
use super::Size;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::call::Page;
use portcullis_core::audit::event::{Action, Actor, Credential, Event, Outcome, RequestFacts};
use portcullis_core::audit::line::Line;
use portcullis_core::audit::log::checkpoint::Origin;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::personal::{Erase, Erasing};
use portcullis_core::audit::query::{Cursor, Filter, Order};
use portcullis_core::audit::sealed::SealedLine;
use portcullis_core::id::{LogHash, ProducerId, SubjectKey};
use portcullis_core::time::UnixMillis;
use proptest::option;
use proptest::prelude::*;

pub const NOW: UnixMillis = UnixMillis(1_000_000);

pub fn keys(seed: u8) -> LogKeyMaker {
    let origin = Origin::of_lane("https://id.example", 0).expect("an origin");
    LogKeyMaker::new([seed; 32], origin)
}

pub fn lane(size: Size) -> LaneService<HostSql> {
    let lane = LaneService::new(HostSql::new(), Some(keys(1)));
    lane.index.set_size(size);
    lane
}

pub fn put(lane: &LaneService<HostSql>, first_sequence: u64, events: Vec<Event>) -> bool {
    let producer = ProducerId::from_bytes([7; 16]);
    let pack = Pack {
        producer,
        first_sequence,
        events,
    };
    lane.append(append(vec![pack]), NOW).is_ok()
}

/// A page, without an event of its own.
pub fn page(
    lane: &LaneService<HostSql>,
    filter: &Filter,
    order: Order,
    cursor: Option<Cursor>,
    limit: u32,
) -> Page {
    let mut query = query(filter.clone(), order, cursor, limit);
    query.read = None;
    lane.query(query, NOW).expect("reads")
}

pub fn pages(
    lane: &LaneService<HostSql>,
    filter: &Filter,
    order: Order,
    limit: u32,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut cursor = None;
    loop {
        let page = page(lane, filter, order, cursor, limit);
        assert!(page.lines.len() <= limit as usize);
        lines.extend(page.lines);
        assert!(page.next.is_none() || page.next != cursor, "it goes on");
        cursor = page.next;
        if cursor.is_none() {
            return lines;
        }
    }
}

/// A line with the address that is sealed in it, if there is a key for that.
fn opened(lane: &LaneService<HostSql>, text: &str) -> Line {
    let parsed = Line::parse(text).expect("a line");
    let sealed = SealedLine::parse(text);
    let open = |sealed: SealedLine| {
        let key = lane.key_of(&sealed, NOW).expect("reads")?;
        sealed.open(&key)
    };
    match sealed.and_then(open) {
        Some(opened) => parsed.opened(&opened).expect("an address"),
        None => parsed,
    }
}

/// All lines that there are.
pub fn scan(lane: &LaneService<HostSql>, filter: &Filter, order: Order) -> Vec<String> {
    let segments = "SELECT lines FROM segment ORDER BY first_index";
    let rows = lane.sql().exec(segments, &[]).expect("reads");
    let mut lines = Vec::new();
    for row in &rows {
        let text = std::str::from_utf8(row.blob(0).expect("lines")).expect("UTF-8");
        let wanted = |line: &&str| !line.is_empty() && filter.matches(&opened(lane, line));
        lines.extend(text.lines().filter(wanted).map(str::to_owned));
    }
    if order == Order::Newest {
        lines.reverse();
    }
    lines
}

fn groups(lane: &LaneService<HostSql>) -> usize {
    let rows = lane.sql().exec("SELECT 1 FROM grp", &[]);
    rows.expect("reads").len()
}

const ACTIONS: &[Action] = &[Action::Kill, Action::Login, Action::RequestAllowed];

prop_compose! {
    fn events()(
        action in prop::sample::select(ACTIONS), denied: bool, at in 0u64..40, subject in option::of(0u8..4),
        session in option::of(0u8..20), client in option::of("[ab]"), resource in option::of("[ab]"),
        ip in option::of("[ab]"), connection in option::of("[ab]"), by in 0u8..4,
    ) -> Event {
        let subject = subject.map(|n| SubjectKey::from_bytes([n; 16]));
        let actor = match (by, subject) {
            (0, Some(subject)) => Actor::Subject(subject),
            (1, _) => Actor::Operator("a".into()),
            (2, _) => Actor::Connection("b".into()),
            _ => Actor::Anonymous,
        };
        Event {
            subject,
            session: session.map(|n| LogHash::from_bytes([n; 16])),
            client_id: client,
            resource,
            request: Some(RequestFacts { ip, ..RequestFacts::default() }),
            credential: connection.map(|it| Credential { connection: Some(it), ..Credential::default() }),
            ..Event::new(UnixMillis(at), action, if denied { Outcome::Denied } else { Outcome::Success }, actor)
        }
    }
}

prop_compose! {
    fn filters()(
        which in 0u8..12, event in events(), time in option::of((0u64..40, 0u64..40)),
    ) -> Filter {
        let mut filter = Filter {
            from: time.map(|(from, _)| UnixMillis(from)),
            to: time.map(|(from, length)| UnixMillis(from + length)),
            ..Filter::default()
        };
        match which {
            0 => {}
            1 => filter.subject = event.subject,
            2 => filter.session = event.session,
            3 => filter.client_id = event.client_id,
            4 => filter.actor = Some(event.actor),
            5 => filter.connection = event.credential.and_then(|it| it.connection),
            6 => filter.ip = event.request.and_then(|it| it.ip),
            7 => filter.action = Some(event.action),
            8 => filter.outcome = Some(event.outcome),
            9 => (filter.action, filter.outcome) = (Some(event.action), Some(event.outcome)),
            10 => (filter.session, filter.resource) = (event.session, event.resource),
            _ => (filter.subject, filter.ip) = (event.subject, event.request.and_then(|it| it.ip)),
        }
        filter
    }
}

#[derive(Clone, Debug)]
pub enum Step {
    Append(Vec<Event>),
    Build,
    /// The next storage calls but so many fail in one of two ways.
    Fail(u32, bool),
    Restart,
    /// Another `SERVICE_KEY`, for that many appends.
    OtherKey(Vec<Event>),
    /// This subject's keys are destroyed.
    Erase(u8),
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let events = || prop::collection::vec(events(), 1..6);
    let step = prop_oneof![
        8 => events().prop_map(Step::Append),
        4 => Just(Step::Build),
        2 => (0u32..30, any::<bool>()).prop_map(|(nth, persisted)| Step::Fail(nth, persisted)),
        1 => Just(Step::Restart),
        1 => events().prop_map(Step::OtherKey),
        1 => (0u8..4).prop_map(Step::Erase),
    ];
    prop::collection::vec(step, 1..60)
}

pub const SMALL: Size = Size {
    lines: 12,
    segments: 4,
};

pub fn restarted(lane: LaneService<HostSql>, seed: u8) -> LaneService<HostSql> {
    lane.sql().heal();
    let lane = lane.restarted(Some(keys(seed)));
    lane.index.set_size(SMALL);
    lane
}

pub fn run(steps: Vec<Step>) -> LaneService<HostSql> {
    let mut lane = lane(SMALL);
    let mut sequence = 1;
    for step in steps {
        match step {
            Step::Append(events) => {
                let first = sequence;
                sequence += events.len() as u64;
                // What failed is not sent again: here it does not matter whether it is there.
                put(&lane, first, events);
            }
            Step::Build => drop(lane.build_group()),
            Step::Fail(nth, persisted) => {
                let fault = if persisted {
                    Fault::PersistedButReportedFailed
                } else {
                    Fault::NotPersisted
                };
                lane.sql().fail_nth(nth, fault);
            }
            Step::Restart => lane = restarted(lane, 1),
            Step::OtherKey(events) => {
                lane = restarted(lane, 2);
                let first = sequence;
                sequence += events.len() as u64;
                put(&lane, first, events);
                lane = restarted(lane, 1);
            }
            Step::Erase(number) => {
                let _ = erase(&lane, number);
            }
        }
    }
    lane.sql().heal();
    lane
}

/// Destroys the keys of the subject of that number.
pub fn erase(lane: &LaneService<HostSql>, number: u8) -> Result<u64, SqlError> {
    let subject = SubjectKey::from_bytes([number; 16]);
    let by = Actor::Operator("admin".into());
    let erase = Erase {
        what: Erasing::Subject(subject),
        dry_run: false,
        said: Event::new(NOW, Action::AuditErased, Outcome::Success, by),
    };
    let erased = lane.erase(erase, NOW)?;
    Ok(erased.expect("no hold").keys)
}

/// Removes the oldest segments, but not the last.
fn prune(lane: &LaneService<HostSql>, segments: u64) {
    lane.ready().expect("ready");
    let oldest = "SELECT first_index + count FROM segment \
        WHERE first_index < (SELECT max(first_index) FROM segment) ORDER BY first_index LIMIT ?";
    let ends = lane.sql().exec(oldest, &[segments.into()]).expect("reads");
    let Some(last) = ends.last() else { return };
    let to = last.integer(0).expect("an index");
    retained::remove_lines(lane.sql(), 0, to).expect("prunes");
    let mut kept = retained::kept(lane.sql()).expect("reads");
    kept.pruned_to = to;
    retained::put_kept(lane.sql(), &kept).expect("notes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn pages_are_what_a_plain_scan_finds(
        steps in steps(), filters in prop::collection::vec(filters(), 1..8), limit in 1u32..9, more in events(),
        pruned in 0u64..12,
    ) {
        let lane = run(steps);
        prune(&lane, pruned);
        for filter in &filters {
            for order in [Order::Oldest, Order::Newest] {
                prop_assert_eq!(pages(&lane, filter, order, limit), scan(&lane, filter, order));
                prop_assert_eq!(pages(&lane, filter, order, 1000), scan(&lane, filter, order));
            }
        }
        // A page that was read once reads the same again, whatever comes behind it and is indexed.
        let filter = &filters[0];
        let first = page(&lane, filter, Order::Oldest, None, limit);
        let newest = page(&lane, filter, Order::Newest, None, limit);
        let rest = newest.next.map(|next| page(&lane, filter, Order::Newest, Some(next), limit));
        for n in 0..9 {
            prop_assert!(put(&lane, 1_000_000 + n, vec![more.clone()]));
            lane.build_group().expect("builds");
        }
        let again = page(&lane, filter, Order::Oldest, None, limit);
        prop_assert_eq!(&again.lines[..first.lines.len()], &first.lines[..]);
        if let (Some(next), Some(rest)) = (newest.next, rest) {
            prop_assert_eq!(page(&lane, filter, Order::Newest, Some(next), limit).lines, rest.lines);
        }
        prop_assert_eq!(pages(&lane, filter, Order::Newest, limit), scan(&lane, filter, Order::Newest));
    }
}

/// A lane with so many groups, each of four segments with a line each.
fn with_groups(count: u64) -> LaneService<HostSql> {
    let lane = lane(SMALL);
    for n in 0..count * SMALL.segments {
        let event = Event {
            session: Some(LogHash::from_bytes([(n % 251) as u8; 16])),
            ..Event::new(
                UnixMillis(n),
                Action::Kill,
                Outcome::Success,
                Actor::Anonymous,
            )
        };
        assert!(put(&lane, n + 1, vec![event]));
        lane.build_group().expect("builds");
    }
    assert_eq!(groups(&lane) as u64, count);
    lane
}

#[test]
fn what_is_rare_is_found_in_one_page_and_few_calls_and_so_is_that_there_is_nothing() {
    let lane = with_groups(64);
    for (session, lines) in [(250, 1), (252, 0)] {
        let filter = Filter {
            session: Some(LogHash::from_bytes([session; 16])),
            ..Filter::default()
        };
        for order in [Order::Oldest, Order::Newest] {
            let before = lane.sql().calls();
            let found = page(&lane, &filter, order, None, 10);
            let calls = lane.sql().calls() - before;
            assert_eq!((found.lines.len(), found.next), (lines, None));
            assert!(calls < 30, "{calls} calls for 64 groups");
        }
    }
}

#[test]
fn a_time_range_passes_groups_and_segments_that_are_not_of_it() {
    let lane = with_groups(64);
    let filter = Filter {
        from: Some(UnixMillis(130)),
        to: Some(UnixMillis(133)),
        ..Filter::default()
    };
    for order in [Order::Oldest, Order::Newest] {
        let before = lane.sql().calls();
        let found = page(&lane, &filter, order, None, 10);
        let calls = lane.sql().calls() - before;
        assert_eq!((found.lines.len(), found.next), (3, None));
        assert!(calls < 30, "{calls} calls for 64 groups");
    }
}

#[test]
fn a_page_that_costs_too_much_ends_short_and_goes_on() {
    // A few lines of each segment fit: more bytes than a page reads come before it is full.
    let lane = lane(super::GROUP);
    let text = "x".repeat(200);
    let many: Vec<Event> = (0..1500)
        .map(|n| Event {
            resource: Some(text.clone()),
            client_id: (n == 0).then(|| "rare".to_owned()),
            claims: vec![("c".into(), text.clone()), ("d".into(), text.clone())],
            ..Event::new(
                UnixMillis(5),
                Action::Kill,
                Outcome::Success,
                Actor::Anonymous,
            )
        })
        .collect();
    for n in 0..20 {
        assert!(put(&lane, n * 2000 + 1, many.clone()));
    }
    let filter = Filter {
        client_id: Some("rare".to_owned()),
        ..Filter::default()
    };
    let first = page(&lane, &filter, Order::Oldest, None, 100);
    assert!(first.next.is_some());
    assert!(
        (10..20).contains(&first.lines.len()),
        "{}",
        first.lines.len()
    );
    assert_eq!(pages(&lane, &filter, Order::Oldest, 100).len(), 20);
    assert_eq!(pages(&lane, &filter, Order::Newest, 100).len(), 20);
}

#[test]
fn a_failure_at_any_storage_call_leaves_a_group_or_none() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let lane = lane(SMALL);
            for n in 0..SMALL.segments {
                let event = Event::new(
                    UnixMillis(n),
                    Action::Kill,
                    Outcome::Denied,
                    Actor::Anonymous,
                );
                assert!(put(&lane, n + 1, vec![event]));
            }
            assert!(lane.index.is_due());
            lane.sql().fail_nth(nth, fault);
            let built = lane.build_group();
            if lane.sql().heal() {
                assert!(built.is_ok() && nth > 5);
                break;
            }
            assert!(built.is_err());
            lane.build_group().expect("builds");
            assert_eq!(groups(&lane), 1);
            assert!(!lane.index.is_due());
            let denied = Filter {
                outcome: Some(Outcome::Denied),
                ..Filter::default()
            };
            assert_eq!(pages(&lane, &denied, Order::Newest, 3).len(), 4);
        }
    }
}

#[test]
fn a_group_whose_lines_are_gone_goes() {
    let lane = with_groups(4);
    prune(&lane, 9);
    // Each step of the index removes one.
    for n in 100..100 + 2 * SMALL.segments {
        let event = Event::new(NOW, Action::Kill, Outcome::Success, Actor::Anonymous);
        assert!(put(&lane, n, vec![event]));
        lane.build_group().expect("builds");
    }
    assert_eq!(groups(&lane), 4);
    let rows = lane.sql().exec("SELECT DISTINCT grp FROM posting", &[]);
    assert_eq!(rows.expect("reads").len(), 4);
}

#[test]
fn a_commit_costs_no_row_more_for_its_terms_and_a_group_33_at_most() {
    let events: Vec<Event> = (0..100u8)
        .map(|n| Event {
            session: Some(LogHash::from_bytes([n; 16])),
            ..Event::new(
                UnixMillis(5),
                Action::Kill,
                Outcome::Success,
                Actor::Anonymous,
            )
        })
        .collect();
    let written = |lane: &LaneService<HostSql>, first| {
        lane.ready().expect("ready");
        let before = lane.sql().rows_written();
        assert!(put(lane, first, events.clone()));
        lane.sql().rows_written() - before
    };
    let without = LaneService::new(HostSql::new(), None);
    let with = lane(super::GROUP);
    assert_eq!(written(&without, 1), written(&with, 1));
    let with = with_groups(1);
    for n in 10..10 + SMALL.segments {
        put(&with, n * 100, events.clone());
    }
    let before = with.sql().rows_written();
    with.build_group().expect("builds");
    assert_eq!(groups(&with), 2);
    assert!(with.sql().rows_written() - before <= 33);
}
