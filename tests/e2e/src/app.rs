//! The application: a public OAuth client with PKCE (RFC 6749 section 4.1, RFC 7636), `demo-app`.

use crate::browser::{Browser, Landing};
use crate::http::{Request, Response};
use crate::json::text;
use crate::stack::Endpoints;
use crate::{Failure, Result};
use portcullis_core::text::{base64url, from_base64url};
use serde_json::Value;
use url::Url;

/// The application as one stack knows it.
#[derive(Clone, Debug)]
pub struct App {
    /// Where a browser is sent, from the service's metadata.
    pub authorization_endpoint: Url,
    /// Where a code is redeemed, from the service's metadata.
    pub token_endpoint: String,
    /// Its `client_id`.
    pub client_id: String,
    /// Its `redirect_uri`; nobody serves it.
    pub redirect_uri: Url,
}

/// One authorization request and what the application remembers of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The address to send the browser to.
    pub url: Url,
    /// PKCE's secret.
    pub verifier: String,
    /// `state`.
    pub state: String,
    /// `nonce`.
    pub nonce: String,
}

/// What a redemption gave, read without verifying: the tests' business is what others make of it.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The ID token, when `openid` was asked for.
    pub id: Option<String>,
    /// The access token's `sub`.
    pub subject: String,
    /// The access token's `sid`.
    pub session: String,
    /// The access token's `jti`.
    pub token_id: String,
    /// The whole answer.
    pub answer: Value,
}

impl App {
    /// The application at the service of these endpoints, by its published metadata.
    pub fn discover(at: &Endpoints) -> Result<Self> {
        Self::described_at(&format!(
            "{}/.well-known/oauth-authorization-server",
            at.service
        ))
    }

    /// The application at the provider whose metadata is at `address`.
    pub fn described_at(address: &str) -> Result<Self> {
        let metadata = Request::get(address).send()?.expect(200)?.json()?;
        Ok(Self {
            authorization_endpoint: Url::parse(text(&metadata, "authorization_endpoint")?)?,
            token_endpoint: text(&metadata, "token_endpoint")?.to_owned(),
            client_id: "demo-app".to_owned(),
            redirect_uri: Url::parse("http://127.0.0.1:53682/callback")?,
        })
    }

    /// A new authorization request for `openid profile`.
    pub fn attempt(&self) -> Result<Attempt> {
        self.attempt_with(&[])
    }

    /// The same with parameters replaced, or left out where the value is empty.
    pub fn attempt_with(&self, replaced: &[(&str, &str)]) -> Result<Attempt> {
        let (verifier, state, nonce) = (random_text()?, random_text()?, random_text()?);
        let challenge = challenge(&verifier);
        let usual = [
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("scope", "openid profile"),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let mut url = self.authorization_endpoint.clone();
        for (name, value) in usual {
            if !replaced.iter().any(|(other, _)| *other == name) {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        for (name, value) in replaced.iter().filter(|(_, value)| !value.is_empty()) {
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok(Attempt {
            url,
            verifier,
            state,
            nonce,
        })
    }

    /// Sends the browser through `attempt` as `user`, to wherever that leads.
    pub fn authorize(
        &self,
        browser: &mut Browser,
        user: &str,
        attempt: &Attempt,
    ) -> Result<Landing> {
        browser.go_as(user, &attempt.url, Some(&self.redirect_uri))
    }

    /// A code for `user`, with `state` and `iss` (RFC 9207) checked.
    #[track_caller]
    pub fn code(&self, browser: &mut Browser, user: &str, attempt: &Attempt) -> Result<String> {
        let back = self.authorize(browser, user, attempt)?.app()?;
        if parameter(&back, "state").as_deref() != Some(&attempt.state) {
            return Err(Failure::new(format!("another state came back: {back}")));
        }
        if parameter(&back, "iss").is_none() {
            return Err(Failure::new(format!("no iss came back: {back}")));
        }
        parameter(&back, "code").ok_or_else(|| Failure::new(format!("no code came back: {back}")))
    }

    /// Redeems a code.
    pub fn redeem(&self, code: &str, verifier: &str) -> Result<Response> {
        self.redeem_with(code, verifier, &[])
    }

    /// The same with parameters replaced, or left out where the value is empty.
    pub fn redeem_with(
        &self,
        code: &str,
        verifier: &str,
        replaced: &[(&str, &str)],
    ) -> Result<Response> {
        let usual = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.client_id),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code", code),
            ("code_verifier", verifier),
        ];
        let mut fields: Vec<(&str, &str)> = usual
            .into_iter()
            .filter(|(name, _)| !replaced.iter().any(|(other, _)| other == name))
            .collect();
        fields.extend(replaced.iter().filter(|(_, value)| !value.is_empty()));
        Request::post(&self.token_endpoint).form(&fields).send()
    }

    /// The whole log-in, from an unused browser to tokens.
    #[track_caller]
    pub fn log_in(&self, user: &str) -> Result<Tokens> {
        self.log_in_with(&mut Browser::new(), user)
    }

    /// The same in a browser that may know the user already.
    #[track_caller]
    pub fn log_in_with(&self, browser: &mut Browser, user: &str) -> Result<Tokens> {
        let attempt = self.attempt()?;
        let code = self.code(browser, user, &attempt)?;
        Tokens::read(&self.redeem(&code, &attempt.verifier)?.expect(200)?)
    }

    /// Tries to log in and gives back the error that the application is sent (RFC 6749 section 4.1.2.1).
    #[track_caller]
    pub fn refused_log_in(&self, user: &str) -> Result<String> {
        let attempt = self.attempt()?;
        let back = self.authorize(&mut Browser::new(), user, &attempt)?.app()?;
        if parameter(&back, "code").is_some() {
            return Err(Failure::new(format!("{user} was given a code: {back}")));
        }
        parameter(&back, "error").ok_or_else(|| Failure::new(format!("no error came back: {back}")))
    }
}

impl Tokens {
    /// Reads the token endpoint's answer.
    #[track_caller]
    pub fn read(response: &Response) -> Result<Self> {
        Self::of(response.json()?)
    }

    /// Reads an answer that was parsed already.
    #[track_caller]
    pub fn of(answer: Value) -> Result<Self> {
        let access = text(&answer, "access_token")?.to_owned();
        let claims = claims(&access)?;
        Ok(Self {
            subject: text(&claims, "sub")?.to_owned(),
            session: text(&claims, "sid")?.to_owned(),
            token_id: text(&claims, "jti")?.to_owned(),
            id: answer["id_token"].as_str().map(str::to_owned),
            access,
            answer,
        })
    }
}

/// The claims of a token, unverified.
#[track_caller]
pub fn claims(token: &str) -> Result<Value> {
    part(token, 1)
}

/// Whom claims are for: `aud` is one text or a list of them (RFC 7519 section 4.1.3).
#[must_use]
pub fn audiences(claims: &Value) -> Vec<&str> {
    match &claims["aud"] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// The header of a token, unverified.
#[track_caller]
pub fn header(token: &str) -> Result<Value> {
    part(token, 0)
}

#[track_caller]
fn part(token: &str, index: usize) -> Result<Value> {
    token
        .split('.')
        .nth(index)
        .and_then(from_base64url)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| Failure::new(format!("part {index} of a token is not JSON: {token}")))
}

/// The first query parameter of that name.
#[must_use]
pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

/// 32 random bytes as text: a verifier, a state, a nonce, a name that nobody else uses.
pub fn random_text() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(error.to_string()))?;
    Ok(base64url(&bytes))
}

/// S256 of a verifier (RFC 7636 section 4.2).
#[must_use]
pub fn challenge(verifier: &str) -> String {
    base64url(&hmac_sha256::Hash::hash(verifier.as_bytes()))
}
