//! Identifiers: one type each, a prefixed text form outside, bare bytes on the wire.
//!
//! The text form is the prefix and unpadded base64url, e.g. `sub_AAECAwQFBgcICQoLDA0ODw`. JSON
//! carries the text; postcard carries the bytes.

use crate::secret::Digest;
use crate::text::{base64url, folded, from_base64url};
use hmac_sha256::{HMAC, Hash};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// The text is not an identifier of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid identifier")
    }
}

impl std::error::Error for InvalidId {}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes the identifier from 16 bytes, which are random unless its docs say otherwise.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes behind the text form.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), base64url(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let rest = text.strip_prefix($prefix).ok_or(InvalidId)?;
                let bytes = from_base64url(rest).ok_or(InvalidId)?;
                bytes.try_into().map(Self).map_err(|_| InvalidId)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = InvalidId;

            fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
                bytes.try_into().map(Self).map_err(|_| InvalidId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?
                        .parse()
                        .map_err(de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

identifier!(
    /// A person or service: a keyed hash of (connection, claim value), so that no personal data
    /// shows in object names. Made by [`SubjectKey::derive`] only.
    SubjectKey,
    "sub_"
);
identifier!(
    /// A session (`sid`, OIDC Front-Channel Logout section 3): one log-in on one device.
    SessionId,
    "ses_"
);
identifier!(
    /// A grant (`gid`): what one client was given within a session.
    GrantId,
    "gnt_"
);
identifier!(
    /// A token's `jti` (RFC 7519 section 4.1.7).
    TokenId,
    "jti_"
);
identifier!(
    /// One run of a producer of audit events; with a sequence it identifies an event.
    ProducerId,
    "prd_"
);
identifier!(
    /// One life of a [feed](crate::feed)'s sequence: another one counts anew.
    IncarnationId,
    "inc_"
);
identifier!(
    /// The ID of a SAML request of ours (saml-core-2.0-os section 1.3.4), which its answer repeats.
    SamlRequestId,
    "saml_"
);
identifier!(
    /// What the log says in place of a session or token id, or of a policy: enough to correlate by, of no use to
    /// anyone who wants to present it.
    LogHash,
    "h_"
);

identifier!(
    /// A secret of a SCIM endpoint, by which operators name it. Made by [`ScimSecretId::of`] only.
    ScimSecretId,
    "scs_"
);

identifier!(
    /// A dead letter of the audit log. Made by [`LetterId::of`] only.
    LetterId,
    "ltr_"
);

impl LetterId {
    /// The id of the letter that holds `content` for that reason: the same again is the same letter.
    #[must_use]
    pub fn of(reason: &str, content: &[u8]) -> Self {
        let mut hash = Hash::new();
        hash.update(reason);
        hash.update(b"\n");
        hash.update(content);
        Self(first_half(hash.finalize()))
    }
}

impl ScimSecretId {
    /// The id of the secret with that digest: nothing can be told of the secret from it.
    #[must_use]
    pub fn of(digest: &Digest) -> Self {
        Self(first_half(Hash::hash(digest.as_bytes())))
    }
}

impl ProducerId {
    /// The log's name for what calls itself this and may only say what a gateway may: another one than that of
    /// any producer that the log believes more of, whose sequence nobody else can use up.
    #[must_use]
    pub fn of_gateway(self) -> Self {
        let mut hash = Hash::new();
        hash.update(b"gateway\n");
        hash.update(self.0);
        Self(first_half(hash.finalize()))
    }
}

impl ProducerId {
    /// The log's name for a producer that sends its events by the API: of the role that it comes with and the name that it
    /// gives itself. It is nobody else's, whatever name is chosen.
    #[must_use]
    pub fn of_api(role: &str, name: &str) -> Self {
        let mut hash = Hash::new();
        hash.update(b"api\n");
        hash.update(role);
        hash.update(b"\n");
        hash.update(name);
        Self(first_half(hash.finalize()))
    }
}

impl SubjectKey {
    /// The key of the person that `connection` knows by `value`, under the naming key.
    ///
    /// `value` counts byte by byte, as `sub` does (OIDC Core section 2). The connection's length goes in
    /// front, so no two pairs share an input.
    #[must_use]
    pub fn derive(naming_key: &[u8; 32], connection: &str, value: &str) -> Self {
        let mut mac = HMAC::new(naming_key);
        mac.update((connection.len() as u64).to_be_bytes());
        mac.update(connection.as_bytes());
        mac.update(value.as_bytes());
        Self(first_half(mac.finalize()))
    }

    /// The same of a value that SCIM governs. `userName` is case-insensitive there (RFC 7643 section
    /// 4.1.1), and a kill that names `Alice` must reach the one who logs in as `alice`.
    #[must_use]
    pub fn derive_folded(naming_key: &[u8; 32], connection: &str, value: &str) -> Self {
        Self::derive(naming_key, connection, &folded(value))
    }
}

impl LogHash {
    /// The log's name for this session.
    #[must_use]
    pub fn of_session(session: SessionId) -> Self {
        Self(first_half(Hash::hash(session.as_bytes())))
    }

    /// The log's name for this token.
    #[must_use]
    pub fn of_token(token: TokenId) -> Self {
        Self(first_half(Hash::hash(token.as_bytes())))
    }

    /// The log's name for a policy, by its text.
    #[must_use]
    pub fn of_policy(text: &str) -> Self {
        Self(first_half(Hash::hash(text.as_bytes())))
    }

    /// The log's name for a secret of a SCIM endpoint: the same bytes as its id has.
    #[must_use]
    pub const fn of_scim_secret(id: ScimSecretId) -> Self {
        Self(id.0)
    }

    /// The log's name for a token of somebody else's, by its `jti`, or by its text if it has none.
    #[must_use]
    pub fn of_foreign_token(jti_or_text: &str) -> Self {
        Self(first_half(Hash::hash(jti_or_text.as_bytes())))
    }
}

fn first_half(digest: [u8; 32]) -> [u8; 16] {
    let [first, _] = *digest.as_chunks::<16>().0 else {
        return [0; 16];
    };
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_form_round_trips(bytes: [u8; 16]) {
            let id = SessionId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn parsing_arbitrary_text_never_panics_and_only_accepts_canonical_forms(text: String) {
            if let Ok(id) = text.parse::<SubjectKey>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn a_gateway_has_no_name_that_another_producer_has() {
        let claimed = ProducerId::from_bytes([1; 16]);
        assert_ne!(claimed.of_gateway(), claimed);
        assert_eq!(claimed.of_gateway(), claimed.of_gateway());
        assert_ne!(claimed.of_gateway().of_gateway(), claimed.of_gateway());
        let name = claimed.of_gateway().to_string();
        assert_eq!(name, "prd_EVGxn4sNK1CE6ro7xAwzzA");
    }

    #[test]
    fn a_producer_of_the_api_has_no_name_that_another_has() {
        let name = ProducerId::of_api("gateway", "billing-1");
        assert_eq!(name, ProducerId::of_api("gateway", "billing-1"));
        assert_ne!(name, ProducerId::of_api("admin", "billing-1"));
        assert_ne!(name, ProducerId::of_api("gateway", "billing-2"));
        assert_ne!(name, name.of_gateway());
    }

    #[test]
    fn a_letter_is_its_reason_and_its_content() {
        let id = LetterId::of("malformed", b"a");
        assert_eq!(id, LetterId::of("malformed", b"a"));
        assert_ne!(id, LetterId::of("malformed", b"b"));
        assert_ne!(id, LetterId::of("conflict", b"a"));
    }

    #[test]
    fn one_kind_does_not_parse_as_another() {
        let id = SessionId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse::<SubjectKey>(), Err(InvalidId));
    }

    #[test]
    fn subject_key_depends_on_each_part_and_on_where_one_ends() {
        let key = [1; 32];
        let base = SubjectKey::derive(&key, "demo", "alice");
        assert_ne!(base, SubjectKey::derive(&key, "demo", "ALICE"));
        let folded = |value| SubjectKey::derive_folded(&key, "demo", value);
        assert_eq!((base, base), (folded("alice"), folded("ALICE")));
        // The sign for Kelvin is no letter, though Unicode has one for its lower case.
        assert_ne!(folded("kate"), folded("\u{212a}ate"));
        assert_ne!(base, SubjectKey::derive(&key, "demoa", "lice"));
        assert_ne!(base, SubjectKey::derive(&key, "demo", "bob"));
        assert_ne!(base, SubjectKey::derive(&[2; 32], "demo", "alice"));
        assert_eq!(base.to_string(), "sub_o3G-jem-Uu3RkGGO-LZe0Q");
    }
}
