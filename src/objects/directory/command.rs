//! What a directory has its subjects do, until each has confirmed it.

use portcullis_core::audit::event::Actor;
use portcullis_core::id::SubjectKey;
use portcullis_core::scim::user::UserId;
use portcullis_core::secret::Digest;
use portcullis_core::session::call::SubjectRequest;
use portcullis_core::session::provision::{Provision, Provisioned};
use portcullis_core::session::reactivate::Reactivate;
use portcullis_core::session::revoke::{Cause, IdempotencyKey, Revoke, Scope};
use portcullis_core::wire::Call;
use serde::{Deserialize, Serialize};

/// What a command comes of, and what an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Changes to a user.
    User(UserId),
    /// A log-out, by the digest of its token.
    Logout(Digest),
}

/// What a change means for a subject. Stored: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubjectCommand {
    /// End everything, and let nobody in until reactivated.
    Disable(Cause),
    /// Let them in again.
    Reactivate,
    /// End what rests on that session at the provider.
    EndSession(Digest),
    /// End everything, because of a log-out; a new log-in is possible.
    EndAll,
    /// End everything; a new log-in is possible.
    End(Cause),
    /// Know what groups and roles the directory says now.
    Provision,
    /// Both, in this order: whoever lost something must not get a token with it in between.
    ProvisionAndEnd(Cause),
}

impl SubjectCommand {
    /// Whether it says what groups and roles there are.
    pub const fn provisions(&self) -> bool {
        matches!(self, Self::Provision | Self::ProvisionAndEnd(_))
    }
}

/// A command that a subject has not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the order of changes.
    pub version: u64,
    /// For whom.
    pub subject: SubjectKey,
    /// What.
    pub command: SubjectCommand,
}

impl Pending {
    /// The command as the subject's object takes it, one request after the other. `says` is what the directory
    /// says of the person now, if the command tells them.
    pub fn requests(&self, connection: &str, says: Option<Provisioned>) -> Vec<SubjectRequest> {
        let actor = Actor::Connection(connection.to_owned());
        let directory_version = self.version;
        let then = match self.command {
            SubjectCommand::Disable(cause) => {
                let scope = Scope::SubjectUntilReactivated { directory_version };
                Some(Revoke::new(scope, cause, actor).into_request())
            }
            SubjectCommand::Reactivate => {
                let reactivate = Reactivate {
                    directory_version,
                    actor,
                };
                Some(reactivate.into_request())
            }
            SubjectCommand::EndSession(sid) => {
                let scope = Scope::UpstreamSession(sid);
                Some(self.end(connection, scope, Cause::UpstreamLogout))
            }
            SubjectCommand::EndAll => {
                Some(self.end(connection, Scope::Subject, Cause::UpstreamLogout))
            }
            SubjectCommand::End(cause) | SubjectCommand::ProvisionAndEnd(cause) => {
                Some(self.end(connection, Scope::Subject, cause))
            }
            SubjectCommand::Provision => None,
        };
        let first = says.map(|says| Provision(says).into_request());
        first.into_iter().chain(then).collect()
    }

    /// An end, once: sent again because its confirmation was lost, it must not end what has begun since.
    fn end(&self, connection: &str, scope: Scope, cause: Cause) -> SubjectRequest {
        let what = match cause {
            Cause::UpstreamLogout => "upstream logout",
            _ => "scim",
        };
        let this = format!("{what}\n{connection}\n{}", self.version);
        let this = Digest::of(this.as_bytes());
        let actor = Actor::Connection(connection.to_owned());
        Revoke {
            idempotency: Some(IdempotencyKey {
                key: this,
                fingerprint: this,
            }),
            ..Revoke::new(scope, cause, actor)
        }
        .into_request()
    }
}
