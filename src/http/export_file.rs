//! `GET /v1/audit/exports/{export}/files/{name}`: a file of an export, from the bucket's parts to whoever asks.
//!
//! A file never changes: its `ETag` is its SHA-256, one range may be asked for (RFC 9110 section 14), and what was
//! interrupted goes on with `If-Range`. The runtime moves the bytes; they do not go through this Worker's memory. Each
//! answer with bytes is in the log.

use super::context::Ctx;
use super::exports::{event, found, unavailable, unknown};
use crate::error::Problem;
use crate::objects::call;
use crate::objects::exports::part_name;
use portcullis_core::audit::export::call::FetchFile;
use portcullis_core::audit::export::job::{ExportId, Phase};
use portcullis_core::audit::export::manifest::Entry;
use portcullis_core::audit::export::serve::{Piece, Portion, pieces, portion};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::js_sys::{Array, Object, Promise};
use worker::{Bucket, Error, Range, Response, ResponseBody, Result, console_error};

#[wasm_bindgen]
extern "C" {
    /// What goes in comes out, and it is known how much: the answer has a length.
    type FixedLengthStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(length: f64) -> std::result::Result<FixedLengthStream, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn readable(this: &FixedLengthStream) -> JsValue;

    #[wasm_bindgen(method, getter)]
    fn writable(this: &FixedLengthStream) -> Writable;

    type Writable;

    #[wasm_bindgen(method, catch)]
    fn close(this: &Writable) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn abort(this: &Writable) -> std::result::Result<Promise, JsValue>;

    type Readable;

    #[wasm_bindgen(method, catch, js_name = pipeTo)]
    fn pipe_to(
        this: &Readable,
        to: &Writable,
        options: &Object,
    ) -> std::result::Result<Promise, JsValue>;
}

/// A file, or a part of it.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let name = ctx.decoded_param(1);
    let job = match found(&ctx).await {
        Ok(job) => job,
        Err(error) => return unavailable(&error),
    };
    let Some((id, file)) = job.and_then(|(id, job)| match job.phase {
        Phase::Finished(finished) => {
            let mut files = finished.files.into_iter();
            Some((id, files.find(|file| file.name == name)?))
        }
        _ => None,
    }) else {
        return unknown();
    };
    let etag = format!("\"{}\"", file.sha256);
    let header = |name| ctx.request.headers().get(name).ok().flatten();
    if header("if-none-match").is_some_and(|held| is_among(&etag, &held)) {
        return described(Response::empty()?.with_status(304), &etag);
    }
    // A range is of what was there before, or of nothing.
    let range = header("range").filter(|_| header("if-range").is_none_or(|held| held == etag));
    match portion(range.as_deref(), file.bytes) {
        Portion::None => {
            let response = Problem::new(416, "the file has no such range").response()?;
            let length = format!("bytes */{}", file.bytes);
            response.headers().set("content-range", &length)?;
            Ok(response)
        }
        Portion::Whole => send(&ctx, id, &file, &etag, (0, file.bytes), 200).await,
        Portion::Part { first, end } => {
            let response = send(&ctx, id, &file, &etag, (first, end), 206).await?;
            if response.status_code() == 206 {
                let range = format!("bytes {first}-{}/{}", end - 1, file.bytes);
                response.headers().set("content-range", &range)?;
            }
            Ok(response)
        }
    }
}

/// Whether a list of entity tags has this one (RFC 9110 section 13.1.2).
fn is_among(etag: &str, held: &str) -> bool {
    let mut tags = held.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

async fn send(
    ctx: &Ctx,
    id: ExportId,
    file: &Entry,
    etag: &str,
    (first, end): (u64, u64),
    status: u16,
) -> Result<Response> {
    let fetch = FetchFile {
        id,
        name: file.name.clone(),
        event: event(ctx, status),
    };
    let parts = match call::exports(&ctx.env, fetch).await {
        Ok(Some(parts)) => parts,
        Ok(None) => return unknown(),
        Err(error) => return unavailable(&error),
    };
    let pieces = pieces(&parts, first, end);
    let bucket = ctx.env.bucket("AUDIT_BUCKET")?;
    #[expect(clippy::cast_precision_loss, reason = "lengths are below 2^53")]
    let length = (end - first) as f64;
    let stream = FixedLengthStream::new(length)?;
    let writable = stream.writable();
    let name = file.name.clone();
    ctx.context.wait_until(async move {
        if let Err(error) = pour(&bucket, id, &name, &pieces, &writable).await {
            // Whoever reads sees that it ended too early.
            console_error!("export {}: {name}: {}", id.to_text(), Error::from(error));
            let _ = writable.abort();
        }
    });
    let body = ResponseBody::Stream(stream.readable().unchecked_into());
    let response = Response::from_body(body)?.with_status(status);
    let headers = response.headers();
    headers.set("content-type", content_type(&file.name))?;
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    headers.set("content-disposition", &disposition)?;
    described(response, etag)
}

fn described(response: Response, etag: &str) -> Result<Response> {
    let headers = response.headers();
    headers.set("etag", etag)?;
    headers.set("accept-ranges", "bytes")?;
    // What auditors may read is for nobody's cache.
    headers.set("cache-control", "no-store")?;
    Ok(response)
}

/// Pours the pieces, one behind another.
async fn pour(
    bucket: &Bucket,
    id: ExportId,
    name: &str,
    pieces: &[Piece],
    to: &Writable,
) -> std::result::Result<(), JsValue> {
    let prevents = Array::of2(&"preventClose".into(), &true.into());
    let options = Object::from_entries(&Array::of1(&prevents))?;
    for piece in pieces {
        let range = Range::OffsetWithLength {
            offset: piece.offset,
            length: piece.length,
        };
        let part = bucket
            .get(part_name(id, Some((name, piece.number))))
            .range(range)
            .execute()
            .await?;
        let gone = || JsValue::from_str("a part is gone");
        let part = part.ok_or_else(gone)?;
        let body = part.body().ok_or_else(gone)?;
        let ResponseBody::Stream(body) = body.response_body()? else {
            return Err(gone());
        };
        let body: Readable = JsValue::from(body).unchecked_into();
        JsFuture::from(body.pipe_to(to, &options)?).await?;
    }
    JsFuture::from(to.close()?).await.map(drop)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "ndjson")) => "application/x-ndjson",
        Some((_, "json")) => "application/json",
        Some((_, "csv")) => "text/csv; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_entity_tags_is_read_as_the_rfc_has_it() {
        for held in ["\"a\"", "\"b\", \"a\"", "W/\"a\"", "*"] {
            assert!(is_among("\"a\"", held), "{held}");
        }
        for held in ["", "a", "\"b\"", "\"ab\""] {
            assert!(!is_among("\"a\"", held), "{held}");
        }
    }

    #[test]
    fn every_file_of_an_export_has_a_type() {
        let types =
            ["events.ndjson", "manifest.json", "events.csv", "checkpoint"].map(content_type);
        assert_eq!(
            types,
            [
                "application/x-ndjson",
                "application/json",
                "text/csv; charset=utf-8",
                "text/plain; charset=utf-8"
            ]
        );
    }
}
