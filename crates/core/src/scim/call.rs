//! What a connection's directory can be asked: about its SCIM users, and about whoever else is known there
//! ([`crate::registry`]). Append only: the order is the wire form.
//!
//! Bodies travel as the JSON text that came, and resources as the JSON text to answer.

use super::ScimError;
use super::group::GroupId;
use super::job::{FindJob, Job, JobId, Jobs, ListJobs};
use super::query::Asked;
use super::resource::render::Projection;
use super::rules::Rules;
use super::schema::{GROUP, ResourceType, USER};
use super::secret::{
    KeptSecret, Knock, KnockReply, ListSecrets, MakeSecret, RemoveSecrets, SecretMade,
};
use super::user::UserId;
use crate::audit::event::RequestFacts;
use crate::registry::{
    CountSeats, FindPerson, KnownPerson, ListPeople, LoggedOut, People, SeeLogin, SeenLogin,
    UpstreamLogout,
};
use crate::secret::Digest;
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
    /// The secret by which a provider asks, which must be good or nothing is done; `None`: whoever asks was let
    /// in by something else. Only what is answered by a [`ScimError`] is asked by a secret.
    pub secret: Option<Digest>,
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

/// A place in the order of requests that none has any more. What was sent under it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired<const PLACE: u8>;

/// A resource of a directory. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A user.
    User(UserId),
    /// A group.
    Group(GroupId),
}

impl Target {
    /// Its id, as in URLs and bodies.
    #[must_use]
    pub fn id_text(self) -> String {
        match self {
            Self::User(id) => id.to_text(),
            Self::Group(id) => id.to_text(),
        }
    }
}

/// What of a resource is answered, as the two parameters say it; neither: all that is without being asked
/// for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// `attributes`, separated by commas.
    pub attributes: Option<String>,
    /// `excludedAttributes`, separated by commas.
    pub excluded_attributes: Option<String>,
}

impl View {
    /// What a request asks for.
    #[must_use]
    pub fn of(asked: &Asked) -> Self {
        Self {
            attributes: asked.attributes.clone(),
            excluded_attributes: asked.excluded_attributes.clone(),
        }
    }

    /// The same checked, for resources of a type.
    pub fn projection(&self, of: &ResourceType) -> Result<Projection, ScimError> {
        let excluded = self.excluded_attributes.as_deref();
        Projection::new(of, self.attributes.as_deref(), excluded)
    }
}

/// GET by id, of any type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadResource {
    /// Which.
    pub target: Target,
    /// What of it.
    pub view: View,
}

/// POST, PUT, PATCH or DELETE of any type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteResource {
    /// Which; of a POST, the id that is to be the new one's: random.
    pub target: Target,
    /// How.
    pub change: Write,
    /// `If-Match`, as it came; nothing of a POST.
    pub if_match: Option<String>,
    /// `If-None-Match`, as it came; nothing of a POST.
    pub if_none_match: Option<String>,
    /// What of it is answered; `None`: its version alone.
    pub view: Option<View>,
}

/// How a resource is changed. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// By the body of a POST.
    Create(String),
    /// By the body of a PUT.
    Replace(String),
    /// By the body of a PATCH.
    Patch(String),
    /// By being deleted.
    Delete,
}

/// A resource as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// Its version.
    pub version: u64,
    /// The resource as JSON, unless nobody asked for it.
    pub resource: Option<String>,
}

/// What a change has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The resource; `None`: it was deleted.
    pub resource: Option<Versioned>,
    /// The job that carries out what it means for people, if there is one.
    pub job: Option<JobId>,
}

/// A list, of one type or of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchResources {
    /// Of what.
    pub of: Searched,
    /// What is asked. Of each resource, that is what is answered.
    pub asked: Asked,
}

/// What a list is of. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Searched {
    /// Users.
    Users,
    /// Groups.
    Groups,
    /// Everything: users, and then groups.
    All,
}

static ALL: [&ResourceType; 2] = [&USER, &GROUP];

impl Searched {
    /// The types that it has.
    #[must_use]
    pub fn types(self) -> &'static [&'static ResourceType] {
        let (users, groups) = ALL.split_at(1);
        match self {
            Self::Users => users,
            Self::Groups => groups,
            Self::All => &ALL,
        }
    }
}

/// A Bulk request that is being carried out: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BulkId([u8; 16]);

impl BulkId {
    /// From 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// For storing.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A Bulk request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBulk {
    /// What it is known by while it is carried out.
    pub id: BulkId,
    /// The body.
    pub body: String,
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
/// A resource, or why not.
pub type ReadReply = Result<Versioned, ScimError>;
/// What a change has made, or why it was refused.
pub type WriteReply = Result<Written, ScimError>;
/// The answer to a Bulk request as JSON, or why nothing of it was done.
pub type BulkReply = Result<String, ScimError>;

crate::object_calls! {
    /// One operation of a directory.
    DirectoryRequest {
        /// POST.
        Create(CreateUser) -> UserReply,
        /// GET by id.
        Get(GetUser) -> UserReply,
        /// Was GET by name.
        Retired2(Retired<2>) -> (),
        /// Was PATCH without conditions.
        Retired3(Retired<3>) -> (),
        /// Was DELETE without conditions.
        Retired4(Retired<4>) -> (),
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
        /// Is the secret good?
        Knock(Knock) -> KnockReply,
        /// Keep a new secret.
        MakeSecret(MakeSecret) -> SecretMade,
        /// Which secrets are there?
        ListSecrets(ListSecrets) -> Vec<KeptSecret>,
        /// Remove secrets.
        RemoveSecrets(RemoveSecrets) -> u32,
        /// What is and was done for changes of groups?
        ListJobs(ListJobs) -> Jobs,
        /// How far is it?
        FindJob(FindJob) -> Option<Job>,
        /// How many seats are held?
        CountSeats(CountSeats) -> u64,
        /// GET by id, of any type.
        Read(ReadResource) -> ReadReply,
        /// POST, PUT, PATCH or DELETE, of any type.
        Write(WriteResource) -> WriteReply,
        /// A list, of one type or of all.
        List(SearchResources) -> SearchReply,
        /// Many operations in one request.
        Bulk(RunBulk) -> BulkReply,
    }
}

impl DirectoryRequest {
    /// Whether a connection's rules have a say in it: in changes of users and groups, and in log-ins. All but log-ins
    /// answer with an error of SCIM if they are refused.
    #[must_use]
    pub const fn goes_by_rules(&self) -> bool {
        matches!(
            self,
            Self::Create(_) | Self::Change(_) | Self::Write(_) | Self::Bulk(_) | Self::SeeLogin(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SubjectKey;
    use crate::registry::{Place, ScimUser};
    use crate::scim::job::JobKind;
    use crate::session::provision::Provisioned;
    use crate::session::{Profile, Upstream};
    use crate::time::UnixMillis;
    use crate::wire::{self, Call};

    #[test]
    fn golden_bytes() {
        let mut expected = vec![1, 1];
        expected.extend([6; 16]);
        let id = UserId::from_bytes([6; 16]);
        assert_eq!(wire::encode(&GetUser { id }.into_request()), Ok(expected));
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
    fn what_was_sent_under_a_place_that_is_retired_cannot_be_read() {
        // As a name was asked for, a user changed, and one deleted.
        let find = [&[1, 2][..], &[1, 1, b'a', 1, 100]].concat();
        let patch = [&[1, 3][..], &[6; 16], &[1, b'p']].concat();
        let delete = [&[1, 4][..], &[6; 16]].concat();
        for bytes in [find, patch, delete] {
            assert!(
                wire::decode::<DirectoryRequest>(&bytes).is_err(),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn golden_bytes_of_jobs_and_seats() {
        let list = ListJobs {
            before: Some(JobId(300)),
            limit: 5,
        };
        assert_eq!(
            wire::encode(&list.into_request()),
            Ok(vec![1, 15, 1, 172, 2, 5])
        );
        let find = FindJob { id: JobId(300) };
        assert_eq!(wire::encode(&find.into_request()), Ok(vec![1, 16, 172, 2]));
        assert_eq!(wire::encode(&CountSeats.into_request()), Ok(vec![1, 17]));
        let job = Job {
            id: JobId(7),
            what: JobKind::Renamed,
            group: GroupId::from_bytes([6; 16]),
            group_name: "g".into(),
            cause: Some("c".into()),
            total: 3,
            done: 2,
            failing: 1,
            created: UnixMillis(8),
            finished: None,
        };
        let expected = [&[7, 1][..], &[6; 16], &[1, b'g', 1, 1, b'c', 3, 2, 1, 8, 0]].concat();
        let jobs = Jobs {
            jobs: vec![job],
            next: Some(JobId(7)),
        };
        assert_eq!(
            wire::encode(&jobs),
            Ok([&[1, 1][..], &expected, &[1, 7]].concat())
        );
    }

    #[test]
    fn golden_bytes_of_secrets() {
        use crate::audit::event::Actor;
        use crate::id::ScimSecretId;
        let by = || Actor::Operator("o".into());
        let make = MakeSecret {
            digest: Digest::from_bytes([8; 32]),
            overlap_secs: 5,
            by: by(),
        };
        let expected = [&[1, 12][..], &[8; 32], &[5, 2, 1, b'o']].concat();
        assert_eq!(wire::encode(&make.into_request()), Ok(expected));
        assert_eq!(wire::encode(&Knock.into_request()), Ok(vec![1, 11]));
        assert_eq!(wire::encode(&ListSecrets.into_request()), Ok(vec![1, 13]));
        let one = RemoveSecrets {
            id: Some(ScimSecretId::from_bytes([7; 16])),
            by: by(),
        };
        let expected = [&[1, 14, 1][..], &[7; 16], &[2, 1, b'o']].concat();
        assert_eq!(wire::encode(&one.into_request()), Ok(expected));
    }

    #[test]
    fn golden_bytes_of_resources_of_any_type() {
        let bytes = |parts: &[&[u8]]| Ok(parts.concat());
        let view = View {
            attributes: None,
            excluded_attributes: Some("members".into()),
        };
        let read = ReadResource {
            target: Target::Group(GroupId::from_bytes([6; 16])),
            view: view.clone(),
        };
        assert_eq!(
            wire::encode(&read.into_request()),
            bytes(&[&[1, 18, 1], &[6; 16], &[0, 1, 7], b"members"])
        );
        for (change, expected) in [
            (Write::Create("b".into()), &[0, 1, b'b'][..]),
            (Write::Replace("b".into()), &[1, 1, b'b']),
            (Write::Patch("b".into()), &[2, 1, b'b']),
            (Write::Delete, &[3]),
        ] {
            let write = WriteResource {
                target: Target::User(UserId::from_bytes([6; 16])),
                change,
                if_match: None,
                if_none_match: Some("m".into()),
                view: Some(View::default()),
            };
            assert_eq!(
                wire::encode(&write.into_request()),
                bytes(&[&[1, 19, 0], &[6; 16], expected, &[0, 1, 1, b'm', 1, 0, 0]])
            );
        }
        for (of, number) in [
            (Searched::Users, 0),
            (Searched::Groups, 1),
            (Searched::All, 2),
        ] {
            let list = SearchResources {
                of,
                asked: Asked::default(),
            };
            assert_eq!(
                wire::encode(&list.into_request()),
                bytes(&[&[1, 20, number], &[0; 7]])
            );
        }
        let bulk = RunBulk {
            id: BulkId::from_bytes([6; 16]),
            body: "b".into(),
        };
        assert_eq!(
            wire::encode(&bulk.into_request()),
            bytes(&[&[1, 21], &[6; 16], &[1, b'b']])
        );
        let done: WriteReply = Ok(Written {
            resource: Some(Versioned {
                version: 5,
                resource: None,
            }),
            job: Some(JobId(6)),
        });
        assert_eq!(wire::encode(&done), Ok(vec![1, 0, 1, 5, 0, 1, 6]));
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
        let said = SeenLogin::Provisioned(Provisioned {
            version: 300,
            groups: vec!["g".into()],
            roles: vec!["r".into()],
        });
        let said_bytes = [1, 2, 0xac, 2, 1, 1, b'g', 1, 1, b'r'];
        assert_eq!(wire::encode(&said), Ok(said_bytes.to_vec()));
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
            seat: true,
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
                &[0, 1, 1, 1, b'f', 1, b'v']
            ])
        );
        assert_eq!(
            wire::encode(&FindPerson { subject }.into_request()),
            bytes(&[&[1, 8], &[7; 16]])
        );
    }
}
