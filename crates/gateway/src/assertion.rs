//! What an origin is told of who is there, signed: for an origin that does not believe everybody who
//! can reach it.
//!
//! The header `Portcullis-Assertion` holds a JWT (RFC 7519) signed by the gateway's own key with ES256,
//! `typ` [`TYP`]. The public key is at `/.portcullis/jwks.json`.
//!
//! | claim | |
//! |---|---|
//! | `iss` | the gateway's public origin |
//! | `aud` | the upstream's origin |
//! | `sub`, `client_id`, `connection`, `scope`, `roles`, `groups`, `auth_time`, `acr` | of the caller, where there is a value |
//! | `iat`, `exp` | in seconds; [`TTL_SECS`] apart |
//!
//! One is made for a caller and an upstream and sent with all of their requests until it is
//! half over: an origin always has half of [`TTL_SECS`] left to verify it.
//!
//! Out of scope: an assertion for one request only. It can be sent again by whoever sees it, to its
//! audience, until it is over.

use crate::caller::Caller;
use portcullis_core::id::{LogHash, SubjectKey};
use portcullis_core::jwt::sign::{InvalidClaims, SigningKey};
use portcullis_core::time::UnixMillis;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The header.
pub const HEADER: &str = "Portcullis-Assertion";
/// The `typ` of an assertion.
pub const TYP: &str = "portcullis-assertion+jwt";
/// How long one is good, in seconds.
pub const TTL_SECS: u64 = 60;

/// How many are remembered: about two megabytes of them.
const CAPACITY: usize = 1000;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: SubjectKey,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    roles: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
}

/// Who asserts, and to whom.
#[derive(Clone, Copy)]
pub struct Parties<'a> {
    /// The gateway's key.
    pub key: &'a SigningKey,
    /// The gateway's public origin.
    pub issuer: &'a str,
    /// The upstream's origin.
    pub audience: &'a str,
}

/// A new assertion of who is there.
pub fn assertion(
    caller: &Caller,
    parties: Parties<'_>,
    now: UnixMillis,
) -> Result<String, InvalidClaims> {
    let claims = Claims {
        iss: parties.issuer,
        aud: parties.audience,
        sub: caller.subject,
        iat: now.secs(),
        exp: now.secs() + TTL_SECS,
        client_id: caller.client_id.as_deref(),
        connection: caller.connection.as_deref(),
        scope: caller.scope.as_deref(),
        roles: &caller.roles,
        groups: &caller.groups,
        auth_time: caller.auth_time_secs,
        acr: caller.acr.as_deref(),
    };
    parties.key.sign(&claims, TYP)
}

/// The key set to verify assertions with (RFC 7517 section 5): empty without a key.
#[must_use]
pub fn key_set(key: Option<&SigningKey>) -> String {
    let keys: Vec<_> = key.map(SigningKey::public_jwk).into_iter().collect();
    json!({ "keys": keys }).to_string()
}

/// Assertions that were made a moment ago.
#[derive(Default)]
pub struct Assertions {
    made: BTreeMap<(LogHash, usize), Made>,
}

struct Made {
    of: Caller,
    at: UnixMillis,
    text: String,
}

impl Made {
    fn is_fresh(&self, now: UnixMillis) -> bool {
        // A clock that was set back makes a new one, too.
        self.at <= now && now < self.at.plus_secs(TTL_SECS / 2)
    }
}

impl Assertions {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            made: BTreeMap::new(),
        }
    }

    /// The assertion of who is there to the upstream of that index: one that was made before for
    /// the same token, which says the same, or a new one.
    pub fn of(
        &mut self,
        caller: &Caller,
        upstream: usize,
        parties: Parties<'_>,
        now: UnixMillis,
    ) -> Result<String, InvalidClaims> {
        let name = (caller.token, upstream);
        if let Some(made) = self.made.get(&name)
            && made.is_fresh(now)
            && made.of == *caller
        {
            return Ok(made.text.clone());
        }
        let text = assertion(caller, parties, now)?;
        if self.made.len() >= CAPACITY {
            self.made.retain(|_, made| made.is_fresh(now));
        }
        if self.made.len() >= CAPACITY {
            // In the order of digests, so whichever it is, nobody chose it.
            self.made.pop_first();
        }
        let made = Made {
            of: caller.clone(),
            at: now,
            text: text.clone(),
        };
        self.made.insert(name, made);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller;
    use portcullis_core::text::from_base64url;
    use serde_json::Value;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_500);

    fn key() -> SigningKey {
        SigningKey::from_secret(&[7; 32]).expect("a key")
    }

    fn parties(key: &SigningKey) -> Parties<'_> {
        Parties {
            key,
            issuer: "https://app.example",
            audience: "https://origin.example",
        }
    }

    fn part(token: &str, at: usize) -> Value {
        let part = token.split('.').nth(at).and_then(from_base64url);
        serde_json::from_slice(&part.expect("a part")).expect("JSON")
    }

    #[test]
    fn it_says_who_is_there_to_one_upstream_for_a_minute() {
        let key = key();
        let text = assertion(&caller::example(), parties(&key), NOW).expect("signs");
        assert_eq!(
            part(&text, 0),
            json!({"alg": "ES256", "typ": TYP, "kid": key.kid()})
        );
        assert_eq!(
            part(&text, 1),
            json!({
                "iss": "https://app.example",
                "aud": "https://origin.example",
                "sub": "sub_AQEBAQEBAQEBAQEBAQEBAQ",
                "client_id": "gateway",
                "scope": "openid profile",
                "groups": ["staff", "Köche, 100%\r\nX: y"],
                "auth_time": 1,
                "iat": 1_800_000_000,
                "exp": 1_800_000_060,
            })
        );
    }

    #[test]
    fn the_published_key_verifies_it() {
        use p256::ecdsa::signature::Verifier;
        use p256::ecdsa::{Signature, VerifyingKey};
        let key = key();
        let text = assertion(&caller::example(), parties(&key), NOW).expect("signs");
        let set: Value = serde_json::from_str(&key_set(Some(&key))).expect("JSON");
        let coordinate = |name: &str| set["keys"][0][name].as_str().and_then(from_base64url);
        let mut point = vec![4];
        point.extend(coordinate("x").expect("x"));
        point.extend(coordinate("y").expect("y"));
        let public = VerifyingKey::from_sec1_bytes(&point).expect("a point");
        let (signed, signature) = text.rsplit_once('.').expect("a signature");
        let signature = from_base64url(signature).expect("base64url");
        let signature = Signature::from_slice(&signature).expect("a signature");
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
        assert!(set["keys"][0].get("d").is_none());
        assert_eq!(key_set(None), r#"{"keys":[]}"#);
    }

    #[test]
    fn one_is_made_for_a_token_and_an_upstream_and_renewed_when_it_is_half_over() {
        let (key, mut made) = (key(), Assertions::new());
        let mut of = |caller: &Caller, upstream, now| {
            let text = made.of(caller, upstream, parties(&key), now);
            text.expect("signs")
        };
        let caller = caller::example();
        let first = of(&caller, 0, NOW);
        let half = NOW.plus_secs(TTL_SECS / 2);
        assert_eq!(of(&caller, 0, UnixMillis(half.0 - 1)), first);
        assert_ne!(of(&caller, 0, half), first);
        assert_ne!(of(&caller, 0, NOW), of(&caller, 0, half));
        let promoted = Caller {
            roles: vec!["admin".to_owned()],
            ..caller.clone()
        };
        assert_eq!(part(&of(&promoted, 0, NOW), 1)["roles"], json!(["admin"]));
        assert_eq!(part(&of(&caller, 0, NOW), 1)["roles"], Value::Null);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (key, mut made) = (key(), Assertions::new());
        for upstream in 0..CAPACITY {
            let caller = caller::example();
            let token = (caller.token, upstream);
            let at = NOW;
            let text = String::new();
            made.made.insert(
                token,
                Made {
                    of: caller,
                    at,
                    text,
                },
            );
        }
        for now in [NOW, NOW.plus_secs(TTL_SECS)] {
            made.of(&caller::example(), CAPACITY, parties(&key), now)
                .expect("signs");
            assert!(made.made.len() <= CAPACITY);
        }
        assert_eq!(made.made.len(), 1);
    }
}
