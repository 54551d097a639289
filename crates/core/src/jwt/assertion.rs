//! Signed assertions from outside: by which a client proves who it is, and by which a workload does.
//!
//! | | [client assertion](ClientAssertionVerifier) | [workload token](WorkloadTokenVerifier) |
//! |---|---|---|
//! | after | RFC 7523 section 3, OIDC Core section 9 | RFC 7523 section 2.1, RFC 8693 section 2.1 |
//! | signed by | the client's registered keys | the keys of an issuer that is trusted |
//! | `iss`, `sub` | both the `client_id` | the issuer exactly; any `sub` |
//! | `aud` | only URLs of ours that the caller names | the trust's audience among them |
//! | `exp` | required, at most [`MAX_ASSERTION_SECS`] ahead | required |
//! | `iat` | if there is one, not in the future | required, at most [`MAX_WORKLOAD_TOKEN_AGE_SECS`] ago |
//! | `jti` | required, counts once | if there is one |
//!
//! Both are signed: `none` and HMAC have no representation here, so `client_secret_jwt` is not
//! supported. That a `jti` counts once is for the caller to see, as with [`super::dpop`].
//!
//! Out of scope: whose keys those are, and what the claims entitle to.

use super::jwks::KeySet;
use super::times::{in_force, numeric_date};
use super::unverified::{UnverifiedToken, require_audience, text};
use super::{Algorithm, CLOCK_SKEW_SECS, TokenError};
use crate::id::TokenId;
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::Serialize;
use serde_json::{Map, Value};

/// The values of `alg` that are accepted, as metadata lists them (RFC 8414 section 2).
pub const ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "PS256", "RS256"];
const ALLOWED: [Algorithm; 4] = [
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::Ps256,
    Algorithm::Rs256,
];
/// How far ahead a client assertion may expire, in seconds: so long its `jti` has to be kept.
pub const MAX_ASSERTION_SECS: u64 = 600;
/// How long ago a workload token may have been issued, in seconds. Platforms renew them within the
/// hour; an older one was kept by somebody.
pub const MAX_WORKLOAD_TOKEN_AGE_SECS: u64 = 3600;
/// `client_assertion_type` (RFC 7523 section 2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The `typ` of our own client assertions.
pub const TYP: &str = "JWT";
/// How long one of ours is good for, in seconds: it is made for the request at hand.
const OWN_TTL_SECS: u64 = 60;
/// The longest `jti`.
pub const MAX_JTI_BYTES: usize = 256;

/// The `client_id` in the name of which an assertion claims to be: it says whose keys to try, and no
/// more.
pub fn unverified_client_id(assertion: &str) -> Result<String, TokenError> {
    let token = UnverifiedToken::parse(assertion)?;
    let client_id = token.unverified_iss().filter(|iss| !iss.is_empty());
    client_id.map(str::to_owned).ok_or(TokenError::Claims)
}

/// What a client assertion must say to be believed.
#[derive(Clone, Copy, Debug)]
pub struct ClientAssertionVerifier<'a> {
    /// The client that it must be of.
    pub client_id: &'a str,
    /// Our issuer, our token endpoint, and the endpoint that was called, exactly: every `aud` must be
    /// one of these (RFC 9126 section 2). One for somebody else too could be sent on by them.
    pub audiences: &'a [&'a str],
}

/// Proof that a client was there. Only [`ClientAssertionVerifier::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAssertion {
    client_id: String,
    replay: Digest,
    expires_at: UnixMillis,
}

impl VerifiedAssertion {
    /// Which client.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What no other assertion has: a digest of client and `jti`.
    #[must_use]
    pub const fn replay_digest(&self) -> Digest {
        self.replay
    }

    /// When it is refused anyway, so that its digest need not be kept longer.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.expires_at
    }
}

impl ClientAssertionVerifier<'_> {
    /// Believes the assertion, or says why not; `keys` are the client's own.
    pub fn verify(
        &self,
        assertion: &str,
        keys: &KeySet,
        now: UnixMillis,
    ) -> Result<VerifiedAssertion, TokenError> {
        let token = of_type(assertion, &["JWT", "client-authentication+jwt"])?;
        let claims = keys.verify(token, &ALLOWED, now)?.into_map();
        let expires_at = expiry_in_time(&claims, now)?;
        if text(&claims, "iss") != Some(self.client_id)
            || text(&claims, "sub") != Some(self.client_id)
        {
            return Err(TokenError::Issuer);
        }
        self.require_only_us(&claims)?;
        let jti = jti(&claims)?.ok_or(TokenError::Claims)?;
        Ok(VerifiedAssertion {
            client_id: self.client_id.to_owned(),
            replay: replay_digest("client assertion", self.client_id, jti),
            expires_at,
        })
    }

    fn require_only_us(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        let ours = |one: &Value| {
            one.as_str()
                .is_some_and(|one| self.audiences.contains(&one))
        };
        let only_us = match claims.get("aud") {
            Some(Value::Array(several)) => !several.is_empty() && several.iter().all(ours),
            Some(one) => ours(one),
            None => false,
        };
        if only_us {
            Ok(())
        } else {
            Err(TokenError::Audience)
        }
    }
}

/// What our own client assertions say, with which the service proves to a provider who it is (OIDC Core
/// section 9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientAssertionClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: TokenId,
    iat: u64,
    exp: u64,
}

impl<'a> ClientAssertionClaims<'a> {
    /// Says to `audience` that it is made by the client of that id.
    #[must_use]
    pub const fn new(client_id: &'a str, audience: &'a str, jti: TokenId, now: UnixMillis) -> Self {
        Self {
            iss: client_id,
            sub: client_id,
            aud: audience,
            jti,
            iat: now.secs(),
            exp: now.secs().saturating_add(OWN_TTL_SECS),
        }
    }
}

/// What a workload's token must say to be believed.
#[derive(Clone, Copy, Debug)]
pub struct WorkloadTokenVerifier<'a> {
    /// The only `iss`.
    pub issuer: &'a str,
    /// What must be among its `aud`.
    pub audience: &'a str,
}

/// A workload's token, signed by its issuer and for us. Only [`WorkloadTokenVerifier::verify`] makes
/// one. Whether the issuer's word is enough for what is asked, its trust says.
#[derive(Clone, Debug)]
pub struct VerifiedWorkloadToken {
    claims: Map<String, Value>,
    expires_at: UnixMillis,
    replay: Option<Digest>,
}

impl VerifiedWorkloadToken {
    /// Everything it says.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Whom its issuer says it is about.
    #[must_use]
    pub fn sub(&self) -> &str {
        text(&self.claims, "sub").unwrap_or_default()
    }

    /// When it expires.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.expires_at
    }

    /// What no other token has, if it has a `jti`: a digest of issuer and `jti`.
    #[must_use]
    pub const fn replay_digest(&self) -> Option<Digest> {
        self.replay
    }
}

impl WorkloadTokenVerifier<'_> {
    /// Believes the token, or says why not; `keys` are the issuer's.
    ///
    /// `typ` is absent or `JWT`: neither an access token nor a logout token of that issuer says who
    /// runs.
    pub fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: UnixMillis,
    ) -> Result<VerifiedWorkloadToken, TokenError> {
        let token = of_type(token, &["JWT"])?;
        let claims = keys.verify(token, &ALLOWED, now)?.into_map();
        let times = in_force(&claims, now)?;
        if times.issued_at.plus_secs(MAX_WORKLOAD_TOKEN_AGE_SECS) < now {
            return Err(TokenError::Expired);
        }
        if text(&claims, "iss") != Some(self.issuer) {
            return Err(TokenError::Issuer);
        }
        require_audience(&claims, self.audience)?;
        if text(&claims, "sub").is_none_or(str::is_empty) {
            return Err(TokenError::Claims);
        }
        // Bound to a key that nobody has proven: a bearer's token it is not.
        if claims.contains_key("cnf") {
            return Err(TokenError::ProofRequired);
        }
        let replay = jti(&claims)?.map(|jti| replay_digest("workload token", self.issuer, jti));
        Ok(VerifiedWorkloadToken {
            claims,
            expires_at: times.expires_at,
            replay,
        })
    }
}

/// `exp`, and nothing of the future.
fn expiry_in_time(claims: &Map<String, Value>, now: UnixMillis) -> Result<UnixMillis, TokenError> {
    let expires_at = numeric_date(claims, "exp")?.ok_or(TokenError::Claims)?;
    if now >= expires_at {
        return Err(TokenError::Expired);
    }
    if expires_at > now.plus_secs(MAX_ASSERTION_SECS) {
        return Err(TokenError::Claims);
    }
    for name in ["iat", "nbf"] {
        let begins = numeric_date(claims, name)?;
        if begins.is_some_and(|at| at > now.plus_secs(CLOCK_SKEW_SECS)) {
            return Err(TokenError::NotYetValid);
        }
    }
    Ok(expires_at)
}

/// A token of one of these types, or of none.
pub(super) fn of_type<'a>(
    text: &'a str,
    types: &[&str],
) -> Result<UnverifiedToken<'a>, TokenError> {
    let token = UnverifiedToken::parse(text)?;
    if token.typ().is_none() || types.iter().any(|typ| token.is_of_type(typ)) {
        Ok(token)
    } else {
        Err(TokenError::Type)
    }
}

/// `jti`, within bounds.
pub(super) fn jti(claims: &Map<String, Value>) -> Result<Option<&str>, TokenError> {
    match claims.get("jti") {
        None => Ok(None),
        Some(Value::String(jti)) if (1..=MAX_JTI_BYTES).contains(&jti.len()) => Ok(Some(jti)),
        Some(_) => Err(TokenError::Claims),
    }
}

/// What no other token of that kind has.
pub(super) fn replay_digest(kind: &str, issuer: &str, jti: &str) -> Digest {
    // The issuer's length in front of it, so that no two pairs share an input.
    Digest::of(format!("{kind}\n{}\n{issuer}\n{jti}", issuer.len()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, our_key, our_keys, signed, with, without};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ISSUER: &str = "https://id.example";
    const TOKEN_ENDPOINT: &str = "https://id.example/token";
    const CLIENT: ClientAssertionVerifier<'_> = ClientAssertionVerifier {
        client_id: "app",
        audiences: &[ISSUER, TOKEN_ENDPOINT],
    };
    const WORKLOAD: WorkloadTokenVerifier<'_> = WorkloadTokenVerifier {
        issuer: "https://ci.example",
        audience: ISSUER,
    };

    fn header() -> Value {
        json!({ "alg": "ES256", "kid": our_key().kid() })
    }

    fn assertion() -> Value {
        json!({ "iss": "app", "sub": "app", "aud": ISSUER, "jti": "j-1", "exp": NOW.secs() + 60 })
    }

    fn workload() -> Value {
        json!({
            "iss": "https://ci.example", "sub": "repo:a/b", "aud": ISSUER, "jti": "j-1",
            "exp": NOW.secs() + 300, "iat": NOW.secs() - 10, "repository": "a/b",
        })
    }

    fn client_refusal(header: &Value, claims: &Value) -> Option<TokenError> {
        CLIENT
            .verify(&signed(header, claims), &our_keys(), NOW)
            .err()
    }

    fn workload_refusal(header: &Value, claims: &Value) -> Option<TokenError> {
        WORKLOAD
            .verify(&signed(header, claims), &our_keys(), NOW)
            .err()
    }

    fn of_client(claims: &Value) -> Result<VerifiedAssertion, TokenError> {
        CLIENT.verify(&signed(&header(), claims), &our_keys(), NOW)
    }

    #[test]
    fn a_client_is_proven_by_its_own_assertion() {
        let good = of_client(&assertion()).expect("verifies");
        assert_eq!(good.client_id(), "app");
        assert_eq!(good.expires_at(), NOW.plus_secs(60));
        let text = signed(&header(), &assertion());
        assert_eq!(unverified_client_id(&text).as_deref(), Ok("app"));
        let others = KeySet::parse(br#"{"keys":[]}"#).expect("a key set");
        let refused = CLIENT.verify(&text, &others, NOW);
        assert_eq!(refused, Err(TokenError::UnknownKey));
    }

    #[test]
    fn rfc_7523_3_1_and_2_issuer_and_subject_are_the_client() {
        for name in ["iss", "sub"] {
            for value in [json!("other"), json!(""), json!("APP")] {
                let refused = client_refusal(&header(), &with(&assertion(), name, value));
                assert_eq!(refused, Some(TokenError::Issuer), "{name}");
            }
            let refused = client_refusal(&header(), &without(&assertion(), name));
            assert_eq!(refused, Some(TokenError::Issuer), "{name}");
        }
    }

    #[test]
    fn rfc_7523_3_3_the_audience_is_us_and_nobody_else() {
        for aud in [
            json!(ISSUER),
            json!(TOKEN_ENDPOINT),
            json!([ISSUER, TOKEN_ENDPOINT]),
        ] {
            let refused = client_refusal(&header(), &with(&assertion(), "aud", aud));
            assert_eq!(refused, None);
        }
        for aud in [
            json!("https://id.example/"),
            json!("https://ID.example"),
            json!("https://other.example"),
            json!([ISSUER, "https://other.example"]),
            json!([]),
        ] {
            let refused = client_refusal(&header(), &with(&assertion(), "aud", aud));
            assert_eq!(refused, Some(TokenError::Audience));
        }
        let refused = client_refusal(&header(), &without(&assertion(), "aud"));
        assert_eq!(refused, Some(TokenError::Audience));
    }

    #[test]
    fn rfc_7523_3_4_to_6_an_assertion_expires_soon_and_is_not_of_the_future() {
        for (name, value, expected) in [
            ("exp", json!(NOW.secs()), Some(TokenError::Expired)),
            ("exp", json!(NOW.secs() + MAX_ASSERTION_SECS), None),
            (
                "exp",
                json!(NOW.secs() + MAX_ASSERTION_SECS + 1),
                Some(TokenError::Claims),
            ),
            (
                "exp",
                json!((NOW.secs() + 60).to_string()),
                Some(TokenError::Claims),
            ),
            ("exp", json!(null), Some(TokenError::Claims)),
            ("nbf", json!(NOW.secs() + 61), Some(TokenError::NotYetValid)),
            ("iat", json!(NOW.secs() + 61), Some(TokenError::NotYetValid)),
            ("iat", json!("1"), Some(TokenError::Claims)),
            ("iat", json!(NOW.secs()), None),
        ] {
            let claims = with(&assertion(), name, value);
            assert_eq!(client_refusal(&header(), &claims), expected, "{claims}");
        }
        let refused = client_refusal(&header(), &without(&assertion(), "exp"));
        assert_eq!(refused, Some(TokenError::Claims));
    }

    #[test]
    fn rfc_7523_3_7_every_assertion_has_a_jti_that_tells_it_apart() {
        let of = |jti: &str| of_client(&with(&assertion(), "jti", jti)).expect("verifies");
        assert_eq!(of("a").replay_digest(), of("a").replay_digest());
        assert_ne!(of("a").replay_digest(), of("b").replay_digest());
        for jti in [json!(""), json!(7), json!(null), json!("j".repeat(257))] {
            let refused = client_refusal(&header(), &with(&assertion(), "jti", jti));
            assert_eq!(refused, Some(TokenError::Claims));
        }
        let refused = client_refusal(&header(), &without(&assertion(), "jti"));
        assert_eq!(refused, Some(TokenError::Claims));
    }

    #[test]
    fn unsigned_hmac_and_other_kinds_of_token_are_refused_as_either() {
        for alg in ["none", "None", "HS256", "HS512", "ES384", ""] {
            let header = with(&header(), "alg", alg);
            let refused = Some(TokenError::Algorithm);
            assert_eq!(client_refusal(&header, &assertion()), refused, "{alg}");
            assert_eq!(workload_refusal(&header, &workload()), refused, "{alg}");
        }
        for typ in ["at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", ""] {
            let header = with(&header(), "typ", typ);
            let refused = Some(TokenError::Type);
            assert_eq!(client_refusal(&header, &assertion()), refused, "{typ}");
            assert_eq!(workload_refusal(&header, &workload()), refused, "{typ}");
        }
        for typ in ["JWT", "client-authentication+jwt"] {
            let header = with(&header(), "typ", typ);
            assert_eq!(client_refusal(&header, &assertion()), None, "{typ}");
        }
        let header = with(&header(), "typ", "JWT");
        assert_eq!(workload_refusal(&header, &workload()), None);
    }

    #[test]
    fn a_workload_is_known_by_its_issuers_claims() {
        let text = signed(&header(), &workload());
        let token = WORKLOAD.verify(&text, &our_keys(), NOW).expect("verifies");
        assert_eq!(token.sub(), "repo:a/b");
        assert_eq!(token.claims().get("repository"), Some(&json!("a/b")));
        assert_eq!(token.expires_at(), NOW.plus_secs(300));
        assert!(token.replay_digest().is_some());
        let text = signed(&header(), &without(&workload(), "jti"));
        let token = WORKLOAD.verify(&text, &our_keys(), NOW).expect("verifies");
        assert_eq!(token.replay_digest(), None);
    }

    #[test]
    fn a_workload_token_is_of_its_issuer_for_us_dated_and_fresh() {
        for (claims, expected) in [
            (
                with(&workload(), "iss", "https://ci.example/"),
                TokenError::Issuer,
            ),
            (without(&workload(), "iss"), TokenError::Issuer),
            (
                with(&workload(), "aud", "https://other.example"),
                TokenError::Audience,
            ),
            (with(&workload(), "aud", json!({})), TokenError::Claims),
            (without(&workload(), "aud"), TokenError::Audience),
            (with(&workload(), "sub", ""), TokenError::Claims),
            (without(&workload(), "sub"), TokenError::Claims),
            (with(&workload(), "exp", NOW.secs()), TokenError::Expired),
            (
                with(&workload(), "exp", (NOW.secs() + 9).to_string()),
                TokenError::Claims,
            ),
            (without(&workload(), "exp"), TokenError::Claims),
            (without(&workload(), "iat"), TokenError::Claims),
            (
                with(
                    &workload(),
                    "iat",
                    NOW.secs() - MAX_WORKLOAD_TOKEN_AGE_SECS - 1,
                ),
                TokenError::Expired,
            ),
            (
                with(&workload(), "iat", NOW.secs() + 61),
                TokenError::NotYetValid,
            ),
            (
                with(&workload(), "cnf", json!({ "jkt": "x" })),
                TokenError::ProofRequired,
            ),
        ] {
            assert_eq!(
                workload_refusal(&header(), &claims),
                Some(expected),
                "{claims}"
            );
        }
        let several = with(&workload(), "aud", json!(["https://other.example", ISSUER]));
        assert_eq!(workload_refusal(&header(), &several), None);
    }

    #[test]
    fn one_kind_of_assertion_never_replays_another() {
        let client = replay_digest("client assertion", "a", "b");
        assert_ne!(client, replay_digest("workload token", "a", "b"));
        assert_ne!(
            replay_digest("k", "a\n1", "b"),
            replay_digest("k", "a", "1\nb")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn mutated_claims_never_panic_and_never_free_an_assertion_of_its_bounds(
            name in "iss|sub|aud|exp|iat|nbf|jti",
            number: i64,
            text: String,
        ) {
            for value in [json!(number), json!(text), json!([text]), json!({}), json!(null)] {
                if let Ok(good) = of_client(&with(&assertion(), &name, value.clone())) {
                    prop_assert!(good.expires_at() <= NOW.plus_secs(MAX_ASSERTION_SECS));
                }
                workload_refusal(&header(), &with(&workload(), &name, value));
            }
        }
    }
}
