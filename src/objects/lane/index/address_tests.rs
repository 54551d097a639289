//! Fingerprints of addresses say which lines are opened, and never which are found.

use super::tests::{SMALL, erase, keys, lane, page, pages, put, restarted, run, scan, steps};
use super::{GROUP, Size};
use crate::objects::host_sql::HostSql;
use crate::objects::lane::service::LaneService;
use crate::objects::lane::store::{self, MIGRATIONS, Segment};
use crate::objects::sql::{Sql, Value, migrate};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::audit::terms::TermKey;
use portcullis_core::id::SubjectKey;
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;

type Lane = LaneService<HostSql>;

const WANTED: &str = "192.0.2.1";
const ORDERS: [Order; 2] = [Order::Oldest, Order::Newest];

fn from(ip: &str) -> Filter {
    Filter {
        ip: Some(ip.to_owned()),
        ..Filter::default()
    }
}

fn by(number: u8, ip: Option<&str>) -> Event {
    let subject = SubjectKey::from_bytes([number; 16]);
    Event {
        subject: Some(subject),
        request: Some(RequestFacts {
            ip: ip.map(str::to_owned),
            user_agent: Some("an agent".to_owned()),
            ..RequestFacts::default()
        }),
        ..Event::new(
            UnixMillis(5),
            Action::RequestAllowed,
            Outcome::Success,
            Actor::Subject(subject),
        )
    }
}

/// What a look at that costs: lines that it finds, lines that it opens, and statements.
fn cost(lane: &Lane, filter: &Filter, order: Order) -> (u64, u64, u64) {
    let opened = lane.index.opened.replace(0);
    let calls = lane.sql().calls();
    let found = page(lane, filter, order, None, 1000);
    assert_eq!(found.next, None);
    let calls = lane.sql().calls() - calls;
    let opened_here = lane.index.opened.replace(opened);
    (found.lines.len() as u64, opened_here, calls.into())
}

fn key(lane: &Lane) -> &TermKey {
    lane.index.key().expect("a key")
}

/// First index and fingerprints of each segment.
fn stored(lane: &Lane) -> Vec<(u64, u64, Option<Vec<u8>>)> {
    let all = "SELECT first_index, count, addresses FROM segment ORDER BY first_index";
    let rows = lane.sql().exec(all, &[]).expect("reads");
    let of_row = |row: &crate::objects::sql::Row| {
        let addresses = row.optional_blob(2).expect("fingerprints");
        let (first, count) = (row.integer(0), row.integer(1));
        let addresses = addresses.map(<[u8]>::to_vec);
        (first.expect("an index"), count.expect("a count"), addresses)
    };
    rows.iter().map(of_row).collect()
}

fn store_others(lane: &Lane, first_index: u64, fingerprints: Option<Vec<u8>>) {
    let put = "UPDATE segment SET addresses = ? WHERE first_index = ?";
    let values = [Value::from(fingerprints), first_index.into()];
    lane.sql().exec(put, &values).expect("stores");
}

/// As if all segments were from before there were any.
fn forget_all(lane: &Lane) {
    for (first, ..) in stored(lane) {
        store_others(lane, first, None);
    }
}

/// So many commits of 100 lines by 100 people, of whom one each has the wanted address.
fn with_commits(commits: u64) -> Lane {
    let lane = lane(GROUP);
    for commit in 0..commits {
        let ip = |n: u64| match n {
            77 => WANTED.to_owned(),
            n => format!("2001:db8::{commit:x}:{n:x}"),
        };
        let events = (0u8..100).map(|n| by(n, Some(&ip(n.into()))));
        assert!(put(&lane, commit * 100 + 1, events.collect()));
    }
    lane
}

#[test]
fn a_page_by_address_opens_the_lines_that_have_it_and_few_more() {
    let lane = with_commits(40);
    for order in ORDERS {
        let (found, opened, calls) = cost(&lane, &from(WANTED), order);
        assert_eq!(found, 40);
        // One of 256 others by chance: 15 or so of 3,960.
        assert!((40..80).contains(&opened), "{opened}");
        // A segment is a statement, and so is the key of each person of whom a line was opened.
        assert!(calls < 40 + opened, "{calls}");
    }
    forget_all(&lane);
    for order in ORDERS {
        let (found, opened, calls) = cost(&lane, &from(WANTED), order);
        assert_eq!((found, opened), (40, 4000));
        assert!(calls < 40 + 120, "each person's key is read once: {calls}");
    }
    // What is in clear is looked at first.
    let by_another = Filter {
        subject: Some(SubjectKey::from_bytes([76; 16])),
        ..from(WANTED)
    };
    let (found, opened, _) = cost(&lane, &by_another, Order::Newest);
    assert_eq!((found, opened), (0, 40));
    let denied = Filter {
        outcome: Some(Outcome::Denied),
        ..from(WANTED)
    };
    assert_eq!(cost(&lane, &denied, Order::Newest).1, 0);
}

#[test]
fn a_line_whose_fingerprint_is_another_addresss_is_opened_and_not_found() {
    let lane = lane(GROUP);
    lane.ready().expect("ready");
    let other = |index: u64| {
        let wanted = key(&lane).fingerprint(index, WANTED);
        let mut others = (0..).map(|n| format!("2001:db8::{n:x}"));
        let same = others.find(|ip| key(&lane).fingerprint(index, ip) == wanted);
        same.expect("one of 256")
    };
    let event = |index: u64| match index {
        30 => by(1, Some(WANTED)),
        index => by(1, Some(&other(index))),
    };
    assert!(put(&lane, 1, (0..50).map(event).collect()));
    for order in ORDERS {
        let (found, opened, _) = cost(&lane, &from(WANTED), order);
        assert_eq!((found, opened), (1, 50));
        assert_eq!(
            pages(&lane, &from(WANTED), order, 7),
            scan(&lane, &from(WANTED), order)
        );
    }
}

#[test]
fn a_segment_has_a_fingerprint_of_each_line_and_none_by_another_key() {
    let lane = lane(GROUP);
    let addresses = [Some(WANTED), None, Some(WANTED), Some("2001:db8::1")];
    assert!(put(&lane, 1, vec![by(1, Some("before"))]));
    assert!(put(&lane, 2, addresses.map(|ip| by(1, ip)).to_vec()));
    let expected = (1u64..).zip(addresses);
    let expected: Vec<u8> = expected
        .map(|(index, ip)| key(&lane).fingerprint(index, ip.unwrap_or_default()))
        .collect();
    assert_eq!(stored(&lane)[1], (1, 4, Some(expected)));
    let lane = restarted(lane, 2);
    assert!(put(&lane, 6, vec![by(1, Some(WANTED))]));
    assert_eq!(stored(&lane)[2], (5, 1, None));
    // By that key every line that it can open is found, and all are opened for it.
    let (found, opened, _) = cost(&lane, &from(WANTED), Order::Newest);
    assert_eq!((found, opened), (1, 6));
    let lane = restarted(lane, 1);
    let (found, opened, _) = cost(&lane, &from(WANTED), Order::Newest);
    assert_eq!(found, 2);
    assert!(opened < 6, "{opened}");
}

#[test]
fn an_erased_person_is_opened_by_no_later_request_and_others_are() {
    let lane = with_commits(3);
    let events = vec![by(1, Some(WANTED)), by(77, Some(WANTED))];
    assert!(put(&lane, 1001, events));
    for order in ORDERS {
        assert_eq!(cost(&lane, &from(WANTED), order).0, 5);
    }
    assert_eq!(erase(&lane, 77), Ok(1));
    for forgotten in [false, true] {
        if forgotten {
            forget_all(&lane);
        }
        for order in ORDERS {
            assert_eq!(cost(&lane, &from(WANTED), order).0, 1);
        }
    }
    // That they have no key is looked up once for a page.
    let of_them = Filter {
        subject: Some(SubjectKey::from_bytes([77; 16])),
        ..from(WANTED)
    };
    let (found, opened, calls) = cost(&lane, &of_them, Order::Newest);
    assert_eq!((found, opened), (0, 4));
    assert!(calls < 12, "{calls}");
}

/// A lane of before there was anything sealed, with lines that have these addresses in clear.
fn in_clear(addresses: &[&str]) -> Lane {
    let lines = lane(SMALL);
    let events = addresses.iter().map(|_| by(1, None)).collect();
    assert!(put(&lines, 1, events));
    let segment = store::segment_at(lines.sql(), 0).expect("reads");
    let segment = segment.expect("a segment");
    let text = String::from_utf8(segment.lines.clone()).expect("UTF-8");
    let text = text.lines().zip(addresses).map(|(line, ip)| {
        let (line, _) = line.split_once(",\"sealed\"").expect("sealed");
        let had = format!("\"request\":{{\"ip\":\"{ip}\",");
        format!("{}}}\n", line.replace("\"request\":{", &had))
    });
    let text: String = text.collect();
    assert!(addresses.iter().all(|ip| text.contains(ip)));
    let sql = HostSql::new();
    migrate(&sql, &MIGRATIONS[..1]).expect("migrates");
    let Segment { count, .. } = segment;
    let put = "INSERT INTO segment (first_index, count, first_occurred, last_occurred, lines) \
         VALUES (0, ?, 5, 5, ?)";
    sql.exec(put, &[count.into(), text.into_bytes().into()])
        .expect("inserts");
    let lane = LaneService::new(sql, Some(keys(1)));
    lane.index.set_size(SMALL);
    lane
}

#[test]
fn lines_from_before_that_have_addresses_in_clear_are_found_beside_sealed_ones() {
    let lane = in_clear(&["a", "b", "a"]);
    for n in 0..6 {
        assert!(put(
            &lane,
            100 + 2 * n,
            vec![by(1, Some("a")), by(1, Some("b"))]
        ));
        lane.build_group().expect("builds");
    }
    for order in ORDERS {
        for (ip, count) in [("a", 8), ("b", 7), ("c", 0)] {
            let found = pages(&lane, &from(ip), order, 2);
            assert_eq!(found, scan(&lane, &from(ip), order));
            assert_eq!(found.len(), count, "{ip}");
        }
    }
}

#[test]
fn lines_that_are_gone_have_no_fingerprints_left() {
    let lane = with_commits(3);
    super::super::retained::remove_lines(lane.sql(), 0, 150).expect("prunes");
    let left = stored(&lane).into_iter().map(|(.., it)| it.is_some());
    assert_eq!(left.collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(
        pages(&lane, &from(WANTED), Order::Newest, 7),
        scan(&lane, &from(WANTED), Order::Newest)
    );
}

/// What may stand in the place of fingerprints.
#[derive(Clone, Copy, Debug)]
enum Instead {
    Nothing,
    Unknown,
    /// Each is that of the address that is looked for.
    AllFit,
    OneLess,
    OneMore,
}

const INSTEAD: &[Instead] = &[
    Instead::Nothing,
    Instead::Unknown,
    Instead::AllFit,
    Instead::OneLess,
    Instead::OneMore,
];

fn replace(lane: &Lane, with: &[Instead], address: &str) {
    // The index may have been begun with the other key.
    let key = lane.index.key().cloned();
    let key = key.unwrap_or_else(|| keys(2).term_key());
    let with = with.iter().cycle();
    for ((first, count, stored), with) in stored(lane).into_iter().zip(with) {
        let fingerprints = match (with, stored) {
            (Instead::Nothing, _) | (_, None) => continue,
            (Instead::Unknown, _) => None,
            (Instead::AllFit, _) => {
                let fit = |index| key.fingerprint(index, address);
                Some((first..first + count).map(fit).collect())
            }
            (Instead::OneLess, Some(mut bytes)) => {
                bytes.pop();
                Some(bytes)
            }
            (Instead::OneMore, Some(mut bytes)) => {
                bytes.push(7);
                Some(bytes)
            }
        };
        store_others(lane, first, fingerprints);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Through faults, restarts, other keys and erasures, and whatever is in the place of fingerprints.
    #[test]
    fn what_is_found_by_address_is_the_same_with_fingerprints_and_without(
        steps in steps(), ip in "[ab]", subject in 0u8..4, limit in 1u32..9,
        instead in prop::collection::vec(prop::sample::select(INSTEAD), 1..6),
    ) {
        let mut lane = run(steps);
        lane.ready().expect("ready");
        let of_subject = Filter { subject: Some(SubjectKey::from_bytes([subject; 16])), ..from(&ip) };
        let kills = Filter { action: Some(Action::Kill), ..from(&ip) };
        let filters = [from(&ip), of_subject, kills];
        for replaced in [false, true] {
            if replaced {
                replace(&lane, &instead, &ip);
            }
            for seed in [2, 1] {
                lane = restarted(lane, seed);
                lane.ready().expect("ready");
                for filter in &filters {
                    for order in ORDERS {
                        prop_assert_eq!(pages(&lane, filter, order, limit), scan(&lane, filter, order));
                    }
                }
            }
        }
    }
}

#[test]
fn the_same_lines_are_found_in_groups_and_behind_them() {
    let lane = lane(Size {
        lines: 1_000,
        segments: 8,
    });
    for n in 0..20u64 {
        let events = (0u8..9).map(|it| by(it, Some(if it == 4 { WANTED } else { "another" })));
        assert!(put(&lane, n * 9 + 1, events.collect()));
        lane.build_group().expect("builds");
    }
    for order in ORDERS {
        let (found, opened, _) = cost(&lane, &from(WANTED), order);
        assert_eq!(found, 20);
        assert!(opened < 40, "{opened}");
    }
}
