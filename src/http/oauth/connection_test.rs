//! A connection's test: a log-in that ends on a page which shows what the provider said and what the
//! connection makes of it, and begins no session.
//!
//! An operator gets a link over `/v1/connections/{id}/test`. Whoever opens it first goes the way of every
//! log-in, also through a connection that is off: to try it is what it is for. Only that browser sees
//! the end, and nothing of it is kept but that there was a test.

use super::callback::came_back_to;
use super::pages::{escaped, plain_page};
use super::set_out::set_out_to_test;
use super::{browser_of, clear_flow_cookie, flow, page, saml};
use crate::connections;
use crate::http::context::Ctx;
use crate::upstream::{self, Returned};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::connection::Connection;
use portcullis_core::connection::identity::Identity;
use portcullis_core::id::SubjectKey;
use portcullis_core::oauth::flow::saml::{Errand, SamlSaid};
use portcullis_core::oauth::flow::{FlowId, Kind, TakeTesting, TakeToTest, Testing};
use portcullis_core::secret::Digest;
use portcullis_core::text::truncated;
use serde_json::{Map, Value};
use worker::{Error, Response, Result};

/// The longest value that is shown whole.
const MAX_SHOWN_BYTES: usize = 1024;

/// Sends the browser of whoever opens the link to the provider.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let query = ctx.query().unwrap_or_default();
    let id = query
        .get("flow")
        .and_then(|id| FlowId::parse(&ctx.config.routing_key, Kind::Test, id));
    let Some(id) = id else {
        return nothing_to_test();
    };
    let taken = flow(&ctx.env, &id, TakeToTest).await;
    let taken = taken.map_err(|error| Error::RustError(error.to_string()))?;
    let connection = match taken {
        Some(connection) => connections::any(&ctx.env, &ctx.config, &connection).await?,
        None => None,
    };
    let Some(connection) = connection else {
        return nothing_to_test();
    };
    match set_out_to_test(&ctx, &id, &connection).await {
        Ok(response) => Ok(response),
        Err(why) => failed(&ctx, &connection.id, &why.to_string()).await,
    }
}

fn nothing_to_test() -> Result<Response> {
    let text = "This test has expired, was begun before, or was begun in another browser. \
                Please start another.";
    page(400, "There is nothing to test", text)
}

/// Shows what came of it.
pub(super) async fn arrived(ctx: &Ctx, id: &FlowId) -> Result<Response> {
    let Some(browser) = browser_of(ctx, id)? else {
        return nothing_to_test();
    };
    let Some((id_of_connection, by)) = taken(ctx, id, &browser).await? else {
        return nothing_to_test();
    };
    let response = match tested(ctx, &id_of_connection, &by).await? {
        Ok(seen) => {
            record(ctx, &id_of_connection, Outcome::Success, None).await?;
            plain_page("The connection works", &seen.html())?
        }
        Err(why) => failed(ctx, &id_of_connection, &why).await?,
    };
    clear_flow_cookie(&response, id)?;
    Ok(response)
}

/// How the provider's word comes.
enum By {
    /// For a code in the query.
    Code(Testing),
    /// It has come.
    Saml(SamlSaid),
}

/// The test of this browser, which ends here: which connection's, and by what it brought.
async fn taken(ctx: &Ctx, id: &FlowId, browser: &str) -> Result<Option<(String, By)>> {
    if let Some(code) = saml::answer_code(ctx) {
        let taken = saml::take(ctx, id, browser, &code).await?;
        let taken = taken.filter(|(away, _)| away.errand == Errand::Test);
        return Ok(taken.map(|(away, said)| (away.connection, By::Saml(said))));
    }
    let take = TakeTesting {
        browser: Digest::of(browser.as_bytes()),
    };
    let taken = flow(&ctx.env, id, take).await;
    let taken = taken.map_err(|error| Error::RustError(error.to_string()))?;
    Ok(taken.map(|testing| (testing.connection.clone(), By::Code(testing))))
}

/// What was seen, or what went wrong: whoever sees the page is meant to mend it.
async fn tested(ctx: &Ctx, id: &str, by: &By) -> Result<std::result::Result<Seen, String>> {
    if came_back_to(ctx) != id {
        return Ok(Err(
            "the answer came to another connection's redirect URI".into()
        ));
    }
    let found = connections::any(&ctx.env, &ctx.config, id).await?;
    let Some(connection) = found else {
        return Ok(Err("the connection was removed meanwhile".into()));
    };
    let claims = match (by, &connection.saml) {
        (By::Saml(SamlSaid::Facts(facts)), Some(_)) => facts.claims(),
        (By::Saml(SamlSaid::Refused(why)), Some(_)) => {
            return Ok(Err(format!("SAML answer: {why}")));
        }
        (By::Code(testing), None) => match by_code(ctx, &connection, testing).await {
            Ok(claims) => claims,
            Err(why) => return Ok(Err(why)),
        },
        (By::Saml(_), None) | (By::Code(_), Some(_)) => {
            return Ok(Err("the connection was changed meanwhile".into()));
        }
    };
    Ok(Ok(match connection.identity(&claims) {
        Ok(identity) => Seen {
            subject: Ok(connection.subject(&ctx.config.naming_key, &identity.value)),
            identity: Some(identity),
            connection: (*connection).clone(),
            claims,
        },
        Err(why) => Seen {
            subject: Err(why.as_str()),
            identity: None,
            connection: (*connection).clone(),
            claims,
        },
    }))
}

/// The claims of the ID token that comes for the code in the query.
async fn by_code(
    ctx: &Ctx,
    connection: &Connection,
    testing: &Testing,
) -> std::result::Result<Map<String, Value>, String> {
    let metadata = upstream::metadata(&ctx.config, connection).await;
    let metadata = metadata.map_err(|error| error.to_string())?;
    let query = ctx.query().unwrap_or_default();
    if !metadata.may_have_answered(query.get("iss").map(String::as_str)) {
        return Err("the answer is by another issuer (RFC 9207)".into());
    }
    let Some(code) = query.get("code") else {
        let said = |name| query.get(name).map_or("", String::as_str);
        let (error, description) = (said("error"), said("error_description"));
        return Err(format!("the provider answered {error} {description}"));
    };
    let returned = Returned {
        code,
        code_verifier: &testing.code_verifier,
        nonce: &testing.nonce,
    };
    let id_token = upstream::identify(&ctx.env, &ctx.config, connection, returned).await;
    let id_token = id_token.map_err(|error| error.to_string())?;
    Ok(id_token.claims().clone())
}

async fn failed(ctx: &Ctx, connection: &str, why: &str) -> Result<Response> {
    worker::console_error!("test of {connection}: {why}");
    record(ctx, connection, Outcome::Denied, Some("test_failed")).await?;
    let text = escaped(&truncated(why, MAX_SHOWN_BYTES));
    plain_page(
        "The connection does not work",
        &format!("<p class=\"note\">{text}</p><p>No session was begun.</p>"),
    )
}

async fn record(ctx: &Ctx, connection: &str, outcome: Outcome, reason: Option<&str>) -> Result<()> {
    let event = Event {
        reason: reason.map(str::to_owned),
        request: Some(ctx.facts()),
        ..Event::new(
            ctx.now,
            Action::ConnectionTested,
            outcome,
            Actor::Connection(connection.to_owned()),
        )
    };
    crate::audit::record(&ctx.env, event).await
}

/// What a test has shown.
struct Seen {
    connection: Connection,
    claims: Map<String, Value>,
    subject: std::result::Result<SubjectKey, &'static str>,
    identity: Option<Identity>,
}

impl Seen {
    fn html(&self) -> String {
        let mut means = Vec::new();
        match (&self.subject, &self.identity) {
            (Ok(subject), Some(identity)) => {
                let profile = &identity.profile;
                let verified = if profile.email_verified {
                    "verified"
                } else {
                    "not verified"
                };
                let address = profile.email.as_ref();
                let address = address.map(|email| format!("{email} ({verified})"));
                means.extend([
                    (
                        "Subject",
                        format!("{}:{}", self.connection.id, identity.value),
                    ),
                    ("Subject key", subject.to_string()),
                    ("Name", profile.name.clone().unwrap_or_default()),
                    ("Address", address.unwrap_or_default()),
                    ("Groups", identity.groups.join(", ")),
                    ("Roles", identity.roles.join(", ")),
                ]);
                means.extend(
                    identity
                        .claims
                        .iter()
                        .map(|claim| ("Kept claim", format!("{} = {}", claim.name, claim.json))),
                );
            }
            (Err(why), _) => means.push(("Nobody", (*why).to_owned())),
            (Ok(_), None) => {}
        }
        let off = if self.connection.enabled {
            ""
        } else {
            "<p class=\"note\">This connection is off: nobody can log in through it yet.</p>"
        };
        let received = self.claims.iter().map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (name.as_str(), text)
        });
        format!(
            "<p>{} answered, and its answer is valid. No session was begun.</p>{off}\
             <h2>What it means</h2>{}<h2>Claims received</h2>{}",
            escaped(self.connection.shown_name()),
            table(means.into_iter()),
            table(received)
        )
    }
}

fn table<'n>(rows: impl Iterator<Item = (&'n str, String)>) -> String {
    let rows = rows.map(|(name, value)| {
        let value = escaped(&truncated(&value, MAX_SHOWN_BYTES));
        let name = escaped(name);
        format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>")
    });
    let rows = rows.collect::<Vec<_>>().concat();
    format!("<table>{rows}</table>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_provider_says_is_text_and_never_markup() {
        let connection: Connection = serde_json::from_value(json!({
            "id": "okta", "issuer": "https://idp.example", "client_id": "c", "claims": ["<i>x</i>"],
        }))
        .expect("a connection");
        let claims = json!({"sub": "<b>", "name": "<script>", "<i>x</i>": ["<u>"]});
        let Value::Object(claims) = claims else {
            panic!("an object")
        };
        let seen = Seen {
            subject: Ok(SubjectKey::from_bytes([1; 16])),
            identity: Some(connection.identity(&claims).expect("somebody")),
            connection,
            claims,
        };
        let html = seen.html();
        for markup in ["<b>", "<script>", "<i>", "<u>"] {
            assert!(!html.contains(markup), "{markup}");
        }
        assert!(html.contains("okta:&lt;b&gt;"));
    }
}
