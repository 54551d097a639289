//! Refused credentials where anybody may send as many as they like: in each isolate the first for a reason is
//! an event with its request, and those that follow within ten seconds are one event more, with their number
//! ([`portcullis_core::audit::refusals`]). So a flood of them does not become a flood of events.
//!
//! What an isolate has counted when it ends is lost.

use crate::audit;
use crate::runtime::{now, sleep_ms};
use portcullis_core::audit::event::Event;
use portcullis_core::audit::refusals::{Refusals, Refused};
use std::cell::RefCell;
use worker::{Context, Env, console_error};

thread_local! {
    static REFUSALS: RefCell<Refusals> = const { RefCell::new(Refusals::new()) };
}

/// Puts `event` into the log while the answer goes out, or counts it.
pub fn note(env: &Env, context: &Context, event: Event) {
    let now = now();
    let (refused, over) = REFUSALS.with_borrow_mut(|refusals| {
        let refused = refusals.add(event, now);
        (refused, refusals.take_due(now))
    });
    let mut events = over;
    let wait_ms = match refused {
        Refused::First(first) => {
            events.push(*first);
            None
        }
        Refused::Counting(ms) => Some(ms),
        Refused::Counted => None,
    };
    if events.is_empty() && wait_ms.is_none() {
        return;
    }
    let env = env.clone();
    context.wait_until(async move {
        record(&env, events).await;
        if let Some(ms) = wait_ms {
            sleep_ms(ms).await;
            let counts =
                REFUSALS.with_borrow_mut(|refusals| refusals.take_due(crate::runtime::now()));
            record(&env, counts).await;
        }
    });
}

async fn record(env: &Env, events: Vec<Event>) {
    for event in events {
        if let Err(error) = audit::record(env, event).await {
            console_error!("an event was lost: {error}");
        }
    }
}
