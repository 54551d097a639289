//! Authorization requests (RFC 6749 section 4.1.1, OIDC Core section 3.1.2.1): what a client asks, read and judged
//! as a whole before a browser is sent anywhere.
//!
//! The code flow with PKCE S256 and nothing else. `resource` is RFC 8707, `dpop_jkt` RFC 9449
//! section 10, `acr_values` RFC 9470. A parameter without a value counts as left out, one that comes
//! twice as an error (RFC 6749 section 3.1), but for `resource`, which may. `ui_locales`, `display`,
//! `claims` and what is not known are ignored.
//!
//! Until client and redirect URI are known to belong together nothing may be sent to either:
//! [`Refusal::Untrusted`], whichever of the two is wrong. Out of scope: finding the client, and
//! what a `request_uri` of ours stands for ([`super::flow`]).

use super::flow::REQUEST_URI_PREFIX;
use super::is_s256_challenge;
use crate::client::uri::as_registered;
use crate::client::{Client, GrantType};
use crate::session::login::ClientRequest;
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// The longest parameter that is carried for a client.
pub const MAX_PARAMETER_BYTES: usize = 1024;
/// The most resources in one request.
const MAX_RESOURCES: usize = 20;

/// Why the client gets no code; the text is the RFC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    /// RFC 6749 section 4.1.2.1.
    InvalidRequest,
    /// The same.
    UnauthorizedClient,
    /// The same.
    AccessDenied,
    /// The same.
    UnsupportedResponseType,
    /// The same.
    ServerError,
    /// The same.
    TemporarilyUnavailable,
    /// RFC 8707 section 2.
    InvalidTarget,
    /// OIDC Core section 3.1.2.6.
    LoginRequired,
    /// The same.
    InteractionRequired,
    /// The same.
    ConsentRequired,
    /// The same.
    AccountSelectionRequired,
    /// The same.
    RequestNotSupported,
    /// The same.
    RequestUriNotSupported,
    /// The same, and RFC 9126 section 2.2.
    InvalidRequestUri,
    /// OIDC Unmet Authentication Requirements 1.0 section 2.
    UnmetAuthenticationRequirements,
}

impl ErrorCode {
    /// `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::InvalidTarget => "invalid_target",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::ConsentRequired => "consent_required",
            Self::AccountSelectionRequired => "account_selection_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
        }
    }
}

/// `prompt` (OIDC Core section 3.1.2.1), one of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// Show nothing; an error if something would have to be shown.
    None,
    /// Have the person prove themselves again.
    Login,
    /// Ask for consent again.
    Consent,
    /// Have the person choose an account.
    SelectAccount,
}

impl Prompt {
    /// All of them, as metadata lists them.
    pub const ALL: [Self; 4] = [Self::None, Self::Login, Self::Consent, Self::SelectAccount];

    /// As it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}

/// An authorization request that is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// What the code will be bound to.
    pub client: ClientRequest,
    /// `state`.
    pub state: Option<String>,
    /// `prompt`.
    pub prompt: Vec<Prompt>,
    /// `max_age`, in seconds.
    pub max_age_secs: Option<u32>,
    /// `acr_values`, the one liked best first.
    pub acr_values: Vec<String>,
    /// `login_hint`.
    pub login_hint: Option<String>,
}

impl AuthorizationRequest {
    /// Whether `prompt` has that value.
    #[must_use]
    pub fn prompts(&self, value: Prompt) -> bool {
        self.prompt.contains(&value)
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Client and redirect URI are not known to belong together: the browser is sent nowhere.
    Untrusted,
    /// The client is told, at its redirect URI.
    Told {
        /// Where.
        redirect_uri: String,
        /// `state`, if it is known to be the client's.
        state: Option<String>,
        /// What.
        error: ErrorCode,
    },
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// With the browser, to `/authorize`.
    Browser,
    /// From the client itself, to `/par`.
    Push,
}

/// The parameters of a request as they came.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    once: BTreeMap<String, String>,
    repeated: BTreeSet<String>,
    resources: Vec<String>,
}

impl Parameters {
    /// Reads the pairs of a query or a form.
    pub fn read<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut read = Self::default();
        let pairs = pairs.into_iter().map(|(n, v)| (n.into(), v.into()));
        for (name, value) in pairs.filter(|(_, value): &(_, String)| !value.is_empty()) {
            if name == "resource" {
                read.resources.push(value);
                continue;
            }
            match read.once.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(entry) => {
                    read.repeated.insert(entry.key().clone());
                }
            }
        }
        read
    }

    /// A parameter that came once.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.once.get(name).map(String::as_str);
        value.filter(|_| !self.repeated.contains(name))
    }

    /// The request that `client`, which is who `client_id` says, makes; `resources` are the
    /// deployment's.
    pub fn judge(
        &self,
        client: &Client,
        resources: &[String],
        via: Via,
    ) -> Result<AuthorizationRequest, Refusal> {
        let redirect_uri = self
            .get("redirect_uri")
            .filter(|uri| client.allows_redirect_to(uri))
            .filter(|_| self.get("client_id") == Some(&client.client_id))
            .ok_or(Refusal::Untrusted)?;
        self.valid(client, resources, redirect_uri, via)
            .map_err(|error| Refusal::Told {
                redirect_uri: redirect_uri.to_owned(),
                state: self.state().map(str::to_owned),
                error,
            })
    }

    fn state(&self) -> Option<&str> {
        let state = self.get("state");
        state.filter(|state| state.len() <= MAX_PARAMETER_BYTES)
    }

    fn valid(
        &self,
        client: &Client,
        resources: &[String],
        redirect_uri: &str,
        via: Via,
    ) -> Result<AuthorizationRequest, ErrorCode> {
        if !self.repeated.is_empty() || self.is_too_long() {
            return Err(ErrorCode::InvalidRequest);
        }
        if self.get("request").is_some() {
            return Err(ErrorCode::RequestNotSupported);
        }
        if let Some(uri) = self.get("request_uri") {
            return Err(if uri.starts_with(REQUEST_URI_PREFIX) {
                ErrorCode::InvalidRequestUri
            } else {
                ErrorCode::RequestUriNotSupported
            });
        }
        // RFC 9126 section 5.
        if client.require_pushed_authorization_requests && via != Via::Push {
            return Err(ErrorCode::InvalidRequest);
        }
        match self.get("response_type") {
            Some("code") => {}
            None => return Err(ErrorCode::InvalidRequest),
            Some(_) => return Err(ErrorCode::UnsupportedResponseType),
        }
        if !client.allows_grant(GrantType::AuthorizationCode) {
            return Err(ErrorCode::UnauthorizedClient);
        }
        if self
            .get("response_mode")
            .is_some_and(|mode| mode != "query")
        {
            return Err(ErrorCode::InvalidRequest);
        }
        let challenge = self.get("code_challenge").filter(|c| is_s256_challenge(c));
        let (Some(code_challenge), Some("S256")) = (challenge, self.get("code_challenge_method"))
        else {
            return Err(ErrorCode::InvalidRequest);
        };
        // A thumbprint has the form of a challenge: the base64url of 32 bytes.
        let dpop_jkt = self.get("dpop_jkt");
        if dpop_jkt.is_some_and(|jkt| !is_s256_challenge(jkt)) {
            return Err(ErrorCode::InvalidRequest);
        }
        let text = |name| self.get(name).map(str::to_owned);
        Ok(AuthorizationRequest {
            client: ClientRequest {
                client_id: client.client_id.clone(),
                redirect_uri: redirect_uri.to_owned(),
                code_challenge: code_challenge.to_owned(),
                nonce: text("nonce"),
                scope: granted(client, self.get("scope").unwrap_or_default()),
                audiences: self.audiences(client.resources(resources))?,
                dpop_jkt: dpop_jkt.map(str::to_owned),
            },
            state: text("state"),
            prompt: prompt(self.get("prompt").unwrap_or_default())?,
            max_age_secs: self.get("max_age").map(seconds).transpose()?,
            acr_values: list(self.get("acr_values").unwrap_or_default())
                .map(str::to_owned)
                .collect(),
            login_hint: text("login_hint"),
        })
    }

    /// Whether a parameter that is kept while the browser is away is longer than we keep.
    fn is_too_long(&self) -> bool {
        ["state", "nonce", "scope", "acr_values", "login_hint"]
            .iter()
            .any(|name| {
                self.get(name)
                    .is_some_and(|v| v.len() > MAX_PARAMETER_BYTES)
            })
    }

    /// What tokens may be for: the resources named, or the client's first.
    fn audiences(&self, allowed: &[String]) -> Result<Vec<String>, ErrorCode> {
        if self.resources.is_empty() {
            let first = allowed.first().ok_or(ErrorCode::InvalidTarget)?;
            return Ok(vec![first.clone()]);
        }
        let mut audiences: Vec<String> = Vec::new();
        for resource in &self.resources {
            // What is allowed is an absolute URI without a fragment, so nothing else passes.
            let resource = as_registered(allowed, resource).ok_or(ErrorCode::InvalidTarget)?;
            if !audiences.iter().any(|named| named == resource) {
                audiences.push(resource.to_owned());
            }
        }
        if audiences.len() > MAX_RESOURCES {
            return Err(ErrorCode::InvalidTarget);
        }
        Ok(audiences)
    }
}

/// The scopes asked for that the client may have. The others are left out, and the token response
/// says so (RFC 6749 section 3.3); so is `offline_access` where nothing could come of it (OIDC Core
/// section 11).
fn granted(client: &Client, asked: &str) -> String {
    let refreshes = client.allows_grant(GrantType::RefreshToken);
    let mut granted: Vec<&str> = Vec::new();
    for scope in list(asked) {
        let possible = scope != "offline_access" || refreshes;
        if possible && client.allows_scope(scope) && !granted.contains(&scope) {
            granted.push(scope);
        }
    }
    granted.join(" ")
}

fn prompt(text: &str) -> Result<Vec<Prompt>, ErrorCode> {
    let mut prompts = Vec::new();
    for value in list(text) {
        let value = Prompt::parse(value).ok_or(ErrorCode::InvalidRequest)?;
        if !prompts.contains(&value) {
            prompts.push(value);
        }
    }
    if prompts.contains(&Prompt::None) && prompts.len() > 1 {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok(prompts)
}

fn seconds(text: &str) -> Result<u32, ErrorCode> {
    // As digits: Rust also reads a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ErrorCode::InvalidRequest);
    }
    text.parse().map_err(|_| ErrorCode::InvalidRequest)
}

/// The values of a parameter that is a list.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|one| !one.is_empty())
}

#[cfg(test)]
mod tests;
