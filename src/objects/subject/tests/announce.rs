//! Ends that clients are told of, at the storage seam: none is lost, whatever fails and wherever a
//! crash comes, and each comes to one event.

use super::{KEY, PRODUCER, at, kill, login, subject};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use crate::objects::sql::SqlError;
use crate::objects::subject::service::SubjectService;
use portcullis_core::audit::event::{Action, Event};
use portcullis_core::id::SessionId;
use portcullis_core::session::announce::{Announcement, GIVEN_UP_AFTER_SECS};
use portcullis_core::session::login::Login;
use portcullis_core::session::revoke::Scope;
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

/// A subject with sessions `1..=count` whose client wants to hear of their ends.
fn with_sessions(count: u8) -> SubjectService<HostSql> {
    let subject = subject();
    for n in 1..=count {
        let login = Login {
            announce_end: true,
            ..login(n, at(0))
        };
        subject
            .run(KEY, &[], login, at(1), PRODUCER)
            .expect("stores");
    }
    subject
}

fn claim(
    subject: &SubjectService<HostSql>,
    now: UnixMillis,
) -> Result<Vec<Announcement>, SqlError> {
    let claimed = subject.claim(now, 3, PRODUCER)?;
    Ok(claimed.map_or_else(Vec::new, |(key, due)| {
        assert_eq!(key, KEY);
        due
    }))
}

/// The events of announcements, as they wait for the lane.
fn events(subject: &SubjectService<HostSql>) -> Vec<Event> {
    let packs = subject.waiting().expect("reads");
    let events = packs.into_iter().flat_map(|pack| pack.events);
    events
        .filter(|event| event.action == Action::LogoutAnnounced)
        .collect()
}

#[test]
fn an_end_is_due_at_once_then_later_and_never_after_it_was_confirmed() {
    let subject = with_sessions(2);
    assert_eq!(subject.next_announcement(), Ok(None));
    let end = kill(Scope::Session(session(1)));
    subject
        .run(KEY, &[], end, at(10), PRODUCER)
        .expect("stores");
    let due = claim(&subject, at(10)).expect("stores");
    assert_eq!(due.len(), 1);
    assert_eq!(
        (due[0].session, due[0].client_id.as_str()),
        (session(1), "app")
    );
    // It is on its way; if nothing comes of that, it is due again five seconds later.
    assert_eq!(claim(&subject, at(14)), Ok(vec![]));
    assert_eq!(subject.next_announcement(), Ok(Some(at(15))));
    let again = claim(&subject, at(15)).expect("stores");
    assert_eq!((again[0].id, again[0].attempts), (due[0].id, 1));
    assert_eq!(subject.next_announcement(), Ok(Some(at(25))));
    for _ in 0..2 {
        subject
            .confirm(KEY, &again[0], at(16), PRODUCER)
            .expect("stores");
    }
    assert_eq!(subject.next_announcement(), Ok(None));
    let events = events(&subject);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].client_id.as_deref(), Some("app"));
}

#[test]
fn who_does_not_want_to_hear_is_not_told_and_nobody_twice_of_one_end() {
    let subject = with_sessions(1);
    subject
        .run(KEY, &[], login(2, at(1)), at(2), PRODUCER)
        .expect("stores");
    for _ in 0..2 {
        subject
            .run(KEY, &[], kill(Scope::Subject), at(3), PRODUCER)
            .expect("stores");
    }
    assert_eq!(claim(&subject, at(3)).expect("stores").len(), 1);
    assert_eq!(claim(&subject, at(3)), Ok(vec![]));
}

#[test]
fn a_client_that_never_answers_is_given_up_after_a_day_with_one_event() {
    let subject = with_sessions(1);
    subject
        .run(KEY, &[], kill(Scope::Subject), at(0), PRODUCER)
        .expect("stores");
    let mut attempts = 0;
    while let Some(next) = subject.next_announcement().expect("reads") {
        assert!(next < at(GIVEN_UP_AFTER_SECS + 3601), "{next:?}");
        attempts += claim(&subject, next).expect("stores").len();
    }
    assert!((30..40).contains(&attempts), "{attempts} attempts");
    let events = events(&subject);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason.as_deref(), Some("not_confirmed"));
}

/// A step of a history; numbers pick sessions.
#[derive(Clone, Debug)]
enum Step {
    End(u8),
    EndAll,
    /// The clients of the rows that are claimed get to hear, or not, and the confirmation is
    /// stored, or not.
    Tell {
        heard: bool,
        confirmed: bool,
    },
    Wait(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(Step, Option<(u32, bool)>)>> {
    let step = prop_oneof![
        3 => (1u8..6).prop_map(Step::End),
        1 => Just(Step::EndAll),
        6 => any::<(bool, bool)>()
            .prop_map(|(heard, confirmed)| Step::Tell { heard, confirmed: heard && confirmed }),
        4 => (1u64..4000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ];
    let fault = prop::option::weighted(0.4, (0u32..10, any::<bool>()));
    prop::collection::vec((step, fault), 1..30)
}

proptest! {
    #[test]
    fn every_acknowledged_end_reaches_its_client_and_is_confirmed_once(steps in steps()) {
        let mut subject = with_sessions(5);
        let mut now = at(10);
        let (mut ended, mut heard) = (BTreeSet::new(), BTreeSet::new());
        for (step, fault) in steps {
            if let Some((nth, persisted)) = fault {
                let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
                subject.sql().fail_nth(nth, fault);
            }
            match step {
                Step::End(n) => {
                    let end = kill(Scope::Session(session(n)));
                    if subject.run(KEY, &[], end, now, PRODUCER).is_ok() {
                        ended.insert(session(n));
                    }
                }
                Step::EndAll => {
                    if subject.run(KEY, &[], kill(Scope::Subject), now, PRODUCER).is_ok() {
                        ended.extend((1..=5).map(session));
                    }
                }
                Step::Tell { heard: arrives, confirmed } => {
                    for one in claim(&subject, now).unwrap_or_default() {
                        if arrives {
                            heard.insert(one.session);
                        }
                        if confirmed {
                            let _ = subject.confirm(KEY, &one, now, PRODUCER);
                        }
                    }
                }
                Step::Wait(secs) => now = now.plus_secs(secs),
                Step::Restart => subject = SubjectService::new(subject.into_sql()),
            }
            subject.sql().heal();
        }
        // Then nothing fails any more, and every client answers.
        while let Some(next) = subject.next_announcement().expect("reads") {
            now = now.max(next);
            for one in claim(&subject, now).expect("stores") {
                heard.insert(one.session);
                subject.confirm(KEY, &one, now, PRODUCER).expect("stores");
            }
        }
        let events = events(&subject);
        let given_up = events.iter().filter(|event| event.reason.is_some()).count();
        prop_assert!(given_up > 0 || ended.is_subset(&heard), "{ended:?} ended, {heard:?} heard");
        let told: BTreeSet<_> = events.iter().map(|event| event.session).collect();
        prop_assert_eq!(told.len(), events.len(), "one end, two events");
        prop_assert!(told.len() >= ended.len());
    }
}
