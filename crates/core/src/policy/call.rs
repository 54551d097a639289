//! What the policy object can be asked. Append only: the order is the wire form.
//!
//! Clients, trusts and connections travel as the JSON that they are stored as.

use super::{PolicyView, WideRevocation, WideScope};
use crate::audit::event::{Actor, RequestFacts};
use crate::feed::receipt::{AskReceipts, Receipts};
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Who asks for a change, and by which request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedBy {
    /// Who.
    pub actor: Actor,
    /// The HTTP request, if there is one.
    pub request: Option<RequestFacts>,
}

/// Get the policy, unless it is still at the version that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetView {
    /// The version at hand.
    pub known: Option<u64>,
}

/// End everything in a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeWide {
    /// What.
    pub scope: WideScope,
    /// Who says so.
    pub by: ChangedBy,
}

/// What came of it. It may not be acknowledged before [`super::IN_FORCE_AFTER_MS`] have passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedWide {
    /// The entry that is kept.
    pub revocation: WideRevocation,
    /// When it was committed.
    pub at: UnixMillis,
    /// Whether there was anything to do; a key is revoked once.
    pub changed: bool,
    /// The serial of its receipt, if there was.
    pub receipt: Option<u64>,
}

/// Ask for the receipts of wide revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskWideReceipts(pub AskReceipts);

/// Keep a new client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateClient {
    /// As JSON.
    pub client: String,
    /// Who says so.
    pub by: ChangedBy,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Created {
    /// It is kept; with the revocation that came with it, if it was disabled from the start.
    Created(Option<RevokedWide>),
    /// Another has that `client_id`.
    Exists,
    /// So many have registered themselves that no more can.
    Full,
}

/// Give a client other metadata; its secrets stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateClient {
    /// As JSON.
    pub client: String,
    /// Who says so.
    pub by: ChangedBy,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatedClient {
    /// The client as it is now, as JSON.
    pub client: String,
    /// The revocation that came with it, if it was disabled.
    pub revoked: Option<RevokedWide>,
}

/// Get a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetClient {
    /// Which.
    pub client_id: String,
}

/// A client, and the version of the policy that this is true of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAt {
    /// The version.
    pub version: u64,
    /// As JSON; `None`: there is no such client.
    pub client: Option<String>,
}

/// List clients by `client_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListClients {
    /// Only those behind this `client_id`.
    pub after: Option<String>,
    /// The most to return.
    pub limit: u32,
}

/// A page of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Each as JSON.
    pub clients: Vec<String>,
    /// Where to go on; `None`: that was all.
    pub next: Option<String>,
}

/// Forget a client, and end everything that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteClient {
    /// Which.
    pub client_id: String,
    /// Who says so.
    pub by: ChangedBy,
}

/// Give a client a new secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateSecret {
    /// Which client.
    pub client_id: String,
    /// The new secret's digest.
    pub sha256: Digest,
    /// Until when, in seconds since the Unix epoch, the earlier ones are good.
    pub earlier_until: u64,
    /// Who says so.
    pub by: ChangedBy,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rotated {
    /// The client as it is now, as JSON.
    Rotated(String),
    /// There is no such client.
    Unknown,
    /// It does not authenticate by a secret.
    NoSecrets,
}

/// Keep a trust, new or in place of the one of that id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutTrust {
    /// Its id.
    pub id: String,
    /// As JSON.
    pub trust: String,
    /// Whether there must be none of that id yet.
    pub new: bool,
    /// Who says so.
    pub by: ChangedBy,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrustKept {
    /// It is kept.
    Kept,
    /// There is one of that id, or none, against what was asked.
    Mismatch,
    /// There are as many as there may be.
    Full,
}

/// List the trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTrusts;

/// The trusts, and the version of the policy that this is true of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustsAt {
    /// The version.
    pub version: u64,
    /// Each as JSON.
    pub trusts: Vec<String>,
}

/// Forget a trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTrust {
    /// Which.
    pub id: String,
    /// Who says so.
    pub by: ChangedBy,
}

/// Keep a connection, new or in place of the one of that id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutConnection {
    /// As JSON.
    pub connection: String,
    /// On or off; `None`: as it was, and a new one on.
    pub enabled: Option<bool>,
    /// Whether there must be none of that id yet.
    pub new: bool,
    /// Who says so.
    pub by: ChangedBy,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionKept {
    /// It is kept, as this JSON; with the revocation that came with it, if what rested on it is over.
    Kept(String, Option<RevokedWide>),
    /// There is one of that id, or was, or there is none, against what was asked.
    Mismatch,
    /// There are as many as there may be.
    Full,
    /// It needs a secret and has none, or one that must not be sent where it is now.
    NeedsSecret,
    /// The same value would mean another person: that is another connection.
    OtherPeople,
    /// The connection of that id accepts the same tokens, or has its keys kept at the same place.
    Taken(String),
}

/// List the connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListConnections;

/// A connection as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptConnection {
    /// Which.
    pub id: String,
    /// As JSON; `None`: it stands in the configuration, or it was removed and its id stays taken.
    pub document: Option<String>,
    /// Whether anything goes through it.
    pub enabled: bool,
}

/// The connections, and the version of the policy that this is true of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionsAt {
    /// The version.
    pub version: u64,
    /// Each, by id.
    pub connections: Vec<KeptConnection>,
}

/// Turn a connection on or off. Turning it off ends everything that rests on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnableConnection {
    /// Which.
    pub id: String,
    /// On or off.
    pub enabled: bool,
    /// It stands in the configuration, so nothing need be kept of it yet.
    pub is_static: bool,
    /// Who says so.
    pub by: ChangedBy,
}

/// Forget a connection, and end everything that rests on it. Its id stays taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteConnection {
    /// Which.
    pub id: String,
    /// Who says so.
    pub by: ChangedBy,
}

crate::object_calls! {
    /// One operation of the policy object.
    PolicyRequest {
        /// Get the policy.
        View(GetView) -> Option<PolicyView>,
        /// End everything in a scope.
        Revoke(RevokeWide) -> RevokedWide,
        /// Keep a new client.
        CreateClient(CreateClient) -> Created,
        /// Give a client other metadata.
        UpdateClient(UpdateClient) -> Option<UpdatedClient>,
        /// Get a client.
        GetClient(GetClient) -> ClientAt,
        /// List clients.
        ListClients(ListClients) -> Clients,
        /// Forget a client.
        DeleteClient(DeleteClient) -> Option<RevokedWide>,
        /// Give a client a new secret.
        RotateSecret(RotateSecret) -> Rotated,
        /// Keep a trust.
        PutTrust(PutTrust) -> TrustKept,
        /// List the trusts.
        ListTrusts(ListTrusts) -> TrustsAt,
        /// Forget a trust.
        DeleteTrust(DeleteTrust) -> bool,
        /// Keep a connection.
        PutConnection(PutConnection) -> ConnectionKept,
        /// List the connections.
        ListConnections(ListConnections) -> ConnectionsAt,
        /// Turn a connection on or off; whether there is one.
        EnableConnection(EnableConnection) -> bool,
        /// Forget a connection; whether there was one.
        DeleteConnection(DeleteConnection) -> bool,
        /// What became of wide revocations.
        Receipts(AskWideReceipts) -> Receipts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Call};

    fn bytes_of(call: impl Call<Request = PolicyRequest>) -> Vec<u8> {
        wire::encode(&call.into_request()).expect("encodes")
    }

    fn by() -> ChangedBy {
        ChangedBy {
            actor: Actor::Operator("a".into()),
            request: None,
        }
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(bytes_of(GetView { known: None }), [1, 0, 0]);
        assert_eq!(bytes_of(GetView { known: Some(300) }), [1, 0, 1, 0xac, 2]);
        for (tag, scope) in [
            (0, WideScope::Client("c".into())),
            (1, WideScope::Connection("c".into())),
            (2, WideScope::Key("c".into())),
        ] {
            let revoke = RevokeWide { scope, by: by() };
            assert_eq!(bytes_of(revoke), [1, 1, tag, 1, b'c', 2, 1, b'a', 0]);
        }
        let client = || "j".to_owned();
        let create = CreateClient {
            client: client(),
            by: by(),
        };
        assert_eq!(bytes_of(create), [1, 2, 1, b'j', 2, 1, b'a', 0]);
        let update = UpdateClient {
            client: client(),
            by: by(),
        };
        assert_eq!(bytes_of(update), [1, 3, 1, b'j', 2, 1, b'a', 0]);
        let client_id = client;
        let get = GetClient {
            client_id: client_id(),
        };
        assert_eq!(bytes_of(get), [1, 4, 1, b'j']);
        let list = ListClients {
            after: None,
            limit: 9,
        };
        assert_eq!(bytes_of(list), [1, 5, 0, 9]);
        let delete = DeleteClient {
            client_id: client_id(),
            by: by(),
        };
        assert_eq!(bytes_of(delete), [1, 6, 1, b'j', 2, 1, b'a', 0]);
        let rotate = bytes_of(RotateSecret {
            client_id: client_id(),
            sha256: Digest::from_bytes([4; 32]),
            earlier_until: 5,
            by: by(),
        });
        let mut expected = vec![1, 7, 1, b'j'];
        expected.extend([4; 32]);
        expected.extend([5, 2, 1, b'a', 0]);
        assert_eq!(rotate, expected);
        let put = PutTrust {
            id: "t".into(),
            trust: "j".into(),
            new: true,
            by: by(),
        };
        assert_eq!(bytes_of(put), [1, 8, 1, b't', 1, b'j', 1, 2, 1, b'a', 0]);
        assert_eq!(bytes_of(ListTrusts), [1, 9]);
        let delete = DeleteTrust {
            id: "t".into(),
            by: by(),
        };
        assert_eq!(bytes_of(delete), [1, 10, 1, b't', 2, 1, b'a', 0]);
        let put = PutConnection {
            connection: "j".into(),
            enabled: Some(false),
            new: true,
            by: by(),
        };
        assert_eq!(bytes_of(put), [1, 11, 1, b'j', 1, 0, 1, 2, 1, b'a', 0]);
        assert_eq!(bytes_of(ListConnections), [1, 12]);
        let enable = EnableConnection {
            id: "c".into(),
            enabled: false,
            is_static: true,
            by: by(),
        };
        assert_eq!(bytes_of(enable), [1, 13, 1, b'c', 0, 1, 2, 1, b'a', 0]);
        let delete = DeleteConnection {
            id: "c".into(),
            by: by(),
        };
        assert_eq!(bytes_of(delete), [1, 14, 1, b'c', 2, 1, b'a', 0]);
        let newest = AskWideReceipts(AskReceipts::Newest(9));
        assert_eq!(bytes_of(newest), [1, 15, 1, 9]);
    }

    #[test]
    fn golden_reply_bytes() {
        let revocation = WideRevocation {
            scope: WideScope::Client("c".into()),
            not_before: UnixMillis(7),
        };
        let view = Some(PolicyView {
            version: 3,
            revoked: vec![revocation.clone()],
        });
        assert_eq!(wire::encode(&view), Ok(vec![1, 1, 3, 1, 0, 1, b'c', 7]));
        let revoked = RevokedWide {
            revocation,
            at: UnixMillis(6),
            changed: true,
            receipt: Some(8),
        };
        assert_eq!(
            wire::encode(&revoked),
            Ok(vec![1, 0, 1, b'c', 7, 6, 1, 1, 8])
        );
        let found = ClientAt {
            version: 3,
            client: Some("j".into()),
        };
        assert_eq!(wire::encode(&found), Ok(vec![1, 3, 1, 1, b'j']));
        assert_eq!(wire::encode(&Created::Full), Ok(vec![1, 2]));
        assert_eq!(wire::encode(&Rotated::NoSecrets), Ok(vec![1, 2]));
        assert_eq!(wire::encode(&TrustKept::Full), Ok(vec![1, 2]));
        let kept = ConnectionKept::Kept("j".into(), None);
        assert_eq!(wire::encode(&kept), Ok(vec![1, 0, 1, b'j', 0]));
        assert_eq!(wire::encode(&ConnectionKept::NeedsSecret), Ok(vec![1, 3]));
        let taken = ConnectionKept::Taken("c".into());
        assert_eq!(wire::encode(&taken), Ok(vec![1, 5, 1, b'c']));
        let connections = ConnectionsAt {
            version: 3,
            connections: vec![KeptConnection {
                id: "c".into(),
                document: Some("j".into()),
                enabled: true,
            }],
        };
        let expected = vec![1, 3, 1, 1, b'c', 1, 1, b'j', 1];
        assert_eq!(wire::encode(&connections), Ok(expected));
    }
}
