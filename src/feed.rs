//! The feed as it leaves the service: pages that are signed, for gateways over their binding and for
//! everybody over HTTP.
//!
//! Whoever polls at about the same time gets the same page: an isolate asks a feed at most once in
//! [`SHARED_MS`] for what comes after one place. How old a page was when it went out is said with it.

use crate::config::Config;
use crate::keys;
use crate::objects::call::{self, CallError};
use crate::runtime::now;
use futures::future::try_join_all;
use portcullis_core::feed::call::{Batch, Read};
use portcullis_core::feed::page::{MAX_ENTRIES, SignedPage, Statement, TYP, digest};
use portcullis_core::feed::poll::{Cursor, Poll, Polled, PolledPage};
use portcullis_core::id::IncarnationId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use worker::Env;

/// For how long a page is given to others who ask for the same, in milliseconds, at most: and no longer than a
/// quarter of the age that it may have.
const SHARED_MS: u64 = 100;
/// The most pages that are kept for that.
const MAX_SHARED: usize = 64;

/// The feed cannot be read, or nobody can vouch for what was read.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "feed: {}", self.0)
    }
}

impl From<CallError> for Unavailable {
    fn from(error: CallError) -> Self {
        Self(error.to_string())
    }
}

impl From<worker::Error> for Unavailable {
    fn from(error: worker::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<wire::Malformed> for Unavailable {
    fn from(error: wire::Malformed) -> Self {
        Self(error.to_string())
    }
}

/// A page with what it was made of.
pub struct Page {
    /// As it travels.
    pub signed: SignedPage,
    /// What came of the feed.
    pub batch: Batch,
    /// When the feed was asked.
    asked_at: UnixMillis,
}

impl Page {
    /// How old it is, in milliseconds. By a clock that went back it is as old as can be.
    fn age_ms(&self, now: UnixMillis) -> u64 {
        now.0.checked_sub(self.asked_at.0).unwrap_or(u64::MAX)
    }
}

/// From where on a feed is read.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    shard: String,
    incarnation: Option<IncarnationId>,
    after: u64,
}

thread_local! {
    static SHARED: RefCell<HashMap<Place, Rc<Page>>> = RefCell::default();
}

/// What came after these places, of each feed that is read.
pub async fn poll(env: &Env, config: &Config, poll: &Poll) -> Result<Polled, Unavailable> {
    let shards = config.feed.layouts.read();
    let pages = shards.iter().map(|shard| {
        let known = poll.known.iter().find(|known| known.shard == *shard);
        let place = place(shard, known);
        async move { shared(env, config, place).await }
    });
    let pages = try_join_all(pages).await?;
    let now = now();
    let pages = pages.into_iter().map(|page| PolledPage {
        page: page.signed.clone(),
        age_ms: page.age_ms(now),
    });
    Ok(Polled {
        pages: pages.collect(),
    })
}

/// What came after a place, once there is something, or when the reader has waited long enough.
pub async fn page(
    env: &Env,
    config: &Config,
    shard: &str,
    read: Read,
) -> Result<Page, Unavailable> {
    let asked_at = now();
    let batch = call::feed(env, shard, read).await?;
    signed(env, config, shard, batch, asked_at).await
}

fn place(shard: &str, known: Option<&Cursor>) -> Place {
    Place {
        shard: shard.to_owned(),
        incarnation: known.map(|known| known.incarnation),
        after: known.map_or(0, |known| known.through),
    }
}

async fn shared(env: &Env, config: &Config, place: Place) -> Result<Rc<Page>, Unavailable> {
    let kept = SHARED.with_borrow(|shared| shared.get(&place).cloned());
    let shared_ms = SHARED_MS.min(config.feed.max_age_ms / 4);
    if let Some(page) = kept.filter(|page| page.age_ms(now()) < shared_ms) {
        return Ok(page);
    }
    let read = Read {
        incarnation: place.incarnation,
        after: place.after,
        limit: MAX_ENTRIES,
        wait_ms: 0,
    };
    let page = Rc::new(page(env, config, &place.shard, read).await?);
    SHARED.with_borrow_mut(|shared| {
        let now = now();
        shared.retain(|_, kept| kept.age_ms(now) < shared_ms);
        // Who is far behind reads each page once; what many ask for is small.
        if shared.len() < MAX_SHARED {
            shared.insert(place, Rc::clone(&page));
        }
    });
    Ok(page)
}

async fn signed(
    env: &Env,
    config: &Config,
    shard: &str,
    batch: Batch,
    asked_at: UnixMillis,
) -> Result<Page, Unavailable> {
    let entries = wire::encode(&batch.entries)?;
    let statement = Statement {
        iss: config.issuer.clone(),
        shard: shard.to_owned(),
        inc: batch.incarnation.id,
        began_at: batch.incarnation.began_at,
        after: batch.after,
        through: batch.through,
        seq: batch.sequence,
        time: batch.at,
        max_age_ms: config.feed.max_age_ms,
        entries_sha256: digest(&entries),
    };
    let keys = keys::ours(env, config).await?;
    let statement = keys.sign(&statement, TYP).await?;
    Ok(Page {
        signed: SignedPage { statement, entries },
        batch,
        asked_at,
    })
}
