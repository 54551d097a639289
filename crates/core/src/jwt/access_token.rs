//! Our access tokens: JWTs after RFC 9068, and the only way to believe one.
//!
//! A verified token says that it was ours and is not over by the clock. Whether it has been ended
//! since is the check's to say: see [`VerifiedAccessToken::check_request`].

use super::actor::Actor;
use super::dpop::VerifiedProof;
use super::jwks::KeySet;
use super::jwks::pending::Pending;
use super::unverified::{UnverifiedToken, require_audience, text};
use super::{TokenError, times};
use crate::id::{GrantId, SessionId, SubjectKey, TokenId};
use crate::session::check::{ActorCheck, CheckRequest};
use crate::time::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The `typ` of an access token (RFC 9068 section 2.1).
pub const TYP: &str = "at+jwt";

/// What our access tokens say (RFC 9068 section 2.2). Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// The service that issued it.
    pub iss: String,
    /// Whose it is.
    pub sub: SubjectKey,
    /// For whom it is.
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// Through which client it was asked for.
    pub client_id: String,
    /// When it expires.
    pub exp: u64,
    /// When it was issued.
    pub iat: u64,
    /// Its id.
    pub jti: TokenId,
    /// The session it rests on.
    pub sid: SessionId,
    /// The grant within the session.
    pub gid: GrantId,
    /// The subject's generation it was minted under.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// When the person proved themselves to the identity provider; a service never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// How.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// What was granted, space separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Roles (RFC 9068 section 2.2.3.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Groups (same).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Claims of the identity provider that the connection keeps, by the connection's names for them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub idp_claims: Map<String, Value>,
    /// The key that must be proven (RFC 7800 section 3.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Who acts for the subject (RFC 8693 section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// The ways in which a token can be bound to a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The thumbprint of a `DPoP` key (RFC 9449 section 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
}

/// An access token of ours, signed, in force, and for whoever verified it. Only
/// [`AccessTokenVerifier`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedAccessToken {
    claims: AccessTokenClaims,
    kid: String,
}

impl VerifiedAccessToken {
    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &AccessTokenClaims {
        &self.claims
    }

    /// The key that signed it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// When it expires.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        UnixMillis(0).plus_secs(self.claims.exp)
    }

    /// Who acts for the subject, the present actor first.
    pub fn actors(&self) -> impl Iterator<Item = &Actor> {
        self.claims.act.iter().flat_map(Actor::chain)
    }

    /// The key that it is bound to: without a proof of that key, it is worth nothing.
    #[must_use]
    pub fn jkt(&self) -> Option<&str> {
        self.claims.cnf.as_ref()?.jkt.as_deref()
    }

    /// The question whether it, or the session of whoever acts for the subject, has been ended since.
    #[must_use]
    pub fn check_request(&self) -> CheckRequest {
        CheckRequest {
            token: Some(self.claims.jti),
            generation: Some(self.claims.generation),
            kid: Some(self.kid.clone()),
            actors: self.actors().map(ActorCheck::from).collect(),
            ..CheckRequest::of_session(self.claims.sub, self.claims.sid)
        }
    }
}

/// How a token came, which decides what a bound one is worth (RFC 9449 section 7.1).
#[derive(Clone, Copy, Debug)]
pub enum Presentation<'a> {
    /// As a bearer token. One that is bound to a key is refused.
    Bearer,
    /// With this proof. One that is not bound to the proof's key, or for which the proof was not
    /// made, is refused.
    WithProof(&'a VerifiedProof),
    /// Not to be let in with it: somebody who may know asks what it says (RFC 7662), or whether it
    /// has been ended. Whether it is bound makes no difference; the answer has to say.
    OnlyDescribed,
}

impl Presentation<'_> {
    /// Judges `cnf` (RFC 7800 section 3.1). A way of binding that is not known here counts as bound
    /// and as not proven.
    fn judge(&self, token: &str, cnf: Option<&Value>) -> Result<(), TokenError> {
        match self {
            Self::Bearer if cnf.is_some() => Err(TokenError::ProofRequired),
            Self::Bearer | Self::OnlyDescribed => Ok(()),
            Self::WithProof(proof) => {
                let jkt = cnf
                    .and_then(Value::as_object)
                    .filter(|cnf| cnf.len() == 1)
                    .and_then(|cnf| text(cnf, "jkt"));
                if jkt == Some(proof.jkt()) && proof.is_for(token) {
                    Ok(())
                } else {
                    Err(TokenError::Binding)
                }
            }
        }
    }
}

/// What an access token must say to be believed.
#[derive(Clone, Copy, Debug)]
pub struct AccessTokenVerifier<'a> {
    /// The only `iss`.
    pub issuer: &'a str,
    /// The `aud` that must be among the token's. `None` is for the service itself, which answers
    /// for tokens of every audience.
    pub audience: Option<&'a str>,
}

impl<'a> AccessTokenVerifier<'a> {
    /// Believes a bearer token, or says why not (RFC 9068 section 4). One that is bound to a key is
    /// refused: to accept it as a bearer token would undo the binding.
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: UnixMillis,
    ) -> Result<VerifiedAccessToken, TokenError> {
        self.begin(token, Presentation::Bearer, keys, now)?.check()
    }

    /// Does all but the cryptography, for a token that was presented in this way.
    pub fn begin<'t>(
        &self,
        token: &'t str,
        presentation: Presentation<'t>,
        keys: &KeySet,
        now: UnixMillis,
    ) -> Result<Pending<'t, VerifiedAccessToken>, TokenError>
    where
        'a: 't,
    {
        let text = token;
        let token = UnverifiedToken::parse(text)?;
        if !token.is_of_type(TYP) {
            return Err(TokenError::Type);
        }
        let rules = *self;
        Ok(Pending::new(keys.pending(token)?, move |signed| {
            let (claims, kid) = signed.into_parts();
            let bound = presentation.judge(text, claims.get("cnf"));
            let claims = rules.judge(claims, now)?;
            bound?;
            Ok(VerifiedAccessToken {
                claims,
                kid: kid.ok_or(TokenError::UnknownKey)?,
            })
        }))
    }

    fn judge(
        &self,
        claims: Map<String, Value>,
        now: UnixMillis,
    ) -> Result<AccessTokenClaims, TokenError> {
        times::in_force(&claims, now)?;
        if text(&claims, "iss") != Some(self.issuer) {
            return Err(TokenError::Issuer);
        }
        if let Some(audience) = self.audience {
            require_audience(&claims, audience)?;
        }
        let claims: AccessTokenClaims =
            serde_json::from_value(Value::Object(claims)).map_err(|_| TokenError::Claims)?;
        if claims.act.as_ref().is_some_and(Actor::is_too_long) {
            return Err(TokenError::Claims);
        }
        Ok(claims)
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(audience) => vec![audience],
        OneOrMany::Many(audiences) => audiences,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        NOW, access_token_claims as claims, our_key, our_keys, signed, signed_text, with, without,
    };
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const VERIFIER: AccessTokenVerifier<'_> = AccessTokenVerifier {
        issuer: "https://id.example",
        audience: Some("https://app.example"),
    };

    fn header() -> Value {
        json!({ "alg": "ES256", "typ": TYP, "kid": our_key().kid() })
    }

    fn json_claims() -> Value {
        serde_json::to_value(claims()).expect("JSON")
    }

    fn refusal(header: &Value, claims: &Value) -> Option<TokenError> {
        VERIFIER
            .verify(&signed(header, claims), &our_keys(), NOW)
            .err()
    }

    #[test]
    fn what_the_service_signs_is_believed() {
        let text = our_key().sign(&claims(), TYP).expect("signs");
        let token = VERIFIER.verify(&text, &our_keys(), NOW).expect("verifies");
        assert_eq!(token.claims(), &claims());
        assert_eq!(token.expires_at(), NOW.plus_secs(300));
        assert_eq!(
            token.check_request(),
            CheckRequest {
                token: Some(claims().jti),
                generation: Some(5),
                kid: Some(our_key().kid().to_owned()),
                ..CheckRequest::of_session(claims().sub, claims().sid)
            }
        );
    }

    #[test]
    fn claims_read_as_the_standards_spell_them() {
        assert_eq!(
            json_claims(),
            json!({
                "iss": "https://id.example", "sub": "sub_AQEBAQEBAQEBAQEBAQEBAQ",
                "aud": ["https://app.example"], "client_id": "app", "exp": 1_800_000_300,
                "iat": 1_800_000_000, "jti": "jti_AgICAgICAgICAgICAgICAg",
                "sid": "ses_AwMDAwMDAwMDAwMDAwMDAw", "gid": "gnt_BAQEBAQEBAQEBAQEBAQEBA",
                "gen": 5, "auth_time": 1_799_999_991, "scope": "openid", "groups": ["staff"],
            })
        );
    }

    #[test]
    fn the_type_is_an_access_token_in_any_spelling_of_the_media_type() {
        for typ in [
            "at+jwt",
            "AT+JWT",
            "application/at+jwt",
            "Application/at+JWT",
        ] {
            assert_eq!(
                refusal(&with(&header(), "typ", typ), &json_claims()),
                None,
                "{typ}"
            );
        }
        for typ in [
            "JWT",
            "at+jwt ",
            "dpop+jwt",
            "logout+jwt",
            "",
            "text/at+jwt",
        ] {
            let header = with(&header(), "typ", typ);
            assert_eq!(
                refusal(&header, &json_claims()),
                Some(TokenError::Type),
                "{typ}"
            );
        }
        let untyped = without(&header(), "typ");
        assert_eq!(refusal(&untyped, &json_claims()), Some(TokenError::Type));
    }

    #[test]
    fn issuer_and_audience_are_exact() {
        for iss in [
            "https://id.example/",
            "https://ID.example",
            "",
            "https://evil.example",
        ] {
            let claims = with(&json_claims(), "iss", iss);
            assert_eq!(
                refusal(&header(), &claims),
                Some(TokenError::Issuer),
                "{iss}"
            );
        }
        for aud in [json!("https://other.example"), json!([])] {
            let claims = with(&json_claims(), "aud", aud);
            assert_eq!(refusal(&header(), &claims), Some(TokenError::Audience));
        }
        for aud in [json!({}), json!(null), json!([7])] {
            let claims = with(&json_claims(), "aud", aud);
            assert_eq!(refusal(&header(), &claims), Some(TokenError::Claims));
        }
        for aud in [
            json!("https://app.example"),
            json!(["x", "https://app.example"]),
        ] {
            let claims = with(&json_claims(), "aud", aud);
            assert_eq!(refusal(&header(), &claims), None);
        }
        let text = our_key().sign(&claims(), TYP).expect("signs");
        let service = AccessTokenVerifier {
            audience: None,
            ..VERIFIER
        };
        assert!(service.verify(&text, &our_keys(), NOW).is_ok());
    }

    #[test]
    fn expired_future_and_undated_tokens_are_refused() {
        let exp = claims().exp.to_string();
        for (claims, expected) in [
            (with(&json_claims(), "exp", NOW.secs()), TokenError::Expired),
            (
                with(&json_claims(), "exp", NOW.secs() - 3600),
                TokenError::Expired,
            ),
            (
                with(&json_claims(), "iat", NOW.secs() + 61),
                TokenError::NotYetValid,
            ),
            (
                with(&json_claims(), "nbf", NOW.secs() + 61),
                TokenError::NotYetValid,
            ),
            (
                with(&json_claims(), "exp", exp.as_str()),
                TokenError::Claims,
            ),
            (with(&json_claims(), "nbf", "1"), TokenError::Claims),
            (with(&json_claims(), "exp", json!(null)), TokenError::Claims),
            (without(&json_claims(), "exp"), TokenError::Claims),
            (without(&json_claims(), "iat"), TokenError::Claims),
        ] {
            assert_eq!(refusal(&header(), &claims), Some(expected), "{claims}");
        }
        let skewed = with(&json_claims(), "iat", NOW.secs() + 60);
        assert_eq!(refusal(&header(), &skewed), None);
    }

    #[test]
    fn extreme_dates_do_not_wrap_round() {
        for exp in [1u64 << 32, u64::MAX, (1 << 32) - 1] {
            let claims = with(&json_claims(), "exp", exp);
            refusal(&header(), &claims);
            let claims = with(&json_claims(), "iat", exp);
            assert!(refusal(&header(), &claims).is_some(), "{exp}");
        }
        let wrapped = with(&json_claims(), "iat", (1u64 << 32) + NOW.secs());
        assert!(refusal(&header(), &wrapped).is_some());
    }

    #[test]
    fn a_bound_token_without_proof_is_refused() {
        for cnf in [
            json!({ "jkt": "x" }),
            json!({ "x5t#S256": "x" }),
            json!({}),
            json!(null),
        ] {
            let claims = with(&json_claims(), "cnf", cnf);
            assert_eq!(refusal(&header(), &claims), Some(TokenError::ProofRequired));
        }
    }

    #[test]
    fn identifiers_must_be_of_their_kind_and_present() {
        for name in ["sub", "jti", "sid", "gid", "gen", "client_id"] {
            let claims = without(&json_claims(), name);
            assert_eq!(
                refusal(&header(), &claims),
                Some(TokenError::Claims),
                "{name}"
            );
        }
        let swapped = with(&json_claims(), "sub", "ses_AwMDAwMDAwMDAwMDAwMDAw");
        assert_eq!(refusal(&header(), &swapped), Some(TokenError::Claims));
        let negative = with(&json_claims(), "gen", -1);
        assert_eq!(refusal(&header(), &negative), Some(TokenError::Claims));
    }

    #[test]
    fn only_es256_is_accepted() {
        for alg in ["none", "HS256", "RS256", "EdDSA"] {
            let header = with(&header(), "alg", alg);
            assert_eq!(
                refusal(&header, &json_claims()),
                Some(TokenError::Algorithm)
            );
        }
    }

    #[test]
    fn duplicate_claims_are_refused() {
        let doubled = json_claims()
            .to_string()
            .replacen('{', r#"{"exp":9999999999,"#, 1);
        let text = signed_text(&header().to_string(), &doubled);
        let refused = VERIFIER.verify(&text, &our_keys(), NOW);
        assert_eq!(refused.err(), Some(TokenError::Malformed));
    }

    #[test]
    fn the_signature_is_judged_before_anything_it_covers() {
        let text = signed(&header(), &with(&json_claims(), "exp", 1));
        let (rest, _) = text.rsplit_once('.').expect("parts");
        let forged = format!("{rest}.{}", crate::text::base64url(&[1; 64]));
        let refused = VERIFIER.verify(&forged, &our_keys(), NOW);
        assert_eq!(refused.err(), Some(TokenError::Signature));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn mutated_claims_never_panic(
            name in "iss|sub|aud|exp|iat|nbf|jti|sid|gid|gen|scope|roles|groups|auth_time|acr|nonce",
            number: i64,
            text: String,
        ) {
            for value in [json!(number), json!(text), json!([text]), json!({}), json!(null)] {
                refusal(&header(), &with(&json_claims(), &name, value));
            }
        }
    }
}
