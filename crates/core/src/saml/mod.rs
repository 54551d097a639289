//! SAML 2.0 from the side of the relying party: asking an identity provider to log somebody in, and
//! believing what it answers.
//!
//! Web Browser SSO only (saml-profiles-2.0-os section 4.1): the request goes out by the HTTP-Redirect
//! binding ([`request`]), the answer comes back by HTTP-POST ([`response`]). An answer passes through
//! types as a token does, and only the step between them makes the next: a `Document` is XML within
//! bounds and without what hides text, a `SignedElement` carries a good signature by a configured key,
//! and [`VerifiedAssertion`](response::VerifiedAssertion) says what it must say to us, now.
//!
//! What closes whole classes of attack:
//! - The element whose signature was checked is the element that is read. Nothing is looked up by ID,
//!   so there is no second element to find instead (signature wrapping).
//! - There is one assertion in the document and no signature but those checked.
//! - A comment, a processing instruction or a DTD anywhere refuses the whole: no text can be read
//!   differently from how it was signed, and there are no entities.
//! - Keys come from the certificates that an operator configured, never from the message.
//! - RSA PKCS #1 v1.5 and ECDSA on P-256, both with SHA-256. SHA-1 and HMAC have no representation.
//!
//! Instants are UTC. What was issued or becomes valid in the future is accepted up to the
//! [skew](response::ResponseVerifier::max_clock_skew_secs); expiry has no leeway.
//!
//! Out of scope: answers to no request of ours (IdP-initiated log-in), encrypted assertions, the
//! artifact and SOAP bindings, signed requests, logout, reading metadata. That an assertion counts once
//! is for the caller to see: [`VerifiedAssertion`](response::VerifiedAssertion) names what to remember
//! and until when.

pub mod certificate;
pub mod metadata;
pub mod request;
pub mod response;

mod c14n;
mod document;
mod signature;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;

/// The longest response that is read, as XML.
pub const MAX_RESPONSE_BYTES: usize = 256 * 1024;

/// The namespace of assertions (saml-core-2.0-os section 1.2).
const ASSERTION_NS: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// The namespace of requests and responses (saml-core-2.0-os section 1.2).
const PROTOCOL_NS: &str = "urn:oasis:names:tc:SAML:2.0:protocol";

/// Why a message was not accepted. The text form goes into replies and into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SamlError {
    /// Not base64, not well-formed XML, or not a response as the schema has it.
    Malformed,
    /// Longer, deeper or with more parts than is read.
    TooLarge,
    /// A DTD, a processing instruction or a comment.
    Markup,
    /// Two elements share an ID.
    DuplicateId,
    /// What is inside was encrypted.
    Encrypted,
    /// Not exactly one assertion.
    Assertions,
    /// Neither the assertion nor the response is signed.
    Unsigned,
    /// A signature of another form than the one that is accepted, or over another element than the
    /// one it stands in.
    Reference,
    /// Signed, hashed or canonicalised by an algorithm that is not accepted.
    Algorithm,
    /// The signature is not by a configured key over this element.
    Signature,
    /// The provider did not log anybody in.
    Status,
    /// Another issuer.
    Issuer,
    /// The response was sent to another address.
    Destination,
    /// Not the answer to the request.
    InResponseTo,
    /// For another audience.
    Audience,
    /// To be presented to another recipient.
    Recipient,
    /// A condition that is not understood.
    Condition,
    /// It says of nobody that whoever presents it is they.
    Subject,
    /// It does not say once when and how somebody authenticated.
    Authentication,
    /// Its time has passed.
    Expired,
    /// Its time lies in the future.
    NotYetValid,
    /// Not a certificate, or its key is of another type or too weak.
    Certificate,
    /// The provider's address is not one that a browser can be sent to.
    Endpoint,
}

impl SamlError {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Markup => "markup",
            Self::DuplicateId => "duplicate_id",
            Self::Encrypted => "encrypted",
            Self::Assertions => "assertions",
            Self::Unsigned => "unsigned",
            Self::Reference => "reference",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Status => "status",
            Self::Issuer => "issuer",
            Self::Destination => "destination",
            Self::InResponseTo => "in_response_to",
            Self::Audience => "audience",
            Self::Recipient => "recipient",
            Self::Condition => "condition",
            Self::Subject => "subject",
            Self::Authentication => "authentication",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Certificate => "certificate",
            Self::Endpoint => "endpoint",
        }
    }
}

impl fmt::Display for SamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for SamlError {}
