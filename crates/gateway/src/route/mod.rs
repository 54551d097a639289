//! What the gateway's file declares, as values that hold nothing invalid: where requests may go,
//! who may send them, and how sure that must be.
//!
//! Out of scope: the file's text ([`crate::file`]).

pub mod access;
pub mod audit;
pub mod claim;
pub mod path;
pub mod table;

use crate::consistency::Consistency;
use access::Requirements;
use audit::Audit;
use claim::Claim;
use path::Pattern;

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Where the file declares it; lines are counted from 1.
    pub line: usize,
    /// The host it is for, in lower case and without a port; absent: any.
    pub host: Option<String>,
    /// The paths it is for.
    pub path: Pattern,
    /// The methods it is for; absent: any. `GET` is also `HEAD`.
    pub methods: Option<Vec<String>>,
    /// Where its requests go: an index into [`table::Table::upstreams`].
    pub upstream: usize,
    /// Who may pass.
    pub access: Access,
}

/// Who may pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Everybody, as nobody.
    Public,
    /// Whoever is known and has what is required.
    Guarded(Box<Guard>),
}

/// How a route is guarded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guard {
    /// What a caller must have.
    pub requirements: Requirements,
    /// How sure it must be that their credential is in force.
    pub consistency: Consistency,
    /// What of the requests that pass is recorded.
    pub audit: Audit,
    /// Headers that the origin gets, and the claims they hold.
    pub headers: Vec<(String, Claim)>,
    /// Whether a browser without a credential is sent to log in.
    pub browser_login: bool,
    /// Whether the origin gets a signed assertion of who is there.
    pub assertion: bool,
}

impl Route {
    /// How it is guarded, unless it is public.
    #[must_use]
    pub fn guard(&self) -> Option<&Guard> {
        match &self.access {
            Access::Public => None,
            Access::Guarded(guard) => Some(guard),
        }
    }

    fn is_for_host(&self, host: &str) -> bool {
        self.host.as_ref().is_none_or(|known| known == host)
    }

    /// Whether it is for a method.
    #[must_use]
    pub fn allows(&self, method: &str) -> bool {
        let allowed = |methods: &Vec<String>| {
            methods
                .iter()
                .any(|allowed| allowed == method || (allowed == "GET" && method == "HEAD"))
        };
        self.methods.as_ref().is_none_or(allowed)
    }

    /// Whether both are for the same hosts and paths, to whoever takes all cases for one: then
    /// they differ by method.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        self.host == other.host && self.path.covers(&other.path) && other.path.covers(&self.path)
    }

    /// Whether it takes whatever host and path another is for, to whoever takes all cases for one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let host = self.host.is_none() || self.host == other.host;
        host && self.path.covers(&other.path)
    }
}
