//! Client metadata: JSON in, a valid client or the error of RFC 7591 section 3.2.2 out.
//!
//! Four [`Origin`]s bring it, and each may set its own fields. Who registers themselves, or
//! publishes a document, may say what RFC 7591 lets clients say; what is not known there is ignored
//! (section 2). An operator also says whose the client is and what it may reach; there an unknown
//! field is a mistake that is told. `response_types` is looked at and not kept: it can only be
//! `code`, and follows from the grants.

use super::{AuthMethod, Client, GrantType, Source, uri};
use crate::jwt::jwks::KeySet;
use crate::time::UnixMillis;
use serde_json::{Map, Value};
use std::fmt;

/// The most secrets that are valid at a time.
pub const MAX_SECRETS: usize = 5;
/// The longest `client_id`; one can be a URL.
pub const MAX_CLIENT_ID_BYTES: usize = uri::MAX_URI_BYTES;
const MAX_NAME_BYTES: usize = 100;
const MAX_URIS: usize = 20;
const MAX_SCOPE_BYTES: usize = 1024;
const MAX_JWKS_BYTES: usize = 16 * 1024;
const MAX_AUDIENCE_BYTES: usize = 255;

/// The fields that a client may set of itself.
const OWN_FIELDS: [&str; 12] = [
    "client_name",
    "redirect_uris",
    "post_logout_redirect_uris",
    "grant_types",
    "token_endpoint_auth_method",
    "jwks",
    "jwks_uri",
    "scope",
    "dpop_bound_access_tokens",
    "require_pushed_authorization_requests",
    "backchannel_logout_uri",
    "backchannel_logout_session_required",
];
/// Those that an operator may set besides.
const OPERATOR_FIELDS: [&str; 5] = [
    "resources",
    "introspects",
    "first_party",
    "disabled",
    "client_id",
];

/// Why metadata was refused (RFC 7591 section 3.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// `invalid_redirect_uri`.
    RedirectUri,
    /// `invalid_client_metadata`, and what is wrong with it.
    Metadata(String),
}

impl Invalid {
    /// The error code.
    #[must_use]
    pub const fn error(&self) -> &'static str {
        match self {
            Self::RedirectUri => "invalid_redirect_uri",
            Self::Metadata(_) => "invalid_client_metadata",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RedirectUri => f.write_str(
                "a redirect URI is neither https nor on loopback nor of a private-use scheme with a dot, or has a fragment",
            ),
            Self::Metadata(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Invalid {}

fn wrong<T>(why: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid::Metadata(why.into()))
}

/// Who brings the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The configuration; it names the client and may bring digests of secrets.
    Configuration,
    /// An operator.
    Operator,
    /// The client itself, which may have no scopes but these.
    Registration {
        /// Separated by spaces.
        scope: &'a str,
    },
    /// The document at the client's own URL, with the same limit.
    Document {
        /// Separated by spaces.
        scope: &'a str,
    },
}

impl Origin<'_> {
    /// The client that `metadata` describes; its `client_id`, unless the configuration says it, is
    /// the one given. `dev` lets the service's own requests go to loopback.
    pub fn client(
        self,
        client_id: &str,
        metadata: Map<String, Value>,
        now: UnixMillis,
        dev: bool,
    ) -> Result<Client, Invalid> {
        let mut fields = self.own(metadata)?;
        let source = match self {
            Self::Configuration => Source::Static,
            Self::Operator => Source::Registered,
            Self::Registration { .. } => Source::Dynamic,
            Self::Document { .. } => Source::MetadataDocument,
        };
        if self == Self::Configuration {
            configured(&mut fields);
        } else {
            fields.insert("client_id".into(), client_id.into());
            fields.insert("client_id_issued_at".into(), now.secs().into());
        }
        if matches!(self, Self::Document { .. }) {
            // RFC 7591's default is a secret, which nobody could have given to a document.
            fields
                .entry("token_endpoint_auth_method")
                .or_insert_with(|| "none".into());
        }
        let source = serde_json::to_value(source).map_err(|e| Invalid::Metadata(e.to_string()))?;
        fields.insert("source".into(), source);
        let mut client: Client = serde_json::from_value(Value::Object(fields))
            .map_err(|error| Invalid::Metadata(error.to_string()))?;
        if let Self::Registration { scope } | Self::Document { scope } = self {
            let allowed: Vec<&str> = scope.split(' ').collect();
            // Who leaves it out may have all that is open to anybody (RFC 7591 section 2).
            let asked = client.scope.as_deref().unwrap_or(scope).split(' ');
            let kept: Vec<&str> = asked
                .filter(|s| !s.is_empty() && allowed.contains(s))
                .collect();
            client.scope = Some(kept.join(" "));
        }
        if matches!(self, Self::Document { .. }) && client.has_secrets() {
            return wrong("a metadata document cannot have a secret");
        }
        valid(&client, dev)?;
        Ok(client)
    }

    /// The fields that count, without what is null.
    fn own(self, metadata: Map<String, Value>) -> Result<Map<String, Value>, Invalid> {
        let strict = matches!(self, Self::Configuration | Self::Operator);
        let mut own = Map::new();
        for (name, value) in metadata {
            let of_an_operator = || strict && OPERATOR_FIELDS.contains(&name.as_str());
            let of_configuration =
                || self == Self::Configuration && ["audience", "secrets"].contains(&name.as_str());
            if name == "response_types" {
                let only_code = value
                    .as_array()
                    .is_some_and(|types| types.iter().all(|kind| kind.as_str() == Some("code")));
                if !only_code && !value.is_null() {
                    return wrong("response_types can only be code");
                }
            } else if OWN_FIELDS.contains(&name.as_str()) || of_an_operator() || of_configuration()
            {
                if !value.is_null() {
                    own.insert(name, value);
                }
            } else if strict {
                return wrong(format!("{name} is not known or cannot be set"));
            }
        }
        Ok(own)
    }
}

/// What the configuration has always meant by leaving things out: a public client, whose log-outs may
/// lead where its log-ins do, and one `audience`.
fn configured(fields: &mut Map<String, Value>) {
    fields
        .entry("token_endpoint_auth_method")
        .or_insert_with(|| "none".into());
    if let Some(audience) = fields.remove("audience") {
        fields
            .entry("resources")
            .or_insert_with(|| Value::Array(vec![audience]));
    }
    if let Some(uris) = fields.get("redirect_uris").cloned() {
        fields.entry("post_logout_redirect_uris").or_insert(uris);
    }
}

fn valid(client: &Client, dev: bool) -> Result<(), Invalid> {
    let id = &client.client_id;
    let visible = |c: char| c.is_ascii_graphic() && !['"', '\\'].contains(&c);
    if id.is_empty() || id.len() > MAX_CLIENT_ID_BYTES || !id.chars().all(visible) {
        return wrong("client_id is empty, too long, or not plain ASCII");
    }
    if client.client_name.as_deref().is_some_and(|n| !is_name(n)) {
        return wrong("client_name is empty, too long, or not plain text");
    }
    redirects(client)?;
    grants(client)?;
    keys(client, dev)?;
    let scope = client.scope.as_deref().unwrap_or_default();
    let scope_char = |c: char| c == ' ' || visible(c);
    if scope.len() > MAX_SCOPE_BYTES || !scope.chars().all(scope_char) {
        return wrong("scope is too long or not as RFC 6749 section 3.3 has it");
    }
    if client.resources.len() > MAX_URIS || !client.resources.iter().all(|r| uri::is_resource(r)) {
        return wrong("resources are not a few absolute URIs");
    }
    let is_audience = |a: &String| (1..=MAX_AUDIENCE_BYTES).contains(&a.len());
    if client.introspects.len() > MAX_URIS || !client.introspects.iter().all(is_audience) {
        return wrong("introspects is not a few audiences");
    }
    if client.secrets.len() > MAX_SECRETS {
        return wrong("too many secrets");
    }
    let logout = client.backchannel_logout_uri.as_deref();
    if logout.is_some_and(|uri| !uri::is_fetchable(uri, dev)) {
        return wrong("backchannel_logout_uri is not https at a public name");
    }
    Ok(())
}

fn redirects(client: &Client) -> Result<(), Invalid> {
    let all = [&client.redirect_uris, &client.post_logout_redirect_uris];
    if all.iter().any(|uris| uris.len() > MAX_URIS) {
        return wrong("too many redirect URIs");
    }
    if !all
        .into_iter()
        .flatten()
        .all(|uri| uri::is_redirect_uri(uri))
    {
        return Err(Invalid::RedirectUri);
    }
    if client.allows_grant(GrantType::AuthorizationCode) && client.redirect_uris.is_empty() {
        return Err(Invalid::RedirectUri);
    }
    Ok(())
}

fn grants(client: &Client) -> Result<(), Invalid> {
    let allows = |grant| client.allows_grant(grant);
    let stranger = matches!(client.source, Source::Dynamic | Source::MetadataDocument);
    let of_services = [
        GrantType::ClientCredentials,
        GrantType::JwtBearer,
        GrantType::TokenExchange,
    ];
    if stranger && of_services.into_iter().any(allows) {
        return wrong("only an operator registers a client that gets tokens without a person");
    }
    if client.grant_types.is_empty() || client.grant_types.len() > 5 {
        return wrong("grant_types names no grant, or one twice");
    }
    if allows(GrantType::RefreshToken) && !allows(GrantType::AuthorizationCode) {
        return wrong("refresh_token needs authorization_code");
    }
    if allows(GrantType::ClientCredentials) && client.is_public() {
        return wrong("client_credentials needs a client that authenticates");
    }
    if client.is_public() && !client.introspects.is_empty() {
        return wrong("introspects needs a client that authenticates");
    }
    if !client.has_secrets() && !client.secrets.is_empty() {
        return wrong("secrets are for the methods that use one");
    }
    Ok(())
}

fn keys(client: &Client, dev: bool) -> Result<(), Invalid> {
    let by_keys = client.token_endpoint_auth_method == AuthMethod::PrivateKeyJwt;
    match (&client.jwks, &client.jwks_uri) {
        (None, None) if by_keys => wrong("private_key_jwt needs jwks or jwks_uri"),
        (None, None) => Ok(()),
        (Some(_), Some(_)) => wrong("jwks and jwks_uri exclude each other"),
        (None, Some(uri)) if uri::is_fetchable(uri, dev) => Ok(()),
        (None, Some(_)) => wrong("jwks_uri is not https at a public name"),
        (Some(jwks), None) => {
            let text = jwks.to_string();
            let secret = |key: &Value| ["d", "k"].iter().any(|part| key.get(part).is_some());
            let keys = jwks.get("keys").and_then(Value::as_array);
            if keys.is_some_and(|keys| keys.iter().any(secret)) {
                return wrong("jwks holds a private key");
            }
            let usable = KeySet::parse(text.as_bytes()).is_ok_and(|set| !set.is_empty());
            if text.len() > MAX_JWKS_BYTES || !usable {
                return wrong("jwks holds no public key that can be used");
            }
            Ok(())
        }
    }
}

/// Whether people can be shown `name`: nothing in it may change how the rest of a page reads.
fn is_name(name: &str) -> bool {
    let turns_text = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !name.trim().is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.chars().any(|c| c.is_control() || turns_text(c))
}
