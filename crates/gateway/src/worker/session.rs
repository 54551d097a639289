//! Logging a browser in and out, with the service.

use super::{http, keys, now};
use crate::answer::Answer;
use crate::config::Config;
use crate::cookie;
use crate::inbound::Inbound;
use crate::login::{self, Callback, LoginState, UnverifiedTokens};
use crate::remembered::Known;
use crate::routes;
use portcullis_core::jwt::id_token::verify_id_token_hint;
use portcullis_core::session::SESSION_TTL_SECS;
use std::rc::Rc;
use worker::console_error;

const SET_COOKIE: &str = "Set-Cookie";

/// Sends the browser to the service.
pub async fn begin_login(inbound: &Inbound, config: &Config) -> Answer {
    let mut random = [0; 64];
    if let Err(error) = getrandom::fill(&mut random) {
        console_error!("no randomness: {error}");
        return Answer::unavailable();
    }
    let Some(endpoints) = keys::endpoints(config).await else {
        return Answer::unavailable();
    };
    let login = LoginState::begin(inbound, &random, now());
    let Some(set_cookie) = login.set_cookie() else {
        return Answer::unavailable();
    };
    let location = login.authorization_url(&endpoints.authorization_endpoint, config);
    login::clear_abandoned(inbound, now()).into_iter().fold(
        Answer::redirect(302, location.into()).with(SET_COOKIE, set_cookie),
        |answer, clear| answer.with(SET_COOKIE, clear),
    )
}

/// Takes the browser back from the service and sends it to where it wanted to go.
pub async fn finish_login(inbound: &Inbound, config: &Config) -> Answer {
    let resumed = Callback::parse(&inbound.url, &config.issuer).and_then(|callback| {
        let login = LoginState::resume(inbound, &callback.state, now())?;
        Ok((login, callback.code))
    });
    let (login, code) = match resumed {
        Ok(resumed) => resumed,
        Err(error) => {
            console_error!("a log-in was not accepted: {}", error.as_str());
            return cannot_be_resumed(config);
        }
    };
    let answer = match code {
        Err(error) => {
            console_error!("the service refused a log-in: {}", error.0);
            was_refused(&login, config)
        }
        Ok(code) => match redeem(&login, &code.0, config).await {
            Some(tokens) => {
                // The session that this one follows: else it would live on where no log-out of this
                // browser can reach it.
                if let Some(earlier) = login::id_token(inbound) {
                    end_session(&earlier, config).await;
                }
                logged_in(&tokens, &login, config)
            }
            None => failed(&login, config),
        },
    };
    match login.clear_cookie() {
        Some(clear) => answer.with(SET_COOKIE, clear),
        None => answer,
    }
}

/// Ends the session at the service, then forgets it here. If the first fails the second is done
/// anyway, and the page says so.
pub async fn log_out(inbound: &Inbound, config: &Config) -> Answer {
    if !login::is_same_origin(inbound, config) {
        return Answer::cross_origin();
    }
    let ended = match login::id_token(inbound) {
        Some(id_token) => end_session(&id_token, config).await,
        // There is no session that this browser could name.
        None => true,
    };
    let answer = if ended {
        Answer::redirect(303, format!("{}{}", config.audience, routes::LOGGED_OUT))
    } else {
        Answer::page(
            502,
            "Logged out here only",
            "This browser has forgotten the session, but the log-in service could not be reached. \
             The session may still be live elsewhere. Try again, or tell whoever runs this service.",
            Some(("/", "Back to the start")),
        )
    };
    answer
        .with(SET_COOKIE, cookie::clear(cookie::ACCESS_TOKEN))
        .with(SET_COOKIE, cookie::clear(cookie::ID_TOKEN))
}

/// Where logging out ends.
pub fn logged_out() -> Answer {
    let text = "Your session has ended.";
    Answer::page(200, "Logged out", text, Some(("/", "Log in again")))
}

/// Tokens that are ours, in force, and of one session.
struct Tokens {
    access: Rc<Known>,
    unverified: UnverifiedTokens,
}

async fn redeem(login: &LoginState, code: &str, config: &Config) -> Option<Tokens> {
    let endpoints = keys::endpoints(config).await?;
    let form = login.token_request(code, config);
    let body = http::post_form(&endpoints.token_endpoint, form)
        .await
        .inspect_err(|error| console_error!("a code was not exchanged: {error}"))
        .ok()?;
    let tokens = believed(&body, config).await;
    if tokens.is_none() {
        console_error!("the service answered a code with tokens that are not good");
    }
    tokens
}

async fn believed(body: &[u8], config: &Config) -> Option<Tokens> {
    let unverified = UnverifiedTokens::parse(body)?;
    let access = keys::verify(&unverified.access_token, None, config)
        .await
        .ok()?;
    let claims = access.token().claims();
    let keys = keys::current(config).await?;
    let hint = verify_id_token_hint(&unverified.id_token, &keys, &config.issuer).ok()?;
    let of_one_session = hint.session == claims.sid && hint.subject == claims.sub;
    let for_us = hint.client_id == config.client_id && claims.client_id == config.client_id;
    (of_one_session && for_us).then_some(Tokens { access, unverified })
}

async fn end_session(id_token: &str, config: &Config) -> bool {
    let Some(endpoints) = keys::endpoints(config).await else {
        return false;
    };
    let form = login::logout_request(id_token, config);
    match http::post_form_for_status(&endpoints.end_session_endpoint, form).await {
        Ok(200..=399) => true,
        Ok(status) => {
            console_error!("the service did not end a session: status {status}");
            false
        }
        Err(error) => {
            console_error!("the service did not end a session: {error}");
            false
        }
    }
}

/// The access token is kept while it is good. The ID token is good for logging out only, and is
/// kept as long as there can be a session to end.
fn logged_in(tokens: &Tokens, login: &LoginState, config: &Config) -> Answer {
    let ttl = tokens
        .access
        .token()
        .expires_at()
        .secs()
        .saturating_sub(now().secs());
    let access = cookie::set(cookie::ACCESS_TOKEN, &tokens.unverified.access_token, ttl);
    let id = cookie::set(
        cookie::ID_TOKEN,
        &tokens.unverified.id_token,
        SESSION_TTL_SECS,
    );
    Answer::redirect(303, login.return_url(config))
        .with(SET_COOKIE, access)
        .with(SET_COOKIE, id)
}

fn cannot_be_resumed(config: &Config) -> Answer {
    let text = "It took too long, or it began in another browser.";
    let link = Some((config.audience.as_str(), "Start again"));
    Answer::page(400, "This log-in cannot be finished", text, link)
}

fn was_refused(login: &LoginState, config: &Config) -> Answer {
    let text = "The log-in service did not let you in.";
    let link = login.return_url(config);
    Answer::page(400, "Not logged in", text, Some((&link, "Try again")))
}

fn failed(login: &LoginState, config: &Config) -> Answer {
    let text = "The log-in service gave no usable answer.";
    let link = login.return_url(config);
    Answer::page(502, "Not logged in", text, Some((&link, "Try again")))
}
