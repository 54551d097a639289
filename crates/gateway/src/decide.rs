//! What to do with a request, once everybody has been asked.
//!
//! The rules in one place, and the audit event that each decision leaves:
//!
//! | found | program | browser | event |
//! |---|---|---|---|
//! | no credential | 401 | log in | none |
//! | another scheme | 401 | 401 | none |
//! | several, malformed | 400 | 400 | none |
//! | the cookie, and a write from another origin | 403 | 403 | none |
//! | a token that does not verify | 401 | log in | `credential.refused`, off the path |
//! | no keys, or the check failed | 503 | 503 | none |
//! | ended since | 401 | log in | `check.denied`, sent before the answer |
//! | in force | forward | forward | `request.allowed`, off the path |

use crate::answer::Answer;
use crate::credential::Credential;
use crate::inbound::{Asker, Inbound};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::id::LogHash;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::access_token::{AccessTokenClaims, VerifiedAccessToken};
use portcullis_core::session::check::{CheckReply, DenyReason, Verdict};
use portcullis_core::time::UnixMillis;

/// What was found out about a request.
#[derive(Debug)]
pub enum Finding {
    /// It brought no credential.
    NoCredential,
    /// It brought one of another scheme.
    OtherScheme,
    /// It brought several, or one that cannot be a token.
    Malformed,
    /// Another site's page made the browser send it.
    CrossOriginWrite,
    /// Its token does not verify.
    Refused(TokenError),
    /// There are no keys to verify its token with, or nobody said whether it is in force.
    NobodyToAsk,
    /// Its token verified, and this was said of it.
    Checked(Box<VerifiedAccessToken>, CheckReply),
}

/// What to do.
#[derive(Debug)]
pub enum Ruling {
    /// Send it to the origin.
    Forward(Box<Passage>),
    /// Do not.
    Refuse(Box<Refusal>),
}

/// A request that may pass. Only [`rule`] makes one, of a token that is in force.
#[derive(Debug)]
pub struct Passage {
    token: VerifiedAccessToken,
    /// When the token was known to be in force.
    pub checked_at: UnixMillis,
    event: Event,
}

impl Passage {
    /// Who is there.
    #[must_use]
    pub fn claims(&self) -> &AccessTokenClaims {
        self.token.claims()
    }

    /// The event, with the status that the caller got, if that is known.
    #[must_use]
    pub fn into_event(self, status: Option<u16>) -> Event {
        with_status(self.event, status)
    }
}

/// A request that may not.
#[derive(Debug)]
pub struct Refusal {
    /// How to answer.
    pub then: Then,
    /// What to record.
    pub record: Record,
}

/// How to answer a refused request.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// Send the browser to log in.
    LogIn,
    /// Say so.
    Say(Answer),
}

/// What a refusal leaves in the audit log.
#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing: nobody was named.
    Nothing,
    /// This, and the answer need not wait for it.
    OffThePath(Event),
    /// This, and there is no answer until it is safe: a denial of someone who is known must not be
    /// lost.
    BeforeAnswering(Event),
}

/// The credential to look into, or what can be said without.
pub fn credential(inbound: &Inbound, audience: &str) -> Result<crate::credential::Token, Finding> {
    match Credential::of(inbound) {
        Credential::Absent => Err(Finding::NoCredential),
        Credential::OtherScheme => Err(Finding::OtherScheme),
        Credential::Malformed => Err(Finding::Malformed),
        Credential::Token(token) if token.ambient && is_foreign_write(inbound, audience) => {
            Err(Finding::CrossOriginWrite)
        }
        Credential::Token(token) => Ok(token),
    }
}

/// Decides.
#[must_use]
pub fn rule(finding: Finding, inbound: &Inbound, now: UnixMillis) -> Ruling {
    let refusal = match finding {
        Finding::Checked(token, reply) => return checked(*token, &reply, inbound, now),
        Finding::NoCredential => Refusal {
            then: log_in_or(inbound, Answer::credential_required()),
            record: Record::Nothing,
        },
        Finding::OtherScheme => unrecorded(Answer::credential_required()),
        Finding::Malformed => unrecorded(Answer::malformed_credential()),
        Finding::CrossOriginWrite => unrecorded(Answer::cross_origin()),
        Finding::NobodyToAsk => unrecorded(Answer::unavailable()),
        Finding::Refused(why) => {
            let then = log_in_or(inbound, Answer::token_refused(why));
            let event = Event {
                reason: Some(why.as_str().to_owned()),
                request: Some(inbound.facts()),
                ..Event::new(
                    now,
                    Action::CredentialRefused,
                    Outcome::Denied,
                    Actor::Anonymous,
                )
            };
            Refusal {
                record: Record::OffThePath(with_status(event, Some(then.status()))),
                then,
            }
        }
    };
    Ruling::Refuse(Box::new(refusal))
}

fn checked(
    token: VerifiedAccessToken,
    reply: &CheckReply,
    inbound: &Inbound,
    now: UnixMillis,
) -> Ruling {
    match reply.verdict {
        Verdict::Active { .. } => Ruling::Forward(Box::new(Passage {
            event: event_of(
                &token,
                Action::RequestAllowed,
                Outcome::Success,
                inbound,
                now,
            ),
            token,
            checked_at: reply.checked_at,
        })),
        Verdict::Denied(why) => Ruling::Refuse(Box::new(denied(&token, why, inbound, now))),
    }
}

fn denied(
    token: &VerifiedAccessToken,
    why: DenyReason,
    inbound: &Inbound,
    now: UnixMillis,
) -> Refusal {
    let then = log_in_or(inbound, Answer::denied(why));
    let event = Event {
        reason: Some(why.as_str().to_owned()),
        ..event_of(token, Action::CheckDenied, Outcome::Denied, inbound, now)
    };
    Refusal {
        record: Record::BeforeAnswering(with_status(event, Some(then.status()))),
        then,
    }
}

fn unrecorded(answer: Answer) -> Refusal {
    Refusal {
        then: Then::Say(answer),
        record: Record::Nothing,
    }
}

fn log_in_or(inbound: &Inbound, answer: Answer) -> Then {
    match inbound.asker() {
        Asker::Navigation => Then::LogIn,
        Asker::Program => Then::Say(answer),
    }
}

impl Then {
    fn status(&self) -> u16 {
        match self {
            Self::LogIn => 302,
            Self::Say(answer) => answer.status,
        }
    }
}

/// A browser attaches the cookie to what other pages of the same site send, too. It also says whose
/// page that was, and a write is taken from our own only.
fn is_foreign_write(inbound: &Inbound, audience: &str) -> bool {
    !inbound.is_safe() && inbound.all("origin").any(|origin| origin != audience)
}

fn event_of(
    token: &VerifiedAccessToken,
    action: Action,
    outcome: Outcome,
    inbound: &Inbound,
    now: UnixMillis,
) -> Event {
    let claims = token.claims();
    Event {
        subject: Some(claims.sub),
        session: Some(LogHash::of_session(claims.sid)),
        token: Some(LogHash::of_token(claims.jti)),
        client_id: Some(claims.client_id.clone()),
        request: Some(inbound.facts()),
        ..Event::new(now, action, outcome, Actor::Subject(claims.sub))
    }
}

fn with_status(mut event: Event, status: Option<u16>) -> Event {
    if let Some(facts) = &mut event.request {
        facts.status = status;
    }
    event
}

/// A good token, for the tests of this crate.
#[cfg(test)]
pub(crate) mod testing {
    use portcullis_core::id::{GrantId, SessionId, SubjectKey, TokenId};
    use portcullis_core::jwt::access_token::{
        AccessTokenClaims, AccessTokenVerifier, TYP, VerifiedAccessToken,
    };
    use portcullis_core::jwt::jwks::KeySet;
    use portcullis_core::jwt::sign::SigningKey;
    use portcullis_core::time::UnixMillis;

    pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    pub const AUDIENCE: &str = "https://app.example";

    pub fn token() -> VerifiedAccessToken {
        let claims = AccessTokenClaims {
            iss: "https://id.example".to_owned(),
            sub: SubjectKey::from_bytes([1; 16]),
            aud: vec![AUDIENCE.to_owned()],
            client_id: "app".to_owned(),
            exp: NOW.secs() + 60,
            iat: NOW.secs(),
            jti: TokenId::from_bytes([2; 16]),
            sid: SessionId::from_bytes([3; 16]),
            gid: GrantId::from_bytes([4; 16]),
            generation: 0,
            auth_time: None,
            acr: None,
            scope: None,
            roles: Vec::new(),
            groups: Vec::new(),
            idp_claims: serde_json::Map::new(),
            cnf: None,
            act: None,
        };
        let key = SigningKey::from_secret(&[7; 32]).expect("a key");
        let jwks = serde_json::json!({ "keys": [key.public_jwk()] }).to_string();
        let verifier = AccessTokenVerifier {
            issuer: "https://id.example",
            audience: Some(AUDIENCE),
        };
        let keys = KeySet::parse(jwks.as_bytes()).expect("a key set");
        let text = key.sign(&claims, TYP).expect("signs");
        verifier.verify(&text, &keys, NOW).expect("verifies")
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{AUDIENCE, NOW, token};
    use super::*;
    use crate::inbound::example;
    use portcullis_core::id::{SubjectKey, TokenId};

    const BROWSER: [(&str, &str); 1] = [("sec-fetch-mode", "navigate")];

    fn said(verdict: Verdict) -> Finding {
        let reply = CheckReply {
            verdict,
            checked_at: UnixMillis(7),
        };
        Finding::Checked(Box::new(token()), reply)
    }

    fn refused(finding: Finding, headers: &[(&str, &str)]) -> Refusal {
        match rule(finding, &example("GET", "/a?b", headers), NOW) {
            Ruling::Refuse(refusal) => *refusal,
            Ruling::Forward(_) => panic!("forwarded"),
        }
    }

    fn status(finding: Finding) -> u16 {
        refused(finding, &[]).then.status()
    }

    #[test]
    fn what_is_in_force_passes_and_leaves_an_event() {
        let active = Verdict::Active {
            session_expires_at: NOW,
        };
        let Ruling::Forward(passage) = rule(said(active), &example("GET", "/a?b", &[]), NOW) else {
            panic!("refused");
        };
        assert_eq!(passage.claims().sub, SubjectKey::from_bytes([1; 16]));
        assert_eq!(passage.checked_at, UnixMillis(7));
        let event = passage.into_event(Some(204));
        assert_eq!(
            (event.action, event.outcome),
            (Action::RequestAllowed, Outcome::Success)
        );
        assert_eq!(event.actor, Actor::Subject(SubjectKey::from_bytes([1; 16])));
        assert_eq!(
            event.token,
            Some(LogHash::of_token(TokenId::from_bytes([2; 16])))
        );
        let facts = event.request.expect("facts");
        assert_eq!((facts.path.as_str(), facts.status), ("/a", Some(204)));
    }

    #[test]
    fn a_denial_is_recorded_before_it_is_told() {
        let refusal = refused(said(Verdict::Denied(DenyReason::SessionEnded)), &[]);
        assert_eq!(
            refusal.then,
            Then::Say(Answer::denied(DenyReason::SessionEnded))
        );
        let Record::BeforeAnswering(event) = refusal.record else {
            panic!("{:?}", refusal.record);
        };
        assert_eq!(
            (event.action, event.outcome),
            (Action::CheckDenied, Outcome::Denied)
        );
        assert_eq!(event.reason.as_deref(), Some("session_ended"));
        assert_eq!(event.request.and_then(|facts| facts.status), Some(401));
    }

    #[test]
    fn a_token_that_does_not_verify_is_recorded_without_a_name() {
        let refusal = refused(Finding::Refused(TokenError::Signature), &[]);
        let Record::OffThePath(event) = refusal.record else {
            panic!("{:?}", refusal.record);
        };
        assert_eq!(event.action, Action::CredentialRefused);
        assert_eq!((event.actor, event.subject), (Actor::Anonymous, None));
        assert_eq!(event.reason.as_deref(), Some("signature"));
    }

    #[test]
    fn browsers_log_in_where_that_helps() {
        for finding in [
            Finding::NoCredential,
            Finding::Refused(TokenError::Expired),
            said(Verdict::Denied(DenyReason::SessionExpired)),
        ] {
            assert_eq!(refused(finding, &BROWSER).then, Then::LogIn);
        }
        for finding in [
            Finding::NobodyToAsk,
            Finding::Malformed,
            Finding::CrossOriginWrite,
        ] {
            assert_ne!(refused(finding, &BROWSER).then, Then::LogIn);
        }
    }

    #[test]
    fn programs_get_a_status() {
        assert_eq!(status(Finding::NoCredential), 401);
        assert_eq!(status(Finding::OtherScheme), 401);
        assert_eq!(status(Finding::Malformed), 400);
        assert_eq!(status(Finding::CrossOriginWrite), 403);
        assert_eq!(status(Finding::Refused(TokenError::Audience)), 401);
        assert_eq!(status(Finding::NobodyToAsk), 503);
        assert_eq!(
            status(said(Verdict::Denied(DenyReason::SubjectDisabled))),
            401
        );
    }

    #[test]
    fn who_is_not_known_leaves_no_event() {
        for finding in [
            Finding::NoCredential,
            Finding::OtherScheme,
            Finding::Malformed,
            Finding::CrossOriginWrite,
            Finding::NobodyToAsk,
        ] {
            assert_eq!(refused(finding, &[]).record, Record::Nothing);
        }
    }

    #[test]
    fn with_the_cookie_only_our_own_pages_may_write() {
        let finding = |method, headers: &[(&str, &str)]| {
            credential(&example(method, "/", headers), AUDIENCE).is_err()
        };
        let cookie = ("cookie", "__Host-portcullis=t");
        let bearer = ("authorization", "Bearer t");
        assert!(finding(
            "POST",
            &[cookie, ("origin", "https://evil.example")]
        ));
        assert!(finding("DELETE", &[cookie, ("origin", "null")]));
        assert!(!finding("POST", &[cookie, ("origin", AUDIENCE)]));
        assert!(!finding("POST", &[cookie]));
        assert!(!finding(
            "GET",
            &[cookie, ("origin", "https://evil.example")]
        ));
        assert!(!finding(
            "POST",
            &[bearer, ("origin", "https://evil.example")]
        ));
    }
}
