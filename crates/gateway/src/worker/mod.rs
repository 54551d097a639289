//! The runtime's adapter: a request comes in, everybody is asked, the pure rules decide, and what
//! they say is carried out.

mod audit;
mod checks;
mod deployed;
mod feed;
mod forward;
mod http;
mod keys;
mod session;

use crate::answer::Answer;
use crate::assertion::{self, Assertions, Parties};
use crate::caller::Caller;
use crate::config::Config;
use crate::consistency::{Checked, Consistency, Course, WhenStale};
use crate::credential::Scheme;
use crate::decide::{self, Finding, Passage, Place, Record, Refusal, Ruling, Then};
use crate::deployment::Deployment;
use crate::headers;
use crate::inbound::{Headers, Inbound};
use crate::proof::{self, ProofError, Proofs};
use crate::remembered::Known;
use crate::resource;
use crate::route::audit::Recording;
use crate::route::table::Routed;
use crate::route::{Access, Guard, Route};
use crate::routes;
use crate::view::marks::Marks;
use crate::vouched::VouchedFor;
use audit::Audit;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::dpop::VerifiedProof;
use portcullis_core::jwt::foreign::is_foreign;
use portcullis_core::session::foreign::{CheckForeignToken, ForeignTokenReply};
use portcullis_core::time::UnixMillis;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use worker::{Context, Delay, Env, Request, Response, Result, console_error, event};

/// How long the key set may be kept: a key is replaced in as much time.
const KEYS_MAX_AGE: &str = "public, max-age=300";

thread_local! {
    static VOUCHED: RefCell<VouchedFor> = const { RefCell::new(VouchedFor::new()) };
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    let Some(deployment) = deployed::deployment(&env) else {
        return http::respond(Answer::unavailable());
    };
    let config = &deployment.config;
    let inbound = http::inbound(&request)?;
    if !config.admits(&inbound.url) {
        return http::respond(Answer::loopback_only());
    }
    let answer = match routes::Route::of(&inbound.method, inbound.url.path()) {
        routes::Route::Guarded => {
            let call = Call {
                request: &request,
                inbound: &inbound,
                deployment: &deployment,
                env: &env,
                ctx: &ctx,
            };
            return call.answer().await;
        }
        routes::Route::Health => Answer::healthy(),
        routes::Route::Keys => Answer::public(
            assertion::key_set(deployment.assertion_key.as_ref()),
            KEYS_MAX_AGE,
        ),
        routes::Route::Callback => session::finish_login(&inbound, config).await,
        routes::Route::LogOut => session::log_out(&inbound, config).await,
        routes::Route::LoggedOut => session::logged_out(),
        routes::Route::ResourceMetadata => resource::metadata(config),
        routes::Route::ResourceMetadataPreflight => resource::preflight(),
        routes::Route::NotFound => Answer::not_found(),
        routes::Route::WrongMethod(allowed) => Answer::wrong_method(&[allowed]),
    };
    http::respond(answer)
}

/// A request, and all that it takes to answer it.
struct Call<'a> {
    request: &'a Request,
    inbound: &'a Inbound,
    deployment: &'a Rc<Deployment>,
    env: &'a Env,
    ctx: &'a Context,
}

impl Call<'_> {
    /// Forwards the request if there is a route for it that it may take.
    async fn answer(&self) -> Result<Response> {
        let answer = match self.deployment.table.route(self.inbound) {
            Routed::To(route) => match &route.access {
                Access::Public => return self.pass_unasked(route).await,
                Access::Guarded(guard) => return self.guard(route, guard).await,
            },
            Routed::NoRoute => Answer::not_found(),
            Routed::WrongMethod(allowed) => Answer::wrong_method(&allowed),
            Routed::BadPath(_) | Routed::Ambiguous => Answer::unclear_path(),
        };
        http::respond(answer)
    }

    /// Forwards the request of nobody in particular.
    async fn pass_unasked(&self, route: &Route) -> Result<Response> {
        let headers = headers::stripped(&self.inbound.headers, self.deployment.stripping());
        self.forward(route, headers, None).await
    }

    /// Forwards the request if its credential is in force, and its sender may.
    async fn guard(&self, route: &Route, guard: &Guard) -> Result<Response> {
        let config = &self.deployment.config;
        let finding = self.find(guard.consistency).await;
        let audit = Audit::of(self.env);
        let place = Place {
            inbound: self.inbound,
            config,
            guard,
            policy: self.deployment.policy,
            now: now(),
        };
        match decide::rule(finding, place) {
            Ruling::Forward(passage) => self.pass(route, guard, *passage, &audit).await,
            Ruling::Refuse(refusal) => {
                let answer =
                    refuse(*refusal, self.inbound, config, &audit, self.env, self.ctx).await;
                http::respond(resource::advertised(answer, config))
            }
        }
    }

    /// The event is on its way before the request is: a caller who hangs up early has still been here.
    async fn pass(
        &self,
        route: &Route,
        guard: &Guard,
        passage: Passage,
        audit: &Audit,
    ) -> Result<Response> {
        let Some(headers) = self.telling(route, guard, &passage) else {
            return http::respond(Answer::unavailable());
        };
        let recording = match draw(guard) {
            Ok(draw) => guard.audit.recording(draw),
            Err(error) => {
                console_error!("no randomness: {error}");
                return http::respond(Answer::unavailable());
            }
        };
        let checked = Some(passage.checked);
        match recording {
            Recording::None => self.forward(route, headers, checked).await,
            Recording::BeforeForwarding => {
                if let Err(error) = audit
                    .secure(self.ctx, self.env, passage.into_event(None))
                    .await
                {
                    console_error!("a request could not be recorded: {error}");
                    return http::respond(Answer::unavailable());
                }
                self.forward(route, headers, checked).await
            }
            Recording::OffThePath => {
                let event = move |status| passage.into_event(status);
                let status = audit.gather_with_status(self.ctx, event);
                let response = self.forward(route, headers, checked).await?;
                // Nobody listens if the event could not be sent; that has been logged.
                let _ = status.send(response.status_code());
                Ok(response)
            }
        }
    }

    /// The headers for the origin, with who is there.
    fn telling(&self, route: &Route, guard: &Guard, passage: &Passage) -> Option<Headers> {
        let caller = passage.caller();
        let mut headers = headers::stripped(&self.inbound.headers, self.deployment.stripping());
        headers.extend(headers::telling(caller, &guard.headers));
        if guard.assertion {
            headers.push((assertion::HEADER.to_owned(), self.assertion(route, caller)?));
        }
        Some(headers)
    }

    fn assertion(&self, route: &Route, caller: &Caller) -> Option<String> {
        thread_local! {
            static ASSERTIONS: RefCell<Assertions> = const { RefCell::new(Assertions::new()) };
        }
        let parties = Parties {
            key: self.deployment.assertion_key.as_ref()?,
            issuer: &self.deployment.config.audience,
            audience: self.deployment.origin(route)?,
        };
        ASSERTIONS
            .with_borrow_mut(|made| made.of(caller, route.upstream, parties, now()))
            .inspect_err(|error| console_error!("no assertion: {error}"))
            .ok()
    }

    async fn forward(
        &self,
        route: &Route,
        headers: Headers,
        checked: Option<Checked>,
    ) -> Result<Response> {
        let Some(origin) = self.deployment.origin(route) else {
            return http::respond(Answer::unavailable());
        };
        match forward::send(self.request, self.inbound, origin, headers, checked).await {
            Ok(response) => Ok(response),
            Err(error) => {
                console_error!("the origin did not answer: {error}");
                http::respond(Answer::origin_unreachable())
            }
        }
    }
}

/// What chance says of whether a request is recorded; nothing, where it has no say.
fn draw(guard: &Guard) -> std::result::Result<u32, getrandom::Error> {
    if guard.audit.sample.is_partial() {
        getrandom::u32()
    } else {
        Ok(0)
    }
}

/// Counts a proof, which comes once.
fn take_proof(proof: &VerifiedProof) -> std::result::Result<(), ProofError> {
    thread_local! {
        static PROOFS: RefCell<Proofs> = const { RefCell::new(Proofs::new()) };
    }
    PROOFS.with_borrow_mut(|proofs| proofs.take(proof, now()))
}

/// Asks everybody: the request for its credential, the issuer for its keys, and, as the route says,
/// the service or the view of what was revoked whether the credential has been ended.
impl Call<'_> {
    async fn find(&self, consistency: Consistency) -> Finding {
        let config = &self.deployment.config;
        let credential = match decide::credential(self.inbound, config) {
            Ok(credential) => credential,
            Err(finding) => return finding,
        };
        let text = credential.text();
        let proof = match credential.scheme {
            Scheme::Bearer => None,
            Scheme::Dpop => match proof::verified(self.inbound, &config.audience, text, now()) {
                Ok(proof) => Some(proof),
                Err(why) => return Finding::ProofRefused(why),
            },
        };
        let known = match keys::recall(text, proof.as_ref(), config).await {
            Some(known) => known,
            None if is_foreign(text, &config.issuer) => {
                return match proof {
                    None => self.find_foreign(text, consistency).await,
                    // Which key a provider's token is bound to, nobody here knows.
                    Some(_) => Finding::Refused(TokenError::Binding),
                };
            }
            None => match keys::verify(text, proof.as_ref(), config).await {
                Ok(known) => known,
                Err(keys::Failure::Token(why)) => return Finding::Refused(why),
                Err(keys::Failure::NoKeys) => return Finding::NobodyToAsk,
            },
        };
        // Only now: whoever has no token cannot fill what is remembered.
        let once = proof.map_or(Ok(()), |proof| take_proof(&proof));
        if let Err(why) = once {
            return Finding::ProofRefused(why);
        }
        self.find_known(&known, consistency).await
    }

    /// Whether a token of the service's is in force.
    async fn find_known(&self, known: &Known, consistency: Consistency) -> Finding {
        let caller = Box::new(known.caller().clone());
        match consistency {
            Consistency::Strict => {}
            Consistency::SignatureOnly => {
                return Finding::InForce(caller, Checked::SignatureOnly);
            }
            Consistency::Bounded {
                max_age_ms,
                when_stale,
            } => {
                if let Some(reply) = known.denied() {
                    return Finding::Checked(caller, reply);
                }
                match self.course(known.marks(), max_age_ms, when_stale).await {
                    Course::Pass { age_ms } => {
                        return Finding::InForce(caller, Checked::Bounded { age_ms, max_age_ms });
                    }
                    Course::Refuse => return Finding::NobodyToAsk,
                    Course::AskStrictly | Course::Wait => {}
                }
            }
        }
        match checks::ask(self.env, &known.check_request()).await {
            Ok(reply) => {
                known.note(&reply);
                Finding::Checked(caller, reply)
            }
            Err(error) => {
                console_error!("the check failed: {error}");
                Finding::NobodyToAsk
            }
        }
    }

    /// The service knows whose tokens it accepts besides its own, and says in the same breath whether this one
    /// has been ended.
    async fn find_foreign(&self, text: &str, consistency: Consistency) -> Finding {
        let seed = feed::seed();
        if let Consistency::Bounded {
            max_age_ms,
            when_stale,
        } = consistency
            && let Some(seed) = &seed
            && let Some(vouched) = VOUCHED.with_borrow(|all| all.recall(text, seed, now()))
        {
            let caller = Box::new(vouched.caller().clone());
            match self.course(vouched.marks(), max_age_ms, when_stale).await {
                Course::Pass { age_ms } => {
                    return Finding::InForce(caller, Checked::Bounded { age_ms, max_age_ms });
                }
                Course::Refuse => return Finding::NobodyToAsk,
                Course::AskStrictly | Course::Wait => {}
            }
        }
        let request = CheckForeignToken {
            token: text.to_owned(),
            resource: self.deployment.config.audience.clone(),
        };
        let asked_at = now();
        match checks::ask_about_token(self.env, &request).await {
            Ok(ForeignTokenReply::Checked(holder, reply)) => {
                if let Some(seed) = &seed {
                    let said = (&*holder, &reply);
                    VOUCHED.with_borrow_mut(|all| all.note(text, said, asked_at, seed));
                }
                Finding::Checked(Box::new(Caller::from(*holder)), reply)
            }
            Ok(ForeignTokenReply::Refused(why)) => Finding::Refused(why),
            Err(error) => {
                console_error!("the check failed: {error}");
                Finding::NobodyToAsk
            }
        }
    }

    async fn course(&self, marks: &Marks, max_age_ms: u64, when_stale: WhenStale) -> Course {
        let bounds = (max_age_ms, when_stale);
        feed::course(marks, bounds, self.deployment, self.env, self.ctx).await
    }
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
            if let Err(error) = audit.secure(ctx, env, event).await {
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

fn now() -> UnixMillis {
    UnixMillis(worker::Date::now().as_millis())
}

/// Sleeps, in the context of the request that calls: a promise cannot be shared with another's.
async fn sleep_ms(ms: u64) {
    Delay::from(Duration::from_millis(ms)).await;
}
