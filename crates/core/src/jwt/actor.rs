//! Who acts for somebody else (RFC 8693 section 4.1).
//!
//! An actor is named with the session that their power rests on: ending that session ends the
//! tokens that they act with. Out of scope: `may_act` (section 4.4).

use crate::id::{SessionId, SubjectKey};
use crate::session::check::ActorCheck;
use serde::{Deserialize, Serialize};
use std::iter;

/// The longest chain of actors that is accepted.
pub const MAX_ACTORS: usize = 4;

/// One who acts, and on what session of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub sub: SubjectKey,
    /// Through which client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The actor's own session.
    pub sid: SessionId,
    /// The actor's generation when the token was minted.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The actor before, on whose behalf this one acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl Actor {
    /// This actor and those before, the present one first.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |actor| actor.act.as_deref())
    }

    /// Whether the chain is longer than [`MAX_ACTORS`].
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.chain().nth(MAX_ACTORS).is_some()
    }
}

impl From<&Actor> for ActorCheck {
    fn from(actor: &Actor) -> Self {
        Self {
            subject: actor.sub,
            session: actor.sid,
            generation: actor.generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenError;
    use super::super::access_token::{AccessTokenClaims, AccessTokenVerifier, TYP};
    use super::super::testing::{
        NOW, access_token_claims, our_key, our_keys, signed, with, without,
    };
    use super::*;
    use serde_json::{Value, json};

    const VERIFIER: AccessTokenVerifier<'_> = AccessTokenVerifier {
        issuer: "https://id.example",
        audience: None,
    };

    fn actor(act: Option<Actor>) -> Actor {
        Actor {
            sub: SubjectKey::from_bytes([6; 16]),
            client_id: Some("agent".to_owned()),
            sid: SessionId::from_bytes([7; 16]),
            generation: 8,
            act: act.map(Box::new),
        }
    }

    fn refusal(act: Value) -> Option<TokenError> {
        let header = json!({ "alg": "ES256", "typ": TYP, "kid": our_key().kid() });
        let claims = serde_json::to_value(access_token_claims()).expect("JSON");
        let token = signed(&header, &with(&claims, "act", act));
        VERIFIER.verify(&token, &our_keys(), NOW).err()
    }

    #[test]
    fn an_actor_is_named_with_the_session_that_its_power_rests_on() {
        let claims = AccessTokenClaims {
            act: Some(actor(None)),
            ..access_token_claims()
        };
        let json = serde_json::to_value(&claims).expect("JSON");
        assert_eq!(
            json["act"],
            json!({
                "sub": "sub_BgYGBgYGBgYGBgYGBgYGBg", "client_id": "agent",
                "sid": "ses_BwcHBwcHBwcHBwcHBwcHBw", "gen": 8,
            })
        );
        let text = our_key().sign(&claims, TYP).expect("signs");
        let token = VERIFIER.verify(&text, &our_keys(), NOW).expect("verifies");
        let expected = ActorCheck {
            subject: actor(None).sub,
            session: actor(None).sid,
            generation: 8,
        };
        assert_eq!(token.check_request().actors, [expected]);
    }

    #[test]
    fn a_chain_of_actors_is_bounded_and_each_of_them_whole() {
        let mut act = actor(None);
        for length in 1..10 {
            let expected = (length > MAX_ACTORS).then_some(TokenError::Claims);
            assert_eq!(refusal(json!(act)), expected, "{length}");
            assert_eq!(act.is_too_long(), length > MAX_ACTORS);
            act = actor(Some(act));
        }
        for name in ["sub", "sid", "gen"] {
            let act = without(&json!(actor(None)), name);
            assert_eq!(refusal(act), Some(TokenError::Claims), "{name}");
        }
    }
}
