//! Getting what was ended to the feeds.

use super::call;
use super::feed_outbox::Ends;
use crate::runtime::{config, in_time, sleep_ms};
use futures::future::try_join_all;
use portcullis_core::feed::call::Append;
use portcullis_core::feed::receipt::Position;
use std::time::Duration;
use worker::{Env, console_error};

/// How long the feeds may take to commit.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells the feeds until they know everything; says whether that was reached.
pub async fn tell(env: &Env, ends: &impl Ends) -> bool {
    match told(env, ends).await {
        Ok(()) => true,
        Err(why) => {
            console_error!("feed: {why}");
            false
        }
    }
}

async fn told(env: &Env, ends: &impl Ends) -> Result<(), String> {
    loop {
        let untold = ends.untold().map_err(|error| error.to_string())?;
        if untold.is_empty() {
            return Ok(());
        }
        let config = config(env).ok_or("not configured")?;
        if config.feed.delay_ms > 0 {
            sleep_ms(config.feed.delay_ms).await;
        }
        let shards = ends.shards(&config.feed.layouts);
        let shards = shards.map_err(|error| error.to_string())?;
        let append = Append {
            entries: untold.iter().map(|one| one.entry.clone()).collect(),
        };
        // If an answer is lost, everything is sent again and the feeds know it.
        let appended = shards.iter().map(|shard| {
            let append = append.clone();
            async move {
                call::feed(env, shard, append)
                    .await
                    .map(|done| (shard, done))
            }
        });
        // One that hangs must not hold up what else is to be delivered.
        let appended = in_time(PATIENCE, try_join_all(appended)).await;
        let appended = appended.ok_or("no answer in time")?;
        let positions: Vec<Position> = appended
            .map_err(|error| error.to_string())?
            .into_iter()
            .map(|(shard, done)| Position {
                shard: shard.clone(),
                incarnation: done.incarnation,
                sequence: done.sequence,
                committed_at: done.committed_at,
                max_age_ms: config.feed.max_age_ms,
            })
            .collect();
        let told = ends.told(&untold, &positions);
        told.map_err(|error| error.to_string())?;
    }
}
