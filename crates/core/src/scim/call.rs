//! What a connection's directory can be asked: about its SCIM users, and about whoever else is known there
//! ([`crate::registry`]). Append only: the order is the wire form.
//!
//! Bodies travel as the JSON text that came, and resources as the JSON text to answer.

use super::ScimError;
use super::query::Asked;
use super::rules::Rules;
use super::user::UserId;
use crate::audit::event::RequestFacts;
use crate::registry::{
    FindPerson, KnownPerson, ListPeople, LoggedOut, People, SeeLogin, SeenLogin, UpstreamLogout,
};
use serde::{Deserialize, Serialize};

/// The most resources of an answer.
pub const MAX_RESULTS: u32 = 100;

/// Whose directory, and where its resources are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryCall {
    /// The connection.
    pub connection: String,
    /// The base URL of resources, for `meta.location`.
    pub base: String,
    /// What changes go by; nothing that only reads needs them.
    pub rules: Rules,
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

/// GET by name, as it was asked before there were filters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindUser {
    /// The `userName` asked for; `None` lists all.
    pub user_name: Option<String>,
    /// 1-based, as in RFC 7644 section 3.4.2.4.
    pub start_index: u32,
    /// The most resources to return.
    pub count: u32,
}

/// GET by filter, or a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchUsers {
    /// What is asked. The whole resources are answered, whatever of them is wanted.
    pub asked: Asked,
}

/// PUT, PATCH or DELETE, on the conditions that the request's headers name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeUser {
    /// Which.
    pub id: UserId,
    /// How.
    pub change: UserChange,
    /// `If-Match`, as it came.
    pub if_match: Option<String>,
    /// `If-None-Match`, as it came.
    pub if_none_match: Option<String>,
}

/// How a user is changed. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserChange {
    /// By the body of a PUT.
    Replace(String),
    /// By the body of a PATCH.
    Patch(String),
    /// By being deleted.
    Delete,
}

/// PATCH without conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchUser {
    /// Which.
    pub id: UserId,
    /// The body.
    pub body: String,
}

/// DELETE without conditions.
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
/// A page, or why not.
pub type SearchReply = Result<Found, ScimError>;
/// The resource as JSON, nothing if it was deleted, or why not.
pub type ChangeReply = Result<Option<String>, ScimError>;
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
        /// Somebody is about to log in.
        SeeLogin(SeeLogin) -> SeenLogin,
        /// The provider has logged somebody out.
        UpstreamLogout(UpstreamLogout) -> LoggedOut,
        /// Who is there?
        ListPeople(ListPeople) -> People,
        /// Who is that?
        FindPerson(FindPerson) -> Option<KnownPerson>,
        /// GET by filter, or a search.
        Search(SearchUsers) -> SearchReply,
        /// PUT, PATCH or DELETE.
        Change(ChangeUser) -> ChangeReply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SubjectKey;
    use crate::registry::{Place, ScimUser};
    use crate::secret::Digest;
    use crate::session::{Profile, Upstream};
    use crate::time::UnixMillis;
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

    #[test]
    fn golden_bytes_of_searches_and_changes() {
        let asked = Asked {
            filter: Some("f".into()),
            ..Asked::default()
        };
        assert_eq!(
            wire::encode(&SearchUsers { asked }.into_request()),
            Ok(vec![1, 9, 1, 1, b'f', 0, 0, 0, 0, 0, 0])
        );
        let found: SearchReply = Ok(Found {
            total: 2,
            resources: vec!["r".into()],
        });
        assert_eq!(wire::encode(&found), Ok(vec![1, 0, 2, 1, 1, b'r']));
        for (change, bytes) in [
            (UserChange::Replace("b".into()), &[0, 1, b'b'][..]),
            (UserChange::Patch("b".into()), &[1, 1, b'b']),
            (UserChange::Delete, &[2]),
        ] {
            let change = ChangeUser {
                id: UserId::from_bytes([6; 16]),
                change,
                if_match: Some("m".into()),
                if_none_match: None,
            };
            let expected = [&[1, 10][..], &[6; 16], bytes, &[1, 1, b'm', 0]].concat();
            assert_eq!(wire::encode(&change.into_request()), Ok(expected));
        }
        let deleted: ChangeReply = Ok(None);
        assert_eq!(wire::encode(&deleted), Ok(vec![1, 0, 0]));
    }

    #[test]
    fn golden_bytes_of_the_registry() {
        let subject = SubjectKey::from_bytes([7; 16]);
        let bytes = |parts: &[&[u8]]| Ok(parts.concat());
        let see = SeeLogin {
            subject,
            value: "v".into(),
            upstream: Upstream {
                sub: Some(Digest::from_bytes([8; 32])),
                sid: None,
            },
            flow_begun_at: UnixMillis(2),
            profile: Profile::default(),
            groups: vec!["g".into()],
        };
        let rest = [0, 2, 0, 0, 0, 0, 1, 1, b'g'];
        assert_eq!(
            wire::encode(&see.into_request()),
            bytes(&[&[1, 5], &[7; 16], &[1, b'v', 1], &[8; 32], &rest])
        );
        assert_eq!(wire::encode(&SeenLogin::Ended), Ok(vec![1, 1]));
        let logout = UpstreamLogout {
            replay: Digest::from_bytes([9; 32]),
            expires_at: UnixMillis(3),
            upstream: Upstream::default(),
            subject: Some(subject),
        };
        assert_eq!(
            wire::encode(&logout.into_request()),
            bytes(&[&[1, 6], &[9; 32], &[3, 0, 0, 1], &[7; 16]])
        );
        assert_eq!(wire::encode(&LoggedOut::Told(2)), Ok(vec![1, 0, 2]));
        assert_eq!(wire::encode(&LoggedOut::Replayed), Ok(vec![1, 1]));
        let place = || Place {
            found: "f".into(),
            value: "v".into(),
        };
        let list = ListPeople {
            search: "f".into(),
            disabled: Some(true),
            after: Some(place()),
            limit: 5,
        };
        assert_eq!(
            wire::encode(&list.into_request()),
            bytes(&[&[1, 7, 1, b'f', 1, 1, 1, 1, b'f', 1, b'v', 5]])
        );
        let person = KnownPerson {
            subject,
            value: "v".into(),
            name: None,
            preferred_username: None,
            email: None,
            groups: vec![],
            disabled: true,
            last_login_at: Some(UnixMillis(4)),
            scim: Some(ScimUser {
                id: UserId::from_bytes([6; 16]),
                active: false,
            }),
        };
        let people = People {
            people: vec![person],
            next: Some(place()),
        };
        let of_person = [1, b'v', 0, 0, 0, 0, 1, 1, 4, 1];
        assert_eq!(
            wire::encode(&people),
            bytes(&[
                &[1, 1],
                &[7; 16],
                &of_person,
                &[6; 16],
                &[0, 1, 1, b'f', 1, b'v']
            ])
        );
        assert_eq!(
            wire::encode(&FindPerson { subject }.into_request()),
            bytes(&[&[1, 8], &[7; 16]])
        );
    }
}
