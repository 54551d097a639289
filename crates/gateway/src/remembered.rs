//! Tokens whose signature was found good a moment ago.
//!
//! A browser or a program shows the same token many times, and checking an ES256 signature is the
//! dearest thing that the gateway does. What is remembered is that these very bytes verified
//! under these very keys, and what follows from that alone: who holds it, and by which
//! [marks](crate::view::marks) the feed would cover it. The clock is looked at again each time, another set
//! of keys forgets everything, and whether the token has been ended is asked as ever.
//!
//! But for one thing: a token of ours that was ended stays ended. So the strict check's denial is
//! remembered with it, and who shows a dead token again and again costs one such check.
//!
//! A token that is bound to a key is remembered with the key that was proven, and each request brings a proof of
//! its own.

use crate::caller::Caller;
use crate::view::marks::Marks;
use crate::view::seed::{Fingerprint, Kind, Seed};
use portcullis_core::jwt::access_token::VerifiedAccessToken;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::session::check::{CheckReply, CheckRequest, DenyReason, Verdict};
use portcullis_core::time::UnixMillis;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// How many are remembered: about two megabytes of them.
const CAPACITY: usize = 1000;

/// A token that verified.
#[derive(Debug)]
pub struct Known {
    text: Box<str>,
    jkt: Option<Box<str>>,
    token: VerifiedAccessToken,
    caller: Caller,
    marks: Marks,
    denied: Cell<Option<(DenyReason, UnixMillis)>>,
}

impl Known {
    /// The token of that text, and by which key it was proven, by its thumbprint.
    #[must_use]
    pub fn of((text, jkt): (&str, Option<&str>), token: VerifiedAccessToken, seed: &Seed) -> Self {
        Self {
            text: text.into(),
            jkt: jkt.map(Into::into),
            caller: Caller::from(&token),
            marks: Marks::of_token(&token, seed),
            token,
            denied: Cell::new(None),
        }
    }

    /// The token.
    #[must_use]
    pub const fn token(&self) -> &VerifiedAccessToken {
        &self.token
    }

    /// Who holds it.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What an entry of the feed could name to cover it.
    #[must_use]
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The question whether it has been ended.
    #[must_use]
    pub fn check_request(&self) -> CheckRequest {
        self.token.check_request()
    }

    /// What the strict check said of it, if it was ended.
    #[must_use]
    pub fn denied(&self) -> Option<CheckReply> {
        let (why, checked_at) = self.denied.get()?;
        Some(CheckReply {
            verdict: Verdict::Denied(why),
            checked_at,
        })
    }

    /// Remembers what the strict check said, if that is final.
    pub fn note(&self, reply: &CheckReply) {
        match reply.verdict {
            Verdict::Denied(why) if is_final(why) => {
                self.denied.set(Some((why, reply.checked_at)));
            }
            Verdict::Denied(_) | Verdict::Active { .. } => {}
        }
    }
}

/// Whether nothing can let a token of ours in again that was denied for this reason. Who is reactivated gets
/// new ones. What is not known, or is another's, is better asked again.
const fn is_final(why: DenyReason) -> bool {
    match why {
        DenyReason::SubjectDisabled
        | DenyReason::SessionEnded
        | DenyReason::SessionExpired
        | DenyReason::TokenRevoked
        | DenyReason::GenerationStale
        | DenyReason::KeyRevoked => true,
        DenyReason::SessionUnknown
        | DenyReason::ActorDenied
        | DenyReason::IssuedBeforeKill
        | DenyReason::ConnectionRevoked => false,
    }
}

/// What is remembered, by the fingerprint of the token's text.
#[derive(Default)]
pub struct Remembered {
    keys: Option<Arc<KeySet>>,
    tokens: BTreeMap<Fingerprint, Rc<Known>>,
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
        seed: &Seed,
        now: UnixMillis,
    ) -> Option<Rc<Known>> {
        if !self.is_under(keys) {
            return None;
        }
        let known = self.tokens.get(&fingerprint(text, seed))?;
        let same = *known.text == *text && known.jkt.as_deref() == jkt;
        (same && now < known.token.expires_at()).then(|| Rc::clone(known))
    }

    /// Remembers that a token verified under these keys.
    pub fn remember(
        &mut self,
        known: &Rc<Known>,
        keys: &Arc<KeySet>,
        seed: &Seed,
        now: UnixMillis,
    ) {
        if !self.is_under(keys) {
            self.tokens.clear();
            self.keys = Some(Arc::clone(keys));
        }
        if self.tokens.len() >= CAPACITY {
            (self.tokens).retain(|_, known| now < known.token.expires_at());
        }
        if self.tokens.len() >= CAPACITY {
            // In the order of their fingerprints, so whichever it is, nobody chose it.
            self.tokens.pop_first();
        }
        self.tokens
            .insert(fingerprint(&known.text, seed), Rc::clone(known));
    }

    fn is_under(&self, keys: &Arc<KeySet>) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, keys))
    }
}

/// Which of those that are remembered a text could be: a hash with a secret, cheaper than a digest. Whether it
/// is, its bytes say.
fn fingerprint(text: &str, seed: &Seed) -> Fingerprint {
    seed.fingerprint(Kind::Text, text.as_bytes())
}

/// A token that verifies, for the tests of this crate.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use portcullis_core::id::{GrantId, SessionId, SubjectKey, TokenId};
    use portcullis_core::jwt::access_token::{AccessTokenClaims, AccessTokenVerifier, TYP};
    use portcullis_core::jwt::sign::SigningKey;

    pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const AUDIENCE: &str = "https://app.example";

    pub fn seed() -> Seed {
        Seed::from_bytes([9; 16])
    }

    pub fn claims() -> AccessTokenClaims {
        AccessTokenClaims {
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
        }
    }

    pub fn token(claims: &AccessTokenClaims) -> VerifiedAccessToken {
        let key = SigningKey::from_secret(&[7; 32]).expect("a key");
        let jwks = serde_json::json!({ "keys": [key.public_jwk()] }).to_string();
        let verifier = AccessTokenVerifier {
            issuer: "https://id.example",
            audience: Some(AUDIENCE),
        };
        let keys = KeySet::parse(jwks.as_bytes()).expect("a key set");
        let text = key.sign(claims, TYP).expect("signs");
        verifier.verify(&text, &keys, NOW).expect("verifies")
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{NOW, claims, seed, token};
    use super::*;

    fn keys() -> Arc<KeySet> {
        Arc::new(KeySet::default())
    }

    fn known(text: &str) -> Rc<Known> {
        Rc::new(Known::of((text, None), token(&claims()), &seed()))
    }

    #[test]
    fn only_the_same_bytes_under_the_same_keys_are_recalled() {
        let (mut remembered, first) = (Remembered::new(), keys());
        let recall = |remembered: &Remembered, text, keys| {
            let known = remembered.recall(text, None, keys, &seed(), NOW);
            known.is_some_and(|known| *known.text == *text)
        };
        assert!(!recall(&remembered, "a", &first));
        remembered.remember(&known("a"), &first, &seed(), NOW);
        assert!(recall(&remembered, "a", &first));
        assert!(!recall(&remembered, "b", &first));
        let second = keys();
        assert!(!recall(&remembered, "a", &second));
        remembered.remember(&known("b"), &second, &seed(), NOW);
        assert!(!recall(&remembered, "a", &second));
        assert!(!recall(&remembered, "a", &first));
    }

    #[test]
    fn a_text_with_the_fingerprint_of_another_is_not_that_one() {
        let (mut remembered, keys) = (Remembered::new(), keys());
        remembered.remember(&known("a"), &keys, &seed(), NOW);
        let there = remembered.tokens.pop_first().map(|(_, known)| known);
        let place = fingerprint("b", &seed());
        remembered.tokens.insert(place, there.expect("remembered"));
        assert!(remembered.recall("b", None, &keys, &seed(), NOW).is_none());
    }

    #[test]
    fn a_token_is_recalled_only_as_it_was_presented() {
        let (mut remembered, keys) = (Remembered::new(), keys());
        for (text, jkt) in [("bound", Some("k")), ("free", None)] {
            let known = Known::of((text, jkt), token(&claims()), &seed());
            remembered.remember(&Rc::new(known), &keys, &seed(), NOW);
        }
        for (text, jkt, known) in [
            ("bound", Some("k"), true),
            ("bound", Some("l"), false),
            ("bound", None, false),
            ("free", None, true),
            ("free", Some("k"), false),
        ] {
            let recalled = remembered.recall(text, jkt, &keys, &seed(), NOW);
            assert_eq!(recalled.is_some(), known, "{text} {jkt:?}");
        }
    }

    #[test]
    fn an_expired_token_is_not_recalled() {
        let (mut remembered, keys) = (Remembered::new(), keys());
        remembered.remember(&known("a"), &keys, &seed(), NOW);
        let end = token(&claims()).expires_at();
        let recalled = |at| remembered.recall("a", None, &keys, &seed(), at).is_some();
        assert!(recalled(UnixMillis(end.0 - 1)));
        assert!(!recalled(end));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_expired_ones_go_first() {
        let (mut remembered, keys) = (Remembered::new(), keys());
        let (end, any) = (token(&claims()).expires_at(), token(&claims()));
        let mut remember = |text: &str, now| {
            let known = Rc::new(Known::of((text, None), any.clone(), &seed()));
            remembered.remember(&known, &keys, &seed(), now);
            remembered.tokens.len()
        };
        for index in 0..CAPACITY {
            remember(&index.to_string(), NOW);
        }
        assert_eq!(remember("more", NOW), CAPACITY);
        assert_eq!(remember("late", end), 1);
    }

    #[test]
    fn only_a_denial_that_is_final_is_remembered() {
        for (verdict, remembered) in [
            (Verdict::Denied(DenyReason::SessionEnded), true),
            (Verdict::Denied(DenyReason::SubjectDisabled), true),
            (Verdict::Denied(DenyReason::SessionUnknown), false),
            (Verdict::Denied(DenyReason::ActorDenied), false),
            (
                Verdict::Active {
                    session_expires_at: NOW,
                },
                false,
            ),
        ] {
            let known = known("a");
            let reply = CheckReply {
                verdict,
                checked_at: NOW,
            };
            known.note(&reply);
            let expected = remembered.then_some(reply);
            assert_eq!(known.denied(), expected);
        }
    }
}
