//! Dead letters: kept once, sealed, bounded, and taken in or given up in one transaction with its event.

use super::letter_store;
use super::service::LaneService;
use super::signer::LogKeyMaker;
use super::tests::{NOW, all_kills, append, pack, query, read};
use super::tree_tests::{Lane, lane, ours};
use crate::objects::host_sql::Fault;
use crate::objects::sql::Sql;
use portcullis_core::audit::backlog::Backlog;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::letters::{
    DiscardLetter, GetLetter, GetLetters, Keep, Letter, LetterInfo, Letters, MAX_LETTER_BYTES,
    MAX_LETTERS, MAX_LETTERS_BYTES, Reason, ReplayLetter, Replayed, of_gateway,
};
use portcullis_core::audit::log::checkpoint::Origin;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::id::{LetterId, ProducerId};
use portcullis_core::time::UnixMillis;
use serde_json::{Value, json};

const FAULTS: [Fault; 2] = [Fault::NotPersisted, Fault::PersistedButReportedFailed];

fn by_admin(action: Action, reason: &str) -> Event {
    Event {
        reason: Some(reason.to_owned()),
        ..Event::new(
            NOW,
            action,
            Outcome::Success,
            Actor::Operator("admin".into()),
        )
    }
}

fn malformed(content: &str) -> Letter {
    Letter::of_message(Reason::Malformed, content.into())
}

/// A message of a gateway with so many denials.
fn message(events: usize) -> Vec<u8> {
    let denial = Event::new(NOW, Action::CheckDenied, Outcome::Denied, Actor::Anonymous);
    let pack = Pack {
        producer: ProducerId::from_bytes([9; 16]),
        first_sequence: 1,
        events: vec![denial; events],
    };
    pack.encode().expect("encodes")
}

fn keep(lane: &Lane, letters: &[Letter]) -> Vec<bool> {
    let letters = letters.to_vec();
    lane.keep(&Keep { letters }, NOW).expect("keeps").kept
}

fn replay(lane: &Lane, letter: LetterId) -> Replayed {
    let replay = by_admin(Action::DeadLetter, "replayed");
    let asked = ReplayLetter { letter, replay };
    lane.replay(asked, NOW).expect("answers")
}

fn discard(lane: &Lane, letter: LetterId) -> bool {
    let discard = by_admin(Action::DeadLetter, "discarded");
    let asked = DiscardLetter { letter, discard };
    lane.discard(asked, NOW).expect("answers")
}

fn page(lane: &Lane, before: Option<u64>, limit: u32) -> Letters {
    let asked = GetLetters {
        before,
        limit,
        read: by_admin(Action::AuditRead, "read"),
    };
    lane.letters(asked, NOW).expect("answers")
}

fn waiting(lane: &Lane) -> Vec<LetterInfo> {
    page(lane, None, 1000).letters
}

fn lines(lane: &Lane, action: Action) -> Vec<Value> {
    let filter = Filter {
        action: Some(action),
        ..Filter::default()
    };
    let page = read(lane, query(filter, Order::Oldest, None, 1000));
    let lines = page.lines.iter();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// What the log says of letters: reason and detail of each event.
fn story(lane: &Lane) -> Vec<(Value, Value)> {
    let lines = lines(lane, Action::DeadLetter).into_iter();
    lines
        .map(|line| (line["reason"].clone(), line["detail"].clone()))
        .collect()
}

#[test]
fn poison_is_kept_with_its_reason_and_the_rest_goes_on() {
    let lane = lane();
    let lie = pack(3, 1, 1).encode().expect("encodes");
    let (mut packs, mut letters) = (Vec::new(), Vec::new());
    for content in [b"poison".to_vec(), message(2), lie] {
        match of_gateway(&content) {
            Ok(pack) => packs.push(pack),
            Err(reason) => letters.push(Letter::of_message(reason, content)),
        }
    }
    let appended = lane.append(append(packs), NOW).expect("appends");
    assert_eq!(appended.new_events, 2);
    assert_eq!(keep(&lane, &letters), [true, true]);
    let reasons: Vec<Reason> = waiting(&lane).iter().map(|info| info.reason).collect();
    assert_eq!(reasons, [Reason::NotAllowed, Reason::Malformed]);
    let expected: Vec<_> = letters
        .iter()
        .map(|letter| {
            let why = letter.reason.as_str();
            (
                json!("kept"),
                json!({"letter": letter.id().to_string(), "why": why}),
            )
        })
        .collect();
    assert_eq!(story(&lane), expected);
}

#[test]
fn a_batch_whose_handler_died_after_some_was_committed_comes_again_and_adds_only_the_rest() {
    let lane = lane();
    let pack = of_gateway(&message(3)).expect("a pack");
    let poison = malformed("poison");
    // It died between the two commits, then before the acknowledgement.
    lane.append(append(vec![pack.clone()]), NOW)
        .expect("appends");
    for _ in 0..3 {
        let again = lane.append(append(vec![pack.clone()]), NOW);
        assert_eq!(again.expect("appends").new_events, 0);
        assert_eq!(keep(&lane, std::slice::from_ref(&poison)), [true]);
    }
    assert_eq!(waiting(&lane).len(), 1);
    assert_eq!(story(&lane).len(), 1);
    assert_eq!(lines(&lane, Action::CheckDenied).len(), 3);
}

#[test]
fn every_storage_call_of_keeping_fails_both_ways_and_letter_and_event_are_there_together() {
    for fault in FAULTS {
        for nth in 0.. {
            let lane = lane();
            lane.append(append(vec![pack(1, 1, 1)]), NOW)
                .expect("appends");
            lane.sql().fail_nth(nth, fault);
            let letters = vec![malformed("a"), malformed("b")];
            let asked = Keep { letters };
            let first = lane.keep(&asked, NOW);
            let all_was_called = lane.sql().heal();
            assert_eq!(first.is_ok(), all_was_called, "{nth} {fault:?}");
            assert_eq!(waiting(&lane).len(), story(&lane).len(), "{nth} {fault:?}");
            lane.keep(&asked, NOW).expect("keeps");
            assert_eq!(waiting(&lane).len(), 2, "{nth} {fault:?}");
            assert_eq!(story(&lane).len(), 2, "{nth} {fault:?}");
            if all_was_called {
                assert!(nth > 10, "{nth} calls");
                break;
            }
        }
    }
}

#[test]
fn a_letter_that_is_taken_in_goes_in_the_same_transaction_and_its_events_are_there_once() {
    let letter = Letter::of_message(Reason::Undeliverable, message(3));
    for fault in FAULTS {
        for nth in 0.. {
            let lane = lane();
            keep(&lane, std::slice::from_ref(&letter));
            lane.sql().fail_nth(nth, fault);
            let asked = ReplayLetter {
                letter: letter.id(),
                replay: by_admin(Action::DeadLetter, "replayed"),
            };
            let first = lane.replay(asked, NOW);
            let all_was_called = lane.sql().heal();
            assert_eq!(first.is_ok(), all_was_called, "{nth} {fault:?}");
            let there = lines(&lane, Action::CheckDenied).len();
            let waits = waiting(&lane).len();
            assert!(matches!((there, waits), (0, 1) | (3, 0)), "{nth} {fault:?}");
            let again = replay(&lane, letter.id());
            let taken_in = Replayed::TakenIn {
                new_events: 3,
                duplicates: 0,
            };
            let expected = if there == 0 {
                taken_in
            } else {
                Replayed::Before
            };
            assert_eq!(again, expected, "{nth} {fault:?}");
            assert_eq!(lines(&lane, Action::CheckDenied).len(), 3);
            assert_eq!(waiting(&lane).len(), 0);
            assert_eq!(story(&lane).len(), 2);
            if all_was_called {
                assert!(nth > 6, "{nth} calls");
                break;
            }
        }
    }
}

#[test]
fn what_is_in_the_log_already_adds_nothing_when_its_letter_is_replayed() {
    let lane = lane();
    let letter = Letter::of_message(Reason::Undeliverable, message(3));
    keep(&lane, std::slice::from_ref(&letter));
    let pack = of_gateway(&message(2)).expect("a pack");
    lane.append(append(vec![pack]), NOW).expect("appends");
    let expected = Replayed::TakenIn {
        new_events: 1,
        duplicates: 2,
    };
    assert_eq!(replay(&lane, letter.id()), expected);
    assert_eq!(lines(&lane, Action::CheckDenied).len(), 3);
}

#[test]
fn what_cannot_be_taken_in_is_refused_and_stays() {
    let lane = lane();
    let kill = pack(3, 1, 1);
    let lie = kill.encode().expect("encodes");
    let conflict = Letter::of_set_aside(&kill, [(1, Reason::Conflict)]).expect("letters");
    let letters = [
        malformed("poison"),
        Letter::of_message(Reason::NotAllowed, lie),
        conflict[0].clone(),
    ];
    keep(&lane, &letters);
    for letter in &letters {
        let expected = Replayed::Refused(letter.reason);
        assert_eq!(replay(&lane, letter.id()), expected);
    }
    assert_eq!(waiting(&lane).len(), 3);
    assert_eq!(story(&lane).len(), 3);
    assert!(all_kills(&lane).is_empty());
    assert_eq!(
        replay(&lane, LetterId::from_bytes([0; 16])),
        Replayed::Unknown
    );
}

#[test]
fn what_came_too_late_is_taken_in_when_an_operator_says_so() {
    let lane = lane();
    let old = pack(3, 7, 2);
    let both = [(7, Reason::TooOld), (8, Reason::TooOld)];
    let letters = Letter::of_set_aside(&old, both).expect("letters");
    keep(&lane, &letters);
    let expected = Replayed::TakenIn {
        new_events: 2,
        duplicates: 0,
    };
    assert_eq!(replay(&lane, letters[0].id()), expected);
    assert_eq!(all_kills(&lane).len(), 2);
}

#[test]
fn giving_up_is_in_the_log_once_and_what_comes_again_after_it_is_kept_again() {
    let lane = lane();
    let letter = malformed("poison");
    keep(&lane, std::slice::from_ref(&letter));
    assert!(discard(&lane, letter.id()));
    assert!(discard(&lane, letter.id()));
    assert!(!discard(&lane, LetterId::from_bytes([0; 16])));
    assert_eq!(replay(&lane, letter.id()), Replayed::Unknown);
    assert_eq!(waiting(&lane).len(), 0);
    keep(&lane, std::slice::from_ref(&letter));
    assert_eq!(waiting(&lane).len(), 1);
    let reasons: Vec<Value> = story(&lane).into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["kept", "discarded", "kept"]);
    let discards = lines(&lane, Action::DeadLetter);
    assert_eq!(
        discards[1]["actor"],
        json!({"type": "operator", "id": "admin"})
    );
}

#[test]
fn a_lane_that_is_full_of_letters_keeps_no_more_and_says_so() {
    let fill = |size: u64, count: u64| {
        let lane = lane();
        keep(&lane, &[malformed("known")]);
        let row = "INSERT INTO letter (id, reason, kept_at, size, digest, sealed) VALUES (?, 'malformed', 1, ?, ?, ?)";
        lane.sql()
            .transaction(|| {
                for number in 0..count {
                    let mut id = [0; 16];
                    id[..8].copy_from_slice(&number.to_be_bytes());
                    let values = [
                        (&id).into(),
                        size.into(),
                        (&[0; 32]).into(),
                        (&[1; 1]).into(),
                    ];
                    lane.sql().exec(row, &values)?;
                }
                Ok(())
            })
            .expect("fills");
        lane
    };
    let known = malformed("known").content.len() as u64;
    for lane in [
        fill(1, MAX_LETTERS - 2),
        fill(MAX_LETTERS_BYTES - known - 4, 1),
    ] {
        let three = [malformed("new1"), malformed("new2"), malformed("known")];
        assert_eq!(keep(&lane, &three), [true, false, true]);
        assert!(discard(&lane, malformed("known").id()));
        assert_eq!(keep(&lane, &[malformed("new2")]), [true]);
    }
    let lane = lane();
    let too_large = Letter {
        reason: Reason::Malformed,
        content: vec![0; MAX_LETTER_BYTES + 1],
    };
    assert_eq!(keep(&lane, &[too_large]), [false]);
}

#[test]
fn letters_are_sealed_and_another_service_key_opens_none() {
    let lane = lane();
    let letter = Letter::of_message(Reason::Undeliverable, message(1));
    keep(&lane, std::slice::from_ref(&letter));
    let rows = lane.sql().exec("SELECT sealed FROM letter", &[]);
    let rows = rows.expect("reads");
    let sealed = rows[0].blob(0).expect("a blob");
    let secret = &letter.content[..17];
    assert!(!sealed.windows(17).any(|window| window == secret));

    let origin = Origin::of_lane("https://id.example", 0).expect("an origin");
    let other = lane.restarted(Some(LogKeyMaker::new([2; 32], origin)));
    let shown = |lane: &Lane| {
        let read = by_admin(Action::AuditRead, "read");
        let letter = letter.id();
        let shown = lane.letter(GetLetter { letter, read }, NOW);
        shown.expect("answers").expect("a letter")
    };
    assert_eq!((shown(&other).opened, shown(&other).pack), (false, None));
    assert_eq!(replay(&other, letter.id()), Replayed::Unreadable);
    let ours: Lane = other.restarted(Some(ours()));
    let seen = shown(&ours);
    assert_eq!((seen.opened, seen.pack), (true, letter.pack()));
    assert_eq!(seen.info.digest, letter.digest());
    assert_eq!(seen.info.size, letter.content.len() as u64);
}

#[test]
fn pages_meet_every_letter_once_and_reading_is_in_the_log() {
    let lane = lane();
    let letters: Vec<Letter> = (0..7).map(|n| malformed(&n.to_string())).collect();
    keep(&lane, &letters);
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = page(&lane, before, 3);
        seen.extend(page.letters.iter().map(|info| info.letter));
        // What comes meanwhile is in front, and what goes is not missed.
        keep(&lane, &[malformed(&format!("new {}", seen.len()))]);
        discard(&lane, seen[seen.len() - 1]);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let mut expected: Vec<LetterId> = letters.iter().map(Letter::id).collect();
    expected.reverse();
    assert_eq!(seen, expected);
    assert_eq!(lines(&lane, Action::AuditRead).len(), 3);
}

#[test]
fn what_became_of_a_letter_is_forgotten_after_a_month() {
    let lane = lane();
    let [first, second] = [malformed("1"), malformed("2")];
    keep(&lane, &[first.clone(), second.clone()]);
    assert!(discard(&lane, first.id()));
    let later = UnixMillis(NOW.0 + 31 * 24 * 60 * 60 * 1000);
    let asked = DiscardLetter {
        letter: second.id(),
        discard: by_admin(Action::DeadLetter, "discarded"),
    };
    assert!(lane.discard(asked, later).expect("answers"));
    assert!(!discard(&lane, first.id()));
    assert!(discard(&lane, second.id()));
}

#[test]
fn the_status_counts_what_waits_and_has_the_newest_of_each_queue() {
    let lane = lane();
    lane.append(append(vec![pack(1, 1, 300)]), NOW)
        .expect("appends");
    let letters = [malformed("1"), malformed("22"), malformed("3")];
    keep(&lane, &letters);
    discard(&lane, letters[0].id());
    let backlog = |queue: &str, sent| Backlog {
        queue: queue.to_owned(),
        sent: UnixMillis(sent),
        seen: NOW,
    };
    for seen in [backlog("a", 1), backlog("b", 2), backlog("a", 3)] {
        lane.note_backlog(&seen).expect("notes");
    }
    let status = lane.status().expect("answers");
    // The lines, three letters and one that was given up.
    assert_eq!((status.size, status.archived_tiles), (304, 0));
    let counts = letter_store::counts(lane.sql()).expect("counts");
    assert_eq!(status.letters, counts);
    assert_eq!((counts[0].letters, counts[0].bytes), (2, 3));
    assert_eq!(status.backlogs, [backlog("a", 3), backlog("b", 2)]);
}

#[test]
fn without_keys_nothing_is_kept() {
    let lane = LaneService::new(crate::objects::host_sql::HostSql::new(), None);
    let letters = vec![malformed("poison")];
    assert!(lane.keep(&Keep { letters }, NOW).is_err());
    assert!(waiting(&lane).is_empty());
}
