//! The claims that can become headers of a route's own, and that the audit log can be told.
//!
//! | claim | value |
//! |---|---|
//! | `sub` | the subject key |
//! | `client_id`, `connection`, `acr` | the text |
//! | `scope` | what was granted, space separated |
//! | `roles`, `groups` | each, comma separated |
//! | `auth_time` | seconds since 1970 |
//! | `idp_claims.NAME` | a text, a number, true or false; of a list of those, comma separated |
//!
//! Without a value there is nothing. In headers values are encoded as in the gateway's own
//! ([`crate::headers`]). An identity provider's own token brings no `idp_claims`.

use crate::caller::Caller;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// A claim of a caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Who.
    Sub,
    /// The OAuth client.
    ClientId,
    /// What was granted.
    Scope,
    /// Roles.
    Roles,
    /// Groups.
    Groups,
    /// How the person logged in.
    Acr,
    /// When the person logged in.
    AuthTime,
    /// The connection, for an identity provider's own token.
    Connection,
    /// What the connection keeps of the provider's claims, under that name.
    IdpClaim(String),
}

/// A text that names no such claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownClaim;

impl fmt::Display for UnknownClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no such claim; there are sub, client_id, scope, roles, groups, acr, auth_time, \
             connection and idp_claims.NAME",
        )
    }
}

const IDP_CLAIMS: &str = "idp_claims.";

impl FromStr for Claim {
    type Err = UnknownClaim;

    fn from_str(name: &str) -> Result<Self, UnknownClaim> {
        match name {
            "sub" => Ok(Self::Sub),
            "client_id" => Ok(Self::ClientId),
            "scope" => Ok(Self::Scope),
            "roles" => Ok(Self::Roles),
            "groups" => Ok(Self::Groups),
            "acr" => Ok(Self::Acr),
            "auth_time" => Ok(Self::AuthTime),
            "connection" => Ok(Self::Connection),
            name => match name.strip_prefix(IDP_CLAIMS) {
                Some("") | None => Err(UnknownClaim),
                Some(kept) => Ok(Self::IdpClaim(kept.to_owned())),
            },
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sub => "sub",
            Self::ClientId => "client_id",
            Self::Scope => "scope",
            Self::Roles => "roles",
            Self::Groups => "groups",
            Self::Acr => "acr",
            Self::AuthTime => "auth_time",
            Self::Connection => "connection",
            Self::IdpClaim(name) => return write!(f, "{IDP_CLAIMS}{name}"),
        })
    }
}

impl Claim {
    /// What `caller` has of it: nothing that is empty.
    #[must_use]
    pub fn values(&self, caller: &Caller) -> Vec<String> {
        let text = |text: &Option<String>| text.iter().cloned().collect();
        let mut values: Vec<String> = match self {
            Self::Sub => vec![caller.subject.to_string()],
            Self::ClientId => text(&caller.client_id),
            Self::Connection => text(&caller.connection),
            Self::Acr => text(&caller.acr),
            Self::Scope => {
                let scope = caller.scope.as_deref().unwrap_or_default();
                scope.split(' ').map(str::to_owned).collect()
            }
            Self::Roles => caller.roles.clone(),
            Self::Groups => caller.groups.clone(),
            Self::AuthTime => {
                let at = caller.auth_time_secs.iter();
                at.map(ToString::to_string).collect()
            }
            Self::IdpClaim(name) => caller.idp_claims.get(name).map(of_json).unwrap_or_default(),
        };
        values.retain(|value| !value.is_empty());
        values
    }

    /// What stands between several.
    #[must_use]
    pub const fn separator(&self) -> &'static str {
        match self {
            Self::Scope => " ",
            _ => ",",
        }
    }
}

/// A text, a number, true or false, or a list of those; nothing for anything else.
fn of_json(value: &Value) -> Vec<String> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(items) => items
            .iter()
            .map(plain)
            .collect::<Option<_>>()
            .unwrap_or_default(),
        one => plain(one).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_named_as_in_tokens_and_no_other_becomes_a_header() {
        for name in [
            "sub",
            "client_id",
            "scope",
            "roles",
            "groups",
            "acr",
            "auth_time",
            "connection",
            "idp_claims.email",
            "idp_claims.a.b",
        ] {
            let claim = name.parse::<Claim>().map(|claim| claim.to_string());
            assert_eq!(claim.as_deref(), Ok(name));
        }
        for name in [
            "",
            "email",
            "jti",
            "sid",
            "idp_claims",
            "idp_claims.",
            "Sub",
            "act",
        ] {
            assert_eq!(name.parse::<Claim>(), Err(UnknownClaim), "{name}");
        }
    }
}
