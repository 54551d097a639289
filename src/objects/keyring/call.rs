//! What the keyring can be asked. Append only: the order is the wire form.

use crate::seal::Sealed;
use portcullis_core::connection::sync::{Begun, Ended, SyncState};
use portcullis_core::keyring::{Key, KeyState};
use portcullis_core::policy::call::ChangedBy;
use portcullis_core::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptKey {
    /// Its name and times.
    pub key: Key,
    /// The public half, an uncompressed point.
    pub point: Vec<u8>,
    /// The private half, until it is destroyed.
    pub sealed: Option<Sealed>,
}

/// Get the keys; a keyring without keys makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetKeys;

/// Describe the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListKeys;

/// A key and where it is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLife {
    /// Its name and times.
    pub key: Key,
    /// Where it is.
    pub state: KeyState,
    /// When another signs instead, as far as is known.
    pub superseded_at: Option<UnixMillis>,
    /// When it leaves the set, as far as is known.
    pub retires_at: Option<UnixMillis>,
}

/// Have another key sign, as soon as every cache can know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateKey {
    /// Who says so.
    pub by: ChangedBy,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyRotated {
    /// This key signs from then.
    Rotated {
        /// Which.
        kid: String,
        /// From when.
        signs_from: UnixMillis,
        /// Whether that was not so before.
        changed: bool,
    },
    /// So many keys are published that another has to wait.
    TooMany,
}

/// Somebody else may have this key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompromiseKey {
    /// Which.
    pub kid: String,
    /// Who says so.
    pub by: ChangedBy,
}

/// What came of it. The policy has committed it too; it may not be acknowledged before that is in
/// force everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCompromised {
    /// When it was declared so first.
    pub at: UnixMillis,
    /// Whether that was now.
    pub changed: bool,
    /// The key that signs.
    pub signing: String,
}

/// What a document of somebody else's is. Append only: the order is the wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentKind {
    /// A key set, by where it was fetched.
    Keys,
    /// Provider metadata, by its issuer.
    Metadata,
}

impl DocumentKind {
    /// As it is stored.
    pub const fn number(self) -> u64 {
        match self {
            Self::Keys => 0,
            Self::Metadata => 1,
        }
    }
}

/// Keep a document of somebody else's that was just fetched, for isolates that cannot fetch it. The
/// answer says whether it is kept now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepDocument {
    /// What it is.
    pub kind: DocumentKind,
    /// By what it is found: a place or an issuer that an operator named.
    pub name: String,
    /// What came.
    pub document: Vec<u8>,
    /// When it came.
    pub fetched_at: UnixMillis,
}

/// Get a document that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetDocument {
    /// What it is.
    pub kind: DocumentKind,
    /// By what it is found.
    pub name: String,
}

/// A document that was good when it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What came.
    pub document: Vec<u8>,
    /// When it came.
    pub fetched_at: UnixMillis,
}

/// Begin to send a connection's keys to API Shield.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginSync {
    /// Which connection.
    pub connection: String,
    /// Whether to go on in spite of a pause after failures.
    pub forced: bool,
}

/// How that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSync {
    /// Which connection.
    pub connection: String,
    /// The number that the run was given.
    pub run: u64,
    /// How.
    pub ended: Ended,
    /// Who began it.
    pub by: ChangedBy,
}

/// Get what is known of a connection's keys at API Shield.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSync {
    /// Which connection.
    pub connection: String,
}

portcullis_core::object_calls! {
    /// One operation of the keyring.
    KeyringRequest {
        /// Get the keys.
        Get(GetKeys) -> Vec<KeptKey>,
        /// Describe them.
        List(ListKeys) -> Vec<KeyLife>,
        /// Have another sign.
        Rotate(RotateKey) -> KeyRotated,
        /// One is not ours alone any more; `None`: no such key is known.
        Compromise(CompromiseKey) -> Option<KeyCompromised>,
        /// Keep a document of somebody else's.
        KeepDocument(KeepDocument) -> bool,
        /// Get one; `None`: none is kept.
        Document(GetDocument) -> Option<Document>,
        /// Begin to send a connection's keys to API Shield.
        BeginSync(BeginSync) -> Begun,
        /// Say how that ended; the answer is what is known then.
        EndSync(EndSync) -> SyncState,
        /// Get what is known.
        Sync(GetSync) -> SyncState,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::audit::event::Actor;
    use portcullis_core::connection::sync::SyncError;
    use portcullis_core::wire::{self, Call};

    fn bytes_of(call: impl Call<Request = KeyringRequest>) -> Vec<u8> {
        wire::encode(&call.into_request()).expect("encodes")
    }

    fn by() -> ChangedBy {
        ChangedBy {
            actor: Actor::Operator("a".into()),
            request: None,
        }
    }

    fn key() -> Key {
        Key {
            kid: "k".into(),
            created_at: UnixMillis(1),
            signs_from: UnixMillis(2),
            compromised_at: Some(UnixMillis(3)),
        }
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(bytes_of(GetKeys), [1, 0]);
        assert_eq!(bytes_of(ListKeys), [1, 1]);
        assert_eq!(bytes_of(RotateKey { by: by() }), [1, 2, 2, 1, b'a', 0]);
        let compromise = CompromiseKey {
            kid: "k".into(),
            by: by(),
        };
        assert_eq!(bytes_of(compromise), [1, 3, 1, b'k', 2, 1, b'a', 0]);
        let keep = KeepDocument {
            kind: DocumentKind::Keys,
            name: "u".into(),
            document: vec![7, 8],
            fetched_at: UnixMillis(9),
        };
        assert_eq!(bytes_of(keep), [1, 4, 0, 1, b'u', 2, 7, 8, 9]);
        let get = GetDocument {
            kind: DocumentKind::Metadata,
            name: "u".into(),
        };
        assert_eq!(bytes_of(get), [1, 5, 1, 1, b'u']);
        let connection = "c".to_owned();
        let begin = BeginSync {
            connection: connection.clone(),
            forced: true,
        };
        assert_eq!(bytes_of(begin), [1, 6, 1, b'c', 1]);
        let end = EndSync {
            connection: connection.clone(),
            run: 3,
            ended: Ended::Unchanged,
            by: by(),
        };
        assert_eq!(bytes_of(end), [1, 7, 1, b'c', 3, 1, 2, 1, b'a', 0]);
        let failed = EndSync {
            connection: connection.clone(),
            run: 3,
            ended: Ended::Failed(SyncError::NoKeys.into()),
            by: by(),
        };
        let expected = [1, 7, 1, b'c', 3, 2, 3, 0, 0, 2, 1, b'a', 0];
        assert_eq!(bytes_of(failed), expected);
        assert_eq!(bytes_of(GetSync { connection }), [1, 8, 1, b'c']);
    }

    #[test]
    fn golden_reply_bytes() {
        let kept = KeptKey {
            key: key(),
            point: vec![4, 5],
            sealed: Some(Sealed::from_bytes(&[6])),
        };
        let expected = vec![1, 1, 1, b'k', 1, 2, 1, 3, 2, 4, 5, 1, 1, 6];
        assert_eq!(wire::encode(&vec![kept]), Ok(expected));
        let life = KeyLife {
            key: key(),
            state: KeyState::Compromised,
            superseded_at: Some(UnixMillis(7)),
            retires_at: None,
        };
        let expected = vec![1, 1, b'k', 1, 2, 1, 3, 4, 1, 7, 0];
        assert_eq!(wire::encode(&life), Ok(expected));
        let rotated = KeyRotated::Rotated {
            kid: "k".into(),
            signs_from: UnixMillis(8),
            changed: true,
        };
        assert_eq!(wire::encode(&rotated), Ok(vec![1, 0, 1, b'k', 8, 1]));
        assert_eq!(wire::encode(&KeyRotated::TooMany), Ok(vec![1, 1]));
        let compromised = KeyCompromised {
            at: UnixMillis(9),
            changed: false,
            signing: "k".into(),
        };
        assert_eq!(wire::encode(&compromised), Ok(vec![1, 9, 0, 1, b'k']));
        let document = Document {
            document: vec![7, 8],
            fetched_at: UnixMillis(9),
        };
        assert_eq!(wire::encode(&Some(document)), Ok(vec![1, 1, 2, 7, 8, 9]));
        let run = Begun::Run { run: 3, sent: None };
        assert_eq!(wire::encode(&run), Ok(vec![1, 0, 3, 0]));
        let not_due = Begun::NotDue(UnixMillis(4));
        assert_eq!(wire::encode(&not_due), Ok(vec![1, 1, 4]));
        let under_way = Begun::UnderWay(UnixMillis(5));
        assert_eq!(wire::encode(&under_way), Ok(vec![1, 2, 5]));
    }
}
