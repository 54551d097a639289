//! Who may call: API credentials, their roles, and what a route requires.

use crate::config::Config;
use portcullis_core::audit::event::Actor;
use portcullis_core::scim::secret::ScimSecret;
use portcullis_core::secret::Digest;

/// What a holder of an API credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Operate: revoke, look at sessions, read the log.
    Admin,
    /// Read the log.
    Auditor,
    /// Provision the connection's users.
    Scim,
    /// Check credentials.
    Gateway,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Auditor, Self::Scim, Self::Gateway];

    /// The stable name, as in events and in the API description.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Scim => "scim",
            Self::Gateway => "gateway",
        }
    }

    /// The role's holder, for the log.
    pub fn actor(self) -> Actor {
        Actor::Operator(self.as_str().to_owned())
    }
}

/// What a route requires of its caller.
#[derive(Clone, Copy, Debug)]
pub enum Access {
    /// Nothing; the handler authenticates what it needs to, as its RFC says.
    Public,
    /// A bearer credential with one of these roles.
    AnyOf(&'static [Role]),
    /// A bearer credential of the role `scim`, or a secret of a connection; which connection's it must be,
    /// [`crate::http::scim`] knows.
    Scim,
}

/// Who was let in.
pub enum Caller {
    /// Nobody in particular: the route is public.
    Anyone,
    /// A holder of an API credential.
    Role(Role),
    /// Whoever has a secret of some connection that the service has made, whether or not it is good still.
    Scim(ScimSecret),
}

/// Why a caller was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential came (RFC 6750 section 3.1: say nothing of errors then).
    Missing,
    /// One came and is nobody's.
    Unknown,
    /// Its holder may not do this.
    Forbidden,
}

impl Refusal {
    /// What the log calls it; `None`: it is noise.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::Unknown => Some("unknown_credential"),
            Self::Forbidden => Some("insufficient_role"),
        }
    }
}

/// Who calls, if the route lets them in.
pub fn authorize(
    config: &Config,
    access: Access,
    authorization: Option<&str>,
) -> Result<Caller, Refusal> {
    let roles = match access {
        Access::Public => return Ok(Caller::Anyone),
        Access::AnyOf(roles) => roles,
        Access::Scim => &[Role::Scim],
    };
    let header = authorization.ok_or(Refusal::Missing)?;
    let (scheme, token) = header.split_once(' ').ok_or(Refusal::Unknown)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Refusal::Unknown);
    }
    let token = token.trim();
    if let Access::Scim = access
        && let Some(secret) = ScimSecret::parse(&config.routing_key, token)
    {
        return Ok(Caller::Scim(secret));
    }
    let digest = Digest::of(token.as_bytes());
    // Every credential is compared, in constant time: which one matched shows nowhere.
    let role = config
        .credentials
        .iter()
        .fold(
            None,
            |found, (known, role)| {
                if *known == digest { Some(*role) } else { found }
            },
        )
        .ok_or(Refusal::Unknown)?;
    if roles.contains(&role) {
        Ok(Caller::Role(role))
    } else {
        Err(Refusal::Forbidden)
    }
}
