//! What a handler gets.

use crate::audit;
use crate::auth::Role;
use crate::config::Config;
use crate::connections;
use crate::error::Problem;
use crate::outbound::bounded;
use crate::runtime::now;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::id::SubjectKey;
use portcullis_core::scim::secret::ScimSecret;
use portcullis_core::time::UnixMillis;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::rc::Rc;
use url::Url;
use worker::{Cf, Context, Env, Request, Result, console_error};

/// The largest body of an API call.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A request on its way through a handler.
pub struct Ctx {
    /// The request; its body has not been read, or is the next field.
    pub request: Request,
    /// The body, if it has been read.
    pub body: Option<Vec<u8>>,
    /// Its URL.
    pub url: Url,
    /// Bindings.
    pub env: Env,
    /// For what outlives the response.
    pub context: Rc<Context>,
    /// Settings.
    pub config: Rc<Config>,
    /// The caller's role; `None` on public routes.
    pub role: Option<Role>,
    /// The secret of a connection that came instead of a role's credential.
    pub scim_secret: Option<ScimSecret>,
    /// What the route's braces matched.
    pub params: Vec<String>,
    /// When the request came in.
    pub now: UnixMillis,
}

impl Ctx {
    /// The context of `request`, before authorization.
    pub fn new(
        request: Request,
        url: Url,
        env: Env,
        context: Rc<Context>,
        config: Rc<Config>,
        params: Vec<String>,
    ) -> Self {
        Self {
            request,
            body: None,
            url,
            env,
            context,
            config,
            role: None,
            scim_secret: None,
            params,
            now: now(),
        }
    }

    /// The request's facts, for events. Read when there is an event: a check that finds all well
    /// has none.
    pub fn facts(&self) -> RequestFacts {
        let header = |name| self.request.headers().get(name).ok().flatten();
        RequestFacts {
            method: self.request.inner().method(),
            host: self.url.host_str().unwrap_or_default().to_owned(),
            path: self.url.path().to_owned(),
            status: None,
            ip: header("cf-connecting-ip"),
            user_agent: header("user-agent"),
            ray: header("cf-ray"),
            asn: self.request.cf().and_then(Cf::asn),
            country: self.request.cf().and_then(Cf::country),
        }
        .bounded()
    }

    /// The request's facts with the status it got.
    pub fn facts_with_status(&self, status: u16) -> RequestFacts {
        RequestFacts {
            status: Some(status),
            ..self.facts()
        }
    }

    /// The event of a credential that was refused for `reason` and answered with `status`.
    pub fn refusal(&self, reason: impl Into<String>, status: u16) -> Event {
        Event {
            reason: Some(reason.into()),
            request: Some(self.facts_with_status(status)),
            ..Event::new(
                self.now,
                Action::CredentialRefused,
                Outcome::Denied,
                self.actor(),
            )
        }
    }

    /// Puts `event` into the log while the answer goes out; it is lost if that fails.
    pub fn log(&self, event: Event) {
        let env = self.env.clone();
        self.context.wait_until(async move {
            if let Err(error) = audit::record(&env, event).await {
                console_error!("an event was lost: {error}");
            }
        });
    }

    /// Who calls, for the log.
    pub fn actor(&self) -> Actor {
        self.role.map_or(Actor::Anonymous, Role::actor)
    }

    /// The n-th brace of the route.
    pub fn param(&self, at: usize) -> &str {
        self.params.get(at).map_or("", String::as_str)
    }

    /// The same without its percent-encoding: for ids that may hold a slash.
    pub fn decoded_param(&self, at: usize) -> String {
        percent_encoding::percent_decode_str(self.param(at))
            .decode_utf8_lossy()
            .into_owned()
    }

    /// The query's parameters; a repeated one is an error, as RFC 6749 section 3.1 has it.
    pub fn query(&self) -> std::result::Result<BTreeMap<String, String>, Problem> {
        once_each(self.url.query_pairs().into_owned())
    }

    /// The same of a route that has these parameters: a filter that is misspelt must not become no filter.
    pub fn query_of(
        &self,
        names: &[&str],
    ) -> std::result::Result<BTreeMap<String, String>, Problem> {
        let query = self.query()?;
        match query.keys().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(Problem::bad_request(format!("{name} is no parameter"))),
            None => Ok(query),
        }
    }

    /// The value of that cookie.
    pub fn cookie(&self, name: &str) -> Result<Option<String>> {
        let header = self.request.headers().get("cookie")?.unwrap_or_default();
        Ok(header.split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then(|| value.to_owned())
        }))
    }

    /// The body as text, within bounds.
    pub async fn text(&mut self) -> Result<std::result::Result<String, Problem>> {
        self.text_within(MAX_BODY_BYTES).await
    }

    /// The same where a body may be longer than usual.
    pub async fn text_within(
        &mut self,
        max_bytes: usize,
    ) -> Result<std::result::Result<String, Problem>> {
        let too_large = Problem::too_large(max_bytes);
        let bytes = self.bytes(max_bytes).await?;
        // A body can be held back: what it says is judged by the time it came.
        self.now = now();
        let Some(bytes) = bytes else {
            return Ok(Err(too_large));
        };
        Ok(String::from_utf8(bytes).map_err(|_| Problem::bad_request("the body is not UTF-8")))
    }

    /// The body, unless it is too large.
    ///
    /// Reading in one step is several times cheaper than in pieces, but only pieces can be stopped
    /// before memory is full. So whoever holds a credential, or has declared a length within
    /// bounds, is read in one step, and strangers who have not are read in pieces.
    async fn bytes(&mut self, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        let declared = self.request.headers().get("content-length")?;
        let declared = declared.and_then(|length| length.parse::<usize>().ok());
        if declared.is_some_and(|length| length > max_bytes) {
            return Ok(None);
        }
        if let Some(bytes) = self.body.take() {
            return Ok((bytes.len() <= max_bytes).then_some(bytes));
        }
        if declared.is_some() || self.role.is_some() {
            let bytes = self.request.bytes().await?;
            return Ok((bytes.len() <= max_bytes).then_some(bytes));
        }
        match self.request.stream() {
            Ok(stream) => bounded(stream, max_bytes).await,
            // There is no body.
            Err(_) => Ok(Some(Vec::new())),
        }
    }

    /// The body as JSON.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<std::result::Result<T, Problem>> {
        Ok(self.text().await?.and_then(|text| {
            serde_json::from_str(&text)
                .map_err(|error| Problem::bad_request(format!("the body: {error}")))
        }))
    }

    /// The body as a form, each parameter once.
    pub async fn form(&mut self) -> Result<std::result::Result<BTreeMap<String, String>, Problem>> {
        Ok(self.pairs().await?.and_then(once_each))
    }

    /// The same where a field may be longer than anything usual.
    pub async fn form_within(
        &mut self,
        max_bytes: usize,
    ) -> Result<std::result::Result<BTreeMap<String, String>, Problem>> {
        Ok(self.pairs_within(max_bytes).await?.and_then(once_each))
    }

    /// The body as a form in which `resource` alone may come more than once (RFC 8707 section 2).
    pub async fn token_form(&mut self) -> Result<std::result::Result<Form, Problem>> {
        Ok(self.pairs().await?.and_then(|pairs| {
            let (resources, others): (Vec<_>, Vec<_>) =
                pairs.into_iter().partition(|(name, _)| name == "resource");
            Ok(Form {
                fields: once_each(others)?,
                resources: resources.into_iter().map(|(_, value)| value).collect(),
            })
        }))
    }

    /// The body as a form, whatever comes how often.
    pub async fn pairs(&mut self) -> Result<std::result::Result<Vec<(String, String)>, Problem>> {
        self.pairs_within(MAX_BODY_BYTES).await
    }

    async fn pairs_within(
        &mut self,
        max_bytes: usize,
    ) -> Result<std::result::Result<Vec<(String, String)>, Problem>> {
        let content_type = self.request.headers().get("content-type")?;
        let is_form = content_type.is_some_and(|content_type| {
            let media_type = content_type.split(';').next().unwrap_or_default();
            media_type
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form {
            return Ok(Err(Problem::bad_request("the body is no form")));
        }
        Ok(self.text_within(max_bytes).await?.map(|text| {
            url::form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect()
        }))
    }

    /// The subject that `text` names: its key, or `connection:value` of a connection that there is, on or
    /// off.
    pub async fn subject(&self, text: &str) -> Result<std::result::Result<SubjectKey, Problem>> {
        if let Ok(key) = text.parse() {
            return Ok(Ok(key));
        }
        if let Some((id, value)) = text.split_once(':').filter(|(_, value)| !value.is_empty())
            && let Some(connection) = connections::any(&self.env, &self.config, id).await?
        {
            return Ok(Ok(connection.subject(&self.config.naming_key, value)));
        }
        Ok(Err(Problem::bad_request(
            "subject is neither a subject key nor connection:value",
        )))
    }
}

/// A form's fields.
pub struct Form {
    /// Each once.
    pub fields: BTreeMap<String, String>,
    /// Every `resource`.
    pub resources: Vec<String>,
}

impl Form {
    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

fn once_each(
    pairs: impl IntoIterator<Item = (String, String)>,
) -> std::result::Result<BTreeMap<String, String>, Problem> {
    let mut found = BTreeMap::new();
    for (name, value) in pairs {
        let problem = format!("{name} came more than once");
        if found.insert(name, value).is_some() {
            return Err(Problem::bad_request(problem));
        }
    }
    Ok(found)
}
