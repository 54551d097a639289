use super::call::{Append, Appended, Batch, FeedRequest, Read, Restart};
use super::page::{SignedPage, Statement, TYP, VerifiedPage, digest};
use super::poll::{Cursor, Poll, Polled, PolledPage};
use super::*;
use crate::audit::event::Actor;
use crate::jwt::TokenError;
use crate::jwt::feed::begin_page;
use crate::jwt::jwks::KeySet;
use crate::jwt::sign::SigningKey;
use crate::policy::IN_FORCE_AFTER_MS;
use crate::session::revoke::{Cause, Revoke, RevokeReply, Scope};
use crate::session::{Command, Profile, Session, State, Upstream};
use crate::wire::{self, Call};
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const ISSUER: &str = "https://id.example";

fn incarnation() -> Incarnation {
    Incarnation {
        id: IncarnationId::from_bytes([1; 16]),
        began_at: UnixMillis(2),
    }
}

fn entry(target: Target) -> Entry {
    Entry {
        target,
        issued_until: Some(UnixMillis(3)),
        ends_at: None,
        version: 4,
    }
}

#[test]
fn golden_bytes() {
    let repeat = |byte: u8, n: usize| std::iter::repeat_n(byte, n);
    let tail = [1, 3, 0, 4];
    let subject = SubjectKey::from_bytes([5; 16]);
    for (tag, target, body) in [
        (0, Target::Subject(subject), vec![5; 16]),
        (
            1,
            Target::Session(SessionId::from_bytes([6; 16])),
            vec![6; 16],
        ),
        (2, Target::Token(TokenId::from_bytes([7; 16])), vec![7; 16]),
        (
            3,
            Target::UpstreamSession(subject, Digest::from_bytes([8; 32])),
            repeat(5, 16).chain(repeat(8, 32)).collect(),
        ),
        (4, Target::Client("c".into()), vec![1, b'c']),
        (5, Target::Connection("c".into()), vec![1, b'c']),
        (6, Target::Key("k".into()), vec![1, b'k']),
    ] {
        let mut expected = vec![1, tag];
        expected.extend(body);
        expected.extend(tail);
        assert_eq!(wire::encode(&entry(target)), Ok(expected));
    }

    let of = |request: FeedRequest| wire::encode(&request).expect("encodes");
    let append = Append {
        entries: vec![entry(Target::Client("c".into()))],
    };
    let expected = [1, 0, 1, 4, 1, b'c', 1, 3, 0, 4];
    assert_eq!(of(append.into_request()), expected);
    let read = Read {
        incarnation: None,
        after: 5,
        limit: 6,
        wait_ms: 7,
    };
    assert_eq!(of(read.into_request()), [1, 1, 0, 5, 6, 7]);
    let mut expected = vec![1, 2];
    expected.extend([9; 16]);
    let restart = Restart {
        id: IncarnationId::from_bytes([9; 16]),
    };
    assert_eq!(of(restart.into_request()), expected);

    let mut life = vec![1];
    life.extend([1; 16]);
    life.push(2);
    let with = |tail: &[u8]| Ok([life.as_slice(), tail].concat());
    let appended = Appended {
        incarnation: incarnation(),
        sequence: 5,
        committed_at: UnixMillis(6),
    };
    assert_eq!(wire::encode(&appended), with(&[5, 6]));
    let batch = Batch {
        incarnation: incarnation(),
        after: 3,
        through: 4,
        sequence: 5,
        at: UnixMillis(6),
        entries: vec![],
    };
    assert_eq!(wire::encode(&batch), with(&[3, 4, 5, 6, 0]));
}

#[test]
fn golden_bytes_of_what_gateways_see() {
    let poll = Poll {
        known: vec![Cursor {
            shard: "s".into(),
            incarnation: IncarnationId::from_bytes([1; 16]),
            through: 300,
        }],
    };
    let mut expected = vec![1, 1, 1, b's'];
    expected.extend([1; 16]);
    expected.extend([0xac, 2]);
    assert_eq!(wire::encode(&poll), Ok(expected));
    let polled = Polled {
        pages: vec![PolledPage {
            page: SignedPage {
                statement: "j".into(),
                entries: vec![1, 0],
            },
            age_ms: 9,
        }],
    };
    assert_eq!(wire::encode(&polled), Ok(vec![1, 1, 1, b'j', 2, 1, 0, 9]));
    assert_eq!(
        serde_json::to_string(&statement(&[1, 0])).expect("encodes"),
        r#"{"iss":"https://id.example","shard":"1-0","inc":"inc_AQEBAQEBAQEBAQEBAQEBAQ","began_at":2,"after":0,"through":7,"seq":9,"time":1800000000000,"max_age_ms":1000,"entries_sha256":"R9xUDJTOtwSiOHXBEnPha7C4qHrthN6RHyEzVoEV8lQ"}"#
    );
}

fn statement(entries: &[u8]) -> Statement {
    Statement {
        iss: ISSUER.into(),
        shard: "1-0".into(),
        inc: IncarnationId::from_bytes([1; 16]),
        began_at: UnixMillis(2),
        after: 0,
        through: 7,
        seq: 9,
        time: NOW,
        max_age_ms: 1000,
        entries_sha256: digest(entries),
    }
}

fn key() -> SigningKey {
    SigningKey::from_secret(&[7; 32]).expect("a key")
}

fn signed(statement: &Statement, entries: &[u8]) -> SignedPage {
    SignedPage {
        statement: key().sign(statement, TYP).expect("signs"),
        entries: entries.to_vec(),
    }
}

fn verified(page: &SignedPage) -> Result<VerifiedPage, TokenError> {
    let jwks = serde_json::json!({ "keys": [key().public_jwk()] }).to_string();
    let keys = KeySet::parse(jwks.as_bytes()).expect("a key set");
    begin_page(page, &keys, ISSUER)?.check()
}

#[test]
fn a_page_is_believed_as_it_was_signed_and_not_otherwise() {
    let entries = wire::encode(&vec![entry(Target::Key("k".into()))]).expect("encodes");
    let good = signed(&statement(&entries), &entries);
    let page = verified(&good).expect("verifies");
    assert_eq!(page.entries, [entry(Target::Key("k".into()))]);
    assert!(page.statement.has_more());

    let cut = SignedPage {
        entries: entries.split_last().expect("bytes").1.to_vec(),
        ..good.clone()
    };
    assert_eq!(verified(&cut), Err(TokenError::Binding));
    let emptied = SignedPage {
        entries: vec![1, 0],
        ..good.clone()
    };
    assert_eq!(verified(&emptied), Err(TokenError::Binding));

    let elsewhere = Statement {
        iss: "https://other.example".into(),
        ..statement(&entries)
    };
    assert_eq!(
        verified(&signed(&elsewhere, &entries)),
        Err(TokenError::Issuer)
    );
    for (after, through, seq) in [(8, 7, 9), (0, 10, 9)] {
        let backwards = Statement {
            after,
            through,
            seq,
            ..statement(&entries)
        };
        assert_eq!(
            verified(&signed(&backwards, &entries)),
            Err(TokenError::Claims)
        );
    }
    let other_kind = SignedPage {
        statement: key().sign(&statement(&entries), "at+jwt").expect("signs"),
        ..good.clone()
    };
    assert_eq!(verified(&other_kind), Err(TokenError::Type));
    let mut forged = good.clone();
    let last = forged.statement.pop();
    forged
        .statement
        .push(if last == Some('A') { 'Q' } else { 'A' });
    assert!(verified(&forged).is_err());
}

fn session(n: u8) -> Session {
    Session {
        id: SessionId::from_bytes([n; 16]),
        grant: crate::id::GrantId::from_bytes([n; 16]),
        client_id: "c".into(),
        connection: "demo".into(),
        begun_at: NOW,
        set_out_at: NOW,
        auth_time_secs: None,
        acr: None,
        groups: vec![],
        device: None,
        expires_at: NOW.plus_secs(3600),
        ended: None,
        last_used_at: NOW,
        idle_secs: 3600,
        profile: Profile::default(),
        announce_end: false,
        roles: vec![],
        claims: vec![],
        upstream: Upstream::default(),
    }
}

/// What `scope` ends of a subject with two sessions.
fn of_a_kill(scope: Scope) -> (State, Vec<Entry>) {
    let mut state = State::unseen(SubjectKey::from_bytes([1; 16]));
    state.sessions = [2, 3].map(session).to_vec();
    let kill = Revoke::new(scope, Cause::Admin, Actor::Anonymous);
    let decision = kill.decide(&state, NOW);
    assert!(matches!(decision.reply, RevokeReply::Revoked(_)));
    let entries = entries_of(&state.subject, &decision.changes, NOW);
    (state, entries)
}

#[test]
fn every_scope_of_a_kill_reaches_the_feed() {
    let one = |n| Target::Session(SessionId::from_bytes([n; 16]));
    let subject = Target::Subject(SubjectKey::from_bytes([1; 16]));
    let sid = Digest::from_bytes([4; 32]);
    let token = TokenId::from_bytes([5; 16]);
    let upstream = Target::UpstreamSession(SubjectKey::from_bytes([1; 16]), sid);
    for (scope, expected) in [
        (Scope::Subject, vec![subject.clone()]),
        (
            Scope::SubjectUntilReactivated {
                directory_version: 1,
            },
            vec![subject.clone()],
        ),
        (Scope::Session(SessionId::from_bytes([2; 16])), vec![one(2)]),
        (
            Scope::OtherSessions(SessionId::from_bytes([2; 16])),
            vec![one(3)],
        ),
        (Scope::Client("c".into()), vec![one(2), one(3)]),
        (Scope::Token(token), vec![Target::Token(token)]),
        (Scope::UpstreamSession(sid), vec![subject, upstream]),
    ] {
        let (_, entries) = of_a_kill(scope.clone());
        let targets: Vec<Target> = entries.into_iter().map(|entry| entry.target).collect();
        assert_eq!(targets, expected, "{scope:?}");
    }
}

#[test]
fn the_disabled_are_covered_until_they_are_let_in_again() {
    let disabled = Scope::SubjectUntilReactivated {
        directory_version: 1,
    };
    let (state, entries) = of_a_kill(disabled);
    let of_subject = entries.first().expect("an entry");
    assert_eq!((of_subject.issued_until, of_subject.ends_at), (None, None));

    let before = Subject {
        disabled: true,
        killed_at: Some(NOW),
        ..state.subject
    };
    let after = Subject {
        disabled: false,
        reactivated_at: Some(NOW.plus_secs(9)),
        ..before.clone()
    };
    let lifted = entries_of(&before, &[Change::PutSubject(after)], NOW);
    let lifted = lifted.first().expect("an entry");
    assert_eq!(
        lifted.issued_until,
        Some(NOW.plus_secs(9 + CLOCK_SKEW_SECS))
    );
    assert!(lifted.ends_at > lifted.issued_until);
}

#[test]
fn of_two_kills_the_later_has_the_higher_version_whatever_the_clock() {
    let before = Subject::unseen(SubjectKey::from_bytes([1; 16]));
    let killed = |generation, at| Subject {
        generation,
        killed_at: Some(at),
        ..before.clone()
    };
    let version = |before: &Subject, after: &Subject| {
        let entries = entries_of(before, &[Change::PutSubject(after.clone())], NOW);
        entries.first().map(|entry| entry.version)
    };
    let (first, second) = (killed(1, NOW), killed(2, NOW));
    assert!(version(&before, &first) < version(&first, &second));
}

#[test]
fn an_older_version_makes_an_entry_wider_and_never_narrower() {
    let of = |version, until, ends| Entry {
        target: Target::Subject(SubjectKey::from_bytes([1; 16])),
        issued_until: until,
        ends_at: ends,
        version,
    };
    let known = of(5, Some(NOW), Some(NOW.plus_secs(9)));
    let newer = of(6, Some(UnixMillis(1)), Some(UnixMillis(2)));
    assert_eq!(known.told(&newer, NOW), Some(newer));
    assert_eq!(known.told(&known, NOW), None);
    // What came before, late.
    let older = of(4, Some(UnixMillis(1)), Some(UnixMillis(2)));
    assert_eq!(known.told(&older, NOW), None);
    // Of a subject that was restored and killed since.
    let later = of(4, Some(NOW.plus_secs(7)), Some(NOW.plus_secs(99)));
    let wider = Entry {
        version: 5,
        ..later.clone()
    };
    assert_eq!(known.told(&later, NOW), Some(wider));
    // Of one that was restored and disabled since, or an old news of that, come late.
    let barred = of(4, None, None);
    let wider = known.told(&barred, NOW).expect("wider");
    assert_eq!(wider.issued_until, Some(NOW.plus_secs(CLOCK_SKEW_SECS)));
    assert!(wider.ends_at > known.ends_at);
    assert_eq!(of(5, None, None).told(&later, NOW), None);
}

#[test]
fn what_ends_nothing_leaves_no_entry() {
    let subject = Subject::unseen(SubjectKey::from_bytes([1; 16]));
    let live = session(2);
    let changes = [
        Change::PutSubject(subject.clone()),
        Change::PutSubject(Subject {
            directory_version: 3,
            ..subject.clone()
        }),
        Change::PutSession(live),
        Change::Sweep { now: NOW },
    ];
    assert_eq!(entries_of(&subject, &changes, NOW), []);
}

proptest! {
    #[test]
    fn no_entry_ends_before_what_it_covers_has_expired(issued_ago in 0u64..600, lives in 1u64..=300) {
        let (_, entries) = of_a_kill(Scope::Subject);
        // Ours, minted before the kill by a clock that may be a minute ahead.
        let expires_at = UnixMillis(NOW.0 - issued_ago * 1000).plus_secs(CLOCK_SKEW_SECS + lives);
        for entry in entries {
            prop_assert!(!entry.has_ended(UnixMillis(expires_at.0 - 1)));
        }
    }

    #[test]
    fn a_wide_revocation_covers_whatever_began_before_it_was_in_force(began_after_ms in 0..=IN_FORCE_AFTER_MS) {
        let revocation = WideRevocation::committed(WideScope::Client("c".into()), NOW);
        let entry = of_wide(&revocation);
        let began = UnixMillis(NOW.0 + began_after_ms);
        prop_assert!(entry.issued_until.is_some_and(|until| began <= until));
        let expires_at = began.plus_secs(MAX_TOKEN_AGE_SECS);
        prop_assert!(!entry.has_ended(expires_at));
    }
}
