//! `/consent`: a person who has logged in says whether a client may have what it asks (OIDC Core section
//! 3.1.2.4).
//!
//! The answer counts if it comes from our page in the browser that logged in: with the flow's cookie,
//! which other sites do not get sent along with a form (`SameSite`), with a value that only our page has,
//! and not from elsewhere as far as the browser says (`Origin`, `Sec-Fetch-Site`). It counts once; a second
//! one finds nothing. Allowing is remembered with the log-in, per client and scope.

use super::log_in::{Arrival, begin};
use super::pages::{escaped, form_page};
use super::{begun, clear_flow_cookie, flow, is_from_our_page, page, refuse};
use crate::http::context::Ctx;
use crate::policy;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::client::uri::is_loopback;
use portcullis_core::client::{Client, Source};
use portcullis_core::oauth::authorize::ErrorCode;
use portcullis_core::oauth::flow::{Asked, ShowAsked, TakeAsked};
use portcullis_core::secret::{Digest, constant_time_eq};
use portcullis_core::session::Profile;
use url::Url;
use worker::{Response, Result};

/// Shows the question.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let query = ctx.query().unwrap_or_default();
    let Some((id, browser)) = begun(&ctx, query.get("flow"))? else {
        return nothing_asked();
    };
    let show = ShowAsked {
        browser: Digest::of(browser.as_bytes()),
    };
    let asked = flow(&ctx.env, &id, show).await;
    let asked = asked.map_err(|error| worker::Error::RustError(error.to_string()))?;
    let Some(asked) = asked else {
        return nothing_asked();
    };
    let client_id = &asked.request.client.client_id;
    let Some(client) = policy::client(&ctx.env, &ctx.config, client_id).await? else {
        return nothing_asked();
    };
    let Ok(leads_to) = Url::parse(&asked.request.client.redirect_uri) else {
        return nothing_asked();
    };
    let question = Question {
        client: &client,
        asked: &asked,
        leads_to: &leads_to,
        flow: id.as_str(),
        token: &id.form_token(&ctx.config.routing_key, &browser),
    };
    form_page(
        "Allow access to your account?",
        &question.html(),
        &form_action(&leads_to),
    )
}

/// Takes the answer.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let form = ctx.form().await?.unwrap_or_default();
    let Some((id, browser)) = begun(&ctx, form.get("flow"))? else {
        return nothing_asked();
    };
    let expected = id.form_token(&ctx.config.routing_key, &browser);
    let token = form.get("token").map_or("", String::as_str);
    if !is_from_our_page(&ctx)? || !constant_time_eq(token.as_bytes(), expected.as_bytes()) {
        return forged(&ctx);
    }
    let allowed = match form.get("answer").map(String::as_str) {
        Some("allow") => true,
        Some("deny") => false,
        _ => return nothing_asked(),
    };
    let take = TakeAsked {
        browser: Digest::of(browser.as_bytes()),
    };
    let asked = flow(&ctx.env, &id, take).await;
    let asked = asked.map_err(|error| worker::Error::RustError(error.to_string()))?;
    let Some(asked) = asked else {
        return nothing_asked();
    };
    let response = answered(&ctx, asked, allowed).await?;
    clear_flow_cookie(&response, &id)?;
    Ok(response)
}

fn nothing_asked() -> Result<Response> {
    let text = "This question has expired, was answered before, or was asked in another browser. \
                If the application does not go on, please start again from there.";
    page(400, "There is nothing to answer", text)
}

/// An answer that did not come from our page. The question stands.
fn forged(ctx: &Ctx) -> Result<Response> {
    ctx.log(ctx.refusal("consent_forged", 403));
    let text = "The answer did not come from our page, so it does not count.";
    page(403, "Nothing was allowed", text)
}

async fn answered(ctx: &Ctx, asked: Asked, allowed: bool) -> Result<Response> {
    let client_id = &asked.request.client.client_id;
    let client = policy::client(&ctx.env, &ctx.config, client_id).await?;
    let redirect_uri = &asked.request.client.redirect_uri;
    // It may have been changed or removed since.
    let Some(client) = client.filter(|client| client.allows_redirect_to(redirect_uri)) else {
        return nothing_asked();
    };
    let response = if allowed {
        let arrival = Arrival {
            request: asked.request,
            begun_at: asked.begun_at,
            person: asked.person,
            allowed,
        };
        begin(ctx, &client, arrival).await?
    } else {
        let event = Event {
            subject: Some(asked.person.subject),
            client_id: Some(client_id.clone()),
            request: Some(ctx.facts()),
            ..Event::new(
                ctx.now,
                Action::ConsentAnswered,
                Outcome::Denied,
                Actor::Subject(asked.person.subject),
            )
        };
        crate::audit::record(&ctx.env, event).await?;
        refuse(ctx, &asked.request, ErrorCode::AccessDenied)?
    };
    // The browser must not post the answer again where it is sent (RFC 9700 section 4.12).
    Ok(if response.status_code() == 302 {
        response.with_status(303)
    } else {
        response
    })
}

/// Where the form may lead. Some browsers hold every redirect after it against the policy, also those that
/// the application makes, so https is allowed as a whole to an application on https.
fn form_action(leads_to: &Url) -> String {
    match leads_to.scheme() {
        "https" => "https:".to_owned(),
        // An address in brackets cannot be named in a policy.
        "http" if is_loopback(leads_to) => "http://127.0.0.1:* http://localhost:* http:".to_owned(),
        scheme => format!("{scheme}:"),
    }
}

/// Everything that the page says.
struct Question<'a> {
    client: &'a Client,
    asked: &'a Asked,
    leads_to: &'a Url,
    flow: &'a str,
    token: &'a str,
}

impl Question<'_> {
    fn html(&self) -> String {
        let name = self.client.client_name.as_deref();
        let name = escaped(name.unwrap_or(&self.client.client_id));
        let asked = &self.asked.request.client;
        let scopes = asked.scope.split(' ').filter(|scope| !scope.is_empty());
        let mut wanted: Vec<String> = scopes.map(in_plain_words).collect();
        if wanted.is_empty() {
            wanted.push("Know that you logged in".to_owned());
        }
        let resource = |audience: &String| format!("<bdi>{}</bdi>", escaped(audience));
        let resources: Vec<String> = asked.audiences.iter().map(resource).collect();
        format!(
            "<p>You are logged in as <strong><bdi>{who}</bdi></strong>.</p>\n\
             {vouching}\
             <h2>What <bdi>{name}</bdi> wants to do</h2>\n<ul><li>{wanted}</li></ul>\n\
             <h2>Where it may use this</h2>\n<ul><li>{resources}</li></ul>\n\
             <p>Either answer takes you back to <strong><bdi>{place}</bdi></strong>.</p>\n\
             <form method=\"post\" action=\"/consent\">\n\
             <input type=\"hidden\" name=\"flow\" value=\"{flow}\">\n\
             <input type=\"hidden\" name=\"token\" value=\"{token}\">\n\
             <button class=\"first\" name=\"answer\" value=\"allow\">Allow</button>\n\
             <button name=\"answer\" value=\"deny\">Do not allow</button>\n</form>",
            wanted = wanted.join("</li>\n<li>"),
            resources = resources.join("</li>\n<li>"),
            who = escaped(who(&self.asked.person.profile)),
            vouching = self.vouching(&name),
            place = escaped(&place(self.leads_to)),
            flow = escaped(self.flow),
            token = escaped(self.token),
        )
    }

    /// Who says what the client is called. A name that it gave itself may be another's.
    fn vouching(&self, name: &str) -> String {
        let address = match self.client.source {
            Source::Static | Source::Registered => {
                return format!(
                    "<p>The application <strong><bdi>{name}</bdi></strong> asks for access.</p>\n"
                );
            }
            Source::MetadataDocument => Url::parse(&self.client.client_id).ok(),
            Source::Dynamic => None,
        };
        let address = escaped(&place(address.as_ref().unwrap_or(self.leads_to)));
        format!(
            "<p>An application at <strong><bdi>{address}</bdi></strong>, which calls itself \
             <strong><bdi>{name}</bdi></strong>, asks for access.</p>\n\
             <p class=\"note\">Nobody here has checked this application. \
             Go on only if you know and trust <bdi>{address}</bdi>.</p>\n"
        )
    }
}

/// How somebody is called on our own page.
fn who(profile: &Profile) -> &str {
    [&profile.name, &profile.email, &profile.preferred_username]
        .into_iter()
        .find_map(|name| name.as_deref())
        .unwrap_or("a user of your organisation")
}

/// Whose a place is: the host, or the scheme of an application on the device.
fn place(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => format!("an application on this device ({})", url.scheme()),
    }
}

fn in_plain_words(scope: &str) -> String {
    match scope {
        "openid" => "Know which account of yours this is".to_owned(),
        "profile" => "See your name and user name".to_owned(),
        "email" => "See your e-mail address".to_owned(),
        "offline_access" => "Keep this access while you are away".to_owned(),
        other => format!("Use <code>{}</code>", escaped(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::client::Origin;
    use portcullis_core::id::SubjectKey;
    use portcullis_core::oauth::authorize::{Parameters, Via};
    use portcullis_core::oauth::flow::Person;
    use portcullis_core::session::Upstream;
    use portcullis_core::time::UnixMillis;
    use serde_json::{Value, json};

    fn client(origin: Origin<'_>, client_id: &str, name: &str, redirect_uri: &str) -> Client {
        let metadata = json!({
            "client_name": name,
            "redirect_uris": [redirect_uri],
            "token_endpoint_auth_method": "none",
            "scope": "openid offline_access calls:read<b>",
        });
        let Value::Object(metadata) = metadata else {
            panic!("an object")
        };
        let client = origin.client(client_id, metadata, UnixMillis(0), false);
        client.expect("valid")
    }

    fn shown(client: &Client, who: &str) -> String {
        let redirect_uri = client.redirect_uris.first().expect("one");
        let pairs = [
            ("response_type", "code"),
            ("client_id", &client.client_id),
            ("redirect_uri", redirect_uri),
            (
                "code_challenge",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            ),
            ("code_challenge_method", "S256"),
            ("scope", "openid calls:read<b>"),
        ];
        let parameters = Parameters::read(pairs);
        let resources = ["https://api.example".to_owned()];
        let asked = Asked {
            request: parameters
                .judge(client, &resources, Via::Browser)
                .expect("valid"),
            begun_at: UnixMillis(0),
            browser: Digest::of(b""),
            person: Person {
                subject: SubjectKey::from_bytes([1; 16]),
                connection: "demo".into(),
                auth_time_secs: 0,
                acr: None,
                groups: vec![],
                roles: vec![],
                claims: vec![],
                profile: Profile {
                    name: Some(who.to_owned()),
                    ..Profile::default()
                },
                upstream: Upstream::default(),
                value: who.to_owned(),
            },
        };
        Question {
            client,
            asked: &asked,
            leads_to: &Url::parse(redirect_uri).expect("a URL"),
            flow: "FLOW",
            token: "TOKEN",
        }
        .html()
    }

    #[test]
    fn nothing_that_others_chose_is_markup() {
        let client = client(
            Origin::Operator,
            "id",
            "<script>alert(1)</script>",
            "https://a.example/cb",
        );
        let html = shown(&client, "<img src=x> & \"Co\"");
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b>"));
        assert!(html.contains("&lt;img src=x&gt; &amp; &quot;Co&quot;"));
        assert!(html.contains("<code>calls:read&lt;b&gt;</code>"));
    }

    #[test]
    fn a_name_that_nobody_vouches_for_stands_beside_its_address() {
        let scope = "openid calls:read<b>";
        let document = client(
            Origin::Document { scope },
            "https://evil.example/client.json",
            "Your Bank",
            "https://evil.example/cb",
        );
        let html = shown(&document, "Alice");
        assert!(html.contains("evil.example") && html.contains("Nobody here has checked"));
        let registered = client(
            Origin::Registration { scope },
            "pc_cl_x",
            "Your Bank",
            "https://evil.example:8443/cb",
        );
        let html = shown(&registered, "Alice");
        assert!(html.contains("at <strong><bdi>evil.example:8443</bdi></strong>"));
        assert!(html.contains("Nobody here has checked"));
        let known = client(
            Origin::Operator,
            "bank",
            "Your Bank",
            "https://bank.example/cb",
        );
        assert!(!shown(&known, "Alice").contains("Nobody here has checked"));
    }

    #[test]
    fn the_form_can_be_answered_with_the_keyboard_in_order_and_leads_back() {
        let known = client(Origin::Operator, "bank", "Bank", "https://bank.example/cb");
        let html = shown(&known, "Alice");
        let at = |text: &str| {
            html.find(text)
                .unwrap_or_else(|| panic!("no {text}: {html}"))
        };
        assert!(at("Alice") < at("<h2>"));
        assert!(at("<h2>") < at("value=\"allow\""));
        assert!(at("value=\"allow\"") < at("value=\"deny\""));
        assert!(html.contains("name=\"flow\" value=\"FLOW\""));
        assert!(html.contains("name=\"token\" value=\"TOKEN\""));
        assert!(!html.contains("tabindex") && !html.contains("autofocus"));
    }

    #[test]
    fn the_form_may_lead_to_the_application_and_not_everywhere() {
        let source = |uri: &str| form_action(&Url::parse(uri).expect("a URL"));
        assert_eq!(source("https://a.example/cb"), "https:");
        assert_eq!(source("com.example.app:/cb"), "com.example.app:");
        assert!(source("http://[::1]:1/cb").ends_with("http:"));
    }
}
