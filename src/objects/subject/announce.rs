//! Telling clients that a session is over: the sending side of OIDC Back-Channel Logout 1.0.
//!
//! The end of a session and its row in `announcement` are one transaction. Here the rows that are due
//! are sent, off every answer's path: at once after the change, and by the object's alarm afterwards.
//! [`portcullis_core::session::announce`] says when a row is due and when it is given up.
//!
//! What a crash leaves: before the claim is stored, a row that is due; after it, a row that is due a
//! little later, whether or not the client has heard. So every client is told at least once, or a
//! day has been spent trying.

use super::service::SubjectService;
use crate::config::Config;
use crate::objects::sql::Sql;
use crate::runtime::{new_id, now};
use crate::{keys, outbound, policy, runtime};
use futures::future::join_all;
use portcullis_core::client::uri::is_loopback;
use portcullis_core::id::{ProducerId, SubjectKey, TokenId};
use portcullis_core::jwt::logout_token::{LogoutTokenClaims, TYP};
use portcullis_core::session::announce::Announcement;
use url::Url;
use worker::{Env, Error, Result, console_error};

/// How many clients are told at a time: the runtime allows six connections.
const AT_ONCE: u64 = 5;

/// Sends what is due, until nothing is.
pub async fn deliver(env: &Env, service: &SubjectService<impl Sql>) {
    let Some(config) = runtime::config(env) else {
        return;
    };
    loop {
        match round(env, &config, service).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                console_error!("back-channel logout: {error}");
                return;
            }
        }
    }
}

/// Sends a few; says how many.
async fn round(env: &Env, config: &Config, service: &SubjectService<impl Sql>) -> Result<usize> {
    let producer = || Ok::<_, Error>(ProducerId::from_bytes(new_id()?));
    let Some((subject, due)) = service.claim(now(), AT_ONCE, producer()?)? else {
        return Ok(0);
    };
    let told = join_all(due.iter().map(|one| tell(env, config, subject, one))).await;
    for (announcement, told) in due.iter().zip(told) {
        match told {
            Ok(()) => service.confirm(subject, announcement, now(), producer()?)?,
            Err(error) => {
                let (client, attempt) = (&announcement.client_id, announcement.attempts + 1);
                console_error!("back-channel logout: {client}, attempt {attempt}: {error}");
            }
        }
    }
    Ok(due.len())
}

/// Tells one client (section 2.5), whose registration says where. Anything but its confirmation
/// (section 2.8) is an error.
async fn tell(
    env: &Env,
    config: &Config,
    subject: SubjectKey,
    announcement: &Announcement,
) -> Result<()> {
    let client = policy::client(env, config, &announcement.client_id).await?;
    let uri = client
        .as_ref()
        .and_then(|client| client.backchannel_logout_uri.as_deref())
        .filter(|uri| may_be_sent_to(uri, config))
        .ok_or_else(|| Error::from("it has nowhere to be told"))?;
    let claims = LogoutTokenClaims::new(
        config.issuer.clone(),
        announcement.client_id.clone(),
        subject,
        announcement.session,
        TokenId::from_bytes(new_id()?),
        now(),
    );
    let token = keys::ours(env, config).await?.sign(&claims, TYP).await?;
    match outbound::notify(uri, &[("logout_token", &token)]).await? {
        200 | 204 => Ok(()),
        status => Err(Error::RustError(format!("status {status}"))),
    }
}

/// The token is for the client alone (section 2.5 asks for TLS); loopback is for development.
fn may_be_sent_to(uri: &str, config: &Config) -> bool {
    Url::parse(uri).is_ok_and(|url| url.scheme() == "https" || (config.dev && is_loopback(&url)))
}
