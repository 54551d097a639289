//! Log-ins ahead of a measurement, by people who are signed in at their identity provider already: a round
//! trip of redirects each, and no form.

use crate::connection::request;
use portcullis_e2e::app::App;
use portcullis_e2e::browser::Browser;
use portcullis_e2e::json::text;
use portcullis_e2e::{Failure, Result};
use std::thread;
use url::{Url, form_urlencoded};

/// How many people log in, each with one browser.
pub const PEOPLE: usize = 16;
/// How many codes each of them gets for a round. The peer's store in memory forgets what is more
/// than a thousand entries old, and a log-in is four.
const CODES_EACH: usize = 16;

/// The people of one provider.
pub struct Crowd {
    app: App,
    browsers: Vec<Browser>,
}

impl Crowd {
    /// Everyone at `app`'s provider, in unused browsers.
    pub fn new(app: App) -> Self {
        Self {
            app,
            browsers: vec![Browser::new(); PEOPLE],
        }
    }

    /// `host:port` of the provider.
    pub fn address(&self) -> Result<String> {
        Ok(self.token_endpoint()?.authority().to_owned())
    }

    /// Requests that redeem a fresh code each, ready to be sent.
    pub fn redemptions(&mut self) -> Result<Vec<Vec<u8>>> {
        let endpoint = self.token_endpoint()?;
        self.each(CODES_EACH, |app, browser, user| {
            let (code, verifier) = log_in(app, browser, user)?;
            Ok(token_request(
                &endpoint,
                &[
                    ("grant_type", "authorization_code"),
                    ("client_id", &app.client_id),
                    ("redirect_uri", app.redirect_uri.as_str()),
                    ("code", &code),
                    ("code_verifier", &verifier),
                ],
            ))
        })
    }

    /// A refresh token for each person.
    pub fn refresh_tokens(&mut self) -> Result<Vec<String>> {
        self.each(1, |app, browser, user| {
            let (code, verifier) = log_in(app, browser, user)?;
            let answer = app.redeem(&code, &verifier)?.expect(200)?.json()?;
            Ok(text(&answer, "refresh_token")?.to_owned())
        })
    }

    /// The request that refreshes `token`.
    pub fn refresh(&self, token: &str) -> Result<Vec<u8>> {
        Ok(token_request(
            &self.token_endpoint()?,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", &self.app.client_id),
                ("refresh_token", token),
            ],
        ))
    }

    fn token_endpoint(&self) -> Result<Url> {
        Ok(Url::parse(&self.app.token_endpoint)?)
    }

    /// What `make` makes `count` times for each person, everyone's first before anyone's second.
    fn each<T: Send>(
        &mut self,
        count: usize,
        make: impl Fn(&App, &mut Browser, &str) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let (app, make) = (&self.app, &make);
        let lists = thread::scope(|scope| {
            let people = self.browsers.iter_mut().enumerate();
            let threads: Vec<_> = people
                .map(|(number, browser)| {
                    let user = format!("person-{number}");
                    scope.spawn(move || (0..count).map(|_| make(app, browser, &user)).collect())
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    let ended = thread.join();
                    ended.unwrap_or_else(|_| Err(Failure::new("a thread that logs in panicked")))
                })
                .collect::<Result<Vec<Vec<T>>>>()
        })?;
        let mut each: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
        let mut in_turn = Vec::new();
        for _ in 0..count {
            in_turn.extend(each.iter_mut().filter_map(Iterator::next));
        }
        Ok(in_turn)
    }
}

/// A code for `user`, and its verifier.
fn log_in(app: &App, browser: &mut Browser, user: &str) -> Result<(String, String)> {
    // The peer logs in whom the hint names; our identity provider asks once.
    let scope = "openid profile offline_access";
    let attempt = app.attempt_with(&[("scope", scope), ("login_hint", user)])?;
    let code = app.code(browser, user, &attempt)?;
    Ok((code, attempt.verifier))
}

fn token_request(endpoint: &Url, fields: &[(&str, &str)]) -> Vec<u8> {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    request("POST", endpoint, &form, &body)
}
