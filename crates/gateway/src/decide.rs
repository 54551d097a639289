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
mod tests;
