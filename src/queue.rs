//! The queue's consumer: packs from gateways and other producers into the log.
//!
//! A batch is one call to the lane. Each message is judged alone: what is no pack, or says what no
//! gateway may say, goes to the dead-letter queue and does not hold up the rest. A message is
//! acknowledged after the lane has committed its events, so a crash in between means that it comes
//! again, and the lane knows it. While the lane cannot be reached messages wait: with the delay and
//! the retries of `wrangler.toml`, for most of an hour.
//!
//! A gateway whose queue does not take a denial hands the same pack over by the `Checks` entrypoint
//! ([`record`]). It is judged alike, and may come by both ways.

use crate::objects::call;
use crate::runtime::now;
use portcullis_core::audit::call::Append;
use portcullis_core::audit::pack::{MAX_PACK_BYTES, Pack};
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::{ArrayBuffer, Uint8Array};
use worker::{
    Env, MessageBatch, MessageExt, QueueContentType, RawMessage, RawMessageBuilder, Result,
    console_error,
};

/// Ingests a batch.
pub async fn ingest(batch: &MessageBatch<JsValue>, env: &Env) -> Result<()> {
    let mut packs = Vec::new();
    let mut messages = Vec::new();
    for message in batch.raw_iter() {
        match bytes_of(&message.body()).and_then(|bytes| a_gateways(&bytes)) {
            Some(pack) => {
                packs.push(pack);
                messages.push(message);
            }
            None => set_aside(&message, env).await,
        }
    }
    if packs.is_empty() {
        return Ok(());
    }
    let append = Append {
        received: now(),
        packs,
    };
    match call::lane(env, append).await {
        Ok(_) => messages.iter().for_each(MessageExt::ack),
        Err(error) => {
            console_error!("queue: {error}");
            messages.iter().for_each(MessageExt::retry);
        }
    }
    Ok(())
}

/// Puts a gateway's pack into the log; once this is done it is there.
pub async fn record(env: &Env, bytes: &[u8]) -> std::result::Result<(), String> {
    let pack = a_gateways(bytes).ok_or("no pack of a gateway")?;
    let append = Append {
        received: now(),
        packs: vec![pack],
    };
    let appended = call::lane(env, append).await;
    appended.map(drop).map_err(|error| error.to_string())
}

/// The pack in `bytes`, if a gateway may say all of it; under the log's name for its producer.
fn a_gateways(bytes: &[u8]) -> Option<Pack> {
    let pack = Pack::decode(bytes).ok().filter(Pack::is_a_gateways)?;
    Some(Pack {
        producer: pack.producer.of_gateway(),
        ..pack
    })
}

/// Moves a message that can never be ingested to the dead-letter queue.
async fn set_aside(message: &RawMessage, env: &Env) {
    console_error!("queue: message {} is no pack of a gateway", message.id());
    let copy = RawMessageBuilder::new(message.body()).build_with_content_type(QueueContentType::V8);
    let moved = match env.queue("DEAD_QUEUE") {
        Ok(queue) => queue.send_raw(copy).await,
        Err(error) => Err(error),
    };
    match moved {
        Ok(()) => message.ack(),
        Err(error) => {
            console_error!("queue: {error}");
            message.retry();
        }
    }
}

fn bytes_of(body: &JsValue) -> Option<Vec<u8>> {
    let array = match body.dyn_ref::<Uint8Array>() {
        Some(array) => array.clone(),
        None => Uint8Array::new(body.dyn_ref::<ArrayBuffer>()?),
    };
    (array.length() as usize <= MAX_PACK_BYTES).then(|| array.to_vec())
}
