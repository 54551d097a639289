//! `GET /callback`, or `GET /callback/{connection}`: the browser comes back from an identity provider, and a
//! session begins.
//!
//! Before anything is believed: the flow is one of ours, not used yet, and this browser began it; it
//! came back to the place of the connection that it was sent to, which is still on; the
//! answer is by that provider (RFC 9207); the ID token verifies, and its log-in is as new and as strong
//! as the client asked. What a SAML provider says was verified when the browser posted it ([`saml`]), and is
//! taken from the flow; from there on both go the same way. Then the person is asked for their consent if they must be, and then the subject
//! decides.

use super::log_in::{Arrival, begin, denied};
use super::{
    FLOW_TTL_SECS, browser_of, clear_flow_cookie, connection_test, flow, page, redirect, refuse,
    saml, set_flow_cookie,
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
use portcullis_core::oauth::flow::saml::{Errand, SamlFacts, SamlSaid};
use portcullis_core::oauth::flow::{Asked, FlowId, Keep, Kind, Person, Stage, TakeAway};
use portcullis_core::oauth::relay::{LoginFacts, upstream_error};
use portcullis_core::secret::Digest;
use portcullis_core::session::Upstream;
use portcullis_core::session::consent::{AskConsent, covers};
use portcullis_core::text::truncated;
use portcullis_core::time::UnixMillis;
use serde_json::{Map, Value};
use worker::{Response, Result};

/// A browser that is back.
struct Back {
    /// What the client asked for.
    request: AuthorizationRequest,
    /// When the browser set out.
    begun_at: UnixMillis,
    /// Of its cookie.
    browser: Digest,
    /// Through which connection it was sent.
    connection: String,
    /// What it was sent with, or what it brought.
    by: By,
}

/// How the provider's word comes.
enum By {
    /// The query has a code, or an error; these go with it.
    Code {
        nonce: String,
        code_verifier: String,
    },
    /// It has come.
    Saml(SamlSaid),
}

/// What a provider says of who logged in.
struct LoggedIn {
    /// What events about it begin with.
    by: &'static str,
    claims: Map<String, Value>,
    auth_time: Option<UnixMillis>,
    said_at: UnixMillis,
    acr: Option<String>,
    upstream: Upstream,
}

impl From<VerifiedIdToken> for LoggedIn {
    fn from(id_token: VerifiedIdToken) -> Self {
        let digest = |claim| {
            id_token
                .claim(claim)
                .map(|text| Digest::of(text.as_bytes()))
        };
        Self {
            by: "id_token",
            auth_time: id_token.auth_time,
            said_at: id_token.issued_at,
            upstream: Upstream {
                sub: digest("sub"),
                sid: digest("sid"),
            },
            claims: id_token.claims().clone(),
            acr: id_token.acr,
        }
    }
}

impl From<SamlFacts> for LoggedIn {
    fn from(facts: SamlFacts) -> Self {
        Self {
            by: "saml",
            claims: facts.claims(),
            auth_time: Some(facts.authn_instant),
            said_at: facts.authn_instant,
            acr: facts.authn_context,
            upstream: Upstream {
                sub: Some(facts.name_id),
                sid: facts.session_index,
            },
        }
    }
}

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
    let Some(back) = taken(&ctx, &id, &browser).await? else {
        return not_begun();
    };
    match arrived(&ctx, back).await? {
        Came::Done(response) => {
            clear_flow_cookie(&response, &id)?;
            Ok(response)
        }
        Came::Ask(asked) => ask(&ctx, &id, &browser, *asked).await,
    }
}

/// The flow of this browser, which ends here: by what it brought, a SAML provider's or none.
async fn taken(ctx: &Ctx, id: &FlowId, browser: &str) -> Result<Option<Back>> {
    if let Some(code) = saml::answer_code(ctx) {
        let taken = saml::take(ctx, id, browser, &code).await?;
        return Ok(taken.and_then(|(away, said)| match away.errand {
            Errand::LogIn { request, begun_at } => Some(Back {
                request: *request,
                begun_at,
                browser: away.browser,
                connection: away.connection,
                by: By::Saml(said),
            }),
            Errand::Test => None,
        }));
    }
    let take = TakeAway {
        browser: Digest::of(browser.as_bytes()),
    };
    let taken = flow(&ctx.env, id, take).await;
    let taken = taken.map_err(|error| worker::Error::RustError(error.to_string()))?;
    Ok(taken.map(|away| Back {
        request: away.request,
        begun_at: away.begun_at,
        browser: away.browser,
        connection: away.connection,
        by: By::Code {
            nonce: away.nonce,
            code_verifier: away.code_verifier,
        },
    }))
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

async fn arrived(ctx: &Ctx, back: Back) -> Result<Came> {
    let client_id = &back.request.client.client_id;
    let client = policy::client(&ctx.env, &ctx.config, client_id).await?;
    let redirect_uri = &back.request.client.redirect_uri;
    // It may have been changed or removed since the browser set out.
    let Some(client) = client.filter(|client| client.allows_redirect_to(redirect_uri)) else {
        return not_begun().map(Came::Done);
    };
    let person = match identified(ctx, &back).await? {
        Ok(person) => person,
        Err(error) => return refuse(ctx, &back.request, error).map(Came::Done),
    };
    match must_ask(ctx, &client, &back.request, person.subject).await? {
        Ok(false) => {
            let arrival = Arrival {
                request: back.request,
                begun_at: back.begun_at,
                person,
                allowed: false,
            };
            begin(ctx, &client, arrival).await.map(Came::Done)
        }
        Ok(true) => Ok(Came::Ask(Box::new(Asked {
            request: back.request,
            begun_at: back.begun_at,
            browser: back.browser,
            person,
        }))),
        Err(error) => refuse(ctx, &back.request, error).map(Came::Done),
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
async fn identified(ctx: &Ctx, back: &Back) -> Result<std::result::Result<Person, ErrorCode>> {
    if came_back_to(ctx) != back.connection {
        refused(ctx, &back.connection, "connection_mismatch").await?;
        return Ok(Err(ErrorCode::AccessDenied));
    }
    let connection = connections::enabled(&ctx.env, &ctx.config, &back.connection).await?;
    let Some(connection) = connection else {
        refused(ctx, &back.connection, "connection_disabled").await?;
        return Ok(Err(ErrorCode::AccessDenied));
    };
    let logged_in: LoggedIn = match (&back.by, &connection.saml) {
        (By::Saml(SamlSaid::Facts(facts)), Some(_)) => facts.clone().into(),
        // The provider has logged nobody in.
        (By::Saml(SamlSaid::Refused(_)), Some(_)) => {
            return Ok(Err(if back.request.prompts(Prompt::None) {
                ErrorCode::LoginRequired
            } else {
                ErrorCode::AccessDenied
            }));
        }
        (
            By::Code {
                nonce,
                code_verifier,
            },
            None,
        ) => match by_code(ctx, &connection, nonce, code_verifier).await? {
            Ok(id_token) => id_token.into(),
            Err(error) => return Ok(Err(error)),
        },
        // It speaks another protocol than when the browser set out.
        (By::Saml(_), None) | (By::Code { .. }, Some(_)) => {
            refused(ctx, &connection.id, "connection_changed").await?;
            return Ok(Err(ErrorCode::AccessDenied));
        }
    };
    let identity = match connection.identity(&logged_in.claims) {
        Ok(identity) => identity,
        Err(why) => {
            let reason = format!("{}_{}", logged_in.by, why.as_str());
            refused(ctx, &connection.id, &reason).await?;
            return Ok(Err(ErrorCode::AccessDenied));
        }
    };
    let login = LoginFacts {
        auth_time: logged_in.auth_time,
        acr: logged_in.acr.as_deref(),
    };
    let satisfied = back.request.is_satisfied_by(login, back.begun_at);
    let person = person(ctx, &connection, identity, &logged_in);
    if let Err(error) = satisfied {
        denied(ctx, &back.request, &person, error.as_str()).await?;
        return Ok(Err(error));
    }
    Ok(Ok(person))
}

/// The ID token that comes for the code in the query.
async fn by_code(
    ctx: &Ctx,
    connection: &Connection,
    nonce: &str,
    code_verifier: &str,
) -> Result<std::result::Result<VerifiedIdToken, ErrorCode>> {
    let query = ctx.query().unwrap_or_default();
    let metadata = match upstream::metadata(&ctx.config, connection).await {
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
        code_verifier,
        nonce,
    };
    match upstream::identify(&ctx.env, &ctx.config, connection, returned).await {
        Ok(id_token) => Ok(Ok(id_token)),
        Err(error) => {
            worker::console_error!("{error}");
            Ok(Err(match error {
                UpstreamError::Unavailable(_) => ErrorCode::TemporarilyUnavailable,
                UpstreamError::Token(error) => {
                    let reason = format!("id_token_{}", error.as_str());
                    refused(ctx, &connection.id, &reason).await?;
                    ErrorCode::ServerError
                }
            }))
        }
    }
}

fn person(ctx: &Ctx, connection: &Connection, identity: Identity, logged_in: &LoggedIn) -> Person {
    let auth_time = logged_in.auth_time.unwrap_or(logged_in.said_at);
    Person {
        subject: connection.subject(&ctx.config.naming_key, &identity.value),
        connection: connection.id.clone(),
        auth_time_secs: auth_time.secs(),
        acr: logged_in.acr.as_deref().map(|acr| truncated(acr, 128)),
        groups: identity.groups,
        roles: identity.roles,
        claims: identity.claims,
        profile: identity.profile,
        upstream: logged_in.upstream,
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

/// Records that what came through that connection was refused.
pub(super) async fn refused(ctx: &Ctx, connection: &str, reason: &str) -> Result<()> {
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
