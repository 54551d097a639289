//! What a directory has its subjects do, until each has confirmed it.

use portcullis_core::audit::event::Actor;
use portcullis_core::id::SubjectKey;
use portcullis_core::scim::user::UserId;
use portcullis_core::secret::Digest;
use portcullis_core::session::call::SubjectRequest;
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
    /// End everything; a new log-in is possible.
    EndAll,
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
    /// The command as the subject's object takes it.
    pub fn request(&self, connection: &str) -> SubjectRequest {
        let actor = Actor::Connection(connection.to_owned());
        let directory_version = self.version;
        match self.command {
            SubjectCommand::Disable(cause) => {
                let scope = Scope::SubjectUntilReactivated { directory_version };
                Revoke::new(scope, cause, actor).into_request()
            }
            SubjectCommand::Reactivate => Reactivate {
                directory_version,
                actor,
            }
            .into_request(),
            SubjectCommand::EndSession(sid) => self.end(connection, Scope::UpstreamSession(sid)),
            SubjectCommand::EndAll => self.end(connection, Scope::Subject),
        }
    }

    /// A log-out, once: sent again because its confirmation was lost, it must not end what has begun
    /// since.
    fn end(&self, connection: &str, scope: Scope) -> SubjectRequest {
        let this = format!("upstream logout\n{connection}\n{}", self.version);
        let this = Digest::of(this.as_bytes());
        let actor = Actor::Connection(connection.to_owned());
        Revoke {
            idempotency: Some(IdempotencyKey {
                key: this,
                fingerprint: this,
            }),
            ..Revoke::new(scope, Cause::UpstreamLogout, actor)
        }
        .into_request()
    }
}
