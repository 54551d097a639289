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
//! | in force | forward | forward | `request.allowed`, off the path |

use crate::answer::Answer;
use crate::caller::Caller;
use crate::config::Config;
use crate::credential::{Credential, Scheme};
use crate::inbound::{Asker, Inbound};
use crate::proof::ProofError;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
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
    caller: Caller,
    /// When the token was known to be in force.
    pub checked_at: UnixMillis,
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

/// Decides.
#[must_use]
pub fn rule(finding: Finding, inbound: &Inbound, config: &Config, now: UnixMillis) -> Ruling {
    let scheme = Scheme::of(inbound);
    let (then, reason) = match finding {
        Finding::Checked(caller, reply) => return checked(*caller, &reply, inbound, config, now),
        Finding::NoCredential => {
            let then = log_in_or(inbound, config, Answer::credential_required());
            let refused = then != Then::LogIn;
            (then, refused.then(|| "no_credential".to_owned()))
        }
        Finding::OtherScheme => said(Answer::credential_required(), "other_scheme"),
        Finding::Malformed => said(Answer::malformed_credential(), "malformed"),
        Finding::CrossOriginWrite => said(Answer::cross_origin(), "cross_origin"),
        Finding::NobodyToAsk => (Then::Say(Answer::unavailable()), None),
        Finding::Refused(why) => {
            let then = log_in_or(inbound, config, Answer::token_refused(why, scheme));
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

fn checked(
    caller: Caller,
    reply: &CheckReply,
    inbound: &Inbound,
    config: &Config,
    now: UnixMillis,
) -> Ruling {
    match reply.verdict {
        Verdict::Active { .. } => Ruling::Forward(Box::new(Passage {
            event: event_of(
                &caller,
                Action::RequestAllowed,
                Outcome::Success,
                inbound,
                now,
            ),
            caller,
            checked_at: reply.checked_at,
        })),
        Verdict::Denied(why) => {
            Ruling::Refuse(Box::new(denied(&caller, why, inbound, config, now)))
        }
    }
}

fn denied(
    caller: &Caller,
    why: DenyReason,
    inbound: &Inbound,
    config: &Config,
    now: UnixMillis,
) -> Refusal {
    let then = log_in_or(inbound, config, Answer::denied(why, Scheme::of(inbound)));
    let event = Event {
        reason: Some(why.as_str().to_owned()),
        ..event_of(caller, Action::CheckDenied, Outcome::Denied, inbound, now)
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
fn log_in_or(inbound: &Inbound, config: &Config, answer: Answer) -> Then {
    let asserts = |name: &String| inbound.all(name).next().is_some();
    if config.assertion_header.as_ref().is_some_and(asserts) {
        return Then::Say(answer);
    }
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
    caller: &Caller,
    action: Action,
    outcome: Outcome,
    inbound: &Inbound,
    now: UnixMillis,
) -> Event {
    Event {
        subject: Some(caller.subject),
        session: caller.session,
        token: Some(caller.token),
        client_id: caller.client_id.clone(),
        request: Some(inbound.facts()),
        ..Event::new(now, action, outcome, Actor::Subject(caller.subject))
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
    use portcullis_core::id::{LogHash, SubjectKey};

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

    fn refused(finding: Finding, headers: &[(&str, &str)]) -> Refusal {
        let inbound = example("GET", "/a?b", headers);
        match rule(finding, &inbound, &config::example(), NOW) {
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
        let inbound = example("GET", "/a?b", &[]);
        let Ruling::Forward(passage) = rule(said(active), &inbound, &config::example(), NOW) else {
            panic!("refused");
        };
        assert_eq!(passage.caller().subject, SubjectKey::from_bytes([1; 16]));
        assert_eq!(passage.checked_at, UnixMillis(7));
        let event = passage.into_event(Some(204));
        assert_eq!(
            (event.action, event.outcome),
            (Action::RequestAllowed, Outcome::Success)
        );
        assert_eq!(event.actor, Actor::Subject(SubjectKey::from_bytes([1; 16])));
        assert_eq!(event.token, Some(LogHash::from_bytes([2; 16])));
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
            let Ruling::Refuse(refusal) = rule(finding, &inbound, &config, NOW) else {
                panic!("forwarded");
            };
            assert_ne!(refusal.then, Then::LogIn);
        }
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
