//! What a connection's directory can be asked. Append only: the order is the wire form.
//!
//! Bodies travel as the JSON text that came, and resources as the JSON text to answer.

use super::ScimError;
use super::user::UserId;
use crate::audit::event::RequestFacts;
use serde::{Deserialize, Serialize};

/// Whose directory, and where its resources are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryCall {
    /// The connection.
    pub connection: String,
    /// The base URL of users, for `meta.location`.
    pub users_url: String,
    /// The HTTP request, for the log.
    pub request: RequestFacts,
    /// What to do.
    pub operation: DirectoryRequest,
}

/// POST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateUser {
    /// The new resource's id, random.
    pub id: UserId,
    /// The body.
    pub body: String,
}

/// GET by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetUser {
    /// Which.
    pub id: UserId,
}

/// GET by filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindUser {
    /// The `userName` asked for; `None` lists all.
    pub user_name: Option<String>,
    /// 1-based, as in RFC 7644 section 3.4.2.4.
    pub start_index: u32,
    /// The most resources to return.
    pub count: u32,
}

/// PATCH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchUser {
    /// Which.
    pub id: UserId,
    /// The body.
    pub body: String,
}

/// DELETE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteUser {
    /// Which.
    pub id: UserId,
}

/// A page of resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many there are in all.
    pub total: u64,
    /// The page, each as JSON.
    pub resources: Vec<String>,
}

/// A resource as JSON, or why not.
pub type UserReply = Result<String, ScimError>;
/// Done, or why not.
pub type DeleteReply = Result<(), ScimError>;

crate::object_calls! {
    /// One operation of a directory.
    DirectoryRequest {
        /// POST.
        Create(CreateUser) -> UserReply,
        /// GET by id.
        Get(GetUser) -> UserReply,
        /// GET by filter.
        Find(FindUser) -> Found,
        /// PATCH.
        Patch(PatchUser) -> UserReply,
        /// DELETE.
        Delete(DeleteUser) -> DeleteReply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Call};

    #[test]
    fn golden_bytes() {
        let mut expected = vec![1, 4];
        expected.extend([6; 16]);
        let id = UserId::from_bytes([6; 16]);
        assert_eq!(
            wire::encode(&DeleteUser { id }.into_request()),
            Ok(expected)
        );
        let reply: UserReply = Err(ScimError::NotFound);
        assert_eq!(wire::encode(&reply), Ok(vec![1, 1, 6]));
    }
}
