//! `DPoP` proofs.

use crate::jwt::{NOW, changed, key, signed};
use crate::parted;
use portcullis_core::jwt::dpop::{ProofVerifier, ath};
use serde_json::json;

const ACCESS_TOKEN: &str = "a.b.c";
const VERIFIER: ProofVerifier<'_> = ProofVerifier {
    method: "POST",
    url: "https://id.example/token?x=1",
    access_token: Some(ACCESS_TOKEN),
};

/// As it comes, and signed by the key that it brings: `HEADER \0 CLAIMS` as for `jwt_signed`.
pub fn dpop(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        assert!(VERIFIER.verify(text, NOW).is_err());
    }
    let Some((header, claims)) = parted(data) else {
        return;
    };
    let proof = proof(header, claims);
    if let Ok(verified) = VERIFIER.verify(&proof, NOW) {
        assert_eq!(
            verified.jkt(),
            key().kid(),
            "another key than it is signed by"
        );
        assert!(verified.is_for(ACCESS_TOKEN) && !verified.is_for("other"));
        assert!(verified.expires_at() > NOW);
        for (method, url) in [("GET", VERIFIER.url), ("POST", "https://id.example/tokens")] {
            let other = ProofVerifier {
                method,
                url,
                ..VERIFIER
            };
            assert!(
                other.verify(&proof, NOW).is_err(),
                "good for another request"
            );
        }
    }
}

fn proof(header: &str, claims: &str) -> String {
    let jwk = serde_json::to_value(key().public_jwk()).expect("JSON");
    let good_header = json!({
        "alg": "ES256", "typ": "dpop+jwt",
        "jwk": { "kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"] },
    });
    let good = json!({
        "jti": "j", "htm": "POST", "htu": "https://id.example/token", "iat": NOW.secs(),
        "ath": ath(ACCESS_TOKEN),
    });
    signed(&changed(good_header, header), &changed(good, claims))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_is_believed() {
        let verified = VERIFIER.verify(&proof("{}", "{}"), NOW);
        assert!(verified.is_ok(), "{:?}", verified.err());
    }
}
