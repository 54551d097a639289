//! Typed calls between the Worker and its objects.
//!
//! A call is the one method of an object, `call` (`entry.mjs`): postcard in the wire envelope both ways. What
//! it returns carries every answer of the domain; what it throws is a failure of transport or storage, and
//! says nothing of whether the call was carried out.

use crate::config::Config;
use crate::connections;
use crate::objects::keyring::call::KeyringRequest;
use crate::policy::{self, View};
use crate::runtime::now;
use futures::future::{join, try_join_all};
use portcullis_core::audit::call::LaneRequest;
use portcullis_core::audit::event::RequestFacts;
use portcullis_core::audit::export::call::ExportsRequest;
use portcullis_core::connection::Connection;
use portcullis_core::feed::call::FeedRequest;
use portcullis_core::id::SubjectKey;
use portcullis_core::policy::call::PolicyRequest;
use portcullis_core::policy::{PolicyView, WideRevocation};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{DirectoryCall, DirectoryRequest};
use portcullis_core::scim::rules::Rules;
use portcullis_core::secret::Digest;
use portcullis_core::session::call::{SubjectCall, SubjectRequest};
use portcullis_core::session::check::{CheckReply, CheckRequest, DenyReason, Verdict};
use portcullis_core::session::foreign::{CheckForeign, ForeignStanding};
use portcullis_core::wire::{self, Call};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;
use worker::js_sys::{Promise, Uint8Array};

#[wasm_bindgen]
extern "C" {
    /// What carries a call to an object.
    type Stub;

    #[wasm_bindgen(method, catch)]
    fn call(this: &Stub, message: Uint8Array) -> Result<Promise, JsValue>;
}

/// A call had no answer.
#[derive(Debug)]
pub struct CallError(String);

impl CallError {
    /// The call was answered, and the answer is that it is not done now.
    pub fn refused(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CallError {}

impl<E: fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(CallError(error.to_string()))
    }
}

/// Lets `?` turn any error into a [`CallError`] here.
struct Failed(CallError);

/// The object of a namespace binding with that name.
pub struct Object<'a> {
    env: &'a Env,
    binding: &'a str,
    name: String,
}

impl<'a> Object<'a> {
    /// The object `name` of `binding`; it comes to life with the first call.
    pub const fn named(env: &'a Env, binding: &'a str, name: String) -> Self {
        Self { env, binding, name }
    }

    /// Sends `message` and reads the reply.
    pub async fn send<Q: Serialize, R: DeserializeOwned>(
        &self,
        message: &Q,
    ) -> Result<R, CallError> {
        self.send_inner(message)
            .await
            .map_err(|Failed(CallError(why))| CallError(format!("{}: {why}", self.binding)))
    }

    async fn send_inner<Q: Serialize, R: DeserializeOwned>(
        &self,
        message: &Q,
    ) -> Result<R, Failed> {
        let reply = JsFuture::from(self.begin(message)?).await;
        let reply: Uint8Array = reply.map_err(worker::Error::from)?.unchecked_into();
        Ok(wire::decode(&reply.to_vec())?)
    }

    /// Sends `message`; the reply is on its way.
    fn begin<Q: Serialize>(&self, message: &Q) -> Result<Promise, Failed> {
        let stub = self
            .env
            .durable_object(self.binding)?
            .get_by_name(&self.name)?;
        let message = Uint8Array::from(wire::encode(message)?.as_slice());
        let reply = stub.into_rpc::<Stub>().call(message);
        Ok(reply.map_err(worker::Error::from)?)
    }
}

/// Calls a subject, under a view of the policy that is fresh enough.
pub async fn subject<C: Call<Request = SubjectRequest>>(
    env: &Env,
    subject: SubjectKey,
    call: C,
) -> Result<C::Reply, CallError> {
    let view = view(env).await?;
    let revoked = view.that_may_cover(None);
    subject_request(env, subject, revoked, call.into_request()).await
}

/// Asks whether a credential is in force: of its key, of its subject, and of whoever acts with it.
pub async fn check(env: &Env, mut request: CheckRequest) -> Result<CheckReply, CallError> {
    let view = view(env).await?;
    if request.kid.take().is_some_and(|kid| view.covers_key(&kid)) {
        return Ok(CheckReply {
            verdict: Verdict::Denied(DenyReason::KeyRevoked),
            checked_at: now(),
        });
    }
    let actors = std::mem::take(&mut request.actors);
    let actors = actors.iter().map(CheckRequest::from).map(|of_actor| {
        let view = &view;
        async move { ask(env, view, of_actor).await }
    });
    let (reply, actors) = join(ask(env, &view, request), try_join_all(actors)).await;
    let (mut reply, actors) = (reply?, actors?);
    if reply.verdict.is_active() && !actors.iter().all(|reply| reply.verdict.is_active()) {
        reply.verdict = Verdict::Denied(DenyReason::ActorDenied);
    }
    Ok(reply)
}

/// Begins what [`check`] does, where it takes one call and `view` is at hand: for a request without a key and
/// actors. What is on its way is a [`CheckReply`].
pub fn begin_check(
    env: &Env,
    view: &PolicyView,
    request: CheckRequest,
) -> Result<Promise, CallError> {
    if request.kid.is_some() || !request.actors.is_empty() {
        return Err(CallError("takes more than one call".to_owned()));
    }
    let call = SubjectCall {
        subject: request.subject,
        revoked: view.that_may_cover(None),
        request: request.into_request(),
    };
    let object = Object::named(env, "SUBJECT", call.subject.to_string());
    object.begin(&call).map_err(|Failed(error)| error)
}

/// Asks whether an identity provider's token, which the caller has verified, is in force.
pub async fn check_foreign(env: &Env, request: CheckForeign) -> Result<ForeignStanding, CallError> {
    subject(env, request.subject, request).await
}

async fn ask(env: &Env, view: &PolicyView, request: CheckRequest) -> Result<CheckReply, CallError> {
    let revoked = view.that_may_cover(None);
    subject_request(env, request.subject, revoked, request.into_request()).await
}

async fn view(env: &Env) -> Result<Rc<View>, CallError> {
    policy::view(env)
        .await
        .map_err(|error| CallError(error.to_string()))
}

/// Sends a request whose reply the caller knows. What only ends or lifts something, whatever the
/// policy is, needs no wide revocations.
pub async fn subject_request<R: DeserializeOwned>(
    env: &Env,
    subject: SubjectKey,
    revoked: Vec<WideRevocation>,
    request: SubjectRequest,
) -> Result<R, CallError> {
    let call = SubjectCall {
        subject,
        revoked,
        request,
    };
    Object::named(env, "SUBJECT", subject.to_string())
        .send(&call)
        .await
}

/// Calls the lane; there is one.
pub async fn lane<C: Call<Request = LaneRequest>>(
    env: &Env,
    call: C,
) -> Result<C::Reply, CallError> {
    Object::named(env, "LANE", "lane-0".to_owned())
        .send(&call.into_request())
        .await
}

/// Calls the exports; there is one object.
pub async fn exports<C: Call<Request = ExportsRequest>>(
    env: &Env,
    call: C,
) -> Result<C::Reply, CallError> {
    Object::named(env, "EXPORTS", "exports".to_owned())
        .send(&call.into_request())
        .await
}

/// Calls a feed.
pub async fn feed<C: Call<Request = FeedRequest>>(
    env: &Env,
    shard: &str,
    call: C,
) -> Result<C::Reply, CallError> {
    Object::named(env, "FEED", format!("feed-{shard}"))
        .send(&call.into_request())
        .await
}

/// Calls the policy object; there is one.
pub async fn policy_object<C: Call<Request = PolicyRequest>>(
    env: &Env,
    call: C,
) -> Result<C::Reply, CallError> {
    Object::named(env, "POLICY", "policy".to_owned())
        .send(&call.into_request())
        .await
}

/// Calls the keyring; there is one.
pub async fn keyring<C: Call<Request = KeyringRequest>>(
    env: &Env,
    call: C,
) -> Result<C::Reply, CallError> {
    Object::named(env, "KEYRING", "keyring".to_owned())
        .send(&call.into_request())
        .await
}

/// Calls a connection's directory.
pub async fn directory<C: Call<Request = DirectoryRequest>>(
    env: &Env,
    frame: DirectoryFrame,
    call: C,
) -> Result<C::Reply, CallError> {
    frame.send(env, call.into_request(), None).await
}

/// Has a connection's directory do what its provider asks, by that secret if there is one. What may be asked so
/// is answered by a [`ScimError`] where it is refused, as the secret may be.
pub async fn scim<C, T>(
    env: &Env,
    frame: DirectoryFrame,
    secret: Option<Digest>,
    call: C,
) -> Result<Result<T, ScimError>, CallError>
where
    C: Call<Request = DirectoryRequest, Reply = Result<T, ScimError>>,
    T: DeserializeOwned,
{
    frame.send(env, call.into_request(), secret).await
}

/// What every call of a directory carries besides its operation.
pub struct DirectoryFrame {
    /// The connection.
    pub connection: String,
    /// The base URL of its SCIM resources.
    pub base: String,
    /// What changes go by.
    pub rules: Rules,
    /// The HTTP request.
    pub request: RequestFacts,
}

impl DirectoryFrame {
    /// Of that connection, on behalf of `request`. Resources are where the connection's URL is.
    pub fn of(config: &Config, connection: &Connection, request: RequestFacts) -> Self {
        Self {
            connection: connection.id.clone(),
            base: connections::scim_url(config, &connection.id),
            rules: Rules::of(connection),
            request,
        }
    }

    async fn send<R: DeserializeOwned>(
        self,
        env: &Env,
        operation: DirectoryRequest,
        secret: Option<Digest>,
    ) -> Result<R, CallError> {
        let object = Object::named(env, "DIRECTORY", self.connection.clone());
        let call = DirectoryCall {
            connection: self.connection,
            base: self.base,
            rules: self.rules,
            request: self.request,
            operation,
            secret,
        };
        object.send(&call).await
    }
}

/// Reads the message of a call.
pub fn received<Q: DeserializeOwned>(message: &[u8]) -> Result<Q, worker::Error> {
    wire::decode(message).map_err(|error| worker::Error::RustError(error.to_string()))
}

/// What a call comes to: a reply's bytes, or a failure that is logged and not explained.
pub fn answered(reply: Result<Vec<u8>, worker::Error>) -> Result<Vec<u8>, JsValue> {
    reply.map_err(|error| {
        worker::console_error!("object: {error}");
        worker::js_sys::Error::new("failed").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::dev;
    use portcullis_core::scim::matching::MatchingAttribute;

    #[test]
    fn a_frame_has_the_rules_and_the_url_of_its_connection() {
        let config = dev();
        let configured = DirectoryFrame::of(&config, &config.connection, RequestFacts::default());
        assert_eq!(configured.base, "https://id.example/scim/v2");
        assert!(configured.rules.matching.folds_case);
        let document = r#"{"id":"b","issuer":"https://b.example","client_id":"c",
            "scim":{"matching":"work_email"}}"#;
        let other: Connection = serde_json::from_str(document).expect("a connection");
        let frame = DirectoryFrame::of(&config, &other, RequestFacts::default());
        assert_eq!(frame.connection, "b");
        assert_eq!(frame.base, "https://id.example/scim/b/v2");
        let matching = frame.rules.matching;
        assert_eq!(matching.attribute, MatchingAttribute::WorkEmail);
        assert!(!matching.folds_case);
    }
}
