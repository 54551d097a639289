//! SAML 2.0 Web Browser SSO: the browser goes to the provider with a request, and posts the answer to
//! `POST /saml/{connection}/acs`, the assertion consumer service.
//!
//! The post comes from the provider's site, and the flow's cookie, which is `SameSite=Lax`, does not come along. So
//! nothing begins here: an answer is verified against the request that its `RelayState` names, kept with
//! the flow, once, and the browser is sent on to `/callback`, where the cookie is. It takes a code along
//! that nobody else has. For if the cookie alone were enough, somebody could begin a log-in, have another
//! person follow the way to the provider, and come back in their place.
//!
//! An answer that is not believed ends nothing, and who brought it learns nothing. That nobody logged in is the
//! client's to hear, and what is wrong with an answer is the operator's who tests a connection: both go on to
//! `/callback`, too.
//!
//! `GET /saml/{connection}/metadata` is what the provider must know of us.

use super::authorize::{is_allowed, too_many};
use super::callback::refused;
use super::set_out::Stuck;
use super::{FLOW_TTL_SECS, flow, page, redirect, set_flow_cookie};
use crate::connections;
use crate::error::Problem;
use crate::http::context::Ctx;
use crate::runtime::random;
use portcullis_core::connection::Connection;
use portcullis_core::connection::saml::SamlSettings;
use portcullis_core::id::SamlRequestId;
use portcullis_core::jwt::CLOCK_SKEW_SECS;
use portcullis_core::oauth::authorize::{AuthorizationRequest, Prompt};
use portcullis_core::oauth::flow::saml::{
    AnswerSaml, Errand, SamlAnswer, SamlAwaited, SamlAway, SamlFacts, SamlSaid, ShowSamlAwaited,
    TakeSaml,
};
use portcullis_core::oauth::flow::{FlowId, Keep, Kind, Stage};
use portcullis_core::saml::SamlError;
use portcullis_core::saml::metadata::{MEDIA_TYPE, ServiceProvider};
use portcullis_core::saml::request::AuthnRequest;
use portcullis_core::saml::response::ResponseVerifier;
use portcullis_core::secret::Digest;
use portcullis_core::text::base64url;
use worker::{Error, Response, Result};

/// The longest form with an answer: more than any other body, for an assertion has all of a person's groups.
const MAX_FORM_BYTES: usize = 350 * 1024;

/// The parameter with which a browser comes to `/callback` that brought an answer.
const ANSWER: &str = "answer";

/// What the provider is asked for besides a log-in.
#[derive(Clone, Copy, Default)]
pub(super) struct Wishes {
    force_authn: bool,
    is_passive: bool,
}

impl Wishes {
    /// What the client's request makes of them.
    pub(super) fn of(request: &AuthorizationRequest) -> Self {
        Self {
            force_authn: request.must_be_asked_again(),
            is_passive: request.prompts(Prompt::None),
        }
    }
}

/// Sends the browser to the provider of a connection that speaks SAML.
pub(super) async fn send(
    ctx: &Ctx,
    id: &FlowId,
    (connection, saml): (&Connection, &SamlSettings),
    errand: Errand,
    wishes: Wishes,
) -> std::result::Result<Response, Stuck> {
    let browser = base64url(&random::<32>()?);
    let request = AuthnRequest {
        id: SamlRequestId::from_bytes(random()?),
        issued_at: ctx.now,
        destination: &saml.sso_url,
        sp_entity_id: &connection.client_id,
        acs_url: &connections::acs_url(&ctx.config, &connection.id),
        force_authn: wishes.force_authn,
        is_passive: wishes.is_passive,
        name_id_format: saml.name_id_format.as_deref(),
    };
    let url = request.redirect_url(Some(id.as_str()))?;
    let keep = Keep {
        stage: Stage::Saml(Box::new(SamlAway {
            errand,
            connection: connection.id.clone(),
            browser: Digest::of(browser.as_bytes()),
            request_id: request.id,
            answer: None,
        })),
        ttl_secs: FLOW_TTL_SECS,
    };
    flow(&ctx.env, id, keep).await?;
    let response = redirect(&url, &[])?;
    set_flow_cookie(&response, id, &browser)?;
    Ok(response)
}

/// Takes an answer and sends the browser on.
pub async fn acs(mut ctx: Ctx) -> Result<Response> {
    if !is_allowed(&ctx).await? {
        return too_many();
    }
    let form = ctx.form_within(MAX_FORM_BYTES).await?.unwrap_or_default();
    let field = |name| form.get(name).map_or("", String::as_str);
    // Nothing but an id of ours wakes an object.
    let named = [Kind::LogIn, Kind::Test].into_iter().find_map(|kind| {
        let id = FlowId::parse(&ctx.config.routing_key, kind, field("RelayState"))?;
        Some((id, kind))
    });
    let Some((id, kind)) = named else {
        return not_awaited();
    };
    let awaited = flow(&ctx.env, &id, ShowSamlAwaited).await;
    let Some(awaited) = awaited.map_err(|error| Error::RustError(error.to_string()))? else {
        return not_awaited();
    };
    let connection = &awaited.connection;
    if ctx.param(0) != *connection {
        refused(&ctx, connection, "connection_mismatch").await?;
        return not_believed();
    }
    let found = connections::any(&ctx.env, &ctx.config, connection).await?;
    // One that is off may be tested.
    let found = found.filter(|connection| connection.enabled || kind == Kind::Test);
    let Some(found) = found else {
        refused(&ctx, connection, "connection_disabled").await?;
        return not_believed();
    };
    let said = match believed(&ctx, &found, &awaited, field("SAMLResponse")) {
        Ok(facts) => SamlSaid::Facts(facts),
        Err(error) if error == SamlError::Status || kind == Kind::Test => {
            SamlSaid::Refused(error.as_str().to_owned())
        }
        Err(error) => {
            refused(&ctx, connection, &format!("saml_{error}")).await?;
            return not_believed();
        }
    };
    let code = base64url(&random::<32>()?);
    let answer = SamlAnswer {
        code: Digest::of(code.as_bytes()),
        said,
    };
    let kept = flow(&ctx.env, &id, AnswerSaml { answer }).await;
    if !kept.map_err(|error| Error::RustError(error.to_string()))? {
        return not_awaited();
    }
    let callback = connections::redirect_uri(&ctx.config, connection);
    let parameters = [("state", Some(id.as_str())), (ANSWER, Some(code.as_str()))];
    Ok(redirect(&callback, &parameters)?.with_status(303))
}

/// What the answer says, if it is to be believed.
fn believed(
    ctx: &Ctx,
    connection: &Connection,
    awaited: &SamlAwaited,
    answer: &str,
) -> std::result::Result<SamlFacts, SamlError> {
    // Of a connection that speaks it no more nothing is believed.
    let saml = connection.saml.as_ref().ok_or(SamlError::Issuer)?;
    let verifier = ResponseVerifier {
        idp_entity_id: &connection.issuer,
        sp_entity_id: &connection.client_id,
        acs_url: &connections::acs_url(&ctx.config, &connection.id),
        in_response_to: &awaited.request_id.to_string(),
        keys: &saml.keys()?,
        max_clock_skew_secs: CLOCK_SKEW_SECS,
    };
    SamlFacts::of(&verifier.verify(answer, ctx.now)?)
}

/// The flow that `browser` began, with the answer that it brought; `None` if it brought none, or another has.
pub(super) async fn take(
    ctx: &Ctx,
    id: &FlowId,
    browser: &str,
    code: &str,
) -> Result<Option<(SamlAway, SamlSaid)>> {
    let take = TakeSaml {
        browser: Digest::of(browser.as_bytes()),
        code: Digest::of(code.as_bytes()),
    };
    let taken = flow(&ctx.env, id, take).await;
    let taken = taken.map_err(|error| Error::RustError(error.to_string()))?;
    Ok(taken.and_then(|mut away| {
        let answer = away.answer.take()?;
        Some((away, answer.said))
    }))
}

/// The code that a browser came to `/callback` with, if it brought an answer.
pub(super) fn answer_code(ctx: &Ctx) -> Option<String> {
    ctx.query().unwrap_or_default().remove(ANSWER)
}

fn not_awaited() -> Result<Response> {
    let text = "This log-in has expired, or it was answered before. Please start again.";
    page(400, "Log-in is not possible", text)
}

fn not_believed() -> Result<Response> {
    let text = "The answer of your identity provider was not accepted. Please start again; if that does \
                not help, ask whoever runs this service.";
    page(400, "Log-in is not possible", text)
}

/// Our metadata, for the provider of that connection.
pub async fn metadata(ctx: Ctx) -> Result<Response> {
    let id = ctx.decoded_param(0);
    let found = connections::any(&ctx.env, &ctx.config, &id).await?;
    let Some(connection) = found.filter(|connection| connection.saml.is_some()) else {
        return Problem::new(404, "there is no such SAML connection").response();
    };
    let xml = ServiceProvider {
        entity_id: &connection.client_id,
        acs_url: &connections::acs_url(&ctx.config, &connection.id),
    }
    .to_xml();
    let response = Response::from_bytes(xml.into_bytes())?;
    let headers = response.headers();
    headers.set("content-type", MEDIA_TYPE)?;
    headers.set("x-content-type-options", "nosniff")?;
    Ok(response)
}
