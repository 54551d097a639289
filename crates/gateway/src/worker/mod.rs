//! The runtime's adapter: a request comes in, everybody is asked, the pure rules decide, and what
//! they say is carried out.

mod audit;
mod checks;
mod forward;
mod http;
mod keys;
mod session;

use crate::answer::Answer;
use crate::caller::Caller;
use crate::config::Config;
use crate::credential::Scheme;
use crate::decide::{self, Finding, Passage, Record, Refusal, Ruling, Then};
use crate::inbound::Inbound;
use crate::proof::{self, ProofError, Proofs};
use crate::resource;
use crate::routes::Route;
use audit::Audit;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::dpop::VerifiedProof;
use portcullis_core::jwt::foreign::is_foreign;
use portcullis_core::session::foreign::{CheckForeignToken, ForeignTokenReply};
use portcullis_core::time::UnixMillis;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use worker::{Context, Delay, Env, Request, Response, Result, console_error, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    let Some(config) = config(&env) else {
        return http::respond(Answer::unavailable());
    };
    let inbound = http::inbound(&request)?;
    if !config.admits(&inbound.url) {
        return http::respond(Answer::loopback_only());
    }
    let answer = match Route::of(&inbound.method, inbound.url.path()) {
        Route::Guarded => return guard(request, inbound, &config, &env, &ctx).await,
        Route::Health => Answer::healthy(),
        Route::Callback => session::finish_login(&inbound, &config).await,
        Route::LogOut => session::log_out(&inbound, &config).await,
        Route::LoggedOut => session::logged_out(),
        Route::ResourceMetadata => resource::metadata(&config),
        Route::ResourceMetadataPreflight => resource::preflight(),
        Route::NotFound => Answer::not_found(),
        Route::WrongMethod(allowed) => Answer::wrong_method(allowed),
    };
    http::respond(answer)
}

/// Forwards the request if its credential is in force.
async fn guard(
    request: Request,
    inbound: Inbound,
    config: &Config,
    env: &Env,
    ctx: &Context,
) -> Result<Response> {
    let finding = find(&inbound, config, env).await;
    let audit = Audit::of(env);
    match decide::rule(finding, &inbound, config, now()) {
        Ruling::Forward(passage) => pass(&request, &inbound, config, *passage, &audit, ctx).await,
        Ruling::Refuse(refusal) => {
            let answer = refuse(*refusal, &inbound, config, &audit, env, ctx).await;
            http::respond(resource::advertised(answer, config))
        }
    }
}

/// Asks everybody: the request for its credential, the issuer for its keys, the service whether the
/// credential has been ended.
async fn find(inbound: &Inbound, config: &Config, env: &Env) -> Finding {
    let credential = match decide::credential(inbound, config) {
        Ok(credential) => credential,
        Err(finding) => return finding,
    };
    let proof = match credential.scheme {
        Scheme::Bearer => None,
        Scheme::Dpop => {
            match proof::verified(inbound, &config.audience, credential.text(), now()) {
                Ok(proof) => Some(proof),
                Err(why) => return Finding::ProofRefused(why),
            }
        }
    };
    if is_foreign(credential.text(), &config.issuer) {
        return match proof {
            None => find_foreign(credential.text(), config, env).await,
            // Which key a provider's token is bound to, nobody here knows.
            Some(_) => Finding::Refused(TokenError::Binding),
        };
    }
    let token = match keys::verify(credential.text(), proof.as_ref(), config).await {
        Ok(token) => token,
        Err(keys::Failure::Token(why)) => return Finding::Refused(why),
        Err(keys::Failure::NoKeys) => return Finding::NobodyToAsk,
    };
    // Only now: whoever has no token cannot fill what is remembered.
    let once = proof.map_or(Ok(()), |proof| take_proof(&proof));
    if let Err(why) = once {
        return Finding::ProofRefused(why);
    }
    match checks::ask(env, &token.check_request()).await {
        Ok(reply) => Finding::Checked(Box::new(Caller::from(&token)), reply),
        Err(error) => {
            console_error!("the check failed: {error}");
            Finding::NobodyToAsk
        }
    }
}

/// Counts a proof, which comes once.
fn take_proof(proof: &VerifiedProof) -> std::result::Result<(), ProofError> {
    thread_local! {
        static PROOFS: RefCell<Proofs> = const { RefCell::new(Proofs::new()) };
    }
    PROOFS.with_borrow_mut(|proofs| proofs.take(proof, now()))
}

/// The service knows whose tokens it accepts besides its own, and asks in the same breath whether this one
/// has been ended.
async fn find_foreign(token: &str, config: &Config, env: &Env) -> Finding {
    let request = CheckForeignToken {
        token: token.to_owned(),
        resource: config.audience.clone(),
    };
    match checks::ask_about_token(env, &request).await {
        Ok(ForeignTokenReply::Checked(holder, reply)) => {
            Finding::Checked(Box::new(Caller::from(*holder)), reply)
        }
        Ok(ForeignTokenReply::Refused(why)) => Finding::Refused(why),
        Err(error) => {
            console_error!("the check failed: {error}");
            Finding::NobodyToAsk
        }
    }
}

/// The event is on its way before the request is: a caller who hangs up early has still been here.
async fn pass(
    request: &Request,
    inbound: &Inbound,
    config: &Config,
    passage: Passage,
    audit: &Audit,
    ctx: &Context,
) -> Result<Response> {
    let headers = forward::headers(inbound, &passage, config);
    let checked_at = passage.checked_at;
    let status = audit.gather_with_status(ctx, move |status| passage.into_event(status));
    let response = match forward::send(request, inbound, config, headers, checked_at).await {
        Ok(response) => response,
        Err(error) => {
            console_error!("the origin did not answer: {error}");
            http::respond(Answer::origin_unreachable())?
        }
    };
    // Nobody listens if the event could not be sent; that has been logged.
    let _ = status.send(response.status_code());
    Ok(response)
}

async fn refuse(
    refusal: Refusal,
    inbound: &Inbound,
    config: &Config,
    audit: &Audit,
    env: &Env,
    ctx: &Context,
) -> Answer {
    match refusal.record {
        Record::Nothing => {}
        Record::Counted(event) => audit.count(ctx, event),
        Record::BeforeAnswering(event) => {
            if let Err(error) = audit.secure(env, event).await {
                console_error!("a denial could not be recorded: {error}");
                return Answer::unavailable();
            }
        }
    }
    match refusal.then {
        Then::LogIn => session::begin_login(inbound, config).await,
        Then::Say(answer) => answer,
    }
}

/// The settings, read once; `None` if they are invalid, which is logged once.
fn config(env: &Env) -> Option<Rc<Config>> {
    thread_local! {
        static CONFIG: OnceCell<Option<Rc<Config>>> = const { OnceCell::new() };
    }
    CONFIG.with(|cell| {
        cell.get_or_init(|| {
            let var = |name: &str| env.var(name).ok().map(|value| value.to_string());
            Config::from_vars(var)
                .map(Rc::new)
                .inspect_err(|invalid| console_error!("every request is refused: {invalid}"))
                .ok()
        })
        .clone()
    })
}

fn now() -> UnixMillis {
    UnixMillis(worker::Date::now().as_millis())
}

/// Sleeps, in the context of the request that calls: a promise cannot be shared with another's.
async fn sleep_ms(ms: u64) {
    Delay::from(Duration::from_millis(ms)).await;
}
