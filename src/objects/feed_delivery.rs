//! Getting what was ended to the feeds.

use super::call;
use super::feed_outbox::Ends;
use crate::runtime::{config, sleep_ms};
use futures::future::try_join_all;
use portcullis_core::feed::call::Append;
use portcullis_core::feed::receipt::Position;
use worker::{Env, console_error};

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
        let appended = try_join_all(appended).await;
        let read = config.feed.layouts.read();
        let positions: Vec<Position> = appended
            .map_err(|error| error.to_string())?
            .into_iter()
            .filter(|(shard, _)| read.contains(shard))
            .map(|(shard, done)| Position {
                shard: shard.clone(),
                incarnation: done.incarnation,
                sequence: done.sequence,
                committed_at: done.committed_at,
            })
            .collect();
        let told = ends.told(&untold, &positions);
        told.map_err(|error| error.to_string())?;
    }
}
