//! Who sent a request: what the rest of the gateway uses of a token that was verified, be it the
//! service's own or an identity provider's.

use portcullis_core::audit::event::Credential;
use portcullis_core::id::{LogHash, SubjectKey};
use portcullis_core::jwt::access_token::VerifiedAccessToken;
use portcullis_core::session::foreign::ForeignHolder;
use serde_json::{Map, Value};

/// The holder of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub subject: SubjectKey,
    /// The OAuth client; an identity provider's for a token of its own, where that says so.
    pub client_id: Option<String>,
    /// The connection, for an identity provider's own token.
    pub connection: Option<String>,
    /// What was granted, space separated.
    pub scope: Option<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// When the person logged in, in seconds.
    pub auth_time_secs: Option<u64>,
    /// How.
    pub acr: Option<String>,
    /// What the connection keeps of the provider's claims; nothing, for a provider's own token.
    pub idp_claims: Map<String, Value>,
    /// The log's name for the session, for a token of the service's.
    pub session: Option<LogHash>,
    /// The log's name for the token.
    pub token: LogHash,
    /// Who issued it, for a token of the service's.
    pub issuer: Option<String>,
    /// The key that signed it, for a token of the service's.
    pub kid: Option<String>,
    /// Who acts in the subject's stead, the present actor first.
    pub act: Vec<SubjectKey>,
}

impl Caller {
    /// What the log says of the credential.
    #[must_use]
    pub fn credential(&self) -> Credential {
        Credential {
            issuer: self.issuer.clone(),
            kid: self.kid.clone(),
            connection: self.connection.clone(),
            act: self.act.clone(),
        }
    }
}

impl From<&VerifiedAccessToken> for Caller {
    fn from(token: &VerifiedAccessToken) -> Self {
        let claims = token.claims();
        Self {
            subject: claims.sub,
            client_id: Some(claims.client_id.clone()),
            connection: None,
            scope: claims.scope.clone(),
            roles: claims.roles.clone(),
            groups: claims.groups.clone(),
            auth_time_secs: claims.auth_time,
            acr: claims.acr.clone(),
            idp_claims: claims.idp_claims.clone(),
            session: Some(LogHash::of_session(claims.sid)),
            token: LogHash::of_token(claims.jti),
            issuer: Some(claims.iss.clone()),
            kid: Some(token.kid().to_owned()),
            act: token.actors().map(|actor| actor.sub).collect(),
        }
    }
}

/// The service verified it.
impl From<ForeignHolder> for Caller {
    fn from(holder: ForeignHolder) -> Self {
        Self {
            subject: holder.subject,
            client_id: holder.client_id,
            connection: Some(holder.connection),
            scope: holder.scope,
            roles: holder.roles,
            groups: holder.groups,
            auth_time_secs: holder.auth_time_secs,
            acr: holder.acr,
            idp_claims: Map::new(),
            session: None,
            token: holder.token,
            issuer: None,
            kid: None,
            act: Vec::new(),
        }
    }
}

/// Somebody, for the tests of this crate.
#[cfg(test)]
pub(crate) fn example() -> Caller {
    Caller {
        subject: SubjectKey::from_bytes([1; 16]),
        client_id: Some("gateway".to_owned()),
        connection: None,
        scope: Some("openid profile".to_owned()),
        roles: Vec::new(),
        groups: vec!["staff".to_owned(), "Köche, 100%\r\nX: y".to_owned()],
        auth_time_secs: Some(1),
        acr: None,
        idp_claims: Map::new(),
        session: Some(LogHash::from_bytes([3; 16])),
        token: LogHash::from_bytes([2; 16]),
        issuer: Some("https://id.example".to_owned()),
        kid: Some("k".to_owned()),
        act: vec![SubjectKey::from_bytes([4; 16])],
    }
}
