//! Of what a credential is: all that an entry of the feed could name to cover it.
//!
//! Made once when a credential has been verified, so that judging it again takes no hashing.

use super::seed::{Fingerprint, Kind, Seed};
use portcullis_core::jwt::access_token::VerifiedAccessToken;
use portcullis_core::session::foreign::ForeignHolder;
use portcullis_core::time::UnixMillis;

/// Through which connection somebody logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Our tokens do not say: any that was revoked could be it.
    Unknown,
    /// This one.
    Known(String),
}

/// The marks of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// As of when the service vouches for it, by the service's clock: when it issued it, or when it
    /// last said that it is in force.
    pub vouched_at: UnixMillis,
    /// Its subject, session, token, and those of whoever acts with it.
    pub fingerprints: Box<[Fingerprint]>,
    /// The client that it was given to.
    pub client_id: Option<String>,
    /// Whether somebody acts with it for another. It rests on sessions of other clients, which it does
    /// not name: any client that was revoked could be one of them.
    pub for_others: bool,
    /// The connection.
    pub connection: Connection,
    /// The key of the service's that signed it.
    pub kid: Option<String>,
}

impl Marks {
    /// Of a token of the service's.
    #[must_use]
    pub fn of_token(token: &VerifiedAccessToken, seed: &Seed) -> Self {
        let claims = token.claims();
        let subject = |bytes: &[u8; 16]| seed.fingerprint(Kind::Subject, bytes);
        let session = |bytes: &[u8; 16]| seed.fingerprint(Kind::Session, bytes);
        let own = [
            subject(claims.sub.as_bytes()),
            session(claims.sid.as_bytes()),
            seed.fingerprint(Kind::Token, claims.jti.as_bytes()),
        ];
        let actors = token
            .actors()
            .flat_map(|actor| [subject(actor.sub.as_bytes()), session(actor.sid.as_bytes())]);
        let issued_at = UnixMillis(0).plus_secs(claims.iat);
        Self {
            issued_at,
            vouched_at: issued_at,
            fingerprints: own.into_iter().chain(actors).collect(),
            client_id: Some(claims.client_id.clone()),
            for_others: claims.act.is_some(),
            connection: Connection::Unknown,
            kid: Some(token.kid().to_owned()),
        }
    }

    /// Of an identity provider's token, which the service said to be in force at `checked_at`.
    #[must_use]
    pub fn of_foreign(holder: &ForeignHolder, checked_at: UnixMillis, seed: &Seed) -> Self {
        let subject = seed.fingerprint(Kind::Subject, holder.subject.as_bytes());
        let sid = holder.sid.as_ref();
        let upstream = sid.map(|sid| seed.upstream_session(&holder.subject, sid));
        Self {
            issued_at: holder.issued_at,
            vouched_at: checked_at,
            fingerprints: [subject].into_iter().chain(upstream).collect(),
            // Its client is the provider's, none of ours.
            client_id: None,
            for_others: false,
            connection: Connection::Known(holder.connection.clone()),
            kid: None,
        }
    }
}
