//! The check of a token that an identity provider issued.
//!
//! It rests on no session of ours, so it is judged by when it was issued: what a kill covers is every token
//! issued up to it. The provider's clock may be ahead of ours, so that a token from before a kill bears a
//! later time; so those of the [`CLOCK_SKEW_SECS`] after a kill are refused too, and who is let in again is
//! let in with a token from after that.
//!
//! A subject that was never seen has been ended by nobody: whoever the provider vouches for may come
//! without having logged in here.

use super::Subject;
use super::check::{CheckReply, DenyReason, Verdict};
use super::provision::Provisioned;
use crate::connection::Connection;
use crate::connection::entitlements::Entitlements;
use crate::connection::identity::Identity;
use crate::id::{LogHash, SubjectKey};
use crate::jwt::foreign::VerifiedForeignToken;
use crate::jwt::{CLOCK_SKEW_SECS, TokenError};
use crate::policy::{WideRevocation, WideScope};
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The longest text of a token's that goes on.
const MAX_TEXT_BYTES: usize = 512;

/// Is this token still good? Whoever asks has verified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckForeign {
    /// Whose it is.
    pub subject: SubjectKey,
    /// Of which connection.
    pub connection: String,
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// When it cannot be accepted any more anyway.
    pub expires_at: UnixMillis,
    /// Of the provider's session that it says it is of.
    pub sid: Option<Digest>,
}

/// Is this text a token of an identity provider that is accepted at a resource, and is it in force? What a
/// gateway asks, which knows no connections.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckForeignToken {
    /// The token.
    pub token: String,
    /// Where it was presented (RFC 8707).
    pub resource: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForeignTokenReply {
    /// It is not to be believed.
    Refused(TokenError),
    /// It is whose, and whether it is in force.
    Checked(Box<ForeignHolder>, CheckReply),
}

/// Whose a provider's token is, as its connection reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignHolder {
    /// Who.
    pub subject: SubjectKey,
    /// Through which connection.
    pub connection: String,
    /// The provider's client that it was issued to, where it says so, behind the connection's id and a colon.
    pub client_id: Option<String>,
    /// What was granted, separated by spaces, where it says so.
    pub scope: Option<String>,
    /// Roles, by the connection's rules.
    pub roles: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// When the person proved themselves, in seconds, where it says so.
    pub auth_time_secs: Option<u64>,
    /// How, where it says so.
    pub acr: Option<String>,
    /// The log's name for it.
    pub token: LogHash,
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// When it expires.
    pub expires_at: UnixMillis,
    /// The provider's session that it says it is of, hashed.
    pub sid: Option<Digest>,
}

impl ForeignHolder {
    /// The holder of the token of that text, who is `identity` at the connection of that id.
    #[must_use]
    pub fn of(
        (subject, identity): (SubjectKey, &Identity),
        connection: &str,
        token: &VerifiedForeignToken,
        text: &str,
    ) -> Self {
        let claims = token.claims();
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        // Left out whole: what was cut could mean something else.
        let short = |text: &str| (text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned());
        // Where Okta, Entra ID and the registered claims have it.
        let client = ["client_id", "azp", "cid", "appid"]
            .into_iter()
            .find_map(claim);
        let scopes = ["scope", "scp"]
            .into_iter()
            .find_map(|name| claims.get(name));
        let scopes: Vec<&str> = match scopes {
            Some(Value::String(scope)) => scope.split(' ').collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        Self {
            subject,
            connection: connection.to_owned(),
            // Its names are not ours: one of them could be called what a client of ours is.
            client_id: client.and_then(|client| short(&format!("{connection}:{client}"))),
            scope: joined(&scopes),
            roles: identity.roles.clone(),
            groups: identity.groups.clone(),
            auth_time_secs: claims.get("auth_time").and_then(Value::as_u64),
            acr: claim("acr").and_then(short),
            token: LogHash::of_foreign_token(claim("jti").unwrap_or(text)),
            issued_at: token.issued_at(),
            expires_at: token.expires_at(),
            sid: token.sid_digest(),
        }
    }

    /// The same with what the directory of their connection says, too.
    #[must_use]
    pub fn with(self, said: Option<&Provisioned>, connection: &Connection) -> Self {
        let Some(said) = said else {
            return self;
        };
        let brought = Entitlements {
            groups: self.groups,
            roles: self.roles,
        };
        let Entitlements { groups, roles } = connection.entitlements(&brought, said);
        Self {
            roles,
            groups,
            ..self
        }
    }
}

/// As many of `scopes` as there is room for, separated by spaces. What has a space in it is none.
fn joined(scopes: &[&str]) -> Option<String> {
    let mut joined = String::new();
    let scopes = scopes.iter().filter(|scope| !scope.is_empty());
    for scope in scopes.filter(|scope| !scope.contains(' ')) {
        if joined.len() + 1 + scope.len() > MAX_TEXT_BYTES {
            break;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(scope);
    }
    (!joined.is_empty()).then_some(joined)
}

/// The text is a credential.
impl fmt::Debug for CheckForeignToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckForeignToken")
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// What is looked at.
#[derive(Clone, Debug)]
pub struct ForeignFacts {
    /// The subject; `None` if it was never seen.
    pub subject: Option<Subject>,
    /// Whether the provider's session was ended.
    pub sid_ended: bool,
    /// What the directory says of the person.
    pub provisioned: Option<Provisioned>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignStanding {
    /// Whether the token is in force.
    pub reply: CheckReply,
    /// If so, what the directory says of whoever holds it.
    pub provisioned: Option<Provisioned>,
}

/// Whether the token is in force.
#[must_use]
pub fn judge_foreign(
    facts: ForeignFacts,
    request: &CheckForeign,
    revoked: &[WideRevocation],
    now: UnixMillis,
) -> ForeignStanding {
    let verdict = match denied(&facts, request, revoked) {
        Some(reason) => Verdict::Denied(reason),
        None => Verdict::Active {
            session_expires_at: request.expires_at,
        },
    };
    ForeignStanding {
        provisioned: facts.provisioned.filter(|_| verdict.is_active()),
        reply: CheckReply {
            verdict,
            checked_at: now,
        },
    }
}

fn denied(
    facts: &ForeignFacts,
    request: &CheckForeign,
    revoked: &[WideRevocation],
) -> Option<DenyReason> {
    let covers = |until: UnixMillis| request.issued_at <= until.plus_secs(CLOCK_SKEW_SECS);
    let of_connection = |wide: &WideRevocation| {
        wide.scope == WideScope::Connection(request.connection.clone()) && covers(wide.not_before)
    };
    if revoked.iter().any(of_connection) {
        return Some(DenyReason::ConnectionRevoked);
    }
    let subject = facts.subject.as_ref()?;
    if subject.disabled {
        return Some(DenyReason::SubjectDisabled);
    }
    let ended = subject.killed_at.max(subject.reactivated_at);
    if ended.is_some_and(covers) {
        return Some(DenyReason::IssuedBeforeKill);
    }
    // One that does not say which session it is of may be of the one that ended.
    let may_have_ended = request.sid.is_none() && subject.upstream_ended_at.is_some_and(covers);
    (facts.sid_ended || may_have_ended).then_some(DenyReason::SessionEnded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn golden_bytes() {
        let ask = CheckForeignToken {
            token: "t".into(),
            resource: "r".into(),
        };
        assert_eq!(wire::encode(&ask), Ok(vec![1, 1, b't', 1, b'r']));
        assert!(!format!("{ask:?}").contains("\"t\""));
        let refused = ForeignTokenReply::Refused(TokenError::Lifetime);
        assert_eq!(wire::encode(&refused), Ok(vec![1, 0, 15]));
        let holder = ForeignHolder {
            subject: SubjectKey::from_bytes([1; 16]),
            connection: "c".into(),
            client_id: None,
            scope: Some("s".into()),
            roles: vec!["r".into()],
            groups: vec![],
            auth_time_secs: Some(5),
            acr: None,
            token: LogHash::from_bytes([2; 16]),
            issued_at: UnixMillis(6),
            expires_at: UnixMillis(7),
            sid: Some(Digest::from_bytes([3; 32])),
        };
        let reply = CheckReply {
            verdict: Verdict::Denied(DenyReason::IssuedBeforeKill),
            checked_at: UnixMillis(5),
        };
        let mut expected = vec![1, 1];
        expected.extend([1; 16]);
        expected.extend([1, b'c', 0, 1, 1, b's', 1, 1, b'r', 0, 1, 5, 0]);
        expected.extend([2; 16]);
        expected.extend([6, 7, 1]);
        expected.extend([3; 32]);
        expected.extend([1, 8, 5]);
        let checked = ForeignTokenReply::Checked(Box::new(holder), reply.clone());
        assert_eq!(wire::encode(&checked), Ok(expected));
        let standing = ForeignStanding {
            reply,
            provisioned: Some(provisioned()),
        };
        let expected = vec![1, 1, 8, 5, 1, 3, 1, 1, b'g', 0];
        assert_eq!(wire::encode(&standing), Ok(expected));
    }

    fn provisioned() -> Provisioned {
        Provisioned {
            version: 3,
            groups: vec!["g".into()],
            roles: vec![],
        }
    }

    fn request() -> CheckForeign {
        CheckForeign {
            subject: SubjectKey::from_bytes([1; 16]),
            connection: "okta".to_owned(),
            issued_at: NOW,
            expires_at: NOW.plus_secs(300),
            sid: None,
        }
    }

    fn subject() -> Subject {
        Subject::unseen(SubjectKey::from_bytes([1; 16]))
    }

    fn said(subject: Option<Subject>, sid_ended: bool, request: &CheckForeign) -> Verdict {
        let facts = ForeignFacts {
            subject,
            sid_ended,
            provisioned: None,
        };
        judge_foreign(facts, request, &[], NOW).reply.verdict
    }

    fn denied_for(subject: Subject, request: &CheckForeign) -> Option<DenyReason> {
        match said(Some(subject), false, request) {
            Verdict::Denied(reason) => Some(reason),
            Verdict::Active { .. } => None,
        }
    }

    #[test]
    fn scopes_are_left_out_whole() {
        assert_eq!(joined(&["a", "", "b c", "d"]).as_deref(), Some("a d"));
        assert_eq!(joined(&[]), None);
        let many = vec!["admin:read"; 100];
        let kept = joined(&many).expect("some");
        assert!(kept.len() <= MAX_TEXT_BYTES && kept.split(' ').all(|one| one == "admin:read"));
    }

    #[test]
    fn whom_nobody_has_ended_may_come() {
        assert!(said(None, false, &request()).is_active());
        assert!(said(Some(subject()), false, &request()).is_active());
    }

    #[test]
    fn what_the_directory_says_is_told_of_who_is_let_in_and_of_nobody_else() {
        let told = |disabled| {
            let facts = ForeignFacts {
                subject: Some(Subject {
                    disabled,
                    ..subject()
                }),
                sid_ended: false,
                provisioned: Some(provisioned()),
            };
            judge_foreign(facts, &request(), &[], NOW).provisioned
        };
        assert_eq!((told(false), told(true)), (Some(provisioned()), None));
    }

    #[test]
    fn a_disabled_subject_is_denied_whenever_the_token_was_issued() {
        let disabled = Subject {
            disabled: true,
            ..subject()
        };
        let reason = Some(DenyReason::SubjectDisabled);
        assert_eq!(denied_for(disabled, &request()), reason);
    }

    #[test]
    fn reactivation_revives_no_token_from_before_it() {
        let back = Subject {
            killed_at: Some(UnixMillis(0)),
            reactivated_at: Some(NOW),
            ..subject()
        };
        let reason = Some(DenyReason::IssuedBeforeKill);
        assert_eq!(denied_for(back, &request()), reason);
    }

    #[test]
    fn a_token_of_an_ended_session_is_denied_and_one_that_does_not_say_which() {
        let ended = Subject {
            upstream_ended_at: Some(NOW),
            ..subject()
        };
        let of_a_session = CheckForeign {
            sid: Some(Digest::of(b"s")),
            ..request()
        };
        let denied = Verdict::Denied(DenyReason::SessionEnded);
        assert_eq!(said(Some(ended.clone()), true, &of_a_session), denied);
        assert_eq!(said(Some(ended.clone()), false, &request()), denied);
        assert!(said(Some(ended), false, &of_a_session).is_active());
    }

    #[test]
    fn a_wide_revocation_covers_its_connections_tokens_and_no_others() {
        let facts = ForeignFacts {
            subject: None,
            sid_ended: false,
            provisioned: None,
        };
        for (connection, covered) in [("okta", true), ("other", false)] {
            let scope = WideScope::Connection(connection.to_owned());
            let revoked = [WideRevocation::committed(scope, NOW)];
            let standing = judge_foreign(facts.clone(), &request(), &revoked, NOW);
            let verdict = standing.reply.verdict;
            let reason = Verdict::Denied(DenyReason::ConnectionRevoked);
            assert_eq!(verdict == reason, covered, "{connection}");
        }
    }

    proptest! {
        #[test]
        fn no_token_from_before_a_kill_passes_though_clocks_differ(
            before_ms in 0u64..200_000, ahead_ms in 0u64..=60_000,
        ) {
            let killed = Subject { killed_at: Some(NOW), ..subject() };
            // Issued before the kill, by a clock that is ahead.
            let issued_at = UnixMillis(NOW.0 - before_ms + ahead_ms);
            let reason = denied_for(killed, &CheckForeign { issued_at, ..request() });
            prop_assert_eq!(reason, Some(DenyReason::IssuedBeforeKill));
        }
    }
}
