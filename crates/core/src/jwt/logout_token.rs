//! Logout tokens (OIDC Back-Channel Logout 1.0 section 2.4): what a client is told when a session
//! that it has tokens of is over.
//!
//! Out of scope: receiving them, and sending them.

use crate::id::{SessionId, SubjectKey, TokenId};
use crate::time::UnixMillis;
use serde::Serialize;

/// The `typ` of a logout token (section 2.4).
pub const TYP: &str = "logout+jwt";
/// How long one is good for, in seconds: at most two minutes (section 2.4), so that it cannot be
/// kept and sent again later.
pub const TTL_SECS: u64 = 120;
/// The event that makes a token a logout token (section 2.4).
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What our logout tokens say. There is no `nonce`, which section 2.4 prohibits, so that one never
/// passes for an ID token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogoutTokenClaims {
    iss: String,
    sub: SubjectKey,
    aud: String,
    iat: u64,
    exp: u64,
    jti: TokenId,
    sid: SessionId,
    events: Events,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Events {
    #[serde(rename = "http://schemas.openid.net/event/backchannel-logout")]
    backchannel_logout: Empty,
}

/// The JSON object without members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Empty {}

impl LogoutTokenClaims {
    /// Tells `client_id` that this session of that subject is over.
    #[must_use]
    pub const fn new(
        issuer: String,
        client_id: String,
        subject: SubjectKey,
        session: SessionId,
        token: TokenId,
        now: UnixMillis,
    ) -> Self {
        Self {
            iss: issuer,
            sub: subject,
            aud: client_id,
            iat: now.secs(),
            exp: now.secs().saturating_add(TTL_SECS),
            jti: token,
            sid: session,
            events: Events {
                backchannel_logout: Empty {},
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::id_token::{IdTokenVerifier, verify_id_token_hint};
    use super::super::testing::{NOW, our_key, our_keys};
    use super::super::{TokenError, access_token::AccessTokenVerifier};
    use super::*;
    use serde_json::json;

    fn claims() -> LogoutTokenClaims {
        LogoutTokenClaims::new(
            "https://id.example".to_owned(),
            "app".to_owned(),
            SubjectKey::from_bytes([1; 16]),
            SessionId::from_bytes([3; 16]),
            TokenId::from_bytes([2; 16]),
            NOW,
        )
    }

    #[test]
    fn a_logout_token_says_what_section_2_4_requires_and_no_nonce() {
        assert_eq!(
            serde_json::to_value(claims()).expect("JSON"),
            json!({
                "iss": "https://id.example", "sub": "sub_AQEBAQEBAQEBAQEBAQEBAQ", "aud": "app",
                "iat": 1_800_000_000, "exp": 1_800_000_120, "jti": "jti_AgICAgICAgICAgICAgICAg",
                "sid": "ses_AwMDAwMDAwMDAwMDAwMDAw", "events": { EVENT: {} },
            })
        );
    }

    #[test]
    fn a_logout_token_is_no_other_kind_of_token() {
        let text = our_key().sign(&claims(), TYP).expect("signs");
        let access = AccessTokenVerifier {
            issuer: "https://id.example",
            audience: None,
        };
        let refused = access.verify(&text, &our_keys(), NOW).err();
        assert_eq!(refused, Some(TokenError::Type));
        let hint = verify_id_token_hint(&text, &our_keys(), "https://id.example");
        assert_eq!(hint.err(), Some(TokenError::Type));
        let id_token = IdTokenVerifier {
            issuer: "https://id.example",
            client_id: "app",
            nonce: "n",
        };
        let refused = id_token.verify(&text, &our_keys(), NOW).err();
        assert_eq!(refused, Some(TokenError::Type));
    }
}
