//! `GET /v1/audit/events` with `Accept: text/event-stream`: the log as it grows.
//!
//! What a stream says, and when, is `portcullis_core::audit::follow`; here is polled and waited. It begins at
//! `Last-Event-ID`, at `cursor`, or at the end of the log, and takes the filters of a page. It ends when its reader goes, by itself after ten
//! minutes, and when the lane does not answer: then the reader comes again with its last id.

use super::audit::{PARAMETERS, filter, read_event};
use super::context::Ctx;
use super::paging::unreadable;
use crate::error::Problem;
use crate::objects::call::{self, CallError};
use crate::runtime::{now, sleep_ms};
use futures::stream::unfold;
use portcullis_core::audit::call::{Page, Query};
use portcullis_core::audit::event::Event;
use portcullis_core::audit::follow::{Ask, Following, LINES};
use portcullis_core::audit::query::{Cursor, Filter, Order};
use worker::{Env, Error, Response, Result, console_error};

/// The media type.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// An index that no line has: from there on there is nothing yet.
const END: u64 = (1 << 53) - 1;

/// Whether the request wants a stream.
pub fn is_wanted(ctx: &Ctx) -> Result<bool> {
    let accept = ctx.request.headers().get("accept")?.unwrap_or_default();
    Ok(accept.split(',').any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE)
    }))
}

/// A stream, and what it asks the lane with.
struct Stream {
    env: Env,
    filter: Filter,
    /// That somebody reads.
    read: Event,
    following: Following,
}

/// Lines as they are committed.
pub async fn follow(ctx: Ctx) -> Result<Response> {
    let (filter, cursor) = match asked(&ctx).await? {
        Ok(asked) => asked,
        Err(problem) => return problem.response(),
    };
    let read = read_event(&ctx, &filter);
    let first = Query {
        filter: filter.clone(),
        order: Order::Oldest,
        cursor: Some(cursor),
        limit: LINES,
        read: Some(read.clone()),
        followed: None,
    };
    let page = match call::lane(&ctx.env, first).await {
        Ok(page) => page,
        Err(error) => {
            console_error!("audit: {error}");
            return Problem::unavailable().response();
        }
    };
    let (following, text) = Following::begin(&page, cursor.index, now());
    let stream = Stream {
        env: ctx.env.clone(),
        filter,
        read,
        following,
    };
    let said = unfold((stream, Some(text)), |(mut stream, first)| async move {
        let text = match first {
            Some(text) => text,
            None => stream.next().await?,
        };
        Some((Ok::<_, Error>(text.into_bytes()), (stream, None)))
    });
    let response = Response::from_stream(said)?;
    response.headers().set("content-type", MEDIA_TYPE)?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}

async fn asked(ctx: &Ctx) -> Result<std::result::Result<(Filter, Cursor), Problem>> {
    let query = match ctx.query_of(PARAMETERS) {
        Ok(query) => query,
        Err(problem) => return Ok(Err(problem)),
    };
    if let Some(name) = ["order", "limit"]
        .iter()
        .find(|it| query.contains_key(**it))
    {
        let problem = format!("{name} means nothing in a stream");
        return Ok(Err(Problem::bad_request(problem)));
    }
    let header = ctx.request.headers().get("last-event-id")?;
    let (name, text) = match &header {
        Some(id) => ("Last-Event-ID", Some(id)),
        None => ("cursor", query.get("cursor")),
    };
    let end = Cursor {
        order: Order::Oldest,
        index: END,
    };
    let cursor = text.map_or(Some(end), |text| {
        Cursor::from_text(text).filter(|it| it.order == Order::Oldest)
    });
    let Some(cursor) = cursor else {
        return Ok(Err(unreadable(name)));
    };
    Ok(filter(ctx, &query).await?.map(|filter| (filter, cursor)))
}

impl Stream {
    /// What is said next; `None` is the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            sleep_ms(self.following.wait_ms()).await;
            let ask = self.following.ask(now());
            let page = match self.page(&ask).await {
                Ok(page) => page,
                Err(error) => {
                    console_error!("audit: {error}");
                    return None;
                }
            };
            if ask.is_last {
                return None;
            }
            if let Some(text) = self.following.say(&ask, &page, now()) {
                return Some(text);
            }
        }
    }

    async fn page(&self, ask: &Ask) -> std::result::Result<Page, CallError> {
        let query = Query {
            filter: self.filter.clone(),
            order: Order::Oldest,
            cursor: Some(ask.cursor),
            limit: ask.limit,
            read: ask.report.map(|_| Event {
                occurred: now(),
                ..self.read.clone()
            }),
            followed: ask.report,
        };
        call::lane(&self.env, query).await
    }
}
