//! Personal fields in a lane: sealed, opened, disclosed, erased, through failures of storage.

use super::service::LaneService;
use super::store;
use super::tests::{append, query};
use super::tree_tests::{Lane, entries, keys, lane, ours, reckoned, signed, verifier};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::sql::{Sql, Value};
use crate::seal::Sealed;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::audit::line::Position;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::personal::{
    Disclose, Erase, Erasing, Erasure, Held, MAX_LINES, QueryPersonal,
};
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::audit::sealed::{Day, LeafKey, Owner, PersonKey, SealedLine};
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;

const DAY_MS: u64 = 24 * 3600 * 1000;
const AGENT: &str = "an agent like no other";

fn person(byte: u8) -> SubjectKey {
    SubjectKey::from_bytes([byte; 16])
}

fn said(actor: Actor, ip: &str) -> Event {
    Event {
        request: Some(RequestFacts {
            method: "GET".into(),
            host: "h".into(),
            path: "/p".into(),
            ip: Some(ip.into()),
            user_agent: Some(AGENT.into()),
            ..RequestFacts::default()
        }),
        claims: vec![("cost_center".into(), "number 4711".into())],
        ..Event::new(
            UnixMillis(5),
            Action::RequestAllowed,
            Outcome::Success,
            actor,
        )
    }
}

/// The n-th event of a producer: of the person of that number, from an address that says which it is.
fn pack_of(person_number: u8, first_sequence: u64, events: u64) -> Pack {
    let event = |n| {
        let ip = format!("2001:db8::{person_number}:{}", first_sequence + n);
        said(Actor::Subject(person(person_number)), &ip)
    };
    Pack {
        producer: ProducerId::from_bytes([person_number; 16]),
        first_sequence,
        events: (0..events).map(event).collect(),
    }
}

fn add(lane: &Lane, person_number: u8, first_sequence: u64, events: u64, now: u64) {
    let packs = vec![pack_of(person_number, first_sequence, events)];
    lane.append(append(packs), UnixMillis(now))
        .expect("appends");
}

fn operator(action: Action) -> Event {
    Event {
        action,
        ..said(Actor::Operator("admin".into()), "192.0.2.99")
    }
}

fn erase_of(what: Erasing, dry_run: bool) -> Erase {
    let subject = match what {
        Erasing::Subject(key) => Some(key),
        Erasing::UnattributedBefore(_) => None,
    };
    Erase {
        what,
        dry_run,
        said: Event {
            subject,
            ..operator(if dry_run {
                Action::AuditRead
            } else {
                Action::AuditErased
            })
        },
    }
}

fn erase(lane: &Lane, number: u8, now: u64) -> Erasure {
    let what = Erasing::Subject(person(number));
    lane.erase(erase_of(what, false), UnixMillis(now))
        .expect("answers")
        .expect("erases")
}

fn ask(lane: &Lane, number: u8, now: u64) -> Erasure {
    let what = Erasing::Subject(person(number));
    lane.erase(erase_of(what, true), UnixMillis(now))
        .expect("answers")
        .expect("says")
}

/// What is read of requests: index and what is sealed there.
fn read(lane: &Lane, now: u64) -> Vec<(u64, Option<String>)> {
    let filter = Filter {
        action: Some(Action::RequestAllowed),
        ..Filter::default()
    };
    let query = query(filter, Order::Oldest, None, 1000);
    let page = lane.query_personal(QueryPersonal { query }, UnixMillis(now));
    page.expect("reads").personal
}

fn texts(lane: &Lane) -> Vec<String> {
    let lines = entries(lane).into_iter();
    lines
        .map(|line| String::from_utf8(line).expect("UTF-8"))
        .collect()
}

/// Every value in every table.
fn everything(sql: &impl Sql) -> Vec<Value> {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let tables = sql.exec(tables, &[]).expect("reads");
    let mut found = Vec::new();
    for table in tables {
        let all = format!("SELECT * FROM {}", table.text(0).expect("a name"));
        for row in sql.exec(&all, &[]).expect("reads") {
            found.extend(row.0);
        }
    }
    found
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[test]
fn nothing_personal_is_anywhere_in_clear_and_what_is_sealed_is_what_was_said() {
    let lane = lane();
    add(&lane, 1, 1, 3, 1000);
    add(&lane, 2, 1, 1, 1001);
    for value in everything(lane.sql()) {
        let bytes = match &value {
            Value::Text(text) => text.as_bytes(),
            Value::Blob(bytes) => bytes,
            Value::Null | Value::Integer(_) => continue,
        };
        for clear in [AGENT, "2001:db8", "4711", "cost_center"] {
            assert!(!holds(bytes, clear.as_bytes()), "{value:?}");
        }
    }
    let found = read(&lane, 2000);
    let expected = format!(
        r#"{{"ip":"2001:db8::1:2","user_agent":"{AGENT}","claims":{{"cost_center":"number 4711"}}}}"#
    );
    assert_eq!(found[1], (1, Some(expected)));
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|(_, text)| text.is_some()));
}

#[test]
fn without_the_services_key_nothing_personal_is_taken_and_all_else_is() {
    let lane = LaneService::new(HostSql::new(), None);
    let personal = append(vec![pack_of(1, 1, 1)]);
    assert!(lane.append(personal, UnixMillis(1)).is_err());
    assert_eq!(store::next_index(lane.sql()), Ok(0));
    lane.append(append(vec![super::tests::pack(1, 1, 1)]), UnixMillis(1))
        .expect("appends");
    assert_eq!(store::next_index(lane.sql()), Ok(1));
}

#[test]
fn a_person_costs_one_row_and_later_lines_none_and_no_statement() {
    let lane = lane();
    add(&lane, 1, 1, 1, 1000);
    let keys = "SELECT count(*) FROM person_key";
    let count = |lane: &Lane| {
        let rows = lane.sql().exec(keys, &[]).expect("reads");
        rows[0].integer(0).expect("a count")
    };
    assert_eq!(count(&lane), 1);
    // The key is read once more when its transaction is over.
    add(&lane, 1, 2, 1, 1001);
    let (calls, rows) = (lane.sql().calls(), lane.sql().rows_written());
    add(&lane, 1, 3, 100, 1002);
    let with = (lane.sql().calls() - calls, lane.sql().rows_written() - rows);
    let (calls, rows) = (lane.sql().calls(), lane.sql().rows_written());
    let bare = |event| Event {
        request: None,
        claims: Vec::new(),
        ..event
    };
    let mut pack = pack_of(1, 103, 100);
    pack.events = pack.events.into_iter().map(bare).collect();
    lane.append(append(vec![pack]), UnixMillis(1003))
        .expect("appends");
    let without = (lane.sql().calls() - calls, lane.sql().rows_written() - rows);
    assert_eq!(with, without);
    assert_eq!(count(&lane), 1);
}

#[test]
fn what_is_erased_is_read_by_nobody_and_every_line_and_proof_stays() {
    let lane = lane();
    add(&lane, 1, 1, 2, 1000);
    add(&lane, 2, 1, 2, 1001);
    let before = texts(&lane);
    let head = verifier(&lane)
        .open(&signed(&lane).expect("signs"))
        .expect("a checkpoint");
    let asked = ask(&lane, 1, 2000);
    assert_eq!(
        (asked.keys, asked.since, asked.lines, asked.at_least),
        (1, Some(UnixMillis(1000)), 2, false)
    );
    assert_eq!(asked.erased_at, None);
    let erased = erase(&lane, 1, 2001);
    assert_eq!((erased.keys, erased.erased_at), (1, Some(UnixMillis(2001))));
    let found = read(&lane, 2002);
    let opens: Vec<bool> = found.iter().map(|(_, text)| text.is_some()).collect();
    assert_eq!(opens, [false, false, true, true]);

    let after = texts(&lane);
    assert_eq!(after[..before.len()], before);
    let size = usize::try_from(head.size).expect("small");
    assert_eq!(reckoned(&entries(&lane)[..size]), head);
    let said = after
        .iter()
        .find(|line| line.contains(r#""action":"audit.erased""#))
        .expect("is logged");
    assert!(
        said.contains(&format!(r#""subject":"{}""#, person(1))),
        "{said}"
    );
    assert!(
        said.contains(r#""actor":{"type":"operator","id":"admin"}"#),
        "{said}"
    );
    // Again is the same, and nothing is said: neither the erasure's own line nor reading made another key.
    let lines = store::next_index(lane.sql());
    let again = erase(&lane, 1, 3000);
    assert_eq!((again.keys, again.erased_at), (0, Some(UnixMillis(2001))));
    assert_eq!(store::next_index(lane.sql()), lines);
}

#[test]
fn nothing_in_the_database_opens_what_was_erased_and_its_file_has_no_trace_of_the_key() {
    let path = std::env::temp_dir().join(format!("portcullis-erased-{}", std::process::id()));
    let lane = LaneService::new(HostSql::in_file(&path), Some(ours()));
    add(&lane, 1, 1, 1, 1000);
    add(&lane, 2, 1, 1, 1000);
    let owner = Owner::Subject(person(1));
    let of = "SELECT sealed FROM person_key WHERE owner = ?";
    let rows = lane
        .sql()
        .exec(of, &[owner.to_bytes().into()])
        .expect("reads");
    let key = rows[0].blob(0).expect("a key").to_vec();
    let file = || std::fs::read(&path).expect("reads");
    assert!(holds(&file(), &key));
    // Whoever has the service's key too, and tries every value as a key: as it is, and as what a seal holds.
    let opens = |lane: &Lane| {
        let text = texts(lane).remove(0);
        let sealed = SealedLine::parse(&text).expect("a sealed line");
        let purpose = format!("portcullis audit person key 1 {}", person(1));
        everything(lane.sql()).into_iter().any(|value| {
            let Value::Blob(bytes) = value else {
                return false;
            };
            let opened = Sealed::from_bytes(&bytes).open(&[1; 32], &purpose);
            [Some(bytes), opened].into_iter().flatten().any(|key| {
                let Ok(key) = <[u8; 32]>::try_from(key) else {
                    return false;
                };
                sealed.open(&PersonKey::from_bytes(key)).is_some()
                    || sealed.disclosed(&LeafKey::from_bytes(key)).is_some()
            })
        })
    };
    assert!(opens(&lane));
    erase(&lane, 1, 2000);
    assert!(!opens(&lane));
    assert!(!holds(&file(), &key));
    // Nor does memory remember it.
    assert_eq!(read(&lane, 2001)[0], (0, None));
    std::fs::remove_file(&path).expect("removes");
}

#[test]
fn a_pack_that_comes_again_after_its_person_was_erased_is_a_duplicate_and_no_conflict() {
    let lane = lane();
    add(&lane, 1, 1, 1, 1000);
    let stored = texts(&lane).remove(0);
    let position = Position {
        index: 0,
        lane: 0,
        producer: ProducerId::from_bytes([1; 16]),
        sequence: 1,
        received: super::tests::NOW,
        committed: UnixMillis(1000),
    };
    let again = |event: &Event| {
        lane.line_again(event, None, &position, &stored)
            .expect("renders")
    };
    let event = pack_of(1, 1, 1).events.remove(0);
    let from_elsewhere = said(Actor::Subject(person(1)), "192.0.2.1");
    let nothing_personal = Event {
        request: None,
        claims: Vec::new(),
        ..event.clone()
    };
    let another = Event {
        outcome: Outcome::Denied,
        ..event.clone()
    };
    assert_eq!(again(&event), stored);
    assert_ne!(again(&from_elsewhere), stored);
    assert_ne!(again(&another), stored);
    erase(&lane, 1, 2000);
    assert_eq!(again(&event), stored);
    // What is in clear still tells; of what is not nobody can say.
    assert_ne!(again(&another), stored);
    assert_ne!(again(&nothing_personal), stored);
    assert_eq!(again(&from_elsewhere), stored);
    let appended = lane
        .append(append(vec![pack_of(1, 1, 1)]), UnixMillis(2001))
        .expect("appends");
    assert_eq!(appended.new_events, 0);
    assert_eq!(ask(&lane, 1, 2002).keys, 0);
}

#[test]
fn who_comes_back_after_an_erasure_gets_another_key_and_the_old_lines_stay_closed() {
    let lane = lane();
    add(&lane, 1, 1, 1, 1000);
    erase(&lane, 1, 2000);
    add(&lane, 1, 2, 1, 3000);
    let found = read(&lane, 3001);
    assert_eq!(found[0].1, None);
    assert!(
        found[1]
            .1
            .as_ref()
            .is_some_and(|text| text.contains("2001:db8::1:2"))
    );
    let asked = ask(&lane, 1, 3002);
    assert_eq!((asked.keys, asked.since), (1, Some(UnixMillis(3000))));
    assert_eq!((asked.lines, asked.erased_at), (1, Some(UnixMillis(2000))));
}

#[test]
fn each_disclosed_key_opens_its_line_and_erased_lines_have_none() {
    let lane = lane();
    add(&lane, 1, 1, 3, 1000);
    add(&lane, 2, 1, 3, 1001);
    erase(&lane, 1, 1002);
    let disclose = |from, to| {
        let read = operator(Action::AuditRead);
        let asked = Disclose { from, to, read };
        lane.disclose(asked, UnixMillis(2000)).expect("answers")
    };
    let found = disclose(0, 5);
    let indexes: Vec<u64> = found.keys.iter().map(|(index, _)| *index).collect();
    assert_eq!((indexes, found.next), (vec![3, 4], None));
    let lines = texts(&lane);
    for (index, key) in found.keys {
        let key = LeafKey::from_bytes(key);
        let open = |at: usize| SealedLine::parse(&lines[at]).and_then(|line| line.disclosed(&key));
        for at in 0..6 {
            assert_eq!(open(at).is_some(), at as u64 == index);
        }
    }
    let said = lines.iter().rfind(|line| line.contains(r#""detail":"#));
    assert!(said.is_some_and(|said| said.contains(r#""detail":{"first_index":0,"end_index":5}"#)));
    assert_eq!(disclose(900, 2).keys, []);
    assert_eq!(disclose(0, 1 << 50).next, None);
}

#[test]
fn disclosing_and_counting_are_bounded_and_say_so() {
    let lane = lane();
    for commit in 0..25 {
        add(&lane, 1, 1 + commit * 1000, 1000, 1000 + commit);
    }
    let asked = Disclose {
        from: 10,
        to: 1 << 40,
        read: operator(Action::AuditRead),
    };
    let found = lane.disclose(asked, UnixMillis(2000)).expect("answers");
    let next = found.next.expect("more");
    assert!((MAX_LINES..25_000).contains(&next), "{next}");
    assert_eq!(found.keys.len() as u64, next - 10);
    let asked = ask(&lane, 1, 3000);
    assert!(asked.at_least && asked.lines >= 19_000, "{asked:?}");
}

#[test]
fn what_is_nobodys_is_erased_by_its_day() {
    let lane = lane();
    for day in 1..4u64 {
        let packs = vec![Pack {
            producer: ProducerId::from_bytes([9; 16]),
            first_sequence: day,
            events: vec![said(Actor::Anonymous, "192.0.2.7")],
        }];
        lane.append(append(packs), UnixMillis(day * DAY_MS))
            .expect("appends");
    }
    add(&lane, 1, 1, 1, 5 * DAY_MS);
    let before = |day, dry_run| {
        let what = Erasing::UnattributedBefore(Day(day));
        let now = UnixMillis(9 * DAY_MS);
        lane.erase(erase_of(what, dry_run), now)
            .expect("answers")
            .expect("erases")
    };
    assert_eq!(before(1, true).keys, 0);
    let asked = before(3, true);
    assert_eq!((asked.keys, asked.lines), (2, 2));
    assert_eq!(before(3, false).keys, 2);
    assert_eq!(before(3, false).keys, 0);
    let opens = read(&lane, 9 * DAY_MS + 1);
    let opens: Vec<bool> = opens.into_iter().map(|(_, text)| text.is_some()).collect();
    assert_eq!(opens, [false, false, true, true]);
}

#[test]
fn a_legal_hold_forbids_it() {
    let lane = lane();
    add(&lane, 1, 1, 1, 1000);
    add(&lane, 2, 1, 1, 1000);
    let table = "CREATE TABLE IF NOT EXISTS hold (name TEXT PRIMARY KEY, subject BLOB, \
        placed_at INTEGER NOT NULL, placed_by TEXT NOT NULL) WITHOUT ROWID";
    let place = |name: &str, subject: Option<SubjectKey>| {
        let place =
            "INSERT INTO hold (name, subject, placed_at, placed_by) VALUES (?, ?, 1, 'admin')";
        let subject: Value = subject.map(|key| key.as_bytes().to_vec()).into();
        lane.sql().exec(table, &[]).expect("makes");
        lane.sql()
            .exec(place, &[name.into(), subject])
            .expect("places");
    };
    let refused = |what, dry_run| {
        let erased = lane.erase(erase_of(what, dry_run), UnixMillis(2000));
        erased.expect("answers").err().map(|Held { hold }| hold)
    };
    place("case 1", Some(person(1)));
    let held = Some("case 1".to_owned());
    assert_eq!(refused(Erasing::Subject(person(1)), false), held);
    assert_eq!(refused(Erasing::Subject(person(1)), true), held);
    assert_eq!(refused(Erasing::UnattributedBefore(Day(0)), false), held);
    assert_eq!(refused(Erasing::Subject(person(2)), false), None);
    place("all", None);
    let held = Some("all".to_owned());
    assert_eq!(refused(Erasing::Subject(person(3)), false), held);
    assert!(read(&lane, 2001)[0].1.is_some());
}

#[test]
fn under_another_service_key_events_are_taken_and_what_was_sealed_opens_when_it_is_back() {
    let lane = lane();
    add(&lane, 1, 1, 1, 1000);
    let rotated = lane.restarted(Some(keys(2, "https://id.example")));
    add(&rotated, 1, 2, 1, 2000);
    add(&rotated, 1, 3, 1, 2001);
    let opens = |lane: &Lane| {
        let found = read(lane, 5000);
        let opens: Vec<bool> = found.into_iter().map(|(_, text)| text.is_some()).collect();
        opens
    };
    assert_eq!(opens(&rotated), [false, true, true]);
    let back = rotated.restarted(Some(ours()));
    add(&back, 1, 4, 1, 3000);
    assert_eq!(opens(&back), [true, false, false, true]);
    // Erasing destroys every one of them.
    assert_eq!(erase(&back, 1, 4000).keys, 2);
    assert_eq!(opens(&back), [false; 4]);
    assert_eq!(
        opens(&back.restarted(Some(keys(2, "https://id.example")))),
        [false; 4]
    );
}

#[test]
fn whatever_storage_call_fails_an_erasure_is_done_and_logged_or_neither() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let lane = lane();
            add(&lane, 1, 1, 2, 1000);
            read(&lane, 1500);
            lane.sql().fail_nth(nth, fault);
            let what = Erasing::Subject(person(1));
            let erased = lane.erase(erase_of(what, false), UnixMillis(2000));
            let unharmed = lane.sql().heal();
            let lines = texts(&lane);
            let logged = lines
                .iter()
                .filter(|line| line.contains(r#""action":"audit.erased""#))
                .count();
            let opens = read(&lane, 2001).iter().all(|(_, text)| text.is_some());
            assert_eq!(opens, logged == 0, "{fault:?} {nth}");
            assert!(erased.is_err() || logged == 1, "{fault:?} {nth}");
            // Asked again it is done, and was logged once.
            let again = erase(&lane, 1, 3000);
            assert_eq!(again.keys == 0, logged == 1, "{fault:?} {nth}");
            let lines = texts(&lane).join("\n");
            assert_eq!(lines.matches(r#""action":"audit.erased""#).count(), 1);
            assert!(read(&lane, 3001).iter().all(|(_, text)| text.is_none()));
            if unharmed {
                break;
            }
        }
    }
}

#[test]
fn whatever_storage_call_fails_reading_and_disclosing_are_logged_or_not_answered() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let lane = lane();
            add(&lane, 1, 1, 2, 1000);
            let before = store::next_index(lane.sql()).expect("a size");
            lane.sql().fail_nth(nth, fault);
            let query = query(Filter::default(), Order::Oldest, None, 10);
            let page = lane.query_personal(QueryPersonal { query }, UnixMillis(2000));
            let asked = Disclose {
                from: 0,
                to: 9,
                read: operator(Action::AuditRead),
            };
            let disclosed = lane.disclose(asked, UnixMillis(2001));
            let unharmed = lane.sql().heal();
            let answered = u64::from(page.is_ok()) + u64::from(disclosed.is_ok());
            let logged = store::next_index(lane.sql()).expect("a size") - before;
            assert!(logged >= answered, "{fault:?} {nth}");
            if unharmed {
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A key that was made in a transaction that failed seals nothing that is kept.
    #[test]
    fn every_line_opens_until_its_person_is_erased_through_faults_and_restarts(
        steps in prop::collection::vec((1u8..4, 0u32..24, any::<bool>(), 0u8..8, 0u64..2), 1..30),
    ) {
        let mut lane = lane();
        let mut next = [1u64; 4];
        let mut erased = [0u64; 4];
        let mut now = 1000;
        for (person_number, nth, persisted, what, pause) in steps {
            now += pause;
            let at = usize::from(person_number);
            let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
            if what == 0 {
                erase(&lane, person_number, now);
                erased[at] = next[at];
            } else {
                lane.sql().fail_nth(nth, fault);
                let packs = vec![pack_of(person_number, next[at], 2)];
                let _ = lane.append(append(packs.clone()), UnixMillis(now));
                lane.sql().heal();
                now += pause;
                lane.append(append(packs), UnixMillis(now)).expect("appends");
                next[at] += 2;
            }
            if what == 1 {
                lane = lane.restarted(Some(ours()));
            }
        }
        let opened = read(&lane, now);
        let lines = texts(&lane);
        for (index, text) in opened {
            let line = SealedLine::parse(&lines[usize::try_from(index).expect("small")]).expect("sealed");
            let number = usize::from(line.place.producer.as_bytes()[0]);
            let is_erased = line.place.sequence < erased[number];
            prop_assert_eq!(text.is_none(), is_erased, "{:?}", line);
        }
    }
}
