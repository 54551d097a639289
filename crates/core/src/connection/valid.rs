//! What a connection's document must be to be kept.

use super::claims::is_name;
use super::rules::RoleRule;
use super::saml::{SamlSettings, is_one_word};
use super::{Connection, MAX_LIST, MAX_TEXT_BYTES};
use crate::client::uri::is_fetchable;

/// The longest id.
pub const MAX_ID_BYTES: usize = 32;
/// Names that are no connection's: services live in the first, trusts in the second.
const TAKEN: [&str; 2] = ["local", "trust"];
const MAX_NAME_BYTES: usize = 64;

impl Connection {
    /// Whether it can be kept; else why not. `dev` lets it be on loopback.
    pub fn valid(&self, dev: bool) -> Result<(), &'static str> {
        if !is_id(&self.id) {
            return Err("id is not 1 to 32 of a-z, 0-9 and -, or is taken");
        }
        self.valid_settings(dev)
    }

    /// The same but for the id: the configuration's connection has an older one.
    pub fn valid_settings(&self, dev: bool) -> Result<(), &'static str> {
        if self.name.as_ref().is_some_and(|name| {
            !(1..=MAX_NAME_BYTES).contains(&name.len()) || name.chars().any(char::is_control)
        }) {
            return Err("name is empty, too long, or not one line");
        }
        match &self.saml {
            Some(saml) => self.valid_saml(saml, dev)?,
            None => self.valid_addresses(dev)?,
        }
        self.valid_client()?;
        self.valid_claims()?;
        if self.email_domains.len() > MAX_LIST
            || !self.email_domains.iter().all(|one| is_domain(one))
        {
            return Err("email_domains has too many, or one that is no domain in lower case");
        }
        if let Some(tokens) = &self.tokens {
            tokens.valid()?;
        }
        if !self.jwks_path.starts_with('/') || self.jwks_path.len() > MAX_TEXT_BYTES {
            return Err("jwks_path is no JSON Pointer");
        }
        if let Some(target) = &self.api_shield {
            target.valid().map_err(
                |_| "api_shield has no zone_id of 32 hexadecimal digits or no UUID as config_id",
            )?;
        }
        Ok(())
    }

    /// Where a provider of OpenID Connect is.
    fn valid_addresses(&self, dev: bool) -> Result<(), &'static str> {
        let manual = [
            &self.authorization_endpoint,
            &self.token_endpoint,
            &self.jwks_uri,
        ];
        let given = manual.iter().filter(|endpoint| endpoint.is_some()).count();
        if given != 0 && given != manual.len() && self.logs_in() {
            return Err(
                "authorization_endpoint, token_endpoint and jwks_uri come together or not at all; \
                 jwks_uri alone needs tokens, and logs nobody in",
            );
        }
        let urls = [Some(&self.issuer)]
            .into_iter()
            .chain(manual.map(Option::as_ref));
        if self.issuer.contains('?') || !urls.flatten().all(|url| is_fetchable(url, dev)) {
            return Err("issuer or an endpoint is not https at a public name");
        }
        Ok(())
    }

    /// The same of a SAML provider, which has nothing that goes with tokens.
    fn valid_saml(&self, saml: &SamlSettings, dev: bool) -> Result<(), &'static str> {
        if !is_one_word(&self.issuer) {
            return Err("issuer is no entity ID: a URI of at most 512 bytes");
        }
        let of_oidc = [
            self.authorization_endpoint.is_some(),
            self.token_endpoint.is_some(),
            self.jwks_uri.is_some(),
            self.tokens.is_some(),
            self.api_shield.is_some(),
        ];
        if of_oidc.contains(&true) {
            return Err(
                "with saml there are no authorization_endpoint, token_endpoint, jwks_uri, tokens and api_shield",
            );
        }
        saml.valid(dev)
    }

    fn valid_client(&self) -> Result<(), &'static str> {
        if !(1..=MAX_TEXT_BYTES).contains(&self.client_id.len())
            || self.client_id.chars().any(char::is_control)
        {
            return Err("client_id is empty, too long, or not one line");
        }
        let scope_char = |c: char| c == ' ' || (c.is_ascii_graphic() && !['"', '\\'].contains(&c));
        if self.scope.len() > MAX_TEXT_BYTES
            || !self.scope.chars().all(scope_char)
            || !self.scope.split(' ').any(|scope| scope == "openid")
        {
            return Err("scope is too long, not as RFC 6749 section 3.3 has it, or lacks openid");
        }
        Ok(())
    }

    fn valid_claims(&self) -> Result<(), &'static str> {
        let lists = [&self.groups_claims, &self.claims];
        let names = [&self.subject_claim, &self.email_claim].into_iter();
        if lists.iter().any(|list| list.len() > MAX_LIST)
            || !names
                .chain(lists.into_iter().flatten())
                .all(|name| is_name(name))
        {
            return Err("a claim's name is empty or too long, or there are too many");
        }
        if !self.requires.are_valid() {
            return Err("requires has too many, or a value that cannot be compared");
        }
        if self.roles.len() > MAX_LIST || !self.roles.iter().all(RoleRule::is_valid) {
            return Err(
                "roles has too many, or one without a role, a claim, and either equals or where",
            );
        }
        Ok(())
    }
}

/// Whether `id` can be a connection's.
#[must_use]
pub fn is_id(id: &str) -> bool {
    let of_an_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(of_an_id)
        && !id.starts_with('-')
        && !TAKEN.contains(&id)
}

fn is_domain(text: &str) -> bool {
    let of_a_domain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (3..=253).contains(&text.len())
        && text.bytes().all(of_a_domain)
        && text.split('.').all(|label| !label.is_empty())
        && text.contains('.')
}
