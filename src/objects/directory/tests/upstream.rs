//! Log-ins that the directory sees and log-outs that the provider tells it of, with the subjects that they
//! concern, in every order and with storage failing.

use super::RULES;
use super::{NAMING_KEY, ask, commands, directory, subject};
use crate::objects::directory::command::{About, SubjectCommand};
use crate::objects::directory::service::DirectoryService;
use crate::objects::directory::store;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use crate::objects::sql::{Sql, migrate};
use crate::objects::subject::service::SubjectService;
use portcullis_core::audit::event::{Action, RequestFacts};
use portcullis_core::id::{GrantId, ProducerId, SessionId, SubjectKey};
use portcullis_core::registry::{LoggedOut, SeeLogin, SeenLogin, UpstreamLogout};
use portcullis_core::scim::call::DirectoryCall;
use portcullis_core::secret::Digest;
use portcullis_core::session::call::SubjectCall;
use portcullis_core::session::login::{ClientRequest, Login, LoginReply};
use portcullis_core::session::revoke::Cause;
use portcullis_core::session::{Profile, Upstream};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};

type Directory = DirectoryService<HostSql>;
type Subject = SubjectService<HostSql>;

const PRODUCER: ProducerId = ProducerId::from_bytes([2; 16]);
const START: UnixMillis = UnixMillis(1_700_000_000_000);

fn at(secs: u64) -> UnixMillis {
    START.plus_secs(secs)
}

fn upstream(sub: &str, sid: Option<&str>) -> Upstream {
    Upstream {
        sub: Some(Digest::of(sub.as_bytes())),
        sid: sid.map(|sid| Digest::of(sid.as_bytes())),
    }
}

/// `name` is about to log in as the provider's `sub`, with its session `sid`.
fn sees(name: &str, sub: &str, sid: Option<&str>, begun: UnixMillis) -> SeeLogin {
    SeeLogin {
        subject: subject(name),
        value: name.into(),
        upstream: upstream(sub, sid),
        flow_begun_at: begun,
        profile: Profile::default(),
        groups: vec![],
    }
}

/// The provider's log-out of `sub`, of `sid`, or of both; `n` tells its token apart.
fn out(n: u8, sub: Option<&str>, sid: Option<&str>) -> UpstreamLogout {
    let digest = |text: &str| Digest::of(text.as_bytes());
    UpstreamLogout {
        replay: Digest::from_bytes([n; 32]),
        expires_at: at(120),
        upstream: Upstream {
            sub: sub.map(digest),
            sid: sid.map(digest),
        },
        subject: None,
    }
}

fn ask_at<C>(directory: &Directory, call: C, now: UnixMillis) -> Option<C::Reply>
where
    C: Call<Request = portcullis_core::scim::call::DirectoryRequest>,
{
    let call = DirectoryCall {
        connection: "demo".into(),
        base: String::new(),
        rules: RULES,
        request: RequestFacts::default(),
        operation: call.into_request(),
    };
    let answer = directory.answer(call, now, PRODUCER).ok()?;
    Some(wire::decode(&answer.bytes).expect("decodes"))
}

fn logs_in(person: &Subject, n: u8, sid: Option<&str>, begun: UnixMillis) -> LoginReply {
    let login = Login {
        session: SessionId::from_bytes([n; 16]),
        grant: GrantId::from_bytes([n; 16]),
        connection: "demo".into(),
        flow_begun_at: begun,
        auth_time_secs: begun.secs(),
        acr: None,
        groups: vec![],
        roles: vec![],
        claims: vec![],
        upstream: upstream("alice", sid),
        profile: Profile::default(),
        client: ClientRequest {
            client_id: "app".into(),
            redirect_uri: "http://127.0.0.1/cb".into(),
            code_challenge: "challenge".into(),
            nonce: None,
            scope: "openid".into(),
            audiences: vec![],
            dpop_jkt: None,
        },
        announce_end: false,
        allowed: false,
        code: Digest::of(&[n]),
        request: RequestFacts::default(),
    };
    let now = UnixMillis(begun.0 + 10_000);
    let reply = person.run(subject("alice"), &[], login, now, PRODUCER);
    reply.expect("stores")
}

/// Sends what is pending to the one subject, and confirms it unless confirmations are lost.
fn deliver(directory: &Directory, person: &Subject, now: UnixMillis, confirms: bool) {
    for pending in directory.pending(None).expect("reads") {
        let call = SubjectCall {
            subject: pending.subject,
            revoked: vec![],
            request: pending.request("demo"),
        };
        person.answer(call, now, PRODUCER).expect("commits");
        if confirms {
            directory.confirm(pending.version).expect("stores");
        }
    }
}

fn live(person: &Subject) -> usize {
    person.live_sessions(&[], at(60)).expect("reads").len()
}

#[test]
fn a_log_out_finds_whoever_logged_in_with_that_session_or_as_that_person() {
    let end_session = SubjectCommand::EndSession(Digest::of(b"s1"));
    for (logout, told) in [
        (out(1, None, Some("s1")), vec![("alice", end_session)]),
        (out(1, Some("a"), Some("s1")), vec![("alice", end_session)]),
        (
            out(1, Some("a"), None),
            vec![("alice", SubjectCommand::EndAll)],
        ),
        (
            out(1, Some("b"), None),
            vec![("bob", SubjectCommand::EndAll)],
        ),
        (out(1, Some("x"), Some("x")), vec![]),
        // Nobody's sub is another's sid.
        (out(1, Some("s1"), Some("a")), vec![]),
    ] {
        let directory = directory();
        for (name, sub, sid) in [("alice", "a", "s1"), ("bob", "b", "s2")] {
            let seen = ask_at(&directory, sees(name, sub, Some(sid), at(0)), at(1));
            assert_eq!(seen, Some(SeenLogin::Seen));
        }
        let reply = ask_at(&directory, logout, at(2));
        let count = u32::try_from(told.len()).expect("few");
        assert_eq!(reply, Some(LoggedOut::Told(count)));
        let told: Vec<_> = told
            .into_iter()
            .map(|(name, command)| (subject(name), command))
            .collect();
        assert_eq!(commands(&directory), told);
    }
}

#[test]
fn a_log_out_reaches_every_subject_of_a_person_and_one_never_seen() {
    let directory = directory();
    for name in ["alice@old.example", "alice@new.example"] {
        ask_at(&directory, sees(name, "a", None, at(0)), at(1));
    }
    let never_seen = subject("carol");
    let logout = UpstreamLogout {
        subject: Some(never_seen),
        ..out(1, Some("a"), None)
    };
    assert_eq!(ask_at(&directory, logout, at(2)), Some(LoggedOut::Told(3)));
    let mut told: Vec<SubjectKey> = commands(&directory).into_iter().map(|(of, _)| of).collect();
    told.sort();
    let mut all = vec![
        subject("alice@old.example"),
        subject("alice@new.example"),
        never_seen,
    ];
    all.sort();
    assert_eq!(told, all);
}

#[test]
fn nobody_logs_in_with_a_session_that_has_ended_before_anybody_was_known_by_it() {
    let directory = directory();
    assert_eq!(
        ask_at(&directory, out(1, None, Some("s1")), at(5)),
        Some(LoggedOut::Told(0))
    );
    let late = sees("alice", "a", Some("s1"), at(100));
    assert_eq!(ask_at(&directory, late, at(101)), Some(SeenLogin::Ended));
    let other = sees("alice", "a", Some("s2"), at(100));
    assert_eq!(ask_at(&directory, other, at(101)), Some(SeenLogin::Seen));
}

#[test]
fn a_log_in_that_set_out_before_a_log_out_everywhere_comes_too_late() {
    let directory = directory();
    ask_at(&directory, out(1, Some("a"), None), at(5));
    let seen = |begun| {
        let login = sees("alice", "a", Some("s"), begun);
        ask_at(&directory, login, at(10))
    };
    assert_eq!(seen(at(4)), Some(SeenLogin::Ended));
    assert_eq!(seen(at(5)), Some(SeenLogin::Ended));
    assert_eq!(seen(at(6)), Some(SeenLogin::Seen));
    // An older log-out that is told later takes nothing back.
    ask_at(&directory, out(2, Some("a"), None), at(1));
    assert_eq!(seen(at(5)), Some(SeenLogin::Ended));
}

#[test]
fn a_token_that_comes_again_ends_nothing_more_and_waits_for_what_is_pending() {
    let directory = directory();
    ask_at(&directory, sees("alice", "a", None, at(0)), at(1));
    let logout = out(1, Some("a"), None);
    assert_eq!(ask_at(&directory, logout, at(2)), Some(LoggedOut::Told(1)));
    let waits = || {
        let about = Some(About::Logout(logout.replay));
        directory.pending(about).expect("reads").len()
    };
    // The retry of a provider that was told 503, also under another's name in between.
    ask_at(&directory, sees("bob", "a", None, at(3)), at(3));
    assert_eq!(ask_at(&directory, logout, at(4)), Some(LoggedOut::Replayed));
    assert_eq!((waits(), commands(&directory).len()), (1, 1));
    let call = DirectoryCall {
        connection: "demo".into(),
        base: String::new(),
        rules: RULES,
        request: RequestFacts::default(),
        operation: logout.into_request(),
    };
    let answer = directory.answer(call, at(4), PRODUCER).expect("answers");
    assert_eq!(answer.concerns, Some(About::Logout(logout.replay)));
    let version = directory.pending(None).expect("reads")[0].version;
    directory.confirm(version).expect("stores");
    assert_eq!(waits(), 0);
    assert_eq!(ask_at(&directory, logout, at(5)), Some(LoggedOut::Replayed));
    assert_eq!(commands(&directory), []);
}

#[test]
fn a_log_out_waits_for_what_its_subject_was_told_before() {
    let directory = super::with_alice();
    super::set(&directory, "active", "false");
    ask_at(&directory, sees("alice", "a", None, at(0)), at(1));
    let logout = out(1, Some("a"), None);
    ask_at(&directory, logout, at(2));
    let pending = directory.pending(Some(About::Logout(logout.replay)));
    let pending: Vec<_> = pending.expect("reads").iter().map(|p| p.command).collect();
    let disable = SubjectCommand::Disable(Cause::ScimDeactivated);
    assert_eq!(pending, [disable, SubjectCommand::EndAll]);
}

#[test]
fn a_log_out_that_is_sent_again_ends_nothing_that_began_since() {
    for (logout, first, later) in [
        (out(1, Some("alice"), None), Some("s1"), Some("s2")),
        (out(1, None, Some("s1")), Some("s1"), Some("s2")),
        // A session that does not say which session of the provider it rests on.
        (out(1, Some("alice"), Some("s1")), Some("s1"), None),
    ] {
        let (directory, person) = (directory(), SubjectService::new(HostSql::new()));
        ask_at(&directory, sees("alice", "alice", first, at(0)), at(1));
        assert_eq!(logs_in(&person, 1, first, at(0)), LoginReply::Begun);
        ask_at(&directory, logout, at(12));
        deliver(&directory, &person, at(13), false);
        assert_eq!(live(&person), 0);
        ask_at(&directory, sees("alice", "alice", later, at(20)), at(21));
        assert_eq!(logs_in(&person, 2, later, at(20)), LoginReply::Begun);
        deliver(&directory, &person, at(40), false);
        deliver(&directory, &person, at(41), true);
        assert_eq!((live(&person), commands(&directory).len()), (1, 0));
    }
}

#[test]
fn no_session_survives_its_log_out_in_whatever_order_they_come() {
    // What a log-in does and what a log-out does, each in its own order.
    #[derive(Clone, Copy, PartialEq)]
    enum Step {
        See,
        Begin,
        LogOut,
        Deliver,
    }
    use Step::{Begin, Deliver, LogOut, See};
    for order in [
        [See, Begin, LogOut, Deliver],
        [See, LogOut, Begin, Deliver],
        [See, LogOut, Deliver, Begin],
        [LogOut, See, Begin, Deliver],
        [LogOut, See, Deliver, Begin],
        [LogOut, Deliver, See, Begin],
    ] {
        for logout in [
            out(1, None, Some("s1")),
            out(1, Some("alice"), None),
            out(1, Some("alice"), Some("s1")),
        ] {
            let (directory, person) = (directory(), SubjectService::new(HostSql::new()));
            let mut seen = None;
            for step in order {
                match step {
                    See => {
                        let login = sees("alice", "alice", Some("s1"), at(0));
                        seen = ask_at(&directory, login, at(5));
                    }
                    Begin if seen == Some(SeenLogin::Seen) => {
                        logs_in(&person, 1, Some("s1"), at(0));
                    }
                    Begin => {}
                    LogOut => drop(ask_at(&directory, logout, at(5))),
                    Deliver => deliver(&directory, &person, at(11), true),
                }
            }
            let at = order.map(|step| ["see", "begin", "log out", "deliver"][step as usize]);
            assert_eq!(live(&person), 0, "{at:?} {logout:?}");
        }
    }
}

#[test]
fn a_log_out_with_its_commands_and_event_is_stored_whole_or_not_at_all() {
    let with_two = || {
        let directory = directory();
        for name in ["a1", "a2"] {
            ask_at(&directory, sees(name, "a", None, at(0)), at(1));
        }
        directory
    };
    let logout = out(1, Some("a"), None);
    let calls = {
        let directory = with_two();
        let before = directory.sql().calls();
        ask_at(&directory, logout, at(2));
        directory.sql().calls() - before
    };
    assert!(calls >= 10, "the log-out made {calls} storage calls");
    for nth in 0..calls {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            let directory = with_two();
            directory.sql().fail_nth(nth, fault);
            assert_eq!(ask_at(&directory, logout, at(2)), None, "call {nth}");
            assert!(!directory.sql().heal());
            let stored = (commands(&directory).len(), told(&directory));
            assert!(
                matches!(stored, (0, 0) | (2, 1)),
                "call {nth}, {fault:?}: {stored:?}"
            );
            // The provider's retry ends where the first try would have.
            let again = ask_at(&directory, logout, at(3)).expect("answers");
            let was_stored = again == LoggedOut::Replayed;
            assert_eq!(was_stored, stored == (2, 1), "call {nth}, {fault:?}");
            assert_eq!((commands(&directory).len(), told(&directory)), (2, 1));
        }
    }
}

/// How many log-outs are in the outbox.
fn told(directory: &Directory) -> usize {
    let packs = directory.waiting().expect("reads");
    let events = packs.iter().flat_map(|pack| &pack.events);
    events
        .filter(|event| event.action == Action::Logout)
        .count()
}

#[test]
fn a_log_in_is_noted_whole_or_not_at_all() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let directory = directory();
            assert_eq!(directory.pending(None), Ok(vec![]), "the tables are there");
            directory.sql().fail_nth(nth, fault);
            let login = sees("alice", "a", Some("s1"), at(0));
            let seen = ask_at(&directory, login, at(1));
            let unused = directory.sql().heal();
            let find = portcullis_core::registry::FindPerson {
                subject: subject("alice"),
            };
            let known = ask(&directory, find).expect("answers").is_some();
            assert!(known || seen.is_none(), "acknowledged and not noted");
            for (n, logout) in [out(1, Some("a"), None), out(2, None, Some("s1"))]
                .into_iter()
                .enumerate()
            {
                let told = ask_at(&directory, logout, at(2));
                let found = Some(LoggedOut::Told(u32::from(known)));
                assert_eq!(told, found, "call {nth}, {fault:?}, {n}");
            }
            if unused {
                break;
            }
        }
    }
}

#[test]
fn what_is_over_is_forgotten_and_nothing_before() {
    let directory = directory();
    let days = |n: u64| at(n * 24 * 3600);
    ask_at(&directory, sees("alice", "a", Some("s1"), at(0)), at(0));
    ask_at(&directory, out(1, Some("x"), None), at(0));
    ask_at(&directory, out(2, None, Some("y")), at(0));
    let rows = |table: &str| {
        let count = directory
            .sql()
            .exec(&format!("SELECT count(*) FROM {table}"), &[]);
        count.expect("reads")[0].integer(0).expect("a number")
    };
    let all = || {
        [
            "known_sub",
            "known_sid",
            "ended_sub",
            "ended_sid",
            "used_logout",
        ]
        .map(rows)
    };
    // As long as a session with offline access, somebody is found by it.
    let another = |day| ask_at(&directory, sees("bob", "b", None, days(day)), days(day));
    another(1);
    assert_eq!(all(), [2, 1, 1, 1, 0]);
    another(30);
    assert_eq!(all(), [2, 1, 0, 0, 0]);
    another(32);
    assert_eq!(all(), [1, 0, 0, 0, 0]);
    assert_eq!(rows("registry"), 2);
    another(401);
    assert_eq!(rows("registry"), 1);
}

#[test]
fn commands_from_before_there_were_log_outs_are_still_sent() {
    let sql = HostSql::new();
    migrate(&sql, &store::MIGRATIONS[..2]).expect("migrates");
    let disable = SubjectCommand::Disable(Cause::ScimDeleted);
    sql.exec(
        "INSERT INTO pending (version, subject, user, command) VALUES (?, ?, ?, ?)",
        &[
            7u64.into(),
            subject("alice").as_bytes().into(),
            [1u8; 16].as_slice().into(),
            wire::encode(&disable).expect("encodes").into(),
        ],
    )
    .expect("inserts");
    let directory = DirectoryService::new(sql, NAMING_KEY);
    let user = portcullis_core::scim::user::UserId::from_bytes([1; 16]);
    let pending = directory.pending(Some(About::User(user))).expect("reads");
    assert_eq!(pending.len(), 1);
    assert_eq!(
        (pending[0].version, pending[0].subject, pending[0].command),
        (7, subject("alice"), disable)
    );
}
