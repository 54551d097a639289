//! What to do with a request, once everybody has been asked.
//!
//! The rules in one place, and the audit event that each decision leaves:
//!
//! | found | program | browser | event |
//! |---|---|---|---|
//! | no credential | 401 | log in | `credential.refused`, counted; none if sent to log in |
//! | another scheme | 401 | 401 | `credential.refused`, counted |
//! | several, malformed | 400 | 400 | `credential.refused`, counted |
//! | the cookie, and a write from another origin | 403 | 403 | `credential.refused`, counted |
//! | a token that does not verify | 401 | log in | `credential.refused`, counted |
//! | a bound token without a good proof | 401 | 401 | `credential.refused`, counted |
//! | no keys, or the check failed | 503 | 503 | none |
//! | ended since | 401 | log in | `check.denied`, sent before the answer |
//! | in force, without what the route requires | 403 | 403 | `request.denied`, sent before the answer |
//! | in force | forward | forward | `request.allowed`, as the route says |
//!
//! A browser is sent to log in where the route says so; elsewhere it is told what a program is.

use crate::answer::Answer;
use crate::caller::Caller;
use crate::config::Config;
use crate::consistency::Checked;
use crate::credential::{Credential, Scheme};
use crate::inbound::{Asker, Inbound};
use crate::proof::ProofError;
use crate::route::Guard;
use crate::route::access::Missing;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::id::LogHash;
use portcullis_core::jwt::TokenError;
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
    /// Its token came as one that is bound to a key, and the proof of that is not good.
    ProofRefused(ProofError),
    /// There are no keys to verify its token with, or nobody said whether it is in force.
    NobodyToAsk,
    /// Its token verified, its holder is this, and this was said of it.
    Checked(Box<Caller>, CheckReply),
    /// Its token verified, its holder is this, and it is known in this way to be as much in force as
    /// the route wants.
    InForce(Box<Caller>, Checked),
}

/// What to do.
#[derive(Debug)]
pub enum Ruling {
    /// Send it to the origin.
    Forward(Box<Passage>),
    /// Do not.
    Refuse(Box<Refusal>),
}

/// A request that may pass. Only [`rule`] makes one, of a token that is in force, and of somebody
/// who has what the route requires.
#[derive(Debug)]
pub struct Passage {
    caller: Caller,
    /// How the token is known to be in force.
    pub checked: Checked,
    event: Event,
}

impl Passage {
    /// Who is there.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
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
    /// Nothing: nobody was refused.
    Nothing,
    /// This, counted with others like it, and the answer need not wait for it: nobody was proven.
    Counted(Event),
    /// This, and there is no answer until it is safe: a denial of someone who is known must not be
    /// lost.
    BeforeAnswering(Event),
}

/// The credential to look into, or what can be said without.
pub fn credential(inbound: &Inbound, config: &Config) -> Result<crate::credential::Token, Finding> {
    match Credential::of(inbound, config.assertion_header.as_deref()) {
        Credential::Absent => Err(Finding::NoCredential),
        Credential::OtherScheme => Err(Finding::OtherScheme),
        Credential::Malformed => Err(Finding::Malformed),
        Credential::Token(token)
            if token.ambient && is_foreign_write(inbound, &config.audience) =>
        {
            Err(Finding::CrossOriginWrite)
        }
        Credential::Token(token) => Ok(token),
    }
}

/// Where a request came, and when.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The request.
    pub inbound: &'a Inbound,
    /// The deployment's settings.
    pub config: &'a Config,
    /// How its route is guarded.
    pub guard: &'a Guard,
    /// What the log calls the file that says so.
    pub policy: LogHash,
    /// When.
    pub now: UnixMillis,
}

/// Decides.
#[must_use]
pub fn rule(finding: Finding, place: Place<'_>) -> Ruling {
    let Place { inbound, now, .. } = place;
    let (then, reason) = match finding {
        Finding::Checked(caller, reply) => {
            return match reply.verdict {
                Verdict::Active { .. } => {
                    let at = reply.checked_at;
                    in_force(*caller, Checked::Strict { at }, place)
                }
                Verdict::Denied(why) => Ruling::Refuse(Box::new(denied(&caller, why, place))),
            };
        }
        Finding::InForce(caller, checked) => return in_force(*caller, checked, place),
        Finding::NoCredential => {
            let then = log_in_or(place, Answer::credential_required());
            let refused = then != Then::LogIn;
            (then, refused.then(|| "no_credential".to_owned()))
        }
        Finding::OtherScheme => said(Answer::credential_required(), "other_scheme"),
        Finding::Malformed => said(Answer::malformed_credential(), "malformed"),
        Finding::CrossOriginWrite => said(Answer::cross_origin(), "cross_origin"),
        Finding::NobodyToAsk => (Then::Say(Answer::unavailable()), None),
        Finding::Refused(why) => {
            let answer = Answer::token_refused(why, Scheme::of(inbound));
            let then = log_in_or(place, answer);
            (then, Some(why.as_str().to_owned()))
        }
        Finding::ProofRefused(why) => said(Answer::proof_refused(why), &why.reason()),
    };
    let refusal = Refusal {
        record: reason.map_or(Record::Nothing, |reason| {
            let event = unproven(reason, inbound, now);
            Record::Counted(with_status(event, Some(then.status())))
        }),
        then,
    };
    Ruling::Refuse(Box::new(refusal))
}

/// Whoever is known passes with what the route requires.
fn in_force(caller: Caller, checked: Checked, place: Place<'_>) -> Ruling {
    if let Err(missing) = place.guard.requirements.met_by(&caller) {
        return Ruling::Refuse(Box::new(lacking(&caller, missing, place)));
    }
    Ruling::Forward(Box::new(Passage {
        event: event_of(&caller, Action::RequestAllowed, Outcome::Success, place),
        caller,
        checked,
    }))
}

/// Logging in again would not help.
fn lacking(caller: &Caller, missing: Missing<'_>, place: Place<'_>) -> Refusal {
    let answer = match (missing, place.inbound.asker()) {
        (Missing::Scope(required), _) => {
            Answer::insufficient_scope(required, Scheme::of(place.inbound))
        }
        (Missing::Role | Missing::Group, Asker::Program) => Answer::forbidden(),
        (Missing::Role | Missing::Group, Asker::Navigation) => Answer::forbidden_page(),
    };
    let event = Event {
        reason: Some(missing.as_str().to_owned()),
        ..event_of(caller, Action::RequestDenied, Outcome::Denied, place)
    };
    Refusal {
        record: Record::BeforeAnswering(with_status(event, Some(answer.status))),
        then: Then::Say(answer),
    }
}

fn denied(caller: &Caller, why: DenyReason, place: Place<'_>) -> Refusal {
    let then = log_in_or(place, Answer::denied(why, Scheme::of(place.inbound)));
    let event = Event {
        reason: Some(why.as_str().to_owned()),
        ..event_of(caller, Action::CheckDenied, Outcome::Denied, place)
    };
    Refusal {
        record: Record::BeforeAnswering(with_status(event, Some(then.status()))),
        then,
    }
}

fn said(answer: Answer, reason: &str) -> (Then, Option<String>) {
    (Then::Say(answer), Some(reason.to_owned()))
}

/// A credential that proves nobody. Reasons are of a fixed vocabulary: refusals are counted by them.
fn unproven(reason: String, inbound: &Inbound, now: UnixMillis) -> Event {
    Event {
        reason: Some(reason),
        request: Some(inbound.facts()),
        ..Event::new(
            now,
            Action::CredentialRefused,
            Outcome::Denied,
            Actor::Anonymous,
        )
    }
}

/// What an access proxy asserts counts before what a log-in brings, so logging in would not help.
fn log_in_or(place: Place<'_>, answer: Answer) -> Then {
    let asserts = |name: &String| place.inbound.all(name).next().is_some();
    if place.config.assertion_header.as_ref().is_some_and(asserts) {
        return Then::Say(answer);
    }
    match place.inbound.asker() {
        Asker::Navigation if place.guard.browser_login => Then::LogIn,
        Asker::Navigation | Asker::Program => Then::Say(answer),
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

fn event_of(caller: &Caller, action: Action, outcome: Outcome, place: Place<'_>) -> Event {
    Event {
        subject: Some(caller.subject),
        session: caller.session,
        token: Some(caller.token),
        client_id: caller.client_id.clone(),
        request: Some(place.inbound.facts()),
        credential: Some(caller.credential()),
        resource: Some(place.config.audience.clone()),
        claims: place.guard.audit.claims_of(caller),
        policy: Some(place.policy),
        ..Event::new(place.now, action, outcome, Actor::Subject(caller.subject))
    }
}

fn with_status(mut event: Event, status: Option<u16>) -> Event {
    if let Some(facts) = &mut event.request {
        facts.status = status;
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller;
    use crate::config;
    use crate::inbound::example;
    use crate::route::access::Requirements;
    use crate::route::claim::Claim;
    use portcullis_core::id::SubjectKey;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const AUDIENCE: &str = "https://app.example";

    const BROWSER: [(&str, &str); 1] = [("sec-fetch-mode", "navigate")];

    fn said(verdict: Verdict) -> Finding {
        let reply = CheckReply {
            verdict,
            checked_at: UnixMillis(7),
        };
        Finding::Checked(Box::new(caller::example()), reply)
    }

    fn with_login() -> Guard {
        Guard {
            browser_login: true,
            ..Guard::default()
        }
    }

    fn ruled(finding: Finding, inbound: &Inbound, config: &Config, guard: &Guard) -> Ruling {
        let place = Place {
            inbound,
            config,
            guard,
            policy: LogHash::from_bytes([9; 16]),
            now: NOW,
        };
        rule(finding, place)
    }

    fn refused_at(guard: &Guard, finding: Finding, headers: &[(&str, &str)]) -> Refusal {
        let inbound = example("GET", "/a?b", headers);
        match ruled(finding, &inbound, &config::example(), guard) {
            Ruling::Refuse(refusal) => *refusal,
            Ruling::Forward(_) => panic!("forwarded"),
        }
    }

    fn refused(finding: Finding, headers: &[(&str, &str)]) -> Refusal {
        refused_at(&with_login(), finding, headers)
    }

    fn active() -> Verdict {
        Verdict::Active {
            session_expires_at: NOW,
        }
    }

    fn status(finding: Finding) -> u16 {
        refused(finding, &[]).then.status()
    }

    #[test]
    fn what_is_in_force_passes_and_leaves_an_event() {
        let inbound = example("GET", "/a?b", &[]);
        let mut guard = with_login();
        guard.audit.claims = vec![Claim::ClientId, Claim::Acr, Claim::Scope];
        let ruling = ruled(said(active()), &inbound, &config::example(), &guard);
        let Ruling::Forward(passage) = ruling else {
            panic!("refused");
        };
        let credential = passage.caller().credential();
        assert_eq!(passage.caller().subject, SubjectKey::from_bytes([1; 16]));
        assert_eq!(passage.checked, Checked::Strict { at: UnixMillis(7) });
        let event = passage.into_event(Some(204));
        assert_eq!(
            (event.action, event.outcome),
            (Action::RequestAllowed, Outcome::Success)
        );
        assert_eq!(event.actor, Actor::Subject(SubjectKey::from_bytes([1; 16])));
        assert_eq!(event.token, Some(LogHash::from_bytes([2; 16])));
        assert_eq!(event.credential, Some(credential));
        assert_eq!(event.resource.as_deref(), Some("https://app.example"));
        assert_eq!(event.policy, Some(LogHash::from_bytes([9; 16])));
        let claims = [("client_id", "gateway"), ("scope", "openid profile")];
        let claims = claims.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(event.claims, claims);
        let facts = event.request.expect("facts");
        assert_eq!((facts.path.as_str(), facts.status), ("/a", Some(204)));
    }

    #[test]
    fn a_denial_is_recorded_before_it_is_told() {
        let refusal = refused(said(Verdict::Denied(DenyReason::SessionEnded)), &[]);
        assert_eq!(
            refusal.then,
            Then::Say(Answer::denied(DenyReason::SessionEnded, Scheme::Bearer))
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
        let Record::Counted(event) = refusal.record else {
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
    fn whom_an_access_proxy_asserts_is_told_and_not_sent_round_in_circles() {
        let mut config = config::example();
        config.assertion_header = Some("Cf-Access-Jwt-Assertion".to_owned());
        let asserted = [BROWSER[0], ("cf-access-jwt-assertion", "a.b.c")];
        for finding in [
            Finding::Refused(TokenError::Issuer),
            said(Verdict::Denied(DenyReason::IssuedBeforeKill)),
        ] {
            let inbound = example("GET", "/", &asserted);
            let ruling = ruled(finding, &inbound, &config, &with_login());
            let Ruling::Refuse(refusal) = ruling else {
                panic!("forwarded");
            };
            assert_ne!(refusal.then, Then::LogIn);
        }
    }

    #[test]
    fn where_a_route_has_no_log_in_browsers_are_told_as_programs_are() {
        for finding in [
            Finding::NoCredential,
            Finding::Refused(TokenError::Expired),
            said(Verdict::Denied(DenyReason::SessionExpired)),
        ] {
            let then = refused_at(&Guard::default(), finding, &BROWSER).then;
            assert_eq!(then.status(), 401);
        }
    }

    #[test]
    fn where_a_route_is_content_with_the_signature_nobody_is_asked() {
        let inbound = example("GET", "/", &[]);
        let finding = Finding::InForce(Box::new(caller::example()), Checked::SignatureOnly);
        let ruling = ruled(finding, &inbound, &config::example(), &Guard::default());
        assert!(
            matches!(ruling, Ruling::Forward(passage) if passage.checked == Checked::SignatureOnly)
        );
    }

    fn requiring(requirements: Requirements) -> Guard {
        Guard {
            requirements,
            ..with_login()
        }
    }

    #[test]
    fn who_lacks_what_the_route_requires_is_told_403_once_that_is_recorded() {
        let name = || vec!["admin".to_owned()];
        for (requirements, reason) in [
            (
                Requirements {
                    roles_any: name(),
                    ..Requirements::default()
                },
                "role_missing",
            ),
            (
                Requirements {
                    groups_all: name(),
                    ..Requirements::default()
                },
                "group_missing",
            ),
            (
                Requirements {
                    scopes: name(),
                    ..Requirements::default()
                },
                "scope_missing",
            ),
        ] {
            let guard = requiring(requirements);
            for finding in [
                said(active()),
                Finding::InForce(Box::new(caller::example()), Checked::SignatureOnly),
            ] {
                for headers in [&BROWSER[..], &[]] {
                    let refusal = refused_at(&guard, copy(&finding), headers);
                    assert_eq!(refusal.then.status(), 403);
                    let Record::BeforeAnswering(event) = refusal.record else {
                        panic!("{:?}", refusal.record);
                    };
                    assert_eq!(event.action, Action::RequestDenied);
                    assert_eq!(event.outcome, Outcome::Denied);
                    assert_eq!(event.reason.as_deref(), Some(reason));
                    assert_eq!(event.subject, Some(SubjectKey::from_bytes([1; 16])));
                    assert_eq!(event.request.and_then(|facts| facts.status), Some(403));
                }
            }
        }
    }

    fn copy(finding: &Finding) -> Finding {
        match finding {
            Finding::Checked(caller, reply) => Finding::Checked(caller.clone(), reply.clone()),
            Finding::InForce(caller, checked) => Finding::InForce(caller.clone(), *checked),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whose_credential_was_ended_is_not_told_what_else_is_missing() {
        let guard = requiring(Requirements {
            roles_any: vec!["admin".to_owned()],
            ..Requirements::default()
        });
        let refusal = refused_at(&guard, said(Verdict::Denied(DenyReason::SessionEnded)), &[]);
        assert_eq!(refusal.then.status(), 401);
    }

    #[test]
    fn programs_get_a_status() {
        assert_eq!(status(Finding::NoCredential), 401);
        assert_eq!(status(Finding::OtherScheme), 401);
        assert_eq!(status(Finding::Malformed), 400);
        assert_eq!(status(Finding::CrossOriginWrite), 403);
        assert_eq!(status(Finding::Refused(TokenError::Audience)), 401);
        assert_eq!(status(Finding::ProofRefused(ProofError::NotOne)), 401);
        assert_eq!(status(Finding::NobodyToAsk), 503);
        assert_eq!(
            status(said(Verdict::Denied(DenyReason::SubjectDisabled))),
            401
        );
    }

    #[test]
    fn who_is_not_known_is_counted_and_who_is_sent_to_log_in_or_not_refused_is_not() {
        for (finding, reason) in [
            (Finding::NoCredential, "no_credential"),
            (Finding::OtherScheme, "other_scheme"),
            (Finding::Malformed, "malformed"),
            (Finding::CrossOriginWrite, "cross_origin"),
            (
                Finding::ProofRefused(ProofError::Replayed),
                "proof_replayed",
            ),
        ] {
            let Record::Counted(event) = refused(finding, &[]).record else {
                panic!("{reason}");
            };
            assert_eq!(event.reason.as_deref(), Some(reason));
            assert_eq!((event.actor, event.subject), (Actor::Anonymous, None));
        }
        let navigated = refused(Finding::NoCredential, &BROWSER);
        assert_eq!(navigated.record, Record::Nothing);
        let unanswered = refused(Finding::NobodyToAsk, &[]);
        assert_eq!(unanswered.record, Record::Nothing);
    }

    #[test]
    fn with_the_cookie_only_our_own_pages_may_write() {
        let finding = |method, headers: &[(&str, &str)]| {
            credential(&example(method, "/", headers), &config::example()).is_err()
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
