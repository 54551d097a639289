//! The same where people come through SAML, or with tokens that their provider issued.

use super::{Answer, NAME, expect_refused, judged, landed, passed, settings};
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::{App, Attempt, Tokens};
use portcullis_e2e::browser::{Browser, Page};
use portcullis_e2e::connection::CLIENT_ID;
use portcullis_e2e::http::Request;
use portcullis_e2e::saml::SamlProvider;
use portcullis_e2e::scim::Scim;
use portcullis_e2e::stack::Stack;
use portcullis_e2e::upstream::{Client, Upstream};
use portcullis_e2e::wait::{unix_secs, until};
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use url::Url;

const OIDC: &str = "with-tokens";
const SAML: &str = "with-saml";
const BOTH: [&str; 2] = [OIDC, SAML];
/// How far ahead of ours a provider's clock is taken to be, in seconds.
const SKEW_SECS: u64 = 60;

struct Place {
    stack: Stack,
    app: App,
    api: Api,
    oidc: Upstream,
    // It answers as long as it is held.
    _saml: SamlProvider,
}

impl Place {
    fn new() -> Result<Self> {
        let stack = Stack::start_with(&settings())?;
        let service = &stack.at.service;
        let client = Client::new(CLIENT_ID, &format!("{service}/callback/{OIDC}"))?;
        let oidc = Upstream::start(&[client])?;
        let secret = oidc
            .clients
            .first()
            .and_then(|client| client.secret.clone());
        let entity_id = format!("{service}/saml/{SAML}");
        let saml = SamlProvider::start(&entity_id, &format!("{entity_id}/acs"))?;
        for document in [
            json!({
                "id": OIDC, "issuer": oidc.issuer, "client_id": CLIENT_ID, "client_secret": secret,
                "email_domains": [domain(OIDC)], "tokens": {"audiences": ["api://app"]},
            }),
            json!({
                "id": SAML, "issuer": saml.entity_id, "client_id": saml.service,
                "email_domains": [domain(SAML)],
                "saml": {"sso_url": saml.sso_url(), "certificates": [saml.certificate()?]},
            }),
        ] {
            let create = Request::post(format!("{service}/v1/connections"));
            create
                .bearer(bearer::ADMIN)
                .json(&document)
                .send()?
                .expect(201)?;
        }
        Ok(Self {
            app: App::discover(&stack.at)?,
            api: Api::new(&stack.at),
            oidc,
            _saml: saml,
            stack,
        })
    }

    /// The directories of both say that.
    fn directories_say(&self, active: bool) -> Result {
        for id in BOTH {
            let secrets = format!("{}/v1/connections/{id}/scim-secrets", self.stack.at.service);
            let made = Request::post(secrets)
                .bearer(bearer::ADMIN)
                .json(&json!({}));
            let made = made.send()?.expect(201)?.json()?;
            let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
            let scim = Scim::at(&text("scim_url"), &text("secret"));
            let found = scim.find(&format!("userName eq \"{NAME}\""))?.expect(200)?;
            match found.json()?["Resources"][0]["id"].as_str() {
                Some(user) => drop(scim.set_active(user, active)?),
                None => drop(scim.post_user(NAME, active)?.expect(201)?),
            }
        }
        Ok(())
    }

    fn attempt(&self, id: &str) -> Result<Attempt> {
        let address = format!("somebody@{}", domain(id));
        self.app.attempt_with(&[("login_hint", &address)])
    }

    /// A new log-in through that connection.
    fn log_in(&self, id: &str) -> Result<Answer> {
        let attempt = self.attempt(id)?;
        let landing = self.app.authorize(&mut Browser::new(), NAME, &attempt)?;
        Ok(landed(landing))
    }

    fn tokens(&self, id: &str) -> Result<Tokens> {
        let attempt = self.attempt(id)?;
        let code = self.app.code(&mut Browser::new(), NAME, &attempt)?;
        Tokens::read(&self.app.redeem(&code, &attempt.verifier)?.expect(200)?)
    }

    /// A token that the provider issued then.
    fn issued(&self, at_secs: u64) -> Result<String> {
        let claims = json!({
            "iss": self.oidc.issuer, "sub": NAME, "aud": "api://app", "iat": at_secs,
            "exp": at_secs + 900, "jti": format!("t-{at_secs}"),
        });
        self.oidc.token(&claims, &json!({}))
    }

    /// What becomes of such a token, at the check and at two routes of the gateway.
    fn presented(&self, token: &str) -> Result<[Answer; 3]> {
        let at_gateway = |path: &str| {
            let url = format!("{}{path}", self.stack.at.gateway);
            Request::get(url).bearer(token).send()
        };
        Ok([
            judged(&self.api.check_token(token)?)?,
            passed(&at_gateway("/strict")?),
            passed(&at_gateway("/bounded")?),
        ])
    }

    fn expect_token_refused(&self, token: &str, reason: &str) -> Result {
        let [check, strict, bounded] = self.presented(token)?;
        expect_refused("the check of a provider's token", check, reason)?;
        expect_refused("a strict route by it", strict, "401")?;
        expect_refused("a bounded route by it", bounded, "401")
    }

    /// A browser that shows the page by which a SAML provider would have it post its answer.
    fn answered(&self) -> Result<(Browser, Page)> {
        let mut browser = Browser::new();
        let form = browser.go(&self.attempt(SAML)?.url, None)?.page()?;
        let to = form.form();
        let to = to.ok_or_else(|| form.response.unexpected("a form"))?;
        let fields = [("login", NAME), ("password", NAME)];
        let response = browser.submit(&form.url, &to, &fields)?.expect(200)?;
        Ok((browser, Page { url: to, response }))
    }

    /// The same a step later: the answer was taken, and the browser is on its way to the callback.
    fn taken(&self) -> Result<(Browser, Url)> {
        let (mut browser, page) = self.answered()?;
        let response = browser.deliver(&page)?.expect(303)?;
        let location = response.header("location").unwrap_or_default();
        Ok((browser, Url::parse(location)?))
    }

    fn deliver(&self, (browser, page): &mut (Browser, Page)) -> Result<Answer> {
        let response = browser.deliver(page)?;
        let from = page.form().unwrap_or_else(|| page.url.clone());
        let app = Some(&self.app.redirect_uri);
        Ok(landed(browser.follow(from, response, app)?))
    }

    fn come_back(&self, (browser, url): &mut (Browser, Url)) -> Result<Answer> {
        Ok(landed(browser.go(url, Some(&self.app.redirect_uri))?))
    }
}

fn domain(id: &str) -> String {
    format!("{id}.example")
}

#[track_caller]
fn expect_in(way: &str, answer: &Answer) -> Result {
    match answer {
        Ok(()) => Ok(()),
        Err(why) => Err(Failure::new(format!("{way} is refused: {why}"))),
    }
}

#[test]
fn neither_saml_nor_a_providers_own_token_is_a_way_back() -> Result {
    let place = Place::new()?;
    let held = BOTH.map(|id| place.tokens(id));
    let before = place.issued(unix_secs() - 1)?;
    for answer in place.presented(&before)? {
        expect_in("a provider's token", &answer)?;
    }
    let (mut answered, mut taken) = (place.answered()?, place.taken()?);
    let (mut answered_too, mut taken_too) = (place.answered()?, place.taken()?);

    place.directories_say(false)?;
    for id in BOTH {
        expect_refused("a log-in", place.log_in(id)?, "access_denied")?;
    }
    let meanwhile = place.issued(unix_secs())?;
    for token in [&before, &meanwhile] {
        place.expect_token_refused(token, "subject_disabled")?;
    }
    let answer = place.deliver(&mut answered)?;
    expect_refused("a SAML provider's answer", answer, "access_denied")?;
    let answer = place.come_back(&mut taken)?;
    expect_refused("one that was taken before", answer, "access_denied")?;

    place.directories_say(true)?;
    for tokens in held {
        place.api.expect_denied(&tokens?, "session_ended")?;
    }
    for token in [&before, &meanwhile] {
        place.expect_token_refused(token, "issued_before_kill")?;
    }
    let answer = place.deliver(&mut answered_too)?;
    expect_refused("a SAML provider's answer", answer, "access_denied")?;
    let answer = place.come_back(&mut taken_too)?;
    expect_refused("one that was taken before", answer, "access_denied")?;
    for id in BOTH {
        expect_in("a log-in", &place.log_in(id)?)?;
    }
    // By a clock that is as far ahead as may be, so that nobody waits for a minute.
    until("a provider's token that is new enough", || {
        let new = place.issued(unix_secs() + SKEW_SECS - 5)?;
        let all = place.presented(&new)?;
        Ok(all.iter().all(Answer::is_ok).then_some(()))
    })
}
