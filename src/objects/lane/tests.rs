//! A lane under redelivery, reordering and faults.

use super::service::LaneService;
use crate::objects::host_sql::{Fault, HostSql};
use portcullis_core::audit::call::{Append, Page, Query};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::line::Line;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::query::{Cursor, Filter, Order};
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;

pub const NOW: UnixMillis = UnixMillis(1_000_000);

fn event(subject: u8, at: u64) -> Event {
    Event {
        subject: Some(SubjectKey::from_bytes([subject; 16])),
        ..Event::new(
            UnixMillis(at),
            Action::Kill,
            Outcome::Success,
            Actor::Anonymous,
        )
    }
}

pub fn pack(producer: u8, first_sequence: u64, events: u64) -> Pack {
    Pack {
        producer: ProducerId::from_bytes([producer; 16]),
        first_sequence,
        events: (0..events)
            .map(|n| event(producer, first_sequence + n))
            .collect(),
    }
}

pub fn append(packs: Vec<Pack>) -> Append {
    Append {
        received: NOW,
        packs,
    }
}

pub fn query(filter: Filter, order: Order, cursor: Option<Cursor>, limit: u32) -> Query {
    Query {
        filter,
        order,
        cursor,
        limit,
        read: Some(Event::new(
            NOW,
            Action::AuditRead,
            Outcome::Success,
            Actor::Anonymous,
        )),
        followed: None,
    }
}

pub fn kills() -> Filter {
    Filter {
        action: Some(Action::Kill),
        ..Filter::default()
    }
}

pub fn read(lane: &LaneService<HostSql>, query: Query) -> Page {
    lane.query(query, NOW).expect("reads")
}

pub fn all_kills(lane: &LaneService<HostSql>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut cursor = None;
    loop {
        let page = read(lane, query(kills(), Order::Oldest, cursor, 7));
        lines.extend(page.lines);
        cursor = page.next;
        if cursor.is_none() {
            return lines;
        }
    }
}

/// (producer, sequence) of every kill in the log, sorted.
fn identities(lane: &LaneService<HostSql>) -> Vec<(String, u64)> {
    let mut found: Vec<_> = all_kills(lane)
        .iter()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (
                value["producer"].as_str().expect("producer").to_owned(),
                value["sequence"].as_u64().expect("sequence"),
            )
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_pack_delivered_again_or_in_overlapping_parts_adds_nothing() {
    let lane = LaneService::new(HostSql::new(), None);
    lane.append(append(vec![pack(1, 1, 3)]), NOW)
        .expect("appends");
    let again = lane
        .append(append(vec![pack(1, 1, 3), pack(1, 2, 4)]), NOW)
        .expect("appends");
    assert_eq!(again.new_events, 2);
    assert_eq!(identities(&lane).len(), 5);
}

#[test]
fn a_read_is_in_the_log_and_not_in_its_own_page() {
    let lane = LaneService::new(HostSql::new(), None);
    let reads = Filter {
        action: Some(Action::AuditRead),
        ..Filter::default()
    };
    let first = read(&lane, query(reads.clone(), Order::Oldest, None, 10));
    let second = read(&lane, query(reads, Order::Oldest, None, 10));
    assert_eq!((first.lines.len(), second.lines.len()), (0, 1));
}

#[test]
fn pages_in_both_orders_meet_every_line_once_while_the_log_grows() {
    let lane = LaneService::new(HostSql::new(), None);
    for n in 0..9 {
        lane.append(append(vec![pack(1, 1 + n * 3, 3)]), NOW)
            .expect("appends");
    }
    for order in [Order::Oldest, Order::Newest] {
        let before = all_kills(&lane);
        let mut seen = Vec::new();
        let mut cursor = None;
        for round in 0u64.. {
            let page = read(&lane, query(kills(), order, cursor, 2));
            seen.extend(page.lines);
            let sequence = 10_000 + round + if order == Order::Newest { 1000 } else { 0 };
            lane.append(append(vec![pack(2, sequence, 1)]), NOW)
                .expect("appends");
            cursor = page.next;
            if cursor.is_none() || round > 100 {
                break;
            }
        }
        if order == Order::Newest {
            seen.reverse();
        }
        let of_before: Vec<_> = seen.iter().filter(|line| before.contains(line)).collect();
        assert_eq!(of_before, before.iter().collect::<Vec<_>>(), "{order:?}");
        let indexes: Vec<u64> = seen
            .iter()
            .map(|line| Line::parse(line).expect("line").index)
            .collect();
        assert!(
            indexes.windows(2).all(|pair| pair[0] < pair[1]),
            "{order:?}"
        );
    }
}

#[test]
fn the_tail_cursor_yields_exactly_what_came_later() {
    let lane = LaneService::new(HostSql::new(), None);
    lane.append(append(vec![pack(1, 1, 3)]), NOW)
        .expect("appends");
    let tail = read(&lane, query(kills(), Order::Oldest, None, 10)).tail;
    assert!(
        read(&lane, query(kills(), Order::Oldest, Some(tail), 10))
            .lines
            .is_empty()
    );
    lane.append(append(vec![pack(1, 4, 1)]), NOW)
        .expect("appends");
    let later = read(&lane, query(kills(), Order::Oldest, Some(tail), 10));
    assert_eq!(later.lines.len(), 1);
}

#[test]
fn filters_select_by_subject_and_half_open_time() {
    let lane = LaneService::new(HostSql::new(), None);
    lane.append(append(vec![pack(1, 10, 3), pack(2, 11, 3)]), NOW)
        .expect("appends");
    let filter = Filter {
        subject: Some(SubjectKey::from_bytes([2; 16])),
        from: Some(UnixMillis(11)),
        to: Some(UnixMillis(13)),
        ..Filter::default()
    };
    let page = read(&lane, query(filter, Order::Oldest, None, 10));
    assert_eq!(page.lines.len(), 2);
}

proptest! {
    /// Producers retry whatever was not acknowledged, and sometimes what was.
    #[test]
    fn each_event_is_in_the_log_once_through_faults_and_redelivery(
        steps in prop::collection::vec((0u8..3, 1u64..20, 1u64..5, 0u32..40, any::<bool>()), 1..40),
    ) {
        let sql = HostSql::new();
        let lane = LaneService::new(sql, None);
        let mut acknowledged = std::collections::BTreeSet::new();
        let mut sent = std::collections::BTreeSet::new();
        for (producer, first, events, nth, persisted) in steps {
            let pack = pack(producer, first, events);
            let ids: Vec<_> = (first..first + events)
                .map(|sequence| (pack.producer.to_string(), sequence))
                .collect();
            sent.extend(ids.clone());
            let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
            lane.sql().fail_nth(nth, fault);
            if lane.append(append(vec![pack]), NOW).is_ok() {
                acknowledged.extend(ids);
            }
            lane.sql().heal();
        }
        let logged = identities(&lane);
        let distinct: std::collections::BTreeSet<_> = logged.iter().cloned().collect();
        prop_assert_eq!(distinct.len(), logged.len(), "an event is in the log twice");
        prop_assert!(acknowledged.is_subset(&distinct), "an acknowledged event is missing");
        prop_assert!(distinct.is_subset(&sent));
        let indexes: Vec<u64> = all_kills(&lane).iter().map(|line| Line::parse(line).unwrap().index).collect();
        prop_assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
