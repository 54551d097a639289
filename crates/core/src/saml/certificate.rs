//! The public key in an X.509 certificate, as an identity provider's metadata has it.
//!
//! Here a certificate is a wrapper around a key and no more (saml-metadata-iop-2.0 section 2.5.1):
//! that an operator configured it is what makes it trusted. Its names, dates and own signature are not
//! looked at; a provider's self-signed certificate outlives its date more often than it is replaced.

use super::SamlError;
use crate::text::from_base64_wrapped;
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, TagNumber};
use p256::ecdsa::signature::Verifier;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::sha2::{Digest, Sha256};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use spki::SubjectPublicKeyInfoRef;

/// The longest certificate that is read, as base64.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
/// The weakest RSA key that is used, in bits; the strongest is of 4096.
const MIN_RSA_BITS: usize = 2048;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// How an element is signed (RFC 9231 sections 2.3.2 and 2.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
    /// ECDSA on P-256 with SHA-256, as `r || s`.
    EcdsaSha256,
}

/// A key that an identity provider signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey(Material);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa(Box<RsaPublicKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
}

impl VerifyingKey {
    /// The key in a certificate: its DER in base64, with or without PEM's lines around it.
    pub fn from_certificate(text: &str) -> Result<Self, SamlError> {
        if text.len() > MAX_CERTIFICATE_BYTES {
            return Err(SamlError::Certificate);
        }
        let text = text.trim();
        let base64 = match text.strip_prefix("-----BEGIN CERTIFICATE-----") {
            Some(rest) => rest
                .strip_suffix("-----END CERTIFICATE-----")
                .ok_or(SamlError::Certificate)?,
            None => text,
        };
        let der = from_base64_wrapped(base64).ok_or(SamlError::Certificate)?;
        Self::from_der(&der).ok_or(SamlError::Certificate)
    }

    fn from_der(certificate: &[u8]) -> Option<Self> {
        let mut reader = SliceReader::new(certificate).ok()?;
        let key = public_key(&mut reader).ok()?;
        reader.finish(()).ok()?;
        let bytes = key.subject_public_key.as_bytes()?;
        let material = if key.algorithm.oid == RSA_ENCRYPTION {
            let key = RsaPublicKey::from_pkcs1_der(bytes).ok()?;
            (key.n().bits() >= MIN_RSA_BITS).then(|| Material::Rsa(Box::new(key)))
        } else if key.algorithm.oid == EC_PUBLIC_KEY && parameter(&key) == Some(P256) {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok()?;
            Some(Material::P256(Box::new(key)))
        } else {
            None
        };
        material.map(Self)
    }

    /// Whether `signature` is by this key over `message`. Never, if the algorithm is for another type.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.0, algorithm) {
            (Material::Rsa(key), Algorithm::RsaSha256) => {
                let scheme = Pkcs1v15Sign::new::<Sha256>();
                key.verify(scheme, &Sha256::digest(message), signature)
                    .is_ok()
            }
            (Material::P256(key), Algorithm::EcdsaSha256) => {
                p256::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            _ => false,
        }
    }

    /// A key for tests, which make their own signatures.
    #[cfg(test)]
    pub(super) fn from_p256(key: p256::ecdsa::VerifyingKey) -> Self {
        Self(Material::P256(Box::new(key)))
    }
}

/// `subjectPublicKeyInfo` of a `Certificate` (RFC 5280 section 4.1); the rest is stepped over.
fn public_key<'a>(reader: &mut SliceReader<'a>) -> der::Result<SubjectPublicKeyInfoRef<'a>> {
    const VERSION: Tag = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber::N0,
    };
    reader.sequence(|certificate| {
        let key = certificate.sequence(|signed| {
            if signed.peek_tag()? == VERSION {
                AnyRef::decode(signed)?;
            }
            // serialNumber, signature, issuer, validity, subject.
            for _ in 0..5 {
                AnyRef::decode(signed)?;
            }
            let key = SubjectPublicKeyInfoRef::decode(signed)?;
            while !signed.is_finished() {
                AnyRef::decode(signed)?;
            }
            Ok(key)
        })?;
        // signatureAlgorithm, signatureValue.
        AnyRef::decode(certificate)?;
        AnyRef::decode(certificate)?;
        Ok(key)
    })
}

fn parameter(key: &SubjectPublicKeyInfoRef<'_>) -> Option<ObjectIdentifier> {
    key.algorithm.parameters?.decode_as().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{EC_CERTIFICATE, RSA_CERTIFICATE, WEAK_CERTIFICATE};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rsa_and_p256_keys_are_found_with_and_without_pem_lines() {
        for pem in [RSA_CERTIFICATE, EC_CERTIFICATE] {
            let key = VerifyingKey::from_certificate(pem).expect("a key");
            let bare: String = pem.lines().filter(|line| !line.contains("--")).collect();
            assert_eq!(VerifyingKey::from_certificate(&bare), Ok(key));
        }
    }

    #[test]
    fn a_weak_key_is_refused() {
        assert_eq!(
            VerifyingKey::from_certificate(WEAK_CERTIFICATE),
            Err(SamlError::Certificate)
        );
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let long = "A".repeat(MAX_CERTIFICATE_BYTES + 1);
        let cut = RSA_CERTIFICATE.replace("-----END CERTIFICATE-----", "");
        for text in ["", "MIIB", "not base64!", &long, &cut] {
            assert_eq!(
                VerifyingKey::from_certificate(text),
                Err(SamlError::Certificate),
                "{text:.20}"
            );
        }
    }

    #[test]
    fn a_key_verifies_with_the_algorithm_of_its_type_only() {
        for (pem, algorithm) in [
            (RSA_CERTIFICATE, Algorithm::EcdsaSha256),
            (EC_CERTIFICATE, Algorithm::RsaSha256),
        ] {
            let key = VerifyingKey::from_certificate(pem).expect("a key");
            assert!(!key.verifies(algorithm, b"m", &[1; 64]));
            assert!(!key.verifies(algorithm, b"m", &[1; 256]));
        }
    }

    proptest! {
        #[test]
        fn a_certificate_cut_short_or_lengthened_is_refused(at: prop::sample::Index, more: u8) {
            let bare: String = RSA_CERTIFICATE
                .lines()
                .filter(|line| !line.contains("--"))
                .collect();
            let der = from_base64_wrapped(&bare).expect("base64");
            let cut = der.get(..at.index(der.len())).unwrap_or_default();
            prop_assert!(VerifyingKey::from_der(cut).is_none());
            let longer = [&der[..], &[more]].concat();
            prop_assert!(VerifyingKey::from_der(&longer).is_none());
        }
    }
}
