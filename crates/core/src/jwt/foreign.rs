//! Tokens that an identity provider issues for others and that a connection accepts in place of ours:
//! access tokens, or whatever else it signs for an audience (Okta, Entra ID, Ping, Google, Cloudflare Access).
//!
//! | | |
//! |---|---|
//! | `typ` | absent, `JWT` or `at+jwt`: no logout token, proof or security event |
//! | `alg` | one of the connection's |
//! | `iss` | the provider's, exactly |
//! | `aud` | one of the connection's among them |
//! | `iat`, `exp` | both, and at most the connection's `max_age_secs` apart |
//! | `nbf` | if there is one, not in the future |
//! | `cnf` | none: bound to a key that nobody has proven, it is no bearer token (RFC 7800 section 3.1) |
//! | `events` | none: a security event or logout token of a provider that gives it no `typ` |
//!
//! `iat` is needed because a kill covers what was issued before it, and the age is bounded because
//! kills are not remembered for ever.
//!
//! Out of scope: whether the token has been ended since ([`crate::session::foreign`]), and who its claims
//! are about ([`crate::connection::identity`]).

use super::jwks::KeySet;
use super::times::in_force;
use super::unverified::{UnverifiedToken, has_audience, text};
use super::{Algorithm, TokenError};
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde_json::{Map, Value};

/// The `typ`s that are taken.
const TYPES: [&str; 2] = ["JWT", "at+jwt"];

/// Whether `token` says that somebody else than `issuer` made it: an identity provider, perhaps. Nothing of
/// that is known to be true.
#[must_use]
pub fn is_foreign(token: &str, issuer: &str) -> bool {
    UnverifiedToken::parse(token)
        .is_ok_and(|token| token.unverified_iss().is_some_and(|iss| iss != issuer))
}

/// What a provider's token must say to be believed.
#[derive(Clone, Copy, Debug)]
pub struct ForeignTokenVerifier<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// One of these is among the token's audiences.
    pub audiences: &'a [String],
    /// What it may be signed with.
    pub algorithms: &'a [Algorithm],
    /// How long it may be good for at most, in seconds.
    pub max_age_secs: u64,
}

/// A provider's token, signed, in force, and for one of the audiences. Only
/// [`ForeignTokenVerifier::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedForeignToken {
    claims: Map<String, Value>,
    issued_at: UnixMillis,
    expires_at: UnixMillis,
}

impl VerifiedForeignToken {
    /// Everything it says.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// When it was issued.
    #[must_use]
    pub const fn issued_at(&self) -> UnixMillis {
        self.issued_at
    }

    /// When it expires.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.expires_at
    }

    /// The provider's session that it is of, if it says so.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        text(&self.claims, "sid").filter(|sid| !sid.is_empty())
    }

    /// The SHA-256 of that.
    #[must_use]
    pub fn sid_digest(&self) -> Option<Digest> {
        self.sid().map(|sid| Digest::of(sid.as_bytes()))
    }
}

impl ForeignTokenVerifier<'_> {
    /// Believes the token, or says why not; `keys` are the provider's.
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: UnixMillis,
    ) -> Result<VerifiedForeignToken, TokenError> {
        let token = UnverifiedToken::parse(token)?;
        if token.typ().is_some() && !TYPES.iter().any(|typ| token.is_of_type(typ)) {
            return Err(TokenError::Type);
        }
        let claims = keys.verify(token, self.algorithms, now)?.into_map();
        let times = in_force(&claims, now)?;
        if times.expires_at > times.issued_at.plus_secs(self.max_age_secs) {
            return Err(TokenError::Lifetime);
        }
        if text(&claims, "iss") != Some(self.issuer) {
            return Err(TokenError::Issuer);
        }
        if !self.audiences.iter().any(|one| has_audience(&claims, one)) {
            return Err(TokenError::Audience);
        }
        if claims.contains_key("cnf") {
            return Err(TokenError::ProofRequired);
        }
        if claims.contains_key("events") {
            return Err(TokenError::Type);
        }
        Ok(VerifiedForeignToken {
            claims,
            issued_at: times.issued_at,
            expires_at: times.expires_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, our_key, our_keys, signed, with, without};
    use super::*;
    use crate::connection::testing::with as connection;
    use proptest::prelude::*;
    use serde_json::json;

    fn verify_as(
        settings: &Value,
        header: &Value,
        claims: &Value,
    ) -> Result<VerifiedForeignToken, TokenError> {
        let connection = connection(&json!({ "tokens": settings }));
        let rules = connection.tokens.expect("rules");
        let algorithms = rules.algorithms();
        let verifier = ForeignTokenVerifier {
            issuer: "https://idp.example",
            audiences: &rules.audiences,
            algorithms: &algorithms,
            max_age_secs: rules.max_age_secs,
        };
        verifier.verify(&signed(header, claims), &our_keys(), NOW)
    }

    fn usual() -> Value {
        json!({"audiences": ["api://app", "other"]})
    }

    fn header() -> Value {
        json!({"alg": "ES256", "kid": our_key().kid()})
    }

    fn claims() -> Value {
        json!({
            "iss": "https://idp.example", "sub": "alice", "aud": "api://app",
            "iat": NOW.secs() - 60, "exp": NOW.secs() + 300,
        })
    }

    fn refusal(claims: &Value) -> Option<TokenError> {
        verify_as(&usual(), &header(), claims).err()
    }

    #[test]
    fn a_token_is_foreign_if_it_names_another_issuer() {
        let text = |claims: &str| {
            let part = |text: &str| crate::text::base64url(text.as_bytes());
            format!("{}.{}.x", part(r#"{"alg":"ES256"}"#), part(claims))
        };
        let ours = "https://id.example";
        assert!(is_foreign(&text(r#"{"iss":"https://idp.example"}"#), ours));
        for other in [
            text(r#"{"iss":"https://id.example"}"#),
            text("{}"),
            text(r#"{"iss":7}"#),
            "a.b.c".to_owned(),
        ] {
            assert!(!is_foreign(&other, ours), "{other}");
        }
    }

    #[test]
    fn a_good_token_is_believed() {
        let token = verify_as(&usual(), &header(), &with(&claims(), "sid", "s")).expect("good");
        assert_eq!(token.sid(), Some("s"));
        assert_eq!(token.issued_at().secs(), NOW.secs() - 60);
        assert_eq!(token.expires_at().secs(), NOW.secs() + 300);
        for aud in [json!(["x", "other"]), json!("other")] {
            assert_eq!(refusal(&with(&claims(), "aud", aud)), None);
        }
        for typ in ["JWT", "at+jwt", "application/at+jwt", "AT+JWT"] {
            let header = with(&header(), "typ", typ);
            assert!(verify_as(&usual(), &header, &claims()).is_ok(), "{typ}");
        }
    }

    #[test]
    fn a_token_without_iat_or_exp_is_refused() {
        for name in ["iat", "exp"] {
            assert_eq!(refusal(&without(&claims(), name)), Some(TokenError::Claims));
            let text = with(&claims(), name, "1800000000");
            assert_eq!(refusal(&text), Some(TokenError::Claims), "{name}");
        }
    }

    #[test]
    fn a_token_that_lives_longer_than_the_connection_allows_is_refused() {
        let long = with(&claims(), "exp", NOW.secs() - 60 + 3601);
        assert_eq!(refusal(&long), Some(TokenError::Lifetime));
        let most = with(&claims(), "exp", NOW.secs() - 60 + 3600);
        assert_eq!(refusal(&most), None);
        // Whatever the clocks say: one from the future has no longer life.
        let ahead = with(
            &with(&claims(), "iat", NOW.secs() + 60),
            "exp",
            NOW.secs() + 3700,
        );
        assert_eq!(refusal(&ahead), Some(TokenError::Lifetime));
    }

    #[test]
    fn what_is_for_others_or_of_others_is_refused() {
        for (name, value, expected) in [
            ("iss", json!("https://idp.example/"), TokenError::Issuer),
            ("iss", json!("https://evil.example"), TokenError::Issuer),
            ("aud", json!("api://app2"), TokenError::Audience),
            ("aud", json!([]), TokenError::Audience),
            ("aud", json!({"api://app": 1}), TokenError::Claims),
            ("exp", json!(NOW.secs()), TokenError::Expired),
            ("nbf", json!(NOW.secs() + 61), TokenError::NotYetValid),
            ("cnf", json!({"jkt": "x"}), TokenError::ProofRequired),
            ("cnf", json!({"x5t#S256": "x"}), TokenError::ProofRequired),
            ("events", json!({}), TokenError::Type),
        ] {
            let refused = refusal(&with(&claims(), name, value.clone()));
            assert_eq!(refused, Some(expected), "{name} {value}");
        }
    }

    #[test]
    fn other_kinds_of_token_are_refused() {
        for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", "", "jwt+x"] {
            let header = with(&header(), "typ", typ);
            let refused = verify_as(&usual(), &header, &claims()).err();
            assert_eq!(refused, Some(TokenError::Type), "{typ}");
        }
    }

    #[test]
    fn an_algorithm_that_the_connection_does_not_name_is_refused() {
        let rs256_only = json!({"audiences": ["api://app"], "algorithms": ["RS256"]});
        let refused = verify_as(&rs256_only, &header(), &claims()).err();
        assert_eq!(refused, Some(TokenError::Algorithm));
        for alg in ["none", "HS256"] {
            let header = with(&header(), "alg", alg);
            let refused = verify_as(&usual(), &header, &claims()).err();
            assert_eq!(refused, Some(TokenError::Algorithm), "{alg}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_token_is_older_than_allowed(age in 0u64..10_000, life in 1u64..10_000) {
            let issued = NOW.secs() - age;
            let claims = with(&with(&claims(), "iat", issued), "exp", issued + life);
            let believed = refusal(&claims).is_none();
            prop_assert_eq!(believed, life <= 3600 && life > age);
        }

        #[test]
        fn a_changed_token_is_never_believed(at: prop::sample::Index, to in "[A-Za-z0-9_.=-]") {
            let token = signed(&header(), &claims());
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != token);
            let verifier = ForeignTokenVerifier {
                issuer: "https://idp.example",
                audiences: &["api://app".to_owned()],
                algorithms: &[Algorithm::Es256],
                max_age_secs: 3600,
            };
            prop_assert!(verifier.verify(&changed, &our_keys(), NOW).is_err());
        }
    }
}
