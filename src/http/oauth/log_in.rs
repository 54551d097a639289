//! The last step of a log-in: a session begins and the client gets a code for it.
//!
//! The connection's directory sees it first, so that no session begins that a log-out at the provider does
//! not find, and none that the provider has ended already.

use super::set_out::remember_connection;
use super::{redirect, refuse};
use crate::http::context::Ctx;
use crate::objects::call::{self, CallError, DirectoryFrame};
use crate::runtime::{new_id, random};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::client::Client;
use portcullis_core::id::{GrantId, SessionId};
use portcullis_core::oauth::authorize::{AuthorizationRequest, ErrorCode};
use portcullis_core::oauth::flow::Person;
use portcullis_core::oauth::opaque::AuthorizationCode;
use portcullis_core::registry::{SeeLogin, SeenLogin};
use portcullis_core::scim::rules::Rules;
use portcullis_core::session::login::{Login, LoginReply};
use portcullis_core::time::UnixMillis;
use worker::{Response, Result};

/// Somebody who is known and may be let in.
pub(super) struct Arrival {
    /// What the client asked for.
    pub request: AuthorizationRequest,
    /// When the browser set out.
    pub begun_at: UnixMillis,
    /// Who.
    pub person: Person,
    /// They have just allowed the client what it asks.
    pub allowed: bool,
}

/// Has the subject begin a session, and sends the browser back to `client`.
pub(super) async fn begin(ctx: &Ctx, client: &Client, arrival: Arrival) -> Result<Response> {
    let Arrival {
        request,
        begun_at,
        person,
        allowed,
    } = arrival;
    let subject = person.subject;
    match seen(ctx, &person, begun_at).await {
        Ok(SeenLogin::Seen) => {}
        Ok(SeenLogin::Ended) => {
            denied(ctx, &request, &person, "upstream_logout").await?;
            return refuse(ctx, &request, ErrorCode::AccessDenied);
        }
        Err(error) => {
            worker::console_error!("{error}");
            return refuse(ctx, &request, ErrorCode::TemporarilyUnavailable);
        }
    }
    let code = AuthorizationCode::new(&ctx.config.routing_key, subject, &random()?);
    let login = Login {
        session: SessionId::from_bytes(new_id()?),
        grant: GrantId::from_bytes(new_id()?),
        connection: person.connection.clone(),
        flow_begun_at: begun_at,
        auth_time_secs: person.auth_time_secs,
        acr: person.acr,
        groups: person.groups,
        roles: person.roles,
        claims: person.claims,
        upstream: person.upstream,
        profile: person.profile,
        announce_end: client.backchannel_logout_uri.is_some(),
        allowed,
        client: request.client.clone(),
        code: code.digest,
        request: ctx.facts(),
    };
    match call::subject(&ctx.env, subject, login).await {
        Ok(LoginReply::Begun) => {
            let response = redirect(
                &request.client.redirect_uri,
                &[
                    ("code", Some(code.as_text())),
                    ("state", request.state.as_deref()),
                    ("iss", Some(&ctx.config.issuer)),
                ],
            )?;
            remember_connection(&response, &person.connection)?;
            Ok(response)
        }
        Ok(LoginReply::SubjectDisabled | LoginReply::Superseded) => {
            refuse(ctx, &request, ErrorCode::AccessDenied)
        }
        Err(error) => {
            worker::console_error!("{error}");
            refuse(ctx, &request, ErrorCode::TemporarilyUnavailable)
        }
    }
}

/// Has the directory know of the log-in.
async fn seen(
    ctx: &Ctx,
    person: &Person,
    begun_at: UnixMillis,
) -> std::result::Result<SeenLogin, CallError> {
    let frame = DirectoryFrame {
        connection: person.connection.clone(),
        base: String::new(),
        rules: Rules::default(),
        request: ctx.facts(),
    };
    let login = SeeLogin {
        subject: person.subject,
        value: person.value.clone(),
        upstream: person.upstream,
        flow_begun_at: begun_at,
        profile: person.profile.clone(),
        groups: person.groups.clone(),
    };
    call::directory(&ctx.env, frame, login).await
}

/// Records that a person who was identified does not get what the client asked for.
pub(super) async fn denied(
    ctx: &Ctx,
    request: &AuthorizationRequest,
    person: &Person,
    reason: &str,
) -> Result<()> {
    let event = Event {
        reason: Some(reason.to_owned()),
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
