//! Signed tokens and key sets.

use crate::parted;
use p256::ecdsa::signature::Signer;
use portcullis_core::jwt::access_token::AccessTokenVerifier;
use portcullis_core::jwt::assertion::{
    ClientAssertionVerifier, WorkloadTokenVerifier, unverified_client_id,
};
use portcullis_core::jwt::id_token::{IdTokenVerifier, verify_id_token_hint};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::logout_token::{EVENT, LogoutTokenVerifier, TYP};
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::jwt::unverified::UnverifiedToken;
use portcullis_core::text::base64url;
use portcullis_core::time::UnixMillis;
use serde_json::{Value, json};
use std::sync::LazyLock;

pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "https://app.example";
const ACCESS: AccessTokenVerifier<'_> = AccessTokenVerifier {
    issuer: ISSUER,
    audience: Some(AUDIENCE),
};
const ID: IdTokenVerifier<'_> = IdTokenVerifier {
    issuer: ISSUER,
    client_id: "app",
    nonce: "n",
};

const ASSERTION: ClientAssertionVerifier<'_> = ClientAssertionVerifier {
    client_id: "app",
    audiences: &[ISSUER],
};
const WORKLOAD: WorkloadTokenVerifier<'_> = WorkloadTokenVerifier {
    issuer: ISSUER,
    audience: AUDIENCE,
};
const LOGOUT: LogoutTokenVerifier<'_> = LogoutTokenVerifier {
    issuer: ISSUER,
    client_id: "app",
};

/// The key that signs here.
pub fn key() -> SigningKey {
    SigningKey::from_secret(&[7; 32]).expect("a valid scalar")
}

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let set = json!({ "keys": [key().public_jwk()] });
    KeySet::parse(set.to_string().as_bytes()).expect("a key set")
});

/// As it comes: nothing that nobody signed is believed, by any verifier.
pub fn jwt(data: &[u8]) {
    let _ = KeySet::parse(data);
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(token) = UnverifiedToken::parse(text) {
        assert_eq!(token.text(), text);
        let _ = (
            token.alg(),
            token.kid(),
            token.typ(),
            token.unverified_iss(),
        );
        let _ = token.has_unverified_aud(AUDIENCE);
    }
    assert!(ACCESS.verify(text, &KEYS, NOW).is_err());
    assert!(ID.verify(text, &KEYS, NOW).is_err());
    assert!(verify_id_token_hint(text, &KEYS, ISSUER).is_err());
    assert!(ASSERTION.verify(text, &KEYS, NOW).is_err());
    assert!(WORKLOAD.verify(text, &KEYS, NOW).is_err());
    assert!(LOGOUT.verify(text, &KEYS, NOW).is_err());
    let _ = unverified_client_id(text);
}

/// Signed by our key, which reaches what comes after the signature: `KIND HEADER \0 CLAIMS`, where
/// the kind is one byte, an object changes members of a good token's, and other text stands as it is.
pub fn jwt_signed(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    let Some((header, claims)) = parted(data) else {
        return;
    };
    match kind % 4 {
        0 => as_access_token(&access_token(header, claims)),
        1 => as_id_token(&id_token(header, claims)),
        2 => as_logout_token(&logout_token(header, claims)),
        _ => as_assertion(&assertion(header, claims)),
    }
}

fn as_access_token(token: &str) {
    if let Ok(verified) = ACCESS.verify(token, &KEYS, NOW) {
        let claims = verified.claims();
        assert_eq!(claims.iss, ISSUER);
        assert!(claims.aud.iter().any(|audience| audience == AUDIENCE));
        assert!(claims.exp > NOW.secs() && claims.cnf.is_none());
        let as_id = ID.verify(token, &KEYS, NOW);
        assert!(as_id.is_err(), "an access token is no ID token");
        assert!(verify_id_token_hint(token, &KEYS, ISSUER).is_err());
    }
}

fn as_id_token(token: &str) {
    if let Ok(verified) = ID.verify(token, &KEYS, NOW) {
        assert_eq!(verified.claim("iss"), Some(ISSUER));
        assert_eq!(verified.claim("nonce"), Some("n"));
        assert!(verified.claim("sub").is_some());
        let as_access = ACCESS.verify(token, &KEYS, NOW);
        assert!(as_access.is_err(), "an ID token is no access token");
        let as_logout = LOGOUT.verify(token, &KEYS, NOW);
        assert!(as_logout.is_err(), "an ID token is no logout token");
    }
}

fn as_logout_token(token: &str) {
    if let Ok(verified) = LOGOUT.verify(token, &KEYS, NOW) {
        assert!(verified.sub().or(verified.sid()).is_some());
        assert!(verified.expires_at() > NOW);
        assert!(ID.verify(token, &KEYS, NOW).is_err());
        let as_access = ACCESS.verify(token, &KEYS, NOW);
        assert!(as_access.is_err(), "a logout token is no access token");
    }
}

fn as_assertion(token: &str) {
    if let Ok(verified) = ASSERTION.verify(token, &KEYS, NOW) {
        assert_eq!(verified.client_id(), "app");
        assert!(verified.expires_at() > NOW);
        let as_access = ACCESS.verify(token, &KEYS, NOW);
        assert!(as_access.is_err(), "an assertion is no access token");
    }
    if let Ok(verified) = WORKLOAD.verify(token, &KEYS, NOW) {
        assert!(!verified.sub().is_empty() && verified.expires_at() > NOW);
    }
}

fn access_token(header: &str, claims: &str) -> String {
    let now = NOW.secs();
    let good = json!({
        "iss": ISSUER, "aud": AUDIENCE, "client_id": "app", "exp": now + 300, "iat": now, "gen": 0,
        "sub": "sub_AQEBAQEBAQEBAQEBAQEBAQ", "jti": "jti_AQEBAQEBAQEBAQEBAQEBAQ",
        "sid": "ses_AQEBAQEBAQEBAQEBAQEBAQ", "gid": "gnt_AQEBAQEBAQEBAQEBAQEBAQ",
    });
    let header = changed(json!({ "alg": "ES256", "typ": "at+jwt" }), header);
    signed(&header, &changed(good, claims))
}

fn id_token(header: &str, claims: &str) -> String {
    let now = NOW.secs();
    let good = json!({
        "iss": ISSUER, "aud": "app", "sub": "alice", "nonce": "n", "exp": now + 300, "iat": now,
    });
    signed(
        &changed(json!({ "alg": "ES256" }), header),
        &changed(good, claims),
    )
}

fn logout_token(header: &str, claims: &str) -> String {
    let now = NOW.secs();
    let good = json!({
        "iss": ISSUER, "aud": "app", "sub": "alice", "sid": "s", "jti": "j", "iat": now,
        "exp": now + 120, "events": { EVENT: {} },
    });
    let header = changed(json!({ "alg": "ES256", "typ": TYP }), header);
    signed(&header, &changed(good, claims))
}

fn assertion(header: &str, claims: &str) -> String {
    let now = NOW.secs();
    let good = json!({
        "iss": "app", "sub": "app", "aud": ISSUER, "jti": "j", "exp": now + 60, "iat": now,
    });
    signed(
        &changed(json!({ "alg": "ES256" }), header),
        &changed(good, claims),
    )
}

/// `good` with the members of the object in `text` instead, or `text` if it is no object.
pub fn changed(good: Value, text: &str) -> String {
    let (Value::Object(mut good), Ok(Value::Object(changes))) = (good, serde_json::from_str(text))
    else {
        return text.to_owned();
    };
    good.extend(changes);
    Value::Object(good).to_string()
}

/// A token of these texts, whatever they say, signed by [`key`].
pub fn signed(header: &str, claims: &str) -> String {
    let input = format!(
        "{}.{}",
        base64url(header.as_bytes()),
        base64url(claims.as_bytes())
    );
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a valid scalar");
    let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_is_believed() {
        let access = ACCESS.verify(&access_token("{}", "{}"), &KEYS, NOW);
        assert!(access.is_ok(), "{:?}", access.err());
        let id = ID.verify(&id_token("{}", "{}"), &KEYS, NOW);
        assert!(id.is_ok(), "{:?}", id.err());
        let assertion = ASSERTION.verify(&assertion("{}", "{}"), &KEYS, NOW);
        assert!(assertion.is_ok(), "{:?}", assertion.err());
        let logout = LOGOUT.verify(&logout_token("{}", "{}"), &KEYS, NOW);
        assert!(logout.is_ok(), "{:?}", logout.err());
    }
}
