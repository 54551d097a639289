//! The audit log for whoever would check it: `/audit/lane/<n>` is a tiled transparency log (C2SP tlog-tiles), and under
//! `/v1/audit` are its key and proofs.
//!
//! Checkpoint, key and hash tiles are public. Entry bundles hold the lines themselves: they are for auditors, no cache
//! keeps them, and each that is read is logged. Tiles and bundles never change, whether full or not; a checkpoint is
//! soon old. A lane that must not sign says why, with 503. Bundles of lines that are gone by their age are answered with 410.
//! Under the names of logs that the lane had before (`/audit/lane/0`, when it has `0.1`) is what was archived of them.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::limits::{Limit, allow, refusal};
use crate::objects::call::{self, CallError};
use crate::objects::lane::service::LANE;
use base64ct::{Base64, Encoding};
use portcullis_core::audit::call::{
    Answer, GetBundle, GetCheckpoint, GetConsistency, GetInclusion, GetLogKey, GetTile, HashBytes,
};
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::log::MAX_SIZE;
use portcullis_core::audit::log::checkpoint::Origin;
use portcullis_core::audit::log::epoch::LogId;
use portcullis_core::audit::log::path::{EntryBundle, HashTile};
use portcullis_core::audit::log::signing::Refusal;
use serde_json::{Value, json};
use worker::{Response, Result};

/// The parameters of a proof that a line is there.
pub const INCLUSION: &[&str] = &["index", "size"];
/// The parameters of a proof that nothing was rewritten.
pub const CONSISTENCY: &[&str] = &["from", "to"];

/// What C2SP says of tiles: they never change.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// Whatever keeps an answer from being given.
type Checked<T> = std::result::Result<T, Problem>;

/// `GET /audit/lane/{lane}/checkpoint`.
pub async fn checkpoint(ctx: Ctx) -> Result<Response> {
    if !admitted(&ctx).await? {
        return refusal();
    }
    let note = match lane_of(&ctx) {
        Ok(epoch) => {
            let epoch = Some(epoch);
            answered(call::lane(&ctx.env, GetCheckpoint { epoch }).await)
        }
        Err(problem) => Err(problem),
    };
    // For a moment, so that many who look at once do not all reach the lane.
    public(note, "text/plain; charset=utf-8", "public, max-age=1")
}

/// `GET /audit/lane/{lane}/key`.
pub async fn vkey(ctx: Ctx) -> Result<Response> {
    if !admitted(&ctx).await? {
        return refusal();
    }
    let key = match lane_of(&ctx) {
        Ok(epoch) => {
            let epoch = Some(epoch);
            answered(call::lane(&ctx.env, GetLogKey { epoch }).await)
        }
        Err(problem) => Err(problem),
    };
    let key = key.map(|key| format!("{key}\n").into_bytes());
    public(key, "text/plain; charset=utf-8", "public, max-age=60")
}

/// `GET /audit/lane/{lane}/tile/{level}/{tile*}`.
pub async fn tile(ctx: Ctx) -> Result<Response> {
    if !admitted(&ctx).await? {
        return refusal();
    }
    let name = format!("{}/{}", ctx.param(1), ctx.param(2));
    let asked = lane_of(&ctx).and_then(|epoch| {
        let tile = HashTile::parse(&name).ok_or_else(nothing)?;
        Ok(GetTile::of(epoch, tile))
    });
    let hashes = match asked {
        Ok(asked) => found(answered(call::lane(&ctx.env, asked).await)),
        Err(problem) => Err(problem),
    };
    public(hashes, "application/octet-stream", FOR_GOOD)
}

/// `GET /audit/lane/{lane}/tile/entries/{bundle*}`.
pub async fn bundle(ctx: Ctx) -> Result<Response> {
    let asked = lane_of(&ctx).and_then(|epoch| {
        let bundle = EntryBundle::parse(ctx.param(1)).ok_or_else(nothing)?;
        Ok((epoch, bundle))
    });
    let entries = match asked {
        Ok((epoch, EntryBundle(place))) => {
            let read = Event {
                request: Some(ctx.facts_with_status(200)),
                ..Event::new(ctx.now, Action::AuditRead, Outcome::Success, ctx.actor())
            };
            let asked = GetBundle {
                epoch,
                number: place.number(),
                width: place.width(),
                read,
            };
            found(answered(call::lane(&ctx.env, asked).await))
        }
        Err(problem) => Err(problem),
    };
    as_is(entries, "application/octet-stream", "no-store")
}

/// `GET /v1/audit/key`.
pub async fn key(ctx: Ctx) -> Result<Response> {
    match answered(call::lane(&ctx.env, GetLogKey { epoch: None }).await) {
        Ok(vkey) => {
            let origin = vkey.split('+').next().unwrap_or_default();
            let epoch = Origin::parse(origin).and_then(|origin| Some(origin.log()?.1.epoch));
            let key = json!({"lane": LANE, "epoch": epoch, "origin": origin, "vkey": vkey});
            json(200, &key)
        }
        Err(problem) => problem.response(),
    }
}

/// `GET /v1/audit/proof/inclusion`.
pub async fn inclusion(ctx: Ctx) -> Result<Response> {
    let [index, size] = match numbers(&ctx, ["index", "size"]) {
        Ok(numbers) => numbers,
        Err(problem) => return problem.response(),
    };
    if index >= size {
        return Problem::bad_request("index is not below size").response();
    }
    let proof = call::lane(&ctx.env, GetInclusion { index, size }).await;
    match answered(proof) {
        Ok(Some(proof)) => json(
            200,
            &json!({
                "lane": LANE,
                "index": index,
                "size": size,
                "leaf_hash": Base64::encode_string(&proof.leaf),
                "root_hash": Base64::encode_string(&proof.root),
                "hashes": encoded(&proof.hashes),
            }),
        ),
        Ok(None) => smaller().response(),
        Err(problem) => problem.response(),
    }
}

/// `GET /v1/audit/proof/consistency`.
pub async fn consistency(ctx: Ctx) -> Result<Response> {
    let [from, to] = match numbers(&ctx, ["from", "to"]) {
        Ok(numbers) => numbers,
        Err(problem) => return problem.response(),
    };
    if from == 0 || from > to {
        return Problem::bad_request("from is not between 1 and to").response();
    }
    match answered(call::lane(&ctx.env, GetConsistency { from, to }).await) {
        Ok(Some(proof)) => json(
            200,
            &json!({
                "lane": LANE,
                "from": from,
                "to": to,
                "from_root_hash": Base64::encode_string(&proof.from_root),
                "to_root_hash": Base64::encode_string(&proof.to_root),
                "hashes": encoded(&proof.hashes),
            }),
        ),
        Ok(None) => smaller().response(),
        Err(problem) => problem.response(),
    }
}

/// Whether a stranger may go on.
async fn admitted(ctx: &Ctx) -> Result<bool> {
    let address = ctx.request.headers().get("cf-connecting-ip")?;
    Ok(allow(&ctx.env, Limit::Address(address.as_deref())).await)
}

/// The epoch of the log that is meant. There is one lane.
fn lane_of(ctx: &Ctx) -> Checked<u32> {
    let log = LogId::parse(ctx.param(0)).filter(|log| log.lane == LANE);
    log.map(|log| log.epoch).ok_or_else(nothing)
}

fn nothing() -> Problem {
    Problem::new(404, "the log has nothing of that name")
}

fn smaller() -> Problem {
    Problem::new(404, "the log is not that large")
}

/// What a lane answered: its refusal is told, a failure is not explained.
fn answered<T>(answer: std::result::Result<Answer<T>, CallError>) -> Checked<T> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refusal)) => Err(refused(&refusal)),
        Err(error) => {
            worker::console_error!("audit: {error}");
            Err(Problem::unavailable())
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Pruned { .. } => return Problem::new(410, refusal.to_string()),
        Refusal::NoLog { .. } => return nothing(),
        _ => {}
    }
    worker::console_error!("audit: {refusal}");
    Problem::new(503, refusal.to_string())
}

fn found<T>(answer: Checked<Option<T>>) -> Checked<T> {
    answer?.ok_or_else(nothing)
}

fn public(body: Checked<Vec<u8>>, content_type: &str, caching: &str) -> Result<Response> {
    let response = as_is(body, content_type, caching)?;
    response.headers().set("access-control-allow-origin", "*")?;
    Ok(response)
}

fn as_is(body: Checked<Vec<u8>>, content_type: &str, caching: &str) -> Result<Response> {
    let body = match body {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    let response = Response::from_bytes(body)?;
    response.headers().set("content-type", content_type)?;
    response.headers().set("cache-control", caching)?;
    Ok(response)
}

/// Two numbers of the query, which has nothing else.
pub fn numbers(ctx: &Ctx, names: [&str; 2]) -> Checked<[u64; 2]> {
    let query = ctx.query_of(&names)?;
    let number = |name: &str| {
        let text = query.get(name).map_or("", String::as_str);
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|n| digits && *n < MAX_SIZE);
        number.ok_or_else(|| Problem::bad_request(format!("{name} is no number of lines")))
    };
    let [first, second] = names;
    Ok([number(first)?, number(second)?])
}

fn encoded(hashes: &[HashBytes]) -> Vec<String> {
    let encoded = hashes.iter().map(|hash| Base64::encode_string(hash));
    encoded.collect()
}

/// The key, for the API description.
pub fn key_schema() -> Value {
    json!({
        "type": "object",
        "required": ["lane", "epoch", "origin", "vkey"],
        "properties": {
            "lane": {"type": "integer"},
            "epoch": {"type": ["integer", "null"], "description": "how many logs the lane had before this one"},
            "origin": {"type": "string", "description": "the first line of the log's checkpoints"},
            "vkey": {"type": "string", "description": "C2SP signed-note: name+id+key"},
        },
    })
}

fn hash_schema(description: &str) -> Value {
    json!({"type": "string", "contentEncoding": "base64", "description": description})
}

/// A proof that a line is there, for the API description.
pub fn inclusion_schema() -> Value {
    json!({
        "type": "object",
        "required": ["lane", "index", "size", "leaf_hash", "root_hash", "hashes"],
        "properties": {
            "lane": {"type": "integer"},
            "index": {"type": "integer"},
            "size": {"type": "integer"},
            "leaf_hash": hash_schema("of the line without its line feed (RFC 6962 section 2.1)"),
            "root_hash": hash_schema("of the tree of that size"),
            "hashes": {"type": "array", "items": hash_schema("RFC 6962 section 2.1.1")},
        },
    })
}

/// A proof that nothing was rewritten, for the API description.
pub fn consistency_schema() -> Value {
    json!({
        "type": "object",
        "required": ["lane", "from", "to", "from_root_hash", "to_root_hash", "hashes"],
        "properties": {
            "lane": {"type": "integer"},
            "from": {"type": "integer"},
            "to": {"type": "integer"},
            "from_root_hash": hash_schema("of the smaller tree"),
            "to_root_hash": hash_schema("of the larger tree"),
            "hashes": {"type": "array", "items": hash_schema("RFC 6962 section 2.1.2")},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_gone_are_gone_and_not_missing() {
        let problem = refused(&Refusal::Pruned { to: 512 });
        assert_eq!(problem.status(), 410);
        assert!(problem.detail().contains("below index 512"));
        assert_eq!(refused(&Refusal::NoLog { epoch: 1 }).status(), 404);
    }
}
