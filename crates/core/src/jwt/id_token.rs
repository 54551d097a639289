//! ID tokens (OIDC Core section 2): an identity provider's, which we verify, and ours,
//! which applications verify and hand back to log out.
//!
//! Out of scope: `at_hash` and `c_hash` of upstream tokens. In the code flow the token comes from
//! the token endpoint itself, and no other token of that response is used.

use super::jwks::KeySet;
use super::jwks::pending::Pending;
use super::times::{self, numeric_date};
use super::unverified::{UnverifiedToken, has_audience, text};
use super::{Algorithm, TokenError};
use crate::id::{SessionId, SubjectKey};
use crate::text::base64url;
use crate::time::UnixMillis;
use hmac_sha256::Hash;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The `typ` of our ID tokens.
pub const TYP: &str = "JWT";
/// The oldest upstream ID token that is accepted, in seconds: it was made for the request at hand.
pub const MAX_ID_TOKEN_AGE_SECS: u64 = 600;
/// What identity providers sign with.
const UPSTREAM_ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::EdDsa,
];

/// What an identity provider's ID token must say to be believed (Core section 3.1.3.7).
#[derive(Clone, Copy, Debug)]
pub struct IdTokenVerifier<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// What we are called there.
    pub client_id: &'a str,
    /// What we sent with the authorization request.
    pub nonce: &'a str,
}

/// An identity provider's ID token, made for this log-in. Only [`IdTokenVerifier::verify`] makes
/// one.
#[derive(Clone, Debug)]
pub struct VerifiedIdToken {
    claims: Map<String, Value>,
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// When the person proved themselves, where the provider says.
    pub auth_time: Option<UnixMillis>,
    /// How, where the provider says.
    pub acr: Option<String>,
}

impl VerifiedIdToken {
    /// Everything it says.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// A claim that is text and not empty.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        text(&self.claims, name).filter(|value| !value.is_empty())
    }
}

impl IdTokenVerifier<'_> {
    /// Believes the token, or says why not.
    ///
    /// `typ` is absent or `JWT`: a logout token or an access token of the same issuer is no proof
    /// of a log-in (RFC 8725 section 3.11).
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: UnixMillis,
    ) -> Result<VerifiedIdToken, TokenError> {
        let token = UnverifiedToken::parse(token)?;
        if token.typ().is_some() && !token.is_of_type(TYP) {
            return Err(TokenError::Type);
        }
        let claims = keys.verify(token, &UPSTREAM_ALGORITHMS, now)?.into_map();
        let times = times::in_force(&claims, now)?;
        if times.issued_at.plus_secs(MAX_ID_TOKEN_AGE_SECS) < now {
            return Err(TokenError::Expired);
        }
        if text(&claims, "iss") != Some(self.issuer) {
            return Err(TokenError::Issuer);
        }
        if !self.is_for_us(&claims) {
            return Err(TokenError::Audience);
        }
        if text(&claims, "nonce") != Some(self.nonce) {
            return Err(TokenError::Nonce);
        }
        if text(&claims, "sub").is_none_or(str::is_empty) {
            return Err(TokenError::Claims);
        }
        Ok(VerifiedIdToken {
            issued_at: times.issued_at,
            auth_time: numeric_date(&claims, "auth_time")?,
            acr: text(&claims, "acr").map(str::to_owned),
            claims,
        })
    }

    /// Steps 3 to 5: we are an audience, and where there are several also the authorized party.
    fn is_for_us(&self, claims: &Map<String, Value>) -> bool {
        let several = claims
            .get("aud")
            .and_then(Value::as_array)
            .is_some_and(|audiences| audiences.len() > 1);
        let authorized_party = match claims.get("azp") {
            Some(azp) => azp == self.client_id,
            None => !several,
        };
        has_audience(claims, self.client_id) && authorized_party
    }
}

/// What our ID tokens say. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdTokenClaims {
    /// The service.
    pub iss: String,
    /// Who logged in.
    pub sub: SubjectKey,
    /// The client it is for.
    pub aud: String,
    /// When it expires.
    pub exp: u64,
    /// When it was issued.
    pub iat: u64,
    /// When the person proved themselves to the identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// What the client sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The session.
    pub sid: SessionId,
    /// How the person proved themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// See [`at_hash`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_hash: Option<String>,
}

/// `at_hash` of an access token, for ID tokens signed with ES256 (Core section 3.1.3.6).
#[must_use]
pub fn at_hash(access_token: &str) -> String {
    let digest = Hash::hash(access_token.as_bytes());
    base64url(digest.split_at(16).0)
}

/// Whom an `id_token_hint` names (OIDC RP-Initiated Logout section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHint {
    /// The client the ID token was for.
    pub client_id: String,
    /// Who logged in.
    pub subject: SubjectKey,
    /// Which session it names.
    pub session: SessionId,
}

/// Believes an ID token of ours as a hint at the session to end.
///
/// It may have expired: it says who asks, and logging out late is no reason not to. That it is
/// signed, ours and an ID token is not negotiable.
pub fn verify_id_token_hint(
    token: &str,
    keys: &KeySet,
    issuer: &str,
) -> Result<VerifiedHint, TokenError> {
    begin_id_token_hint(token, keys, issuer)?.check()
}

/// Does all of [`verify_id_token_hint`] but the cryptography.
pub fn begin_id_token_hint<'t>(
    token: &'t str,
    keys: &KeySet,
    issuer: &'t str,
) -> Result<Pending<'t, VerifiedHint>, TokenError> {
    let token = UnverifiedToken::parse(token)?;
    if !token.is_of_type(TYP) {
        return Err(TokenError::Type);
    }
    Ok(Pending::new(keys.pending(token)?, move |signed| {
        let claims = signed.into_map();
        if text(&claims, "iss") != Some(issuer) {
            return Err(TokenError::Issuer);
        }
        let claims: IdTokenClaims =
            serde_json::from_value(Value::Object(claims)).map_err(|_| TokenError::Claims)?;
        Ok(VerifiedHint {
            client_id: claims.aud,
            subject: claims.sub,
            session: claims.sid,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, our_key, our_keys, signed, with, without};
    use super::*;
    use serde_json::json;

    const VERIFIER: IdTokenVerifier<'_> = IdTokenVerifier {
        issuer: "https://idp.example",
        client_id: "portcullis",
        nonce: "n-1",
    };

    fn upstream() -> Value {
        json!({
            "iss": "https://idp.example", "sub": "alice", "aud": "portcullis", "nonce": "n-1",
            "iat": NOW.secs() - 5, "exp": NOW.secs() + 300, "email": "alice@example.com",
            "groups": ["staff"], "auth_time": NOW.secs() - 50, "acr": "mfa",
        })
    }

    fn header() -> Value {
        json!({ "alg": "ES256", "kid": our_key().kid() })
    }

    fn refusal(claims: &Value) -> Option<TokenError> {
        VERIFIER
            .verify(&signed(&header(), claims), &our_keys(), NOW)
            .err()
    }

    #[test]
    fn claims_of_a_good_token_can_be_read() {
        let text = signed(&header(), &upstream());
        let token = VERIFIER.verify(&text, &our_keys(), NOW).expect("verifies");
        assert_eq!(token.claim("email"), Some("alice@example.com"));
        assert_eq!(token.claim("groups"), None);
        assert_eq!(token.claim("absent"), None);
        assert_eq!(token.claims().get("groups"), Some(&json!(["staff"])));
        assert_eq!(token.acr.as_deref(), Some("mfa"));
        assert_eq!(token.auth_time, Some(UnixMillis(NOW.0 - 50_000)));
        assert_eq!(token.issued_at, UnixMillis(NOW.0 - 5_000));
    }

    #[test]
    fn issuer_audience_and_nonce_are_exact() {
        for (name, value, expected) in [
            ("iss", json!("https://idp.example/"), TokenError::Issuer),
            ("iss", json!(["https://idp.example"]), TokenError::Claims),
            ("aud", json!("other"), TokenError::Audience),
            ("aud", json!([]), TokenError::Audience),
            ("nonce", json!("n-2"), TokenError::Nonce),
            ("nonce", json!(""), TokenError::Nonce),
            ("sub", json!(""), TokenError::Claims),
            ("sub", json!(7), TokenError::Claims),
        ] {
            let claims = with(&upstream(), name, value);
            assert_eq!(refusal(&claims), Some(expected), "{claims}");
        }
        assert_eq!(
            refusal(&without(&upstream(), "nonce")),
            Some(TokenError::Nonce)
        );
        assert_eq!(
            refusal(&without(&upstream(), "iss")),
            Some(TokenError::Issuer)
        );
        assert_eq!(
            refusal(&without(&upstream(), "aud")),
            Some(TokenError::Audience)
        );
    }

    #[test]
    fn several_audiences_need_us_as_the_authorized_party() {
        let several = with(&upstream(), "aud", json!(["portcullis", "other"]));
        assert_eq!(refusal(&several), Some(TokenError::Audience));
        assert_eq!(
            refusal(&with(&several, "azp", "other")),
            Some(TokenError::Audience)
        );
        assert_eq!(refusal(&with(&several, "azp", "portcullis")), None);
        let single = with(&upstream(), "aud", json!(["portcullis"]));
        assert_eq!(refusal(&single), None);
        assert_eq!(
            refusal(&with(&single, "azp", "other")),
            Some(TokenError::Audience)
        );
        assert_eq!(
            refusal(&with(&single, "azp", json!(null))),
            Some(TokenError::Audience)
        );
    }

    #[test]
    fn old_expired_future_and_undated_tokens_are_refused() {
        let exp = (NOW.secs() + 300).to_string();
        for (claims, expected) in [
            (
                with(&upstream(), "iat", NOW.secs() - 601),
                TokenError::Expired,
            ),
            (with(&upstream(), "exp", NOW.secs()), TokenError::Expired),
            (
                with(&upstream(), "iat", NOW.secs() + 61),
                TokenError::NotYetValid,
            ),
            (with(&upstream(), "exp", exp), TokenError::Claims),
            (without(&upstream(), "exp"), TokenError::Claims),
            (without(&upstream(), "iat"), TokenError::Claims),
            (with(&upstream(), "auth_time", "1"), TokenError::Claims),
        ] {
            assert_eq!(refusal(&claims), Some(expected), "{claims}");
        }
        assert_eq!(refusal(&with(&upstream(), "iat", NOW.secs() - 600)), None);
        assert_eq!(refusal(&without(&upstream(), "auth_time")), None);
    }

    #[test]
    fn other_kinds_of_token_are_not_id_tokens() {
        for typ in ["at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt"] {
            let text = signed(&with(&header(), "typ", typ), &upstream());
            let refused = VERIFIER.verify(&text, &our_keys(), NOW);
            assert_eq!(refused.err(), Some(TokenError::Type), "{typ}");
        }
        let text = signed(&with(&header(), "typ", "jwt"), &upstream());
        assert!(VERIFIER.verify(&text, &our_keys(), NOW).is_ok());
    }

    fn ours() -> IdTokenClaims {
        IdTokenClaims {
            iss: "https://id.example".to_owned(),
            sub: SubjectKey::from_bytes([1; 16]),
            aud: "app".to_owned(),
            exp: NOW.secs() - 9000,
            iat: NOW.secs() - 9300,
            auth_time: Some(NOW.secs() - 9400),
            nonce: None,
            sid: SessionId::from_bytes([3; 16]),
            acr: None,
            at_hash: Some(at_hash("token")),
        }
    }

    fn hint(text: &str) -> Result<VerifiedHint, TokenError> {
        verify_id_token_hint(text, &our_keys(), "https://id.example")
    }

    #[test]
    fn an_expired_id_token_of_ours_is_a_good_hint() {
        let text = our_key().sign(&ours(), TYP).expect("signs");
        let expected = VerifiedHint {
            client_id: "app".to_owned(),
            subject: ours().sub,
            session: ours().sid,
        };
        assert_eq!(hint(&text), Ok(expected));
    }

    #[test]
    fn a_hint_must_be_ours_signed_and_an_id_token() {
        let claims = serde_json::to_value(ours()).expect("JSON");
        let header = with(&header(), "typ", "JWT");
        let foreign = signed(&header, &with(&claims, "iss", "https://evil.example"));
        assert_eq!(hint(&foreign), Err(TokenError::Issuer));
        let unsigned = signed(&with(&header, "alg", "none"), &claims);
        assert_eq!(hint(&unsigned), Err(TokenError::Algorithm));
        let access = signed(&with(&header, "typ", "at+jwt"), &claims);
        assert_eq!(hint(&access), Err(TokenError::Type));
        let untyped = signed(&without(&header, "typ"), &claims);
        assert_eq!(hint(&untyped), Err(TokenError::Type));
        let good = signed(&header, &claims);
        let changed = good.replacen('.', ".e", 1);
        assert!(hint(&changed).is_err());
        assert_eq!(
            hint(&signed(&header, &without(&claims, "sid"))),
            Err(TokenError::Claims)
        );
    }

    #[test]
    fn an_id_token_of_ours_is_not_an_access_token() {
        let text = our_key().sign(&ours(), TYP).expect("signs");
        let verifier = super::super::access_token::AccessTokenVerifier {
            issuer: "https://id.example",
            audience: None,
        };
        let refused = verifier.verify(&text, &our_keys(), NOW);
        assert_eq!(refused.err(), Some(TokenError::Type));
    }

    #[test]
    fn at_hash_is_the_left_half_as_in_the_standard_s_example() {
        // Core appendix A.3.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(at_hash(token), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
