//! What only the runtime has: the clock, randomness, and the settings of this deployment.

use crate::config::Config;
use futures::future::{Either, select};
use portcullis_core::time::UnixMillis;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use worker::{Date, Delay, Env, Error, console_error};

/// The present.
pub fn now() -> UnixMillis {
    UnixMillis(Date::now().as_millis())
}

/// Sleeps, in the context of the request that calls: a promise cannot be shared with another's.
pub async fn sleep_ms(ms: u64) {
    Delay::from(Duration::from_millis(ms)).await;
}

/// What comes of `future`, if it is done in `time`.
pub async fn in_time<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(Delay::from(time))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// Random bytes from the runtime's CSPRNG.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::RustError(error.to_string()))?;
    Ok(bytes)
}

/// The bytes of a new identifier.
pub fn new_id() -> Result<[u8; 16], Error> {
    random()
}

thread_local! {
    static CONFIG: RefCell<Option<Rc<Config>>> = const { RefCell::new(None) };
    static ENV: RefCell<Option<Env>> = const { RefCell::new(None) };
}

/// The bindings, for what is done on behalf of an isolate and not of a request: they are the same for
/// all of its requests. `None` before the settings were read.
pub fn env() -> Option<Env> {
    ENV.with_borrow(Clone::clone)
}

/// The deployment's settings, or `None` while they are invalid; what is wrong is in the log.
pub fn config(env: &Env) -> Option<Rc<Config>> {
    if let Some(config) = CONFIG.with_borrow(Clone::clone) {
        return Some(config);
    }
    match Config::read(|name| env.var(name).ok().map(|value| value.to_string())) {
        Ok(config) => {
            let config = Rc::new(config);
            CONFIG.set(Some(Rc::clone(&config)));
            ENV.set(Some(env.clone()));
            Some(config)
        }
        Err(name) => {
            console_error!("configuration: {name} is missing or invalid");
            None
        }
    }
}
