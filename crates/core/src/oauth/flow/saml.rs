//! A flow through a SAML provider: its answer comes before the browser does.
//!
//! The answer is a form that the provider's page has the browser post, from another site: the cookie of
//! the flow stays away. So the answer is taken without it, verified, and kept here, once; and the browser
//! is sent on to `/callback`, by a request that the cookie goes along with. It takes a code along that was
//! made for it. The cookie shows that this browser set out, the code that it brought the answer. Without
//! the code, who sets out could have somebody else bring theirs, and be them.

use super::super::authorize::AuthorizationRequest;
use crate::connection::saml::{MAX_CLAIMS_BYTES, claims};
use crate::id::SamlRequestId;
use crate::saml::SamlError;
use crate::saml::response::VerifiedAssertion;
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest `AuthnContextClassRef` that is kept; a longer one is none.
const MAX_CONTEXT_BYTES: usize = 512;

/// A browser that has left for a SAML provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamlAway {
    /// What for.
    pub errand: Errand,
    /// Through which connection: an answer of any other is none.
    pub connection: String,
    /// Of the cookie that the browser must bring back: a stranger's browser cannot finish it.
    pub browser: Digest,
    /// The request that the answer must name.
    pub request_id: SamlRequestId,
    /// What came back, once it has.
    pub answer: Option<SamlAnswer>,
}

/// What a browser has left for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// To log somebody in.
    LogIn {
        /// What the client asked for.
        request: Box<AuthorizationRequest>,
        /// When the browser set out.
        begun_at: UnixMillis,
    },
    /// To test the connection.
    Test,
}

/// A provider's answer that was verified, or is one that says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamlAnswer {
    /// Of the code that was given to the browser which brought it.
    pub code: Digest,
    /// What it says.
    pub said: SamlSaid,
}

/// What a provider's answer comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SamlSaid {
    /// Somebody logged in.
    Facts(SamlFacts),
    /// Nobody did, or whoever says so is not believed: the error's name.
    Refused(String),
}

/// What an assertion says that was verified, as far as it is needed later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamlFacts {
    /// The claims that it makes, as JSON.
    claims: String,
    /// Of what the provider calls the person.
    pub name_id: Digest,
    /// Of what the provider calls the session there.
    pub session_index: Option<Digest>,
    /// When the person authenticated.
    pub authn_instant: UnixMillis,
    /// How.
    pub authn_context: Option<String>,
}

impl SamlFacts {
    /// What `assertion` says, unless it is too much.
    pub fn of(assertion: &VerifiedAssertion) -> Result<Self, SamlError> {
        let claims = Value::Object(claims(assertion)).to_string();
        if claims.len() > MAX_CLAIMS_BYTES {
            return Err(SamlError::TooLarge);
        }
        let digest = |text: &String| Digest::of(text.as_bytes());
        let context = assertion.authn_context.clone();
        Ok(Self {
            claims,
            name_id: digest(&assertion.name_id),
            session_index: assertion.session_index.as_ref().map(digest),
            authn_instant: assertion.authn_instant,
            authn_context: context.filter(|context| context.len() <= MAX_CONTEXT_BYTES),
        })
    }

    /// The claims.
    #[must_use]
    pub fn claims(&self) -> Map<String, Value> {
        serde_json::from_str(&self.claims).unwrap_or_default()
    }
}

/// What an answer is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamlAwaited {
    /// Whose it must be.
    pub connection: String,
    /// The request that it must name.
    pub request_id: SamlRequestId,
}

/// Look at what answer is waited for; nothing is, once there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowSamlAwaited;

/// Keep the answer, if none is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerSaml {
    /// The answer.
    pub answer: SamlAnswer,
}

/// Take back a browser's flow with the answer that the browser brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeSaml {
    /// Of the cookie that the browser brought.
    pub browser: Digest,
    /// Of the code that it was given for the answer.
    pub code: Digest,
}

impl SamlAway {
    /// What answer is waited for, if any is.
    #[must_use]
    pub fn awaited(self) -> Option<SamlAwaited> {
        self.answer.is_none().then_some(SamlAwaited {
            connection: self.connection,
            request_id: self.request_id,
        })
    }

    /// The same with `answer`, if there is none.
    #[must_use]
    pub fn answered(self, answer: SamlAnswer) -> Option<Self> {
        self.answer.is_none().then_some(Self {
            answer: Some(answer),
            ..self
        })
    }

    /// Whether this browser set out and brought the answer.
    #[must_use]
    pub fn is_brought_by(&self, take: &TakeSaml) -> bool {
        let answer = self.answer.as_ref();
        self.browser == take.browser && answer.is_some_and(|answer| answer.code == take.code)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stage;
    use super::*;
    use crate::oauth::flow::Keep;
    use crate::saml::testing::{NOW, SIGNED_ASSERTION, signed, verifier};
    use crate::wire::{self, Call};

    fn away() -> SamlAway {
        SamlAway {
            errand: Errand::Test,
            connection: "c".into(),
            browser: Digest::from_bytes([4; 32]),
            request_id: SamlRequestId::from_bytes([5; 16]),
            answer: None,
        }
    }

    fn answer() -> SamlAnswer {
        SamlAnswer {
            code: Digest::from_bytes([6; 32]),
            said: SamlSaid::Refused("status".into()),
        }
    }

    #[test]
    fn golden_bytes() {
        let keep = Keep {
            stage: Stage::Saml(Box::new(away())),
            ttl_secs: 9,
        };
        let mut expected = vec![1, 0, 6, 1, 1, b'c'];
        expected.extend([4; 32]);
        expected.extend([5; 16]);
        expected.extend([0, 9]);
        assert_eq!(wire::encode(&keep.into_request()), Ok(expected));
        assert_eq!(
            wire::encode(&ShowSamlAwaited.into_request()),
            Ok(vec![1, 9])
        );
        let mut expected = vec![1, 10];
        expected.extend([6; 32]);
        expected.extend(b"\x01\x06status");
        let keep_answer = AnswerSaml { answer: answer() };
        assert_eq!(wire::encode(&keep_answer.into_request()), Ok(expected));
        let take = TakeSaml {
            browser: Digest::from_bytes([4; 32]),
            code: Digest::from_bytes([6; 32]),
        };
        let mut expected = vec![1, 11];
        expected.extend([4; 32]);
        expected.extend([6; 32]);
        assert_eq!(wire::encode(&take.into_request()), Ok(expected));
        let facts = SamlSaid::Facts(SamlFacts {
            claims: "{}".into(),
            name_id: Digest::from_bytes([7; 32]),
            session_index: None,
            authn_instant: UnixMillis(1),
            authn_context: Some("a".into()),
        });
        let mut expected = b"\x01\x00\x02{}".to_vec();
        expected.extend([7; 32]);
        expected.extend(b"\x00\x01\x01\x01a");
        assert_eq!(wire::encode(&facts), Ok(expected));
    }

    #[test]
    fn an_answer_is_kept_once_and_nothing_is_awaited_after_it() {
        let awaited = away().awaited().expect("an answer is");
        assert_eq!(awaited.connection, "c");
        let answered = away().answered(answer()).expect("none was there");
        assert_eq!(answered.clone().awaited(), None);
        assert_eq!(answered.answered(answer()), None);
    }

    #[test]
    fn who_set_out_must_also_have_brought_the_answer() {
        let take = |browser, code| TakeSaml {
            browser: Digest::from_bytes([browser; 32]),
            code: Digest::from_bytes([code; 32]),
        };
        assert!(!away().is_brought_by(&take(4, 6)));
        let answered = away().answered(answer()).expect("none was there");
        assert!(answered.is_brought_by(&take(4, 6)));
        assert!(!answered.is_brought_by(&take(4, 7)));
        assert!(!answered.is_brought_by(&take(5, 6)));
    }

    #[test]
    fn the_facts_are_what_the_assertion_says_and_no_more_than_is_kept() {
        let facts = |answer: &str| {
            let assertion = verifier().verify_xml(answer, NOW).expect("good");
            SamlFacts::of(&assertion)
        };
        let said = facts(SIGNED_ASSERTION).expect("not too much");
        assert_eq!(said.claims()["sub"], "alice@example.com");
        assert_eq!(said.name_id, Digest::of(b"alice@example.com"));
        assert_eq!(said.session_index, Some(Digest::of(b"_s1")));
        assert!(said.authn_context.is_some());
        let long = "x".repeat(MAX_CLAIMS_BYTES);
        let refused = facts(&signed(&[("staff", &long)]));
        assert_eq!(refused, Err(SamlError::TooLarge));
    }
}
