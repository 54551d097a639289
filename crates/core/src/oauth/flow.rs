//! A flow: what is kept of an authorization request until there is a session, in an object of its own.
//!
//! | stage | written by | taken back by |
//! |---|---|---|
//! | [`Stage::Pushed`] | `/par` (RFC 9126) | `/authorize` of the same client |
//! | [`Stage::Choosing`] | `/authorize`, when the person must choose a connection | the choice, in the same browser |
//! | [`Stage::Away`] | `/authorize`, or the choice | `/callback` in the same browser |
//! | [`Stage::Asked`] | `/callback`, when the person must consent | the person's answer, in the same browser |
//! | [`Stage::ToTest`] | an operator who tests a connection | whoever opens the link first |
//! | [`Stage::Testing`] | that link | `/callback` in the same browser |
//! | [`Stage::Saml`] | in place of `Away` and `Testing`, when the provider speaks SAML ([`saml`]) | `/callback` in the same browser, with its answer |
//!
//! What is taken is gone: nothing here can be used twice. A flow's id is 16 random bytes and a
//! truncated MAC over them and its kind, so that nobody else's text wakes an object. It is no
//! credential: a browser also needs its cookie, and a client its own name.

pub mod saml;

use self::saml::{AnswerSaml, SamlAwaited, SamlAway, ShowSamlAwaited, TakeSaml};
use super::authorize::AuthorizationRequest;
use crate::connection::identity::CustomClaim;
use crate::id::SubjectKey;
use crate::secret::{Digest, constant_time_eq};
use crate::session::{Profile, Upstream};
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use hmac_sha256::HMAC;
use serde::{Deserialize, Serialize};

/// What every `request_uri` of ours begins with (RFC 9126 section 2.2).
pub const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// What a flow was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A browser on its way; the id is the `state` that the identity provider brings back.
    LogIn,
    /// A pushed request; the id is the end of its `request_uri`.
    Pushed,
    /// A connection's test; the id is the `state`, too, and no session can come of it.
    Test,
}

/// The id of a flow of ours: the name of its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowId(String);

impl FlowId {
    /// The id around random bytes.
    #[must_use]
    pub fn new(routing_key: &[u8; 32], kind: Kind, random: &[u8; 16]) -> Self {
        let tag = mac(routing_key, kind, random);
        Self(base64url(&[random.as_slice(), &tag].concat()))
    }

    /// Reads an id that was made under `routing_key` for that kind; `None` for anything else.
    #[must_use]
    pub fn parse(routing_key: &[u8; 32], kind: Kind, text: &str) -> Option<Self> {
        let bytes = from_base64url(text)?;
        let (random, tag) = bytes.split_first_chunk::<16>()?;
        constant_time_eq(tag, &mac(routing_key, kind, random)).then(|| Self(text.to_owned()))
    }

    /// The pushed request that `request_uri` names, if it is one of ours.
    #[must_use]
    pub fn of_request_uri(routing_key: &[u8; 32], request_uri: &str) -> Option<Self> {
        let id = request_uri.strip_prefix(REQUEST_URI_PREFIX)?;
        Self::parse(routing_key, Kind::Pushed, id)
    }

    /// The `request_uri` of a pushed request.
    #[must_use]
    pub fn to_request_uri(&self) -> String {
        format!("{REQUEST_URI_PREFIX}{}", self.0)
    }

    /// As `state`, and as the object's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value that a form must bring with the cookie `browser`: a page of ours has it, and no
    /// other site can know it.
    #[must_use]
    pub fn form_token(&self, routing_key: &[u8; 32], browser: &str) -> String {
        let mut mac = HMAC::new(routing_key);
        mac.update(b"consent form 1");
        mac.update(self.0.as_bytes());
        mac.update(browser.as_bytes());
        base64url(&mac.finalize())
    }
}

fn mac(key: &[u8; 32], kind: Kind, random: &[u8; 16]) -> [u8; 16] {
    let mut mac = HMAC::new(key);
    mac.update(match kind {
        Kind::LogIn => b"flow id: log-in".as_slice(),
        Kind::Pushed => b"flow id: pushed",
        Kind::Test => b"flow id: test",
    });
    mac.update(random);
    let mut truncated = [0; 16];
    truncated.copy_from_slice(mac.finalize().split_at(16).0);
    truncated
}

/// A browser that has left for the identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// What the client asked for.
    pub request: AuthorizationRequest,
    /// When the browser set out.
    pub begun_at: UnixMillis,
    /// Of the cookie that the browser must bring back: a stranger's browser cannot finish it.
    pub browser: Digest,
    /// The `nonce` that the ID token must repeat.
    pub nonce: String,
    /// The PKCE verifier for the identity provider.
    pub code_verifier: String,
    /// Through which connection: an answer of any other is none.
    pub connection: String,
}

/// A person who is to say through which connection they log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choosing {
    /// What the client asked for.
    pub request: AuthorizationRequest,
    /// When the browser set out.
    pub begun_at: UnixMillis,
    /// Of the cookie that the browser must bring back.
    pub browser: Digest,
}

/// A browser that has left for the identity provider to test a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testing {
    /// Which.
    pub connection: String,
    /// Of the cookie that the browser must bring back.
    pub browser: Digest,
    /// The `nonce` that the ID token must repeat.
    pub nonce: String,
    /// The PKCE verifier for the identity provider.
    pub code_verifier: String,
}

/// A person who is known and has not answered yet. All that a session needs, and nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What the client asked for.
    pub request: AuthorizationRequest,
    /// When the browser set out.
    pub begun_at: UnixMillis,
    /// Of the cookie that the browser must bring back.
    pub browser: Digest,
    /// Who.
    pub person: Person,
}

/// Who the identity provider says is there, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Their subject.
    pub subject: SubjectKey,
    /// Through which connection.
    pub connection: String,
    /// When they proved themselves, in seconds.
    pub auth_time_secs: u64,
    /// How.
    pub acr: Option<String>,
    /// The groups they are in.
    pub groups: Vec<String>,
    /// The roles that they have by the connection's rules.
    pub roles: Vec<String>,
    /// The claims that the connection keeps.
    pub claims: Vec<CustomClaim>,
    /// What else is said of them.
    pub profile: Profile,
    /// What the provider calls them and their session there.
    pub upstream: Upstream,
    /// The value that identifies them.
    pub value: String,
}

/// What a flow's object keeps. Append only: the order is the stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// A request that waits for its browser.
    Pushed(AuthorizationRequest),
    /// A browser that is away.
    Away(Away),
    /// A person who was asked.
    Asked(Box<Asked>),
    /// A person who is to choose.
    Choosing(Choosing),
    /// The connection of that id is to be tested.
    ToTest(String),
    /// A browser that is away to test a connection.
    Testing(Testing),
    /// A browser that is away at a SAML provider, or has come back.
    Saml(Box<SamlAway>),
}

/// Keep a stage, for so long. An object keeps one flow, whose stages follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// What.
    pub stage: Stage,
    /// How long, in seconds.
    pub ttl_secs: u64,
}

/// Take a pushed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakePushed {
    /// Who comes with it.
    pub client_id: String,
}

/// Take back a browser's flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeAway {
    /// Of the cookie that the browser brought.
    pub browser: Digest,
}

/// Look at what a person is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowAsked {
    /// Of the cookie that the browser brought.
    pub browser: Digest,
}

/// Take what a person was asked, because they have answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeAsked {
    /// Of the cookie that the browser brought.
    pub browser: Digest,
}

/// Look at what a person is to choose for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowChoosing {
    /// Of the cookie that the browser brought.
    pub browser: Digest,
}

/// Take what a person was to choose for, because they have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeChoosing {
    /// Of the cookie that the browser brought.
    pub browser: Digest,
}

/// Take what is to be tested, because a browser sets out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeToTest;

/// Take back a browser's test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeTesting {
    /// Of the cookie that the browser brought.
    pub browser: Digest,
}

crate::object_calls! {
    /// One operation of a flow's object.
    FlowRequest {
        /// Keep a stage.
        Keep(Keep) -> (),
        /// Take a pushed request, once, by the client that pushed it.
        TakePushed(TakePushed) -> Option<AuthorizationRequest>,
        /// Take a flow back, once, by the browser that began it.
        TakeAway(TakeAway) -> Option<Away>,
        /// Show the question to the browser that began it.
        ShowAsked(ShowAsked) -> Option<Asked>,
        /// Take the question back, once, by the browser that began it.
        TakeAsked(TakeAsked) -> Option<Asked>,
        /// Show what the browser that began it is to choose for.
        ShowChoosing(ShowChoosing) -> Option<Choosing>,
        /// Take the choice back, once, by the browser that began it.
        TakeChoosing(TakeChoosing) -> Option<Choosing>,
        /// Take what is to be tested, once.
        TakeToTest(TakeToTest) -> Option<String>,
        /// Take a test back, once, by the browser that began it.
        TakeTesting(TakeTesting) -> Option<Testing>,
        /// Show what a SAML provider's answer is judged by, while there is none.
        ShowSamlAwaited(ShowSamlAwaited) -> Option<SamlAwaited>,
        /// Keep a SAML provider's answer; whether there was none.
        AnswerSaml(AnswerSaml) -> bool,
        /// Take a flow through a SAML provider back, once, by the browser that began it and brought the answer.
        TakeSaml(TakeSaml) -> Option<SamlAway>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Call};
    use proptest::prelude::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn golden_bytes() {
        let take = TakePushed {
            client_id: "c".into(),
        };
        assert_eq!(wire::encode(&take.into_request()), Ok(vec![1, 1, 1, b'c']));
        let show = ShowAsked {
            browser: Digest::from_bytes([4; 32]),
        };
        let mut expected = vec![1, 3];
        expected.extend([4; 32]);
        assert_eq!(wire::encode(&show.into_request()), Ok(expected));
        let choosing = TakeChoosing {
            browser: Digest::from_bytes([4; 32]),
        };
        let mut expected = vec![1, 6];
        expected.extend([4; 32]);
        assert_eq!(wire::encode(&choosing.into_request()), Ok(expected));
        assert_eq!(wire::encode(&TakeToTest.into_request()), Ok(vec![1, 7]));
        let to_test = Keep {
            stage: Stage::ToTest("c".into()),
            ttl_secs: 9,
        };
        let expected = vec![1, 0, 4, 1, b'c', 9];
        assert_eq!(wire::encode(&to_test.into_request()), Ok(expected));
        let keep = Keep {
            stage: Stage::Pushed(super::super::testing::request(&[
                ("state", "s"),
                ("prompt", "login consent"),
                ("max_age", "300"),
                ("acr_values", "a"),
            ])),
            ttl_secs: 60,
        };
        let mut expected = vec![1, 0, 0, 3];
        expected.extend(b"app\x14https://a.example/cb\x2b");
        expected.extend(super::super::testing::CHALLENGE.as_bytes());
        // nonce, scope, audiences, dpop_jkt; state, prompt, max_age, acr_values, login_hint; seconds
        expected.extend(b"\x00\x00\x01\x13https://api.example\x00");
        expected.extend(b"\x01\x01s\x02\x01\x02\x01\xac\x02\x01\x01a\x00\x3c");
        assert_eq!(wire::encode(&keep.into_request()), Ok(expected));
    }

    #[test]
    fn an_id_of_one_kind_is_none_of_the_other() {
        let pushed = FlowId::new(&KEY, Kind::Pushed, &[1; 16]);
        assert_eq!(FlowId::parse(&KEY, Kind::LogIn, pushed.as_str()), None);
        let test = FlowId::new(&KEY, Kind::Test, &[1; 16]);
        assert_eq!(FlowId::parse(&KEY, Kind::LogIn, test.as_str()), None);
        let uri = pushed.to_request_uri();
        assert_eq!(FlowId::of_request_uri(&KEY, &uri), Some(pushed.clone()));
        assert_eq!(FlowId::of_request_uri(&KEY, pushed.as_str()), None);
        let log_in = FlowId::new(&KEY, Kind::LogIn, &[1; 16]);
        assert_eq!(FlowId::of_request_uri(&KEY, &log_in.to_request_uri()), None);
    }

    #[test]
    fn a_form_token_is_good_for_its_flow_and_browser() {
        let flow = |byte| FlowId::new(&KEY, Kind::LogIn, &[byte; 16]);
        let token = flow(1).form_token(&KEY, "cookie");
        assert_eq!(token, flow(1).form_token(&KEY, "cookie"));
        assert_ne!(token, flow(2).form_token(&KEY, "cookie"));
        assert_ne!(token, flow(1).form_token(&KEY, "other"));
        assert_ne!(token, flow(1).form_token(&[8; 32], "cookie"));
    }

    proptest! {
        #[test]
        fn an_id_is_read_back_and_no_other_text_is(random: [u8; 16], text: String, at in 0usize..43, with in "[A-Za-z0-9_-]") {
            let id = FlowId::new(&KEY, Kind::LogIn, &random);
            prop_assert_eq!(FlowId::parse(&KEY, Kind::LogIn, id.as_str()), Some(id.clone()));
            prop_assert_eq!(FlowId::parse(&[8; 32], Kind::LogIn, id.as_str()), None);
            prop_assert_eq!(FlowId::parse(&KEY, Kind::LogIn, &text), None);
            let mut bent = id.as_str().to_owned();
            bent.replace_range(at..=at, &with);
            if bent != id.as_str() {
                prop_assert_eq!(FlowId::parse(&KEY, Kind::LogIn, &bent), None);
            }
        }
    }
}
