//! ES256 as the service has it in wasm, beside `WebCrypto`.

use portcullis_core::jwt::access_token::{AccessTokenVerifier, Presentation, TYP};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::time::UnixMillis;
use serde_json::{Value, json};

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
pub(crate) const ISSUER: &str = "https://id.example";

/// Signs an access token `count` times; how often that worked.
#[unsafe(no_mangle)]
pub extern "C" fn es256_sign(count: u32) -> u32 {
    let Ok(key) = SigningKey::from_secret(&[7; 32]) else {
        return 0;
    };
    let claims = claims();
    times(count, || key.sign(&claims, TYP).is_ok())
}

/// Verifies an access token `count` times; how often that worked.
#[unsafe(no_mangle)]
pub extern "C" fn es256_verify(count: u32) -> u32 {
    with_token(|verifier, token, keys| times(count, || verifier.verify(token, keys, NOW).is_ok()))
}

/// Does all of verifying but the cryptography `count` times; how often that worked.
#[unsafe(no_mangle)]
pub extern "C" fn es256_read(count: u32) -> u32 {
    with_token(|verifier, token, keys| {
        times(count, || {
            let begun = verifier.begin(token, Presentation::Bearer, keys, NOW);
            begun.is_ok()
        })
    })
}

pub(crate) fn times(count: u32, once: impl Fn() -> bool) -> u32 {
    (0..count).map(|_| u32::from(once())).sum()
}

fn with_token(run: impl FnOnce(&AccessTokenVerifier<'_>, &str, &KeySet) -> u32) -> u32 {
    let verifier = AccessTokenVerifier {
        issuer: ISSUER,
        audience: None,
    };
    let made = SigningKey::from_secret(&[7; 32]).ok().and_then(|key| {
        let set = json!({ "keys": [key.public_jwk()] }).to_string();
        let keys = KeySet::parse(set.as_bytes()).ok()?;
        Some((key.sign(&claims(), TYP).ok()?, keys))
    });
    made.map_or(0, |(token, keys)| run(&verifier, &token, &keys))
}

pub(crate) fn claims() -> Value {
    let now = NOW.secs();
    json!({
        "iss": ISSUER, "aud": "https://app.example", "client_id": "app", "scope": "openid profile",
        "exp": now + 300, "iat": now, "auth_time": now - 9, "gen": 5, "groups": ["staff"],
        "sub": "sub_AQEBAQEBAQEBAQEBAQEBAQ", "jti": "jti_AQEBAQEBAQEBAQEBAQEBAQ",
        "sid": "ses_AQEBAQEBAQEBAQEBAQEBAQ", "gid": "gnt_AQEBAQEBAQEBAQEBAQEBAQ",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_work_succeeds_every_time() {
        assert_eq!([es256_sign(3), es256_verify(3), es256_read(3)], [3; 3]);
    }
}
