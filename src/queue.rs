//! The queues' consumer: packs from gateways and other producers into the log.
//!
//! A batch is one call to the lane. Each message is judged alone: what is no pack, or says what no
//! gateway may say, is kept by the lane as a dead letter, and does not hold up the rest. A message is
//! acknowledged after the lane has committed its events or its letter, so a crash in between means that it comes
//! again, and the lane knows it. If the call fails each message is tried alone, until it looks as if the lane were away.
//!
//! While the lane cannot be reached messages wait: for most of an hour in the first queue, with the delay and the retries
//! of `wrangler.toml`, and then in its dead-letter queue, which has the same consumer and more patience
//! ([`backlog::retry_delay_secs`]), for as long as that queue keeps messages. What waits for long is said.
//!
//! A gateway whose queue does not take a denial hands the same pack over by the `Checks` entrypoint
//! ([`record`]). It is judged alike, and may come by both ways.

use crate::letters;
use crate::objects::call::{self, CallError};
use crate::runtime::now;
use portcullis_core::audit::backlog::{self, Backlog, Level};
use portcullis_core::audit::call::{Append, Appended};
use portcullis_core::audit::letters::{Letter, MAX_LETTER_BYTES, Reason, of_gateway};
use portcullis_core::audit::pack::Pack;
use portcullis_core::time::UnixMillis;
use std::cell::RefCell;
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::{ArrayBuffer, JSON, Uint8Array};
use worker::{
    Env, MessageBatch, MessageExt, QueueRetryOptionsBuilder, RawMessage, Result, console_error,
};

/// How the name of the queue ends that has what the first one gave up.
const DEAD: &str = "-dead";
/// After so many failures one after the other the lane is taken to be away.
const MAX_FAILURES: u32 = 3;

thread_local! {
    /// What this isolate has told the lane last of how long messages wait.
    static TOLD: RefCell<Option<Backlog>> = const { RefCell::new(None) };
}

/// A message that has not been settled.
struct Come {
    message: RawMessage,
    content: Vec<u8>,
    /// How long it has waited, in milliseconds.
    age: u64,
}

/// A message that is settled once its letters are kept.
struct Pending {
    come: Come,
    letters: Vec<Letter>,
}

/// Ingests a batch.
pub async fn ingest(batch: &MessageBatch<JsValue>, env: &Env) -> Result<()> {
    let queue = batch.queue();
    let now = now();
    let mut packs = Vec::new();
    let mut messages = Vec::new();
    let mut pending = Vec::new();
    let mut oldest = now;
    for message in batch.raw_iter() {
        let sent = UnixMillis(message.timestamp().as_millis());
        oldest = oldest.min(sent);
        let (content, is_bytes) = content_of(&message.body());
        let judged = if is_bytes {
            of_gateway(&content)
        } else {
            Err(Reason::Malformed)
        };
        let age = now.0.saturating_sub(sent.0);
        let come = Come {
            message,
            content,
            age,
        };
        match judged {
            Ok(pack) => {
                packs.push(pack);
                messages.push(come);
            }
            Err(reason) => pending.push(dead(come, reason)),
        }
    }
    let patient = queue.ends_with(DEAD);
    take(env, packs, messages, &mut pending, patient).await;
    settle(env, pending, patient).await;
    say_what_waits(env, queue, oldest, now).await;
    Ok(())
}

/// Puts packs into the log, in one call if that is possible. What must be kept as a letter goes to `pending`.
async fn take(
    env: &Env,
    packs: Vec<Pack>,
    messages: Vec<Come>,
    pending: &mut Vec<Pending>,
    patient: bool,
) {
    if packs.is_empty() {
        return;
    }
    match append(env, packs.clone()).await {
        Ok(appended) => {
            for (at, (pack, come)) in packs.iter().zip(messages).enumerate() {
                taken(come, pack, at, &appended, pending, patient);
            }
        }
        Err(error) => {
            console_error!("queue: {error}");
            one_by_one(env, packs, messages, pending, patient).await;
        }
    }
}

/// The same, so that one that the lane fails at does not hold up the rest.
async fn one_by_one(
    env: &Env,
    packs: Vec<Pack>,
    messages: Vec<Come>,
    pending: &mut Vec<Pending>,
    patient: bool,
) {
    let alone = messages.len() == 1;
    let mut failures = 0;
    for (pack, come) in packs.into_iter().zip(messages) {
        if failures >= MAX_FAILURES {
            again(&come, patient);
            continue;
        }
        // Alone it has just been tried.
        if !alone && let Ok(appended) = append(env, vec![pack.clone()]).await {
            failures = 0;
            taken(come, &pack, 0, &appended, pending, patient);
            continue;
        }
        failures += 1;
        if patient && backlog::is_undeliverable(come.age) && fails_alone(env, pack).await {
            pending.push(dead(come, Reason::Undeliverable));
        } else {
            again(&come, patient);
        }
    }
}

/// Whether the lane takes what there is, and not this.
async fn fails_alone(env: &Env, pack: Pack) -> bool {
    append(env, Vec::new()).await.is_ok() && append(env, vec![pack]).await.is_err()
}

async fn append(env: &Env, packs: Vec<Pack>) -> std::result::Result<Appended, CallError> {
    let append = Append {
        received: now(),
        packs,
    };
    call::lane(env, append).await
}

/// A pack was taken, but for what was given back of it.
fn taken(
    come: Come,
    pack: &Pack,
    at: usize,
    appended: &Appended,
    pending: &mut Vec<Pending>,
    patient: bool,
) {
    match letters::of_pack(pack, at, &appended.set_aside) {
        Ok(letters) if letters.is_empty() => come.message.ack(),
        Ok(letters) => pending.push(Pending { come, letters }),
        Err(error) => {
            console_error!("queue: {error}");
            again(&come, patient);
        }
    }
}

/// A message that is a letter itself.
fn dead(mut come: Come, reason: Reason) -> Pending {
    console_error!("queue: message {}: {}", come.message.id(), reason.as_str());
    let content = std::mem::take(&mut come.content);
    let letters = vec![Letter::of_message(reason, content)];
    Pending { come, letters }
}

/// Has the letters kept, in one call, and settles each message whose letters are.
async fn settle(env: &Env, pending: Vec<Pending>, patient: bool) {
    let mut letters = Vec::new();
    let mut messages = Vec::new();
    for mut it in pending {
        messages.push((it.come, it.letters.len()));
        letters.append(&mut it.letters);
    }
    let kept = match letters::keep(env, letters).await {
        Ok(kept) => kept,
        Err(error) => {
            console_error!("queue: {error}");
            Vec::new()
        }
    };
    let mut kept = kept.into_iter();
    for (come, count) in messages {
        if kept.by_ref().take(count).filter(|kept| *kept).count() == count {
            come.message.ack();
        } else {
            again(&come, patient);
        }
    }
}

/// Says for how long the oldest message has waited, if that is long.
async fn say_what_waits(env: &Env, queue: String, sent: UnixMillis, seen: UnixMillis) {
    let backlog = Backlog { queue, sent, seen };
    let level = backlog.level();
    if level > Level::Usual {
        console_error!(
            "queue: {}: the oldest message has waited for {} minutes ({})",
            backlog.queue,
            backlog.age_ms() / 60_000,
            level.as_str()
        );
    }
    if TOLD.with_borrow(|told| !backlog.is_to_be_told(told.as_ref())) {
        return;
    }
    let told = call::lane(env, backlog.clone()).await;
    TOLD.set(told.is_ok().then_some(backlog));
}

/// The message comes again.
fn again(come: &Come, patient: bool) {
    if patient {
        let delay = backlog::retry_delay_secs(come.age);
        let options = QueueRetryOptionsBuilder::new().with_delay_seconds(delay);
        come.message.retry_with_options(&options.build());
    } else {
        come.message.retry();
    }
}

/// Puts a gateway's pack into the log; once this is done it is there, or kept.
pub async fn record(env: &Env, bytes: &[u8]) -> std::result::Result<(), String> {
    let pack =
        of_gateway(bytes).map_err(|reason| format!("a gateway's pack: {}", reason.as_str()))?;
    let packs = vec![pack];
    let appended = append(env, packs.clone()).await;
    let recorded = match appended {
        Ok(appended) => letters::keep_set_aside(env, &packs, &appended.set_aside).await,
        Err(error) => Err(error),
    };
    recorded.map_err(|error| error.to_string())
}

/// What is in a message, and whether it came as bytes. What did not is kept as JSON.
fn content_of(body: &JsValue) -> (Vec<u8>, bool) {
    let array = match body.dyn_ref::<Uint8Array>() {
        Some(array) => Some(array.clone()),
        None => body.dyn_ref::<ArrayBuffer>().map(|it| Uint8Array::new(it)),
    };
    if let Some(array) = array {
        let most = u32::try_from(MAX_LETTER_BYTES).unwrap_or(u32::MAX);
        return (array.subarray(0, most).to_vec(), true);
    }
    let json = JSON::stringify(body).ok();
    let json = json.and_then(|json| json.as_string()).unwrap_or_default();
    (json.into_bytes(), false)
}
