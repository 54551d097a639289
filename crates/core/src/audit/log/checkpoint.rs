//! Checkpoints: a tree's head as a signed note (C2SP tlog-checkpoint and signed-note), with Ed25519.
//!
//! ```text
//! id.example/audit/lane/0
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — id.example/audit/lane/0 Az3grlgt...
//! ```
//!
//! The first line is the origin: where the lane is served, without a scheme. The key has the same name, so that key
//! and origin cannot be mixed up, and both name the lane. Extension lines are not written, and not refused.
//!
//! A key is published as `name+id+key` ([`CheckpointVerifier::to_vkey`]), which is what the usual tools take. Whoever
//! verifies must have it from somewhere else than the log itself.

use super::epoch::LogId;
use super::{HASH_SIZE, Head, MAX_SIZE};
use base64ct::{Base64, Encoding};
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use signed_note::{
    self as note, Note, VerificationError, Verifier, Verifiers, is_key_name_valid, key_id,
};
use std::fmt;
use tlog_tiles::Checkpoint;

/// The signature type of Ed25519 in notes.
const ED25519: u8 = 1;
/// The longest origin; a host name has 253 characters at most.
const MAX_ORIGIN: usize = 300;

/// The name of a log, which is also its key's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin of the first log of a lane of the service with this base URL; `None` if it has no name for a note.
    /// Those of later ones are in [`super::epoch`].
    #[must_use]
    pub fn of_lane(issuer: &str, lane: u32) -> Option<Self> {
        Self::of_log(issuer, LogId { lane, epoch: 0 })
    }

    /// Reads an origin that can be a key's name as well.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.chars().all(|c| c.is_ascii_graphic());
        (plain && text.len() <= MAX_ORIGIN && is_key_name_valid(text))
            .then(|| Self(text.to_owned()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is no checkpoint of the log in question: malformed, of another log, or not signed by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCheckpoint;

impl fmt::Display for NoCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no checkpoint of this log by its key")
    }
}

impl std::error::Error for NoCheckpoint {}

/// The private half of a log's key.
pub struct CheckpointSigner {
    verifier: CheckpointVerifier,
    pair: KeyPair,
}

impl CheckpointSigner {
    /// The key of these 32 bytes, which must be random and secret, for the log of that origin.
    #[must_use]
    pub fn from_seed(origin: Origin, seed: [u8; 32]) -> Self {
        let pair = KeyPair::from_seed(Seed::new(seed));
        Self {
            verifier: CheckpointVerifier::new(origin, *pair.pk),
            pair,
        }
    }

    /// The public half.
    #[must_use]
    pub const fn verifier(&self) -> &CheckpointVerifier {
        &self.verifier
    }

    /// The signed checkpoint of `head`. The same head gives the same bytes.
    pub fn sign(&self, head: &Head) -> Result<Vec<u8>, NoCheckpoint> {
        let origin = self.verifier.origin.as_str();
        let checkpoint = Checkpoint::new(origin, head.size, head.root, "");
        let text = checkpoint.map_err(|_| NoCheckpoint)?.to_bytes();
        let signature = self.pair.sk.sign(&text, None).to_vec();
        let id = self.verifier.key_id();
        let signature = note::Signature::new(origin.to_owned(), id, signature);
        let signature = signature.map_err(|_| NoCheckpoint)?;
        let note = Note::new(&text, &[signature]).map_err(|_| NoCheckpoint)?;
        Ok(note.to_bytes())
    }
}

/// The public half of a log's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointVerifier {
    origin: Origin,
    key: [u8; 32],
}

impl CheckpointVerifier {
    /// The key of these bytes, for the log of that origin.
    #[must_use]
    pub const fn new(origin: Origin, key: [u8; 32]) -> Self {
        Self { origin, key }
    }

    /// The log.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key's bytes.
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// As it is published: `name+id+key`.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        let key = Base64::encode_string(&self.typed());
        format!("{}+{:08x}+{key}", self.origin, self.key_id())
    }

    /// Reads what [`Self::to_vkey`] writes.
    #[must_use]
    pub fn from_vkey(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (_, key) = rest.split_once('+')?;
        let typed = Base64::decode_vec(key).ok()?;
        let (ED25519, key) = typed.split_first().map(|(kind, key)| (*kind, key))? else {
            return None;
        };
        let found = Self::new(Origin::parse(name)?, key.try_into().ok()?);
        // Everything else follows from these two: the id, and how all of it is spelt.
        (found.to_vkey() == text).then_some(found)
    }

    /// The head that a checkpoint states, if it is one of this log and signed with this key.
    pub fn open(&self, note: &[u8]) -> Result<Head, NoCheckpoint> {
        let note = Note::from_bytes(note).map_err(|_| NoCheckpoint)?;
        note.verify(self).map_err(|_| NoCheckpoint)?;
        let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|_| NoCheckpoint)?;
        if checkpoint.origin() != self.origin.as_str() || checkpoint.size() >= MAX_SIZE {
            return Err(NoCheckpoint);
        }
        Ok(Head {
            size: checkpoint.size(),
            root: *checkpoint.hash(),
        })
    }

    fn typed(&self) -> [u8; 1 + 32] {
        let mut typed = [ED25519; 1 + 32];
        if let Some(key) = typed.last_chunk_mut() {
            *key = self.key;
        }
        typed
    }
}

impl Verifier for CheckpointVerifier {
    fn name(&self) -> &str {
        self.origin.as_str()
    }

    fn key_id(&self) -> u32 {
        key_id(self.origin.as_str(), &self.typed())
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let verified = Signature::from_slice(signature)
            .and_then(|signature| PublicKey::new(self.key).verify(text, &signature));
        verified.is_ok()
    }
}

impl Verifiers for CheckpointVerifier {
    fn verifier(&self, name: &str, id: u32) -> Result<&dyn Verifier, VerificationError> {
        if name == self.name() && id == self.key_id() {
            return Ok(self);
        }
        Err(VerificationError::UnknownKey {
            name: name.to_owned(),
            id,
        })
    }
}

const _: () = assert!(HASH_SIZE == 32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::log::{EMPTY_HASH, Hash, leaf_hash};
    use proptest::prelude::*;
    use signed_note::{StandardVerifier, VerifierList};

    fn signer() -> CheckpointSigner {
        let origin = Origin::of_lane("https://id.example", 0).expect("an origin");
        CheckpointSigner::from_seed(origin, [7; 32])
    }

    fn head() -> Head {
        Head {
            size: 3,
            root: leaf_hash(b"x"),
        }
    }

    #[test]
    fn golden_bytes() {
        let signer = signer();
        let vkey = "id.example/audit/lane/0+82455534+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
        assert_eq!(signer.verifier().to_vkey(), vkey);
        let note = signer.sign(&head()).expect("signs");
        let expected = "id.example/audit/lane/0\n3\nPH6byTDck/AfppmF7yQtn56GHzxTVaokzl70tLinDMs=\n\n\
            — id.example/audit/lane/0 gkVVNM9ZV+rtk8bbmnsxS6y8ViinCoB5Z1YzqDgYMy5ICf7I6D4CrFMpGyykEIQbk3LHb/\
            xTE6RmHmo7GRjVSarihwo=\n";
        assert_eq!(String::from_utf8(note).expect("text"), expected);
    }

    #[test]
    fn the_empty_tree_has_a_checkpoint_too() {
        let signer = signer();
        let empty = Head {
            size: 0,
            root: EMPTY_HASH,
        };
        let note = signer.sign(&empty).expect("signs");
        assert!(note.starts_with(
            b"id.example/audit/lane/0\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n"
        ));
        assert_eq!(signer.verifier().open(&note), Ok(empty));
    }

    #[test]
    fn another_implementation_verifies_what_is_signed() {
        let signer = signer();
        let note = Note::from_bytes(&signer.sign(&head()).expect("signs")).expect("a note");
        let vkey = signer.verifier().to_vkey();
        let other = StandardVerifier::new(&vkey).expect("a key");
        let (verified, _) = note
            .verify(&VerifierList::new(vec![Box::new(other)]))
            .expect("verifies");
        assert_eq!(verified.len(), 1);
    }

    #[test]
    fn an_origin_names_host_port_and_lane() {
        let of = |issuer| Origin::of_lane(issuer, 3).map(|origin| origin.to_string());
        assert_eq!(
            of("https://id.example").as_deref(),
            Some("id.example/audit/lane/3")
        );
        assert_eq!(
            of("http://127.0.0.1:8787/").as_deref(),
            Some("127.0.0.1:8787/audit/lane/3")
        );
        assert_eq!(of("https://a b"), None);
        assert_eq!(of("https://a+b"), None);
        assert_eq!(of("nothing"), None);
    }

    #[test]
    fn only_the_logs_own_key_and_name_count() {
        let signer = signer();
        let note = signer.sign(&head()).expect("signs");
        assert_eq!(signer.verifier().open(&note), Ok(head()));
        let origin = signer.verifier().origin().clone();
        let other_key = CheckpointSigner::from_seed(origin, [8; 32]);
        assert_eq!(other_key.verifier().open(&note), Err(NoCheckpoint));
        let other_lane = Origin::of_lane("https://id.example", 1).expect("an origin");
        let other_lane = CheckpointSigner::from_seed(other_lane, [7; 32]);
        assert_eq!(other_lane.verifier().open(&note), Err(NoCheckpoint));
        // A note of the key about another log.
        let text = format!("other.example\n3\n{}\n", head().root);
        let signature = signer.pair.sk.sign(&text, None).to_vec();
        let name = signer.verifier().origin().to_string();
        let signature = note::Signature::new(name, signer.verifier().key_id(), signature);
        let stray = Note::new(text.as_bytes(), &[signature.expect("a signature")]);
        let stray = stray.expect("a note").to_bytes();
        assert_eq!(signer.verifier().open(&stray), Err(NoCheckpoint));
    }

    #[test]
    fn a_note_that_others_have_signed_too_is_still_one() {
        let signer = signer();
        let witness = Origin::parse("witness.example").expect("an origin");
        let witness = CheckpointSigner::from_seed(witness, [9; 32]);
        let mut note = signer.sign(&head()).expect("signs");
        let of_witness = witness.sign(&head()).expect("signs");
        let of_witness = String::from_utf8(of_witness).expect("text");
        let (_, signature) = of_witness.split_once("\n\n").expect("a signature");
        note.extend_from_slice(signature.as_bytes());
        assert_eq!(signer.verifier().open(&note), Ok(head()));
    }

    #[test]
    fn what_is_no_vkey_is_not_read() {
        let vkey = signer().verifier().to_vkey();
        assert_eq!(
            CheckpointVerifier::from_vkey(&vkey).as_ref(),
            Some(signer().verifier())
        );
        for at in 0..vkey.len() {
            let mut bent = vkey.clone().into_bytes();
            bent[at] ^= 1;
            let bent = String::from_utf8(bent).expect("ASCII");
            assert_eq!(CheckpointVerifier::from_vkey(&bent), None, "{bent}");
        }
    }

    proptest! {
        #[test]
        fn a_checkpoint_states_what_was_signed_and_a_flipped_bit_is_found(
            size in 0..MAX_SIZE,
            root: [u8; 32],
            flipped: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let signer = signer();
            let head = Head { size, root: Hash(root) };
            let mut note = signer.sign(&head).expect("signs");
            prop_assert_eq!(signer.verifier().open(&note), Ok(head));
            let at = flipped.index(note.len());
            note[at] ^= 1 << bit;
            prop_assert_eq!(signer.verifier().open(&note), Err(NoCheckpoint));
        }

        #[test]
        fn arbitrary_bytes_are_no_checkpoint_and_no_key(bytes: Vec<u8>, text: String) {
            prop_assert_eq!(signer().verifier().open(&bytes), Err(NoCheckpoint));
            prop_assert_eq!(CheckpointVerifier::from_vkey(&text), None);
        }
    }
}
