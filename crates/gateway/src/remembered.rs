//! Tokens whose signature was found good a moment ago.
//!
//! A browser or a program shows the same token many times, and checking an ES256 signature is the
//! dearest thing that the gateway does. What is remembered is only that these very bytes verified
//! under these very keys: the clock is looked at again each time, another set of keys forgets
//! everything, and whether the token has been ended is asked of the service as ever. A token that is bound to a
//! key is remembered with the key that was proven, and each request brings a proof of its own.

use hmac_sha256::Hash;
use portcullis_core::jwt::access_token::VerifiedAccessToken;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many are remembered: about a megabyte of them.
const CAPACITY: usize = 1000;

/// What is remembered, by the digest of the token's text.
#[derive(Default)]
pub struct Remembered {
    keys: Option<Arc<KeySet>>,
    tokens: BTreeMap<[u8; 32], VerifiedAccessToken>,
}

impl Remembered {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keys: None,
            tokens: BTreeMap::new(),
        }
    }

    /// The token of that text, if it verified under these keys, came with a proof of the same key or of none
    /// (`jkt`), and has not expired.
    #[must_use]
    pub fn recall(
        &self,
        text: &str,
        jkt: Option<&str>,
        keys: &Arc<KeySet>,
        now: UnixMillis,
    ) -> Option<VerifiedAccessToken> {
        if !self.is_under(keys) {
            return None;
        }
        let token = self.tokens.get(&name(text, jkt))?;
        (now < token.expires_at()).then(|| token.clone())
    }

    /// Remembers that the token of that text verified under these keys, with a proof of that key or of none.
    pub fn remember(
        &mut self,
        text: &str,
        jkt: Option<&str>,
        token: &VerifiedAccessToken,
        keys: &Arc<KeySet>,
        now: UnixMillis,
    ) {
        if !self.is_under(keys) {
            self.tokens.clear();
            self.keys = Some(Arc::clone(keys));
        }
        if self.tokens.len() >= CAPACITY {
            self.tokens.retain(|_, token| now < token.expires_at());
        }
        if self.tokens.len() >= CAPACITY {
            // In the order of their digests, so whichever it is, nobody chose it.
            self.tokens.pop_first();
        }
        self.tokens.insert(name(text, jkt), token.clone());
    }

    fn is_under(&self, keys: &Arc<KeySet>) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, keys))
    }
}

/// No token and no thumbprint has a line break.
fn name(text: &str, jkt: Option<&str>) -> [u8; 32] {
    Hash::hash(format!("{}\n{text}", jkt.unwrap_or_default()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::id::{GrantId, SessionId, SubjectKey, TokenId};
    use portcullis_core::jwt::access_token::{AccessTokenClaims, AccessTokenVerifier, TYP};
    use portcullis_core::jwt::sign::SigningKey;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const AUDIENCE: &str = "https://app.example";

    fn token() -> VerifiedAccessToken {
        let claims = AccessTokenClaims {
            iss: "https://id.example".to_owned(),
            sub: SubjectKey::from_bytes([1; 16]),
            aud: vec![AUDIENCE.to_owned()],
            client_id: "app".to_owned(),
            exp: NOW.secs() + 60,
            iat: NOW.secs(),
            jti: TokenId::from_bytes([2; 16]),
            sid: SessionId::from_bytes([3; 16]),
            gid: GrantId::from_bytes([4; 16]),
            generation: 0,
            auth_time: None,
            acr: None,
            scope: None,
            roles: Vec::new(),
            groups: Vec::new(),
            idp_claims: serde_json::Map::new(),
            cnf: None,
            act: None,
        };
        let key = SigningKey::from_secret(&[7; 32]).expect("a key");
        let jwks = serde_json::json!({ "keys": [key.public_jwk()] }).to_string();
        let verifier = AccessTokenVerifier {
            issuer: "https://id.example",
            audience: Some(AUDIENCE),
        };
        let keys = KeySet::parse(jwks.as_bytes()).expect("a key set");
        let text = key.sign(&claims, TYP).expect("signs");
        verifier.verify(&text, &keys, NOW).expect("verifies")
    }

    fn keys() -> Arc<KeySet> {
        Arc::new(KeySet::default())
    }

    #[test]
    fn only_the_same_bytes_under_the_same_keys_are_recalled() {
        let (mut remembered, first) = (Remembered::new(), keys());
        assert!(remembered.recall("a", None, &first, NOW).is_none());
        remembered.remember("a", None, &token(), &first, NOW);
        assert!(remembered.recall("a", None, &first, NOW).is_some());
        assert!(remembered.recall("b", None, &first, NOW).is_none());
        let second = keys();
        assert!(remembered.recall("a", None, &second, NOW).is_none());
        remembered.remember("b", None, &token(), &second, NOW);
        assert!(remembered.recall("a", None, &second, NOW).is_none());
        assert!(remembered.recall("a", None, &first, NOW).is_none());
    }

    #[test]
    fn a_token_is_recalled_only_as_it_was_presented() {
        let (mut remembered, keys) = (Remembered::new(), keys());
        remembered.remember("bound", Some("k"), &token(), &keys, NOW);
        remembered.remember("free", None, &token(), &keys, NOW);
        for (text, jkt, known) in [
            ("bound", Some("k"), true),
            ("bound", Some("l"), false),
            ("bound", None, false),
            ("free", None, true),
            ("free", Some("k"), false),
        ] {
            let recalled = remembered.recall(text, jkt, &keys, NOW);
            assert_eq!(recalled.is_some(), known, "{text} {jkt:?}");
        }
    }

    #[test]
    fn an_expired_token_is_not_recalled() {
        let (mut remembered, keys) = (Remembered::new(), keys());
        remembered.remember("a", None, &token(), &keys, NOW);
        let last = UnixMillis(token().expires_at().0 - 1);
        assert!(remembered.recall("a", None, &keys, last).is_some());
        assert!(
            remembered
                .recall("a", None, &keys, token().expires_at())
                .is_none()
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_expired_ones_go_first() {
        let (mut remembered, keys, token) = (Remembered::new(), keys(), token());
        for index in 0..=CAPACITY {
            remembered.remember(&index.to_string(), None, &token, &keys, NOW);
        }
        assert_eq!(remembered.tokens.len(), CAPACITY);
        remembered.remember("late", None, &token, &keys, token.expires_at());
        assert_eq!(remembered.tokens.len(), 1);
    }
}
