//! What this isolate knows of the policy: a view that is never too old, and the clients it needed.
//!
//! Whatever is decided here is decided by a view that was asked for at most
//! [`VIEW_MAX_AGE_MS`] ago; where none can be had nothing is decided, and the caller gets 503. A
//! little before a view becomes too old one request takes it on itself to ask for the next, while
//! the others go on with what there is.
//!
//! Clients and trusts are kept as long as the view's version stands: every change of one is a new
//! version. Static clients come from the configuration and are looked for first; nobody can
//! register over one. Then come the policy's; last, where the deployment allows it, the document at
//! the `client_id` itself. So an operator turns such a client away by registering its URL as disabled.

use crate::client_documents;
use crate::config::Config;
use crate::objects::call::{self, CallError};
use crate::runtime::now;
use portcullis_core::client::Client;
use portcullis_core::client::metadata::MAX_CLIENT_ID_BYTES;
use portcullis_core::policy::call::{GetClient, GetView, ListTrusts};
use portcullis_core::policy::trust::Trust;
use portcullis_core::policy::{IN_FORCE_AFTER_MS, PolicyView, VIEW_MAX_AGE_MS};
use portcullis_core::time::UnixMillis;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;
use worker::{Delay, Env};

/// From what age on a view is asked for anew, in milliseconds.
const REFRESH_AGE_MS: u64 = VIEW_MAX_AGE_MS * 3 / 4;
/// The most clients that are remembered, known and unknown; then all are forgotten.
const MAX_REMEMBERED: usize = 1000;

/// The policy cannot be known, so nothing can be decided.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy: {}", self.0)
    }
}

impl Unavailable {
    /// For that reason.
    pub fn because(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl From<CallError> for Unavailable {
    fn from(error: CallError) -> Self {
        Self(error.to_string())
    }
}

impl From<Unavailable> for worker::Error {
    fn from(error: Unavailable) -> Self {
        Self::RustError(error.to_string())
    }
}

/// The policy, and when it was asked for.
pub struct View {
    policy: PolicyView,
    asked_at: UnixMillis,
}

impl Deref for View {
    type Target = PolicyView;

    fn deref(&self) -> &PolicyView {
        &self.policy
    }
}

impl View {
    /// A clock that went back makes a view of the future, which is as bad as an old one.
    fn is_younger_than(&self, age_ms: u64, now: UnixMillis) -> bool {
        now.0
            .checked_sub(self.asked_at.0)
            .is_some_and(|age| age < age_ms)
    }
}

/// Clients by id as of a version; `None`: there is no such client.
struct Remembered {
    version: u64,
    clients: HashMap<String, Option<Rc<Client>>>,
}

thread_local! {
    static VIEW: RefCell<Option<Rc<View>>> = const { RefCell::new(None) };
    /// When a request last took it on itself to ask anew.
    static ASKED_ANEW_AT: Cell<UnixMillis> = const { Cell::new(UnixMillis(0)) };
    static TRUSTS: RefCell<Option<(u64, Rc<Vec<Trust>>)>> = const { RefCell::new(None) };
    static CLIENTS: RefCell<Option<Remembered>> = const { RefCell::new(None) };
}

/// The policy, if it was asked for at most [`VIEW_MAX_AGE_MS`] ago and it is not the caller's turn to
/// ask anew.
pub fn at_hand() -> Option<Rc<View>> {
    let now = now();
    let claimed = || {
        let since = now.0.checked_sub(ASKED_ANEW_AT.get().0);
        since.is_some_and(|since| since < REFRESH_AGE_MS)
    };
    VIEW.with_borrow(Clone::clone).filter(|view| {
        view.is_younger_than(REFRESH_AGE_MS, now)
            || (view.is_younger_than(VIEW_MAX_AGE_MS, now) && claimed())
    })
}

/// The policy as it was asked for at most [`VIEW_MAX_AGE_MS`] ago.
pub async fn view(env: &Env) -> Result<Rc<View>, Unavailable> {
    if let Some(view) = at_hand() {
        return Ok(view);
    }
    let asked_at = now();
    let kept = VIEW.with_borrow(Clone::clone);
    ASKED_ANEW_AT.set(asked_at);
    match ask(env, kept.as_ref(), asked_at).await {
        // An answer that took too long is as old as the question.
        Ok(view) if view.is_younger_than(VIEW_MAX_AGE_MS, now()) => Ok(view),
        Ok(_) => Err(Unavailable("the answer took too long".to_owned())),
        // What there is may still do.
        Err(error) => kept
            .filter(|view| view.is_younger_than(VIEW_MAX_AGE_MS, now()))
            .ok_or(error),
    }
}

async fn ask(
    env: &Env,
    kept: Option<&Rc<View>>,
    asked_at: UnixMillis,
) -> Result<Rc<View>, Unavailable> {
    let known = kept.map(|view| view.version);
    let policy = match (call::policy_object(env, GetView { known }).await?, kept) {
        (Some(policy), _) => policy,
        (None, Some(view)) => view.policy.clone(),
        (None, None) => return Err(Unavailable("no view came".to_owned())),
    };
    let fresh = Rc::new(View { policy, asked_at });
    // Of two that were on their way at a time the later question has the better answer.
    VIEW.with_borrow_mut(|kept| {
        let later = kept
            .as_ref()
            .is_some_and(|kept| (kept.asked_at, kept.version) > (fresh.asked_at, fresh.version));
        if !later {
            *kept = Some(Rc::clone(&fresh));
        }
    });
    Ok(fresh)
}

/// Waits until nobody decides without a change of policy that has just been committed. Whatever takes
/// something away is acknowledged after this and not before.
pub async fn in_force_everywhere() {
    Delay::from(Duration::from_millis(IN_FORCE_AFTER_MS)).await;
}

/// Every trust.
pub async fn trusts(env: &Env) -> Result<Rc<Vec<Trust>>, Unavailable> {
    let view = view(env).await?;
    let remembered = TRUSTS.with_borrow(|remembered| {
        remembered
            .as_ref()
            .filter(|(version, _)| *version == view.version)
            .map(|(_, trusts)| Rc::clone(trusts))
    });
    if let Some(trusts) = remembered {
        return Ok(trusts);
    }
    let answer = call::policy_object(env, ListTrusts).await?;
    let trusts: Result<Vec<Trust>, _> = answer
        .trusts
        .iter()
        .map(|json| serde_json::from_str(json))
        .collect();
    let trusts = Rc::new(trusts.map_err(|error| Unavailable(error.to_string()))?);
    TRUSTS.set(Some((answer.version, Rc::clone(&trusts))));
    Ok(trusts)
}

/// The client of that id, if there is one and it may be dealt with: one that is disabled, or whose
/// revocation is not in force yet, is not there.
pub async fn client(
    env: &Env,
    config: &Config,
    client_id: &str,
) -> Result<Option<Rc<Client>>, Unavailable> {
    // Nobody has such a name, and looking for one costs.
    if !(1..=MAX_CLIENT_ID_BYTES).contains(&client_id.len()) {
        return Ok(None);
    }
    let view = view(env).await?;
    let found = match config.client(client_id) {
        Some(client) => Some(Rc::clone(client)),
        None => match registered(env, &view, client_id).await? {
            None if config.registration.metadata_documents => {
                let found = client_documents::client(env, config, client_id).await;
                found.map_err(|client_documents::Unavailable(why)| Unavailable(why))?
            }
            found => found,
        },
    };
    Ok(found.filter(|client| !client.disabled && !view.holds_back(client_id, now())))
}

/// The client that the policy has, from memory while its version stands.
async fn registered(
    env: &Env,
    view: &View,
    client_id: &str,
) -> Result<Option<Rc<Client>>, Unavailable> {
    let remembered = CLIENTS.with_borrow(|remembered| {
        let as_of_now = remembered
            .as_ref()
            .filter(|remembered| remembered.version == view.version)?;
        as_of_now.clients.get(client_id).cloned()
    });
    if let Some(found) = remembered {
        return Ok(found);
    }
    let get = GetClient {
        client_id: client_id.to_owned(),
    };
    let answer = call::policy_object(env, get).await?;
    let found = match answer.client {
        Some(json) => {
            let client = serde_json::from_str(&json);
            let unreadable = |error: serde_json::Error| Unavailable(error.to_string());
            Some(Rc::new(client.map_err(unreadable)?))
        }
        None => None,
    };
    CLIENTS.with_borrow_mut(|remembered| {
        let stale = remembered.as_ref().is_none_or(|kept| {
            kept.version < answer.version || kept.clients.len() >= MAX_REMEMBERED
        });
        if stale {
            *remembered = Some(Remembered {
                version: answer.version,
                clients: HashMap::new(),
            });
        }
        if let Some(kept) = remembered.as_mut().filter(|k| k.version == answer.version) {
            kept.clients.insert(client_id.to_owned(), found.clone());
        }
    });
    Ok(found)
}
