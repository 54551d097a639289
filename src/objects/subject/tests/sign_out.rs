//! Signing out of some sessions and not of others.

use super::{KEY, PRODUCER, at, kill, login, subject};
use crate::objects::host_sql::HostSql;
use crate::objects::subject::service::SubjectService;
use portcullis_core::id::SessionId;
use portcullis_core::session::consent::AskConsent;
use portcullis_core::session::login::{ClientRequest, Login};
use portcullis_core::session::revoke::{RevokeReply, Revoked, Scope};

fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

/// Sessions 1 and 2 at `app`, and 3 at `other`, which the person has allowed.
fn with_three() -> SubjectService<HostSql> {
    let subject = subject();
    let usual = login(3, at(0));
    let allowed = Login {
        client: ClientRequest {
            client_id: "other".into(),
            ..usual.client.clone()
        },
        allowed: true,
        ..usual
    };
    for login in [login(1, at(0)), login(2, at(0)), allowed] {
        subject
            .run(KEY, &[], login, at(1), PRODUCER)
            .expect("stores");
    }
    subject
}

fn live(subject: &SubjectService<HostSql>) -> Vec<SessionId> {
    let sessions = subject.live_sessions(&[], at(3)).expect("reads");
    sessions.iter().map(|session| session.id).collect()
}

fn revoked(subject: &SubjectService<HostSql>, scope: Scope) -> Revoked {
    match subject.run(KEY, &[], kill(scope), at(2), PRODUCER) {
        Ok(RevokeReply::Revoked(revoked)) => revoked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_but_one_leaves_that_one_and_a_session_of_nobody_leaves_all() {
    let subject = with_three();
    let mistaken = kill(Scope::OtherSessions(session(9)));
    let reply = subject
        .run(KEY, &[], mistaken, at(2), PRODUCER)
        .expect("stores");
    assert_eq!(reply, RevokeReply::SessionUnknown);
    assert_eq!(live(&subject).len(), 3);
    assert_eq!(
        revoked(&subject, Scope::OtherSessions(session(2))).sessions,
        2
    );
    assert_eq!(live(&subject), [session(2)]);
    assert!(!revoked(&subject, Scope::OtherSessions(session(2))).changed);
}

#[test]
fn a_client_s_end_takes_its_sessions_and_its_consent_and_nothing_else() {
    let subject = with_three();
    let consent = || {
        let client_id = "other".to_owned();
        let ask = AskConsent { client_id };
        subject.run(KEY, &[], ask, at(3), PRODUCER).expect("reads")
    };
    assert_eq!(revoked(&subject, Scope::Client("app".into())).sessions, 2);
    assert_eq!(live(&subject), [session(3)]);
    assert_eq!(consent().as_deref(), Some("openid https://api"));
    let ended = revoked(&subject, Scope::Client("other".into()));
    assert_eq!((ended.sessions, ended.changed), (1, true));
    assert_eq!((live(&subject).len(), consent()), (0, None));
    assert!(!revoked(&subject, Scope::Client("other".into())).changed);
}
