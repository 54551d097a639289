//! What a subject's object can be asked. Append only: the order is the wire form.

use super::Session;
use super::check::{CheckReply, CheckRequest};
use super::login::{Login, LoginReply};
use super::reactivate::{Reactivate, ReactivateReply};
use super::redeem::{Redeem, RedeemReply};
use super::revoke::{Revoke, RevokeReply};
use crate::id::SubjectKey;
use serde::{Deserialize, Serialize};

/// List the subject's live sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSessions;

crate::object_calls! {
    /// One operation of a subject.
    SubjectRequest {
        /// Is this credential in force?
        Check(CheckRequest) -> CheckReply,
        /// Begin a session.
        Login(Login) -> LoginReply,
        /// Redeem an authorization code.
        Redeem(Redeem) -> RedeemReply,
        /// End something.
        Revoke(Revoke) -> RevokeReply,
        /// Lift a deactivation.
        Reactivate(Reactivate) -> ReactivateReply,
        /// List live sessions.
        ListSessions(ListSessions) -> Vec<Session>,
    }
}

/// An operation and the subject it is for, which the object compares with its own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectCall {
    /// For whom.
    pub subject: SubjectKey,
    /// What.
    pub request: SubjectRequest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Actor, RequestFacts};
    use crate::id::{SessionId, TokenId};
    use crate::secret::Digest;
    use crate::session::revoke::{Cause, Revoked, Scope};
    use crate::time::UnixMillis;
    use crate::wire::{self, Call};

    fn bytes_of(call: impl Call<Request = SubjectRequest>) -> Vec<u8> {
        wire::encode(&call.into_request()).expect("encodes")
    }

    #[test]
    fn golden_bytes() {
        let revoke = |scope| Revoke::new(scope, Cause::Admin, Actor::Operator("a".into()));
        assert_eq!(
            bytes_of(revoke(Scope::Subject)),
            [1, 3, 0, 0, 2, 1, b'a', 0, 0]
        );
        let held = Scope::SubjectUntilReactivated {
            directory_version: 7,
        };
        assert_eq!(bytes_of(revoke(held)), [1, 3, 1, 7, 0, 2, 1, b'a', 0, 0]);
        let one = bytes_of(revoke(Scope::Session(SessionId::from_bytes([9; 16]))));
        assert_eq!(one.get(..4), Some(&[1, 3, 2, 9][..]));
        let reactivate = Reactivate {
            directory_version: 8,
            actor: Actor::Connection("c".into()),
        };
        assert_eq!(bytes_of(reactivate), [1, 4, 8, 3, 1, b'c']);
        assert_eq!(bytes_of(ListSessions), [1, 5]);
        let redeem = bytes_of(Redeem {
            code: Digest::from_bytes([4; 32]),
            client_id: "c".into(),
            redirect_uri: "r".into(),
            code_challenge: "s".into(),
            token: TokenId::from_bytes([5; 16]),
            request: RequestFacts::default(),
        });
        let mut expected = vec![1, 2];
        expected.extend([4; 32]);
        expected.extend([1, b'c', 1, b'r', 1, b's']);
        expected.extend([5; 16]);
        expected.extend([0; 7]);
        assert_eq!(redeem, expected);
    }

    #[test]
    fn golden_reply_bytes() {
        let reply = RevokeReply::Revoked(Revoked {
            sessions: 2,
            at: UnixMillis(300),
            changed: true,
        });
        assert_eq!(wire::encode(&reply), Ok(vec![1, 0, 2, 0xac, 2, 1]));
        assert_eq!(wire::encode(&LoginReply::Superseded), Ok(vec![1, 2]));
    }
}
