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
