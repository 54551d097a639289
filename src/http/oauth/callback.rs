//! `GET /callback`, or `GET /callback/{connection}`: the browser comes back from an identity provider, and a
//! session begins.
//!
//! Before anything is believed: the flow is one of ours, not used yet, and this browser began it; it
//! came back to the place of the connection that it was sent to, which is still on; the
//! answer is by that provider (RFC 9207); the ID token verifies, and its log-in is as new and as strong
//! as the client asked. Then the person is asked for their consent if they must be, and then the subject
//! decides.

use super::log_in::{Arrival, begin};
use super::{
    FLOW_TTL_SECS, browser_of, clear_flow_cookie, connection_test, flow, page, redirect, refuse,
    set_flow_cookie,
};
use crate::connections;
use crate::http::context::Ctx;
use crate::objects::call;
use crate::policy;
use crate::upstream::{self, Returned, UpstreamError};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::client::Client;
use portcullis_core::connection::Connection;
use portcullis_core::connection::identity::Identity;
use portcullis_core::id::SubjectKey;
use portcullis_core::jwt::id_token::VerifiedIdToken;
use portcullis_core::oauth::authorize::{AuthorizationRequest, ErrorCode, Prompt};
use portcullis_core::oauth::flow::{Asked, Away, FlowId, Keep, Kind, Person, Stage, TakeAway};
use portcullis_core::oauth::relay::{LoginFacts, upstream_error};
use portcullis_core::secret::Digest;
use portcullis_core::session::Upstream;
use portcullis_core::session::consent::{AskConsent, covers};
use portcullis_core::text::truncated;
use worker::{Response, Result};

/// What comes of a browser's return.
enum Came {
    /// The flow is over.
    Done(Response),
    /// The person is asked first.
    Ask(Box<Asked>),
}

/// Finishes a log-in and sends the browser back to the client, or asks the person first.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let query = ctx.query().unwrap_or_default();
    let state = query.get("state").map_or("", String::as_str);
    // Nothing but an id of ours wakes an object.
    if let Some(id) = FlowId::parse(&ctx.config.routing_key, Kind::Test, state) {
        return connection_test::arrived(&ctx, &id).await;
    }
    let Some(id) = FlowId::parse(&ctx.config.routing_key, Kind::LogIn, state) else {
        return not_begun();
    };
    let Some(browser) = browser_of(&ctx, &id)? else {
        return not_begun();
    };
    let take = TakeAway {
        browser: Digest::of(browser.as_bytes()),
    };
    let taken = flow(&ctx.env, &id, take).await;
    let taken = taken.map_err(|error| worker::Error::RustError(error.to_string()))?;
    let Some(away) = taken else {
        return not_begun();
    };
    match arrived(&ctx, away).await? {
        Came::Done(response) => {
            clear_flow_cookie(&response, &id)?;
            Ok(response)
        }
        Came::Ask(asked) => ask(&ctx, &id, &browser, *asked).await,
    }
}

fn not_begun() -> Result<Response> {
    let text = "This log-in has expired, was finished before, or was begun in another browser. \
                Please start again.";
    page(400, "Log-in is not possible", text)
}

/// Sends the browser to the question.
async fn ask(ctx: &Ctx, id: &FlowId, browser: &str, asked: Asked) -> Result<Response> {
    let request = asked.request.clone();
    let keep = Keep {
        stage: Stage::Asked(Box::new(asked)),
        ttl_secs: FLOW_TTL_SECS,
    };
    if let Err(error) = flow(&ctx.env, id, keep).await {
        worker::console_error!("{error}");
        return refuse(ctx, &request, ErrorCode::TemporarilyUnavailable);
    }
    let consent = format!("{}/consent", ctx.config.issuer);
    let response = redirect(&consent, &[("flow", Some(id.as_str()))])?;
    set_flow_cookie(&response, id, browser)?;
    Ok(response)
}

async fn arrived(ctx: &Ctx, away: Away) -> Result<Came> {
    let client_id = &away.request.client.client_id;
    let client = policy::client(&ctx.env, &ctx.config, client_id).await?;
    let redirect_uri = &away.request.client.redirect_uri;
    // It may have been changed or removed since the browser set out.
    let Some(client) = client.filter(|client| client.allows_redirect_to(redirect_uri)) else {
        return not_begun().map(Came::Done);
    };
    let person = match identified(ctx, &away).await? {
        Ok(person) => person,
        Err(error) => return refuse(ctx, &away.request, error).map(Came::Done),
    };
    match must_ask(ctx, &client, &away.request, person.subject).await? {
        Ok(false) => {
            let arrival = Arrival {
                request: away.request,
                begun_at: away.begun_at,
                person,
                allowed: false,
            };
            begin(ctx, &client, arrival).await.map(Came::Done)
        }
        Ok(true) => Ok(Came::Ask(Box::new(Asked {
            request: away.request,
            begun_at: away.begun_at,
            browser: away.browser,
            person,
        }))),
        Err(error) => refuse(ctx, &away.request, error).map(Came::Done),
    }
}

/// The connection to whose place the browser came back.
pub(super) fn came_back_to(ctx: &Ctx) -> &str {
    match ctx.params.first() {
        Some(id) => id,
        None => &ctx.config.connection.id,
    }
}

/// Who is there, if their log-in is what was asked for.
async fn identified(ctx: &Ctx, away: &Away) -> Result<std::result::Result<Person, ErrorCode>> {
    if came_back_to(ctx) != away.connection {
        refused(ctx, &away.connection, "connection_mismatch").await?;
        return Ok(Err(ErrorCode::AccessDenied));
    }
    let connection = connections::enabled(&ctx.env, &ctx.config, &away.connection).await?;
    let Some(connection) = connection else {
        refused(ctx, &away.connection, "connection_disabled").await?;
        return Ok(Err(ErrorCode::AccessDenied));
    };
    let query = ctx.query().unwrap_or_default();
    let metadata = match upstream::metadata(&ctx.config, &connection).await {
        Ok(metadata) => metadata,
        Err(error) => {
            worker::console_error!("{error}");
            return Ok(Err(ErrorCode::TemporarilyUnavailable));
        }
    };
    if !metadata.may_have_answered(query.get("iss").map(String::as_str)) {
        refused(ctx, &connection.id, "provider_mismatch").await?;
        return Ok(Err(ErrorCode::AccessDenied));
    }
    let Some(code) = query.get("code") else {
        return Ok(Err(upstream_error(query.get("error").map(String::as_str))));
    };
    let returned = Returned {
        code,
        code_verifier: &away.code_verifier,
        nonce: &away.nonce,
    };
    let id_token = upstream::identify(&ctx.env, &ctx.config, &connection, returned).await;
    let id_token = match id_token {
        Ok(id_token) => id_token,
        Err(error) => {
            worker::console_error!("{error}");
            return Ok(Err(match error {
                UpstreamError::Unavailable(_) => ErrorCode::TemporarilyUnavailable,
                UpstreamError::Token(error) => {
                    let reason = format!("id_token_{}", error.as_str());
                    refused(ctx, &connection.id, &reason).await?;
                    ErrorCode::ServerError
                }
            }));
        }
    };
    let identity = match connection.identity(id_token.claims()) {
        Ok(identity) => identity,
        Err(why) => {
            let reason = format!("id_token_{}", why.as_str());
            refused(ctx, &connection.id, &reason).await?;
            return Ok(Err(ErrorCode::AccessDenied));
        }
    };
    let person = person(ctx, &connection, identity, &id_token);
    let login = LoginFacts {
        auth_time: id_token.auth_time,
        acr: id_token.acr.as_deref(),
    };
    if let Err(error) = away.request.is_satisfied_by(login, away.begun_at) {
        not_satisfied(ctx, &away.request, &person, error).await?;
        return Ok(Err(error));
    }
    Ok(Ok(person))
}

fn person(
    ctx: &Ctx,
    connection: &Connection,
    identity: Identity,
    id_token: &VerifiedIdToken,
) -> Person {
    let digest = |claim| {
        id_token
            .claim(claim)
            .map(|text| Digest::of(text.as_bytes()))
    };
    Person {
        subject: connection.subject(&ctx.config.naming_key, &identity.value),
        connection: connection.id.clone(),
        auth_time_secs: id_token.auth_time.unwrap_or(id_token.issued_at).secs(),
        acr: id_token.acr.as_deref().map(|acr| truncated(acr, 128)),
        groups: identity.groups,
        roles: identity.roles,
        claims: identity.claims,
        profile: identity.profile,
        upstream: Upstream {
            sub: digest("sub"),
            sid: digest("sid"),
        },
        value: identity.value,
    }
}

/// Whether the person has to be asked before `client` gets what it wants; an error if they would
/// have to be and must not.
async fn must_ask(
    ctx: &Ctx,
    client: &Client,
    request: &AuthorizationRequest,
    subject: SubjectKey,
) -> Result<std::result::Result<bool, ErrorCode>> {
    if request.prompts(Prompt::Consent) {
        return Ok(Ok(true));
    }
    if !client.needs_consent() {
        return Ok(Ok(false));
    }
    let ask = AskConsent {
        client_id: client.client_id.clone(),
    };
    let allowed = match call::subject(&ctx.env, subject, ask).await {
        Ok(allowed) => allowed,
        Err(error) => {
            worker::console_error!("{error}");
            return Ok(Err(ErrorCode::TemporarilyUnavailable));
        }
    };
    let is_allowed =
        allowed.is_some_and(|allowed| covers(&allowed, &request.client.to_be_allowed()));
    let is_allowed = is_allowed && !client.must_always_ask(&request.client.redirect_uri);
    Ok(match is_allowed {
        true => Ok(false),
        false if request.prompts(Prompt::None) => Err(ErrorCode::ConsentRequired),
        false => Ok(true),
    })
}

async fn refused(ctx: &Ctx, connection: &str, reason: &str) -> Result<()> {
    let event = Event {
        reason: Some(reason.to_owned()),
        request: Some(ctx.facts()),
        ..Event::new(
            ctx.now,
            Action::CredentialRefused,
            Outcome::Denied,
            Actor::Connection(connection.to_owned()),
        )
    };
    crate::audit::record(&ctx.env, event).await
}

/// A log-in that was too old or too weak for what the client asked.
async fn not_satisfied(
    ctx: &Ctx,
    request: &AuthorizationRequest,
    person: &Person,
    error: ErrorCode,
) -> Result<()> {
    let event = Event {
        reason: Some(error.as_str().to_owned()),
        subject: Some(person.subject),
        client_id: Some(request.client.client_id.clone()),
        request: Some(ctx.facts()),
        ..Event::new(
            ctx.now,
            Action::Login,
            Outcome::Denied,
            Actor::Connection(person.connection.clone()),
        )
    };
    crate::audit::record(&ctx.env, event).await
}
