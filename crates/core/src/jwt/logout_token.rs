//! Logout tokens (OIDC Back-Channel Logout 1.0 section 2.4): ours, by which a client is told that a
//! session that it has tokens of is over, and an identity provider's, by which we are told the same.
//!
//! Out of scope: receiving them, sending them, and what they end.

use super::assertion::{jti, of_type, replay_digest};
use super::jwks::KeySet;
use super::times::numeric_date;
use super::unverified::{require_audience, text};
use super::{Algorithm, CLOCK_SKEW_SECS, TokenError};
use crate::id::{SessionId, SubjectKey, TokenId};
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::Serialize;
use serde_json::{Map, Value};

/// The `typ` of a logout token (section 2.4).
pub const TYP: &str = "logout+jwt";
/// How long one is good for, in seconds: at most two minutes (section 2.4), so that it cannot be
/// kept and sent again later.
pub const TTL_SECS: u64 = 120;
/// The event that makes a token a logout token (section 2.4).
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The oldest one of a provider's that is accepted, in seconds: it was made for the log-out at hand. It
/// leaves a provider time to try again.
pub const MAX_LOGOUT_TOKEN_AGE_SECS: u64 = 300;
/// What identity providers sign with: neither nothing nor a shared secret (section 2.6 step 3).
const UPSTREAM_ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::EdDsa,
];

/// What our logout tokens say. There is no `nonce`, which section 2.4 prohibits, so that one never
/// passes for an ID token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogoutTokenClaims {
    iss: String,
    sub: SubjectKey,
    aud: String,
    iat: u64,
    exp: u64,
    jti: TokenId,
    sid: SessionId,
    events: Events,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Events {
    #[serde(rename = "http://schemas.openid.net/event/backchannel-logout")]
    backchannel_logout: Empty,
}

/// The JSON object without members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Empty {}

impl LogoutTokenClaims {
    /// Tells `client_id` that this session of that subject is over.
    #[must_use]
    pub const fn new(
        issuer: String,
        client_id: String,
        subject: SubjectKey,
        session: SessionId,
        token: TokenId,
        now: UnixMillis,
    ) -> Self {
        Self {
            iss: issuer,
            sub: subject,
            aud: client_id,
            iat: now.secs(),
            exp: now.secs().saturating_add(TTL_SECS),
            jti: token,
            sid: session,
            events: Events {
                backchannel_logout: Empty {},
            },
        }
    }
}

/// What an identity provider's logout token must say to be believed (section 2.6).
#[derive(Clone, Copy, Debug)]
pub struct LogoutTokenVerifier<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// What we are called there.
    pub client_id: &'a str,
}

/// That a provider has ended a session, or all of a person's. Only [`LogoutTokenVerifier::verify`] makes
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLogoutToken {
    sub: Option<String>,
    sid: Option<String>,
    replay: Digest,
    issued_at: UnixMillis,
    expires_at: UnixMillis,
}

impl VerifiedLogoutToken {
    /// Whose sessions have ended, if it says so; then they all have, unless there is a `sid`, too.
    #[must_use]
    pub fn sub(&self) -> Option<&str> {
        self.sub.as_deref()
    }

    /// Which session has ended, if it says so. It has one of the two.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// What no other logout token has: a digest of issuer and `jti`.
    #[must_use]
    pub const fn replay_digest(&self) -> Digest {
        self.replay
    }

    /// When it was issued.
    #[must_use]
    pub const fn issued_at(&self) -> UnixMillis {
        self.issued_at
    }

    /// When it is refused anyway, so that its digest need not be kept longer.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.expires_at
    }
}

impl LogoutTokenVerifier<'_> {
    /// Believes the token, or says why not; `keys` are the provider's.
    ///
    /// `typ` is absent, `JWT` or `logout+jwt`: section 2.4 recommends the last and demands none. What
    /// tells a logout token from an ID token is its `events`, and that it has no `nonce`.
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: UnixMillis,
    ) -> Result<VerifiedLogoutToken, TokenError> {
        let token = of_type(token, &["JWT", TYP])?;
        let claims = keys.verify(token, &UPSTREAM_ALGORITHMS, now)?.into_map();
        let (issued_at, expires_at) = in_time(&claims, now)?;
        if text(&claims, "iss") != Some(self.issuer) {
            return Err(TokenError::Issuer);
        }
        require_audience(&claims, self.client_id)?;
        if claims.contains_key("nonce") {
            return Err(TokenError::Nonce);
        }
        if !is_logout(&claims) {
            return Err(TokenError::Claims);
        }
        let (sub, sid) = (name(&claims, "sub")?, name(&claims, "sid")?);
        if sub.is_none() && sid.is_none() {
            return Err(TokenError::Claims);
        }
        let jti = jti(&claims)?.ok_or(TokenError::Claims)?;
        Ok(VerifiedLogoutToken {
            replay: replay_digest("logout token", self.issuer, jti),
            sub,
            sid,
            issued_at,
            expires_at,
        })
    }
}

/// When it was issued and when it is over: at its `exp`, and in any case when it is too old. Drafts of
/// the specification had no `exp`; a provider that follows one is taken to mean the two minutes that
/// section 2.4 recommends.
fn in_time(
    claims: &Map<String, Value>,
    now: UnixMillis,
) -> Result<(UnixMillis, UnixMillis), TokenError> {
    let issued_at = numeric_date(claims, "iat")?.ok_or(TokenError::Claims)?;
    let not_before = numeric_date(claims, "nbf")?.unwrap_or(issued_at);
    let expires_at = numeric_date(claims, "exp")?
        .unwrap_or(issued_at.plus_secs(TTL_SECS))
        .min(issued_at.plus_secs(MAX_LOGOUT_TOKEN_AGE_SECS));
    if now >= expires_at {
        return Err(TokenError::Expired);
    }
    if issued_at.max(not_before) > now.plus_secs(CLOCK_SKEW_SECS) {
        return Err(TokenError::NotYetValid);
    }
    Ok((issued_at, expires_at))
}

/// Whether `events` says what happened (section 2.6 step 6).
fn is_logout(claims: &Map<String, Value>) -> bool {
    let events = claims.get("events").and_then(Value::as_object);
    events.is_some_and(|events| events.get(EVENT).is_some_and(Value::is_object))
}

/// A claim that is text and not empty, if there is one.
fn name(claims: &Map<String, Value>, claim: &str) -> Result<Option<String>, TokenError> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(TokenError::Claims),
    }
}

#[cfg(test)]
mod tests {
    use super::super::access_token::AccessTokenVerifier;
    use super::super::id_token::{IdTokenVerifier, verify_id_token_hint};
    use super::super::testing::{
        NOW, access_token_claims, our_key, our_keys, signed, with, without,
    };
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn claims() -> LogoutTokenClaims {
        LogoutTokenClaims::new(
            "https://id.example".to_owned(),
            "app".to_owned(),
            SubjectKey::from_bytes([1; 16]),
            SessionId::from_bytes([3; 16]),
            TokenId::from_bytes([2; 16]),
            NOW,
        )
    }

    #[test]
    fn a_logout_token_says_what_section_2_4_requires_and_no_nonce() {
        assert_eq!(
            serde_json::to_value(claims()).expect("JSON"),
            json!({
                "iss": "https://id.example", "sub": "sub_AQEBAQEBAQEBAQEBAQEBAQ", "aud": "app",
                "iat": 1_800_000_000, "exp": 1_800_000_120, "jti": "jti_AgICAgICAgICAgICAgICAg",
                "sid": "ses_AwMDAwMDAwMDAwMDAwMDAw", "events": { EVENT: {} },
            })
        );
    }

    #[test]
    fn a_logout_token_is_no_other_kind_of_token() {
        let text = our_key().sign(&claims(), TYP).expect("signs");
        let access = AccessTokenVerifier {
            issuer: "https://id.example",
            audience: None,
        };
        let refused = access.verify(&text, &our_keys(), NOW).err();
        assert_eq!(refused, Some(TokenError::Type));
        let hint = verify_id_token_hint(&text, &our_keys(), "https://id.example");
        assert_eq!(hint.err(), Some(TokenError::Type));
        let id_token = IdTokenVerifier {
            issuer: "https://id.example",
            client_id: "app",
            nonce: "n",
        };
        let refused = id_token.verify(&text, &our_keys(), NOW).err();
        assert_eq!(refused, Some(TokenError::Type));
    }

    const VERIFIER: LogoutTokenVerifier<'_> = LogoutTokenVerifier {
        issuer: "https://idp.example",
        client_id: "portcullis",
    };

    fn upstream() -> Value {
        json!({
            "iss": "https://idp.example", "aud": "portcullis", "sub": "alice", "sid": "s-1",
            "jti": "j-1", "iat": NOW.secs() - 5, "exp": NOW.secs() + 115, "events": { EVENT: {} },
        })
    }

    fn header() -> Value {
        json!({ "alg": "ES256", "kid": our_key().kid(), "typ": TYP })
    }

    fn verified(claims: &Value) -> Result<VerifiedLogoutToken, TokenError> {
        VERIFIER.verify(&signed(&header(), claims), &our_keys(), NOW)
    }

    fn refusal(claims: &Value) -> Option<TokenError> {
        verified(claims).err()
    }

    fn refusal_with(header: &Value) -> Option<TokenError> {
        let text = signed(header, &upstream());
        VERIFIER.verify(&text, &our_keys(), NOW).err()
    }

    #[test]
    fn a_good_logout_token_says_whose_session_is_over_and_which() {
        let token = verified(&upstream()).expect("verifies");
        assert_eq!((token.sub(), token.sid()), (Some("alice"), Some("s-1")));
        assert_eq!(token.issued_at(), UnixMillis(NOW.0 - 5_000));
        assert_eq!(token.expires_at(), NOW.plus_secs(115));
    }

    #[test]
    fn section_2_6_step_3_unsigned_and_hmac_are_refused() {
        for alg in ["HS256", "HS384", "HS512", "ES384", "RS512", ""] {
            let refused = refusal_with(&with(&header(), "alg", alg));
            assert_eq!(refused, Some(TokenError::Algorithm), "{alg}");
        }
    }

    #[test]
    fn alg_none_is_refused_however_it_is_spelt_and_signed() {
        // CVE-2026-18569: an unsigned logout token was accepted.
        for alg in ["none", "None", "NONE", "nOnE", " none"] {
            let text = signed(&with(&header(), "alg", alg), &upstream());
            let refused = VERIFIER.verify(&text, &our_keys(), NOW).err();
            assert_eq!(refused, Some(TokenError::Algorithm), "{alg}");
            let (input, _) = text.rsplit_once('.').expect("three parts");
            let bare = VERIFIER
                .verify(&format!("{input}."), &our_keys(), NOW)
                .err();
            assert_eq!(bare, Some(TokenError::Algorithm), "{alg}");
        }
        let text = signed(&header(), &upstream());
        let (input, _) = text.rsplit_once('.').expect("three parts");
        assert!(
            VERIFIER
                .verify(&format!("{input}."), &our_keys(), NOW)
                .is_err()
        );
    }

    #[test]
    fn section_2_6_step_2_the_key_is_the_providers() {
        let text = signed(&header(), &upstream());
        let others = KeySet::parse(br#"{"keys":[]}"#).expect("a key set");
        let refused = VERIFIER.verify(&text, &others, NOW);
        assert_eq!(refused, Err(TokenError::UnknownKey));
    }

    #[test]
    fn section_2_6_step_4_issuer_and_audience_are_exact() {
        for (name, value, expected) in [
            ("iss", json!("https://idp.example/"), TokenError::Issuer),
            ("iss", json!("https://evil.example"), TokenError::Issuer),
            ("iss", json!(["https://idp.example"]), TokenError::Claims),
            ("aud", json!("other"), TokenError::Audience),
            ("aud", json!("PORTCULLIS"), TokenError::Audience),
            ("aud", json!([]), TokenError::Audience),
            ("aud", json!(["portcullis", 7]), TokenError::Claims),
        ] {
            let claims = with(&upstream(), name, value);
            assert_eq!(refusal(&claims), Some(expected), "{claims}");
        }
        let absent = |name| refusal(&without(&upstream(), name));
        assert_eq!(absent("iss"), Some(TokenError::Issuer));
        assert_eq!(absent("aud"), Some(TokenError::Audience));
        let several = with(&upstream(), "aud", json!(["other", "portcullis"]));
        assert_eq!(refusal(&several), None);
    }

    #[test]
    fn section_2_6_step_4_it_was_issued_just_now_and_is_not_over() {
        let now = NOW.secs();
        for (name, value, expected) in [
            ("iat", json!(now - 301), Some(TokenError::Expired)),
            ("iat", json!(now - 300), Some(TokenError::Expired)),
            ("iat", json!(now - 299), None),
            ("iat", json!(now + 60), None),
            ("iat", json!(now + 61), Some(TokenError::NotYetValid)),
            ("nbf", json!(now + 61), Some(TokenError::NotYetValid)),
            (
                "iat",
                json!((now - 5).to_string()),
                Some(TokenError::Claims),
            ),
            ("iat", json!(null), Some(TokenError::Claims)),
            ("exp", json!(now), Some(TokenError::Expired)),
            ("exp", json!(now + 1), None),
            (
                "exp",
                json!((now + 9).to_string()),
                Some(TokenError::Claims),
            ),
            ("exp", json!(null), Some(TokenError::Claims)),
        ] {
            let claims = with(&upstream(), name, value);
            assert_eq!(refusal(&claims), expected, "{claims}");
        }
        let undated = without(&upstream(), "iat");
        assert_eq!(refusal(&undated), Some(TokenError::Claims));
    }

    #[test]
    fn without_an_expiry_it_is_good_for_two_minutes_and_with_a_late_one_for_five() {
        let undated = without(&upstream(), "exp");
        let token = verified(&undated).expect("verifies");
        assert_eq!(token.expires_at(), NOW.plus_secs(115));
        let old = with(&undated, "iat", NOW.secs() - TTL_SECS);
        assert_eq!(refusal(&old), Some(TokenError::Expired));
        let late = with(&upstream(), "exp", NOW.secs() + 86_400);
        let token = verified(&late).expect("verifies");
        assert_eq!(token.expires_at(), NOW.plus_secs(295));
    }

    #[test]
    fn section_2_6_step_5_it_names_a_person_a_session_or_both() {
        for name in ["sub", "sid"] {
            let token = verified(&without(&upstream(), name)).expect("verifies");
            assert_eq!(
                (token.sub().is_none(), token.sid().is_none()),
                (name == "sub", name == "sid")
            );
            for bad in [
                json!(""),
                json!(7),
                json!(null),
                json!(["alice"]),
                json!({}),
            ] {
                let claims = with(&upstream(), name, bad);
                assert_eq!(refusal(&claims), Some(TokenError::Claims), "{claims}");
            }
        }
        let neither = without(&without(&upstream(), "sub"), "sid");
        assert_eq!(refusal(&neither), Some(TokenError::Claims));
    }

    #[test]
    fn section_2_6_step_6_its_events_say_that_it_is_a_log_out() {
        for events in [
            json!(null),
            json!([]),
            json!(EVENT),
            json!([EVENT]),
            json!({}),
            json!({ "http://schemas.openid.net/event/other": {} }),
            json!({ EVENT: null }),
            json!({ EVENT: true }),
            json!({ EVENT: [] }),
            json!({ EVENT: "" }),
        ] {
            let claims = with(&upstream(), "events", events);
            assert_eq!(refusal(&claims), Some(TokenError::Claims), "{claims}");
        }
        let absent = without(&upstream(), "events");
        assert_eq!(refusal(&absent), Some(TokenError::Claims));
        let more = json!({ EVENT: { "x": 1 }, "https://idp.example/event": {} });
        assert_eq!(refusal(&with(&upstream(), "events", more)), None);
    }

    #[test]
    fn section_2_6_step_7_there_is_no_nonce_whatever_it_is() {
        for nonce in [json!("n"), json!(""), json!(null)] {
            let claims = with(&upstream(), "nonce", nonce);
            assert_eq!(refusal(&claims), Some(TokenError::Nonce), "{claims}");
        }
        assert!(refusal(&with(&upstream(), "nonce", 7)).is_some());
    }

    #[test]
    fn section_2_6_step_8_its_jti_tells_it_apart() {
        let of = |jti: &str| verified(&with(&upstream(), "jti", jti)).expect("verifies");
        assert_eq!(of("a").replay_digest(), of("a").replay_digest());
        assert_ne!(of("a").replay_digest(), of("b").replay_digest());
        assert_ne!(
            of("a").replay_digest(),
            replay_digest("client assertion", VERIFIER.issuer, "a")
        );
        for jti in [json!(""), json!(7), json!(null), json!("j".repeat(257))] {
            let claims = with(&upstream(), "jti", jti);
            assert_eq!(refusal(&claims), Some(TokenError::Claims), "{claims}");
        }
        let absent = without(&upstream(), "jti");
        assert_eq!(refusal(&absent), Some(TokenError::Claims));
    }

    #[test]
    fn section_2_4_its_type_is_none_that_of_any_token_or_its_own() {
        assert_eq!(refusal_with(&without(&header(), "typ")), None);
        for typ in ["JWT", "jwt", "logout+jwt", "application/logout+jwt"] {
            assert_eq!(refusal_with(&with(&header(), "typ", typ)), None, "{typ}");
        }
        for typ in ["at+jwt", "dpop+jwt", "secevent+jwt", "id_token+jwt", ""] {
            let refused = refusal_with(&with(&header(), "typ", typ));
            assert_eq!(refused, Some(TokenError::Type), "{typ}");
        }
    }

    #[test]
    fn an_id_token_or_access_token_of_the_provider_is_no_logout_token() {
        let id_token = json!({
            "iss": "https://idp.example", "sub": "alice", "aud": "portcullis", "sid": "s-1",
            "iat": NOW.secs(), "exp": NOW.secs() + 300, "jti": "j-1", "nonce": "n-1",
        });
        for typ in [None, Some("JWT")] {
            let header = typ.map_or_else(
                || without(&header(), "typ"),
                |typ| with(&header(), "typ", typ),
            );
            let refused = |claims: &Value| {
                let text = signed(&header, claims);
                VERIFIER.verify(&text, &our_keys(), NOW).err()
            };
            assert_eq!(refused(&id_token), Some(TokenError::Nonce));
            let without_nonce = without(&id_token, "nonce");
            assert_eq!(refused(&without_nonce), Some(TokenError::Claims));
        }
        let access = with(&header(), "typ", "at+jwt");
        let claims = serde_json::to_value(access_token_claims()).expect("JSON");
        let refused = VERIFIER.verify(&signed(&access, &claims), &our_keys(), NOW);
        assert_eq!(refused.err(), Some(TokenError::Type));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn mutated_claims_never_panic_and_never_make_one_that_names_nobody_or_lasts(
            name in "iss|aud|sub|sid|jti|iat|exp|nbf|events|nonce",
            number: i64,
            text: String,
        ) {
            for value in [json!(number), json!(text), json!([text]), json!({ EVENT: {} }), json!(null)] {
                if let Ok(token) = verified(&with(&upstream(), &name, value)) {
                    prop_assert!(token.sub().or(token.sid()).is_some_and(|name| !name.is_empty()));
                    prop_assert!(NOW < token.expires_at());
                    let latest = token.issued_at().plus_secs(MAX_LOGOUT_TOKEN_AGE_SECS);
                    prop_assert!(token.expires_at() <= latest);
                }
            }
        }

        #[test]
        fn a_changed_byte_is_not_believed(at: prop::sample::Index, byte: u8) {
            let good = signed(&header(), &upstream());
            let mut bytes = good.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let changed = String::from_utf8_lossy(&bytes);
            let verdict = VERIFIER.verify(&changed, &our_keys(), NOW);
            prop_assert!(verdict.is_err() || changed == good);
        }
    }
}
