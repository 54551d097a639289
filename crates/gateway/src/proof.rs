//! `DPoP` at the gateway (RFC 9449): a token that is bound to a key counts with a proof of that key, made for
//! this request, and a proof counts once.
//!
//! A proof is for the method as it was sent, for the gateway's public name and the path (section 4.3), and for
//! the very token that came with it. Whether the token is bound to the proof's key is judged with the
//! token. Nothing else of RFC 9449 is needed here: no nonce is given out.
//!
//! Proofs are remembered until they are too old anyway, at most [`CAPACITY`] of them and in this isolate only.
//! So another isolate would take a copy of one within its two minutes, as would this one after
//! so many others: whoever can copy a request and its token can repeat that request then, and no
//! other (section 11.1 leaves it to the server how far it goes).

use crate::inbound::Inbound;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::dpop::{ProofVerifier, VerifiedProof};
use portcullis_core::time::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};

/// How many proofs are remembered: about three megabytes of them.
pub const CAPACITY: usize = 20_000;

/// Why a proof was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// There is none, or there are several.
    NotOne,
    /// It does not prove, or was made for something else.
    Bad(TokenError),
    /// It came before.
    Replayed,
}

impl ProofError {
    /// The reason as the log has it: of a fixed vocabulary.
    #[must_use]
    pub fn reason(self) -> String {
        match self {
            Self::NotOne => "proof_not_one".to_owned(),
            Self::Bad(why) => format!("proof_{}", why.as_str()),
            Self::Replayed => "proof_replayed".to_owned(),
        }
    }
}

/// The proof that came with `token` to the gateway whose public origin is `audience`, if it is good. Whether it is
/// new is [`Proofs`]' to say.
pub fn verified(
    inbound: &Inbound,
    audience: &str,
    token: &str,
    now: UnixMillis,
) -> Result<VerifiedProof, ProofError> {
    let proof = inbound.only("dpop").ok_or(ProofError::NotOne)?;
    let verifier = ProofVerifier {
        method: &inbound.method,
        // By our own name, not by the one that the caller used.
        url: &format!("{audience}{}", inbound.url.path()),
        access_token: Some(token),
    };
    verifier.verify(proof, now).map_err(ProofError::Bad)
}

/// The proofs that came lately.
#[derive(Debug, Default)]
pub struct Proofs {
    seen: BTreeMap<[u8; 32], UnixMillis>,
    /// The same, the first to be forgotten first.
    by_end: BTreeSet<(UnixMillis, [u8; 32])>,
}

impl Proofs {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seen: BTreeMap::new(),
            by_end: BTreeSet::new(),
        }
    }

    /// Remembers a proof; an error if it came before.
    pub fn take(&mut self, proof: &VerifiedProof, now: UnixMillis) -> Result<(), ProofError> {
        let digest = *proof.replay_digest().as_bytes();
        self.remember(digest, proof.expires_at(), now)
    }

    fn remember(
        &mut self,
        digest: [u8; 32],
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), ProofError> {
        while self.by_end.first().is_some_and(|(end, _)| *end <= now) {
            self.forget_first();
        }
        if self.seen.contains_key(&digest) {
            return Err(ProofError::Replayed);
        }
        if self.seen.len() >= CAPACITY {
            self.forget_first();
        }
        self.seen.insert(digest, until);
        self.by_end.insert((until, digest));
        Ok(())
    }

    fn forget_first(&mut self) {
        if let Some((_, digest)) = self.by_end.pop_first() {
            self.seen.remove(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::example;
    use p256::ecdsa::signature::Signer;
    use p256::ecdsa::{Signature, SigningKey};
    use portcullis_core::jwt::dpop::{MAX_PROOF_AGE_SECS, ath};
    use portcullis_core::text::base64url;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const AUDIENCE: &str = "https://app.example";
    const TOKEN: &str = "an.access.token";

    fn claims() -> Value {
        json!({
            "jti": "j-1", "htm": "POST", "htu": "https://app.example/a/b", "iat": NOW.secs(),
            "ath": ath(TOKEN),
        })
    }

    /// A proof by one key that shows another's, if these differ.
    fn signed(shown: u8, by: u8, claims: &Value) -> String {
        let key = |seed| SigningKey::from_slice(&[seed; 32]).expect("a valid scalar");
        let point = key(shown).verifying_key().to_encoded_point(false);
        let part = |bytes: Option<&p256::FieldBytes>| base64url(bytes.expect("a coordinate"));
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": part(point.x()), "y": part(point.y())
        });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        let input = format!("{}.{}", part(&header), part(claims));
        let signature: Signature = key(by).sign(input.as_bytes());
        format!("{input}.{}", base64url(&signature.to_bytes()))
    }

    fn good() -> String {
        signed(9, 9, &claims())
    }

    fn came(method: &str, path: &str, proofs: &[&str]) -> Inbound {
        let headers: Vec<_> = proofs.iter().map(|proof| ("DPoP", *proof)).collect();
        example(method, path, &headers)
    }

    fn judged(inbound: &Inbound, token: &str, now: UnixMillis) -> Option<ProofError> {
        verified(inbound, AUDIENCE, token, now).err()
    }

    #[test]
    fn a_proof_for_this_request_and_token_is_good_whatever_the_query() {
        let (plain, good) = (good(), good());
        assert_eq!(judged(&came("POST", "/a/b", &[&plain]), TOKEN, NOW), None);
        assert_eq!(
            judged(&came("POST", "/a/b?c=d", &[&good]), TOKEN, NOW),
            None
        );
    }

    #[test]
    fn none_and_several_are_no_proof() {
        let good = good();
        for proofs in [vec![], vec![good.as_str(), good.as_str()]] {
            assert_eq!(
                judged(&came("POST", "/a/b", &proofs), TOKEN, NOW),
                Some(ProofError::NotOne)
            );
        }
        let joined = format!("{good}, {good}");
        assert!(judged(&came("POST", "/a/b", &[&joined]), TOKEN, NOW).is_some());
    }

    #[test]
    fn a_proof_for_anything_else_is_refused() {
        let good = good();
        let other = |method, path, token, now| {
            judged(&came(method, path, &[&good]), token, now).expect("refused")
        };
        let request = ProofError::Bad(TokenError::Request);
        assert_eq!(other("GET", "/a/b", TOKEN, NOW), request);
        assert_eq!(other("POST", "/a/c", TOKEN, NOW), request);
        assert_eq!(other("POST", "/", TOKEN, NOW), request);
        let binding = ProofError::Bad(TokenError::Binding);
        assert_eq!(other("POST", "/a/b", "another.access.token", NOW), binding);
        let late = NOW.plus_secs(MAX_PROOF_AGE_SECS);
        let expired = ProofError::Bad(TokenError::Expired);
        assert_eq!(other("POST", "/a/b", TOKEN, late), expired);
        let elsewhere = verified(
            &came("POST", "/a/b", &[&good]),
            "https://b.example",
            TOKEN,
            NOW,
        );
        assert_eq!(elsewhere.err(), Some(request));
    }

    #[test]
    fn a_proof_counts_once_while_it_is_remembered() {
        let mut proofs = Proofs::new();
        let proof = verified(&came("POST", "/a/b", &[&good()]), AUDIENCE, TOKEN, NOW);
        let proof = proof.expect("verifies");
        assert_eq!(proofs.take(&proof, NOW), Ok(()));
        assert_eq!(proofs.take(&proof, NOW), Err(ProofError::Replayed));
        let last = UnixMillis(proof.expires_at().0 - 1);
        assert_eq!(proofs.take(&proof, last), Err(ProofError::Replayed));
    }

    #[test]
    fn what_is_remembered_of_proofs_is_bounded_and_the_oldest_go_first() {
        let mut proofs = Proofs::new();
        let digest = |index: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&index.to_be_bytes());
            digest
        };
        let until = |index: usize| NOW.plus_secs(1 + index as u64);
        for index in 0..=CAPACITY {
            assert_eq!(proofs.remember(digest(index), until(index), NOW), Ok(()));
        }
        assert_eq!(
            (proofs.seen.len(), proofs.by_end.len()),
            (CAPACITY, CAPACITY)
        );
        let newest = proofs.remember(digest(CAPACITY), until(CAPACITY), NOW);
        assert_eq!(newest, Err(ProofError::Replayed));
        // What is over by the clock is forgotten.
        let over = NOW.plus_secs(2 * CAPACITY as u64);
        assert_eq!(proofs.remember(digest(0), over.plus_secs(1), over), Ok(()));
        assert_eq!((proofs.seen.len(), proofs.by_end.len()), (1, 1));
    }

    proptest! {
        #[test]
        fn a_proof_with_any_byte_changed_is_refused(at: prop::sample::Index, byte in 0x21u8..0x7f) {
            let good = good();
            let mut bytes = good.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).expect("ASCII");
            prop_assert!(judged(&came("POST", "/a/b", &[&changed]), TOKEN, NOW).is_some());
        }

        #[test]
        fn a_proof_with_any_claim_changed_is_refused_though_its_key_signed_it(
            name in prop::sample::select(vec!["htm", "htu", "iat", "ath"]),
            value in prop_oneof![
                Just(Value::Null),
                any::<u64>().prop_map(Value::from),
                "[ -~]{0,40}".prop_map(Value::from),
                "https://app\\.example/a/[a-z%0-9/.]{1,5}".prop_map(Value::from),
            ],
        ) {
            let mut changed = claims();
            // `iat` has a window; within it the proof is as good.
            let in_window = name == "iat" && value.as_u64().is_some_and(|iat| {
                iat.abs_diff(NOW.secs()) <= MAX_PROOF_AGE_SECS
            });
            // What is the same URL in other words: the core's own tests look at these.
            let same = name == "htu" && value.as_str().is_some_and(|htu| {
                url::Url::parse(htu).is_ok_and(|url| url.path() == "/a/b") || htu.contains('%')
            });
            prop_assume!(changed[name] != value && !in_window && !same);
            changed[name] = value;
            let proof = signed(9, 9, &changed);
            prop_assert!(judged(&came("POST", "/a/b", &[&proof]), TOKEN, NOW).is_some());
        }

        #[test]
        fn a_proof_that_another_key_signed_is_refused(other in 1u8..100) {
            prop_assume!(other != 9);
            let proof = signed(9, other, &claims());
            let refused = judged(&came("POST", "/a/b", &[&proof]), TOKEN, NOW);
            prop_assert_eq!(refused, Some(ProofError::Bad(TokenError::Signature)));
        }
    }
}
