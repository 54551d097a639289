//! Keeps identity providers' keys in step at API Shield: one run for one connection, by the schedule
//! ([`crate::cron`]) or by an operator ([`crate::http::jwks_sync`]).
//!
//! Core says what is sent, what answers mean and when a run may begin
//! ([`portcullis_core::connection::sync`]); the keyring keeps what is known. A crash after the API took the
//! keys and before the keyring knows leaves a run that never ended, after which the next one sends again.

use crate::config::{ApiShield, Config};
use crate::objects::call::{self, CallError};
use crate::objects::keyring::call::{BeginSync, EndSync};
use crate::runtime::now;
use crate::{discovery, outbound};
use portcullis_core::client::uri::is_fetchable;
use portcullis_core::connection::sync::{
    Begun, Credentials, Ended, Failure, Source, SyncError, judge_answer,
};
use portcullis_core::policy::call::ChangedBy;
use portcullis_core::time::UnixMillis;
use worker::{Env, console_error};

/// What moves a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// In spite of a pause after failures.
    pub now: bool,
    /// Also what was sent before.
    pub again: bool,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API took the keys.
    Sent,
    /// The provider has the keys that were sent last.
    Unchanged,
    /// After failures it is too early to try again.
    NotDue(UnixMillis),
    /// Another run is under way.
    UnderWay(UnixMillis),
    /// It failed.
    Failed(Failure),
}

/// Runs once for one connection. An error says that the keyring did not answer.
pub async fn run(
    env: &Env,
    config: &Config,
    source: &Source,
    wish: Wish,
    by: ChangedBy,
) -> Result<Outcome, CallError> {
    let connection = source.connection.clone();
    let forced = wish.now;
    let begun = call::keyring(env, BeginSync { connection, forced }).await?;
    let run = match begun {
        Begun::Run { run, .. } => run,
        Begun::NotDue(at) => return Ok(Outcome::NotDue(at)),
        Begun::UnderWay(until) => return Ok(Outcome::UnderWay(until)),
    };
    let ended = match provided(source, config.dev).await {
        Ok(keys) if wish.again || begun.is_to_send(&source.target, &keys) => {
            match send(&config.api_shield, source, &keys).await {
                Ok(()) => Ended::Sent(source.target.clone(), keys),
                Err(failure) => Ended::Failed(failure),
            }
        }
        Ok(_) => Ended::Unchanged,
        Err(error) => Ended::Failed(error.into()),
    };
    let outcome = match &ended {
        Ended::Sent(..) => Outcome::Sent,
        Ended::Unchanged => Outcome::Unchanged,
        Ended::Failed(failure) => Outcome::Failed(*failure),
    };
    let connection = source.connection.clone();
    let end = EndSync {
        connection,
        run,
        ended,
        by,
    };
    call::keyring(env, end).await?;
    Ok(outcome)
}

/// The keys that the provider has now, as they would be sent.
pub async fn provided(source: &Source, dev: bool) -> Result<Credentials, SyncError> {
    let connection = &source.connection;
    let unavailable = |why: String| {
        console_error!("keys of connection {connection}: {why}");
        SyncError::ProviderUnavailable
    };
    let jwks_uri = match &source.jwks_uri {
        Some(uri) if is_fetchable(uri, dev) => uri.clone(),
        Some(_) => {
            return Err(unavailable(
                "jwks_uri is not https at a public name".to_owned(),
            ));
        }
        None => discovery::jwks_uri(&source.issuer, dev)
            .await
            .map_err(|error| unavailable(error.to_string()))?,
    };
    let document = outbound::get(&jwks_uri)
        .await
        .map_err(|error| unavailable(error.to_string()))?;
    Credentials::read(&document, &source.jwks_path)
}

async fn send(api: &ApiShield, source: &Source, keys: &Credentials) -> Result<(), Failure> {
    let token = api.token.as_deref().ok_or(SyncError::NotConfigured)?;
    let url = format!("{}{}", api.url, source.target.path());
    let answer = outbound::put_json(&url, token, keys.as_json()).await;
    let answer = answer.map_err(|error| {
        console_error!("API Shield, connection {}: {error}", source.connection);
        SyncError::ApiUnavailable
    })?;
    judge_answer(
        answer.status,
        answer.retry_after.as_deref(),
        &answer.body,
        now(),
    )
}
