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
mod tests;
