//! What a subject tells the feed, and the receipts of its revocations.

use super::*;
use crate::objects::feed_outbox::Ends;
use crate::objects::host_sql::Fault;
use portcullis_core::feed::Target;
use portcullis_core::feed::receipt::{AskReceipts, Covers, Followed, Position};
use portcullis_core::feed::{Incarnation, shards::Layouts};
use portcullis_core::id::IncarnationId;
use portcullis_core::session::refresh::Refresh;
use portcullis_core::session::revoke::Revoked;

fn targets(subject: &SubjectService<HostSql>) -> Vec<Target> {
    let untold = subject.untold().expect("reads");
    untold.into_iter().map(|one| one.entry.target).collect()
}

fn end(subject: &SubjectService<HostSql>, command: Revoke, now: UnixMillis) -> Revoked {
    match subject.run(KEY, &[], command, now, PRODUCER) {
        Ok(RevokeReply::Revoked(revoked)) => revoked,
        other => panic!("{other:?}"),
    }
}

fn receipt(subject: &SubjectService<HostSql>, revoked: Revoked) -> Followed {
    let serial = revoked.receipt.expect("a receipt");
    let found = subject.receipts(AskReceipts::One(serial)).expect("reads");
    found.receipts.into_iter().next().expect("it is kept")
}

fn positions() -> Vec<Position> {
    let incarnation = Incarnation {
        id: IncarnationId::from_bytes([1; 16]),
        began_at: at(0),
    };
    vec![Position {
        shard: "1-0".into(),
        incarnation,
        sequence: 7,
        committed_at: at(9),
        max_age_ms: 1000,
    }]
}

fn told(subject: &SubjectService<HostSql>) {
    let untold = subject.untold().expect("reads");
    subject.told(&untold, &positions()).expect("stores");
}

#[test]
fn a_log_in_tells_the_feed_nothing_and_each_end_what_it_ended() {
    let (subject, _) = with_token(1);
    assert_eq!(targets(&subject), []);
    end(
        &subject,
        kill(Scope::Session(SessionId::from_bytes([1; 16]))),
        at(5),
    );
    end(&subject, deactivate(3), at(6));
    let session = Target::Session(SessionId::from_bytes([1; 16]));
    assert_eq!(targets(&subject), [session, Target::Subject(KEY)]);
    let layouts = Layouts::parse("1,4").expect("parses");
    assert_eq!(subject.shards(&layouts), Ok(layouts.of_subject(KEY)));
}

#[test]
fn a_reused_refresh_token_ends_its_session_for_gateways_too() {
    let (subject, _) = with_token(1);
    let refresh = |with: &[u8], next: &[u8], now| {
        let refresh = Refresh {
            session: SessionId::from_bytes([1; 16]),
            presented: Digest::of(with),
            successor: Digest::of(next),
            salt: [0; 24],
            ask: ask("app", 9),
        };
        let reply = subject.run(KEY, &[], refresh, now, PRODUCER);
        reply.expect("stores").is_ok()
    };
    assert!(refresh(&[1, 0], &[1, 1], at(10)) && refresh(&[1, 1], &[1, 2], at(20)));
    assert_eq!(targets(&subject), []);
    assert!(!refresh(&[1, 0], &[1, 3], at(30)));
    assert_eq!(
        targets(&subject),
        [Target::Session(SessionId::from_bytes([1; 16]))]
    );
}

#[test]
fn a_receipt_says_what_was_ended_and_waits_until_the_feed_has_it() {
    let (subject, _) = with_token(1);
    let revoked = end(&subject, kill(Scope::Subject), at(5));
    let waiting = receipt(&subject, revoked);
    assert_eq!(waiting.receipt.covers, Covers::Subject(Scope::Subject));
    assert_eq!(waiting.receipt.sessions, Some(1));
    assert_eq!(
        (waiting.receipt.cause.as_str(), waiting.receipt.at),
        ("admin", at(5))
    );
    assert_eq!(waiting.feed, None);
    told(&subject);
    assert_eq!(receipt(&subject, revoked).feed, Some(positions()));
    let none = subject.receipts(AskReceipts::One(1)).expect("reads");
    assert!(none.receipts.is_empty() && none.settled);
}

#[test]
fn what_ended_while_the_feed_was_told_still_waits() {
    let (subject, _) = with_token(1);
    let first = end(&subject, kill(Scope::Subject), at(5));
    let in_flight = subject.untold().expect("reads");
    let second = end(&subject, kill(Scope::Subject), at(5));
    assert_ne!(first.receipt, second.receipt);
    subject.told(&in_flight, &positions()).expect("stores");
    assert!(receipt(&subject, first).feed.is_some());
    assert_eq!(receipt(&subject, second).feed, None);
    assert_eq!(subject.has_untold(), Ok(true));
}

#[test]
fn what_ends_nothing_has_no_receipt_and_the_unseen_none_at_all() {
    let unseen = super::subject();
    let none = unseen.receipts(AskReceipts::Newest(9)).expect("reads");
    assert!(none.receipts.is_empty() && none.settled);
    let (subject, _) = with_token(1);
    let session = || kill(Scope::Session(SessionId::from_bytes([1; 16])));
    assert!(end(&subject, session(), at(5)).receipt.is_some());
    assert_eq!(end(&subject, session(), at(6)).receipt, None);
    let dry = Revoke {
        dry_run: true,
        ..kill(Scope::Subject)
    };
    assert_eq!(end(&subject, dry, at(7)).receipt, None);
}

#[test]
fn the_end_of_one_token_of_somebody_never_seen_is_told_too() {
    let unseen = super::subject();
    let token = TokenId::from_bytes([7; 16]);
    end(&unseen, kill(Scope::Token(token)), at(5));
    assert_eq!(targets(&unseen), [Target::Token(token)]);
    let layouts = Layouts::default();
    assert_eq!(unseen.shards(&layouts), Ok(layouts.of_subject(KEY)));
}

#[test]
fn old_receipts_go_and_those_that_wait_stay() {
    let (subject, _) = with_token(1);
    let waits = end(&subject, kill(Scope::Subject), at(1));
    for n in 0..300 {
        let token = TokenId::from_bytes([7; 16]);
        end(&subject, kill(Scope::Token(token)), at(100 + n));
        if n == 0 {
            told(&subject);
        }
    }
    // The first one was told of and is one of the oldest; each of the others waits.
    let all = subject.receipts(AskReceipts::Newest(1000)).expect("reads");
    assert_eq!(all.receipts.len(), 100);
    assert!(!all.settled);
    let serial = waits.receipt.expect("a receipt");
    let first = subject.receipts(AskReceipts::One(serial)).expect("reads");
    assert_eq!(first.receipts, []);
}

#[test]
fn every_storage_call_of_a_kill_fails_both_ways_and_state_feed_and_receipt_agree() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let (subject, check) = with_token(1);
            subject.sql().fail_nth(nth, fault);
            let killed = subject.run(KEY, &[], kill(Scope::Subject), at(5), PRODUCER);
            if subject.sql().heal() {
                assert!(killed.is_ok());
                break;
            }
            let dead = !verdict(&subject, &check, at(6)).is_active();
            let receipts = subject.receipts(AskReceipts::Newest(9)).expect("reads");
            assert_eq!(dead, subject.has_untold().expect("reads"), "at call {nth}");
            assert_eq!(dead, receipts.receipts.len() == 1, "at call {nth}");
        }
    }
}
