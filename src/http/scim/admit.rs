//! Who may ask at a connection's endpoint, and what is asked there.
//!
//! A provider has a secret of its connection, which an operator made ([`crate::http::scim_secrets`]). The
//! role `scim` is for the configuration's connection alone. What is forged or another connection's is refused
//! before any object is woken; whether a secret is good still, the connection's directory says in the
//! event that answers, so that one which was removed is refused from then on.
//!
//! | what | answer |
//! |---|---|
//! | no credential, or one that is not the connection's, or not any more | 401 |
//! | of another role | 403 |
//! | the connection is off | 403 |
//! | there is no such connection (any more) | 404 |

use super::super::context::Ctx;
use super::{failed, unavailable};
use crate::auth::{Refusal, Role};
use crate::connections;
use crate::error::{refused, scim_error};
use crate::objects::call::{self, CallError, DirectoryFrame};
use crate::refusals;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::connection::Connection;
use portcullis_core::id::LogHash;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::DirectoryRequest;
use portcullis_core::scim::secret::{Knock, RefusedSecrets, ScimSecret};
use portcullis_core::wire::Call;
use serde::de::DeserializeOwned;
use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use worker::{Response, Result};

/// What the log calls a secret of the connection's that is not good any more.
const REMOVED: &str = "scim_secret_removed";

thread_local! {
    /// So that one that was removed does not go on waking its directory.
    static REFUSED: RefCell<RefusedSecrets> = const { RefCell::new(RefusedSecrets::new()) };
}

/// Whose endpoint a path is.
#[derive(Clone, Copy)]
pub enum Whose {
    /// The configuration's connection's.
    Configured,
    /// That of the connection which the path names first.
    Named,
}

/// A request that was let in. Only [`answer`] makes one.
pub struct Admitted {
    ctx: Ctx,
    connection: Rc<Connection>,
    base: String,
    facts: RequestFacts,
    secret: Option<ScimSecret>,
    /// The directory has said that the secret is not good.
    is_refused: Rc<Cell<bool>>,
}

impl Admitted {
    /// The URL of the endpoint that was asked, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks the connection's directory.
    pub async fn ask<C, T>(
        &self,
        call: C,
    ) -> std::result::Result<std::result::Result<T, ScimError>, CallError>
    where
        C: Call<Request = DirectoryRequest, Reply = std::result::Result<T, ScimError>>,
        T: DeserializeOwned,
    {
        let frame = DirectoryFrame {
            base: self.base.clone(),
            ..DirectoryFrame::of(&self.config, &self.connection, self.facts.clone())
        };
        let secret = self.secret.as_ref().map(ScimSecret::digest);
        let reply = call::scim(&self.env, frame, secret, call).await;
        if let Ok(Err(ScimError::SecretRefused)) = &reply {
            self.is_refused.set(true);
        }
        reply
    }

    /// Whether the provider may know what is answered without the directory; if not, what to answer.
    pub async fn knock(&self) -> Result<std::result::Result<(), Response>> {
        if self.secret.is_none() {
            return Ok(Ok(()));
        }
        Ok(match self.ask(Knock).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(&error)?),
            Err(error) => Err(unavailable(&error)?),
        })
    }
}

impl Deref for Admitted {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.ctx
    }
}

impl DerefMut for Admitted {
    fn deref_mut(&mut self) -> &mut Ctx {
        &mut self.ctx
    }
}

/// Has `handler` answer a request that may be made.
pub async fn answer<F: Future<Output = Result<Response>>>(
    ctx: Ctx,
    whose: Whose,
    handler: impl FnOnce(Admitted) -> F,
) -> Result<Response> {
    let (env, context, now) = (ctx.env.clone(), Rc::clone(&ctx.context), ctx.now);
    let admitted = match admit(ctx, whose).await? {
        Ok(admitted) => admitted,
        Err(response) => return Ok(response),
    };
    let Some(id) = admitted.secret.as_ref().map(ScimSecret::id) else {
        return handler(admitted).await;
    };
    let (facts, is_refused) = (admitted.facts.clone(), Rc::clone(&admitted.is_refused));
    let response = handler(admitted).await?;
    if is_refused.get() {
        REFUSED.with_borrow_mut(|refused| refused.add(id));
        let event = Event {
            reason: Some(REMOVED.to_owned()),
            token: Some(LogHash::of_scim_secret(id)),
            request: Some(RequestFacts {
                status: Some(response.status_code()),
                ..facts
            }),
            ..Event::new(
                now,
                Action::CredentialRefused,
                Outcome::Denied,
                Actor::Anonymous,
            )
        };
        refusals::note(&env, &context, event);
    }
    Ok(response)
}

async fn admit(mut ctx: Ctx, whose: Whose) -> Result<std::result::Result<Admitted, Response>> {
    let secret = ctx.scim_secret.take();
    let id = match whose {
        Whose::Configured => ctx.config.connection.id.clone(),
        Whose::Named => {
            let id = ctx.decoded_param(0);
            // What follows is the handler's.
            ctx.params = ctx.params.drain(..).skip(1).collect();
            id
        }
    };
    let is_its_own = match &secret {
        Some(secret) => secret.is_of(&id),
        None => ctx.role == Some(Role::Scim) && connections::is_static(&ctx.config, &id),
    };
    let refusal = |status, reason: &str| {
        let event = match &secret {
            Some(secret) => of_secret(&ctx, secret, reason, status),
            None => ctx.refusal(reason, status),
        };
        refusals::note(&ctx.env, &ctx.context, event);
    };
    if !is_its_own {
        refusal(401, "scim_secret_of_another_connection");
        return Ok(Err(refused(Refusal::Unknown, true)?));
    }
    if let Some(secret) = &secret
        && REFUSED.with_borrow(|refused| refused.has(secret.id()))
    {
        refusal(401, REMOVED);
        return Ok(Err(refused(Refusal::Unknown, true)?));
    }
    let connection = match connections::any(&ctx.env, &ctx.config, &id).await? {
        Some(connection) if connection.enabled => connection,
        Some(_) => {
            refusal(403, "connection_disabled");
            return Ok(Err(scim_error(403, None, "the connection is off")?));
        }
        None => {
            refusal(404, "connection_unknown");
            return Ok(Err(scim_error(404, None, "there is no such connection")?));
        }
    };
    Ok(Ok(Admitted {
        base: match whose {
            Whose::Configured => connections::scim_url(&ctx.config, &id),
            Whose::Named => connections::own_scim_url(&ctx.config, &id),
        },
        facts: ctx.facts(),
        connection,
        secret,
        is_refused: Rc::default(),
        ctx,
    }))
}

/// Refuses a caller who presented nothing that the service knows, or something of another role.
pub fn turn_away(ctx: &Ctx, refusal: Refusal) -> Result<Response> {
    let response = refused(refusal, true)?;
    if let Some(reason) = refusal.reason() {
        let event = ctx.refusal(reason, response.status_code());
        refusals::note(&ctx.env, &ctx.context, event);
    }
    Ok(response)
}

/// The event of a secret that was refused: which one it is, and nothing of it.
fn of_secret(ctx: &Ctx, secret: &ScimSecret, reason: &str, status: u16) -> Event {
    Event {
        token: Some(LogHash::of_scim_secret(secret.id())),
        ..ctx.refusal(reason, status)
    }
}
