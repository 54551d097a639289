//! A public key that a token brings along, and the one kind of token that may: a `DPoP` proof, which
//! shows that its sender has the key and nothing else.
//!
//! It is checked here and not with the library, which refuses headers with a `jwk`.

use super::{Key, Material};
use crate::jwt::unverified::{UnverifiedToken, text};
use crate::jwt::{Algorithm, TokenError};
use crate::text::base64url;
use ed25519_compact as ed25519;
use hmac_sha256::Hash;
use jwt_simple::prelude::{ECDSAP256PublicKeyLike, EdDSAPublicKeyLike};
use p256::ecdsa::signature::Verifier;
use serde_json::{Map, Value};

/// Members of a JWK that are secret (RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key on P-256 or Ed25519 of which nothing is known.
pub(in crate::jwt) struct EmbeddedKey {
    key: Key,
    thumbprint: String,
}

impl EmbeddedKey {
    /// The key of a JWK; `None` if it is of another type, is for another use, or has a private part.
    pub(in crate::jwt) fn parse(jwk: &Map<String, Value>) -> Option<Self> {
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
            return None;
        }
        let key = Key::parse(jwk)?;
        // The required members in lexical order, without white space (RFC 7638 section 3). Their
        // values were decoded, so they are base64url and nothing that JSON would escape.
        let (x, y) = (text(jwk, "x"), text(jwk, "y"));
        let canonical = match &key.material {
            Material::P256(_) => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, x?, y?)
            }
            Material::Ed25519(_) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, x?),
            Material::Rsa(_) => return None,
        };
        Some(Self {
            key,
            thumbprint: base64url(&Hash::hash(canonical.as_bytes())),
        })
    }

    /// Its name (RFC 7638).
    pub(in crate::jwt) fn into_thumbprint(self) -> String {
        self.thumbprint
    }

    /// The claims of the token that brought it, if it signed them.
    pub(in crate::jwt) fn verify(
        &self,
        token: UnverifiedToken<'_>,
    ) -> Result<Map<String, Value>, TokenError> {
        let algorithm = Algorithm::parse(token.alg()).ok_or(TokenError::Algorithm)?;
        if !self.key.fits(algorithm) {
            return Err(TokenError::Algorithm);
        }
        let (input, signature) = (token.signing_input().as_bytes(), token.signature()?);
        let good = match &self.key.material {
            Material::P256(key) => p256::ecdsa::Signature::from_slice(&signature)
                .is_ok_and(|signature| key.public_key().as_ref().verify(input, &signature).is_ok()),
            Material::Ed25519(key) => ed25519::Signature::from_slice(&signature)
                .is_ok_and(|signature| key.public_key().as_ref().verify(input, &signature).is_ok()),
            Material::Rsa(_) => false,
        };
        if good {
            Ok(token.into_claims())
        } else {
            Err(TokenError::Signature)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn thumbprint(jwk: &Value) -> Option<String> {
        EmbeddedKey::parse(jwk.as_object().expect("an object")).map(EmbeddedKey::into_thumbprint)
    }

    #[test]
    fn thumbprints_are_those_of_the_standards_examples() {
        // RFC 9449 section 4.2 (the key) and section 6.1 (its thumbprint).
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        });
        let expected = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(thumbprint(&jwk).as_deref(), Some(expected));
        // RFC 8037 appendix A.3.
        let jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(thumbprint(&jwk).as_deref(), Some(expected));
    }
}
