//! The seam for signatures of our own tokens: everything is decided but the cryptography.
//!
//! In the runtime `WebCrypto` does it, which is asynchronous and several times as fast as
//! any code of ours; on the host it is done here. Either way a token takes one path:
//!
//! ```text
//! text -> UnverifiedToken -> Pending<T> -- settle(verdict) --> T
//!                            key chosen, nothing believed      claims judged, only if Good
//! ```
//!
//! A [`Pending`] hides the claims, and `T` is not made before the verdict: whoever forgets to check has
//! nothing in hand. [`Pending::settle`] trusts its caller and has one caller outside this file: the
//! Worker's module that speaks to `WebCrypto`.

use super::{Key, Material, SignedClaims};
use crate::jwt::TokenError;
use crate::jwt::unverified::UnverifiedToken;
use jwt_simple::prelude::ECDSAP256PublicKeyLike;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};

/// The length of an ES256 signature, R and S (RFC 7518 section 3.4).
pub const SIGNATURE_BYTES: usize = 64;
/// The length of a point on P-256, uncompressed (SEC 1 section 2.3.3).
pub const POINT_BYTES: usize = 65;

/// What became of checking a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureVerdict {
    /// It is by that key over those bytes.
    Good,
    /// It is not.
    Bad,
}

/// An ES256 signature that nobody has checked yet, and the one key that may have made it.
pub struct PendingSignature<'a> {
    token: UnverifiedToken<'a>,
    kid: Option<String>,
    key: VerifyingKey,
    point: [u8; POINT_BYTES],
    signature: [u8; SIGNATURE_BYTES],
}

impl<'a> PendingSignature<'a> {
    pub(super) fn of(token: UnverifiedToken<'a>, key: &Key) -> Result<Self, TokenError> {
        let Material::P256(public) = &key.material else {
            return Err(TokenError::Algorithm);
        };
        let verifying: VerifyingKey = *public.public_key().as_ref();
        let point = verifying.to_encoded_point(false);
        let point = point
            .as_bytes()
            .try_into()
            .map_err(|_| TokenError::UnknownKey)?;
        let signature = token.signature()?;
        Ok(Self {
            token,
            kid: key.kid.clone(),
            key: verifying,
            point,
            signature: signature.try_into().map_err(|_| TokenError::Signature)?,
        })
    }

    fn verdict(&self) -> SignatureVerdict {
        let good = Signature::from_slice(&self.signature).is_ok_and(|signature| {
            let input = self.token.signing_input().as_bytes();
            self.key.verify(input, &signature).is_ok()
        });
        if good {
            SignatureVerdict::Good
        } else {
            SignatureVerdict::Bad
        }
    }

    fn settle(self, verdict: SignatureVerdict) -> Result<SignedClaims, TokenError> {
        match verdict {
            SignatureVerdict::Good => Ok(SignedClaims {
                claims: self.token.into_claims(),
                kid: self.kid,
            }),
            SignatureVerdict::Bad => Err(TokenError::Signature),
        }
    }
}

type Judge<'a, T> = Box<dyn FnOnce(SignedClaims) -> Result<T, TokenError> + 'a>;

/// A token of ours that becomes a `T` once its signature has been found good, and if what it says
/// then holds.
#[must_use = "nothing has been verified yet"]
pub struct Pending<'a, T> {
    signature: PendingSignature<'a>,
    judge: Judge<'a, T>,
}

impl<'a, T> Pending<'a, T> {
    pub(in crate::jwt) fn new(
        signature: PendingSignature<'a>,
        judge: impl FnOnce(SignedClaims) -> Result<T, TokenError> + 'a,
    ) -> Self {
        Self {
            signature,
            judge: Box::new(judge),
        }
    }

    /// The public key to check with, as an uncompressed point.
    #[must_use]
    pub fn public_point(&self) -> &[u8; POINT_BYTES] {
        &self.signature.point
    }

    /// What was signed.
    #[must_use]
    pub fn signing_input(&self) -> &'a [u8] {
        self.signature.token.signing_input().as_bytes()
    }

    /// The signature to check, as `WebCrypto` takes it too.
    #[must_use]
    pub fn signature(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.signature.signature
    }

    /// Goes on with what checking [`signature`](Self::signature) over
    /// [`signing_input`](Self::signing_input) with [`public_point`](Self::public_point) has shown.
    /// Who cannot check passes [`SignatureVerdict::Bad`].
    pub fn settle(self, verdict: SignatureVerdict) -> Result<T, TokenError> {
        (self.judge)(self.signature.settle(verdict)?)
    }

    /// Checks the signature here and now.
    pub fn check(self) -> Result<T, TokenError> {
        let verdict = self.signature.verdict();
        self.settle(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::testing::{our_key, our_keys};
    use proptest::prelude::*;
    use serde_json::json;

    fn token() -> String {
        our_key()
            .sign(&json!({ "sub": "a" }), "JWT")
            .expect("signs")
    }

    fn pending(text: &str) -> Result<Pending<'_, Option<String>>, TokenError> {
        let signature = our_keys().pending(UnverifiedToken::parse(text)?)?;
        Ok(Pending::new(signature, |signed| Ok(signed.into_parts().1)))
    }

    #[test]
    fn what_is_pending_is_enough_for_another_implementation_to_check() {
        let text = token();
        let pending = pending(&text).expect("a key fits");
        let key = VerifyingKey::from_sec1_bytes(pending.public_point()).expect("a point");
        let signature = Signature::from_slice(pending.signature()).expect("R and S");
        assert!(key.verify(pending.signing_input(), &signature).is_ok());
        let kid = pending.settle(SignatureVerdict::Good).expect("good");
        assert_eq!(kid.as_deref(), Some(our_key().kid()));
    }

    #[test]
    fn claims_are_judged_only_if_the_signature_is_good() {
        let text = token();
        let signature = UnverifiedToken::parse(&text).and_then(|token| our_keys().pending(token));
        let pending = Pending::new(signature.expect("a key fits"), |_| -> Result<(), _> {
            panic!("judged")
        });
        let refused = pending.settle(SignatureVerdict::Bad);
        assert_eq!(refused, Err(TokenError::Signature));
    }

    #[test]
    fn a_signature_of_another_length_or_alphabet_is_refused() {
        let text = token();
        let (input, signature) = text.rsplit_once('.').expect("parts");
        for (signature, expected) in [
            (String::new(), TokenError::Signature),
            (format!("{signature}AA"), TokenError::Signature),
            (signature[2..].to_owned(), TokenError::Signature),
            (signature[1..].to_owned(), TokenError::Malformed),
            (format!("{signature}=="), TokenError::Malformed),
            (signature.replace(['-', '_'], "/"), TokenError::Malformed),
        ] {
            let changed = format!("{input}.{signature}");
            if changed != text {
                assert_eq!(pending(&changed).err(), Some(expected), "{signature}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_changed_token_never_checks(at: prop::sample::Index, to in "[A-Za-z0-9_.=-]") {
            let mut changed = token();
            let at = at.index(changed.len());
            prop_assume!(changed.get(at..=at) != Some(to.as_str()));
            changed.replace_range(at..=at, &to);
            prop_assert!(pending(&changed).and_then(Pending::check).is_err());
        }
    }
}
