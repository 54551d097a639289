//! Events of the Worker itself, which no object has: refused credentials and denied checks.
//!
//! An isolate is a producer like any other; it appends to the lane directly.

use crate::letters;
use crate::objects::call;
use crate::runtime::{new_id, now};
use portcullis_core::audit::call::Append;
use portcullis_core::audit::event::Event;
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::ProducerId;
use std::cell::{Cell, OnceCell};
use worker::{Env, Error};

thread_local! {
    static PRODUCER: OnceCell<ProducerId> = const { OnceCell::new() };
    static NEXT_SEQUENCE: Cell<u64> = const { Cell::new(1) };
}

/// Puts `event` into the log; once this is done it is there.
pub async fn record(env: &Env, event: Event) -> Result<(), Error> {
    let pack = Pack {
        producer: producer()?,
        first_sequence: NEXT_SEQUENCE.with(|next| next.replace(next.get() + 1)),
        events: vec![event.bounded()],
    };
    let append = Append {
        received: now(),
        packs: vec![pack],
    };
    // The same pack again is the same event: the lane takes it once.
    let appended = match call::lane(env, append.clone()).await {
        Ok(appended) => Ok(appended),
        Err(_) => call::lane(env, append.clone()).await,
    };
    let kept = match appended {
        Ok(appended) => letters::keep_set_aside(env, &append.packs, &appended.set_aside).await,
        Err(error) => Err(error),
    };
    kept.map_err(|error| Error::RustError(error.to_string()))
}

fn producer() -> Result<ProducerId, Error> {
    PRODUCER.with(|cell| {
        if let Some(producer) = cell.get() {
            return Ok(*producer);
        }
        let producer = ProducerId::from_bytes(new_id()?);
        Ok(*cell.get_or_init(|| producer))
    })
}
