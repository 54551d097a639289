//! What the schedule of `wrangler.toml` has done: providers' keys are kept in step at API Shield.

use crate::config::Config;
use crate::connections;
use crate::jwks_sync::{self, Outcome, Wish};
use crate::runtime;
use futures::StreamExt as _;
use futures::stream;
use portcullis_core::audit::event::Actor;
use portcullis_core::connection::sync::Source;
use portcullis_core::policy::call::ChangedBy;
use worker::{Env, console_error};

/// How many connections are served at a time: the platform lets a Worker have six requests open.
const AT_A_TIME: usize = 3;

/// Does what is due.
pub async fn run(env: &Env) {
    let Some(config) = runtime::config(env) else {
        return;
    };
    let connections = match connections::all(env, &config).await {
        Ok(connections) => connections,
        Err(error) => {
            console_error!("cron: {error}");
            return;
        }
    };
    let enabled = connections.iter().filter(|connection| connection.enabled);
    let sources: Vec<Source> = enabled.filter_map(|one| Source::of(one)).collect();
    // One that fails stops no other: each says for itself how it ended.
    stream::iter(&sources)
        .for_each_concurrent(AT_A_TIME, |source| sync(env, &config, source))
        .await;
}

async fn sync(env: &Env, config: &Config, source: &Source) {
    let connection = &source.connection;
    let by = ChangedBy {
        actor: Actor::Connection(connection.clone()),
        request: None,
    };
    match jwks_sync::run(env, config, source, Wish::default(), by).await {
        Ok(Outcome::Failed(failure)) => {
            console_error!(
                "keys of connection {connection} were not sent: {}",
                failure.error
            );
        }
        Ok(_) => {}
        Err(error) => console_error!("keys of connection {connection}: {error}"),
    }
}
