//! The signature in an element, about that element (XML Signature 1.1, as saml-core-2.0-os section 5.4
//! narrows it).
//!
//! One form is accepted: `Signature` is a child of the element; `SignedInfo` has exactly one
//! `Reference`, to the ID of that very element; the transforms are `enveloped-signature` and exclusive
//! canonicalisation, in this order; the digest is SHA-256. `KeyInfo` is not read and `Object` is
//! refused. What was found good is handed on as a [`SignedElement`], which is the element itself.

use super::SamlError;
use super::c14n::canonical;
use super::certificate::{Algorithm, VerifyingKey};
use super::document::{attribute, child, children, text};
use crate::secret::Digest;
use crate::text::from_base64_wrapped;
use roxmltree::Node;

/// The namespace of XML signatures.
pub(super) const SIGNATURE_NS: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// With comments or without is the same here: there are none.
const EXCLUSIVE: [&str; 2] = [
    "http://www.w3.org/2001/10/xml-exc-c14n#",
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
];
const EXCLUSIVE_NS: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const ECDSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";

/// The most prefixes that are declared whether used or not.
const MAX_PREFIXES: usize = 32;

/// An element with a good signature. Only [`verify`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedElement<'a, 'i>(Node<'a, 'i>);

impl<'a, 'i> SignedElement<'a, 'i> {
    /// The element, of which everything but the `Signature` is signed.
    pub(super) fn node(self) -> Node<'a, 'i> {
        self.0
    }

    /// The one child of that name: what is in a signed element is signed with it.
    pub(super) fn child(self, namespace: &str, name: &str) -> Result<Self, SamlError> {
        let child = child(self.0, namespace, name)?;
        child.map(Self).ok_or(SamlError::Malformed)
    }
}

/// Checks the signature in `element`, if there is one: `None` if there is not.
pub(super) fn verify<'a, 'i>(
    element: Node<'a, 'i>,
    keys: &[VerifyingKey],
) -> Result<Option<SignedElement<'a, 'i>>, SamlError> {
    let Some(signature) = child(element, SIGNATURE_NS, "Signature")? else {
        return Ok(None);
    };
    let [signed_info, value, rest @ ..] = &elements(signature)?[..] else {
        return Err(SamlError::Reference);
    };
    let key_info_at_most = match rest {
        [] => true,
        [key_info] => key_info.has_tag_name((SIGNATURE_NS, "KeyInfo")),
        _ => false,
    };
    if !key_info_at_most {
        return Err(SamlError::Reference);
    }
    let signed_info = named(*signed_info, "SignedInfo")?;
    let value = bytes(named(*value, "SignatureValue")?)?;

    let [canonicalization, method, reference] = elements(signed_info)?[..] else {
        return Err(SamlError::Reference);
    };
    let inclusive = exclusive(named(canonicalization, "CanonicalizationMethod")?)?;
    let method = algorithm(named(method, "SignatureMethod")?)?;
    let reference = Reference::parse(named(reference, "Reference")?, element)?;

    // What is signed first, which is short: only then is the rest worth the time.
    let message = canonical(signed_info, None, &inclusive)?;
    let good = |key: &VerifyingKey| key.verifies(method, message.as_bytes(), &value);
    if !keys.iter().any(good) {
        return Err(SamlError::Signature);
    }
    let content = canonical(element, Some(signature.id()), &reference.inclusive)?;
    if reference.digest != Digest::of(content.as_bytes()).as_bytes() {
        return Err(SamlError::Signature);
    }
    Ok(Some(SignedElement(element)))
}

/// What a signature says of the element that it is about.
struct Reference<'a> {
    digest: Vec<u8>,
    /// The prefixes that its canonical form declares anyway.
    inclusive: Vec<&'a str>,
}

impl<'a> Reference<'a> {
    /// Reads a `Reference` that is to `element`.
    fn parse(reference: Node<'a, '_>, element: Node<'_, '_>) -> Result<Self, SamlError> {
        let id = attribute(element, "ID").filter(|id| !id.is_empty());
        let target = attribute(reference, "URI").and_then(|uri| uri.strip_prefix('#'));
        if id.is_none() || target != id {
            return Err(SamlError::Reference);
        }
        let [transforms, method, value] = elements(reference)?[..] else {
            return Err(SamlError::Reference);
        };
        let [enveloped, exclusive_c14n] = elements(named(transforms, "Transforms")?)?[..] else {
            return Err(SamlError::Reference);
        };
        let enveloped = named(enveloped, "Transform")?;
        if attribute(enveloped, "Algorithm") != Some(ENVELOPED) || enveloped.has_children() {
            return Err(SamlError::Algorithm);
        }
        let inclusive = exclusive(named(exclusive_c14n, "Transform")?)?;
        let method = named(method, "DigestMethod")?;
        if attribute(method, "Algorithm") != Some(SHA256) || method.has_children() {
            return Err(SamlError::Algorithm);
        }
        let digest = bytes(named(value, "DigestValue")?)?;
        Ok(Self { digest, inclusive })
    }
}

/// The prefixes that an exclusive canonicalisation declares anyway.
fn exclusive<'a>(method: Node<'a, '_>) -> Result<Vec<&'a str>, SamlError> {
    let algorithm = attribute(method, "Algorithm").unwrap_or_default();
    if !EXCLUSIVE.contains(&algorithm) {
        return Err(SamlError::Algorithm);
    }
    let prefixes = match elements(method)?[..] {
        [] => "",
        [only]
            if only.has_tag_name((EXCLUSIVE_NS, "InclusiveNamespaces")) && !only.has_children() =>
        {
            attribute(only, "PrefixList").unwrap_or_default()
        }
        _ => return Err(SamlError::Algorithm),
    };
    let prefixes: Vec<_> = prefixes.split_ascii_whitespace().collect();
    if prefixes.len() > MAX_PREFIXES {
        return Err(SamlError::TooLarge);
    }
    Ok(prefixes)
}

fn algorithm(method: Node<'_, '_>) -> Result<Algorithm, SamlError> {
    match attribute(method, "Algorithm") {
        Some(RSA_SHA256) if !method.has_children() => Ok(Algorithm::RsaSha256),
        Some(ECDSA_SHA256) if !method.has_children() => Ok(Algorithm::EcdsaSha256),
        _ => Err(SamlError::Algorithm),
    }
}

/// The children of an element that has no text but white space.
fn elements<'a, 'i>(node: Node<'a, 'i>) -> Result<Vec<Node<'a, 'i>>, SamlError> {
    let blank = |child: Node<'_, '_>| child.text().is_none_or(|text| text.trim().is_empty());
    if !node.children().filter(Node::is_text).all(blank) {
        return Err(SamlError::Reference);
    }
    Ok(node.children().filter(Node::is_element).collect())
}

fn named<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Result<Node<'a, 'i>, SamlError> {
    if node.has_tag_name((SIGNATURE_NS, name)) {
        Ok(node)
    } else {
        Err(SamlError::Reference)
    }
}

fn bytes(node: Node<'_, '_>) -> Result<Vec<u8>, SamlError> {
    text(node)
        .and_then(from_base64_wrapped)
        .ok_or(SamlError::Reference)
}

/// How many signatures there are right inside `node`.
pub(super) fn count(node: Node<'_, '_>) -> usize {
    children(node, SIGNATURE_NS, "Signature").count()
}
