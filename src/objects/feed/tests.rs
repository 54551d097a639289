//! A feed under repetition, reordering, restarts and faults.

use super::service::FeedService;
use crate::objects::host_sql::{Fault, HostSql};
use portcullis_core::feed::call::{Append, Appended, Batch, Read, Restart};
use portcullis_core::feed::{Entry, FORGET_AFTER_SECS, Incarnation, Target};
use portcullis_core::id::{IncarnationId, SubjectKey};
use portcullis_core::policy::{WideRevocation, WideScope};
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOW: UnixMillis = UnixMillis(1_000_000);
const LIFE: IncarnationId = IncarnationId::from_bytes([1; 16]);
const NEW: Incarnation = Incarnation {
    id: LIFE,
    began_at: NOW,
};

fn feed() -> FeedService<HostSql> {
    let feed = FeedService::new(HostSql::new());
    feed.begin(NEW, &[], NOW).expect("stores");
    feed
}

fn entry(of: u8, version: u64) -> Entry {
    Entry {
        target: Target::Subject(SubjectKey::from_bytes([of; 16])),
        issued_until: Some(UnixMillis(version)),
        ends_at: Some(NOW.plus_secs(100)),
        version,
    }
}

fn append(feed: &FeedService<HostSql>, entries: &[Entry], now: UnixMillis) -> Appended {
    let entries = entries.to_vec();
    feed.append(&Append { entries }, now).expect("stores")
}

fn read(feed: &FeedService<HostSql>, after: u64, limit: u32, now: UnixMillis) -> Batch {
    let read = Read {
        incarnation: Some(LIFE),
        after,
        limit,
        wait_ms: 0,
    };
    feed.read(&read, now).expect("reads")
}

/// A reader's copy, kept by reading on from where it is.
#[derive(Default)]
struct Reader {
    through: u64,
    entries: BTreeMap<String, Entry>,
}

impl Reader {
    fn read(&mut self, feed: &FeedService<HostSql>, limit: u32, now: UnixMillis) -> bool {
        let batch = read(feed, self.through, limit, now);
        assert_eq!(batch.after, self.through);
        for entry in batch.entries {
            self.entries.insert(format!("{:?}", entry.target), entry);
        }
        self.through = batch.through;
        batch.through < batch.sequence
    }

    fn live(&self, now: UnixMillis) -> Vec<Entry> {
        let live = self.entries.values().filter(|entry| !entry.has_ended(now));
        live.cloned().collect()
    }
}

#[test]
fn the_same_again_or_an_older_one_adds_nothing_and_is_answered_with_where_it_stands() {
    let feed = feed();
    assert_eq!(append(&feed, &[entry(1, 5), entry(2, 5)], NOW).sequence, 2);
    assert_eq!(append(&feed, &[entry(1, 5)], NOW).sequence, 1);
    assert_eq!(append(&feed, &[entry(1, 4)], NOW).sequence, 1);
    assert_eq!(append(&feed, &[entry(1, 6)], NOW).sequence, 3);
    let batch = read(&feed, 0, 10, NOW);
    assert_eq!(batch.entries, [entry(2, 5), entry(1, 6)]);
    assert_eq!((batch.through, batch.sequence), (3, 3));
}

#[test]
fn what_has_ended_is_forgotten_and_who_reads_on_misses_nothing() {
    let feed = feed();
    append(&feed, &[entry(1, 1), entry(2, 1)], NOW);
    let later = NOW.plus_secs(100 + FORGET_AFTER_SECS);
    let fresh = Entry {
        ends_at: None,
        ..entry(3, 1)
    };
    append(&feed, std::slice::from_ref(&fresh), later);
    let batch = read(&feed, 0, 1, later);
    assert_eq!(batch.entries, [fresh]);
    let rest = read(&feed, batch.through, 10, later);
    assert_eq!((rest.entries.len(), rest.through), (0, 3));
}

#[test]
fn a_feed_begins_once_with_what_was_revoked_for_everyone_before_and_is_none_until_then() {
    let feed = FeedService::new(HostSql::new());
    assert_eq!(feed.has_begun(), Ok(false));
    let nothing = Append { entries: vec![] };
    assert!(feed.append(&nothing, NOW).is_err() && feed.sequence().is_err());
    let revoked = [WideRevocation::committed(
        WideScope::Key("k".into()),
        UnixMillis(1),
    )];
    feed.begin(NEW, &revoked, NOW).expect("stores");
    let other = Incarnation {
        id: IncarnationId::from_bytes([2; 16]),
        began_at: NOW.plus_secs(1),
    };
    feed.begin(other, &[], NOW).expect("stores");
    let batch = read(&feed, 0, 10, NOW);
    assert_eq!(batch.incarnation, NEW);
    let targets: Vec<Target> = batch
        .entries
        .into_iter()
        .map(|entry| entry.target)
        .collect();
    assert_eq!(targets, [Target::Key("k".into())]);
}

#[test]
fn what_has_ended_takes_the_place_of_what_has_not() {
    let feed = feed();
    let barred = Entry {
        issued_until: None,
        ends_at: None,
        ..entry(1, 1)
    };
    // Both come late, after the second has ended.
    let later = NOW.plus_secs(200);
    append(&feed, &[barred, entry(1, 2)], later);
    assert_eq!(read(&feed, 0, 10, later).entries, [entry(1, 2)]);
}

#[test]
fn another_life_is_younger_and_is_read_from_the_beginning() {
    let feed = feed();
    append(&feed, &[entry(1, 1)], NOW);
    let id = IncarnationId::from_bytes([2; 16]);
    // Also by a clock that went back.
    let life = feed.restart(Restart { id }, UnixMillis(5)).expect("stores");
    assert_eq!(life.began_at, UnixMillis(NOW.0 + 1));
    let batch = read(&feed, 1, 10, NOW);
    assert_eq!((batch.after, batch.entries.len()), (0, 1));
    assert_eq!(batch.incarnation, life);
}

#[test]
fn every_storage_call_of_an_append_fails_both_ways_and_a_retry_makes_it_whole() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let feed = feed();
            append(&feed, &[entry(1, 1)], NOW);
            feed.sql().fail_nth(nth, fault);
            let both = Append {
                entries: vec![entry(1, 2), entry(2, 1)],
            };
            let first = feed.append(&both, NOW);
            if feed.sql().heal() {
                assert!(first.is_ok());
                break;
            }
            let seen = read(&feed, 1, 10, NOW).entries.len();
            assert!(seen == 0 || seen == 2, "half of it, at call {nth}");
            append(&feed, &both.entries, NOW);
            assert_eq!(read(&feed, 0, 10, NOW).entries, both.entries);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, u64)>),
    Read(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec((0u8..6, 0u64..8), 1..4).prop_map(Step::Append),
        (1u32..4).prop_map(Step::Read),
        (1u64..60).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn a_reader_that_reads_on_has_what_one_that_reads_all_has(steps in prop::collection::vec(step(), 1..40)) {
        let feed = feed();
        let mut now = NOW;
        let mut steady = Reader::default();
        let mut model: BTreeMap<u8, Entry> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Append(several) => {
                    let entries: Vec<Entry> = several
                        .iter()
                        .map(|(of, version)| Entry {
                            ends_at: Some(now.plus_secs(50 + version)),
                            ..entry(*of, *version)
                        })
                        .collect();
                    append(&feed, &entries, now);
                    for ((of, _), entry) in several.iter().zip(entries) {
                        let news = match model.get(of) {
                            None => Some(entry),
                            Some(known) => known.told(&entry, now),
                        };
                        if let Some(news) = news {
                            model.insert(*of, news);
                        }
                    }
                }
                Step::Read(limit) => {
                    steady.read(&feed, limit, now);
                }
                Step::Wait(secs) => now = now.plus_secs(secs),
            }
        }
        while steady.read(&feed, 2, now) {}
        let mut whole = Reader::default();
        while whole.read(&feed, 100, now) {}
        prop_assert_eq!(steady.live(now), whole.live(now));
        let expected: Vec<Entry> = model.into_values().filter(|e| !e.has_ended(now)).collect();
        prop_assert_eq!(whole.live(now), expected);
    }
}
