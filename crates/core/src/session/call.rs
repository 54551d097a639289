//! What a subject's object can be asked. Append only: the order is the wire form.

use super::Session;
use super::check::{CheckReply, CheckRequest};
use super::consent::AskConsent;
use super::describe::{Describe, DescribeRefresh, Described, DescribedRefresh, UseOnce};
use super::exchange::Exchange;
use super::foreign::{CheckForeign, ForeignStanding};
use super::grant::{Refusal, TokenFacts};
use super::login::{Login, LoginReply};
use super::overview::{LookUp, Overview};
use super::provision::{Provision, ProvisionReply};
use super::reactivate::{Reactivate, ReactivateReply};
use super::redeem::{Redeem, RedeemReply};
use super::refresh::{Refresh, RefreshReply};
use super::revoke::{Revoke, RevokeReply};
use super::service::IssueToService;
use crate::feed::receipt::{AskReceipts, Receipts};
use crate::id::SubjectKey;
use crate::policy::WideRevocation;
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
        /// Exchange a refresh token.
        Refresh(Refresh) -> RefreshReply,
        /// Issue to a service itself.
        IssueToService(IssueToService) -> Result<TokenFacts, Refusal>,
        /// Exchange an access token for a lesser one.
        Exchange(Exchange) -> Result<TokenFacts, Refusal>,
        /// What an access token stands for.
        Describe(Describe) -> Described,
        /// What a refresh token stands for.
        DescribeRefresh(DescribeRefresh) -> Option<DescribedRefresh>,
        /// Accept something once.
        UseOnce(UseOnce) -> bool,
        /// What the person allowed a client.
        AskConsent(AskConsent) -> Option<String>,
        /// Is this token of an identity provider in force?
        CheckForeign(CheckForeign) -> ForeignStanding,
        /// How is it with this subject?
        LookUp(LookUp) -> Overview,
        /// What became of revocations.
        Receipts(AskReceipts) -> Receipts,
        /// The directory says which groups and roles they have.
        Provision(Provision) -> ProvisionReply,
    }
}

/// An operation and the subject it is for, which the object compares with its own name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectCall {
    /// For whom.
    pub subject: SubjectKey,
    /// The wide revocations that may cover its sessions, by a view that is fresh enough.
    pub revoked: Vec<WideRevocation>,
    /// What.
    pub request: SubjectRequest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Actor, RequestFacts};
    use crate::id::{SessionId, TokenId};
    use crate::secret::Digest;
    use crate::session::grant::TokenRequest;
    use crate::session::provision::Provisioned;
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
        assert_eq!(
            bytes_of(revoke(Scope::Client("c".into()))),
            [1, 3, 5, 1, b'c', 0, 2, 1, b'a', 0, 0]
        );
        let reactivate = Reactivate {
            directory_version: 8,
            actor: Actor::Connection("c".into()),
        };
        assert_eq!(bytes_of(reactivate), [1, 4, 8, 3, 1, b'c']);
        assert_eq!(bytes_of(ListSessions), [1, 5]);
        let ask = || TokenRequest {
            client_id: "c".into(),
            scope: None,
            resources: vec![],
            proof: None,
            binds_refresh: false,
            token: TokenId::from_bytes([5; 16]),
            request: RequestFacts::default(),
        };
        let asked = || {
            let mut bytes = vec![1, b'c', 0, 0, 0, 0];
            bytes.extend([5; 16]);
            bytes.extend([0; 9]);
            bytes
        };
        let redeem = bytes_of(Redeem {
            code: Digest::from_bytes([4; 32]),
            redirect_uri: "r".into(),
            code_challenge: "s".into(),
            refresh: None,
            ask: ask(),
        });
        let mut expected = vec![1, 2];
        expected.extend([4; 32]);
        expected.extend([1, b'r', 1, b's', 0]);
        expected.extend(asked());
        assert_eq!(redeem, expected);
        let refresh = bytes_of(Refresh {
            session: SessionId::from_bytes([6; 16]),
            presented: Digest::from_bytes([7; 32]),
            salt: [8; 24],
            successor: Digest::from_bytes([9; 32]),
            ask: ask(),
        });
        let mut expected = vec![1, 6];
        expected.extend([6; 16]);
        expected.extend([7; 32]);
        expected.extend([8; 24]);
        expected.extend([9; 32]);
        expected.extend(asked());
        assert_eq!(refresh, expected);
        let asked = AskConsent {
            client_id: "c".into(),
        };
        assert_eq!(bytes_of(asked), [1, 12, 1, b'c']);
        assert_eq!(bytes_of(LookUp), [1, 14]);
        let foreign = bytes_of(CheckForeign {
            subject: SubjectKey::from_bytes([6; 16]),
            connection: "c".into(),
            issued_at: UnixMillis(2),
            expires_at: UnixMillis(3),
            sid: None,
        });
        let mut expected = vec![1, 13];
        expected.extend([6; 16]);
        expected.extend([1, b'c', 2, 3, 0]);
        assert_eq!(foreign, expected);
        let upstream = bytes_of(revoke(Scope::UpstreamSession(Digest::from_bytes([9; 32]))));
        assert_eq!(upstream.get(..4), Some(&[1, 3, 6, 9][..]));
        assert_eq!(bytes_of(AskReceipts::One(8)), [1, 15, 0, 8]);
        let said = Provision(Provisioned {
            version: 300,
            groups: vec!["g".into()],
            roles: vec!["r".into()],
        });
        assert_eq!(bytes_of(said), [1, 16, 0xac, 2, 1, 1, b'g', 1, 1, b'r']);
    }

    #[test]
    fn golden_reply_bytes() {
        let reply = RevokeReply::Revoked(Revoked {
            sessions: 2,
            at: UnixMillis(300),
            changed: true,
            receipt: None,
        });
        assert_eq!(wire::encode(&reply), Ok(vec![1, 0, 2, 0xac, 2, 1, 0]));
        assert_eq!(wire::encode(&LoginReply::Superseded), Ok(vec![1, 2]));
        assert_eq!(wire::encode(&ProvisionReply::Unchanged), Ok(vec![1, 1]));
    }
}
